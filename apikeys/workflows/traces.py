"""OpenTelemetry's spans as the rows that the clients log themselves, so that exports need not tell them apart.

Attributes become columns ``attributes.KEY``. OpenTelemetry knows no lists of objects, so whoever has one numbers its
keys (``llm.input_messages.0.message.role``); these are folded into a list of JSON objects, as the loggers of spans send
it (contract client-workflows §12).
"""

from __future__ import annotations

import base64
import functools
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from accounts.errors import Invalid
from apikeys.workflows.errors import TooLarge, Unreadable
from apikeys.workflows.messages import read_fields

# One export, unpacked: exporters send half a megabyte.
MOST_BODY = 8 * 2**20
# Where spans go whose resource names no project.
DEFAULT_PROJECT = "default"
_PROJECT_KEYS = ("openinference.project.name", "model_id")
# Exporters send some hundred spans at most, of 128 attributes each unless they are told otherwise (OpenTelemetry
# specification, "Batching processor" and "Attribute limits").
_MOST_SPANS = 20_000
# Fields of all messages in one another, since each that is empty takes two bytes on the wire and a hundred decoded:
# 512 spans of 128 attributes have 300 000.
_MOST_FIELDS = 1_000_000
# A body up to this size is not looked over: whatever is in it takes 40 MB at most, and looking takes time as well.
_HARMLESS = 2**19
# protobuf's own limit for messages in one another.
_DEEPEST = 100
_MOST_ATTRIBUTES = 2_000
# A collector may stand before several programs. Each project takes a file and a place in the audit log.
_MOST_PROJECTS = 20
_MOST_COLUMNS = 5_000
# Rows times columns, which are made whether a span has the attribute or not.
_MOST_CELLS = 4_000_000
_LONGEST_KEY = 1_000
# How deep lists of objects may lie in one another, be it by numbered keys or by values.
_DEPTH = 12
_NUMBERED = re.compile(r"(?P<list>.+?)\.(?P<number>\d{1,6})(?:\.(?P<rest>.+))?", re.DOTALL)
_STATUS = {0: "UNSET", 1: "OK", 2: "ERROR"}
_FIXED = (
    ("context.trace_id", pa.string()),
    ("context.span_id", pa.string()),
    ("parent_id", pa.string()),
    ("name", pa.string()),
    ("start_time", pa.int64()),
    ("end_time", pa.int64()),
    ("status_code", pa.string()),
    ("status_message", pa.string()),
    ("events", pa.list_(pa.string())),
)
_TEXTS = pa.list_(pa.string())


def read_request(body: bytes) -> Any:
    """Decode the body of an export, after a look at how much there is in it.

    Raises:
        Unreadable: it is none.
        TooLarge: it has more than comes from an exporter.
    """
    if len(body) > MOST_BODY:
        raise TooLarge(f"An export may have {MOST_BODY // 2**20} MB; send smaller ones.")
    try:
        if len(body) > _HARMLESS:
            _look_over(memoryview(body), ExportTraceServiceRequest.DESCRIPTOR, Counter())
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise Unreadable("The body is no ExportTraceServiceRequest of OpenTelemetry.") from None


def _look_over(message: memoryview, kind: Any, seen: Counter[str], depth: int = 0) -> None:
    """Count what decoding would make: nothing of it is made here."""
    if depth > _DEEPEST:
        raise DecodeError
    inner = _messages_in(kind)
    for number, part in read_fields(message):
        seen["field"] += 1
        if seen["field"] > _MOST_FIELDS:
            raise TooLarge(f"An export may have {_MOST_FIELDS} fields; send smaller ones.")
        if part is None or number not in inner:
            continue
        if inner[number] is Span.DESCRIPTOR:
            seen["span"] += 1
            _require_few(seen["span"])
        _look_over(part, inner[number], seen, depth + 1)


def _require_few(spans: int) -> None:
    if spans > _MOST_SPANS:
        raise TooLarge(f"An export may have {_MOST_SPANS} spans; send smaller ones.")


@functools.cache
def _messages_in(kind: Any) -> dict[int, Any]:
    return {field.number: field.message_type for field in kind.fields if field.message_type is not None}


def tables_of(request: Any) -> dict[str, pa.Table]:
    """Return the spans of an ``ExportTraceServiceRequest``, one table for each project that it names.

    Raises:
        TooLarge: more spans, projects, attributes or columns than come from an exporter.
        Invalid: a span has no proper ids, or times that nobody can mean.
    """
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    count = 0
    for resource_spans in request.resource_spans:
        project = _project_of(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            count += len(scope_spans.spans)
            _require_few(count)
            rows[project].extend(map(_row, scope_spans.spans))
    found = {project: spans for project, spans in rows.items() if spans}
    if len(found) > _MOST_PROJECTS:
        raise TooLarge(f"An export may name {_MOST_PROJECTS} projects; send the others in another one.")
    names = {project: _names(spans) for project, spans in found.items()}
    if sum(len(spans) * len(names[project]) for project, spans in found.items()) > _MOST_CELLS:
        raise TooLarge(f"The spans of one export, times their attributes, may be {_MOST_CELLS}; send smaller ones.")
    return {project: _table(spans, names[project]) for project, spans in found.items()}


def _project_of(attributes: Iterable[Any]) -> str:
    given = {attribute.key: attribute.value.string_value for attribute in attributes}
    return next((given[key] for key in _PROJECT_KEYS if given.get(key)), DEFAULT_PROJECT)


def _row(span: Any) -> dict[str, Any]:
    if len(span.trace_id) != 16 or len(span.span_id) != 8 or not any(span.trace_id) or not any(span.span_id):
        raise Invalid("A span has a trace id of 16 bytes and a span id of 8, and neither is all zeros.")
    if len(span.parent_span_id) not in (0, 8):
        raise Invalid("The id of a span's parent has 8 bytes.")
    row = {
        "context.trace_id": span.trace_id.hex(),
        "context.span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() if any(span.parent_span_id) else None,
        "name": span.name,
        "start_time": _nanoseconds(span.start_time_unix_nano),
        "end_time": _nanoseconds(span.end_time_unix_nano),
        "status_code": _STATUS.get(span.status.code, "UNSET"),
        "status_message": span.status.message or None,
        "events": [_json(_event(event)) for event in span.events] or None,
    }
    for key, value in _folded(_attributes(span.attributes)).items():
        if value is not None:
            row[f"attributes.{key}"] = [_text_of(item) for item in value] if isinstance(value, list) else value
    return row


def _nanoseconds(number: int) -> int | None:
    """A time, or ``None`` for zero, which is how it is left out."""
    if number >= 2**63:
        raise Invalid("A span's times are nanoseconds since 1970.")
    return number or None


def _event(event: Any) -> dict[str, Any]:
    return {"name": event.name, "timestamp": event.time_unix_nano, "attributes": _attributes(event.attributes)}


def _attributes(attributes: Any) -> dict[str, Any]:
    if len(attributes) > _MOST_ATTRIBUTES:
        raise TooLarge(f"A span may have {_MOST_ATTRIBUTES} attributes.")
    found = {}
    for attribute in attributes:
        if not attribute.key or len(attribute.key) > _LONGEST_KEY:
            raise Invalid(f"The key of an attribute has up to {_LONGEST_KEY} characters, and one at least.")
        found[attribute.key] = _value(attribute.value)
    return found


def _value(value: Any, depth: int = 0) -> Any:
    """A value as Python has it, where objects and whatever is in a list of mixed kinds are JSON to be."""
    if depth > _DEPTH:
        raise TooLarge(f"The value of an attribute may nest {_DEPTH} deep.")
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "array_value":
            return [_value(item, depth + 1) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: _value(item.value, depth + 1) for item in value.kvlist_value.values}
    return None


def _folded(attributes: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """Fold numbered keys into lists, in the order of their numbers; gaps close."""
    found: dict[str, Any] = {}
    lists: dict[str, dict[int, dict[str | None, Any]]] = {}
    for key, value in attributes.items():
        numbered = _NUMBERED.fullmatch(key) if depth < _DEPTH else None
        if numbered and numbered["list"] not in attributes:
            parts = lists.setdefault(numbered["list"], {}).setdefault(int(numbered["number"]), {})
            parts[numbered["rest"]] = value
        else:
            found[key] = value
    for name, items in lists.items():
        found[name] = [_item(parts, depth + 1) for _, parts in sorted(items.items())]
    return found


def _item(parts: dict[str | None, Any], depth: int) -> Any:
    """One item of a list: an object, or the value itself where its key ends in its number."""
    named = {name: value for name, value in parts.items() if name is not None}
    return _folded(named, depth) if named else parts[None]


def _text_of(item: Any) -> Any:
    """Objects and lists in a list are JSON; texts, numbers and truths stay what they are."""
    return _json(item) if isinstance(item, dict | list) else item


def _json(value: Any) -> str:
    return json.dumps(_finite(value), ensure_ascii=False)


def _finite(value: Any) -> Any:
    """JSON has no infinity and nothing that is no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _names(rows: list[dict[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for name, _ in _FIXED)
    for row in rows:
        names.update(dict.fromkeys(row))
        if len(names) > _MOST_COLUMNS:
            raise TooLarge(f"The spans of one export may have {_MOST_COLUMNS} different attributes.")
    return list(names)


def _table(rows: list[dict[str, Any]], names: list[str]) -> pa.Table:
    kinds = dict(_FIXED)
    columns: dict[str, list[Any]] = {name: [None] * len(rows) for name in names}
    for number, row in enumerate(rows):
        for name, value in row.items():
            columns[name][number] = value
    return pa.table({name: _array(values, kinds.get(name)) for name, values in columns.items()})


def _array(values: list[Any], kind: Any) -> pa.Array:
    if kind is not None:
        return pa.array(values, kind)
    found = _kind_of(value for value in values if value is not None)
    if found == pa.list_(pa.null()):
        found = _TEXTS
    if found == pa.string() or found == _TEXTS:
        values = [_as_texts(value, found) for value in values]
    return pa.array(values, found)


def _kind_of(values: Iterable[Any]) -> Any:
    """The type that all values have, or that of text where they have none in common."""
    kinds = set()
    for value in values:
        if isinstance(value, list):
            inner = _kind_of(item for item in value if item is not None)
            kinds.add(pa.list_(inner if value else pa.null()))
        else:
            kinds.add(_SCALARS.get(type(value), pa.string()))
    if kinds == {pa.int64(), pa.float64()}:
        return pa.float64()
    if len(kinds) > 1 and all(pa.types.is_list(kind) for kind in kinds):
        inner = {kind.value_type for kind in kinds} - {pa.null()}
        if inner == {pa.int64(), pa.float64()}:
            return pa.list_(pa.float64())
        return pa.list_(inner.pop()) if len(inner) == 1 else _TEXTS
    return kinds.pop() if len(kinds) == 1 else pa.string()


_SCALARS = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


def _as_texts(value: Any, kind: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if kind == _TEXTS:
        return [item if item is None or isinstance(item, str) else _json(item) for item in value]
    return _json(value)
