"""OpenTelemetry's spans become rows such as the clients log, and what no exporter sends is refused."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from accounts.errors import Invalid
from apikeys.workflows.errors import TooLarge, Unreadable
from apikeys.workflows.traces import read_request, tables_of


def _any(value: Any) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(_any, value)))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=_pairs(value)))
    return AnyValue()


def _pairs(values: dict[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _span(attributes: dict[str, Any] | None = None, **more: Any) -> Span:
    given: dict[str, Any] = {"trace_id": b"t" * 16, "span_id": b"s" * 8, "name": "n", "start_time_unix_nano": 5} | more
    return Span(attributes=_pairs(attributes or {}), **given)


def _request(*spans: Span, resource: dict[str, Any] | None = None) -> Any:
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=_pairs(resource or {"model_id": "p"})),
                scope_spans=[ScopeSpans(spans=spans)],
            )
        ]
    )


def _rows(*spans: Span) -> list[dict[str, Any]]:
    return tables_of(_request(*spans))["p"].to_pylist()  # type: ignore[no-any-return]


def _attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    (row,) = _rows(_span(attributes))
    return {name.removeprefix("attributes."): row[name] for name in row if name.startswith("attributes.")}


def test_a_span_becomes_a_row() -> None:
    (row,) = _rows(
        Span(
            trace_id=bytes(range(16)),
            span_id=bytes(range(8)),
            parent_span_id=b"p" * 8,
            name="task",
            start_time_unix_nano=1_700_000_000_123_456_789,
            end_time_unix_nano=1_700_000_001_000_000_000,
            status=Status(code=Status.STATUS_CODE_ERROR, message="no"),
            attributes=_pairs({"openinference.span.kind": "LLM"}),
            events=[Span.Event(time_unix_nano=7, name="exception", attributes=_pairs({"why": "x"}))],
        )
    )

    assert row == {
        "context.trace_id": "000102030405060708090a0b0c0d0e0f",
        "context.span_id": "0001020304050607",
        "parent_id": "7070707070707070",
        "name": "task",
        "start_time": 1_700_000_000_123_456_789,
        "end_time": 1_700_000_001_000_000_000,
        "status_code": "ERROR",
        "status_message": "no",
        "events": ['{"name": "exception", "timestamp": 7, "attributes": {"why": "x"}}'],
        "attributes.openinference.span.kind": "LLM",
    }


def test_what_a_span_leaves_out_is_null() -> None:
    (row,) = _rows(_span(start_time_unix_nano=0))

    assert {name for name, value in row.items() if value is None} == {
        "parent_id",
        "start_time",
        "end_time",
        "status_message",
        "events",
    }
    assert row["status_code"] == "UNSET"


def test_spans_go_to_the_project_that_their_resource_names() -> None:
    request = ExportTraceServiceRequest(
        resource_spans=[
            *_request(_span(), resource={"model_id": "old"}).resource_spans,
            *_request(_span(), resource={"model_id": "old", "openinference.project.name": "new"}).resource_spans,
            *_request(_span(), _span(), resource={"service.name": "x"}).resource_spans,
            *_request(resource={"model_id": "empty"}).resource_spans,
        ]
    )

    assert {name: table.num_rows for name, table in tables_of(request).items()} == {"old": 1, "new": 1, "default": 2}


def test_values_keep_their_kinds() -> None:
    values = {"t": "x", "b": True, "i": 2**60, "f": 0.5, "ts": ["a", "b"], "fs": [1.5, 2.0], "is": [1, 2]}

    assert _attributes(values) == values


def test_what_has_no_kind_of_its_own_is_text() -> None:
    assert _attributes(
        {"bytes": b"x", "object": {"a": [1, float("nan")]}, "mixed": ["a", 1, {"b": True}], "no": None}
    ) == {
        "bytes": "eA==",
        "object": '{"a": [1, null]}',
        "mixed": ["a", "1", '{"b": true}'],
    }


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 0.5], pa.float64()),
        ([1, "x"], pa.string()),
        ([True, 1], pa.string()),
        ([[1], [0.5]], pa.list_(pa.float64())),
        ([[], ["x"]], pa.list_(pa.string())),
        ([[], [1]], pa.list_(pa.int64())),
        ([[]], pa.list_(pa.string())),
        ([["x"], [1]], pa.list_(pa.string())),
        ([["x"], "x"], pa.string()),
        ([None, 1], pa.int64()),
    ],
)
def test_one_column_has_one_kind(values: list[Any], kind: Any) -> None:
    table = tables_of(_request(*(_span({"a": value}) for value in values)))["p"]

    assert table.schema.field("attributes.a").type == kind


def test_numbered_keys_are_folded_into_lists_of_objects() -> None:
    found = _attributes(
        {
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "Hi",
            "llm.input_messages.0.message.tool_calls.0.tool_call.function.name": "f",
            "llm.input_messages.0.message.tool_calls.1.tool_call.function.name": "g",
            "llm.model_name": "m",
            "tags.0": "a",
            "tags.10": "c",
            "tags.9": "b",
        }
    )

    assert [json.loads(item) for item in found["llm.input_messages"]] == [
        {
            "message.role": "system",
            "message.content": "Hi",
            "message.tool_calls": [{"tool_call.function.name": "f"}, {"tool_call.function.name": "g"}],
        },
        {"message.role": "user"},
    ]
    assert found["tags"] == ["a", "b", "c"]
    assert found["llm.model_name"] == "m"
    assert set(found) == {"llm.input_messages", "llm.model_name", "tags"}


def test_numbered_keys_beside_a_value_of_that_name_stay_as_they_are() -> None:
    values = {"a": "x", "a.0.b": "y"}

    assert _attributes(values) == values


def test_numbers_as_large_as_can_be_make_no_long_list() -> None:
    assert _attributes({"a.999999": "x", "a.0": "y"}) == {"a": ["y", "x"]}


def test_keys_that_nest_without_end_are_folded_as_far_as_lists_go() -> None:
    found = _attributes({"a" + ".0.a" * 200: "x"})

    assert list(found) == ["a"]


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (_span(trace_id=b"short"), "trace id of 16 bytes"),
        (_span(span_id=bytes(8)), "all zeros"),
        (_span(parent_span_id=b"short"), "has 8 bytes"),
        (_span(start_time_unix_nano=2**63), "nanoseconds since 1970"),
        (_span({"a" * 1001: "x"}), "up to 1000 characters"),
        (_span({"": "x"}), "one at least"),
    ],
)
def test_spans_that_nobody_exports_are_refused(span: Span, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        tables_of(_request(span))


def _deep(levels: int) -> Any:
    return [_deep(levels - 1)] if levels else "x"


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([_span({str(number): "x" for number in range(2001)})], "2000 attributes"),
        ([_span({f"{n}-{m}": "x" for m in range(1990)}) for n in range(3)], "5000 different attributes"),
        ([_span({"a": _deep(13)})], "nest 12 deep"),
        ([_span()] * 20_001, "20000 spans"),
    ],
)
def test_more_than_comes_from_an_exporter_is_refused(spans: list[Span], words: str) -> None:
    with pytest.raises(TooLarge, match=words):
        tables_of(read_request(_request(*spans).SerializeToString()))


def test_attributes_that_few_spans_have_do_not_fill_memory_with_holes() -> None:
    rare = [_span({f"{n}-{m}": "x" for m in range(1_000)}) for n in range(4)]

    with pytest.raises(TooLarge, match="times their attributes"):
        tables_of(_request(*rare, *[_span()] * 1_000))


def test_an_export_names_a_few_projects_and_no_more() -> None:
    request = ExportTraceServiceRequest()
    for number in range(20):
        request.MergeFrom(_request(_span(), resource={"model_id": f"p{number}"}))
    assert len(tables_of(request)) == 20
    request.MergeFrom(_request(_span(), resource={"model_id": "one more"}))

    with pytest.raises(TooLarge, match="20 projects"):
        tables_of(request)


def _framed(number: int, content: bytes) -> bytes:
    size = bytearray()
    left = len(content)
    while left > 0x7F:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([number << 3 | 2, *size, left]) + content


def _of_nothing(what: str) -> bytes:
    """A megabyte or two on the wire, and a hundred decoded."""
    match what:
        case "spans":
            return _framed(1, _framed(2, b"\x12\x00" * 500_000))
        case "values":
            values = b"\x0a\x00" * 1_000_001
            value = _framed(2, _framed(5, values))
            return _framed(1, _framed(2, _framed(2, _framed(9, value))))
    return b"\x0a\x00" * 1_000_001


@pytest.mark.parametrize(("what", "words"), [("spans", "20000 spans"), ("values", "fields"), ("resources", "fields")])
def test_what_is_nothing_is_counted_before_it_is_decoded(what: str, words: str) -> None:
    with pytest.raises(TooLarge, match=words):
        read_request(_of_nothing(what))


def test_a_small_body_of_many_spans_is_one_of_too_many() -> None:
    body = _framed(1, _framed(2, b"\x12\x00" * 20_001))

    with pytest.raises(TooLarge, match="20000 spans"):
        tables_of(read_request(body))


def test_messages_in_one_another_without_end_are_refused() -> None:
    content = b""
    for _ in range(2_000):
        content = _framed(5, _framed(1, content))

    with pytest.raises(Unreadable):
        read_request(_framed(1, _framed(1, _framed(1, _framed(2, content)))))


def test_a_body_that_is_no_export_is_refused() -> None:
    with pytest.raises(Unreadable):
        read_request(b"\xff\xff")

    assert read_request(_request(_span()).SerializeToString()) == _request(_span())
