"""One sentinel key is minted, used and refreshed through real doors; afterwards it may be found nowhere."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.forms.models import model_to_dict
from django.test import Client
from django.utils import timezone
from django.views.debug import SafeExceptionReporterFilter

from accounts.redaction import KEY_PATTERN, RedactKeys
from apikeys.lifecycle import refresh_key
from apikeys.models import KeySecret
from tests.cast import Cast
from tests.factories import user_key

pytestmark = pytest.mark.django_db


def everything_stored() -> str:
    """Return every value of every table as text, bytes as hex: what a dump of the database would show."""
    text = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{table}" t')  # noqa: S608 -- table names from the catalogue
            text += [row[0] for row in cursor.fetchall()]
    return "\n".join(text)


def test_secret_is_stored_nowhere_and_logged_nowhere(
    cast: Cast, client: Client, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:  # security 3 and 41
    caplog.set_level(logging.DEBUG)
    client.force_login(cast.bob, "django.contrib.auth.backends.ModelBackend")
    first = user_key(cast.bob, cast.account, "sentinel")
    second = refresh_key(cast.actor(cast.bob), first.key, grace=timedelta(hours=1), at=timezone.now())

    for key in (first.plaintext, second.plaintext):
        assert client.get("/v2/api-keys", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert client.get("/v2/no-such-thing", headers={"Authorization": f"Bearer {key}"}).status_code == 404
        client.get(f"/v2/api-keys?key={key}")
        client.get(f"/settings/api-keys/?q={key}")
        client.post("/v2/api-keys", data={"name": key}, headers={"Authorization": f"Bearer {key}"})
        logging.getLogger("anything").warning("somebody logs %s", key)

    stored = everything_stored()
    # The records as the handlers of the shipped logging configuration would write them.
    line = logging.Formatter("%(message)s")
    logged = "\n".join(line.format(record) for record in caplog.records if RedactKeys().filter(record))
    out, err = capfd.readouterr()
    for key in (first.plaintext, second.plaintext):
        for secret in (key, key[15:58]):
            assert secret not in stored
            assert secret not in logged
            assert secret not in out
            assert secret not in err
    assert first.key.redacted_key in stored  # the search does look where keys are


def test_every_handler_of_the_shipped_logging_takes_keys_out() -> None:  # security 41
    handlers: Any = settings.LOGGING["handlers"]

    assert {name for name, handler in handlers.items() if "redact_keys" not in handler["filters"]} == set()


def test_digest_stays_out_of_whatever_prints_a_row(cast: Cast) -> None:  # security 42
    key = user_key(cast.bob, cast.account).key
    secret = KeySecret.objects.get(key=key)

    digest = bytes(secret.digest)
    for shown in (repr(secret), str(secret), repr(key), str(model_to_dict(secret)), str(model_to_dict(key))):
        assert digest.hex() not in shown
        assert repr(digest) not in shown


def test_error_reports_leave_the_peppers_out() -> None:  # security 43
    assert SafeExceptionReporterFilter().get_safe_settings()["API_KEY_PEPPERS"] == "********************"


def test_no_file_of_the_project_holds_a_key() -> None:
    root = Path(settings.BASE_DIR)
    for path in [*root.glob("*.md"), *root.glob("templates/**/*.html"), *root.glob("deploy/**/*")]:
        if path.is_file():
            assert KEY_PATTERN.search(path.read_text()) is None, path
