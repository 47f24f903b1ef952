"""Clients that are libraries: each runs in a process of its own, which is told its calls line by line."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

DRIVER = Path(__file__).parent / "driver.py"

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
    errors: list[dict[str, Any]] | None = None  # of GraphQL

    def ok(self) -> Any:
        """Return the result of a call that went well."""
        assert not self.error, self.text
        return self.result

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


class Server(Protocol):
    """Where a client is sent to."""

    @property
    def url(self) -> str:
        """The address, without a path."""


class Call:
    """Such a client at a server: ``sdk(key, "api_keys.create", name="x")``.

    ``authorities`` is the file with the certificate that the server's own is to be trusted by, over https.
    """

    def __init__(self, process: Process, server: Server, authorities: Path | None = None) -> None:
        self._process = process
        self._scheme, _, self._host = server.url.partition("://")
        self._authorities = str(authorities or "")
        self.used: dict[str, set[str]] = {}  # method -> the arguments it was called with so far

    def __call__(self, key: str, method: str, **arguments: Any) -> Outcome:
        """Have the driver make one call with a key."""
        self.used.setdefault(method, set()).update(arguments)
        place = {"scheme": self._scheme, "host": self._host, "authorities": self._authorities}
        step = {**place, "key": key, "call": method, "arguments": arguments}
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("The client was started without pipes.")
        self._process.stdin.write(json.dumps(step) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Outcome(**{**answer, "error": tuple(answer.get("error", ()))})

    def left_out(self, pattern: str) -> dict[str, set[str]]:
        """Tell which methods whose names fit have not been called, or not with all arguments: method -> arguments.

        The client itself is asked what there is.
        """
        offered = {name: set(taken) for name, taken in self("unused", "methods").ok().items()}
        fitting = {name: taken for name, taken in offered.items() if re.fullmatch(pattern, name)}
        return {
            name: taken - self.used.get(name, set())
            for name, taken in fitting.items()
            if name not in self.used or taken - self.used[name]
        }
