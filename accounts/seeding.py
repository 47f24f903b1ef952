"""Fills the roles table with the predefined roles, so that what a role permits is data wherever it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Permission as AuthPermission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from accounts.models import Account, Organization, Role, Space
from accounts.roles import PREDEFINED, Level, PredefinedRole

if TYPE_CHECKING:
    from django.db.models import Model

SCOPES: dict[Level, type[Model]] = {
    Level.ACCOUNT: Account,
    Level.ORGANIZATION: Organization,
    Level.SPACE: Space,
}


@transaction.atomic
def fill_roles() -> None:
    """Bring the predefined roles in line with ``roles.PREDEFINED``. Changes nothing when they are."""
    present = {(role.level, role.name): role for role in Role.objects.filter(account__isnull=True)}
    for row in PREDEFINED:
        _fill(row, present.get((row.level, row.name)))


def own_permission(level: Level, codename: str, name: str) -> AuthPermission:
    """Return the ``auth.Permission`` that means "holds this role", which guardian's rows point to."""
    permission, _ = AuthPermission.objects.get_or_create(
        content_type=ContentType.objects.get_for_model(SCOPES[level]), codename=codename, defaults={"name": name}
    )
    return permission


def _fill(row: PredefinedRole, role: Role | None) -> None:
    wanted = {
        "label": row.label,
        "description": row.summary,
        "rank": row.rank,
        "permissions": sorted(row.permissions),
    }
    if role is None:
        permission = own_permission(row.level, f"role_{row.name.lower()}", f"Is {row.label}")
        Role.objects.create(level=row.level, name=row.name, permission=permission, **wanted)
    elif any(getattr(role, name) != value for name, value in wanted.items()):
        for name, value in wanted.items():
            setattr(role, name, value)
        role.save(update_fields=[*wanted, "updated_at"])
