"""What drives the programs of ``workflows``: one process for each of the vendor's SDKs, kept for all tests."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Workplace:
    """Where the server's doors are, and the moment that the data's times are counted from."""

    web: str
    host: str
    port: int
    tls_port: int
    at: int
    certificate: str = ""  # of the one TLS port where everything is, as a file


@dataclass(frozen=True)
class Answer:
    """What a step came to: what it found out, or the exception in parts; and what was logged meanwhile."""

    facts: dict[str, Any] | None = None
    error: tuple[str, ...] = ()  # the exception's class and those above it
    causes: tuple[tuple[str, ...], ...] = ()  # the same of what it was caused by, outermost first
    text: str = ""
    status: int | None = None
    trace: str = ""
    logs: list[str] = field(default_factory=list)
    seconds: float = 0

    def ok(self) -> dict[str, Any]:
        """Return what a step found out that went well."""
        assert self.facts is not None, "\n".join([self.trace, *self.logs])
        return self.facts

    @property
    def kind(self) -> str:
        """The exception's own class, or nothing."""
        return self.error[0] if self.error else ""

    @property
    def caused_by(self) -> set[str]:
        """The classes of the exceptions that led to this one, and its own."""
        return {kinds[0] for kinds in (self.error, *self.causes) if kinds}

    @property
    def everything(self) -> str:
        """All that a user sees of it."""
        return "\n".join([json.dumps(self.facts, ensure_ascii=False), self.text, self.trace, *self.logs])


class Walker:
    """The vendor's SDK in a process of its own, told its steps line by line."""

    def __init__(self, process: subprocess.Popen[str], complaints: Path) -> None:
        self._process = process
        self._complaints = complaints

    def walk(self, place: Workplace, space: str, key: str, step: str, arguments: dict[str, Any]) -> Answer:
        """Have one step made."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("The program was started without pipes.")
        where = asdict(place) | {"space": space, "key": key}
        self._process.stdin.write(json.dumps({"place": where, "step": step, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"The program ended at {step}: {self._complaints.read_text('utf-8')[-3000:]}"
        said = json.loads(line)
        return Answer(
            **{**said, "error": tuple(said.get("error", ())), "causes": tuple(map(tuple, said.get("causes", ())))}
        )


@contextmanager
def walking(programs: Path, program: str, home: Path, **environment: str) -> Iterator[Walker]:
    """Start one of the programs in an SDK's environment, with the repository for nothing but the program itself."""
    complaints = home / "stderr"
    with complaints.open("w") as stderr:
        process = subprocess.Popen(
            [str(programs / "python"), "-m", f"tests.clients.workflows.{program}"],
            env={"HOME": str(home), "PATH": os.defpath, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)} | environment,
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    with process:
        yield Walker(process, complaints)
        if process.stdin:
            process.stdin.close()


class Steps:
    """An SDK at a server, with a key in a space: ``steps("log_spans", project="p")``."""

    def __init__(self, walker: Walker, place: Workplace, space: str, key: str) -> None:
        self._walker, self._place, self._space, self._key = walker, place, space, key

    def __call__(self, step: str, **arguments: Any) -> Answer:
        """Make one step, whatever comes of it."""
        return self._walker.walk(self._place, self._space, self._key, step, arguments)

    def ok(self, step: str, **arguments: Any) -> dict[str, Any]:
        """Make one step that has to go well, and return what it found out."""
        return self(step, **arguments).ok()

    def logged(self, step: str, **arguments: Any) -> None:
        """Make one step whose HTTP answer is handed to the user as it is, and has to be one that all went well."""
        said = self.ok(step, **arguments)
        assert said["status"] == 200, said["text"]

    def from_environment(self, walker: Walker) -> Steps:
        """Return the same by another process, whose environment has to tell the SDK who asks."""
        return Steps(walker, self._place, self._space, "")

    def with_key(self, key: str) -> Steps:
        """Return the same with another key."""
        return Steps(self._walker, self._place, self._space, key)
