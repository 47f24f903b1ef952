"""Clients that are libraries: each runs in a process of its own, which is told its calls line by line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_django.live_server_helper import LiveServer

DRIVER = Path(__file__).parent / "driver.py"

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


@contextmanager
def running(client: str, programs: Path, home: Path) -> Iterator[Process]:
    """Start the driver in the client's environment, with nothing of ours but its own file."""
    process = subprocess.Popen(
        [str(programs / "python"), str(DRIVER), client],
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
