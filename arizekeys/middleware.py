"""Refuses what is unsafe to answer, and says how long an answer waited until it held everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

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


class RefuseUnmeasured:
    """Middleware: a body without a length is answered 411. Django reads nothing of it, as if it were empty.

    Views with ``takes_unmeasured`` read it past Django, where the server says when it ends.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        """Refuse the request, or let the view answer."""
        takes = getattr(getattr(view, "cls", None), "takes_unmeasured", False)
        if (takes and request.META.get("wsgi.input_terminated")) or not _has_unmeasured(request.META):
            return None
        problem = {
            "type": "about:blank",
            "title": "Length required",
            "status": 411,
            "detail": "Send the body with a Content-Length, and not in chunks.",
            "instance": request.path,
        }
        return JsonResponse(problem, status=411, content_type="application/problem+json")


def _has_unmeasured(meta: Mapping[str, Any]) -> bool:
    if "HTTP_TRANSFER_ENCODING" in meta:
        return True
    # HTTP/2 has no header that announces a body.
    by_frames = meta.get("SERVER_PROTOCOL", "").startswith("HTTP/2") and not meta.get("CONTENT_LENGTH")
    return by_frames and meta["wsgi.input"].read(1) != b""
