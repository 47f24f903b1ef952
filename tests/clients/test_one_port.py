"""SDKs 8.61.0, 7.54.0 and 7.40.1, unmodified, told one host and one port.

Nginx stands there on its file in deploy/, before the web server and the gRPC server.
Certificates are checked: the port is trusted by its certificate alone, and 127.0.0.1 is no name that clients excuse.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from pytest_django import DjangoDbBlocker, Settings

from accounts.models import AuditEvent
from accounts.wire import encode_id
from apikeys.lifecycle import revoke_key
from apikeys.models import KeyUse
from apikeys.usage import uses
from apikeys.workflows.models import Dataset, Experiment, Table
from tests.asides import wait_for
from tests.cast import Cast
from tests.clients.conftest import installed
from tests.clients.documented import exported
from tests.clients.environment import Client
from tests.clients.walking import Steps, Walker, Workplace, walking
from tests.factories import user_key
from tests.ports import free_port
from tests.proxies.programs import ONE_PORT, Around, packaged
from tests.proxies.surroundings import LOOPBACK, authority
from tests.workflows.conftest import FlightServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.proxies]

# A client elsewhere, whatever it says of itself.
ELSEWHERE, FORGED = "127.0.0.9", "203.0.113.7"


@dataclass(frozen=True)
class Web:
    """The web server and the one for uploads, and the folder with tables that they share with the gRPC server."""

    port: int
    uploads: int
    tables: Path


@dataclass(frozen=True)
class OnePort:
    """Everything behind one port."""

    port: int
    certificate: Path
    log: Path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for an address, and its key."""
    folder = tmp_path_factory.mktemp("one-port-certificate")
    subprocess.run(
        [
            *(str(packaged("openssl")()), "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=keys.example.com"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", f"subjectAltName=DNS:keys.example.com,IP:{LOOPBACK}"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def web(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Web]:
    """The web server and the one for uploads as their service files run them, on the tests' database."""
    folder = tmp_path_factory.mktemp("one-port-web")
    tables = folder / "tables"
    with (
        django_db_blocker.unblock(),
        authority(folder, ARIZEKEYS_TABLES=str(tables)) as port,
        authority(folder, threads=32, ARIZEKEYS_TABLES=str(tables)) as uploads,
    ):
        yield Web(port, uploads, tables)


@pytest.fixture
def around(web: Web, flight_server: FlightServer, certificate: Path, settings: Settings, tmp_path: Path) -> Around:
    """All three servers, and what nginx needs to stand in front of them."""
    settings.TABLES_FOLDER, settings.TRUSTED_PROXIES = web.tables, 1
    folder = tmp_path / "nginx"
    shutil.copytree(certificate, folder)
    return Around(folder, web.port, flight_server.port, free_port(), "", web.uploads)


@pytest.fixture
def one_port(around: Around) -> Iterator[OnePort]:
    """Nginx in front of them."""
    with ONE_PORT.running(around) as log:
        yield OnePort(around.port, around.certificate, log)


@pytest.fixture(scope="module")
def eight(certificate: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walker]:
    """SDK 8, running. Three of its calls look for the certificate where ``requests`` does (client-workflows §4)."""
    trusted = {"REQUESTS_CA_BUNDLE": str(certificate / "certificate.pem")}
    home = tmp_path_factory.mktemp("one-port-home")
    with walking(installed(Client.SDK), "eight", home, **trusted) as walker:
        yield walker


@pytest.fixture(scope="module", params=[Client.SDK_7_40, Client.SDK_7_54], ids=["7.40.1", "7.54.0"])
def seven(
    request: pytest.FixtureRequest, certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Walker]:
    """SDK 7, running in the environment that the docs show for such a certificate."""
    trusted = exported(
        "SDK 7.40.1 and 7.54.0 with such a certificate", {"ca.pem": str(certificate / "certificate.pem")}
    )
    home = tmp_path_factory.mktemp("one-port-seven")
    with walking(installed(request.param), "seven", home, **trusted) as walker:
        yield walker


@pytest.fixture
def key(cast: Cast) -> str:
    """A key of Bob's, who is a member in production."""
    return user_key(cast.bob, cast.account).plaintext


@pytest.fixture
def place(one_port: OnePort) -> Workplace:
    """The one port."""
    return Workplace(
        web=f"https://{LOOPBACK}:{one_port.port}",
        host=LOOPBACK,
        port=one_port.port,
        tls_port=one_port.port,
        at=int(time.time()) - 3600,
        certificate=str(one_port.certificate),
    )


@pytest.fixture
def steps(eight: Walker, place: Workplace, cast: Cast, key: str) -> Steps:
    """SDK 8 in production, by the one port."""
    return Steps(eight, place, encode_id("Space", cast.production.pk), key)


def test_models_and_spans_go_up_and_come_back(steps: Steps) -> None:
    assert steps.ok("ml_log", model="m", recipe="whole", environment="TRAINING")["status"] == 200
    steps.ok("expect_model", model="m", recipe="whole", environment="TRAINING", weights=True)

    assert steps.ok("spans_log", project="p")["status"] == 200
    steps.ok("spans_update_evaluations", project="p")
    steps.ok("expect_spans", project="p", layers=["first"])


def test_datasets_and_experiments_go_up_and_come_back(steps: Steps) -> None:
    few = steps.ok("datasets_create", name="few")
    many = steps.ok("datasets_create", name="many", way="many")
    steps.ok("expect_dataset", dataset=many["id"], way="many")

    ran = steps.ok("experiments_run", name="e", dataset=few["id"])
    steps.ok("expect_runs", name="e", experiment=ran["id"], rest=False)


def test_sdk_7_sends_and_fetches_everything(
    seven: Walker, place: Workplace, cast: Cast, key: str, request: pytest.FixtureRequest
) -> None:
    late = "7.54.0" in request.node.callspec.id
    steps = Steps(seven, place, encode_id("Space", cast.production.pk), key)

    made = steps.ok("create_dataset", name="d", recipe="second")["id"]
    steps.ok("get_dataset", dataset_id=made, recipe="second")
    steps.ok("run_experiment", name="e", dataset_id=made)
    steps.logged("log", model="m", recipe="whole", environment="TRAINING", version="v1")
    steps.ok("expect_model", model="m", recipe="whole", environment="TRAINING", weights=True)
    steps.logged("record", model="records", prediction="1")
    steps.ok("expect_record", model="records", prediction="1")
    steps.logged("log_spans", project="p")
    assert steps.ok("log_evaluations_sync", project="p")["updated"] == 3
    steps.ok("expect_spans", project="p", layers=["first"])
    if late:  # the prompt hub is not 7.40.1's
        steps.ok("push_prompt", name="x", said="ü")
        steps.ok("pull_prompt", name="x", said="ü")

    # The experiment sent its own traces over the same port.
    project = Experiment.objects.get().project
    assert project is not None
    assert len(steps.ok("count_traces", project=project.name)["names"]) == 4


def test_everything_is_found_by_the_environment_alone(
    steps: Steps, one_port: OnePort, key: str, tmp_path: Path
) -> None:
    instead = {"ak-…": key, "keys.example.com": LOOPBACK, "443": str(one_port.port)}
    trusted = {"ARIZE_SSL_CA_CERT": str(one_port.certificate)}
    environment = exported("Behind TLS on one port", instead) | trusted

    with walking(installed(Client.SDK), "eight", tmp_path, **environment) as walker:
        bare = steps.from_environment(walker)
        few = bare.ok("datasets_create", name="few")["id"]
        many = bare.ok("datasets_create", name="many", way="many")["id"]
        bare.ok("expect_dataset", dataset=many, way="many")
        bare.ok("experiments_run", name="e", dataset=few)

    project = Experiment.objects.get().project
    assert project is not None
    assert len(steps.ok("count_traces", project=project.name)["names"]) == 6


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_traces_go_up_and_come_back(steps: Steps, protocol: str) -> None:
    sent = steps.ok("export_traces", project="traced", protocol=protocol)

    steps.ok("expect_traces", project="traced", mark=sent["mark"])


def test_a_revoked_key_is_refused_at_every_door_and_is_in_no_log(steps: Steps, cast: Cast, one_port: OnePort) -> None:
    new = user_key(cast.bob, cast.account, "revoked")
    revoke_key(cast.actor(cast.bob), new.key, at=new.key.created_at)
    revoked = steps.with_key(new.plaintext)

    logged = revoked("ml_log", model="m", recipe="whole", environment="TRAINING")
    small = revoked("datasets_create", name="few")
    large = revoked("datasets_create", name="many", way="many")

    assert (logged.kind, logged.status) == ("AuthenticationError", 401), logged.trace
    assert (small.kind, small.status) == ("UnauthorizedException", 401), small.trace
    assert "FlightUnauthenticatedError" in large.caused_by, large.trace
    assert not Dataset.objects.exists()
    assert not Table.objects.exists()
    # Nginx writes its line when the client has its answer.
    wait_for(lambda: "/arrow.flight.protocol.FlightService/DoPut" in one_port.log.read_text("utf-8"))
    written = one_port.log.read_text("utf-8")
    for answer in (logged, small, large):
        assert new.plaintext not in answer.everything
    assert new.plaintext not in written


def test_the_loggers_uploads_and_nothing_else_go_to_the_server_for_them(around: Around, web: Web, key: str) -> None:
    asked = {
        "/v1/pandas_arrow": (400, web.uploads),
        "/v1/log": (400, web.uploads),
        "/v1/traces": (400, web.uploads),
        "/v2/v1/log": (404, web.port),
        "/v2/spaces": (200, web.port),
        "/graphql": (400, web.port),
        "/verify": (204, web.port),
        "/settings/api-keys/": (302, web.port),
    }

    with ONE_PORT.running(around, _telling_who_answers):
        answered = {path: _answered(around, path, key) for path in asked}

    assert answered == asked


def _telling_who_answers(configuration: str) -> str:
    return configuration.replace("server_name ", "add_header X-Answered-By $upstream_addr always;\n    server_name ")


def _answered(around: Around, path: str, key: str) -> tuple[int, int]:
    """Ask with a key and a body that is nothing, where there can be one; return the status and who gave it."""
    context = ssl.create_default_context(cafile=str(around.certificate))
    connection = http.client.HTTPSConnection(LOOPBACK, around.port, timeout=60, context=context)
    method = "POST" if path.startswith(("/v1/", "/graphql")) else "GET"
    with contextlib.closing(connection):
        connection.request(method, path, b"x" if method == "POST" else None, {"authorization": key})
        answer = connection.getresponse()
        return answer.status, int(answer.headers["x-answered-by"].rpartition(":")[2])


def test_a_large_upload_with_a_bad_key_is_refused_before_it_has_come(one_port: OnePort) -> None:
    context = ssl.create_default_context(cafile=str(one_port.certificate))
    connection = http.client.HTTPSConnection(LOOPBACK, one_port.port, timeout=60, context=context)
    connection.putrequest("POST", "/v1/pandas_arrow")
    connection.putheader("authorization", "ak-nonsense")
    connection.putheader("content-length", str(2**40))  # nobody sends as much in a test
    connection.endheaders(b"x" * 65_536)

    answer = connection.getresponse()

    assert answer.status == 401, answer.read()
    connection.close()


def test_where_somebody_comes_from_is_not_theirs_to_say(cast: Cast, one_port: OnePort, key: str) -> None:
    context = ssl.create_default_context(cafile=str(one_port.certificate))
    connection = http.client.HTTPSConnection(
        LOOPBACK, one_port.port, timeout=60, context=context, source_address=(ELSEWHERE, 0)
    )
    forged = {"X-Forwarded-For": FORGED, "X_Forwarded_For": FORGED, "X-Forwarded-Proto": "http"}
    body = {"key_type": "USER", "name": "made elsewhere"}
    connection.request(
        "POST", "/v2/api-keys", json.dumps(body), {"authorization": key, "content-type": "application/json", **forged}
    )
    assert connection.getresponse().status == 201
    connection.close()
    assert AuditEvent.objects.get(target_label__startswith="made elsewhere").ip == ELSEWHERE

    trusted = grpc.ssl_channel_credentials(one_port.certificate.read_bytes())
    with grpc.secure_channel(f"{LOOPBACK}:{one_port.port}", trusted) as channel:
        export: Callable[..., bytes] = channel.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        )
        here = ("arize-space-id", encode_id("Space", cast.production.pk))
        said = (("authorization", key), here, ("x-forwarded-for", FORGED), ("x-forwarded-proto", "http"))
        export(b"", metadata=said, timeout=60)
    uses.flush()
    assert KeyUse.objects.get(key__name="a user key").ip == LOOPBACK


def test_a_key_in_an_address_is_refused_and_not_written_down(one_port: OnePort, key: str) -> None:
    context = ssl.create_default_context(cafile=str(one_port.certificate))
    connection = http.client.HTTPSConnection(LOOPBACK, one_port.port, timeout=60, context=context)
    connection.request("GET", f"/v2/spaces?key={key}")

    assert connection.getresponse().status == 400
    connection.close()
    wait_for(lambda: 'GET "" 400' in one_port.log.read_text("utf-8"))
    assert key not in one_port.log.read_text("utf-8")
