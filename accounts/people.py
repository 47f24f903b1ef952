"""Inviting, changing and removing people; who operates the installation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Permission as AuthPermission
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from accounts.actors import Actor, Door, accounts_of
from accounts.audit import Tag, record
from accounts.bindings import bind_role, grant, require_not_last_admin, withdraw
from accounts.changes import MAX_NAME, change, clean_name, require_operator
from accounts.errors import Conflict, Escalation, Invalid, NotAllowed, NotFound
from accounts.models import Account, AccountBinding, Organization, Role, Space, User
from accounts.models.users import normalize_email
from accounts.permissions import require
from accounts.roles import Level, RoleName
from accounts.signals import Consequences, person_leaving, removal_considered
from accounts.standing import standing_of
from accounts.verbs import lock_account, verb
from accounts.vocabulary import Permission


@dataclass(frozen=True)
class Invitation:
    """What an invitation came to: the person, and whether they still have to set a password."""

    user: User
    needs_password: bool


@verb(Tag.PERSON_INVITED)
def invite_person(
    actor: Actor,
    *,
    email: str,
    name: str,
    role: Role,
    places: Iterable[tuple[Organization | Space, Role]] = (),
    at: datetime,
) -> Invitation:
    """Make a person a member of the account; the door sends the mail.

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
    require(actor, Permission.USER_CREATE, account)
    standing = standing_of(actor)
    if not standing.is_account_admin and role.name not in (RoleName.MEMBER, RoleName.ANNOTATOR):
        raise Escalation("Only an account admin invites people with this role.", field="role")
    if role.level != Level.ACCOUNT or not standing.covers(role, account):
        raise Escalation(f"You cannot invite somebody as {role}: it is above your own role.", field="role")
    email = clean_email(email)
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email, None, name=clean_name(name))
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
    record(actor, Tag.PERSON_INVITED, user, at=at, role=role.name)
    grant(actor, user=user, role=role, scope=account, at=at)
    for place, role_there in places:
        bind_role(actor, user=user, role=role_there, scope=place, at=at)
    return Invitation(user=user, needs_password=user.joined_at is None)


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
    # Unusable passwords are random, and the link's token is made from them.
    user.set_unusable_password()
    user.save(update_fields=["password"])
    record(actor, Tag.PERSON_INVITED, user, at=at, again=True)
    return user


@verb(Tag.PASSWORD_RESET_OFFERED)
def offer_password_reset(actor: Actor, *, user: User, at: datetime) -> User:
    """Decide that a member gets a link to a new password; the door mails it.

    Raises:
        Forbidden: the actor may not change people.
        NotFound: the person is not in the account.
    """
    account = actor.require_account()
    require(actor, Permission.USER_UPDATE, account)
    user = find_member(actor, user.pk)
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
    person_leaving.send(sender=User, actor=actor, user=user, account=account, at=at)
    withdraw(actor, user=user, scope=account, at=at)
    record(actor, Tag.PERSON_REMOVED, user, at=at)
    # The person's row is locked, so that of two accounts removing them at once the second sees that it is the last.
    person = User.objects.select_for_update().get(pk=user.pk)
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
    if not User.objects.filter(pk=user.pk, joined_at__isnull=True, is_active=True).update(joined_at=at):
        return False
    user.joined_at = at
    for account in accounts_of(user):
        record(Actor(user=user, account=account, door=door, ip=ip), Tag.PERSON_JOINED, user, at=at)
    return True


def find_member(actor: Actor, number: int) -> User:
    """Return a member of the actor's account.

    Raises:
        NotFound: there is no such member.
    """
    account = actor.require_account()
    user = User.objects.filter(pk=number, accountbinding__content_object=account).first()
    if user is None:
        raise NotFound("There is no such person in this account.")
    return user


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


def _require_another_operator(user: User) -> None:
    # All their rows are locked, in a fixed order: "the last operator" is a question about many of them.
    operators = User.objects.select_for_update().filter(is_superuser=True, is_staff=True, is_active=True)
    if [one.pk for one in operators.order_by("pk")] == [user.pk]:
        raise NotAllowed(f"{user.name} is the last operator. Make somebody else one first.")


def _record_in_each(actor: Actor, tag: Tag, person: User, **details: Any) -> None:
    for inside in actor.in_each_account_of(person):
        record(inside, tag, person, **details)
