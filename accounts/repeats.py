"""Telling once what happens over and over: an attacker or a program gone wrong must not fill the audit log."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable
from time import monotonic

# So many different things are kept apart; what comes beyond them within one interval is not told.
_MOST = 5_000


class Repeats:
    """Counts what this process sees again and again, and says when to speak of it: at once, and then now and then."""

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._told: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()  # when it was last told; how often since

    def times(self, what: Hashable) -> int:
        """Count one more; return how many there were since it was last told, or 0 where that was too short ago."""
        now = monotonic()
        with self._lock:
            told_at, since = self._told.get(what, (None, 0))
            if told_at is not None and now - told_at < self._seconds:
                self._told[what] = (told_at, since + 1)
                return 0
            if told_at is None and not self._make_room(now):
                return 0
            self._told[what] = (now, 0)
            self._told.move_to_end(what)
            return since + 1

    def take_back(self, what: Hashable, times: int) -> None:
        """Count as not told what could not be told after all: the next time speaks of those as well."""
        with self._lock:
            _, since = self._told.get(what, (0.0, 0))
            self._told[what] = (-math.inf, since + times)
            self._told.move_to_end(what, last=False)

    def forget(self) -> None:
        """Start afresh: for tests, which share one process."""
        with self._lock:
            self._told.clear()

    def _make_room(self, now: float) -> bool:
        if len(self._told) < _MOST:
            return True
        oldest, (told_at, _) = next(iter(self._told.items()))
        if now - told_at < self._seconds:
            return False
        del self._told[oldest]
        return True
