"""Lets Django's own commands that change people leave a trace: what they write and its event are one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.models.signals import post_save

from accounts.models import User


@contextmanager
def recording(record: Callable[[User], object]) -> Iterator[list[User]]:
    """Call back for every person that is saved meanwhile; they are in the list in the end."""
    written: list[User] = []

    def note(instance: User, **_: Any) -> None:
        record(instance)
        written.append(instance)

    post_save.connect(note, sender=User)
    try:
        with transaction.atomic():
            yield written
    finally:
        post_save.disconnect(note, sender=User)
