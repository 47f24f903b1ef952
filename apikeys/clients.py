"""What kind of program calls, from what it says of itself: enough to recognise one's own, and never to be trusted."""

from __future__ import annotations

import re

LONGEST = 40

# Names that a program gives its kind better than its first word does; the first that fits counts.
_KNOWN = (
    (re.compile(r"arize-ax-cli\b", re.ASCII), "ax"),
    (re.compile(r"arize(?= |/|$)", re.ASCII), "arize python sdk"),
    (re.compile(r"Mozilla/", re.ASCII), "browser"),
)
# Libraries that name themselves after what they are built on.
_INNER = re.compile(r"\b(aiohttp|gql|httpx|urllib3|okhttp)/\d", re.ASCII)
_PRODUCT = re.compile(r"([A-Za-z][\w.-]*)", re.ASCII)
_VERSION = re.compile(r"[ /]v?(\d+)", re.ASCII)


def family(client: str) -> str:
    """Return the family of a client, like ``curl 8`` or ``arize python sdk 8``; nothing for one without a name."""
    for pattern, name in _KNOWN:
        if found := pattern.match(client):
            return name if name == "browser" else _with_version(name, client[found.end() :])
    found = _INNER.search(client) or _PRODUCT.match(client)
    return _with_version(found[1].lower()[:30], client[found.end(1) :]) if found else ""


def _with_version(name: str, rest: str) -> str:
    version = _VERSION.match(rest)
    return f"{name} {version[1]}"[:LONGEST] if version else name
