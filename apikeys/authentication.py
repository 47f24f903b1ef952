"""From the headers of a request to an actor: the threshold of every HTTP door that a key opens."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from django.http import HttpRequest, QueryDict
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.actors import Actor, Door, Operation
from accounts.afterwards import afterwards
from accounts.audit import Tag, record_refusal
from accounts.models import User
from accounts.origin import body_of, client_ip
from accounts.redaction import KEY_PATTERN, redact_text
from apikeys.attempts import at_the_api, opened
from apikeys.errors import DeveloperAccessLocked, InvalidKey, MalformedKey, Reason, TooOften, UnsafeRequest
from apikeys.lifecycle import flag_exposed
from apikeys.refusals import flush, note_refusal
from apikeys.usage import note_use
from apikeys.verification import LOCKED_OUT, verify

REALM = "arizekeys"
FORM = "application/x-www-form-urlencoded"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_KEPT_OF_BODY = 4_000
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


class ApiKeyAuthentication(BaseAuthentication):
    """Lets a request in by its API key, and by nothing else: a session cookie counts for nothing here.

    ``request.user`` becomes the key's user, ``request.auth`` the ``Actor``.
    """

    door = Door.REST

    def authenticate(self, request: Request) -> tuple[User, Actor] | None:
        """Return who the key stands for, or ``None`` without a key.

        Raises:
            UnsafeRequest: the key came twice, or in the address, a cookie or a form (400).
            InvalidKey: the key opens nothing (401).
            TooOften: the key comes more often than it may, or its bearer was wrong too often (429).
            DeveloperAccessLocked: a user key while the account's lock is on (403).
            LimiterFailed: how often cannot be known (503).
        """
        http = request._request
        # Where a view takes a key in a form, to say what it is.
        token_field: str = getattr((request.parser_context or {}).get("view"), "token_field", "")
        refuse_misplaced_key(http, self.door, token_field=token_field)
        presented = self.presented(http)
        if presented is None:
            return None
        actor = admit(
            presented,
            door=self.door,
            ip=client_ip(http),
            client=client_name(http.META),
            operation=lambda: self.operation(http),
            at=timezone.now(),
        )
        assert actor.user is not None  # noqa: S101 -- a key is somebody's
        return actor.user, actor

    def presented(self, request: HttpRequest) -> str | None:
        """Return the key that a request presents.

        Raises:
            UnsafeRequest: more than one.
        """
        return presented_key(request)

    def operation(self, request: HttpRequest) -> Operation:
        """Describe what is asked, for the audit trail."""
        return operation_of(request)

    def authenticate_header(self, request: Request) -> str:
        """Return the challenge of a 401 (RFC 6750 §3)."""
        return f'Bearer realm="{REALM}"'


class GraphQLAuthentication(ApiKeyAuthentication):
    """The same threshold for GraphQL. What is asked there, the door says once it has understood it."""

    door = Door.GRAPHQL

    def operation(self, request: HttpRequest) -> Operation:
        """Say nothing yet."""
        return Operation()


def admit(
    presented: str, *, door: Door, ip: str | None, client: str, operation: Callable[[], Operation], at: datetime
) -> Actor:
    """Let in whoever presents a key, once: what every door does with each request, whatever carried it there.

    Raises:
        InvalidKey: the key opens nothing.
        TooOften: the key comes more often than it may, or its bearer was wrong too often.
        DeveloperAccessLocked: a user key while the account's lock is on.
        LimiterFailed: how often cannot be known.
    """
    attempts = at_the_api()
    attempts.admit(ip, lambda: presented in opened)
    try:
        key = verify(presented, at=at)
    except InvalidKey as refusal:
        if note_refusal(refusal, door=door, ip=ip, at=at, operation=operation()):
            afterwards(flush)
        attempts.failed(refusal, ip)
        raise
    opened.add(presented)
    actor = Actor.from_key(
        key.user,
        key.account,
        key_id=key.key_id,
        secret_id=key.secret_id,
        door=door,
        ip=ip,
        operation=operation(),
    )
    try:
        attempts.used(key.key_id)
    except TooOften as too_often:
        record_refusal(actor, Tag.ACCESS_REFUSED, too_often)
        raise
    if key.is_locked_out:
        locked = DeveloperAccessLocked(LOCKED_OUT)
        record_refusal(actor, Tag.ACCESS_REFUSED, locked)
        raise locked
    note_use(key.key_id, ip=ip, client=client, at=at)
    return actor


def presented_key(request: HttpRequest) -> str | None:
    """Return the one key that a request presents in its headers, or ``None``.

    Raises:
        UnsafeRequest: more than one.
    """
    return one_key(request.headers.get("Authorization"), request.headers.get("X-Api-Key"))


def one_key(authorization: str | None, key: str | None) -> str | None:
    """Return the one key in ``Authorization``, with or without the word Bearer, or in ``X-Api-Key``; or ``None``.

    Raises:
        UnsafeRequest: more than one.
    """
    if authorization is not None and key is not None:
        raise UnsafeRequest("Send the API key once: in Authorization or in X-Api-Key, not in both.")
    presented = authorization if authorization is not None else key
    if presented is None:
        return None
    if "," in presented:  # how WSGI hands on a header that came twice
        raise UnsafeRequest("Send the API key once: the header came more than one time.")
    scheme, _, rest = presented.partition(" ")
    return rest if scheme.lower() == "bearer" else presented


def refuse_misplaced_key(request: HttpRequest, door: Door, *, token_field: str = "") -> None:
    """Refuse a key in the address, a cookie or a form: such places get logged, so the key is marked exposed.

    In ``token_field`` of a form, given once, a key is where it belongs (RFC 7662 §2.1).

    Raises:
        UnsafeRequest: there is one.
        TooOften: and there were too many from there.
    """
    places = {
        "query string": request.META.get("QUERY_STRING", ""),
        "path": request.path,
        "cookie": request.META.get("HTTP_COOKIE", ""),
    }
    if request.content_type == FORM and token_field:
        places["form body"] = _fields_beside(token_field, QueryDict(body_of(request)))
    elif request.content_type in (FORM, "multipart/form-data"):
        places["form body"] = body_of(request).decode("utf-8", "replace")
    for where, text in places.items():
        found = _key_in(text)
        if found is None:
            continue
        _flag(found[0], door, where, client_ip(request))
        raise UnsafeRequest(f"An API key does not belong in the {where}: send it in the Authorization header.")


def _flag(presented: str, door: Door, where: str, ip: str | None) -> None:
    """Mark a key that was seen where none belongs, if it is one: looking that up is an attempt like any other."""
    attempts = at_the_api()
    attempts.admit(ip, lambda: presented in opened)
    actor = Actor(user=None, account=None, door=door, ip=ip)
    try:
        if not flag_exposed(actor, presented, where=where, at=timezone.now()):
            attempts.failed(InvalidKey(Reason.UNKNOWN), ip)
    except MalformedKey:  # looks like a key and is none of ours; refused all the same
        return


def holds_key(text: str) -> bool:
    """Whether there is a key in a text that may be quoted as addresses are."""
    return _key_in(text) is not None


def _key_in(text: str) -> re.Match[str] | None:
    return KEY_PATTERN.search(unquote(text))


def _fields_beside(name: str, form: QueryDict) -> str:
    """Return what a form holds besides one field, which counts once."""
    rest = [(field, values[1:] if field == name else values) for field, values in form.lists()]
    return "\n".join(f"{field}={value}" for field, values in rest for value in values)


def client_name(meta: Mapping[str, Any]) -> str:
    """Return how the client names itself: the SDK's own headers, else its user agent. Shown, never trusted.

    ``meta`` is ``request.META``, or the WSGI environment behind it.
    """
    package, version = meta.get("HTTP_CLI_PACKAGE_NAME"), meta.get("HTTP_CLI_VERSION")
    if not package:
        version = meta.get("HTTP_SDK_VERSION") or meta.get("HTTP_GRPC_METADATA_SDK_VERSION")
        # SDK 7 tells its release, and no name.
        package = meta.get("HTTP_SDK_PACKAGE_NAME") or ("arize" if version else None)
    name: str = f"{package} {version or ''}".strip() if package else meta.get("HTTP_USER_AGENT", "")
    # It is stored and shown: a key that somebody put into their user agent must not be.
    return redact_text(name if name.isprintable() else "".join(letter for letter in name if letter.isprintable()))[:120]


def operation_of(request: HttpRequest) -> Operation:
    """Describe a REST request for the audit trail: method and route, and the body of a writing one.

    But for forms: nothing is written through them, and what stands in one may be a key.

    The route is spelled as the API's documentation does, ``/v2/users/{user_id}``: people filter by it.
    """
    kind = "QUERY" if request.method in _READING else "MUTATION"
    route = request.resolver_match.route if request.resolver_match else request.path.lstrip("/")
    route = _PARAMETER.sub(r"{\1}", route)
    told = kind == "MUTATION" and request.content_type != FORM
    text = legible(body_of(request).decode("utf-8", "replace"))[:_KEPT_OF_BODY] if told else ""
    return Operation(kind=kind, name=f"{request.method} /{route}", text=text)


def legible(body: str) -> str:
    """Write a JSON body out plainly, so that nothing hides from redaction behind escapes."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False)
    except (ValueError, RecursionError):
        return body
