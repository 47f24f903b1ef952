"""Rows of many uploads as rows of one shape: each column in a type that the values of all of them have room in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from accounts.errors import Invalid
from apikeys.workflows.uploads import plain, plain_type

# Rows times columns that are held at once: of many uploads, most columns of most rows are nulls, and take their place.
_MOST_CELLS = 4_000_000
_UNITS = ("s", "ms", "us", "ns")
# How Arrow says that a value cannot be had in another type, or Python (KeyError: a time zone) in one of its own.
_ARROW_FAILED = (pa.ArrowException, OverflowError, ValueError, KeyError)


def unified(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """All columns of ``schemas``, in the order in which they are first met, without any metadata."""
    kinds: dict[str, Any] = {}
    for schema in schemas:
        for field in schema:
            kind = plain_type(field.type)
            kinds[field.name] = common(kinds[field.name], kind) if field.name in kinds else kind
    return pa.schema(list(kinds.items()))


def rows_at_once(schema: pa.Schema, most: int) -> int:
    """Return how many rows of so many columns are held at once: up to ``most``, and one at least."""
    return min(most, max(1, _MOST_CELLS // max(1, len(schema))))


def conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Rows with the columns of ``schema``: what they lack is null, and what they have beyond it falls away."""
    arrays = [
        cast(batch.column(number), field.type)
        if (number := batch.schema.get_field_index(field.name)) >= 0
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def common(one: Any, other: Any) -> Any:
    """The type that values of both types become when they stand in one column: text, where nothing is nearer."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if _is_number(one) and _is_number(other):
        return _common_number(one, other)
    if _is_text(one) and _is_text(other):
        return pa.large_string()
    if _is_time(one) and _is_time(other):
        return _common_time(one, other)
    if _is_list(one) or _is_list(other):
        return _common_list(one, other)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        return pa.struct(list(unified([pa.schema(list(one)), pa.schema(list(other))])))
    return pa.large_string() if pa.large_string() in (one, other) else pa.string()


def cast(column: Any, kind: Any) -> Any:
    """A column in the type that `common` found for it.

    Raises:
        Invalid: its values cannot be had in it.
    """
    column = plain(column)
    try:
        return _cast(column, kind)
    except _ARROW_FAILED:
        pass
    try:
        return _cast_anyhow(column, kind)
    except _ARROW_FAILED as error:
        raise Invalid(
            f"A column holds {str(column.type)[:80]} in one upload, and cannot be given as {str(kind)[:80]}, "
            "which it takes beside others; ask for other columns."
        ) from error


def _cast(column: Any, kind: Any) -> Any:
    if column.type == kind:
        return column
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), kind)
    if _is_list(kind):
        return _as_lists(column, kind)
    if pa.types.is_struct(kind):
        return _as_structs(column, kind)
    if _is_text(kind) and (pa.types.is_nested(column.type) or pa.types.is_binary(column.type)):
        return _as_json(column, kind)
    return column.cast(kind, safe=not pa.types.is_floating(kind))


def _cast_anyhow(column: Any, kind: Any) -> Any:
    """Cast values one of which cannot be had in that type: one bad value must not hide all others from everybody."""
    if isinstance(column.type, pa.BaseExtensionType):
        return cast(column.storage, kind)
    if _is_text(kind) and (pa.types.is_large_binary(column.type) or pa.types.is_fixed_size_binary(column.type)):
        return pa.array([None if value is None else _text(value) for value in column.to_pylist()], kind)
    if _is_text(kind) and pa.types.is_timestamp(column.type):  # of a zone that nobody knows
        return column.cast(pa.timestamp(column.type.unit, "UTC")).cast(kind)
    made = column.cast(kind, safe=False)
    # What did not fit has become something else: nothing is better than that.
    fits = pc.equal(made.cast(column.type, safe=False), column)
    return pc.if_else(fits, made, pa.scalar(None, kind))


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _common_number(one: Any, other: Any) -> Any:
    if pa.types.is_integer(one) and pa.types.is_integer(other):
        if pa.types.is_signed_integer(one) is pa.types.is_signed_integer(other):
            return one if one.bit_width >= other.bit_width else other
        if pa.uint64() not in (one, other):
            return pa.int64()
    return pa.float64()


def _common_time(one: Any, other: Any) -> Any:
    if pa.types.is_date(one) and pa.types.is_date(other):
        return pa.date64()
    units = [_UNITS.index(kind.unit) for kind in (one, other) if pa.types.is_timestamp(kind)]
    zones = {kind.tz for kind in (one, other) if pa.types.is_timestamp(kind)}
    return pa.timestamp(_UNITS[max(units)], zones.pop() if len(zones) == 1 else "UTC")


def _common_list(one: Any, other: Any) -> Any:
    """One value beside lists is a list of it; but nothing of that sort is done with objects."""
    if pa.types.is_struct(one) or pa.types.is_struct(other) or pa.types.is_map(one) or pa.types.is_map(other):
        return pa.string()
    inner = common(*(kind.value_type if _is_list(kind) else kind for kind in (one, other)))
    is_large = pa.types.is_large_list(one) or pa.types.is_large_list(other)
    return pa.large_list(inner) if is_large else pa.list_(inner)


def _as_lists(column: Any, kind: Any) -> Any:
    if not _is_list(column.type):
        offsets = pa.array(range(len(column) + 1), pa.int32())
        lists = pa.ListArray.from_arrays(offsets, cast(column, kind.value_type), mask=column.is_null())
        return lists.cast(kind)
    if pa.types.is_fixed_size_list(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    inner = cast(column.values, kind.value_type)
    made = (pa.LargeListArray if pa.types.is_large_list(column.type) else pa.ListArray).from_arrays(
        column.offsets, inner, mask=column.is_null() if column.offset == 0 else None
    )
    if column.offset and column.null_count:
        made = pc.if_else(column.is_null(), pa.scalar(None, made.type), made)
    return made.cast(kind)


def _as_structs(column: Any, kind: Any) -> Any:
    parts = dict(zip([field.name for field in column.type], column.flatten(), strict=True))
    arrays = [
        cast(parts[field.name], field.type) if field.name in parts else pa.nulls(len(column), field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(kind), mask=column.is_null())


def _as_json(column: Any, kind: Any) -> Any:
    """Objects in a column that holds texts elsewhere: rare enough to go through them one by one."""
    values: Sequence[Any]
    try:
        values = column.to_pylist()
    except _ARROW_FAILED:  # times that Python has none for
        values = column.cast(_counted(column.type)).to_pylist()
    return pa.array([None if value is None else json.dumps(value, default=str) for value in values], kind)


def _counted(kind: Any) -> Any:
    """The type with numbers in the place of times."""
    if pa.types.is_temporal(kind):
        return pa.int32() if kind.bit_width == 32 else pa.int64()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_counted(field.type)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_counted(kind.key_type), _counted(kind.item_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_counted(kind.value_type), kind.list_size)
    if _is_list(kind):
        return (pa.large_list if pa.types.is_large_list(kind) else pa.list_)(_counted(kind.value_type))
    return kind


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
