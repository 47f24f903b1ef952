"""``/verify``: may this key do this here? Asked by a proxy on every request it lets through or not.

A WSGI callable in front of Django, in the same worker: no resolver, no middleware. Any method. The key comes in
``Authorization`` (bare or Bearer) or ``X-Api-Key``; the space and the permission asked for in the query
(``?space=…&permission=…``), which a proxy sets and its clients cannot reach, or else in ``X-Arize-Space-Id`` and
``X-Arize-Permission``, which the proxy then has to overwrite.

Answers have no body that matters: 204 with who it is in ``X-Arize-*`` headers, 400 for a request that is none, 401 for
a key that opens nothing, 403 for one that opens other things, 429 with ``Retry-After``, 503 when it cannot be known.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from sys import getsizeof
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.db import DatabaseError, InterfaceError, connection
from django.http import QueryDict
from django.utils import timezone

from accounts.actors import Door
from accounts.errors import DomainError, Invalid
from accounts.origin import address_of_client, came_privately
from accounts.vocabulary import Permission
from accounts.wire import decode_id, encode_id
from apikeys.attempts import Attempts
from apikeys.authentication import REALM, client_name, holds_key, one_key, refuse_misplaced_key
from apikeys.cache import NEVER, Memory
from apikeys.decisions import Decision, Question, decide
from apikeys.epochs import Epochs
from apikeys.errors import InvalidKey, LimiterFailed, MalformedKey, TooOften, UnsafeRequest
from apikeys.limits import Limit, Limiter
from apikeys.refusals import note_refusal
from apikeys.usage import Uses

logger = logging.getLogger("apikeys.forward_auth")

PATH = "/verify"
# What a worker remembers at most. Refusals have a memory of their own, so that no flood of them drives answers out.
MOST_ANSWERS, MOST_BYTES_OF_ANSWERS = 20_000, 40 * 2**20
MOST_REFUSALS, MOST_BYTES_OF_REFUSALS = 5_000, 8 * 2**20
# How long a refused key is remembered: a flood of the same one costs a query a second.
REFUSAL_SECONDS = 1.0
# Characters of credentials and question together. Whatever is longer is no key, and is not remembered.
LONGEST = 2_048
_MOST_QUESTIONS = 512
_MOST_IN_COMMON = 4_096
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_PERMISSIONS = {permission.value: permission for permission in Permission}
# Stands for a header that is not there: no header can hold it.
_NOTHING = "\n"

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], object]


class Answer(NamedTuple):
    """What a proxy is told. ``key_id`` says whose use it is, where it was one."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    key_id: int | None = None


class ForwardAuth:
    """The door. One for each worker."""

    def __init__(self, epochs: Epochs, limiter: Limiter, uses: Uses) -> None:
        self._limiter = limiter
        self._uses = uses
        self._answers: Memory[Answer] = Memory(epochs, most=MOST_ANSWERS, most_bytes=MOST_BYTES_OF_ANSWERS, size=_size)
        self._refusals: Memory[Answer] = Memory(
            epochs,
            most=MOST_REFUSALS,
            most_bytes=MOST_BYTES_OF_REFUSALS,
            size=lambda _: 0,  # all the same one
        )
        self._per_key = Limit(settings.VERIFY_RATE_PER_KEY, max(1, 2 * settings.VERIFY_RATE_PER_KEY))
        self._attempts = Attempts(limiter, name="key", per_key=self._per_key)
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one question."""
        status, headers, body, key_id = self._answer(environ)
        if key_id is not None:
            refusal = self._over_limit(key_id) if self._per_key.rate else None
            if refusal is None:
                self._uses.note(key_id, _user, environ)
            else:
                status, headers, body, _ = refusal
        start_response(status, [*headers, ("X-Request-Id", f"{self._prefix}-{next(self._numbers)}")])
        return [body]

    def _over_limit(self, key_id: int) -> Answer | None:
        try:
            wait = self._limiter.take(f"key:{key_id}", self._per_key)
        except LimiterFailed:
            return _limits_failed()
        if not wait:
            return None
        self._attempts.tell_of_key(key_id)
        return _too_many(wait)

    def _answer(self, environ: Environ) -> Answer:
        if not came_privately(environ):
            return _IN_THE_CLEAR
        if "HTTP_COOKIE" in environ and holds_key(environ["HTTP_COOKIE"]):
            return self._find_out(environ, None)
        given = environ.get
        if _has_form(environ):
            return self._find_out(environ, None)
        asked = "\n".join(
            (
                given("HTTP_AUTHORIZATION", _NOTHING),
                given("QUERY_STRING", ""),
                given("HTTP_X_API_KEY", _NOTHING),
                given("HTTP_X_ARIZE_SPACE_ID", _NOTHING),
                given("HTTP_X_ARIZE_PERMISSION", _NOTHING),
            )
        )
        if len(asked) > LONGEST:
            return self._find_out(environ, None)
        name = self._answers.name(asked)
        return self._answers.recall(name) or self._find_out(environ, name)

    def _find_out(self, environ: Environ, name: bytes | None) -> Answer:
        """Answer what is not remembered, through the very functions that the slow doors ask."""
        try:
            if _may_misplace(environ):
                refuse_misplaced_key(WSGIRequest(environ), Door.VERIFY)
            presented = one_key(environ.get("HTTP_AUTHORIZATION"), environ.get("HTTP_X_API_KEY"))
            question = _asked(environ)
            if presented is None:
                return _problem(401, "Send an API key.", "authentication_required", challenge="")
            return self._decide(address_of_client(environ), presented, question, name)
        except UnsafeRequest as refusal:
            return _problem(400, refusal.detail, refusal.code, challenge='error="invalid_request"')
        except SuspiciousOperation:
            return _problem(400, "The query has too many parts.", Invalid.code)
        except TooOften as refusal:
            return _too_many(refusal.retry_after)
        except LimiterFailed:
            return _limits_failed()
        except DomainError as refusal:
            return _problem(400, refusal.detail, refusal.code)
        except (DatabaseError, InterfaceError):
            logger.exception("The database cannot be asked.")
            connection.close()
            return _UNAVAILABLE

    def _decide(self, ip: str | None, presented: str, question: Question, name: bytes | None) -> Answer:
        # What opens nothing opens nothing whatever is asked: it is remembered by the key alone.
        bad = self._refusals.name(presented)
        if refused := self._refusals.recall(bad):
            return refused
        self._attempts.admit(ip, lambda: name is not None and self._answers.knew(name))

        def find() -> tuple[Answer, list[str], float]:
            decision = decide(presented, question, at=timezone.now())
            ends = decision.ends_at.timestamp() if decision.ends_at else NEVER
            return _told(decision, question), _things(decision, question), ends

        try:
            if name is None:
                return find()[0]
            return self._answers.learn(name, find)
        except InvalidKey as refusal:
            # Told by a thread: whoever records waits for others of the account, and this door waits for nobody.
            note_refusal(refusal, door=Door.VERIFY, ip=ip, at=timezone.now())
            if not isinstance(refusal, MalformedKey):
                ends = time.time() + REFUSAL_SECONDS
                self._refusals.learn(bad, lambda: (_REFUSED, (), ends))
            self._attempts.failed(refusal, ip)
            return _REFUSED


def _may_misplace(environ: Environ) -> bool:
    """Whether it takes a closer look to know that no key is where none belongs. The path is ours, and holds none."""
    return (
        "HTTP_COOKIE" in environ or environ.get("CONTENT_TYPE", "") != "" or holds_key(environ.get("QUERY_STRING", ""))
    )


def _has_form(environ: Environ) -> bool:
    """Whether a form comes along, in which a key might be: what is remembered knows nothing of bodies."""
    kind = environ.get("CONTENT_TYPE", "")
    if not kind or not kind.lower().startswith(_FORMS):
        return False
    return environ.get("CONTENT_LENGTH") not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in environ


def _asked(environ: Environ) -> Question:
    given = (
        environ.get("QUERY_STRING", ""),
        environ.get("HTTP_X_ARIZE_SPACE_ID"),
        environ.get("HTTP_X_ARIZE_PERMISSION"),
    )
    # Few questions are asked again and again, and none of them is long.
    ask = _question if sum(len(part or "") for part in given) <= LONGEST else _question.__wrapped__
    return ask(*given)


@lru_cache(maxsize=_MOST_QUESTIONS)
def _question(query: str, space: str | None, permission: str | None) -> Question:
    """Return what is asked: in the query, or else in headers.

    Raises:
        Invalid: unknown parameters, no space, no permission. Of an empty one nobody knows what was to be asked: a proxy
            that had nothing to put there must not let everybody in.
    """
    given = QueryDict(query)
    for name, values in given.lists():
        if name not in ("space", "permission") or len(values) > 1:
            raise Invalid("Ask with ?space=… and ?permission=…, each once.")
    space, permission = given.get("space", space), given.get("permission", permission)
    if permission is not None and permission not in _PERMISSIONS:
        raise Invalid("There is no such permission.")
    return Question(
        None if space is None else decode_id(space, "Space"), None if permission is None else _PERMISSIONS[permission]
    )


def _things(decision: Decision, question: Question) -> list[str]:
    """Return everything an answer depends on, as the database names what changes."""
    things = [f"key:{decision.key_id}", f"user:{decision.user_id}", f"account:{decision.account_id}"]
    return things if question.space is None else [*things, f"space:{question.space}"]


def _told(decision: Decision, question: Question) -> Answer:
    if decision.locked:
        return _problem(
            403, "User keys are locked out of this account.", "developer_access_locked", key_id=decision.key_id
        )
    if not decision.allowed:
        return _problem(
            403,
            "The key may not do this there.",
            "forbidden",
            challenge=f'error="insufficient_scope", scope="{question.asked}"',
            key_id=decision.key_id,
        )
    headers = (
        ("X-Arize-Key-Id", encode_id("ApiKey", decision.key_id)),
        _header("X-Arize-Key-Kind", decision.kind),
        ("X-Arize-User-Id", encode_id("User", decision.user_id)),
        _header("X-Arize-User-Kind", decision.user_kind),
        _place("X-Arize-Account-Id", "Account", decision.account_id),
        _place("X-Arize-Space-Id", "Space", decision.space_id),
        _header("X-Arize-Role", decision.role if decision.role.isascii() and decision.role.isprintable() else ""),
        _header("Cache-Control", "no-store"),
    )
    return Answer("204 No Content", headers, key_id=decision.key_id)


# Headers that many answers have in common are one and the same: less to hold, and nearer at hand.


@lru_cache(maxsize=_MOST_IN_COMMON)
def _header(name: str, value: str) -> tuple[str, str]:
    return name, value


@lru_cache(maxsize=_MOST_IN_COMMON)
def _place(name: str, kind: str, number: int | None) -> tuple[str, str]:
    return name, encode_id(kind, number) if number else ""


def _user(environ: Environ) -> tuple[str | None, str]:
    """Return from where and with what a key is used: asked now and then."""
    return address_of_client(environ), client_name(environ)


def _size(answer: Answer) -> int:
    """Return how many bytes an answer takes."""
    held = sum(getsizeof(header) + getsizeof(header[0]) + getsizeof(header[1]) for header in answer.headers)
    return getsizeof(answer) + getsizeof(answer.headers) + getsizeof(answer.body) + held


def _too_many(wait: float) -> Answer:
    answer = _problem(429, "Too many requests. Wait as long as Retry-After says.", "rate_limited")
    seconds = str(max(1, min(60, math.ceil(wait))))
    return Answer(answer.status, (*answer.headers, ("Retry-After", seconds)), answer.body)


def _limits_failed() -> Answer:
    logger.exception("The rate limits cannot be known.")
    return _UNAVAILABLE


def _problem(status: int, detail: str, code: str, *, challenge: str | None = None, key_id: int | None = None) -> Answer:
    """Return a refusal as a problem document (RFC 9457); proxies that pass it on pass on something that helps."""
    title = HTTPStatus(status).phrase
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail, "error_code": code})
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if challenge is not None:
        headers.append(("WWW-Authenticate", ", ".join(filter(None, (f'Bearer realm="{REALM}"', challenge)))))
    return Answer(f"{status} {title}", tuple(headers), body.encode(), key_id)


# Unknown, wrong, revoked, expired: one and the same answer (security 9).
_REFUSED = _problem(
    401,
    "The API key is missing, unknown, expired or revoked.",
    "invalid_token",
    challenge='error="invalid_token"',
)
_IN_THE_CLEAR = _problem(403, "Ask over HTTPS. A key sent over plain HTTP should be refreshed.", "https_required")
_unavailable = _problem(503, "Whether the key may do this cannot be known at the moment.", "unavailable")
_UNAVAILABLE = Answer(_unavailable.status, (*_unavailable.headers, ("Retry-After", "1")), _unavailable.body)
