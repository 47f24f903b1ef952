"""The threshold: which requests a key opens, and what everybody else hears, through real HTTP."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from accounts.bindings import unbind_role
from accounts.models import AuditEvent, User
from accounts.people import remove_person
from apikeys import tokens
from apikeys.authentication import client_name
from apikeys.lifecycle import NewKey, refresh_key, revoke_key
from apikeys.models import ApiKey, KeySecret
from tests.cast import Cast
from tests.factories import later, service_key, user_key

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.django_db

LIST = "/v2/api-keys"
CHALLENGE = 'Bearer realm="arizekeys"'
REFUSED = f'{CHALLENGE}, error="invalid_token"'
Ask = Callable[..., "Answer"]


@pytest.fixture
def bobs(cast: Cast) -> NewKey:
    return user_key(cast.bob, cast.account)


@pytest.fixture
def ask(client: Client) -> Ask:
    def get(**headers: str) -> Answer:
        return client.get(LIST, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return get


def test_key_opens_as_its_user(cast: Cast, ask: Ask, bobs: NewKey) -> None:
    response = ask(authorization=f"Bearer {bobs.plaintext}")

    assert [item["name"] for item in response.json()["api_keys"]] == ["a user key"]


@pytest.mark.parametrize("header", ["bearer {}", "BEARER {}", "{}"])
def test_spellings_that_clients_use_open_as_well(ask: Ask, bobs: NewKey, header: str) -> None:
    assert ask(authorization=header.format(bobs.plaintext)).status_code == 200


def test_x_api_key_opens_as_well(ask: Ask, bobs: NewKey) -> None:
    assert ask(x_api_key=bobs.plaintext).status_code == 200


def _swapcase(key: str) -> str:
    return key[:3] + key[3:].swapcase()


BROKEN: list[Callable[[str], str]] = [
    lambda key: key[:-1],
    lambda key: key + "0",
    lambda key: key[1:],
    lambda key: "a" + key,
    _swapcase,
    str.upper,
    lambda key: f" {key}",
    lambda key: f"{key} ",
    lambda key: f"{key}\t",
    lambda key: f"ak-{key}",
    lambda key: f"Bearer {key}",
    lambda key: key.replace("-", "_", 1),
    lambda key: f"{key[:20]}‐{key[21:]}",
    lambda key: f'"{key}"',
    lambda key: key + key,
    lambda key: "",
]


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_key_is_refused_without_a_query(ask: Ask, bobs: NewKey, broken: Callable[[str], str]) -> None:
    """Security 7 and 10."""
    with CaptureQueriesContext(connection) as queries:
        response = ask(authorization=f"Bearer {broken(bobs.plaintext)}")

    assert (response.status_code, response["WWW-Authenticate"]) == (401, REFUSED)
    assert len(queries) == 0


def test_unknown_key_costs_one_query(cast: Cast, ask: Ask) -> None:  # security 7
    with CaptureQueriesContext(connection) as queries:
        response = ask(authorization=f"Bearer {tokens.mint().plaintext}")

    assert (response.status_code, len(queries)) == (401, 1)


def _unknown(cast: Cast) -> str:
    return tokens.mint().plaintext


def _malformed(cast: Cast) -> str:
    return "ak-nonsense"


def _wrong_secret(cast: Cast) -> str:
    public_id = KeySecret.objects.get(key=user_key(cast.bob, cast.account).key).public_id
    return tokens.KeyText(public_id, tokens.mint().secret).plaintext


def _revoked(cast: Cast) -> str:
    new = user_key(cast.bob, cast.account)
    revoke_key(cast.actor(cast.bob), new.key, at=timezone.now())
    return new.plaintext


def _expired(cast: Cast) -> str:
    new = user_key(cast.bob, cast.account, expires_at=later(days=1))
    past = timezone.now() - timedelta(minutes=1)
    ApiKey.objects.filter(pk=new.key.pk).update(created_at=past - timedelta(days=1), expires_at=past)
    return new.plaintext


def _refreshed(cast: Cast) -> str:
    new = user_key(cast.bob, cast.account)
    refresh_key(cast.actor(cast.bob), new.key, at=timezone.now())
    return new.plaintext


def _inactive_owner(cast: Cast) -> str:
    new = user_key(cast.bob, cast.account)
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)
    return new.plaintext


def _removed_owner(cast: Cast) -> str:
    new = user_key(cast.bob, cast.account)
    remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())
    return new.plaintext


def _unbound_bot(cast: Cast) -> str:
    new = service_key(cast.bob, cast.production)
    unbind_role(cast.actor(cast.alice), user=new.key.owner, scope=cast.production, at=timezone.now())
    return new.plaintext


def _pepper_gone(cast: Cast) -> str:
    new = user_key(cast.bob, cast.account)
    KeySecret.objects.filter(key=new.key).update(pepper_id=99)
    return new.plaintext


REASONS = [
    _unknown,
    _wrong_secret,
    _revoked,
    _expired,
    _refreshed,
    _inactive_owner,
    _removed_owner,
    _unbound_bot,
    _pepper_gone,
]


@pytest.mark.parametrize("reason", REASONS)
def test_refusals_are_the_same_to_the_byte(cast: Cast, ask: Ask, reason: Callable[[Cast], str]) -> None:
    """Security 9: whatever is wrong with a key, its bearer hears what the bearer of rubbish hears."""
    rubbish = ask(authorization=f"Bearer {_malformed(cast)}")

    refused = ask(authorization=f"Bearer {reason(cast)}")

    assert refused.status_code == 401
    assert refused.content == rubbish.content
    assert dict(refused.headers) == dict(rubbish.headers) | {
        "Content-Security-Policy": refused["Content-Security-Policy"]  # the same, in an order that varies
    }


def test_no_key_is_told_apart_by_the_challenge_only(client: Client, cast: Cast) -> None:  # security 23
    response = client.get(LIST)

    assert (response.status_code, response["WWW-Authenticate"]) == (401, CHALLENGE)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {0},Bearer {0}"},  # how WSGI hands on a header that came twice
        {"authorization": "Bearer {0}, Basic eA=="},
        {"authorization": "Bearer {0}", "x-api-key": "{0}"},
        {"authorization": "Basic eA==", "x-api-key": "{0}"},
        {"authorization": "Bearer {0}", "x-api-key": ""},
        {"x-api-key": "{0},{0}"},
    ],
)
def test_key_that_comes_twice_lets_nobody_in(client: Client, bobs: NewKey, headers: dict[str, str]) -> None:
    """Security 11."""
    response = client.get(LIST, headers={name: text.format(bobs.plaintext) for name, text in headers.items()})

    assert (response.status_code, response["WWW-Authenticate"]) == (400, f'{CHALLENGE}, error="invalid_request"')
    assert bobs.plaintext.encode() not in response.content


@pytest.mark.django_db(transaction=True)
def test_two_authorization_headers_on_the_wire_let_nobody_in(live_server: LiveServer, bobs: NewKey) -> None:
    """Security 11, through a real server, which has its own way of handing on a repeated header."""
    wire = http.client.HTTPConnection(live_server.url.removeprefix("http://"), timeout=30)
    wire.putrequest("GET", LIST)
    for _ in range(2):
        wire.putheader("Authorization", f"Bearer {bobs.plaintext}")
    wire.endheaders()

    response = wire.getresponse()

    assert response.status == 400
    wire.close()


def _in_query(client: Client, key: str, headers: Any) -> Answer:
    return client.get(f"{LIST}?api_key={key}", headers=headers)


def _in_encoded_query(client: Client, key: str, headers: Any) -> Answer:
    return client.get(f"{LIST}?cursor={key.replace('-', '%2D')}", headers=headers)


def _in_path(client: Client, key: str, headers: Any) -> Answer:
    return client.put(f"{LIST}/{key}/revoke", headers=headers)


def _in_unknown_path(client: Client, key: str, headers: Any) -> Answer:
    return client.get(f"/v2/{key}", headers=headers)


def _in_cookie(client: Client, key: str, headers: Any) -> Answer:
    client.cookies["token"] = key
    return client.get(LIST, headers=headers)


def _in_form(client: Client, key: str, headers: Any) -> Answer:
    return client.post(LIST, f"api_key={key}", content_type="application/x-www-form-urlencoded", headers=headers)


def _in_multipart(client: Client, key: str, headers: Any) -> Answer:
    return client.post(LIST, {"api_key": key}, headers=headers)


@pytest.mark.parametrize("authorized", [True, False])
@pytest.mark.parametrize(
    "send", [_in_query, _in_encoded_query, _in_path, _in_unknown_path, _in_cookie, _in_form, _in_multipart]
)
def test_misplaced_key_is_refused_and_flagged(
    cast: Cast, client: Client, bobs: NewKey, send: Callable[[Client, str, Any], Answer], authorized: bool
) -> None:
    """Security 11 and 27: also when a good key stands where it belongs."""
    good = user_key(cast.alice, cast.account).plaintext
    headers = {"authorization": f"Bearer {good}"} if authorized else {}

    response = send(client, bobs.plaintext, headers)

    assert (response.status_code, response["WWW-Authenticate"]) == (400, f'{CHALLENGE}, error="invalid_request"')
    assert bobs.plaintext.encode() not in response.content
    assert ApiKey.objects.get(pk=bobs.key.pk).exposed_at is not None
    assert AuditEvent.objects.filter(tag="key:expose", target_id=bobs.key.pk).count() == 1


def test_misplaced_key_that_is_none_of_ours_is_refused_too(client: Client, cast: Cast) -> None:  # security 27
    response = client.get(f"{LIST}?key={tokens.mint().plaintext}")

    assert response.status_code == 400
    assert not AuditEvent.objects.filter(tag="key:expose").exists()


def test_session_opens_no_endpoint_for_keys(client: Client, cast: Cast) -> None:  # security 14
    client.force_login(cast.alice)

    assert client.get(LIST).status_code == 401


def test_key_opens_no_page_and_becomes_no_session(client: Client, bobs: NewKey) -> None:  # security 14
    headers = {"authorization": f"Bearer {bobs.plaintext}"}

    page = client.get("/docs/api", headers=headers)
    call = client.get(LIST, headers=headers)

    assert page.status_code == 302
    assert call.status_code == 200
    assert not call.cookies
    assert not client.cookies


def test_key_in_the_header_of_another_users_session_is_the_key(client: Client, cast: Cast, bobs: NewKey) -> None:
    """Security 14: the session next to it counts for nothing."""
    user_key(cast.alice, cast.account, name="alice's")
    client.force_login(cast.alice)

    response = client.get(LIST, headers={"authorization": f"Bearer {bobs.plaintext}"})

    assert [item["name"] for item in response.json()["api_keys"]] == ["a user key"]


@pytest.fixture
def no_database(transactional_db: None) -> Iterator[None]:
    """Point the connection where no server listens: a database that is gone, not one that pretends."""
    connection.close()
    kept = connection.settings_dict.copy()
    connection.settings_dict.update(HOST="127.0.0.1", PORT="1", OPTIONS={"connect_timeout": 2})
    yield
    connection.close()
    connection.settings_dict.clear()
    connection.settings_dict.update(kept)


@pytest.mark.django_db(transaction=True)
def test_database_failure_lets_nobody_in(no_database: None, caplog: pytest.LogCaptureFixture) -> None:
    """Security 13."""
    key = tokens.mint().plaintext

    response = Client(raise_request_exception=False).get(LIST, headers={"authorization": f"Bearer {key}"})

    assert (response.status_code, response["Content-Type"]) == (503, "application/problem+json")
    assert response["Retry-After"] == "1"
    assert key not in caplog.text
    assert "127.0.0.1" not in response.content.decode()


def test_plain_http_is_refused_before_the_key_is_read(client: Client, bobs: NewKey) -> None:  # security 29
    headers = {"authorization": f"Bearer {bobs.plaintext}"}

    response = client.get(LIST, headers=headers, REMOTE_ADDR="203.0.113.9")

    assert (response.status_code, response["Content-Type"]) == (403, "application/problem+json")
    assert "Location" not in response
    assert client.get(LIST, headers=headers, REMOTE_ADDR="203.0.113.9", secure=True).status_code == 200


def test_audit_names_the_request(cast: Cast, client: Client, bobs: NewKey) -> None:
    headers = {"authorization": f"Bearer {bobs.plaintext}"}
    body = {"key_type": "USER", "name": "n"}

    assert client.post(LIST, body, content_type="application/json", headers=headers).status_code == 201

    event = AuditEvent.objects.filter(tag="key:create").latest("pk")
    assert (event.door, event.operation_type, event.operation_name) == ("rest", "MUTATION", "POST /v2/api-keys")
    assert (event.actor_id, event.key_id) == (cast.bob.pk, bobs.key.pk)
    assert event.operation_text == '{"key_type": "USER", "name": "n"}'


def test_audit_spells_addresses_as_the_documentation_does(cast: Cast, client: Client, bobs: NewKey) -> None:
    own = user_key(cast.bob, cast.account)

    client.put(f"{LIST}/{own.key.wire_id}/revoke", headers={"authorization": f"Bearer {bobs.plaintext}"})

    event = AuditEvent.objects.filter(tag="key:revoke").latest("pk")
    assert event.operation_name == "PUT /v2/api-keys/{api_key_id}/revoke"


def test_key_pasted_into_a_body_is_kept_nowhere(cast: Cast, client: Client, bobs: NewKey) -> None:  # security 3
    headers = {"authorization": f"Bearer {bobs.plaintext}"}

    for place in ("name", "description"):
        body = {"key_type": "USER", "name": "n"} | {place: f"copy of {bobs.plaintext}"}
        response = client.post(LIST, body, content_type="application/json", headers=headers)

        assert response.status_code == 400
        assert bobs.plaintext not in response.content.decode()
    assert bobs.plaintext not in str(list(AuditEvent.objects.values()))
    assert bobs.plaintext not in str(list(ApiKey.objects.values()))


def test_forwarded_address_is_not_believed(
    cast: Cast, client: Client, bobs: NewKey, settings: Settings
) -> None:  # security 30
    settings.TRUSTED_PROXIES = 0
    headers = {"authorization": f"Bearer {bobs.plaintext}", "x-forwarded-for": "198.51.100.7"}

    client.post(LIST, {"key_type": "USER", "name": "n"}, content_type="application/json", headers=headers, secure=True)

    assert AuditEvent.objects.filter(tag="key:create").latest("pk").ip == "127.0.0.1"


def test_key_in_the_name_of_a_client_is_kept_nowhere(cast: Cast) -> None:
    key = user_key(cast.alice, cast.account).plaintext

    for name in (f"my-script {key}", "x" * 100 + key):
        shown = client_name({"HTTP_USER_AGENT": name})
        assert key[:25] not in shown
        assert shown.startswith(name[:9])
