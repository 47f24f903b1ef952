"""The filters that people write over their data, as an expression that Arrow evaluates.

The language is the condition of an SQL query and nothing besides (contract client-workflows §9):

    attributes.openinference.span.kind = 'LLM' and (eval.Hallucination.score > 0.5 or status_code in ('ERROR', 'UNSET'))

Names may have dots, and stand in double quotes where they have other signs: "eval.My Judge.label". No engine ever sees
the text. It is parsed, every node must be one that is known, and what is built of them compares columns and values.
Nulls count as they do in SQL: a comparison with one is neither true nor false, and only what is true passes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from accounts.errors import Invalid

# A person's filter has a line or two, a program's may list some hundred ids.
_MAX_LENGTH = 50_000
# How deep parentheses may nest, and how many comparisons one filter has: both bound what it costs to evaluate.
_MAX_DEPTH = 30
_MAX_COMPARISONS = 500
# What a wrong name is compared with to tell what may be meant: it takes longer than the export where both are many.
_MAX_HINTED_LETTERS = 80
_MAX_HINTED_COLUMNS = 500

_ALLOWED = (
    "A filter may use columns, values, =, !=, <, <=, >, >=, AND, OR, NOT, IN, BETWEEN, LIKE, ILIKE, IS NULL and "
    "parentheses."
)
_NOT_FOLLOWING = "one thing does not follow the other"
_COMPARISONS: dict[type[exp.Expr], Callable[[Any, Any], Any]] = {
    exp.EQ: lambda left, right: left == right,
    exp.NEQ: lambda left, right: left != right,
    exp.LT: lambda left, right: left < right,
    exp.LTE: lambda left, right: left <= right,
    exp.GT: lambda left, right: left > right,
    exp.GTE: lambda left, right: left >= right,
}
_MIRRORED: dict[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.EQ,
    exp.NEQ: exp.NEQ,
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}
# Words of the language; every other word is the name of a column.
_KEYWORDS = frozenset(["AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "ILIKE", "IS"])
_CONSTANTS = frozenset(["NULL", "TRUE", "FALSE"])
# All that a filter is made of. Names come with all their dots and quotes, and have any letter there is.
_NAME = r'(?:"(?:[^"]|"")*"|(?:[a-zA-Z0-9_]|[^\x00-\x7f\s])+)'
_WORDS = re.compile(
    rf"""
      (?P<blank> \s+ )
    | (?P<text> '(?:[^']|'')*' )
    | (?P<number> (?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)? )
    | (?P<name> {_NAME}(?:\.{_NAME})* )
    | (?P<sign> <= | >= | <> | != | == | [=<>(),+] | -(?!-) )
    | (?P<other> -- | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_PART = re.compile(r'"((?:[^"]|"")*)"|([^."]+)')


@dataclass(frozen=True)
class Filter:
    """``expression`` is true for the rows that pass; ``columns`` are those that it looks at."""

    expression: Any
    columns: frozenset[str]


def parse(text: str, schema: pa.Schema) -> Any:
    """Turn ``text`` into a ``pyarrow.compute.Expression`` over rows of ``schema``.

    Raises:
        Invalid: it is no condition, names a column that is not there, or compares what cannot be compared.
    """
    return read(text, schema).expression


def read(text: str, schema: pa.Schema) -> Filter:
    """As `parse`, and say which columns it takes."""
    if len(text) > _MAX_LENGTH:
        raise Invalid(f"The filter is longer than {_MAX_LENGTH} characters.", field="filter")
    tree = _tree(_spelled_out(text))
    reading = _Reading(schema)
    try:
        expression = reading.condition(tree)
    except RecursionError:
        raise _too_deep() from None
    return Filter(expression, frozenset(reading.columns))


def _spelled_out(text: str) -> str:
    """Write the filter so that to a parser of SQL no word means anything that it does not mean here.

    The parser knows types, functions and comments of every dialect, and tries for some what they could be, again and
    again at every depth: a line of them kept it busy for hours. So it gets to see the words of our language and
    nothing besides, every name in quotes and with its dots, and no value right behind another.

    Raises:
        Invalid: it has what no filter has, or its parentheses are too deep.
    """
    words: list[str] = []
    depth = 0
    before = ""  # what stands there, where that is whole: a value, a name, or what is in parentheses
    for found in _WORDS.finditer(text):
        kind, word = str(found.lastgroup), found[0]
        if kind == "blank":
            continue
        if kind == "other":
            raise _foreign(word)
        if kind == "name":
            kind, word = _named_or_known(word)
        whole = kind in ("text", "number", "name", "constant")
        if before and (whole or word == "("):
            raise _no_function() if before == "name" and word == "(" else _unreadable(_NOT_FOLLOWING)
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth > _MAX_DEPTH:
            raise _too_deep()
        before = kind if whole or word == ")" else ""
        words.append(word)
    return " ".join(words)


def _named_or_known(word: str) -> tuple[str, str]:
    """What a word is, and how it is written for the parser."""
    known = word.upper()
    if known in _KEYWORDS:
        return "keyword", known
    if known in _CONSTANTS:
        return "constant", known
    parts = (part[1].replace('""', '"') if part[2] is None else part[2] for part in _PART.finditer(word))
    return "name", _quoted(".".join(parts))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _tree(text: str) -> exp.Expr:
    try:
        return sqlglot.parse_one(text, into=exp.Condition)
    except SqlglotError as error:
        raise _unreadable(_what_is_wrong(error)) from None
    except RecursionError:
        raise _too_deep() from None


def _what_is_wrong(error: SqlglotError) -> str:
    """What the parser says, without the names of its own parts."""
    said = " ".join(str(found.get("description")) for found in getattr(error, "errors", ()))
    if said.startswith("Required keyword"):
        return "something is missing, perhaps at its end"
    return _NOT_FOLLOWING if said.startswith("Invalid expression") else "it is no condition"


def _unreadable(why: str) -> Invalid:
    return Invalid(f"The filter cannot be read: {why}. {_ALLOWED}", field="filter")


def _foreign(sign: str) -> Invalid:
    if sign in ("'", '"'):
        return _unreadable("a quote is not closed")
    return Invalid(
        f"The sign {sign!r} is nothing that a filter may use. Names that have it stand in double quotes. {_ALLOWED}",
        field="filter",
    )


def _no_function() -> Invalid:
    return Invalid(f"A function is nothing that a filter may use. {_ALLOWED}", field="filter")


def _too_deep() -> Invalid:
    return Invalid(f"The filter nests more than {_MAX_DEPTH} deep: use fewer parentheses.", field="filter")


class _Reading:
    """One walk through one tree."""

    def __init__(self, schema: pa.Schema) -> None:
        self.columns: set[str] = set()
        self._schema = schema
        self._comparisons = 0

    def condition(self, node: exp.Expr) -> Any:
        """The expression for something that is true or false."""
        if isinstance(node, exp.And | exp.Or):
            _plain(node, "this", "expression")
            kind = type(node)
            parts = [self.condition(part) for part in _flattened(node, kind)]
            return _balanced(parts, (lambda a, b: a & b) if kind is exp.And else (lambda a, b: a | b))
        if isinstance(node, exp.Paren):
            _plain(node, "this")
            return self.condition(node.this)
        if isinstance(node, exp.Not):
            _plain(node, "this")
            return ~self.condition(node.this)
        self._comparisons += 1
        if self._comparisons > _MAX_COMPARISONS:
            raise Invalid(f"The filter has more than {_MAX_COMPARISONS} comparisons.", field="filter")
        found = self._comparison(node)
        return ~found if node.args.get("negate") else found

    def _comparison(self, node: exp.Expr) -> Any:
        if type(node) in _COMPARISONS:
            _plain(node, "this", "expression")
            return self._compared(type(node), node.this, node.expression)
        if isinstance(node, exp.Between):
            _plain(node, "this", "low", "high", "negate")
            return self._compared(exp.GTE, node.this, node.args["low"]) & self._compared(
                exp.LTE, node.this, node.args["high"]
            )
        if isinstance(node, exp.In):
            _plain(node, "this", "expressions", "negate")
            return self._listed(node.this, node.expressions)
        if isinstance(node, exp.Like | exp.ILike):
            _plain(node, "this", "expression", "negate")
            return self._like(node.this, node.expression, ignore_case=isinstance(node, exp.ILike))
        if isinstance(node, exp.Is):
            _plain(node, "this", "expression")
            return self._is(node.this, node.expression)
        if isinstance(node, exp.Column):
            name, kind = self._column(node)
            if not (pa.types.is_boolean(kind) or pa.types.is_null(kind)):
                raise Invalid(
                    f"The column {_quoted(name)} is {_named(kind)}: compare it with something.", field="filter"
                )
            return pc.field(name).cast(pa.bool_())
        raise _not_allowed(node)

    def _column(self, node: exp.Expr) -> tuple[str, Any]:
        """The name and the type of a column of the rows."""
        node = _without_parentheses(node)
        if not isinstance(node, exp.Column):
            if isinstance(node, exp.Literal | exp.Neg | exp.Boolean | exp.Null):
                raise Invalid(f"One side of each comparison is a column. {_ALLOWED}", field="filter")
            raise _not_allowed(node)
        _plain(node, "this")
        if not isinstance(node.this, exp.Identifier):
            raise _not_allowed(node.this)
        name = str(node.this.this)
        found = self._schema.get_all_field_indices(name)
        if not found:
            raise Invalid(
                f"There is no column {_quoted(name)}.{self._hint(name)} Texts stand in single quotes.", field="filter"
            )
        if len(found) > 1:
            raise Invalid(f"There is more than one column {_quoted(name)}.", field="filter")
        self.columns.add(name)
        kind = self._schema.field(found[0]).type
        return name, kind.value_type if pa.types.is_dictionary(kind) else kind

    def _hint(self, name: str) -> str:
        if len(name) > _MAX_HINTED_LETTERS or len(self._schema) > _MAX_HINTED_COLUMNS:
            return ""
        close = difflib.get_close_matches(name, self._schema.names, n=3)
        return f" Did you mean {' or '.join(map(_quoted, close))}?" if close else ""

    def _compared(self, how: type[exp.Expr], left: exp.Expr, right: exp.Expr) -> Any:
        left, right = _without_parentheses(left), _without_parentheses(right)
        if not isinstance(left, exp.Column) and isinstance(right, exp.Column):
            left, right, how = right, left, _MIRRORED[how]
        name, kind = self._column(left)
        if isinstance(right, exp.Column):
            other, other_kind = self._column(right)
            return _COMPARISONS[how](*_alike(name, kind, other, other_kind))
        field, (value,) = _fitting(name, kind, [_value(right)])
        return _COMPARISONS[how](field, pc.scalar(value))

    def _listed(self, left: exp.Expr, items: Sequence[exp.Expr]) -> Any:
        name, kind = self._column(left)
        if not items:
            raise Invalid(f"The list for {_quoted(name)} is empty.", field="filter")
        field, values = _fitting(name, kind, [_value(item) for item in items])
        found = field.isin(pa.array([value.as_py() for value in values], values[0].type))
        # Arrow says of a null that it is not in the list; SQL does not say.
        return pc.if_else(field.is_valid(), found, pa.scalar(None, pa.bool_()))

    def _like(self, left: exp.Expr, pattern: exp.Expr, *, ignore_case: bool) -> Any:
        name, kind = self._column(left)
        value = _value(pattern)
        if not isinstance(value, str):
            raise Invalid(f"The pattern for {_quoted(name)} is a text in single quotes.", field="filter")
        field, _ = _fitting(name, kind, [value])
        if not _is_text(kind) and not pa.types.is_null(kind):
            raise Invalid(f"The column {_quoted(name)} is {_named(kind)}; LIKE needs text.", field="filter")
        return pc.match_like(field, value, ignore_case=ignore_case)

    def _is(self, left: exp.Expr, right: exp.Expr) -> Any:
        name, _ = self._column(left)
        if not isinstance(right, exp.Null):
            raise Invalid(f"Of {_quoted(name)} one can only ask whether it IS NULL or IS NOT NULL.", field="filter")
        return ~pc.field(name).is_valid()


def _plain(node: exp.Expr, *parts: str) -> None:
    """Refuse a node that has more to it than the parts that are understood."""
    for part, value in node.args.items():
        if value and part not in parts:
            raise _not_allowed(value[0] if isinstance(value, list) else value if isinstance(value, exp.Expr) else node)


def _not_allowed(node: object) -> Invalid:
    if isinstance(node, exp.Connector):
        return Invalid(f"AND and OR join comparisons, and are no part of one. {_ALLOWED}", field="filter")
    what = node.key.upper() if isinstance(node, exp.Expr) else str(node)
    return Invalid(f"{what} is nothing that a filter may use. {_ALLOWED}", field="filter")


def _without_parentheses(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        _plain(node, "this")
        node = node.this
    return node


def _flattened(node: exp.Expr, kind: type[exp.Expr]) -> Iterator[exp.Expr]:
    """What a chain of ANDs, or of ORs, joins: the chain may be longer than the stack is deep."""
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if type(part) is kind:
            _plain(part, "this", "expression")
            waiting += [part.args["expression"], part.args["this"]]
        else:
            yield part


def _balanced(parts: list[Any], join: Callable[[Any, Any], Any]) -> Any:
    """Join ``parts`` to a tree whose depth does not grow with their number as a chain's does."""
    while len(parts) > 1:
        parts = [reduce(join, parts[start : start + 2]) for start in range(0, len(parts), 2)]
    return parts[0]


def _value(node: exp.Expr) -> str | int | float | bool:
    node = _without_parentheses(node)
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        raise Invalid("Nothing equals NULL: ask whether the column IS NULL.", field="filter")
    if isinstance(node, exp.Neg):
        _plain(node, "this")
        number = _value(node.this)
        if isinstance(number, str | bool):
            raise Invalid("Only a number can be negative.", field="filter")
        return -number
    if not isinstance(node, exp.Literal):
        if isinstance(node, exp.Column):
            raise Invalid(
                f"A value is expected where {node.name!r} stands; texts stand in single quotes.", field="filter"
            )
        raise _not_allowed(node)
    text = str(node.this)
    if node.is_string:
        return text
    try:
        return int(text) if text.isdecimal() else float(text)
    except ValueError:
        raise Invalid(f"{text[:40]!r} is no number.", field="filter") from None


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _named(kind: Any) -> str:
    if _is_text(kind):
        return "text"
    if _is_number(kind):
        return "a number"
    if pa.types.is_boolean(kind):
        return "true or false"
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return "a time"
    return f"of a kind ({kind}) that cannot be compared"


def _alike(name: str, kind: Any, other: str, other_kind: Any) -> tuple[Any, Any]:
    """Two columns, cast to a type in which they can be compared."""
    left, right = pc.field(name), pc.field(other)
    if pa.types.is_null(kind) or pa.types.is_null(other_kind):
        nothing = (left if pa.types.is_null(kind) else right).cast(pa.bool_())
        return nothing, nothing  # whatever is compared with nothing
    if _is_text(kind) and _is_text(other_kind):
        return left.cast(pa.large_string()), right.cast(pa.large_string())
    if pa.types.is_integer(kind) and pa.types.is_integer(other_kind) and pa.uint64() not in (kind, other_kind):
        return left.cast(pa.int64()), right.cast(pa.int64())
    if _is_number(kind) and _is_number(other_kind):
        return left.cast(pa.float64(), safe=False), right.cast(pa.float64(), safe=False)
    if kind == other_kind and not pa.types.is_nested(kind):
        return left.cast(kind), right.cast(kind)
    raise Invalid(
        f"The column {_quoted(name)} is {_named(kind)} and {_quoted(other)} is {_named(other_kind)}: "
        "they cannot be compared.",
        field="filter",
    )


def _fitting(name: str, kind: Any, values: Sequence[str | int | float | bool]) -> tuple[Any, list[Any]]:
    """A column and values, of one type in which they compare without loss and without an error later on."""
    field = pc.field(name)
    if pa.types.is_null(kind):
        return field.cast(pa.string()), [pa.scalar("", pa.string()) for _ in values]
    texts = [value for value in values if isinstance(value, str)]
    truths = [value for value in values if isinstance(value, bool)]
    if _is_text(kind) and len(texts) == len(values):
        kind = pa.string() if pa.types.is_string_view(kind) else kind
        return field.cast(kind), [pa.scalar(text, kind) for text in texts]
    if pa.types.is_boolean(kind) and len(truths) == len(values):
        return field.cast(kind), [pa.scalar(truth) for truth in truths]
    if (pa.types.is_timestamp(kind) or pa.types.is_date(kind)) and len(texts) == len(values):
        kind = (
            kind if pa.types.is_timestamp(kind) and kind.unit == "ns" else pa.timestamp("us", getattr(kind, "tz", None))
        )
        return field.cast(kind, safe=False), [_moment(name, text, kind) for text in texts]
    if _is_number(kind) and not texts and not truths:
        kind = _common(kind, values)
        try:
            return field.cast(kind, safe=False), [
                pa.scalar(float(n) if kind == pa.float64() else n, kind) for n in values
            ]
        except OverflowError:
            raise Invalid(f"A number that {_quoted(name)} is compared with is too large.", field="filter") from None
    wrong = next((value for value in values if not _is_kin(kind, value)), values[0])
    raise Invalid(
        f"The column {_quoted(name)} is {_named(kind)}, so it cannot be compared with {_shown(wrong)}.", field="filter"
    )


def _is_kin(kind: Any, value: str | int | float | bool) -> bool:
    if isinstance(value, bool):
        return bool(pa.types.is_boolean(kind))
    if isinstance(value, str):
        return not _is_number(kind) and not pa.types.is_boolean(kind)
    return _is_number(kind)


def _shown(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return f"the text '{value[:40]}'" if isinstance(value, str) else f"the number {str(value)[:40]}"


def _common(kind: Any, numbers: Sequence[Any]) -> Any:
    """The type in which a column of numbers is compared with ``numbers``."""
    if not pa.types.is_integer(kind) or not all(isinstance(number, int) for number in numbers):
        return pa.float64()
    if kind == pa.uint64():
        return kind if all(0 <= number < 2**64 for number in numbers) else pa.float64()
    return pa.int64() if all(-(2**63) <= number < 2**63 for number in numbers) else pa.float64()


def _moment(name: str, text: str, kind: Any) -> Any:
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        at = at.astimezone(UTC)
        return pa.scalar(at if kind.tz is not None else at.replace(tzinfo=None), kind)
    except (ValueError, OverflowError, pa.ArrowInvalid):
        raise Invalid(
            f"The column {_quoted(name)} is a time, so it is compared with one as '2026-01-31T12:00:00Z'.",
            field="filter",
        ) from None
