"""Where a request came from, believing only as many proxies as the operator has put in front."""

from __future__ import annotations

import ipaddress

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str | None:
    """Return the caller's address, or ``None`` where the server gives none (a Unix socket).

    With ``TRUSTED_PROXIES`` = n the n-th address from the right of ``X-Forwarded-For`` counts; whatever stands left of
    it was written by the caller. With 0 the header is not looked at.
    """
    hops: int = settings.TRUSTED_PROXIES
    peer = request.META.get("REMOTE_ADDR", "")
    if hops > 0:
        chain = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
        peer = chain[-hops] if len(chain) >= hops else peer
    return _plain(peer)


def _plain(address: str) -> str | None:
    try:
        parsed = ipaddress.ip_address(address.split("%")[0])  # a zone id names an interface of this host
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
