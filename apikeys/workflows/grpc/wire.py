"""Arrow Flight's messages (Flight.proto of Apache Arrow). The one that carries the data is read and written by hand.

protobuf copies every field of bytes that it hands out, and a body is a megabyte of columns. What is read here points
into the message as it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from accounts.errors import Invalid
from apikeys.workflows.messages import declare, read_fields

flight: Any = declare(
    "arrow.flight.protocol",
    {
        # Without its path: a list of nothing, whose every member took sixteen times what it has on the wire.
        "FlightDescriptor": {"type": (1, "DescriptorType"), "cmd": (2, "bytes")},
        "Ticket": {"ticket": (1, "bytes")},
        "Location": {"uri": (1, "string")},
        "FlightEndpoint": {"ticket": (1, "Ticket"), "location": (2, "repeated Location")},
        "FlightInfo": {
            "schema": (1, "bytes"),
            "flight_descriptor": (2, "FlightDescriptor"),
            "endpoint": (3, "repeated FlightEndpoint"),
            "total_records": (4, "int64"),
            "total_bytes": (5, "int64"),
        },
        "Action": {"type": (1, "string"), "body": (2, "bytes")},
        "Result": {"body": (1, "bytes")},
        "PutResult": {"app_metadata": (1, "bytes")},
    },
    enums={"DescriptorType": ("UNKNOWN", "PATH", "CMD")},
)

_DESCRIPTOR, _HEADER, _METADATA, _BODY = 1, 2, 3, 1000  # FlightData's fields
_BYTES = 2  # the wire type of what has a length
# It has four fields, and may get some more.
_MOST_FIELDS = 32


@dataclass(frozen=True, slots=True)
class Part:
    """One FlightData: a piece of an Arrow IPC stream, and in the first of an upload what it is for."""

    descriptor: memoryview
    header: memoryview
    body: memoryview


def read_message(kind: Any, message: bytes) -> Any:
    """Return one of the small messages.

    Raises:
        Invalid: it is none.
    """
    try:
        return kind.FromString(message)
    except DecodeError:
        raise _broken() from None


def read_part(message: bytes) -> Part:
    """Return what a FlightData holds, uncopied.

    Raises:
        Invalid: it is none.
    """
    view = memoryview(message)
    found = {}
    try:
        for count, (number, part) in enumerate(read_fields(view), start=1):
            if count > _MOST_FIELDS:
                raise _broken()
            if part is not None:
                found[number] = part
    except DecodeError:
        raise _broken() from None
    empty = view[:0]
    return Part(found.get(_DESCRIPTOR, empty), found.get(_HEADER, empty), found.get(_BODY, empty))


def write_part(header: memoryview, body: memoryview) -> bytes:
    """Return a FlightData with one message of an Arrow IPC stream."""
    parts: list[bytes | memoryview] = [_tag(_HEADER), _varint(header.nbytes), header]
    if body.nbytes:
        parts += [_tag(_BODY), _varint(body.nbytes), body]
    return b"".join(parts)


def _tag(number: int) -> bytes:
    return _varint(number << 3 | _BYTES)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _broken() -> Invalid:
    return Invalid("The message is not one of Arrow Flight's. Send it with an Arrow Flight client.")
