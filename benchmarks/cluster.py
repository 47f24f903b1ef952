"""Several machines on one: application hosts, a balancer, and two database servers, each at a loopback address.

What is run is what deploy/ tells operators to run, with other addresses. The addresses past 127.0.0.1 are Linux's.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
sys.path.insert(0, str(ROOT))

from arizekeys import local
from tests.ports import free_port

NAME = "keys.example.com"  # as in deploy/haproxy-hosts.cfg
PASSWORD = secrets.token_urlsafe(24)  # of every database role: this is thrown away in a minute
PATIENCE = 60.0


def wait_for(what: str, true: Callable[[], bool], *, seconds: float = PATIENCE) -> float:
    """Wait until something is true; return how long that took.

    Raises: TimeoutError.
    """
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - started


class Server:
    """A PostgreSQL server with a folder and an address of its own.

    Without ``durable`` it would lose data when this machine lost power; a server that is killed loses nothing so.
    """

    def __init__(self, folder: Path, address: str, *, durable: bool = True) -> None:
        self.folder, self.address, self.port = folder, address, free_port(address)
        self._durable = durable
        self._user = local._server_user(folder)

    @property
    def superuser(self) -> str:
        """How its administrator connects."""
        return f"host={self.address} port={self.port} user=postgres password={PASSWORD} dbname=postgres"

    def make(self) -> None:
        """Make a database cluster that asks everybody for the password."""
        self._furnish()
        word = self.folder / "password"
        word.write_text(PASSWORD, encoding="ascii")
        self._own(word)
        # The programs do not accept a folder with something in it.
        cluster = self.folder / "cluster"
        self._run(
            *("initdb", "-D", cluster, "-U", "postgres", f"--pwfile={word}", "--auth=scram-sha-256", "--no-sync"),
            *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        )
        with (cluster / "pg_hba.conf").open("a", encoding="ascii") as rules:
            rules.write("host all,replication all 127.0.0.0/8 scram-sha-256\n")
        # For the time until there is a replica to wait for.
        (cluster / "postgresql.auto.conf").write_text("synchronous_standby_names = ''\n", encoding="ascii")
        self._configure("postgresql-primary.conf")

    def copy(self, source: Server) -> None:
        """Become a replica of another server."""
        self._furnish()
        parameters = source.superuser.replace("dbname=postgres", "application_name=two")
        self._run(
            *("pg_basebackup", "-D", self.folder / "cluster", f"--dbname={parameters}", "--checkpoint=fast"),
            *("--write-recovery-conf", "--no-sync", "--slot=two", "--create-slot"),
        )
        self._configure("postgresql-replica.conf")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = f"-c listen_addresses={self.address} -c port={self.port} -c unix_socket_directories={self.folder}"
        log = self.folder / "server.log"
        self._run("pg_ctl", "start", "-w", "-t", "60", "-D", self.folder / "cluster", "-l", log, "-o", options)

    def load(self, source: str) -> None:
        """Take over what a database holds, from wherever it is, into the one that every server has."""
        dump = self.folder / "dump"
        as_ours = ("--no-owner", "--no-privileges")
        self._run("pg_dump", "--format=custom", *as_ours, f"--dbname={source}", "--file", dump)
        self._run("pg_restore", "--exit-on-error", *as_ours, f"--dbname={self.superuser}", dump)

    def stop(self, how: str) -> None:
        """Stop it: ``fast``, which takes leave of everybody, or ``immediate``, after which it repairs itself."""
        self._run("pg_ctl", "stop", "-w", "-t", "60", "-m", how, "-D", self.folder / "cluster")

    def promote(self) -> None:
        """Have a replica take writes from now on."""
        self._run("pg_ctl", "promote", "-w", "-t", "60", "-D", self.folder / "cluster")

    def kill(self) -> None:
        """End it as a power cut does: all its processes, and none gets to say anything."""
        try:
            number = (self.folder / "cluster" / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0]
            parent = psutil.Process(int(number))
        except (OSError, ValueError, psutil.NoSuchProcess):
            return
        if not parent.name().startswith("postgres"):
            return
        parent.suspend()  # before it can start anything in place of what ends
        processes = [*parent.children(recursive=True), parent]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=10)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement as its administrator."""
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _furnish(self) -> None:
        self.folder.mkdir(mode=0o700)
        self._own(self.folder)

    def _own(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _configure(self, name: str) -> None:
        with (self.folder / "cluster" / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write((DEPLOY / name).read_text(encoding="utf-8"))
            settings.write(f"fsync = {'on' if self._durable else 'off'}\n")

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = local._run(program, list(arguments), self._user)
        if done.returncode:
            log = self.folder / "server.log"
            raise RuntimeError(f"{program}: {done.stderr or done.stdout}{log.read_text() if log.exists() else ''}")


class Pair:
    """A primary and its replica with our tables in them; Django, in this process, works on whichever takes writes."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.primary = Server(folder / "primary", "127.0.0.4", durable=durable)
        self.replica = Server(folder / "replica", "127.0.0.5", durable=durable)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARIZEKEYS_", "DJANGO_"))}
        self.environment = kept | {
            "ARIZEKEYS_SECRET_KEY": secrets.token_urlsafe(64),
            "ARIZEKEYS_KEY_PEPPERS": f"1:{secrets.token_urlsafe(48)}",
            "ARIZEKEYS_ALLOWED_HOSTS": NAME,
            "ARIZEKEYS_TRUSTED_PROXIES": "1",
            "ARIZEKEYS_LOG_LEVEL": "ERROR",
            "ARIZEKEYS_DATA": str(folder),
            "DJANGO_SETTINGS_MODULE": "arizekeys.settings",
            "DATABASE_URL": database_url("arizekeys_app", self.primary, self.replica),
        }

    def start(self) -> None:
        """Start the primary, make the tables, and set Django up as their owner."""
        self.primary.make()
        self.primary.start()
        for role in ("arizekeys", "arizekeys_app"):
            self.primary.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        self.primary.execute("CREATE DATABASE arizekeys OWNER arizekeys")
        os.environ |= self.environment | {"DATABASE_URL": database_url("arizekeys", self.primary, self.replica)}
        import django  # -- only now does it know its settings

        django.setup()
        from django.core.management import call_command  # -- as above

        call_command("migrate", verbosity=0)
        call_command("grantapp", "arizekeys_app", stdout=io.StringIO())

    def replicate(self, *, synchronous: bool = True) -> None:
        """Start the replica and, if so asked, have commits wait for it from now on."""
        self.replica.copy(self.primary)
        self.replica.start()
        if synchronous:
            self.primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
            self.primary.execute("SELECT pg_reload_conf()")
        state = "quorum" if synchronous else "async"
        wait_for("The replica's turn", lambda: [(state,)] == self.primary.execute(_REPLICAS))

    def kill(self) -> None:
        """End both."""
        self.primary.kill()
        self.replica.kill()


_REPLICAS = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"


def database_url(role: str, *servers: Server) -> str:
    """Return the URL under which an application finds whichever of the servers takes writes."""
    hosts, ports = (",".join(map(str, one)) for one in zip(*((s.address, s.port) for s in servers), strict=True))
    return f"postgres://{role}:{PASSWORD}@{hosts}/{local.DATABASE}?port={ports}"


@dataclass
class Host:
    """An application host: its address, its data folder, and two granians, for everything and for ``/verify`` alone."""

    folder: Path
    address: str
    environment: dict[str, str]
    workers: int
    ports: dict[str, int] = field(default_factory=dict)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.ports = {door: free_port(self.address) for door in ("everything", "verify")}

    def start(self) -> None:
        """Start all of it, with what deploy/arizekeys.service gives granian."""
        for door, port in self.ports.items():
            command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--host", self.address]
            command += ["--port", str(port), "--workers", str(self.workers), "--blocking-threads", "1"]
            command += ["--respawn-failed-workers", "--workers-kill-timeout", "10", "--no-ws"]
            with (self.folder / f"{door}.log").open("ab") as log:
                self._running.append(
                    subprocess.Popen(
                        [*command, "arizekeys.wsgi:application"],
                        cwd=ROOT,
                        env=self.environment | {"ARIZEKEYS_DATA": str(self.folder)},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )

    def kill(self) -> None:
        """End all of it as a power cut does."""
        while self._running:
            _kill_session(self._running.pop())

    def is_well(self) -> bool:
        """Whether both of its doors say so."""
        return all(_asked(self.address, port) == 200 for port in self.ports.values())


class Balancer:
    """HAProxy, with the file from deploy/ and the addresses of these hosts."""

    def __init__(self, folder: Path, hosts: list[Host]) -> None:
        self.address, self.port = "127.0.0.1", free_port()
        text = (DEPLOY / "haproxy-hosts.cfg").read_text(encoding="utf-8")
        # TLS is the deploying side's; here it would be a certificate for nobody.
        text = re.sub(r"^( +bind ).*$", rf"\g<1>{self.address}:{self.port}", text, flags=re.MULTILINE)
        for number, host in enumerate(hosts, start=11):
            for door, port in {"8000": host.ports["everything"], "8001": host.ports["verify"]}.items():
                text = text.replace(f"10.0.0.{number}:{door}", f"{host.address}:{port}")
        text = re.sub(r"^( +maxconn ).*$", r"\g<1>500", text, flags=re.MULTILINE)  # as many files as anybody may open
        self._file = folder / "haproxy.cfg"
        self._file.write_text(text, encoding="utf-8")
        self._log = folder / "haproxy.log"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise FileNotFoundError("HAProxy is not installed (Debian: apt-get install haproxy)")
        with self._log.open("wb") as log:
            self._running = subprocess.Popen(
                [program, "-db", "-f", self._file],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_well(self) -> bool:
        """Whether a request gets through to a host.

        Raises: RuntimeError when it has ended.
        """
        if self._running is None or self._running.poll() is not None:
            raise RuntimeError(f"HAProxy ended: {self._log.read_text(encoding='utf-8')}")
        return _asked(self.address, self.port) == 200

    @property
    def processes(self) -> list[psutil.Process]:
        """Its one process, which has a thread per core."""
        return [psutil.Process(self._running.pid)] if self._running else []

    def kill(self) -> None:
        """End it."""
        if self._running is not None:
            _kill_session(self._running)


def _asked(address: str, port: int) -> int:
    """Return the status of ``/healthz``, or 0 where nobody answers."""
    with contextlib.closing(http.client.HTTPConnection(address, port, timeout=5)) as connection:
        try:
            connection.request("GET", "/healthz", headers={"Host": NAME})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
