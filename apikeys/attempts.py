"""Who may present a key at all, and how often: what every door asks before and after it verifies one.

There are buckets of three kinds, and none of them can be emptied by anybody but those whom it is about:

- *a key's*: every use of a key that opened. Only then is it known whose use it was; a bucket found by what can be read
  in a key could be emptied by whoever saw that part of it in a log.
- *guesses*: what one address (IPv6: one /64) presented that never was a key, malformed, unknown or with a wrong secret.
- *a dead key's*: a key that was genuine and is revoked, expired or orphaned. Somebody's forgotten job must not bar the
  address that it shares with everybody else in the building.

Whoever has guessed too often is refused before the database is asked, so that a flood costs no queries. But many share
an address, and two exceptions keep neighbours in. What opened here before is asked about all the same: a flooder would
have to hold that very key. And of everything else a host asks about as much as its *doubts* bucket holds, ten times
what one address may. So a program gone wrong harms nobody at its address, and all addresses that flood together cost a
host no more than that. Only a key that this worker never saw, from an address that floods faster, is told to come
again. REST and GraphQL know for this the last keys that opened, by a keyed digest; ``/verify`` has its answers.

What was answered from memory asks for nothing here, and counts as nothing but the use of a key.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable

from django.conf import settings

from accounts.origin import network
from accounts.repeats import Repeats
from apikeys.errors import InvalidKey, LimiterFailed, Reason, TooOften
from apikeys.limits import Limit, Limiter

logger = logging.getLogger("apikeys.attempts")

# Reasons that speak of who asks, and not of a key that was good once: those must not bar an address.
GUESSES = frozenset({Reason.MALFORMED, Reason.UNKNOWN, Reason.WRONG_SECRET})
_DOUBTS = "doubts"
_DOUBTS_TO_GUESSES = 10
# So many seconds' worth may come at once.
_OF_USES = 10
_OF_GUESSES = 2
_MOST_OPENED = 10_000

_told = Repeats(seconds=60)


class Attempts:
    """What has to be asked about attempts. ``name`` keeps the keys' buckets of doors apart."""

    def __init__(self, limiter: Limiter, *, name: str, per_key: Limit) -> None:
        self._limiter = limiter
        self._name = name
        self._per_key = per_key
        guesses: int = settings.VERIFY_GUESSES
        self._guesses = Limit(guesses, int(_OF_GUESSES * guesses))
        self._doubts = Limit(_DOUBTS_TO_GUESSES * guesses, int(_OF_GUESSES * _DOUBTS_TO_GUESSES * guesses))

    def admit(self, ip: str | None, known: Callable[[], bool]) -> None:
        """Make sure that an address may present a key; ``known`` says whether this very key opened before.

        Raises:
            TooOften: it was wrong too often.
            LimiterFailed: it cannot be known.
        """
        if self._limiter.left(_source(ip), self._guesses) or known():
            return
        wait = self._limiter.take(_DOUBTS, self._doubts)
        if wait:
            raise TooOften(wait)

    def failed(self, refusal: InvalidKey, ip: str | None) -> None:
        """Count that a key was refused.

        Raises:
            TooOften: once too often, which is told in place of the refusal.
            LimiterFailed: it cannot be known.
        """
        if refusal.reason in GUESSES:
            source = _source(ip)
            _tell(f"What is no key, or has another secret, came from {ip or 'an unknown address'}", source)
            wait = self._limiter.take(source, self._guesses)
        else:
            wait = self._limiter.take(f"dead:{refusal.key_id}", self._per_key)
        if wait:
            raise TooOften(wait)

    def used(self, key_id: int) -> None:
        """Count that a key opened.

        Raises:
            TooOften: once too often.
            LimiterFailed: it cannot be known.
        """
        wait = self._limiter.take(f"{self._name}:{key_id}", self._per_key)
        if wait:
            self.tell_of_key(key_id)
            raise TooOften(wait)

    def tell_of_key(self, key_id: int) -> None:
        """Say in the log that a key comes too often."""
        _tell(f"Key {key_id} is used too often", key_id)


class Opened:
    """Keys that opened lately in this process, by a digest that is worth nothing outside of it."""

    def __init__(self) -> None:
        self._salt = secrets.token_bytes(32)
        self._names: OrderedDict[bytes, None] = OrderedDict()

    def add(self, presented: str) -> None:
        """Remember one; the one that has not opened for longest goes."""
        name = self._digest(presented)
        self._names[name] = None
        self._names.move_to_end(name)
        if len(self._names) > _MOST_OPENED:
            self._names.popitem(last=False)

    def __contains__(self, presented: str) -> bool:
        return self._digest(presented) in self._names

    def __len__(self) -> int:
        return len(self._names)

    def forget(self) -> None:
        """Start afresh: for tests, which share one process."""
        self._names.clear()

    def _digest(self, presented: str) -> bytes:
        return hashlib.blake2b(presented.encode(errors="surrogateescape"), digest_size=16, key=self._salt).digest()


@functools.cache
def limiter() -> Limiter:
    """Return this host's buckets.

    Raises:
        LimiterFailed: they cannot be had.
    """
    try:
        settings.SHARED_FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LimiterFailed from error
    return Limiter(settings.SHARED_FOLDER / "limits")


def at_the_api() -> Attempts:
    """Return what REST and GraphQL ask, which share what a key may."""
    rate: int = settings.API_RATE_PER_KEY
    return Attempts(limiter(), name="api", per_key=Limit(rate, int(_OF_USES * rate)))


opened = Opened()


def forget_attempts() -> None:
    """Start afresh: for tests, which share one process and one file."""
    limiter().clear()
    opened.forget()
    _told.forget()


@functools.lru_cache(maxsize=4_096)
def _source(ip: str | None) -> str:
    return f"guesses:{network(ip, v4=32, v6=64)}"


def _tell(what: str, about: Hashable) -> None:
    """Log it at once, then once a minute with the number of times: a flood fills no log."""
    times = _told.times(about)
    if times:
        logger.warning("%s: %s since this was last said.", what, "once" if times == 1 else f"{times} times")
