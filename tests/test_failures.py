from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client

from tests.cast import Cast

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
