"""How REST answers: strict JSON whatever ``Accept`` says, and every error as a problem document (RFC 9457).

Settings name these by dotted path. DRF's views load them, so nothing here may import those.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError
from django.http import Http404, HttpRequest, UnreadablePostError
from django.utils.encoding import iri_to_uri
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import (
    Conflict,
    DomainError,
    Forbidden,
    Incompatible,
    Invalid,
    NotAllowed,
    NotFound,
    TooMany,
    Unavailable,
)
from accounts.idempotency import AlreadyDone
from accounts.redaction import redact_text
from accounts.rest.problems import BY_STATUS, PAGE, Fault, Malformed
from apikeys.authentication import REALM
from apikeys.errors import InvalidKey, UnsafeRequest
from apikeys.following import LONGEST, NotSettled
from arizekeys.local import LocalError

logger = logging.getLogger("arizekeys.rest")

# Clients sleep as long as they are told before every one of three retries (contract rest-v2 §4.5).
_LONGEST_WAIT = 60
_SHOWN_OF_ADDRESS = 500

# What the domain refuses, and what REST calls it; the first that fits counts.
_STATUS_OF_REFUSAL: tuple[tuple[type[DomainError], int], ...] = (
    (InvalidKey, 401),
    (NotFound, 404),
    (Forbidden, 403),
    (Incompatible, 400),  # contract rest-v2 §7 and §8: not 422
    (NotAllowed, 422),
    (Conflict, 409),
    (TooMany, 429),
    (Invalid, 400),
    (DomainError, 422),
)


class AnyAccept(BaseContentNegotiation):
    """Answer JSON to everybody: the SDK accepts nothing but problem documents where success has no body."""

    def select_parser(self, request: Request, parsers: list[BaseParser]) -> BaseParser | None:  # type: ignore[override]
        """Return the JSON parser for what calls itself JSON."""
        kind = (request.content_type or "").partition(";")[0].strip().lower()
        return parsers[0] if kind == parsers[0].media_type else None

    def select_renderer(  # type: ignore[override]
        self, request: Request, renderers: list[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the JSON renderer."""
        return renderers[0], str(renderers[0].media_type)


class StrictJson(BaseParser):
    """One JSON object in UTF-8: no duplicate names, no NaN, and no nesting that runs us out of stack."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the object.

        Raises:
            ParseError: it is none; the text never repeats a piece of the body.
        """
        try:
            value = json.loads(
                stream.read().decode("utf-8"),
                object_pairs_hook=_without_duplicates,
                parse_constant=_no_constant,
                parse_float=_finite,
            )
        except _Duplicate as error:
            raise exceptions.ParseError(str(error)) from None
        except (ValueError, RecursionError):
            raise exceptions.ParseError("The body is not valid JSON in UTF-8.") from None
        if not isinstance(value, dict):
            raise exceptions.ParseError("The body must be a JSON object.")
        return value


def problem(error: Exception, context: Mapping[str, Any]) -> Response:
    """Turn any exception of a REST view into its answer: the one place where errors become HTTP."""
    request: Request = context["request"]
    if isinstance(error, DomainError) and not isinstance(error, Unavailable):
        return _refusal(error, request._request)
    if isinstance(error, exceptions.APIException):
        return _protocol_error(error, request._request)
    if isinstance(error, Http404):
        return _answer(request._request, 404, "There is nothing at this address.", "not_found")
    if isinstance(error, PermissionDenied):
        return _answer(
            request._request, 403, "You may not do this.", "forbidden", challenge='error="insufficient_scope"'
        )
    if isinstance(error, RequestDataTooBig):
        return _answer(request._request, 413, "The body is larger than this API reads.", "content_too_large")
    if isinstance(error, UnreadablePostError):  # whoever sent it has gone, in all likelihood
        return _answer(request._request, 400, "The body ends in the middle. Send it again.", "unreadable")
    if isinstance(error, SuspiciousOperation):
        return _answer(request._request, 400, "The request cannot be read.", "invalid")
    return _failure(error, request._request)


def _refusal(error: DomainError, request: HttpRequest) -> Response:
    status = next(status for kind, status in _STATUS_OF_REFUSAL if isinstance(error, kind))
    response = _answer(request, status, error.detail, error.code, faults=_faults(error), challenge=_challenge(error))
    if isinstance(error, AlreadyDone):
        response.data["resource_id"] = error.row_id
    if isinstance(error, TooMany):
        response["Retry-After"] = str(max(1, min(error.retry_after, _LONGEST_WAIT)))
    return response


def _protocol_error(error: exceptions.APIException, request: HttpRequest) -> Response:
    """Answer what DRF itself refuses; its own texts may repeat what was sent, so they are not used."""
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return _answer(
            request, 401, "Send an API key: Authorization: Bearer ak-….", "authentication_required", challenge=""
        )
    if isinstance(error, exceptions.PermissionDenied):
        return _answer(request, 403, "You may not do this.", "forbidden", challenge='error="insufficient_scope"')
    if isinstance(error, exceptions.MethodNotAllowed):
        # The header Allow comes from the view.
        return _answer(request, 405, "This address does not answer to this method.", "method_not_allowed")
    if isinstance(error, exceptions.UnsupportedMediaType):
        # Not 415: clients know 400 only (contract rest-v2 §5), and the message is what helps.
        return _answer(request, 400, "Send the body as JSON, with Content-Type: application/json.", "invalid")
    if isinstance(error, exceptions.ParseError):
        return _answer(request, 400, str(error.detail), "invalid")
    if isinstance(error, exceptions.NotFound):
        return _answer(request, 404, "There is nothing at this address.", "not_found")
    return _failure(error, request)


def _failure(error: Exception, request: HttpRequest) -> Response:
    """Answer what should not have happened, and let the log and whoever listens to the signal know."""
    unreachable = isinstance(error, DatabaseError | InterfaceError | LocalError)
    got_request_exception.send(sender=problem, request=request)
    if isinstance(error, Unavailable):
        logger.error("What it takes failed at %s %s", request.method, request.path, exc_info=error)
        response = _answer(request, 503, error.detail, error.code)
        response["Retry-After"] = "1"
        return response
    if isinstance(error, NotSettled):
        logger.error("What was done at %s %s may not hold everywhere", request.method, request.path, exc_info=error)
        response = _answer(request, 503, str(error), "unsettled")
        response["Retry-After"] = str(math.ceil(LONGEST))
        return response
    if unreachable and not isinstance(error, IntegrityError | DataError):
        logger.error("The database failed at %s %s", request.method, request.path, exc_info=error)
        response = _answer(request, 503, "The database cannot be reached. Try again in a moment.", "unavailable")
        response["Retry-After"] = "1"
        return response
    logger.error("Unexpected error at %s %s", request.method, request.path, exc_info=error)
    return _answer(request, 500, "Something is wrong on our side. It is in the log.", "internal_error")


def instance(request: HttpRequest) -> str:
    """Return the address that a problem occurred at, as it may be shown."""
    return iri_to_uri(redact_text(request.path[:_SHOWN_OF_ADDRESS])) or ""


def _answer(
    request: HttpRequest,
    status: int,
    detail: str,
    code: str,
    *,
    faults: tuple[Fault, ...] = (),
    challenge: str | None = None,
) -> Response:
    kind = BY_STATUS[status]
    body: dict[str, Any] = {
        "type": f"{request.build_absolute_uri(PAGE)}#{kind.slug}",
        "title": kind.title,
        "status": status,
        "detail": redact_text(detail),
        "instance": instance(request),
        "error_code": code,
    }
    if faults:
        body["errors"] = [_fault_out(fault, request) for fault in faults]
    response = Response(body, status=status, content_type="application/problem+json")
    if challenge is not None:
        response["WWW-Authenticate"] = ", ".join(filter(None, (f'Bearer realm="{REALM}"', challenge)))
    return response


def _challenge(error: DomainError) -> str | None:
    """Return what the challenge says (RFC 6750 §3.1), or ``None`` where there is none."""
    if isinstance(error, InvalidKey):
        return 'error="invalid_token"'
    if isinstance(error, UnsafeRequest):
        return 'error="invalid_request"'
    if isinstance(error, Forbidden):
        scope = f', scope="{error.permission}"' if error.permission else ""
        return f'error="insufficient_scope"{scope}'
    return None


def _faults(error: DomainError) -> tuple[Fault, ...]:
    if isinstance(error, Malformed):
        return error.faults
    return (Fault((error.field,), error.detail),) if error.field else ()


def _fault_out(fault: Fault, request: HttpRequest) -> dict[str, str]:
    detail = redact_text(fault.detail)
    if request.method in ("GET", "HEAD"):
        return {"parameter": redact_text(str(fault.where[0])) if fault.where else "", "detail": detail}
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in fault.where)
    return {"pointer": redact_text("#" + "".join(f"/{step}" for step in steps)), "detail": detail}


class _Duplicate(ValueError):
    """A property that comes twice in one object."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Duplicate("An object in the body has the same property twice.")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e999
        raise ValueError("a number beyond all that can be kept")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
