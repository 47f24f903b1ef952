"""`manage.py createsuperuser`: Django's own, which makes an operator; here it is recorded."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.management.recording import recording
from accounts.models import User


class Command(createsuperuser.Command):
    """Makes an operator."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask and create as Django does."""
        with recording(_record):
            super().handle(*args, **options)


def _record(person: User) -> None:
    nobody = {"is_staff": False, "is_superuser": False}
    now = {"is_staff": person.is_staff, "is_superuser": person.is_superuser}
    record(Actor.from_command(None), Tag.OPERATOR_CHANGED, person, before=nobody, after=now)
