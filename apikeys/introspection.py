"""What a presented key is, for the service it was handed to (RFC 7662): told to those who may know of it anyhow.

What a key is, lists of keys tell as well, and to the same people: so it takes the permission that lists take,
SERVICE_KEY_READ (contract rest-v2 §5.2), and then says of each key what its reader may know. Everything else is one and
the same "not active", whatever the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accounts.actors import Actor
from accounts.errors import NotFound
from accounts.models import Account, Space
from accounts.permissions import find_seen
from accounts.standing import Standing
from accounts.vocabulary import Permission
from apikeys.errors import InvalidKey
from apikeys.policy import require_introspection, require_known_at, visible_to
from apikeys.refusals import note_refusal
from apikeys.verification import VerifiedKey, verify


@dataclass(frozen=True)
class ActiveKey:
    """A key that opens. ``permissions`` are those in the space asked about, or in the account."""

    key: VerifiedKey
    space: Space | None
    permissions: tuple[str, ...]


def introspect(actor: Actor, token: str, *, space_id: int | None = None, at: datetime) -> ActiveKey | None:
    """Return what a presented key is, or ``None``. It counts as no use of the key.

    With a space, a key that does not get in there is not active either (RFC 7662 §4).

    Raises:
        Forbidden: the actor may read no keys at all.
    """
    require_introspection(actor)
    try:
        key = verify(token, at=at)
        row = visible_to(actor).filter(pk=key.key_id).first()
        if row is None or key.is_locked_out:
            return None
        scope: Account | Space = key.account if space_id is None else find_seen(actor, Space, space_id)
        require_known_at(actor, row, scope)
    except InvalidKey as refusal:
        note_refusal(refusal, door=actor.door, ip=actor.ip, at=at, operation=actor.operation)
        return None
    except NotFound:
        return None
    permissions = Standing.of(key.user, key.account).permissions_at(scope)
    if isinstance(scope, Account):
        return ActiveKey(key, None, tuple(sorted(permissions)))
    return ActiveKey(key, scope, tuple(sorted(permissions))) if Permission.SPACE_READ in permissions else None
