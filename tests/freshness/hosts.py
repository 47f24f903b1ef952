"""Hosts as a test sees them: real servers, lines to each of their workers, and a wire that can be held up."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
from django.conf import settings
from django.db import connection
from django.utils import timezone

from apikeys.lifecycle import NewKey, revoke_key
from tests.cast import Cast
from tests.ports import free_port
from tests.test_quickstart import ROOT

PATIENCE = 60


def wait_until(true: Callable[[], object]) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, true
        time.sleep(0.01)


class Line:
    """A connection that is kept, and with that one worker that answers on it, and what its clock says."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self.worker, self.clock = 0, 0.0

    def send(self, key: str, query: str = "") -> None:
        """Ask, and do not wait."""
        asked = f"GET /verify?{query} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {key}\r\n\r\n"
        self._socket.sendall(asked.encode())

    def status(self) -> int:
        """Read one answer, and return its status."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._read) < length:
            self._more()
        self._read = self._read[length:]
        self.worker, self.clock = int(headers["x-worker"]), float(headers["x-clock"])
        return int(first.split()[1])

    def ask(self, key: str, query: str = "") -> int:
        """Ask, and return the status."""
        self.send(key, query)
        return self.status()

    def is_silent(self, *, seconds: float) -> bool:
        """Whether nothing is answered for so long."""
        return not self._read and not select.select([self._socket], [], [], seconds)[0]

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _more(self) -> None:
        more = self._socket.recv(65_536)
        if not more:
            raise ConnectionError("The worker hung up.")
        self._read += more


class Host:
    """One machine's worth of workers: a folder they share, a port, and a line to each."""

    def __init__(self, folder: Path, *, workers: int, env: dict[str, str] | None = None, **database: Any) -> None:
        self.folder, self.workers = folder, workers
        self.port = free_port()
        folder.mkdir(mode=0o700)
        given = {
            "folder": str(folder),
            "port": self.port,
            "workers": workers,
            "database": {
                "ENGINE": "django.db.backends.postgresql",
                **{name: connection.settings_dict[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")},
                **database,
            },
        }
        self._log = folder.with_name(f"{folder.name}.log").open("w+")
        self._server = psutil.Popen(
            [sys.executable, "-m", "tests.freshness.serve"],
            cwd=ROOT,
            env=os.environ
            | {"ARIZEKEYS_DATA": str(settings.DATA_FOLDER), "FRESHNESS_HOST": json.dumps(given)}
            | (env or {}),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.lines: list[Line] = []

    def connect(self) -> Host:
        """Wait until it serves, and have exactly one line to each of its workers."""
        for line in self.lines:
            line.close()
        self.lines = self.own_lines()
        return self

    def own_lines(self) -> list[Line]:
        """Return new lines, one to each of its workers."""
        found: dict[int, Line] = {}
        deadline = time.monotonic() + PATIENCE
        while len(found) < self.workers:
            assert self._server.poll() is None, self.said
            assert time.monotonic() < deadline, (self.said, found)
            try:
                line = Line(self.port)
                line.ask("ak-nobody")
            except OSError:
                time.sleep(0.1)
                continue
            if line.worker in found:
                line.close()
            found.setdefault(line.worker, line)
        return list(found.values())

    @property
    def said(self) -> str:
        """What its log holds."""
        self._log.seek(0)
        return self._log.read()

    @property
    def follower(self) -> int:
        """Which worker follows: whoever holds the lock on the epochs. 0 while nobody does."""
        (epochs,) = self.folder.glob("epochs-*")
        number = epochs.stat().st_ino
        for held in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            parts = held.split()
            if parts[1] == "FLOCK" and parts[5].endswith(f":{number}"):
                return int(parts[4])
        return 0

    def line_to(self, worker: int) -> Line:
        """Return the line to a worker."""
        return next(line for line in self.lines if line.worker == worker)

    def stop(self) -> None:
        """End all of it at once."""
        for line in self.lines:
            line.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait(PATIENCE)
        self._log.close()


def ask_all(lines: list[Line], key: str, query: str = "") -> list[int]:
    """Ask everybody at the same time."""
    for line in lines:
        line.send(key, query)
    return [line.status() for line in lines]


def warm(lines: list[Line], key: str, query: str = "") -> None:
    """Ask until everybody remembers that the key may."""
    for _ in range(2):
        assert set(ask_all(lines, key, query)) == {204}


def know_by_heart(lines: list[Line], key: str) -> bool:
    """Whether everybody says that the key may without a look at the database, where such a look would take long."""
    with psycopg.connect(dsn()) as wire:
        wire.execute("LOCK TABLE apikeys_keysecret")
        for line in lines:
            line.send(key)
        all_spoke = not any(line.is_silent(seconds=1) for line in lines)
    return {line.status() for line in lines} == {204} and all_spoke


def revoke(cast: Cast, new: NewKey) -> None:
    """Revoke a key of Bob's."""
    revoke_key(cast.actor(cast.bob), new.key, at=timezone.now())


def revoke_by_hand(new: NewKey) -> None:
    """Revoke a key without waiting for anybody, as nothing in the product does."""
    with psycopg.connect(dsn()) as wire:
        wire.execute("UPDATE apikeys_apikey SET revoked_at = now() WHERE id = %s", [new.key.pk])


def dsn() -> str:
    """Return where the database is, as PostgreSQL's own programs want it."""
    known = connection.get_connection_params()
    named = {name: known[name] for name in ("host", "port", "user", "password", "dbname") if known.get(name)}
    return psycopg.conninfo.make_conninfo(**named)


@contextlib.contextmanager
def stopped(worker: int) -> Iterator[None]:
    """Stop a process for a while."""
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)


class Relay:
    """A wire between a host and the database that can be held up, as by a firewall, or cut."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._pairs: list[_Pair] = []
        self._is_cut = False
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def hold(self, *, answers_to_questions: bool = False) -> None:
        """Let nothing through any more: at all, or of the answers to all but whoever listens."""
        for pair in self._pairs:
            if not answers_to_questions:
                pair.up.clear()
                pair.down.clear()
            elif not pair.listens:
                pair.down.clear()

    def holds_back(self, answers: int) -> bool:
        """Whether so many answers are held up, each on a connection of its own."""
        return sum(pair.held for pair in self._pairs) >= answers

    def release(self) -> None:
        """Let everything through again."""
        self._is_cut = False
        for pair in self._pairs:
            pair.up.set()
            pair.down.set()

    def cut(self) -> None:
        """End every connection, and take no new one."""
        self._is_cut = True
        for pair in self._pairs:
            pair.close()
        self._pairs.clear()

    def close(self) -> None:
        """End it."""
        self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._accepting.join(PATIENCE)
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
            else:
                self._pairs.append(_Pair(near, _database()))


class _Pair:
    """One connection through the relay."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.near, self.far = near, far
        self.up, self.down = threading.Event(), threading.Event()
        self.up.set()
        self.down.set()
        self.listens = self.held = False
        self._threads = [
            threading.Thread(target=self._pass_on, args=(source, target, flows), daemon=True)
            for source, target, flows in ((near, far, self.up), (far, near, self.down))
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Hang up on both sides."""
        self._hang_up()
        for thread in self._threads:
            thread.join(PATIENCE)
        for end in (self.near, self.far):
            end.close()

    def _hang_up(self) -> None:
        for end in (self.near, self.far):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.up.set()
        self.down.set()

    def _pass_on(self, source: socket.socket, target: socket.socket, flows: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while some := source.recv(65_536):
                self.listens = self.listens or b"LISTEN" in some
                self.held = self.held or (flows is self.down and not flows.is_set())
                flows.wait()
                self.held = self.held and flows is not self.down
                target.sendall(some)
        self._hang_up()


def _database() -> socket.socket:
    host, port = str(connection.settings_dict["HOST"]), connection.settings_dict["PORT"] or 5432
    if not host.startswith("/"):
        return socket.create_connection((host or "127.0.0.1", int(port)))
    far = socket.socket(socket.AF_UNIX)
    far.connect(f"{host}/.s.PGSQL.{port}")
    return far
