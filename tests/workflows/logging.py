"""Spans and predictions as tests log them, and exports as they read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from accounts.actors import Actor
from accounts.models import Space
from apikeys.workflows import exports, records, spans
from apikeys.workflows.models import Environment, Segment, SegmentKind
from apikeys.workflows.spans import Updated
from apikeys.workflows.uploads import Environment as Env
from apikeys.workflows.uploads import Kind, Upload
from tests.workflows.sending import stream_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def nanoseconds(seconds: float = 0) -> int:
    """Return a time so many seconds after the start."""
    return int(START.timestamp()) * 10**9 + int(seconds * 10**9)


def spans_of(*ids: str, **columns: Any) -> pa.Table:
    """Return spans, one a second, each in a trace of its own."""
    return pa.table(
        {
            "context.trace_id": [f"trace {one}" for one in ids],
            "context.span_id": list(ids),
            "name": [f"name {one}" for one in ids],
            "start_time": [nanoseconds(number) for number in range(len(ids))],
            "end_time": [nanoseconds(number + 0.5) for number in range(len(ids))],
            **columns,
        }
    )


def log(actor: Actor, space: Space, table: pa.Table, *, name: str = "chat", version: str = "") -> Segment:
    """Log spans."""
    return spans.log_spans(actor, space, project_name=name, stream=stream_of(table), at=START, model_version=version)


def update(actor: Actor, space: Space, kind: SegmentKind, columns: dict[str, Any], *, name: str = "chat") -> Updated:
    """Say something of spans."""
    return spans.update_spans(actor, space, project_name=name, kind=kind, stream=stream_of(pa.table(columns)), at=START)


def predict(
    actor: Actor,
    space: Space,
    columns: dict[str, Any],
    *,
    environment: Env = Env.PRODUCTION,
    kind: Kind = Kind.ROWS,
    version: str = "",
    batch: str = "",
) -> Segment:
    """Log records of a model whose columns have the names of exports already."""
    upload = Upload(
        model_id="fraud",
        environment=environment,
        model_version=version,
        batch_id=batch,
        kind=kind,
        columns=tuple((name, name) for name in columns),
    )
    return records.log_records(actor, space, upload=upload, stream=stream_of(pa.table(columns)), at=START)


def asked(
    project: str = "chat", environment: Environment = Environment.TRACING, *, until: float = 3600, **more: Any
) -> exports.ExportQuery:
    """Return a query for the first hour."""
    given: dict[str, Any] = {"start": START, "end": START + timedelta(seconds=until)} | more
    return exports.ExportQuery(project=project, environment=environment, **given)


def exported(actor: Actor, space: Space, query: exports.ExportQuery) -> pa.Table:
    """Return what an export gives, when what it counts is what it gives."""
    export = exports.prepare(actor, space, query)
    table = pa.Table.from_batches(list(export.batches()), export.schema)
    assert export.total == table.num_rows
    return table
