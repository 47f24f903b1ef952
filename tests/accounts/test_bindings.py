from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.actors import Actor
from accounts.audit import Tag
from accounts.bindings import (
    bind_new,
    bind_role,
    bindings_readable_by,
    change_binding,
    delete_binding,
    find_binding,
    predefined,
    set_developer_access,
    unbind_role,
)
from accounts.errors import Conflict, Escalation, Forbidden, NotAllowed, NotFound
from accounts.models import AccountBinding, AuditEvent, OrganizationBinding, Role, Space, SpaceBinding, User
from accounts.roles import Level, RoleName
from tests.cast import Cast
from tests.factories import PersonFactory, acting, bind, custom_role, service_key

pytestmark = pytest.mark.django_db


def _bind(cast: Cast, by: User, user: User, level: Level, role: RoleName, scope: object) -> None:
    bind_role(cast.actor(by), user=user, role=predefined(level, role), scope=scope, at=timezone.now())  # type: ignore[arg-type]  # tests name it


def test_granting_replaces_the_role_held_before_and_says_so(cast: Cast) -> None:
    _bind(cast, cast.alice, cast.charlie, Level.SPACE, RoleName.MEMBER, cast.production)

    binding = SpaceBinding.objects.get(user=cast.charlie, content_object=cast.production)
    assert binding.role.name == RoleName.MEMBER
    event = AuditEvent.objects.latest("pk")
    assert (event.tag, event.target_id, event.outcome) == ("role:change", cast.charlie.pk, "SUCCEEDED")
    assert event.details["before"] == RoleName.READ_ONLY
    assert event.details["role"] == RoleName.MEMBER


def test_granting_the_same_again_changes_and_records_nothing(cast: Cast) -> None:
    _bind(cast, cast.alice, cast.charlie, Level.SPACE, RoleName.READ_ONLY, cast.production)

    assert not AuditEvent.objects.exists()


def test_predefined_and_custom_role_stand_side_by_side(cast: Cast) -> None:
    role = custom_role(cast.account, "uploader", "DATASET_CREATE")

    bind_role(cast.actor(cast.alice), user=cast.charlie, role=role, scope=cast.production, at=timezone.now())

    names = {row.role.name for row in SpaceBinding.objects.filter(user=cast.charlie, content_object=cast.production)}
    assert names == {RoleName.READ_ONLY, "uploader"}


def test_member_cannot_grant(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        _bind(cast, cast.bob, cast.charlie, Level.SPACE, RoleName.MEMBER, cast.production)

    refusal = AuditEvent.objects.get()
    assert (refusal.tag, refusal.outcome, refusal.actor_id) == ("role:grant", "REFUSED", cast.bob.pk)


def test_what_one_cannot_see_is_not_found(cast: Cast) -> None:
    with pytest.raises(NotFound):
        _bind(cast, cast.bob, cast.charlie, Level.SPACE, RoleName.MEMBER, cast.vision_lab)
    with pytest.raises(NotFound):
        _bind(cast, cast.alice, cast.charlie, Level.SPACE, RoleName.MEMBER, cast.elsewhere)


def test_space_admin_runs_their_space_only(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).update(
        permission=predefined(Level.SPACE, RoleName.ADMIN).permission
    )

    _bind(cast, cast.bob, cast.charlie, Level.SPACE, RoleName.ADMIN, cast.production)

    with pytest.raises(Forbidden):
        _bind(cast, cast.bob, cast.charlie, Level.SPACE, RoleName.ADMIN, cast.staging)
    with pytest.raises(Forbidden):
        _bind(cast, cast.bob, cast.charlie, Level.ORGANIZATION, RoleName.ADMIN, cast.fraud)


def test_custom_role_beyond_ones_own_permissions_is_an_escalation(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).update(
        permission=predefined(Level.SPACE, RoleName.ADMIN).permission
    )
    within = custom_role(cast.account, "within", "DATASET_CREATE")
    beyond = custom_role(cast.account, "beyond", "DATASET_CREATE", "USER_DELETE")

    bind_role(cast.actor(cast.bob), user=cast.charlie, role=within, scope=cast.production, at=timezone.now())
    with pytest.raises(Escalation):
        bind_role(cast.actor(cast.bob), user=cast.charlie, role=beyond, scope=cast.production, at=timezone.now())


def test_space_comes_after_its_organization(cast: Cast) -> None:
    with pytest.raises(NotAllowed, match="not a member of “Research”"):
        _bind(cast, cast.alice, cast.bob, Level.SPACE, RoleName.MEMBER, cast.vision_lab)


def test_organization_comes_after_the_account(cast: Cast) -> None:
    stranger = PersonFactory.create()

    with pytest.raises(NotAllowed, match="invite them first"):
        _bind(cast, cast.alice, stranger, Level.ORGANIZATION, RoleName.MEMBER, cast.fraud)


def test_account_role_is_for_members_of_the_account(cast: Cast) -> None:
    with pytest.raises(NotFound, match="invite them first"):
        _bind(cast, cast.alice, cast.mallory, Level.ACCOUNT, RoleName.MEMBER, cast.account)


@pytest.mark.parametrize(("who", "role"), [("dana", RoleName.MEMBER), ("bob", RoleName.ANNOTATOR)])
def test_annotator_goes_together_downwards(cast: Cast, who: str, role: RoleName) -> None:
    with pytest.raises(NotAllowed, match="Annotator goes together"):
        _bind(cast, cast.alice, getattr(cast, who), Level.ORGANIZATION, role, cast.fraud)


@pytest.mark.parametrize(("who", "role"), [("dana", RoleName.MEMBER), ("bob", RoleName.ANNOTATOR)])
def test_annotator_goes_together_upwards(cast: Cast, who: str, role: RoleName) -> None:
    with pytest.raises(NotAllowed, match="Annotator goes together"):
        _bind(cast, cast.alice, getattr(cast, who), Level.ACCOUNT, role, cast.account)


def test_annotator_goes_together_with_space_roles_too(cast: Cast) -> None:
    OrganizationBinding.objects.filter(user=cast.bob).delete()

    with pytest.raises(NotAllowed, match="Annotator goes together"):
        _bind(cast, cast.alice, cast.bob, Level.ACCOUNT, RoleName.ANNOTATOR, cast.account)


def test_last_account_admin_cannot_step_down(cast: Cast) -> None:
    with pytest.raises(NotAllowed, match="last admin"):
        _bind(cast, cast.alice, cast.alice, Level.ACCOUNT, RoleName.MEMBER, cast.account)


def test_admin_may_step_down_when_another_is_there(cast: Cast) -> None:
    _bind(cast, cast.alice, cast.bob, Level.ACCOUNT, RoleName.ADMIN, cast.account)

    _bind(cast, cast.alice, cast.alice, Level.ACCOUNT, RoleName.MEMBER, cast.account)

    assert AccountBinding.objects.get(user=cast.alice).role.name == RoleName.MEMBER
    with pytest.raises(Forbidden):  # and that is that: from now on somebody else decides
        _bind(cast, cast.alice, cast.alice, Level.ACCOUNT, RoleName.ADMIN, cast.account)


@pytest.mark.parametrize("state", ["invited", "inactive"])
def test_admin_who_cannot_sign_in_does_not_count_as_another(cast: Cast, state: str) -> None:
    other = PersonFactory.create(
        joined_at=None if state == "invited" else timezone.now(), is_active=state != "inactive"
    )
    bind(other, cast.account, RoleName.ADMIN)

    with pytest.raises(NotAllowed, match="last admin"):
        _bind(cast, cast.alice, cast.alice, Level.ACCOUNT, RoleName.MEMBER, cast.account)


def test_bot_with_an_admin_role_does_not_count_as_another_admin(cast: Cast) -> None:
    service_key(cast.alice, cast.production, account_role=RoleName.ADMIN)

    with pytest.raises(NotAllowed, match="last admin"):
        _bind(cast, cast.alice, cast.alice, Level.ACCOUNT, RoleName.MEMBER, cast.account)


def test_leaving_an_organization_takes_its_spaces_along(cast: Cast) -> None:
    unbind_role(cast.actor(cast.alice), user=cast.bob, scope=cast.fraud, at=timezone.now())

    assert not OrganizationBinding.objects.filter(user=cast.bob).exists()
    assert not SpaceBinding.objects.filter(user=cast.bob).exists()
    assert AccountBinding.objects.filter(user=cast.bob).exists()
    tags = list(AuditEvent.objects.order_by("pk").values_list("tag", "details__scope"))
    assert tags == [
        ("role:withdraw", "production"),
        ("role:withdraw", "staging"),
        ("role:withdraw", "Fraud & Risk"),
    ]


def test_withdrawing_twice_is_harmless(cast: Cast) -> None:
    for _ in range(2):
        unbind_role(cast.actor(cast.alice), user=cast.bob, scope=cast.production, at=timezone.now())

    assert AuditEvent.objects.count() == 1


def test_organization_admin_cannot_withdraw_a_role_above_their_own(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).update(
        permission=predefined(Level.SPACE, RoleName.ADMIN).permission
    )
    beyond = custom_role(cast.account, "beyond", "USER_DELETE")
    bind(cast.charlie, cast.production, beyond)

    with pytest.raises(Forbidden):
        unbind_role(cast.actor(cast.bob), user=cast.charlie, scope=cast.production, at=timezone.now())


def test_developer_access_comes_with_the_role_and_is_the_admins_to_change(cast: Cast) -> None:
    assert AccountBinding.objects.get(user=cast.bob).is_developer
    assert not AccountBinding.objects.get(user=cast.dana).is_developer

    with pytest.raises(Forbidden):
        set_developer_access(cast.actor(cast.bob), user=cast.bob, allowed=True, at=timezone.now())
    set_developer_access(cast.actor(cast.alice), user=cast.bob, allowed=False, at=timezone.now())

    assert not AccountBinding.objects.get(user=cast.bob).is_developer


def test_operator_is_bound_by_rules_about_data_not_by_roles(cast: Cast) -> None:
    operator = Actor.from_command(cast.account)

    bind_role(
        operator, user=cast.bob, role=predefined(Level.ACCOUNT, RoleName.ADMIN), scope=cast.account, at=timezone.now()
    )
    with pytest.raises(NotFound):
        bind_role(
            operator,
            user=cast.bob,
            role=predefined(Level.SPACE, RoleName.ADMIN),
            scope=cast.elsewhere,
            at=timezone.now(),
        )


@pytest.mark.parametrize("change", [{"is_staff": True}, {"is_superuser": True}, {"password": "md5$a$b"}])
def test_database_keeps_bots_from_operating_and_signing_in(
    cast: Cast, change: dict[str, object]
) -> None:  # security 21
    bot = service_key(cast.alice, cast.production).key.owner

    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.filter(pk=bot.pk).update(**change)


def test_audit_events_cannot_be_changed_or_deleted(cast: Cast) -> None:  # security 46
    unbind_role(cast.actor(cast.alice), user=cast.bob, scope=cast.production, at=timezone.now())

    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        AuditEvent.objects.update(actor_label="nobody")
    with pytest.raises(Exception, match="append-only"), transaction.atomic():
        AuditEvent.objects.all().delete()


def _exporter(cast: Cast) -> Role:
    return custom_role(cast.account, "exporter", "DATASET_READ", "SPACE_READ")


def _held(user: User, space: Space) -> set[str]:
    return {row.role.name for row in SpaceBinding.objects.filter(user=user, content_object=space)}


def test_a_new_binding_stands_beside_one_of_the_other_kind_and_never_in_place_of_its_own(cast: Cast) -> None:
    alice, exporter = cast.actor(cast.alice), _exporter(cast)

    bind_new(alice, user=cast.charlie, role=exporter, scope=cast.production, at=timezone.now())

    assert _held(cast.charlie, cast.production) == {"READ_ONLY", "exporter"}
    for role in (predefined(Level.SPACE, RoleName.MEMBER), custom_role(cast.account, "other", "DATASET_READ")):
        with pytest.raises(Conflict):
            bind_new(alice, user=cast.charlie, role=role, scope=cast.production, at=timezone.now())


def test_a_binding_keeps_its_number_when_its_role_changes(cast: Cast) -> None:
    alice, exporter = cast.actor(cast.alice), _exporter(cast)
    binding = SpaceBinding.objects.get(user=cast.charlie, content_object=cast.production)

    change_binding(alice, binding, role=exporter, at=timezone.now())

    assert SpaceBinding.objects.get(pk=binding.pk).role == exporter
    assert AuditEvent.objects.get(tag=Tag.ROLE_CHANGED).details["before"] == "READ_ONLY"


def test_a_binding_cannot_take_a_role_of_a_kind_that_is_there_already(cast: Cast) -> None:
    alice = cast.actor(cast.alice)
    custom = bind_new(alice, user=cast.charlie, role=_exporter(cast), scope=cast.production, at=timezone.now())

    with pytest.raises(Conflict):
        change_binding(alice, custom, role=predefined(Level.SPACE, RoleName.MEMBER), at=timezone.now())


def test_one_binding_is_withdrawn_and_the_other_stays(cast: Cast) -> None:
    alice = cast.actor(cast.alice)
    custom = bind_new(alice, user=cast.charlie, role=_exporter(cast), scope=cast.production, at=timezone.now())

    delete_binding(alice, custom, at=timezone.now())

    assert _held(cast.charlie, cast.production) == {"READ_ONLY"}
    with pytest.raises(NotFound):
        delete_binding(alice, custom, at=timezone.now())


def test_a_member_of_the_space_changes_nobody_s_binding(cast: Cast) -> None:
    bob, binding = cast.actor(cast.bob), SpaceBinding.objects.get(user=cast.charlie, content_object=cast.production)

    with pytest.raises(Forbidden):
        change_binding(bob, binding, role=predefined(Level.SPACE, RoleName.MEMBER), at=timezone.now())
    with pytest.raises(Forbidden):
        delete_binding(bob, binding, at=timezone.now())
    with pytest.raises(Forbidden):
        bind_new(bob, user=cast.charlie, role=_exporter(cast), scope=cast.production, at=timezone.now())


def test_holding_the_permission_is_enough_for_custom_roles_and_not_for_predefined_ones(cast: Cast) -> None:
    binder = custom_role(cast.account, "binder", "ROLE_BINDING_CREATE", "ROLE_BINDING_DELETE", "DATASET_READ")
    bind(cast.charlie, cast.production, binder)
    charlie, exporter = cast.actor(cast.charlie), _exporter(cast)

    made = bind_new(charlie, user=cast.bob, role=exporter, scope=cast.production, at=timezone.now())

    delete_binding(charlie, made, at=timezone.now())
    with pytest.raises(Forbidden):
        bind_new(
            charlie,
            user=cast.erin,
            role=predefined(Level.SPACE, RoleName.READ_ONLY),
            scope=cast.production,
            at=timezone.now(),
        )


def test_bindings_of_bots_are_for_those_who_may_know_of_their_keys(cast: Cast) -> None:
    bot = service_key(cast.alice, cast.production).key.owner
    row = SpaceBinding.objects.get(user=bot)

    assert find_binding(cast.actor(cast.bob), row.pk) == row
    with pytest.raises(NotFound):
        find_binding(cast.actor(cast.charlie), row.pk)
    with pytest.raises(NotFound):
        find_binding(acting(cast.mallory, cast.elsewhere.organization.account), row.pk)


def test_bindings_are_read_where_one_may_read_them(cast: Cast) -> None:
    everywhere = set(bindings_readable_by(cast.actor(cast.alice)))

    assert set(bindings_readable_by(cast.actor(cast.bob))) == {
        row for row in everywhere if row.content_object in (cast.production, cast.staging)
    }
    assert set(bindings_readable_by(cast.actor(cast.dana))) == set()


def test_a_role_widened_meanwhile_is_not_handed_out_unseen(cast: Cast) -> None:
    bob_runs = predefined(Level.SPACE, RoleName.ADMIN)
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).update(permission=bob_runs.permission)
    read_before = _exporter(cast)
    Role.objects.filter(pk=read_before.pk).update(permissions=["USER_DELETE"])

    with pytest.raises(Escalation):
        bind_role(cast.actor(cast.bob), user=cast.charlie, role=read_before, scope=cast.production, at=timezone.now())


def test_a_role_that_brings_another_developer_access_says_so(cast: Cast) -> None:
    assert AccountBinding.objects.get(user=cast.bob).is_developer

    _bind(cast, cast.alice, cast.bob, Level.ACCOUNT, RoleName.MEMBER_UI_ONLY, cast.account)
    _bind(cast, cast.alice, cast.bob, Level.ACCOUNT, RoleName.MEMBER, cast.account)

    told = [(event.tag, event.details["before"], event.details.get("after")) for event in AuditEvent.objects.all()]
    assert sorted(told, key=str) == [
        ("developer:change", False, True),
        ("developer:change", True, False),
        ("role:change", "MEMBER", None),
        ("role:change", "MEMBER_UI_ONLY", None),
    ]
