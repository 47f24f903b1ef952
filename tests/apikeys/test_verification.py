from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from apikeys import tokens
from apikeys.errors import InvalidKey, Reason
from apikeys.lifecycle import refresh_key, revoke_key
from apikeys.models import ApiKey, KeySecret
from apikeys.verification import verify
from tests.cast import Cast
from tests.factories import service_key, user_key

pytestmark = pytest.mark.django_db
OLD, NEW = b"o" * 32, b"n" * 32


def _reason(plaintext: str) -> Reason | None:
    try:
        verify(plaintext, at=timezone.now())
    except InvalidKey as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize("presented", ["", "x", "ak-", "ak-" + "a" * 61, " " * 64, "ak-" + "\x00" * 61])
def test_rubbish_costs_no_query(presented: str, django_assert_num_queries: Callable[[int], Any]) -> None:  # security 7
    with django_assert_num_queries(0), pytest.raises(InvalidKey):
        verify(presented, at=timezone.now())


def test_unknown_key_costs_one_query(django_assert_num_queries: Callable[[int], Any]) -> None:  # security 7
    with django_assert_num_queries(1), pytest.raises(InvalidKey) as refusal:
        verify(tokens.mint().plaintext, at=timezone.now())

    assert refusal.value.reason is Reason.UNKNOWN


@pytest.mark.parametrize("kind", ["user", "service"])
def test_known_key_costs_one_query(cast: Cast, kind: str, django_assert_num_queries: Callable[[int], Any]) -> None:
    new = user_key(cast.bob, cast.account) if kind == "user" else service_key(cast.bob, cast.production)

    with django_assert_num_queries(1):
        assert verify(new.plaintext, at=timezone.now()).user == new.key.owner


def test_query_carries_the_public_id_only(cast: Cast) -> None:  # security 44
    new = user_key(cast.bob, cast.account)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        verify(new.plaintext, at=timezone.now())

    text = tokens.parse(new.plaintext)
    assert text.public_id in queries[0]["sql"]
    assert text.secret not in queries[0]["sql"]


def test_right_id_with_another_secret_is_refused(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account)
    forged = tokens.KeyText(tokens.parse(new.plaintext).public_id, tokens.mint().secret)

    assert _reason(forged.plaintext) is Reason.WRONG_SECRET


def test_digest_moved_to_another_row_opens_nothing(cast: Cast) -> None:  # security 4
    mine, theirs = user_key(cast.bob, cast.account), user_key(cast.alice, cast.account)
    digest = KeySecret.objects.get(key=mine.key).digest
    KeySecret.objects.filter(key=theirs.key).update(digest=digest)

    target = tokens.KeyText(tokens.parse(theirs.plaintext).public_id, tokens.parse(mine.plaintext).secret)

    assert _reason(target.plaintext) is Reason.WRONG_SECRET


def test_every_refusal_says_the_same(cast: Cast) -> None:  # security 9
    revoked, expired, gone = (user_key(cast.bob, cast.account) for _ in range(3))
    revoke_key(cast.actor(cast.bob), revoked.key, at=timezone.now())
    ApiKey.objects.filter(pk=expired.key.pk).update(
        created_at=timezone.now() - timedelta(days=2), expires_at=timezone.now() - timedelta(days=1)
    )
    KeySecret.objects.filter(key=gone.key).delete()

    said = set()
    for plaintext in ("rubbish", tokens.mint().plaintext, revoked.plaintext, expired.plaintext, gone.plaintext):
        with pytest.raises(InvalidKey) as refusal:
            verify(plaintext, at=timezone.now())
        said.add((refusal.value.code, refusal.value.detail))

    assert len(said) == 1


def test_no_refusal_is_logged_with_key_text(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    new = user_key(cast.bob, cast.account)
    revoke_key(cast.actor(cast.bob), new.key, at=timezone.now())

    with caplog.at_level(logging.DEBUG):
        assert _reason(new.plaintext) is Reason.REVOKED

    assert "revoked" in caplog.text
    assert tokens.parse(new.plaintext).secret not in caplog.text


# Peppers (security 5)


def test_new_pepper_leaves_old_keys_valid_and_use_moves_them(cast: Cast, settings: Settings) -> None:
    settings.API_KEY_PEPPERS = {1: OLD}
    old = user_key(cast.bob, cast.account)

    settings.API_KEY_PEPPERS = {1: OLD, 2: NEW}
    new = user_key(cast.bob, cast.account)
    assert [KeySecret.objects.get(key=key.key).pepper_id for key in (old, new)] == [1, 2]
    verify(old.plaintext, at=timezone.now())

    assert KeySecret.objects.get(key=old.key).pepper_id == 2
    settings.API_KEY_PEPPERS = {2: NEW}
    verify(old.plaintext, at=timezone.now())


def test_missing_pepper_refuses_and_the_check_says_which(
    cast: Cast, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:  # security 5 and 52
    settings.API_KEY_PEPPERS = {1: OLD}
    old = user_key(cast.bob, cast.account)
    assert [error.id for error in run_checks(databases=["default"]) if error.id == "apikeys.E001"] == []

    settings.API_KEY_PEPPERS = {2: NEW}

    assert _reason(old.plaintext) is Reason.NO_PEPPER
    assert "pepper 1 is not configured" in caplog.text
    assert [error.id for error in run_checks(databases=["default"]) if error.id == "apikeys.E001"] == ["apikeys.E001"]


# Never an acceptance out of ignorance (security 13)


def test_database_failure_is_an_error_not_an_answer(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE apikeys_keysecret RENAME TO away")

    with pytest.raises(DatabaseError):
        verify(new.plaintext, at=timezone.now())


def test_verified_key_knows_no_secret(cast: Cast) -> None:  # security 42
    new = user_key(cast.bob, cast.account)
    fresh = refresh_key(cast.actor(cast.bob), new.key, at=timezone.now())

    verified = verify(fresh.plaintext, at=timezone.now())

    assert tokens.parse(fresh.plaintext).secret not in repr((verified, fresh, verified.user.__dict__))
