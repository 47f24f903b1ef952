"""Ways of coming in: by mail, with a temporary password, at once; and correcting what an account says of a member."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta

import pytest
from django.contrib.auth.backends import ModelBackend
from django.utils import timezone

from accounts.audit import Tag
from accounts.bindings import predefined
from accounts.errors import Conflict, Escalation, Forbidden, NotAllowed, NotFound
from accounts.invitations import LIFETIME, InviteMode, Status, status_of, tokens, with_status
from accounts.mail import may_reset
from accounts.models import AccountBinding, AuditEvent, User
from accounts.people import (
    Invitation,
    change_member,
    choose_password,
    ensure_invited,
    find_person,
    offer_password_reset,
    remove_person,
    resend_invitation,
    was_removed,
)
from accounts.roles import Level, RoleName
from accounts.trail import tell
from tests.cast import Cast
from tests.factories import bind, service_key

pytestmark = pytest.mark.django_db
NEW = "new@example.com"


def _ensure(
    cast: Cast, mode: InviteMode = InviteMode.EMAIL_LINK, *, by: User | None = None, **said: object
) -> Invitation:
    role = predefined(Level.ACCOUNT, said.pop("role", RoleName.MEMBER))  # type: ignore[arg-type]
    fields = {"email": NEW, "name": "Nina New", "role": role, "mode": mode, "at": timezone.now()} | said
    return ensure_invited(cast.actor(by or cast.alice), **fields)  # type: ignore[arg-type]


def _authenticate(password: str | None) -> object:
    return ModelBackend().authenticate(None, username=NEW, password=password)


def _later(user: User) -> None:
    User.objects.filter(pk=user.pk).update(invited_at=timezone.now() - LIFETIME - timedelta(minutes=1))
    user.refresh_from_db()


def test_inviting_twice_leaves_the_first_invitation_as_it_is(cast: Cast) -> None:
    first = _ensure(cast)
    link = tokens.make_token(first.user)

    second = _ensure(cast, email=" NEW@example.com ", name="Somebody Else")

    assert (first.is_new, second.is_new, second.user) == (True, False, first.user)
    assert second.user.name == "Nina New"
    assert tokens.check_token(second.user, link)
    assert AuditEvent.objects.filter(tag=Tag.PERSON_INVITED).count() == 1


def test_an_invitation_that_ran_out_is_made_anew(cast: Cast) -> None:
    first = _ensure(cast)
    _later(first.user)
    assert status_of(first.user, timezone.now()) is Status.EXPIRED

    again = _ensure(cast, name="Nina Newer", role=RoleName.MEMBER_UI_ONLY)

    assert (again.is_new, again.user.pk, again.user.name) == (True, first.user.pk, "Nina Newer")
    event = AuditEvent.objects.filter(tag="person:invite").latest("pk")
    assert event.details["name"] == {"before": first.user.name, "after": "Nina Newer"}
    assert ("Name", f"{first.user.name} → Nina Newer") in tell(event, ip=None).facts
    assert AccountBinding.objects.get(user=again.user).role.name == RoleName.MEMBER_UI_ONLY
    assert status_of(again.user, timezone.now()) is Status.INVITED


def test_what_ran_out_is_a_members_to_make_anew_while_it_is_no_more_than_they_could_give(cast: Cast) -> None:
    first = _ensure(cast, role=RoleName.ANNOTATOR)
    _later(first.user)

    again = _ensure(cast, InviteMode.TEMPORARY_PASSWORD, by=cast.bob, name="Nina Newer")

    assert again.user.name == "Nina Newer"
    assert _authenticate(again.temporary_password) == first.user


@pytest.mark.parametrize("more", ["account admin", "organization", "space", "another account", "operator"])
@pytest.mark.parametrize("mode", [InviteMode.EMAIL_LINK, InviteMode.TEMPORARY_PASSWORD])
def test_whoever_was_given_more_is_only_mailed_again_as_they_were(cast: Cast, mode: InviteMode, more: str) -> None:
    """Else any member could become them, or take from them what an admin gave."""
    user = _ensure(cast, role=RoleName.ADMIN if more == "account admin" else RoleName.MEMBER).user
    if more == "organization":
        bind(user, cast.fraud, RoleName.MEMBER)
    if more == "space":
        bind(user, cast.production, RoleName.MEMBER)
    if more == "another account":
        bind(user, cast.elsewhere.organization.account, RoleName.MEMBER)
    User.objects.filter(pk=user.pk).update(is_staff=more == "operator")
    _later(user)
    link = mode is InviteMode.EMAIL_LINK and more != "account admin"

    with nullcontext() if link else pytest.raises(Forbidden):
        _ensure(cast, mode, by=cast.bob, name="Hijack")

    user.refresh_from_db()
    assert (user.name, user.has_usable_password(), user.is_pending) == ("Nina New", False, True)
    assert status_of(user, timezone.now()) is (Status.INVITED if link else Status.EXPIRED)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_not_even_an_admin_holds_the_password_of_somebody_who_is_elsewhere_too(cast: Cast, elsewhere: bool) -> None:
    user = _ensure(cast).user
    if elsewhere:
        bind(user, cast.elsewhere.organization.account, RoleName.MEMBER)
    _later(user)

    with pytest.raises(Forbidden) if elsewhere else nullcontext():
        _ensure(cast, InviteMode.TEMPORARY_PASSWORD)

    user.refresh_from_db()
    assert user.has_usable_password() is not elsewhere


@pytest.mark.parametrize("mode", list(InviteMode))
def test_somebody_who_is_in_is_not_invited(cast: Cast, mode: InviteMode) -> None:
    with pytest.raises(Conflict):
        _ensure(cast, mode, email="bob@example.com")


def test_nobody_who_was_invited_comes_in_at_once(cast: Cast) -> None:
    _ensure(cast)

    with pytest.raises(Conflict):
        _ensure(cast, InviteMode.NONE)


@pytest.mark.parametrize("email", ["bob@example.com", "mallory@example.com"])
def test_somebody_who_was_removed_is_not_invited_again(cast: Cast, email: str) -> None:
    if email.startswith("bob"):
        remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())

    with pytest.raises(Conflict):
        _ensure(cast, email=email)


def test_at_once_means_active_and_able_to_ask_for_a_password(cast: Cast) -> None:
    made = _ensure(cast, InviteMode.NONE).user

    assert status_of(made, timezone.now()) is Status.ACTIVE
    assert not made.has_usable_password()
    assert may_reset(made)


def test_a_temporary_password_opens_until_it_is_replaced(cast: Cast) -> None:
    made = _ensure(cast, InviteMode.TEMPORARY_PASSWORD)
    assert made.temporary_password is not None
    assert len(made.temporary_password) == 20
    assert made.temporary_password not in repr(made)
    assert _authenticate(made.temporary_password) == made.user

    choose_password(made.user, "one only Nina knows", door=cast.actor(cast.alice).door, ip=None, at=timezone.now())

    assert _authenticate(made.temporary_password) is None
    person = _authenticate("one only Nina knows")
    assert isinstance(person, User)
    assert not person.password_is_temporary
    assert status_of(person, timezone.now()) is Status.ACTIVE
    with pytest.raises(NotAllowed):
        choose_password(person, "another", door=cast.actor(cast.alice).door, ip=None, at=timezone.now())


def test_a_temporary_password_runs_out_and_sending_a_link_makes_it_void(cast: Cast) -> None:
    made = _ensure(cast, InviteMode.TEMPORARY_PASSWORD)
    _later(made.user)
    assert _authenticate(made.temporary_password) is None

    renewed = _ensure(cast, InviteMode.TEMPORARY_PASSWORD)
    assert _authenticate(renewed.temporary_password) == made.user
    resend_invitation(cast.actor(cast.alice), user=made.user, at=timezone.now())

    assert _authenticate(renewed.temporary_password) is None
    assert not User.objects.get(pk=made.user.pk).password_is_temporary


def test_no_password_is_in_the_log(cast: Cast) -> None:
    made = _ensure(cast, InviteMode.TEMPORARY_PASSWORD)

    assert made.temporary_password is not None
    assert all(made.temporary_password not in str(event.details) for event in AuditEvent.objects.all())


def test_members_invite_members_and_annotators(cast: Cast) -> None:
    _ensure(cast, by=cast.bob)

    with pytest.raises(Escalation):
        _ensure(cast, by=cast.bob, email="other@example.com", role=RoleName.ADMIN)
    with pytest.raises(Forbidden):
        _ensure(cast, by=cast.dana, email="other@example.com")


def test_the_two_shapes_of_a_status_agree(cast: Cast) -> None:
    _ensure(cast)
    _later(_ensure(cast, email="late@example.com").user)
    _ensure(cast, InviteMode.NONE, email="none@example.com")
    now = timezone.now()
    people = set(User.objects.filter(kind="PERSON", is_active=True))

    for status in Status:
        assert set(User.objects.filter(with_status(status, now), kind="PERSON", is_active=True)) == {
            person for person in people if status_of(person, now) is status
        }


def test_a_link_to_a_new_password_is_for_people_who_have_one(cast: Cast) -> None:
    alice, invited = cast.actor(cast.alice), _ensure(cast).user
    bot = service_key(cast.alice, cast.production).key.owner

    assert offer_password_reset(alice, user=cast.bob, at=timezone.now()) == cast.bob
    for nobody in (invited, bot):
        with pytest.raises(NotAllowed):
            offer_password_reset(alice, user=nobody, at=timezone.now())
    with pytest.raises(Forbidden):
        offer_password_reset(cast.actor(cast.bob), user=cast.charlie, at=timezone.now())


def test_changing_a_member_is_one_change(cast: Cast) -> None:
    change_member(cast.actor(cast.alice), user=cast.bob, name=" Robert ", is_developer=False, at=timezone.now())

    assert User.objects.get(pk=cast.bob.pk).name == "Robert"
    assert not AccountBinding.objects.get(user=cast.bob).is_developer
    with pytest.raises(Forbidden):
        change_member(cast.actor(cast.bob), user=cast.charlie, name="C", at=timezone.now())
    with pytest.raises(Forbidden):
        change_member(cast.actor(cast.bob), user=cast.bob, is_developer=True, at=timezone.now())


def test_an_account_does_not_rename_those_whom_others_know_too(cast: Cast) -> None:
    bind(cast.bob, cast.elsewhere.organization.account, RoleName.MEMBER)

    with pytest.raises(Forbidden):
        change_member(cast.actor(cast.alice), user=cast.bob, name="Rob", is_developer=False, at=timezone.now())

    assert AccountBinding.objects.get(user=cast.bob, content_object=cast.account).is_developer


def test_an_operator_in_no_account_who_replaces_a_temporary_password_is_in_the_installations_log() -> None:
    olga = User.objects.create_superuser("olga@example.com", "told by telephone", name="Olga Operator")
    User.objects.filter(pk=olga.pk).update(password_is_temporary=True, joined_at=None)

    choose_password(olga, "one only Olga knows", at=timezone.now())

    events = AuditEvent.objects.filter(account_id=None, target_id=olga.pk).order_by("pk")
    assert [event.tag for event in events] == [Tag.PERSON_JOINED, Tag.PASSWORD_CHANGED]


def test_who_is_found(cast: Cast) -> None:
    bot = service_key(cast.alice, cast.production).key.owner

    assert find_person(cast.actor(cast.bob), cast.charlie.pk) == cast.charlie
    assert find_person(cast.actor(cast.dana), cast.dana.pk) == cast.dana
    for who, number in ((cast.dana, cast.bob.pk), (cast.alice, bot.pk), (cast.alice, cast.mallory.pk)):
        with pytest.raises(NotFound):
            find_person(cast.actor(who), number)


def test_the_log_remembers_who_was_removed(cast: Cast) -> None:
    alice = cast.actor(cast.alice)
    remove_person(alice, user=cast.bob, at=timezone.now())

    assert [was_removed(alice, person.pk) for person in (cast.bob, cast.charlie, cast.mallory)] == [True, False, False]
