"""A folder of tables for each test, and the gRPC server: in this process, on free ports, at the test's own database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def tables_folder(tmp_path: Path, settings: Settings) -> Path:
    """Where this test's tables are."""
    settings.TABLES_FOLDER = tmp_path / "tables"
    return tmp_path / "tables"


@dataclass(frozen=True)
class FlightServer:
    """Where it listens. ``localhost`` and ``127.0.0.1`` lead to both ports."""

    port: int
    tls_port: int
    certificate: Path  # to be trusted, as PEM; clients that are given the host localhost check none


@pytest.fixture(scope="session")
def flight_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, Path]:
    """A certificate for localhost and its key, and the certificate as a file."""
    from django.utils import timezone

    from apikeys.workflows.grpc.certificate import own_certificate  # -- app ready

    folder = tmp_path_factory.mktemp("flight")
    chain, key = own_certificate(folder, at=timezone.now())
    (folder / "ca.pem").write_bytes(chain)
    return chain, key, folder / "ca.pem"


@pytest.fixture
def flight_server(transactional_db: None, flight_certificate: tuple[bytes, bytes, Path]) -> Iterator[FlightServer]:
    """Flight and OTLP, as ``manage.py serveflight`` serves them."""
    from apikeys.workflows.grpc.server import Server  # -- app ready
    from apikeys.workflows.grpc.services import SERVICES  # -- app ready

    chain, key, path = flight_certificate
    server = Server(SERVICES)
    port = server.listen("127.0.0.1:0")
    tls_port = server.listen("127.0.0.1:0", certificate=(chain, key))
    server.start()
    yield FlightServer(port, tls_port, path)
    server.stop(grace=5)
