"""Small tables become one with the same rows, and what is too old goes; nobody who reads notices."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import AuditEvent
from apikeys.workflows import datasets, tables, upkeep
from apikeys.workflows.models import DatasetKind, DatasetVersion, Segment, SegmentKind, Table
from tests.asides import Aside, wait_for, wait_until_somebody_waits_for_a_lock
from tests.cast import Cast, assemble
from tests.workflows.logging import asked, exported, log, spans_of, update
from tests.workflows.sending import stream_of

FEW = 20


def files(folder: Path) -> int:
    return len([path for path in folder.rglob("*") if path.is_file()])


def test_small_tables_become_one_with_the_very_same_rows(
    cast: Cast, tables_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    bob = cast.actor(cast.bob)
    for number in range(FEW):
        extra = {"attributes.n": [number]} if number % 2 else {"attributes.text": [str(number)]}
        log(bob, cast.production, spans_of(f"s{number}", **extra))
    update(bob, cast.production, SegmentKind.EVALUATIONS, {"context.span_id": ["s3"], "eval.a.label": ["good"]})
    before = exported(bob, cast.production, asked())
    for path in tables_folder.rglob("*.parquet"):
        os.utime(path, (0, 0))  # written long ago

    with django_capture_on_commit_callbacks(execute=True):
        assert upkeep.merge_small(at=timezone.now()) == FEW

    assert exported(bob, cast.production, asked()).equals(before)
    assert Segment.objects.filter(kind=SegmentKind.ROWS).count() == 1
    assert Table.objects.count() == 2
    # Whoever was exporting goes on reading the old ones, until they are swept away.
    assert tables.sweep() == (0, 0)
    assert files(tables_folder) == FEW + 2
    assert tables.sweep(grace=0)[0] == FEW
    assert exported(bob, cast.production, asked()).equals(before)


def test_few_tables_large_ones_and_those_of_other_versions_stay_apart(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    for number in range(FEW - 1):
        log(bob, cast.production, spans_of(f"s{number}"))
    log(bob, cast.production, spans_of("of another version"), version="v2")
    log(bob, cast.production, spans_of("of another project"), name="other")
    log(bob, cast.production, spans_of(*(str(number) for number in range(10_000))))

    assert upkeep.merge_small(at=timezone.now()) == 0


@pytest.mark.django_db(transaction=True)
def test_what_is_deleted_meanwhile_does_not_come_back() -> None:
    cast = assemble()
    bob = cast.actor(cast.bob)
    for number in range(FEW):
        log(bob, cast.production, spans_of(f"s{number}"))
    merging = Aside(lambda: upkeep.merge_small(at=timezone.now()))

    with transaction.atomic():
        Segment.objects.order_by("pk")[0].delete()
        merging.start()
        wait_until_somebody_waits_for_a_lock()

    assert merging.finish() == 0
    assert Segment.objects.count() == FEW - 1


def test_old_rows_go_with_their_files_and_the_log_says_so(
    cast: Cast,
    tables_folder: Path,
    settings: Settings,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    bob, now = cast.actor(cast.bob), timezone.now()
    old = log(bob, cast.production, spans_of("a", "b"))
    log(bob, cast.production, spans_of("c"))
    Segment.objects.filter(pk=old.pk).update(created_at=now - timedelta(days=8))
    Segment.objects.exclude(pk=old.pk).update(created_at=now)

    assert upkeep.expire(at=now) == 0  # kept for ever by default
    settings.TABLE_DAYS = 7
    with django_capture_on_commit_callbacks(execute=True):
        assert upkeep.expire(at=now) == 1

    assert exported(bob, cast.production, asked())["context.span_id"].to_pylist() == ["c"]
    assert files(tables_folder) == 1
    event = AuditEvent.objects.get(tag="project:expire")
    assert (event.door, event.target_label, event.details["rows"]) == ("system", "chat", 2)


def test_it_is_the_same_table_for_pyarrow(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    for number in range(FEW):
        vector = pa.array([[0.5, number]], pa.list_(pa.float32()))
        log(bob, cast.production, spans_of(f"s{number}", **{"attributes.v": vector}))

    upkeep.merge_small(at=timezone.now())

    (segment,) = Segment.objects.all()
    rows = tables.read(segment.table).table()
    assert rows["attributes.v"].to_pylist() == [[0.5, float(number)] for number in range(FEW)]
    assert (segment.table.rows, segment.first_at) == (FEW, min(rows["time"].to_pylist()))


def test_data_that_cannot_be_looked_after_keeps_nothing_else_from_it(
    cast: Cast,
    tables_folder: Path,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bob, now = cast.actor(cast.bob), timezone.now()
    for name in ("chat", "good"):
        for number in range(FEW):
            log(bob, cast.production, spans_of(f"s{number}"), name=name)
    bad = Segment.objects.filter(project__name="chat")
    for path in (tables_folder / segment.table.file for segment in bad.select_related("table")):
        path.write_bytes(b"no table")

    upkeep.keep_up(at=now)

    assert Segment.objects.filter(project__name="good").count() == 1
    assert "could not be put together" in caplog.text

    settings.TABLE_DAYS = 7
    version = datasets.create_dataset(
        bob,
        cast.production,
        name="in the way",
        kind=DatasetKind.UNKNOWN,
        stream=stream_of(pa.table({"n": [1]})),
        at=now,
    )
    DatasetVersion.objects.filter(pk=version.pk).update(table=bad[0].table_id)
    upkeep.keep_up(at=now + timedelta(days=8))

    assert set(Segment.objects.values_list("project__name", flat=True)) == {"chat"}
    assert Segment.objects.count() == FEW
    assert "could not be deleted" in caplog.text


def test_tables_that_nothing_leads_to_go_with_their_files(
    cast: Cast, tables_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    bob, now = cast.actor(cast.bob), timezone.now()
    left, fresh, kept = (log(bob, cast.production, spans_of(name)) for name in ("left", "fresh", "kept"))
    Segment.objects.filter(pk__in=[left.pk, fresh.pk]).delete()
    Table.objects.filter(pk=fresh.table_id).update(created_at=now)

    with django_capture_on_commit_callbacks(execute=True):
        upkeep.keep_up(at=now)

    assert set(Table.objects.values_list("pk", flat=True)) == {fresh.table_id, kept.table_id}
    assert files(tables_folder) == 2
    assert upkeep.drop_unused(at=now) == 0


def test_what_comes_by_and_by_grows_old_all_the_same(cast: Cast, settings: Settings) -> None:
    """Put together with what is new, it would be as young as that, again and again."""
    bob, now = cast.actor(cast.bob), timezone.now()
    for number in range(FEW):
        old = log(bob, cast.production, spans_of(f"old {number}"))
        Segment.objects.filter(pk=old.pk).update(created_at=now - timedelta(days=8))
    upkeep.merge_small(at=now)
    for number in range(FEW):
        new = log(bob, cast.production, spans_of(f"new {number}"))
        Segment.objects.filter(pk=new.pk).update(created_at=now)

    upkeep.merge_small(at=now)
    settings.TABLE_DAYS = 7
    assert upkeep.expire(at=now) == 1

    kept = exported(bob, cast.production, asked())["context.span_id"].to_pylist()
    assert kept == [f"new {number}" for number in range(FEW)]


@pytest.mark.django_db(transaction=True)
def test_it_is_done_again_and_again_until_the_end(settings: Settings) -> None:
    settings.TABLE_DAYS = 7
    cast = assemble()
    ended = threading.Event()
    keeping = Aside(lambda: upkeep.keep_up_for_ever(ended, every=0.05))
    keeping.start()

    try:
        for name in ("first", "second"):
            log(cast.actor(cast.bob), cast.production, spans_of("a"), name=name)
            Segment.objects.update(created_at=timezone.now() - timedelta(days=8))
            wait_for(lambda: not Segment.objects.exists())
    finally:
        ended.set()

    assert keeping.finish() is None
    events = AuditEvent.objects.filter(tag="project:expire").order_by("pk")
    assert list(events.values_list("target_label", flat=True)) == ["first", "second"]


KINDS: dict[SegmentKind, Callable[[int], dict[str, Any]]] = {
    SegmentKind.EVALUATIONS: lambda n: {"eval.a.score": [float(n)], f"eval.{n % 3}.label": [str(n)]},
    SegmentKind.ANNOTATIONS: lambda n: {"annotation.a.score": [float(n)], f"annotation.{n % 3}.label": [str(n)]},
    SegmentKind.METADATA: lambda n: {"patch_document": [f'{{"a": {n}, "{n % 3}": {n}}}']},
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_said_one_by_one_becomes_one_and_means_the_same(cast: Cast, kind: SegmentKind) -> None:
    bob, space, say = cast.actor(cast.bob), cast.production, KINDS[kind]
    log(bob, space, spans_of("a", "b", "c"))
    for number in range(3 * FEW):
        update(bob, space, kind, {"context.span_id": ["abc"[number % 3]], **say(number)})
    # What is between them was said after some and before others.
    Segment.objects.update(created_at=timezone.now())
    large = Segment.objects.filter(kind=kind).order_by("pk")[FEW + 3]
    Table.objects.filter(pk=large.table_id).update(rows=10_000)
    before = exported(bob, space, asked())

    assert upkeep.merge_small(at=timezone.now()) == 3 * FEW - 1

    assert Segment.objects.filter(kind=kind).count() == 3
    assert exported(bob, space, asked()).equals(before)
    assert upkeep.merge_small(at=timezone.now()) == 0


def test_tables_with_columns_of_their_own_stay_apart(cast: Cast, settings: Settings) -> None:
    bob = cast.actor(cast.bob)
    for number in range(FEW):
        log(bob, cast.production, spans_of(f"s{number}", **{f"attributes.{number}": [number]}))
    Segment.objects.update(created_at=timezone.now())
    before = exported(bob, cast.production, asked())
    columns = len(before.column_names)
    settings.TABLE_MOST_COLUMNS = columns - 1
    assert upkeep.merge_small(at=timezone.now()) == 0

    settings.TABLE_MOST_COLUMNS = columns
    assert upkeep.merge_small(at=timezone.now()) == FEW
    assert exported(bob, cast.production, asked()).equals(before)
