"""What every Settings page has in common: someone signed in, an Actor, no copies in caches, refusals as pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from accounts.actors import Actor
from accounts.errors import Forbidden, NotFound

P = ParamSpec("P")


def settings_page(
    view: Callable[Concatenate[HttpRequest, Actor, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Call the view with the signed-in person's Actor; what it refuses becomes the 404 or the 403 page.

    Someone who is in no account has no Settings; they are told whom to ask.
    """

    @wraps(view)
    def page(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        actor = Actor.from_request(request)
        if actor.account is None:
            return render(request, "settings/no_account.html", status=403)
        try:
            return view(request, actor, *args, **kwargs)
        except NotFound as refusal:
            raise Http404(refusal.detail) from refusal
        except Forbidden as refusal:
            raise PermissionDenied(refusal.detail) from refusal

    return never_cache(login_required(page))
