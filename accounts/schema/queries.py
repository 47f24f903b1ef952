"""Where every query begins: the caller, their account, and whatever has an id."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import strawberry

from accounts.bindings import find_binding, find_membership
from accounts.custom_roles import find_role
from accounts.errors import Invalid, NotFound
from accounts.models import Organization, OrganizationBinding, Space
from accounts.people import find_person
from accounts.permissions import find_seen, seen_by
from accounts.schema import audit  # noqa: F401 -- adds its fields to the account
from accounts.schema.inquiry import Info, Inquiry, Peers
from accounts.schema.relay import Node, told
from accounts.schema.types import (
    Account,
    OrganizationMembership,
    Role,
    RoleBinding,
    User,
    Viewer,
    memberships,
    one_organization,
    one_space,
    users_of,
)
from accounts.wire import decode_id

Finder = Callable[[Inquiry, int], Node]


@strawberry.type
class AccountQueries:
    """The root fields of the ground floor."""

    @told("The caller.", access="Any valid key, for its own user.")
    def viewer(self) -> Viewer:
        """Return the caller."""
        return Viewer()

    @told("The account that the key was made in.", access="Any valid key, for its own account.")
    def account(self, info: Info) -> Account:
        """Return the account."""
        return Account(row=info.context.actor.require_account())


def find_node(inquiry: Inquiry, finders: Mapping[str, Finder], wire_id: str) -> Node | None:
    """Return what an id names, or nothing where there is nothing, or nothing the caller may know of.

    Raises:
        Invalid: it is no id at all, or the id of something that is not served here.
    """
    for type_name, find in finders.items():
        try:
            number = decode_id(wire_id, type_name)
        except Invalid:
            continue
        try:
            return find(inquiry, number)
        except NotFound:
            return None
    raise Invalid("This is not an ID.", field="id")


def _account(inquiry: Inquiry, number: int) -> Node:
    account = inquiry.actor.require_account()
    if account.pk != number:
        raise NotFound("There is no such account, or you have no access to it.")
    return Account(row=account)


def _user(inquiry: Inquiry, number: int) -> User:
    return users_of(inquiry, [find_person(inquiry.actor, number).pk])[number]


def _organization_membership(inquiry: Inquiry, number: int) -> OrganizationMembership:
    """Find a membership of somebody whom the caller may know of, in an organization that they may see."""
    rows = OrganizationBinding.objects.filter(content_object__in=seen_by(inquiry.actor, Organization))
    row = rows.select_related("content_object", "permission__role").filter(pk=number).first()
    if row is None:
        raise NotFound("There is no such membership, or you have no access to it.")
    find_person(inquiry.actor, row.user_id)
    return OrganizationMembership(row=row)


def _role_binding(inquiry: Inquiry, number: int) -> RoleBinding:
    row = find_binding(inquiry.actor, number)
    return RoleBinding(row=row, peers=Peers([row]))


# How what an id names is found: each answers with what the caller may read, or refuses as the REST API does.
FINDERS: dict[str, Finder] = {
    "Account": _account,
    "Organization": lambda inquiry, number: one_organization(find_seen(inquiry.actor, Organization, number)),
    "Space": lambda inquiry, number: one_space(find_seen(inquiry.actor, Space, number)),
    "User": _user,
    "Role": lambda inquiry, number: Role(row=find_role(inquiry.actor, number)),
    "OrganizationMembership": _organization_membership,
    "SpaceMembership": lambda inquiry, number: memberships([find_membership(inquiry.actor, number)])[0],
    "RoleBinding": _role_binding,
}
