"""What every Settings page has in common: someone signed in, an Actor, no copies in caches, refusals as pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import unquote

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from accounts.actors import Actor
from accounts.audit import Tag, record_refusal
from accounts.errors import Forbidden, NotFound
from accounts.models import Space
from accounts.redaction import KEY_PATTERN
from accounts.signals import key_misplaced
from accounts.standing import Standing
from accounts.vocabulary import Permission
from accounts.wire import encode_id

P = ParamSpec("P")


def settings_page(
    view: Callable[Concatenate[HttpRequest, Actor, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Call the view with the signed-in person's Actor; what it refuses becomes the 404 or the 403 page.

    Someone who is in no account has no Settings; they are told whom to ask. A key typed into a search is taken out of
    the address at once, and marked exposed: addresses are kept in histories and logs (security 27).
    """

    @wraps(view)
    def page(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        actor = Actor.from_request(request)
        if actor.account is None:
            return render(request, "settings/no_account.html", status=403)
        misplaced = KEY_PATTERN.search(unquote(request.META.get("QUERY_STRING", "")))
        if misplaced:
            key_misplaced.send(sender=Actor, actor=actor, text=misplaced[0], where="query string", at=timezone.now())
            messages.error(request, "An API key does not belong in a search. Refresh it: addresses get logged.")
            return HttpResponseRedirect(request.path)
        try:
            return view(request, actor, *args, **kwargs)
        except NotFound as refusal:
            raise Http404(refusal.detail) from refusal
        except Forbidden as refusal:
            if not refusal.noted:
                record_refusal(actor, Tag.ACCESS_REFUSED, refusal, where=request.path)
            raise PermissionDenied(refusal.detail) from refusal

    return never_cache(login_required(page))


def space_head(mine: Standing, space: Space, tab: str) -> dict[str, Any]:
    """Return what the head of each page about one space shows, and which of its tabs the page is."""
    return {
        "section": "spaces",
        "tab": tab,
        "space": space,
        "wire_id": encode_id("Space", space.pk),
        "sees_keys": mine.holds(Permission.SERVICE_KEY_READ, space),
        "has_settings": any(mine.holds(one, space) for one in (Permission.SPACE_UPDATE, Permission.SPACE_DELETE)),
    }
