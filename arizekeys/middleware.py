"""Refuses what is unsafe to answer, and says how long an answer waited until it held everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from accounts.errors import LengthRequired
from accounts.origin import came_privately, require_measured
from apikeys.following import watched
from arizekeys.rest import instance

_API_PATH = re.compile(settings.API_PATHS)


class TellSettling:
    """Middleware: what the answer to a change waited until no host could contradict it, as ``Server-Timing``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request, and add the header where anything was changed."""
        with watched() as spent:
            response = self.get_response(request)
        if spent:
            response["Server-Timing"] = f"settle;dur={1000 * sum(spent):.1f}"
        return response


class RefusePlainHttp:
    """Middleware: an API path asked for without TLS is answered 403, unless the caller is on this machine.

    The key has already been read by everybody on the way.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request, or refuse it before anything looks at the key."""
        if not _API_PATH.match(request.path_info.lstrip("/")) or came_privately(request.META):
            return self.get_response(request)
        problem = {
            "type": "about:blank",
            "title": "HTTPS required",
            "status": 403,
            "detail": "This API is served over HTTPS only. A key sent over plain HTTP should be refreshed.",
            "instance": instance(request),
            "error_code": "https_required",
        }
        return JsonResponse(problem, status=403, content_type="application/problem+json")


class RefuseUnmeasured:
    """Middleware: to a page a body in chunks is answered 411; what is sent to an API is for the API to answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        """Refuse the request, or let the view answer."""
        if hasattr(view, "cls"):
            return None
        try:
            require_measured(request)
        except LengthRequired as refusal:
            return HttpResponse(refusal.detail, status=411, content_type="text/plain")
        return None
