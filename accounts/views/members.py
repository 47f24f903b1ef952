"""The lists of people and of bots."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts import roster
from accounts.actors import Actor
from accounts.errors import Invalid
from accounts.models import Organization, Space, UserKind
from accounts.pages import settings_page
from accounts.paging import paginate
from accounts.permissions import may, visible
from accounts.roles import DEVELOPER_BY_DEFAULT
from accounts.scope import chosen_scope
from accounts.standing import Standing, standing_of
from accounts.views.naming import link, searched, space_at
from accounts.vocabulary import Permission
from accounts.wire import encode_id

PAGE_SIZE = 25
_EVERYWHERE = "all"
# How many spaces the filter lists; with more, the switch at the top of the page has a search.
_LISTED = 100
_STATUSES = (("", "Everybody"), ("active", "Joined"), ("invited", "Invited"))


@require_safe
@settings_page
def people(request: HttpRequest, actor: Actor) -> HttpResponse:
    """List the people in the account."""
    return _list(request, actor, UserKind.PERSON)


@require_safe
@settings_page
def bots(request: HttpRequest, actor: Actor) -> HttpResponse:
    """List the bot users behind service keys."""
    return _list(request, actor, UserKind.BOT)


def _list(request: HttpRequest, actor: Actor, kind: UserKind) -> HttpResponse:
    if not roster.may_read(actor):
        return render(request, "accounts/members_closed.html", {"section": "members", "me": _own_id(actor)}, status=403)
    mine, at = standing_of(actor), timezone.now()
    space, organization = _place(request, actor)
    status = request.GET.get("status", "") if kind == UserKind.PERSON else ""
    status = status if status in dict(_STATUSES) else ""
    query = searched(request)
    wanted = roster.Wanted(kind=kind, query=query, status=status, organization=organization, space=space)
    try:
        page = paginate(roster.members(actor, mine, wanted), cursor=request.GET.get("after"), limit=PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(request.path)
    rows = roster.dress(actor, mine, page.items, scope=space)
    kept = {"q": query, "status": status, "space": request.GET.get("space", "")}
    context = {
        "section": "members",
        "is_bots": kind == UserKind.BOT,
        "tab": "bots" if kind == UserKind.BOT else "people",
        "rows": [
            {
                "member": row,
                "is_you": row.user == actor.user,
                "expired": row.is_expired(at),
                "developer_note": _developer_note(row),
            }
            for row in rows
        ],
        "query": query,
        "status": status,
        "space": space,
        "organization": None if space else organization,
        "spaces": _spaces(actor, space),
        "is_filtered": bool(query or status or space or organization),
        "is_narrowed": bool(query or status),
        "statuses": [
            {"label": label, "url": link(kept, status=value), "current": value == status} for value, label in _STATUSES
        ],
        "may_invite": may(actor, Permission.USER_CREATE, actor.require_account()),
        "is_admin": mine.is_account_admin,
        "admins": [] if _manages_somewhere(mine) else roster.admins(actor),
        "older_url": link(kept, after=page.next_cursor) if page.next_cursor else "",
        "first_url": link(kept) if request.GET.get("after") else "",
        "everywhere": _EVERYWHERE,
    }
    return render(request, "accounts/members.html", context)


def _place(request: HttpRequest, actor: Actor) -> tuple[Space | None, Organization | None]:
    """Return the space to look at: the one in the address, or else what is chosen at the top of the page."""
    asked = request.GET.get("space", "")
    if asked == _EVERYWHERE:
        return None, None
    if asked:
        space = space_at(actor, asked)
        return space, space.organization
    chosen = chosen_scope(request, actor)
    return chosen.space, chosen.organization


def _spaces(actor: Actor, current: Space | None) -> list[dict[str, Any]]:
    assert actor.user is not None  # noqa: S101 -- a browser's actor is somebody
    rows = visible(actor.user, Space).filter(organization__account=actor.require_account())
    found = list(rows.select_related("organization").order_by("organization__name", "name", "pk")[:_LISTED])
    if current is not None and current not in found:
        found.insert(0, current)
    return [
        {
            "value": encode_id("Space", row.pk),
            "name": row.name,
            "group": row.organization.name,
            "is_private": row.is_private,
            "selected": row == current,
        }
        for row in found
    ]


def _manages_somewhere(mine: Standing) -> bool:
    return (
        mine.is_account_admin
        or any(role.is_admin for role in mine.organizations.values())
        or any(role.is_admin for roles in mine.spaces.values() for role in roles)
    )


def _developer_note(member: roster.Member) -> str:
    """Say what is unusual about somebody's developer access; what goes with the role needs no words."""
    if member.user.is_bot or member.is_developer == (member.role.name in DEVELOPER_BY_DEFAULT):
        return ""
    return "Developer access on" if member.is_developer else "Developer access off"


def _own_id(actor: Actor) -> str:
    return encode_id("User", actor.user.pk) if actor.user else ""
