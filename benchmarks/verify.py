"""What does ``/verify`` cost, beside a server that does nothing, a query by hand, and what others offer?

    .venv/bin/python benchmarks/verify.py [--quick]

Sets up all it needs: databases with ten thousand, a million and ten million keys, the peers in an environment of their
own with a million tokens each, and one server for each, started as deploy/arizekeys.service starts ours. It needs wrk
(Debian: apt-get install wrk), some 15 GB on the disk and, the first time, half an hour; what it made is kept below
.arizekeys/benchmarks. Then it puts load on one after the other, again and again, and prints medians and ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import keyed
import peers
import servers
import stage
from servers import Machine, Run, Server

from arizekeys import local

HOT, COLD = 100, 40_000
_COLD_LINES = 200_000
_PEERS = {
    "DRF TokenAuthentication": "/token",
    "djangorestframework-api-key": "/api-key",
    "django-rest-knox": "/knox",
    "django-oauth-toolkit introspection": "/introspect",
}
BARE, BY_HAND, EMPTY = "bare callable", "one prepared query by hand", "empty Django view"


@dataclass
class Case:
    """One line of the table. A hot case asks the same few things again and again, a cold one never the same twice."""

    name: str
    server: Server
    questions: Path
    hot: bool
    runs: list[Run] = field(default_factory=list)
    _asked: int = 0

    def measure(self, machine: Machine, seconds: float, postmaster: Path) -> None:
        """Put load on it for a while."""
        many = HOT if self.hot else COLD
        run = servers.load(
            self.server, machine, postmaster, self.questions, skip=self._asked, many=many, seconds=seconds
        )
        if not self.hot:
            if run.requests > COLD:
                raise SystemExit(f"{self.name}: {COLD} questions are too few for {seconds} seconds.")
            self._asked = (self._asked + run.requests) % (_COLD_LINES - COLD)
        self.runs.append(run)

    def median(self, what: Callable[[Run], float]) -> float:
        """Return the median over all runs."""
        return statistics.median(map(what, self.runs))


@dataclass(frozen=True)
class Target:
    """A ratio to reach: of one case to another, in one and the same round."""

    what: str
    ours: str
    other: str
    bound: float
    at_most: bool = False
    of: Callable[[Run], float] = lambda run: run.rate

    def line(self, cases: dict[str, Case]) -> str:
        """Return it with what was measured."""
        found = ratio(cases[self.ours], cases[self.other], self.of)
        reached = found <= self.bound if self.at_most else found >= self.bound
        sign = "≤" if self.at_most else "≥"
        return f"{self.what:<62} {found:7.2f}  {sign} {self.bound:<5} {'reached' if reached else 'MISSED'}"


def ratio(one: Case, other: Case, of: Callable[[Run], float] = lambda run: run.rate) -> float:
    """Return the median of the ratios within rounds, which what else the machine does falls on alike."""
    return statistics.median(of(a) / of(b) for a, b in zip(one.runs, other.runs, strict=True))


def written(path: Path, lines: Iterable[str]) -> Path:
    """Write questions where wrk finds them, once."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text("".join(f"{line}\n" for line in lines))
    return path


def named(keys: int) -> str:
    """Return how a number of keys is called in the table."""
    return f"{keys // 1_000_000} million keys" if keys >= 1_000_000 else f"{keys // 1_000} thousand keys"


def cases_of(folder: Path, machine: Machine, sizes: list[int], tokens: int, stack: contextlib.ExitStack) -> list[Case]:
    """Set everything up and return what is measured, neighbours in the table being measured one after the other."""
    databases = [keyed.filled(folder, keys) for keys in sizes]
    others = peers.ready(folder, tokens) if tokens else None
    granian, here = Path(sys.executable).with_name("granian"), Path(__file__).parent
    middle = databases[len(databases) // 2]
    statement = folder / "statement.sql"
    statement.write_text(middle.statement())
    by_hand = {"BENCHMARK_STATEMENT": str(statement), "BENCHMARK_DATABASE": middle.dsn}

    def serve(target: str, environment: dict[str, str], room: Path, program: Path = granian) -> Server:
        started = servers.serving(target, machine, environment, folder=room, granian=program)
        return stack.enter_context(started)

    stage.say("starting servers")
    clean = servers.clean_environment()
    bare = serve("bare:nothing", clean, here)
    hand = serve("bare:by_hand", clean | by_hand, here)
    ours = [(base, serve("arizekeys.wsgi:application", base.environment, stage.ROOT)) for base in databases]

    asked = {
        base.keys: written(folder / f"verify_{base.keys}.questions", base.questions(_COLD_LINES)) for base in databases
    }
    found = [Case(BARE, bare, asked[middle.keys], hot=True)]
    found += [Case(f"/verify hot, {named(base.keys)}", server, asked[base.keys], hot=True) for base, server in ours]
    found.append(Case(BY_HAND, hand, asked[middle.keys], hot=False))
    found += [Case(f"/verify cold, {named(base.keys)}", server, asked[base.keys], hot=False) for base, server in ours]
    if others is None:
        return found
    site = serve("project:application", others.environment, peers.ROOM, others.programs / "granian")
    for name, path in ((EMPTY, "/empty"), *_PEERS.items()):
        lines = written(folder / f"peers_{tokens}{path.replace('/', '_')}", peers.questions(path, others, _COLD_LINES))
        found.append(Case(name if path == "/empty" else f"{name}, hot", site, lines, hot=True))
        if path != "/empty":
            found.append(Case(f"{name}, cold", site, lines, hot=False))
    return found


def targets(sizes: list[int]) -> list[Target]:
    """Return what is to be reached."""
    small, middle, large = named(sizes[0]), named(sizes[len(sizes) // 2]), named(sizes[-1])
    hot, cold = f"/verify hot, {middle}", f"/verify cold, {middle}"
    return [
        Target("hot, to the bare callable", hot, BARE, 0.9),
        Target("hot, to djangorestframework-api-key", hot, "djangorestframework-api-key, hot", 20),
        Target("hot, to django-rest-knox", hot, "django-rest-knox, hot", 35),
        Target("cold, to one prepared query by hand", cold, BY_HAND, 0.9),
        Target(f"hot, {large} to {small}", f"/verify hot, {large}", f"/verify hot, {small}", 0.95),
        Target("hot, p99 to the bare callable's", hot, BARE, 2, at_most=True, of=lambda run: run.p99),
    ]


def table(cases: list[Case], sizes: list[int]) -> None:
    """Print everything."""
    by_name = {case.name: case for case in cases}
    hot = by_name[f"/verify hot, {named(sizes[len(sizes) // 2])}"]
    print(
        f"{'':<44} {'req/s':>7} {'÷ bare':>7} {'hot ÷':>6} {'p50 ms':>7} {'p99 ms':>7} "
        f"{'server µs':>9} {'database µs':>11} {'MB':>5}"
    )
    for case in cases:
        print(
            f"{case.name:<44} {case.median(lambda run: run.rate):7.0f} {ratio(case, by_name[BARE]):7.3f} "
            f"{ratio(hot, case):6.1f} {case.median(lambda run: run.p50) / 1e3:7.2f} "
            f"{case.median(lambda run: run.p99) / 1e3:7.2f} {case.median(lambda run: run.server_cpu):9.0f} "
            f"{case.median(lambda run: run.database_cpu):11.0f} {case.server.memory() / 2**20:5.0f}"
        )
    print(
        "\n÷ bare: the rate as a part of the bare callable's. hot ÷: how many times as fast /verify is from memory.\n"
        "Server and database: processor time for one request. MB: what a worker has to itself at the end.\n"
    )
    for target in targets(sizes):
        if target.other in by_name:
            print(target.line(by_name))


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog="Progress goes to stderr."
    )
    parser.add_argument("--quick", action="store_true", help="ten and a hundred thousand keys, two short rounds")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="KEYS", help="other numbers of keys, smallest first")
    parser.add_argument(
        "--tokens", type=int, help="how many tokens each peer has (default: a million); 0 leaves them out"
    )
    parser.add_argument("--rounds", type=int, help="how often each case is measured (default: 5)")
    parser.add_argument("--seconds", type=float, help="how long, each time (default: 4)")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of each server (default: 2)")
    parser.add_argument("--pin", action="store_true", help="servers on the first core, wrk on the second")
    return parser.parse_args()


def main() -> None:
    """Measure, and print."""
    chosen = options()
    sizes = chosen.sizes or ([10_000, 100_000] if chosen.quick else [10_000, 1_000_000, 10_000_000])
    tokens = (100_000 if chosen.quick else 1_000_000) if chosen.tokens is None else chosen.tokens
    rounds, seconds = chosen.rounds or (2 if chosen.quick else 5), chosen.seconds or (2.0 if chosen.quick else 4.0)
    machine = Machine(chosen.workers, *(("0", "1") if chosen.pin else (None, None)))
    folder = stage.data_folder()
    local.attach(folder, durable=False)
    with contextlib.ExitStack() as stack:
        cases = cases_of(folder, machine, sizes, tokens, stack)
        for number in range(-1, rounds):
            stage.say("warming up" if number < 0 else f"round {number + 1} of {rounds}")
            for case in cases:
                case.measure(machine, 2.0 if number < 0 else seconds, folder / "postgres")
                if number < 0:
                    case.runs.clear()
        table(cases, sizes)


if __name__ == "__main__":
    main()
