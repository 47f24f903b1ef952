"""GraphQL: one document with the caller's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from django.db.models import Model
from graphql import GraphQLInterfaceType, GraphQLObjectType

from accounts.actors import Door as Threshold
from accounts.wire import encode_id
from arizekeys.schema import SCHEMA
from tests.asking import GRAPHQL as ADDRESS
from tests.matrix.doors.ways import Door, Instead, Of, Way
from tests.matrix.fates import Fate
from tests.matrix.scene import OPERATOR, Scene

GRAPHQL = Door(
    "GraphQL",
    Threshold.GRAPHQL,
    instead={OPERATOR: Fate.UNAUTHORIZED},
    because="An operator has no key, and a session opens nothing here (security 14).",
)
_FATES = {403: Fate.FORBIDDEN, 404: Fate.ABSENT, 422: Fate.AGAINST}


@dataclass(frozen=True, kw_only=True)
class GraphqlWay(Way):
    """One document. ``shows`` is what the answer must hold for its reader to have been let in."""

    door = GRAPHQL
    document: str
    variables: Of[Mapping[str, Any]]
    shows: Of[str] | None

    def ask(self, scene: Scene) -> Fate | str:
        """Send it."""
        response = scene.client().post(
            ADDRESS,
            {"query": self.document, "variables": self.variables(scene)},
            content_type="application/json",
            headers={"x-api-key": scene.key} if scene.key else {},
        )
        if response.status_code == 401:
            return Fate.UNAUTHORIZED
        content, body = response.getvalue().decode(), response.json()
        if response.status_code != 200:
            return f"{response.status_code}: {content}"
        if "errors" in body:
            said = body["errors"][0]["extensions"]
            above = said["code"] == "role_above_own"
            return Fate.ABOVE if above else _FATES.get(said["status"], content)
        return Fate.MADE if self.shows is None or self.shows(scene) in content else Fate.ABSENT


def mutation(name: str, given: Of[Mapping[str, Any]], *, differs: Instead | None = None, because: str = "") -> Way:
    """Do something with a mutation that takes one input, which bears the mutation's name in the schema."""
    declared = cast(GraphQLObjectType, SCHEMA.mutation_type).fields[name].args["input"].type
    return GraphqlWay(
        name=f"Mutation.{name}",
        document=f"mutation ($input: {declared}) {{ {name}(input: $input) {{ __typename }} }}",
        variables=lambda scene: {"input": given(scene)},
        shows=None,
        differs=differs or {},
        because=because,
    )


def query(
    name: str,
    document: str,
    *,
    variables: Of[Mapping[str, Any]] = lambda scene: {},
    shows: Of[str] | None = None,
    differs: Instead | None = None,
    because: str = "",
) -> Way:
    """Read something with a query."""
    return GraphqlWay(
        name=name,
        looks=True,
        document=document,
        variables=variables,
        shows=shows,
        differs=differs or {},
        because=because,
    )


def node(
    kind: str,
    row: Of[Model],
    fields: str = "id",
    *,
    name: str = "",
    shows: Of[str] | None = None,
    differs: Instead | None = None,
    because: str = "",
) -> Way:
    """Read what an id names, or under a ``name`` of its own something that belongs to it."""
    return query(
        name or f"node {kind}",
        f"query ($id: ID!) {{ node(id: $id) {{ ... on {kind} {{ {fields} }} }} }}",
        variables=lambda scene: {"id": encode_id(kind, row(scene).pk)},
        shows=shows or (lambda scene: encode_id(kind, row(scene).pk)),
        differs=differs,
        because=because,
    )


def offered() -> set[str]:
    """Return every mutation, every field that begins a query, every list, and every kind of thing with an id."""
    roots = (SCHEMA.query_type, SCHEMA.mutation_type)
    fields = {
        f"{kind.name}.{name}"
        for kind in SCHEMA.type_map.values()
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__")
        for name, field in kind.fields.items()
        if kind in roots or "first" in field.args
    }
    kinds = SCHEMA.get_possible_types(cast(GraphQLInterfaceType, SCHEMA.type_map["Node"]))
    return fields - {"Query.node"} | {f"node {kind.name}" for kind in kinds}
