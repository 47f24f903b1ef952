"""Arrow streams as Flight carries them: each message of the IPC format in a message of gRPC's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from apikeys.workflows.grpc.server import Call
from apikeys.workflows.grpc.wire import Part, read_part, write_part
from apikeys.workflows.streams import Message


def arriving(first: Part, call: Call) -> Iterator[Message]:
    """Return the messages of an upload, one at a time, whose first came along with what it is for."""
    part: Part | None = first
    while part is not None:
        if part.header.nbytes:  # without one it is for the application, which has no use for it
            yield part.header, part.body
        message = call.read()
        part = None if message is None else read_part(message)


def leaving(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """Return a stream as messages of gRPC's, made as they are asked for: the schema, and then the batches."""
    sink = _Sink()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), schema) as writer:
        yield from sink.parts()
        for batch in batches:
            writer.write_batch(batch)
            yield from sink.parts()


class _Sink:
    """Where Arrow writes its stream, from which whole messages are taken."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take a piece."""
        self._written.append(data)
        return len(data)

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def parts(self) -> Iterator[bytes]:
        """Return what was written since the last time: a batch, and before it the dictionaries that it needs."""
        written, self._written = b"".join(self._written), []
        messages: Any = pa.ipc.MessageReader.open_stream(pa.py_buffer(written)) if written else ()
        for message in messages:
            body = message.body
            yield write_part(memoryview(message.metadata), memoryview(b"" if body is None else body))
