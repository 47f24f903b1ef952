"""What was logged to a project, given back: the rows of a span of time, with all that was said of them since.

An export goes through the uploads one batch after another, so that its size does not matter. What is in memory at once
is a batch, and what was said of rows afterwards in the columns that are asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from accounts.actors import Actor
from accounts.errors import Invalid
from accounts.models import Project, ProjectKind, Space
from accounts.permissions import require
from accounts.vocabulary import Permission
from apikeys.workflows import filters, projects, tables
from apikeys.workflows.errors import TooLarge
from apikeys.workflows.models import Environment, Segment, SegmentKind
from apikeys.workflows.overlays import METADATA, Overlay, columns_over, patches_over
from apikeys.workflows.shapes import conformed, rows_at_once, unified
from apikeys.workflows.streams import Stream
from apikeys.workflows.uploads import (
    ACTUAL_COLUMNS,
    PATCH,
    PREDICTION_ID,
    SPAN_ID,
    TIME,
    TIME_TYPE,
    TRACE_ID,
    plain,
)

_READ = {ProjectKind.TRACING: Permission.PROJECT_SPAN_READ, ProjectKind.ML_MODEL: Permission.ML_MODEL_READ}
# Keys are looked up so many at a time: each look-up makes a table of all that was said.
_LOOKED_UP = 2**20
# What was said of rows is in memory as long as an export takes, some of it twice while it is put together.
MOST_SAID = 2**30
# Clients ask for small batches where their rows are large.
_MOST_ROWS = tables.READ_ROWS
# Uploads add up, each with columns of its own: whoever wants more than these at once says which.
MOST_COLUMNS = 20_000
# Times have 64 bits of nanoseconds.
_FIRST, _LAST = datetime(1678, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ExportQuery:
    """What an export asks for. ``project`` is a name, ``start`` is inclusive and ``end`` is not.

    ``sample_rate`` keeps that share of traces, whole ones, and the same ones each time.
    """

    project: str
    environment: Environment
    start: datetime
    end: datetime
    model_version: str = ""
    batch_id: str = ""
    include_actuals: bool = False
    filter: str = ""
    columns: tuple[str, ...] = ()
    chunk: int | None = None
    sample_rate: float | None = None


def prepare(actor: Actor, space: Space, query: ExportQuery) -> Export:
    """Look up what an export gives; nothing is read yet but what columns there are.

    Raises:
        NotFound, Forbidden: the project is not the actor's to see, or its rows not theirs to read.
        Invalid: the query asks for columns that there are none of, its filter is none, or its times make no sense.
        StorageFailed: the rows cannot be read at the moment.

    Whoever goes through the export may meet ``TooLarge`` as well: more was said of the rows than there is memory for.
    """
    project = projects.find_named(actor, space, name=query.project)
    require(actor, _READ[ProjectKind(project.kind)], project)
    if query.end < query.start:  # clients cut both to seconds, and less than one makes an export of nothing
        raise Invalid("An export does not end before it starts.")
    if query.chunk is not None and query.chunk < 1:
        raise Invalid("The rows of a batch are one at least.", field="stream_chunk_size")
    if query.sample_rate is not None and not 0 < query.sample_rate <= 1:
        raise Invalid("A sample rate is more than 0 and at most 1.", field="sample_rate")
    query = replace(query, start=_kept(query.start), end=_kept(query.end))
    return Export(query, _rows_of(project, query), _said_of(project, query))


def _kept(moment: datetime) -> datetime:
    """Return a moment within those that rows can have."""
    return min(max(moment, _FIRST), _LAST)


def _rows_of(project: Project, query: ExportQuery) -> list[Segment]:
    rows = project.segments.filter(kind=SegmentKind.ROWS, environment=query.environment)
    rows = rows.filter(first_at__lt=query.end, last_at__gte=query.start)
    if query.model_version:
        rows = rows.filter(model_version=query.model_version)
    if query.batch_id:
        rows = rows.filter(batch_id=query.batch_id)
    return list(rows.select_related("table").order_by("pk"))


def _said_of(project: Project, query: ExportQuery) -> list[Segment]:
    said = project.segments.exclude(kind=SegmentKind.ROWS).filter(environment=query.environment)
    return list(said.select_related("table").order_by("pk"))


@dataclass(frozen=True)
class _Part:
    """One upload of rows: its table, and whether all of it lies within the time that is asked for."""

    segment: Segment
    schema: pa.Schema
    is_within: bool


@dataclass(frozen=True)
class Export:
    """The rows that a query finds. Each question goes through them anew."""

    query: ExportQuery
    rows: Sequence[Segment]
    said: Sequence[Segment] = field(default=())

    @cached_property
    def total(self) -> int:
        """How many rows there are."""
        if not self.rows:
            return 0
        if self._filter is None and self._share is None:
            return sum(part.segment.table.rows if part.is_within else self._count(part) for part in self._parts)
        return sum(batch.num_rows for batch in self._found(frozenset()))

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of the rows, ``time`` always among them.

        Raises:
            TooLarge: there are more than an export may have.
        """
        wanted = set(self.query.columns)
        missing = [name for name in self.query.columns if name not in self._all.names]
        if missing and self.rows:
            raise Invalid(f"There is no column “{missing[0]}” in what is asked for.", field="columns")
        schema = pa.schema([field for field in self._all if not wanted or field.name in wanted or field.name == TIME])
        if len(schema) > MOST_COLUMNS:
            raise TooLarge(
                f"There are {len(schema)} columns, and an export has {MOST_COLUMNS} at most: ask for fewer.",
                field="columns",
            )
        return schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give the rows in the order in which they were logged, one batch at least.

        Raises:
            StorageFailed: they cannot be read any further.
        """
        any_came = False
        for batch in self._found(frozenset(self.schema.names)):
            for start in range(0, batch.num_rows, self._chunk):
                any_came = True
                yield batch.select(self.schema.names).slice(start, self._chunk)
        if not any_came:
            yield pa.RecordBatch.from_arrays([pa.array([], one.type) for one in self.schema], schema=self.schema)

    def stream(self) -> Stream:
        """Give schema and batches."""
        return Stream(self.schema, self.batches())

    @property
    def _chunk(self) -> int:
        return min(self.query.chunk or _MOST_ROWS, _MOST_ROWS)

    @property
    def _share(self) -> float | None:
        return None if self.query.sample_rate in (None, 1) else self.query.sample_rate

    @cached_property
    def _parts(self) -> list[_Part]:
        return [_Part(segment, tables.read(segment.table).schema, self._is_within(segment)) for segment in self.rows]

    def _is_within(self, segment: Segment) -> bool:
        return (
            segment.first_at is not None
            and segment.last_at is not None
            and segment.first_at >= self.query.start
            and segment.last_at < self.query.end
        )

    @cached_property
    def _is_without_actuals(self) -> bool:
        """Whether actuals are left out: those of production are, unless they are asked for (contract §9)."""
        return self.query.environment == Environment.PRODUCTION and not self.query.include_actuals

    @cached_property
    def _all(self) -> pa.Schema:
        """All columns that there are: those of rows, and those of what was said of them."""
        if not self.rows:
            return pa.schema([(TIME, TIME_TYPE)])
        left_out = {PATCH, SPAN_ID, PREDICTION_ID, TIME}
        schemas = [part.schema for part in self._parts]
        for segment in self.said:
            said = tables.read(segment.table).schema
            schemas.append(pa.schema([one for one in said if one.name not in left_out]))
            if segment.kind == SegmentKind.METADATA:
                schemas.append(pa.schema([(METADATA, pa.string())]))
        schema = unified(schemas)
        if self._is_without_actuals:
            schema = pa.schema([one for one in schema if one.name not in ACTUAL_COLUMNS])
        return schema

    @cached_property
    def _filter(self) -> filters.Filter | None:
        return filters.read(self.query.filter, self._all) if self.query.filter.strip() else None

    def _count(self, part: _Part) -> int:
        """Count the rows of an upload that reaches beyond the time that is asked for."""
        return sum(
            pc.sum(self._in_time(batch)).as_py() or 0 for batch in tables.read(part.segment.table, [TIME]).batches
        )

    def _in_time(self, batch: pa.RecordBatch) -> Any:
        times = batch.column(batch.schema.get_field_index(TIME))
        start, end = (pa.scalar(at, TIME_TYPE) for at in (self.query.start, self.query.end))
        return pc.and_(pc.greater_equal(times, start), pc.less(times, end))

    def _found(self, wanted: frozenset[str]) -> Iterator[pa.RecordBatch]:
        """The rows that the query finds, with the columns that are wanted, and those that it takes to find them."""
        needed = set(wanted) | {TIME} | (self._filter.columns if self._filter else set())
        if self._share is not None:
            if TRACE_ID not in self._all.names:
                raise Invalid("Only traces can be sampled.", field="sample_rate")
            needed.add(TRACE_ID)
        overlays = self._overlays(needed)
        needed |= {overlay.key for overlay in overlays}
        schema = pa.schema([one for one in self._all if one.name in needed])
        rows = rows_at_once(schema, _MOST_ROWS)
        places = [_Places(overlay, self._keys(overlay.key)) for overlay in overlays]
        for part in self._parts:
            for batch in tables.read(part.segment.table, needed, batch_rows=rows).batches:
                known = [place.next(batch.num_rows) for place in places]
                batch = conformed(batch, schema)
                if not part.is_within:
                    inside = self._in_time(batch)
                    batch, known = batch.filter(inside), [place.filter(inside) for place in known]
                for overlay, place in zip(overlays, known, strict=True):
                    batch = overlay.lay(batch, place)
                yield from self._passed(batch)

    def _passed(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        if self._share is not None:
            batch = batch.filter(_sampled(batch.column(batch.schema.get_field_index(TRACE_ID)), self._share))
        if self._filter is None:
            found = [batch]
        else:
            try:
                found = pa.Table.from_batches([batch]).filter(self._filter.expression).to_batches()
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise Invalid("The filter cannot be applied to the values that are there.", field="filter") from error
        return (part for part in found if part.num_rows)

    def _keys(self, key: str) -> Iterator[Any]:
        """The keys of all rows, as they come."""
        for part in self._parts:
            for batch in tables.read(part.segment.table, [key], batch_rows=_MOST_ROWS).batches:
                yield plain(batch.column(0)).cast(pa.string())

    def _overlays(self, needed: set[str]) -> list[Overlay]:
        """What is laid over the rows in the columns that are needed."""
        key = SPAN_ID if self.query.environment == Environment.TRACING else PREDICTION_ID
        columns = [segment for segment in self.said if segment.kind != SegmentKind.METADATA]
        patches = [segment for segment in self.said if segment.kind == SegmentKind.METADATA and METADATA in needed]
        without = (ACTUAL_COLUMNS if self._is_without_actuals else frozenset()) | {TIME}
        names, patch = {key, *(needed - without)}, {SPAN_ID, PATCH}
        size = sum(one.size for one in _readings(columns, names, key))
        size += sum(one.size for one in _readings(patches, patch, SPAN_ID))
        if size > MOST_SAID:
            raise TooLarge(
                f"What was said of these rows has more than {MOST_SAID // 2**20} MB in the columns of this export; "
                "ask for fewer columns.",
                field="columns",
            )
        found: list[Overlay | None] = [columns_over(key, [one.table() for one in _readings(columns, names, key)])]
        if patches:
            found.append(patches_over([one.table() for one in _readings(patches, patch, SPAN_ID)]))
        return [overlay for overlay in found if overlay is not None]


class _Places:
    """Where in an overlay the next rows are, looked up for many rows at once."""

    def __init__(self, overlay: Overlay, keys: Iterator[Any]) -> None:
        self._overlay = overlay
        self._keys = keys
        self._known = pa.array([], pa.int32())

    def next(self, rows: int) -> Any:
        """The places of so many further rows."""
        while len(self._known) < rows:
            self._known = pa.concat_arrays([self._known, self._look_up()])
        places, self._known = self._known.slice(0, rows), self._known.slice(rows)
        return places

    def _look_up(self) -> Any:
        keys, count = [], 0
        for some in self._keys:
            keys.append(some)
            count += len(some)
            if count >= _LOOKED_UP:
                break
        return self._overlay.places(pa.concat_arrays(keys))


def _readings(said: Iterable[Segment], names: set[str], key: str) -> Iterator[tables.Reading]:
    """What was said, in the columns of these names; not where it is nothing but whom it is said of."""
    for segment in said:
        reading = tables.read(segment.table, names)
        if len(reading.schema) > 1 and key in reading.schema.names:
            yield reading


def _sampled(traces: Any, share: float) -> Any:
    """Whether each trace is one of those that are kept: by its id, so that all its spans are, or none, each time."""
    distinct = traces.dictionary_encode()
    kept = pa.array([_number_of(trace) < share for trace in distinct.dictionary.to_pylist()], pa.bool_())
    return kept.take(distinct.indices)


def _number_of(text: str) -> float:
    """A number from 0 up to 1, evenly spread over texts."""
    return zlib.crc32(text.encode()) / 2**32
