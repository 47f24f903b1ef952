"""Custom roles: an account's own sets of permissions, which people and bots can be given in spaces.

What a role permits is its row, so changing it changes what its holders may do on their very next request.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.changes import clean_name, save_new, save_renamed
from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from accounts.models import ProjectBinding, Role, SpaceBinding
from accounts.permissions import require
from accounts.roles import PREDEFINED, Level
from accounts.seeding import own_permission
from accounts.verbs import verb
from accounts.vocabulary import Permission

MAX_DESCRIPTION = 1000
# Contract rest-v2 §9.1: letters and digits of ASCII, blanks, and these. The inside of a class, for any kind of regex.
LETTERS = r"""A-Za-z0-9\-_.,()\[\]'"/:\\&@#$%!?+="""
_NAME = re.compile(f"[{LETTERS} ]+")
_LEVEL_WORDS = {level: level.value.capitalize() for level in Level}


def wire_name_of(role: Role) -> str:
    """Return the name a role has in lists of all of them, where "Admin" alone would stand for three."""
    return f"{_LEVEL_WORDS[Level(role.level)]} {role.label}" if role.is_predefined else role.name


_TAKEN = frozenset(f"{_LEVEL_WORDS[row.level]} {row.label}".casefold() for row in PREDEFINED)


def roles_of(actor: Actor) -> QuerySet[Role]:
    """Return the predefined roles and the account's own.

    Raises:
        Forbidden: the actor may not read roles.
    """
    account = actor.require_account()
    require(actor, Permission.ROLE_READ, account)
    return Role.objects.filter(Q(account__isnull=True) | Q(account=account), deleted_at__isnull=True)


def find_role(actor: Actor, number: int) -> Role:
    """Return one of the roles the actor may read.

    Raises:
        Forbidden: the actor may not read roles.
        NotFound: there is no such role.
    """
    role = roles_of(actor).filter(pk=number).first()
    if role is None:
        raise NotFound("There is no such role.")
    return role


def uses(role: Role) -> int:
    """Return how many people and bots hold the role, counted once for each space and each project."""
    return sum(
        table._default_manager.filter(permission=role.permission_id).count() for table in (SpaceBinding, ProjectBinding)
    )


@verb(Tag.ROLE_DEFINED)
def create_role(actor: Actor, *, name: str, permissions: Iterable[str], description: str = "", at: datetime) -> Role:
    """Create a custom role for the account's spaces. Account admins only.

    Raises:
        Forbidden: the actor may not.
        Invalid: the name, the description or a permission is unusable.
        Conflict: the name is taken in the account.
    """
    account = actor.require_account()
    require(actor, Permission.ROLE_CREATE, account)
    name, names = _clean_role_name(name), _clean_permissions(permissions)
    role = Role(
        account=account,
        level=Level.SPACE,
        name=name,
        label=name,
        description=_clean_description(description),
        permissions=names,
        permission=own_permission(Level.SPACE, f"custom_{account.pk}_{secrets.token_hex(8)}", f"Is {name}"[:255]),
    )
    save_new(role, _taken(name))
    record(actor, Tag.ROLE_DEFINED, role, at=at, permissions=names)
    return role


@verb(Tag.ROLE_REDEFINED)
def change_role(
    actor: Actor,
    role: Role,
    *,
    name: str | None = None,
    permissions: Iterable[str] | None = None,
    description: str | None = None,
    at: datetime,
) -> Role:
    """Rename or describe a custom role, or replace what it permits; ``None`` leaves a part as it is.

    Raises:
        Forbidden: the actor may not, or the role is predefined.
        NotFound: there is no such role in the account.
        Invalid, Conflict: as in ``create_role``.
    """
    role = _own(actor, role, Permission.ROLE_UPDATE)
    wanted: dict[str, Any] = {}
    if name is not None:
        wanted["name"] = wanted["label"] = _clean_role_name(name)
    if description is not None:
        wanted["description"] = _clean_description(description)
    if permissions is not None:
        wanted["permissions"] = _clean_permissions(permissions)
    before = {field: getattr(role, field) for field, value in wanted.items() if getattr(role, field) != value}
    if not before:
        return role
    for field in before:
        setattr(role, field, wanted[field])
    save_renamed(role, [*before, "updated_at"], _taken(role.name))
    record(actor, Tag.ROLE_REDEFINED, role, at=at, **_difference(before, wanted))
    return role


@verb(Tag.ROLE_DELETED)
def delete_role(actor: Actor, role: Role, *, at: datetime) -> None:
    """Delete a custom role that nobody holds; its name is free again, and the log goes on naming it.

    Raises:
        Forbidden, NotFound: as in ``change_role``.
        Conflict: somebody holds it.
    """
    role = _own(actor, role, Permission.ROLE_DELETE)
    holders = uses(role)
    if holders:
        times = "once" if holders == 1 else f"{holders} times"
        raise Conflict(f"“{role}” is held {times}. Withdraw it in every space and project first.")
    role.deleted_at = at
    role.save(update_fields=["deleted_at", "updated_at"])
    record(actor, Tag.ROLE_DELETED, role, at=at, permissions=role.permissions)


def _own(actor: Actor, role: Role, permission: Permission) -> Role:
    """Return the row as it is now that the account is locked."""
    account = actor.require_account()
    require(actor, permission, account)
    if role.is_predefined:
        raise Forbidden("Predefined roles can be neither changed nor deleted. Create a role of your own instead.")
    found = Role.objects.select_for_update().filter(pk=role.pk, account=account, deleted_at__isnull=True).first()
    if found is None:
        raise NotFound("There is no such role.")
    return found


def _clean_role_name(name: str) -> str:
    name = clean_name(name)
    if _NAME.fullmatch(name) is None:
        raise Invalid(
            "The name of a role has letters and digits without accents, blanks, and - _ . , ( ) [ ] ' \" / : \\ & @ # "
            "$ % ! ? + = only.",
            field="name",
        )
    if name.casefold() in _TAKEN:
        raise Conflict(_taken(name), field="name")
    return name


def _clean_description(description: str) -> str:
    if len(description) > MAX_DESCRIPTION:
        raise Invalid(f"A description has at most {MAX_DESCRIPTION} characters.", field="description")
    return description


def _clean_permissions(permissions: Iterable[str]) -> list[str]:
    names = sorted(set(permissions))
    if not names:
        raise Invalid("A role permits at least one thing.", field="permissions")
    known = {permission.value for permission in Permission}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Invalid("These are not all names of permissions that there are.", field="permissions")
    return names


def _taken(name: str) -> str:
    return f"This account already has a role “{name}”."


def _difference(before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what to record: of permissions, which came and which went."""
    told: dict[str, Any] = {}
    if "permissions" in before:
        old, new = set(before["permissions"]), set(wanted["permissions"])
        told |= {"permissions_added": sorted(new - old), "permissions_removed": sorted(old - new)}
    plain = [name for name in ("name", "description") if name in before]
    if plain:
        told |= {"before": {name: before[name] for name in plain}, "after": {name: wanted[name] for name in plain}}
    return told
