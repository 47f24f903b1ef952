"""Who gets into a scope and through what, for many scopes at once: the other side of ``permissions.permitted``.

The account's admins get in everywhere, whether anybody added them or not; an organization's members get into its
public spaces, and its admins into the private ones too.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet, TextChoices

from accounts.models import (
    Account,
    AccountBinding,
    Organization,
    OrganizationBinding,
    Role,
    Space,
    SpaceBinding,
)
from accounts.roles import RoleName
from accounts.standing import Standing

S = TypeVar("S", Organization, Space)

_ROLE = "permission__role"
_ADMIN = Q(permission__role__account__isnull=True, permission__role__name=RoleName.ADMIN)


class Through(TextChoices):
    """What somebody's access to a scope comes from."""

    EXPLICIT_MEMBERSHIP = "EXPLICIT_MEMBERSHIP", "A role of their own"
    ACCOUNT_ADMIN = "ACCOUNT_ADMIN", "Admin of the account"
    ORGANIZATION_ADMIN = "ORGANIZATION_ADMIN", "Admin of the organization"
    PUBLIC_MEMBERSHIP = "PUBLIC_MEMBERSHIP", "Member of the organization, in a public space"


@dataclass(frozen=True)
class Presence:
    """One person or bot at a scope. Of the roles, ``own`` are given at this very scope, and ``counts`` is the highest.

    Custom roles add up with it; they have no rank, so where there are only such, none is the highest.
    """

    membership: AccountBinding
    own: tuple[Role, ...]
    counts: Role | None
    through: Through


def let_in(account: Account, model: type[Organization] | type[Space]) -> QuerySet[AccountBinding]:
    """Return the memberships of all who get into the scope that is the outer query's row."""
    members = AccountBinding.objects.filter(content_object=account, user__is_active=True)
    of_organization = OrganizationBinding.objects.filter(user=OuterRef("user"))
    if model is Organization:
        return members.filter(_ADMIN | Q(Exists(of_organization.filter(content_object=OuterRef(OuterRef("pk"))))))
    # One condition, not two after another: it is the same space that is the outer row and is public.
    around = of_organization.filter(
        _ADMIN | Q(content_object__spaces__is_private=False), content_object__spaces=OuterRef(OuterRef("pk"))
    )
    own = SpaceBinding.objects.filter(user=OuterRef("user"), content_object=OuterRef(OuterRef("pk")))
    return members.filter(_ADMIN | Q(Exists(around)) | Q(Exists(own)))


def presences(scopes: list[S], inside: dict[int, list[AccountBinding]]) -> dict[int, list[Presence]]:
    """Say what everybody inside some scopes of one kind is there: two queries for any number of scopes and people.

    ``inside`` are memberships by the scope's number, as ``let_in`` finds them, with user and role at hand.
    """
    standings = _standings(scopes, [membership for each in inside.values() for membership in each])
    return {
        scope.pk: [_presence(standings[membership.user_id], scope, membership) for membership in inside[scope.pk]]
        for scope in scopes
    }


def _presence(standing: Standing, scope: Organization | Space, membership: AccountBinding) -> Presence:
    if isinstance(scope, Space):
        own = standing.spaces.get(scope.pk, ())
        around = standing.organizations.get(scope.organization_id)
    else:
        around = standing.organizations.get(scope.pk)
        own = (around,) if around else ()
    roles = [role for role in standing.roles_at(scope) if role.is_admin or role is not standing.account_role]
    ranked = sorted((role for role in roles if role.rank is not None), key=lambda role: role.rank or 0)
    return Presence(membership, own, ranked[-1] if ranked else None, _through(standing, own, around))


def _through(standing: Standing, own: tuple[Role, ...], around: Role | None) -> Through:
    if own:
        return Through.EXPLICIT_MEMBERSHIP
    if standing.is_account_admin:
        return Through.ACCOUNT_ADMIN
    return Through.ORGANIZATION_ADMIN if around and around.is_admin else Through.PUBLIC_MEMBERSHIP


def _standings(scopes: list[Organization] | list[Space], memberships: list[AccountBinding]) -> dict[int, Standing]:
    """Return what each member is at these scopes and right above them, by the user's number."""
    users = {membership.user_id for membership in memberships}
    spaces = [scope.pk for scope in scopes if isinstance(scope, Space)]
    organizations = [scope.organization_id if isinstance(scope, Space) else scope.pk for scope in scopes]
    above: dict[int, dict[int, Role]] = defaultdict(dict)
    below: dict[int, dict[int, tuple[Role, ...]]] = defaultdict(dict)
    for row in OrganizationBinding.objects.filter(user__in=users, content_object__in=organizations).select_related(
        _ROLE
    ):
        above[row.user_id][row.content_object_id] = row.role
    if spaces:
        rows = SpaceBinding.objects.filter(user__in=users, content_object__in=spaces, permission__role__deleted_at=None)
        for line in rows.select_related(_ROLE).order_by("pk"):
            held = below[line.user_id]
            held[line.content_object_id] = (*held.get(line.content_object_id, ()), line.role)
    return {
        membership.user_id: Standing(
            account=membership.content_object,
            account_role=membership.role,
            is_developer=membership.is_developer,
            organizations=above[membership.user_id],
            spaces=below[membership.user_id],
        )
        for membership in memberships
    }
