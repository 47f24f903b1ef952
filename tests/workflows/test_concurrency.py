"""What uploads and deletions do to each other, on two real connections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.errors import NotFound
from accounts.models import AuditEvent, Project, Space
from accounts.tenancy import delete_organization, delete_space
from apikeys.models import ApiKey
from apikeys.workflows import datasets, experiments, projects
from apikeys.workflows.models import Dataset, DatasetKind, Experiment, Segment, Table
from tests.asides import Aside, wait_until_somebody_waits_for_a_lock
from tests.cast import Cast, assemble
from tests.factories import service_key
from tests.workflows.logging import log, spans_of
from tests.workflows.sending import stream_of

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = pa.table({"id": ["a"]})


def _begun(cast: Cast) -> Experiment:
    bob, at = cast.actor(cast.bob), timezone.now()
    version = datasets.create_dataset(
        bob, cast.production, name="questions", kind=DatasetKind.UNKNOWN, stream=stream_of(ROWS), at=at
    )
    return experiments.open_experiment(bob, version.dataset, name="try", at=at)


def _uploads(cast: Cast) -> dict[str, Callable[[Callable[[], None]], None]]:
    """Return uploads that hold what they add to, and let others come before they are done."""
    bob, at, begun = cast.actor(cast.bob), timezone.now(), _begun(cast)
    dataset = Dataset.objects.select_related("space__organization").get()
    log(bob, cast.production, spans_of("a"))
    key = service_key(cast.bob, cast.production).key
    bot = replace(cast.actor(key.owner), key_id=key.pk, secret_id=key.secrets.get().pk)
    held: dict[str, QuerySet[Any]] = {
        "spans": Project.objects.select_for_update(),
        "runs": Experiment.objects.select_for_update(),
        "version": Dataset.objects.select_for_update(),
        "key": ApiKey.objects.select_for_update(no_key=True).filter(pk=key.pk),
    }
    upload: dict[str, Callable[[], object]] = {
        "spans": lambda: log(bob, cast.production, spans_of("b")),
        "runs": lambda: experiments.post_runs(bob, begun, stream=stream_of(ROWS), at=at),
        "version": lambda: datasets.add_version(bob, dataset, stream=stream_of(ROWS), at=at),
        "key": lambda: log(bot, cast.production, spans_of("b")),
    }

    def doing(what: str) -> Callable[[Callable[[], None]], None]:
        def do(meanwhile: Callable[[], None]) -> None:
            with transaction.atomic():
                list(held[what])
                meanwhile()
                upload[what]()

        return do

    return {what: doing(what) for what in held}


@pytest.mark.parametrize("what", ["spans", "runs", "version", "key"])
@pytest.mark.parametrize("of", ["space", "organization"])
def test_a_scope_that_goes_waits_for_uploads_and_takes_along_what_they_leave(what: str, of: str) -> None:
    cast = assemble()
    upload = _uploads(cast)[what]
    alice, at = cast.actor(cast.alice), timezone.now()
    deletion = Aside(
        (lambda: delete_space(alice, cast.production, at=at))
        if of == "space"
        else (lambda: delete_organization(alice, cast.fraud, at=at))
    )

    def meanwhile() -> None:
        deletion.start()
        wait_until_somebody_waits_for_a_lock()

    upload(meanwhile)

    assert deletion.finish() is None
    assert AuditEvent.objects.filter(tag=f"{of}:delete").exists()
    assert not Table.objects.filter(space=cast.production.pk).exists()


@pytest.mark.parametrize("what", ["spans", "runs"])
def test_a_project_that_goes_waits_for_uploads(what: str) -> None:
    cast = assemble()
    upload = _uploads(cast)[what]
    project = Project.objects.get()
    Experiment.objects.update(project=project)
    deletion = Aside(lambda: projects.delete_project(cast.actor(cast.bob), project, at=timezone.now()))

    def meanwhile() -> None:
        deletion.start()
        wait_until_somebody_waits_for_a_lock()

    upload(meanwhile)

    assert deletion.finish() is None
    assert AuditEvent.objects.filter(tag="project:delete").exists()
    assert (Project.objects.count(), Segment.objects.count()) == (0, 0)
    assert not Table.objects.exclude(dataset_version__isnull=False).exclude(experiment__isnull=False).exists()


@pytest.mark.parametrize("what", ["runs", "version"])
def test_a_dataset_that_goes_waits_for_uploads_and_takes_along_what_they_leave(what: str) -> None:
    cast = assemble()
    upload = _uploads(cast)[what]
    dataset = Dataset.objects.select_related("space__organization").get()
    deletion = Aside(lambda: datasets.delete_dataset(cast.actor(cast.bob), dataset, at=timezone.now()))

    def meanwhile() -> None:
        deletion.start()
        wait_until_somebody_waits_for_a_lock()

    upload(meanwhile)

    assert deletion.finish() is None
    assert AuditEvent.objects.filter(tag="dataset:delete").exists()
    assert not Table.objects.filter(segment__isnull=True).exists()


def test_an_upload_behind_the_deletion_of_its_project_keeps_nothing() -> None:
    cast = assemble()
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))
    project = projects.find_named(bob, cast.production, name="chat")

    with transaction.atomic():
        projects.delete_project(bob, project, at=timezone.now())
        upload = Aside(lambda: log(bob, cast.production, spans_of("b")))
        upload.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(upload.finish(), NotFound)
    assert (Project.objects.count(), Segment.objects.count(), Table.objects.count()) == (0, 0, 0)


def _new(cast: Cast, what: str) -> object:
    if what == "dataset":
        return _begun(cast)
    at = timezone.now()
    return experiments.create_experiment(
        cast.actor(cast.bob), cast.production, name="by hand", stream=stream_of(ROWS), at=at
    )


NEW = pytest.mark.parametrize("what", ["dataset", "experiment"])


@NEW
def test_what_is_new_behind_the_deletion_of_its_space_is_refused(what: str) -> None:
    cast = assemble()
    as_it_was = Space.objects.select_related("organization").get(pk=cast.production.pk)
    creation = Aside(lambda: _new(replace(cast, production=as_it_was), what))

    with transaction.atomic():
        delete_space(cast.actor(cast.alice), cast.production, at=timezone.now())
        creation.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(creation.finish(), NotFound)
    assert (Dataset.objects.count(), Experiment.objects.count(), Table.objects.count()) == (0, 0, 0)


@NEW
def test_a_space_that_goes_waits_for_what_is_new_and_takes_it_along(what: str) -> None:
    cast = assemble()
    deletion = Aside(lambda: delete_space(cast.actor(cast.alice), cast.production, at=timezone.now()))

    with transaction.atomic():
        _new(cast, what)
        deletion.start()
        wait_until_somebody_waits_for_a_lock()

    assert deletion.finish() is None
    assert (Dataset.objects.count(), Experiment.objects.count(), Table.objects.count()) == (0, 0, 0)
