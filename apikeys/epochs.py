"""Numbers shared by all workers of a host, by which what one of them remembers is known to be out of date.

A file in shared memory holds a *slot* for each thing an answer depends on: a key, a user, an account, a space, spread
over a fixed number of places by hashing. Whoever remembers an answer remembers the numbers of its slots with it; a
change writes another number into one slot, and with that every answer that depended on it is worth nothing, in all
workers at once. Two things sharing a slot costs a question to the database now and then, and never a wrong answer.

One process per host writes (the one that holds the lock, see ``following``); all others read. ``count`` goes up before
every write, so that a reader who finds it unchanged has read nothing that was written in between.
"""

from __future__ import annotations

import contextlib
import fcntl
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
# In the file's name: who lays words out in another way, counts from another start of the machine, or is another machine
# (a folder that several mount, or that was copied) must never meet this file. Its deadline would lie in their future.
_LAYOUT = 2
_BOOT = Path("/proc/sys/kernel/random/boot_id")

# Of a clock that goes on while a machine is suspended; the one that ``allow_until`` is told.
_now, _CLOCK = time.clock_gettime_ns, time.CLOCK_BOOTTIME


class Stamp(NamedTuple):
    """The era and the numbers of some slots, and how they are read again: all at once, in one call."""

    read: Callable[[memoryview], tuple[int, ...]]
    numbers: tuple[int, ...]


class Epochs:
    """The file, mapped into this process."""

    def __init__(self, path: Path) -> None:
        own = path.with_name(f"{path.name}-{_LAYOUT}-{_BOOT.read_text(encoding='ascii').strip()}")
        # Kept open: the lock of whoever follows is on this very file, also after somebody has deleted its name.
        self._descriptor = os.open(own, os.O_RDWR | os.O_CREAT, 0o600)
        if os.fstat(self._descriptor).st_size < _SIZE:
            os.ftruncate(self._descriptor, _SIZE)
        self._map = mmap.mmap(self._descriptor, _SIZE)
        # Aligned words of eight bytes: a reader sees the old number or the new one, never half of each.
        self._words = memoryview(self._map).cast("Q")
        _sweep(path, own)

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

    def lock(self) -> bool:
        """Become the one who writes, until the process or this object ends; return whether nobody else is."""
        return _locked(self._descriptor)

    # Only the process that holds the lock calls these.

    def change(self, things: Iterable[str]) -> None:
        """Make everything that depends on these things worth nothing."""
        words = self._words
        words[_COUNT] += 1  # first: who reads a new slot then also reads that something changed since it asked
        for thing in things:
            words[self.slot(thing)] += 1

    def change_all(self) -> None:
        """Make everything remembered worth nothing: whoever was cut off does not know what was missed."""
        self._words[_COUNT] += 1
        self._words[_ERA] += 1

    def allow_until(self, moment: int) -> None:
        """Let this host's workers answer from memory until a moment of ``CLOCK_BOOTTIME``, in nanoseconds."""
        self._words[_DEADLINE] = moment

    def close(self) -> None:
        """Give the mapping back."""
        self._words.release()
        self._map.close()
        os.close(self._descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sweep(path: Path, own: Path) -> None:
    """Remove the files of earlier starts and releases that nobody follows any more."""
    for other in path.parent.glob(f"{path.name}-*"):
        if other == own:
            continue
        with contextlib.suppress(OSError):  # somebody else was quicker, or may not be touched
            descriptor = os.open(other, os.O_RDWR)
            try:
                if _locked(descriptor):
                    other.unlink()
            finally:
                os.close(descriptor)
