"""Nobody does anything with a password that somebody else has seen: whoever signs in with one replaces it first."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

from accounts.models import User

PAGE = "accounts:password-first"
# Besides the page itself: leaving, and what whoever holds a link from a mail does without being signed in.
_OPEN = frozenset({PAGE, "accounts:logout", "accounts:invite-accept", "accounts:password-new"})
_API = re.compile(settings.API_PATHS)


class OwnPasswordFirst:
    """Middleware: whatever page is asked for with a temporary password, Django admin included, it is the one to choose
    a password of one's own on. Paths for programs take no session, so they are left alone.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponseBase | None:
        """Send the person on, or let the view answer."""
        if _API.match(request.path_info.lstrip("/")) or _name(request) in _OPEN:
            return None
        if not isinstance(request.user, User) or not request.user.password_is_temporary:
            return None
        asked = {"next": request.get_full_path()} if request.method in ("GET", "HEAD") else {}
        return HttpResponseRedirect(f"{reverse(PAGE)}?{urlencode(asked)}".rstrip("?"))


def _name(request: HttpRequest) -> str:
    return request.resolver_match.view_name if request.resolver_match else ""
