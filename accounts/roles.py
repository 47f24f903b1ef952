"""The predefined roles as one table: level, rank, and what each permits.

Roles are data. This file is what the roles table is filled from after every migration; nothing else in the house
compares role names, except through the rank given here. Pages that explain roles read the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from accounts.vocabulary import Permission


class Level(StrEnum):
    """Where a role applies. Access flows down from account to organization to space."""

    ACCOUNT = "ACCOUNT"
    ORGANIZATION = "ORGANIZATION"
    SPACE = "SPACE"


class RoleName(StrEnum):
    """Predefined role names as they travel on the wire (contract rest-v2 §5.1)."""

    ANNOTATOR = "ANNOTATOR"
    MEMBER_UI_ONLY = "MEMBER_UI_ONLY"
    READ_ONLY = "READ_ONLY"
    MEMBER = "MEMBER"
    ADMIN = "ADMIN"


@dataclass(frozen=True)
class PredefinedRole:
    """One row of the table. ``rank`` orders the roles of a level, low to high."""

    level: Level
    name: RoleName
    rank: int
    label: str
    summary: str
    permissions: frozenset[Permission]


_ALL = frozenset(Permission)

# What only the account decides: people, custom roles, which organizations there are.
_ACCOUNT_ONLY = frozenset(
    {
        Permission.ORGANIZATION_CREATE,
        Permission.ORGANIZATION_DELETE,
        Permission.ROLE_CREATE,
        Permission.ROLE_UPDATE,
        Permission.ROLE_DELETE,
        Permission.USER_CREATE,
        Permission.USER_UPDATE,
        Permission.USER_DELETE,
        Permission.USER_PERMISSION_UPDATE,
    }
)
# What only an organization (and whoever stands above it) decides.
_ORGANIZATION_ONLY = frozenset({Permission.ORGANIZATION_UPDATE, Permission.SPACE_CREATE})
# Running the space itself, rather than working in it.
_SPACE_ADMIN_ONLY = frozenset(
    {
        Permission.SPACE_UPDATE,
        Permission.SPACE_DELETE,
        Permission.ROLE_BINDING_CREATE,
        Permission.ROLE_BINDING_DELETE,
    }
) | frozenset(p for p in Permission if p.endswith("_RESTRICT"))

_SPACE_ADMIN = _ALL - _ACCOUNT_ONLY - _ORGANIZATION_ONLY
_SPACE_MEMBER = _SPACE_ADMIN - _SPACE_ADMIN_ONLY
# Keys are credentials: knowing of them is for those who may make them (contract rest-v2 §5.2).
_SPACE_READ_ONLY = frozenset(p for p in _SPACE_MEMBER if p.endswith("_READ")) - {Permission.SERVICE_KEY_READ}
_SPACE_ANNOTATOR = frozenset(p for p in _SPACE_MEMBER if p.endswith("_ANNOTATE")) | {
    Permission.ANNOTATION_CONFIG_READ,
    Permission.DATASET_EXAMPLE_READ,
    Permission.DATASET_READ,
    Permission.EXPERIMENT_READ,
    Permission.EXPERIMENT_RUN_READ,
    Permission.ORGANIZATION_READ,
    Permission.PROJECT_READ,
    Permission.PROJECT_SPAN_READ,
    Permission.QUEUE_READ,
    Permission.QUEUE_RECORD_READ,
    Permission.SPACE_READ,
}

# An account role below Admin opens nothing further down by itself: reading people and roles is all it brings.
_ACCOUNT_UI_ONLY = frozenset({Permission.USER_READ, Permission.ROLE_READ})
_ACCOUNT_MEMBER = _ACCOUNT_UI_ONLY | {Permission.USER_CREATE}


PREDEFINED: tuple[PredefinedRole, ...] = (
    PredefinedRole(
        Level.ACCOUNT,
        RoleName.ANNOTATOR,
        10,
        "Annotator",
        "Annotates where invited; sees no members, makes no keys.",
        frozenset(),
    ),
    PredefinedRole(
        Level.ACCOUNT,
        RoleName.MEMBER_UI_ONLY,
        20,
        "Member - UI Only",
        "Works in the browser; developer access is off by default.",
        _ACCOUNT_UI_ONLY,
    ),
    PredefinedRole(
        Level.ACCOUNT,
        RoleName.MEMBER,
        30,
        "Member",
        "Sees members and roles, and may invite; access to data comes from organizations and spaces.",
        _ACCOUNT_MEMBER,
    ),
    PredefinedRole(
        Level.ACCOUNT,
        RoleName.ADMIN,
        40,
        "Admin",
        "Everything, in every organization and space.",
        _ALL,
    ),
    PredefinedRole(
        Level.ORGANIZATION,
        RoleName.ANNOTATOR,
        10,
        "Annotator",
        "Annotates in the organization's public spaces.",
        _SPACE_ANNOTATOR,
    ),
    PredefinedRole(
        Level.ORGANIZATION,
        RoleName.READ_ONLY,
        20,
        "Read-Only Member",
        "Reads the organization's public spaces; changes nothing.",
        _SPACE_READ_ONLY,
    ),
    PredefinedRole(
        Level.ORGANIZATION,
        RoleName.MEMBER,
        30,
        "Member",
        "Works in the organization's public spaces and may create spaces.",
        _SPACE_MEMBER | {Permission.SPACE_CREATE},
    ),
    PredefinedRole(
        Level.ORGANIZATION,
        RoleName.ADMIN,
        40,
        "Admin",
        "Runs the organization and every space in it, private ones too.",
        _SPACE_ADMIN | _ORGANIZATION_ONLY,
    ),
    PredefinedRole(
        Level.SPACE,
        RoleName.ANNOTATOR,
        10,
        "Annotator",
        "Annotates records in the space; changes nothing else.",
        _SPACE_ANNOTATOR,
    ),
    PredefinedRole(
        Level.SPACE,
        RoleName.READ_ONLY,
        20,
        "Read-Only Member",
        "Reads, lists and exports everything in the space; changes nothing.",
        _SPACE_READ_ONLY,
    ),
    PredefinedRole(
        Level.SPACE,
        RoleName.MEMBER,
        30,
        "Member",
        "Reads and writes everything in the space, and may make service keys.",
        _SPACE_MEMBER,
    ),
    PredefinedRole(
        Level.SPACE,
        RoleName.ADMIN,
        40,
        "Admin",
        "Reads and writes everything, and runs the space: members, settings, every key in it.",
        _SPACE_ADMIN,
    ),
)

# On by default for account Admins and Members, off for the rest (contract rest-v2 §14.3).
DEVELOPER_BY_DEFAULT = frozenset({RoleName.MEMBER, RoleName.ADMIN})
