"""Two spans over OTLP, and whether they came."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from tests.clients.workflows import recipes
from tests.clients.workflows.answering import Differs, Facts, Place

Frame = Any  # of pandas, which has no types here


def send_traces(place: Place, resource: dict[str, Any], protocol: str, more: dict[str, str]) -> Facts:
    """Send two spans by an exporter of OpenTelemetry's, one after the other."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    headers = {"authorization": place.key, "arize-space-id": place.space, "arize-interface": "otel", **more}
    exporter: Any
    if protocol == "grpc" and place.certificate:
        from grpc import ssl_channel_credentials
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        trusted = ssl_channel_credentials(Path(place.certificate).read_bytes())
        exporter = OTLPSpanExporter(endpoint=place.web, credentials=trusted, headers=headers, timeout=20)
    elif protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(endpoint=place.grpc, insecure=True, headers=headers, timeout=20)
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHTTP

        exporter = OverHTTP(endpoint=f"{place.web}/v1/traces", headers=headers, timeout=20)
    provider = TracerProvider(resource=Resource(resource))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    mark = make_spans(provider.get_tracer("tests"))
    provider.shutdown()
    return {"mark": mark}


def make_spans(tracer: Any) -> str:
    """Make a span within a span, with a mark to find them by."""
    mark = uuid.uuid4().hex
    with tracer.start_as_current_span("outer") as outer:
        outer.set_attribute("session.id", mark)
        outer.set_attribute("openinference.span.kind", "CHAIN")
        with tracer.start_as_current_span("innér") as inner:
            inner.set_attribute("session.id", mark)
            inner.set_attribute("openinference.span.kind", "LLM")
            inner.set_attribute("input.value", "naïve ☃")
            inner.set_attribute("llm.token_count.prompt", 12)
            for number, role in enumerate(("user", "assistant")):
                inner.set_attribute(f"llm.input_messages.{number}.message.role", role)
                inner.set_attribute(f"llm.input_messages.{number}.message.content", f"{number} ü")
    return mark


def compare_traces(frame: Frame, mark: str) -> Facts:
    """Tell whether the two spans are whole, their numbered attributes folded."""
    if "attributes.session.id" not in frame:
        raise Differs(f"No session among {sorted(frame.columns)}")
    frame = frame[frame["attributes.session.id"] == mark]
    recipes.expect_values(sorted(frame["name"]), ["innér", "outer"], "name")
    inner = frame[frame["name"] == "innér"].iloc[0]
    outer = frame[frame["name"] == "outer"].iloc[0]
    if inner["parent_id"] != outer["context.span_id"] or inner["context.trace_id"] != outer["context.trace_id"]:
        raise Differs("The inner span is not inside the outer one.")
    wanted = {
        "attributes.input.value": "naïve ☃",
        "attributes.llm.token_count.prompt": 12,
        "attributes.openinference.span.kind": "LLM",
        "attributes.llm.input_messages": [
            {"message.role": "user", "message.content": "0 ü"},
            {"message.role": "assistant", "message.content": "1 ü"},
        ],
    }
    for name, value in wanted.items():
        recipes.expect_values([inner[name]], [value], name)
    if not inner["start_time"] <= inner["end_time"]:
        raise Differs("The span ends before it starts.")
    return {"rows": len(frame)}


def names_of(frame: Frame) -> Facts:
    """Tell the names of all spans of an export, as often as they are there."""
    return {"names": sorted(frame["name"]) if len(frame) else []}
