"""Rows change and the rest of their table does not: types, order, categories and what pandas says of it."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from apikeys.workflows import edits, values
from apikeys.workflows.streams import Stream


def _stream(*batches: pa.RecordBatch) -> Stream:
    return Stream(batches[0].schema, iter(batches))


def _batch(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def _rows(stream: Stream) -> list[dict[str, Any]]:
    return [row for batch in stream.batches for row in values.records(batch)]


def _two() -> Stream:
    return _stream(_batch(id=["a", "b"], n=[1, 2]), _batch(id=["c"], n=[None]).cast(_batch(id=["c"], n=[1]).schema))


def test_appending_keeps_types_and_fills_what_is_missing_with_nulls() -> None:
    found = edits.appended(_two(), [{"id": "d", "new": {"x": 1}}])

    assert found.schema.field("n").type == pa.int64()
    assert _rows(found) == [
        {"id": "a", "n": 1, "new": None},
        {"id": "b", "n": 2, "new": None},
        {"id": "c", "n": None, "new": None},
        {"id": "d", "n": None, "new": {"x": 1}},
    ]


def test_patching_changes_what_it_names_and_nothing_else() -> None:
    found = edits.patched(_two(), {"b": {"n": 7}, "c": {"n": None, "note": "x"}, "nobody": {"n": 9}})

    assert _rows(found) == [
        {"id": "a", "n": 1, "note": None},
        {"id": "b", "n": 7, "note": None},
        {"id": "c", "n": None, "note": "x"},
    ]


def test_whole_numbers_become_fractions_and_other_things_become_json() -> None:
    halves = edits.patched(_two(), {"b": {"n": 0.5}})
    mixed = edits.patched(_two(), {"b": {"n": "two"}})

    assert halves.schema.field("n").type == pa.float64()
    assert [row["n"] for row in _rows(halves)] == [1.0, 0.5, None]
    assert values.is_json(mixed.schema.field("n"))
    assert [row["n"] for row in _rows(mixed)] == [1, "two", None]


def test_a_column_of_nothing_takes_the_type_of_what_comes() -> None:
    found = edits.appended(_stream(_batch(id=["a"], n=pa.nulls(1))), [{"id": "b", "n": [1, 2]}])

    assert found.schema.field("n").type == pa.list_(pa.int64())
    assert [row["n"] for row in _rows(found)] == [None, [1, 2]]


def test_objects_with_other_properties_are_kept_too() -> None:
    found = edits.appended(_stream(_batch(id=["a"], o=[{"x": 1}])), [{"id": "b", "o": {"y": 2}}])

    assert [row["o"] for row in _rows(found)] == [{"x": 1}, {"y": 2}]


def test_categories_keep_their_order_and_get_new_ones_behind() -> None:
    sizes = pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int8()), ["low", "mid", "high"], ordered=True)
    before = pa.RecordBatch.from_arrays([pa.array(["a", "b"]), sizes], ["id", "size"])

    patched = list(edits.patched(_stream(before), {"b": {"size": "mid"}}).batches)[0].column("size")
    appended = list(edits.appended(_stream(before), [{"id": "c", "size": "huge"}]).batches)[1].column("size")

    assert patched.dictionary.to_pylist() == ["low", "mid", "high"]
    assert patched.type.ordered
    assert patched.to_pylist() == ["high", "mid"]
    assert appended.to_pylist() == ["huge"]


def test_nested_and_timed_columns_are_patched() -> None:
    before = _batch(
        id=["a", "b"],
        l=[[1], [2]],
        t=pa.array([0, 0], pa.timestamp("us", "UTC")),
        updated_at=pa.array([0, 0], pa.timestamp("ns")),
    )

    found = edits.patched(
        _stream(before), {"a": {"l": [3, 4], "t": "2026-01-01T00:00:00.000000Z", "updated_at": 1_000}}
    )

    assert found.schema == before.schema
    assert [row["l"] for row in _rows(found)] == [[3, 4], [2]]
    again = _rows(edits.patched(_stream(before), {"a": {"updated_at": 1_000}}))
    assert [row["updated_at"] for row in again] == ["1970-01-01T00:00:01.000000000", "1970-01-01T00:00:00.000000000"]


def test_ids_become_texts_and_rows_without_one_get_their_number() -> None:
    counted = edits.identified(_stream(_batch(id=[0, None, 7]), _batch(id=[8])))
    nameless = edits.identified(_stream(_batch(n=[1, 2]), _batch(n=[3])))

    assert [row["id"] for row in _rows(counted)] == ["0", "1", "7", "8"]
    assert [row["id"] for row in _rows(nameless)] == ["0", "1", "2"]


def test_removing_takes_rows_out() -> None:
    assert [row["id"] for row in _rows(edits.without(_two(), {"b", "x"}))] == ["a", "c"]


@pytest.mark.parametrize(("new", "told"), [(3, True), ("three", False)])
def test_what_pandas_said_of_a_column_goes_with_its_type(new: Any, told: bool) -> None:
    said = {"columns": [{"field_name": "n", "numpy_type": "Int64"}, {"field_name": "id", "numpy_type": "object"}]}
    before = _batch(id=["a"], n=[1]).replace_schema_metadata({b"pandas": json.dumps(said).encode()})

    found = edits.patched(_stream(before), {"a": {"n": new}})

    names = [column["field_name"] for column in json.loads(found.schema.metadata[b"pandas"])["columns"]]
    assert names == (["n", "id"] if told else ["id"])
