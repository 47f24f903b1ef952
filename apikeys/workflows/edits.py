"""Changing rows that lie in immutable tables: streams of them go in here and come out as those of the next table.

Whatever JSON values a change brings, their column has room for them afterwards: it keeps its type where that holds
them, becomes one of fractions where it counted, and else JSON text (``values``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from apikeys.workflows import values
from apikeys.workflows.streams import Stream

Row = Mapping[str, Any]

ID = "id"
CREATED_AT, UPDATED_AT = "created_at", "updated_at"
# Moments that we write ourselves, in milliseconds as clients do.
_MOMENTS = (CREATED_AT, UPDATED_AT)


def of_rows(rows: Sequence[Row]) -> Stream:
    """Return JSON objects as a stream; of what one lacks and another has, null.

    Raises:
        Invalid: they hold what is no text.
    """
    columns = [values.column(name, [row.get(name) for row in rows]) for name in names_in(rows)]
    schema = pa.schema([field for field, _ in columns])
    return Stream(schema, iter([pa.RecordBatch.from_arrays([array for _, array in columns], schema=schema)]))


def names_in(rows: Iterable[Row]) -> list[str]:
    """Return the properties that rows have, each once, as they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def identified(stream: Stream, *, start: int = 0, digits: int = 1) -> Stream:
    """Return a stream whose rows have ids that are texts: their own, or else their number; ``start`` is the first.

    Numbers of so many ``digits`` are in the same order as texts.
    """
    place = stream.schema.get_field_index(ID)
    if place < 0:
        field, schema = pa.field(ID, pa.string()), stream.schema.insert(0, pa.field(ID, pa.string()))
    else:
        field = stream.schema.field(place).with_type(pa.string())
        schema = _forgetting(stream.schema, {ID: field}).set(place, field)

    def batches() -> Iterator[pa.RecordBatch]:
        number_of_first = start
        for batch in stream.batches:
            given = values.texts(batch.column(place)) if place >= 0 else [None] * batch.num_rows
            ids = [
                f"{number_of_first + number:0{digits}}" if text is None else text for number, text in enumerate(given)
            ]
            arrays = list(batch.columns)
            if place < 0:
                arrays.insert(0, pa.array(ids, pa.string()))
            else:
                arrays[place] = pa.array(ids, pa.string())
            number_of_first += batch.num_rows
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return Stream(schema, batches())


def appended(stream: Stream, rows: Sequence[Row]) -> Stream:
    """Return a stream with further rows at its end.

    Raises:
        Invalid: they hold what is no text.
    """
    by_name = {name: [row.get(name) for row in rows] for name in [*stream.schema.names, *names_in(rows)]}
    plan = _planned(stream.schema, by_name)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream.batches:
            yield _batch(plan, [column.converted(batch) for column in plan.columns])
        yield _batch(plan, [column.given(by_name[column.field.name]) for column in plan.columns])

    return Stream(plan.schema, batches())


def patched(stream: Stream, changes: Mapping[str, Row]) -> Stream:
    """Return a stream in which rows have other values, by their ids. What a change does not name stays.

    Raises:
        Invalid: the changes hold what is no text.
    """
    by_name = {
        name: [change[name] for change in changes.values() if name in change]
        for name in names_in(changes.values())
        if name != ID
    }
    plan = _planned(stream.schema, by_name)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream.batches:
            ids = values.texts(batch.column(batch.schema.get_field_index(ID)))
            hits = [(place, changes[text]) for place, text in enumerate(ids) if text and text in changes]
            yield _batch(plan, [column.patched(batch, hits) for column in plan.columns])

    return Stream(plan.schema, batches())


def without(stream: Stream, ids: Collection[str]) -> Stream:
    """Return a stream without the rows of some ids."""

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream.batches:
            there = values.texts(batch.column(batch.schema.get_field_index(ID)))
            yield batch.filter(pa.array([text not in ids for text in there], pa.bool_()))

    return Stream(stream.schema, batches())


@dataclass(frozen=True)
class _Column:
    """What becomes of one column: how its field is, and was where it was there, and how its values get there."""

    field: pa.Field
    before: pa.Field | None
    convert: Callable[[Any], Any]

    def converted(self, batch: pa.RecordBatch) -> Any:
        """Return what a stored batch has of it."""
        if self.before is None:
            return pa.nulls(batch.num_rows, self.field.type)
        return self.convert(batch.column(batch.schema.get_field_index(self.before.name)))

    def given(self, new: Sequence[Any]) -> Any:
        """Return new values as an array that goes with the stored ones."""
        found = _fitting(self.field, new)
        if found is None:
            raise ValueError(f"{self.field} was planned for other values.")
        return _encoded(found, self.field.type, None)

    def patched(self, batch: pa.RecordBatch, hits: Sequence[tuple[int, Row]]) -> Any:
        """Return what a stored batch has of it, with new values in some places."""
        stored = self.converted(batch)
        places = [(place, change[self.field.name]) for place, change in hits if self.field.name in change]
        if not places or self.field.name == ID:
            return stored
        categories = stored.dictionary if pa.types.is_dictionary(stored.type) else None
        plain = stored if categories is None else stored.dictionary_decode()
        new = _fitting(self.field, [value for _, value in places])
        order = list(range(batch.num_rows))
        for number, (place, _) in enumerate(places):
            order[place] = batch.num_rows + number
        mixed = pa.concat_arrays([plain, new]).take(pa.array(order, pa.int64()))
        return _encoded(mixed, self.field.type, categories)


@dataclass(frozen=True)
class _Plan:
    """What becomes of all columns."""

    schema: pa.Schema
    columns: list[_Column]


def _planned(schema: pa.Schema, by_name: Mapping[str, Sequence[Any]]) -> _Plan:
    columns = [
        _existing(field, by_name[field.name]) if field.name in by_name else _Column(field, field, _as_it_is)
        for field in schema
    ]
    known = set(schema.names)
    columns += [
        _Column(values.column(name, new)[0], None, _as_it_is) for name, new in by_name.items() if name not in known
    ]
    changed = {column.field.name: column.field for column in columns if column.before is not None}
    noted = _forgetting(schema, changed)
    return _Plan(pa.schema([column.field for column in columns], noted.metadata), columns)


def _existing(field: pa.Field, new: Sequence[Any]) -> _Column:
    field = field.with_nullable(True)
    if _fitting(field, new) is not None:
        return _Column(field, field, _as_it_is)
    if pa.types.is_null(field.type):
        wider = values.column(field.name, new)[0]
        return _Column(wider, field, lambda array: pa.nulls(len(array), wider.type))
    if pa.types.is_integer(field.type) and all(value is None or type(value) in (int, float) for value in new):
        fractions = field.with_type(pa.float64())
        if _fitting(fractions, new) is not None:
            return _Column(fractions, field, _counted)
    name, before = field.name, field
    return _Column(values.json_field(name), before, lambda array: values.as_json(name, values.cells(before, array)))


def _as_it_is(array: Any) -> Any:
    return array


def _counted(array: Any) -> Any:
    return array.cast(pa.float64(), safe=False)  # beyond 2^53 as exact as numbers of JSON are


def _fitting(field: pa.Field, new: Sequence[Any]) -> Any:
    if field.name in _MOMENTS and pa.types.is_timestamp(field.type):
        return pa.array(new, pa.timestamp("ms", field.type.tz)).cast(field.type, safe=False)
    return values.fitting(field, new)


def _encoded(array: Any, kind: Any, categories: Any) -> Any:
    """Return values of a categorical column as such, with its categories in their order before new ones."""
    if not pa.types.is_dictionary(kind):
        return array
    there = array.unique().drop_null()
    if categories is not None:
        there = pa.concat_arrays([categories, there.filter(pc.invert(pc.is_in(there, value_set=categories)))])
    numbers = pc.index_in(array, value_set=there, skip_nulls=True)
    return pa.DictionaryArray.from_arrays(numbers, there, ordered=kind.ordered)


def _batch(plan: _Plan, arrays: list[Any]) -> pa.RecordBatch:
    # The numbers of categories may be wider than those that came; whoever keeps them decides how wide.
    fields = [field.with_type(array.type) for field, array in zip(plan.schema, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, plan.schema.metadata))


def _forgetting(schema: pa.Schema, changed: Mapping[str, pa.Field]) -> pa.Schema:
    """Return a schema without what pandas said of columns that have another type now: it would be taken for true."""
    other = {name for name, field in changed.items() if schema.field(name).type != field.type}
    metadata = dict(schema.metadata or {})
    if not other or b"pandas" not in metadata:
        return schema
    try:
        said = json.loads(metadata[b"pandas"])
        said["columns"] = [column for column in said["columns"] if column["field_name"] not in other]
    except (ValueError, KeyError, TypeError):
        metadata.pop(b"pandas")
    else:
        metadata[b"pandas"] = json.dumps(said).encode()
    return schema.with_metadata(metadata)
