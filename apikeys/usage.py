"""When a key was last used, and how often: never on the key's own row, and never with a write for every request.

Every door counts in memory, and each process writes what it counted in one statement every few seconds, when it ends,
and earlier only when many thousand keys have come together. A process that is killed loses one interval and no more. A
database that fails loses nothing, and nobody's request fails by it: what was counted is kept, within bounds.

The moment kept is that of the latest use. Where from and with what is asked at most once a second of each key, since
finding it out costs more than counting, so that it may be that of a use within the second before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connection

from accounts.afterwards import afterwards
from apikeys.clients import family

logger = logging.getLogger("apikeys.usage")

# "Last used" is approximate by contract (rest-v2 §5.1). A write per request would cost more than half the throughput.
FLUSH_SECONDS = 10.0
# So many keys are counted at once; each takes a few hundred bytes. Half as many are written without waiting.
MOST_KEYS = 50_000
_LONGEST_NAME = 120

# Of two processes that write the same key's use the later moment stays, and counts add up. A key that was deleted
# meanwhile has no use any more. In the order of keys, so that two processes cannot wait for each other.
_UPSERT = """
    INSERT INTO apikeys_keyuse (key_id, first_used_at, last_used_at, ip, client, client_family, uses)
    SELECT used.* FROM unnest(
        %(keys)s::bigint[], %(first)s::timestamptz[], %(last)s::timestamptz[], %(ips)s::inet[], %(clients)s::text[],
        %(families)s::text[], %(counts)s::bigint[]
    ) AS used (key_id, first_used_at, last_used_at, ip, client, client_family, uses)
    WHERE EXISTS (SELECT FROM apikeys_apikey WHERE id = used.key_id)
    ORDER BY used.key_id
    ON CONFLICT (key_id) DO UPDATE
    SET first_used_at = least(apikeys_keyuse.first_used_at, EXCLUDED.first_used_at),
        last_used_at = greatest(apikeys_keyuse.last_used_at, EXCLUDED.last_used_at),
        ip = CASE WHEN apikeys_keyuse.last_used_at < EXCLUDED.last_used_at THEN EXCLUDED.ip ELSE apikeys_keyuse.ip END,
        client = CASE WHEN apikeys_keyuse.last_used_at < EXCLUDED.last_used_at
                 THEN EXCLUDED.client ELSE apikeys_keyuse.client END,
        client_family = CASE WHEN apikeys_keyuse.last_used_at < EXCLUDED.last_used_at
                        THEN EXCLUDED.client_family ELSE apikeys_keyuse.client_family END,
        uses = apikeys_keyuse.uses + EXCLUDED.uses
"""

# What is counted of a key: how often, first, last, address, client, and when those two are to be asked for again.
_TIMES, _FIRST, _LAST, _IP, _CLIENT, _ASK_AGAIN = range(6)
_clock = time.time

T = TypeVar("T")


class Uses:
    """What a process has counted since it last wrote."""

    def __init__(self) -> None:
        self.has_writer = False
        self._counted: dict[int, list[Any]] = {}
        self._written_at = float("-inf")
        self._dropped = 0
        # Between finding a count and adding to it, it could be taken away and written: the use would be lost.
        self._counting = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._ended = False

    def note(self, key_id: int, who: Callable[[T], tuple[str | None, str]], request: T) -> None:
        """Count a use, now. Asked with the request, ``who`` says from where and with what it came.

        What a caller says of itself is shown, and never trusted.
        """
        # What every request pays: by number, and with as few looks as it takes.
        now = _clock()
        with self._counting:
            use = self._counted.get(key_id)
            if use is not None and now < use[5]:
                use[0] += 1
                use[2] = now
                return
        self.note_at(key_id, who(request), now)

    def note_at(self, key_id: int, who: tuple[str | None, str], moment: float) -> None:
        """Count a use at a moment in seconds since 1970."""
        with self._counting:
            use = self._counted.get(key_id)
            if use is None:
                self._begin(key_id, moment, who)
                return
            use[_TIMES] += 1
            use[_LAST] = moment
            use[_IP:] = [*who, moment + 1.0]

    @property
    def due(self) -> bool:
        """Whether so much time has passed since this process last wrote."""
        return time.monotonic() - self._written_at >= FLUSH_SECONDS

    def flush(self) -> int:
        """Write what was counted, in one statement; return for how many keys. What cannot be written is kept."""
        with self._writing:
            with self._counting:
                counted, self._counted = self._counted, {}
            self._written_at = time.monotonic()
            if not counted:
                return 0
            try:
                _write([(key_id, *use) for key_id, use in sorted(counted.items())])
            except (DatabaseError, InterfaceError):
                with self._counting:
                    self._take_back(counted)
                raise
            return len(counted)

    def try_to_flush(self) -> None:
        """Write what was counted, or say in the log that it had to be kept."""
        try:
            self.flush()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The uses of keys could not be written, and are kept: %s", type(error).__name__)
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            logger.warning("%d uses of keys were not counted: of too many keys at once.", dropped)

    def flush_for_ever(self) -> None:
        """Write every few seconds until told to end, and once more then: the body of a thread."""
        self.has_writer = True
        while not self._ended:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            self.try_to_flush()
            connection.close()
        self.try_to_flush()  # what came while it wrote
        connection.close()
        self.has_writer = False

    def end(self) -> None:
        """Ask the thread to end."""
        self._ended = True
        self._wake.set()

    def forget(self) -> None:
        """Start afresh: for tests, which share one process."""
        self._counted = {}
        self._written_at = float("-inf")

    def _begin(self, key_id: int, now: float, who: tuple[str | None, str]) -> None:
        known = len(self._counted)
        if known >= MOST_KEYS:
            self._dropped += 1
            return
        self._counted[key_id] = [1, now, now, *who, now + 1.0]
        if known == MOST_KEYS // 2:
            self._wake.set()

    def _take_back(self, counted: dict[int, list[Any]]) -> None:
        for key_id, before in counted.items():
            since = self._counted.get(key_id)
            if since is not None:
                since[_TIMES] += before[_TIMES]
                since[_FIRST] = min(since[_FIRST], before[_FIRST])
                since[_LAST] = max(since[_LAST], before[_LAST])
            elif len(self._counted) < MOST_KEYS:
                self._counted[key_id] = before
            else:
                self._dropped += before[_TIMES]


uses = Uses()


def note_use(key_id: int, *, ip: str | None, client: str, at: datetime) -> None:
    """Count a use at a door where it is known anyway from where it comes. ``client`` is what the caller says."""
    uses.note_at(key_id, (ip, client), at.timestamp())
    if uses.due and not uses.has_writer:
        afterwards(uses.try_to_flush)


def _write(rows: list[tuple[Any, ...]]) -> None:
    columns = list(zip(*rows, strict=True))
    keys, (counts, first, last, ips, clients, _) = columns[0], columns[1:]
    with connection.cursor() as cursor:
        cursor.execute(
            _UPSERT,
            {
                "keys": list(keys),
                "first": list(map(_moment, first)),
                # A clock that was set back takes no last use with it.
                "last": [_moment(max(moments)) for moments in zip(first, last, strict=True)],
                "ips": list(ips),
                "clients": [client[:_LONGEST_NAME] for client in clients],
                "families": list(map(family, clients)),
                "counts": list(counts),
            },
        )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
