from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.actors import Actor, accounts_of
from accounts.bindings import predefined
from accounts.errors import Conflict, Escalation, Forbidden, Invalid, NotAllowed, NotFound
from accounts.models import Account, AccountBinding, AuditEvent, Organization, Space, SpaceBinding, User
from accounts.people import consequences_of_removal, deactivate_person, invite_person, reactivate_person, remove_person
from accounts.roles import Level, RoleName
from accounts.tenancy import change_account, change_space, create_account, create_organization, create_space
from tests.cast import Cast
from tests.factories import PersonFactory, bind, service_key, user_key

pytestmark = pytest.mark.django_db
OPERATOR = Actor.from_command(None)


# Accounts


def test_account_begins_with_its_first_admin_and_nothing_else() -> None:
    account, admin = create_account(
        OPERATOR,
        name="New",
        admin_email="Ann@Example.com",
        admin_name="Ann",
        password="a long password",
        at=timezone.now(),
    )

    assert admin.email == "ann@example.com"
    assert admin.check_password("a long password")
    assert AccountBinding.objects.get(user=admin, content_object=account).role.is_admin
    assert not Organization.objects.exists()
    assert set(AuditEvent.objects.values_list("account_id", flat=True)) == {account.pk}


def test_only_operators_create_accounts_and_names_are_taken_once(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        create_account(
            cast.actor(cast.alice), name="Mine", admin_email="a@b.c", admin_name="A", password=None, at=timezone.now()
        )
    with pytest.raises(Conflict):
        create_account(OPERATOR, name="Acme AI", admin_email="a@b.c", admin_name="A", password=None, at=timezone.now())

    assert not User.objects.filter(email="a@b.c").exists()


def test_password_for_a_first_admin_who_has_one_is_refused(cast: Cast) -> None:
    before = cast.bob.password

    with pytest.raises(Conflict, match="has a password already"):
        create_account(
            OPERATOR,
            name="New",
            admin_email="bob@example.com",
            admin_name="Bob",
            password="a long password",
            at=timezone.now(),
        )

    cast.bob.refresh_from_db()
    assert cast.bob.password == before
    assert not Account.objects.filter(name="New").exists()


def test_key_policy_is_the_account_admin_s(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        change_account(cast.actor(cast.bob), developer_access_locked=True, max_key_lifetime_days=1, at=timezone.now())

    change_account(cast.actor(cast.alice), developer_access_locked=True, max_key_lifetime_days=9, at=timezone.now())

    event = AuditEvent.objects.latest("pk")
    assert event.details["before"] == {"developer_access_locked": False, "max_key_lifetime_days": None}
    assert event.details["after"] == {"developer_access_locked": True, "max_key_lifetime_days": 9}


# Organizations and spaces


def test_organization_names_are_taken_once_per_account(cast: Cast) -> None:
    with pytest.raises(Conflict):
        create_organization(cast.actor(cast.alice), name="Research", at=timezone.now())

    theirs = cast.elsewhere.organization.account
    create_organization(Actor.from_command(theirs), name="Research", at=timezone.now())


def test_space_names_are_taken_once_per_organization(cast: Cast) -> None:
    with pytest.raises(Conflict):
        create_space(cast.actor(cast.alice), organization=cast.fraud, name="production", at=timezone.now())

    twin = create_space(cast.actor(cast.alice), organization=cast.research, name="production", at=timezone.now())

    assert Space.objects.filter(name="production", organization__account=cast.account).count() == 2
    assert twin.organization == cast.research


def test_member_who_creates_a_space_runs_it(cast: Cast) -> None:
    space = create_space(cast.actor(cast.bob), organization=cast.fraud, name="bobs", is_private=True, at=timezone.now())

    assert SpaceBinding.objects.get(content_object=space).user == cast.bob
    assert cast.bob.has_perm("accounts.space_delete", space)
    change_space(cast.actor(cast.bob), space, is_private=False, at=timezone.now())


@pytest.mark.parametrize(("who", "error"), [("charlie", Forbidden), ("dana", Forbidden), ("erin", NotFound)])
def test_who_may_not_create_spaces(cast: Cast, who: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        create_space(cast.actor(getattr(cast, who)), organization=cast.fraud, name="x", at=timezone.now())


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, "a\x00", pytest.param("key ak-" + "a" * 61, id="a key")])
def test_unusable_names(cast: Cast, name: str) -> None:
    with pytest.raises(Invalid):
        create_organization(cast.actor(cast.alice), name=name, at=timezone.now())


# Inviting


def test_invited_person_is_a_member_who_still_has_to_set_a_password(cast: Cast) -> None:
    invitation = invite_person(
        cast.actor(cast.alice),
        email=" New@Example.com ",
        name="New",
        role=predefined(Level.ACCOUNT, RoleName.MEMBER),
        at=timezone.now(),
    )

    assert invitation.needs_password
    assert invitation.user.email == "new@example.com"
    assert not invitation.user.has_usable_password()
    assert accounts_of(invitation.user) == [cast.account]


@pytest.mark.parametrize("state", ["joined", "pending", "removed"])
def test_person_known_elsewhere_is_not_drawn_in_by_an_account(cast: Cast, state: str) -> None:
    # Whoever answered for the address elsewhere need not be the person meant here; and the answer tells nothing more.
    User.objects.filter(pk=cast.mallory.pk).update(
        joined_at=None if state == "pending" else timezone.now(), is_active=state != "removed"
    )

    with pytest.raises(Conflict) as refusal:
        invite_person(
            cast.actor(cast.alice),
            email="mallory@example.com",
            name="x",
            role=predefined(Level.ACCOUNT, RoleName.ADMIN),
            at=timezone.now(),
        )

    assert refusal.value.detail == (
        "mallory@example.com is already in use outside this account. "
        "Ask whoever operates this installation to add the person."
    )


@pytest.mark.parametrize(
    "email", ["", "x", "a@b@c", "bot@bot.invalid", "a\x00@example.com", "a" * 250 + "@example.com"]
)
def test_address_that_nobody_receives_mail_at(cast: Cast, email: str) -> None:
    with pytest.raises(Invalid):
        invite_person(
            cast.actor(cast.alice),
            email=email,
            name="x",
            role=predefined(Level.ACCOUNT, RoleName.MEMBER),
            at=timezone.now(),
        )


def test_operator_adds_a_person_known_elsewhere_at_once(cast: Cast) -> None:
    invitation = invite_person(
        Actor.from_command(cast.account),
        email="mallory@example.com",
        name="x",
        role=predefined(Level.ACCOUNT, RoleName.MEMBER),
        at=timezone.now(),
    )

    assert invitation.user == cast.mallory
    assert invitation.user.name == "Mallory Moss"
    assert not invitation.needs_password


def test_inviting_who_is_there_already_is_a_conflict(cast: Cast) -> None:
    with pytest.raises(Conflict):
        invite_person(
            cast.actor(cast.alice),
            email="BOB@example.com",
            name="x",
            role=predefined(Level.ACCOUNT, RoleName.MEMBER),
            at=timezone.now(),
        )


@pytest.mark.parametrize("role", [RoleName.ADMIN, RoleName.MEMBER_UI_ONLY])
def test_member_invites_members_and_annotators_only(cast: Cast, role: RoleName) -> None:
    with pytest.raises(Escalation):
        invite_person(
            cast.actor(cast.bob),
            email="n@example.com",
            name="N",
            role=predefined(Level.ACCOUNT, role),
            at=timezone.now(),
        )

    assert not User.objects.filter(email="n@example.com").exists()


def test_annotator_invites_nobody(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        invite_person(
            cast.actor(cast.dana),
            email="n@example.com",
            name="N",
            role=predefined(Level.ACCOUNT, RoleName.ANNOTATOR),
            at=timezone.now(),
        )


# Removing


def test_removal_says_beforehand_what_stops_and_what_goes_on(cast: Cast) -> None:
    own, made = user_key(cast.bob, cast.account, "laptop"), service_key(cast.bob, cast.production, name="nightly")

    said = consequences_of_removal(cast.bob, cast.account, at=timezone.now())

    assert said.stops == (f"laptop ({own.key.redacted_key})",)
    assert said.goes_on == (f"nightly ({made.key.redacted_key})",)


def test_removing_twice_is_harmless_and_ends_sign_in(cast: Cast) -> None:
    for _ in range(2):
        remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())

    assert not User.objects.get(pk=cast.bob.pk).is_active
    assert AuditEvent.objects.filter(tag="person:remove").count() == 1
    assert not SpaceBinding.objects.filter(user=cast.bob).exists()


def test_person_of_two_accounts_can_still_sign_in_to_the_other(cast: Cast) -> None:
    bind(cast.bob, cast.elsewhere.organization.account, RoleName.MEMBER)

    remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())

    assert User.objects.get(pk=cast.bob.pk).is_active
    assert accounts_of(cast.bob) == [cast.elsewhere.organization.account]


def test_removing_an_operator_from_an_account_leaves_their_sign_in(cast: Cast) -> None:
    viewer = PersonFactory.create(is_staff=True)
    bind(viewer, cast.account, RoleName.MEMBER)

    remove_person(cast.actor(cast.alice), user=viewer, at=timezone.now())

    assert User.objects.get(pk=viewer.pk).is_active


def test_nobody_removes_themselves(cast: Cast) -> None:
    bind(PersonFactory.create(), cast.account, RoleName.ADMIN)

    with pytest.raises(NotAllowed, match="themselves"):
        remove_person(cast.actor(cast.alice), user=cast.alice, at=timezone.now())


def test_last_admin_is_not_removed_even_by_an_operator(cast: Cast) -> None:
    with pytest.raises(NotAllowed, match="last admin"):
        remove_person(Actor.from_command(cast.account), user=cast.alice, at=timezone.now())


def test_members_remove_nobody_and_bots_go_with_their_key(cast: Cast) -> None:
    bot = service_key(cast.alice, cast.production).key.owner

    with pytest.raises(Forbidden):
        remove_person(cast.actor(cast.bob), user=cast.charlie, at=timezone.now())
    with pytest.raises(NotAllowed, match="revoke the service key"):
        remove_person(cast.actor(cast.alice), user=bot, at=timezone.now())


# Deactivating


def test_operator_deactivates_and_reactivates(cast: Cast) -> None:
    deactivate_person(OPERATOR, user=cast.bob, at=timezone.now())
    assert not User.objects.get(pk=cast.bob.pk).is_active
    reactivate_person(OPERATOR, user=cast.bob, at=timezone.now())
    assert User.objects.get(pk=cast.bob.pk).is_active

    with pytest.raises(NotAllowed, match="last admin"):
        deactivate_person(OPERATOR, user=cast.alice, at=timezone.now())
    with pytest.raises(Forbidden):
        deactivate_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())
