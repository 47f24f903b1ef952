"""Spans: logged by whoever traces, and judged, annotated and described by others afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from accounts.actors import Actor
from accounts.audit import Tag
from accounts.errors import NotFound
from accounts.models import Project, ProjectKind, Space
from accounts.permissions import may, permitted, require
from accounts.vocabulary import Permission
from apikeys.workflows import projects, segments, tables
from apikeys.workflows.errors import TooLarge
from apikeys.workflows.models import Environment, Segment, SegmentKind
from apikeys.workflows.overlays import read_patch
from apikeys.workflows.shapes import conformed, unified
from apikeys.workflows.streams import MOST_MESSAGE, Stream
from apikeys.workflows.uploads import (
    ANNOTATION_PREFIX,
    PATCH,
    SPAN_ID,
    Kind,
    Upload,
    overlay_columns,
    plain,
)
from apikeys.workflows.uploads import Environment as Tracing
from apikeys.workflows.writing import writing

# What it takes to say something of spans that are there.
_UPDATE = {
    SegmentKind.EVALUATIONS: Permission.PROJECT_SPAN_UPDATE,
    SegmentKind.ANNOTATIONS: Permission.PROJECT_SPAN_ANNOTATE,
    SegmentKind.METADATA: Permission.PROJECT_SPAN_UPDATE,
}
# Ids are looked up so many at a time: each look-up goes through all that are asked for.
_LOOKED_UP = 2**20
_LONGEST_MESSAGE = 200
# So many rows an update may have, and values in all of its columns, which are there whether or not they are null. They
# are gone through as a whole, and of each null some hundred bytes can be made.
MOST_ROWS = 1_000_000
MOST_VALUES = 20_000_000
# All ids together: clients send 16 letters for each.
MOST_IDS = 64 * 2**20
# And of so many rows an answer says what is wrong with each; beyond that it counts them.
MOST_TOLD = 10_000
# JSON of brackets becomes some thirty times as large in memory, of whoever looks at it and of each export. So large may
# a patch be, and all patches of an update together.
MOST_PATCH = 256 * 2**10
MOST_PATCHES = 64 * 2**20
# So many values that say who annotated a row are made at a time.
_SIGNED = 200_000
# So many patches are texts of Python's at a time.
_READ_PATCHES = 1_000


@dataclass(frozen=True)
class Updated:
    """How an update went: of ``processed`` rows ``updated`` were kept.

    ``unmatched`` are ids that no span has; ``failed`` are ids with what is wrong with the row. Neither were kept. They
    are the first of many; ``unknown`` is how many ids no span has.
    """

    processed: int
    updated: int
    unmatched: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    unknown: int = 0


def log_spans(
    actor: Actor,
    space: Space,
    *,
    project_name: str,
    stream: Stream,
    at: datetime,
    model_version: str = "",
) -> Segment:
    """Add spans to a project; the first upload makes it.

    Raises:
        NotFound, Forbidden: the space or the project is not the actor's to see, or to add to.
        Conflict: the name is that of an ML model.
        Invalid, TooLarge: the rows are no spans, or too many.
        StorageFailed: there is no room.
    """
    project = may_log(actor, space, project_name)
    with contextlib.ExitStack() as drafts:
        upload = _Upload.of(project_name, project, stream, at, drafts)
        with writing(actor, Tag.PROJECT_WRITTEN, alone=project is None):
            (place,) = _places(actor, space, [upload], at)
            return upload.keep(actor, place, at=at, model_version=model_version)


def log_traces(actor: Actor, space: Space, tables_of: Mapping[str, pa.Table], *, at: datetime) -> list[Segment]:
    """Add spans to the projects that they name, to all of them or to none.

    Raises:
        NotFound, Forbidden, Conflict, Invalid, StorageFailed: as ``log_spans``.
    """
    found = {name: may_log(actor, space, name) for name in tables_of}
    with contextlib.ExitStack() as drafts:
        uploads = [
            _Upload.of(name, found[name], Stream(table.schema, iter(table.to_batches())), at, drafts)
            for name, table in tables_of.items()
        ]
        with writing(actor, Tag.PROJECT_WRITTEN, alone=None in found.values()):
            places = _places(actor, space, uploads, at)
            return [
                upload.keep(actor, place, at=at, streamed=True) for upload, place in zip(uploads, places, strict=True)
            ]


def may_log_somewhere(actor: Actor, space: Space) -> None:
    """Refuse whoever may add spans to nothing in the space: their export need not be read to know.

    Raises:
        NotFound, Forbidden: the space is not the actor's to see, or no project of it theirs to add to.
    """
    in_projects = Project.objects.none()
    if actor.user is not None and not may(actor, Permission.PROJECT_SPAN_CREATE, space):
        in_projects = permitted(actor.user, Permission.PROJECT_SPAN_CREATE, Project).filter(space=space)
    if not in_projects.exists():
        require(actor, Permission.PROJECT_SPAN_CREATE, space)


@dataclass
class _Upload:
    """Spans that are on the disk, and where they belong."""

    name: str
    project: Project | None
    draft: tables.Draft
    times: segments.Times

    @classmethod
    def of(
        cls, name: str, project: Project | None, stream: Stream, at: datetime, drafts: contextlib.ExitStack
    ) -> _Upload:
        upload, times = Upload(model_id=name, environment=Tracing.TRACING, is_spans=True), segments.Times()
        stored = Stream(
            upload.schema(stream.schema, at=at),
            times.through(upload.stored(batch, at=at) for batch in stream.batches),
        )
        return cls(name, project, drafts.enter_context(tables.drafted(stored)), times)

    def keep(
        self, actor: Actor, project: Project, *, at: datetime, model_version: str = "", streamed: bool = False
    ) -> Segment:
        """Keep them in a project that is held: the last step, in its transaction.

        ``streamed`` is for those that come one by one: the audit log does not tell each of them.
        """
        return segments.keep(
            actor,
            project,
            self.draft,
            kind=SegmentKind.ROWS,
            environment=Environment.TRACING,
            times=self.times,
            model_version=model_version,
            streamed=streamed,
            at=at,
        )


def _places(actor: Actor, space: Space, uploads: Sequence[_Upload], at: datetime) -> list[Project]:
    """Return the projects of uploads, all held before anything is recorded, if the actor still may add to them."""
    kind = ProjectKind.TRACING
    found = [one.project or projects.find_for_upload(actor, space, name=one.name, kind=kind) for one in uploads]
    segments.hold([project for project in found if project is not None])
    places = [
        segments.project_for(actor, space, project, name=one.name, kind=kind, at=at)[0]
        for one, project in zip(uploads, found, strict=True)
    ]
    for project in places:
        require(actor, Permission.PROJECT_SPAN_CREATE, project)
    return places


def may_log(actor: Actor, space: Space, project_name: str) -> Project | None:
    """Return the project that spans go to, or ``None`` where they would make it, before any data is read.

    Raises:
        NotFound, Forbidden, Conflict, Invalid: as ``log_spans``.
    """
    project = projects.find_for_upload(actor, space, name=project_name, kind=ProjectKind.TRACING)
    require(actor, Permission.PROJECT_SPAN_CREATE, space if project is None else project)
    return project


def update_spans(
    actor: Actor,
    space: Space,
    *,
    project_name: str,
    kind: SegmentKind | str,
    stream: Stream,
    at: datetime,
    all_or_none: bool = False,
) -> Updated:
    """Lay evaluations, annotations or patches of metadata over spans that are there.

    With ``all_or_none`` ids that no span has are a refusal, NotFound; otherwise they are told.

    Raises:
        NotFound, Forbidden: the space or the project is not the actor's to see, or its spans not theirs to change.
        Invalid, TooLarge: the rows do not say which spans they mean, say something else, or are too many.
        StorageFailed: there is no room.
    """
    kind = SegmentKind(kind)
    project = may_update(actor, space, project_name, kind)
    rows = _collected(Kind(kind), stream)
    processed = rows.num_rows
    rows, failed = _without_broken_patches(rows) if kind == SegmentKind.METADATA else (rows, ())
    found = _found(project, rows.column(SPAN_ID))
    kept = rows.filter(found)
    unknown = rows.column(SPAN_ID).filter(pc.invert(found)).unique()
    answer = Updated(
        processed=processed,
        updated=kept.num_rows,
        unmatched=tuple(unknown.slice(0, MOST_TOLD).to_pylist()),
        failed=failed,
        unknown=len(unknown),
    )
    if all_or_none and answer.unknown:
        raise NotFound(f"{answer.unknown} of these spans are not in “{project}”; nothing was kept.")
    if not kept.num_rows:
        return answer
    stored = Stream(kept.schema, iter(kept.to_batches()))
    if kind == SegmentKind.ANNOTATIONS:
        stored = _signed(actor, kept, at)
    with (
        tables.drafted(stored) as draft,
        writing(actor, Tag.PROJECT_WRITTEN),
    ):
        project, _ = segments.project_for(actor, space, project, name=project_name, kind=ProjectKind.TRACING, at=at)
        require(actor, _UPDATE[kind], project)
        segments.keep(actor, project, draft, kind=kind, environment=Environment.TRACING, at=at)
    return answer


def may_update(actor: Actor, space: Space, project_name: str, kind: SegmentKind | str) -> Project:
    """Return the project whose spans are to be updated, before any data is read.

    Raises:
        NotFound, Forbidden, Invalid: as ``update_spans``.
    """
    project = projects.find_named(actor, space, name=project_name)
    require(actor, _UPDATE[SegmentKind(kind)], project)
    return project


def _collected(kind: Kind, stream: Stream) -> pa.Table:
    """All rows of an update, which clients send in one message anyway."""
    names = [SPAN_ID, *overlay_columns(kind, stream.schema)]
    schema = unified([pa.schema([stream.schema.field(name) for name in names])])
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in stream.batches:
        rows += batch.num_rows
        if rows > MOST_ROWS or rows * len(names) > MOST_VALUES:
            raise TooLarge(
                f"An update of spans may have {MOST_ROWS} rows, and {MOST_VALUES} values in all columns together; send "
                "the rest in another one."
            )
        batches.append(conformed(batch, schema))
        size += batches[-1].nbytes
        if size > MOST_MESSAGE:
            raise TooLarge(f"An update of spans may have {MOST_MESSAGE // 2**20} MB; send the rest in another one.")
    table = pa.Table.from_batches(batches, schema)
    if table.column(SPAN_ID).nbytes > MOST_IDS:
        raise TooLarge(f"The ids of an update may have {MOST_IDS // 2**20} MB; send the rest in another one.")
    return table.filter(table.column(SPAN_ID).is_valid()) if table.column(SPAN_ID).null_count else table


def _without_broken_patches(rows: pa.Table) -> tuple[pa.Table, tuple[tuple[str, str], ...]]:
    sizes = pc.fill_null(pc.binary_length(rows.column(PATCH)), 0)
    fits = pc.less_equal(sizes, MOST_PATCH)
    if (pc.sum(sizes.filter(fits)).as_py() or 0) > MOST_PATCHES:
        raise TooLarge(f"The patches of an update may have {MOST_PATCHES // 2**20} MB; send the rest in another one.")
    fine: list[Any] = []
    failed: list[tuple[str, str]] = []
    for number in range(0, rows.num_rows, _READ_PATCHES):
        part = rows.slice(number, _READ_PATCHES)
        wrong = list(_what_is_wrong_with(part, fits.slice(number, _READ_PATCHES)))
        fine.append(pa.array([error is None for error in wrong], pa.bool_()))
        if len(failed) < MOST_TOLD:
            ids = part.column(SPAN_ID).to_pylist()
            failed += ((span, error) for span, error in zip(ids, wrong, strict=True) if error is not None)
    return rows.filter(pa.chunked_array(fine, pa.bool_())), tuple(failed[:MOST_TOLD])


def _what_is_wrong_with(rows: pa.Table, fits: Any) -> Iterator[str | None]:
    # Those that are too large are left where they are: none of them becomes a text of Python's.
    patches = pc.if_else(fits, rows.column(PATCH), pa.scalar(None, rows.column(PATCH).type))
    for patch, is_small in zip(patches.to_pylist(), fits.to_pylist(), strict=True):
        yield _what_is_wrong(patch) if is_small else f"A patch may have {MOST_PATCH // 2**10} KB; this one has more."


def _what_is_wrong(patch: str | None) -> str | None:
    try:
        read_patch(patch)
    except ValueError as error:
        return f"The patch cannot be read as a JSON object: {error}"[:_LONGEST_MESSAGE]
    return None


def _found(project: Project, ids: Any) -> Any:
    """For each of the ids, whether a span has it."""
    wanted = ids.unique()
    missing = wanted
    for stored in _stored_ids(project):
        if not len(missing):
            break
        missing = missing.filter(pc.invert(pc.is_in(missing, value_set=stored.cast(missing.type))))
    return pc.invert(pc.is_in(ids, value_set=missing))


def _stored_ids(project: Project) -> Iterator[Any]:
    """The ids of a project's spans, the newest first, many at a time."""
    kept: Sequence[Segment] = list(
        project.segments.filter(kind=SegmentKind.ROWS, environment=Environment.TRACING)
        .select_related("table")
        .order_by("-pk")
    )
    waiting: list[Any] = []
    count = 0
    for ids in _ids_of(kept):
        waiting.append(ids)
        count += len(ids)
        if count >= _LOOKED_UP:
            yield pa.concat_arrays(waiting)
            waiting, count = [], 0
    if waiting:
        yield pa.concat_arrays(waiting)


def _ids_of(kept: Iterable[Segment]) -> Iterator[Any]:
    for segment in kept:
        for batch in tables.read(segment.table, [SPAN_ID]).batches:
            yield plain(batch.column(0)).cast(pa.string())


def _signed(actor: Actor, rows: pa.Table, at: datetime) -> Stream:
    """Say of each annotation by whom and when, where its client does not."""
    names = {
        name.rpartition(".")[0]
        for name in rows.column_names
        if name.startswith(ANNOTATION_PREFIX) and name.endswith((".label", ".score"))
    }
    signature = {
        ".updated_by": pa.scalar(actor.label),
        ".updated_at": pa.scalar(int(at.timestamp() * 1000), pa.int64()),
    }
    new = {
        f"{name}{suffix}": value
        for name in sorted(names)
        for suffix, value in signature.items()
        if f"{name}{suffix}" not in rows.column_names
    }
    schema = pa.schema([*rows.schema, *((name, value.type) for name, value in new.items())])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in rows.to_batches(max_chunksize=max(1, _SIGNED // max(1, len(new)))):
            repeated = [pa.repeat(value, batch.num_rows) for value in new.values()]
            yield pa.RecordBatch.from_arrays([*batch.columns, *repeated], schema=schema)

    return Stream(schema, batches())
