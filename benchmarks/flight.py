"""How fast does a million rows go up and down in one call, and how much memory does the server take for it?

    .venv/bin/python benchmarks/flight.py [ROUNDS]

About 100 MB, by the library that the vendor's clients use, to `manage.py serveflight` and to a bare pyarrow Flight
server that stores the same Parquet and nothing else: no keys, no database, no checks, no wait for the disk. Both in
turn, in the same run, each in a process of its own. Held to two promises: at least 0.7 of the bare server's throughput,
and less than 300 MB of resident memory at the peak.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.flight as fl
import pyarrow.parquet as pq
import stage

from tests.ports import free_port

ROWS = 1_000_000
BATCH = 10_000  # as the clients send them
# Rows of a group in the file, and of a batch that is handed out: the same on both sides.
GROUP, HANDED_OUT = 120_000, 20_000
PATIENCE = 60
LEAST_RATIO, MOST_MEMORY = 0.7, 300


class Bare(fl.FlightServerBase):
    """What is compared with."""

    def __init__(self, folder: Path) -> None:
        super().__init__("grpc://127.0.0.1:0")
        self._path = folder / "bare.parquet"

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Store what comes."""
        with pq.ParquetWriter(self._path, reader.schema, compression="zstd") as file:
            waiting: list[pa.RecordBatch] = []
            for chunk in reader:
                waiting.append(chunk.data)
                if sum(batch.num_rows for batch in waiting) >= GROUP:
                    file.write_table(pa.Table.from_batches(waiting), row_group_size=GROUP)
                    waiting = []
            if waiting:
                file.write_table(pa.Table.from_batches(waiting), row_group_size=GROUP)
        writer.write(b"done")

    def do_get(self, context: Any, ticket: Any) -> Any:
        """Hand it out."""
        file = pq.ParquetFile(self._path)
        return fl.GeneratorStream(file.schema_arrow, file.iter_batches(HANDED_OUT))


def rows() -> pa.Table:
    """A million rows of texts, numbers and labels, some 100 MB."""
    chance = random.Random(1)  # noqa: S311 -- the same rows each time
    columns: dict[str, Any] = {"id": [f"{number:08d}" for number in range(ROWS)]}
    columns |= {f"feature {number}": pc.random(ROWS, initializer=number) for number in range(9)}
    columns["label"] = pa.array(chance.choices(["fraud", "fine", None], k=ROWS))
    columns["n"] = pa.array(chance.choices(range(1_000), k=ROWS))
    return pa.table(columns)


def peak_of(process: int) -> float:
    """The most memory that a process ever had resident, in megabytes."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) / 1024


def busy(process: int) -> float:
    """The seconds of processor time that a process took so far: what is left to compare by on a busy machine."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


class Side:
    """One server, and what it takes."""

    def __init__(self, process: subprocess.Popen[str], port: int, options: fl.FlightCallOptions) -> None:
        self.process = process
        self.up: list[float] = []
        self.down: list[float] = []
        self.busy_up: list[float] = []
        self.busy_down: list[float] = []
        self._client = fl.connect(f"grpc://127.0.0.1:{port}")
        self._options = options

    def measure(self, table: pa.Table, put: dict[str, Any], get: dict[str, Any]) -> None:
        """Send it all, and get it all back."""
        began, busy_at_first = time.perf_counter(), busy(self.process.pid)
        descriptor = fl.FlightDescriptor.for_command(json.dumps(put).encode())
        writer, reader = self._client.do_put(descriptor, table.schema, self._options)
        with writer:
            for batch in table.to_batches(max_chunksize=BATCH):
                writer.write_batch(batch)
            writer.done_writing()
            reader.read()
        sent, busy_then = time.perf_counter(), busy(self.process.pid)
        back = self._client.do_get(fl.Ticket(json.dumps(get).encode()), self._options).read_all()
        got = time.perf_counter()
        if not back.equals(table):
            raise SystemExit("What came back is not what was sent.")
        self.up.append(sent - began)
        self.down.append(got - sent)
        self.busy_up.append(busy_then - busy_at_first)
        self.busy_down.append(busy(self.process.pid) - busy_then)


def started(arguments: list[str | Path], folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a server, and return it with the port that it names in its first line."""
    environment = os.environ | {"ARIZEKEYS_TABLES": str(folder)}
    process = subprocess.Popen(arguments, cwd=stage.ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline() if process.stdout else ""
    return process, int("".join(letter for letter in line.rpartition(":")[2] if letter.isdigit()))


def place() -> tuple[str, str]:
    """A space to write to, and a key that may."""
    from django.utils import timezone  # -- Django is set up by now

    from accounts.roles import RoleName  # -- as above
    from accounts.wire import encode_id  # -- as above
    from tests.factories import PersonFactory, SpaceFactory, bind, user_key  # -- as above

    mark = f"{timezone.now():%Y%m%d%H%M%S%f}"
    space = SpaceFactory.create(name=f"flights {mark}", organization__account__name=f"flights {mark}")
    account = space.organization.account
    person = PersonFactory.create(name="Pilot", email=f"pilot{mark}@example.com")
    bind(person, account, RoleName.ADMIN)
    return encode_id("Space", space.pk), user_key(person, account, name=f"flights {mark}").plaintext


Measured = Callable[[Side], list[float]]


def told(name: str, table: pa.Table, wall: Measured, processor: Measured, ours: Side, bare: Side) -> float:
    """Print how fast one direction is on both sides; return ours as a part of the bare server's."""
    megabytes = table.nbytes / 1e6
    mine, theirs = (megabytes / statistics.median(wall(side)) for side in (ours, bare))
    took, other = (statistics.median(processor(side)) for side in (ours, bare))
    print(
        f"{name:<5} {mine:5.0f} MB/s, bare {theirs:5.0f} MB/s: ratio {mine / theirs:.2f}"
        f"   (processor {took:.2f} s, bare {other:.2f} s)"
    )
    return mine / theirs


def main(rounds: int) -> None:
    """Measure both sides in turn."""
    stage.set_up()
    table = rows()
    space, key = place()
    options = fl.FlightCallOptions(headers=[(b"auth-token-bin", key.encode())])
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        port = free_port()
        serve = [sys.executable, stage.ROOT / "manage.py", "serveflight", "--port", str(port), "--tls-port", "0"]
        ours = Side(*started(serve, folder), options)
        bare = Side(*started([sys.executable, __file__, "bare", made], folder), fl.FlightCallOptions())
        try:
            idle = peak_of(ours.process.pid)
            for number in range(rounds + 1):
                stage.say(f"round {number} of {rounds}" if number else "warming up")
                named = {"spaceId": space, "datasetName": f"flight {number}"}
                bare.measure(table, {}, {})
                ours.measure(table, {"createDataset": named}, {"getDataset": named})
            peak, bare_peak = peak_of(ours.process.pid), peak_of(bare.process.pid)
        finally:
            for side in (ours, bare):
                side.process.terminate()
                side.process.wait(PATIENCE)
    for side in (ours, bare):
        for measured in (side.up, side.down, side.busy_up, side.busy_down):
            del measured[0]  # warming up
    print(f"{ROWS:,} rows, {table.nbytes / 1e6:.0f} MB, median of {rounds} rounds")
    ratios = [
        told("up", table, lambda side: side.up, lambda side: side.busy_up, ours, bare),
        told("down", table, lambda side: side.down, lambda side: side.busy_down, ours, bare),
    ]
    print(f"peak resident memory {peak:.0f} MB ({idle:.0f} MB idle), bare {bare_peak:.0f} MB")
    kept = min(ratios) >= LEAST_RATIO and peak < MOST_MEMORY
    print(f"{'Holds' if kept else 'DOES NOT HOLD'}: ratio at least {LEAST_RATIO}, peak less than {MOST_MEMORY} MB")
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        server = Bare(Path(sys.argv[2]))
        print(f"bare:{server.port}", flush=True)
        server.serve()
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 5)
