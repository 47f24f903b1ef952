"""Somebody who does something at the same time, on a connection of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections

from accounts.errors import DomainError


class Aside(threading.Thread):
    """Runs something on a connection of its own and keeps what came of it."""

    def __init__(self, do: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._do = do
        self.outcome: Any = None

    def run(self) -> None:
        """Do it."""
        try:
            self.outcome = self._do()
        except DomainError as refusal:
            self.outcome = refusal
        finally:
            connections.close_all()

    def finish(self) -> Any:
        """Return what came of it, be it a refusal."""
        self.join(timeout=60)
        assert not self.is_alive()
        return self.outcome


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_somebody_waits_for_a_lock() -> None:
    """Return once another connection stands still before what this one holds."""
    for _ in range(3_000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees what it saw first
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            row = cursor.fetchone()
            assert row is not None
            if row[0]:
                return
        time.sleep(0.02)
    pytest.fail("nobody waited for a lock")
