"""What the pages of organizations and of spaces have in common: who is there, and deleting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from accounts import roster
from accounts.actors import Actor
from accounts.errors import DomainError, Forbidden, Invalid, NotFound
from accounts.forms import DeletionForm
from accounts.models import Organization, Space, UserKind
from accounts.paging import paginate
from accounts.roster import Reach
from accounts.standing import Standing, standing_of
from accounts.tenancy import consequences_of_deletion
from accounts.views.naming import link, searched
from accounts.vocabulary import Permission
from accounts.wire import encode_id

_PAGE_SIZE = 25
_BOTS = "bots"
_REACHES = {"": "Everybody", Reach.OWN.value: "Role here", Reach.INHERITED.value: "From above"}
# How many spaces that go along are named before they are counted.
_NAMED = 20


def list_members(
    request: HttpRequest,
    actor: Actor,
    mine: Standing,
    scope: Organization | Space,
    head: dict[str, Any],
    template: str,
) -> HttpResponse:
    """Show who is in an organization or gets into a space, and where each role comes from."""
    if not roster.may_read(actor):
        return render(request, template, head | {"closed": True})
    shown, query, at = request.GET.get("show", ""), searched(request), timezone.now()
    shown = shown if shown in (*_REACHES, _BOTS) else ""
    inside: dict[str, Any] = {"space": scope} if isinstance(scope, Space) else {"organization": scope}
    wanted = roster.Wanted(
        kind=UserKind.BOT if shown == _BOTS else UserKind.PERSON,
        query=query,
        reach=Reach(shown) if shown and shown != _BOTS else None,
        **inside,
    )
    try:
        page = paginate(roster.members(actor, mine, wanted), cursor=request.GET.get("after"), limit=_PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(request.path)
    gives, kept = roster.giving(mine, scope), {"show": shown, "q": query}
    rows = [
        {
            "member": member,
            "has_own": any(not line.source for line in member.here),
            "is_you": member.user == actor.user,
            "expired": member.is_expired(at),
        }
        for member in roster.dress(actor, mine, page.items, scope=scope)
    ]
    context = head | {
        "rows": rows,
        "gives": gives,
        "is_bots": shown == _BOTS,
        "shown": shown,
        "query": query,
        "shows": [
            {"label": label, "url": link(kept, show=value) or "?", "current": value == shown}
            for value, label in (_REACHES | {_BOTS: "Bots"}).items()
        ],
        "admins": [] if gives else roster.admins(actor),
        "older_url": link(kept, after=page.next_cursor) if page.next_cursor else "",
        "first_url": link(kept) if request.GET.get("after") else "",
    }
    return render(request, template, context)


def delete_scope(
    request: HttpRequest, actor: Actor, scope: Organization | Space, verb: Callable[..., None], *, close_url: str
) -> HttpResponse:
    """Say which keys stop and what goes along, have the name typed, and delete."""
    at, mine = timezone.now(), standing_of(actor)
    form = DeletionForm(request.POST or None, scope=scope)
    error = ""
    if request.method == "POST" and form.is_valid():
        try:
            verb(actor, scope, at=at)
        except (Forbidden, NotFound):
            raise
        except DomainError as refusal:
            error = refusal.detail
        else:
            messages.success(request, f"The {scope._meta.verbose_name} “{form.scope.name}” is deleted.")
            return HttpResponseRedirect(_after(scope))
    sees_keys = mine.holds(Permission.SERVICE_KEY_READ, scope)
    spaces = list(scope.spaces.order_by("name")[: _NAMED + 1]) if isinstance(scope, Organization) else []
    context = {
        "section": "spaces",
        "scope": scope,
        "kind": scope._meta.verbose_name,
        "spaces": spaces[:_NAMED],
        "has_more_spaces": len(spaces) > _NAMED,
        "sees_keys": sees_keys,
        "consequences": consequences_of_deletion(scope, at=at) if sees_keys else None,
        "form": form,
        "error": error,
        "close_url": close_url,
    }
    return render(request, "accounts/scope_delete.html", context, status=422 if error or form.errors else 200)


def _after(scope: Organization | Space) -> str:
    """Return where one is once it is gone: a space's organization, or the list."""
    if isinstance(scope, Organization):
        return reverse("accounts:spaces")
    return reverse("accounts:organization", kwargs={"wire_id": encode_id("Organization", scope.organization_id)})
