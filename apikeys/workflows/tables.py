"""Tables: immutable Parquet files, written as they come, and read back as the very Arrow columns that came.

A file is written under the folder ``incoming`` and gets its place, and the row that leads to it, only when it is whole
and on the disk. Until its transaction has committed its writer holds a lock on it, which the kernel lets go with the
process: a file without a row that nobody holds is left over, and may be swept away.

Parquet keeps Arrow's types and the schema's metadata, but for a few things, which are put right here: the coarser of
Arrow's time units, and the categories of a categorical column with their order, whether or not a row has them.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings
from django.db import transaction

from accounts.actors import Actor
from accounts.errors import DomainError
from accounts.models import Space
from apikeys.workflows.errors import StorageFailed, TooLarge, Unreadable
from apikeys.workflows.models import Table
from apikeys.workflows.streams import (
    MOST_CATEGORIES,
    MOST_DECODED,
    MOST_ROWS,
    Limits,
    Stream,
    decoded_size,
    decoded_sizes,
    sliced,
    too_many_categories,
)

# So many rows are handed out at once, as they are taken in.
READ_ROWS = MOST_ROWS
# Rows are gathered into groups of this size: small ones compress badly, and one group is what is in memory, of whoever
# writes and of everybody who reads. Its bytes are those of its rows decoded: compressed, they may be next to nothing.
_GROUP_ROWS = 6 * READ_ROWS
_GROUP_BYTES = MOST_DECODED
# Where the file says what its columns were before it was written.
_SCHEMA_KEY = b"arizekeys.schema"
_CATEGORIES_KEY = b"arizekeys.categories"
# And how many bytes each of them is in memory: what Parquet says of that is after it has found what repeats itself.
_SIZES_KEY = b"arizekeys.sizes"
# A file that nobody needs is swept away after so many seconds: locks of other hosts may not reach us.
GRACE = 3_600


_files_stay: ContextVar[bool] = ContextVar("files of deleted rows stay", default=False)


def limits() -> Limits:
    """Return what one upload may bring."""
    return Limits(rows=settings.TABLE_MOST_ROWS, columns=settings.TABLE_MOST_COLUMNS, bytes=settings.TABLE_MOST_BYTES)


def require_columns(count: int) -> None:
    """Refuse more columns than one upload may bring.

    Raises:
        TooLarge: there are more.
    """
    most = limits().columns
    if count > most:
        raise TooLarge(f"There would be {count} columns, and {most} is the most.")


@dataclass(frozen=True)
class Reading:
    """A stored table: its schema as it came, how many rows it has, and its batches, to be gone through once.

    ``start`` is how many rows lie before the first batch: none, unless those were not asked for. ``size`` is how many
    bytes all rows are in memory, in the columns that were asked for.
    """

    schema: pa.Schema
    rows: int
    batches: Iterator[pa.RecordBatch]
    start: int = 0
    size: int = 0

    def table(self) -> pa.Table:
        """Return all of it at once, for where it is known to be small."""
        return pa.Table.from_batches(list(self.batches), self.schema)


@dataclass
class Draft:
    """A file that is whole and on the disk, and that no row leads to yet."""

    path: Path
    rows: int
    bytes: int
    column_count: int

    def keep(self, actor: Actor, space: Space, *, at: datetime) -> Table:
        """Give the file its place and its row, in the transaction of whatever leads to it.

        Raises:
            StorageFailed: there is no place for it.
        """
        name = f"{self.path.stem[:2]}/{self.path.name}"
        with _storage():
            place = _folder(name[:2]) / self.path.name
            self.path.rename(place)
            _sync(place.parent)
            self.path = place
        return Table.objects.create(
            space=space,
            file=name,
            rows=self.rows,
            bytes=self.bytes,
            column_count=self.column_count,
            created_at=at,
            created_by=actor.user,
            writer=actor.label,
        )


@contextlib.contextmanager
def drafted(stream: Stream) -> Iterator[Draft]:
    """Write a stream into a file and hand it over; where it was not kept in the end, nothing is left of it.

    Raises:
        Unreadable: it holds what cannot be kept, or cannot be read to its end.
        TooLarge: there are more categories than are kept.
        StorageFailed: the disk is full, or not there.
    """
    with _storage():
        path = _folder("incoming") / f"{uuid.uuid4().hex}.parquet"
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    draft = Draft(path=path, rows=0, bytes=0, column_count=len(stream.schema))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with _storage(), os.fdopen(os.dup(file), "wb") as sink:
            draft.rows = _write(stream, sink)
            sink.flush()
            os.fsync(file)
        draft.bytes = path.stat().st_size
        yield draft
    except DomainError:
        draft.path.unlink(missing_ok=True)  # a rule said no, and its transaction is undone
        raise
    finally:
        # Where it was kept and something else failed, nobody knows whether that was committed: ``sweep`` asks.
        path.unlink(missing_ok=True)
        os.close(file)


def read(table: Table, columns: Iterable[str] | None = None, *, batch_rows: int = READ_ROWS, after: int = 0) -> Reading:
    """Return a table's rows, all columns or some, in the order of the file.

    Most of the first ``after`` rows are left out without being read.

    Raises:
        StorageFailed: its file cannot be read.
    """
    with _storage():
        file = pq.ParquetFile(settings.TABLES_FOLDER / table.file, pre_buffer=False)
    schema = _stored_schema(file)
    sizes = _sizes_of(file, schema)
    wanted = None if columns is None else set(columns)
    if wanted is not None:
        schema = pa.schema([field for field in schema if field.name in wanted], schema.metadata)
    groups, start = _groups_behind(file, after)
    size = sum(sizes[name] for name in schema.names)
    return Reading(schema, table.rows, _read(file, schema, batch_rows, groups), start, size)


def on_deleted(instance: Table, **_: Any) -> None:
    """Remove the file of a table whose row goes, once that has committed; whoever has opened it may read on."""
    if _files_stay.get():
        with contextlib.suppress(OSError):  # else it goes earlier, or is gone
            os.utime(settings.TABLES_FOLDER / instance.file)
        return
    transaction.on_commit(functools.partial(_remove, instance.file))


@contextlib.contextmanager
def files_stay() -> Iterator[None]:
    """Leave files of rows that go to ``sweep``: the rows in them go on elsewhere, and somebody may be about to read.

    Their time of grace begins now, however long ago they were written.
    """
    token = _files_stay.set(True)
    try:
        yield
    finally:
        _files_stay.reset(token)


def _remove(name: str) -> None:
    with contextlib.suppress(OSError):  # it is swept away later
        (settings.TABLES_FOLDER / name).unlink(missing_ok=True)


def sweep(*, grace: float = GRACE) -> tuple[int, int]:
    """Remove files that no row leads to and nobody is writing; return how many, and how many bytes."""
    count = size = 0
    for path in sorted(settings.TABLES_FOLDER.glob("*/*.parquet")):
        with contextlib.suppress(OSError), path.open("rb") as file:
            found = os.fstat(file.fileno())
            if time.time() - found.st_mtime < grace:
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Asked with the lock in hand: whoever wrote it has committed by now, or is gone.
            if Table.objects.filter(file=f"{path.parent.name}/{path.name}").exists():
                continue
            path.unlink()
            count, size = count + 1, size + found.st_size
    return count, size


def _write(stream: Stream, sink: Any) -> int:
    """Write a stream as one Parquet file; return how many rows it has."""
    _require_distinct(stream.schema)
    categories = {field.name: _Categories() for field in stream.schema if pa.types.is_dictionary(field.type)}
    plain = _plain(stream.schema)
    rows, sizes = 0, [0] * len(plain)
    try:
        with _writer(sink, plain) as writer:
            for group in _groups(_decoded(part, categories, plain) for part in _parts(stream.batches)):
                rows += sum(batch.num_rows for batch in group)
                sizes = [sum(column) for column in zip(sizes, *map(decoded_sizes, group), strict=True)]
                writer.write_table(pa.Table.from_batches(group, plain), row_group_size=_GROUP_ROWS)
            writer.add_key_value_metadata(_noted(stream.schema, categories, sizes))
    except pa.ArrowException as error:
        raise Unreadable(f"The upload cannot be kept as it is: {str(error)[:200]}") from error
    return rows


def _writer(sink: Any, schema: pa.Schema) -> Any:
    return pq.ParquetWriter(
        sink, schema, compression="zstd", version="2.6", use_compliant_nested_type=False, write_page_index=False
    )


def _require_distinct(schema: pa.Schema) -> None:
    if not len(schema):
        raise Unreadable("There are no columns in the upload.")
    names = set(schema.names)
    if len(names) < len(schema):
        raise Unreadable("Two columns of the upload have the same name.")


def _parts(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Take batches apart into what a group has room for, or into single rows."""
    for batch in _arriving(batches):
        yield from sliced(batch, _GROUP_BYTES)


def _groups(batches: Iterator[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        more = decoded_size(batch)
        if group and (rows + batch.num_rows > _GROUP_ROWS or size + more > _GROUP_BYTES):
            yield group
            group, rows, size = [], 0, 0
        group.append(batch)
        rows, size = rows + batch.num_rows, size + more
    if group:
        yield group


def _arriving(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except OSError as error:  # not ours: the connection's
        raise Unreadable("The upload broke off; nothing of it was kept. Send it again.") from error


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return the schema with the values of categorical columns in place of their numbers."""
    return pa.schema(
        [field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in schema],
        schema.metadata,
    )


def _decoded(batch: pa.RecordBatch, categories: dict[str, _Categories], plain: pa.Schema) -> pa.RecordBatch:
    if not categories:
        return batch
    arrays = [
        categories[field.name].decode(array) if field.name in categories else array
        for field, array in zip(plain, batch.columns, strict=True)
    ]
    if sum(one.values.nbytes for one in categories.values()) > MOST_CATEGORIES:
        raise too_many_categories()
    return pa.RecordBatch.from_arrays(arrays, schema=plain)


class _Categories:
    """The categories of one column, in the order in which they came: each batch may bring further ones."""

    def __init__(self) -> None:
        self.values: Any = None

    def decode(self, array: Any) -> Any:
        """Take note of a batch's categories, and return its values."""
        given = array.dictionary
        if self.values is None:
            self.values = given
        elif not self.values.equals(given):
            new = given.filter(pc.invert(pc.is_in(given, value_set=self.values)))
            self.values = pa.concat_arrays([self.values, new]) if len(new) else self.values
        return array.dictionary_decode()


def _noted(schema: pa.Schema, categories: dict[str, _Categories], sizes: list[int]) -> dict[bytes, bytes]:
    """Say what the columns were: the schema, their sizes, and one row with the lists of categories."""
    fields, lists = [], []
    for field in schema:
        found = categories[field.name].values if field.name in categories else None
        if found is not None:
            field = field.with_type(_wide_enough(field.type, len(found)))
            lists.append((field.name, pa.ListArray.from_arrays([0, len(found)], found)))
        fields.append(field)
    noted = {
        _SCHEMA_KEY: base64.b64encode(pa.schema(fields, schema.metadata).serialize()),
        _SIZES_KEY: json.dumps(sizes).encode(),
    }
    if lists:
        batch = pa.RecordBatch.from_arrays([values for _, values in lists], [name for name, _ in lists])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_batch(batch)
        noted[_CATEGORIES_KEY] = base64.b64encode(sink.getvalue())
    return noted


def _wide_enough(kind: Any, count: int) -> Any:
    """Return the type with numbers that reach all categories: batches may have come with lists of their own."""
    if count - 1 <= 2 ** (kind.index_type.bit_width - 1) - 1:
        return kind
    return pa.dictionary(pa.int32(), kind.value_type, kind.ordered)


def _stored_schema(file: pq.ParquetFile) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(file.metadata.metadata[_SCHEMA_KEY])))


def _sizes_of(file: pq.ParquetFile, schema: pa.Schema) -> dict[str, int]:
    return dict(zip(schema.names, json.loads(file.metadata.metadata[_SIZES_KEY]), strict=True))


@dataclass(frozen=True)
class _Kept:
    """The categories of a stored column, and the type that it had with them."""

    kind: Any
    values: Any


def _categories_of(file: pq.ParquetFile, schema: pa.Schema) -> dict[str, _Kept]:
    """Return the categories of the columns of ``schema`` that had any."""
    noted = file.metadata.metadata.get(_CATEGORIES_KEY)
    if not noted:
        return {}
    table = pa.ipc.open_stream(pa.py_buffer(base64.b64decode(noted))).read_all()
    return {
        field.name: _Kept(field.type, table.column(field.name).chunk(0).flatten())
        for field in schema
        if field.name in table.column_names
    }


def _groups_behind(file: pq.ParquetFile, after: int) -> tuple[list[int], int]:
    """Return the groups of rows that do not end before a place, and how many rows lie before the first of them."""
    start, groups = 0, list(range(file.metadata.num_row_groups))
    while groups and start + file.metadata.row_group(groups[0]).num_rows <= after:
        start += file.metadata.row_group(groups.pop(0)).num_rows
    return groups, start


def _read(file: pq.ParquetFile, schema: pa.Schema, batch_rows: int, groups: list[int]) -> Iterator[pa.RecordBatch]:
    categories = _categories_of(file, schema)
    with file:
        for group in groups:  # each by itself: Arrow reads further groups until it has the rows of a batch
            batches = _batches_of(file, group, schema, batch_rows)
            if categories:
                # As a whole, which there is memory for: each time, all categories are looked through.
                batches = iter(_numbered(list(batches), categories).to_batches(max_chunksize=batch_rows))
            for batch in batches:
                yield _restored(batch, schema)


def _batches_of(file: pq.ParquetFile, group: int, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    batches = file.iter_batches(batch_rows, row_groups=[group], columns=schema.names, use_threads=True)
    while True:
        with _storage():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _numbered(batches: list[pa.RecordBatch], categories: dict[str, _Kept]) -> pa.Table:
    """Put the numbers of categories in the place of their values."""
    table = pa.Table.from_batches(batches)
    for name, kept in categories.items():
        numbers = pc.index_in(table.column(name), value_set=kept.values, skip_nulls=True).cast(kept.kind.index_type)
        chunks = [pa.DictionaryArray.from_arrays(one, kept.values, ordered=kept.kind.ordered) for one in numbers.chunks]
        table = table.set_column(table.schema.get_field_index(name), name, pa.chunked_array(chunks))
    return table


def _restored(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = []
    for field in schema:
        array = batch.column(batch.schema.get_field_index(field.name))
        arrays.append(array if array.type == field.type else array.cast(field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


@contextlib.contextmanager
def _storage() -> Iterator[None]:
    """Tell what is wrong with the disk from what is wrong with the data."""
    try:
        yield
    except OSError as error:
        raise StorageFailed from error


def _folder(name: str) -> Path:
    settings.TABLES_FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    path: Path = settings.TABLES_FOLDER / name
    if not path.is_dir():
        path.mkdir(mode=0o700, exist_ok=True)
        _sync(settings.TABLES_FOLDER)  # what lies in a folder is as safe as the folder itself
    return path


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
