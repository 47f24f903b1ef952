"""The vendor's command line: each command is a process of its own, as at a terminal."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_django.live_server_helper import LiveServer

PATIENCE = 180  # seconds; one command takes two, and many times that on a busy machine
EVERYWHERE = {"--force", "--output", "--verbose"}

# What the command line says of itself: group -> command -> for each option its names.
Offered = dict[str, dict[str, list[list[str]]]]


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

    def __init__(self, program: Path, home: Path, server: LiveServer, offered: Offered) -> None:
        self._program = program
        self._home = home
        self._host = server.url.removeprefix("http://")
        self._offered = offered
        self._ran: dict[tuple[str, str], set[str]] = {}  # command -> everything typed after it so far

    def __call__(self, key: str, group: str, command: str, *options: str, typed: str = "") -> Said:
        """Run one command with a key, typing what is given where it asks."""
        self._ran.setdefault((group, command), set()).update(options)
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

    def left_out(self, group: str) -> dict[str, list[str]]:
        """Tell which commands of a group have not been run, or not with all their options: command -> options.

        Without what is the same for all commands.
        """
        unused = {
            command: [names[0] for names in options if not self._ran.get((group, command), set()).intersection(names)]
            for command, options in self._offered[group].items()
        }
        return {
            command: sorted(set(options) - EVERYWHERE)
            for command, options in unused.items()
            if (group, command) not in self._ran or set(options) - EVERYWHERE
        }


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
