"""What projects consist of: one segment for each upload, whose rows are found by their times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.errors import NotFound
from accounts.models import Project, ProjectKind, Space
from accounts.repeats import Repeats
from apikeys.workflows import projects, tables
from apikeys.workflows.models import Environment, Segment, SegmentKind
from apikeys.workflows.uploads import TIME

# A thousand spans come in a thousand calls: the audit log says once an hour that somebody writes, and how often.
_streams = Repeats(seconds=60 * 60)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Times:
    """The first and the last time of the rows that went through, in nanoseconds."""

    first: int | None = None
    last: int | None = None

    def through(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Look at batches on their way."""
        for batch in batches:
            found = pc.min_max(batch.column(TIME).cast(pa.int64())).as_py()
            if found["min"] is not None:
                self.first = found["min"] if self.first is None else min(self.first, found["min"])
                self.last = found["max"] if self.last is None else max(self.last, found["max"])
            yield batch


def hold(rows: Sequence[Project]) -> None:
    """Be alone with projects, in the order of their numbers, as everybody who holds several is."""
    numbers = [row.pk for row in rows]
    list(Project.objects.filter(pk__in=numbers).order_by("pk").select_for_update(of=("self",)).values_list("pk"))


def project_for(
    actor: Actor, space: Space, project: Project | None, *, name: str, kind: ProjectKind, at: datetime
) -> tuple[Project, bool]:
    """Return the project as it is now, alone with it, and whether this made it, as happens alone in the account.

    Raises:
        NotFound: it was deleted meanwhile.
        What `projects.find_for_upload` raises.
    """
    if project is None:
        project = projects.find_for_upload(actor, space, name=name, kind=kind)
    is_new = project is None
    if project is None:
        project = projects.create_project(actor, space, name=name, kind=kind, at=at)
    rows = Project.objects.select_for_update(of=("self",)).select_related("space__organization")
    found = rows.filter(pk=project.pk).first()
    if found is None:
        raise NotFound("The project was deleted meanwhile.")
    return found, is_new


def keep(
    actor: Actor,
    project: Project,
    draft: tables.Draft,
    *,
    kind: SegmentKind,
    environment: Environment,
    times: Times | None = None,
    model_version: str = "",
    batch_id: str = "",
    streamed: bool = False,
    at: datetime,
) -> Segment:
    """Add what was written to a locked project, and say so; of what comes row by row only now and then."""
    segment = Segment.objects.create(
        project=project,
        table=draft.keep(actor, project.space, at=at),
        kind=kind,
        environment=environment,
        model_version=model_version,
        batch_id=batch_id,
        first_at=None if times is None else _moment(times.first),
        last_at=None if times is None else _moment(times.last),
        created_at=at,
    )
    project.updated_at = at
    project.last_writer = actor.label
    project.save(update_fields=["updated_at", "last_writer"])
    details: dict[str, Any] = {"rows": draft.rows, "bytes": draft.bytes, "kind": kind.label}
    if streamed:
        # Rolled back, this one is not told, and those after it are once more in an hour.
        often = _streams.times((project.pk, actor.key_id, actor.user and actor.user.pk, actor.door))
        details = {"kind": kind.label, "times": often}
    if not streamed or details["times"]:
        record(actor, Tag.PROJECT_WRITTEN, project, at=at, space=str(project.space), **details)
    return segment


def forget_streams() -> None:
    """Tell of every stream anew: for tests, which share one process."""
    _streams.forget()


def _moment(nanoseconds: int | None) -> datetime | None:
    """A time in whole microseconds, which the database has: not later than it was."""
    return None if nanoseconds is None else _EPOCH + timedelta(microseconds=nanoseconds // 1000)
