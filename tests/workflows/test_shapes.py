"""Columns that came in several types become one column in which nothing is lost that need not be."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from accounts.errors import Invalid
from apikeys.workflows.shapes import cast, common, conformed, unified
from apikeys.workflows.uploads import plain_type

KINDS = [
    pa.array([1, None, 3], pa.int8()),
    pa.array([1, None, 2**63], pa.uint64()),
    pa.array([1, None, 3]),
    pa.array([1.5, None, 3]),
    pa.array([1, None, 2], pa.float16()),
    pa.array([Decimal("1.5"), None, Decimal("2")]),
    pa.array(["x", None, "y"]),
    pa.array(["x", None, "y"], pa.large_string()),
    pa.array(["x", None, "y"]).dictionary_encode(),
    pa.array([True, None, False]),
    pa.array([b"x", None, b"y"]),
    pa.array([[1], None, [2, 3]]),
    pa.array([["x"], None, []], pa.large_list(pa.string())),
    pa.array([[1.0, 2], None, [2, 3]], pa.list_(pa.float32(), 2)),
    pa.array([[[1]], None, [[2], []]]),
    pa.array([[{"a": 1}], None, [{"b": "x"}]]),
    pa.array([{"a": 1}, None, {"a": 2}]),
    pa.array([{"b": "x"}, None, {"a": 2.5}]),
    pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    pa.array([datetime(2026, 1, 1), None, datetime(2026, 1, 2)], pa.timestamp("s")),
    pa.array([datetime(2026, 1, 1, tzinfo=UTC), None, datetime(2026, 1, 2, tzinfo=UTC)], pa.timestamp("ns", "UTC")),
    pa.array([date(2026, 1, 1), None, date(2026, 1, 2)]),
    pa.nulls(3),
]


@pytest.mark.parametrize("one", [pytest.param(one, id=str(one.type)) for one in KINDS])
def test_any_two_types_have_one_in_common(one: Any) -> None:
    for other in KINDS:
        kind = common(plain_type(one.type), plain_type(other.type))

        for column in (one, one[1:], other, other[2:], other[:0]):
            made = cast(column, kind)
            made.validate(full=True)
            assert made.type == kind
            assert made.is_null().to_pylist() == column.is_null().to_pylist(), (column.type, kind)


@pytest.mark.parametrize(
    ("one", "other", "values"),
    [
        ([1, 2], [0.5], [1.0, 2.0, 0.5]),
        ([1], ["x"], ["1", "x"]),
        (["x"], [["a", "b"], []], [["x"], ["a", "b"], []]),
        ([[1]], [[0.5]], [[1.0], [0.5]]),
        ([{"a": 1}], [{"b": "x"}], [{"a": 1, "b": None}, {"a": None, "b": "x"}]),
        ([{"a": 1}], ["x"], ['{"a": 1}', "x"]),
        ([True], ["x"], ["true", "x"]),
        ([None], [1], [None, 1]),
        ([date(2026, 1, 1)], [datetime(2026, 1, 2, 3)], [datetime(2026, 1, 1), datetime(2026, 1, 2, 3)]),
    ],
)
def test_values_stay_what_they_are(one: list[Any], other: list[Any], values: list[Any]) -> None:
    batches = [pa.RecordBatch.from_pydict({"a": one}), pa.RecordBatch.from_pydict({"a": other})]
    schema = unified(batch.schema for batch in batches)

    assert pa.Table.from_batches([conformed(batch, schema) for batch in batches])["a"].to_pylist() == values


def test_rows_get_the_columns_that_others_have() -> None:
    schema = unified([pa.schema([("a", pa.int64())], {"pandas": "{}"}), pa.schema([("b", pa.string())])])

    assert schema == pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert schema.metadata is None
    batch = pa.RecordBatch.from_pydict({"b": ["x"], "c": [1]})
    assert conformed(batch, schema).to_pylist() == [{"a": None, "b": "x"}]


FAR = 253_370_764_800  # the beginning of the year 9999
TEXT = pa.array(["x"])
NANOSECONDS = pa.array([1], pa.timestamp("ns"))


@pytest.mark.parametrize(
    ("bad", "beside", "values"),
    [
        (pa.array([b"\xff", b"ok", None], pa.large_binary()), TEXT, ["/w==", "ok", None]),
        (pa.array([b"\xff\xfe", b"ok"], pa.binary(2)), TEXT, ["//4=", "ok"]),
        (pa.array([1], pa.timestamp("s", "Mars/Phobos")), TEXT, ["1970-01-01 00:00:01Z"]),
        (pa.array([FAR, 1, None], pa.timestamp("s")), NANOSECONDS, [None, datetime(1970, 1, 1, 0, 0, 1), None]),
        (pa.array([2**31 - 1, 1], pa.date32()), NANOSECONDS, [None, datetime(1970, 1, 2)]),
        (pa.array([{"a": 2**60}, None], pa.struct([("a", pa.timestamp("s"))])), TEXT, [f'{{"a": {2**60}}}', None]),
        (pa.array([[2**60]], pa.list_(pa.timestamp("s"))), TEXT, [["<value out of range: 1152921504606846976>"]]),
        (pa.array([[("k", 1)]], pa.map_(pa.string(), pa.timestamp("ns"))), TEXT, ['[["k", 1]]']),
        (pa.array([b"0123456789abcdef"], pa.uuid()), TEXT, ["0123456789abcdef"]),
    ],
    ids=lambda given: str(given.type) if isinstance(given, pa.Array) else "",
)
def test_a_value_that_fits_nowhere_does_not_hide_the_others(bad: Any, beside: Any, values: list[Any]) -> None:
    kind = common(plain_type(bad.type), plain_type(beside.type))

    made = cast(bad, kind)

    assert (made.type, made.to_pylist()) == (kind, values)
    assert cast(bad[:0], kind).type == kind


def test_what_cannot_be_given_beside_another_is_told() -> None:
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])

    with pytest.raises(Invalid, match="ask for other columns"):
        cast(twice, pa.string())
