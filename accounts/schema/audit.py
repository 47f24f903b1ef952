"""The account's audit log over GraphQL (contract rest-v2 §14.10): sign-ins as the vendor has them, and everything."""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum

import strawberry
from strawberry import Parent, Private

from accounts.audit import Tag
from accounts.errors import Invalid
from accounts.models import AuditEvent
from accounts.paging import Page, paginate
from accounts.schema.inquiry import Info, Inquiry
from accounts.schema.relay import DEFAULT_FIRST, Connection, Slice, connection, extend, told
from accounts.schema.types import Account
from accounts.trail import Filter, OperationType, all_events, operation_name, operation_type, usual_start
from accounts.wire import encode_id

_SIGN_INS = (Tag.SIGNED_IN, Tag.SIGN_IN_FAILED)
_ACCESS = "Account admins; forbidden to everybody else."
_RANGE = "Newest first; both ends of the time range count. Left out: the 30 days before the end, and now."


@strawberry.enum(description="Whether an operation changes anything.")
class AuditLogOperationType(Enum):
    """The kinds of operation."""

    QUERY = OperationType.QUERY
    MUTATION = OperationType.MUTATION
    SUBSCRIPTION = OperationType.SUBSCRIPTION


@strawberry.type(description="Who did something, by the name and address they had.")
class AuditLogUser:
    """Whoever an event is about to blame."""

    event: Private[AuditEvent]

    @told("The ID; null for somebody whom nobody knows, and for the operator.")
    def id(self) -> strawberry.ID | None:
        """Return the id."""
        return strawberry.ID(encode_id("User", self.event.actor_id)) if self.event.actor_id else None

    @told("The name, or what stood in its place.")
    def name(self) -> str:
        """Return the name."""
        return self.event.actor_label.partition(" <")[0]

    @told("The e-mail address, where there is one.")
    def email(self) -> str | None:
        """Return the address."""
        name, _, address = self.event.actor_label.partition(" <")
        return address.rstrip(">") or (name if "@" in name else None)


@strawberry.type(description="A sign-in, or an attempt at one.")
class UnauthenticatedAuditLog:
    """What happened before anybody was known."""

    event: Private[AuditEvent]

    @told("The ID, the same as over REST.")
    def id(self) -> strawberry.ID:
        """Return the id."""
        return strawberry.ID(encode_id("AuditEvent", self.event.pk))

    @told("Who it was, or said they were.")
    def user(self) -> AuditLogUser:
        """Return who it was."""
        return AuditLogUser(event=self.event)

    @told("The address it came from.")
    def ip(self) -> str | None:
        """Return the address."""
        return self.event.ip

    @told("Whether they got in.")
    def success(self) -> bool:
        """Whether it succeeded."""
        return self.event.tag == Tag.SIGNED_IN

    @told("What was attempted.")
    def mutation_name(self) -> str:
        """Return the operation, by its action: no API is involved."""
        return operation_name(self.event)

    @told("When.")
    def logged_at(self) -> datetime:
        """Return the moment."""
        return self.event.at


@strawberry.type(description="A change, a refusal that matters, a sign-in or an export.")
class AuditLog:
    """What happened."""

    event: Private[AuditEvent]

    @told("The ID, the same as over REST.")
    def id(self) -> strawberry.ID:
        """Return the id."""
        return strawberry.ID(encode_id("AuditEvent", self.event.pk))

    @told("Who did it.")
    def user(self) -> AuditLogUser:
        """Return who did it."""
        return AuditLogUser(event=self.event)

    @told("The address it came from.")
    def ip(self) -> str | None:
        """Return the address."""
        return self.event.ip

    @told("Whether it changes anything.")
    def operation_type(self) -> AuditLogOperationType:
        """Return the kind of operation."""
        return AuditLogOperationType(OperationType(operation_type(self.event)))

    @told("The GraphQL field, the REST endpoint, or for what came through no API the action.")
    def operation_name(self) -> str:
        """Return the operation's name."""
        return operation_name(self.event)

    @told("The document or the body, without keys.")
    def operation_text(self) -> str:
        """Return the text."""
        return self.event.operation_text

    @told("The variables as a JSON object, in a string.")
    def variables(self) -> str:
        """Return the variables as text."""
        return json.dumps(self.event.variables, ensure_ascii=False)

    @told("What happened, as subject:action.")
    def action(self) -> str:
        """Return the tag."""
        return self.event.tag

    @told("Whether it was carried out, rather than refused.")
    def success(self) -> bool:
        """Whether it succeeded."""
        return self.event.outcome == "SUCCEEDED"

    @told("What it was done to, by the name that had then.")
    def target(self) -> str:
        """Return the name of the target."""
        return self.event.target_label

    @told("When.")
    def logged_at(self) -> datetime:
        """Return the moment."""
        return self.event.at


@told(f"Who signed in, or tried to. {_RANGE}", access=_ACCESS)
def _sign_ins(
    root: Parent[Account],
    info: Info,
    first: int | None = DEFAULT_FIRST,
    after: str | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
) -> Connection[UnauthenticatedAuditLog] | None:
    """Return sign-ins."""
    which = Slice.of(first, after)
    page = _page(info.context, which, start_time, end_time, tags=_SIGN_INS)
    return connection(page, lambda event: UnauthenticatedAuditLog(event=event), which)


@told(f"Everything that happened in the account. {_RANGE}", access=_ACCESS)
def _everything(
    root: Parent[Account],
    info: Info,
    first: int | None = DEFAULT_FIRST,
    after: str | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
) -> Connection[AuditLog] | None:
    """Return all events."""
    which = Slice.of(first, after)
    page = _page(info.context, which, start_time, end_time)
    return connection(page, lambda event: AuditLog(event=event), which)


extend(Account, unauthenticated_audit_logs=_sign_ins, audit_logs=_everything)


def _page(
    inquiry: Inquiry, which: Slice, start: datetime | None, end: datetime | None, *, tags: tuple[Tag, ...] = ()
) -> Page[AuditEvent]:
    events = all_events(inquiry.actor)
    end = end or inquiry.at
    start = start or usual_start(end)
    if start > end:
        raise Invalid("startTime must not be later than endTime.", field="startTime")
    events = Filter(since=start, until=end).apply(events)
    return paginate(events.filter(tag__in=tags) if tags else events, cursor=which.cursor, limit=which.limit)
