"""What every REST endpoint has in common: an Actor, a declared rule of access, and answers that nobody keeps."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.actors import Actor
from accounts.audit import Tag, record_refusal
from accounts.errors import DomainError, Invalid
from accounts.idempotency import Answer, answer_once
from accounts.models import Organization, Space
from accounts.origin import body_of, read_body, require_measured
from accounts.paging import Page
from accounts.rest.describe import EndpointSchema
from accounts.rest.problems import Fault, Malformed
from accounts.rest.shapes import Shape, cleaned, repeatable
from accounts.wire import decode_id

S = TypeVar("S", Organization, Space)


class Endpoint(APIView):
    """One address of the REST API.

    ``access`` says for every method, in a sentence that the API's documentation shows, who may call it. The verbs
    enforce it; a method without such a sentence answers 403 to everybody and fails the build (security 20).
    """

    access: ClassVar[Mapping[str, str]] = {}
    secret_of = ""  # the id of what a secret in this answer opens
    post_only_reads = False  # sent twice, it reads twice, and there is nothing to do only once
    most_bytes: ClassVar[int | None] = None  # of a body, where it may be larger than elsewhere
    takes_chunks = False  # reads a body that has no length, past Django
    schema = EndpointSchema()
    # OPTIONS is not offered: browsers of other origins have no business here (security 31).
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let every POST be sent twice safely, without anybody having to remember to."""
        super().__init_subclass__(**kwargs)
        if "post" in vars(cls):
            cls.post = _once(vars(cls)["post"])  # type: ignore[attr-defined]  # it is there, as was just asked

    @property
    def actor(self) -> Actor:
        """Who is calling."""
        if not isinstance(self.request.auth, Actor):
            raise TypeError("Only a request that a key opened has an actor.")
        return self.request.auth

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return headers for every answer: what depends on a key is nobody else's to keep."""
        return {**super().default_response_headers, "Cache-Control": "no-store"}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in whoever may come in. Only then is a body read that may be larger than elsewhere."""
        super().initial(request, *args, **kwargs)
        if not self.takes_chunks:
            require_measured(request._request)
        if self.most_bytes is not None:
            read_body(request._request, most=self.most_bytes)

    def handle_exception(self, exc: Exception) -> Response:
        """Answer a refusal; one that no verb has recorded, of somebody who only wanted to look, is recorded here."""
        if isinstance(exc, DomainError) and exc.recorded and not exc.noted and isinstance(self.request.auth, Actor):
            try:
                record_refusal(self.request.auth, Tag.ACCESS_REFUSED, exc)
            except Exception as failure:  # what escapes here is answered with a page
                return super().handle_exception(failure)
        return super().handle_exception(exc)

    def with_secret(self, response: Response, name: str, secret: str, row_id: str) -> Response:
        """Add to an answer what is shown this once, and say whose it is.

        It is put beside what serializers return, never into one: their data may end up in a log or a report.
        """
        response.data = {**response.data, name: secret}
        self.secret_of = row_id
        return response

    def query(self, shape: type[Shape]) -> dict[str, Any]:
        """Return the query parameters, checked.

        Raises:
            Malformed: unknown or unusable ones, or repeated ones that the shape does not declare as ``Many``.
        """
        return cleaned(shape, _gathered(self.request.query_params, repeatable(shape)))

    def body(self, shape: type[Shape]) -> dict[str, Any]:
        """Return the JSON object sent, checked. No body counts as an empty object.

        Raises:
            Malformed: not of that shape.
            RequestDataTooBig: more than is read.
        """
        return cleaned(shape, self.sent() or {})

    def sent(self) -> Any:
        """Return what was sent, as it is. Only what asks reads a body: operations without one ignore any.

        Raises:
            RequestDataTooBig: more than is read.
        """
        _ = self.request._request.body  # through Django, which bounds what it reads; DRF alone would read on for ever
        return self.request.data


def _once(post: Callable[..., Response]) -> Callable[..., Response]:
    @functools.wraps(post)
    def answer(self: Endpoint, request: Request, /, **path: str) -> Response:
        name = request.headers.get("Idempotency-Key")
        if name is None or self.post_only_reads:
            return post(self, request, **path)
        given: list[Response] = []

        def carry_out() -> Answer:
            given.append(post(self, request, **path))
            return Answer(status=given[0].status_code, body=_without_secret(self, given[0]), secret_of=self.secret_of)

        then = answer_once(self.actor, name, _fingerprint(self, request), carry_out, at=timezone.now())
        return given[0] if then is None else Response(then.body, status=then.status)

    return answer


def _without_secret(endpoint: Endpoint, response: Response) -> Any:
    return None if endpoint.secret_of else response.data


def _fingerprint(endpoint: Endpoint, request: Request) -> bytes:
    account = endpoint.actor.require_account().pk
    asked = f"{account} {request.method} {request._request.get_full_path()}\n".encode()
    return hashlib.sha256(asked + _canonical(body_of(request._request))).digest()


def _canonical(body: bytes) -> bytes:
    """Return one spelling of a JSON body: white space and the order of properties make no other request."""
    try:
        return json.dumps(json.loads(body), sort_keys=True).encode()
    except (ValueError, RecursionError):
        return body


def path_id(text: str, type_name: str) -> int:
    """Return the row number in an id that is part of the address.

    Raises:
        Invalid: it is none of this kind.
    """
    try:
        return decode_id(text, type_name)
    except Invalid as error:
        raise Invalid(error.detail) from None  # without the field: the fault lies in no property


def paged(name: str, page: Page[Any], items: Any) -> Response:
    """Answer with one page of a list, under the name that clients look for (contract rest-v2 §4.3)."""
    pagination: dict[str, Any] = {"has_more": page.has_more}
    if page.next_cursor is not None:
        pagination["next_cursor"] = page.next_cursor
    return Response({name: items, "pagination": pagination})


def named_like(scopes: QuerySet[S], part: str | None) -> QuerySet[S]:
    """Narrow scopes to those with a text in their names; case does not count (contract rest-v2 §16.10)."""
    return scopes.filter(name__icontains=part) if part else scopes


def _gathered(parameters: QueryDict, repeatable: frozenset[str]) -> dict[str, Any]:
    """Return each parameter's value, and a list of values where several are allowed."""
    given = dict(parameters.lists())
    twice = [
        Fault((name,), "Give this once.")
        for name, values in given.items()
        if len(values) > 1 and name not in repeatable
    ]
    if twice:
        raise Malformed(twice)
    return {name: values if name in repeatable else values[-1] for name, values in given.items()}
