"""Small tables become one with the same rows, and what is too old goes; nobody who reads notices."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import AuditEvent
from apikeys.workflows import tables, upkeep
from apikeys.workflows.models import Segment, SegmentKind, Table
from apikeys.workflows.streams import Stream
from tests.cast import Cast
from tests.workflows.logging import asked, exported, log, spans_of, update

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


def test_what_was_deleted_meanwhile_does_not_come_back(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = cast.actor(cast.bob)
    for number in range(FEW):
        log(bob, cast.production, spans_of(f"s{number}"))
    written = tables.drafted

    def deleting(stream: Stream) -> object:
        Segment.objects.order_by("pk")[0].delete()
        return written(stream)

    monkeypatch.setattr(tables, "drafted", deleting)

    assert upkeep.merge_small(at=timezone.now()) == 0
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
    monkeypatch: pytest.MonkeyPatch,
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
    expire, failing = upkeep._expire, bad[0].project_id

    def expire_but_one(number: int, *args: Any, **options: Any) -> None:
        if number == failing:
            raise OverflowError
        expire(number, *args, **options)

    monkeypatch.setattr(upkeep, "_expire", expire_but_one)
    upkeep.keep_up(at=now + timedelta(days=8))

    assert set(Segment.objects.values_list("project__name", flat=True)) == {"chat"}
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
