from __future__ import annotations

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from accounts.origin import client_ip


def _ip(peer: str, forwarded: str | None = None) -> str | None:
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return client_ip(RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer))


def test_without_proxies_the_header_is_not_looked_at() -> None:  # security 30
    assert _ip("203.0.113.9", "198.51.100.1") == "203.0.113.9"


@pytest.mark.parametrize(
    ("hops", "forwarded", "expected"),
    [
        (1, "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1, 198.51.100.1", "198.51.100.1"),  # the left part is the caller's own claim
        (2, "10.0.0.1, 198.51.100.1, 192.0.2.2", "198.51.100.1"),
        (2, "198.51.100.1", "203.0.113.9"),  # shorter than configured: whoever sent it is not behind our proxies
        (1, "", "203.0.113.9"),
        (1, " , ", "203.0.113.9"),
        (1, "rubbish", None),
        (1, "198.51.100.1:4711", None),
    ],
)
def test_behind_proxies_only_their_part_counts(
    settings: Settings, hops: int, forwarded: str, expected: str | None
) -> None:  # security 30
    settings.TRUSTED_PROXIES = hops

    assert _ip("203.0.113.9", forwarded) == expected


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("", None),
    ],
)
def test_addresses_have_one_spelling(peer: str, expected: str | None) -> None:  # security 30
    assert _ip(peer) == expected
