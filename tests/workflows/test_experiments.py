"""Experiments: begun as often as it takes, filled once, found by those who may read them."""

from __future__ import annotations

import pyarrow as pa
import pytest
from django.utils import timezone

from accounts.errors import Conflict, Forbidden, NotFound
from accounts.models import AuditEvent
from apikeys.workflows import datasets, experiments
from apikeys.workflows.models import Dataset, DatasetKind, Experiment
from tests.cast import Cast
from tests.factories import ProjectFactory
from tests.workflows.sending import stream_of

RUNS = pa.table({"id": ["1"], "example_id": ["a"], "result": ["2"]})


@pytest.fixture
def dataset(cast: Cast) -> Dataset:
    return datasets.create_dataset(
        cast.actor(cast.bob),
        cast.production,
        name="questions",
        kind=DatasetKind.GENERATIVE,
        stream=stream_of(pa.table({"id": ["a"]})),
        at=timezone.now(),
    ).dataset


@pytest.mark.parametrize("name", ["a\x00b", "\ud800"])
def test_there_is_nothing_of_a_name_that_cannot_be_one(cast: Cast, dataset: Dataset, name: str) -> None:
    bob = cast.actor(cast.bob)
    for find in (
        lambda: datasets.find_dataset(bob, cast.production, name=name),
        lambda: datasets.find_version(bob, dataset, name=name),
        lambda: experiments.find_experiment(bob, cast.production, name=name, dataset=dataset),
    ):
        with pytest.raises(NotFound) as refused:
            find()
        assert name not in refused.value.detail


def test_beginning_can_be_repeated_until_runs_are_posted(cast: Cast, dataset: Dataset) -> None:
    bob, at = cast.actor(cast.bob), timezone.now()

    first = experiments.open_experiment(bob, dataset, name="try", at=at)
    again = experiments.open_experiment(bob, dataset, name="try", at=at)
    experiments.post_runs(bob, again, stream=stream_of(RUNS), at=at)

    assert first == again
    assert AuditEvent.objects.filter(tag="experiment:create").count() == 1
    with pytest.raises(Conflict, match="already has an experiment “try”"):
        experiments.open_experiment(bob, dataset, name="try", at=at)
    with pytest.raises(Conflict):
        experiments.post_runs(bob, first, stream=stream_of(RUNS), at=at)


def test_whoever_begins_again_takes_the_version_that_there_is_now(cast: Cast, dataset: Dataset) -> None:
    bob, at = cast.actor(cast.bob), timezone.now()
    project = ProjectFactory.create(space=cast.production)
    first = experiments.open_experiment(bob, dataset, name="try", at=at)
    assert first.project is None
    newer = datasets.add_version(bob, dataset, stream=stream_of(pa.table({"id": ["b"]})), at=at)

    again = experiments.open_experiment(bob, dataset, name="try", project=project, at=at)

    again.refresh_from_db()
    assert (again.pk, again.version, again.project) == (first.pk, newer, project)
    event = AuditEvent.objects.get(tag="experiment:change")
    assert event.details["version"] == "v2"


def test_runs_come_back_equal(cast: Cast, dataset: Dataset) -> None:
    bob, at = cast.actor(cast.bob), timezone.now()
    experiments.create_experiment(bob, dataset, name="try", stream=stream_of(RUNS), at=at)

    found = experiments.find_experiment(bob, cast.production, name="try", dataset=dataset)

    assert experiments.read_runs(bob, found).table().equals(RUNS, check_metadata=True)
    assert found.version == datasets.find_version(bob, dataset)
    assert experiments.get_experiment(bob, found.pk) == found


def test_an_experiment_without_runs_says_so(cast: Cast, dataset: Dataset) -> None:
    bob = cast.actor(cast.bob)
    begun = experiments.open_experiment(bob, dataset, name="try", at=timezone.now())

    with pytest.raises(NotFound, match="“try” has no runs yet"):
        experiments.read_runs(bob, begun)


def test_whoever_only_reads_reads(cast: Cast, dataset: Dataset) -> None:
    bob, charlie, at = cast.actor(cast.bob), cast.actor(cast.charlie), timezone.now()
    found = experiments.create_experiment(bob, dataset, name="try", stream=stream_of(RUNS), at=at)

    assert experiments.read_runs(charlie, found).table().equals(RUNS)
    for attempt in (
        lambda: experiments.create_experiment(charlie, dataset, name="mine", stream=stream_of(RUNS), at=at),
        lambda: experiments.post_runs(charlie, found, stream=stream_of(RUNS), at=at),
        lambda: experiments.delete_experiment(charlie, found, at=at),
    ):
        with pytest.raises(Forbidden):
            attempt()
    assert list(Experiment.objects.all()) == [found]


def test_from_another_space_there_is_none(cast: Cast, dataset: Dataset) -> None:
    at, erin = timezone.now(), cast.actor(cast.erin)
    found = experiments.create_experiment(cast.actor(cast.bob), dataset, name="try", stream=stream_of(RUNS), at=at)

    with pytest.raises(NotFound, match="no such experiment"):
        experiments.get_experiment(erin, found.pk)
    with pytest.raises(NotFound, match="no such space"):
        experiments.find_experiment(erin, cast.production, number=found.pk)
    assert not experiments.experiments_seen_by(erin).exists()


def test_deleting_an_experiment_leaves_its_dataset(cast: Cast, dataset: Dataset) -> None:
    bob, at = cast.actor(cast.bob), timezone.now()
    found = experiments.create_experiment(bob, dataset, name="try", stream=stream_of(RUNS), at=at)

    experiments.delete_experiment(bob, found, at=at)

    assert not Experiment.objects.exists()
    assert datasets.find_version(bob, dataset).table.rows == 1
    assert experiments.open_experiment(bob, dataset, name="try", at=at) != found
