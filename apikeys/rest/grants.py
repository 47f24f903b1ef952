"""From the ids in a request to organizations, spaces and roles: five queries, however many ids there are."""

from __future__ import annotations

from typing import Any

from accounts.actors import Actor
from accounts.errors import NotFound
from accounts.models import Organization, Role, Space
from accounts.rest.role_objects import RoleChoice, RoleFinder
from accounts.roles import Level
from apikeys.lifecycle import OrganizationGrant, SpaceGrant
from apikeys.policy import DEFAULT_ROLE


def roles_and_grants(actor: Actor, body: dict[str, Any]) -> tuple[Role, list[OrganizationGrant]]:
    """Return the account role and the grants that a request for a service key asks for.

    Only the caller's own account is looked into; whether the caller may read what is found there, the verb asks, with
    the same words for what is missing.

    Raises:
        NotFound: no such organization, space or role.
        NotAllowed: a custom role where there are none.
    """
    wanted = body["organizations"]
    account = actor.require_account()
    organizations = Organization.objects.filter(account=account).in_bulk({one["org_id"] for one in wanted})
    spaces = (
        Space.objects.filter(organization__account=account)
        .select_related("organization")
        .in_bulk({one["space_id"] for organization in wanted for one in organization["spaces"]})
    )
    roles = RoleFinder(actor, _choices(body))

    def find(level: Level, choice: RoleChoice | None, field: str) -> Role:
        return roles.find(level, choice or RoleChoice(name=DEFAULT_ROLE[level]), field)

    account_role = find(Level.ACCOUNT, body.get("account_role"), "account_role")
    grants = [
        OrganizationGrant(
            organization=_found(organizations, organization["org_id"], "organization"),
            role=find(Level.ORGANIZATION, organization.get("role"), "organizations"),
            spaces=tuple(
                SpaceGrant(
                    space=_found(spaces, one["space_id"], "space"),
                    role=find(Level.SPACE, one.get("role"), "organizations"),
                )
                for one in organization["spaces"]
            ),
        )
        for organization in wanted
    ]
    return account_role, grants


def _choices(body: dict[str, Any]) -> list[RoleChoice]:
    return [one["role"] for organization in body["organizations"] for one in organization["spaces"] if "role" in one]


def _found(rows: dict[int, Any], number: int, what: str) -> Any:
    if number not in rows:
        raise NotFound(f"There is no such {what}, or you have no access to it.", field="organizations")
    return rows[number]
