"""Everything that the gRPC server offers to whoever has a key."""

from __future__ import annotations

from collections.abc import Mapping

from apikeys.workflows.grpc import collector, flight
from apikeys.workflows.grpc.server import Method

SERVICES: Mapping[str, Mapping[str, Method]] = {
    flight.SERVICE: flight.METHODS,
    collector.SERVICE: collector.METHODS,
}
