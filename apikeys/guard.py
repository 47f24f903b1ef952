"""For Django services that share the database: "whoever calls must have a key that may do this here".

``require_key`` guards a plain view, with the one query that ``/verify`` asks. ``KeyAuthentication`` and ``KeyMay`` are
the same for Django REST framework, where a request has a user. Both go by the rules of the house and by no others,
count the use of the key, and let nobody in when the database cannot be asked.

``docs/services.md`` has an example of each, and says what a service's settings need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from rest_framework import exceptions
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.actors import Actor, Door, Operation
from accounts.afterwards import afterwards
from accounts.errors import DomainError, Forbidden, Invalid
from accounts.models import Space, User
from accounts.origin import came_privately, client_ip
from accounts.permissions import may, permitted
from accounts.vocabulary import Permission
from accounts.wire import decode_id
from apikeys.attempts import at_the_api, opened
from apikeys.authentication import REALM, ApiKeyAuthentication, client_name, presented_key, refuse_misplaced_key
from apikeys.decisions import Decision, Question, decide
from apikeys.errors import DeveloperAccessLocked, InvalidKey, LimiterFailed, TooOften, UnsafeRequest
from apikeys.refusals import flush, note_refusal
from apikeys.usage import note_use

if TYPE_CHECKING:
    from rest_framework.views import APIView

P = ParamSpec("P")
Guarded = Callable[Concatenate[HttpRequest, Decision, P], HttpResponseBase]

_IN_THE_CLEAR = "Ask over HTTPS. A key sent over plain HTTP should be refreshed."
_LOCKED = "The account's developer access lock is on: user keys cannot call this service."
_TURNED_AWAY = "apikeys.turned_away"
_UNKNOWABLE = "Whether the key may do this cannot be known at the moment."


class NoKey(DomainError):
    """No key was presented."""

    code = "authentication_required"


def require_key(
    permission: Permission | None = None, *, space: str = ""
) -> Callable[[Guarded[P]], Callable[Concatenate[HttpRequest, P], HttpResponseBase]]:
    """Let a view be called only with a key that may do this.

    ``space`` is the name of the view's argument that holds a space's ID; left out, it is asked of the account. Without
    a permission it is asked whether the key gets in. The view is handed the ``Decision``, which
    says who it is. Others get the answers of ``/verify``: 400, 401, 403, 429, 503.
    """

    def guard(view: Guarded[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            try:
                decision = ask(request, permission, space_id=str(kwargs[space]) if space else None)
            except DomainError as refusal:
                return _refused(refusal)
            except (DatabaseError, InterfaceError):
                connection.close()
                return _problem(503, _UNKNOWABLE, "unavailable", {"Retry-After": "1"})
            return view(request, decision, *args, **kwargs)

        # No browser sends a key by itself, so there is nothing that another site could make it send.
        return csrf_exempt(guarded)

    return guard


@sensitive_variables("presented")
def ask(request: HttpRequest, permission: Permission | None = None, *, space_id: str | None = None) -> Decision:
    """Return who it is that may do this, by the key in the request's headers.

    Raises:
        NoKey, InvalidKey: no key, or one that opens nothing (401).
        Forbidden: the key may not do this there, or is locked out (403).
        Invalid: a key in the wrong place, or no ID (400).
        TooOften: the key comes more often than it may, or its bearer was wrong too often (429).
        LimiterFailed: how often cannot be known (503).
    """
    if not came_privately(request.META):
        raise Forbidden(_IN_THE_CLEAR)
    refuse_misplaced_key(request, Door.VERIFY)
    presented, now, ip = presented_key(request), timezone.now(), client_ip(request)
    if presented is None:
        raise NoKey("Send an API key.")
    question = Question(None if space_id is None else decode_id(space_id, "Space", field=""), permission)
    attempts = at_the_api()
    attempts.admit(ip, lambda: presented in opened)
    try:
        decision = decide(presented, question, at=now)
    except InvalidKey as refusal:
        if note_refusal(refusal, door=Door.VERIFY, ip=ip, at=now):
            afterwards(flush)
        attempts.failed(refusal, ip)
        raise
    opened.add(presented)
    attempts.used(decision.key_id)
    if decision.locked:
        raise DeveloperAccessLocked(_LOCKED)
    if not decision.allowed:
        raise Forbidden("The key may not do this there.", permission=question.asked)
    note_use(decision.key_id, ip=ip, client=client_name(request.META), at=now)
    return decision


class KeyAuthentication(ApiKeyAuthentication):
    """Who calls, for Django REST framework: ``request.user`` is the key's person or bot, ``request.auth`` the Actor."""

    door = Door.VERIFY

    def authenticate(self, request: Request) -> tuple[User, Actor] | None:
        """Return who the key stands for, or ``None`` without a key.

        Raises:
            APIException: what DRF answers with 400, 401, 403, 429 or 503, whatever the service's exception handler is.
        """
        if not came_privately(request.META):
            raise exceptions.PermissionDenied(_IN_THE_CLEAR, "https_required")
        try:
            return super().authenticate(request)
        except InvalidKey as refusal:
            request.META[_TURNED_AWAY] = True  # DRF asks for the challenge elsewhere, and of another of us
            raise exceptions.AuthenticationFailed(refusal.detail, refusal.code) from None
        except TooOften as refusal:
            raise exceptions.Throttled(refusal.retry_after, refusal.detail) from None
        except Forbidden as refusal:
            raise exceptions.PermissionDenied(refusal.detail, refusal.code) from None
        except Invalid as refusal:
            raise exceptions.ParseError(refusal.detail, refusal.code) from None
        except LimiterFailed:
            raise Unavailable from None
        except (DatabaseError, InterfaceError):
            connection.close()
            raise Unavailable from None

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401 (RFC 6750 §3)."""
        error = ', error="invalid_token"' if _TURNED_AWAY in request.META else ""
        return f'Bearer realm="{REALM}"{error}'

    def operation(self, request: HttpRequest) -> Operation:
        """Say what was asked, and not with which body: that is the service's business."""
        return Operation(name=f"{request.method} {request.path}")


class KeyMay(BasePermission):
    """Lets in whoever's key may do what the view declares, and nobody where it declares nothing.

    ``key_may`` is a permission for each method, ``key_space`` the name of the argument in the address that holds the
    space's ID; without it, it is asked of the account.
    """

    message = "The key may not do this there."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether there is a key, a rule for this method, and the key's owner has the permission."""
        method = "GET" if request.method == "HEAD" else str(request.method)
        rules: Mapping[str, Permission] = getattr(view, "key_may", {})
        if not isinstance(request.auth, Actor):
            return False
        if method not in rules:
            return method not in view.allowed_methods  # falls through to the 405
        try:
            return _may_at(
                request.auth, rules[method], view.kwargs[view.key_space] if hasattr(view, "key_space") else None
            )
        except Invalid:
            return False
        except (DatabaseError, InterfaceError):
            connection.close()
            raise Unavailable from None


class Unavailable(exceptions.APIException):
    """The database cannot be asked: nobody is let in."""

    status_code = 503
    default_detail = _UNKNOWABLE
    default_code = "unavailable"


def _may_at(actor: Actor, permission: Permission, space_id: str | None) -> bool:
    if space_id is None:
        return may(actor, permission, actor.require_account())
    if actor.user is None:
        return False
    spaces = permitted(actor.user, permission, Space).filter(organization__account=actor.require_account())
    return spaces.filter(pk=decode_id(space_id, "Space")).exists()


def _refused(refusal: DomainError) -> HttpResponse:
    if isinstance(refusal, NoKey):
        return _problem(401, refusal.detail, refusal.code, _challenged(""))
    if isinstance(refusal, InvalidKey):
        return _problem(401, refusal.detail, refusal.code, _challenged(', error="invalid_token"'))
    if isinstance(refusal, TooOften):
        return _problem(429, refusal.detail, refusal.code, {"Retry-After": str(refusal.retry_after)})
    if isinstance(refusal, LimiterFailed):
        return _problem(503, refusal.detail, refusal.code, {"Retry-After": "1"})
    if isinstance(refusal, Forbidden):
        scope = f', scope="{refusal.permission}"' if refusal.permission else ""
        return _problem(403, refusal.detail, refusal.code, _challenged(f', error="insufficient_scope"{scope}'))
    unsafe = _challenged(', error="invalid_request"') if isinstance(refusal, UnsafeRequest) else {}
    return _problem(400, refusal.detail, refusal.code, unsafe)


def _challenged(error: str) -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="{REALM}"{error}'}


def _problem(status: int, detail: str, code: str, headers: Mapping[str, str]) -> HttpResponse:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "error_code": code,
    }
    return JsonResponse(
        body, status=status, content_type="application/problem+json", headers={**headers, "Cache-Control": "no-store"}
    )
