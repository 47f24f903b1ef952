"""Where a request came from, believing only as many proxies as the operator has put in front, and what it carries."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from accounts.errors import LengthRequired


def client_ip(request: HttpRequest) -> str | None:
    """Return the caller's address, or ``None`` where the server gives none (a Unix socket)."""
    return address_of_client(request.META)


def address_of_client(meta: Mapping[str, Any]) -> str | None:
    """Return the caller's address from ``request.META``, or from the WSGI environment behind it.

    With ``TRUSTED_PROXIES`` = n the n-th address from the right of ``X-Forwarded-For`` counts; whatever stands left of
    it was written by the caller. With 0 the header is not looked at.
    """
    hops: int = settings.TRUSTED_PROXIES
    peer = meta.get("REMOTE_ADDR", "")
    if hops > 0:
        chain = [part.strip() for part in meta.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
        peer = chain[-hops] if len(chain) >= hops else peer
    return _plain(peer)


def network(ip: str | None, *, v4: int, v6: int) -> str:
    """Return the network that an address is in, so many bits wide; nothing for no address."""
    if not ip:
        return ""
    address = ipaddress.ip_address(ip)
    return str(ipaddress.ip_network((address, v4 if address.version == 4 else v6), strict=False))


def came_privately(meta: Mapping[str, Any]) -> bool:
    """Whether nobody on the way could read a request: it came over TLS, or from this very machine.

    ``meta`` is ``request.META``, or the WSGI environment behind it. The peer itself counts, never a forwarded address:
    behind a proxy the peer may be local while the caller is not.
    """
    forwarded = meta.get("HTTP_X_FORWARDED_PROTO")
    if forwarded is not None and settings.TRUSTED_PROXIES:
        return bool(forwarded.partition(",")[0].strip() == "https")
    if meta.get("wsgi.url_scheme") == "https":
        return True
    if forwarded or meta.get("HTTP_X_FORWARDED_FOR"):
        return False
    peer = meta.get("REMOTE_ADDR", "")
    return peer == "127.0.0.1" or _is_loopback(peer)


def body_of(request: HttpRequest) -> bytes:
    """Return what a request carries, for looking at it beside what it is for; nothing where it is more than is read.

    Whether that matters, the operation says: one that has no body never gets to know.
    """
    try:
        return request.body
    except RequestDataTooBig:
        return b""


def require_measured(request: HttpRequest) -> None:
    """Refuse a body that comes in chunks: Django reads nothing of it, as if it were empty.

    Raises:
        LengthRequired: it does, and has something in it.
    """
    meta = request.META
    if "HTTP_TRANSFER_ENCODING" not in meta:
        return
    if not meta.get("wsgi.input_terminated") or meta["wsgi.input"].read(1):
        raise LengthRequired


def read_body(request: HttpRequest, *, most: int) -> None:
    """Read a body that may be larger than Django reads by itself; ``request.body`` is there afterwards.

    Raises:
        RequestDataTooBig: it is larger still.
    """
    if hasattr(request, "_body"):
        return
    said = request.META.get("CONTENT_LENGTH") or "0"
    if said.isdecimal() and int(said) > most:
        raise RequestDataTooBig("The body is larger than this address reads.")
    request._body = request.read()


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


@functools.lru_cache(maxsize=4_096)
def _plain(peer: str) -> str | None:
    try:
        parsed = ipaddress.ip_address(peer.split("%")[0])  # a zone id names an interface of this host
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
