"""`manage.py migrate`: Django's own, which on the embedded database works as the owner of the tables."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from accounts.grants import grant_application
from arizekeys import local
from arizekeys.embedded.base import DatabaseWrapper


class Command(migrate.Command):
    """Migrates. With DATABASE_URL it is the operator who says as whom, and runs grantapp afterwards."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, and give the application its rights on what there is now."""
        connection = connections[options["database"]]
        if not isinstance(connection, DatabaseWrapper):
            super().handle(*args, **options)
            return
        with connection.as_owner():
            super().handle(*args, **options)
            grant_application(local.APPLICATION)
