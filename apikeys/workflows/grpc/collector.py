"""OpenTelemetry's collector over gRPC: spans as instrumented programs send them (contract client-workflows §12).

Exporters drop what is refused as unauthenticated or forbidden, and go on; most others they would send again and again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from accounts.actors import Door
from accounts.errors import Forbidden, NotFound
from apikeys.workflows import spans, traces
from apikeys.workflows.grpc.server import Call, Method
from apikeys.workflows.grpc.threshold import asking, let_in
from apikeys.workflows.uses import Workflow

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


def export(call: Call) -> Iterator[bytes]:
    """Store spans, all of them or none."""
    visitor = asking(let_in(call, Door.OTLP), call, kind="MUTATION", member="", command=b"")
    space = visitor.space(visitor.space_header or "")
    try:
        spans.may_log_somewhere(visitor.actor, space)
        body = call.read() or b""
        spans.log_traces(visitor.actor, space, traces.tables_of(traces.read_request(body)), at=visitor.caller.at)
    except NotFound as error:  # a project that others may know of
        raise Forbidden(error.detail) from None
    visitor.note(Workflow.TRACE_EXPORT, space)
    yield ExportTraceServiceResponse().SerializeToString()


METHODS: Mapping[str, Method] = {"Export": export}
