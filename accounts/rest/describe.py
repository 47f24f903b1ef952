"""How operations are described in the OpenAPI document, so that every one of them says the same things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers

from accounts.rest.problems import BY_STATUS, PAGE

V = TypeVar("V", bound=Callable[..., Any])

_PROBLEM_JSON = "application/problem+json"


class FaultOut(serializers.Serializer[Any]):
    """One value at fault."""

    detail = serializers.CharField()
    pointer = serializers.CharField(required=False, help_text="Of a property in the body: a JSON pointer.")
    parameter = serializers.CharField(required=False, help_text="Of a query parameter: its name.")


class Problem(serializers.Serializer[Any]):
    """An error, as RFC 9457 describes it."""

    type = serializers.URLField(help_text="Where this kind of error is explained.")
    title = serializers.CharField(help_text="The kind of error; the same for all of its kind.")
    status = serializers.IntegerField()
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
        return type(serializer).__name__.removesuffix("Out")

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        """Return the description of one method."""
        found: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if found is not None:
            access: Mapping[str, str] = getattr(self.view, "access", {})
            rule = access.get(self.method, "Nobody: no rule is declared.")
            found["description"] = "\n\n".join(filter(None, (found.get("description"), f"**Access.** {rule}")))
            if self.method == "POST" and not getattr(self.view, "post_only_reads", False):
                _describe_repeating(found)
        return found


def _describe_repeating(found: dict[str, Any]) -> None:
    """Say of a POST what the header that makes it safe to send twice adds."""
    found.setdefault("parameters", []).append(
        {
            "in": "header",
            "name": "Idempotency-Key",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
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
    path: dict[str, str] | None = None,
    examples: list[OpenApiExample] | None = None,
) -> Callable[[V], V]:
    """Describe one method of an endpoint.

    ``path`` names the ids in its address and says what they are of; ``also`` has further ways of succeeding. An answer
    that is no JSON is given as a dictionary, by media type.
    """
    status, answer = success
    responses: dict[Any, Any] = {status: answer or OpenApiResponse(description="Done; no body."), **(also or {})}
    if isinstance(answer, dict):
        responses = {(status, media_type): shape for media_type, shape in answer.items()}
    for code in problems:
        responses[code, _PROBLEM_JSON] = OpenApiResponse(
            Problem, description=BY_STATUS[code].meaning, examples=[_example(code)]
        )
    parameters: list[Any] = [query] if query is not None else []
    parameters += [
        OpenApiParameter(name, str, OpenApiParameter.PATH, description=what) for name, what in (path or {}).items()
    ]
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


def _example(code: int) -> OpenApiExample:
    kind = BY_STATUS[code]
    error_code, meaning = kind.codes[0]
    return OpenApiExample(
        kind.title,
        value={
            "type": f"{PAGE}#{kind.slug}",
            "title": kind.title,
            "status": kind.status,
            "detail": meaning,
            "instance": "/v2/…",
            "error_code": error_code,
        },
        response_only=True,
        status_codes=[str(code)],
        media_type=_PROBLEM_JSON,
    )
