"""How operations are described in the OpenAPI document, so that every one of them says the same things."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import force_instance
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework import serializers

from accounts.rest.examples import IDS
from accounts.rest.problems import BY_STATUS, PAGE
from accounts.rest.shapes import Shape, WireId, described_id
from accounts.wire import encode_id

V = TypeVar("V", bound=Callable[..., Any])

_PROBLEM_JSON = "application/problem+json"
# What comes with a refusal beside its body.
_HEADERS: dict[int, dict[str, Any]] = {
    401: {
        "WWW-Authenticate": {
            "description": 'How to send a key; with one that opens nothing, `error="invalid_token"`.',
            "required": True,
            "schema": {"type": "string"},
            "example": 'Bearer realm="arizekeys"',
        }
    },
    403: {
        "WWW-Authenticate": {
            "description": "`scope` names the permission it takes, where it is one.",
            "schema": {"type": "string"},
            "example": 'Bearer realm="arizekeys", error="insufficient_scope", scope="SPACE_UPDATE"',
        }
    },
    429: {
        "Retry-After": {
            "description": "How many seconds to wait.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": 60},
            "example": 60,
        }
    },
}


class FaultOut(serializers.Serializer[Any]):
    """One value at fault."""

    detail = serializers.CharField(help_text="What is wrong with it, for people. It never repeats the value.")
    pointer = serializers.CharField(required=False, help_text="Of a property in the body: a JSON pointer.")
    parameter = serializers.CharField(required=False, help_text="Of a query parameter: its name.")


class Problem(serializers.Serializer[Any]):
    """An error, as RFC 9457 describes it."""

    type = serializers.URLField(help_text="Where this kind of error is explained.")
    title = serializers.CharField(help_text="The kind of error; the same for all of its kind.")
    status = serializers.IntegerField(help_text="The HTTP status, once more.")
    detail = serializers.CharField(help_text="What was wrong this time, for people.")
    instance = serializers.CharField(help_text="The address that was asked for.")
    error_code = serializers.CharField(help_text="What was wrong this time, for programs.")
    resource_id = serializers.CharField(required=False, help_text="With already_done: the ID of what was made.")
    errors = FaultOut(  # type: ignore[assignment]  # a field, which is taken off the class before it hides anything
        many=True, required=False, help_text="Each value at fault, where values are."
    )


class EndpointSchema(AutoSchema):
    """Describes an endpoint, and says who may call it in the very words of its rule of access."""

    def get_serializer_name(self, serializer: Any, direction: Any) -> str:
        """Return the name without what only our code needs."""
        return type(serializer).__name__.removesuffix("Out").removesuffix("In")

    def _insert_field_validators(self, field: Any, schema: dict[str, Any]) -> None:
        """Add to the schema of a field what its class knows about it besides."""
        super()._insert_field_validators(field, schema)  # type: ignore[no-untyped-call]
        schema.update({**getattr(field, "keywords", {}), **schema})
        schema.pop("x-spec-enum-id", None)  # a mark for a hook that is not used
        if "enum" in schema or isinstance(field, WireId):
            schema.pop("minLength", None)  # which goes without saying

    def _postprocess_serializer_schema(self, schema: dict[str, Any], serializer: Any, direction: Any) -> Any:
        """Return the schema of an object, with words for one that is one of several, and no marks that say nothing."""
        found = super()._postprocess_serializer_schema(schema, serializer, direction)  # type: ignore[no-untyped-call]
        if isinstance(serializer, PolymorphicProxySerializer):
            found["description"] = str(serializer.help_text)
        for one in found.get("properties", {}).values():
            one.pop("readOnly", None)  # everything in an answer is
        return found

    def _get_request_body(self, direction: Any = "request") -> Any:
        """Return the description of a body; a DELETE that names many things has one, too."""
        method = self.method
        if method == "DELETE":
            self.method = "POST"
        try:
            return super()._get_request_body(direction)  # type: ignore[no-untyped-call]
        finally:
            self.method = method

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return the description of one method."""
        found: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if found is not None:
            access: Mapping[str, str] = getattr(self.view, "access", {})
            rule = access.get(self.method, "Nobody: no rule is declared.")
            found["description"] = "\n\n".join(filter(None, (found.get("description"), f"**Access.** {rule}")))
            for status, answer in found["responses"].items():
                if int(status) in _HEADERS:
                    answer["headers"] = _HEADERS[int(status)]
            if "requestBody" in found:
                found["requestBody"]["required"] = not _may_be_left_out(self.get_request_serializer())
                found["responses"].setdefault("413", _problem_in_words(413))
            if self.method == "POST" and not getattr(self.view, "post_only_reads", False):
                _describe_repeating(found)
        return found


def _may_be_left_out(body: Any) -> bool:
    """No body counts as an empty object; is that one?"""
    shape = force_instance(body)  # type: ignore[no-untyped-call]
    return isinstance(shape, Shape) and type(shape)(data={}).is_valid()


def _describe_repeating(found: dict[str, Any]) -> None:
    """Say of a POST what the header that makes it safe to send twice adds."""
    found.setdefault("parameters", []).append(
        {
            "in": "header",
            "name": "Idempotency-Key",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"},
            "description": "A name of your own for this request. Sent again within a day, with the same body, it does "
            "nothing and gets the same answer; where that held a secret, 409 with the ID of what was made.",
        }
    )
    for code in (409, 422):
        found["responses"].setdefault(str(code), _problem_in_words(code))


def _problem_in_words(code: int) -> dict[str, Any]:
    example = _example(code)
    content = {
        "schema": {"$ref": "#/components/schemas/Problem"},
        "examples": {
            "".join(BY_STATUS[code].title.split()): {"value": example.value, "summary": BY_STATUS[code].title}
        },
    }
    return {"description": BY_STATUS[code].meaning, "content": {_PROBLEM_JSON: content}}


def answer(shape: Any, examples: Mapping[str, Any], text: str = "") -> OpenApiResponse:
    """Describe a way of succeeding, with examples by title; in the words of the shape unless there are others."""
    said = text or (inspect.getdoc(shape) or "").partition("\n\n")[0]
    return OpenApiResponse(
        shape,
        description=said,
        examples=[OpenApiExample(title, value=value, response_only=True) for title, value in examples.items()],
    )


def operation(
    *,
    id: str,  # noqa: A002 -- OpenAPI's own word
    tag: str,
    summary: str,
    success: tuple[int, Any],
    also: Mapping[int, Any] | None = None,
    problems: tuple[int, ...],
    query: Any = None,
    request: Any = None,
    text: str = "",
    path: Mapping[str, str] | None = None,
    examples: list[OpenApiExample] | None = None,
) -> Callable[[V], V]:
    """Describe one method of an endpoint.

    ``path`` names the IDs in its address and says what they are of; ``success`` and ``also`` are what :func:`answer`
    returns, by status. An answer that is no JSON is given as a dictionary, by media type.
    """
    status, shape = success
    responses: dict[Any, Any] = {status: shape or OpenApiResponse(description="Done; no body."), **(also or {})}
    if isinstance(shape, dict):
        responses = {(status, media_type): one for media_type, one in shape.items()}
    for code in problems:
        responses[code, _PROBLEM_JSON] = OpenApiResponse(
            Problem, description=BY_STATUS[code].meaning, examples=[_example(code)]
        )
    parameters: list[Any] = [query] if query is not None else []
    parameters += [_id_in_path(name, type_name) for name, type_name in (path or {}).items()]
    return extend_schema(
        operation_id=id,
        tags=[tag],
        summary=summary,
        description=text,
        parameters=parameters,
        request=request,
        responses=responses,
        examples=examples or [],
    )


def _id_in_path(name: str, type_name: str) -> OpenApiParameter:
    said = described_id(type_name, name)
    return OpenApiParameter(
        name,
        {"type": "string", "format": said["format"]},
        OpenApiParameter.PATH,
        description=said["description"],
        examples=[OpenApiExample("An ID", value=IDS.get(type_name) or encode_id(type_name, 1))],
    )


def _example(code: int) -> OpenApiExample:
    kind = BY_STATUS[code]
    error_code, meaning = kind.codes[0]
    return OpenApiExample(
        kind.title,
        value={
            "type": f"https://keys.example.com{PAGE}#{kind.slug}",
            "title": kind.title,
            "status": kind.status,
            "detail": meaning,
            "instance": "/v2/spaces",
            "error_code": error_code,
        },
        response_only=True,
        status_codes=[str(code)],
        media_type=_PROBLEM_JSON,
    )
