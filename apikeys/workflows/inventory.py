"""What lies in a space, as far as somebody may know of it, and how much: what pages and GraphQL list.

Three questions, since three permissions answer them. Projects are scopes of their own: a restricted one shows itself to
those bound to it and to nobody else. Datasets, experiments and prompts are seen wherever the space's role says so.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Aggregate, BigIntegerField, Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from accounts.actors import Actor
from accounts.errors import NotFound
from accounts.models import Project, Space
from accounts.permissions import permitted, seen_by
from accounts.vocabulary import Permission
from apikeys.workflows.models import Dataset, DatasetVersion, Experiment, Prompt, Segment, SegmentKind

M = TypeVar("M", Dataset, DatasetVersion, Experiment, Prompt)

# What it takes to know of a thing, and the way from it to its space.
_READ: dict[type[Dataset | DatasetVersion | Experiment | Prompt], tuple[Permission, str]] = {
    Dataset: (Permission.DATASET_READ, "space"),
    DatasetVersion: (Permission.DATASET_READ, "dataset__space"),
    Experiment: (Permission.EXPERIMENT_READ, "space"),
    Prompt: (Permission.PROMPT_READ, "space"),
}


def spaces_with(actor: Actor, permission: Permission) -> QuerySet[Space]:
    """Return the spaces of the account acted in where the actor holds a permission: ``may`` for many."""
    within = Space.objects.filter(organization__account=actor.require_account())
    if actor.is_operator:
        return within
    return within.none() if actor.user is None else within & permitted(actor.user, permission, Space)


def known(actor: Actor, model: type[M]) -> QuerySet[M]:
    """Return the things of one kind that the actor may know of, in the account acted in."""
    permission, space = _READ[model]
    rows: QuerySet[M] = model._default_manager.filter(**{f"{space}__in": spaces_with(actor, permission)})
    return rows


def find_known(actor: Actor, model: type[M], number: int) -> M:
    """Return the thing of that number.

    Raises:
        NotFound: there is none, or the actor may not know of it.
    """
    row: M | None = known(actor, model).filter(pk=number).first()
    if row is None:
        raise NotFound(f"There is no such {model._meta.verbose_name}, or you have no access to it.")
    return row


def projects_in(actor: Actor, space: Space) -> QuerySet[Project]:
    """Return a space's projects that the actor may see, with what was uploaded to each: uploads, rows and bytes."""
    own = Segment.objects.filter(project=OuterRef("pk")).order_by().values("project")
    return (
        seen_by(actor, Project)
        .filter(space=space)
        .annotate(
            pieces=_number(own, Count("pk")),
            row_count=_number(own.filter(kind=SegmentKind.ROWS), Sum("table__rows")),
            byte_count=_number(own, Sum("table__bytes")),
        )
    )


def datasets_in(actor: Actor, space: Space) -> QuerySet[Dataset]:
    """Return a space's datasets, each with the number of its versions, the rows of the last and the bytes of all."""
    own = DatasetVersion.objects.filter(dataset=OuterRef("pk")).order_by().values("dataset")
    last = DatasetVersion.objects.filter(dataset=OuterRef("pk")).order_by("-number").values("table__rows")[:1]
    return (
        known(actor, Dataset)
        .filter(space=space)
        .annotate(
            pieces=_number(own, Count("pk")),
            row_count=Coalesce(Subquery(last), 0, output_field=BigIntegerField()),
            byte_count=_number(own, Sum("table__bytes")),
        )
    )


def experiments_in(actor: Actor, space: Space) -> QuerySet[Experiment]:
    """Return a space's experiments, with their tables."""
    return known(actor, Experiment).filter(space=space).select_related("dataset", "version", "table", "project")


def _number(own: QuerySet[Any, Any], of: Aggregate) -> Coalesce:
    """Return a number of what belongs to a row: 0 where nothing does."""
    return Coalesce(Subquery(own.annotate(n=of).values("n")), 0, output_field=BigIntegerField())
