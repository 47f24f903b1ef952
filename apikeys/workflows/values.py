"""JSON values as Arrow columns and back, without losing any: what REST takes and gives of rows that Flight carries too.

A column gets the narrowest Arrow type that holds all its values. Where no one type does, because values are of several
kinds or objects have different properties, it becomes text that says in its metadata that it holds JSON: REST gives
back the very values, Flight the text. Of a row that lacks what another has, null is given.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from accounts.errors import Invalid

# Says of a text column that its values are JSON wherever they can be read as such, and plain text otherwise.
_MARK = b"arizekeys.json"
_MARKED = {_MARK: b"1"}
# Objects and lists nest so deep as Arrow types, and have so many properties; what goes beyond is kept as JSON.
_MAX_DEPTH = 16
_MAX_LEAVES = 500
_INT64 = range(-(2**63), 2**63)


class _NoOneType(Exception):
    """Values that no Arrow type holds together."""


def column(name: str, values: Sequence[Any]) -> tuple[pa.Field, pa.Array]:
    """Return JSON values as a column.

    Raises:
        Invalid: a text in it has half of a character.
    """
    try:
        array = pa.array(values, _type_of(values))
        if same(python(array), values):
            return pa.field(name, array.type), array
    except (_NoOneType, pa.ArrowException, OverflowError):
        pass
    except UnicodeEncodeError:
        raise half_a_character(name) from None
    return json_field(name), as_json(name, values)


def fitting(field: pa.Field, values: Sequence[Any]) -> pa.Array | None:
    """Return JSON values as an array of a column that exists, or ``None`` where its type does not hold them all.

    Raises:
        Invalid: a text in it has half of a character.
    """
    if is_json(field):
        return as_json(field.name, values)
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    try:
        for found in (_array(values, kind), _array(values, None)):
            if found is not None and found.type != kind:
                found = _cast(found, kind)
            if found is not None and same(python(found), values):
                return found
    except UnicodeEncodeError:
        raise half_a_character(field.name) from None
    return None


def json_field(name: str) -> pa.Field:
    """Return the field of a column that holds values of any kind."""
    return pa.field(name, pa.string(), metadata=_MARKED)


def is_json(field: pa.Field) -> bool:
    """Whether a column holds JSON text."""
    return bool(_is_text(field.type)) and _MARK in (field.metadata or {})


def as_json(name: str, values: Iterable[Any]) -> pa.Array:
    """Return values of any kind as the column that :func:`json_field` describes.

    Raises:
        Invalid: a text in it has half of a character.
    """
    try:
        return pa.array([_written(value) for value in values], pa.string())
    except UnicodeEncodeError:
        raise half_a_character(name) from None


def half_a_character(name: str) -> Invalid:
    """Say that a text cannot be written down as it is."""
    shown = name.encode("ascii", "replace").decode()[:40]
    return Invalid(f"A text of “{shown}” has half of a surrogate pair in it; that is no character.")


def records(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return rows as JSON objects."""
    columns = [cells(field, array) for field, array in zip(batch.schema, batch.columns, strict=True)]
    names = batch.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def cells(field: pa.Field, array: Any) -> list[Any]:
    """Return a column as JSON values."""
    values = python(array)
    return [None if value is None else _read(value) for value in values] if is_json(field) else values


def texts(array: Any) -> list[str | None]:
    """Return a column as texts: ids, which some clients count and others name."""
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in python(array)]


def python(array: Any) -> list[Any]:
    """Return an Arrow array as values that JSON knows: times as ISO 8601 texts, bytes as base64, NaN as null."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return python(array.storage)
    if pa.types.is_dictionary(kind):
        return python(array.dictionary_decode())
    if pa.types.is_floating(kind):
        return [None if value is None or not math.isfinite(value) else float(value) for value in array.to_pylist()]
    if pa.types.is_timestamp(kind):
        return [None if value is None else value.replace(" ", "T", 1) for value in _as_text(array)]
    if pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_decimal(kind):
        return _as_text(array)
    if pa.types.is_duration(kind):
        values: list[Any] = array.cast(pa.int64()).to_pylist()
        return values
    if pa.types.is_struct(kind):
        return _objects(array)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(array)
    try:
        return [_plain(value) for value in array.to_pylist()]
    except (OverflowError, ValueError):  # times within maps that Python has none for
        return [_plain(value) for value in array.cast(_timeless(kind)).to_pylist()]


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 1 and 1.0 are one number, 1 and true are not one value."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _array(values: Sequence[Any], kind: Any) -> Any:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        raise
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None


def _cast(array: Any, kind: Any) -> Any:
    try:
        return array.cast(kind)
    except pa.ArrowException:
        return None


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _as_text(array: Any) -> list[Any]:
    values: list[Any]
    try:
        values = array.cast(pa.string()).to_pylist()
    except pa.ArrowInvalid:  # a time zone that nobody knows
        values = array.cast(pa.timestamp(array.type.unit, "UTC")).cast(pa.string()).to_pylist()
    return values


def _timeless(kind: Any) -> Any:
    """Return a type with texts in the place of times."""
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_map(kind):
        return pa.map_(_timeless(kind.key_type), _timeless(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_timeless(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(_timeless(kind.value_type))
    return kind


def _objects(array: Any) -> list[Any]:
    names = [array.type.field(number).name for number in range(array.type.num_fields)]
    columns = [python(column) for column in array.flatten()]
    rows = zip(*columns, strict=True) if columns else ([] for _ in range(len(array)))
    return [
        dict(zip(names, row, strict=True)) if is_there else None
        for is_there, row in zip(array.is_valid().to_pylist(), rows, strict=True)
    ]


def _lists(array: Any) -> list[Any]:
    inner, found, start = python(array.flatten()), [], 0
    for length in pc.list_value_length(array).to_pylist():
        found.append(None if length is None else inner[start : start + length])
        start += length or 0
    # A missing list of a fixed size has a length all the same, and no items.
    return found if not array.null_count or not pa.types.is_fixed_size_list(array.type) else _sparse(array, inner)


def _sparse(array: Any, inner: list[Any]) -> list[Any]:
    size, items = array.type.list_size, iter(inner)
    return [[next(items) for _ in range(size)] if there else None for there in array.is_valid().to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int) else str(value)


def _written(value: Any) -> str | None:
    if value is None:
        return None
    # A text stays as it is, so that whoever reads it through Flight finds it so, unless it could be taken for JSON.
    if isinstance(value, str) and not _could_be_json(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _could_be_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _type_of(values: Sequence[Any]) -> pa.DataType:
    """Return the type that holds all values of a column.

    Raises:
        _NoOneType: there is none.
    """
    leaves = [0]
    return _common(values, _MAX_DEPTH, leaves)


def _common(values: Iterable[Any], depth: int, leaves: list[int]) -> pa.DataType:
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    leaves[0] += 1
    if depth == 0 or leaves[0] > _MAX_LEAVES:
        raise _NoOneType
    if not kinds:
        return pa.null()
    if kinds == {str}:
        return pa.string()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int} and all(value in _INT64 for value in there):
        return pa.int64()
    if kinds <= {int, float}:
        return pa.float64()
    if kinds == {list}:
        return pa.list_(_common((item for value in there for item in value), depth - 1, leaves))
    if kinds == {dict}:
        return _object_type(there, depth, leaves)
    raise _NoOneType


def _object_type(there: list[dict[str, Any]], depth: int, leaves: list[int]) -> pa.DataType:
    names = list(there[0])
    if not names or any(value.keys() != there[0].keys() for value in there):
        raise _NoOneType
    return pa.struct([(name, _common([value[name] for value in there], depth - 1, leaves)) for name in names])
