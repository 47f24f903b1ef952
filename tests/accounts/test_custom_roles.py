"""Custom roles: what they may be called and made of, and that changing one changes what its holders may do."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.audit import Tag
from accounts.bindings import bind_role, predefined
from accounts.custom_roles import change_role, create_role, delete_role, find_role, roles_of, uses, wire_name_of
from accounts.errors import Conflict, Escalation, Forbidden, Invalid, NotFound
from accounts.models import AuditEvent, Role
from accounts.permissions import may
from accounts.roles import Level, RoleName
from accounts.vocabulary import Permission
from tests.cast import Cast
from tests.factories import acting

pytestmark = pytest.mark.django_db

EXPORTER = [Permission.DATASET_READ, Permission.SPACE_READ]


def _exporter(cast: Cast) -> Role:
    return create_role(cast.actor(cast.alice), name="Exporter", permissions=EXPORTER, at=timezone.now())


def test_creating_keeps_what_it_permits_and_records_it(cast: Cast) -> None:
    role = create_role(
        cast.actor(cast.alice),
        name=" Exporter ",
        permissions=[*EXPORTER, *EXPORTER],
        description="d",
        at=timezone.now(),
    )

    assert (role.name, role.label, role.level, role.permissions) == (
        "Exporter",
        "Exporter",
        Level.SPACE,
        sorted(EXPORTER),
    )
    event = AuditEvent.objects.get(tag=Tag.ROLE_DEFINED)
    assert (event.target_label, event.details["permissions"]) == ("Exporter", sorted(EXPORTER))


@pytest.mark.parametrize("name", ["", " ", "Prüfer", "a\nb", "a<b", "x" * 256, "ak-" + "0" * 61])
def test_names_that_cannot_be(cast: Cast, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        create_role(cast.actor(cast.alice), name=name, permissions=EXPORTER, at=timezone.now())

    assert refused.value.field == "name"


def test_every_allowed_letter(cast: Cast) -> None:
    name = "Az09 -_.,()[]'\"/:\\&@#$%!?+="

    assert create_role(cast.actor(cast.alice), name=name, permissions=EXPORTER, at=timezone.now()).name == name


@pytest.mark.parametrize("permissions", [[], ["DATASET_FLY"], ["dataset_read"], [*EXPORTER, ""]])
def test_permissions_that_do_not_exist(cast: Cast, permissions: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        create_role(cast.actor(cast.alice), name="Exporter", permissions=permissions, at=timezone.now())

    assert refused.value.field == "permissions"


@pytest.mark.parametrize("name", ["Exporter", "Space Admin", "account member - ui only"])
def test_names_that_are_taken(cast: Cast, name: str) -> None:
    _exporter(cast)

    with pytest.raises(Conflict):
        create_role(cast.actor(cast.alice), name=name, permissions=EXPORTER, at=timezone.now())


def test_another_account_may_use_the_same_name_and_sees_nothing_of_ours(cast: Cast) -> None:
    role = _exporter(cast)
    mallory = acting(cast.mallory, cast.elsewhere.organization.account)

    create_role(mallory, name="Exporter", permissions=EXPORTER, at=timezone.now())

    assert role not in roles_of(mallory)
    for attempt in (
        lambda: find_role(mallory, role.pk),
        lambda: change_role(mallory, role, name="Mine", at=timezone.now()),
        lambda: delete_role(mallory, role, at=timezone.now()),
    ):
        with pytest.raises(NotFound):
            attempt()


@pytest.mark.parametrize("who", ["bob", "charlie", "dana", "erin"])
def test_only_account_admins_manage_roles(cast: Cast, who: str) -> None:
    role, actor = _exporter(cast), cast.actor(getattr(cast, who))

    for attempt in (
        lambda: create_role(actor, name="Another", permissions=EXPORTER, at=timezone.now()),
        lambda: change_role(actor, role, permissions=list(Permission), at=timezone.now()),
        lambda: delete_role(actor, role, at=timezone.now()),
    ):
        with pytest.raises(Forbidden):
            attempt()
    role.refresh_from_db()
    assert role.permissions == sorted(EXPORTER)


def test_predefined_roles_stay_as_they_are(cast: Cast) -> None:
    admin = predefined(Level.SPACE, RoleName.ADMIN)

    with pytest.raises(Forbidden):
        change_role(cast.actor(cast.alice), admin, permissions=EXPORTER, at=timezone.now())
    with pytest.raises(Forbidden):
        delete_role(cast.actor(cast.alice), admin, at=timezone.now())


def test_changing_a_role_changes_what_its_holders_may_do_at_once(cast: Cast) -> None:
    role, charlie = _exporter(cast), cast.actor(cast.charlie)
    bind_role(cast.actor(cast.alice), user=cast.charlie, role=role, scope=cast.production, at=timezone.now())
    assert not may(charlie, Permission.DATASET_CREATE, cast.production)

    change_role(cast.actor(cast.alice), role, permissions=[Permission.DATASET_CREATE], at=timezone.now())

    assert may(charlie, Permission.DATASET_CREATE, cast.production)
    details = AuditEvent.objects.get(tag=Tag.ROLE_REDEFINED).details
    assert details == {"permissions_added": ["DATASET_CREATE"], "permissions_removed": sorted(EXPORTER)}


def test_changing_nothing_records_nothing(cast: Cast) -> None:
    role = _exporter(cast)

    change_role(cast.actor(cast.alice), role, name="Exporter", permissions=EXPORTER, description="", at=timezone.now())

    assert not AuditEvent.objects.filter(tag=Tag.ROLE_REDEFINED).exists()


def test_renaming_to_a_taken_name(cast: Cast) -> None:
    role, alice = _exporter(cast), cast.actor(cast.alice)
    create_role(alice, name="Other", permissions=EXPORTER, at=timezone.now())

    with pytest.raises(Conflict):
        change_role(alice, role, name="Other", at=timezone.now())


def test_a_role_in_use_is_not_deleted(cast: Cast) -> None:
    role, alice = _exporter(cast), cast.actor(cast.alice)
    bind_role(alice, user=cast.charlie, role=role, scope=cast.production, at=timezone.now())
    assert uses(role) == 1

    with pytest.raises(Conflict):
        delete_role(alice, role, at=timezone.now())


def test_a_deleted_role_is_gone_and_its_name_free(cast: Cast) -> None:
    role, alice = _exporter(cast), cast.actor(cast.alice)

    delete_role(alice, role, at=timezone.now())

    assert role not in roles_of(alice)
    with pytest.raises(NotFound):
        delete_role(alice, role, at=timezone.now())
    with pytest.raises(NotFound):
        bind_role(alice, user=cast.charlie, role=role, scope=cast.production, at=timezone.now())
    assert _exporter(cast).pk != role.pk
    assert AuditEvent.objects.get(tag=Tag.ROLE_DELETED).target_label == "Exporter"


def test_nobody_hands_out_a_custom_role_that_can_do_more_than_they(cast: Cast) -> None:
    alice = cast.actor(cast.alice)
    binder = create_role(
        alice, name="Binder", permissions=[Permission.ROLE_BINDING_CREATE, Permission.SPACE_READ], at=timezone.now()
    )
    strong = create_role(alice, name="Strong", permissions=[Permission.SPACE_DELETE], at=timezone.now())
    bind_role(alice, user=cast.charlie, role=binder, scope=cast.production, at=timezone.now())

    with pytest.raises(Escalation):
        bind_role(cast.actor(cast.charlie), user=cast.bob, role=strong, scope=cast.production, at=timezone.now())
    bind_role(cast.actor(cast.charlie), user=cast.bob, role=binder, scope=cast.production, at=timezone.now())


def test_reading_roles_takes_the_permission(cast: Cast) -> None:
    _exporter(cast)

    assert {wire_name_of(role) for role in roles_of(cast.actor(cast.bob))} >= {
        "Exporter",
        "Space Admin",
        "Account Admin",
    }
    with pytest.raises(Forbidden):
        roles_of(cast.actor(cast.dana))
