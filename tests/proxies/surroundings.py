"""What stands around a proxy: the door it asks, with a listener in between, and the service it protects.

The door is the real one, in processes of its own, and the listener hands everything on as it came. What it has heard
can be looked at, and it can fall silent or go away as an authority would.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
LOOPBACK = "127.0.0.1"
PATIENCE = 60
# What a key may do a second, so that a test can be too fast for it.
RATE = 5


@dataclass(frozen=True)
class Heard:
    """A request that came in."""

    method: str
    address: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Return all values of a header, in any spelling that a server might take for it."""
        return [value for given, value in self.headers if _spelled(given) == _spelled(name)]


def _spelled(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that ended early: that is what happens here."""


class Listener:
    """Listens on one port, and remembers every request."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self._connections: set[socket.socket] = set()
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before."""
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                listener._connections.add(self.connection)

            def finish(self) -> None:
                listener._connections.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, *_: Any) -> None:
                pass

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else b"".join(self._chunks())
                heard = Heard(self.command, self.path, tuple(self.headers.items()), body)
                listener.heard.append(heard)
                listener.answer(heard, self)

            def _chunks(self) -> Iterator[bytes]:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return
                while size := int(self.rfile.readline(), 16):
                    yield self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any

        self._server = _Server((LOOPBACK, self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Be gone: nobody listens, and open connections end."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=PATIENCE)
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def answer(self, heard: Heard, to: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        raise NotImplementedError


class Service(Listener):
    """What is protected. It answers everything with what a list of no spaces looks like to the vendor's SDK."""

    def answer(self, heard: Heard, to: BaseHTTPRequestHandler) -> None:
        """Let whoever gets here see that they did."""
        body = b'{"spaces": [], "pagination": {"has_more": false}}'
        to.send_response(200)
        to.send_header("Content-Type", "application/json")
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        to.wfile.write(body)


class Ear(Listener):
    """Stands before the door and hands questions and answers on, or falls silent."""

    def __init__(self, door: int) -> None:
        self._door = door
        self._speaking = threading.Event()
        self._speaking.set()
        super().__init__()

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Take questions and answer none, for a while."""
        self._speaking.clear()
        try:
            yield
        finally:
            self._speaking.set()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Be gone for a while."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def answer(self, heard: Heard, to: BaseHTTPRequestHandler) -> None:
        """Ask the door."""
        self._speaking.wait(PATIENCE)
        connection = http.client.HTTPConnection(LOOPBACK, self._door, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.putrequest(heard.method, heard.address, skip_host=True, skip_accept_encoding=True)
            for name, value in heard.headers:
                if name.lower() not in ("connection", "transfer-encoding"):
                    connection.putheader(name, value)
            connection.endheaders(heard.body or None)
            response = connection.getresponse()
            body = response.read()
        to.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            to.send_header(name, value)
        to.end_headers()
        to.wfile.write(body)


@contextlib.contextmanager
def authority(folder: Path, *, threads: int = 1, **settings: str) -> Iterator[int]:
    """Run arizekeys as its service files do, on the tests' database and with some more settings; give its port."""
    with served(folder, threads=threads, **settings) as (port, _):
        yield port


@contextlib.contextmanager
def served(folder: Path, *, threads: int = 1, **settings: str) -> Iterator[tuple[int, subprocess.Popen[Any]]]:
    """Do the same; give its process, too, which leads a group of all that belong to it."""
    port = free_port()
    log = folder / f"arizekeys-{port}.log"
    # As in deploy/arizekeys.service; with more threads as in deploy/arizekeys-uploads.service.
    command = [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1"),
        *("--host", LOOPBACK, "--port", str(port)),
        *("--workers", "1", "--blocking-threads", str(threads), "--no-ws", "arizekeys.wsgi:application"),
    ]
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(folder) | settings,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with ended(process):
        wait_for_port(port, process, log)
        yield port, process


def _environment(folder: Path) -> dict[str, str]:
    from django.conf import settings
    from django.db import connection

    database = connection.settings_dict
    user, password = quote(database["USER"], safe=""), quote(database["PASSWORD"], safe="")
    host = quote(str(database["HOST"]), safe="") + (f":{database['PORT']}" if database["PORT"] else "")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARIZEKEYS_", "DATABASE_URL"))}
    return kept | {
        "DATABASE_URL": f"postgres://{user}{':' if password else ''}{password}@{host}/{database['NAME']}",
        "ARIZEKEYS_SECRET_KEY": settings.SECRET_KEY,
        "ARIZEKEYS_KEY_PEPPERS": ",".join(
            f"{number}:{pepper.decode()}" for number, pepper in settings.API_KEY_PEPPERS.items()
        ),
        "ARIZEKEYS_ALLOWED_HOSTS": LOOPBACK,
        "ARIZEKEYS_TRUSTED_PROXIES": "1",
        "ARIZEKEYS_DATA": str(folder / "arizekeys"),
        "ARIZEKEYS_VERIFY_RATE_PER_KEY": str(RATE),
        "ARIZEKEYS_VERIFY_GUESSES": "100000",
        "ARIZEKEYS_VERIFY_PATIENCE": "60",  # as in tests/conftest.py
    }


@contextlib.contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    """See to it that a process is gone afterwards."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def wait_for_port(port: int, process: subprocess.Popen[Any], log: Path) -> None:
    """Wait until somebody listens; fail with what was said when the process ends instead."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, log.read_text(errors="replace")
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
            return
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.02)
