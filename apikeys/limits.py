"""Rate limits that all workers of a host share: how often a key may come, and how often somebody may be wrong.

Each bucket is one word in shared memory, the moment at which it will be empty again (GCRA) beside a few bits that say
whose it is. Buckets are found by a hash under a key of the host's own, so that nobody can choose an address or make a
key whose bucket is somebody else's. A place holds four. Where all four are in use a fifth takes the emptiest over as it
is: more sources than there are places make limits stricter, never looser, and never cost memory.

Workers take one at a time, under a lock of the file: what is let through is the burst and the rate, and no more. A
worker that was stopped while it held the lock is waited for only briefly; what is taken meanwhile may not count once.
Each host counts for itself, so that behind n hosts up to n times as much gets through.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import mmap
import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from apikeys.errors import LimiterFailed

_WORD = 8
_PLACES = 65_536
_IN_A_PLACE = 4
# Words before the buckets: the format, when this host was started, the key of the hash (four), and room.
_FORMAT, _STARTED, _KEY, _HEADER = 0, 1, slice(2, 6), 8
_THIS_FORMAT = 0x6C696D697473_0002
_SIZE = (_HEADER + _PLACES * _IN_A_PLACE) * _WORD
# A bucket's word: fourteen bits of its hash, and fifty of a clock that ticks every 256 ns for nine years.
_TICK = 256
_MOMENT_BITS = 50
_MOMENT = (1 << _MOMENT_BITS) - 1
_TICKS_A_SECOND = 1_000_000_000 / _TICK
# How long the lock is waited for: some twenty milliseconds in all.
_PAUSES = (0.0,) * 20 + (0.0001,) * 20 + (0.001,) * 18
_FAILURES = (OSError, ValueError, IndexError)


@dataclass(frozen=True, slots=True)
class Limit:
    """So many a second in the long run, and so many at once. A rate of 0 is no limit."""

    rate: float
    burst: int

    @property
    def step(self) -> int:
        """How many ticks one costs; rounded up, so that rounding lets nobody through."""
        return -int(-_TICKS_A_SECOND // self.rate)


class Limiter:
    """The buckets, mapped into this process."""

    def __init__(self, path: Path) -> None:
        """Map the file, which is made where there is none.

        Raises:
            LimiterFailed: it cannot be had.
        """
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            if os.fstat(self._file).st_size < _SIZE:
                os.ftruncate(self._file, _SIZE)
            self._map = mmap.mmap(self._file, _SIZE)
        except _FAILURES as error:
            raise LimiterFailed from error
        self._words = memoryview(self._map).cast("Q")
        self._here = threading.Lock()
        if not self._is_ready():
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if not self._is_ready():
                self._begin()
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._hash = hashlib.blake2b(key=self._words[_KEY].tobytes(), digest_size=8)

    def take(self, bucket: str, limit: Limit) -> float:
        """Take one from a bucket; return 0, or the seconds until there is one to take.

        Raises:
            LimiterFailed: it cannot be known; whoever asks must let nobody in (security 13).
        """
        if not limit.rate:
            return 0.0
        try:
            with self._here:
                held = self._hold()
                try:
                    return self._take(bucket, limit)
                finally:
                    if held:
                        fcntl.flock(self._file, fcntl.LOCK_UN)
        except _FAILURES as error:
            raise LimiterFailed from error

    def left(self, bucket: str, limit: Limit) -> bool:
        """Whether there is one to take, without taking it.

        Raises:
            LimiterFailed: it cannot be known.
        """
        if not limit.rate:
            return True
        try:
            _, _, level = self._find(bucket)
        except _FAILURES as error:
            raise LimiterFailed from error
        return level + limit.step <= _now() + limit.burst * limit.step

    def clear(self) -> None:
        """Empty all buckets: for tests, which share one file."""
        self._map[_HEADER * _WORD :] = bytes(_SIZE - _HEADER * _WORD)

    def close(self) -> None:
        """Give the mapping back."""
        self._words.release()
        self._map.close()
        os.close(self._file)

    def _take(self, bucket: str, limit: Limit) -> float:
        place, owner, level = self._find(bucket)
        now, step = _now(), limit.step
        after = max(level, now) + step
        wait = after - now - limit.burst * step
        if wait > 0:
            return wait / _TICKS_A_SECOND
        self._words[place] = owner << _MOMENT_BITS | after
        return 0.0

    def _find(self, bucket: str) -> tuple[int, int, int]:
        """Return where a bucket is, or where it would go; whose mark it bears; and until when it is not empty."""
        hashed = self._hash.copy()
        hashed.update(bucket.encode(errors="surrogateescape"))
        number = int.from_bytes(hashed.digest(), "big")
        first, owner = _HEADER + number % _PLACES * _IN_A_PLACE, number >> _MOMENT_BITS
        words = self._words[first : first + _IN_A_PLACE].tolist()
        for place, word in enumerate(words):
            if word >> _MOMENT_BITS == owner:
                return first + place, owner, word & _MOMENT
        levels = [word & _MOMENT for word in words]
        least = min(levels)
        return first + levels.index(least), owner, least

    def _hold(self) -> bool:
        """Take the lock that all workers share; return whether we have it."""
        for pause in _PAUSES:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(pause)
        return False

    def _is_ready(self) -> bool:
        """Whether the file is ours, and its moments are of this clock: it begins anew when the host is started."""
        return self._words[_FORMAT] == _THIS_FORMAT and self._words[_STARTED] == _start_of_host()

    def _begin(self) -> None:
        self._words[_FORMAT] = 0
        self.clear()
        self._words[_KEY] = memoryview(secrets.token_bytes(4 * _WORD)).cast("Q")
        self._words[_STARTED] = _start_of_host()
        self._words[_FORMAT] = _THIS_FORMAT


def _now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _TICK


def _start_of_host() -> int:
    name = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    return int.from_bytes(hashlib.blake2b(name, digest_size=_WORD).digest(), "big")
