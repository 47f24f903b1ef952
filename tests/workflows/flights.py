"""What an Arrow Flight client does, with the library that the vendor's clients use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl

from apikeys.workflows.grpc.commands import answers
from tests.workflows.conftest import FlightServer


class Flight:
    """A connection that presents a key with every call."""

    def __init__(self, client: Any, key: str | None, **headers: str) -> None:
        self.client = client
        given = [(b"auth-token-bin", key.encode())] if key is not None else []
        given += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.options = fl.FlightCallOptions(headers=given, timeout=60)

    def put(self, table: pa.Table, answer: str, *, rows: int = 10_000, **command: Any) -> Any:
        """Upload a table as the clients do, and return the answer as a message."""
        descriptor = fl.FlightDescriptor.for_command(json.dumps(command).encode())
        writer, reader = self.client.do_put(descriptor, table.schema, self.options)
        with writer:
            for batch in table.to_batches(max_chunksize=rows):
                writer.write_batch(batch)
            writer.done_writing()
            return getattr(answers, answer).FromString(reader.read().to_pybytes())

    def get(self, **command: Any) -> pa.Table:
        """Download a table."""
        return self.client.do_get(fl.Ticket(json.dumps(command).encode()), self.options).read_all()

    def act(self, kind: str, answer: str, **command: Any) -> Any:
        """Do an action, and return its one answer."""
        action = fl.Action(kind, json.dumps(command).encode())
        (result,) = self.client.do_action(action, self.options)
        return getattr(answers, answer).FromString(result.body.to_pybytes())

    def info(self, **query: Any) -> Any:
        """Ask what an export has."""
        descriptor = fl.FlightDescriptor.for_command(json.dumps(query).encode())
        return self.client.get_flight_info(descriptor, self.options)

    def with_key(self, key: str | None, **headers: str) -> Flight:
        """Return the same connection with another key."""
        return Flight(self.client, key, **headers)


@contextmanager
def flying(server: FlightServer, key: str | None, *, tls: bool = False, **headers: str) -> Iterator[Flight]:
    """Connect as the vendor's clients do: with TLS to localhost, without looking at the certificate."""
    place = f"grpc+tls://localhost:{server.tls_port}" if tls else f"grpc://127.0.0.1:{server.port}"
    with fl.connect(place, disable_server_verification=tls) as client:
        yield Flight(client, key, **headers)
