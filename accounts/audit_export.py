"""The audit log as a file: one generator of rows, and a writer each for NDJSON and CSV.

The page and the command differ only in where they pour it. Exporting is an event itself, recorded before the first row
leaves, and it reads page by page, so that a long log neither fills memory nor holds a transaction open.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet, TextChoices

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.models import AuditEvent
from accounts.trail import KEY_TYPE, Filter, addresses_for, sees_everything, visible_events
from accounts.verbs import verb
from accounts.wire import encode_id

_BATCH = 1000
COLUMNS = (
    "id",
    "at",
    "action",
    "outcome",
    "door",
    "actor",
    "actor_id",
    "key_id",
    "ip",
    "target_type",
    "target",
    "target_id",
    "operation_type",
    "operation_name",
    "operation_text",
    "variables",
    "details",
    "account_id",
    "position",
    "previous",
    "hash",
)
# A spreadsheet takes a cell that begins with one of these for a formula (security.md 39), full-width forms included.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


class Format(TextChoices):
    """How rows are written."""

    NDJSON = "ndjson", "NDJSON"
    CSV = "csv", "CSV"

    @property
    def content_type(self) -> str:
        """The media type of the file."""
        return "application/x-ndjson" if self is Format.NDJSON else "text/csv; charset=utf-8"


@verb(Tag.AUDIT_EXPORTED)
def export_events(actor: Actor, *, narrowed: Filter, form: Format, at: datetime) -> Iterator[str]:
    """Record the export and return its lines, newest first. What one may read one may take along.

    The rows are those up to this moment: the event of the export itself is not among them.
    """
    account = actor.require_account()
    event = record(actor, Tag.AUDIT_EXPORTED, account, at=at, format=form.label, narrowed=narrowed.described())
    events = narrowed.apply(visible_events(actor)).filter(pk__lt=event.pk)
    return _WRITERS[form](rows(events, addresses_for(actor), with_hashes=sees_everything(actor)))


def rows(
    events: QuerySet[AuditEvent], address: Callable[[AuditEvent], str | None], *, with_hashes: bool
) -> Iterator[dict[str, Any]]:
    """Yield each event as a flat row, newest first, with the address its reader may know.

    Whoever may not know all addresses gets no hashes either: trying all addresses there are would tell the right one.
    """
    after: int | None = None
    while True:
        batch = list((events.filter(pk__lt=after) if after else events).order_by("-pk")[:_BATCH])
        for event in batch:
            row = _row(event) | {"ip": address(event)}
            yield row if with_hashes else row | {"previous": None, "hash": None}
        if len(batch) < _BATCH:
            return
        after = batch[-1].pk


def as_ndjson(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield one JSON object a line."""
    for row in found:
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


def as_csv(found: Iterable[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> Iterator[str]:
    """Yield CSV lines (RFC 4180) in which no cell is a formula."""
    writer = csv.writer(_Line(), quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    yield str(writer.writerow(columns))
    for row in found:
        yield str(writer.writerow([_cell(row[name]) for name in columns]))


_WRITERS: dict[Format, Callable[[Iterable[dict[str, Any]]], Iterator[str]]] = {
    Format.NDJSON: as_ndjson,
    Format.CSV: as_csv,
}


class _Line:
    """What ``csv.writer`` writes to; ``writerow`` returns what this returns."""

    def write(self, text: str) -> str:
        return text


def _row(event: AuditEvent) -> dict[str, Any]:
    return {
        "id": encode_id("AuditEvent", event.pk),
        "at": event.at.isoformat(),
        "action": event.tag,
        "outcome": event.outcome,
        "door": event.door,
        "actor": event.actor_label,
        "actor_id": encode_id("User", event.actor_id) if event.actor_id else None,
        "key_id": encode_id(KEY_TYPE, event.key_id) if event.key_id else None,
        "ip": event.ip,
        "target_type": event.target_type,
        "target": event.target_label,
        "target_id": encode_id(event.target_type, event.target_id) if event.target_type and event.target_id else None,
        "operation_type": event.operation_type,
        "operation_name": event.operation_name,
        "operation_text": event.operation_text,
        "variables": event.variables,
        "details": event.details,
        "account_id": encode_id("Account", event.account_id) if event.account_id else None,
        "position": event.position,
        "previous": bytes(event.previous).hex(),
        "hash": bytes(event.hash).hex(),
    }


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False) if value else ""
    text = str(value)
    # The apostrophe tells a spreadsheet that what follows is text; a space before the sign would not stop it.
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
