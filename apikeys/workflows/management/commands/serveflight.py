"""`manage.py serveflight`: the gRPC server, with Arrow Flight for data and OTLP for traces."""

from __future__ import annotations

import argparse
import signal
import ssl
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from django.utils import timezone

from apikeys import refusals
from apikeys.usage import uses
from apikeys.workflows import upkeep
from apikeys.workflows.grpc import memory
from apikeys.workflows.grpc.certificate import own_certificate
from apikeys.workflows.grpc.server import GRACE, PortTaken, Server
from apikeys.workflows.grpc.services import SERVICES
from apikeys.workflows.grpc.statuses import logger

# Seconds for what was counted and noted to be written at the end.
_LAST_WORDS = 2


class Command(BaseCommand):
    """Serves until it is told to end."""

    help = """Serve what clients say over gRPC: datasets, experiments, span updates and exports (Arrow Flight), traces
(OTLP), and the gRPC health service. The web server does not need it, and it does not need the web server.

It listens on a plaintext port and on a TLS port. On the plaintext one a key is taken from this very machine alone, or
from a proxy that ended TLS (ARIZEKEYS_TRUSTED_PROXIES, x-forwarded-proto). A local installation makes itself a
certificate for localhost, in the data folder; a real one names its own, or leaves TLS to its proxy."""

    examples = """examples:
  manage.py serveflight                            plaintext on 8815, TLS on 8816
  manage.py serveflight --port 9815 --tls-port 0   another plaintext port, and no TLS
  manage.py serveflight --host 0.0.0.0 --port 0 --certificate /etc/ssl/keys.pem --key /etc/ssl/keys.key
                                                   TLS for everybody, and nothing in the clear

SIGTERM or Ctrl-C: the health service says NOT_SERVING, no call is taken any more, calls that run may finish within
--grace seconds. Several processes may serve, on ports of their own, behind a balancer."""

    requires_system_checks = ()  # `check` is a command of its own

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the line breaks of the help."""
        return super().create_parser(
            prog_name,
            subcommand,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=self.examples,
            **kwargs,
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take where to listen; the environment says the same."""
        parser.add_argument("--host", help="address to listen on (default: ARIZEKEYS_GRPC_HOST or 127.0.0.1)")
        parser.add_argument(
            "--port", type=int, help="plaintext port, 0 for none (default: ARIZEKEYS_GRPC_PORT or 8815)"
        )
        parser.add_argument(
            "--tls-port", type=int, help="TLS port, 0 for none (default: ARIZEKEYS_GRPC_TLS_PORT or 8816)"
        )
        parser.add_argument(
            "--certificate", help="PEM file with the certificate and its chain (ARIZEKEYS_GRPC_CERTIFICATE)"
        )
        parser.add_argument("--key", help="PEM file with its private key (ARIZEKEYS_GRPC_KEY)")
        parser.add_argument(
            "--grace",
            type=float,
            default=GRACE,
            metavar="SECONDS",
            help="how long calls may go on when the server ends (default: %(default)g)",
        )
        parser.add_argument(
            "--with-parent", action="store_true", help="end when standard input does: with whoever started this"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve, and end in order."""
        ended = threading.Event()

        def end(number: int, frame: FrameType | None) -> None:
            if ended.is_set():
                sys.exit(1)  # asked twice: calls that run are cut off
            ended.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        memory.spare()
        _reach_database()
        server = Server(SERVICES, calls=settings.GRPC_CALLS)
        places = self._listen(server, options)
        if options["with_parent"]:
            threading.Thread(target=_follow, args=(ended,), name="parent", daemon=True).start()
        writing = [
            threading.Thread(target=uses.flush_for_ever, name="uses", daemon=True),
            threading.Thread(target=refusals.flush_for_ever, args=(ended,), name="refusals", daemon=True),
        ]
        threading.Thread(target=upkeep.keep_up_for_ever, args=(ended,), name="upkeep", daemon=True).start()
        for thread in writing:
            thread.start()
        server.start()
        if options["verbosity"]:
            self.stdout.write(f"Serving Flight and OTLP at {' and '.join(places)}.")
            self.stdout.flush()  # whoever reads us through a pipe waits for this line
        ended.wait()
        server.stop(options["grace"])
        uses.end()
        for thread in writing:
            thread.join(timeout=_LAST_WORDS)

    def _listen(self, server: Server, options: dict[str, Any]) -> list[str]:
        host: str = options["host"] or settings.GRPC_HOST
        port, tls_port = _port(options["port"], settings.GRPC_PORT), _port(options["tls_port"], settings.GRPC_TLS_PORT)
        certificate = _certificate(options["certificate"], options["key"]) if tls_port else None
        places = []
        try:
            if port:
                server.listen(_address(host, port))
                places.append(f"grpc://{_address(host, port)}")
            if certificate:
                server.listen(_address(host, tls_port), certificate=certificate)
                places.append(f"grpc+tls://{_address(host, tls_port)}")
        except PortTaken as error:
            raise CommandError(
                f"{error} cannot be listened on: it is another program's, or not this machine's. Choose another with "
                "--port and --tls-port, or ARIZEKEYS_GRPC_PORT and ARIZEKEYS_GRPC_TLS_PORT."
            ) from error
        if not places:
            raise CommandError("there is nothing to listen on: give a --port, or a --tls-port with a --certificate.")
        return places


def _reach_database() -> None:
    """Let an embedded database start now and not in the middle of the first call; a remote one may come later."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        logger.warning("The database cannot be reached yet: %s", type(error).__name__)
    finally:
        connection.close()


def _port(given: int | None, otherwise: int) -> int:
    port = otherwise if given is None else given
    if not 0 <= port <= 65535:
        raise CommandError(f"a port is from 0 to 65535, and not {port}.")
    return port


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _certificate(chain: str | None, key: str | None) -> tuple[bytes, bytes] | None:
    chain, key = chain or settings.GRPC_CERTIFICATE, key or settings.GRPC_CERTIFICATE_KEY
    if not chain and not key:
        return own_certificate(settings.DATA_FOLDER, at=timezone.now()) if settings.LOCAL else None
    if not chain or not key:
        raise CommandError("TLS takes both a certificate and its private key: --certificate and --key.")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(chain, key, password=_no_password)
        return Path(chain).read_bytes(), Path(key).read_bytes()
    except ssl.SSLError as error:
        raise CommandError(f"{chain} and {key} are not a certificate and its private key, both as PEM.") from error
    except OSError as error:
        raise CommandError(f"the certificate {chain} or its key {key} cannot be read: {error.strerror}.") from error


def _no_password() -> str:
    raise CommandError("the private key is locked by a password, which nobody could enter at a restart.")


def _follow(ended: threading.Event) -> None:
    while sys.stdin.buffer.read(1):
        pass
    ended.set()
