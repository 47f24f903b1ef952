"""What was stored comes back equal, and nothing is left of what was not."""

from __future__ import annotations

import decimal
import itertools
import json
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from accounts.errors import Conflict
from apikeys.workflows import tables
from apikeys.workflows.editing import ids_among
from apikeys.workflows.errors import StorageFailed, TooLarge, Unreadable
from apikeys.workflows.models import Table
from apikeys.workflows.streams import Stream, decoded_size
from tests.cast import Cast
from tests.workflows.sending import stream_of
from tests.workflows.storage import broken

COLUMNS = {
    "seconds": pa.array([1, None], pa.timestamp("s")),
    "berlin": pa.array([1, None], pa.timestamp("ms", "Europe/Berlin")),
    "nanoseconds": pa.array([2**62 + 1, None], pa.timestamp("ns", "UTC")),
    "time": pa.array([1, None], pa.time32("s")),
    "duration": pa.array([1, None], pa.duration("s")),
    "date": pa.array([1, None], pa.date32()),
    "half": pa.array([1.5, None], pa.float16()),
    "nothing": pa.nulls(2),
    "large": pa.array([2**64 - 1, None], pa.uint64()),
    "small": pa.array([-1, None], pa.int8()),
    "decimal": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(9, 2)),
    "bytes": pa.array([b"\x00\xff", None]),
    "fixed": pa.array([b"ab", None], pa.binary(2)),
    "large text": pa.array(["x", None], pa.large_string()),
    "list": pa.array([[1, None], None]),
    "embedding": pa.array([[0.25, 0.5], None], pa.list_(pa.float32(), 2)),
    "list of seconds": pa.array([[1], []], pa.list_(pa.timestamp("s"))),
    "list of structs": pa.array([[{"role": "user", "n": 1}], None]),
    "struct": pa.array([{"a": {"b": [1]}}, None]),
    "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
    "true": pa.array([True, None]),
    "attributes.llm.input": pa.array(["dotted", ""]),
    "ünïcode 🗝": pa.array(["🗝", "‮"]),
}


def stored(cast: Cast, stream: Stream) -> Table:
    with tables.drafted(stream) as draft, transaction.atomic():
        return draft.keep(cast.actor(cast.bob), cast.production, at=timezone.now())


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_comes_back_equal(cast: Cast, name: str) -> None:
    field = pa.field(name, COLUMNS[name].type, metadata={"of": "the field"})
    table = pa.table([COLUMNS[name]], schema=pa.schema([field], {"pandas": json.dumps({"columns": []})}))

    row = stored(cast, stream_of(table))

    assert tables.read(row).table().equals(table, check_metadata=True)
    assert (row.rows, row.column_count) == (2, 1)


def test_what_is_no_number_stays_apart_from_what_is_missing(cast: Cast) -> None:
    column = pa.array([float("nan"), None, float("-inf"), -0.0])

    back = tables.read(stored(cast, stream_of(pa.table({"n": column})))).table()

    assert str(back.column("n").to_pylist()) == "[nan, None, -inf, -0.0]"


def test_categories_come_back_in_their_order_with_those_no_row_has(cast: Cast) -> None:
    values = pa.array(["low", "middle", "high", "never"])
    column = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 2], pa.int8()), values, ordered=True)
    table = pa.table({"c": column})

    back = tables.read(stored(cast, stream_of(table))).table()

    assert back.equals(table, check_metadata=True)
    assert back.column("c").chunk(0).dictionary.equals(values)


def test_batches_with_categories_of_their_own_come_back_as_one_column(cast: Cast) -> None:
    parts = [
        pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), pa.array([f"{n}a", f"{n}b"])) for n in range(100)
    ]
    table = pa.table({"c": pa.chunked_array(parts)})

    back = tables.read(stored(cast, stream_of(table))).table()

    assert back.column("c").to_pylist() == table.column("c").to_pylist()
    assert back.schema.field("c").type.index_type == pa.int32()  # 200 of them do not fit into eight bits


@pytest.mark.parametrize("columns", [None, ["c", "n"], ["c"], ["n"]], ids=str)
def test_categories_are_looked_through_once_for_a_group_however_few_rows_are_asked_for_at_once(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, columns: list[str] | None
) -> None:
    numbers = pa.array([number % 2_000 for number in range(130_000)])
    column = pa.DictionaryArray.from_arrays(numbers, pa.array([f"{number:05}" for number in range(3_000)]))
    table = pa.table({"n": pa.array(range(130_000)), "c": column, "d": column})
    row = stored(cast, stream_of(table))
    looks, index_in = itertools.count(), pc.index_in
    monkeypatch.setattr(pc, "index_in", lambda *given, **more: (next(looks), index_in(*given, **more))[1])

    batches = list(tables.read(row, columns, batch_rows=1_000).batches)

    wanted = table.select([name for name in table.column_names if columns is None or name in columns])
    assert pa.Table.from_batches(batches).equals(wanted)
    assert max(batch.num_rows for batch in batches) == 1_000
    assert next(looks) == 2 * sum(name != "n" for name in wanted.column_names)  # in each of two groups


def test_many_small_batches_become_few_groups_and_keep_their_order(cast: Cast) -> None:
    table = pa.table({"n": pa.array(range(70_000))})
    stream = Stream(table.schema, iter(table.to_batches(max_chunksize=100)))

    reading = tables.read(stored(cast, stream))

    batches = list(reading.batches)
    assert [batch.num_rows for batch in batches] == [20_000, 20_000, 20_000, 10_000]
    assert pa.Table.from_batches(batches).equals(table)


def test_long_values_are_read_in_portions_that_there_is_memory_for(cast: Cast, tables_folder: Path) -> None:
    # They are next to nothing on the disk, and all that they are in memory.
    table = pa.table({"text": pa.repeat("x" * 100_000, 1_000), "n": range(1_000)})
    one = table.combine_chunks().to_batches()[0]
    category = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int8()), pa.array(["x" * 100_000]))
    small = pa.table({"text": category, "n": range(1_000)})

    for stream in (Stream(table.schema, iter([one])), stream_of(small), stream_of(table)):
        row = stored(cast, stream)
        assert row.bytes < 1_000_000
        read = list(tables.read(row).batches)
        assert len(read) == pq.ParquetFile(tables_folder / row.file).num_row_groups  # read one at a time
        assert max(map(decoded_size, read)) <= 32 * 2**20
        assert pa.Table.from_batches(read)["n"].to_pylist() == list(range(1_000))


def test_more_categories_than_the_end_of_a_file_has_room_for_are_refused(cast: Cast, tables_folder: Path) -> None:
    texts = [f"{number:0100000}" for number in range(400)]
    table = pa.table({"c": pa.chunked_array([pa.array([text]).dictionary_encode() for text in texts])})

    with pytest.raises(TooLarge, match="send them as texts"):
        stored(cast, stream_of(table))

    assert files(tables_folder) == []


def test_categories_are_compressed_in_the_end_of_a_file(cast: Cast) -> None:
    # As it is written, the end of a file is in memory several times.
    texts = pa.array([f"{number:0100}" for number in range(50_000)])
    table = pa.table({"c": pa.DictionaryArray.from_arrays(pa.array([0, 49_999], pa.int32()), texts)})

    row = stored(cast, stream_of(table))

    assert row.bytes < texts.nbytes / 5
    assert tables.read(row).table().equals(table)


def test_no_rows_keep_their_columns(cast: Cast) -> None:
    table = pa.table({"n": pa.array([], pa.int16()), "c": pa.array([], pa.dictionary(pa.int8(), pa.string()))})

    assert tables.read(stored(cast, stream_of(table))).table().schema.equals(table.schema)


def test_some_columns_are_read_in_the_order_of_the_file(cast: Cast) -> None:
    row = stored(cast, stream_of(pa.table({"a": [1], "b": [2], "c": [3]})))

    assert tables.read(row, ["c", "a", "none"]).table().to_pydict() == {"a": [1], "c": [3]}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]), "same name"),
        (pa.table({"s": pa.array([{}], pa.struct([]))}), "cannot be kept"),
        (pa.table({}), "no columns"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(
    cast: Cast, tables_folder: Path, table: pa.Table, says: str
) -> None:
    with pytest.raises(Unreadable, match=says):
        stored(cast, stream_of(table))

    assert files(tables_folder) == []


def test_a_stream_that_breaks_off_leaves_nothing(cast: Cast, tables_folder: Path) -> None:
    table = pa.table({"n": range(100_000)})

    def batches() -> Iterator[pa.RecordBatch]:
        yield from table.to_batches(max_chunksize=70_000)[:1]
        raise ConnectionResetError

    with pytest.raises(Unreadable, match="broke off"):
        stored(cast, Stream(table.schema, batches()))

    assert files(tables_folder) == []
    assert not Table.objects.exists()


def test_a_refusal_in_the_transaction_leaves_nothing(cast: Cast, tables_folder: Path) -> None:
    def keep_and_refuse() -> None:
        with tables.drafted(stream_of(pa.table({"n": [1]}))) as draft, transaction.atomic():
            draft.keep(cast.actor(cast.bob), cast.production, at=timezone.now())
            raise Conflict("The name is taken.")

    with pytest.raises(Conflict):
        keep_and_refuse()

    assert files(tables_folder) == []
    assert not Table.objects.exists()


def test_a_table_and_its_folder_are_on_the_disk_before_anything_leads_to_them(
    cast: Cast, tables_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def watched(number: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{number}"))
        sync(number)

    monkeypatch.setattr(os, "fsync", watched)

    row = stored(cast, stream_of(pa.table({"n": [1]})))

    place = tables_folder / row.file
    assert synced == [
        *(str(tables_folder), str(tables_folder / "incoming" / place.name)),
        *(str(tables_folder), str(place.parent)),
    ]


def test_a_full_disk_is_told_from_bad_data_and_leaves_nothing(cast: Cast, tables_folder: Path) -> None:
    table = pa.table({"n": [os.urandom(1_000) for _ in range(5_000)]})

    with broken(tables_folder, "full"), pytest.raises(StorageFailed, match="nothing of it was kept"):
        stored(cast, stream_of(table))

    assert files(tables_folder) == []
    assert not Table.objects.exists()


def test_a_folder_that_cannot_be_had_is_no_fault_of_the_data(cast: Cast, tables_folder: Path) -> None:
    with broken(tables_folder, "in the way"), pytest.raises(StorageFailed):
        stored(cast, stream_of(pa.table({"n": [1]})))


def test_a_file_that_is_gone_is_told(cast: Cast, tables_folder: Path) -> None:
    row = stored(cast, stream_of(pa.table({"n": [1]})))
    (tables_folder / row.file).unlink()

    with pytest.raises(StorageFailed):
        tables.read(row)


def test_the_file_goes_with_its_row_once_that_has_committed(
    cast: Cast, tables_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    row = stored(cast, stream_of(pa.table({"n": [1]})))

    with django_capture_on_commit_callbacks(execute=True):
        row.delete()
        assert files(tables_folder) == [row.file]

    assert files(tables_folder) == []


def test_the_files_of_a_space_go_with_it(
    cast: Cast, tables_folder: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    stored(cast, stream_of(pa.table({"n": [1]})))

    with django_capture_on_commit_callbacks(execute=True):
        cast.production.delete()

    assert files(tables_folder) == []


def test_sweeping_takes_only_what_no_row_leads_to_and_nobody_writes(cast: Cast, tables_folder: Path) -> None:
    kept = stored(cast, stream_of(pa.table({"n": [1]})))
    orphan = tables_folder / "ab" / ("ab" + "0" * 30 + ".parquet")
    orphan.parent.mkdir(exist_ok=True)  # where the other one may lie
    orphan.write_bytes(b"left over")

    with tables.drafted(stream_of(pa.table({"n": [2]}))) as draft:
        assert tables.sweep(grace=0) == (1, 9)
        assert draft.path.exists()

    assert files(tables_folder) == [kept.file]


def test_sweeping_leaves_what_is_fresh_to_other_hosts(db: None, tables_folder: Path) -> None:
    orphan = tables_folder / "ab" / "fresh.parquet"
    orphan.parent.mkdir(parents=True)
    orphan.touch()

    assert tables.sweep() == (0, 0)
    assert orphan.exists()


def test_others_on_the_machine_cannot_look_into_tables(cast: Cast, tables_folder: Path) -> None:
    row = stored(cast, stream_of(pa.table({"n": [1]})))

    assert (tables_folder / row.file).stat().st_mode & 0o077 == 0
    assert tables_folder.stat().st_mode & 0o077 == 0


def test_the_command_says_what_it_swept_away(db: None, tables_folder: Path) -> None:
    orphan = tables_folder / "ab" / "left.parquet"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"left over")

    nothing = {"expired": 0, "merged": 0}
    assert _swept() == {**nothing, "removed": 0, "bytes": 0}
    assert _swept("--older-than", "0") == {**nothing, "removed": 1, "bytes": 9}
    with pytest.raises(CommandError, match="0 or more"):
        call_command("sweeptables", "--older-than", "-1")


def _swept(*options: str) -> Any:
    out = StringIO()
    call_command("sweeptables", *options, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_ids_that_rows_have_by_their_number_are_known_whatever_the_size_of_the_table(cast: Cast) -> None:
    row = stored(cast, stream_of(pa.table({"n": [1]})))
    row.rows = 10**12  # none of them is written down anywhere
    wanted = ["999999999999", "10", "9", "01", "-1", "1000000000000", "²", "٣", "", "1" * 5_000]

    assert ids_among(row, wanted) == ["9", "10", "999999999999"]
