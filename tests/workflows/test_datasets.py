"""Datasets: who may do what with them, what is recorded, and versions that stay linear whoever writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.db import connections
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from accounts.actors import Actor, Door
from accounts.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from accounts.models import Account, AccountBinding, AuditEvent, SpaceBinding, User
from accounts.tenancy import delete_space
from apikeys.errors import DeveloperAccessLocked, InvalidKey, Reason
from apikeys.lifecycle import NewKey, refresh_key, revoke_key
from apikeys.verification import verify
from apikeys.workflows import datasets, experiments
from apikeys.workflows.models import Dataset, DatasetKind, DatasetVersion, Table
from apikeys.workflows.streams import Stream
from tests.cast import Cast, assemble
from tests.factories import service_key, user_key
from tests.workflows.sending import stream_of

ROWS = pa.table({"id": ["a", "b"], "question": ["1 + 1?", None], "n": pa.array([1, None], pa.int16())})


def numbered(number: int) -> pa.Table:
    return pa.table({"id": [f"from {number}"]})


def made(cast: Cast, actor: Actor | None = None, name: str = "questions", rows: pa.Table = ROWS) -> DatasetVersion:
    return datasets.create_dataset(
        actor or cast.actor(cast.bob),
        cast.production,
        name=name,
        kind=DatasetKind.GENERATIVE,
        stream=stream_of(rows),
        at=timezone.now(),
    )


def with_key(cast: Cast, person: User) -> tuple[Actor, NewKey]:
    key = user_key(person, cast.account)
    return as_key(cast, key), key


def as_key(cast: Cast, key: NewKey) -> Actor:
    opened = verify(key.plaintext, at=timezone.now())
    return replace(cast.actor(opened.user, Door.FLIGHT), key_id=opened.key_id, secret_id=opened.secret_id)


def nothing_is_stored(folder: Path) -> bool:
    return not Table.objects.exists() and not [path for path in folder.rglob("*") if path.is_file()]


def unread() -> Stream:
    """Return a stream that nobody may read from."""
    return Stream(ROWS.schema, map(_fail, ROWS.to_batches()))


def _fail(batch: pa.RecordBatch) -> pa.RecordBatch:
    pytest.fail("The data was read before anybody asked who sends it.")


def test_a_dataset_comes_back_as_it_was_made(cast: Cast) -> None:
    bob, at = cast.actor(cast.bob), timezone.now()

    version = made(cast)

    dataset = datasets.find_dataset(bob, cast.production, name="questions")
    assert (version.number, version.name, dataset.kind, dataset.last_writer) == (1, "v1", "GENERATIVE", str(cast.bob))
    assert datasets.read_rows(bob, datasets.find_version(bob, dataset)).table().equals(ROWS, check_metadata=True)
    event = AuditEvent.objects.get(tag="dataset:create")
    assert (event.target_label, event.details["rows"], event.at >= at) == ("questions", 2, True)


def test_versions_are_found_by_name_and_the_newest_without_one(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    dataset = made(cast).dataset

    second = datasets.add_version(bob, dataset, stream=stream_of(numbered(2)), at=timezone.now(), name="better")

    assert [version.name for version in datasets.versions_of(bob, dataset)] == ["better", "v1"]
    assert datasets.find_version(bob, dataset) == second
    assert datasets.read_rows(bob, datasets.find_version(bob, dataset, name="v1")).table().equals(ROWS)
    with pytest.raises(NotFound, match="no such version"):
        datasets.find_version(bob, dataset, name="v2")
    with pytest.raises(Conflict, match="already has a version “better”"):
        datasets.add_version(bob, dataset, stream=stream_of(ROWS), at=timezone.now(), name="better")


def test_every_change_falls_into_another_second(cast: Cast) -> None:
    bob, at = cast.actor(cast.bob), timezone.now()
    dataset = made(cast).dataset
    seen = [int(dataset.updated_at.timestamp())]

    for number in range(3):
        datasets.add_version(bob, dataset, stream=stream_of(numbered(number)), at=at)
        dataset.refresh_from_db()
        seen.append(int(dataset.updated_at.timestamp()))
    datasets.rename_dataset(bob, dataset, name="renamed", at=at)
    dataset.refresh_from_db()
    seen.append(int(dataset.updated_at.timestamp()))

    assert sorted(set(seen)) == seen


@pytest.mark.parametrize("who", ["charlie", "dana"])
def test_whoever_only_reads_or_annotates_stores_nothing(cast: Cast, tables_folder: Path, who: str) -> None:
    actor = cast.actor(getattr(cast, who))

    with pytest.raises(Forbidden, match="DATASET_CREATE"):
        datasets.create_dataset(
            actor,
            cast.production,
            name="mine",
            kind=DatasetKind.UNKNOWN,
            stream=unread(),
            at=timezone.now(),
        )

    assert nothing_is_stored(tables_folder)
    assert AuditEvent.objects.filter(outcome="REFUSED").count() == 0  # the door records what no verb got to


@pytest.mark.parametrize("who", ["charlie", "dana"])
def test_whoever_only_reads_changes_nothing(cast: Cast, who: str) -> None:
    actor, dataset = cast.actor(getattr(cast, who)), made(cast).dataset
    attempts: list[Callable[[], object]] = [
        lambda: datasets.add_version(actor, dataset, stream=unread(), at=timezone.now()),
        lambda: datasets.rename_dataset(actor, dataset, name="mine", at=timezone.now()),
        lambda: datasets.delete_dataset(actor, dataset, at=timezone.now()),
        lambda: experiments.open_experiment(actor, dataset, name="mine", at=timezone.now()),
    ]

    for attempt in attempts:
        with pytest.raises(Forbidden):
            attempt()

    assert [(one.name, one.versions.count()) for one in Dataset.objects.all()] == [("questions", 1)]
    assert datasets.read_rows(actor, datasets.find_version(actor, dataset)).table().equals(ROWS)


@pytest.mark.parametrize("who", ["erin", "mallory"])
@pytest.mark.parametrize("name", ["questions", "no such thing"])
def test_from_another_space_there_is_nothing_whether_it_exists_or_not(cast: Cast, who: str, name: str) -> None:
    dataset = made(cast).dataset
    person = getattr(cast, who)
    account = cast.account if who == "erin" else cast.elsewhere.organization.account
    actor = replace(cast.actor(person), account=account)

    with pytest.raises(NotFound, match="There is no such space, or you have no access to it."):
        datasets.find_dataset(actor, cast.production, name=name)
    with pytest.raises(NotFound, match="There is no such space, or you have no access to it."):
        datasets.create_dataset(
            actor,
            cast.production,
            name=name,
            kind=DatasetKind.UNKNOWN,
            stream=unread(),
            at=timezone.now(),
        )
    with pytest.raises(NotFound, match="There is no such dataset, or you have no access to it."):
        datasets.get_dataset(actor, dataset.pk)
    assert not datasets.datasets_seen_by(actor).exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 256, "a\x00b", "ak-" + "x" * 61])
def test_a_name_that_is_none_is_refused_before_the_data_is_read(cast: Cast, name: str) -> None:
    with pytest.raises(Invalid):
        datasets.create_dataset(
            cast.actor(cast.bob),
            cast.production,
            name=name,
            kind=DatasetKind.UNKNOWN,
            stream=unread(),
            at=timezone.now(),
        )


def test_a_name_that_is_taken_is_refused_before_the_data_is_read(cast: Cast) -> None:
    made(cast)

    with pytest.raises(Conflict, match="“production” already has a dataset “questions”"):
        datasets.create_dataset(
            cast.actor(cast.bob),
            cast.production,
            name=" questions ",
            kind=DatasetKind.UNKNOWN,
            stream=unread(),
            at=timezone.now(),
        )


def test_a_key_revoked_during_the_upload_keeps_nothing(cast: Cast, tables_folder: Path) -> None:
    actor, key = with_key(cast, cast.bob)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from ROWS.to_batches()
        revoke_key(cast.actor(cast.bob), key.key, at=timezone.now())

    with pytest.raises(InvalidKey):
        datasets.create_dataset(
            actor,
            cast.production,
            name="late",
            kind=DatasetKind.UNKNOWN,
            stream=Stream(ROWS.schema, batches()),
            at=timezone.now(),
        )

    assert nothing_is_stored(tables_folder)
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("refreshed", Reason.SUPERSEDED),
        ("inactive", Reason.OWNER_INACTIVE),
        ("removed", Reason.OWNER_REMOVED),
        ("unbound", Reason.UNBOUND),
        ("locked", None),
    ],
)
def test_a_key_that_would_not_open_any_more_keeps_nothing(
    cast: Cast, tables_folder: Path, what: str, reason: Reason | None
) -> None:
    key = service_key(cast.bob, cast.production) if what == "unbound" else user_key(cast.bob, cast.account)
    actor, owner = as_key(cast, key), key.key.owner
    deeds: dict[str, Callable[[], object]] = {
        "refreshed": lambda: refresh_key(cast.actor(cast.bob), key.key, at=timezone.now()),
        "inactive": lambda: User.objects.filter(pk=owner.pk).update(is_active=False),
        "removed": lambda: AccountBinding.objects.filter(user=owner).delete(),
        "unbound": lambda: SpaceBinding.objects.filter(user=owner).delete(),
        "locked": lambda: Account.objects.filter(pk=cast.account.pk).update(developer_access_locked=True),
    }

    def batches() -> Iterator[pa.RecordBatch]:
        yield from ROWS.to_batches()
        deeds[what]()

    with pytest.raises(InvalidKey if reason else DeveloperAccessLocked) as refused:
        datasets.create_dataset(
            actor,
            cast.production,
            name="late",
            kind=DatasetKind.UNKNOWN,
            stream=Stream(ROWS.schema, batches()),
            at=timezone.now(),
        )

    assert getattr(refused.value, "reason", None) == reason
    assert nothing_is_stored(tables_folder)
    assert not Dataset.objects.exists()


def test_a_secret_that_opens_for_a_while_after_a_refresh_keeps_what_it_sent(cast: Cast) -> None:
    actor, key = with_key(cast, cast.bob)
    refresh_key(cast.actor(cast.bob), key.key, grace=timedelta(hours=1), at=timezone.now())

    assert made(cast, actor).dataset.name == "questions"


def test_a_role_withdrawn_during_the_upload_keeps_nothing_and_is_recorded(cast: Cast, tables_folder: Path) -> None:
    actor, _ = with_key(cast, cast.bob)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from ROWS.to_batches()
        cast.production.bindings.filter(user=cast.bob).delete()
        cast.fraud.bindings.filter(user=cast.bob).delete()

    with pytest.raises(NotFound):
        datasets.create_dataset(
            actor,
            cast.production,
            name="late",
            kind=DatasetKind.UNKNOWN,
            stream=Stream(ROWS.schema, batches()),
            at=timezone.now(),
        )

    assert nothing_is_stored(tables_folder)


def test_a_key_that_ran_out_during_the_upload_keeps_nothing(cast: Cast, tables_folder: Path) -> None:
    actor, key = with_key(cast, cast.bob)
    type(key.key).objects.filter(pk=key.key.pk).update(
        created_at=timezone.now() - timedelta(days=2), expires_at=timezone.now() - timedelta(seconds=1)
    )

    with pytest.raises(InvalidKey):
        made(cast, actor)

    assert nothing_is_stored(tables_folder)


def test_deleting_takes_versions_experiments_and_files(
    cast: Cast, tables_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    bob = cast.actor(cast.bob)
    dataset = made(cast).dataset
    datasets.add_version(bob, dataset, stream=stream_of(numbered(2)), at=timezone.now())
    begun = experiments.open_experiment(bob, dataset, name="try", at=timezone.now())
    experiments.post_runs(bob, begun, stream=stream_of(numbered(3)), at=timezone.now())

    with django_capture_on_commit_callbacks(execute=True):
        datasets.delete_dataset(bob, dataset, at=timezone.now())

    assert nothing_is_stored(tables_folder)
    assert AuditEvent.objects.get(tag="dataset:delete").details["experiments"] == ["try"]
    with pytest.raises(NotFound, match="deleted meanwhile"):
        datasets.add_version(bob, dataset, stream=stream_of(ROWS), at=timezone.now())


def test_a_space_takes_its_datasets_along(
    cast: Cast, tables_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    made(cast)

    with django_capture_on_commit_callbacks(execute=True):
        delete_space(cast.actor(cast.alice), cast.production, at=timezone.now())

    assert nothing_is_stored(tables_folder)


@pytest.mark.django_db(transaction=True)
def test_writers_at_the_same_time_make_linear_versions_and_none_is_lost() -> None:
    cast = assemble()
    bob, dataset, at = cast.actor(cast.bob), made(cast).dataset, timezone.now()
    begin, outcomes = threading.Barrier(8), list[int]()

    def write(number: int) -> None:
        begin.wait()
        try:
            outcomes.append(datasets.add_version(bob, dataset, stream=stream_of(numbered(number)), at=at).number)
        finally:
            connections.close_all()

    _at_once([lambda number=number: write(number) for number in range(8)])

    assert sorted(outcomes) == list(range(2, 10))
    stored = [datasets.read_rows(bob, version).table().to_pydict()["id"][0] for version in dataset.versions.all()]
    assert sorted(stored) == sorted(["a", *(f"from {number}" for number in range(8))])


@pytest.mark.django_db(transaction=True)
def test_of_several_that_make_the_same_dataset_one_wins_and_the_others_leave_nothing(tables_folder: Path) -> None:
    cast = assemble()
    begin, outcomes = threading.Barrier(4), list[int | str]()

    def write() -> None:
        begin.wait()
        try:
            outcomes.append(made(cast).number)
        except DomainError as refusal:
            outcomes.append(refusal.code)
        finally:
            connections.close_all()

    _at_once([write] * 4)

    assert sorted(map(str, outcomes)) == ["1", "conflict", "conflict", "conflict"]
    assert len([path for path in tables_folder.rglob("*") if path.is_file()]) == 1


def _at_once(jobs: list[Any]) -> None:
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
