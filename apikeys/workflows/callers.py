"""Who calls: the threshold of the doors that clients push data through, whatever carries their key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from accounts.actors import Actor, Door, Operation
from accounts.errors import Forbidden, Invalid, NotFound
from accounts.models import Space
from accounts.permissions import find_seen
from accounts.wire import decode_id
from apikeys.authentication import admit
from apikeys.errors import InvalidKey, Reason
from apikeys.workflows import uses
from apikeys.workflows.uses import Workflow

_NO_ACCESS = "You have no access to this space, or there is no such space. Ask one of its admins."


@dataclass(frozen=True)
class Caller:
    """Somebody whom a key let in, and what their client calls itself."""

    actor: Actor
    client: str
    at: datetime

    def space(self, wire_id: str) -> Space:
        """Return the space that a request names.

        Raises:
            Invalid: that is no space's id.
            NotFound: there is none, or the caller may not know of it: the same answer for both.
        """
        if not wire_id:
            raise NotFound("Name the space: its ID is on the space's page.")
        return find_seen(self.actor, Space, decode_id(wire_id, "Space", field="space_id"))

    def reach(self, wire_id: str) -> Space:
        """Return the space that something is sent to or asked of, through doors whose clients know of no 404.

        Raises:
            Invalid: none is named, or that is no space's id.
            Forbidden: there is none, or the caller may not know of it: the same answer for both.
        """
        if not wire_id:
            raise Invalid("Name the space: its ID is on the space's page.")
        try:
            return self.space(wire_id)
        except NotFound:
            raise Forbidden(_NO_ACCESS) from None

    def note(self, workflow: Workflow, space: Space | None) -> None:
        """Count that a workflow was used, once it is done."""
        uses.note(self.actor, workflow, client=self.client, space=space, at=self.at)


def let_in(
    presented: str | None, *, door: Door, ip: str | None, client: str, operation: Operation, at: datetime
) -> Caller:
    """Let in whoever presents a key; asked for every call, however long its connection is open.

    Raises:
        InvalidKey: no key, or one that opens nothing.
        TooOften, DeveloperAccessLocked, LimiterFailed: as ``admit``.
    """
    if not presented:
        raise InvalidKey(Reason.MALFORMED)
    actor = admit(presented, door=door, ip=ip, client=client, operation=lambda: operation, at=at)
    return Caller(actor, client, at)
