"""The words of GraphQL's enums, in lower camel case as its clients spell them (contract rest-v2 §14.9)."""

from __future__ import annotations

from enum import Enum

import strawberry

from accounts.models import Role, UserKind
from accounts.reach import Through
from accounts.roles import PREDEFINED, Level, RoleName


@strawberry.enum(description="A role in the account that has the run of the API. Other roles have no word here.")
class AccountRole(Enum):
    """The account roles that clients of GraphQL know."""

    admin = RoleName.ADMIN
    member = RoleName.MEMBER


@strawberry.enum(description="A predefined role in an organization.")
class AccountOrganizationRole(Enum):
    """The roles of an organization."""

    admin = RoleName.ADMIN
    member = RoleName.MEMBER
    readOnly = RoleName.READ_ONLY
    annotator = RoleName.ANNOTATOR


@strawberry.enum(description="A predefined role in a space.")
class SpaceMemberRole(Enum):
    """The roles of a space."""

    admin = RoleName.ADMIN
    member = RoleName.MEMBER
    readOnly = RoleName.READ_ONLY
    annotator = RoleName.ANNOTATOR


strawberry.enum(Through, name="Access", description="What access to a space or an organization comes from.")


@strawberry.enum(description="What a role can be given in besides organizations.")
class ResourceType(Enum):
    """What a role binding is on."""

    space = "SPACE"
    project = "PROJECT"


@strawberry.enum(description="A person, or the bot of a service key.")
class UserType(Enum):
    """What stands behind a user."""

    human = UserKind.PERSON
    bot = UserKind.BOT


@strawberry.enum(description="Whether somebody can act: who was invited and has not joined yet is inactive.")
class UserStatus(Enum):
    """How far somebody has come."""

    active = "active"
    inactive = "inactive"


def account_role(role: Role) -> AccountRole | None:
    """Return the word for a role of the account, where clients know one."""
    return AccountRole(RoleName(role.name)) if role.name in {one.value for one in AccountRole} else None


def space_role(role: Role) -> SpaceMemberRole:
    """Return the word for a role in a space; for a custom one, of the lowest predefined role that permits as much."""
    if role.is_predefined:
        return SpaceMemberRole(RoleName(role.name))
    wanted = set(role.permissions)
    rows = sorted((row for row in PREDEFINED if row.level is Level.SPACE), key=lambda row: row.rank)
    enough = (row.name for row in rows if wanted <= {permission.value for permission in row.permissions})
    return SpaceMemberRole(next(enough, RoleName.ADMIN))
