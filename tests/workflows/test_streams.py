"""What comes is looked over before Arrow decodes it: nothing that anybody sends takes the server down or its memory."""

from __future__ import annotations

import contextlib
import io
import random
import struct
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from apikeys.workflows import streams
from apikeys.workflows.errors import TooLarge, Unreadable
from apikeys.workflows.streams import Limits
from tests.workflows.sending import as_bytes, stream_of

ROOMY = Limits(rows=10_000, columns=100, bytes=10_000_000)


def everything() -> pa.Table:
    return pa.table(
        {
            "number": pa.array([1, None, 3]),
            "text": pa.array(["ä", None, ""]),
            "list": pa.array([[1, None], None, []]),
            "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": None}]),
            "category": pa.array(["x", None, "y"]).dictionary_encode(),
            "nothing": pa.nulls(3),
        }
    )


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("rows", [1, 2, 10_000])
def test_a_stream_arrives_as_it_was_sent(compression: str | None, rows: int) -> None:
    table = everything()

    stream = stream_of(as_bytes(table, rows=rows, compression=compression), ROOMY)

    assert pa.Table.from_batches(list(stream.batches), stream.schema).equals(table, check_metadata=True)


def test_a_legacy_stream_without_continuation_marks_is_read() -> None:
    table = everything()

    stream = stream_of(as_bytes(table, use_legacy_format=True), ROOMY)

    assert pa.Table.from_batches(list(stream.batches), stream.schema).equals(table)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_stream_that_ends_in_the_middle_is_refused(share: float) -> None:
    body = as_bytes(everything())

    with pytest.raises(Unreadable, match="Arrow stream"):
        list(stream_of(body[: int(len(body) * share)], ROOMY).batches)


def test_a_stream_without_its_end_mark_is_refused() -> None:
    # The connection may have broken exactly between two batches.
    body = as_bytes(everything(), rows=1).removesuffix(b"\xff\xff\xff\xff\x00\x00\x00\x00")

    with pytest.raises(Unreadable, match="ends in the middle"):
        list(stream_of(body, ROOMY).batches)


def test_what_is_no_stream_at_all_is_refused() -> None:
    for body in (b"", b"{}", b"PAR1" * 100, bytes(100)[:3], b"\xff" * 100):
        with pytest.raises(Unreadable):
            list(stream_of(body, ROOMY).batches)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(rows=2, columns=100, bytes=10**6), "2 rows may come"),
        (Limits(rows=100, columns=5, bytes=10**6), "6 columns are too many: 5"),
        (Limits(rows=100, columns=100, bytes=100), "100 bytes"),
    ],
)
def test_more_than_may_come_is_refused(limits: Limits, says: str) -> None:
    with pytest.raises(TooLarge, match=says):
        list(stream_of(as_bytes(everything(), rows=1), limits).batches)


def test_fields_in_a_column_count_as_columns() -> None:
    nested = pa.struct([(f"inner {number}", pa.list_(pa.int8())) for number in range(101)])
    body = as_bytes(pa.schema([("x", nested)]).empty_table())

    with pytest.raises(TooLarge, match="fields in them: 100 may"):
        stream_of(body, ROOMY)


def test_metadata_of_more_than_all_columns_take_is_not_read() -> None:
    with pytest.raises(Unreadable, match="no Arrow IPC stream"):
        stream_of(b"\xff\xff\xff\xff" + struct.pack("<i", 17 * 2**20), ROOMY)


def of_no_rows(schema: pa.Schema) -> bytes:
    """Return a stream that ends after its schema: not of all types there can be an empty table."""
    sink = io.BytesIO()
    pa.ipc.new_stream(sink, schema).close()
    return sink.getvalue()


ODD = {
    "run-end-encoded": pa.run_end_encoded(pa.int32(), pa.string()),
    "categories of objects": pa.dictionary(pa.int8(), pa.struct([("a", pa.string())])),
    "a union": pa.sparse_union([pa.field("a", pa.int8())]),
    "an interval": pa.month_day_nano_interval(),
    "bytes of none": pa.binary(0),
    "a zone that is none": pa.timestamp("us", "No/Where"),
    "a zone that is a folder": pa.timestamp("us", "America"),
    "a zone outside": pa.timestamp("us", "/etc/passwd"),
    "an offset of days": pa.timestamp("us", "+99:00"),
    "a scale beyond": pa.decimal128(5, 7),
    "a scale below": pa.decimal128(5, -2),
}


@pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
@pytest.mark.parametrize("name", ODD)
def test_a_column_that_cannot_be_kept_is_named_before_any_row(name: str, nested: bool) -> None:
    kind = pa.struct([("inner", ODD[name])]) if nested else ODD[name]

    with pytest.raises(Unreadable, match="The column “odd”"):
        stream_of(of_no_rows(pa.schema([("fine", pa.int8()), ("odd", kind)])), ROOMY)


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("ns", "Europe/Berlin"),
        pa.timestamp("s", "+07:30"),
        pa.decimal256(50, 0),
        pa.dictionary(pa.int8(), pa.timestamp("us", "UTC")),
        pa.dictionary(pa.int8(), pa.large_string()),
    ],
    ids=str,
)
def test_a_column_that_can_be_kept_passes(kind: pa.DataType) -> None:
    assert stream_of(of_no_rows(pa.schema([("x", kind)])), ROOMY).schema.field("x").type == kind


def test_a_time_zone_that_is_no_text_is_refused() -> None:
    body = as_bytes(pa.schema([("x", pa.timestamp("us", "UTC"))]).empty_table()).replace(b"UTC", b"\xff\xfe\xff")

    with pytest.raises(Unreadable):
        stream_of(body, ROOMY)


@contextlib.contextmanager
def counting() -> Iterator[Any]:
    """Let Arrow take its memory from a pool that knows the most that it had at once."""
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    try:
        yield pool
    finally:
        pa.set_memory_pool(usual)


def test_a_compression_bomb_is_refused_before_it_is_unpacked() -> None:
    zeros = pa.table({"zeros": pa.array([0] * 1_000_000)})
    body = as_bytes(zeros, rows=1_000_000, compression="zstd")
    assert len(body) < 10_000

    with counting() as taken, pytest.raises(TooLarge, match="bytes"):
        list(stream_of(body, Limits(rows=10**7, columns=10, bytes=1_000_000)).batches)
    with counting() as unpacked:
        list(stream_of(body, Limits(rows=10**7, columns=10, bytes=10_000_000)).batches)

    assert taken.max_memory() < 100_000
    assert unpacked.max_memory() >= 8_000_000


def test_the_size_that_a_compressed_buffer_claims_is_what_counts() -> None:
    body = bytearray(as_bytes(pa.table({"n": pa.array(range(1000))}), compression="zstd"))
    claimed = body.index(struct.pack("<q", 8_000))
    body[claimed : claimed + 8] = struct.pack("<q", 2**40)

    with pytest.raises(TooLarge, match="512 MB"):
        list(stream_of(bytes(body), ROOMY).batches)


LARGE = "a" * 2**20


def repeated_view(text: str, rows: int) -> pa.Array:
    """All rows look at one text."""
    view = pa.array([text], pa.string_view()).buffers()[1].to_pybytes()[:16]
    return pa.Array.from_buffers(pa.string_view(), rows, [None, pa.py_buffer(view * rows), pa.py_buffer(text.encode())])


@pytest.mark.parametrize(
    "column",
    [
        pa.DictionaryArray.from_arrays(pa.array([0] * 1_500, pa.int8()), pa.array([LARGE], pa.large_string())),
        repeated_view(LARGE, 1_500),
    ],
    ids=["categories", "views"],
)
def test_one_value_that_stands_in_many_rows_counts_in_each_of_them(column: pa.Array) -> None:
    body = as_bytes(pa.table({"c": column}), compression="zstd")
    assert len(body) < 100_000

    with pytest.raises(TooLarge, match="512 MB"):
        list(stream_of(body, Limits(rows=10_000, columns=1, bytes=2**40)).batches)


def test_categories_of_all_batches_count_together() -> None:
    body = as_bytes(pa.table({"c": pa.array([LARGE] * 20).dictionary_encode()}), rows=2)

    with pytest.raises(TooLarge, match="10000000 bytes"):
        list(stream_of(body, ROOMY).batches)


def categories(*texts: str) -> pa.Array:
    """Return a column of one row for each of some long texts, as categories."""
    values = pa.array(texts, pa.large_string())
    return pa.DictionaryArray.from_arrays(pa.array(range(len(texts)), pa.int8()), values)


@pytest.mark.parametrize("columns", [["a" * 33 * 2**20], ["a" * 20 * 2**20, "b" * 13 * 2**20]], ids=len)
def test_categories_of_all_columns_are_counted_before_they_are_unpacked(columns: list[str]) -> None:
    body = as_bytes(pa.table({text[0]: categories(text) for text in columns}), compression="zstd")
    assert len(body) < 10_000

    with counting() as taken, pytest.raises(TooLarge, match="categories of an upload may have 32 MB"):
        list(stream_of(body).batches)

    assert taken.max_memory() < 21 * 2**20  # of those that there is room for


def test_so_many_categories_as_there_is_room_for_are_read() -> None:
    table = pa.table({text[0]: categories(text) for text in ("a" * 20 * 2**20, "b" * (12 * 2**20 - 1_000))})

    for compression in (None, "zstd"):
        batches = list(stream_of(as_bytes(table, compression=compression)).batches)
        assert pa.Table.from_batches(batches).equals(table)


def test_categories_that_come_beside_others_count_with_them_and_those_that_come_for_them_in_their_place() -> None:
    texts = [letter * 9 * 2**20 for letter in "abcd"]
    beside = pa.chunked_array([categories(*texts[: number + 1]) for number in range(4)])
    instead = pa.chunked_array([categories(text) for text in texts])

    read = list(stream_of(as_bytes(pa.table({"c": instead}))).batches)
    with pytest.raises(TooLarge, match="categories"):
        list(stream_of(as_bytes(pa.table({"c": beside}), emit_dictionary_deltas=True)).batches)

    assert [batch.column(0).to_pylist() for batch in read] == [[text] for text in texts]


@pytest.mark.parametrize("kind", [pa.null(), pa.bool_()], ids=str)
def test_categories_of_no_size_count_all_the_same(kind: pa.DataType) -> None:
    numbers = pa.array([0], pa.int32())
    few, many = (pa.DictionaryArray.from_arrays(numbers, pa.repeat(pa.scalar(None, kind), n)) for n in (9, 9_000_000))
    assert next(stream_of(as_bytes(pa.table({"c": few}))).batches).num_rows == 1

    with pytest.raises(TooLarge, match="categories"):
        list(stream_of(as_bytes(pa.table({"c": many}))).batches)


def test_categories_that_many_batches_share_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = pa.array([f"{number:05}" for number in range(10_000)])
    table = pa.table({"c": pa.DictionaryArray.from_arrays(pa.array([0, 9_999, None] * 10, pa.int32()), values)})
    looked_at: list[int] = []
    binary_length = pc.binary_length

    def counted(values: Any) -> Any:
        looked_at.append(len(values))
        return binary_length(values)

    monkeypatch.setattr(pc, "binary_length", counted)

    batches = list(stream_of(as_bytes(table, rows=1)).batches)

    assert pa.Table.from_batches(batches).equals(table)
    assert sum(looked_at) < len(values)


@pytest.mark.parametrize("number", [-1, 2])
def test_categories_that_did_not_come_are_refused_in_each_batch(number: int) -> None:
    values = pa.array(["x", "y"])
    fine, wrong = (
        pa.DictionaryArray.from_arrays(pa.array([place], pa.int8()), values, safe=False) for place in (1, number)
    )
    batches = stream_of(as_bytes(pa.table({"c": pa.chunked_array([fine, wrong])}))).batches

    assert next(batches).num_rows == 1
    with pytest.raises(Unreadable):
        next(batches)


def test_categories_come_in_slices_that_there_is_room_for() -> None:
    values = ["b", "c" * 100_000]
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 1_000, pa.int8()), pa.array(values), ordered=True)
    table = pa.table({"c": column, "n": range(2_000)})

    batches = list(stream_of(table).batches)

    assert pa.Table.from_batches(batches, table.schema).equals(table)
    assert max(map(streams.decoded_size, batches)) <= streams.MOST_DECODED
    assert len(batches) == 4


@pytest.mark.parametrize(
    "column",
    [
        pa.StructArray.from_arrays([pa.array(["x"]).dictionary_encode()], ["c"]),
        pa.ListArray.from_arrays([0, 1], pa.array(["x"]).dictionary_encode()),
        pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([["x"]])),
        pa.ListViewArray.from_arrays([0], [1], pa.array(["x"])),
        pa.DictionaryArray.from_arrays(pa.array([0]), pa.array(["x"], pa.string_view())),
        pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array(["x"])),
        pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array(["x"])]),
    ],
    ids=lambda column: str(column.type)[:20],
)
def test_what_repeats_values_inside_of_others_is_refused(column: pa.Array) -> None:
    with pytest.raises(Unreadable, match="send its values as they are|cannot be kept"):
        stream_of(pa.table({"c": column}), ROOMY)


def test_views_within_lists_and_objects_are_read() -> None:
    texts = pa.array(["x", None, "a text that is longer"], pa.string_view())
    table = pa.table(
        {"l": pa.ListArray.from_arrays([0, 2, 2, 3], texts), "s": pa.StructArray.from_arrays([texts], ["c"])}
    )

    assert pa.Table.from_batches(list(stream_of(table, ROOMY).batches)).equals(table)


def test_rows_that_take_no_memory_are_counted_all_the_same() -> None:
    body = bytearray(as_bytes(pa.table({"nothing": pa.nulls(777)})))
    places = [at for at in range(0, len(body) - 8, 8) if body[at : at + 8] == struct.pack("<q", 777)]
    assert places
    for at in places:
        body[at : at + 8] = struct.pack("<q", 2**50)

    with pytest.raises(Unreadable, match="more values than came"):
        list(stream_of(bytes(body), ROOMY).batches)


@pytest.mark.parametrize("column", [pa.nulls(70_000), pa.repeat(True, 70_000)], ids=["nothing", "bits"])
def test_rows_that_take_no_memory_come_in_slices_all_the_same(column: pa.Array) -> None:
    table = pa.table({"c": column})

    batches = list(stream_of(as_bytes(table, rows=70_000)).batches)

    assert [batch.num_rows for batch in batches] == [20_000, 20_000, 20_000, 10_000]
    assert pa.Table.from_batches(batches).equals(table)


def test_a_million_rows_may_be_of_nothing_and_further_ones_take_a_bit_each() -> None:
    roomy = Limits(rows=50_000_000, columns=1, bytes=10**9)
    allowed = [as_bytes(pa.table({"c": pa.nulls(1_000_000)}), rows=100_000)]
    allowed += [as_bytes(pa.table({"c": pa.repeat(True, 2_000_000)}), rows=100_000)]
    refused = [as_bytes(pa.table({"c": pa.nulls(rows)}), rows=rows) for rows in (1_000_001, 50_000_000)]
    refused += [as_bytes(pa.table({"c": pa.nulls(1_000_001)}))]
    refused += [as_bytes(pa.table({"c": pa.repeat(True, 2_000_000)}), rows=100_000, compression="zstd")]

    for body in allowed:
        assert sum(batch.num_rows for batch in stream_of(body, roomy).batches) in (1_000_000, 2_000_000)
    for body in refused:
        assert len(body) < 100_000
        with pytest.raises(TooLarge, match="1000000 rows may be of nothing"):
            list(stream_of(body, roomy).batches)


def of_nothing(rows: int, columns: int) -> bytes:
    """Return columns of nulls, and one of text."""
    columns_of = {f"nothing {number}": pa.nulls(rows) for number in range(columns)}
    return as_bytes(pa.table({"text": pa.repeat("x", rows), **columns_of}), rows=rows)


def test_a_thousand_million_values_may_be_nothing() -> None:
    roomy = Limits(rows=1_000_000, columns=5_000, bytes=10**9)

    batches = stream_of(of_nothing(100_000, 4_000), roomy).batches
    with pytest.raises(TooLarge, match="1000000000 values may be nothing.*leave out columns"):
        list(stream_of(of_nothing(500_000, 2_100), roomy).batches)

    assert sum(batch.num_rows for batch in batches) == 100_000


def nothings(kind: pa.DataType, count: int) -> pa.Table:
    """One row with a list of so many values that take no room."""
    values = pa.nulls(count, kind)
    return pa.table({"x": pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), values)})


@pytest.mark.parametrize("kind", [pa.null(), pa.fixed_shape_tensor(pa.null(), [2])], ids=["null", "in an extension"])
def test_lists_of_nothing_are_as_long_as_what_came(kind: pa.DataType) -> None:
    assert next(stream_of(as_bytes(nothings(kind, 20)), ROOMY).batches).num_rows == 1

    with pytest.raises(Unreadable, match="more values than came"):
        list(stream_of(as_bytes(nothings(kind, 5_000)), ROOMY).batches)


@pytest.mark.parametrize("place", [0, 1], ids=["rows", "values"])
def test_columns_of_other_lengths_than_the_batch_says_are_refused(place: int) -> None:
    # Arrow sees to it when it reads a batch, and whoever validates that relies on it.
    body = bytearray(as_bytes(pa.table({"n": pa.array(range(777))})))
    places = [at for at in range(0, len(body) - 8, 8) if body[at : at + 8] == struct.pack("<q", 777)]
    body[places[place] : places[place] + 8] = struct.pack("<q", 700)

    with pytest.raises(Unreadable):
        list(stream_of(bytes(body), ROOMY).batches)


def test_text_that_is_no_utf8_is_refused() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xfe")]
    )

    with pytest.raises(Unreadable, match="UTF8"):
        list(stream_of(as_bytes(pa.table({"text": bad})), ROOMY).batches)


def test_offsets_that_lead_out_of_their_buffer_are_refused() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(struct.pack("<iii", 0, 900_000, 2)), pa.py_buffer(b"ab")]
    )

    with pytest.raises(Unreadable):
        list(stream_of(as_bytes(pa.table({"text": bad})), ROOMY).batches)


def test_nothing_that_is_changed_on_the_way_gets_past_as_another_error() -> None:
    # A few thousand streams with some bytes wrong: read, or refused as what they are.
    body, chance, refused = as_bytes(everything()), random.Random(7), 0  # noqa: S311 -- the same mistakes each time
    for _ in range(4_000):
        bad = bytearray(body)
        for _ in range(chance.choice([1, 1, 2, 5])):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        try:
            list(stream_of(bytes(bad), ROOMY).batches)
        except (Unreadable, TooLarge):
            refused += 1
    assert refused > 1_000


def test_an_error_of_the_source_reaches_whoever_reads() -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        streams.open_stream(streams.read_messages(Broken()), ROOMY)
