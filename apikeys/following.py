"""Keeps a host's memory honest: one thread per host hears of every change before whoever made it is answered.

The protocol, with its argument, is in docs/freshness.md. In short: every change leaves a notification in the database
by trigger. After its commit the verb *settles*: it asks for the next fence number, sends it down the same channel, and
waits until every host whose lease is running has acknowledged it. A host acknowledges a fence after it has written
everything heard before it into its epochs. A host that does not answer loses the right to speak from memory when its
lease runs out, and that is how long the verb waits at most.
"""

from __future__ import annotations

import fcntl
import logging
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection

from apikeys.epochs import Epochs

logger = logging.getLogger("apikeys.following")

CHANNEL = "arizekeys_changes"
FENCE = "fence:"
EVERYTHING = "everything"

LEASE = 2.0  # seconds a host may speak from memory after it last heard from the database
_RENEWAL = 0.5
# What clocks that run at different speeds may differ by within one lease.
_MARGIN = 0.2
_RETRY = 0.5
_POLL = (0.001, 0.002, 0.005)

# Who has not been heard of for so long will not come back under that name.
_SWEEP = "DELETE FROM apikeys_verifier WHERE lease_until < clock_timestamp() - interval '1 day'"
# Of a sequence that nobody has drawn from yet the first number is still to come.
_LAST_FENCE = "SELECT last_value - (NOT is_called)::int FROM apikeys_fence"
_JOIN = """
INSERT INTO apikeys_verifier (name, acknowledged, lease_until) VALUES (%(name)s, %(fence)s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET acknowledged = greatest(apikeys_verifier.acknowledged, EXCLUDED.acknowledged)
"""
# Whether the lease had run out is asked of the locked row: of this and a verb's look at it one comes first.
_RENEW = """
WITH before AS (SELECT name, lease_until FROM apikeys_verifier WHERE name = %(name)s FOR UPDATE)
UPDATE apikeys_verifier SET lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
  FROM before WHERE apikeys_verifier.name = before.name
RETURNING before.lease_until <= clock_timestamp()
"""
_ACKNOWLEDGE = "UPDATE apikeys_verifier SET acknowledged = greatest(acknowledged, %(fence)s) WHERE name = %(name)s"
_LEAVE = "DELETE FROM apikeys_verifier WHERE name = %(name)s"
_ANYBODY = "SELECT EXISTS (SELECT FROM apikeys_verifier)"
_RAISE = f"""
SELECT fence, pg_notify('{CHANNEL}', '{FENCE}' || fence) FROM nextval('apikeys_fence') AS fence
"""  # noqa: S608 -- constants
# All rows are locked before their leases are looked at: a renewal on its way is waited for, not overlooked.
_WAITING = """
WITH hosts AS (SELECT acknowledged, lease_until FROM apikeys_verifier FOR SHARE)
SELECT EXISTS (SELECT FROM hosts WHERE acknowledged < %(fence)s AND lease_until > clock_timestamp())
"""


def on_commit(**_: Any) -> None:
    """Settle before whoever called the verb is answered."""
    settle()


def settle() -> float:
    """Wait until no host can go by what was true before the commit behind us; return the seconds that took.

    Called after the commit, in no transaction. With nobody remembering anything it costs one query.
    """
    started = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(_ANYBODY)
        if cursor.fetchone() == (True,):
            cursor.execute(_RAISE)
            row = cursor.fetchone()
            fence = row[0] if row else 0
            for pause in _pauses():
                cursor.execute(_WAITING, {"fence": fence})
                if cursor.fetchone() == (False,):
                    break
                time.sleep(pause)
    return time.monotonic() - started


def _pauses() -> Iterator[float]:
    yield from _POLL
    while True:
        yield _POLL[-1]


class Follower(threading.Thread):
    """The thread. Each worker has one; the one that gets the host's lock follows, the others wait for it to end."""

    def __init__(self, folder: Path, epochs: Epochs) -> None:
        super().__init__(name="following", daemon=True)
        self._folder = folder
        self._epochs = epochs
        self._ended = threading.Event()

    def run(self) -> None:
        """Follow until told to end, through lost connections and restarted databases."""
        with (self._folder / "following.lock").open("a+b") as lock:
            while not self._ended.is_set():
                if not _try_lock(lock.fileno()):
                    self._ended.wait(_RETRY)
                    continue
                try:
                    self._follow(_name_of_host(self._folder))
                except (psycopg.Error, OSError) as error:
                    # What is remembered goes on until the lease that the database knows of has run out, and no longer.
                    logger.warning("Lost touch with the database, and try again: %s", type(error).__name__)
                self._ended.wait(_RETRY)

    def end(self) -> None:
        """Ask the thread to end."""
        self._ended.set()

    def _follow(self, name: str) -> None:
        with psycopg.connect(**_parameters(), autocommit=True) as wire:
            wire.execute(f"LISTEN {CHANNEL}")
            wire.execute(_SWEEP)
            # What happened before we listened we do not know. The fence is read before everything is declared out of
            # date: all changes up to it were committed by then, and later fences have to be heard.
            row = wire.execute(_LAST_FENCE).fetchone()
            self._epochs.change_all()
            wire.execute(_JOIN, {"name": name, "fence": row[0] if row else 0})
            while not self._ended.is_set():
                self._keep_up(wire, name)
            self._epochs.allow_until(0)
            wire.execute(_LEAVE, {"name": name})

    def _keep_up(self, wire: psycopg.Connection[Any], name: str) -> None:
        """Renew the lease, then listen until it is to be renewed again."""
        due = time.monotonic() + _RENEWAL
        self._renew(wire, name)
        while (left := due - time.monotonic()) > 0 and not self._ended.is_set():
            heard = [notice.payload for notice in wire.notifies(timeout=left, stop_after=1)]
            changed = [one for one in heard if not one.startswith(FENCE)]
            if EVERYTHING in changed:
                self._epochs.change_all()
            elif changed:
                self._epochs.change(changed)
            fences = [int(one.removeprefix(FENCE)) for one in heard if one.startswith(FENCE)]
            if fences:  # only now: what came before them has been written
                wire.execute(_ACKNOWLEDGE, {"fence": max(fences), "name": name})

    def _renew(self, wire: psycopg.Connection[Any], name: str) -> None:
        # The clock is read before the database is asked, so that our right always ends before its record of it.
        asked = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        row = wire.execute(_RENEW, {"name": name, "lease": LEASE}).fetchone()
        if row is None:
            raise psycopg.OperationalError("our row is gone")  # swept, or deleted by hand: join again
        if row[0]:
            # Without a lease nobody waited for us: what we have not heard yet may have been answered already.
            self._epochs.change_all()
        self._epochs.allow_until(asked + int((LEASE - _MARGIN) * 1e9))


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _name_of_host(folder: Path) -> str:
    """Return the name under which this host takes its lease: made once, and kept beside the epochs it is for."""
    path = folder / "verifier"
    if not path.exists():  # the lock is ours, so nobody else writes it
        path.write_text(secrets.token_hex(16), encoding="ascii")
    return path.read_text(encoding="ascii")


def _parameters() -> dict[str, Any]:
    given = dict(connection.get_connection_params())
    ours = ("cursor_factory", "context", "prepare_threshold")  # how Django wants its own connections
    return {name: value for name, value in given.items() if name not in ours}
