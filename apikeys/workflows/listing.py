"""The spans of a project a page at a time, newest first, and what a person says of some of them.

A page is found by going through the spans of its time: whoever wants all of them exports them.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from accounts.actors import Actor
from accounts.errors import Invalid, NotAllowed
from accounts.models import Project
from accounts.permissions import require
from accounts.vocabulary import Permission
from apikeys.workflows import exports, values
from apikeys.workflows.editing import Value, annotated
from apikeys.workflows.edits import of_rows
from apikeys.workflows.exports import ExportQuery
from apikeys.workflows.models import Environment, SegmentKind
from apikeys.workflows.rows import Slice
from apikeys.workflows.spans import Updated, update_spans
from apikeys.workflows.uploads import SPAN_ID, TIME, TRACE_ID

# How far back a list goes that does not say (SDK 8.61, list_spans).
USUAL_RANGE = timedelta(days=7)

Key = tuple[int, str, str]


def list_spans(
    actor: Actor,
    project: Project,
    *,
    start: datetime,
    end: datetime,
    condition: str | None = None,
    cursor: str | None = None,
    limit: int,
) -> Slice:
    """Return a page of the spans that began between two moments, both included; later ones first.

    Raises:
        NotFound, Forbidden: the project is not the actor's to see, or its spans not theirs to read.
        Invalid: the times make no sense, or the cursor is none of ours.
        NotAllowed: the condition cannot be read.
        StorageFailed: they cannot be read at the moment.
    """
    require(actor, Permission.PROJECT_SPAN_READ, project)
    before = _open(cursor)
    query = ExportQuery(
        project=project.name,
        environment=Environment.TRACING,
        start=start,
        end=end + timedelta(microseconds=1),
        filter=condition or "",
    )
    try:
        export = exports.prepare(actor, project.space, query)
        if not export.rows:
            return Slice([], None)
        found = _latest(export.batches(), before, limit + 1)
    except Invalid as error:
        if error.field == "filter":
            raise NotAllowed(error.detail, field="filter") from error
        raise
    page = found[:limit]
    return Slice([row for _, row in page], _seal(page[-1][0]) if len(found) > limit else None)


def annotate_spans(actor: Actor, project: Project, said: Mapping[str, Sequence[Value]], *, at: datetime) -> Updated:
    """Say something of spans, by their ids: of all of them, or of none.

    Raises:
        TooLarge: they are annotated with more names than columns may be.
        NotFound, Forbidden: the project is not the actor's to see, or to annotate; or there is no such span.
        StorageFailed: there is no room.
    """
    require(actor, Permission.PROJECT_SPAN_ANNOTATE, project)
    changes = annotated(said, actor, at=at)
    stream = of_rows([{SPAN_ID: one, **change} for one, change in changes.items()])
    return update_spans(
        actor,
        project.space,
        project_name=project.name,
        kind=SegmentKind.ANNOTATIONS,
        stream=stream,
        at=at,
        all_or_none=True,
    )


def _latest(batches: Iterator[pa.RecordBatch], before: Key | None, count: int) -> list[tuple[Key, dict[str, Any]]]:
    """Return the rows that began last, of those that began before a place; as many as are wanted."""
    latest: list[tuple[Key, int, dict[str, Any] | None]] = []
    start = 0
    for batch in batches:
        # Of rows with one key the first to come counts as the later one.
        coming = ((key, -start - place, None) for place, key in enumerate(_keys(batch)))
        fitting = (entry for entry in coming if before is None or entry[0] < before)
        found = heapq.nlargest(count, itertools.chain(latest, fitting), key=lambda entry: entry[:2])
        # To take a row out of its columns is dear, and most that are the latest so far are not in the end.
        latest = [(key, number, _row(batch, -number - start) if row is None else row) for key, number, row in found]
        start += batch.num_rows
    return [(key, row) for key, _, row in latest if row is not None]


def _row(batch: pa.RecordBatch, place: int) -> dict[str, Any]:
    return values.records(batch.slice(place, 1))[0]


def _keys(batch: pa.RecordBatch) -> Iterator[Key]:
    names = batch.schema.names
    began = batch.column(TIME).cast(pa.int64()).to_pylist()  # always there, and always nanoseconds
    ids = [values.texts(batch.column(name)) if name in names else [""] * batch.num_rows for name in (TRACE_ID, SPAN_ID)]
    for start, trace, span in zip(began, *ids, strict=True):
        yield start, trace or "", span or ""


def _seal(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def _open(cursor: str | None) -> Key | None:
    if not cursor:
        return None
    try:
        start, trace, span = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_"))
    except (binascii.Error, UnicodeError, ValueError, TypeError, RecursionError):
        start = trace = span = None
    if type(start) is not int or not isinstance(trace, str) or not isinstance(span, str):
        raise Invalid("This cursor is not one that a list returned; start again without it.", field="cursor")
    return start, trace, span
