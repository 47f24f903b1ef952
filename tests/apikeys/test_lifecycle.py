from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.bindings import bind_role, predefined, set_developer_access, unbind_role
from accounts.errors import DomainError, Escalation, Forbidden, Incompatible, Invalid, NotAllowed, NotFound
from accounts.models import AuditEvent, SpaceBinding, User
from accounts.people import remove_person
from accounts.roles import Level, RoleName
from accounts.tenancy import change_account, change_space
from apikeys.errors import (
    BadLifetime,
    DeveloperAccessLocked,
    DeveloperAccessOff,
    InvalidKey,
    KeyNotFound,
    Reason,
    TooFast,
    TooManyKeys,
)
from apikeys.lifecycle import (
    OrganizationGrant,
    SpaceGrant,
    create_service_key,
    create_user_key,
    refresh_key,
    revoke_key,
)
from apikeys.models import ApiKey, KeySecret
from apikeys.policy import bindings_of
from apikeys.tokens import mint
from apikeys.verification import verify
from tests.cast import Cast
from tests.factories import PersonFactory, acting, bind, custom_role, grants, later, service_key, user_key

pytestmark = pytest.mark.django_db


def _reason(plaintext: str) -> Reason | None:
    try:
        verify(plaintext, at=timezone.now())
    except InvalidKey as refusal:
        return refusal.reason
    return None


# User keys


def test_user_key_is_its_owner(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account, "laptop", description="mine")

    verified = verify(new.plaintext, at=timezone.now())

    assert (verified.user, verified.account, verified.name) == (cast.bob, cast.account, "laptop")
    assert new.key.created_by == new.key.owner == cast.bob


def test_creation_leaves_one_event_without_the_secret(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account, "laptop")

    event = AuditEvent.objects.get()
    assert (event.tag, event.actor_id, event.target_id) == ("key:create", cast.bob.pk, new.key.pk)
    assert new.plaintext not in str(event.__dict__)


@pytest.mark.parametrize("who", ["bob", "charlie", "erin", "alice"])
def test_everybody_with_developer_access_makes_user_keys(cast: Cast, who: str) -> None:
    person = getattr(cast, who)

    assert _reason(user_key(person, cast.account).plaintext) is None


def test_without_developer_access_there_are_no_keys(cast: Cast) -> None:
    with pytest.raises(DeveloperAccessOff):
        user_key(cast.dana, cast.account)


def test_person_outside_the_account_makes_no_key(cast: Cast) -> None:
    with pytest.raises(DeveloperAccessOff):
        user_key(cast.mallory, cast.account)


def test_bot_makes_no_user_key(cast: Cast) -> None:
    bot = service_key(cast.alice, cast.production).key.owner

    with pytest.raises(Forbidden, match="belongs to a person"):
        user_key(bot, cast.account)


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 257, "a\x00b", "a\nb", "a\x7fb", pytest.param("my ak-" + "a" * 61, id="a key")]
)
def test_unusable_name_is_refused_and_nothing_is_left(cast: Cast, name: str) -> None:
    with pytest.raises(Invalid):
        user_key(cast.bob, cast.account, name)

    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "\u202eevil", "🔑" * 256, "=cmd()", "a" * 256])
def test_odd_names_are_kept_as_they_are(cast: Cast, name: str) -> None:  # security 39: inert where shown
    assert user_key(cast.bob, cast.account, name).key.name == name


# Lifetimes


def test_expiry_must_lie_ahead(cast: Cast) -> None:
    with pytest.raises(BadLifetime):
        user_key(cast.bob, cast.account, expires_at=later(seconds=-1))


def test_expiry_lies_within_a_hundred_years(cast: Cast) -> None:
    furthest = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.get_fixed_timezone(-720))

    with pytest.raises(BadLifetime, match="never expires"):
        user_key(cast.bob, cast.account, expires_at=furthest)
    assert user_key(cast.bob, cast.account, expires_at=later(days=36_500)).key.expires_at is not None


def test_limit_of_the_account_bounds_keys_without_an_expiry(cast: Cast) -> None:
    cast.account.max_key_lifetime_days = 30
    cast.account.save()
    now = timezone.now()

    assert user_key(cast.bob, cast.account, at=now).key.expires_at == now + timedelta(days=30)
    with pytest.raises(BadLifetime, match="at most 30 days"):
        user_key(cast.bob, cast.account, at=now, expires_at=now + timedelta(days=31))
    assert user_key(cast.bob, cast.account, at=now, expires_at=now + timedelta(days=30)).key.expires_at is not None


def test_expired_key_stops(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account, expires_at=later(hours=1))

    verify(new.plaintext, at=later(minutes=59))
    with pytest.raises(InvalidKey) as refusal:
        verify(new.plaintext, at=later(minutes=61))
    assert refusal.value.reason is Reason.EXPIRED


# Caps (security 48)


def test_account_holds_no_more_live_keys_than_it_may(cast: Cast) -> None:
    cast.account.max_live_keys = 2
    cast.account.save()
    first = user_key(cast.bob, cast.account)
    user_key(cast.bob, cast.account)

    with pytest.raises(TooManyKeys, match="2 live keys"):
        user_key(cast.bob, cast.account)

    revoke_key(cast.actor(cast.bob), first.key, at=timezone.now())
    user_key(cast.bob, cast.account)


def test_account_makes_no_more_keys_in_an_hour_than_it_may(cast: Cast) -> None:
    cast.account.max_keys_per_hour = 2
    cast.account.save()
    now = timezone.now()
    user_key(cast.bob, cast.account, at=now - timedelta(minutes=50))
    user_key(cast.bob, cast.account, at=now)

    with pytest.raises(TooFast) as refusal:
        user_key(cast.bob, cast.account, at=now)

    assert 590 <= refusal.value.retry_after <= 600
    user_key(cast.bob, cast.account, at=now + timedelta(minutes=11))


# The developer access lock


def test_while_the_lock_is_on_nobody_makes_or_refreshes_and_service_keys_go_on(cast: Cast) -> None:
    new = service_key(cast.alice, cast.production)
    change_account(cast.actor(cast.alice), developer_access_locked=True, max_key_lifetime_days=None, at=timezone.now())

    with pytest.raises(DeveloperAccessLocked):
        user_key(cast.alice, cast.account)
    with pytest.raises(DeveloperAccessLocked):
        service_key(cast.alice, cast.production)
    with pytest.raises(DeveloperAccessLocked):
        refresh_key(cast.actor(cast.alice), new.key, at=timezone.now())
    assert _reason(new.plaintext) is None
    revoke_key(cast.actor(cast.alice), new.key, at=timezone.now())


# Service keys


def test_service_key_has_a_bot_with_the_roles_chosen(cast: Cast) -> None:
    new = create_service_key(
        cast.actor(cast.alice),
        name="nightly",
        account_role=predefined(Level.ACCOUNT, RoleName.MEMBER),
        organizations=grants(cast.production, cast.staging, cast.vision_lab, role=RoleName.READ_ONLY),
        at=timezone.now(),
    )

    bot = verify(new.plaintext, at=timezone.now()).user
    assert bot.is_bot
    assert (bot.is_staff, bot.is_superuser, bot.has_usable_password()) == (False, False, False)
    assert bot.has_perm("accounts.dataset_read", cast.vision_lab)
    assert not bot.has_perm("accounts.dataset_create", cast.vision_lab)
    held = bindings_of([new.key])[new.key.pk]
    assert held.account_role is not None
    assert held.account_role.name == RoleName.MEMBER
    assert [(organization.name, role.name) for organization, role in held.organizations] == [
        ("Fraud & Risk", RoleName.READ_ONLY),
        ("Research", RoleName.READ_ONLY),
    ]
    assert [(space.name, role.name) for space, role in held.spaces] == [
        ("production", RoleName.READ_ONLY),
        ("staging", RoleName.READ_ONLY),
        ("vision-lab", RoleName.READ_ONLY),
    ]


def test_custom_role_within_ones_own_may_be_given_in_a_space(cast: Cast) -> None:
    within = custom_role(cast.account, "uploader", "DATASET_CREATE", "DATASET_READ")
    beyond = custom_role(cast.account, "runner", "DATASET_CREATE", "SPACE_DELETE")

    bot = service_key(cast.bob, cast.production, role=within).key.owner
    with pytest.raises(Escalation):
        service_key(cast.bob, cast.production, role=beyond)

    assert bot.has_perm("accounts.dataset_create", cast.production)
    assert not bot.has_perm("accounts.prompt_create", cast.production)


def test_custom_role_of_another_account_is_not_found(cast: Cast) -> None:
    foreign = custom_role(cast.elsewhere.organization.account, "theirs", "DATASET_READ")

    with pytest.raises(NotFound):
        service_key(cast.alice, cast.production, role=foreign)


@pytest.mark.parametrize(
    ("role", "error"),
    [(RoleName.ANNOTATOR, Invalid), (RoleName.MEMBER_UI_ONLY, Invalid)],
)
def test_account_roles_no_key_can_have(cast: Cast, role: RoleName, error: type[DomainError]) -> None:
    with pytest.raises(error):
        service_key(cast.alice, cast.production, account_role=role)


def test_annotator_is_no_role_for_a_service_key(cast: Cast) -> None:
    with pytest.raises(NotAllowed):
        service_key(cast.alice, cast.production, role=RoleName.ANNOTATOR)
    with pytest.raises(NotAllowed):
        service_key(cast.alice, cast.production, organization_role=RoleName.ANNOTATOR)


def test_private_space_one_is_not_in_does_not_exist(cast: Cast) -> None:
    with pytest.raises(NotFound):
        service_key(cast.bob, cast.vision_lab)
    with pytest.raises(NotFound):  # another account's, even for an admin
        create_service_key(
            cast.actor(cast.alice),
            name="x",
            account_role=predefined(Level.ACCOUNT, RoleName.MEMBER),
            organizations=grants(cast.elsewhere),
            at=timezone.now(),
        )


@pytest.mark.parametrize("who", ["charlie"])
def test_read_only_member_makes_no_service_key(cast: Cast, who: str) -> None:
    with pytest.raises(Forbidden, match="Member or Admin"):
        service_key(getattr(cast, who), cast.production, role=RoleName.READ_ONLY)

    refusal = AuditEvent.objects.get()
    assert (refusal.tag, refusal.outcome) == ("key:create", "REFUSED")
    assert not User.objects.filter(kind="BOT").exists()


def test_space_must_belong_to_its_organization(cast: Cast) -> None:
    wrong = OrganizationGrant(
        cast.research,
        predefined(Level.ORGANIZATION, RoleName.READ_ONLY),
        (SpaceGrant(cast.production, predefined(Level.SPACE, RoleName.MEMBER)),),
    )

    with pytest.raises(NotAllowed, match="not a space of"):
        create_service_key(
            cast.actor(cast.alice),
            name="x",
            account_role=predefined(Level.ACCOUNT, RoleName.MEMBER),
            organizations=[wrong],
            at=timezone.now(),
        )


def test_empty_and_repeated_scopes_are_refused(cast: Cast) -> None:
    role = predefined(Level.ORGANIZATION, RoleName.READ_ONLY)
    member = SpaceGrant(cast.production, predefined(Level.SPACE, RoleName.MEMBER))
    cases = [
        [],
        [OrganizationGrant(cast.fraud, role, ())],
        [OrganizationGrant(cast.fraud, role, (member, member))],
        [OrganizationGrant(cast.fraud, role, (member,)), OrganizationGrant(cast.fraud, role, (member,))],
    ]

    for organizations in cases:
        with pytest.raises((Invalid, Incompatible)):
            create_service_key(
                cast.actor(cast.alice),
                name="x",
                account_role=predefined(Level.ACCOUNT, RoleName.MEMBER),
                organizations=organizations,
                at=timezone.now(),
            )


def test_key_text_is_no_description(cast: Cast) -> None:  # security 3
    with pytest.raises(Invalid, match="contains an API key"):
        user_key(cast.bob, cast.account, description=f"was {mint().plaintext}")


def test_org_role_does_not_reach_around_a_lower_space_role(cast: Cast) -> None:  # security 15
    # Bob is a member of the organization, and reads only in staging, which is public: a bot without a role there would
    # have its organization role.
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.staging).update(
        permission=predefined(Level.SPACE, RoleName.READ_ONLY).permission
    )

    with pytest.raises(Escalation):
        service_key(cast.bob, cast.production, organization_role=RoleName.MEMBER)
    bot = service_key(cast.bob, cast.production, organization_role=RoleName.READ_ONLY).key.owner
    assert not bot.has_perm("accounts.dataset_create", cast.staging)

    higher = service_key(cast.alice, cast.production, organization_role=RoleName.MEMBER).key
    ApiKey.objects.filter(pk=higher.pk).update(created_by=cast.bob)
    with pytest.raises(Forbidden, match="more than you can"):
        refresh_key(cast.actor(cast.bob), higher, at=timezone.now())


def test_nobody_is_not_an_operator(cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key
    nobody = Actor(user=None, account=cast.account, door=Door.SYSTEM)

    with pytest.raises(KeyNotFound):
        refresh_key(nobody, key, at=timezone.now())
    with pytest.raises(KeyNotFound):
        revoke_key(nobody, key, at=timezone.now())


def test_service_key_may_make_service_keys_below_itself_and_no_others(cast: Cast) -> None:  # security 17
    bot = service_key(cast.alice, cast.production).key.owner

    child = service_key(bot, cast.production, role=RoleName.READ_ONLY)
    with pytest.raises(Escalation):
        service_key(bot, cast.production, role=RoleName.ADMIN)
    with pytest.raises(NotFound):
        service_key(bot, cast.vision_lab)

    assert child.key.created_by == bot


# The creator's fate


def test_user_key_follows_its_person_live(cast: Cast) -> None:  # security 18
    key = user_key(cast.bob, cast.account).plaintext
    actor, now = cast.actor(cast.alice), timezone.now()

    def may(permission: str) -> bool:
        return verify(key, at=timezone.now()).user.has_perm(f"accounts.{permission}", cast.production)

    assert may("dataset_create")
    bind_role(actor, user=cast.bob, role=predefined(Level.SPACE, RoleName.READ_ONLY), scope=cast.production, at=now)
    assert not may("dataset_create")
    assert may("dataset_read")
    unbind_role(actor, user=cast.bob, scope=cast.production, at=now)
    assert may("dataset_create")  # the organization role Member takes over in a public space
    change_space(actor, cast.production, is_private=True, at=now)
    assert not may("dataset_read")
    unbind_role(actor, user=cast.bob, scope=cast.fraud, at=now)
    assert _reason(key) is None  # still a member of the account
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)
    assert _reason(key) is Reason.OWNER_INACTIVE


def test_removed_person_s_user_keys_stop_and_service_keys_go_on(cast: Cast) -> None:
    own = user_key(cast.bob, cast.account)
    made = service_key(cast.bob, cast.production)

    remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())

    assert _reason(own.plaintext) is Reason.REVOKED
    assert verify(made.plaintext, at=timezone.now()).user.has_perm("accounts.dataset_create", cast.production)
    assert ApiKey.objects.get(pk=own.key.pk).revoked_at is not None
    assert not User.objects.get(pk=cast.bob.pk).is_active


def test_membership_gone_by_any_way_stops_the_user_key(cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).plaintext

    cast.account.bindings.filter(user=cast.bob).delete()

    assert _reason(key) is Reason.OWNER_REMOVED


def test_key_stays_in_its_account_when_the_person_is_in_two(cast: Cast) -> None:
    bind(cast.bob, cast.elsewhere.organization.account, RoleName.ADMIN)
    here, there = user_key(cast.bob, cast.account), user_key(cast.bob, cast.elsewhere.organization.account)

    remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())

    assert _reason(here.plaintext) is Reason.REVOKED
    assert verify(there.plaintext, at=timezone.now()).account == cast.elsewhere.organization.account


@pytest.mark.parametrize("fate", ["demoted", "removed", "deactivated", "deleted"])
def test_service_key_keeps_its_roles_whatever_becomes_of_its_creator(cast: Cast, fate: str) -> None:
    new = service_key(cast.bob, cast.production)
    actor, now = cast.actor(cast.alice), timezone.now()

    if fate == "demoted":
        bind_role(actor, user=cast.bob, role=predefined(Level.SPACE, RoleName.READ_ONLY), scope=cast.production, at=now)
    elif fate == "removed":
        remove_person(actor, user=cast.bob, at=now)
    elif fate == "deactivated":
        User.objects.filter(pk=cast.bob.pk).update(is_active=False)
    else:
        cast.bob.delete()

    bot = verify(new.plaintext, at=now).user
    assert bot.has_perm("accounts.dataset_create", cast.production)
    assert ApiKey.objects.get(pk=new.key.pk).created_by_name == "Bob Baker <bob@example.com>"


def test_service_key_without_a_space_left_is_refused(cast: Cast) -> None:  # security 12
    new = service_key(cast.bob, cast.production)

    cast.production.delete()

    assert _reason(new.plaintext) is Reason.UNBOUND


def test_service_key_without_its_bot_is_refused(cast: Cast) -> None:  # security 12
    new = service_key(cast.bob, cast.production)

    new.key.owner.delete()

    assert _reason(new.plaintext) is Reason.UNKNOWN
    assert cast.production.bindings.exists()


# Refresh


def test_refresh_without_grace_ends_the_old_secret_at_once(cast: Cast) -> None:
    old = user_key(cast.bob, cast.account)

    new = refresh_key(cast.actor(cast.bob), old.key, at=timezone.now())

    assert new.key.pk == old.key.pk
    assert _reason(old.plaintext) is Reason.SUPERSEDED
    assert _reason(new.plaintext) is None


def test_refresh_with_grace_keeps_both_for_a_while(cast: Cast) -> None:
    old, now = user_key(cast.bob, cast.account), timezone.now()

    new = refresh_key(cast.actor(cast.bob), old.key, grace=timedelta(minutes=5), at=now)

    for plaintext in (old.plaintext, new.plaintext):
        verify(plaintext, at=now + timedelta(minutes=4, seconds=59))
    verify(new.plaintext, at=now + timedelta(minutes=5))
    with pytest.raises(InvalidKey):
        verify(old.plaintext, at=now + timedelta(minutes=5))


def test_grace_never_outlives_the_old_expiry(cast: Cast) -> None:
    now = timezone.now()
    old = user_key(cast.bob, cast.account, at=now, expires_at=now + timedelta(minutes=10))

    refresh_key(
        cast.actor(cast.bob),
        old.key,
        expires_at=now + timedelta(minutes=10),
        grace=timedelta(hours=1),
        at=now,
    )

    assert KeySecret.objects.get(superseded_at__isnull=False).ends_at == now + timedelta(minutes=10)


def test_second_refresh_without_grace_ends_every_older_secret(cast: Cast) -> None:
    first, now = user_key(cast.bob, cast.account), timezone.now()
    second = refresh_key(cast.actor(cast.bob), first.key, grace=timedelta(hours=1), at=now)

    third = refresh_key(cast.actor(cast.bob), first.key, at=now)

    assert [_reason(key.plaintext) for key in (first, second, third)] == [Reason.SUPERSEDED, Reason.SUPERSEDED, None]


def test_refresh_keeps_name_owner_roles_and_forgets_exposure(cast: Cast) -> None:
    old = service_key(cast.bob, cast.production, name="nightly", description="export")
    ApiKey.objects.filter(pk=old.key.pk).update(exposed_at=timezone.now())
    before = bindings_of([old.key])

    new = refresh_key(cast.actor(cast.bob), old.key, at=timezone.now())

    assert (new.key.name, new.key.description, new.key.owner) == ("nightly", "export", old.key.owner)
    assert bindings_of([new.key]) == before
    assert new.key.exposed_at is None
    assert new.key.redacted_key == f"{new.plaintext[:6]}...{new.plaintext[-3:]}"


def test_refresh_never_lengthens_a_life(cast: Cast) -> None:
    now = timezone.now()
    end = now + timedelta(days=10)
    key = user_key(cast.bob, cast.account, at=now, expires_at=end).key
    actor = cast.actor(cast.bob)

    with pytest.raises(BadLifetime):
        refresh_key(actor, key, at=now)
    with pytest.raises(BadLifetime):
        refresh_key(actor, key, expires_at=end + timedelta(seconds=1), at=now)
    assert refresh_key(actor, key, expires_at=end, at=now).key.expires_at == end


def test_refresh_may_bound_an_unbounded_key(cast: Cast) -> None:
    key, end = user_key(cast.bob, cast.account).key, later(days=3)

    assert refresh_key(cast.actor(cast.bob), key, expires_at=end, at=timezone.now()).key.expires_at == end


def test_refresh_under_a_limit_bounds_an_unbounded_key(cast: Cast) -> None:
    key, now = user_key(cast.bob, cast.account).key, timezone.now()
    cast.account.max_key_lifetime_days = 7
    cast.account.save()

    assert refresh_key(cast.actor(cast.bob), key, at=now).key.expires_at == now + timedelta(days=7)


@pytest.mark.parametrize("grace", [timedelta(seconds=-1), timedelta(days=1, seconds=1)])
def test_grace_has_its_bounds(cast: Cast, grace: timedelta) -> None:
    key = user_key(cast.bob, cast.account).key

    with pytest.raises(Invalid):
        refresh_key(cast.actor(cast.bob), key, grace=grace, at=timezone.now())


def test_dead_keys_are_not_refreshed(cast: Cast) -> None:
    actor, now = cast.actor(cast.bob), timezone.now()
    revoked = user_key(cast.bob, cast.account).key
    revoke_key(actor, revoked, at=now)
    expired = user_key(cast.bob, cast.account, expires_at=now + timedelta(hours=1)).key

    with pytest.raises(NotAllowed, match="revoked"):
        refresh_key(actor, revoked, at=now)
    with pytest.raises(NotAllowed, match="expired"):
        refresh_key(actor, expired, at=now + timedelta(hours=2), expires_at=now + timedelta(hours=3))


def test_stranger_refreshes_and_revokes_nothing(cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key

    for who in (cast.charlie, cast.erin):
        with pytest.raises(KeyNotFound):
            refresh_key(cast.actor(who), key, at=timezone.now())
        with pytest.raises(KeyNotFound):
            revoke_key(cast.actor(who), key, at=timezone.now())
    with pytest.raises(KeyNotFound):
        revoke_key(acting(cast.mallory, cast.elsewhere.organization.account), key, at=timezone.now())


def test_account_admin_refreshes_and_revokes_anybody_s(cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key

    new = refresh_key(cast.actor(cast.alice), key, at=timezone.now())
    revoke_key(cast.actor(cast.alice), key, at=timezone.now())

    assert _reason(new.plaintext) is Reason.REVOKED


def test_creator_who_fell_below_the_key_cannot_have_its_secret(cast: Cast) -> None:  # security 17
    admin = PersonFactory.create()
    bind(admin, cast.account, RoleName.MEMBER)
    bind(admin, cast.fraud, RoleName.MEMBER)
    binding = bind(admin, cast.production, RoleName.ADMIN)
    key = service_key(admin, cast.production, role=RoleName.ADMIN).key

    refresh_key(cast.actor(admin), key, at=timezone.now())
    binding.permission = predefined(Level.SPACE, RoleName.MEMBER).permission
    binding.save()

    with pytest.raises(Forbidden, match="more than you can"):
        refresh_key(cast.actor(admin), key, at=timezone.now())
    revoke_key(cast.actor(admin), key, at=timezone.now())  # ending one's own key stays allowed


def test_admin_of_one_of_its_spaces_cannot_have_a_spanning_key_s_secret(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.charlie, content_object=cast.production).update(
        permission=predefined(Level.SPACE, RoleName.ADMIN).permission
    )
    spanning = service_key(cast.alice, cast.production, cast.vision_lab).key
    local = service_key(cast.alice, cast.production).key

    with pytest.raises(Forbidden):
        refresh_key(cast.actor(cast.charlie), spanning, at=timezone.now())
    with pytest.raises(Forbidden):
        revoke_key(cast.actor(cast.charlie), spanning, at=timezone.now())
    refresh_key(cast.actor(cast.charlie), local, at=timezone.now())
    revoke_key(cast.actor(cast.charlie), local, at=timezone.now())


def test_space_admin_cannot_have_the_secret_of_a_key_with_more_account_role(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.charlie, content_object=cast.production).update(
        permission=predefined(Level.SPACE, RoleName.ADMIN).permission
    )
    key = service_key(cast.alice, cast.production, account_role=RoleName.ADMIN).key

    with pytest.raises(Forbidden, match="more than you can"):
        refresh_key(cast.actor(cast.charlie), key, at=timezone.now())


def test_member_of_the_space_sees_but_does_not_end_another_s_service_key(cast: Cast) -> None:
    key = service_key(cast.alice, cast.production).key

    with pytest.raises(Forbidden):
        revoke_key(cast.actor(cast.bob), key, at=timezone.now())


# Revoke


def test_revoked_key_is_dead_for_good_and_revoking_again_is_nothing(cast: Cast) -> None:  # security 26
    new, now = service_key(cast.bob, cast.production), timezone.now()

    for _ in range(2):
        revoke_key(cast.actor(cast.bob), new.key, at=now)

    assert _reason(new.plaintext) is Reason.REVOKED
    assert AuditEvent.objects.filter(tag="key:revoke").count() == 1
    assert not User.objects.get(pk=new.key.owner_id).is_active


def test_revoking_ends_secrets_in_their_grace_too(cast: Cast) -> None:
    old, now = user_key(cast.bob, cast.account), timezone.now()
    new = refresh_key(cast.actor(cast.bob), old.key, grace=timedelta(hours=1), at=now)

    revoke_key(cast.actor(cast.bob), old.key, at=now)

    assert [_reason(old.plaintext), _reason(new.plaintext)] == [Reason.REVOKED, Reason.REVOKED]


# Developer access of the person


def test_switching_developer_access_off_stops_new_keys_not_old_ones(cast: Cast) -> None:
    old = user_key(cast.bob, cast.account)
    set_developer_access(cast.actor(cast.alice), user=cast.bob, allowed=False, at=timezone.now())

    with pytest.raises(DeveloperAccessOff):
        user_key(cast.bob, cast.account)
    with pytest.raises(DeveloperAccessOff):
        refresh_key(cast.actor(cast.bob), old.key, at=timezone.now())
    assert _reason(old.plaintext) is None


def test_operator_has_no_ceiling_and_the_person_acted_for_has_theirs(cast: Cast) -> None:  # security 15
    role = predefined(Level.ACCOUNT, RoleName.ADMIN)
    organizations = grants(cast.vision_lab, role=RoleName.ADMIN)
    now = timezone.now()

    create_service_key(
        Actor.from_command(cast.account), name="x", account_role=role, organizations=organizations, at=now
    )
    with pytest.raises(Escalation):
        create_service_key(
            Actor.from_command(cast.account, on_behalf_of=cast.erin),
            name="x",
            account_role=role,
            organizations=organizations,
            at=now,
        )


# Nothing half done


def test_failure_on_the_way_leaves_nothing_behind(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'disk full'; END$$;"
            "CREATE TRIGGER no BEFORE INSERT ON accounts_auditevent FOR EACH ROW EXECUTE FUNCTION pg_temp.no();"
        )

    with pytest.raises(Exception, match="disk full"):
        service_key(cast.bob, cast.production)

    assert not ApiKey.objects.exists()
    assert not User.objects.filter(kind="BOT").exists()
    assert not KeySecret.objects.exists()


def test_key_cannot_be_presented_at_another_door_s_account(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account)

    assert verify(new.plaintext, at=timezone.now()).account == cast.account
    assert (
        create_user_key(cast.actor(cast.bob, Door.REST), name="via REST", at=timezone.now()).key.account == cast.account
    )
