"""From a call's metadata to whoever calls: asked for every call, however long its connection is open."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.utils import timezone

from accounts.actors import Actor, Door, Operation
from accounts.errors import Invalid
from accounts.models import Space
from apikeys.authentication import legible
from apikeys.errors import UnsafeRequest
from apikeys.workflows import callers
from apikeys.workflows.callers import Caller
from apikeys.workflows.grpc.headers import read_headers
from apikeys.workflows.grpc.server import Call
from apikeys.workflows.uses import Workflow

_KEPT_OF_COMMAND = 4_000


@dataclass(frozen=True)
class Visitor:
    """Whoever calls, and what their call named besides its command."""

    caller: Caller
    space_header: str | None

    @property
    def actor(self) -> Actor:
        """Who acts."""
        return self.caller.actor

    def note(self, workflow: Workflow, space: Space | None) -> None:
        """Count that a workflow was used."""
        self.caller.note(workflow, space)

    def space(self, wire_id: str) -> Space:
        """Return the space that a command names: for every command the same refusal where it is not to be seen.

        Raises:
            Invalid: none is named, or that is no space's id.
            UnsafeRequest: the metadata name another one.
            Forbidden: there is none, or the caller may not know of it.
        """
        if not wire_id:
            raise Invalid("Name the space: spaceId in a Flight command, the header arize-space-id for OpenTelemetry.")
        if self.space_header is not None and wire_id != self.space_header:
            raise UnsafeRequest("The command and the metadata name two different spaces.")
        return self.caller.reach(wire_id)


def let_in(call: Call, door: Door) -> Visitor:
    """Let in whoever calls.

    Raises:
        PlainConnection, UnsafeRequest: the key came where it should not, or not alone.
        InvalidKey, TooOften, DeveloperAccessLocked, LimiterFailed: as ``admit``.
        TooManyCalls: the key has as many open as one may have.
    """
    headers = read_headers(call.context)
    caller = callers.let_in(
        headers.key,
        door=door,
        ip=headers.ip,
        client=headers.client,
        operation=Operation(name=call.method),
        at=timezone.now(),
    )
    call.belongs_to(caller.actor)
    return Visitor(caller, headers.space)


def asking(visitor: Visitor, call: Call, *, kind: str, member: str, command: bytes) -> Visitor:
    """Say what is asked, once that is known: the audit trail tells of it."""
    text = legible(command.decode("utf-8", "replace"))[:_KEPT_OF_COMMAND]
    operation = Operation(kind=kind, name=f"{call.method} {member}".rstrip(), text=text)
    call.actor = replace(visitor.actor, operation=operation)
    return replace(visitor, caller=replace(visitor.caller, actor=call.actor))
