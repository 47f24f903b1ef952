"""What changing examples and changing runs have in common: rows as clients may write them, and tables read for it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts.actors import Actor
from accounts.errors import Conflict, Invalid
from apikeys.workflows import edits, tables, values
from apikeys.workflows.edits import CREATED_AT, ID, UPDATED_AT, Row
from apikeys.workflows.errors import TooLarge
from apikeys.workflows.models import Table
from apikeys.workflows.streams import Stream

# So many at once (contract client-workflows §10 and §11).
MOST_ROWS = 1_000
# One row more or less means to write all the others anew, while whoever asked for it waits, and with them a thread of
# the server: a few seconds for tables of this size. Larger ones are uploaded anew, by a way that is made for it.
MOST_EDITED_ROWS = 1_000_000
MOST_EDITED_STORED = 256 * 2**20
MOST_EDITED_DECODED = 2**30
# Rows times properties, which are made whether a row has the property or not. No body has room for so many values.
_MOST_CELLS = 2_000_000
# Rows times new columns, of a batch of those that are there already: nulls, but they take their place.
_MOST_NEW_CELLS = 8_000_000
_BYTES_OF_NULL = 8
# How often a change is made anew because somebody else was faster, before whoever asked for it is told.
ATTEMPTS = 5
# What rows are annotated with lies in columns of these names, which exports have as well.
_PARTS = ("label", "score", "text", "updated_at", "updated_by")
_ANNOTATION = re.compile(rf"annotation\.(.+)\.({'|'.join(_PARTS)})", re.DOTALL)
# No table has more rows than numbers of so many digits; longer texts are not made numbers of.
_MOST_DIGITS = 18
# A page is read in such portions: more than most pages have, and few enough to be quick.
_READ_ROWS = 1_000


@dataclass(frozen=True)
class Edit:
    """The rows as they shall be, and the ids of those that differ; ``added`` is how many more there are."""

    stream: Stream
    ids: Sequence[str]
    added: int = 0


@dataclass(frozen=True)
class Value:
    """What somebody says of a row, under a name. What is ``None`` stays as it was."""

    name: str
    label: str | None = None
    score: float | None = None
    text: str | None = None


@dataclass(frozen=True)
class Annotation:
    """What a row is annotated with."""

    value: Value
    updated_at: Any
    updated_by: str | None


def require_usable(given: Sequence[Row], *, reserved: Collection[str], field: str) -> None:
    """Refuse rows that are none, too many, empty, or have properties that are too many or not the client's to set.

    Raises:
        Invalid: and it says which, by number.
        TooLarge: there are more properties than columns may be, or than go with so many rows.
    """
    if not 1 <= len(given) <= MOST_ROWS:
        raise Invalid(f"Give 1 to {MOST_ROWS} of these.", field=field)
    for number, row in enumerate(given):
        if not row:
            raise Invalid(f"Number {number} is empty: give at least one property.", field=field)
        taken = [name for name in reserved if name in row]
        if taken:
            raise Invalid(f"Number {number} has “{taken[0]}”, which is set for it.", field=field)
    names = edits.names_in(given)
    _require_few(len(given), len(names), field=field)
    for name in names:
        try:
            fits = 1 <= len(name.encode()) <= 1_000
        except UnicodeEncodeError:
            fits = False
        if not fits:
            raise Invalid("The name of a property has 1 to 1000 bytes.", field=field)


def stamped(given: Iterable[Row], *, at: datetime) -> list[dict[str, Any]]:
    """Return rows with ids of their own, in ascending order, and the moment they were made."""
    now = milliseconds(at)
    return [
        {ID: new, CREATED_AT: now, UPDATED_AT: now, **row}
        for new, row in zip(new_ids(MOST_ROWS, at=at), given, strict=False)
    ]


def new_ids(count: int, *, at: datetime) -> list[str]:
    """Return ids that nobody else gets, each after the one before in the order of texts (UUID version 7, RFC 9562)."""
    found = []
    for number in range(count):
        random = uuid.uuid4().int & (2**62 - 1)
        value = (milliseconds(at) << 80) | (7 << 76) | (number << 64) | (2 << 62) | random
        found.append(str(uuid.UUID(int=value)))
    return found


def milliseconds(at: datetime) -> int:
    """Return a moment as clients write it."""
    return int(at.timestamp() * 1_000)


def annotated(values_by_id: Mapping[str, Sequence[Value]], actor: Actor, *, at: datetime) -> dict[str, dict[str, Any]]:
    """Return what annotations change about rows, by their ids.

    Raises:
        TooLarge: they have more names than columns may be, or than go with so many rows.
    """
    names = {value.name for given in values_by_id.values() for value in given}
    _require_few(len(values_by_id), len(_PARTS) * len(names), field="annotations")
    by = actor.user.email or actor.user.name if actor.user is not None else actor.label
    changes: dict[str, dict[str, Any]] = {}
    for row_id, given in values_by_id.items():
        change = changes.setdefault(row_id, {})
        for value in given:
            said = {"label": value.label, "score": value.score, "text": value.text}
            change |= {f"annotation.{value.name}.{part}": one for part, one in said.items() if one is not None}
            change[f"annotation.{value.name}.updated_at"] = milliseconds(at)
            change[f"annotation.{value.name}.updated_by"] = by
    return changes


def without_annotations(row: Row) -> tuple[dict[str, Any], list[Annotation]]:
    """Take a row apart into what is its own, and what it is annotated with."""
    own: dict[str, Any] = {}
    said: dict[str, dict[str, Any]] = {}
    for name, value in row.items():
        match = _ANNOTATION.fullmatch(name)
        if match is None:
            own[name] = value
        else:
            said.setdefault(match[1], {})[match[2]] = value
    found = [
        Annotation(
            Value(name, _text(parts.get("label")), _number(parts.get("score")), _text(parts.get("text"))),
            parts.get("updated_at"),
            _text(parts.get("updated_by")),
        )
        for name, parts in said.items()
        if any(parts.get(part) is not None for part in ("label", "score", "text"))
    ]
    return own, found


def identified(table: Table, *, after: int = 0) -> tuple[Stream, int]:
    """Return a table's rows with ids that are texts, and the number of the first of them.

    Raises:
        StorageFailed: they cannot be read at the moment.
    """
    reading = tables.read(table, batch_rows=_READ_ROWS if after else tables.READ_ROWS, after=after)
    return edits.identified(Stream(reading.schema, reading.batches), start=reading.start), reading.start


def ids_among(table: Table, wanted: Collection[str]) -> list[str]:
    """Return those of some ids that a table has, in its order.

    Raises:
        StorageFailed: it cannot be read at the moment.
    """
    reading = tables.read(table, [ID])
    if not len(reading.schema):
        return sorted((text for text in wanted if _is_number_below(text, table.rows)), key=int)
    stream = edits.identified(Stream(reading.schema, reading.batches))
    return [text for batch in stream.batches for text in values.texts(batch.column(0)) if text and text in wanted]


def require_editable(table: Table, *, instead: str) -> None:
    """Refuse to change single rows of a table that is too large to be written anew for it.

    Raises:
        TooLarge: it is; ``instead`` says what to do.
        StorageFailed: it cannot be read at the moment.
    """
    if (
        table.rows > MOST_EDITED_ROWS
        or table.bytes > MOST_EDITED_STORED
        or tables.read(table).size > MOST_EDITED_DECODED
    ):
        raise TooLarge(
            f"Rows are changed one by one in tables of up to {MOST_EDITED_ROWS} rows and {MOST_EDITED_STORED // 2**20} "
            f"MB, {MOST_EDITED_DECODED // 2**20} MB in memory; this one has more. {instead}"
        )


def require_room(table: Table | None, stream: Stream, added: int) -> None:
    """Refuse what would make a table larger than an upload may be.

    Raises:
        TooLarge: it would.
    """
    most, there = tables.limits().rows, table.rows if table is not None else 0
    tables.require_columns(len(stream.schema))
    if there + added > most:
        raise TooLarge(f"There would be {there + added} rows, and {most} is the most.")
    new = len(stream.schema) - table.column_count if table is not None else 0
    if new * min(there, tables.READ_ROWS) > _MOST_NEW_CELLS or new * there * _BYTES_OF_NULL > MOST_EDITED_DECODED:
        raise TooLarge(f"Each of {there} rows would have {new} properties more. Upload them anew instead.")


def others_were_faster() -> Conflict:
    """Say that others change the same rows all the time."""
    return Conflict("Others are changing the same rows right now. Try again in a moment.")


def _require_few(rows: int, names: int, *, field: str) -> None:
    tables.require_columns(names)
    if rows * names > _MOST_CELLS:
        raise TooLarge(
            f"{rows} of these with {names} different properties are too many at once: send fewer.", field=field
        )


def _is_number_below(text: str, end: int) -> bool:
    """Whether a text is what a row without an id of its own is called: its number, written in the one way."""
    if len(text) > _MOST_DIGITS or not text.isascii() or not text.isdecimal():
        return False
    return str(int(text)) == text and int(text) < end


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
