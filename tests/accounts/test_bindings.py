from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.actors import Actor
from accounts.bindings import bind_role, predefined, set_developer_access, unbind_role
from accounts.errors import Escalation, Forbidden, NotAllowed, NotFound
from accounts.models import AccountBinding, AuditEvent, OrganizationBinding, SpaceBinding, User
from accounts.roles import Level, RoleName
from tests.cast import Cast
from tests.factories import PersonFactory, bind, custom_role, service_key

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

    with pytest.raises(Escalation):
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
