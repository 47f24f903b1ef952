"""Numbers shared by all workers of a host, by which what one of them remembers is known to be out of date.

A file in shared memory holds a *slot* for each thing an answer depends on: a key, a user, an account, a space, spread
over a fixed number of places by hashing. Whoever remembers an answer remembers the numbers of its slots with it; a
change writes another number into one slot, and with that every answer that depended on it is worth nothing, in all
workers at once. Two things sharing a slot costs a question to the database now and then, and never a wrong answer.

One process per host writes (the one that holds the lock, see ``following``); all others read. ``count`` goes up after
every write, so that a reader who finds it unchanged knows that the numbers read in between belong together.
"""

from __future__ import annotations

import mmap
import os
import time
import zlib
from collections.abc import Callable, Iterable
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

SLOTS = 65_536
_WORD = 8
# Words before the slots: how many changes there were, until when answers may be given from memory, and the era.
_COUNT, _DEADLINE, _ERA, _HEADER = 0, 1, 2, 8
_SIZE = (_HEADER + SLOTS) * _WORD

# Of a clock that goes on while a machine is suspended; the one that ``allow_until`` is told.
_now, _CLOCK = time.clock_gettime_ns, time.CLOCK_BOOTTIME


class Stamp(NamedTuple):
    """The era and the numbers of some slots, and how they are read again: all at once, in one call."""

    read: Callable[[memoryview], tuple[int, ...]]
    numbers: tuple[int, ...]


class Epochs:
    """The file, mapped into this process."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < _SIZE:
                os.ftruncate(descriptor, _SIZE)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        # Aligned words of eight bytes: a reader sees the old number or the new one, never half of each.
        self._words = memoryview(self._map).cast("Q")

    @staticmethod
    def slot(thing: str) -> int:
        """Return the slot of something, named as the database names it when it changes: ``key:7``."""
        return _HEADER + zlib.crc32(thing.encode()) % SLOTS

    def count(self) -> int:
        """Return how many changes there were."""
        return self._words[_COUNT]

    def stamp(self, slots: Iterable[int]) -> Stamp:
        """Return the era and the numbers of some slots as they are now."""
        read = itemgetter(_ERA, _ERA, *slots)  # of a single place it would return no row
        return Stamp(read, read(self._words))

    def holds(self, stamp: Stamp) -> bool:
        """Whether nothing that a stamp was made of has changed, and this host may still speak from memory."""
        words = self._words
        return _now(_CLOCK) < words[_DEADLINE] and stamp.read(words) == stamp.numbers

    # Only the process that holds the lock calls these.

    def change(self, things: Iterable[str]) -> None:
        """Make everything that depends on these things worth nothing."""
        words = self._words
        for thing in things:
            words[self.slot(thing)] += 1
        words[_COUNT] += 1

    def change_all(self) -> None:
        """Make everything remembered worth nothing: whoever was cut off does not know what was missed."""
        self._words[_ERA] += 1
        self._words[_COUNT] += 1

    def allow_until(self, moment: int) -> None:
        """Let this host's workers answer from memory until a moment of ``CLOCK_BOOTTIME``, in nanoseconds."""
        self._words[_DEADLINE] = moment

    def close(self) -> None:
        """Give the mapping back."""
        self._words.release()
        self._map.close()
