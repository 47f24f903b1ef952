"""What was refused is in the log, once and not a thousand times (security 45)."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts import audit, repeats
from accounts.actors import Door
from accounts.afterwards import afterwards
from accounts.audit import Tag, record_refusal
from accounts.bindings import bind_new
from accounts.errors import Escalation, Forbidden
from accounts.models import AuditEvent
from accounts.repeats import Repeats
from accounts.tenancy import change_space
from accounts.trail import tell
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import bind, custom_role, service_key, user_key

pytestmark = pytest.mark.django_db


def refused() -> list[AuditEvent]:
    """Every refusal there is, oldest first."""
    return list(AuditEvent.objects.filter(outcome="REFUSED").order_by("pk"))


class Clock:
    """Time as a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(repeats, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still until it is moved."""
    return Clock(monkeypatch)


# Counting


def test_what_repeats_is_told_at_once_and_then_with_its_number(clock: Clock) -> None:
    often = Repeats(seconds=60)

    assert [often.times("a") for _ in range(4)] == [1, 0, 0, 0]
    assert often.times("b") == 1
    clock.now += 60
    assert [often.times("a") for _ in range(3)] == [4, 0, 0]
    clock.now += 60
    assert [often.times("a"), often.times("b")] == [3, 1]


def test_a_flood_of_different_things_is_bounded_and_makes_room_in_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "_MOST", 3)
    often = Repeats(seconds=60)

    assert [often.times(number) for number in range(5)] == [1, 1, 1, 0, 0]
    clock.now += 60
    assert [often.times(number) for number in range(10, 15)] == [1, 1, 1, 0, 0]


def test_what_could_not_be_told_is_told_the_next_time(clock: Clock) -> None:
    often = Repeats(seconds=60)

    often.take_back("a", often.times("a"))

    assert [often.times("a") for _ in range(3)] == [2, 0, 0]


def test_a_refusal_that_could_not_be_recorded_is_not_forgotten(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    actor, refusal = cast.actor(cast.charlie), Forbidden("No.")

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as broken:
        broken.setattr(audit, "record", fail)
        with pytest.raises(OperationalError):
            record_refusal(actor, Tag.ACCESS_REFUSED, refusal)
    for _ in range(2):
        record_refusal(actor, Tag.ACCESS_REFUSED, refusal)

    assert [event.details.get("times") for event in refused()] == [2]


# What verbs refuse


def test_the_same_refusal_is_told_once_a_minute_with_its_number(cast: Cast, clock: Clock) -> None:
    charlie = cast.actor(cast.charlie)

    def ask(name: str = "mine") -> None:
        with pytest.raises(Forbidden):
            change_space(charlie, cast.production, name=name, at=timezone.now())

    for _ in range(5):
        ask()
    clock.now += 60
    ask()
    ask()

    assert [event.details.get("times", 1) for event in refused()] == [1, 5]
    assert ("How often", "5") in tell(refused()[1], ip=None).facts


def test_different_refusals_are_all_told(cast: Cast, clock: Clock) -> None:
    for who in (cast.charlie, cast.dana):
        for space in (cast.production, cast.staging):
            with pytest.raises(Forbidden):
                change_space(cast.actor(who), space, name="mine", at=timezone.now())

    assert len({(event.actor_id, event.details["said"]) for event in refused()}) == len(refused()) == 4


def test_a_verb_within_a_verb_is_refused_once_and_that_is_kept(cast: Cast) -> None:
    """The inner one's event would go with the outer one's transaction."""
    role = custom_role(cast.account, "binder", "ROLE_BINDING_CREATE", "SPACE_READ")
    bind(cast.charlie, cast.staging, role)
    stronger = custom_role(cast.account, "stronger", "ROLE_BINDING_CREATE", "SPACE_READ", "SPACE_DELETE")

    with pytest.raises(Escalation):
        bind_new(cast.actor(cast.charlie), user=cast.bob, role=stronger, scope=cast.staging, at=timezone.now())

    assert [(event.tag, event.actor_id) for event in refused()] == [(Tag.ROLE_GRANTED, cast.charlie.pk)]


# What is only looked at


def test_a_look_that_is_refused_over_rest_is_recorded(cast: Cast, client: Client) -> None:
    key = user_key(cast.bob, cast.account)
    headers = {"authorization": f"Bearer {key.plaintext}"}

    for _ in range(3):
        assert client.get("/v2/audit-logs", headers=headers).status_code == 403
    assert client.get("/v2/api-keys", {"user_id": encode_id("User", cast.alice.pk)}, headers=headers).status_code == 403

    told = [(event.tag, event.actor_id, event.key_id, event.operation_name) for event in refused()]
    who = (Tag.ACCESS_REFUSED, cast.bob.pk, key.key.pk)
    assert told == [(*who, "GET /v2/audit-logs"), (*who, "GET /v2/api-keys")]


# What JSON can say and PostgreSQL cannot store.
UNSTORABLE = r'{"a\u0000": "\ud800"}'


def test_a_body_that_cannot_be_stored_hides_no_refusal(cast: Cast, client: Client) -> None:
    headers = {"authorization": f"Bearer {user_key(cast.charlie, cast.account).plaintext}"}
    bob, sales = encode_id("User", cast.bob.pk), encode_id("Organization", cast.fraud.pk)

    for method, address in (
        ("DELETE", f"/v2/users/{bob}"),
        ("DELETE", f"/v2/organizations/{sales}"),
        ("POST", f"/v2/users/{bob}/reset-password"),
    ):
        for _ in range(2):
            answer = client.generic(method, address, UNSTORABLE, content_type="application/json", headers=headers)
            assert answer.status_code == 403, (method, address)

    assert [(event.operation_text, event.actor_id) for event in refused()] == [
        ('{"a\\u0000": "\ufffd"}', cast.charlie.pk)
    ] * 3


def test_a_body_that_cannot_be_stored_stops_no_change(cast: Cast, client: Client) -> None:
    headers = {"authorization": f"Bearer {user_key(cast.alice, cast.account).plaintext}"}
    key = encode_id("ApiKey", user_key(cast.bob, cast.account).key.pk)
    addresses = (
        f"/v2/users/{encode_id('User', cast.charlie.pk)}",
        f"/v2/organizations/{encode_id('Organization', cast.fraud.pk)}",
    )

    for method, address in (("PUT", f"/v2/api-keys/{key}/revoke"), *(("DELETE", one) for one in addresses)):
        answer = client.generic(method, address, UNSTORABLE, content_type="application/json", headers=headers)
        assert answer.status_code in (200, 204), (address, answer.content)


def test_an_export_that_is_refused_is_recorded(cast: Cast, client: Client) -> None:
    headers = {"authorization": f"Bearer {user_key(cast.bob, cast.account).plaintext}"}

    answer = client.post("/v2/audit-logs/export", '{"format": "CSV"}', content_type="application/json", headers=headers)

    assert answer.status_code == 403
    assert [event.operation_name for event in refused()] == ["POST /v2/audit-logs/export"]


def test_what_a_verb_refuses_over_rest_is_recorded_once(cast: Cast, client: Client) -> None:
    headers = {"authorization": f"Bearer {user_key(cast.charlie, cast.account).plaintext}"}
    address = f"/v2/spaces/{encode_id('Space', cast.production.pk)}"

    answer = client.patch(address, '{"name": "mine"}', content_type="application/json", headers=headers)

    assert answer.status_code == 403
    assert [event.tag for event in refused()] == [Tag.SPACE_CHANGED]


def test_a_query_that_is_refused_over_graphql_is_recorded(cast: Cast, client: Client) -> None:
    headers = {"x-api-key": user_key(cast.bob, cast.account).plaintext}
    asked = {"query": "query Peek { account { auditLogs(first: 1) { edges { node { id } } } } }"}

    answer = client.post("/graphql", asked, content_type="application/json", headers=headers)

    assert answer.json()["errors"][0]["extensions"]["status"] == 403
    assert [(event.tag, event.operation_type, event.door) for event in refused()] == [
        (Tag.ACCESS_REFUSED, "QUERY", Door.GRAPHQL)
    ]


def test_a_page_that_is_refused_is_recorded(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.dana)
    address = "/settings/members/invite/"

    for _ in range(2):
        assert client.get(address).status_code == 403

    assert [(event.tag, event.details["where"]) for event in refused()] == [(Tag.ACCESS_REFUSED, address)]


def test_what_is_hidden_is_no_refusal(cast: Cast, client: Client) -> None:
    """Who mistypes an id was refused nothing."""
    headers = {"authorization": f"Bearer {user_key(cast.bob, cast.account).plaintext}"}

    assert client.get(f"/v2/spaces/{encode_id('Space', 10**9)}", headers=headers).status_code == 404

    assert refused() == []


# Sign-ins


def test_knocking_at_a_locked_door_is_told_once_a_minute(cast: Cast, client: Client, clock: Clock) -> None:
    def knock() -> int:
        return client.post("/sign-in/", {"username": "bob@example.com", "password": "wrong"}).status_code

    answers = [knock() for _ in range(30)]
    clock.now += 60
    knock()

    assert answers[-1] == 429
    assert [event.details.get("times", 1) for event in refused() if event.details["reason"] == "locked"] == [1, 20]
    assert len([event for event in refused() if event.details["reason"] == "password"]) == 10


# After the answer


def test_what_is_done_afterwards_is_done_once_and_its_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    done: list[Any] = []

    def fail() -> None:
        raise RuntimeError("for the test")

    afterwards(fail)
    afterwards(lambda: done.append(1))
    assert done == []
    for _ in range(2):
        request_finished.send(sender=None)

    assert done == [1]
    assert "What was to be done after an answer failed." in caplog.text


def test_a_service_key_s_refusals_are_its_bot_s(cast: Cast, client: Client) -> None:
    made = service_key(cast.bob, cast.production)

    client.get("/v2/audit-logs", headers={"authorization": f"Bearer {made.plaintext}"})

    assert [(event.actor_id, event.key_id) for event in refused()] == [(made.key.owner_id, made.key.pk)]
