"""Application servers as deploy/arizekeys.service starts them, load on them, and what both cost the machine."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import stage

_SERVICE = stage.ROOT / "deploy" / "arizekeys.service"
_SCRIPT = Path(__file__).with_name("wrk.lua")
CONNECTIONS = 16
_PATIENCE = 60


@dataclass(frozen=True)
class Machine:
    """How many workers each server has, and which cores the servers and wrk may use; ``None`` is all of them."""

    workers: int
    server_cores: str | None = None
    load_cores: str | None = None


@dataclass(frozen=True)
class Server:
    """One that runs."""

    port: int
    process: psutil.Process

    def workers(self) -> list[psutil.Process]:
        """Return the processes that answer."""
        found = self.process.children(recursive=True)
        return [one for one in found if "resource_tracker" not in " ".join(one.cmdline())]

    def memory(self) -> int:
        """Return how many bytes a worker has to itself, the largest one's."""
        return max(worker.memory_full_info().uss for worker in self.workers())


@dataclass(frozen=True)
class Run:
    """What a few seconds of load showed: rates per second, microseconds per request."""

    requests: int
    rate: float
    p50: float
    p99: float
    server_cpu: float
    database_cpu: float


@contextlib.contextmanager
def serving(
    target: str, machine: Machine, environment: dict[str, str], *, folder: Path, granian: Path
) -> Iterator[Server]:
    """Serve a WSGI callable the way a real installation is served."""
    port = _free_port()
    command = [str(granian), *_options(port, machine.workers), target]
    process = subprocess.Popen(_pinned(machine.server_cores, command), cwd=folder, env=environment)  # noqa: S603
    try:
        server = Server(port, psutil.Process(process.pid))
        _wait_for(port, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()


def load(
    server: Server, machine: Machine, cluster: Path, questions: Path, *, skip: int, many: int, seconds: float
) -> Run:
    """Ask some of the questions in a file in turns for a while, as fast as the server answers.

    Every one of them has to be answered with yes. ``cluster`` is where the database server has its files.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is missing; on Debian: apt-get install wrk")
    command = [wrk, "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds:.0f}s"]
    command += ["--timeout", "10s", "--script", str(_SCRIPT), f"http://127.0.0.1:{server.port}"]
    command += ["--", str(questions), str(skip), str(many)]
    workers, databases = server.workers(), _databases(cluster)
    before = _cpu(workers), _cpu(databases)
    done = subprocess.run(  # noqa: S603 -- our own command
        _pinned(machine.load_cores, command), capture_output=True, text=True, check=True, timeout=seconds + _PATIENCE
    )
    after = _cpu(workers), _cpu(databases)
    said = json.loads(done.stdout.splitlines()[-1])
    if said["refused"] or said["failed"] or not said["requests"]:
        raise SystemExit(f"Of {said['requests']} questions {said['refused']} were refused, {said['failed']} failed.")
    per_request = 1e6 / said["requests"]
    return Run(
        requests=said["requests"],
        rate=said["requests"] / said["seconds"],
        p50=said["p50"],
        p99=said["p99"],
        server_cpu=_between(before[0], after[0]) * per_request,
        database_cpu=_between(before[1], after[1]) * per_request,
    )


def _options(port: int, workers: int) -> list[str]:
    """Return the options of the service file, with another port and number of workers."""
    text = _SERVICE.read_text().replace("\\\n", " ")
    line = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    options = shlex.split(line)[1:-1]
    for name, value in (("--port", str(port)), ("--workers", str(workers))):
        options[options.index(name) + 1] = value
    return [*options, "--log-level", "warning"]


def _pinned(cores: str | None, command: list[str]) -> list[str]:
    return command if cores is None else ["taskset", "--cpu-list", cores, *command]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.1)
    raise SystemExit("A server does not start.")


def _databases(cluster: Path) -> list[psutil.Process]:
    """Return the processes of a database server; only those under load do anything."""
    postmaster = psutil.Process(int((cluster / "postmaster.pid").read_text().split()[0]))
    return [postmaster, *postmaster.children(recursive=True)]


def _cpu(processes: list[psutil.Process]) -> dict[Path, float]:
    """Return the seconds of processor that each thread has used, as finely as the kernel counts."""
    used = {}
    for process in processes:
        for thread in Path(f"/proc/{process.pid}/task").glob("*"):
            with contextlib.suppress(OSError):  # it has ended
                used[thread] = int((thread / "schedstat").read_text().split()[0]) / 1e9
    return used


def _between(before: dict[Path, float], after: dict[Path, float]) -> float:
    return sum(used - before.get(thread, 0.0) for thread, used in after.items())


def clean_environment() -> dict[str, str]:
    """Return as much of the environment as programs need: what a server is given it copies for every request."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
