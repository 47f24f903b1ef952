"""Keys that were turned away, for their account's audit log: a wrong secret, or a dead key that somebody still uses.

Only keys there are: what is unknown concerns no account. At once the first time, then at most every quarter of an hour
for each key, reason and process, with the number of times: a flood fills no log. And after the answer is out, so that
the time it takes tells nobody which keys there are (security 8).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError, connection

from accounts.actors import Actor, Door, Operation
from accounts.audit import Tag, record
from accounts.repeats import Repeats
from apikeys.errors import InvalidKey, Reason
from apikeys.models import ApiKey

logger = logging.getLogger("apikeys.refusals")

INTERVAL_SECONDS = 15 * 60
FLUSH_SECONDS = 10.0
_MOST_WAITING = 1_000
# What lies with the database, and may be over the next time. Everything else lies with what was to be written.
_PASSING = (OperationalError, InterfaceError, InternalError, ProgrammingError)

# The secret was not the key's, so that whoever presented it need not have anything to do with the key.
_GUESSED = frozenset({Reason.WRONG_SECRET, Reason.NO_PEPPER})
_SAID = {
    Reason.WRONG_SECRET: "The secret is wrong.",
    Reason.NO_PEPPER: "Its pepper is not configured.",
    Reason.SUPERSEDED: "The secret was replaced by a refresh.",
    Reason.REVOKED: "The key is revoked.",
    Reason.EXPIRED: "The key has expired.",
    Reason.OWNER_INACTIVE: "Its owner is deactivated.",
    Reason.OWNER_REMOVED: "Its owner is no longer in the account.",
    Reason.UNBOUND: "Its bot has no space left.",
}


@dataclass(frozen=True)
class _Bearer(Actor):
    """Whoever presented a key that opened nothing."""

    knew_secret: bool = False

    @property
    def label(self) -> str:
        """How the audit trail names them."""
        return "whoever has the key" if self.knew_secret else "somebody unknown"


@dataclass(frozen=True)
class _Refused:
    """One refusal to tell of."""

    key_id: int
    reason: Reason
    times: int
    door: Door
    ip: str | None
    operation: Operation
    at: datetime


_repeats = Repeats(seconds=INTERVAL_SECONDS)
_waiting: deque[_Refused] = deque(maxlen=_MOST_WAITING)


def note_refusal(
    refusal: InvalidKey, *, door: Door, ip: str | None, at: datetime, operation: Operation | None = None
) -> bool:
    """Remember that a key was turned away; return whether ``flush`` has something to tell. Asks no database."""
    if refusal.key_id is None:
        return False
    times = _repeats.times((refusal.key_id, refusal.reason))
    if times:
        _waiting.append(_Refused(refusal.key_id, refusal.reason, times, door, ip, operation or Operation(), at))
    return times > 0


def flush() -> None:
    """Write what waits into the audit logs of the keys' accounts. What nobody could write stops nothing behind it."""
    while True:
        try:
            refused = _waiting.popleft()
        except IndexError:  # asked for by two threads: this one and a request's
            return
        try:
            _tell(refused)
        except _PASSING as error:
            _waiting.appendleft(refused)
            logger.warning("Refused keys could not be recorded, and are kept: %s", type(error).__name__)
            return
        except Exception:
            logger.exception("That key %s was refused could not be recorded, and is left out.", refused.key_id)


def flush_for_ever(ended: threading.Event) -> None:
    """Write every few seconds until told to end, and once more then: the body of a thread."""
    while not ended.wait(FLUSH_SECONDS):
        flush()
        connection.close()
    flush()
    connection.close()


def forget_refusals() -> None:
    """Tell of every refusal anew: for tests, which share one process."""
    _repeats.forget()
    _waiting.clear()


def _tell(refused: _Refused) -> None:
    key = ApiKey.objects.select_related("account").filter(pk=refused.key_id).first()
    if key is None:
        return
    knew = refused.reason not in _GUESSED
    bearer = _Bearer(
        user=None,
        account=key.account,
        door=refused.door,
        key_id=key.pk if knew else None,
        ip=refused.ip,
        operation=refused.operation,
        knew_secret=knew,
    )
    record(
        bearer,
        Tag.KEY_REFUSED,
        key,
        refused=True,
        at=refused.at,
        reason=refused.reason.value,
        said=_SAID.get(refused.reason, ""),
        times=refused.times,
    )
