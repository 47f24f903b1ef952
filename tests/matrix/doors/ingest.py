"""The HTTP addresses that loggers send to, and OpenTelemetry's among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from accounts.actors import Door as Threshold
from tests.addresses import places
from tests.matrix.doors.flight import OTLP
from tests.matrix.doors.ways import Door, Of, Way, wire
from tests.matrix.fates import Fate
from tests.matrix.scene import OPERATOR, Scene

INGEST = Door(
    "HTTP ingest",
    Threshold.INGEST,
    instead={OPERATOR: Fate.UNAUTHORIZED, Fate.ABSENT: Fate.FORBIDDEN},
    because="An operator has no key. No rights: 403, whatever there is (contract client-workflows §15).",
)
_TRACES = "/v1/traces"
_FATES = {200: Fate.MADE, 401: Fate.UNAUTHORIZED, 403: Fate.FORBIDDEN, 404: Fate.ABSENT}


@dataclass(frozen=True, kw_only=True)
class IngestWay(Way):
    """One body, sent as loggers send it."""

    door: ClassVar[Door] = INGEST
    body: Of[bytes]
    kind: str

    def ask(self, scene: Scene) -> Fate | str:
        """Send it."""
        response = self.asking(scene)()
        return _FATES.get(response.status_code, f"{response.status_code}: {response.getvalue()!r}")

    def asking(self, scene: Scene) -> Callable[[], Any]:
        """Return the request, to be sent later."""
        headers = {"arize-space-id": wire(scene.space)} | ({"authorization": scene.key} if scene.key else {})
        client, address, body = scene.client(), self.name.partition(" ")[2], self.body(scene)
        return lambda: client.generic("POST", address, body, content_type=self.kind, headers=headers)


@dataclass(frozen=True, kw_only=True)
class TracesWay(IngestWay):
    """Spans by OpenTelemetry over HTTP."""

    door: ClassVar[Door] = OTLP


def arrow(body: Of[bytes]) -> Way:
    """Log a table."""
    return IngestWay(name="POST /v1/pandas_arrow", body=body, kind="application/octet-stream")


def record(body: Of[bytes]) -> Way:
    """Log a single record."""
    return IngestWay(name="POST /v1/log", body=body, kind="application/json")


def traced_by_http(body: Of[bytes]) -> Way:
    """Send spans to OpenTelemetry's collector over HTTP."""
    return TracesWay(name=f"POST {_TRACES}", body=body, kind="application/x-protobuf")


def offered() -> set[str]:
    """Return every address of loggers."""
    return _addresses() - {f"POST {_TRACES}"}


def offered_to_exporters() -> set[str]:
    """Return what OpenTelemetry's exporters send to, by HTTP and by gRPC."""
    return _addresses() & {f"POST {_TRACES}"} | {"Export"}


def _addresses() -> set[str]:
    return {f"POST /{place.route}" for place in places() if place.route.startswith("v1/")}
