"""Arrow streams from anybody: looked over message by message before Arrow decodes them, and validated afterwards.

An Arrow IPC message says of itself how many rows it has, where its buffers lie and how large they become when they are
decompressed. All of it is the sender's word. So the few numbers that decide how much memory a message takes are read
here, straight from its metadata (a flatbuffer; Arrow columnar format, "Encapsulated message format"), and compared with
what actually came.

Some columns say one value for many rows: categories, runs and views. Whoever works with them has each row's value, so
they are counted as what they become, and come in slices of which that is little.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from apikeys.workflows.errors import TooLarge, Unreadable

# The metadata of one message: some hundred bytes for each column, and as many as there may be.
_MOST_METADATA = 16 * 2**20
# One message, as it comes and as it is when decompressed: clients send up to 256 MB, or all they have in one.
MOST_MESSAGE = 512 * 2**20
# Values in lists that take no room as they come, as those of lists of nothing but nulls do; kept, they take some bytes.
_MOST_NOTHINGS = 2**23
# A slice of a batch, each row with values of its own: so much is in memory beside the message that it came in.
MOST_DECODED = 32 * 2**20
# And so many rows: values of nothing and of one bit are few bytes, until somebody makes something of each.
MOST_ROWS = 20_000
# Rows, and values in all columns, that may come in an upload without a bit for each.
_MOST_FREE_ROWS = 1_000_000
_MOST_FREE_VALUES = 1_000_000_000
# Categories of all columns are held at once, are kept in the end of a file, and are taken as a whole by its readers:
# Parquet's refuse 100 MB of it.
MOST_CATEGORIES = 32 * 2**20
# As so many bytes each of them counts at least: how long it is has to be remembered, however short it is.
_LEAST_CATEGORY = 4
# Lengths are added up for so many rows at a time: they take eight bytes each.
_ADDED_UP = 2**20
_CONTINUES = b"\xff\xff\xff\xff"
_SCHEMA, _DICTIONARY, _RECORDS = 1, 2, 3
_PADDING = bytes(8)
_OFFSET = re.compile(r"[+-]\d\d:\d\d")  # what Arrow takes for a time zone beside its names

# How Arrow says that it can make nothing of something: OSError for most of what is malformed.
_ARROW_FAILED = (pa.ArrowException, OSError, UnicodeDecodeError)

Message = tuple[Any, Any]  # metadata and body, each something with a buffer


class Source(Protocol):
    """What the body of a request can be read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, and none at the end."""


@dataclass(frozen=True)
class Limits:
    """What one stream may bring at most. ``bytes`` are those of its buffers, decompressed."""

    rows: int
    columns: int
    bytes: int


@dataclass(frozen=True)
class Stream:
    """Record batches of one schema, to be gone through once."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


def read_messages(source: Source) -> Iterator[Message]:
    """Take a request's body apart into messages, holding one of them at a time.

    Raises:
        Unreadable: it is no IPC stream, or ends without its end mark: whoever sent it did not get to the end.
        TooLarge: a message is larger than any may be.
    """
    while True:
        size = _exactly(source, 4)
        if size == _CONTINUES:
            size = _exactly(source, 4)
        length = int.from_bytes(size, "little", signed=True)
        if length == 0:
            return
        if not 0 < length <= _MOST_METADATA:
            raise Unreadable("The body is no Arrow IPC stream.")
        metadata = _exactly(source, length)
        body = _Header.of(metadata).body
        if not 0 <= body <= MOST_MESSAGE:
            raise _too_large()
        yield metadata, _exactly(source, body)


def open_stream(messages: Iterator[Message], limits: Limits) -> Stream:
    """Decode messages into validated batches. Nothing is read beyond the schema before somebody asks for a batch.

    Raises:
        Unreadable: no schema comes first, or (while batches are read) a message is malformed.
        TooLarge: there is more than the limits say.
    """
    weightless: list[bool] = []
    feed = _Feed(_checked(messages, limits, weightless))
    try:
        reader = pa.ipc.open_stream(feed)
        _look_at(reader.schema, limits)
        weightless += [_is_weightless(kind) for field in reader.schema for kind in _types_in(field.type)]
        _look_at_types(reader.schema)
    except _ARROW_FAILED as error:
        raise _unreadable(feed, error) from error
    return Stream(reader.schema, _batches(feed, reader, limits))


def _look_at(schema: pa.Schema, limits: Limits) -> None:
    """Make sure that there are no more columns than may be, nested ones too, and that all of them can be kept.

    Their names and time zones are text, or Arrow says that they are none.
    """
    if len(schema) > limits.columns:
        raise TooLarge(f"{len(schema)} columns are too many: {limits.columns} may come at once.")
    leaves = 0
    for field in schema:
        _ = field.name
        for kind in _types_in(field.type):
            _require_keepable(field.name, kind)
            leaves += kind.num_fields == 0
            if leaves > limits.columns:
                raise TooLarge(f"The columns have too many fields in them: {limits.columns} may come at once.")


def _require_keepable(column: str, kind: Any) -> None:
    """Refuse what Parquet does not know, and what nobody could read again."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    if inner is not kind and (inner.num_fields or any(is_odd(inner) for is_odd in _ODD_IN_DICTIONARIES)):
        raise Unreadable(f"The column “{column}” has categories of a type that cannot be kept; send them plainly.")
    if any(is_odd(inner) for is_odd in _ODD) or (pa.types.is_fixed_size_binary(inner) and not inner.byte_width):
        raise Unreadable(f"The column “{column}” holds {kind}, which cannot be kept.")
    if pa.types.is_decimal(inner) and not 0 <= inner.scale <= inner.precision:
        raise Unreadable(f"The column “{column}” holds {kind}: a decimal has a scale of 0 up to its precision.")
    if pa.types.is_timestamp(inner) and inner.tz is not None and not _is_zone(inner.tz):
        raise Unreadable(f"The column “{column}” has times in a time zone that there is not.")


# What Parquet has no columns for, and what has no copy without categories.
_ODD = (pa.types.is_run_end_encoded, pa.types.is_union, pa.types.is_interval)
_ODD_IN_DICTIONARIES = (
    pa.types.is_dictionary,
    pa.types.is_string_view,
    pa.types.is_binary_view,
    lambda kind: isinstance(kind, pa.BaseExtensionType),
)


def _is_zone(name: str) -> bool:
    if _OFFSET.fullmatch(name):
        return name[1:3] < "24" and name[4:] < "60"
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        return False
    return True


def _types_in(kind: Any) -> Iterator[Any]:
    """A type and those nested in it, in the order in which messages have their values."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    yield kind
    for number in range(kind.num_fields):
        field = kind.field(number)
        _ = field.name
        yield from _types_in(field.type)


def _is_weightless(kind: Any) -> bool:
    """Whether any number of values takes no byte, so that what came does not bound them."""
    is_empty = pa.types.is_struct(kind) and not kind.num_fields
    return bool(pa.types.is_null(kind) or is_empty or (pa.types.is_fixed_size_binary(kind) and not kind.byte_width))


def _look_at_types(schema: pa.Schema) -> None:
    """Refuse values that stand for many rows where their size is not known beforehand."""
    for field in schema:
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        inner = _value_type(kind)
        if _repeats_unknown(inner) or (inner is not kind and pa.types.is_nested(inner)):
            shown = field.name.encode("ascii", "replace").decode()[:40]
            raise Unreadable(f"The column “{shown}” holds {str(kind)[:80]}; send its values as they are, one a row.")


def _value_type(kind: Any) -> Any:
    """Return the type that the values of a column have, each for itself."""
    is_shared = pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    return kind.value_type if is_shared else kind


def _repeats_unknown(kind: Any) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _repeats_unknown(kind.storage_type)
    if _value_type(kind) is not kind or pa.types.is_union(kind):
        return True
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return True
    inner = [kind.field(number).type for number in range(kind.num_fields)]
    return any(map(_repeats_unknown, inner)) or (pa.types.is_map(kind) and any(map(_has_views, inner)))


def _has_views(kind: Any) -> bool:
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return True
    return any(_has_views(kind.field(number).type) for number in range(kind.num_fields))


def decoded_size(batch: pa.RecordBatch) -> int:
    """Return how many bytes a batch takes when each row has values of its own."""
    return sum(decoded_sizes(batch))


def decoded_sizes(batch: pa.RecordBatch) -> list[int]:
    """Return the same for each of its columns."""
    return list(map(_decoded_size, batch.columns))


def sliced(batch: pa.RecordBatch, most: int = MOST_DECODED) -> Iterator[pa.RecordBatch]:
    """Take a batch apart into slices of a few rows, and of so many decoded bytes at most or one row each."""
    if batch.num_rows > 1 and decoded_size(batch) > most:
        half = batch.num_rows // 2
        yield from sliced(batch.slice(0, half), most)
        yield from sliced(batch.slice(half), most)
    else:
        for start in range(0, batch.num_rows, MOST_ROWS):
            yield batch.slice(start, MOST_ROWS)


def _decoded_size(array: Any) -> int:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _decoded_size(array.storage)
    if pa.types.is_dictionary(kind):
        return _taken(array.dictionary, array.indices)
    if pa.types.is_run_end_encoded(kind):
        ends = array.run_ends.cast(pa.int64())
        begin, end = array.offset, array.offset + len(array)
        ends = pc.max_element_wise(pc.min_element_wise(ends, end), begin)
        counts = pc.pairwise_diff(pa.concat_arrays([pa.array([begin], pa.int64()), ends])).slice(1)
        return int(pc.sum(pc.multiply(counts, _lengths(array.values))).as_py() or 0)
    if not _has_views(kind):
        return int(array.nbytes)
    if pa.types.is_struct(kind):
        return sum(map(_decoded_size, array.flatten()))
    if pa.types.is_nested(kind):
        return 8 * len(array) + _decoded_size(array.flatten())
    # A view has sixteen bytes; the first four are the length of its text.
    lengths = memoryview(array.buffers()[1]).cast("b").cast("i")[4 * array.offset : 4 * (array.offset + len(array)) : 4]
    return 16 * len(array) + sum(length for length in lengths if length > 0)


def _taken(values: Any, numbers: Any) -> int:
    if len(numbers) < len(values):  # of few rows, only the categories that they have: there may be millions
        found = numbers.value_counts()
        lengths = _lengths(values.take(found.field(0)))
        return int(pc.sum(pc.multiply(found.field(1), lengths)).as_py() or 0)
    lengths = _lengths(values)
    starts = range(0, len(numbers), _ADDED_UP)
    return sum(pc.sum(lengths.take(numbers.slice(start, _ADDED_UP))).as_py() or 0 for start in starts)


def _lengths(values: Any) -> Any:
    """Return how many bytes each of some values takes: of the few that there are, not of the rows that have them."""
    kind = values.type
    if isinstance(kind, pa.BaseExtensionType):
        return _lengths(values.storage)
    if _has_views(kind):
        if _decoded_size(values) > MOST_MESSAGE:
            raise _too_large()
        return _lengths(values.cast(pa.large_binary()))
    try:
        lengths = pc.binary_length(values)
    except pa.ArrowNotImplementedError:
        return pa.repeat(pa.scalar(16, pa.int32()), len(values))  # numbers, times, decimals
    return pc.add(lengths, pa.scalar(8, lengths.type))


def _too_much(limits: Limits) -> TooLarge:
    return TooLarge(f"An upload may have {limits.bytes} bytes; send the rest in another one.")


def _too_large() -> TooLarge:
    return TooLarge(f"A record batch may have {MOST_MESSAGE // 2**20} MB; send smaller ones.")


def too_many_categories() -> TooLarge:
    """Say that categories of all columns together are more than are held or kept."""
    return TooLarge(f"The categories of an upload may have {MOST_CATEGORIES // 2**20} MB; send them as texts.")


def _batches(feed: _Feed, reader: Any, limits: Limits) -> Iterator[pa.RecordBatch]:
    rows = size = 0
    known: dict[int, Any] = {}
    while True:
        try:
            batch = reader.read_next_batch()
            _validate(batch, known)  # offsets that lead out of their buffers would be read by whoever comes next
        except StopIteration:
            return
        except _ARROW_FAILED as error:
            raise _unreadable(feed, error) from error
        rows += batch.num_rows
        if rows > limits.rows:
            raise TooLarge(f"{limits.rows} rows may come at once; send the rest in another upload.")
        decoded = decoded_size(batch)
        if decoded > MOST_MESSAGE:
            raise _too_large()
        size += decoded
        if size > limits.bytes:
            raise _too_much(limits)
        yield from sliced(batch)


def _validate(batch: pa.RecordBatch, known: dict[int, Any]) -> None:
    """Look at all that is in a batch, and at categories once: batches of one row may share millions of them."""
    columns = list(batch.columns)
    for place, column in enumerate(batch.columns):
        if isinstance(column, pa.DictionaryArray) and _is_same(column.dictionary, known.get(place)):
            columns[place] = column.indices
    pa.RecordBatch.from_arrays(columns, batch.schema.names).validate(full=True)
    for place, column in enumerate(batch.columns):
        if not isinstance(column, pa.DictionaryArray):
            continue
        bounds = pc.min_max(column.indices).as_py()
        if bounds["min"] is not None and not 0 <= bounds["min"] <= bounds["max"] < len(column.dictionary):
            raise Unreadable("A record batch has categories that did not come.")
        known[place] = column.dictionary


def _is_same(values: Any, known: Any) -> bool:
    """Whether values are the very ones that are known, and lie in the same place."""
    if known is None or (len(values), values.offset) != (len(known), known.offset):
        return False
    return [buffer and buffer.address for buffer in values.buffers()] == [
        buffer and buffer.address for buffer in known.buffers()
    ]


def _unreadable(feed: _Feed, error: Exception) -> Exception:
    # Arrow wraps what went wrong while it read from us; ours says more.
    return feed.failed or Unreadable(f"The Arrow stream cannot be read: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _exactly(source: Source, size: int) -> bytes:
    parts = []
    while size:
        part = source.read(size)
        if not part:
            raise Unreadable("The Arrow stream ends in the middle; nothing of it was kept. Send it again.")
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _checked(messages: Iterator[Message], limits: Limits, weightless: list[bool]) -> Iterator[Message]:
    total = rows = values = bits = 0
    categories: dict[int, int] = {}
    for number, (metadata, body) in enumerate(messages):
        header = _Header.of(metadata)
        if (header.kind == _SCHEMA) is not (number == 0):
            raise Unreadable("An Arrow stream begins with its one schema.")
        if header.kind in (_RECORDS, _DICTIONARY):
            size = _size_of(header, memoryview(body), limits, weightless if header.kind == _RECORDS else [])
            total += size
            if total > limits.bytes:
                raise _too_much(limits)
            bits += 8 * memoryview(body).nbytes
            if header.kind == _DICTIONARY:
                _count_categories(header, size, categories)
            else:
                rows += header.content.int64(4)
                values += sum(length for length, _ in header.content.pairs(6))
                _require_weight(rows, values, bits)
        elif header.kind != _SCHEMA:
            raise Unreadable("Only record batches can come in an Arrow stream.")
        yield metadata, body


def _require_weight(rows: int, values: int, bits: int) -> None:
    """Refuse what is next to nothing as it came, and takes time and room once somebody goes through it."""
    if rows > _MOST_FREE_ROWS + bits:
        raise TooLarge(f"{_MOST_FREE_ROWS} rows may be of nothing, or compressed to less than a bit each; send fewer.")
    if values > _MOST_FREE_VALUES + bits:
        raise TooLarge(
            f"{_MOST_FREE_VALUES} values may be nothing, or compressed to less than a bit each; leave out columns that "
            "hold nothing, or send fewer rows."
        )


def _count_categories(header: _Header, size: int, held: dict[int, int]) -> None:
    """Add up the categories that are held, by the number of their dictionary: some come beside others, or for them."""
    content = header.content
    records = content.table(6)
    values = sum(length for length, _ in records.pairs(6)) if records is not None else 0
    number, is_more = content.int64(4), content.number(8, "<?")
    held[number] = max(size, _LEAST_CATEGORY * values) + (held.get(number, 0) if is_more else 0)
    if sum(held.values()) > MOST_CATEGORIES:
        raise too_many_categories()


def _size_of(header: _Header, body: memoryview, limits: Limits, weightless: list[bool]) -> int:
    """Return how many bytes a batch takes once it is decoded.

    ``weightless`` says for each of its nodes (columns, and what is in them) whether its values take none.
    """
    records = header.content if header.kind == _RECORDS else header.content.table(6)
    if records is None:
        raise Unreadable("A dictionary of the Arrow stream is empty.")
    body = body.cast("B")
    rows = records.int64(4)
    # Every value takes a bit at least, but for those of columns that hold nothing.
    most = 8 * len(body) + limits.rows
    if not 0 <= rows <= most or any(not 0 <= length <= most for length, _ in records.pairs(6)):
        raise Unreadable("A record batch claims more values than came.")
    # Lists can be of nothing, too.
    free = [length for (length, _), is_free in zip(records.pairs(6), weightless, strict=False) if is_free]
    if sum(free) > rows * len(free) + min(8 * len(body), _MOST_NOTHINGS):
        raise Unreadable("A record batch claims more values than came.")
    is_compressed = records.table(10) is not None
    size = 0
    for offset, length in records.pairs(8):
        if offset < 0 or length < 0 or offset + length > len(body):
            raise Unreadable("A record batch has buffers outside of what came.")
        size += _decompressed(body, offset, length) if is_compressed and length else length
        if size > MOST_MESSAGE:
            raise _too_large()
    return size


def _decompressed(body: memoryview, offset: int, length: int) -> int:
    if length < 8:
        raise Unreadable("A compressed buffer of the Arrow stream is too short.")
    (size,) = struct.unpack_from("<q", body, offset)
    if size < -1:
        raise Unreadable("A compressed buffer of the Arrow stream has a negative size.")
    return length - 8 if size == -1 else int(size)


class _FlatTable:
    """One table of a flatbuffer. Slots are the byte offsets in its vtable: 4 for the first field, 6, 8, ..."""

    def __init__(self, data: memoryview, place: int) -> None:
        self._data, self._place = data, place
        self._vtable = place - self._unpack("<i", place)
        self._end = self._unpack("<H", self._vtable)

    def _unpack(self, form: str, place: int) -> int:
        if place < 0:
            raise Unreadable("The Arrow stream has malformed metadata.")
        try:
            (value,) = struct.unpack_from(form, self._data, place)
        except struct.error:
            raise Unreadable("The Arrow stream has malformed metadata.") from None
        return int(value)

    def _field(self, slot: int) -> int:
        offset = self._unpack("<H", self._vtable + slot) if slot < self._end else 0
        return self._place + offset if offset else 0

    def number(self, slot: int, form: str) -> int:
        """Return a scalar; 0 where it is left out."""
        place = self._field(slot)
        return self._unpack(form, place) if place else 0

    def int64(self, slot: int) -> int:
        """Return a long."""
        return self.number(slot, "<q")

    def table(self, slot: int) -> _FlatTable | None:
        """Return a table in this one, or ``None``."""
        place = self._field(slot)
        return _FlatTable(self._data, place + self._unpack("<I", place)) if place else None

    def pairs(self, slot: int) -> Iterator[tuple[int, int]]:
        """Return a vector of structs of two longs."""
        place = self._field(slot)
        if not place:
            return iter(())
        vector = place + self._unpack("<I", place)
        count = self._unpack("<I", vector)
        if count * 16 > len(self._data) - vector - 4:
            raise Unreadable("The Arrow stream has malformed metadata.")
        pairs: Iterator[tuple[int, int]] = struct.iter_unpack("<qq", self._data[vector + 4 : vector + 4 + count * 16])
        return pairs


@dataclass(frozen=True)
class _Header:
    """What a message says of itself."""

    kind: int
    body: int
    content: _FlatTable

    @classmethod
    def of(cls, metadata: Any) -> _Header:
        data = memoryview(metadata).cast("B")
        if len(data) < 8:
            raise Unreadable("The Arrow stream has malformed metadata.")
        message = _FlatTable(data, int.from_bytes(data[:4], "little"))
        content = message.table(8)
        if content is None:
            raise Unreadable("The Arrow stream has malformed metadata.")
        return cls(kind=message.number(6, "<B"), body=message.int64(10), content=content)


class _Feed:
    """Messages as the file that Arrow reads from, without copying their bodies."""

    closed = False

    def __init__(self, messages: Iterator[Message]) -> None:
        self._messages = messages
        self._parts: deque[memoryview] = deque()
        self.failed: Exception | None = None

    def read(self, size: int = -1) -> Any:
        """Return so many bytes of the stream, fewer only at its end."""
        taken: list[memoryview] = []
        while size and (self._parts or self._fetch()):
            part = self._parts.popleft()
            if len(part) > size:
                self._parts.appendleft(part[size:])
                part = part[:size]
            taken.append(part)
            size -= len(part)
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is not."""
        return False

    def close(self) -> None:
        """Nothing to do."""

    def _fetch(self) -> bool:
        try:
            metadata, body = next(self._messages)
        except StopIteration:
            return False
        except Exception as error:
            self.failed = error
            raise
        metadata, body = memoryview(metadata).cast("B"), memoryview(body).cast("B")
        padding = -(len(metadata) + 8) % 8
        self._parts.append(memoryview(_CONTINUES + struct.pack("<i", len(metadata) + padding)))
        for part in (metadata, memoryview(_PADDING)[:padding], body):
            if len(part):
                self._parts.append(part)
        return True
