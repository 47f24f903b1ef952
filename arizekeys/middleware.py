"""Refuses API calls over plain HTTP, and says how long an answer waited until it held everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from accounts.origin import came_privately
from apikeys.following import watched

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
            "instance": request.path,
        }
        return JsonResponse(problem, status=403, content_type="application/problem+json")
