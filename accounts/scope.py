"""The account, organization and space chosen at the top of the page: kept in the session, checked on every request.

A choice decides nothing about rights. It narrows lists and fills in forms, and it is forgotten as soon as the person
may no longer see what was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from accounts.actors import SESSION_ACCOUNT, Actor, accounts_of
from accounts.models import Account, Organization, Space, User
from accounts.permissions import visible
from accounts.wire import encode_id

SESSION_ORGANIZATION = "organization_id"
SESSION_SPACE = "space_id"
# How many names a menu holds; with more, its last entry leads to the page with a search.
MENU = 20
FIND = "find"


@dataclass(frozen=True)
class ChosenScope:
    """Where the person is looking. ``None`` stands for all of them."""

    account: Account
    organization: Organization | None = None
    space: Space | None = None


def chosen_scope(request: HttpRequest, actor: Actor) -> ChosenScope:
    """Return what the person chose, as far as they may see it: no query where nothing was chosen, one otherwise."""
    account = actor.require_account()
    if actor.user is None:
        return ChosenScope(account)
    space_id, organization_id = request.session.get(SESSION_SPACE), request.session.get(SESSION_ORGANIZATION)
    if space_id:
        spaces = visible(actor.user, Space).filter(organization__account=account, pk=space_id)
        space = spaces.select_related("organization").first()
        if space is not None:
            return ChosenScope(account, space.organization, space)
    if organization_id:
        found = visible(actor.user, Organization).filter(account=account, pk=organization_id).first()
        return ChosenScope(account, found)
    return ChosenScope(account)


def choose_account(request: HttpRequest, account: Account) -> None:
    """Look at another account, at all of it."""
    request.session[SESSION_ACCOUNT] = account.pk
    choose_organization(request, None)


def choose_organization(request: HttpRequest, organization: Organization | None) -> None:
    """Look at one organization, or at all."""
    _keep(request, SESSION_ORGANIZATION, organization.pk if organization else None)
    _keep(request, SESSION_SPACE, None)


def choose_space(request: HttpRequest, space: Space | None) -> None:
    """Look at one space, or at all of the organization."""
    if space is not None:
        _keep(request, SESSION_ORGANIZATION, space.organization_id)
    _keep(request, SESSION_SPACE, space.pk if space else None)


def switch(request: HttpRequest) -> dict[str, Any]:
    """Context processor: what components/scope_switch.html shows. Asks session and database only where it is shown."""
    return {"scope_steps": SimpleLazyObject(lambda: _steps(request)), "scope_action": reverse("accounts:scope")}


def _steps(request: HttpRequest) -> list[dict[str, Any]]:
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return []
    accounts = accounts_of(user)
    if not accounts:
        return []
    actor = Actor.from_request(request)
    chosen = chosen_scope(request, actor)
    steps = [_step("Account", "account", chosen.account, accounts)]
    organizations = list(visible(user, Organization).filter(account=chosen.account).order_by("name", "pk")[: MENU + 1])
    if organizations:
        steps.append(
            _step("Organization", "organization", chosen.organization, organizations, everything="All organizations")
        )
    spaces = visible(user, Space).filter(organization__account=chosen.account).select_related("organization")
    if chosen.organization is not None:
        spaces = spaces.filter(organization=chosen.organization)
    rows = list(spaces.order_by("organization__name", "name", "pk")[: MENU + 1])
    if rows:
        qualified = chosen.organization is None and len(organizations) > 1
        steps.append(_step("Space", "space", chosen.space, rows, everything="All spaces", qualified=qualified))
    return steps


def _step(
    label: str,
    field: str,
    current: Account | Organization | Space | None,
    rows: list[Any],
    *,
    everything: str = "",
    qualified: bool = False,
) -> dict[str, Any]:
    options: list[dict[str, Any]] = []
    if everything and len(rows) > 1:
        options.append({"name": everything, "value": "", "current": current is None})
    shown = rows[:MENU]
    if current is not None and current not in shown:
        shown = [current, *shown]
    for row in shown:
        name = f"{row} · {row.organization}" if qualified else str(row)
        options.append({"name": name, "value": encode_id(type(row).__name__, row.pk), "current": row == current})
    if len(rows) > MENU:
        options.append({"name": f"Find another {label.lower()}…", "value": FIND, "current": False})
    only = rows[0] if len(rows) == 1 else None
    return {"label": label, "field": field, "name": str(current or only or everything), "options": options}


def _keep(request: HttpRequest, name: str, value: int | None) -> None:
    if value is None:
        request.session.pop(name, None)
    else:
        request.session[name] = value
