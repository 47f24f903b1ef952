"""Whoever may not see a space cannot tell what is in it, nor whether it is there: they hear the same each time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from accounts.models import Project
from apikeys.workflows.models import Dataset, Table
from tests.matrix.doors.flight import FLIGHT, OTLP, ExportWay, FlightWay, Said
from tests.matrix.doors.ingest import INGEST, IngestWay
from tests.matrix.doors.rest import REST, RestWay
from tests.matrix.operations import OPERATIONS
from tests.matrix.operations.data import DATA
from tests.matrix.operations.logs import LOGS
from tests.matrix.operations.workflows import DATASETS, EXPERIMENTS, PROJECTS
from tests.matrix.scene import STRANGER, Scene, build

pytestmark = pytest.mark.django_db

_OF_CLIENTS = {*DATA, *DATASETS, *EXPERIMENTS, *PROJECTS, *LOGS}
_Asking = FlightWay | ExportWay | IngestWay | RestWay
# What of an answer is about the request and not about what was asked for.
_OF_THE_REQUEST = frozenset({"instance", "request_id"})


@pytest.mark.parametrize("door", [FLIGHT, OTLP, INGEST, REST], ids=str)
@pytest.mark.parametrize("who", [STRANGER, "account:MEMBER"])
def test_strangers_hear_the_same_whether_or_not_it_is_there(who: str, door: Any) -> None:
    scene = build(who)
    ways = [
        (row, way)
        for row, operation in OPERATIONS.items()
        if row in _OF_CLIENTS
        for way in operation.ways
        if way.door is door and isinstance(way, _Asking)
    ]
    asked = [(row, way.name, way.asking(scene)) for row, way in ways]

    there = [_heard(send) for _, _, send in asked]
    emptied = _without(scene, asked, _empty)
    removed = _without(scene, asked, _remove)

    different = [
        f"{row}: {name} | {one} | {two} | {three}"
        for (row, name, _), one, two, three in zip(asked, there, emptied, removed, strict=True)
        if not one == two == three
    ]
    assert asked
    assert different == []


def _without(scene: Scene, asked: list[tuple[str, str, Callable[[], Any]]], take: Callable[[Scene], None]) -> list[Any]:
    """Return what is heard when something is not there, and put it back."""
    with transaction.atomic():
        take(scene)
        heard = [_heard(send) for _, _, send in asked]
        transaction.set_rollback(True)
    return heard


def _empty(scene: Scene) -> None:
    Dataset.objects.filter(space=scene.space).delete()
    Project.objects.filter(space=scene.space).delete()
    Table.objects.filter(space=scene.space).delete()


def _remove(scene: Scene) -> None:
    _empty(scene)
    scene.space.delete()


def _heard(send: Callable[[], Any]) -> Any:
    with transaction.atomic():
        answer = send()
        transaction.set_rollback(True)
    if isinstance(answer, Said):
        return answer.status, answer.text, answer.messages
    content = answer.getvalue()
    if not answer.headers.get("Content-Type", "").endswith("json"):
        return answer.status_code, content
    body = json.loads(content)
    return answer.status_code, {name: value for name, value in body.items() if name not in _OF_THE_REQUEST}
