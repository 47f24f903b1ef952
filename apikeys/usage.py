"""When a key was last used, and how often: never on the key's own row, and never with a write for every request.

The slow doors write at most once a minute per key and process. The fast one counts in memory and writes all of it in
one statement every few seconds; a process that is killed loses that much and no more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, connection

logger = logging.getLogger("apikeys.usage")

# "Last used" is approximate by contract (rest-v2 §5.1). A write per request would cost more than half the throughput.
INTERVAL_SECONDS = 60
_REMEMBERED = 10_000

# Of two processes that write the same key's use the later moment stays, and counts add up.
_ON_CONFLICT = """
    ON CONFLICT (key_id) DO UPDATE
    SET first_used_at = least(apikeys_keyuse.first_used_at, EXCLUDED.first_used_at),
        last_used_at = greatest(apikeys_keyuse.last_used_at, EXCLUDED.last_used_at),
        ip = CASE WHEN apikeys_keyuse.last_used_at < EXCLUDED.last_used_at THEN EXCLUDED.ip ELSE apikeys_keyuse.ip END,
        client = CASE WHEN apikeys_keyuse.last_used_at < EXCLUDED.last_used_at
                 THEN EXCLUDED.client ELSE apikeys_keyuse.client END,
        uses = apikeys_keyuse.uses + EXCLUDED.uses
"""
_UPSERT = f"""
    INSERT INTO apikeys_keyuse (key_id, first_used_at, last_used_at, ip, client, uses)
    VALUES (%(key)s, %(at)s, %(at)s, %(ip)s, %(client)s, 1)
    {_ON_CONFLICT}
"""  # noqa: S608 -- constants
# A key that was deleted meanwhile has no use any more. In the order of keys, so that two processes cannot wait for
# each other.
_UPSERT_MANY = f"""
    INSERT INTO apikeys_keyuse (key_id, first_used_at, last_used_at, ip, client, uses)
    SELECT used.* FROM unnest(
        %(keys)s::bigint[], %(first)s::timestamptz[], %(last)s::timestamptz[], %(ips)s::inet[], %(clients)s::text[],
        %(counts)s::bigint[]
    ) AS used (key_id, first_used_at, last_used_at, ip, client, uses)
    WHERE EXISTS (SELECT FROM apikeys_apikey WHERE id = used.key_id)
    ORDER BY used.key_id
    {_ON_CONFLICT}
"""  # noqa: S608 -- constants
FLUSH_SECONDS = 10.0

_lock = threading.Lock()
_written: OrderedDict[int, float] = OrderedDict()


def note_use(key_id: int, *, ip: str | None, client: str, at: datetime) -> None:
    """Remember that a key was used now. ``client`` is what the caller says of itself: shown, never trusted."""
    if not _due(key_id):
        return
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT, {"key": key_id, "at": at, "ip": ip, "client": client[:120]})


def forget_uses() -> None:
    """Make every key due again: for tests, which share one process."""
    with _lock:
        _written.clear()


def _due(key_id: int) -> bool:
    now = time.monotonic()
    with _lock:
        last = _written.get(key_id)
        if last is not None and now - last < INTERVAL_SECONDS:
            return False
        _written[key_id] = now
        _written.move_to_end(key_id)
        if len(_written) > _REMEMBERED:
            _written.popitem(last=False)
        return True


class Uses:
    """What a worker has counted since it last wrote."""

    def __init__(self) -> None:
        self._counted: dict[int, list[Any]] = {}  # by key: how often, first, last, address, client
        self._ended = threading.Event()

    def note(self, key_id: int, who: Callable[[], tuple[str | None, str]]) -> None:
        """Count a use. ``who`` says from where and with what, and is asked once per key and interval."""
        now = time.time()
        counted = self._counted.get(key_id)
        if counted is None:
            self._counted[key_id] = [1, now, now, *who()]
        else:
            counted[0] += 1
            counted[2] = now

    def flush(self) -> int:
        """Write what was counted, in one statement; return for how many keys. What cannot be written is kept."""
        counted, self._counted = self._counted, {}
        if not counted:
            return 0
        rows = sorted(counted.items())
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    _UPSERT_MANY,
                    {
                        "keys": [key_id for key_id, _ in rows],
                        "counts": [use[0] for _, use in rows],
                        "first": [_moment(use[1]) for _, use in rows],
                        "last": [_moment(use[2]) for _, use in rows],
                        "ips": [use[3] for _, use in rows],
                        "clients": [use[4][:120] for _, use in rows],
                    },
                )
        except (DatabaseError, InterfaceError):
            self._take_back(counted)
            raise
        return len(rows)

    def flush_for_ever(self) -> None:
        """Write every few seconds until told to end, and once more then: the body of a thread."""
        while not self._ended.wait(FLUSH_SECONDS):
            self._try_to_flush()
        self._try_to_flush()

    def end(self) -> None:
        """Ask the thread to end."""
        self._ended.set()

    def _try_to_flush(self) -> None:
        try:
            self.flush()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("The uses of keys could not be written, and are kept: %s", type(error).__name__)
        finally:
            connection.close()

    def _take_back(self, counted: dict[int, list[Any]]) -> None:
        for key_id, before in counted.items():
            since = self._counted.setdefault(key_id, before)
            if since is not before:
                since[0] += before[0]
                since[1] = min(since[1], before[1])


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
