"""Later words about rows, laid over them: evaluations, annotations and metadata over spans, actuals over predictions.

What was said later wins, column by column, and what was not said (a null) changes nothing. Patches of metadata are
merged into the JSON of ``attributes.metadata`` one after the other (contract client-workflows §8). All words about one
project are in memory at once, the rows only one batch at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from apikeys.workflows.shapes import cast, conformed, unified
from apikeys.workflows.uploads import PATCH, SPAN_ID

METADATA = "attributes.metadata"


class Overlay(Protocol):
    """Something that is laid over rows."""

    @property
    def key(self) -> str:
        """The column of the rows that says which of them is meant."""

    def schema_over(self, schema: pa.Schema) -> pa.Schema:
        """The columns that rows of ``schema`` have with this laid over them."""

    def places(self, keys: Any) -> Any:
        """Where in this each of these keys is, or null: to ask for many at once costs little more than for a few."""

    def lay(self, batch: pa.RecordBatch, places: Any) -> pa.RecordBatch:
        """Lay it over rows, which already have the columns of `schema_over`, and whose places are known."""


@dataclass(frozen=True)
class Columns:
    """The last value of each column for each key; ``values`` has a row for each of ``keys``."""

    key: str
    keys: Any
    values: pa.Table

    def schema_over(self, schema: pa.Schema) -> pa.Schema:
        return unified([schema, self.values.schema])

    def places(self, keys: Any) -> Any:
        return _places(keys, self.keys)

    def lay(self, batch: pa.RecordBatch, places: Any) -> pa.RecordBatch:
        if places.null_count == len(places):
            return batch
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for name, values in zip(self.values.column_names, self.values.columns, strict=True):
            if name in columns:
                said = cast(values.chunk(0).take(places), columns[name].type)
                columns[name] = pc.coalesce(said, columns[name])
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=batch.schema)


@dataclass(frozen=True)
class Patches:
    """The patches of the metadata of each span, oldest first."""

    keys: Any
    patches: Any
    key: str = SPAN_ID

    def schema_over(self, schema: pa.Schema) -> pa.Schema:
        return unified([schema, pa.schema([(METADATA, pa.string())])])

    def places(self, keys: Any) -> Any:
        return _places(keys, self.keys)

    def lay(self, batch: pa.RecordBatch, places: Any) -> pa.RecordBatch:
        place = batch.schema.get_field_index(METADATA)
        if place < 0 or places.null_count == len(places):
            return batch
        meant = places.is_valid()
        column = batch.column(place)
        texts = [
            _patched(text, patches)
            for text, patches in zip(
                column.filter(meant).to_pylist(), self.patches.take(places.drop_null()).to_pylist(), strict=True
            )
        ]
        return batch.set_column(
            place, batch.schema.field(place), pc.replace_with_mask(column, meant, pa.array(texts, column.type))
        )


def columns_over(key: str, tables: Sequence[pa.Table], *, without: Iterable[str] = ()) -> Columns | None:
    """Put ``tables``, oldest first, together as what is laid over rows by ``key``; ``None`` where that is nothing."""
    left_out = {key, *without}
    table = _joined(key, tables)
    names = [name for name in table.column_names if name not in left_out]
    if not table.num_rows or not names:
        return None
    keys, numbers = _numbered(table.column(key).chunk(0))
    values = {}
    for name in names:
        column = table.column(name).chunk(0)
        if len(keys) < len(column):  # otherwise each key has one row, in the order of the keys
            column = column.take(_last_places(numbers, column.is_valid(), len(keys)))
        values[name] = column
    return Columns(key=key, keys=keys, values=pa.table(values))


def patches_over(tables: Sequence[pa.Table]) -> Patches | None:
    """Put tables of ``patch_document``, oldest first, together; ``None`` where that is nothing."""
    table = _joined(SPAN_ID, tables)
    if not table.num_rows:
        return None
    keys, numbers = _numbered(table.column(SPAN_ID).chunk(0))
    # Stable, so that the patches of one span stay in their order.
    order = pc.sort_indices(
        pa.table({"n": numbers, "r": pa.array(range(len(numbers)))}), [("n", "ascending"), ("r", "ascending")]
    )
    counts = pc.value_counts(numbers.take(order)).field("counts")
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(counts)]).cast(pa.int32())
    patches = pa.ListArray.from_arrays(offsets, cast(table.column(PATCH).chunk(0), pa.string()).take(order))
    return Patches(keys=keys, patches=patches)


def read_patch(text: str | None) -> dict[str, Any]:
    """Decode one patch.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        patch = json.loads(text or "")
    except RecursionError:
        raise ValueError("nests too deep") from None
    if not isinstance(patch, dict):
        raise ValueError("is no JSON object")
    return patch


def _places(keys: Any, known: Any) -> Any:
    return pc.index_in(keys.cast(known.type), value_set=known)


def _joined(key: str, tables: Sequence[pa.Table]) -> pa.Table:
    """All tables as one, in one chunk per column, without the rows that do not say which row they mean."""
    if not tables:
        return pa.table({key: pa.array([], pa.string())})
    schema = unified(table.schema for table in tables)
    batches = [conformed(batch, schema) for table in tables for batch in table.to_batches()]
    table = pa.Table.from_batches(batches, schema)
    key_column = table.column(key)
    if key_column.null_count:
        table = table.filter(key_column.is_valid())
    return pa.table([_one_chunk(column) for column in table.columns], schema=schema)


def _one_chunk(column: Any) -> Any:
    return pa.chunked_array([column.combine_chunks()], column.type)


def _numbered(column: Any) -> tuple[Any, Any]:
    """The distinct values of a column, and for each row the number of its value."""
    keys = column.unique()
    return keys, pc.index_in(column, value_set=keys)


def _last_places(numbers: Any, said: Any, count: int) -> Any:
    """For each of ``count`` keys the last row in which something was ``said``, or null."""
    rows = pc.indices_nonzero(said).cast(pa.int64())
    last = (
        pa.table({"number": numbers.take(rows), "row": rows})
        .group_by("number")
        .aggregate([("row", "max")])
        .combine_chunks()
    )
    found = pc.index_in(pa.array(range(count), pa.int32()), value_set=last.column("number").combine_chunks())
    return last.column("row_max").combine_chunks().take(found)


def _patched(text: Any, patches: Iterable[str | None]) -> str:
    metadata = _object(text)
    for patch in patches:
        try:
            metadata = _merged(metadata, read_patch(patch))
        except ValueError:
            continue  # looked at when it came; what cannot be read says nothing
    return json.dumps(metadata, ensure_ascii=False)


def _object(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) and text else {}
    except (ValueError, RecursionError):
        return {}


def _merged(target: Any, patch: Any) -> Any:
    """Merge as RFC 7396 does, but for null, which sets null."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        merged[name] = _merged(merged.get(name), value)
    return merged
