"""The vendor's command line: each command is a process of its own, as at a terminal."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_django.live_server_helper import LiveServer

PATIENCE = 60  # seconds; one command takes two


@dataclass(frozen=True)
class Said:
    """What one command came to."""

    code: int
    out: str  # the answer, and what is asked at prompts
    err: str  # what is told to a person

    @property
    def json(self) -> Any:
        """The answer of a command that went well."""
        assert self.code == 0, self.err
        return json.loads(self.out)


class Ax:
    """The vendor's command line: ``ax(key, "users", "get", "ann@example.com")``."""

    def __init__(self, program: Path, home: Path, server: LiveServer) -> None:
        self._program = program
        self._home = home
        self._host = server.url.removeprefix("http://")
        self.ran: set[tuple[str, str]] = set()

    def __call__(self, key: str, group: str, command: str, *options: str, typed: str = "") -> Said:
        """Run one command with a key, typing what is given where it asks."""
        self.ran.add((group, command))
        done = run_ax(
            self._program,
            self._home,
            group,
            command,
            *options,
            typed=typed,
            ARIZE_API_KEY=key,
            ARIZE_API_HOST=self._host,
        )
        return Said(done.returncode, done.stdout, done.stderr)


def run_ax(
    program: Path, home: Path, *arguments: str, typed: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a home of its own; wide, so that it breaks no lines."""
    return subprocess.run(
        [str(program), *arguments],
        env={"HOME": str(home), "PATH": os.defpath, "COLUMNS": "1000"} | variables,
        cwd=home,
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
