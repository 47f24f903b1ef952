"""The gRPC door's own parts, without a server: messages by hand, statuses, and where a call says it comes from."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import cast

import grpc
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError

from accounts.errors import Conflict, Forbidden, Incompatible, Invalid, NotAllowed, NotFound
from apikeys.errors import InvalidKey, LimiterFailed, Reason, TooOften
from apikeys.workflows.errors import StorageFailed, TooLarge
from apikeys.workflows.grpc import server
from apikeys.workflows.grpc.commands import commands, read_command, read_export, write_ticket
from apikeys.workflows.grpc.headers import _peer
from apikeys.workflows.grpc.patience import Lease
from apikeys.workflows.grpc.server import Call, ClientGone, Places
from apikeys.workflows.grpc.statuses import status_of
from apikeys.workflows.grpc.wire import flight, read_message, read_part, write_part
from apikeys.workflows.messages import declare

KEY = f"ak-{'Ab0' * 20}"

# FlightData as Flight.proto has it: what is written by hand has to be what protobuf writes.
data = declare(
    "test.flight",
    {
        "Data": {
            "flight_descriptor": (1, "bytes"),
            "data_header": (2, "bytes"),
            "app_metadata": (3, "bytes"),
            "data_body": (1000, "bytes"),
            "later": (17, "int64"),
            "much_later": (18, "fixed32"),
        }
    },
)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 70_000])
def test_messages_by_hand_are_those_of_protobuf(size: int) -> None:
    header, body = b"h" * (size + 1), b"b" * size
    whole = data.Data(
        flight_descriptor=b"d", data_header=header, app_metadata=b"m", data_body=body, later=-1, much_later=1
    )

    read = read_part(whole.SerializeToString())
    written = write_part(memoryview(header), memoryview(body))

    assert (bytes(read.descriptor), bytes(read.header), bytes(read.body)) == (b"d", header, body)
    assert written == data.Data(data_header=header, data_body=body).SerializeToString()


@pytest.mark.parametrize(
    "message",
    [
        b"\xff",
        b"\x12",
        b"\x12\x05abc",
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x0b",
        b"\x12" + b"\x80" * 20,
        b"\x10\x01" * 33,
        b"\x12\x00" * 2**21,
    ],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(Invalid, match="not one of Arrow Flight's"):
        read_part(message)


def test_a_list_of_nothing_in_a_descriptor_becomes_no_list() -> None:
    descriptor = read_message(flight.FlightDescriptor, b"\x12\x02{}" + b"\x1a\x00" * 1_000)

    assert [(field.name, value) for field, value in descriptor.ListFields()] == [("cmd", b"{}")]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidKey(Reason.REVOKED), grpc.StatusCode.UNAUTHENTICATED),
        (Forbidden("no"), grpc.StatusCode.PERMISSION_DENIED),
        (NotFound("no"), grpc.StatusCode.NOT_FOUND),
        (Conflict("no"), grpc.StatusCode.ALREADY_EXISTS),
        (Invalid("no"), grpc.StatusCode.INVALID_ARGUMENT),
        (TooLarge("no"), grpc.StatusCode.INVALID_ARGUMENT),
        (NotAllowed("no"), grpc.StatusCode.INVALID_ARGUMENT),
        (Incompatible("no"), grpc.StatusCode.INVALID_ARGUMENT),
        (TooOften(3), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (LimiterFailed(), grpc.StatusCode.UNAVAILABLE),
        (StorageFailed(), grpc.StatusCode.UNAVAILABLE),
        (OperationalError(f"connection failed for {KEY}"), grpc.StatusCode.UNAVAILABLE),
        (ImproperlyConfigured(f"/home/{KEY}"), grpc.StatusCode.UNAVAILABLE),
        (IntegrityError(f"duplicate {KEY}"), grpc.StatusCode.INTERNAL),
        (OSError(28, f"No space left for {KEY}"), grpc.StatusCode.INTERNAL),
        (RuntimeError(KEY), grpc.StatusCode.INTERNAL),
    ],
)
def test_every_failure_has_its_status_and_a_text_of_ours(
    error: Exception, status: grpc.StatusCode, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        found, text = status_of(error, "DoPut")

    assert found == status
    assert KEY not in text
    assert "Traceback" not in text
    assert bool(caplog.records) == (status in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL))


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.1:50123", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:50123", "2001:db8::1"),
        ("ipv6:[::1]:50123", "::1"),
        ("unix:/run/flight", ""),
    ],
)
def test_a_peer_is_an_address(peer: str, address: str) -> None:
    assert _peer(peer) == address


def test_a_ticket_is_the_question_again() -> None:
    asked = read_export(
        b'{"spaceId": "s", "environment": "TRACING", "streamChunkSize": "10", "parallelizeExports": true}'
    )

    member, again = read_command(commands.Get, write_ticket(asked))

    assert (member, again) == ("export", asked)
    assert again.stream_chunk_size.value == 10


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"getDataset": {"spaceId": 7}}', b"{}" * 2**20]
)
def test_what_is_no_command_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid):
        read_command(commands.Get, text)


class Connection:
    """A client as gRPC shows it, which has sent everything; ``dies`` says after how many seconds, if at all, it turns
    out that this was its end.
    """

    def __init__(self, *, dies: float | None) -> None:
        self._dies = dies

    def add_callback(self, ended: Callable[[], None]) -> bool:
        """Call back when the connection ends: a moment later, as gRPC does."""
        if self._dies is not None:
            threading.Timer(self._dies, ended).start()
        return True


def call_of(connection: Connection) -> Call:
    """Return what a client calls."""
    context = cast(grpc.ServicerContext, connection)
    return Call("DoPut", context, iter(()), Lease(context), Places(8))


def test_a_client_that_has_finished_is_told_from_one_that_died() -> None:
    assert call_of(Connection(dies=None)).read() is None


def test_a_client_that_died_is_told_from_one_that_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LOOKS", 12_000)  # however late it is told here

    with pytest.raises(ClientGone):
        call_of(Connection(dies=0.005)).read()


@pytest.fixture
def busy() -> Iterator[None]:
    """Keep this process from running anything else for most of the time."""
    ended, switches = threading.Event(), sys.getswitchinterval()

    def work() -> None:
        while not ended.is_set():
            pass

    sys.setswitchinterval(0.1)
    working = threading.Thread(target=work)
    working.start()
    yield
    ended.set()
    sys.setswitchinterval(switches)
    working.join(timeout=60)


@pytest.mark.usefixtures("busy")
def test_a_client_that_died_is_told_also_where_it_turns_out_late() -> None:
    with pytest.raises(ClientGone):
        call_of(Connection(dies=0.2)).read()
