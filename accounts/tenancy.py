"""Creating, changing and deleting accounts, organizations and spaces."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.bindings import bindings_within, described, grant, predefined
from accounts.changes import change, clean_name, given, require_operator, save_new
from accounts.errors import Conflict, Forbidden
from accounts.models import Account, Organization, Project, Space, User
from accounts.people import clean_email, set_first_password
from accounts.permissions import require
from accounts.roles import Level, RoleName
from accounts.signals import Consequences, deletion_considered, scope_leaving, scope_locking
from accounts.standing import standing_of
from accounts.verbs import verb
from accounts.vocabulary import Permission

# How many of the roles that go with a scope its event names one by one: it is one row, and is read as one.
_ROLES_NAMED = 500


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
    account = Account(name=clean_name(name))
    save_new(account, f"There is already an account “{account.name}”.")
    admin_email = clean_email(admin_email)
    admin = User.objects.select_for_update().filter(email=admin_email).first()
    if admin is not None and (admin.is_bot or not admin.is_active):
        raise Conflict(f"{admin.email} cannot sign in, so an account needs another first admin.", field="admin_email")
    if admin is None:
        admin = User.objects.create_user(admin_email, password, name=admin_name, joined_at=at if password else None)
    elif password:
        set_first_password(actor, admin, password, at=at)
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
    require_operator(actor)
    account = Account.objects.select_for_update().get(pk=actor.require_account().pk)
    return change(
        actor,
        Tag.ACCOUNT_CHANGED,
        account,
        f"There is already an account “{name.strip()}”.",
        at,
        name=clean_name(name),
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
    organization = Organization(account=account, name=clean_name(name), description=description)
    save_new(organization, f"This account already has an organization “{organization.name}”.")
    record(actor, Tag.ORGANIZATION_CREATED, organization, at=at)
    return organization


@verb(Tag.ORGANIZATION_CHANGED)
def change_organization(
    actor: Actor, organization: Organization, *, name: str | None = None, description: str | None = None, at: datetime
) -> Organization:
    """Rename or describe an organization; ``None`` leaves a part as it is.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to change.
        Conflict: the name is taken in the account.
    """
    require(actor, Permission.ORGANIZATION_UPDATE, organization)
    organization = Organization.objects.select_for_update(of=("self",)).get(pk=organization.pk)
    wanted = given(name=None if name is None else clean_name(name), description=description)
    taken = f"This account already has an organization “{wanted.get('name', organization.name)}”."
    return change(actor, Tag.ORGANIZATION_CHANGED, organization, taken, at, **wanted)


@verb(Tag.ORGANIZATION_DELETED)
def delete_organization(actor: Actor, organization: Organization, *, at: datetime) -> None:
    """Delete an organization with its spaces, everybody's roles in them, and the service keys that have no other space.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to delete.
    """
    require(actor, Permission.ORGANIZATION_DELETE, organization)
    spaces = list(organization.spaces.order_by("pk").values_list("name", flat=True))
    _delete(actor, Tag.ORGANIZATION_DELETED, organization, at, spaces=spaces)


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
    space = Space(organization=organization, name=clean_name(name), description=description, is_private=is_private)
    save_new(space, f"“{organization}” already has a space “{space.name}”.")
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
    is_private: bool | None = None,
    name: str | None = None,
    description: str | None = None,
    ml_models_enabled: bool | None = None,
    gradient_start_color: str | None = None,
    gradient_end_color: str | None = None,
    at: datetime,
) -> Space:
    """Make a space private or public, rename, describe or adjust it; ``None`` leaves a part as it is.

    Who is in a space by fallback alone loses or gains access with the commit.

    Raises:
        NotFound, Forbidden: as for any change of the space.
        Conflict: the name is taken in the organization.
    """
    require(actor, Permission.SPACE_UPDATE, space)
    space = Space.objects.select_for_update(of=("self",)).select_related("organization").get(pk=space.pk)
    wanted = given(
        is_private=is_private,
        name=None if name is None else clean_name(name),
        description=description,
        ml_models_enabled=ml_models_enabled,
        gradient_start_color=gradient_start_color,
        gradient_end_color=gradient_end_color,
    )
    taken = f"“{space.organization}” already has a space “{wanted.get('name', space.name)}”."
    return change(actor, Tag.SPACE_CHANGED, space, taken, at, **wanted)


@verb(Tag.SPACE_DELETED)
def delete_space(actor: Actor, space: Space, *, at: datetime) -> None:
    """Delete a space with everybody's roles in it and the service keys that have no other space.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to delete.
    """
    require(actor, Permission.SPACE_DELETE, space)
    _delete(actor, Tag.SPACE_DELETED, space, at, organization=space.organization.name)


def consequences_of_deletion(scope: Organization | Space, *, at: datetime) -> Consequences:
    """Say what stops and what goes on when a scope is deleted, before anybody decides."""
    return Consequences.gathered(deletion_considered.send(sender=type(scope), scope=scope, at=at))


def withdrawn_with(scope: Organization | Space | Project) -> dict[str, Any]:
    """Name the roles that go with a scope when it is deleted, up to a number, and say how many there are beyond it."""
    named: list[dict[str, Any]] = []
    total = 0
    for rows in bindings_within(scope):
        named += [described(binding) for binding in rows[: _ROLES_NAMED - len(named)]]
        total += rows.count()
    return {"withdrawn": named} | ({"withdrawn_beyond": total - len(named)} if total > len(named) else {})


def _delete(actor: Actor, tag: Tag, scope: Organization | Space, at: datetime, **told: Any) -> None:
    scope_locking.send(sender=type(scope), scope=scope)
    told |= withdrawn_with(scope)
    scope_leaving.send(sender=type(scope), actor=actor, scope=scope, at=at)
    record(actor, tag, scope, at=at, **told)
    scope.delete()
