"""Experiments: begun by name, filled once with runs, and found by whoever may read them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.changes import clean_name
from accounts.errors import Conflict, NotFound
from accounts.models import Project, Space
from accounts.permissions import permitted, require, seen_by
from accounts.redaction import is_storable
from accounts.verbs import verb
from accounts.vocabulary import Permission
from apikeys.workflows import tables
from apikeys.workflows.datasets import find_version, lock_dataset, of_name
from apikeys.workflows.models import Dataset, DatasetVersion, Experiment, Table
from apikeys.workflows.streams import Stream
from apikeys.workflows.writing import after, hold_space, writing


def experiments_seen_by(actor: Actor) -> QuerySet[Experiment]:
    """Return the experiments that the actor may read, in the account acted in."""
    rows = Experiment.objects.filter(space__organization__account=actor.require_account())
    if actor.is_operator:
        return rows
    if actor.user is None:
        return rows.none()
    return rows.filter(space__in=permitted(actor.user, Permission.EXPERIMENT_READ, Space))


def list_experiments(actor: Actor, space: Space) -> QuerySet[Experiment]:
    """Return a space's experiments, on its datasets and without one.

    Raises:
        NotFound, Forbidden: they are not the actor's to read.
    """
    require(actor, Permission.EXPERIMENT_READ, space)
    return Experiment.objects.filter(space=space)


def get_experiment(actor: Actor, number: int) -> Experiment:
    """Return the experiment of that number, wherever the actor may read it.

    Raises:
        NotFound: there is none, or the actor may not know of it.
    """
    experiment = _whole(experiments_seen_by(actor)).filter(pk=number).first()
    if experiment is None:
        raise NotFound("There is no such experiment, or you have no access to it.")
    return experiment


def find_experiment(
    actor: Actor,
    space: Space,
    *,
    number: int | None = None,
    name: str | None = None,
    dataset: Dataset | None = None,
    needed: Permission = Permission.EXPERIMENT_READ,
) -> Experiment:
    """Return an experiment of a space by its number, or else by its name on a dataset.

    Raises:
        NotFound, Forbidden: the actor has not the permission ``needed`` in the space, or there is no such experiment.
    """
    require(actor, needed, space)
    rows = _whole(Experiment.objects.filter(space=space))
    rows = of_name(rows.filter(dataset=dataset), name) if number is None else rows.filter(pk=number)
    experiment = rows.first()
    if experiment is None:
        called = f" “{name}”" if number is None and name and is_storable(name) else ""
        raise NotFound(f"There is no experiment{called} in “{space}”.")
    return experiment


def open_experiment(
    actor: Actor, dataset: Dataset, *, name: str, project: Project | None = None, at: datetime
) -> Experiment:
    """Begin an experiment on a dataset's latest version, or anew the one begun before under that name.

    Raises:
        NotFound, Forbidden: the dataset is not the actor's to see, or to experiment with.
        Conflict: the experiment of that name has its runs.
        Invalid: that is no name.
    """
    name = may_open_experiment(actor, dataset, name)
    with writing(actor, Tag.EXPERIMENT_CREATED):
        dataset = lock_dataset(dataset)
        may_open_experiment(actor, dataset, name)
        version = find_version(actor, dataset)
        if project is not None:  # it may have gone meanwhile
            project = Project.objects.select_for_update(no_key=True).filter(pk=project.pk).first()
        found = _whole(_named(dataset, name).select_for_update(of=("self",))).first()
        if found is not None:
            return _begin_anew(actor, found, version=version, project=project, at=at)
        return _create(actor, dataset, name=name, version=version, project=project, at=at)


def may_open_experiment(actor: Actor, dataset: Dataset, name: str) -> str:
    """Answer what can be answered before anything is written; return the name, cleaned.

    Raises:
        NotFound, Forbidden, Conflict, Invalid: as ``open_experiment``.
    """
    require(actor, Permission.EXPERIMENT_CREATE, dataset.space)
    name = clean_name(name)
    if _named(dataset, name).exclude(table=None).exists():
        raise _taken(dataset, name)
    return name


def post_runs(actor: Actor, experiment: Experiment, *, stream: Stream, at: datetime) -> Experiment:
    """Fill an experiment that was begun with its runs.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to fill; or it was deleted meanwhile.
        Conflict: it has its runs.
        Invalid, StorageFailed: as for datasets.
    """
    may_post_runs(actor, experiment)
    with tables.drafted(stream) as draft, writing(actor, Tag.EXPERIMENT_CHANGED):
        experiment = lock_experiment(experiment)
        may_post_runs(actor, experiment)
        _fill(actor, experiment, draft.keep(actor, experiment.space, at=at), at=at)
        record(
            actor,
            Tag.EXPERIMENT_CHANGED,
            experiment,
            at=at,
            **where_told(experiment),
            rows=draft.rows,
            bytes=draft.bytes,
        )
    return experiment


def may_post_runs(actor: Actor, experiment: Experiment) -> None:
    """Refuse before any data is read.

    Raises:
        NotFound, Forbidden, Conflict: as ``post_runs``.
    """
    require(actor, Permission.EXPERIMENT_CREATE, experiment.space)
    if experiment.table_id is not None:
        raise _taken(experiment.dataset or experiment.space, experiment.name)


def create_experiment(actor: Actor, on: Dataset | Space, *, name: str, stream: Stream, at: datetime) -> Experiment:
    """Make an experiment with its runs, in one go: on a dataset's latest version, or in a space without any dataset.

    Raises:
        NotFound, Forbidden, Conflict, Invalid, StorageFailed: as ``open_experiment`` and ``post_runs``.
    """
    space = space_of(on)
    require(actor, Permission.EXPERIMENT_CREATE, space)
    name = clean_name(name)
    version = find_version(actor, on) if isinstance(on, Dataset) else None
    if _named(on, name).exists():
        raise _taken(on, name)
    with tables.drafted(stream) as draft, writing(actor, Tag.EXPERIMENT_CREATED):
        require(actor, Permission.EXPERIMENT_CREATE, space)
        if isinstance(on, Dataset):
            on = lock_dataset(on)
        else:
            hold_space(on)
        table = draft.keep(actor, space, at=at)
        return _create(actor, on, name=name, version=version, table=table, at=at)


def read_runs(actor: Actor, experiment: Experiment) -> tables.Reading:
    """Return an experiment's runs.

    Raises:
        NotFound, Forbidden: they are not the actor's to read, or there are none yet.
        StorageFailed: they cannot be read at the moment.
    """
    require(actor, Permission.EXPERIMENT_RUN_READ, experiment.space)
    if experiment.table is None:
        raise NotFound(f"“{experiment}” has no runs yet.")
    return tables.read(experiment.table)


def projects_seen_of(actor: Actor, rows: Collection[Experiment]) -> set[int]:
    """Return which of the projects that experiments' traces go to the actor may know of."""
    numbers = {row.project_id for row in rows if row.project_id is not None}
    return set(seen_by(actor, Project).filter(pk__in=numbers).values_list("pk", flat=True)) if numbers else set()


@verb(Tag.EXPERIMENT_DELETED)
def delete_experiment(actor: Actor, experiment: Experiment, *, at: datetime) -> None:
    """Delete an experiment with its runs.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to delete; or it was deleted meanwhile.
    """
    require(actor, Permission.EXPERIMENT_DELETE, experiment.space)
    experiment = lock_experiment(experiment)
    record(actor, Tag.EXPERIMENT_DELETED, experiment, at=at, **where_told(experiment))
    table = experiment.table
    experiment.delete()
    if table is not None:
        table.delete()


def lock_experiment(experiment: Experiment) -> Experiment:
    """Return an experiment as it is now, and let one writer at a time change it.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    return _as_it_is(experiment, Experiment.objects.select_for_update(of=("self",)))


def get_again(experiment: Experiment) -> Experiment:
    """Return an experiment as it is now.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    return _as_it_is(experiment, Experiment.objects.all())


def replace_runs(actor: Actor, experiment: Experiment, table: Table, *, at: datetime) -> None:
    """Put another table in the place of a locked experiment's; the old one goes."""
    before = experiment.table
    _fill(actor, experiment, table, at=at)
    if before is not None:
        before.delete()


def space_of(on: Dataset | Space) -> Space:
    """Return the space of an experiment on a dataset, or on none."""
    return on if isinstance(on, Space) else on.space


def where_told(experiment: Experiment) -> dict[str, Any]:
    """Say in an event where an experiment is: on which dataset, or in which space."""
    return {"space": str(experiment.space)} if experiment.dataset is None else {"dataset": experiment.dataset.name}


def _fill(actor: Actor, experiment: Experiment, table: Table, *, at: datetime) -> None:
    experiment.table = table
    experiment.updated_at = after(experiment.updated_at, at)
    experiment.last_writer = actor.label
    experiment.save(update_fields=["table", "updated_at", "last_writer"])


def _begin_anew(
    actor: Actor, experiment: Experiment, *, version: DatasetVersion, project: Project | None, at: datetime
) -> Experiment:
    """Let an experiment that broke off be on the version there is now: whoever repeats it takes its examples."""
    project = experiment.project or project
    if (experiment.version, experiment.project) != (version, project):
        experiment.version, experiment.project = version, project
        experiment.updated_at = after(experiment.updated_at, at)
        experiment.last_writer = actor.label
        experiment.save(update_fields=["version", "project", "updated_at", "last_writer"])
        told = where_told(experiment)
        record(actor, Tag.EXPERIMENT_CHANGED, experiment, at=at, **told, version=version.name)
    return experiment


def _create(
    actor: Actor,
    on: Dataset | Space,
    *,
    name: str,
    version: DatasetVersion | None,
    project: Project | None = None,
    table: Table | None = None,
    at: datetime,
) -> Experiment:
    dataset = on if isinstance(on, Dataset) else None
    experiment = Experiment(
        space=space_of(on),
        dataset=dataset,
        version=version,
        name=name,
        project=project,
        table=table,
        created_at=at,
        updated_at=at,
        last_writer=actor.label,
    )
    try:
        with transaction.atomic():
            experiment.save(force_insert=True)
    except IntegrityError as error:
        raise _taken(on, name) from error
    told = where_told(experiment)
    record(actor, Tag.EXPERIMENT_CREATED, experiment, at=at, **told, rows=table.rows if table else 0)
    return experiment


def _named(on: Dataset | Space, name: str) -> QuerySet[Experiment]:
    where = {"dataset": on} if isinstance(on, Dataset) else {"dataset": None, "space": on}
    return Experiment.objects.filter(**where, name=name)


def _as_it_is(experiment: Experiment, rows: QuerySet[Experiment]) -> Experiment:
    found = _whole(rows).filter(pk=experiment.pk).first()
    if found is None:
        raise NotFound("The experiment was deleted meanwhile.")
    return found


def _whole(rows: QuerySet[Experiment]) -> QuerySet[Experiment]:
    return rows.select_related("space__organization", "dataset", "table", "project", "version")


def _taken(on: Dataset | Space, name: str) -> Conflict:
    return Conflict(f"“{on}” already has an experiment “{name}”.", field="name")
