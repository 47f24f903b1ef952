"""Clients as fixtures, and the keys they present."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from tests.clients import environment
from tests.clients.commands import Ax, Offered, run_ax
from tests.clients.environment import Client
from tests.clients.libraries import Call, Process, running
from tests.clients.walking import Workplace
from tests.workflows.conftest import FlightServer, flight_certificate, flight_server

if TYPE_CHECKING:
    from accounts.models import User
    from tests.cast import Cast
    from tests.clients.refusing import Refusals

# The one gRPC server, as tests of workflows have it.
__all__ = ("flight_certificate", "flight_server")

README = Path(__file__).resolve().parent.parent.parent / "README.md"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.clients)


def installed(client: Client) -> Path:
    """Return where the client's programs are. Without it the test is skipped; in CI its absence is a failure."""
    from django.conf import settings

    try:
        return environment.programs(client, settings.DATA_FOLDER / "clients")
    except environment.CannotBuild as error:
        reason = f"{client} cannot be installed: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def sdk_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The vendor's SDK, running."""
    with running(Client.SDK, installed(Client.SDK), tmp_path_factory.mktemp("sdk-home")) as process:
        yield process


@pytest.fixture
def sdk(sdk_process: Process, live_server: LiveServer) -> Call:
    """Call the vendor's SDK: ``sdk(key, "api_keys.create", name="x")``."""
    return Call(sdk_process, live_server)


@pytest.fixture(scope="session")
def toolkit_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The public toolkit, running."""
    with running("arize-toolkit", installed(Client.TOOLKIT), tmp_path_factory.mktemp("toolkit-home")) as process:
        yield process


@pytest.fixture
def toolkit(toolkit_process: Process, live_server: LiveServer) -> Call:
    """Call the public toolkit: ``toolkit(key, "get_space", name="production")``."""
    return Call(toolkit_process, live_server)


@pytest.fixture(scope="session", params=[Client.TOOLKIT, Client.GQL], ids=["gql 3", "gql 4"])
def gql_process(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Gql, running: release 3, which the toolkit brings along, and then release 4."""
    with running("gql", installed(request.param), tmp_path_factory.mktemp("gql-home")) as process:
        yield process


@pytest.fixture
def gql(gql_process: Process, live_server: LiveServer) -> Call:
    """Call gql: ``gql(key, "execute", document="{ viewer { user { name } } }", variables={})``."""
    return Call(gql_process, live_server)


@pytest.fixture(scope="session")
def ax_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the profile that README shows, taken in as README says."""
    home = tmp_path_factory.mktemp("ax-home")
    profile = re.search(r"^```toml\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert profile is not None
    (home / "arizekeys.toml").write_text(profile[1], encoding="utf-8")
    done = run_ax(
        installed(Client.AX) / "ax", home, *("profiles", "create", "arizekeys", "--from-file", "arizekeys.toml")
    )
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture(scope="session")
def ax_offers() -> Offered:
    """What commands there are."""
    script = """
import json, typer
from ax.cli import app
groups = typer.main.get_command(app).commands.items()
json.dump({
    group: {
        name: [one.opts + one.secondary_opts for one in command.params if one.param_type_name == "option"]
        for name, command in of.commands.items()
    }
    for group, of in groups if hasattr(of, "commands")
}, open(1, "w"))
"""
    python = [str(installed(Client.AX) / "python"), "-c", script]
    offers: Offered = json.loads(subprocess.run(python, capture_output=True, text=True, check=True).stdout)
    return offers


@pytest.fixture
def ax(ax_home: Path, ax_offers: Offered, live_server: LiveServer) -> Ax:
    """The vendor's command line, at the live server."""
    return Ax(installed(Client.AX) / "ax", ax_home, live_server, ax_offers)


@pytest.fixture
def alices(cast: Cast) -> str:
    """A key of Alice's, who runs the account."""
    return _key(cast, cast.alice)


@pytest.fixture
def bobs(cast: Cast) -> str:
    """A key of Bob's, who is a member of Fraud & Risk."""
    return _key(cast, cast.bob)


@pytest.fixture
def charlies(cast: Cast) -> str:
    """A key of Charlie's, who reads there."""
    return _key(cast, cast.charlie)


def _key(cast: Cast, person: User) -> str:
    from tests.factories import user_key  # -- app ready

    return user_key(person, cast.account, name="first").plaintext


@pytest.fixture
def workplace(live_server: LiveServer, flight_server: FlightServer, settings: Settings, tmp_path: Path) -> Workplace:
    """Web server and gRPC server, with a folder of tables that is this test's own."""
    settings.TABLES_FOLDER = tmp_path / "tables"
    # Data of an hour ago, from a whole second on.
    an_hour_ago = int(time.time()) - 3600
    return Workplace(live_server.url, "localhost", flight_server.port, flight_server.tls_port, an_hour_ago)


@pytest.fixture(params=["a user key", "a service key"])
def working_key(request: pytest.FixtureRequest, cast: Cast) -> str:
    """A key of Bob's, who is a member in production, or one of a bot's that is the same there."""
    from tests.factories import service_key, user_key  # -- app ready

    if request.param == "a user key":
        return user_key(cast.bob, cast.account).plaintext
    return service_key(cast.alice, cast.production).plaintext


@pytest.fixture(params=["unknown", "revoked", "expired", "that only reads", "of another space"])
def refused_key(request: pytest.FixtureRequest) -> str:
    """Which keys may not."""
    kind: str = request.param
    return kind


@pytest.fixture
def refusals(cast: Cast, settings: Settings, tmp_path: Path) -> Refusals:
    """All keys that may not, and what is stored."""
    from tests.clients.refusing import Refusals  # -- app ready

    return Refusals(cast, tmp_path / "tables")
