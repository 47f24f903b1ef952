"""What a call says of itself in its metadata: the key, where it came from, and which program it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc

from accounts.errors import Forbidden
from accounts.origin import address_of_client, came_privately
from apikeys.authentication import client_name
from apikeys.errors import UnsafeRequest

# Wherever a client of any age or language puts its key (contract client-workflows §2).
KEY_HEADERS = frozenset({"auth-token-bin", "authorization", "x-api-key", "api_key", "api-key", "arize-api-key"})
_SPACE_HEADERS = ("arize-space-id", "space-id", "space_id")
_ASKED_FOR = (
    *("x-forwarded-for", "x-forwarded-proto"),
    *("cli-package-name", "cli-version", "sdk-package-name", "sdk-version", "user-agent"),
)
_IN_THE_CLEAR = "This is served over TLS only. A key sent in the clear should be refreshed."


class PlainConnection(Forbidden):
    """The key came over a connection that others could read."""

    code = "https_required"


@dataclass(frozen=True, repr=False)  # a key is among them
class Headers:
    """The metadata of one call."""

    key: str | None
    ip: str | None
    client: str
    space: str | None


def read_headers(context: grpc.ServicerContext) -> Headers:
    """Return what the metadata says.

    Raises:
        PlainConnection: a key over plaintext, and not from this very machine.
        UnsafeRequest: two different keys, or two different spaces.
    """
    given: dict[str, list[str]] = {}
    for name, value in context.invocation_metadata() or ():
        given.setdefault(name.lower(), []).append(_text(value))
    meta = _as_wsgi(context, given)
    if not came_privately(meta):
        raise PlainConnection(_IN_THE_CLEAR)
    keys = {_without_scheme(value) for name in KEY_HEADERS for value in given.get(name, ())}
    if len(keys) > 1:
        raise UnsafeRequest("Send one API key. Two different ones came.")
    spaces = {value for name in _SPACE_HEADERS for value in given.get(name, ()) if value}
    if len(spaces) > 1:
        raise UnsafeRequest("Name one space. The headers name two different ones.")
    return Headers(
        key=next(iter(keys), None),
        ip=address_of_client(meta),
        client=client_name(meta),
        space=next(iter(spaces), None),
    )


def _as_wsgi(context: grpc.ServicerContext, given: dict[str, list[str]]) -> dict[str, Any]:
    """Say where a call comes from, and what with, in the words in which the rest of the house asks."""
    secure = b"ssl" in context.auth_context().get("transport_security_type", ())
    meta = {"REMOTE_ADDR": _peer(context.peer()), "wsgi.url_scheme": "https" if secure else "http"}
    for name in _ASKED_FOR:
        if name in given:
            meta[f"HTTP_{name.upper().replace('-', '_')}"] = ",".join(given[name])
    return meta


def _peer(peer: str) -> str:
    """Return the address in what gRPC calls a peer: ipv4:192.0.2.1:50123 or ipv6:%5B2001:db8::1%5D:50123."""
    kind, _, rest = peer.partition(":")
    return unquote(rest).rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else ""


def _text(value: str | bytes) -> str:
    # Only names that end in -bin have bytes; what is no text is no key either, and its refusal is the verifier's.
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _without_scheme(value: str) -> str:
    scheme, _, rest = value.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else value
