"""System checks that tell the operator what is wrong with the peppers before a key is refused for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError

from apikeys import peppers
from apikeys.models import KeySecret


@register(Tags.database)
def check_peppers_in_use(app_configs: Any, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Refuse to start a migration or deployment while live digests name a pepper that is not configured."""
    if not databases:
        return []
    try:
        used = set(KeySecret.objects.order_by().values_list("pepper_id", flat=True).distinct())
    except DatabaseError:
        return []  # before the first migration there is no table, and no key either
    missing = sorted(used - set(peppers.ring()))
    if not missing:
        return []
    return [
        Error(
            f"Keys in the database were made with pepper {', '.join(map(str, missing))}, which is not configured.",
            hint="Put it back into ARIZEKEYS_KEY_PEPPERS; until then those keys are refused. "
            "A pepper may go once no key uses it any more: use, refresh or revocation and pruning move them on.",
            id="apikeys.E001",
        )
    ]
