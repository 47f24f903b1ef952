"""Arrow Flight, and OpenTelemetry over gRPC: the server's own methods, carried out where the test is.

Everything here happens in one transaction, and a server's threads would not see it. So the call that the server would
make is made by hand, of the caller's metadata and messages, and what the method raises is put into a status as there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import grpc
import pyarrow as pa

from accounts.actors import Actor
from accounts.actors import Door as Threshold
from accounts.audit import Tag, record_refusal
from accounts.errors import DomainError
from apikeys.workflows.grpc import collector, flight
from apikeys.workflows.grpc.commands import commands
from apikeys.workflows.grpc.framing import leaving
from apikeys.workflows.grpc.patience import Lease
from apikeys.workflows.grpc.server import Call, Places
from apikeys.workflows.grpc.statuses import status_of
from apikeys.workflows.grpc.wire import flight as messages
from tests.matrix.doors.ways import Door, Instead, Of, Way, wire
from tests.matrix.fates import Fate
from tests.matrix.scene import OPERATOR, Scene

FLIGHT = Door(
    "Flight",
    Threshold.FLIGHT,
    instead={OPERATOR: Fate.UNAUTHORIZED, Fate.ABSENT: Fate.FORBIDDEN},
    because="An operator has no key. No role in the space: PERMISSION_DENIED (contract client-workflows §5).",
)
OTLP = Door(
    "OpenTelemetry",
    Threshold.OTLP,
    instead={OPERATOR: Fate.UNAUTHORIZED, Fate.ABSENT: Fate.FORBIDDEN},
    because="An operator has no key. Exporters know two refusals, of keys and of what those may not (contract "
    "client-workflows §12).",
)
_FATES = {
    grpc.StatusCode.UNAUTHENTICATED: Fate.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: Fate.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: Fate.ABSENT,
}
# A request is asked of one of the methods, which member of the command says what is wanted.
_KINDS = {"DoPut": commands.Put, "DoGet": commands.Get, "DoAction": commands.Act}


@dataclass
class Said:
    """What a call came to: messages, or a status and its text."""

    messages: list[bytes]
    status: grpc.StatusCode | None = None
    text: str = ""


class _Context:
    """As much of gRPC's context as the methods ask for: the metadata, and a connection within this machine."""

    def __init__(self, metadata: Mapping[str, str | bytes]) -> None:
        self._metadata = tuple(metadata.items())

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._metadata

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50123"


class _Call(Call):
    """A call whose client has said everything, and waits."""

    def _require_client(self) -> None:
        pass


class _Lease:
    @contextmanager
    def waiting(self) -> Iterator[None]:
        yield


def call(service: str, method: str, metadata: Mapping[str, str | bytes], sent: Iterable[bytes]) -> Said:
    """Carry out a method as the server does, in this thread."""
    methods = {flight.SERVICE: flight.METHODS, collector.SERVICE: collector.METHODS}[service]
    context = cast(grpc.ServicerContext, _Context(metadata))
    made = _Call(method, context, iter(sent), cast(Lease, _Lease()), Places(8))
    said = Said([])
    try:
        said.messages.extend(methods[method](made))
    except Exception as error:
        _tell(error, made.actor)
        said.status, said.text = status_of(error, method)
    return said


def _tell(error: Exception, actor: Actor | None) -> None:
    if actor is not None and isinstance(error, DomainError) and error.recorded and not error.noted:
        record_refusal(actor, Tag.ACCESS_REFUSED, error)


@dataclass(frozen=True, kw_only=True)
class FlightWay(Way):
    """One call. ``shows`` is what a list must hold for its reader to have been let in."""

    door = FLIGHT
    command: Of[Mapping[str, Any]]
    table: pa.Table | None = None
    shows: Of[str] | None = None

    def ask(self, scene: Scene) -> Fate | str:
        """Make it."""
        said = self.asking(scene)()
        if said.status is not None:
            return _FATES.get(said.status, f"{said.status}: {said.text}")
        if self.shows is not None and self.shows(scene).encode() not in b"".join(said.messages):
            return Fate.ABSENT
        return Fate.MADE

    def asking(self, scene: Scene) -> Callable[[], Said]:
        """Return the call, to be made later."""
        method, _, member = self.name.partition(" ")
        key = {"auth-token-bin": scene.key.encode()} if scene.key else {}
        sent = list(self._sent(scene, method, member))
        return lambda: call(flight.SERVICE, method, key, sent)

    def _sent(self, scene: Scene, method: str, member: str) -> Iterator[bytes]:
        text = self._written(scene, method, member)
        if method == "DoGet":
            yield messages.Ticket(ticket=text).SerializeToString()
        elif method == "DoAction":
            kind = next(kind for kind, action in flight._ACT.items() if action.member == member)
            yield messages.Action(type=kind, body=text).SerializeToString()
        else:
            descriptor = messages.FlightDescriptor(type="CMD", cmd=text)
            if method == "GetFlightInfo":
                yield descriptor.SerializeToString()
            else:
                yield from _put(descriptor, self.table)

    def _written(self, scene: Scene, method: str, member: str) -> bytes:
        asked = dict(self.command(scene))
        if method != "GetFlightInfo":
            asked = {_KINDS[method].DESCRIPTOR.fields_by_name[member].json_name: asked}
        return json.dumps(asked).encode()


def _put(descriptor: Any, table: pa.Table | None) -> Iterator[bytes]:
    assert table is not None
    described = descriptor.SerializeToString()
    parts = leaving(table.schema, iter(table.to_batches()))
    # The descriptor is the first field of the first message.
    yield b"\x0a" + _length(len(described)) + described + next(parts)
    yield from parts


def _length(size: int) -> bytes:
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


@dataclass(frozen=True, kw_only=True)
class ExportWay(Way):
    """Spans by OpenTelemetry over gRPC."""

    door = OTLP
    body: Of[bytes]

    def ask(self, scene: Scene) -> Fate | str:
        """Send them."""
        said = self.asking(scene)()
        return Fate.MADE if said.status is None else _FATES.get(said.status, f"{said.status}: {said.text}")

    def asking(self, scene: Scene) -> Callable[[], Said]:
        """Return the call, to be made later."""
        metadata = {"arize-space-id": wire(scene.space)} | ({"authorization": scene.key} if scene.key else {})
        sent = [self.body(scene)]
        return lambda: call(collector.SERVICE, "Export", metadata, sent)


def flown(
    name: str,
    command: Of[Mapping[str, Any]],
    table: pa.Table | None = None,
    *,
    shows: Of[str] | None = None,
    differs: Instead | None = None,
    because: str = "",
) -> Way:
    """Do or read something with a call such as ``DoGet get_dataset``; the command gets the space by itself."""
    reads = name.startswith(("DoGet ", "GetFlightInfo ")) or name.partition(" ")[2] in _READING

    def asked(scene: Scene) -> Mapping[str, Any]:
        return {"spaceId": wire(scene.space), **command(scene)}

    return FlightWay(
        name=name, looks=reads, command=asked, table=table, shows=shows, differs=differs or {}, because=because
    )


_READING = frozenset(action.member for action in flight._ACT.values() if not action.writes)


def traced(body: Of[bytes]) -> Way:
    """Send spans to OpenTelemetry's collector over gRPC."""
    return ExportWay(name="Export", body=body)


def offered() -> set[str]:
    """Return every command of every method, and the question before an export."""
    members = {
        "DoPut": flight._PUT,
        "DoGet": flight._GET,
        "DoAction": [action.member for action in flight._ACT.values()],
        "GetFlightInfo": ["export"],
    }
    assert members.keys() == flight.METHODS.keys()
    return {f"{method} {member}" for method, named in members.items() for member in named}
