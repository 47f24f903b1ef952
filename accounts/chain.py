"""Checking the audit log: are the events of an account still the unbroken chain that the database made of them?

What an event's hash covers is said twice: in the database's own function (migration 0003), which fastens events, and
here. Checking recomputes every hash from the columns and asks nothing of that function, which might have been changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from django.db.models import CharField, Expression, F, Func, QuerySet, TextField, Value
from django.db.models.functions import Cast

from accounts.models import Account, AuditChain, AuditEvent

# What the first event of a chain has for a predecessor.
BEGINNING = bytes(32)
_FORMAT = "arizekeys audit 1"
_BATCH = 1000
_INSTALLATION = 0


def _text(name: str) -> Expression:
    return Cast(name, TextField())


# Every column that the hash covers, in its order, as the text that PostgreSQL gives for it.
_TEXTS: dict[str, Expression | F] = {
    "previous": Func(F("previous"), Value("hex"), function="encode", output_field=CharField()),
    "position": _text("position"),
    "id": _text("id"),
    "account_id": _text("account_id"),
    # JSON's spelling of a moment: the same in every session, and different for any two moments.
    "at": Func(F("at"), template="to_jsonb(%(expressions)s AT TIME ZONE 'UTC') #>> '{}'", output_field=CharField()),
    "tag": F("tag"),
    "outcome": F("outcome"),
    "door": F("door"),
    "actor_id": _text("actor_id"),
    "actor_label": F("actor_label"),
    "key_id": _text("key_id"),
    "ip": _text("ip"),
    "target_type": F("target_type"),
    "target_id": _text("target_id"),
    "target_label": F("target_label"),
    "operation_type": F("operation_type"),
    "operation_name": F("operation_name"),
    "operation_text": F("operation_text"),
    "variables": _text("variables"),
    "details": _text("details"),
}
COLUMNS = tuple(_TEXTS)
_AT = COLUMNS.index("at")


class Head(NamedTuple):
    """Where a chain ends, or ended once: noted elsewhere, it shows later that nothing up to there was rewritten."""

    position: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.position}:{self.hash.hex()}"


class Link(NamedTuple):
    """One event as a link of its chain."""

    number: int
    at: str
    position: int
    previous: bytes
    hash: bytes
    content: bytes  # the hash that its columns really have


@dataclass(frozen=True)
class Fault:
    """The first place where a chain is not as it was made: the event, where there is one, and what is wrong.

    ``at`` is a moment in UTC as the database spells it: what was forged need not be one that Python knows.
    """

    position: int
    what: str
    number: int | None = None
    at: str | None = None


@dataclass(frozen=True)
class Report:
    """What checking one account's chain came to: how far it holds, and what is wrong behind that."""

    account_id: int | None
    account_name: str
    good: Head
    fault: Fault | None


def chains(account: Account | None = None) -> list[int | None]:
    """Return whose chains there are: of one account, or of all, the installation's own (``None``) first."""
    if account is not None:
        return [account.pk]
    ends = {number or None for number in AuditChain.objects.values_list("chain", flat=True)}
    found = ends | set(AuditEvent.objects.order_by().values_list("account_id", flat=True).distinct())
    return sorted(found, key=lambda number: number or _INSTALLATION)


def check(account_id: int | None, *, expected: set[Head] | None = None) -> Report:
    """Walk one chain from its beginning until it ends or breaks. Heads met on the way are taken out of ``expected``.

    Memory stays the same however long it is. What is added meanwhile is left for next time.
    """
    looked_for = set() if expected is None else expected
    end = _end(account_id)
    if end is None:
        # An event and the end that names it are committed together: what is looked at first may not be there yet.
        end = _end(account_id) if _events(account_id).exists() else Head(0, BEGINNING)
    good = Head(0, BEGINNING)
    for link in _links(account_id, until=end.position if end else None):
        fault = _broken(link, good)
        if fault is not None:
            return Report(account_id, _name(account_id), good, fault)
        good = Head(link.position, link.hash)
        looked_for.discard(good)
    return Report(account_id, _name(account_id), good, _end_broken(good, end) or _behind_the_end(account_id))


def walk(account: Account | None = None, *, expected: set[Head] | None = None) -> Iterator[Report]:
    """Check one account's chain after the other, or only one: those that are there, and those that have to be.

    An account's creation is its first event, so that one without any has lost its log, end and all.
    """
    # Looked up before the chains: an account and its first event are committed together.
    have_begun = {account.pk} if account else set(Account.objects.values_list("pk", flat=True))
    for number in sorted({*have_begun, *chains(account)}, key=lambda number: number or _INSTALLATION):
        report = check(number, expected=expected)
        if number in have_begun and report.fault is None and report.good.position == 0:
            report = replace(report, fault=Fault(1, "the whole log of this account is missing, and where it ended"))
        yield report


def fingerprint(texts: Sequence[str | None]) -> bytes:
    """Return the hash of an event's columns, given as text in the order of ``COLUMNS``."""
    digest = hashlib.sha256()
    for text in (_FORMAT, *texts):
        raw = None if text is None else text.encode()
        digest.update(b"-," if raw is None else b"%d:%b," % (len(raw), raw))
    return digest.digest()


def _links(account_id: int | None, *, until: int | None) -> Iterator[Link]:
    """Yield a chain's events in its order, fetched in portions."""
    events = _events(account_id).order_by("position", "pk")
    if until is not None:
        events = events.filter(position__lte=until)
    rows = events.values_list("pk", "position", "previous", "hash", *_TEXTS.values())
    batch = list(rows[:_BATCH])
    while batch:
        for number, position, previous, digest, *texts in batch:
            yield Link(number, texts[_AT], position, bytes(previous), bytes(digest), fingerprint(texts))
        number, position, *_ = batch[-1]
        # By number as well: whoever forges a position twice has also taken away what forbids that.
        behind = rows.filter(position__gte=position).exclude(position=position, pk__lte=number)
        batch = list(behind[:_BATCH])


def _broken(link: Link, before: Head) -> Fault | None:
    what = None
    if link.position > before.position + 1:
        missing = link.position - before.position - 1
        what = f"{_events_are(missing)} missing before it"
    elif link.position <= before.position:
        what = "its position is taken: it was put in later"
    elif link.hash != link.content:
        what = "its content was changed"
    elif link.previous != before.hash:
        what = "the event before it is not the one it was fastened to"
    return Fault(link.position, what, link.number, link.at) if what else None


def _end_broken(good: Head, end: Head | None) -> Fault | None:
    """Compare how far a chain goes to where the database last fastened an event."""
    if end is None:
        return Fault(good.position, "the record of where the chain ends is missing") if good.position else None
    if end.position > good.position:
        return Fault(good.position + 1, f"the end is cut off: {_events_are(end.position - good.position)} missing")
    return None if end.hash == good.hash else Fault(good.position, "the record of the chain's end names another event")


def _behind_the_end(account_id: int | None) -> Fault | None:
    """Look for events that nobody fastened. In this order, since others go on writing: first events, then the end."""
    last = _events(account_id).order_by("-position").values_list("position", "pk", _TEXTS["at"]).first()
    end = _end(account_id)
    if last is None or end is None or last[0] <= end.position:
        return None
    position, number, at = last
    return Fault(position, "it lies behind the end of the chain: it was put in later", number, at)


def _end(account_id: int | None) -> Head | None:
    row = AuditChain.objects.filter(chain=account_id or _INSTALLATION).first()
    return Head(row.position, bytes(row.hash)) if row else None


def _events_are(count: int) -> str:
    return "1 event is" if count == 1 else f"{count} events are"


def _events(account_id: int | None) -> QuerySet[AuditEvent]:
    events = AuditEvent.objects.all()
    return events.filter(account_id__isnull=True) if account_id is None else events.filter(account_id=account_id)


def _name(account_id: int | None) -> str:
    if account_id is None:
        return "the installation"
    name = Account.objects.filter(pk=account_id).values_list("name", flat=True).first()
    return name or f"account {account_id}, which is gone"
