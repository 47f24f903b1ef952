"""The ring of peppers: numbered secrets outside the database, without which its digests are worth nothing."""

from __future__ import annotations

from django.conf import settings


def ring() -> dict[int, bytes]:
    """Return all configured peppers by number, oldest first."""
    peppers: dict[int, bytes] = settings.API_KEY_PEPPERS
    return peppers


def newest() -> tuple[int, bytes]:
    """Return the pepper that new digests are made with, and its number."""
    number, pepper = list(ring().items())[-1]
    return number, pepper
