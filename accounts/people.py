"""Inviting, changing and removing people; who operates the installation."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Permission as AuthPermission
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.actors import Actor, Door, accounts_of
from accounts.audit import Tag, history, record
from accounts.bindings import bind_role, grant, require_not_last_admin, set_developer_access, withdraw
from accounts.changes import MAX_NAME, change, clean_name, require_operator
from accounts.errors import Conflict, Escalation, Forbidden, Invalid, NotAllowed, NotFound
from accounts.invitations import INVITED_BY_MEMBERS, InviteMode, Status, may_be_replaced, status_of
from accounts.models import Account, AccountBinding, Organization, Role, Space, SpaceBinding, User, UserKind
from accounts.models.users import normalize_email
from accounts.permissions import may, permitted, require
from accounts.roles import Level
from accounts.signals import Consequences, person_leaving, removal_considered
from accounts.standing import Standing, standing_of
from accounts.verbs import lock_account, verb
from accounts.vocabulary import Permission

# For passwords that are read out and typed: without letters that look like others. 20 of 55 are 115 bits.
_LEGIBLE = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lIo8")))
_TEMPORARY_LENGTH = 20


@dataclass(frozen=True)
class Invitation:
    """What an invitation came to: the person, and whether they still have to set a password.

    ``is_new`` says whether this call made it; a ``temporary_password`` is told this once.
    """

    user: User
    needs_password: bool
    is_new: bool = True
    temporary_password: str | None = field(default=None, repr=False)


@verb(Tag.PERSON_INVITED)
def invite_person(
    actor: Actor,
    *,
    email: str,
    name: str,
    role: Role,
    places: Iterable[tuple[Organization | Space, Role]] = (),
    mode: InviteMode = InviteMode.EMAIL_LINK,
    at: datetime,
) -> Invitation:
    """Make a person a member of the account; the door sends the mail, or tells the temporary password.

    Admins may give any account role; members only Member or Annotator (contract rest-v2 §6). Somebody who is already
    on this installation is added by an operator alone, and is in at once. ``places`` are roles further down, outermost
    first, given together with the membership or not at all.

    Raises:
        Forbidden: the actor may not invite.
        Escalation: a member asked for more than Member.
        Conflict: the person is in the account already, or belongs to somebody outside it.
        Invalid: the name or the address is unusable.
        What ``bind_role`` raises, for the places.
    """
    account = actor.require_account()
    _require_may_invite_as(actor, role)
    email = clean_email(email)
    user = User.objects.select_for_update(no_key=True).filter(email=email).first()
    password: str | None = None
    if user is None:
        user, password = _newcomer(email, clean_name(name), mode, at)
    elif AccountBinding.objects.filter(user=user, content_object=account).exists():
        raise Conflict(f"{user.email} is already a member of this account.", field="email")
    elif user.is_bot or not actor.is_operator:
        # Nobody is drawn into an account by people they never heard of, and nobody who once answered for an address
        # elsewhere becomes a member here without the operator's word.
        raise Conflict(
            f"{email} is already in use outside this account. "
            "Ask whoever operates this installation to add the person.",
            field="email",
        )
    elif not user.is_active:
        raise Conflict(f"{user.email} was removed; reactivate the person first.", field="email")
    record(actor, Tag.PERSON_INVITED, user, at=at, role=role.name, mode=mode.value)
    grant(actor, user=user, role=role, scope=account, at=at)
    for place, role_there in places:
        bind_role(actor, user=user, role=role_there, scope=place, at=at)
    return Invitation(user=user, needs_password=user.joined_at is None, temporary_password=password)


@verb(Tag.PERSON_INVITED)
def ensure_invited(actor: Actor, *, email: str, name: str, role: Role, mode: InviteMode, at: datetime) -> Invitation:
    """Invite a person unless an invitation is open, which is then left as it is (contract rest-v2 §6).

    One that has run out is made anew, with the name and role given now. Where somebody has been given more meanwhile
    than the actor could give, it is only mailed again, to the person and as it was.

    Raises:
        What ``invite_person`` raises; Conflict also where nobody is invited (``NONE``) who was before.
        Forbidden: another role, or a password in the actor's hands, for such a person.
    """
    account = actor.require_account()
    _require_may_invite_as(actor, role)
    rows = User.objects.select_for_update(of=("self",)).filter(email=clean_email(email))
    user = rows.filter(accountbinding__content_object=account).first()
    if user is None or not user.is_pending or mode is InviteMode.NONE:
        return invite_person(actor, email=email, name=name, role=role, mode=mode, at=at)
    if status_of(user, at) is Status.INVITED:
        return Invitation(user=user, needs_password=True, is_new=False)
    was = user.name
    if may_be_replaced(actor, user):
        user.name = clean_name(name)
    elif mode is InviteMode.TEMPORARY_PASSWORD or not _is(user, role, account):
        raise Forbidden(
            f"{user.email} was invited before and has more by now than you can give. "
            "Send the invitation again as it was, by mail, or ask an account admin."
        )
    renamed: dict[str, Any] = {"name": {"before": was, "after": user.name}} if was != user.name else {}
    password = _reinvite(user, mode, at)
    record(actor, Tag.PERSON_INVITED, user, at=at, again=True, role=role.name, mode=mode.value, **renamed)
    grant(actor, user=user, role=role, scope=account, at=at)
    return Invitation(user=user, needs_password=True, temporary_password=password)


@verb(Tag.PERSON_INVITED)
def resend_invitation(actor: Actor, *, user: User, at: datetime) -> User:
    """Make the link sent before void and let the invitation run anew; the door mails a link made for what is returned.

    Raises:
        Forbidden: the actor may not invite.
        NotFound: the person is not in the account.
        NotAllowed: the person has signed in already, or is deactivated.
    """
    account = actor.require_account()
    require(actor, Permission.USER_CREATE, account)
    user = find_member(actor, user.pk)
    user = User.objects.select_for_update().get(pk=user.pk)
    if user.is_bot or user.joined_at is not None or not user.is_active:
        raise NotAllowed(f"{user.name} needs no invitation: only somebody who has not joined yet does.")
    _reinvite(user, InviteMode.EMAIL_LINK, at)
    record(actor, Tag.PERSON_INVITED, user, at=at, again=True)
    return user


@verb(Tag.PASSWORD_RESET_OFFERED)
def offer_password_reset(actor: Actor, *, user: User, at: datetime) -> User:
    """Decide that a member gets a link to a new password; the door mails it.

    Raises:
        Forbidden: the actor may not change people.
        NotFound: the person is not in the account.
        NotAllowed: a bot, or somebody who has not joined yet or was deactivated.
    """
    account = actor.require_account()
    require(actor, Permission.USER_UPDATE, account)
    user = find_member(actor, user.pk)
    if user.is_bot or user.joined_at is None or not user.is_active:
        raise NotAllowed(f"{user.name} has no password that could be changed. Somebody who was invited accepts first.")
    record(actor, Tag.PASSWORD_RESET_OFFERED, user, at=at)
    return user


def consequences_of_removal(user: User, account: Account, *, at: datetime) -> Consequences:
    """Say what stops and what goes on when a person is removed, before anybody decides."""
    return Consequences.gathered(removal_considered.send(sender=User, user=user, account=account, at=at))


@verb(Tag.PERSON_REMOVED)
def remove_person(actor: Actor, *, user: User, at: datetime) -> None:
    """Remove a person from the account: memberships, roles and user keys go, service keys they made stay.

    Idempotent. Who belongs to no account afterwards can no longer sign in.

    Raises:
        Forbidden: the actor may not remove people.
        NotAllowed: oneself, the last account admin, or a bot (revoke its key instead).
    """
    account = actor.require_account()
    require(actor, Permission.USER_DELETE, account)
    if actor.user is not None and actor.user.pk == user.pk:
        raise NotAllowed("Nobody removes themselves; ask another account admin.")
    if user.is_bot:
        raise NotAllowed("A bot goes with its key: revoke the service key instead.")
    if not AccountBinding.objects.filter(user=user, content_object=account).exists():
        return
    require_not_last_admin(user, account)
    # The person's row is locked, so that of two accounts removing them at once the second sees that it is the last.
    # Before the first event, like every row: see ``record``.
    person = User.objects.select_for_update().get(pk=user.pk)
    person_leaving.send(sender=User, actor=actor, user=user, account=account, at=at)
    withdraw(actor, user=user, scope=account, at=at)
    record(actor, Tag.PERSON_REMOVED, user, at=at)
    if not person.is_staff and not person.is_superuser and not AccountBinding.objects.filter(user=user).exists():
        User.objects.filter(pk=user.pk).update(is_active=False)


@verb(Tag.PERSON_DEACTIVATED)
def deactivate_person(actor: Actor, *, user: User, at: datetime) -> None:
    """Stop a person's sign-in and keys at once without taking anything away. Operators only.

    Raises:
        Forbidden: the actor is not an operator.
        NotAllowed: a bot, the last admin of an account, or the last operator.
    """
    require_operator(actor)
    if user.is_bot:
        raise NotAllowed("A bot goes with its key: revoke the service key instead.")
    _require_another_operator(user)
    for account in Account.objects.filter(bindings__user=user).order_by("pk"):
        lock_account(account)
        require_not_last_admin(user, account)
    if User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        _record_in_each(actor, Tag.PERSON_DEACTIVATED, user, at=at)


@verb(Tag.PERSON_REACTIVATED)
def reactivate_person(actor: Actor, *, user: User, at: datetime) -> None:
    """Let a deactivated person sign in again. Operators only.

    Raises:
        Forbidden: the actor is not an operator.
    """
    require_operator(actor)
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        _record_in_each(actor, Tag.PERSON_REACTIVATED, user, at=at)


@verb(Tag.PERSON_CHANGED)
def change_member(
    actor: Actor, *, user: User, name: str | None = None, is_developer: bool | None = None, at: datetime
) -> User:
    """Correct a member's name, or switch their developer access; ``None`` leaves a part as it is.

    Raises:
        NotFound: the person is not in the account.
        Forbidden: the actor may not; or the name of somebody whom other accounts know by it too.
        NotAllowed: a bot.
    """
    account = actor.require_account()
    user = find_member(actor, user.pk)
    if user.is_bot:
        raise NotAllowed("A bot is named after its key and has no developer access to switch.")
    user = User.objects.select_for_update().get(pk=user.pk)
    if is_developer is not None:
        set_developer_access(actor, user=user, allowed=is_developer, at=at)
    if name is None:
        return user
    require(actor, Permission.USER_UPDATE, account)
    if not actor.is_operator and (accounts_of(user) != [account] or user.is_staff):
        raise Forbidden("This person's name is used outside this account too: only the operator changes it.")
    return change(actor, Tag.PERSON_CHANGED, user, "", at, name=clean_name(name))


@verb(Tag.PERSON_CHANGED)
def change_person(actor: Actor, *, user: User, name: str, email: str, at: datetime) -> User:
    """Correct a person's name or address, in every account they are in. Operators only.

    Raises:
        Forbidden: the actor is not an operator.
        NotAllowed: a bot.
        Conflict: somebody else has the address.
    """
    require_operator(actor)
    if user.is_bot:
        raise NotAllowed("A bot is named after its key and has no address.")
    user = User.objects.select_for_update().get(pk=user.pk)
    taken = f"Somebody else has the address {normalize_email(email)}."
    return change(actor, Tag.PERSON_CHANGED, user, taken, at, name=clean_name(name), email=normalize_email(email))


@verb(Tag.OPERATOR_CHANGED)
def change_operator(
    actor: Actor,
    *,
    user: User,
    is_staff: bool,
    is_superuser: bool,
    may_view: Iterable[AuthPermission] = (),
    at: datetime,
) -> User:
    """Say who may enter Django admin, who may act there, and what those may look at who may not. Operators only.

    Raises:
        Forbidden: the actor is not an operator.
        NotAllowed: a bot, or the last operator there is.
    """
    require_operator(actor)
    if user.is_bot:
        raise NotAllowed("A bot never operates the installation.")
    if not (is_staff and is_superuser):
        _require_another_operator(user)
    user = User.objects.select_for_update().get(pk=user.pk)
    before, after = set(user.user_permissions.all()), set(may_view)
    if before != after:
        user.user_permissions.set(after)
        names = [sorted(one.codename for one in some) for some in (before, after)]
        told = {"before": {"may_view": names[0]}, "after": {"may_view": names[1]}}
        _record_in_each(actor, Tag.OPERATOR_CHANGED, user, at=at, **told)
    return change(actor, Tag.OPERATOR_CHANGED, user, "", at, is_staff=is_staff, is_superuser=is_superuser)


@transaction.atomic
def accept_invitation(user: User, *, door: Door = Door.SYSTEM, ip: str | None = None, at: datetime) -> bool:
    """Mark that an invited person has set a password; return whether this call did it, or one before.

    Of two at once only one gets ``True``: whoever sets a password does it after asking here, in the same transaction.
    """
    invited = User.objects.filter(pk=user.pk, joined_at__isnull=True, is_active=True)
    if not invited.update(joined_at=at, password_is_temporary=False):
        return False
    user.joined_at, user.password_is_temporary = at, False
    for inside in Actor(user=user, account=None, door=door, ip=ip).in_each_account_of(user):
        record(inside, Tag.PERSON_JOINED, user, at=at)
    return True


@transaction.atomic
def choose_password(
    user: User, password: str, *, door: Door = Door.BROWSER, ip: str | None = None, at: datetime
) -> None:
    """Replace the temporary password somebody was given by one that only they know; they have joined with that.

    Raises:
        NotAllowed: the password is their own already, or the invitation was withdrawn.
    """
    now = User.objects.select_for_update().get(pk=user.pk)
    if not now.password_is_temporary or not accept_invitation(now, door=door, ip=ip, at=at):
        raise NotAllowed("This account has a password of its own. Sign in with it.")
    user.joined_at, user.password_is_temporary = at, False
    user.set_password(password)
    user.save(update_fields=["password"])
    inside = Actor(user=user, account=None, door=door, ip=ip).in_each_account_of(user)[0]
    record(inside, Tag.PASSWORD_CHANGED, user, at=at)


def find_person(actor: Actor, number: int) -> User:
    """Return a person of the actor's account whom the actor may read: with USER_READ everybody, else themselves.

    Raises:
        NotFound: there is none, or the actor may not know.
    """
    myself = actor.user is not None and actor.user.pk == number
    user = find_member(actor, number) if myself or may(actor, Permission.USER_READ, actor.require_account()) else None
    if user is None or user.is_bot or not user.is_active:
        raise NotFound("There is no such person in this account, or you have no access.")
    return user


def was_removed(actor: Actor, number: int) -> bool:
    """Whether somebody of that number was in the account once, and was removed."""
    events = history(actor.require_account()).filter(tag=Tag.PERSON_REMOVED, outcome="SUCCEEDED")
    return events.filter(target_type="User", target_id=number).exists()


def find_member(actor: Actor, number: int) -> User:
    """Return a member of the actor's account: a person, or a bot that the actor may know of.

    Raises:
        NotFound: there is no such member, or the actor may not know.
    """
    member = known_members(actor).filter(user=number).first()
    if member is None:
        raise NotFound("There is no such person in this account.")
    return member.user


def find_bindable(actor: Actor, number: int) -> User:
    """Return a member who can be given a role: nobody who was deactivated.

    Raises:
        NotFound: there is no such member, or the actor may not know.
    """
    user = find_member(actor, number)
    if not user.is_active:
        raise NotFound("There is no such person in this account.")
    return user


def known_members(actor: Actor) -> QuerySet[AccountBinding]:
    """Return the memberships of people, and of the bots that the actor may know of."""
    rows = AccountBinding.objects.filter(content_object=actor.require_account()).select_related("user")
    bots = visible_bots(actor, standing_of(actor))
    return rows.filter(~Q(user__kind=UserKind.BOT) | bots) if bots else rows  # nothing to match is everything


def visible_bots(actor: Actor, mine: Standing) -> Q:
    """Match the memberships of bots that the actor may know of.

    A bot carries its key's name: whoever may not know of the key does not learn of it here.
    """
    if actor.user is None or mine.is_account_admin:
        return Q()
    readable = permitted(actor.user, Permission.SERVICE_KEY_READ, Space)
    return Q(Exists(SpaceBinding.objects.filter(user=OuterRef("user"), content_object__in=readable)))


def set_first_password(actor: Actor, person: User, password: str, *, at: datetime) -> None:
    """Give somebody who has none yet a password; they have joined with that.

    Raises:
        Conflict: they have one.
    """
    if person.has_usable_password():
        raise Conflict(f"{person.email} has a password already, and keeps it: give none.", field="password")
    accept_invitation(person, door=actor.door, ip=actor.ip, at=at)
    person.set_password(password)
    person.save(update_fields=["password"])
    _record_in_each(actor, Tag.PASSWORD_CHANGED, person, at=at)


def clean_email(email: str) -> str:
    """Return the one spelling of an address.

    Raises:
        Invalid: it is none, or nobody receives mail there.
    """
    email = normalize_email(email)
    try:
        validate_email(email)
    except ValidationError:
        raise Invalid("This is not an e-mail address.", field="email") from None
    if email.endswith(".invalid") or len(email) > MAX_NAME:  # bots have such addresses; nobody receives mail there
        raise Invalid("Nobody can receive mail at this address.", field="email")
    return email


def _require_may_invite_as(actor: Actor, role: Role) -> None:
    account = actor.require_account()
    require(actor, Permission.USER_CREATE, account)
    standing = standing_of(actor)
    if not standing.is_account_admin and role.name not in INVITED_BY_MEMBERS:
        raise Escalation("Only an account admin invites people with this role.", field="role")
    if role.level != Level.ACCOUNT or not standing.covers(role, account):
        raise Escalation(f"You cannot invite somebody as {role}: it is above your own role.", field="role")


def _is(user: User, role: Role, account: Account) -> bool:
    return AccountBinding.objects.filter(user=user, content_object=account, permission=role.permission_id).exists()


def _newcomer(email: str, name: str, mode: InviteMode, at: datetime) -> tuple[User, str | None]:
    """Insert a person; return the temporary password too, where there is one."""
    if mode is InviteMode.NONE:
        return User.objects.create_user(email, None, name=name, joined_at=at), None
    password = _temporary_password() if mode is InviteMode.TEMPORARY_PASSWORD else None
    temporary = password is not None
    return (
        User.objects.create_user(email, password, name=name, invited_at=at, password_is_temporary=temporary),
        password,
    )


def _reinvite(user: User, mode: InviteMode, at: datetime) -> str | None:
    """Make what was sent or told before void, and the invitation run anew."""
    password = _temporary_password() if mode is InviteMode.TEMPORARY_PASSWORD else None
    # Without one it becomes an unusable one: those are random, and the link's token is made from them.
    user.set_password(password)
    user.password_is_temporary = password is not None
    user.invited_at = at
    user.save(update_fields=["name", "password", "password_is_temporary", "invited_at"])
    return password


def _temporary_password() -> str:
    return "".join(secrets.choice(_LEGIBLE) for _ in range(_TEMPORARY_LENGTH))


def _require_another_operator(user: User) -> None:
    # All their rows are locked, in a fixed order: "the last operator" is a question about many of them.
    operators = User.objects.select_for_update().filter(is_superuser=True, is_staff=True, is_active=True)
    if [one.pk for one in operators.order_by("pk")] == [user.pk]:
        raise NotAllowed(f"{user.name} is the last operator. Make somebody else one first.")


def _record_in_each(actor: Actor, tag: Tag, person: User, **details: Any) -> None:
    for inside in actor.in_each_account_of(person):
        record(inside, tag, person, **details)
