"""One form, one key: also when it is sent twice at the same moment."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections, transaction
from django.test import Client

from apikeys import nonces
from apikeys.models import ApiKey
from apikeys.nonces import NonceState
from tests.cast import Cast

NEW = "/settings/api-keys/new/"


@pytest.mark.django_db
def test_a_nonce_is_open_until_it_is_spent() -> None:
    session = SessionStore()
    nonce = nonces.issue(session)
    session.save()

    with transaction.atomic():
        assert nonces.hold(session, nonce) is NonceState.OPEN
        nonces.spend(session, nonce)

    with transaction.atomic():
        assert nonces.hold(session, nonce) is NonceState.SPENT
    assert nonces.peek(session, "made-up") is NonceState.UNKNOWN


@pytest.mark.django_db
def test_the_session_holds_digests_only() -> None:
    session = SessionStore()

    nonce = nonces.issue(session)

    assert nonce not in str(dict(session.items()))


@pytest.mark.django_db
def test_the_oldest_nonces_are_forgotten() -> None:
    session = SessionStore()

    first, *_, last = (nonces.issue(session) for _ in range(51))

    assert nonces.peek(session, first) is NonceState.UNKNOWN
    assert nonces.peek(session, last) is NonceState.OPEN


@pytest.mark.django_db(transaction=True)
def test_two_presses_at_once_make_one_key(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.bob)
    found = re.search(r'name="nonce" value="([^"]+)"', client.get(NEW).content.decode())
    assert found
    form = {"step": "create", "key_type": "USER", "name": "twice", "expires": "never", "nonce": found[1]}

    def press(_: int) -> int:
        browser = Client()
        browser.cookies = client.cookies
        try:
            return browser.post(NEW, form).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as presses:
        answers = sorted(presses.map(press, range(4)))

    assert answers == [200, 409, 409, 409]
    assert ApiKey.objects.count() == 1
