"""The runs of an experiment, one by one: read in pages, added and annotated.

Clients of one age call what came out of a task its result, those of another its output: whoever reads gets both names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.errors import Invalid, NotAllowed
from accounts.models import Space
from accounts.permissions import require
from accounts.vocabulary import Permission
from apikeys.workflows import edits, experiments, rows, tables
from apikeys.workflows.editing import (
    ATTEMPTS,
    Edit,
    Value,
    annotated,
    identified,
    ids_among,
    new_ids,
    others_were_faster,
    require_editable,
    require_room,
    require_usable,
)
from apikeys.workflows.edits import ID, Row
from apikeys.workflows.errors import StorageFailed
from apikeys.workflows.models import Dataset, Experiment, Table
from apikeys.workflows.rows import Slice
from apikeys.workflows.streams import Stream
from apikeys.workflows.writing import writing

OUTPUT, RESULT = "output", "result"
_EXAMPLE = "example_id"
# Of the ids of runs that come without: they come before those that are appended, as texts too.
_DIGITS = 10


@dataclass(frozen=True)
class Edited:
    """Which runs were written."""

    experiment: Experiment
    ids: tuple[str, ...]


def create(actor: Actor, on: Dataset | Space, *, name: str, runs: Sequence[Row], at: datetime) -> Experiment:
    """Make an experiment with its runs: on a dataset's latest version, or in a space without any dataset.

    Raises:
        Invalid: the name or a run is not what it should be.
        NotAllowed: a run over a dataset is of no example.
        NotFound, Forbidden, Conflict, TooLarge, StorageFailed: as ``experiments.create_experiment``.
    """
    require(actor, Permission.EXPERIMENT_CREATE, experiments.space_of(on))
    stream = edits.of_rows(_numbered(runs, on if isinstance(on, Dataset) else None, at=at))
    require_room(None, stream, len(runs))
    return experiments.create_experiment(actor, on, name=name, stream=stream, at=at)


def post(actor: Actor, experiment: Experiment, *, stream: Stream, at: datetime) -> Experiment:
    """Fill an experiment that was begun, whose runs may have numbers for ids, or none.

    Raises:
        NotFound, Forbidden, Conflict, Invalid, StorageFailed: as ``experiments.post_runs``.
    """
    return experiments.post_runs(actor, experiment, stream=edits.identified(stream, digits=_DIGITS), at=at)


def download(actor: Actor, experiment: Experiment) -> tables.Reading:
    """Return all runs of an experiment.

    Raises:
        NotFound, Forbidden, StorageFailed: as ``experiments.read_runs``.
    """
    reading = experiments.read_runs(actor, experiment)
    named = with_both_names(Stream(reading.schema, reading.batches))
    return replace(reading, schema=named.schema, batches=named.batches)


def read(
    actor: Actor, experiment: Experiment, *, condition: str | None = None, cursor: str | None = None, limit: int
) -> Slice:
    """Return a page of an experiment's runs, in the order in which they came; none before there are any.

    Raises:
        NotFound, Forbidden: they are not the actor's to read.
        Invalid: the cursor is none of ours, or the condition empty.
        NotAllowed: the condition cannot be read.
        StorageFailed: they cannot be read at the moment.
    """
    require(actor, Permission.EXPERIMENT_RUN_READ, experiment.space)
    after = rows.place_of(cursor)
    if experiment.table is None:
        return Slice([], None)
    stream, start = identified(experiment.table, after=after)
    return rows.page(with_both_names(stream), start=start, after=after, limit=limit, condition=condition)


def append(actor: Actor, experiment: Experiment, *, runs: Sequence[Row], at: datetime) -> Edited:
    """Add runs to an experiment.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to add to.
        Invalid, NotAllowed, TooLarge: a run is not what it should be, or there are too many.
        Conflict: others change the same experiment all the time.
        StorageFailed: there is no room.
    """
    require(actor, Permission.EXPERIMENT_UPDATE, experiment.space)
    new = _numbered(runs, experiment.dataset, at=at)

    def edit(table: Table | None) -> Edit:
        ids = [str(row[ID]) for row in new]
        if table is None:
            return Edit(edits.of_rows(new), ids, added=len(new))
        stream, _ = identified(table)
        return Edit(edits.appended(stream, _as_named(new, stream.schema.names)), ids, added=len(new))

    return _in_place(actor, experiment, edit, Permission.EXPERIMENT_UPDATE, Tag.EXPERIMENT_CHANGED, at, "added")


def annotate(actor: Actor, experiment: Experiment, values: Mapping[str, Sequence[Value]], *, at: datetime) -> Edited:
    """Say something of runs, by their ids. Ids that there are none of are passed over.

    Raises:
        NotFound, Forbidden, TooLarge, Conflict, StorageFailed: as ``append``.
    """
    needed = Permission.EXPERIMENT_RUN_ANNOTATE
    require(actor, needed, experiment.space)
    changes = annotated(values, actor, at=at)

    def edit(table: Table | None) -> Edit | None:
        there = ids_among(table, changes) if table is not None else []
        if table is None or not there:
            return None
        return Edit(edits.patched(identified(table)[0], {one: changes[one] for one in there}), there)

    return _in_place(actor, experiment, edit, needed, Tag.EXPERIMENT_ANNOTATED, at, "annotated")


def with_both_names(stream: Stream) -> Stream:
    """Return runs in which what came out stands under both of its names."""
    here, missing = (OUTPUT, RESULT) if OUTPUT in stream.schema.names else (RESULT, OUTPUT)
    if here not in stream.schema.names or missing in stream.schema.names:
        return stream
    field = stream.schema.field(here).with_name(missing)
    schema = stream.schema.append(field)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in stream.batches:
            yield pa.RecordBatch.from_arrays([*batch.columns, batch.column(here)], schema=schema)

    return Stream(schema, batches())


def _as_named(runs: Sequence[Row], names: Sequence[str]) -> Sequence[Row]:
    """Return runs in which what came out stands where the runs before have it."""
    if RESULT not in names:
        return runs
    if OUTPUT in names:
        return [{**run, RESULT: run.get(RESULT, run[OUTPUT])} for run in runs]
    return [{RESULT if name == OUTPUT else name: value for name, value in run.items()} for run in runs]


def _numbered(runs: Sequence[Row], dataset: Dataset | None, *, at: datetime) -> list[dict[str, object]]:
    """Give runs their ids. Those over a dataset say of which example each was made; others may, and need not."""
    require_usable(runs, reserved=(ID, "annotations"), field="experiment_runs")
    # Clients say of a run that is of no example that it has none, where others have one.
    runs = [{k: v for k, v in run.items() if k != _EXAMPLE or v is not None} for run in runs]
    for number, run in enumerate(runs):
        if not isinstance(run.get(OUTPUT), str):
            raise Invalid(f"Number {number} has no “output”: the text that came out.", field="experiment_runs")
        if dataset is None and _EXAMPLE not in run:
            continue
        if not isinstance(run.get(_EXAMPLE), str) or not run[_EXAMPLE]:
            raise NotAllowed(
                f"Number {number} has no “example_id”: which example of the dataset it was made of.",
                field="experiment_runs",
            )
    return [{ID: new, **run} for new, run in zip(new_ids(len(runs), at=at), runs, strict=True)]


def _in_place(
    actor: Actor,
    experiment: Experiment,
    edit: Callable[[Table | None], Edit | None],
    needed: Permission,
    tag: Tag,
    at: datetime,
    word: str,
) -> Edited:
    """Put the table that ``edit`` makes of an experiment's in its place."""
    for _ in range(ATTEMPTS):
        before = experiment.table
        try:
            if before is not None:
                require_editable(before, instead="Upload a new experiment instead.")
            edited = edit(before)
            if edited is None:
                return Edited(experiment, ())
            require_room(before, edited.stream, edited.added)
            with tables.drafted(edited.stream) as draft, writing(actor, tag):
                require(actor, needed, experiment.space)
                experiment = experiments.lock_experiment(experiment)
                if experiment.table != before:
                    continue
                table = draft.keep(actor, experiment.space, at=at)
                experiments.replace_runs(actor, experiment, table, at=at)
                told: dict[str, Any] = {word: len(edited.ids)}
                record(actor, tag, experiment, at=at, **experiments.where_told(experiment), **told)
                return Edited(experiment, tuple(edited.ids))
        except StorageFailed:  # as it is where somebody else was faster: the file of a table that is replaced goes
            experiment = experiments.get_again(experiment)
            if experiment.table == before:
                raise
    raise others_were_faster()
