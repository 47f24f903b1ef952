"""`manage.py changepassword`: Django's own; here it is recorded, and the person is told."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword

from accounts import mail
from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.management.recording import recording
from accounts.models import User


class Command(changepassword.Command):
    """Sets somebody's password."""

    help = "Change a person's password. It is asked for twice; the person is told by mail."

    def handle(self, *args: Any, **options: Any) -> str | None:
        """Ask and change as Django does."""
        with recording(_record) as changed:
            said: str | None = super().handle(*args, **options)
        for person in changed:
            if person.is_active:
                mail.send_password_changed(person)
        return said


def _record(person: User) -> None:
    for inside in Actor.from_command(None).in_each_account_of(person):
        record(inside, Tag.PASSWORD_CHANGED, person)
