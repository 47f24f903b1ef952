from __future__ import annotations

import pytest

from accounts.models import Role
from accounts.roles import PREDEFINED, Level, RoleName
from accounts.seeding import fill_roles
from accounts.vocabulary import Permission

ORDERED = {
    level: sorted((role for role in PREDEFINED if role.level == level), key=lambda role: role.rank) for level in Level
}


def test_vocabulary_has_the_151_names_of_the_contract() -> None:
    assert len(Permission) == 151
    assert all(permission.value == permission.name for permission in Permission)


def test_levels_have_the_documented_roles_in_order() -> None:
    assert {level: [role.name for role in roles] for level, roles in ORDERED.items()} == {
        Level.ACCOUNT: [RoleName.ANNOTATOR, RoleName.MEMBER_UI_ONLY, RoleName.MEMBER, RoleName.ADMIN],
        Level.ORGANIZATION: [RoleName.ANNOTATOR, RoleName.READ_ONLY, RoleName.MEMBER, RoleName.ADMIN],
        Level.SPACE: [RoleName.ANNOTATOR, RoleName.READ_ONLY, RoleName.MEMBER, RoleName.ADMIN],
    }


@pytest.mark.parametrize("level", Level)
def test_each_role_but_annotator_includes_the_one_below(level: Level) -> None:
    for lower, higher in zip(ORDERED[level][1:], ORDERED[level][2:], strict=False):
        assert lower.permissions < higher.permissions


def test_only_members_and_admins_of_a_space_make_service_keys() -> None:
    may = {role.name for role in ORDERED[Level.SPACE] if Permission.SERVICE_KEY_CREATE in role.permissions}

    assert may == {RoleName.MEMBER, RoleName.ADMIN}


def test_read_only_reads_and_nothing_else() -> None:
    read_only = ORDERED[Level.SPACE][1]

    assert read_only.name == RoleName.READ_ONLY
    assert {permission.value.rsplit("_", 1)[1] for permission in read_only.permissions} == {"READ"}


def test_account_member_brings_nothing_into_spaces() -> None:
    member = ORDERED[Level.ACCOUNT][2]

    assert member.permissions == {Permission.USER_READ, Permission.USER_CREATE, Permission.ROLE_READ}


@pytest.mark.django_db
def test_filling_the_table_again_changes_nothing() -> None:
    before = list(Role.objects.order_by("pk").values())

    fill_roles()

    assert list(Role.objects.order_by("pk").values()) == before
    assert len(before) == len(PREDEFINED)


@pytest.mark.django_db
def test_filling_the_table_puts_a_changed_role_right() -> None:
    Role.objects.filter(level=Level.SPACE, name=RoleName.READ_ONLY).update(permissions=["SPACE_DELETE"])

    fill_roles()

    assert Permission.SPACE_DELETE.value not in Role.objects.get(level=Level.SPACE, name=RoleName.READ_ONLY).permissions
