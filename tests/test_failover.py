"""Several hosts on one database with a replica: a host dies, then the database, and nothing is wrong or lost."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux has loopback addresses beyond 127.0.0.1.")
def test_a_host_and_then_the_database_die_and_nothing_is_wrong_or_lost() -> None:
    if shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("HAProxy is not installed.")
    ours = ("ARIZEKEYS_", "DATABASE_URL", "DJANGO_", "COVERAGE_", "COV_CORE_")
    short = ("--quick", "--seconds", "1", "--workers", "1", "--pause", "0.02")

    done = subprocess.run(
        [sys.executable, "benchmarks/failover.py", *short],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(ours)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^wrong 0, lost 0 of [1-9]\d* acknowledged changes; the audit log is whole$", done.stdout, re.M)
