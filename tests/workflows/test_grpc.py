"""Flight and OTLP over gRPC: real clients against the real server."""

from __future__ import annotations

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.workflows.conftest import FlightServer


def channel_to(server: FlightServer, *, tls: bool = False) -> grpc.Channel:
    """A connection without a key."""
    if tls:
        trusted = grpc.ssl_channel_credentials(server.certificate.read_bytes())
        return grpc.secure_channel(f"localhost:{server.tls_port}", trusted)
    return grpc.insecure_channel(f"127.0.0.1:{server.port}")


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "TLS"])
def test_health_is_told_without_a_key(flight_server: FlightServer, tls: bool) -> None:
    with channel_to(flight_server, tls=tls) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_is_not_watched(flight_server: FlightServer) -> None:
    with channel_to(flight_server) as channel, pytest.raises(grpc.RpcError) as refusal:
        next(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()))

    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED
