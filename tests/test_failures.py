from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import user_key

pytestmark = pytest.mark.django_db


def _break(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER TABLE "{table}" RENAME TO away')


def test_page_without_its_database_is_unavailable_and_not_an_error_of_ours(cast: Cast) -> None:  # security 13
    client = Client(raise_request_exception=False)
    client.force_login(cast.bob, "django.contrib.auth.backends.ModelBackend")
    _break("apikeys_apikey")

    response = client.get("/settings/api-keys/")

    assert response.status_code == 503
    assert "Back in a moment" in response.content.decode()
    assert response["Retry-After"] == "5"
    assert response["Cache-Control"] == "no-store"


def test_even_the_session_may_be_gone(cast: Cast) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(cast.bob, "django.contrib.auth.backends.ModelBackend")
    _break("django_session")

    assert client.get("/settings/api-keys/").status_code == 503


def test_a_refusal_that_cannot_be_recorded_is_a_failure_and_no_page(cast: Cast) -> None:
    key = user_key(cast.charlie, cast.account).plaintext
    body = {"name": "new", "space_id": encode_id("Space", cast.production.pk), "examples": [{"n": 1}]}
    client = Client(raise_request_exception=False)
    _break("accounts_auditevent")

    response = client.post(
        "/v2/datasets", body, content_type="application/json", headers={"authorization": f"Bearer {key}"}
    )

    assert (response.status_code, response["Content-Type"]) == (503, "application/problem+json")
    assert response.json()["error_code"] == "unavailable"
