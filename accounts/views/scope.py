"""Choosing the account, organization and space to look at."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.actors import Actor, accounts_of
from accounts.errors import Invalid, NotFound
from accounts.models import Account, Organization, Space
from accounts.pages import settings_page
from accounts.paging import paginate
from accounts.permissions import visible
from accounts.scope import FIND, choose_account, choose_organization, choose_space, chosen_scope
from accounts.views.sign_in import safe_next
from accounts.wire import decode_id

_PAGE_SIZE = 50
_KINDS: dict[str, type[Account | Organization | Space]] = {
    "account": Account,
    "organization": Organization,
    "space": Space,
}
# Parts of an address that mean something else, or nothing, in another scope.
_LEFT_BEHIND = frozenset({"after", "space"})


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
def scope(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Keep a choice in the session, or show everything there is to choose from."""
    return _choose(request, actor) if request.method == "POST" else _search(request, actor)


def _choose(request: HttpRequest, actor: Actor) -> HttpResponse:
    field = next((name for name in _KINDS if name in request.POST), None)
    if field is None:
        raise NotFound("Nothing was chosen.")
    value = request.POST[field]
    if value == FIND:
        return redirect(f"{reverse('accounts:scope')}?{urlencode({'kind': field, 'next': safe_next(request)})}")
    row = _found(actor, field, value) if value else None
    if isinstance(row, Account):
        choose_account(request, row)
        # The page one was on may show something of the other account.
        return HttpResponseRedirect(resolve_url(settings.LOGIN_REDIRECT_URL))
    if field == "organization":
        choose_organization(request, row if isinstance(row, Organization) else None)
    elif field == "space":
        choose_space(request, row if isinstance(row, Space) else None)
    return HttpResponseRedirect(_cleared(safe_next(request)))


def _search(request: HttpRequest, actor: Actor) -> HttpResponse:
    kind = request.GET.get("kind", "")
    kind = kind if kind in _KINDS else "space"
    query = request.GET.get("q", "").replace("\x00", "").strip()[:256]
    rows = _choosable(actor, kind)
    chosen = chosen_scope(request, actor)
    if kind == "space" and chosen.organization is not None:
        rows = rows.filter(organization=chosen.organization)
    if query:
        rows = rows.filter(name__icontains=query)
    try:
        page = paginate(rows, cursor=request.GET.get("after"), limit=_PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(request.path)
    kept = {"kind": kind, "q": query, "next": safe_next(request)}
    context = {
        "kind": kind,
        "query": query,
        "next": kept["next"],
        "rows": page.items,
        "type_name": _KINDS[kind].__name__,
        "inside": chosen.organization if kind == "space" else None,
        "older_url": f"?{urlencode(kept | {'after': page.next_cursor})}" if page.next_cursor else "",
        "first_url": f"?{urlencode(kept)}" if request.GET.get("after") else "",
    }
    return render(request, "accounts/scope.html", context)


def _found(actor: Actor, kind: str, wire_id: str) -> Account | Organization | Space:
    try:
        number = decode_id(wire_id, _KINDS[kind].__name__)
    except Invalid as refusal:
        raise NotFound(refusal.detail) from refusal
    row: Account | Organization | Space | None = _choosable(actor, kind).filter(pk=number).first()
    if row is None:
        raise NotFound(f"There is no such {kind}, or you have no access to it.")
    return row


def _choosable(actor: Actor, kind: str) -> QuerySet[Any]:
    account, user = actor.require_account(), actor.user
    assert user is not None  # noqa: S101 -- a browser's actor is somebody
    if kind == "account":
        return Account.objects.filter(pk__in=[row.pk for row in accounts_of(user)])
    if kind == "organization":
        return visible(user, Organization).filter(account=account)
    return visible(user, Space).filter(organization__account=account).select_related("organization")


def _cleared(address: str) -> str:
    parts = urlsplit(address)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in _LEFT_BEHIND]
    return urlunsplit(parts._replace(query=urlencode(query)))
