"""Every address there is, found by walking the URLconf: for what has to hold wherever one asks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")


@dataclass(frozen=True)
class Place:
    """One route of the URLconf, under its full name."""

    route: str
    name: str
    callback: Any
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Address:
    """One route of the REST API."""

    route: str
    view: type[APIView]

    @property
    def parameters(self) -> list[str]:
        """The ids in the address."""
        return re.findall(r"<str:(\w+)>", self.route)

    @property
    def template(self) -> str:
        """The address as the API's documentation writes it."""
        return "/" + re.sub(r"<str:(\w+)>", r"{\1}", self.route)

    def at(self, ids: dict[str, str]) -> str:
        """Return the address with ids filled in."""
        return self.template.format(**ids)

    @property
    def methods(self) -> list[str]:
        """The methods the view answers to."""
        return [name for name in METHODS if hasattr(self.view, name.lower()) and name not in ("HEAD", "OPTIONS")]


def places() -> Iterator[Place]:
    """Yield every route of the URLconf."""
    return _walk(get_resolver().url_patterns)


def _walk(patterns: Any, prefix: str = "", namespace: str = "") -> Iterator[Place]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            inside = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from _walk(pattern.url_patterns, route, inside)
        elif isinstance(pattern, URLPattern):
            parameters = tuple(getattr(pattern.pattern, "converters", ()))
            yield Place(route, f"{namespace}{pattern.name or ''}", pattern.callback, parameters)


def _addresses() -> list[Address]:
    found = [
        # What is no class-based view of DRF's is no Endpoint either, and fails where that is tested.
        Address(place.route, getattr(place.callback, "cls", APIView))
        for place in places()
        if place.route.lstrip("^").startswith(("v2", "introspect"))
    ]
    assert len(found) >= 8
    return found


ADDRESSES = _addresses()
# The last one stands for all addresses that there are not.
NAMED = [address for address in ADDRESSES if not address.route.startswith("^")]
