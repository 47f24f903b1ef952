"""An environment with the vendor's unmodified client in it: apart from ours, built once from pinned, hashed wheels.

The requirements are made by ``echo arize==8.61.0 | uv pip compile - --universal --python-version 3.11
--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "8.61.0"
REQUIREMENTS = Path(__file__).parent / f"requirements-{VERSION}.txt"

# A quarter of an hour: some 150 MB over a slow line. Another worker may be waiting all that time.
_PATIENCE = 900


class CannotBuild(Exception):
    """The environment is not there and cannot be made; the text says why."""


def python(folder: Path) -> Path:
    """Return the interpreter of the environment below ``folder``, building it first if need be.

    A folder of its own for every change of the requirements and every version of Python. A lock lets one process at a
    time build, and the mark at the end tells the next one that it was finished.

    Raises:
        CannotBuild: no network, no package index, or no wheel for this machine.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = folder / f"{VERSION}-{_fingerprint()}"
    interpreter, finished = place / "bin" / "python", place / "finished"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            shutil.rmtree(place, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(place)])
            _run(
                [
                    *(str(interpreter), "-m", "pip", "install", "--quiet", "--no-input", "--require-hashes"),
                    *("--only-binary", ":all:", "--requirement", str(REQUIREMENTS)),
                ]
            )
            finished.touch()
    return interpreter


def _fingerprint() -> str:
    content = REQUIREMENTS.read_bytes() + f"{sys.version_info[:2]} {sys.platform}".encode()
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
