"""Creating and changing accounts, organizations and spaces; inviting and removing people; making bots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from django.contrib.auth.models import Permission as AuthPermission
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Model

from accounts.actors import Actor, Door, accounts_of
from accounts.audit import Tag, record
from accounts.bindings import bind_role, grant, predefined, require_not_last_admin, withdraw
from accounts.errors import Conflict, Escalation, Forbidden, Invalid, NotAllowed, NotFound
from accounts.models import Account, AccountBinding, Organization, Role, Space, User
from accounts.models.users import normalize_email
from accounts.permissions import require
from accounts.redaction import KEY_PATTERN
from accounts.roles import Level, RoleName
from accounts.signals import Consequences, person_leaving, removal_considered
from accounts.standing import standing_of
from accounts.verbs import lock_account, verb
from accounts.vocabulary import Permission

MAX_NAME = 255
R = TypeVar("R", bound=Model)


@dataclass(frozen=True)
class Invitation:
    """What an invitation came to: the person, and whether they still have to set a password."""

    user: User
    needs_password: bool


@verb(Tag.ACCOUNT_CREATED)
def create_account(
    actor: Actor, *, name: str, admin_email: str, admin_name: str, password: str | None, at: datetime
) -> tuple[Account, User]:
    """Create an account and its first admin. Operators only.

    With a password the admin can sign in at once; without one they are invited. Somebody who is here already and has
    none yet gets it too.

    Raises:
        Forbidden: the actor is not an operator.
        Conflict: the name is taken, or the admin has another password.
    """
    if not actor.is_operator:
        raise Forbidden("Only the operator of the installation creates accounts.")
    account = Account(name=_clean_name(name))
    _save_new(account, f"There is already an account “{account.name}”.")
    admin_email = _clean_email(admin_email)
    admin = User.objects.select_for_update().filter(email=admin_email).first()
    if admin is not None and (admin.is_bot or not admin.is_active):
        raise Conflict(f"{admin.email} cannot sign in, so an account needs another first admin.", field="admin_email")
    if admin is None:
        admin = User.objects.create_user(admin_email, password, name=admin_name, joined_at=at if password else None)
    elif password:
        _set_first_password(actor, admin, password, at=at)
    record(actor, Tag.ACCOUNT_CREATED, account, account=account, at=at)
    inside = Actor(user=actor.user, account=account, door=actor.door, ip=actor.ip, is_operator=True)
    grant(inside, user=admin, role=predefined(Level.ACCOUNT, RoleName.ADMIN), scope=account, at=at)
    return account, admin


@verb(Tag.ACCOUNT_CHANGED)
def change_account(
    actor: Actor,
    *,
    developer_access_locked: bool,
    max_key_lifetime_days: int | None,
    at: datetime,
) -> Account:
    """Set an account's key policy. Account admins only.

    Raises:
        Forbidden: the actor is not an account admin.
    """
    account = actor.require_account()
    if not standing_of(actor).is_account_admin:
        raise Forbidden("Only an account admin changes the account's key policy.")
    account.refresh_from_db()
    before = {
        "developer_access_locked": account.developer_access_locked,
        "max_key_lifetime_days": account.max_key_lifetime_days,
    }
    account.developer_access_locked = developer_access_locked
    account.max_key_lifetime_days = max_key_lifetime_days
    account.full_clean()
    account.save(update_fields=list(before))
    record(
        actor,
        Tag.ACCOUNT_CHANGED,
        account,
        at=at,
        before=before,
        after={"developer_access_locked": developer_access_locked, "max_key_lifetime_days": max_key_lifetime_days},
    )
    return account


@verb(Tag.ACCOUNT_CHANGED)
def change_account_limits(
    actor: Actor, *, name: str, max_live_keys: int, max_keys_per_hour: int, at: datetime
) -> Account:
    """Set what only the operator decides about an account: its name, and the caps that protect the installation.

    Raises:
        Forbidden: the actor is not an operator.
        Conflict: the name is taken.
    """
    _require_operator(actor)
    account = Account.objects.select_for_update().get(pk=actor.require_account().pk)
    return _change(
        actor,
        Tag.ACCOUNT_CHANGED,
        account,
        f"There is already an account “{name.strip()}”.",
        at,
        name=_clean_name(name),
        max_live_keys=max_live_keys,
        max_keys_per_hour=max_keys_per_hour,
    )


@verb(Tag.ORGANIZATION_CREATED)
def create_organization(actor: Actor, *, name: str, description: str = "", at: datetime) -> Organization:
    """Create an organization in the actor's account.

    Raises:
        Forbidden: the actor may not.
        Conflict: the name is taken in the account.
    """
    account = actor.require_account()
    require(actor, Permission.ORGANIZATION_CREATE, account)
    organization = Organization(account=account, name=_clean_name(name), description=description)
    _save_new(organization, f"This account already has an organization “{organization.name}”.")
    record(actor, Tag.ORGANIZATION_CREATED, organization, at=at)
    return organization


@verb(Tag.ORGANIZATION_CHANGED)
def change_organization(
    actor: Actor, organization: Organization, *, name: str, description: str, at: datetime
) -> Organization:
    """Rename or describe an organization.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to change.
        Conflict: the name is taken in the account.
    """
    require(actor, Permission.ORGANIZATION_UPDATE, organization)
    organization = Organization.objects.select_for_update(of=("self",)).get(pk=organization.pk)
    taken = f"This account already has an organization “{name.strip()}”."
    return _change(
        actor, Tag.ORGANIZATION_CHANGED, organization, taken, at, name=_clean_name(name), description=description
    )


@verb(Tag.SPACE_CREATED)
def create_space(
    actor: Actor,
    *,
    organization: Organization,
    name: str,
    description: str = "",
    is_private: bool = False,
    at: datetime,
) -> Space:
    """Create a space; whoever creates it as less than an admin above becomes its admin.

    Raises:
        NotFound, Forbidden: the organization is not the actor's to see, or to add to.
        Conflict: the name is taken in the organization. (Equal names in two organizations are fine.)
    """
    require(actor, Permission.SPACE_CREATE, organization)
    space = Space(organization=organization, name=_clean_name(name), description=description, is_private=is_private)
    _save_new(space, f"“{organization}” already has a space “{space.name}”.")
    record(actor, Tag.SPACE_CREATED, space, at=at, organization=organization.name, is_private=is_private)
    admin = predefined(Level.SPACE, RoleName.ADMIN)
    if actor.user is not None and not actor.is_operator and not standing_of(actor).covers(admin, space):
        grant(actor, user=actor.user, role=admin, scope=space, at=at)
    return space


@verb(Tag.SPACE_CHANGED)
def change_space(
    actor: Actor,
    space: Space,
    *,
    is_private: bool,
    name: str | None = None,
    description: str | None = None,
    at: datetime,
) -> Space:
    """Make a space private or public, rename or describe it; ``None`` leaves a name or description as it is.

    Who is in a space by fallback alone loses or gains access with the commit.

    Raises:
        NotFound, Forbidden: as for any change of the space.
        Conflict: the name is taken in the organization.
    """
    require(actor, Permission.SPACE_UPDATE, space)
    space = Space.objects.select_for_update(of=("self",)).select_related("organization").get(pk=space.pk)
    name = space.name if name is None else _clean_name(name)
    return _change(
        actor,
        Tag.SPACE_CHANGED,
        space,
        f"“{space.organization}” already has a space “{name}”.",
        at,
        is_private=is_private,
        name=name,
        description=space.description if description is None else description,
    )


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
    email = _clean_email(email)
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email, None, name=_clean_name(name))
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
    sent = removal_considered.send(sender=User, user=user, account=account, at=at)
    answers = [cast(Consequences, answer) for _, answer in sent]  # the stubs take every answer for a string
    return Consequences(
        stops=tuple(line for answer in answers for line in answer.stops),
        goes_on=tuple(line for answer in answers for line in answer.goes_on),
    )


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
    _require_operator(actor)
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
    _require_operator(actor)
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
    _require_operator(actor)
    if user.is_bot:
        raise NotAllowed("A bot is named after its key and has no address.")
    user = User.objects.select_for_update().get(pk=user.pk)
    taken = f"Somebody else has the address {normalize_email(email)}."
    return _change(actor, Tag.PERSON_CHANGED, user, taken, at, name=_clean_name(name), email=normalize_email(email))


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
    _require_operator(actor)
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
    return _change(actor, Tag.OPERATOR_CHANGED, user, "", at, is_staff=is_staff, is_superuser=is_superuser)


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


def _require_operator(actor: Actor) -> None:
    if not actor.is_operator:
        raise Forbidden("Only the operator of the installation does this.")


def _require_another_operator(user: User) -> None:
    # All their rows are locked, in a fixed order: "the last operator" is a question about many of them.
    operators = User.objects.select_for_update().filter(is_superuser=True, is_staff=True, is_active=True)
    if [one.pk for one in operators.order_by("pk")] == [user.pk]:
        raise NotAllowed(f"{user.name} is the last operator. Make somebody else one first.")


def _clean_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME or "\x00" in name:
        raise Invalid(f"A name has 1 to {MAX_NAME} characters.", field="name")
    if KEY_PATTERN.search(name):
        raise Invalid("This looks like an API key; names are shown to others.", field="name")
    return name


def _clean_email(email: str) -> str:
    email = normalize_email(email)
    try:
        validate_email(email)
    except ValidationError:
        raise Invalid("This is not an e-mail address.", field="email") from None
    if email.endswith(".invalid") or len(email) > MAX_NAME:  # bots have such addresses; nobody receives mail there
        raise Invalid("Nobody can receive mail at this address.", field="email")
    return email


def _change(actor: Actor, tag: Tag, row: R, taken: str, at: datetime, **values: Any) -> R:
    """Write the values that differ, and record them with those before; nothing for nothing."""
    before = {name: getattr(row, name) for name, value in values.items() if getattr(row, name) != value}
    if not before:
        return row
    for name in before:
        setattr(row, name, values[name])
    try:
        row.clean_fields(exclude=[field.name for field in row._meta.fields if field.name not in before])
        with transaction.atomic():
            row.save(update_fields=list(before))
    except ValidationError as error:
        field, said = next(iter(error.message_dict.items()))
        raise Invalid(" ".join(said), field=field) from error
    except IntegrityError as error:
        raise Conflict(taken, field="email" if "email" in before else "name") from error
    after = {name: values[name] for name in before}
    for each in actor.in_each_account_of(row) if isinstance(row, User) else [actor]:
        record(each, tag, row, at=at, before=before, after=after)
    return row


def _set_first_password(actor: Actor, person: User, password: str, *, at: datetime) -> None:
    if person.has_usable_password():
        raise Conflict(f"{person.email} has a password already, and keeps it: give none.", field="password")
    accept_invitation(person, door=actor.door, ip=actor.ip, at=at)
    person.set_password(password)
    person.save(update_fields=["password"])
    _record_in_each(actor, Tag.PASSWORD_CHANGED, person, at=at)


def _record_in_each(actor: Actor, tag: Tag, person: User, **details: Any) -> None:
    for inside in actor.in_each_account_of(person):
        record(inside, tag, person, **details)


def _save_new(row: Account | Organization | Space, taken: str) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(taken, field="name") from error
