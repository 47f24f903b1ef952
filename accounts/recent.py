"""Recent sign-in: handing out or changing access wants a password newer than ``REAUTH_MINUTES`` (security.md 38).

The session keeps when its person last proved who they are, as Unix seconds under ``AUTHENTICATED_AT``. Signing in sets
it; the confirm-password page (``accounts:confirm``, given ``?next=``) sets it again by calling ``note_proof``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

P = ParamSpec("P")

AUTHENTICATED_AT = "authenticated_at"
# A form opened just in time may be filled in slowly: it is judged later than its page, so that nothing typed is lost.
FORM_MINUTES = 15


def note_proof(request: HttpRequest) -> None:
    """Remember that the session's person has just proved who they are."""
    request.session[AUTHENTICATED_AT] = int(time.time())


def is_recent(request: HttpRequest) -> bool:
    """Whether the proof is new enough for what is asked: a little longer for a form sent than for its page."""
    minutes: int = settings.REAUTH_MINUTES
    if request.method == "POST":
        minutes += FORM_MINUTES
    proved_at = request.session.get(AUTHENTICATED_AT)
    return isinstance(proved_at, int) and time.time() - proved_at < minutes * 60


def recent_login_required(
    view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Send whoever signed in too long ago to the confirm-password page, and from there back here."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        return view(request, *args, **kwargs) if is_recent(request) else to_confirmation(request)

    return guarded


def to_confirmation(request: HttpRequest, *, back: str = "") -> HttpResponseRedirect:
    """Send the person to the confirm-password page, and from there to ``back``.

    After a form, back to its page: a redirect cannot carry what was typed, so the page says that nothing was done.
    """
    sent = request.method == "POST"
    asked: dict[str, Any] = {"next": back or (request.path if sent else request.get_full_path())}
    return HttpResponseRedirect(f"{reverse('accounts:confirm')}?{urlencode(asked | ({'sent': 1} if sent else {}))}")


@receiver(user_logged_in)
def _note_sign_in(sender: object, request: HttpRequest, **kwargs: Any) -> None:
    note_proof(request)
