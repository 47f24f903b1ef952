"""Keeps a host's memory honest: one thread per host hears of every change before whoever made it is answered.

The protocol, with its argument, is in docs/freshness.md. In short: every change leaves a notification in the database
by trigger. After its commit the verb *settles*: it asks for the next fence number, sends it down the same channel, and
waits until every host has acknowledged it. A host acknowledges a fence after it has written everything heard before it
into its epochs. From a host that does not answer in time the verb takes the lease away, so that it cannot be renewed,
and waits until what was left of it has run out.

Nothing here asks what time it is: the lease is a length, measured by whoever waits and by whoever holds it, each on a
clock of its own that only goes forward.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.backends.utils import CursorWrapper

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
# How long a host may take to answer before its lease is taken away: one that is only busy does it within this.
PATIENCE = 0.5
LONGEST = PATIENCE + LEASE
_POLL = (0.001, 0.002, 0.005, 0.01, 0.02)
_NOTICEABLE = PATIENCE

_JOIN = "INSERT INTO apikeys_verifier (name, acknowledged, barred) VALUES (%(name)s, 0, false)"
# A sequence of which nothing was drawn yet already shows its first number.
_LAST_FENCE = "SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END FROM apikeys_fence"
# A write, though nothing changes: a primary that was cut off from its synchronous standby, and replaced by it, must not
# be able to renew what its successor knows nothing of.
_RENEW = "UPDATE apikeys_verifier SET acknowledged = acknowledged WHERE name = %(name)s AND NOT barred"
# Fences need not arrive in the order in which they were drawn.
_ACKNOWLEDGE = "UPDATE apikeys_verifier SET acknowledged = greatest(acknowledged, %(fence)s) WHERE name = %(name)s"
_LEAVE = "DELETE FROM apikeys_verifier WHERE name = %(name)s"

_RAISE = f"""
WITH raised AS MATERIALIZED (SELECT nextval('apikeys_fence') AS fence WHERE EXISTS (SELECT FROM apikeys_verifier))
SELECT fence, pg_notify('{CHANNEL}', '{FENCE}' || fence) FROM raised
"""  # noqa: S608 -- constants
_BEHIND = "SELECT name, barred FROM apikeys_verifier WHERE acknowledged < %(fence)s"
_BAR = "UPDATE apikeys_verifier SET barred = true WHERE name = ANY(%(names)s)"
_FORGET = "DELETE FROM apikeys_verifier WHERE name = ANY(%(names)s)"

UNSETTLED = (
    "It was done, but the database failed before every host was known to have heard of it. For some seconds one of "
    "them may still go by what was before. Ask again then, and rely on that answer."
)

_spent: ContextVar[list[float] | None] = ContextVar("seconds spent settling", default=None)


class NotSettled(OperationalError):
    """What was asked for is done, and whoever asked cannot be told yet that it holds everywhere."""


def on_commit(**_: Any) -> None:
    """Settle before whoever called the verb is answered."""
    seconds = settle()
    if (spent := _spent.get()) is not None:
        spent.append(seconds)


@contextmanager
def watched() -> Iterator[list[float]]:
    """Collect how long each settling meanwhile took."""
    spent: list[float] = []
    token = _spent.set(spent)
    try:
        yield spent
    finally:
        _spent.reset(token)


def settle() -> float:
    """Wait until no host can go by what was true before the commit behind us; return the seconds that took.

    Called after the commit, in no transaction. With nobody remembering anything it costs one query. A connection that
    was lost is made anew, for as long as a host may still have a right to speak.

    Raises:
        NotSettled: the database cannot be asked, so nothing is known of the hosts.
    """
    started = time.monotonic()
    while True:
        try:
            with connection.cursor() as cursor:
                late = _settle(cursor)
            break
        except (DatabaseError, InterfaceError) as error:
            if connection.in_atomic_block or time.monotonic() - started > LONGEST:
                raise NotSettled(UNSETTLED) from error
            connection.close()
            time.sleep(_RETRY / 5)
    spent = time.monotonic() - started
    if spent > _NOTICEABLE:
        logger.warning("Waited %.1f s until no host could go by what was before; late: %s", spent, late or "none")
    return spent


def _settle(cursor: CursorWrapper) -> str:
    """Raise a fence, and wait for the hosts that were there by then; return the names of those that did not answer."""
    cursor.execute(_RAISE)
    raised = cursor.fetchone()
    if raised is None:
        return ""
    # Who joins later has declared everything out of date after it joined, and so after our commit.
    awaited: set[str] | None = None
    ends: dict[str, float] = {}  # when nothing can be left of a lease that was taken away, by our own clock
    patient_until = time.monotonic() + PATIENCE
    for pause in _pauses():
        cursor.execute(_BEHIND, {"fence": raised[0]})
        behind = dict(cursor.fetchall())
        now = time.monotonic()  # after the look: what we saw taken away was taken away before
        awaited = set(behind) if awaited is None else awaited & set(behind)
        for name in awaited:
            if behind[name]:
                ends.setdefault(name, now + LEASE)
        over = sorted(name for name in awaited if ends.get(name, now + 1) <= now)
        if over:
            # Once their right has run out nobody else need wait for it.
            cursor.execute(_FORGET, {"names": over})
            awaited -= set(over)
        if not awaited:
            break
        if now > patient_until and (unbarred := sorted(awaited - set(ends))):
            cursor.execute(_BAR, {"names": unbarred})
        else:
            time.sleep(pause)
    return ", ".join(sorted(ends))


def _pauses() -> Iterator[float]:
    yield from _POLL
    while True:
        yield _POLL[-1]


class LeaseLost(Exception):
    """Somebody took our lease away: nobody waits for us any more."""


class Follower(threading.Thread):
    """The thread. Each worker has one; the one that gets the host's lock follows, the others wait for it to end."""

    def __init__(self, epochs: Epochs) -> None:
        super().__init__(name="following", daemon=True)
        self._epochs = epochs
        self._ended = threading.Event()
        self._former = ""

    def run(self) -> None:
        """Follow until told to end, through lost connections and restarted databases."""
        while not self._ended.is_set():
            if not self._epochs.lock():
                self._ended.wait(_RETRY)
                continue
            try:
                self._follow()
            except LeaseLost:
                logger.warning("Did not answer in time, and begin afresh.")
                continue
            except (psycopg.Error, OSError) as error:
                # What is remembered goes on until our right has run out, and no longer.
                logger.warning("Lost touch with the database, and try again: %s", type(error).__name__)
            self._ended.wait(_RETRY)

    def end(self) -> None:
        """Ask the thread to end."""
        self._ended.set()

    def _follow(self) -> None:
        # A name is never used twice: what somebody still has to say to an earlier one cannot concern this one.
        name = f"{socket.gethostname()[:15]}-{secrets.token_hex(8)}"
        with psycopg.connect(**_parameters(), autocommit=True) as wire:
            wire.execute(f"LISTEN {CHANNEL}")
            wire.execute(_JOIN, {"name": name})
            # From here on verbs wait for us. What happened before we do not know, so everything is declared out of
            # date; the fence is read before that, since all changes up to it were committed by then.
            row = wire.execute(_LAST_FENCE).fetchone()
            self._epochs.change_all()
            wire.execute(_LEAVE, {"name": self._former})
            self._former = name
            self._acknowledge(wire, name, row[0] if row else 0)
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
            # Anybody in the database may notify, and nobody may end this thread with it.
            fences = [int(number) for one in heard if (number := one.removeprefix(FENCE)) != one and number.isdecimal()]
            if fences:  # only now: what came before them has been written
                self._acknowledge(wire, name, max(fences))

    def _acknowledge(self, wire: psycopg.Connection[Any], name: str, fence: int) -> None:
        if not wire.execute(_ACKNOWLEDGE, {"fence": fence, "name": name}).rowcount:
            raise LeaseLost

    def _renew(self, wire: psycopg.Connection[Any], name: str) -> None:
        # The clock is read before the database is asked, so that our right ends before a verb that has taken it away
        # stops waiting.
        asked = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if not wire.execute(_RENEW, {"name": name}).rowcount:
            raise LeaseLost
        self._epochs.allow_until(asked + int((LEASE - _MARGIN) * 1e9))


def _parameters() -> dict[str, Any]:
    given = dict(connection.get_connection_params())
    ours = ("cursor_factory", "context", "prepare_threshold")  # how Django wants its own connections
    # A line on which nothing comes through any more is given up within seconds, and not after a quarter of an hour.
    watched = {
        "connect_timeout": 2,
        "keepalives_idle": 1,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": 3000,
    }
    return watched | {name: value for name, value in given.items() if name not in ours}
