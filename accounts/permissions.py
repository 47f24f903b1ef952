"""The one question "may this user do that here?", in its two shapes.

``permitted`` answers for many objects as one query, and ``may``/``require`` for one object by asking that same query:
the twins cannot disagree. Access flows down: an account role reaches every organization and space of the account, an
organization role every public space in which the user has no predefined role of their own, an organization admin's
role the private ones too. Custom roles in a space add up with the rest. What holds in a space holds in its projects,
but for restricted ones: there only roles bound to the project itself count, whoever it is.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from accounts.actors import Actor
from accounts.errors import Forbidden, NotFound
from accounts.models import (
    Account,
    AccountBinding,
    Organization,
    OrganizationBinding,
    Project,
    ProjectBinding,
    Space,
    SpaceBinding,
    User,
)
from accounts.models.bindings import Binding
from accounts.roles import RoleName
from accounts.vocabulary import Permission

Scope = Account | Organization | Space | Project
S = TypeVar("S", Account, Organization, Space, Project)

# What makes a scope visible at all. An account is visible to its members.
_READ: dict[type[Model], Permission] = {
    Organization: Permission.ORGANIZATION_READ,
    Space: Permission.SPACE_READ,
    Project: Permission.PROJECT_READ,
}

# Where a scope's account is found.
_ACCOUNT_PATH: dict[type[Model], str] = {
    Account: "pk",
    Organization: "account",
    Space: "organization__account",
    Project: "space__organization__account",
}


def permitted(user: User, permission: Permission, model: type[S]) -> QuerySet[S]:
    """Return the scopes of one kind where the user holds the permission right now: one query."""
    return model._default_manager.filter(_CONDITIONS[model](user, permission))


def visible(user: User, model: type[S]) -> QuerySet[S]:
    """Return the scopes of one kind whose existence the user may know of."""
    if model is Account:
        return model._default_manager.filter(_member(user, "pk"))
    return permitted(user, _READ[model], model)


def may(actor: Actor, permission: Permission, scope: Scope) -> bool:
    """Whether the actor holds the permission at this scope right now: one query."""
    if not _in_account(actor, scope):
        return False
    if actor.is_operator:
        return True
    return actor.user is not None and _holds_at(actor.user, permission, scope)


def require(actor: Actor, permission: Permission, scope: Scope) -> None:
    """Refuse unless the actor holds the permission at this scope.

    Raises:
        NotFound: the actor may not even read the scope.
        Forbidden: the actor may read it, but not do this.
    """
    if may(actor, permission, scope):
        return
    if not may_see(actor, scope):
        raise NotFound(f"There is no such {scope._meta.verbose_name}, or you have no access to it.")
    raise Forbidden(f"You need the permission {permission} in “{scope}”. Ask one of its admins.", permission=permission)


def may_see(actor: Actor, scope: Scope) -> bool:
    """Whether the actor may know that this scope exists."""
    if not _in_account(actor, scope):
        return False
    if actor.is_operator:
        return True
    return actor.user is not None and _among(visible(actor.user, type(scope)), scope)


def seen_by(actor: Actor, model: type[S]) -> QuerySet[S]:
    """Return the scopes of one kind that the actor may know of, in the account acted in: ``may_see`` for many."""
    within = model._default_manager.filter(**{_ACCOUNT_PATH[model]: actor.require_account()})
    if actor.is_operator:
        return within
    return within.none() if actor.user is None else within & visible(actor.user, model)


def find_seen(actor: Actor, model: type[S], number: int) -> S:
    """Return the scope of that number.

    Raises:
        NotFound: there is none, or the actor may not know of it.
    """
    rows = seen_by(actor, model).filter(pk=number)
    row = rows.select_related(_ACCOUNT_PATH[model].rpartition("__")[0] or None).first()  # asked next: which account
    if row is None:
        raise NotFound(f"There is no such {model._meta.verbose_name}, or you have no access to it.")
    return row


def account_of(scope: Scope) -> int:
    """Return the number of the account a scope belongs to."""
    if isinstance(scope, Project):
        return scope.space.organization.account_id
    if isinstance(scope, Space):
        return scope.organization.account_id
    return scope.account_id if isinstance(scope, Organization) else scope.pk


def has_permission(user: User, permission: Permission, scope: Scope) -> bool:
    """Whether the user holds the permission at this scope: what ``user.has_perm`` asks."""
    return _holds_at(user, permission, scope)


def _holds_at(user: User, permission: Permission, scope: Scope) -> bool:
    return _among(permitted(user, permission, type(scope)), scope)


def _among(scopes: QuerySet[Any], scope: Scope) -> bool:
    return scopes.filter(pk=scope.pk).exists()


def _in_account(actor: Actor, scope: Scope) -> bool:
    # A key opens the account it was made in, even where its person belongs to several.
    return actor.account is not None and account_of(scope) == actor.account.pk


def _bound(bindings: type[Binding], user: User, path: str, **role: object) -> Exists:
    conditions = {f"permission__role__{name}": value for name, value in role.items()}
    return Exists(
        bindings._default_manager.filter(
            user=user, content_object=OuterRef(path), permission__role__deleted_at__isnull=True, **conditions
        )
    )


def _member(user: User, account: str) -> Exists:
    # Whether the user is active is asked of the row: the object at hand may be older than the question.
    return Exists(AccountBinding.objects.filter(user=user, user__is_active=True, content_object=OuterRef(account)))


def _at_account(user: User, permission: Permission) -> Q:
    return Q(_member(user, "pk")) & Q(_bound(AccountBinding, user, "pk", permissions__contains=[permission.value]))


def _at_organization(user: User, permission: Permission) -> Q:
    wanted = {"permissions__contains": [permission.value]}
    return Q(_member(user, "account")) & (
        Q(_bound(AccountBinding, user, "account", **wanted)) | Q(_bound(OrganizationBinding, user, "pk", **wanted))
    )


def _at_space(user: User, permission: Permission) -> Q:
    return _reached(user, permission, "")


def _at_project(user: User, permission: Permission) -> Q:
    own = _bound(ProjectBinding, user, "pk", permissions__contains=[permission.value])
    return Q(_member(user, "space__organization__account")) & (
        Q(own) | (Q(restricted_at__isnull=True) & _reached(user, permission, "space__"))
    )


def _reached(user: User, permission: Permission, to: str) -> Q:
    """Whether the permission is held in a space; ``to`` is the way from the rows asked about to theirs."""
    wanted = {"permissions__contains": [permission.value]}
    space = to.removesuffix("__") or "pk"
    inherits = Q(**{f"{to}is_private": False}) & ~Q(_bound(SpaceBinding, user, space, account__isnull=True))
    admin = {"account__isnull": True, "name": RoleName.ADMIN.value}
    return Q(_member(user, f"{to}organization__account")) & (
        Q(_bound(AccountBinding, user, f"{to}organization__account", **wanted))
        | Q(_bound(OrganizationBinding, user, f"{to}organization", **admin, **wanted))
        | (inherits & Q(_bound(OrganizationBinding, user, f"{to}organization", **wanted)))
        | Q(_bound(SpaceBinding, user, space, **wanted))
    )


_CONDITIONS = {Account: _at_account, Organization: _at_organization, Space: _at_space, Project: _at_project}
