"""The vendor's client as a fixture: one process of it per worker, since importing it takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer

from tests.sdk import environment

Call = Callable[..., "Outcome"]


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


@pytest.fixture(scope="session")
def sdk_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """Start the client in its own environment, which is built if need be."""
    from django.conf import settings

    try:
        interpreter = environment.python(settings.DATA_FOLDER / "sdk")
    except environment.CannotBuild as error:
        reason = f"the vendor's client {environment.VERSION} cannot be installed: {error}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    home = tmp_path_factory.mktemp("sdk-home")
    process = subprocess.Popen(
        [str(interpreter), str(Path(__file__).parent / "driver.py")],
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


@pytest.fixture
def sdk(sdk_process: subprocess.Popen[str], live_server: LiveServer) -> Call:
    """Return a function that calls the client: ``sdk(key, "api_keys.create", name="x")``."""

    def call(key: str, method: str, **arguments: Any) -> Outcome:
        host = live_server.url.removeprefix("http://")
        step = {"key": key, "host": host, "call": method, "arguments": arguments}
        if sdk_process.stdin is None or sdk_process.stdout is None:
            raise RuntimeError("The client was started without pipes.")
        sdk_process.stdin.write(json.dumps(step) + "\n")
        sdk_process.stdin.flush()
        answer = json.loads(sdk_process.stdout.readline())
        return Outcome(**{**answer, "error": tuple(answer.get("error", ()))})

    return call
