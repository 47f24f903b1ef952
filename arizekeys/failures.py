"""What a page says when something broke: an honest 503 where it is the database, 500 where it is us."""

from __future__ import annotations

import sys

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from apikeys.following import NotSettled
from arizekeys.local import LocalError

_DATABASE_GONE = (DatabaseError, InterfaceError, LocalError)
_OUR_FAULT = (DataError, IntegrityError)


def handler500(request: HttpRequest) -> HttpResponse:
    """Answer for an exception nobody caught. The page asks the database nothing: it may be what is missing."""
    error = sys.exc_info()[1]
    gone = isinstance(error, _DATABASE_GONE) and not isinstance(error, _OUR_FAULT)
    status, template = (503, "503.html") if gone else (500, "500.html")
    words = {"detail": str(error)} if isinstance(error, NotSettled) else {}
    answer = HttpResponse(render_to_string(template, words), status=status)
    answer["Cache-Control"] = "no-store"
    if gone:
        answer["Retry-After"] = "5"
    return answer
