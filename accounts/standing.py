"""Everything one user is in one account, read once: for ceilings, and for pages that show many scopes.

Three queries, whatever the number of organizations and spaces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, Self, TypeVar

from accounts.actors import Actor
from accounts.models import Account, AccountBinding, Organization, OrganizationBinding, Role, Space, SpaceBinding, User
from accounts.vocabulary import Permission

_ROLE = "permission__role"


@dataclass(frozen=True)
class Standing:
    """A user's roles in an account, and what follows from them."""

    account: Account
    account_role: Role | None
    is_developer: bool
    organizations: dict[int, Role] = field(default_factory=dict)
    spaces: dict[int, tuple[Role, ...]] = field(default_factory=dict)
    own_spaces: tuple[Space, ...] = ()
    unlimited: bool = False

    @classmethod
    def of(cls, user: User, account: Account, *, lock: bool = False) -> Self:
        """Read a user's standing; with ``lock`` (inside a transaction) nobody can change it until commit.

        Bindings are locked in a fixed order, account first, so that two callers cannot wait for each other.
        """
        # Whether the user is active is asked here and not of the object at hand, which may be older than the lock.
        account_rows = AccountBinding.objects.filter(user=user, content_object=account, user__is_active=True)
        organization_rows = OrganizationBinding.objects.filter(user=user, content_object__account=account)
        space_rows = SpaceBinding.objects.filter(user=user, content_object__organization__account=account)
        if lock:
            # Locking and reading are two statements on purpose: what the second one reads is what the lock keeps.
            for rows in (account_rows, organization_rows, space_rows):
                list(rows.order_by("pk").select_for_update(no_key=True, of=("self",)).values_list("pk", flat=True))
        membership = account_rows.select_related(_ROLE).first()
        if membership is None:
            return cls(account=account, account_role=None, is_developer=False)
        spaces: dict[int, tuple[Role, ...]] = {}
        own_spaces: dict[int, Space] = {}
        for binding in space_rows.select_related(_ROLE, "content_object"):
            if binding.role.deleted_at is None:
                spaces[binding.content_object_id] = (*spaces.get(binding.content_object_id, ()), binding.role)
                own_spaces[binding.content_object_id] = binding.content_object
        return cls(
            account=account,
            account_role=membership.role,
            is_developer=membership.is_developer,
            organizations={row.content_object_id: row.role for row in organization_rows.select_related(_ROLE)},
            spaces=spaces,
            own_spaces=tuple(own_spaces.values()),
        )

    @classmethod
    def of_operator(cls, account: Account) -> Self:
        """Return the standing of whoever runs the installation: no ceiling anywhere."""
        return cls(account=account, account_role=None, is_developer=True, unlimited=True)

    @property
    def is_account_admin(self) -> bool:
        """Whether the user runs the account."""
        return self.unlimited or (self.account_role is not None and self.account_role.is_admin)

    def roles_at(self, scope: Account | Organization | Space) -> tuple[Role, ...]:
        """Return every role that counts at a scope, inherited ones included."""
        if self.account_role is None:
            return ()
        if isinstance(scope, Account):
            return (self.account_role,)
        if isinstance(scope, Organization):
            own = self.organizations.get(scope.pk)
            return (self.account_role, own) if own else (self.account_role,)
        return roles_in_space(
            self.account_role,
            self.organizations.get(scope.organization_id),
            self.spaces.get(scope.pk, ()),
            is_private=scope.is_private,
        )

    def permissions_at(self, scope: Account | Organization | Space) -> frozenset[str]:
        """Return the union of what the user's roles permit at a scope."""
        return frozenset(name for role in self.roles_at(scope) for name in role.permissions)

    def holds(self, permission: Permission, scope: Account | Organization | Space) -> bool:
        """Whether the user holds the permission at a scope."""
        return self.unlimited or permission.value in self.permissions_at(scope)

    def rank_at(self, scope: Account | Organization | Space) -> int:
        """Return the rank of the user's effective predefined role at a scope; 0 for none.

        An account role counts below the account only when it is Admin's: a Member of the account is nobody yet in an
        organization.
        """
        ranks = [
            role.rank or 0
            for role in self.roles_at(scope)
            if isinstance(scope, Account) or role.is_admin or role is not self.account_role
        ]
        return max(ranks, default=0)

    def covers(self, role: Role, scope: Account | Organization | Space) -> bool:
        """Whether a role is at or below the user's own at a scope: the one ceiling rule.

        Predefined roles compare by rank; as soon as a custom role is involved, on either side, the role's permissions
        must be a subset of the user's there (design §2). An organization role reaches public spaces by fallback, so it
        must be at or below the user's own role in those where the user has one.
        """
        if self.unlimited:
            return True
        if isinstance(scope, Organization) and not self._covers_fallback(role, scope):
            return False
        if role.rank is not None and role.rank <= self.rank_at(scope):
            return True
        custom = role.rank is None or any(mine.rank is None for mine in self.roles_at(scope))
        return custom and bool(role.permissions) and frozenset(role.permissions) <= self.permissions_at(scope)

    def _covers_fallback(self, role: Role, organization: Organization) -> bool:
        reached = [
            space for space in self.own_spaces if space.organization_id == organization.pk and not space.is_private
        ]
        return all((role.rank or 0) <= self.rank_at(space) for space in reached if self._has_own_role(space))

    def _has_own_role(self, space: Space) -> bool:
        return any(role.is_predefined for role in self.spaces.get(space.pk, ()))


class Counts(Protocol):
    """What decides whether a role counts: a row of the roles table, or as much of one as a query fetched."""

    @property
    def is_admin(self) -> bool:
        """Whether it is the Admin of its level."""

    @property
    def is_predefined(self) -> bool:
        """Whether it ships with the product."""


C = TypeVar("C", bound=Counts)


def roles_in_space(
    account_role: C, organization_role: C | None, own_roles: tuple[C, ...], *, is_private: bool
) -> tuple[C, ...]:
    """Return which of somebody's roles count in a space: the rule of ``permissions.permitted``, for rows at hand.

    The account's always does, and what is held in the space itself; the organization's where it is inherited.
    """
    inherits = organization_role and inheritance(organization_role, own_roles, is_private=is_private).counts
    return (account_role, *((organization_role,) if organization_role and inherits else ()), *own_roles)


class Inheritance(Enum):
    """Whether an organization's role counts in one of its spaces, and through what."""

    ADMIN = "admin"
    PUBLIC = "public"
    PRIVATE = "private"
    REPLACED = "replaced"

    @property
    def counts(self) -> bool:
        """Whether it does."""
        return self in (Inheritance.ADMIN, Inheritance.PUBLIC)


def inheritance(organization_role: Counts, own_roles: Sequence[Counts], *, is_private: bool) -> Inheritance:
    """Return what becomes of an organization's role in one of its spaces.

    An Admin's counts in all of them, any other in the public ones, where no predefined role takes its place.
    """
    if organization_role.is_admin:
        return Inheritance.ADMIN
    if is_private:
        return Inheritance.PRIVATE
    return Inheritance.REPLACED if any(role.is_predefined for role in own_roles) else Inheritance.PUBLIC


def standing_of(actor: Actor, *, lock: bool = False) -> Standing:
    """Return the actor's standing in the account acted in.

    Raises:
        NotFound: the actor is in no account.
    """
    account = actor.require_account()
    if actor.is_operator:
        return Standing.of_operator(account)
    if actor.user is None:
        return Standing(account=account, account_role=None, is_developer=False)
    return Standing.of(actor.user, account, lock=lock)
