"""Where Django looks for the engine named in settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base

from arizekeys import local


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's PostgreSQL engine, attached to the server in the data folder."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, after making sure that there is something to connect to."""
        local.attach(settings.DATA_FOLDER)
        return super().get_new_connection(conn_params)
