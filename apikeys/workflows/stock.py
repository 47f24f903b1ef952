"""What lies in a space as a page shows it: one line a thing, with its size and its last writer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import Model, QuerySet

from accounts.actors import Actor
from accounts.models import Project, ProjectKind, Space
from accounts.permissions import may
from accounts.vocabulary import Permission
from apikeys.workflows.inventory import datasets_in, experiments_in, projects_in
from apikeys.workflows.models import Dataset, DatasetKind, Experiment


class Sort(StrEnum):
    """What there is, in the order in which a page shows it."""

    PROJECTS = "projects"
    DATASETS = "datasets"
    EXPERIMENTS = "experiments"


# What the number of parts counts: an experiment has none.
PIECES = {Sort.PROJECTS: "Uploads", Sort.DATASETS: "Versions", Sort.EXPERIMENTS: "Dataset"}
_QUESTIONS = {Sort.PROJECTS: projects_in, Sort.DATASETS: datasets_in, Sort.EXPERIMENTS: experiments_in}


@dataclass(frozen=True)
class Line:
    """One thing in words. ``rows`` and ``bytes`` are ``None`` where nothing has been sent yet.

    ``pieces`` is ``None`` where it is not shown, and empty where there is none.
    """

    name: str
    kind: str
    pieces: str | None
    rows: int | None
    bytes: int | None
    written_at: datetime
    writer: str
    is_restricted: bool = False

    @property
    def rows_label(self) -> str:
        """The number of rows, to be read."""
        return "" if self.rows is None else f"{self.rows:,}"


def rows(actor: Actor, space: Space, sort: Sort) -> QuerySet[Any]:
    """Return what there is of one sort in a space, as far as the actor may see it."""
    return _QUESTIONS[sort](actor, space)


def lines(actor: Actor, space: Space, sort: Sort, found: Sequence[Model]) -> list[Line]:
    """Return rows of ``rows`` in words: no query, or one for all of them."""
    if sort is Sort.EXPERIMENTS:
        # Whoever may not see datasets does not read their names here.
        named = may(actor, Permission.DATASET_READ, space)
        return [_experiment(one, named=named) for one in found if isinstance(one, Experiment)]
    if sort is Sort.DATASETS:
        return [_dataset(one) for one in found if isinstance(one, Dataset)]
    return [_project(one) for one in found if isinstance(one, Project)]


def _project(row: Any) -> Line:
    return Line(
        name=row.name,
        kind=str(ProjectKind(row.kind).label),
        pieces=f"{row.pieces:,}",
        rows=row.row_count if row.pieces else None,
        bytes=row.byte_count if row.pieces else None,
        written_at=row.updated_at,
        writer=name_of(row.last_writer),
        is_restricted=row.is_restricted,
    )


def _dataset(row: Any) -> Line:
    return Line(
        name=row.name,
        kind="" if row.kind == DatasetKind.UNKNOWN else str(DatasetKind(row.kind).label),
        pieces=f"{row.pieces:,}",
        rows=row.row_count,
        bytes=row.byte_count,
        written_at=row.updated_at,
        writer=name_of(row.last_writer),
    )


def _experiment(row: Experiment, *, named: bool) -> Line:
    return Line(
        name=row.name,
        kind="",
        pieces="" if row.dataset is None else row.dataset.name if named else None,
        rows=row.table.rows if row.table else None,
        bytes=row.table.bytes if row.table else None,
        written_at=row.updated_at,
        writer=name_of(row.last_writer),
    )


def name_of(writer: str) -> str:
    """Return the name of a writer, without the address behind it."""
    return writer.partition(" <")[0]
