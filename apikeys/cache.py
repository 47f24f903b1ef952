"""What a worker remembers of answers it gave: in its own memory, bounded, and believed only as long as it is true.

Nothing here is a secret: answers are found by a keyed digest of what was presented, made anew in each process.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from apikeys.epochs import Epochs, Stamp

A = TypeVar("A")
NEVER = float("inf")


@dataclass(slots=True)
class Remembered(Generic[A]):
    """An answer, what it depends on, and when it ends by itself (seconds since 1970)."""

    answer: A
    stamp: Stamp
    ends: float


class Memory(Generic[A]):
    """Answers by digest. When it is full the oldest goes; each is a few hundred bytes."""

    def __init__(self, epochs: Epochs, *, most: int) -> None:
        self._epochs = epochs
        self._most = most
        self._found: dict[bytes, Remembered[A]] = {}
        self._salt = secrets.token_bytes(32)

    def __len__(self) -> int:
        return len(self._found)

    def name(self, asked: str) -> bytes:
        """Return under what an answer to this is remembered."""
        return hashlib.blake2b(asked.encode(errors="surrogateescape"), digest_size=16, key=self._salt).digest()

    def recall(self, name: bytes) -> A | None:
        """Return an answer that still holds."""
        found = self._found.get(name)
        if found is None or not self._epochs.holds(found.stamp):
            return None
        return found.answer if time.time() < found.ends else None

    def knew(self, name: bytes) -> bool:
        """Whether there was an answer, even if it holds no longer."""
        return name in self._found

    def learn(self, name: bytes, find: Callable[[], tuple[A, Iterable[str], float]]) -> A:
        """Find an answer out, and remember it unless anything at all changed meanwhile.

        ``find`` returns the answer, the things it depends on, and when it ends. A change that was committed before it
        asked the database is in its answer; one that came later has moved the count, or will move a slot.
        """
        before = self._epochs.count()
        answer, things, ends = find()
        stamp = self._epochs.stamp(map(self._epochs.slot, things))
        if self._epochs.count() == before:
            self._found.pop(name, None)
            while len(self._found) >= self._most:
                del self._found[next(iter(self._found))]
            self._found[name] = Remembered(answer, stamp, ends)
        return answer

    def forget_all(self) -> None:
        """Start afresh."""
        self._found.clear()
