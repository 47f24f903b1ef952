"""Datasets: named examples in versions that follow one another, whoever writes at the same time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Max, Model, QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.changes import clean_name
from accounts.errors import Conflict, NotFound
from accounts.models import Space
from accounts.permissions import permitted, require
from accounts.redaction import is_storable
from accounts.verbs import verb
from accounts.vocabulary import Permission
from apikeys.workflows import tables
from apikeys.workflows.leaving import hold
from apikeys.workflows.models import Dataset, DatasetKind, DatasetVersion, Experiment, Table
from apikeys.workflows.streams import Stream
from apikeys.workflows.writing import after, hold_space, writing

M = TypeVar("M", bound=Model)


def datasets_seen_by(actor: Actor) -> QuerySet[Dataset]:
    """Return the datasets that the actor may read, in the account acted in."""
    rows = Dataset.objects.filter(space__organization__account=actor.require_account())
    if actor.is_operator:
        return rows
    return (
        rows.none()
        if actor.user is None
        else rows.filter(space__in=permitted(actor.user, Permission.DATASET_READ, Space))
    )


def list_datasets(actor: Actor, space: Space) -> QuerySet[Dataset]:
    """Return a space's datasets.

    Raises:
        NotFound, Forbidden: they are not the actor's to read.
    """
    require(actor, Permission.DATASET_READ, space)
    return Dataset.objects.filter(space=space)


def get_dataset(actor: Actor, number: int) -> Dataset:
    """Return the dataset of that number, wherever the actor may read it.

    Raises:
        NotFound: there is none, or the actor may not know of it.
    """
    dataset = datasets_seen_by(actor).select_related("space__organization").filter(pk=number).first()
    if dataset is None:
        raise NotFound("There is no such dataset, or you have no access to it.")
    return dataset


def find_dataset(actor: Actor, space: Space, *, number: int | None = None, name: str | None = None) -> Dataset:
    """Return a dataset of a space by its number, or else by its name.

    Raises:
        NotFound, Forbidden: the space's datasets are not the actor's to read, or there is no such dataset.
    """
    rows = list_datasets(actor, space).select_related("space__organization")
    dataset = (of_name(rows, name) if number is None else rows.filter(pk=number)).first()
    if dataset is None:
        called = f" “{name}”" if number is None and name and is_storable(name) else ""
        raise NotFound(f"There is no dataset{called} in “{space}”.")
    return dataset


def find_version(
    actor: Actor, dataset: Dataset, *, number: int | None = None, name: str | None = None
) -> DatasetVersion:
    """Return a version by its row's number, or by its name; the latest where neither is given.

    Raises:
        NotFound: there is no such version.
    """
    rows = versions_of(actor, dataset)
    if number is not None:
        rows = rows.filter(pk=number)
    elif name:
        rows = of_name(rows, name)
    version = rows.select_related("table").first()
    if version is None:
        raise NotFound(f"“{dataset}” has no such version.")
    return version


def of_name(rows: QuerySet[M], name: str | None) -> QuerySet[M]:
    """Return those of a name, kept without the blanks around it; there are none of one that no column can hold."""
    return rows.filter(name=name.strip()) if name is not None and is_storable(name) else rows.none()


def versions_of(actor: Actor, dataset: Dataset) -> QuerySet[DatasetVersion]:
    """Return a dataset's versions, newest first.

    Raises:
        NotFound, Forbidden: they are not the actor's to read.
    """
    require(actor, Permission.DATASET_READ, dataset.space)
    return dataset.versions.order_by("-number")


def read_rows(actor: Actor, version: DatasetVersion) -> tables.Reading:
    """Return a version's examples.

    Raises:
        NotFound, Forbidden: they are not the actor's to read.
        StorageFailed: they cannot be read at the moment.
    """
    require(actor, Permission.DATASET_EXAMPLE_READ, version.dataset.space)
    return tables.read(version.table)


def create_dataset(
    actor: Actor, space: Space, *, name: str, kind: DatasetKind, stream: Stream, at: datetime
) -> DatasetVersion:
    """Make a dataset of the rows in a stream, as its first version.

    Raises:
        NotFound, Forbidden: the space is not the actor's to see, or to add to.
        Conflict: the name is taken in the space.
        Invalid: the name or the stream is not what it should be.
        StorageFailed: there is no room.
    """
    name = may_create_dataset(actor, space, name)
    with tables.drafted(stream) as draft, writing(actor, Tag.DATASET_CREATED):
        require(actor, Permission.DATASET_CREATE, space)
        hold_space(space)
        dataset = Dataset(
            space=space,
            name=name,
            kind=kind,
            created_at=at,
            updated_at=at,
            created_by_name=actor.label,
            last_writer=actor.label,
        )
        try:
            with transaction.atomic():
                dataset.save(force_insert=True)
        except IntegrityError as error:
            raise _taken(space, name) from error
        version = _add(dataset, draft.keep(actor, space, at=at), number=1, name="", at=at)
        record(actor, Tag.DATASET_CREATED, dataset, at=at, space=str(space), rows=draft.rows, bytes=draft.bytes)
    return version


def may_create_dataset(actor: Actor, space: Space, name: str) -> str:
    """Answer what can be answered before any data is read; return the name, cleaned.

    Raises:
        NotFound, Forbidden, Conflict, Invalid: as ``create_dataset``.
    """
    require(actor, Permission.DATASET_CREATE, space)
    name = clean_name(name)
    if Dataset.objects.filter(space=space, name=name).exists():
        raise _taken(space, name)
    return name


def add_version(
    actor: Actor,
    dataset: Dataset,
    *,
    stream: Stream,
    at: datetime,
    name: str | None = None,
    check: Callable[[Dataset], None] = lambda _: None,
) -> DatasetVersion:
    """Add the rows in a stream as a dataset's newest version.

    ``check`` looks at the dataset once nobody else can change it; what it raises ends it.

    Raises:
        NotFound, Forbidden: the dataset is not the actor's to see, or to change; or it was deleted meanwhile.
        Conflict: there is a version of that name.
        Invalid, StorageFailed: as ``create_dataset``.
    """
    may_add_version(actor, dataset)
    with tables.drafted(stream) as draft, writing(actor, Tag.DATASET_VERSION_ADDED):
        may_add_version(actor, dataset)
        dataset = lock_dataset(dataset)
        check(dataset)
        latest: int = dataset.versions.aggregate(latest=Max("number"))["latest"] or 0
        touch(actor, dataset, at=at)
        table = draft.keep(actor, dataset.space, at=at)
        version = _add(dataset, table, number=latest + 1, name=clean_name(name) if name else "", at=dataset.updated_at)
        record(
            actor,
            Tag.DATASET_VERSION_ADDED,
            dataset,
            at=at,
            space=str(dataset.space),
            version=version.name,
            rows=draft.rows,
            bytes=draft.bytes,
        )
    return version


def may_add_version(actor: Actor, dataset: Dataset) -> None:
    """Refuse whoever may not write new versions, before any data is read.

    Raises:
        NotFound, Forbidden: as ``add_version``.
    """
    require(actor, Permission.DATASET_UPDATE, dataset.space)
    require(actor, Permission.DATASET_EXAMPLE_CREATE, dataset.space)


@verb(Tag.DATASET_CHANGED)
def rename_dataset(actor: Actor, dataset: Dataset, *, name: str, at: datetime) -> Dataset:
    """Give a dataset another name.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to change.
        Conflict: the name is taken in the space.
    """
    require(actor, Permission.DATASET_UPDATE, dataset.space)
    name, dataset = clean_name(name), lock_dataset(dataset)
    before = dataset.name
    if name == before:
        return dataset
    dataset.name = name
    dataset.updated_at = after(dataset.updated_at, at)
    try:
        with transaction.atomic():
            dataset.save(update_fields=["name", "updated_at"])
    except IntegrityError as error:
        raise _taken(dataset.space, name) from error
    record(actor, Tag.DATASET_CHANGED, dataset, at=at, before={"name": before}, after={"name": name})
    return dataset


@verb(Tag.DATASET_DELETED)
def delete_dataset(actor: Actor, dataset: Dataset, *, at: datetime) -> None:
    """Delete a dataset with its versions and experiments, and the files of all of them.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to delete; or it was deleted meanwhile.
    """
    require(actor, Permission.DATASET_DELETE, dataset.space)
    dataset = lock_dataset(dataset)
    hold(Experiment.objects.filter(dataset=dataset))
    experiments = list(dataset.experiments.order_by("pk").values_list("name", flat=True))
    record(actor, Tag.DATASET_DELETED, dataset, at=at, space=str(dataset.space), experiments=experiments)
    files = Table.objects.filter(dataset_version__dataset=dataset) | Table.objects.filter(experiment__dataset=dataset)
    numbers = list(files.values_list("pk", flat=True))
    dataset.delete()
    Table.objects.filter(pk__in=numbers).delete()


def lock_dataset(dataset: Dataset) -> Dataset:
    """Return a dataset as it is now, and let one writer at a time change it.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    rows = Dataset.objects.select_for_update(of=("self",)).select_related("space__organization")
    found = rows.filter(pk=dataset.pk).first()
    if found is None:
        raise NotFound("The dataset was deleted meanwhile.")
    return found


def touch(actor: Actor, dataset: Dataset, *, at: datetime) -> None:
    """Say of a locked dataset that it was changed, by whom and when."""
    dataset.updated_at = after(dataset.updated_at, at)
    dataset.last_writer = actor.label
    dataset.save(update_fields=["updated_at", "last_writer"])


def _add(dataset: Dataset, table: Table, *, number: int, name: str, at: datetime) -> DatasetVersion:
    name = name or f"v{number}"
    if dataset.versions.filter(name=name).exists():
        raise Conflict(f"“{dataset}” already has a version “{name}”.", field="new_version")
    return DatasetVersion.objects.create(
        dataset=dataset, number=number, name=name, table=table, created_at=at, updated_at=at
    )


def _taken(space: Space, name: str) -> Conflict:
    return Conflict(f"“{space}” already has a dataset “{name}”.", field="name")
