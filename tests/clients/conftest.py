"""Clients as fixtures. Those that are libraries run in one process per worker, since importing them takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.clients import environment
from tests.clients.environment import Client

Call = Callable[..., "Outcome"]
Process = subprocess.Popen[str]


@dataclass(frozen=True)
class Outcome:
    """What one call came to: a result, or the client's exception in parts."""

    result: Any = None
    error: tuple[str, ...] = ()  # the exception's class and those above it
    text: str = ""
    status: int | None = None
    problem: dict[str, Any] | None = None
    body: str | None = None
    headers: dict[str, str] | None = None

    @property
    def kind(self) -> str:
        """The exception's own class, or nothing."""
        return self.error[0] if self.error else ""


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


@contextmanager
def running(client: Client, home: Path) -> Iterator[Process]:
    """Start the driver in the client's environment, with nothing of ours but its own file."""
    process = subprocess.Popen(
        [str(installed(client) / "python"), str(Path(__file__).parent / "driver.py"), client],
        env={"HOME": str(home), "PATH": os.defpath, "PYTHONUNBUFFERED": "1"},
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        yield process
        if process.stdin:
            process.stdin.close()


def caller(process: Process, server: LiveServer) -> Call:
    """Return a function that has the driver make one call with a key."""

    def call(key: str, method: str, **arguments: Any) -> Outcome:
        host = server.url.removeprefix("http://")
        step = {"key": key, "host": host, "call": method, "arguments": arguments}
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("The client was started without pipes.")
        process.stdin.write(json.dumps(step) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        return Outcome(**{**answer, "error": tuple(answer.get("error", ()))})

    return call


@pytest.fixture(scope="session")
def sdk_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The vendor's SDK, running."""
    with running(Client.SDK, tmp_path_factory.mktemp("sdk-home")) as process:
        yield process


@pytest.fixture
def sdk(sdk_process: Process, live_server: LiveServer) -> Call:
    """Call the vendor's SDK: ``sdk(key, "api_keys.create", name="x")``."""
    return caller(sdk_process, live_server)
