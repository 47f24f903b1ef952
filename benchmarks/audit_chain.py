"""What does the chain of audit events cost? Events a second that two workers sustain, in one account and in two.

    .venv/bin/python benchmarks/audit_chain.py [SECONDS]

Each event is a transaction of its own, as a sign-in is. Beside it the same inserts with the trigger switched off that
chains them. In one account writers take turns from an event to its commit; in two they must not. "On disk" waits for
the disk at each commit, as installations do; "in memory" does not, which shows what the chain itself costs.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import product
from multiprocessing.synchronize import Barrier
from typing import Any

import stage

stage.set_up()

from django.db import connection

from accounts.actors import Actor, Door
from accounts.audit import Tag, record
from accounts.chain import chains, check
from accounts.models import Account

WORKERS = 2
ROUNDS = 3
# Without the trigger nothing gives an event its place, which has to be one of its own all the same.
_CHAINED = """
    ALTER TABLE accounts_auditevent ENABLE TRIGGER accounts_auditevent_fasten;
    ALTER TABLE accounts_auditevent ALTER COLUMN position SET DEFAULT 0
"""
_LOOSE = """
    CREATE SEQUENCE IF NOT EXISTS loose_position;
    ALTER TABLE accounts_auditevent DISABLE TRIGGER accounts_auditevent_fasten;
    ALTER TABLE accounts_auditevent ALTER COLUMN position SET DEFAULT nextval('loose_position')
"""
_EMPTY = """
    ALTER TABLE accounts_auditevent DISABLE TRIGGER accounts_auditevent_no_truncate;
    TRUNCATE accounts_auditevent, accounts_auditchain;
    ALTER TABLE accounts_auditevent ENABLE TRIGGER accounts_auditevent_no_truncate
"""


@dataclass(frozen=True)
class Case:
    """What is measured: in how many accounts, with or without the chain, and whether commits wait for the disk."""

    accounts: int
    chained: bool
    durable: bool


CASES = [Case(*which) for which in product((1, 2), (True, False), (True, False))]


def write(account: Account, case: Case, seconds: float, start: Barrier, written: Any) -> None:
    """Record events until the time is up, and add their number to those of the others."""
    execute(f"SET synchronous_commit = {'on' if case.durable else 'off'}")
    actor = Actor(user=None, account=account, door=Door.SYSTEM, ip="192.0.2.7")
    record(actor, Tag.SIGNED_IN, account)  # makes the account's chain
    start.wait()
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        record(actor, Tag.SPACE_CHANGED, account, before={"name": "staging"}, after={"name": "production"})
        count += 1
    with written.get_lock():
        written.value += count


def rate(case: Case, accounts: list[Account], seconds: float) -> float:
    """Return how many events a second the workers record together, each in its account."""
    execute(_EMPTY)
    execute(_CHAINED if case.chained else _LOOSE)
    context = multiprocessing.get_context("fork")
    start, written = context.Barrier(WORKERS), context.Value("l", 0)
    connection.close()  # each worker makes its own
    workers = [
        context.Process(target=write, args=(accounts[number % case.accounts], case, seconds, start, written))
        for number in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if case.chained and any(check(number).fault for number in chains()):
        raise SystemExit("A chain is broken.")
    return float(written.value) / seconds


def execute(statements: str) -> None:
    """Run statements as the owner of the tables."""
    with connection.cursor() as cursor:
        cursor.execute(statements)


def main() -> None:
    """Measure the cases in turns, print medians and ratios, and see to it that the chains hold."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    accounts = [Account.objects.get_or_create(name=f"chain {number}")[0] for number in range(2)]
    rates: dict[Case, list[float]] = {case: [] for case in CASES}
    for number in range(ROUNDS):
        for step in range(len(CASES)):
            case = CASES[(number + step) % len(CASES)]
            rates[case].append(rate(case, accounts, seconds))
    execute(_EMPTY)
    execute(_CHAINED)
    for many, durable in product((1, 2), (True, False)):
        chained, loose = (statistics.median(rates[Case(many, which, durable)]) for which in (True, False))
        where = f"{many} account{'s' if many > 1 else ' '}  {'on disk  ' if durable else 'in memory'}"
        print(f"{where}  chained {chained:7.0f}/s   without {loose:7.0f}/s   × {chained / loose:.2f}")


if __name__ == "__main__":
    main()
