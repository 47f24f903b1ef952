"""A POST sent twice under one Idempotency-Key is carried out once, whoever waits for whom."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEvent, IdempotentAnswer, Organization
from accounts.rest.endpoint import Endpoint
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.accounts.rest import Api, predefined
from tests.addresses import ADDRESSES
from tests.cast import Cast, assemble

ORGANIZATIONS, KEYS = "/v2/organizations", "/v2/api-keys"
SALES = {"name": "Sales"}


@pytest.fixture
def api(cast: Cast) -> Api:
    """Ask as one of the cast."""
    return Api(cast)


def _once(api: Api, user: Any, address: str, body: Any, name: str = "try-1") -> tuple[int, dict[str, Any]]:
    return api(user, "POST", address, body, **{"idempotency-key": name})


@pytest.mark.django_db
def test_the_second_time_gets_the_first_answer_and_does_nothing(cast: Cast, api: Api) -> None:
    first = _once(api, cast.alice, ORGANIZATIONS, SALES)
    second = _once(api, cast.alice, ORGANIZATIONS, SALES)

    assert first == second
    assert first[0] == 201
    assert Organization.objects.filter(name="Sales").count() == 1
    assert AuditEvent.objects.filter(tag="organization:create").count() == 1


@pytest.mark.django_db
def test_without_the_header_the_second_time_is_a_second_time(cast: Cast, api: Api) -> None:
    assert [api(cast.alice, "POST", ORGANIZATIONS, SALES)[0] for _ in range(2)] == [201, 409]


@pytest.mark.django_db
def test_a_secret_is_not_shown_twice(cast: Cast, api: Api) -> None:
    body = {"key_type": "USER", "name": "laptop"}

    status, made = _once(api, cast.bob, KEYS, body)
    again, problem = _once(api, cast.bob, KEYS, body)

    assert (status, again, problem["error_code"]) == (201, 409, "already_done")
    assert problem["resource_id"] == made["id"]
    assert made["id"] in problem["detail"]
    assert ApiKey.objects.filter(name="laptop").count() == 1
    kept = IdempotentAnswer.objects.get()
    assert (kept.body, kept.secret_of) == (None, made["id"])


@pytest.mark.django_db
def test_refreshing_twice_refreshes_once_and_a_temporary_password_is_told_once(cast: Cast, api: Api) -> None:
    key = api(cast.bob, "POST", KEYS, {"key_type": "USER", "name": "laptop"})[1]
    ann = {"name": "Ann", "email": "a@example.com", "role": predefined("MEMBER"), "invite_mode": "TEMPORARY_PASSWORD"}

    for user, address, body in ((cast.bob, f"{KEYS}/{key['id']}/refresh", {}), (cast.alice, "/v2/users", ann)):
        first, second = (_once(api, user, address, body) for _ in range(2))
        assert (first[0] in (200, 201), second[0], second[1]["resource_id"]) == (True, 409, first[1]["id"])


@pytest.mark.django_db
@pytest.mark.parametrize(("address", "body"), [(ORGANIZATIONS, {"name": "Other"}), (KEYS, SALES)])
def test_one_name_is_for_one_request(cast: Cast, api: Api, address: str, body: dict[str, str]) -> None:
    _once(api, cast.alice, ORGANIZATIONS, SALES)

    status, problem = _once(api, cast.alice, address, body)

    assert (status, problem["error_code"]) == (422, "idempotency_key_reused")


@pytest.mark.django_db
def test_names_are_each_caller_s_own(cast: Cast, api: Api) -> None:
    body = {"key_type": "USER", "name": "laptop"}

    assert [_once(api, who, KEYS, body)[0] for who in (cast.alice, cast.bob)] == [201, 201]


@pytest.mark.django_db
def test_a_refusal_is_decided_afresh_and_stays_in_the_log(cast: Cast, api: Api) -> None:
    place, body = f"/v2/spaces/{encode_id('Space', cast.production.pk)}/users", {"user_id": "x"}
    assert _once(api, cast.alice, place, body)[0] == 400
    assert _once(api, cast.bob, ORGANIZATIONS, SALES)[0] == 403

    assert AuditEvent.objects.filter(tag="organization:create", outcome="REFUSED").count() == 1
    assert not IdempotentAnswer.objects.exists()
    assert (
        _once(api, cast.alice, place, {"user_id": encode_id("User", cast.bob.pk), "role": predefined("ADMIN")})[0]
        == 200
    )


@pytest.mark.django_db
def test_after_a_day_the_name_is_free(cast: Cast, api: Api) -> None:
    _once(api, cast.alice, ORGANIZATIONS, SALES)
    IdempotentAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))

    assert _once(api, cast.alice, ORGANIZATIONS, SALES | {"name": "Other"})[0] == 201
    assert IdempotentAnswer.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", "x" * 256, "ä"])
def test_names_that_cannot_be(cast: Cast, api: Api, name: str) -> None:
    assert _once(api, cast.alice, ORGANIZATIONS, SALES, name)[0] == 400


def test_every_post_is_covered() -> None:
    posts = [one for one in ADDRESSES if "POST" in one.methods]

    assert len(posts) > 8
    for one in posts:
        assert issubclass(one.view, Endpoint)
        assert hasattr(one.view.post, "__wrapped__"), one.route  # type: ignore[attr-defined]  # it has the method


@pytest.mark.django_db
def test_an_export_only_reads(cast: Cast) -> None:
    api = Api(cast)
    headers = {"authorization": f"Bearer {api.key_of(cast.alice)}", "idempotency-key": "try-1"}

    for _ in range(2):
        response = Client().post(
            "/v2/audit-logs/export", {"format": "NDJSON"}, content_type="application/json", headers=headers
        )
        assert response.status_code == 200
    assert not IdempotentAnswer.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_at_the_same_moment_are_one() -> None:
    cast = assemble()
    api = Api(cast)
    api.key_of(cast.alice)
    answers: list[tuple[int, dict[str, Any]]] = []
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        answers.append(_once(api, cast.alice, ORGANIZATIONS, SALES))
        connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [status for status, _ in answers] == [201] * 4
    assert len({body["id"] for _, body in answers}) == 1
    assert Organization.objects.filter(name="Sales").count() == 1


class WatchedMail(BaseEmailBackend):
    """A mail server that looks whether somebody is kept waiting, and then fails."""

    taken: ClassVar[list[tuple[str, bool]]] = []

    def send_messages(self, messages: Any) -> int:
        """Take the mail, and fail."""
        self.taken.extend((message.to[0], connection.in_atomic_block) for message in messages)
        raise ConnectionRefusedError


@pytest.mark.django_db(transaction=True)
def test_mail_goes_out_when_nobody_waits_any_more_and_its_failure_changes_no_answer(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.{WatchedMail.__name__}"
    monkeypatch.setattr(WatchedMail, "taken", [])
    cast = assemble()
    api = Api(cast)
    ann = {"name": "Ann", "email": "a@example.com", "role": predefined("MEMBER"), "invite_mode": "EMAIL_LINK"}
    bob = encode_id("User", cast.bob.pk)

    status, invited = _once(api, cast.alice, "/v2/users", ann, "one")
    assert (status, invited["status"]) == (201, "INVITED")
    assert _once(api, cast.alice, f"/v2/users/{invited['id']}/resend-invitation", None, "two") == (204, {})
    assert _once(api, cast.alice, f"/v2/users/{bob}/reset-password", None, "three") == (204, {})
    assert api(cast.alice, "POST", f"/v2/users/{bob}/reset-password") == (204, {})
    assert _once(api, cast.alice, f"/v2/users/{bob}/reset-password", None, "three") == (204, {})

    to_others = [taken for taken in WatchedMail.taken if taken[0] != cast.alice.email]  # she is told of her key
    assert to_others == [("a@example.com", False)] * 2 + [(cast.bob.email, False)] * 2


@pytest.mark.django_db
def test_another_spelling_of_the_same_json_is_the_same_request(cast: Cast, api: Api) -> None:
    key = api.key_of(cast.alice)
    headers = {"authorization": f"Bearer {key}", "idempotency-key": "try-1"}
    bodies = (
        '{"name": "Sales", "description": "ü"}',
        '{ "description":"\\u00fc",\n"name":"Sales"}',
        '{"name": "Sales"}',
    )

    answers = [Client().post(ORGANIZATIONS, body, content_type="application/json", headers=headers) for body in bodies]

    assert [answer.status_code for answer in answers] == [201, 201, 422]
    assert answers[0].json() == answers[1].json()
