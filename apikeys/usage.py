"""When a key was last used: written at most once a minute per key and process, and never on the key's own row."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from datetime import datetime

from django.db import connection

# "Last used" is approximate by contract (rest-v2 §5.1). A write per request would cost more than half the throughput.
INTERVAL_SECONDS = 60
_REMEMBERED = 10_000

_UPSERT = """
    INSERT INTO apikeys_keyuse (key_id, first_used_at, last_used_at, ip, client)
    VALUES (%(key)s, %(at)s, %(at)s, %(ip)s, %(client)s)
    ON CONFLICT (key_id) DO UPDATE
    SET last_used_at = EXCLUDED.last_used_at, ip = EXCLUDED.ip, client = EXCLUDED.client
    WHERE apikeys_keyuse.last_used_at < EXCLUDED.last_used_at
"""

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
