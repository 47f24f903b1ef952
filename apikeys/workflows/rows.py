"""Going through the rows of a table a page at a time, as JSON objects, some of them or all."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from accounts.errors import Invalid, NotAllowed
from apikeys.workflows import filters, values
from apikeys.workflows.streams import Stream

_PREFIX = "row:"
_LONGEST_NUMBER = 18
# Beside the columns that there are, which cannot have this name: names of JSON properties and of columns are texts.
_PLACE = "\x00place"


@dataclass(frozen=True)
class Slice:
    """Some rows, and where to go on where there are more."""

    rows: list[dict[str, Any]]
    next_cursor: str | None

    @property
    def has_more(self) -> bool:
        """Whether rows follow."""
        return self.next_cursor is not None


def place_of(cursor: str | None) -> int:
    """Return how many rows a cursor has left behind it.

    Raises:
        Invalid: it is none of ours.
    """
    if not cursor:
        return 0
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        text = ""
    number = text.removeprefix(_PREFIX)
    if not text.startswith(_PREFIX) or not number.isdecimal() or len(number) > _LONGEST_NUMBER:
        raise Invalid("This cursor is not one that a list returned; start again without it.", field="cursor")
    return int(number)


def page(stream: Stream, *, start: int, after: int, limit: int, condition: str | None = None) -> Slice:
    """Return up to ``limit`` rows behind the first ``after`` of a table; the stream begins with its row ``start``.

    Raises:
        Invalid: the condition is empty, or names what is not there.
        NotAllowed: it cannot be read, or not be applied to what is there.
    """
    passes = _reading(condition, stream.schema) if condition is not None else None
    found: list[dict[str, Any]] = []
    places: list[int] = []
    for batch, numbers in _from(stream.batches, start, after):
        kept = batch if passes is None else _passing(batch, numbers, passes)
        there = numbers if passes is None else kept.column(_PLACE).to_pylist()
        wanted = kept.slice(0, limit + 1 - len(found)).select(stream.schema.names)
        found += values.records(_one(wanted))
        places += list(there)[: wanted.num_rows]
        if len(found) > limit:
            return Slice(found[:limit], _seal(places[limit - 1] + 1))
    return Slice(found, None)


def _from(batches: Iterator[pa.RecordBatch], start: int, after: int) -> Iterator[tuple[pa.RecordBatch, range]]:
    """Yield what follows of some rows behind a place, with the numbers of the rows."""
    for batch in batches:
        first, start = start, start + batch.num_rows
        skipped = max(0, after - first)
        if skipped < batch.num_rows:
            yield batch.slice(skipped), range(first + skipped, start)


def _reading(condition: str, schema: pa.Schema) -> Any:
    if not condition.strip():
        raise Invalid("A filter must not be empty; leave it out to get everything.", field="filter")
    try:
        return filters.parse(condition, schema)
    except Invalid as error:
        # Well formed as a request, and no condition (contract client-workflows §10 and §11).
        raise NotAllowed(error.detail, field=error.field) from error


def _passing(batch: pa.RecordBatch, numbers: range, passes: Any) -> pa.Table:
    rows = pa.Table.from_batches([batch]).append_column(_PLACE, pa.array(numbers, pa.int64()))
    try:
        return rows.filter(passes)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise NotAllowed("The filter cannot be applied to the values that are there.", field="filter") from error


def _one(rows: Any) -> pa.RecordBatch:
    if isinstance(rows, pa.RecordBatch):
        return rows
    batches = rows.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=rows.schema)


def _seal(number: int) -> str:
    return base64.urlsafe_b64encode(f"{_PREFIX}{number}".encode()).decode().rstrip("=")
