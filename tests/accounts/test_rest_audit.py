"""``/v2/audit-logs``: the log as administrators' programs read it and take it along."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actors import Door, Operation
from accounts.audit import Tag, record
from accounts.models import AuditEvent, User
from accounts.rest.audit_shapes import AuditLogQuery, ExportAuditLogs
from accounts.trail import Filter
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import user_key

pytestmark = pytest.mark.django_db

LOGS, EXPORT = "/v2/audit-logs", "/v2/audit-logs/export"
Ask = Callable[..., Any]


@pytest.fixture
def keys(cast: Cast) -> dict[int, str]:
    """A key of Alice's and one of Bob's, made a year ago."""
    at = timezone.now() - timedelta(days=365)
    return {person.pk: user_key(person, cast.account, at=at).plaintext for person in (cast.alice, cast.bob)}


@pytest.fixture
def ask(client: Client, cast: Cast, keys: dict[int, str]) -> Ask:
    """Ask for logs, as Alice."""

    def get(**parameters: Any) -> Any:
        return client.get(LOGS, parameters, headers={"authorization": f"Bearer {keys[cast.alice.pk]}"})

    return get


@pytest.fixture
def export(client: Client, cast: Cast, keys: dict[int, str]) -> Ask:
    """Ask for a file, as Alice."""

    def post(**body: Any) -> Any:
        headers = {"authorization": f"Bearer {keys[cast.alice.pk]}"}
        return client.post(EXPORT, json.dumps(body), content_type="application/json", headers=headers)

    return post


def actions(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [entry["action"] for entry in response.json()["logs"]]


def parameters(response: Any) -> list[str]:
    assert response.status_code == 400
    return [fault["parameter"] for fault in response.json()["errors"]]


def wrote(cast: Cast, person: User, tag: Tag, *, at: datetime | None = None, **operation: Any) -> AuditEvent:
    """Record something a person did, over REST if an operation is given."""
    actor = cast.actor(person)
    if operation:
        actor = replace(actor, operation=Operation(**operation), door=Door.REST)
    return record(actor, tag, cast.production, at=at)


def test_an_event_is_told_whole(cast: Cast, ask: Ask) -> None:
    actor = replace(
        cast.actor(cast.bob, Door.REST),
        ip="192.0.2.7",
        key_id=77,
        operation=Operation("MUTATION", "POST /v2/spaces", '{"name": "höhle"}', {"first": 3, "name": "ü"}),
    )
    event = record(actor, Tag.SPACE_CREATED, cast.production, is_private=False)

    (entry,) = ask().json()["logs"]

    assert datetime.fromisoformat(entry.pop("created_at")) == event.at
    assert entry == {
        "id": encode_id("AuditEvent", event.pk),
        "user_id": encode_id("User", cast.bob.pk),
        "ip": "192.0.2.7",
        "operation_type": "MUTATION",
        "operation_name": "POST /v2/spaces",
        "operation_text": '{"name": "höhle"}',
        "variables": '{"name": "ü", "first": 3}',
        "action": "space:create",
        "outcome": "SUCCEEDED",
        "door": "rest",
        "user": "Bob Baker <bob@example.com>",
        "key_id": encode_id("ApiKey", 77),
        "target_type": "Space",
        "target_id": encode_id("Space", cast.production.pk),
        "target": "production",
        "details": {"is_private": False},
        "position": 3,
        "hash": bytes(event.hash).hex(),
    }


def test_an_event_of_nobody_known_has_nulls(cast: Cast, ask: Ask) -> None:
    record(replace(cast.actor(cast.bob, Door.COMMAND), user=None), Tag.ACCOUNT_CHANGED)

    (entry,) = ask().json()["logs"]

    assert [entry[name] for name in ("user_id", "ip", "key_id", "target_id")] == [None] * 4
    assert entry["user"] == "operator (command line)"
    assert entry["variables"] == "{}"


def test_newest_come_first_page_by_page_while_others_are_written(cast: Cast, ask: Ask) -> None:
    written = [wrote(cast, cast.bob, Tag.SPACE_CHANGED).pk for _ in range(7)]

    first = ask(limit=3).json()
    wrote(cast, cast.bob, Tag.SPACE_CHANGED)
    second = ask(limit=3, cursor=first["pagination"]["next_cursor"]).json()
    third = ask(limit=3, cursor=second["pagination"]["next_cursor"]).json()

    seen = [entry["id"] for page in (first, second, third) for entry in page["logs"]]
    assert seen == [encode_id("AuditEvent", number) for number in reversed(written)]
    assert third["pagination"] == {"has_more": False}


def test_only_this_account_s_events_are_there(cast: Cast, ask: Ask) -> None:
    record(replace(cast.actor(cast.mallory), account=cast.elsewhere.organization.account), Tag.SPACE_CREATED)
    record(replace(cast.actor(cast.mallory), account=None), Tag.OPERATOR_CHANGED)

    assert actions(ask()) == []


@pytest.mark.parametrize(("method", "address"), [("GET", LOGS), ("POST", EXPORT)])
def test_only_account_admins_read_it(
    cast: Cast, client: Client, keys: dict[int, str], method: str, address: str
) -> None:
    body = "" if method == "GET" else '{"format": "CSV"}'
    headers = {"authorization": f"Bearer {keys[cast.bob.pk]}"}

    answer = client.generic(method, address, body, content_type="application/json", headers=headers)

    assert answer.status_code == 403
    assert answer.json()["detail"] == "Only account admins read the audit log of the account."
    assert not AuditEvent.objects.filter(tag=Tag.AUDIT_EXPORTED, outcome="SUCCEEDED").exists()


# ---- Times


def test_without_times_the_last_thirty_days(cast: Cast, ask: Ask) -> None:
    now = timezone.now()
    for tag, age in ((Tag.SPACE_CREATED, 31), (Tag.SPACE_CHANGED, 29), (Tag.KEY_REVOKED, -1)):
        wrote(cast, cast.bob, tag, at=now - timedelta(days=age))

    assert actions(ask()) == ["space:change"]


def test_without_a_start_thirty_days_before_the_end(cast: Cast, ask: Ask) -> None:
    for tag, day in ((Tag.SPACE_CREATED, 1), (Tag.SPACE_CHANGED, 2), (Tag.KEY_REVOKED, 31)):
        wrote(cast, cast.bob, tag, at=datetime(2026, 1, day, tzinfo=UTC))

    assert actions(ask(end_time="2026-02-01T00:00:00Z")) == ["key:revoke", "space:change"]


def test_both_ends_are_included_to_the_microsecond(cast: Cast, ask: Ask) -> None:
    moments = [datetime(2026, 5, 1, 12, 0, 0, micro, tzinfo=UTC) for micro in (1, 2, 3, 4)]
    written = [wrote(cast, cast.bob, Tag.SPACE_CHANGED, at=moment) for moment in moments]

    # As the vendor's client writes them: contract rest-v2 §4.1.
    answer = ask(start_time="2026-05-01T12:00:00.000002+0000", end_time="2026-05-01T14:00:00.000003+0200").json()

    assert [entry["id"] for entry in answer["logs"]] == [
        encode_id("AuditEvent", event.pk) for event in reversed(written[1:3])
    ]
    naive = ask(start_time="2026-05-01T12:00:00.000004", end_time="2026-05-02T00:00:00").json()
    assert [entry["id"] for entry in naive["logs"]] == [encode_id("AuditEvent", written[3].pk)]


# ---- Filters


def test_operations_are_filtered_as_they_are_shown(cast: Cast, ask: Ask) -> None:
    """What came through no API goes by its action, in the answer and in the filter."""
    wrote(cast, cast.bob, Tag.SPACE_CREATED, kind="MUTATION", name="POST /v2/spaces")
    wrote(cast, cast.bob, Tag.SPACE_CREATED)
    wrote(cast, cast.bob, Tag.AUDIT_EXPORTED)
    wrote(cast, cast.bob, Tag.KEY_REVOKED, kind="MUTATION", name="PUT /v2/api-keys/{api_key_id}/revoke")
    wrote(cast, cast.bob, Tag.AUDIT_EXPORTED, kind="MUTATION", name="POST /v2/audit-logs/export")

    shown = [(entry["operation_type"], entry["operation_name"]) for entry in ask().json()["logs"]]

    assert shown == [
        ("MUTATION", "POST /v2/audit-logs/export"),
        ("MUTATION", "PUT /v2/api-keys/{api_key_id}/revoke"),
        ("QUERY", "audit:export"),
        ("MUTATION", "space:create"),
        ("MUTATION", "POST /v2/spaces"),
    ]
    for kind in ("QUERY", "MUTATION", "SUBSCRIPTION"):
        found = ask(operation_type=kind).json()["logs"]
        assert [(one["operation_type"], one["operation_name"]) for one in found] == [
            pair for pair in shown if pair[0] == kind
        ]
    for wanted in (["space:create"], ["POST /v2/spaces", "audit:export"], ["post /v2/spaces"], ["space"]):
        found = ask(operation_name=wanted).json()["logs"]
        assert [one["operation_name"] for one in found] == [name for _, name in shown if name in wanted]


def test_up_to_twenty_operation_names(cast: Cast, ask: Ask) -> None:
    wrote(cast, cast.bob, Tag.SPACE_CREATED)
    names = [f"operation {number}" for number in range(19)]

    assert actions(ask(operation_name=[*names, "space:create"])) == ["space:create"]
    assert parameters(ask(operation_name=[*names, "space:create", "more"])) == ["operation_name"]
    assert parameters(ask(operation_name=["x" * 256])) == ["operation_name"]
    assert parameters(ask(operation_name=[""])) == ["operation_name"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"action": "space"}, ["space:change", "space:create"]),
        ({"action": "space:create"}, ["space:create"]),
        ({"outcome": "REFUSED"}, ["key:revoke"]),
        ({"door": "rest"}, ["space:create"]),
        ({"person": "CHARLIE@"}, ["key:revoke", "space:change"]),
        ({"person": ""}, ["key:revoke", "space:change", "space:create"]),
        ({"person": "charlie", "outcome": "SUCCEEDED"}, ["space:change"]),
    ],
)
def test_our_own_filters(cast: Cast, ask: Ask, asked: dict[str, Any], expected: list[str]) -> None:
    wrote(cast, cast.bob, Tag.SPACE_CREATED, kind="MUTATION", name="POST /v2/spaces")
    wrote(cast, cast.charlie, Tag.SPACE_CHANGED)
    record(cast.actor(cast.charlie), Tag.KEY_REVOKED, refused=True)

    assert actions(ask(**asked)) == expected


def test_a_user_s_events_are_what_they_did_and_not_what_was_done_to_them(cast: Cast, ask: Ask) -> None:
    record(cast.actor(cast.alice), Tag.ROLE_CHANGED, cast.bob)
    record(cast.actor(cast.bob), Tag.SPACE_CHANGED)

    assert actions(ask(user_id=encode_id("User", cast.bob.pk))) == ["space:change"]
    assert actions(ask(user_id=encode_id("User", 10**9))) == []


def test_a_key_s_events_are_what_was_done_to_it_and_with_it(cast: Cast, ask: Ask) -> None:
    key = user_key(cast.bob, cast.account).key
    record(replace(cast.actor(cast.bob), key_id=key.pk), Tag.SPACE_CHANGED)
    record(cast.actor(cast.bob), Tag.SPACE_CREATED)

    assert actions(ask(key_id=key.wire_id)) == ["space:change", "key:create"]


@pytest.mark.parametrize(
    ("asked", "at_fault"),
    [
        ({"user_id": encode_id("Space", 1)}, "user_id"),
        ({"key_id": "x"}, "key_id"),
        ({"operation_type": "query"}, "operation_type"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"start_time": "2026-02-01T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"}, "start_time"),
        ({"action": "dance"}, "action"),
        ({"outcome": "DONE"}, "outcome"),
        ({"door": "window"}, "door"),
        ({"limit": "101"}, "limit"),
        ({"cursor": "rubbish"}, "cursor"),
        ({"operation_names": "x"}, "operation_names"),
        ({"user_id": [encode_id("User", 1), encode_id("User", 2)]}, "user_id"),
    ],
)
def test_filters_without_sense_are_bad_requests(ask: Ask, asked: dict[str, Any], at_fault: str) -> None:
    assert parameters(ask(**asked)) == [at_fault]


def test_a_page_costs_the_same_whatever_its_length(cast: Cast, ask: Ask) -> None:
    costs = []
    for extra in (1, 2, 27):
        for _ in range(extra):
            wrote(cast, cast.bob, Tag.SPACE_CHANGED)
        with CaptureQueriesContext(connection) as queries:
            ask()
        costs.append(len(queries))

    assert len(set(costs[1:])) == 1, costs  # the first call also notes that the key was used


# ---- Export


def lines(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.content
    return [json.loads(line) for line in b"".join(response.streaming_content).decode().splitlines()]


def test_export_holds_what_the_filter_leaves_and_is_an_event(cast: Cast, export: Ask) -> None:
    wrote(cast, cast.bob, Tag.SPACE_CREATED, kind="MUTATION", name="POST /v2/spaces")
    event = wrote(cast, cast.charlie, Tag.SPACE_CREATED)

    response = export(format="NDJSON", user_id=encode_id("User", cast.charlie.pk), operation_name=["space:create"])
    (row,) = lines(response)

    assert response["Content-Type"] == "application/x-ndjson"
    assert response["Cache-Control"] == "no-store"
    assert response["Content-Disposition"].startswith('attachment; filename="audit-')
    assert (row["id"], row["action"]) == (encode_id("AuditEvent", event.pk), "space:create")
    assert (row["position"], row["hash"]) == (event.position, bytes(event.hash).hex())
    told = AuditEvent.objects.get(tag=Tag.AUDIT_EXPORTED)
    assert (told.door, told.actor_id, told.operation_name) == ("rest", cast.alice.pk, "POST /v2/audit-logs/export")
    assert told.details["narrowed"]["user"] == encode_id("User", cast.charlie.pk)
    assert told.details["narrowed"]["operation_names"] == "space:create"


def test_export_as_csv(cast: Cast, export: Ask) -> None:
    wrote(cast, cast.bob, Tag.SPACE_CREATED)

    response = export(format="CSV", action="space")
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert [row["action"] for row in rows] == ["space:create"]


def test_export_without_times_is_the_whole_log(cast: Cast, export: Ask) -> None:
    assert {row["action"] for row in lines(export(format="NDJSON"))} == {"key:create"}  # a year old
    assert lines(export(format="NDJSON", start_time="2026-05-01T00:00:00Z", end_time="2026-05-02T00:00:00Z")) == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/format"),
        ({"format": "ndjson"}, "#/format"),
        ({"format": "XLSX"}, "#/format"),
        ({"format": "CSV", "limit": 5}, "#/limit"),
        ({"format": "CSV", "operation_name": "one"}, "#/operation_name"),
        ({"format": "CSV", "operation_name": []}, "#/operation_name"),
        ({"format": "CSV", "operation_name": ["ok", 7]}, "#/operation_name/1"),
        ({"format": "CSV", "start_time": "2026-02-01", "end_time": "2026-01-01T00:00:00Z"}, "#/start_time"),
    ],
)
def test_export_of_another_shape_is_a_bad_request(export: Ask, body: dict[str, Any], pointer: str) -> None:
    response = export(**body)

    assert response.status_code == 400
    assert [fault["pointer"] for fault in response.json()["errors"]] == [pointer]
    assert not AuditEvent.objects.filter(tag=Tag.AUDIT_EXPORTED).exists()


# ---- The doors agree


def test_everything_one_door_filters_by_the_others_do_too() -> None:
    """A filter that is added to one door has to come to the others, and to the record of an export."""
    from django.core.management import load_command_class

    from accounts.forms import TrailForm

    rest = set(AuditLogQuery().fields) - {"limit", "cursor"}
    names = {"start_time": "since", "end_time": "until", "operation_name": "operation_names"}
    ours = {names.get(name, name) for name in rest}

    assert ours == set(Filter.__dataclass_fields__)
    assert set(ExportAuditLogs().fields) - {"format"} == rest
    assert {
        {"user": "user_id", "key": "key_id", "operation_name": "operation_names"}.get(name, name)
        for name in TrailForm().fields
    } == ours
    options = load_command_class("accounts", "exportaudit").create_parser("manage.py", "exportaudit")
    taken = {action.dest for action in options._actions}
    assert {
        {"user_id": "user", "key_id": "key", "operation_names": "operation"}.get(name, name) for name in ours
    } <= taken
