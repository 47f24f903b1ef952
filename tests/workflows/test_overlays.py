"""What is said of rows later is seen on them, and what is not said of them is not."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apikeys.workflows.overlays import METADATA, Overlay, columns_over, patches_over, read_patch
from apikeys.workflows.shapes import conformed

KEY = "context.span_id"


def _rows(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({KEY: ["a", "b", "c"], **columns})


def _laid(overlay: Overlay | None, rows: pa.RecordBatch) -> pa.RecordBatch:
    assert overlay is not None
    return overlay.lay(conformed(rows, overlay.schema_over(rows.schema)), overlay.places(rows.column(overlay.key)))


def _said(*tables: dict[str, list[Any]]) -> list[pa.Table]:
    return [pa.table(table) for table in tables]


def test_later_words_win_column_by_column() -> None:
    overlay = columns_over(
        KEY,
        _said(
            {KEY: ["a", "b", "x"], "label": ["1", "2", "9"], "score": [0.5, None, 9]},
            {KEY: ["b", "a"], "label": ["3", None]},
            {KEY: ["b", "b"], "score": [0.25, 0.75]},
        ),
    )

    laid = _laid(overlay, _rows(name=["A", "B", "C"], label=["old", "old", "old"]))

    assert laid.to_pydict() == {
        KEY: ["a", "b", "c"],
        "name": ["A", "B", "C"],
        "label": ["1", "3", "old"],
        "score": [0.5, 0.75, None],
    }


def test_columns_of_any_type_are_laid() -> None:
    notes = pa.array([["x"], ["y", "z"]])
    overlay = columns_over(
        KEY, [pa.table({KEY: ["a", "a"], "notes": notes, "kind": pa.array(["k", "l"]).dictionary_encode()})]
    )

    laid = _laid(overlay, _rows(kind=["old", "old", "old"]))

    assert laid.column("notes").to_pylist() == [["y", "z"], None, None]
    assert laid.column("kind").to_pylist() == ["l", "old", "old"]


def test_a_column_that_comes_in_other_types_finds_one_for_all() -> None:
    overlay = columns_over(KEY, _said({KEY: ["a"], "score": [1]}, {KEY: ["b"], "score": [0.5]}))

    laid = _laid(overlay, _rows(score=["x", "y", "z"]))

    assert laid.column("score").to_pylist() == ["1", "0.5", "z"]


def test_columns_can_be_left_out_and_keys_can_be_missing() -> None:
    overlay = columns_over(KEY, _said({KEY: ["a", None], "time": [1, 2], "label": ["x", "y"]}), without=["time"])

    laid = _laid(overlay, _rows(time=[7, 8, 9]))

    assert laid.to_pydict() == {KEY: ["a", "b", "c"], "time": [7, 8, 9], "label": ["x", None, None]}


@pytest.mark.parametrize("tables", [[], _said({KEY: ["a"]}), [pa.table({KEY: pa.array([], pa.string()), "l": []})]])
def test_nothing_is_laid_where_nothing_was_said(tables: list[pa.Table]) -> None:
    assert columns_over(KEY, tables) is None


def test_patches_are_merged_in_their_order() -> None:
    overlay = patches_over(
        _said(
            {KEY: ["b", "a"], "patch_document": ['{"n": 1, "deep": {"x": 1, "y": {"z": 1}}}', '{"gone": null}']},
            {
                KEY: ["b", "x", "b"],
                "patch_document": ['{"deep": {"y": 2}}', "{}", '{"deep": {"y": {"w": 3}}, "n": null}'],
            },
        )
    )

    laid = _laid(overlay, _rows(**{METADATA: ['{"gone": 1, "kept": "é"}', None, '{"c" : 1}']}))

    first, second, third = laid.column(METADATA).to_pylist()
    assert json.loads(first) == {"gone": None, "kept": "é"}
    assert json.loads(second) == {"n": None, "deep": {"x": 1, "y": {"w": 3}}}
    assert third == '{"c" : 1}'


@pytest.mark.parametrize("metadata", ["no JSON", "[1]", '"text"', "", "[" * 100_000])
def test_metadata_that_is_no_object_gives_way_to_a_patch(metadata: str) -> None:
    overlay = patches_over(_said({KEY: ["a"], "patch_document": ['{"n": 1}']}))

    laid = _laid(overlay, _rows(**{METADATA: [metadata, None, None]}))

    assert laid.column(METADATA).to_pylist() == ['{"n": 1}', None, None]


def test_patches_make_metadata_where_there_was_none() -> None:
    overlay = patches_over(_said({KEY: ["c"], "patch_document": ['{"n": 1}']}))

    assert _laid(overlay, _rows()).column(METADATA).to_pylist() == [None, None, '{"n": 1}']


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "Expecting value"),
        ("", "Expecting value"),
        ("1", "is no JSON object"),
        ("[]", "is no JSON object"),
        ("{", "Expecting property name"),
        ("[" * 100_000, "nests too deep"),
    ],
)
def test_a_patch_is_a_json_object(text: str | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_patch(text)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    said=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from("abcd"),
                st.none() | st.integers(0, 9),
                st.none() | st.lists(st.integers(0, 3), max_size=2),
            ),
            max_size=6,
        ),
        max_size=4,
    ),
    rows=st.lists(st.tuples(st.none() | st.sampled_from("abcde"), st.none() | st.integers(10, 19)), max_size=8),
)
def test_laying_is_what_going_through_it_word_by_word_is(said: list[Any], rows: list[Any]) -> None:
    schema = pa.schema([(KEY, pa.string()), ("n", pa.int64()), ("l", pa.list_(pa.int64()))])
    tables = [
        pa.Table.from_pylist([dict(zip(schema.names, word, strict=True)) for word in words], schema) for words in said
    ]
    expected = []
    for key, number in rows:
        row = {KEY: key, "n": number, "l": None}
        for word in (word for words in said for word in words if word[0] == key):
            row["n"] = row["n"] if word[1] is None else word[1]
            row["l"] = row["l"] if word[2] is None else word[2]
        expected.append(row)
    batch = pa.RecordBatch.from_pylist([{KEY: key, "n": number} for key, number in rows], schema)

    overlay = columns_over(KEY, tables)

    assert (overlay.lay(batch, overlay.places(batch.column(KEY))) if overlay else batch).to_pylist() == expected
