"""The vendor's SDK 8.61.0, unmodified, at a service that knows nothing of keys, behind nginx and behind HAProxy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.clients.libraries import Call
from tests.proxies.conftest import Proxy
from tests.proxies.keys import BAD, good_key
from tests.proxies.programs import HAPROXY, NGINX
from tests.proxies.surroundings import PATIENCE

pytestmark = pytest.mark.parametrize("_standing", [NGINX, HAPROXY], ids=str, indirect=True)

RAISED = {401: "UnauthorizedException", 403: "ForbiddenException"}


def test_a_good_key_gets_its_answer(proxy: Proxy, sdk: Call) -> None:
    new = good_key(proxy.house)

    assert sdk(new.plaintext, "spaces.list").ok()["spaces"] == []

    (heard,) = proxy.reached()
    assert (heard.method, heard.address.partition("?")[0]) == ("GET", "/v2/spaces")
    assert heard.values("X-Arize-Key-Id") == [new.key.wire_id]


def test_each_bad_key_is_refused_by_name(proxy: Proxy, sdk: Call) -> None:
    for kind, (make, status, _) in BAD.items():
        refused = sdk(make(proxy.house), "spaces.list")

        assert (refused.kind, refused.status) == (RAISED[status], status), (kind, refused.text)
    assert proxy.reached() == []


def test_a_key_used_too_often_is_refused_by_name(proxy: Proxy, sdk: Call) -> None:
    new = good_key(proxy.house)

    with _used_all_the_time(proxy, new.plaintext):
        for _ in range(20):
            refused = sdk(new.plaintext, "spaces.list")
            if refused.error:
                break

    assert (refused.kind, refused.status) == ("ApiException", 429), refused.text
    assert {name.lower(): value for name, value in (refused.headers or {}).items()}["retry-after"] == "1"


def test_what_cannot_be_known_is_refused_by_name(proxy: Proxy, sdk: Call) -> None:
    key = good_key(proxy.house).plaintext

    with proxy.house.ear.away():
        refused = sdk(key, "spaces.list")

    assert (refused.kind, refused.status) == ("ServiceException", 503), refused.text
    assert proxy.reached() == []


@contextmanager
def _used_all_the_time(proxy: Proxy, key: str) -> Iterator[None]:
    """Leave nothing of what the key may do: a call of the SDK takes as long as it takes for the next one to be due."""
    ended, limited = threading.Event(), threading.Event()

    def use() -> None:
        while not ended.is_set():
            if proxy.with_key(key).status == 429:
                limited.set()

    thread = threading.Thread(target=use)
    thread.start()
    try:
        assert limited.wait(PATIENCE)
        yield
    finally:
        ended.set()
        thread.join(PATIENCE)
