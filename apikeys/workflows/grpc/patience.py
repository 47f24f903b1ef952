"""Ends calls whose client does nothing: what they hold, a thread and a place, others wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

# Seconds that a client may take over one message, its or ours, and that a call may take altogether.
IDLE = 60.0
LONGEST = 3600.0
_LOOK = 1.0


class Lease:
    """One call's time. Only while it waits for its client does the shorter limit run."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self.context = context
        self.began = time.monotonic()
        self.waits_since: float | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Say that it is the client's turn."""
        self.waits_since = time.monotonic()
        try:
            yield
        finally:
            self.waits_since = None


class Patience:
    """One thread that looks at all calls, and cancels what took too long."""

    def __init__(self, *, idle: float = IDLE, longest: float = LONGEST) -> None:
        self._idle = idle
        self._longest = longest
        self._leases: set[Lease] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="patience", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    @contextmanager
    def lease(self, context: grpc.ServicerContext) -> Iterator[Lease]:
        """Watch over one call."""
        lease = Lease(context)
        self._leases.add(lease)
        try:
            yield lease
        finally:
            self._leases.discard(lease)

    @property
    def calls(self) -> int:
        """How many calls run."""
        return len(self._leases)

    def _look(self) -> None:
        while not self._ended.wait(min(_LOOK, self._idle / 4)):
            now = time.monotonic()
            for lease in self._leases.copy():
                since = lease.waits_since
                if (since is not None and now - since > self._idle) or now - lease.began > self._longest:
                    lease.context.cancel()
