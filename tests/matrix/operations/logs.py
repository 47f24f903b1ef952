"""What is logged to projects and models, what is said of it afterwards, and how all of that is exported."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pyarrow as pa
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from accounts.audit import Tag
from apikeys.workflows import exports, records, spans, traces
from apikeys.workflows.messages import declare
from apikeys.workflows.models import Environment, SegmentKind
from apikeys.workflows.uploads import read_upload
from tests.matrix.belongings import MODEL, SPANS
from tests.matrix.doors.flight import flown, traced
from tests.matrix.doors.ingest import arrow, record, traced_by_http
from tests.matrix.doors.verbs import Call, given, question, work
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.scene import Scene
from tests.workflows.logging import START, asked
from tests.workflows.sending import as_bytes, stream_of

# The numbers of contract client-workflows §6.
_CLIENT = declare(
    "tests.matrix.client",
    {
        "Constants": {"model_id": (1, "string"), "environment": (4, "int32"), "model_type": (5, "int32")},
        "Columns": {"prediction_id": (1, "string"), "prediction_label": (4, "string")},
        "Empty": {},
        "Schema": {"constants": (1, "Constants"), "arrow_schema": (4, "Columns"), "arize_spans": (8, "Empty")},
    },
)
_PROJECT = "support"
_ADDED = "Project Segment Table"
_EVALUATED = pa.table({"context.span_id": ["a"], "eval.Quality.label": ["good"]})
_ANNOTATED = pa.table({"context.span_id": ["a"], "annotation.Quality.label": ["good"]})
_PATCHED = pa.table({"context.span_id": ["a"], "patch_document": ['{"x": 1}']})


def _spans(table: pa.Table, project: str = _PROJECT) -> bytes:
    """Return the body of an upload about spans."""
    return _described(table, _CLIENT.Schema(constants={"model_id": project}, arize_spans=_CLIENT.Empty()))


def _predictions(model: str) -> bytes:
    """Return the body of an upload to a model in production."""
    constants = {"model_id": model, "environment": 3, "model_type": 4}
    columns = {"prediction_id": "id", "prediction_label": "said"}
    table = pa.table({"id": ["1"], "said": ["yes"]})
    return _described(table, _CLIENT.Schema(constants=constants, arrow_schema=columns))


def _described(table: pa.Table, message: Any) -> bytes:
    encoded = base64.b64encode(message.SerializeToString())
    return as_bytes(table.replace_schema_metadata({"arize-schema": encoded}))


def _logged(scene: Scene, model: str) -> Call:
    stream = stream_of(_predictions(model))
    return given(scene.space, upload=read_upload(stream.schema), stream=stream)


def _record(scene: Scene) -> bytes:
    label = {"score_categorical": {"category": {"category": "yes"}}}
    return json.dumps({"model_id": MODEL, "prediction_id": "1", "prediction": {"prediction_label": label}}).encode()


def _traces(scene: Scene) -> bytes:
    project = KeyValue(key="openinference.project.name", value=AnyValue(string_value=_PROJECT))
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="n", start_time_unix_nano=5)
    resource = ResourceSpans(resource=Resource(attributes=[project]), scope_spans=[ScopeSpans(spans=[span])])
    body: bytes = ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString()
    return body


def _updated(scene: Scene, kind: SegmentKind, table: pa.Table) -> Call:
    return given(scene.space, project_name=_PROJECT, kind=kind, stream=stream_of(table))


def _to_project(scene: Scene) -> dict[str, str]:
    return {"externalModelId": _PROJECT}


def _export(project: str, environment: Environment) -> dict[str, str]:
    times = {"startTime": START, "endTime": START + timedelta(hours=1)}
    written = {name: at.isoformat().replace("+00:00", "Z") for name, at in times.items()}
    return {"modelId": project, "environment": environment.value, **written}


LOGS: dict[str, Operation] = {
    "log spans to a project": operation(
        work(spans.log_spans, lambda scene: given(scene.space, project_name=_PROJECT, stream=stream_of(SPANS))),
        arrow(lambda scene: _spans(SPANS)),
        changes=_ADDED,
        event=Tag.PROJECT_WRITTEN,
    ),
    "log spans to a new project": operation(
        work(spans.log_spans, lambda scene: given(scene.space, project_name="new", stream=stream_of(SPANS))),
        arrow(lambda scene: _spans(SPANS, "new")),
        changes=_ADDED,
        event=Tag.PROJECT_CREATED,
    ),
    "send traces": operation(
        work(spans.log_traces, lambda scene: given(scene.space, traces.tables_of(traces.read_request(_traces(scene))))),
        traced(_traces),
        traced_by_http(_traces),
        changes=_ADDED,
        event=Tag.PROJECT_WRITTEN,
    ),
    "evaluate spans": operation(
        work(spans.update_spans, lambda scene: _updated(scene, SegmentKind.EVALUATIONS, _EVALUATED)),
        flown("DoPut write_span_evaluation_request", _to_project, _EVALUATED),
        arrow(lambda scene: _spans(_EVALUATED)),
        changes=_ADDED,
        event=Tag.PROJECT_WRITTEN,
    ),
    "annotate spans": operation(
        work(spans.update_spans, lambda scene: _updated(scene, SegmentKind.ANNOTATIONS, _ANNOTATED)),
        flown("DoPut write_span_annotation_request", _to_project, _ANNOTATED),
        changes=_ADDED,
        event=Tag.PROJECT_WRITTEN,
    ),
    "patch the metadata of spans": operation(
        work(spans.update_spans, lambda scene: _updated(scene, SegmentKind.METADATA, _PATCHED)),
        flown("DoPut write_span_attributes_metadata_request", _to_project, _PATCHED),
        changes=_ADDED,
        event=Tag.PROJECT_WRITTEN,
    ),
    "export spans": operation(
        question(exports.prepare, lambda scene: given(scene.space, asked(_PROJECT)), says=lambda answer: answer.total),
        flown("GetFlightInfo export", lambda scene: _export(_PROJECT, Environment.TRACING)),
        flown("DoGet export", lambda scene: _export(_PROJECT, Environment.TRACING), shows=lambda scene: "trace a"),
    ),
    "log predictions to a model": operation(
        work(records.log_records, lambda scene: _logged(scene, MODEL)),
        arrow(lambda scene: _predictions(MODEL)),
        changes=_ADDED,
        event=Tag.PROJECT_WRITTEN,
    ),
    "log predictions to a new model": operation(
        work(records.log_records, lambda scene: _logged(scene, "new")),
        arrow(lambda scene: _predictions("new")),
        changes=_ADDED,
        event=Tag.PROJECT_CREATED,
    ),
    "log a single record": operation(record(_record), changes=_ADDED, event=Tag.PROJECT_WRITTEN),
    "export predictions": operation(
        question(
            exports.prepare,
            lambda scene: given(scene.space, asked(MODEL, Environment.PRODUCTION)),
            says=lambda answer: answer.total,
        ),
        flown("GetFlightInfo export", lambda scene: _export(MODEL, Environment.PRODUCTION)),
        flown("DoGet export", lambda scene: _export(MODEL, Environment.PRODUCTION)),
    ),
}
