"""What a worker remembers of answers it gave: in its own memory, bounded, and believed only as long as it is true.

Nothing here is a secret: answers are found by a keyed digest of what was presented, made anew in each process.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

from apikeys.epochs import Epochs, Stamp

A = TypeVar("A")
NEVER = float("inf")

# What remembering takes beside the answer itself, its name, stamp and place: 950 bytes were measured, rounded up.
_BESIDE = 1_024


class Remembered(NamedTuple, Generic[A]):
    """An answer, what it depends on, when it ends by itself (seconds since 1970), and how many bytes it takes."""

    answer: A
    stamp: Stamp
    ends: float
    size: int


class Memory(Generic[A]):
    """Answers by digest, no more than so many, and no more bytes than so many. When it is full the oldest goes."""

    def __init__(self, epochs: Epochs, *, most: int, most_bytes: int, size: Callable[[A], int]) -> None:
        """Remember nothing yet; ``size`` says how many bytes an answer takes."""
        self._epochs = epochs
        self._most = most
        self._most_bytes = most_bytes
        self._size = size
        self._found: OrderedDict[bytes, Remembered[A]] = OrderedDict()
        self._bytes = 0
        self._salt = secrets.token_bytes(16)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def bytes_held(self) -> int:
        """How many bytes all of it takes."""
        return self._bytes

    def name(self, asked: str) -> bytes:
        """Return under what an answer to this is remembered."""
        # Nobody ever sees a name, so that a secret in front is all the key it takes; and it is the fastest.
        return hashlib.sha256(self._salt + asked.encode("utf-8", "surrogatepass")).digest()

    def recall(self, name: bytes) -> A | None:
        """Return an answer that still holds."""
        found = self._found.get(name)
        if found is None or not self._epochs.holds(found.stamp):
            return None
        return found.answer if found.ends == NEVER or time.time() < found.ends else None

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
            self._remember(name, Remembered(answer, stamp, ends, self._size(answer) + _BESIDE))
        return answer

    def forget_all(self) -> None:
        """Start afresh."""
        self._found.clear()
        self._bytes = 0

    def _remember(self, name: bytes, new: Remembered[A]) -> None:
        old = self._found.pop(name, None)
        self._bytes += new.size - (old.size if old else 0)
        self._found[name] = new
        while len(self._found) > self._most or self._bytes > self._most_bytes:
            _, oldest = self._found.popitem(last=False)
            self._bytes -= oldest.size
