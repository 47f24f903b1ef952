"""How often keys may be presented, at every door that takes one, and who must not be barred by whom (security 28)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from accounts.models import AuditEvent
from apikeys import attempts, tokens
from apikeys.attempts import Attempts
from apikeys.authentication import ApiKeyAuthentication
from apikeys.errors import InvalidKey, Reason, TooOften
from apikeys.lifecycle import NewKey, revoke_key
from apikeys.limits import Limit
from tests.addresses import ADDRESSES
from tests.cast import Cast
from tests.factories import user_key

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.django_db

DOORS = ["/v2/api-keys", "/graphql"]
ASK = '{"query": "{ viewer { user { id } } }"}'
Ask = Callable[..., "Answer"]


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Ten uses of a key and two guesses at once, and next to nothing later: this machine may be slow."""
    monkeypatch.setattr(attempts, "_OF_USES", 1_000)
    monkeypatch.setattr(attempts, "_OF_GUESSES", 200)
    settings.API_RATE_PER_KEY = settings.VERIFY_GUESSES = 0.01


@pytest.fixture(params=DOORS)
def ask(request: pytest.FixtureRequest, client: Client) -> Ask:
    """Ask at one of the doors that a key opens."""

    def call(key: str, **meta: str) -> Answer:
        headers = {"authorization": f"Bearer {key}"}
        if request.param == "/graphql":
            return client.post("/graphql", ASK, content_type="application/json", headers=headers, **meta)  # type: ignore[arg-type]
        return client.get(request.param, headers=headers, **meta)  # type: ignore[arg-type]

    return call


@pytest.fixture
def new(cast: Cast) -> NewKey:
    """A key of Bob's."""
    return user_key(cast.bob, cast.account)


def _statuses(ask: Ask, keys: list[str], **meta: str) -> list[int]:
    return [ask(key, **meta).status_code for key in keys]


def _guesses(number: int) -> list[str]:
    return [tokens.mint().plaintext for _ in range(number)]


def _code(answer: Answer) -> str:
    body = answer.json()
    return str(body["errors"][0]["extensions"]["code"] if "errors" in body else body["error_code"])


def test_a_key_that_comes_too_often(ask: Ask, cast: Cast, new: NewKey) -> None:
    assert _statuses(ask, [new.plaintext] * 10) == [200] * 10

    refused = [ask(new.plaintext) for _ in range(5)][-1]

    assert (refused.status_code, refused["Retry-After"], _code(refused)) == (429, "60", "rate_limited")
    assert ask(user_key(cast.bob, cast.account).plaintext).status_code == 200
    event = AuditEvent.objects.get(outcome="REFUSED")  # a flood fills no log
    assert (event.actor_id, event.key_id, event.ip) == (cast.bob.pk, new.key.pk, "127.0.0.1")


def test_the_answer_in_the_manner_of_the_door(client: Client, new: NewKey) -> None:
    headers = {"authorization": f"Bearer {new.plaintext}"}
    for _ in range(11):
        told = client.get("/v2/api-keys", headers=headers)
    body = client.post("/graphql", ASK, content_type="application/json", headers=headers).json()

    assert told["Content-Type"] == "application/problem+json"
    assert told.json()["type"].endswith("#rate-limit-exceeded")
    assert body["errors"] == [
        {
            "message": "Too many requests. Wait as long as Retry-After says.",
            "extensions": {"code": "rate_limited", "status": 429, "reason": "TOO_MANY_REQUESTS"},
        }
    ]


def test_rest_and_graphql_share_what_a_key_may(client: Client, new: NewKey) -> None:
    headers = {"authorization": f"Bearer {new.plaintext}"}
    assert [client.get("/v2/spaces", headers=headers).status_code for _ in range(10)] == [200] * 10

    assert client.post("/graphql", ASK, content_type="application/json", headers=headers).status_code == 429


def test_every_address_that_a_key_opens_asks_through_the_same_threshold() -> None:
    assert all(
        issubclass(kind, ApiKeyAuthentication) for address in ADDRESSES for kind in address.view.authentication_classes
    )


def test_guessing_is_limited(ask: Ask, new: NewKey) -> None:

    told = [ask(key) for key in _guesses(4)]

    assert [one.status_code for one in told] == [401, 401, 429, 429]
    assert _code(told[-1]) == "rate_limited"
    assert ask(tokens.mint().plaintext, REMOTE_ADDR="192.0.2.7").status_code != 429


@pytest.mark.parametrize("broken", ["ak-nonsense", "wrong secret"])
def test_other_rubbish_counts_as_guessing(ask: Ask, new: NewKey, broken: str) -> None:
    public_id = tokens.parse(new.plaintext).public_id
    key = tokens.KeyText(public_id, tokens.mint().secret).plaintext if broken == "wrong secret" else broken

    assert _statuses(ask, [key] * 3) == [401, 401, 429]
    assert ask(new.plaintext).status_code == 200  # whose public part anybody may have seen


def test_a_dead_key_bars_nobody_at_its_address(ask: Ask, cast: Cast, new: NewKey) -> None:
    dead = user_key(cast.bob, cast.account)
    revoke_key(cast.actor(cast.bob), dead.key, at=timezone.now())

    assert _statuses(ask, [dead.plaintext] * 12) == [401] * 10 + [429] * 2

    assert _statuses(ask, [*_guesses(1), new.plaintext]) == [401, 200]


def test_a_flood_of_guesses_bars_no_neighbour_who_was_here_before(ask: Ask, new: NewKey) -> None:
    assert ask(new.plaintext).status_code == 200

    assert 429 in _statuses(ask, _guesses(60))

    assert ask(new.plaintext).status_code == 200


def test_a_program_gone_wrong_bars_not_even_a_neighbour_who_is_new(ask: Ask, new: NewKey) -> None:
    assert _statuses(ask, _guesses(10))[-1] == 429

    assert ask(new.plaintext).status_code == 200


def test_a_flood_costs_no_queries(ask: Ask) -> None:
    guesses = _guesses(100)

    with CaptureQueriesContext(connection) as queries:
        statuses = _statuses(ask, guesses)

    assert statuses == [401] * 2 + [429] * 98
    assert (
        len([one for one in queries if "apikeys_keysecret" in one["sql"]]) == 2 + 20
    )  # what it may guess, and all that a host doubts about


def test_addresses_of_one_network_of_ipv6_are_one_source(ask: Ask, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1
    come = [{"HTTP_X_FORWARDED_FOR": f"2001:db8:1:2::{number:x}"} for number in range(4)]

    statuses = [
        ask(key, HTTP_X_FORWARDED_PROTO="https", **one).status_code for key, one in zip(_guesses(4), come, strict=True)
    ]
    elsewhere = ask(tokens.mint().plaintext, HTTP_X_FORWARDED_PROTO="https", HTTP_X_FORWARDED_FOR="2001:db8:1:3::1")

    assert [*statuses, elsewhere.status_code] == [401, 401, 429, 429, 401]


def test_a_forged_forwarded_address_is_no_other_source(ask: Ask) -> None:  # security 30

    statuses = [
        ask(key, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}", secure=True).status_code
        for number, key in enumerate(_guesses(4))
    ]

    assert statuses == [401, 401, 429, 429]


def test_a_limiter_that_fails_lets_nobody_in(ask: Ask, client: Client, new: NewKey) -> None:  # security 13
    assert ask(new.plaintext).status_code == 200
    client.raise_request_exception = False
    attempts.limiter().close()
    try:
        told = ask(new.plaintext)
    finally:
        attempts.limiter.cache_clear()

    assert (told.status_code, told["Retry-After"], _code(told)) == (503, "1", "unavailable")


def test_what_never_was_a_key_is_in_the_log_with_its_source(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:  # security 45: it concerns no account, so that it is in none's audit log

    with caplog.at_level(logging.WARNING, logger="apikeys.attempts"):
        _statuses(ask, _guesses(30))

    assert [one.getMessage() for one in caplog.records if one.name == "apikeys.attempts"] == [
        "What is no key, or has another secret, came from 127.0.0.1: once since this was last said."
    ]


def test_only_so_many_keys_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_MOST_OPENED", 3)
    opened = attempts.Opened()

    for key in ("a", "b", "c", "a", "d"):
        opened.add(key)

    assert [key in opened for key in "abcd"] == [True, False, True, True]
    assert len(opened) == 3


def test_failures_use_no_bucket_of_a_living_key() -> None:
    """Neither of a key whose public part somebody knows, nor of another one at the same address."""
    asked = Attempts(attempts.limiter(), name="api", per_key=Limit(0.01, 2))

    for reason in (Reason.WRONG_SECRET, Reason.REVOKED) * 3:
        with suppress(TooOften):
            asked.failed(InvalidKey(reason, key_id=7), "192.0.2.7")

    asked.used(7)
    asked.used(7)
    with pytest.raises(TooOften):
        asked.used(7)
