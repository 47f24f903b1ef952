"""One-time numbers for forms that show a secret: sending the same form twice carries it out once (security.md 32).

The form carries the number, the session keeps its digest. The session's row is locked while a form is carried out and
saved in the same transaction, so of two presses at once the second finds the number spent.
"""

from __future__ import annotations

import hashlib
import secrets
from enum import Enum

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session

_OPEN, _SPENT = "forms_open", "forms_spent"
# Tabs left open, and forms one may come Back to. Older ones are forgotten, and their forms ask to be sent anew.
_KEPT = 50


class NonceState(Enum):
    """What a form's number says about the form."""

    OPEN = "not carried out yet"
    SPENT = "carried out before"
    UNKNOWN = "not from this session, or long ago"


def issue(session: SessionBase) -> str:
    """Return a fresh number for a form about to be shown."""
    nonce = secrets.token_urlsafe(16)
    session[_OPEN] = [*session.get(_OPEN, []), _digest(nonce)][-_KEPT:]
    return nonce


def peek(session: SessionBase, nonce: str) -> NonceState:
    """Return a number's state as this request knows it: for forms that are shown again, not carried out."""
    digest = _digest(nonce)
    if digest in session.get(_SPENT, []):
        return NonceState.SPENT
    return NonceState.OPEN if digest in session.get(_OPEN, []) else NonceState.UNKNOWN


def hold(session: SessionBase, nonce: str) -> NonceState:
    """Return a number's state and keep others from changing it until the transaction ends."""
    row = Session.objects.select_for_update().filter(session_key=session.session_key).first()
    stored = row.get_decoded() if row else {}
    session[_OPEN], session[_SPENT] = stored.get(_OPEN, []), stored.get(_SPENT, [])
    return peek(session, nonce)


def spend(session: SessionBase, nonce: str) -> None:
    """Mark a held number as carried out, in the same transaction as what its form did."""
    digest = _digest(nonce)
    session[_OPEN] = [one for one in session.get(_OPEN, []) if one != digest]
    session[_SPENT] = [*session.get(_SPENT, []), digest][-_KEPT:]
    session.save()


def _digest(nonce: str) -> str:
    return hashlib.sha256(nonce.encode()).hexdigest()[:32]
