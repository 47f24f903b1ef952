"""GraphQL: every app's types joined, and the one address they are served at.

A request is read and measured before anything but its key is looked up. graphql-core carries it out; strawberry, whose
types these are, would do so with limits that come after validation, and log every refusal as an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

import strawberry
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables
from graphql import ExecutionResult, GraphQLDirective, GraphQLError, GraphQLSchema, execute_sync
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from strawberry.schema.config import StrawberryConfig

from accounts.actors import Actor
from accounts.audit import Tag, record_refusal
from accounts.errors import DomainError, Invalid
from accounts.origin import require_measured
from accounts.schema import mutations, queries
from accounts.schema.inquiry import Info, Inquiry
from accounts.schema.relay import ACCESS, Node, told
from accounts.schema.scalars import MOMENT
from accounts.schema.types import OrganizationMembership, RoleBinding
from apikeys import schema as keys
from apikeys.authentication import GraphQLAuthentication, client_name
from apikeys.workflows import schema as workflows
from arizekeys.asking import NotUnderstood, read
from arizekeys.rest import problem

_FINDERS = {**queries.FINDERS, **keys.FINDERS, **workflows.FINDERS}
_ERRORS_SHOWN = 50
# Where graphql-core allows directives since 3.2.9; releases before cannot even read that (client-workflows §14).
_NEW_PLACES = frozenset({"DIRECTIVE_DEFINITION"})


@strawberry.type(description="What can be read.")
class Query(queries.AccountQueries):
    """The root of every query."""

    @told("Whatever has this ID.", access="Whoever may read the thing itself; null otherwise.")
    def node(self, info: Info, id: strawberry.ID) -> Node | None:
        """Return what an id names."""
        return queries.find_node(info.context, _FINDERS, id)


@strawberry.type(description="What can be changed.")
class Mutation(mutations.AccountMutations, keys.KeyMutations, workflows.WorkflowMutations):
    """The root of every mutation."""


def undeclared(schema: GraphQLSchema) -> list[str]:
    """Return the fields of whom nobody has said who may use them: root fields, and all that lead to a list."""
    roots = {schema.query_type, schema.mutation_type, schema.subscription_type}
    return [
        f"{kind.name}.{name}"
        for kind in schema.type_map.values()
        for name, field in getattr(kind, "fields", {}).items()
        if (kind in roots or "first" in getattr(field, "args", {})) and ACCESS not in (field.description or "")
    ]


def joined() -> GraphQLSchema:
    """Build the schema.

    Raises:
        ImproperlyConfigured: a field does not say who may use it (security 20).
    """
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        types=[OrganizationMembership, RoleBinding],  # to which only their ids lead
        config=StrawberryConfig(scalar_map={datetime: MOMENT}),
    )
    built: GraphQLSchema = schema._schema  # strawberry has no public name for it
    built.directives = tuple(_readable_by_all(directive) for directive in built.directives)
    missing = undeclared(built)
    if missing:
        raise ImproperlyConfigured(f"Nobody has said who may use {', '.join(missing)}.")
    return built


def _readable_by_all(directive: GraphQLDirective) -> GraphQLDirective:
    """Take back a location that the graphql-core of older clients stumbles over when it reads the schema."""
    known: dict[str, Any] = {**directive.to_kwargs()}
    known["locations"] = [place for place in directive.locations if place.name not in _NEW_PLACES]
    return GraphQLDirective(**known)


SCHEMA = joined()


class GraphQL(APIView):
    """``POST /graphql`` (contract rest-v2 §14.9, client-workflows §14).

    Whatever comes before an operation is carried out is answered with REST's status, in GraphQL's shape: 403, 400 for
    a body that is no request. Refusals within an operation are ``errors`` of a 200. Only a failing database makes the
    whole answer a 503.
    """

    access = {"POST": "Any valid key; every field says in the schema who may use it."}
    authentication_classes = [GraphQLAuthentication]
    http_method_names = ["post"]
    schema = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        """Return headers for every answer: what depends on a key is nobody else's to keep."""
        return {**super().default_response_headers, "Cache-Control": "no-store"}

    def get_exception_handler(self) -> Callable[[Exception, Mapping[str, Any]], Response]:
        """Return what turns a refusal of the whole request into an answer."""
        return _refused

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let in whoever may come in, with a body that can be read."""
        super().initial(request, *args, **kwargs)
        require_measured(request._request)

    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        """Carry out one operation."""
        actor = request.auth
        if not isinstance(actor, Actor):
            raise TypeError("Only a request that a key opened has an actor.")
        context = self.get_exception_handler_context()
        # Looked at through Django first, which bounds what it reads; DRF alone would read on for ever.
        body = dict(request.data) if request._request.body else {}
        try:
            asked = read(SCHEMA, body)
        except NotUnderstood as fault:
            return Response({"errors": [{**_told(error, context), **_place(error)} for error in fault.errors]})
        result = execute_sync(
            SCHEMA,
            asked.document,
            context_value=Inquiry(replace(actor, operation=asked.operation), timezone.now(), client_name(request.META)),
            variable_values=asked.variables,
            operation_name=asked.node.name.value if asked.node.name else None,
        )
        for cause in map(_cause, result.errors or []):
            if isinstance(cause, DomainError) and cause.recorded and not cause.noted:
                record_refusal(replace(actor, operation=asked.operation), Tag.ACCESS_REFUSED, cause)
        return _answered(result, context)


def _answered(result: ExecutionResult, context: Mapping[str, Any]) -> Response:
    errors = result.errors or []
    # What went wrong once and shows in many places is looked at, and logged, once.
    causes = {id(_cause(error)): error for error in errors}
    told = {number: _told(error, context) for number, error in causes.items()}
    for shaped in told.values():
        if shaped["extensions"]["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
            return _unavailable(shaped)
    body: dict[str, Any] = {"data": result.data}
    if errors:
        body["errors"] = [{**told[id(_cause(error))], **_place(error)} for error in errors[:_ERRORS_SHOWN]]
    return Response(body)


def _cause(error: GraphQLError) -> Exception:
    return error.original_error or error


def _unavailable(shaped: dict[str, Any]) -> Response:
    """Answer that the database failed: never with a 200, and with no data that may be half of it (security 13)."""
    retry = str(shaped["extensions"].pop("retryAfter", 1))
    return Response({"errors": [shaped]}, status=HTTPStatus.SERVICE_UNAVAILABLE, headers={"Retry-After": retry})


def _refused(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer as REST would, in GraphQL's shape."""
    answer = problem(error, context)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        # A bad key is told with REST's very answer: clients look at the status, from which their users tell it from
        # other refusals, only where a body is no GraphQL (client-workflows §14).
        return answer
    answer.data = {"errors": [_shaped(answer.data)]}
    answer.content_type = "application/json"
    return answer


def _told(error: GraphQLError, context: Mapping[str, Any]) -> dict[str, Any]:
    """Say what was wrong, with the code that REST has for it; what nobody foresaw is in the log and not in here."""
    if error.original_error is None:
        return _shaped({"detail": error.message, "error_code": Invalid.code, "status": 400})
    answer = problem(error.original_error, context)
    shaped = _shaped(answer.data)
    if "Retry-After" in answer:
        shaped["extensions"]["retryAfter"] = int(answer["Retry-After"])
    return shaped


def _shaped(said: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a problem document into an error of GraphQL."""
    extensions = {"code": said["error_code"], "status": said["status"]}
    if said["status"] == HTTPStatus.TOO_MANY_REQUESTS:
        extensions["reason"] = "TOO_MANY_REQUESTS"  # which clients look for anywhere in an error
    return {"message": said["detail"], "extensions": extensions}


def _place(error: GraphQLError) -> dict[str, Any]:
    place: dict[str, Any] = {}
    if error.locations:
        place["locations"] = [location.formatted for location in error.locations]
    if error.path is not None:
        place["path"] = error.path
    return place
