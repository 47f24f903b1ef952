"""Every operation through every door, as every caller: all doors agree with one table, and none offers more than it.

What a door answers is compared with the table, and so is what is in the database and in the audit log afterwards.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.actors import Door as Threshold
from tests.matrix.doors import browser, command, desk, flight, graphql, ingest, rest, verbs, verify
from tests.matrix.doors.ways import Door, Way
from tests.matrix.fates import Fate
from tests.matrix.operations import OPERATIONS
from tests.matrix.operations.operation import Operation
from tests.matrix.scene import CALLERS, build
from tests.matrix.table import TABLE
from tests.matrix.trial import Outcome, Stage

pytestmark = pytest.mark.django_db

DOORS: dict[Door, Callable[[], set[str]]] = {
    verbs.VERBS: verbs.offered,
    rest.REST: rest.offered,
    graphql.GRAPHQL: graphql.offered,
    browser.BROWSER: browser.offered,
    desk.DESK: desk.offered,
    command.COMMAND: command.offered,
    verify.VERIFY: verify.offered,
    flight.FLIGHT: flight.offered,
    ingest.INGEST: ingest.offered,
    flight.OTLP: ingest.offered_to_exporters,
}
# What doors offer that is nobody's to be allowed or forbidden.
OUTSIDE = {
    "quickstart": "Sets up an installation that is not there yet, and serves.",
    "serveflight": "Serves: who may do what there is asked of every call.",
    "sweeptables": "Looks after tables, as it is done every hour: what it deletes is old, or nobody's.",
    "migrate": "Django's own, for whoever owns the database.",
    "grantapp": "Speaks to the database alone, as its owner: whether one may is for PostgreSQL to say.",
}


@pytest.mark.parametrize("door", DOORS, ids=str)
@pytest.mark.parametrize("who", CALLERS)
def test_every_door_agrees_with_the_table(who: str, door: Door) -> None:
    stage = Stage.of(build(who))

    wrong = [
        f"{row} | {who} | {door}: {way.name} | {fault}"
        for row, operation in OPERATIONS.items()
        for way in operation.ways
        if way.door is door
        for fault in _faults(stage, who, TABLE[row][who], operation, way)
    ]

    assert wrong == []


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_every_operation_of_every_door_is_in_the_table_and_no_other(door: Door) -> None:
    named = {way.name for operation in OPERATIONS.values() for way in operation.ways if way.door is door and way.name}

    assert DOORS[door]() - OUTSIDE.keys() == named


def test_every_door_there_is_is_tried() -> None:
    assert {door.threshold for door in DOORS} == set(Threshold)


def test_table_and_ways_name_the_same_operations_and_callers() -> None:
    assert list(TABLE) == list(OPERATIONS)
    assert {tuple(cells) for cells in TABLE.values()} == {CALLERS}


def test_no_cell_says_what_no_door_is_asked() -> None:
    """A cell that is never compared could say anything."""
    idle = [
        f"{row} | {who}"
        for row, operation in OPERATIONS.items()
        for who, cell in TABLE[row].items()
        if (cell is None) == any(way.asks_about(who) for way in operation.ways)
    ]

    assert idle == []


def test_whatever_differs_from_the_table_says_why() -> None:
    ways = [way for operation in OPERATIONS.values() for way in operation.ways]

    assert [way.name for way in ways if bool(way.differs) != bool(way.because)] == []


def test_whatever_changes_something_is_recorded() -> None:
    """Security 45: but for one thing, which opens a door to everybody's second try."""
    silent = {row for row, operation in OPERATIONS.items() if operation.changes and operation.event is None}

    assert silent == {"open a door that wrong passwords closed"}


def _faults(stage: Stage, who: str, cell: Fate | None, operation: Operation, way: Way) -> list[str]:
    expected = way.expected(who, cell)
    if expected is None:
        return []
    outcome = stage.attempt(way)
    # What somebody does in an account of their own is done, and nothing is different in this one.
    answer = Fate.MADE if expected is Fate.ELSEWHERE else expected
    faults = [] if outcome.came == answer else [f"the table says “{answer}”, and it came to “{outcome.came}”"]
    return faults + _traces(outcome, operation, way, done=expected is Fate.MADE and not way.looks)


def _traces(outcome: Outcome, operation: Operation, way: Way, *, done: bool) -> list[str]:
    """Return what is wrong with what an operation left behind."""
    if not done:
        left = [*sorted(outcome.changed), *sorted(tag for tag, _ in outcome.done)]
        left += [f"{outcome.files} files"] if outcome.files else []
        return [f"nothing was to be done, and there is: {', '.join(left)}"] if left else []
    faults = []
    if not operation.changes <= outcome.changed <= operation.may_change:
        faults.append(f"it changed {sorted(outcome.changed)}, and not {sorted(operation.changes)}")
    if operation.event is not None and (operation.event, way.door.threshold) not in outcome.done:
        faults.append(f"the audit log tells {sorted(outcome.done)}, and no {operation.event} through this door")
    return faults
