"""What is done about stored rows when nobody asks: small tables are put together, and old rows go.

Traces come one span a call, and single records one a call, each as a table of its own: a thousand of them take a
thousand files to be opened by whoever exports. So the small ones of one kind become one, with the very same rows, and
so do actuals, evaluations and annotations that come one by one. Those who are reading the old ones go on reading them:
their files stay until they are swept away.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pyarrow as pa
from django.conf import settings
from django.db import connection, transaction
from django.db.models import BooleanField, Count, ExpressionWrapper, Q
from django.db.models.functions import TruncDate
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.audit import Tag, record
from accounts.models import Account, Project
from apikeys.workflows import tables
from apikeys.workflows.models import Segment, SegmentKind, Table
from apikeys.workflows.shapes import conformed, rows_at_once, unified
from apikeys.workflows.streams import Stream

logger = logging.getLogger("apikeys.workflows.upkeep")

_EVERY = 3_600.0
# Tables with fewer rows are put together, as soon as there are so many of them, and no more at once.
_SMALL = 10_000
_FEW = 20
_MOST = 1_000
# Of one day, too: else what comes by and by would be put together with what is new, and never grow old.
_SAME = ("environment", "kind", "model_version", "batch_id", "day")


def merge_small(*, at: datetime) -> int:
    """Put small tables together, one project after the other; return how many tables that made out of how many."""
    merged = 0
    for project, numbers in [*_alike(), *_neighbours()]:
        with _whatever_happens("Small tables of project %s could not be put together", project):
            merged += _merge(numbers[:_MOST], at=at)
    return merged


def expire(*, at: datetime) -> int:
    """Delete what was logged longer ago than rows are kept (0 days keep everything); return how many tables it was."""
    days: int = settings.TABLE_DAYS
    if not days:
        return 0
    old: dict[int, list[Segment]] = defaultdict(list)
    for segment in Segment.objects.filter(created_at__lt=at - timedelta(days=days)).select_related("table"):
        old[segment.project_id].append(segment)
    expired = 0
    for number, segments in sorted(old.items()):
        with _whatever_happens("Old tables of project %s could not be deleted", number):
            _expire(number, segments, at=at)
            expired += len(segments)
    return expired


def drop_unused(*, at: datetime) -> int:
    """Delete tables that nothing leads to any more, and their files; return how many there were.

    A table comes with what leads to it, in one transaction: the time of grace is for what is done differently one day.
    """
    grace = timedelta(seconds=tables.GRACE)
    unused = Table.objects.filter(dataset_version=None, experiment=None, segment=None, created_at__lt=at - grace)
    with transaction.atomic():
        _, counts = unused.delete()
    return counts.get(Table._meta.label, 0)


def keep_up(*, at: datetime) -> None:
    """Do all there is to do, once; what fails keeps nothing else from being done."""
    with _whatever_happens("Old tables could not be deleted"):
        expire(at=at)
    with _whatever_happens("Small tables could not be put together"):
        merge_small(at=at)
    with _whatever_happens("Tables that nothing leads to could not be deleted"):
        drop_unused(at=at)
    with _whatever_happens("Left-over files could not be swept away"):
        tables.sweep()


def keep_up_for_ever(ended: threading.Event, *, every: float = _EVERY) -> None:
    """Do it every hour, or as many seconds, until told to end: the body of a thread."""
    while not ended.wait(every):
        keep_up(at=timezone.now())
        connection.close()


@contextlib.contextmanager
def _whatever_happens(message: str, *about: object) -> Iterator[None]:
    """Log what goes wrong, and go on: nobody's data may keep that of others from being looked after."""
    try:
        yield
    except Exception:
        logger.exception(message, *about)


def _alike() -> Iterator[tuple[int, list[int]]]:
    """Find small tables of rows that go together: whose they are, and their segments' numbers."""
    small = Segment.objects.annotate(day=TruncDate("created_at"))
    small = small.filter(kind=SegmentKind.ROWS, table__rows__lt=_SMALL)
    crowded = small.values("project", *_SAME).annotate(n=Count("pk")).filter(n__gte=_FEW).order_by("project")
    for group in crowded:
        alike = {name: group[name] for name in _SAME}
        rows = small.filter(project=group["project"], **alike).order_by("pk")
        yield group["project"], list(rows.values_list("pk", flat=True)[:_MOST])


def _neighbours() -> Iterator[tuple[int, list[int]]]:
    """Find small tables of what is laid over rows, as :func:`_alike` does.

    What was said later wins, so that only those go together between which nothing else of their kind was said. (What
    kinds say of a row lies in different columns.)
    """
    said = Segment.objects.exclude(kind=SegmentKind.ROWS).annotate(
        day=TruncDate("created_at"),
        is_small=ExpressionWrapper(Q(table__rows__lt=_SMALL), output_field=BooleanField()),
    )
    crowded = said.filter(is_small=True).values("project", "environment", "kind").annotate(n=Count("pk"))
    for group in crowded.filter(n__gte=_FEW).order_by("project"):
        alike = {name: group[name] for name in ("project", "environment", "kind")}
        rows = said.filter(**alike).order_by("pk").values_list("day", "is_small", "pk")
        for (_, is_small), run in itertools.groupby(rows, key=lambda row: row[:2]):
            numbers = [number for *_, number in run]
            if is_small and len(numbers) >= _FEW:
                yield group["project"], numbers


def _merge(numbers: Sequence[int], *, at: datetime) -> int:
    rows = Segment.objects.filter(pk__in=numbers).order_by("pk")
    segments = list(rows.select_related("table", "project__space__organization__account"))
    if len(segments) < len(numbers):
        return 0  # some were deleted meanwhile, and must not come back
    project = segments[0].project
    schema = unified(tables.read(segment.table).schema for segment in segments)
    if len(schema) > tables.limits().columns:
        return 0  # each with columns of its own: nulls would be most of it
    with tables.drafted(Stream(schema, _rows(segments, schema))) as draft, transaction.atomic():
        locked = rows.select_for_update(of=("self",))
        if len(locked) < len(segments):
            return 0
        table = draft.keep(_upkeep(project.space.organization.account), project.space, at=at)
        _stand_in(segments, table)
    return len(segments)


def _rows(segments: Sequence[Segment], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for segment in segments:
        for batch in tables.read(segment.table, batch_rows=rows_at_once(schema, tables.READ_ROWS)).batches:
            yield conformed(batch, schema)


def _stand_in(segments: Sequence[Segment], table: Table) -> None:
    """Let the first segment have the rows of all, and the place that its number gives it."""
    first, rest = segments[0], segments[1:]
    begins = [one.first_at for one in segments if one.first_at is not None]
    ends = [one.last_at for one in segments if one.last_at is not None]
    Segment.objects.filter(pk=first.pk).update(
        table=table,
        first_at=min(begins, default=None),
        last_at=max(ends, default=None),
        created_at=max(one.created_at for one in segments),
    )
    Segment.objects.filter(pk__in=[one.pk for one in rest]).delete()
    with tables.files_stay():
        Table.objects.filter(pk__in=[one.table_id for one in segments]).delete()


def _expire(number: int, segments: Sequence[Segment], *, at: datetime) -> None:
    with transaction.atomic():
        projects = Project.objects.select_for_update(of=("self",)).select_related("space__organization__account")
        project = projects.filter(pk=number).first()
        if project is None:
            return
        Segment.objects.filter(pk__in=[one.pk for one in segments]).delete()
        Table.objects.filter(pk__in=[one.table_id for one in segments]).delete()
        actor = _upkeep(project.space.organization.account)
        record(actor, Tag.PROJECT_EXPIRED, project, at=at, rows=sum(one.table.rows for one in segments))


def _upkeep(account: Account) -> Actor:
    return Actor(user=None, account=account, door=Door.SYSTEM, is_operator=True)
