"""Projects, datasets and experiments over GraphQL: what lies in a space, as far as the caller may know of it."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TypeVar

import strawberry
from django.db.models import OuterRef, Q, QuerySet
from strawberry import Parent, Private

from accounts.errors import Forbidden
from accounts.models import Project, ProjectKind
from accounts.models import Space as SpaceRow
from accounts.paging import Page, paginate_each, whole_first
from accounts.permissions import find_seen, seen_by
from accounts.schema.inquiry import Info, Inquiry, Peers
from accounts.schema.queries import Finder
from accounts.schema.relay import DEFAULT_FIRST, Connection, Node, Slice, connection, extend, told
from accounts.schema.types import SEARCH, Space
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from apikeys.workflows import models
from apikeys.workflows.inventory import find_known, known, spaces_with
from apikeys.workflows.models import DatasetKind
from apikeys.workflows.stock import name_of

M = TypeVar("M", Project, models.Dataset, models.Experiment)
T = TypeVar("T")


@strawberry.enum(description="What is logged to a project.")
class ModelType(Enum):
    """The kinds of project."""

    tracing = ProjectKind.TRACING
    mlModel = ProjectKind.ML_MODEL  # noqa: N815 -- as it is written on the wire


@strawberry.enum(description="What the examples of a dataset are.")
class DatasetType(Enum):
    """The kinds of dataset."""

    unknown = DatasetKind.UNKNOWN
    generative = DatasetKind.GENERATIVE
    inferences = DatasetKind.INFERENCES


@strawberry.type(description="What spans or predictions are logged to: a project, or a model, as older clients say.")
class Model(Node):
    """A project that the caller may see."""

    row: Private[Project]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("Model", self.row.pk)

    @told("The name, unique in the space.")
    def name(self) -> str:
        """Return the name."""
        return self.row.name

    @told("Whether traces are logged to it or a model's predictions.")
    def model_type(self) -> ModelType:
        """Return the kind."""
        return ModelType(ProjectKind(self.row.kind))

    @told("Whether only roles that were given in it count.")
    def is_restricted(self) -> bool:
        """Whether it is restricted."""
        return self.row.is_restricted

    @told("Who wrote to it last.")
    def last_writer(self) -> str:
        """Return their name."""
        return name_of(self.row.last_writer)

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told("When something was last written to it.")
    def updated_at(self) -> datetime:
        """Return the moment."""
        return self.row.updated_at


@strawberry.type(description="A dataset's examples as they are under one name.")
class DatasetVersion(Node):
    """A version of a dataset that the caller may read."""

    row: Private[models.DatasetVersion]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return self.row.wire_id

    @told("The name, unique in the dataset.")
    def name(self) -> str:
        """Return the name."""
        return self.row.name

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told("When its examples were last changed.")
    def updated_at(self) -> datetime:
        """Return the moment."""
        return self.row.updated_at


@strawberry.type(description="What a task made, of a dataset's examples as a rule.")
class Experiment(Node):
    """An experiment that the caller may read."""

    row: Private[models.Experiment]
    peers: Private[Peers[models.Experiment]]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return self.row.wire_id

    @told("The name, unique on its dataset, or in its space among those without one.")
    def name(self) -> str:
        """Return the name."""
        return self.row.name

    @told("What it was made of, if it was a dataset.", access="DATASET_READ in the space; null otherwise.")
    def dataset(self, info: Info) -> Dataset | None:
        """Return the dataset."""
        inquiry = info.context
        found = self.peers.ask("datasets", lambda rows: _datasets_of(inquiry, [row.dataset_id for row in rows]))
        return found.get(self.row.dataset_id or 0)

    @told("Where its traces go.", access="PROJECT_READ there; null otherwise.")
    def traces_project(self, info: Info) -> Model | None:
        """Return the project."""
        inquiry = info.context
        found = self.peers.ask("projects", lambda rows: _projects_of(inquiry, [row.project_id for row in rows]))
        return found.get(self.row.project_id or 0)

    @told("Who wrote to it last.")
    def last_writer(self) -> str:
        """Return their name."""
        return name_of(self.row.last_writer)

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told("When something was last written to it.")
    def updated_at(self) -> datetime:
        """Return the moment."""
        return self.row.updated_at


@strawberry.type(description="Named examples, in versions that follow one another.")
class Dataset(Node):
    """A dataset that the caller may read."""

    row: Private[models.Dataset]
    peers: Private[Peers[models.Dataset]]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return self.row.wire_id

    @told("The name, unique in the space.")
    def name(self) -> str:
        """Return the name."""
        return self.row.name

    @told("What its examples are.")
    def dataset_type(self) -> DatasetType:
        """Return the kind."""
        return DatasetType(DatasetKind(self.row.kind))

    @told("Who wrote to it last.")
    def last_writer(self) -> str:
        """Return their name."""
        return name_of(self.row.last_writer)

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told("When something was last written to it.")
    def updated_at(self) -> datetime:
        """Return the moment."""
        return self.row.updated_at

    @told("Its versions, newest first.", access="Whoever may read the dataset.")
    def versions(
        self, info: Info, first: int | None = DEFAULT_FIRST, after: str | None = None
    ) -> Connection[DatasetVersion] | None:
        """Return its versions."""
        which = Slice.of(first, after)
        found = self.peers.ask(("versions", which), lambda rows: _versions_of(rows, which))
        return found[self.row.pk]

    @told(f"The experiments on it, newest first. {SEARCH}", access="EXPERIMENT_READ in the space; none otherwise.")
    def experiments(
        self, info: Info, first: int | None = DEFAULT_FIRST, after: str | None = None, search: str | None = None
    ) -> Connection[Experiment] | None:
        """Return the experiments on it."""
        inquiry, which, part = info.context, Slice.of(first, after), search or ""
        found = self.peers.ask(("experiments", part, which), lambda rows: _experiments_on(inquiry, rows, part, which))
        return found[self.row.pk]


@told(
    f"What spans and predictions are logged to, newest first. {SEARCH}",
    access="PROJECT_READ in each: of restricted projects only those that the caller has a role in.",
)
def _projects_of_space(
    root: Parent[Space],
    info: Info,
    first: int | None = DEFAULT_FIRST,
    after: str | None = None,
    search: str | None = None,
    model_type: ModelType | None = None,
) -> Connection[Model] | None:
    """Return a space's projects."""
    inquiry, which, part = info.context, Slice.of(first, after), search or ""
    wanted = Q() if model_type is None else Q(kind=model_type.value)
    found = root.peers.ask(
        ("projects", part, model_type, which), lambda rows: _projects_in(inquiry, rows, part, which, wanted)
    )
    return found[root.row.pk]


@told(
    "The same under the name that older clients have for projects. With `useExactSearchMatch` only what is named "
    "exactly as `search` says.",
    access="PROJECT_READ in each: of restricted projects only those that the caller has a role in.",
)
def _models_of_space(
    root: Parent[Space],
    info: Info,
    first: int | None = DEFAULT_FIRST,
    after: str | None = None,
    search: str | None = None,
    use_exact_search_match: bool | None = False,
) -> Connection[Model] | None:
    """Return a space's projects, to clients that call them models."""
    inquiry, which, part = info.context, Slice.of(first, after), search or ""
    wanted = Q(name=part) if use_exact_search_match and part else Q()
    asked = ("models", part, use_exact_search_match, which)
    return root.peers.ask(asked, lambda rows: _projects_in(inquiry, rows, part, which, wanted))[root.row.pk]


@told(f"Its datasets, newest first. {SEARCH}", access="DATASET_READ in the space.")
def _datasets_of_space(
    root: Parent[Space],
    info: Info,
    first: int | None = DEFAULT_FIRST,
    after: str | None = None,
    search: str | None = None,
) -> Connection[Dataset] | None:
    """Return a space's datasets."""
    inquiry, which, part = info.context, Slice.of(first, after), search or ""
    found = root.peers.ask(("datasets", part, which), lambda rows: _datasets_in(inquiry, rows, part, which))
    return or_refused(found, root, Permission.DATASET_READ)


@told(f"Its experiments, on datasets and without one, newest first. {SEARCH}", access="EXPERIMENT_READ in the space.")
def _experiments_of_space(
    root: Parent[Space],
    info: Info,
    first: int | None = DEFAULT_FIRST,
    after: str | None = None,
    search: str | None = None,
) -> Connection[Experiment] | None:
    """Return a space's experiments."""
    inquiry, which, part = info.context, Slice.of(first, after), search or ""
    found = root.peers.ask(("experiments", part, which), lambda rows: _experiments_in(inquiry, rows, part, which))
    return or_refused(found, root, Permission.EXPERIMENT_READ)


extend(
    Space,
    projects=_projects_of_space,
    models=_models_of_space,
    datasets=_datasets_of_space,
    experiments=_experiments_of_space,
)

FINDERS: dict[str, Finder] = {
    "Model": lambda inquiry, number: Model(row=find_seen(inquiry.actor, Project, number)),
    "Dataset": lambda inquiry, number: _one_dataset(find_known(inquiry.actor, models.Dataset, number)),
    "DatasetVersion": lambda inquiry, number: DatasetVersion(
        row=find_known(inquiry.actor, models.DatasetVersion, number)
    ),
    "Experiment": lambda inquiry, number: _one_experiment(find_known(inquiry.actor, models.Experiment, number)),
}


def _one_dataset(row: models.Dataset) -> Dataset:
    return Dataset(row=row, peers=Peers([row]))


def _one_experiment(row: models.Experiment) -> Experiment:
    return Experiment(row=row, peers=Peers([row]))


def or_refused(found: dict[int, Connection[T]], root: Space, permission: Permission) -> Connection[T]:
    """Return the page of one space; there is none for a space in which the caller lacks the permission."""
    if root.row.pk not in found:
        raise Forbidden(
            f"You need the permission {permission} in “{root.row}”. Ask one of its admins.", permission=permission
        )
    return found[root.row.pk]


def _searched(rows: QuerySet[M], search: str) -> QuerySet[M]:
    return whole_first(rows.filter(name__icontains=search), Q(name=search)) if search else rows


def _pages(
    parents: QuerySet[SpaceRow] | QuerySet[models.Dataset],
    within: QuerySet[M],
    every: QuerySet[M],
    search: str,
    which: Slice,
) -> dict[int, Page[M]]:
    """Return a page of what belongs to each parent: newest first; with a search first what is named exactly so."""
    return paginate_each(
        parents,
        _searched(within, search),
        rows=_searched(every, search),
        cursor=which.cursor,
        limit=which.limit,
        newest_first=not search,
        key="place" if search else "pk",
    )


def readable(inquiry: Inquiry, spaces: list[SpaceRow], permission: Permission) -> QuerySet[SpaceRow]:
    """Return those of some spaces where the caller holds a permission."""
    return spaces_with(inquiry.actor, permission).filter(pk__in=[space.pk for space in spaces])


def _projects_in(
    inquiry: Inquiry, spaces: list[SpaceRow], search: str, which: Slice, wanted: Q
) -> dict[int, Connection[Model]]:
    within = seen_by(inquiry.actor, Project).filter(wanted, space=OuterRef("pk"))
    parents = SpaceRow.objects.filter(pk__in=[space.pk for space in spaces])
    pages = _pages(parents, within, Project.objects.all(), search, which)
    return {number: connection(page, lambda row: Model(row=row), which) for number, page in pages.items()}


def _datasets_in(inquiry: Inquiry, spaces: list[SpaceRow], search: str, which: Slice) -> dict[int, Connection[Dataset]]:
    parents = readable(inquiry, spaces, Permission.DATASET_READ)
    every = models.Dataset.objects.all()
    pages = _pages(parents, every.filter(space=OuterRef("pk")), every, search, which)
    peers = Peers([row for page in pages.values() for row in page.items])
    return {
        number: connection(page, lambda row: Dataset(row=row, peers=peers), which) for number, page in pages.items()
    }


def _experiments_in(
    inquiry: Inquiry, spaces: list[SpaceRow], search: str, which: Slice
) -> dict[int, Connection[Experiment]]:
    parents = readable(inquiry, spaces, Permission.EXPERIMENT_READ)
    every = models.Experiment.objects.all()
    return _experiment_pages(_pages(parents, every.filter(space=OuterRef("pk")), every, search, which), which)


def _experiments_on(
    inquiry: Inquiry, datasets: list[models.Dataset], search: str, which: Slice
) -> dict[int, Connection[Experiment]]:
    """Return the experiments on each dataset: none to those who may read the dataset alone."""
    parents = models.Dataset.objects.filter(pk__in=[row.pk for row in datasets])
    within = known(inquiry.actor, models.Experiment).filter(dataset=OuterRef("pk"))
    return _experiment_pages(_pages(parents, within, models.Experiment.objects.all(), search, which), which)


def _experiment_pages(pages: dict[int, Page[models.Experiment]], which: Slice) -> dict[int, Connection[Experiment]]:
    peers = Peers([row for page in pages.values() for row in page.items])
    return {
        number: connection(page, lambda row: Experiment(row=row, peers=peers), which) for number, page in pages.items()
    }


def _versions_of(datasets: list[models.Dataset], which: Slice) -> dict[int, Connection[DatasetVersion]]:
    every = models.DatasetVersion.objects.all()
    pages = paginate_each(
        models.Dataset.objects.filter(pk__in=[row.pk for row in datasets]),
        every.filter(dataset=OuterRef("pk")),
        rows=every,
        cursor=which.cursor,
        limit=which.limit,
    )
    return {number: connection(page, lambda row: DatasetVersion(row=row), which) for number, page in pages.items()}


def _datasets_of(inquiry: Inquiry, numbers: list[int | None]) -> dict[int, Dataset]:
    peers = Peers(known(inquiry.actor, models.Dataset).filter(pk__in=_numbers(numbers)))
    return {row.pk: Dataset(row=row, peers=peers) for row in peers.rows}


def _projects_of(inquiry: Inquiry, numbers: list[int | None]) -> dict[int, Model]:
    rows = seen_by(inquiry.actor, Project).filter(pk__in=_numbers(numbers))
    return {row.pk: Model(row=row) for row in rows}


def _numbers(numbers: list[int | None]) -> list[int]:
    return [number for number in numbers if number is not None]
