"""Filters pass what a person would pass who read them row by row, and nothing but a filter is a filter."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.errors import Invalid
from apikeys.workflows.filters import parse, read

SPANS = pa.table(
    {
        "attributes.openinference.span.kind": ["LLM", "TOOL", None],
        "eval.My Judge.label": ["good", "bad", "good"],
        "score": [0.25, 0.75, None],
        "tokens": pa.array([1, 2, 2**64 - 1], pa.uint64()),
        "small": pa.array([1, -1, None], pa.int8()),
        "kind": pa.array(["x", None, "y"]).dictionary_encode(),
        "large": pa.array(["x", "y%", "z"], pa.large_string()),
        "price": pa.array([Decimal("1.50"), Decimal("2.50"), None], pa.decimal128(5, 2)),
        "time": pa.array([datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)], pa.timestamp("ns", "UTC")),
        "seconds": pa.array([datetime(2026, 1, day) for day in (1, 2, 3)], pa.timestamp("s")),
        "day": [date(2026, 1, 1), None, date(2026, 1, 3)],
        "done": [True, False, None],
        "nothing": pa.nulls(3),
        "list": [[1], None, [2]],
        "half": pa.array([1, 2, None], pa.float16()),
    }
)


def _passed(text: str) -> list[int]:
    numbered = SPANS.append_column("row", pa.array(range(SPANS.num_rows)))
    return numbered.filter(parse(text, SPANS.schema))["row"].to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("attributes.openinference.span.kind = 'LLM'", [0]),
        ("attributes.openinference.span.kind != 'LLM'", [1]),
        ("\"eval.My Judge.label\" = 'bad'", [1]),
        ("eval.\"My Judge\".label = 'bad'", [1]),
        ("score > 0.5 or attributes.openinference.span.kind is null", [1, 2]),
        ("not score > 0.5", [0]),
        ("score not between 0 and 0.5", [1]),
        ("0.5 < score", [1]),
        ("tokens > -1", [0, 1, 2]),
        ("tokens = 18446744073709551615", [2]),
        ("tokens in (1, 2)", [0, 1]),
        ("small < 1000", [0, 1]),
        ("small in (1, 1000)", [0]),
        ("small not in (1)", [1]),
        ("small = tokens", [0]),
        ("kind = 'x'", [0]),
        ("kind not in ('x')", [2]),
        ("kind like '_'", [0, 2]),
        ("kind = large", [0]),
        (r"large like 'y\%'", [1]),
        ("large ilike 'Y%'", [1]),
        ("price > 1.5", [1]),
        ("time >= '2026-01-02'", [1, 2]),
        ("time < '2026-01-02T01:00:00+01:00'", [0]),
        ("seconds = '2026-01-03T00:00:00Z'", [2]),
        ("day <> '2026-01-01'", [2]),
        ("done", [0]),
        ("not done", [1]),
        ("done = false", [1]),
        ("nothing = 1 or nothing = 'x' or nothing in (1) or nothing like 'x' or nothing = score", []),
        ("nothing = price or price < nothing or nothing = nothing or list is null and nothing = large", []),
        ("nothing is null and list is not null", [0, 2]),
        ("half >= 2", [1]),
        ("half = price", []),
        ("score>-1and done==true", [0]),
        ("score = +.25 or score = 1. or score = - - 75e-2", [0, 1]),
        ("not(done)and(kind)is null", [1]),
        ("TOKENS = 1 OR tokens = 1".replace("TOKENS", "tokens"), [0]),
    ],
)
def test_what_passes(text: str, rows: list[int]) -> None:
    assert _passed(text) == rows


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read: it is no condition. A filter may use columns, values, ="),
        ("score > ", "something is missing"),
        ("score = 1; drop table spans", "The sign ';' is nothing that a filter may use. Names that have it stand in"),
        ("score = 1 -- and no more", "The sign '--' is nothing"),
        ("kind = 'its", "a quote is not closed"),
        ('"kind = 1', "a quote is not closed"),
        ("scor = 1", 'no column "scor". Did you mean "score"?'),
        ('kind = "x"', 'no column "x". Texts stand in single quotes'),
        ("score = 'x'", "\"score\" is a number, so it cannot be compared with the text 'x'"),
        ("kind = 1", '"kind" is text, so it cannot be compared with the number 1'),
        ("done = 1", '"done" is true or false, so it cannot be compared with the number 1'),
        ("score in (1, 'x')", "cannot be compared with the text 'x'"),
        ("time > 'yesterday'", "'2026-01-31T12:00:00Z'"),
        ("time > 3", '"time" is a time'),
        ("time = score", "they cannot be compared"),
        ("list = 1", "that cannot be compared"),
        ("score", "compare it with something"),
        ("score = null", "IS NULL"),
        ("score in (null)", "IS NULL"),
        ("score is true", "IS NULL or IS NOT NULL"),
        ("score like '1%'", '"score" is a number'),
        ("kind like large", "texts stand in single quotes"),
        ("1 = 1", "One side of each comparison is a column"),
        ("score > 0.5 and 1", "nothing that a filter may use"),
        ("lower(kind) = 'x'", "A function is nothing that a filter may use"),
        ("read_csv('/etc/passwd')", "A function is nothing"),
        ("score = (select 1)", "one thing does not follow the other"),
        ("score in (select 1)", "one thing does not follow the other"),
        ("score = (done and done)", "AND and OR join comparisons"),
        ("(done or done) = 1", "AND and OR join comparisons"),
        ("score + 1 = 2", "ADD is nothing"),
        ("kind like 'x' escape '!'", "one thing does not follow the other"),
        ("score = ?", "The sign '?' is nothing"),
        ("case when done then done end", "one thing does not follow the other"),
        ("score = " + "9" * 400, "too large"),
        ("score = " + "9" * 5000, "no number"),
        ("(" * 31 + "done" + ")" * 31, "nests more than 30 deep"),
        ("not " * 3000 + "done", "nests more than 30 deep"),
        ("score = " + "- " * 3000 + "1", "nests more than 30 deep"),
        (" and ".join(["done"] * 501), "more than 500 comparisons"),
        ("score = " + " " * 50_000 + "1", "longer than 50000"),
    ],
)
def test_what_is_no_filter_is_refused_with_a_reason(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=re.escape(words)) as refused:
        parse(text, SPANS.schema)

    assert refused.value.field == "filter"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("INT(" * 25 + "done" + ")" * 25, "A function is nothing"),
        ("ARRAY[" * 25 + "done" + "]" * 25, "The sign '[' is nothing"),
        ("STRUCT<" * 25 + "INT" + ">" * 25 + " done", "cannot be read"),
        ("STRUCT<" * 25 + "INT" + ">" * 25 + "(done)", "cannot be read"),
        ("STRUCT<a INT(" * 25 + "1", "one thing does not follow the other"),
        ("CAST(" * 25 + "done" + " AS INT)" * 25, "A function is nothing"),
        ('"INT" (' * 25 + "done" + ")" * 25, "A function is nothing"),
        ("(done)(" * 25 + "done" + ")" * 25, "one thing does not follow the other"),
        ("case when " * 25 + "done" + " then done end" * 25, "one thing does not follow the other"),
        ("kind = " + "interval " * 25 + "'1'", "one thing does not follow the other"),
        ("kind = " + "N'x' " * 25, "one thing does not follow the other"),
        ("kind = 'x' " + "'x' " * 25, "one thing does not follow the other"),
        ("done" + "::int" * 25, "The sign ':' is nothing"),
        ("kind = " + "$$" * 25, "The sign '$' is nothing"),
        ("/*'*/" + "(" * 31 + "done" + ")" * 31 + "/*'*/", "The sign '/' is nothing"),
        ("/*'*/" + "INT(" * 25 + "done" + ")" * 25 + "/*'*/", "The sign '/' is nothing"),
        ("--'\n" + "(" * 31 + "done" + ")" * 31 + "--'", "The sign '--' is nothing"),
    ],
)
def test_what_a_parser_of_sql_would_try_again_at_every_depth_never_reaches_it(text: str, words: str) -> None:
    """Of 25 levels each it would take some hours."""
    with pytest.raises(Invalid, match=re.escape(words)):
        parse(text, SPANS.schema)


@pytest.mark.parametrize("text", ["kind in (with x as (execute kind) select 1)", "if kind = 'x'"])
def test_no_filter_is_repeated_in_the_log(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(Invalid):
        parse(text, SPANS.schema)

    assert caplog.records == []


@pytest.mark.parametrize("sign", sorted("[]{}:;@$?#\\~^|&*/%`!"))
def test_signs_that_the_language_does_not_have_stand_in_texts_and_quoted_names_alone(sign: str) -> None:
    schema = pa.schema([(f"a{sign}b", pa.string())])

    assert read(f"\"a{sign}b\" = 'x{sign}y'", schema).columns == {f"a{sign}b"}
    with pytest.raises(Invalid, match=re.escape(f"The sign {sign!r} is nothing")):
        parse(f"a{sign}b = 'x'", schema)


@pytest.mark.parametrize(
    "word", ["date", "int", "timestamp", "interval", "case", "array", "select", "Größe", "e\u0301"]
)
def test_words_that_mean_something_to_other_languages_are_names_here(word: str) -> None:
    assert read(f"{word} = 'x' and {word} is not null", pa.schema([(word, pa.string())])).columns == {word}


def test_the_columns_that_a_filter_looks_at_are_told() -> None:
    found = read('(score > 1 or "eval.My Judge.label" is null) and not done', SPANS.schema)

    assert found.columns == {"score", "eval.My Judge.label", "done"}


@pytest.mark.parametrize(("letters", "columns", "hinted"), [(80, 500, True), (81, 500, False), (80, 501, False)])
def test_what_may_be_meant_is_told_where_it_is_soon_found(letters: int, columns: int, hinted: bool) -> None:
    schema = pa.schema([(f"{number:0{letters}}", pa.int64()) for number in range(columns)])

    with pytest.raises(Invalid, match="There is no column") as refused:
        parse("x" + "0" * (letters - 1) + " = 1", schema)

    assert ("Did you mean" in str(refused.value)) is hinted


def test_a_column_that_is_there_twice_is_refused() -> None:
    with pytest.raises(Invalid, match="more than one column"):
        parse("a = 1", pa.schema([("a", pa.int64()), ("a", pa.string())]))


def test_a_chain_as_long_as_may_be_is_evaluated() -> None:
    assert _passed(" or ".join(["small = 5"] * 499 + ["small = 1"])) == [0]


# What follows reads conditions row by row, in the logic of SQL: true, false, or None for "unknown".

Row = dict[str, Any]
Truth = bool | None


@dataclass(frozen=True)
class Condition:
    text: str
    holds: Callable[[Row], Truth]


_NUMBERS = st.one_of(
    st.integers(-3, 3), st.sampled_from([2**63 - 1, -(2**63), 2**70]), st.sampled_from([-0.5, 0.5, 1.5, 2.0])
)
_TEXTS = st.text("ab'%_\\\n\" .é", max_size=4)
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-3, 3) | st.sampled_from([2**53 - 1, -(2**53)]),
            "a.b": st.none() | st.sampled_from([-0.5, 0.0, 0.5, 1.5, 2.0, float("nan"), float("inf")]),
            "my text": st.none() | _TEXTS,
            "yes": st.none() | st.booleans(),
        }
    ),
    max_size=8,
)
_SCHEMA = pa.schema([("i", pa.int64()), ("a.b", pa.float64()), ("my text", pa.string()), ("yes", pa.bool_())])
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "<>": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}


def _literal(value: object) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def _both(a: Truth, b: Truth) -> Truth:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def _opposite(a: Truth) -> Truth:
    return None if a is None else not a


def _compares(name: str, column: str, how: str, value: Any) -> Condition:
    holds = _COMPARE[how]
    return Condition(
        f"{name} {how} {_literal(value)}",
        lambda row: None if row[column] is None else holds(row[column], value),
    )


def _lists(name: str, column: str, values: list[Any], negated: bool) -> Condition:
    def holds(row: Row) -> Truth:
        found = None if row[column] is None else row[column] in values
        return _opposite(found) if negated else found

    listed = ", ".join(map(_literal, values))
    return Condition(f"{name} {'NOT ' if negated else ''}IN ({listed})", holds)


def _between(name: str, column: str, low: Any, high: Any, negated: bool) -> Condition:
    def holds(row: Row) -> Truth:
        found = None if row[column] is None else bool(low <= row[column] <= high)
        return _opposite(found) if negated else found

    return Condition(f"{name} {'NOT ' if negated else ''}BETWEEN {_literal(low)} AND {_literal(high)}", holds)


def _like(pattern: str, negated: bool) -> Condition:
    """``%`` is anything, ``_`` one sign, and a backslash takes both their meaning."""
    made = re.sub(
        r"\\(?P<plain>[%_\\])|(?P<any>%)|(?P<one>_)|(?P<other>.)",
        lambda m: ".*" if m["any"] else "." if m["one"] else re.escape(m["plain"] or m["other"]),
        pattern,
        flags=re.DOTALL,
    )

    def holds(row: Row) -> Truth:
        found = None if row["my text"] is None else bool(re.fullmatch(made, row["my text"], re.DOTALL))
        return _opposite(found) if negated else found

    return Condition(f'"my text" {"NOT " if negated else ""}LIKE {_literal(pattern)}', holds)


def _is_null(name: str, column: str, negated: bool) -> Condition:
    return Condition(f"{name} IS {'NOT ' if negated else ''}NULL", lambda row: (row[column] is None) is not negated)


_COLUMN = st.sampled_from([("i", "i", _NUMBERS), ("a.b", "a.b", _NUMBERS), ('"my text"', "my text", _TEXTS)])
_PLAIN = st.one_of(
    _COLUMN.flatmap(
        lambda c: st.builds(_compares, st.just(c[0]), st.just(c[1]), st.sampled_from(sorted(_COMPARE)), c[2])
    ),
    _COLUMN.flatmap(
        lambda c: st.builds(_lists, st.just(c[0]), st.just(c[1]), st.lists(c[2], min_size=1, max_size=3), st.booleans())
    ),
    _COLUMN.flatmap(lambda c: st.builds(_between, st.just(c[0]), st.just(c[1]), c[2], c[2], st.booleans())),
    _COLUMN.flatmap(lambda c: st.builds(_is_null, st.just(c[0]), st.just(c[1]), st.booleans())),
    st.builds(_like, _TEXTS.filter(lambda text: not text.endswith("\\")), st.booleans()),
    st.just(Condition("yes", lambda row: row["yes"])),
)
_CONDITIONS = st.recursive(
    _PLAIN,
    lambda inner: st.one_of(
        st.builds(lambda a: Condition(f"NOT ({a.text})", lambda row: _opposite(a.holds(row))), inner),
        st.builds(
            lambda a, b: Condition(f"({a.text}) AND {b.text}", lambda row: _both(a.holds(row), b.holds(row))),
            inner,
            _PLAIN,
        ),
        st.builds(
            lambda a, b: Condition(
                f"{a.text} OR ({b.text})",
                lambda row: _opposite(_both(_opposite(a.holds(row)), _opposite(b.holds(row)))),
            ),
            _PLAIN,
            inner,
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(rows=_ROWS, condition=_CONDITIONS)
def test_what_passes_is_what_passes_row_by_row(rows: list[Row], condition: Condition) -> None:
    numbered = pa.Table.from_pylist(rows, _SCHEMA).append_column("row", pa.array(range(len(rows)), pa.int64()))

    passed = numbered.filter(parse(condition.text, _SCHEMA))["row"].to_pylist()

    assert passed == [number for number, row in enumerate(rows) if condition.holds(row) is True]
