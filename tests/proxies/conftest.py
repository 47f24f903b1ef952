"""Real proxies, each in front of a service and asking the real door, on the tests' database."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_django import DjangoDbBlocker

from tests.clients.conftest import installed
from tests.clients.environment import Client
from tests.clients.libraries import Call, Process, running
from tests.ports import free_port
from tests.proxies.programs import HOST, PROGRAMS, Around, Program, packaged
from tests.proxies.surroundings import LOOPBACK, PATIENCE, Ear, Heard, Service, authority

if TYPE_CHECKING:
    from tests.cast import Cast

# Not the address that proxies themselves come from, so that the two can be told apart.
CLIENT = "127.0.0.2"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.proxies)
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture
def _django_db_helper(house: House) -> None:
    """Let the marker ``django_db`` mean what ``house`` keeps: pytest-django would empty the database after each test,
    and a proxy asks about one space as long as it runs.
    """


@dataclass(frozen=True)
class Told:
    """What the client got. Names of headers are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class House:
    """The cast, committed, and the place that the proxies ask about: a private space."""

    cast: Cast
    space: str
    ear: Ear
    service: Service


@dataclass(frozen=True)
class Proxy:
    """One proxy, and everything around it."""

    program: Program
    house: House
    around: Around
    log: Path

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://{LOOPBACK}:{self.around.port}"

    def ask(self, *headers: tuple[str, str], method: str = "GET", path: str = "/", body: bytes | None = None) -> Told:
        """Send a request as a client elsewhere would, header by header."""
        connection = _Elsewhere(self.around)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            length = [] if body is None else [("Content-Length", str(len(body)))]
            for name, value in [("Host", f"{HOST}:{self.around.port}"), *length, *headers]:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return Told(response.status, told, response.read())

    def with_key(self, key: str) -> Told:
        """Ask with a key and nothing else."""
        return self.ask(("Authorization", f"Bearer {key}"))

    def reached(self) -> list[Heard]:
        """Return what the service has heard since it was last looked at."""
        heard, self.house.service.heard = self.house.service.heard, []
        return heard

    def asked(self) -> list[Heard]:
        """Return what the door has been asked since it was last looked at."""
        heard, self.house.ear.heard = self.house.ear.heard, []
        return heard


class _Elsewhere(http.client.HTTPConnection):
    def __init__(self, around: Around) -> None:
        super().__init__(LOOPBACK, around.port, timeout=PATIENCE)
        self._context = ssl.create_default_context(cafile=str(around.certificate))

    def connect(self) -> None:
        sock = socket.create_connection((self.host, self.port), self.timeout, source_address=(CLIENT, 0))
        self.sock = self._context.wrap_socket(sock, server_hostname=HOST)


@pytest.fixture(scope="package")
def house(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """Arizekeys, running, and a service. One of each for all proxies: starting them takes longer than most tests."""
    from django.core.management import call_command

    from accounts.wire import encode_id
    from tests.cast import assemble

    with django_db_blocker.unblock():
        cast = assemble()
        try:
            with authority(tmp_path_factory.mktemp("authority")) as port:
                ear, service = Ear(port), Service()
                yield House(cast, encode_id("Space", cast.vision_lab.pk), ear, service)
                ear.stop()
                service.stop()
        finally:
            call_command("flush", verbosity=0, interactive=False)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate, and its key, that nobody has signed."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        [
            *(str(packaged("openssl")()), "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={HOST}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", f"subjectAltName=DNS:{HOST},IP:{LOOPBACK}"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@contextlib.contextmanager
def standing(
    program: Program, house: House, certificate: Path, folder: Path, change: Callable[[str], str] = str
) -> Iterator[Proxy]:
    """Run a proxy in front of the service, and wait until it asks."""
    shutil.copytree(certificate, folder, dirs_exist_ok=True)
    around = Around(folder, house.ear.port, house.service.port, free_port(), house.space)
    with program.running(around, change) as log:
        proxy = Proxy(program, house, around, log)
        deadline = time.monotonic() + PATIENCE
        while not _knows_what_to_do(proxy):
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.02)
        yield proxy


def _knows_what_to_do(proxy: Proxy) -> bool:
    """Traefik listens before it has read its certificate and its routes."""
    try:
        return proxy.ask().status != 404
    except ssl.SSLError:
        return False


@pytest.fixture(scope="package", params=PROGRAMS, ids=str)
def _standing(
    request: pytest.FixtureRequest, house: House, certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    program: Program = request.param
    with standing(program, house, certificate, tmp_path_factory.mktemp(program.name)) as proxy:
        yield proxy


@pytest.fixture(scope="package")
def _sdk_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(Client.SDK, installed(Client.SDK), tmp_path_factory.mktemp("sdk-home")) as process:
        yield process


@pytest.fixture
def sdk(_sdk_process: Process, proxy: Proxy) -> Call:
    """The vendor's SDK, sent to the service by way of the proxy."""
    return Call(_sdk_process, proxy, proxy.around.certificate)


@pytest.fixture
def proxy(_standing: Proxy) -> Proxy:
    """Each proxy in turn, with nothing heard yet."""
    _standing.asked()
    _standing.reached()
    return _standing
