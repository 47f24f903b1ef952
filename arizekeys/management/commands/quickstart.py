"""`manage.py quickstart`: from a fresh clone to a running product in one command."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from arizekeys import demo, env, local, serving

DEFAULT_PORT = 8000


class Command(BaseCommand):
    """Sets up what is missing, and serves."""

    help = """Set up and run arizekeys on this machine, with nothing else to install.

On the first run this starts an embedded PostgreSQL in the data folder, creates the tables, and fills them with a small
demo company whose passwords are printed once. Every later run finds all that and just serves.

  manage.py quickstart                          http://127.0.0.1:8000
  manage.py quickstart --port 9000              another port (or set ARIZEKEYS_PORT)
  manage.py quickstart --grpc-port 9815 --grpc-tls-port 9816
                                                other ports for Flight and OTLP (8815, with TLS 8816)
  ARIZEKEYS_DATA=~/keys manage.py quickstart    another data folder (default: .arizekeys in the project)

Ctrl-C stops everything this command started. It answers on loopback only; for a real installation set DATABASE_URL,
see deploy/ and README.md. To start afresh, delete the data folder."""

    requires_system_checks = ()  # checked once everything is up, without a wait at every start

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the line breaks of the help text."""
        import argparse  # -- only needed for its formatter

        return super().create_parser(
            prog_name, subcommand, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the ports; everything else is a matter of the environment."""
        parser.add_argument(
            "--port", type=int, help=f"web port on 127.0.0.1 (default: ARIZEKEYS_PORT or {DEFAULT_PORT})"
        )
        parser.add_argument(
            "--grpc-port", type=int, help="plaintext port for Flight and OTLP (default: ARIZEKEYS_GRPC_PORT or 8815)"
        )
        parser.add_argument(
            "--grpc-tls-port", type=int, help="the same with TLS (default: ARIZEKEYS_GRPC_TLS_PORT or 8816)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Bring everything up, serve, and take everything down again."""
        if not settings.LOCAL:
            raise CommandError("quickstart uses its own database, and DATABASE_URL is set. Unset it, or see deploy/.")
        port: int = options["port"] or env.number("ARIZEKEYS_PORT", DEFAULT_PORT, minimum=1, maximum=65535)
        flight = serving.Flight(
            settings.GRPC_PORT if options["grpc_port"] is None else options["grpc_port"],
            settings.GRPC_TLS_PORT if options["grpc_tls_port"] is None else options["grpc_tls_port"],
        )
        for name, number in (("--port", port), ("--grpc-port", flight.port), ("--grpc-tls-port", flight.tls_port)):
            if not 1 <= number <= 65535:
                raise CommandError(f"{name} must be from 1 to 65535, and is {number}.")
        # Until the server installs its own handlers, ending us politely means unwinding, as Ctrl-C does.
        # Ctrl-C itself too: a shell script starts what it puts in the background with that ignored.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
            signal.signal(signal.SIGHUP, _interrupt)
        address = f"http://{serving.LOOPBACK}:{port}"
        try:
            with self._only_copy(address):
                self._serve(address, port, flight)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: the database is being stopped
            self._say("\nStopped.")
            sys.exit(130)

    def _serve(self, address: str, port: int, flight: serving.Flight) -> None:
        folder: Path = settings.DATA_FOLDER
        for option, variable, number in (
            ("--port", "ARIZEKEYS_PORT", port),
            ("--grpc-port", "ARIZEKEYS_GRPC_PORT", flight.port),
            ("--grpc-tls-port", "ARIZEKEYS_GRPC_TLS_PORT", flight.tls_port),
        ):
            try:
                serving.require_free_port(number)
            except serving.PortTaken as error:
                raise CommandError(f"{error}. Choose another with {option} or {variable}.") from error
        first = not (folder / "postgres").exists()
        self._say(f"Setting up in {folder} (first run, a few seconds) ..." if first else f"Starting from {folder} ...")
        local.attach(folder)
        try:
            call_command("migrate", interactive=False, verbosity=0)
            _collect_static_files(folder)
            sign_ins = demo.furnish() if demo.is_wanted() else []
        except DatabaseError as error:
            raise CommandError(f"the database in {folder} cannot be set up: {str(error).strip()}") from error
        connections.close_all()  # workers are forked and make connections of their own
        self._introduce(address, flight, sign_ins)
        try:
            serving.serve(folder, port, flight, ready=lambda: self._say(f"Serving at {address} (Ctrl-C stops)."))
        except serving.DatabaseGone as error:
            raise CommandError(
                "the embedded PostgreSQL ended while arizekeys was serving, so it was stopped as well. Nothing is "
                f"lost: run the command again. The reason may be in {local.log_file(folder)}."
            ) from error
        except serving.FlightGone as error:
            raise CommandError(
                f"the gRPC server ended with code {error} soon after its start, so everything was stopped. Nothing is "
                "lost. What it said stands above; `manage.py serveflight` starts it alone."
            ) from error
        self._say("\nStopped.")

    def _introduce(self, address: str, flight: serving.Flight, sign_ins: list[demo.SignIn]) -> None:
        lines = ["", f"  arizekeys   {address}"]
        lines += [
            f"  Flight      grpc://{serving.LOOPBACK}:{flight.port}, and with TLS grpc+tls://localhost:{flight.tls_port}"
        ]
        lines += [f"  OTLP        http://localhost:{flight.port}", ""]
        if sign_ins:
            lines += ["  Sign in as one of these. The passwords are shown this once:", ""]
            lines += [f"    {person.email:<22}{person.password:<21}{person.says}" for person in sign_ins]
        else:
            lines += ["  Sign in with the names and passwords you have."]
        issue = f"{_this_command()} issuekey --user {demo.ALICE.email} --name try-$RANDOM --json"
        read = f"{_python()} -c 'import json, sys; print(json.load(sys.stdin)[\"key\"])'"
        lines += ["", "  Make a key in another terminal, and use it:", ""]
        lines += [
            f"    KEY=$({issue} | {read})",
            f'    curl -s -H "Authorization: Bearer $KEY" {address}/v2/spaces',
            "",
        ]
        self._say("\n".join(lines))

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()  # whoever reads us through a pipe waits for these lines

    @contextlib.contextmanager
    def _only_copy(self, address: str) -> Iterator[None]:
        """Hold the data folder's lock, which says who serves from it; the kernel drops it with the process."""
        with (settings.DATA_FOLDER / "quickstart.lock").open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise CommandError(
                    f"arizekeys is already being served from {settings.DATA_FOLDER}: {file.read() or 'just starting'}. "
                    "Stop that copy first, or give this one a folder of its own with ARIZEKEYS_DATA."
                ) from None
            file.truncate(0)
            file.write(f"{address}, process {os.getpid()}")
            file.flush()
            yield


def _collect_static_files(folder: Path) -> None:
    """Gather, name by content, and compress the static files, unless that was done for the very same files."""
    stamp = folder / "static.stamp"
    digest = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            found = Path(storage.path(name)).stat()
            digest.update(f"{name} {found.st_size} {found.st_mtime_ns}\n".encode())
    if stamp.exists() and stamp.read_text(encoding="ascii") == digest.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(settings.STATIC_ROOT, ignore_errors=True)
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(digest.hexdigest(), encoding="ascii")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _python() -> str:
    near = os.path.relpath(sys.executable)
    return shlex.quote(sys.executable if near.startswith("..") else near)


def _this_command() -> str:
    data = os.environ.get("ARIZEKEYS_DATA")
    place = f"ARIZEKEYS_DATA={shlex.quote(data)} " if data else ""
    return f"{place}{_python()} {shlex.quote(sys.argv[0])}"
