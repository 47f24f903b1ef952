"""How much one GraphQL document may ask for, decided before anything is looked up.

Size is what the document says: fields, aliases, directives, nesting, with every fragment counted wherever it is spread.
Cost is what the answer may come to: the objects it can hold at most.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
)

from accounts.errors import Invalid
from accounts.schema.relay import DEFAULT_FIRST, MAX_FIRST

MAX_TEXT = 50_000  # characters
MAX_TOKENS = 2_000
MAX_DEPTH = 15
MAX_INTROSPECTION_DEPTH = 20  # clients ask for types of types of types
MAX_FIELDS = 300
MAX_ALIASES = 30
MAX_DIRECTIVES = 30
MAX_ROOT_FIELDS = 10
MAX_VALUES = 2_000  # in the variables
MAX_COST = 1_000  # as the vendor's (contract rest-v2 §14.9)

# What keeps us from running out of stack while measuring.
_DEEPEST = 60
_INTROSPECTION = frozenset({"__schema", "__type"})
_WRAPPERS = ("Connection", "Edge", "PageInfo")


class TooComplex(Invalid):
    """A GraphQL document asks for more than is answered at once."""

    code = "too_complex"


@dataclass(frozen=True)
class Size:
    """What a selection of fields comes to, with everything inside it. ``wide`` counts its outermost fields alone."""

    depth: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    wide: int = 0

    def beside(self, other: Size) -> Size:
        """Return the size of both."""
        return Size(
            max(self.depth, other.depth),
            self.fields + other.fields,
            self.aliases + other.aliases,
            self.directives + other.directives,
            self.wide + other.wide,
        )


def require_small(document: DocumentNode) -> None:
    """Refuse a document of which any operation is too large. Each fragment is measured once.

    Raises:
        TooComplex: it is.
    """
    ruler = _Ruler(document)
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        size = ruler.measured(definition.selection_set, 1)
        directives = size.directives + len(definition.directives)
        for name, found, limit in (
            ("nested levels", size.depth, MAX_DEPTH),
            ("fields", size.fields, MAX_FIELDS),
            ("aliases", size.aliases, MAX_ALIASES),
            ("directives", directives, MAX_DIRECTIVES),
            ("fields at the top", size.wide, MAX_ROOT_FIELDS),
        ):
            if found > limit:
                raise TooComplex(f"This operation has more than {limit} {name}. Split it.")


def require_few(variables: list[Any]) -> None:
    """Refuse variables that hold too many values: reading them takes as long as reading a document.

    Raises:
        TooComplex: they do.
    """
    if sum(1 for _ in itertools.islice(values_in(variables), MAX_VALUES + 2)) > MAX_VALUES + 1:
        raise TooComplex(f"Variables have at most {MAX_VALUES} values in all.")


def values_in(value: Any) -> Iterator[Any]:
    """Yield a value of JSON and everything in it, however deep."""
    stack = [value]
    while stack:
        one = stack.pop()
        yield one
        if isinstance(one, Mapping):
            stack.extend(one.values())
        elif isinstance(one, list):
            stack.extend(one)


def require_affordable(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: dict[str, Any]
) -> None:
    """Refuse an operation, valid and small, whose answer could hold too many objects.

    Every object counts as one, times the length of all the lists it is in: ``first``, or what that is by default.
    Pages, edges and values that are no objects count nothing.

    Raises:
        TooComplex: it could.
    """
    root = schema.get_root_type(operation.operation)
    cost = _Till(schema, document, variables).cost(operation.selection_set, root)
    if cost > MAX_COST:
        raise TooComplex(
            f"The answer could hold {cost} objects, and {MAX_COST} is the limit. Ask for shorter pages (`first`)."
        )


def _fragments(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}


class _Ruler:
    """Measures selections. Whether a document is valid is asked later, so here anything may be missing or circular."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = _fragments(document)
        self.known: dict[str, Size] = {}

    def measured(self, selections: SelectionSetNode, level: int) -> Size:
        if level > _DEEPEST:
            raise TooComplex(f"This operation has more than {MAX_DEPTH} nested levels. Split it.")
        total = Size()
        for selection in selections.selections:
            total = total.beside(self._one(selection, level))
        return total

    def _one(self, node: SelectionNode, level: int) -> Size:
        here = Size(directives=len(node.directives))
        if isinstance(node, FragmentSpreadNode):
            return here.beside(self._fragment(node.name.value, level))
        inside: SelectionSetNode | None = getattr(node, "selection_set", None)
        inner = self.measured(inside, level + 1) if inside else Size()
        if not isinstance(node, FieldNode):
            return here.beside(inner)
        depth = inner.depth + 1
        if node.name.value in _INTROSPECTION:
            if depth > MAX_INTROSPECTION_DEPTH:
                raise TooComplex(f"Introspection has at most {MAX_INTROSPECTION_DEPTH} nested levels.")
            depth = 1
        named_anew = 1 if node.alias else 0
        return here.beside(Size(depth, inner.fields + 1, inner.aliases + named_anew, inner.directives, wide=1))

    def _fragment(self, name: str, level: int) -> Size:
        if name not in self.known:
            self.known[name] = Size()  # for a fragment that is inside itself, which validation refuses
            fragment = self.fragments.get(name)
            if fragment is not None:
                self.known[name] = self.measured(fragment.selection_set, level + 1)
        return self.known[name]


class _Till:
    """Adds up what an answer can hold."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, variables: dict[str, Any]) -> None:
        self.schema = schema
        self.fragments = _fragments(document)
        self.variables = variables

    def cost(self, selections: SelectionSetNode, parent: Any) -> int:
        return sum(self._one(selection, parent) for selection in selections.selections)

    def _one(self, node: SelectionNode, parent: Any) -> int:
        if isinstance(node, FragmentSpreadNode):
            fragment = self.fragments[node.name.value]
            return self.cost(fragment.selection_set, self._named(fragment.type_condition, parent))
        if not isinstance(node, FieldNode):
            condition = getattr(node, "type_condition", None)
            return self.cost(node.selection_set, self._named(condition, parent))  # type: ignore[attr-defined]
        field: GraphQLField | None = getattr(parent, "fields", {}).get(node.name.value)
        kind = get_named_type(field.type) if field else None
        if field is None or kind is None or node.selection_set is None or not is_composite_type(kind):
            return 0  # a value, or introspection
        own = 0 if kind.name.endswith(_WRAPPERS) else 1
        return self._times(node, field) * (own + self.cost(node.selection_set, kind))

    def _times(self, node: FieldNode, field: GraphQLField) -> int:
        if "first" in field.args:
            return min(max(self._first(node), 1), MAX_FIRST)
        kind = getattr(field.type, "of_type", field.type) if is_non_null_type(field.type) else field.type
        is_plain_list = is_list_type(kind) and not get_named_type(kind).name.endswith(_WRAPPERS)
        return MAX_FIRST if is_plain_list else 1

    def _first(self, node: FieldNode) -> int:
        given = next((one.value for one in node.arguments if one.name.value == "first"), None)
        if isinstance(given, IntValueNode):
            return int(given.value)
        number = self.variables.get(given.name.value) if isinstance(given, VariableNode) else None
        return DEFAULT_FIRST if number is None else int(number)

    def _named(self, condition: Any, parent: Any) -> Any:
        return self.schema.get_type(condition.name.value) if condition else parent
