"""Arrow streams as clients send them, good and bad."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa

from apikeys.workflows import streams, tables
from apikeys.workflows.streams import Stream


def as_bytes(table: pa.Table, *, rows: int = 10_000, **options: Any) -> bytes:
    """Return a table as the body of a request: an IPC stream."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def stream_of(body: bytes | pa.Table, limits: streams.Limits | None = None) -> Stream:
    """Return what a door makes of a body."""
    content = as_bytes(body) if isinstance(body, pa.Table) else body
    return streams.open_stream(streams.read_messages(io.BytesIO(content)), limits or tables.limits())
