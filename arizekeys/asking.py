"""From the body of a GraphQL request to an operation that may be carried out: read, measured, checked.

What is said about faults never repeats a value: it may be a secret typed into the wrong place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    GraphQLSyntaxError,
    ObjectFieldNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    Undefined,
    coerce_input_value,
    get_operation_ast,
    parse,
    print_ast,
    separate_operations,
    specified_rules,
    type_from_ast,
    validate,
    value_from_ast,
)
from graphql.validation import ASTValidationRule, ValidationRule, ValuesOfCorrectTypeRule

from accounts.actors import Operation
from accounts.errors import DomainError
from accounts.redaction import redact_text
from accounts.rest.problems import Fault, Malformed
from arizekeys.complexity import (
    MAX_TEXT,
    MAX_TOKENS,
    TooComplex,
    require_affordable,
    require_few,
    require_small,
    values_in,
)

_MAX_ERRORS = 20
_SHOWN_OF_MESSAGE = 300
_KEPT_OF_TEXT = 4_000
_KEPT_OF_VARIABLES = 4_000

# Control characters and halves of surrogate pairs, but for line breaks and tabs: PostgreSQL refuses some, and no name
# or description has a use for the others.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_TOO_MANY_TOKENS = f" {MAX_TOKENS} tokens"
# How the parser names a value that stands in the wrong place.
_VALUE_FOUND = re.compile(r"\b(String|BlockString|Int|Float) '.*'", re.DOTALL)


class NotUnderstood(Exception):
    """The document cannot be carried out; nothing was looked up for it."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__()
        self.errors = errors


@dataclass(frozen=True)
class Asked:
    """An operation that may be carried out."""

    document: DocumentNode
    node: OperationDefinitionNode
    variables: dict[str, Any]
    operation: Operation


def read(schema: GraphQLSchema, body: Mapping[str, Any]) -> Asked:
    """Return the operation that a request asks for.

    Raises:
        Malformed: the body is none of a GraphQL request.
        NotUnderstood: the document is wrong, asks for too much, or does not go with the variables.
    """
    text, given, name = _envelope(body)
    document = _parsed(text)
    _limited(lambda: require_small(document))
    faults = validate(schema, document, _RULES, max_errors=_MAX_ERRORS)
    if faults:
        raise NotUnderstood(*(_plain(fault) for fault in faults))
    node = _chosen(document, name)
    variables = _coerced(schema, node, given)
    _limited(lambda: require_affordable(schema, document, node, variables))
    kept = {one.variable.name.value for one in node.variable_definitions}
    given = {name: value for name, value in given.items() if name in kept}
    return Asked(document, node, given, _described(document, node, given))


def _envelope(body: Mapping[str, Any]) -> tuple[str, dict[str, Any], str | None]:
    """Return text, variables and operation name. What else clients send along is not looked at."""
    text, variables, name = body.get("query"), body.get("variables"), body.get("operationName")
    faults = []
    if not isinstance(text, str) or not text.strip():
        faults.append(Fault(("query",), "This must be a GraphQL document."))
    if not isinstance(variables, Mapping | None):
        faults.append(Fault(("variables",), "This must be an object."))
    if not isinstance(name, str | None):
        faults.append(Fault(("operationName",), "This must be a string."))
    if faults:
        raise Malformed(faults)
    return str(text), dict(variables or {}), str(name) if name else None


def _parsed(text: str) -> DocumentNode:
    if len(text) > MAX_TEXT:
        raise NotUnderstood(_refusal(TooComplex(f"A document has at most {MAX_TEXT} characters.")))
    try:
        return parse(text, max_tokens=MAX_TOKENS)
    except GraphQLSyntaxError as error:
        if _TOO_MANY_TOKENS in error.message:
            raise NotUnderstood(_refusal(TooComplex(f"A document has at most {MAX_TOKENS} tokens."))) from None
        said = redact_text(_VALUE_FOUND.sub(r"\1", error.message))[:_SHOWN_OF_MESSAGE]
        raise NotUnderstood(GraphQLError(said, source=error.source, positions=error.positions)) from None


def _limited(check: Callable[[], None]) -> None:
    try:
        check()
    except TooComplex as refusal:
        raise NotUnderstood(_refusal(refusal)) from None


def _refusal(refusal: DomainError) -> GraphQLError:
    return GraphQLError(refusal.detail, original_error=refusal)


def _plain(error: GraphQLError) -> GraphQLError:
    """Take out of a message what looks like a key, and cut names of a thousand letters short."""
    return GraphQLError(redact_text(error.message)[:_SHOWN_OF_MESSAGE], nodes=error.nodes)


def _chosen(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    node = get_operation_ast(document, name)
    if node is None:
        raise NotUnderstood(GraphQLError("Say with operationName which operation of the document is meant."))
    if node.operation is OperationType.SUBSCRIPTION:
        raise NotUnderstood(GraphQLError("There is nothing to subscribe to.", nodes=node))
    return node


# Variables


def _coerced(schema: GraphQLSchema, node: OperationDefinitionNode, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables as the resolvers will have them; the executor does the same once more, without a hitch."""
    declared = [definition.variable.name.value for definition in node.variable_definitions]
    _limited(lambda: require_few([given[name] for name in declared if name in given]))
    found: dict[str, Any] = {}
    for definition in node.variable_definitions:
        name = definition.variable.name.value
        kind = cast(GraphQLInputType, type_from_ast(schema, definition.type))  # as validation has seen to
        if name in given:
            found[name] = coerce_input_value(given[name], kind, _complaint(name, kind), hide_suggestions=True)
        elif definition.default_value is not None:
            found[name] = value_from_ast(definition.default_value, kind)
        elif isinstance(kind, GraphQLNonNull):
            raise NotUnderstood(GraphQLError(f"The variable ${name} is required.", nodes=definition))
        if any(_CONTROL.search(one) for one in values_in(given.get(name)) if isinstance(one, str)):
            raise NotUnderstood(GraphQLError(f"Control characters are not allowed in ${name}.", nodes=definition))
    return {name: value for name, value in found.items() if value is not Undefined}


def _complaint(name: str, kind: Any) -> Callable[[list[str | int], Any, GraphQLError], None]:
    def complain(path: list[str | int], value: Any, error: GraphQLError) -> None:
        where = f"${name}" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        # Of graphql-core's own messages only those about the fields of an object name no value.
        said = error.message if error.message.startswith("Field '") else f"This must be {_type_at(kind, path)}."
        raise NotUnderstood(_plain(GraphQLError(f"{where}: {said}")))

    return complain


def _type_at(kind: Any, path: list[str | int]) -> Any:
    for step in path:
        kind = _bare(kind)
        if isinstance(kind, GraphQLList):
            kind = kind.of_type
        if isinstance(step, str):
            kind = _bare(kind)
            kind = kind.fields[step].type if isinstance(kind, GraphQLInputObjectType) else kind
    return kind


def _bare(kind: Any) -> Any:
    return kind.of_type if isinstance(kind, GraphQLNonNull) else kind


# Validation


class QuietValues(ValuesOfCorrectTypeRule):
    """Says which type a value in the document must have, and not which value it is."""

    def report_error(self, error: GraphQLError) -> None:
        """Report what is wrong with the fields of an object as it is, and everything else without the value."""
        node = error.nodes[0] if error.nodes else None
        if not isinstance(node, ObjectValueNode | ObjectFieldNode):
            error = GraphQLError(f"This must be {self.context.get_input_type()}.", nodes=error.nodes)
        super().report_error(error)


class PlainStrings(ValidationRule):
    """Refuses control characters in the document's strings."""

    def enter_string_value(self, node: StringValueNode, *_args: Any) -> None:
        """Look at one string."""
        if _CONTROL.search(node.value):
            self.report_error(GraphQLError("Control characters are not allowed here.", nodes=node))


_RULES: list[type[ASTValidationRule]] = [
    QuietValues if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules
] + [PlainStrings]


# For the audit trail


def _described(document: DocumentNode, node: OperationDefinitionNode, variables: dict[str, Any]) -> Operation:
    """Describe an operation by the fields it calls: what the client calls it is anybody's word."""
    if node.operation is not OperationType.MUTATION:
        return Operation(kind="QUERY", name=_fields_called(node))
    named = node.name.value if node.name else ""
    # Printed anew: nothing hides from redaction behind escapes.
    text = print_ast(separate_operations(document)[named])[:_KEPT_OF_TEXT]
    if len(json.dumps(variables)) > _KEPT_OF_VARIABLES:
        variables = {"left_out": "These were too long to keep."}
    return Operation(kind="MUTATION", name=_fields_called(node), text=text, variables=variables)


def _fields_called(node: OperationDefinitionNode) -> str:
    called = [one.name.value for one in node.selection_set.selections if isinstance(one, FieldNode)]
    return ", ".join(dict.fromkeys(called))
