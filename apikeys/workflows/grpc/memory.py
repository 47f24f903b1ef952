"""Gives memory back that large tables took."""

from __future__ import annotations

import ctypes

import pyarrow as pa

# malloc.h of the GNU C library, where 8 per core is the default.
_M_ARENA_MAX = -8
_ARENAS = 2


def spare() -> None:
    """Share one allocator among all threads: pools of their own each keep the most that they ever held.

    Measured with a million rows up and down (benchmarks/flight.py), it is a fifth less at the peak, for nothing.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    adjust = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries know none
    if adjust is not None:
        adjust(_M_ARENA_MAX, _ARENAS)
