"""System checks that tell the operator when the audit log is only as safe as the application itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import DatabaseError

from accounts.grants import excess, lacks

_NAMED = 3


@register(Tags.database, deploy=True)
def check_database_role(app_configs: Any, databases: Sequence[str] | None = None, **ignored: Any) -> list[CheckMessage]:
    """Compare what the connected role may do with what the application needs. Only with ``--database default``."""
    if not databases:
        return []
    try:
        role, too_much = excess()
        too_little = lacks()[1]
    except DatabaseError:
        return []  # not there, or not migrated; others say so
    found: list[CheckMessage] = []
    if too_much:
        found.append(
            Warning(
                f"The database role “{role}” could change the audit log: {', '.join(too_much)}.",
                hint="Let one role own the tables and migrate, and serve as another, which gets what it needs by "
                "`manage.py grantapp`. See README, “Run it for real”.",
                id="accounts.W001",
            )
        )
    elif too_little:
        found.append(
            Warning(
                f"The database role “{role}” lacks {'; '.join(too_little[:_NAMED])}"
                f"{' and more' if len(too_little) > _NAMED else ''}.",
                hint=f"Run `manage.py grantapp {role}` as the owner of the tables, after every `migrate`.",
                id="accounts.W002",
            )
        )
    return found
