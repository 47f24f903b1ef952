"""JSON values go into Arrow columns and come back as they were; whatever Arrow holds comes out as JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from accounts.errors import Invalid
from apikeys.workflows import values

NOON = datetime(2026, 1, 2, 12, 0, 0, 678901, UTC)

COLUMNS: list[tuple[list[Any], Any]] = [
    ([1, 2, None], pa.int64()),
    ([1, 2.5], pa.float64()),
    ([True, None, False], pa.bool_()),
    (["a", "", None, "NaN", "ü\n\x00"], pa.string()),
    ([None, None], pa.null()),
    ([[1], [], None, [2]], pa.list_(pa.int64())),
    ([[], None], pa.list_(pa.null())),
    ([{"a": 1, "b": None}, {"b": "x", "a": 2}], pa.struct([("a", pa.int64()), ("b", pa.string())])),
    ([[{"a": [{"b": "c"}]}]], pa.list_(pa.struct([("a", pa.list_(pa.struct([("b", pa.string())])))]))),
]
MIXED: list[list[Any]] = [
    ["a", 1],
    [True, 1],
    [1, {"a": 1}],
    [{"a": 1}, {"b": 1}],
    [{"a": 1}, {"a": 1, "b": 2}],
    [{}, {}],
    [[1, "a"]],
    [{"a": 1}, {"a": "x"}],
    ["3", 3, '{"a": 1}', {"a": 1}, "null", None, '"', '"a"', "Infinity", 1],
    [2**70],
    [2**53 + 1, 0.5],
    [[[[[[[[[[[[[[[[[["deep"]]]]]]]]]]]]]]]]]],
]


@pytest.mark.parametrize(("column", "kind"), COLUMNS)
def test_values_of_one_kind_get_its_type(column: list[Any], kind: Any) -> None:
    field, array = values.column("c", column)

    assert field.type == kind
    assert not values.is_json(field)
    assert json.dumps(values.cells(field, array), sort_keys=True) == json.dumps(
        [float(value) if kind == pa.float64() else value for value in column], sort_keys=True
    )


@pytest.mark.parametrize("column", MIXED, ids=str)
def test_values_of_several_kinds_come_back_as_they_were(column: list[Any]) -> None:
    field, array = values.column("c", column)

    assert field.type == pa.string()
    assert values.is_json(field)
    back = values.cells(field, array)
    assert json.dumps(back) == json.dumps(column)  # where 1 and 1.0 and true are three things


def test_texts_among_other_things_stay_legible_to_those_who_know_no_mark() -> None:
    _, array = values.column("c", ["plain", 3, {"a": "ü"}, "3"])

    assert array.to_pylist() == ["plain", "3", '{"a": "ü"}', '"3"']


def test_many_different_properties_do_not_become_many_columns() -> None:
    wide = [{f"p{number}": 1 for number in range(600)}]

    field, array = values.column("c", wide)

    assert values.is_json(field)
    assert values.cells(field, array) == wide


@pytest.mark.parametrize("column", [["\ud800"], ["\ud800", 1], [{"a": "\udfff"}], [{"a": "\udfff"}, {"b": 1}]])
def test_half_a_character_is_refused(column: list[Any]) -> None:
    with pytest.raises(Invalid):
        values.column("c", column)


ARRAYS: list[tuple[Any, list[Any]]] = [
    (pa.array([NOON, None], pa.timestamp("ns", "UTC")), ["2026-01-02T12:00:00.678901000Z", None]),
    (pa.array([NOON], pa.timestamp("us", "Europe/Berlin")), ["2026-01-02T13:00:00.678901+0100"]),
    (pa.array([0], pa.timestamp("s")), ["1970-01-01T00:00:00"]),
    (pa.array([date(2026, 1, 2)]), ["2026-01-02"]),
    (pa.array([time(1, 2)]), ["01:02:00.000000"]),
    (pa.array([b"ab"]), ["YWI="]),
    (pa.array([Decimal("1.50")]), ["1.50"]),
    (pa.array([1, 2], pa.duration("s")), [1, 2]),
    (pa.array([float("nan"), float("inf"), 1.5]), [None, None, 1.5]),
    (pa.array([1.5], pa.float16()), [1.5]),
    (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
    (pa.array([[1.0, float("nan")], None, []]), [[1.0, None], None, []]),
    (pa.array([[1, 2], [3]]).slice(1), [[3]]),
    (pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)), [[1, 2], None, [3, 4]]),
    (pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)).slice(1), [[3, 4]]),
    (pa.array([{"a": float("nan"), "b": [NOON]}, None]), [{"a": None, "b": ["2026-01-02T12:00:00.678901Z"]}, None]),
    (pa.array([{"a": 1}, {"a": 2}]).slice(1), [{"a": 2}]),
    (pa.array(["a", "b", None, "a"]).dictionary_encode(), ["a", "b", None, "a"]),
    (pa.array([[("k", 1.5)]], pa.map_(pa.string(), pa.float64())), [[["k", 1.5]]]),
]


@pytest.mark.parametrize(("array", "expected"), ARRAYS, ids=lambda one: str(getattr(one, "type", "")))
def test_whatever_arrow_holds_comes_out_as_json(array: Any, expected: list[Any]) -> None:
    assert values.python(array) == expected
    json.dumps(expected, allow_nan=False)


def test_values_that_fit_a_column_keep_its_type_and_others_say_so() -> None:
    counted = pa.field("n", pa.int32())

    fitting = values.fitting(counted, [1, None])
    assert fitting is not None
    assert fitting.type == pa.int32()
    assert values.fitting(counted, [1.5]) is None
    assert values.fitting(counted, ["1"]) is None
    assert values.fitting(counted, [True]) is None
    moment = values.fitting(pa.field("t", pa.timestamp("us", "UTC")), ["2026-01-02T12:00:00.678901Z"])
    assert moment is not None
    assert moment.to_pylist() == [NOON]
