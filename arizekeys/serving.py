"""Serves the local installation, and ends it cleanly: on a signal, and when its database is gone.

The web with granian, and gRPC with a process of its own: gRPC's threads do not survive the fork that makes workers.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from arizekeys import local

LOOPBACK = "127.0.0.1"
WORKERS = 2

# Seconds until a worker that does not stop by itself is killed.
_WORKER_PATIENCE = 5
# And what the gRPC server may take for its last words, when its calls are over.
_LAST_WORDS = 5
# A gRPC server that ended within so many seconds would do so again.
SHORT_LIFE = 5
# Seconds in which a server that drops its connections may come back: it restarts itself when one of them crashed.
_DATABASE_PATIENCE = 2
# Seconds until the first answer before we say nothing about being ready.
_READY_PATIENCE = 60


class PortTaken(Exception):
    """Another program listens on the port, or this user may not; the text says which."""


class DatabaseGone(Exception):
    """The embedded server ended while requests were served."""


class FlightGone(Exception):
    """The gRPC server ended by itself, and not long after its start; the text says with which code."""


class Flight:
    """The gRPC server beside the web server, started again when something killed it."""

    def __init__(self, port: int, tls_port: int) -> None:
        self.port = port
        self.tls_port = tls_port
        self.code = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start it. Its standard input is what tells it that we are gone."""
        self._began = time.monotonic()
        self._process = subprocess.Popen(  # noqa: S603 -- only ourselves
            [
                *(sys.executable, settings.BASE_DIR / "manage.py", "serveflight", "--with-parent"),
                *("--host", LOOPBACK, "--port", str(self.port), "--tls-port", str(self.tls_port)),
                *("--grace", str(_WORKER_PATIENCE), "--verbosity", "0"),
            ],
            stdin=subprocess.PIPE,
            # Ctrl-C in the terminal is for us, who then stop it in order.
            process_group=0,
        )

    def watch(self, gone: Callable[[], None]) -> None:
        """Start it again when it ended; call ``gone`` when that does not help."""
        while self._process is not None:
            code = self._process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - self._began < SHORT_LIFE:
                self.code = code
                gone()
                return
            self.start()

    def stop(self) -> None:
        """End it, politely first."""
        self._stopping.set()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_WORKER_PATIENCE + _LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Server(MPServer):
    """Granian, with something to do once its workers are there.

    Not by its hook: that comes before they are forked, and a thread that imports something in that moment would leave
    them its lock, which nobody in them ever opens.
    """

    begun: Callable[[], None]

    def startup(self, *targets: Any) -> None:
        """Start the workers, and then ours."""
        super().startup(*targets)  # type: ignore[no-untyped-call]  # granian leaves it untyped
        self.begun()


def require_free_port(port: int) -> None:
    """Make sure that nobody listens on the port.

    The workers share it by SO_REUSEPORT, so without this question a second copy of ours would simply share it as well.

    Raises: PortTaken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ended connections do not count
        try:
            probe.bind((LOOPBACK, port))
        except PermissionError as error:
            raise PortTaken(f"port {port} is reserved for the system administrator") from error
        except OSError as error:
            raise PortTaken(f"port {port} is taken by another program") from error


def serve(folder: Path, port: int, flight: Flight, *, ready: Callable[[], None]) -> None:
    """Serve on loopback until a signal ends it; ``ready`` is called when everything answers.

    Raises:
        DatabaseGone: the data folder's server ended meanwhile.
        FlightGone: the gRPC server did, and would again.
    """
    server = Server(
        "arizekeys.wsgi:application",
        address=LOOPBACK,
        port=port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,  # a body that breaks off over HTTP/2 would keep granian's thread busy for ever
        workers=WORKERS,
        blocking_threads=1,
        respawn_failed_workers=True,
        workers_kill_timeout=_WORKER_PATIENCE,
        websockets=False,
        log_level=LogLevels.error,
        log_access=False,  # request lines may hold what somebody pasted in the wrong place
    )
    hang_up = signal.getsignal(signal.SIGHUP)
    gone = threading.Event()

    def heed() -> None:
        # granian reads a hang-up as "reload"; a closed terminal means stop, unless nohup said to ignore it.
        signal.signal(signal.SIGHUP, hang_up if hang_up == signal.SIG_IGN else server.signal_handler_interrupt)

    def watch() -> None:
        connection = psycopg.connect(
            host=str(local.socket_folder(folder)), user=local.APPLICATION, dbname=local.DATABASE
        )
        stop = server.signal_handler_interrupt
        for target in (
            partial(_watch_database, folder, connection, gone, server),
            partial(flight.watch, stop),
            partial(_wait, port, flight, ready),
        ):
            threading.Thread(target=target, daemon=True).start()

    server.on_startup(heed)
    server.begun = watch
    flight.start()
    try:
        server.serve(target_loader=partial(_load, os.getpid()), wrap_loader=False)
    finally:
        flight.stop()
        if gone.is_set():
            raise DatabaseGone
        if flight.code:
            raise FlightGone(flight.code)


def _watch_database(folder: Path, connection: psycopg.Connection[Any], gone: threading.Event, server: Server) -> None:
    """Stop serving when the embedded server is gone. Its end closes the connection, so there is nothing to poll."""
    while True:
        with contextlib.suppress(OSError, ValueError):
            select.select([connection.fileno()], [], [])
        deadline = time.monotonic() + _DATABASE_PATIENCE
        while time.monotonic() < deadline:
            with contextlib.suppress(psycopg.Error):
                connection = psycopg.connect(connection.info.dsn)
                break
            time.sleep(0.1)
        else:
            gone.set()
            server.signal_handler_interrupt()  # type: ignore[no-untyped-call]  # granian leaves it untyped
            return


def _wait(port: int, flight: Flight, ready: Callable[[], None]) -> None:
    deadline = time.monotonic() + _READY_PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=5)) as connection:
                connection.request("GET", "/healthz")
                answered = connection.getresponse().status == 200
            if answered and all(map(_is_listened_on, filter(None, (flight.port, flight.tls_port)))):
                ready()
                return
        time.sleep(0.1)


def _is_listened_on(port: int) -> bool:
    with socket.create_connection((LOOPBACK, port), timeout=5):
        return True


def _load(parent: int) -> Callable[..., Any]:
    """Load the application in a worker (granian calls this there)."""
    # A process group of its own: Ctrl-C in the terminal is for the parent, which then stops its workers in order.
    os.setpgid(0, 0)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    from arizekeys.wsgi import application  # -- slow import

    return application


def _follow(parent: int) -> None:
    """End this worker, and the database if nobody else uses it, after the parent was killed without a chance to."""
    while os.getppid() == parent:
        time.sleep(0.5)
    local.detach()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_WORKER_PATIENCE)
    sys.stderr.flush()
    os._exit(1)
