"""Rate limits that all workers of a host share: how often a key may be verified, and how often somebody may be wrong.

One number per bucket in shared memory, the moment at which the bucket will be empty again (GCRA). Two workers that ask
in the same instant may both be let through; beyond that it is exact on one host, and each host counts for itself.
"""

from __future__ import annotations

import mmap
import os
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

_BUCKETS = 131_072


@dataclass(frozen=True)
class Limit:
    """So many a second in the long run, and so many at once. A rate of 0 is no limit."""

    rate: float
    burst: int


class Limiter:
    """The buckets, mapped into this process."""

    def __init__(self, path: Path) -> None:
        size = _BUCKETS * 8
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < size:
                os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self._empty_at = memoryview(self._map).cast("d")

    def take(self, bucket: str, limit: Limit) -> float:
        """Take one from a bucket; return 0, or the seconds until there is one to take."""
        if not limit.rate:
            return 0.0
        now, place = time.monotonic(), zlib.crc32(bucket.encode(errors="surrogateescape")) % _BUCKETS
        # A number from before this host's last start is of another clock.
        level = min(max(self._empty_at[place], now), now + limit.burst / limit.rate)
        after = level + 1 / limit.rate
        wait = after - now - limit.burst / limit.rate
        if wait > 0:
            return wait
        self._empty_at[place] = after
        return 0.0

    def left(self, bucket: str, limit: Limit) -> bool:
        """Whether there is one to take, without taking it."""
        if not limit.rate:
            return True
        now, place = time.monotonic(), zlib.crc32(bucket.encode(errors="surrogateescape")) % _BUCKETS
        return self._empty_at[place] - now + 1 / limit.rate <= limit.burst / limit.rate

    def close(self) -> None:
        """Give the mapping back."""
        self._empty_at.release()
        self._map.close()
