"""The files in deploy/proxies, each run by the program it is for: whom they let through, and what then arrives."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.wire import encode_id
from apikeys.lifecycle import revoke_key
from tests.factories import user_key
from tests.proxies.conftest import CLIENT, House, Proxy, standing
from tests.proxies.keys import BAD, CHALLENGE, good_key
from tests.proxies.programs import FILES, HAPROXY, ONE_PORT, PROGRAMS
from tests.proxies.surroundings import RATE

# Header names that one server or another takes for X-Arize-Key-Id.
SPELLINGS = ("X-Arize-Key-Id", "x-arize-key-id", "X_Arize_Key_Id", "X-Arize_Key-Id", "x_arize-key_id", "X.Arize.Key.Id")
NAMES = ("Key-Id", "Key-Kind", "User-Id", "User-Kind", "Account-Id", "Space-Id", "Role", "Permission")


def test_every_file_is_run() -> None:
    run = {name for program in (*PROGRAMS, ONE_PORT) for name in program.files}

    assert run == {path.name for path in FILES.iterdir()}


def test_a_good_key_is_let_through_with_who_it_is_and_the_request_as_it_was(proxy: Proxy) -> None:
    new, body = good_key(proxy.house), os.urandom(100_000)
    presented = (("Authorization", f"Bearer {new.plaintext}"), ("Authorization", new.plaintext))

    for header in (*presented, ("X-Api-Key", new.plaintext)):
        told = proxy.ask(header, ("Content-Type", "image/png"), method="POST", path="/a/b%20c?d=e", body=body)

        assert told.status == 200, told
        (heard,) = proxy.reached()
        assert (heard.method, heard.address, heard.body) == ("POST", "/a/b%20c?d=e", body)
        who = {name: heard.values(f"X-Arize-{name}") for name in NAMES}
        assert who == {
            "Key-Id": [new.key.wire_id],
            "Key-Kind": ["SERVICE"],
            "User-Id": [encode_id("User", new.key.owner_id)],
            "User-Kind": ["BOT"],
            "Account-Id": [encode_id("Account", proxy.house.cast.account.pk)],
            "Space-Id": [proxy.house.space],
            "Role": ["READ_ONLY"],
            "Permission": [],
        }
        assert heard.values("X-Forwarded-Proto") == ["https"]
        assert heard.values("X-Forwarded-For") == [CLIENT]
        assert heard.values("Authorization") == heard.values("X-Api-Key") == []


def test_who_a_client_says_it_is_counts_nothing(proxy: Proxy) -> None:
    new = good_key(proxy.house)
    forged = [
        (spelling.replace("Key", name.split("-")[0]).replace("Id", name.split("-")[-1]), "forged")
        for name in ("Key-Id", "User-Id", "Space-Id", "Account-Id", "Key-Kind", "User-Kind")
        for spelling in SPELLINGS
    ]
    roles = [(name, "ADMIN") for name in ("X-Arize-Role", "X_Arize_Role", "X-Arize_Role", "X.Arize.Role")]
    asked = [(name, "SPACE_READ") for name in ("X-Arize-Permission", "X_Arize_Permission", "x-arize_permission")]

    told = proxy.ask(("Authorization", new.plaintext), *forged, *roles, *asked)

    assert told.status == 200, told
    (heard,) = proxy.reached()
    assert heard.values("X-Arize-Key-Id") == [new.key.wire_id]
    assert heard.values("X-Arize-User-Id") == [encode_id("User", new.key.owner_id)]
    assert heard.values("X-Arize-Space-Id") == [proxy.house.space]
    assert heard.values("X-Arize-Role") == ["READ_ONLY"]
    assert heard.values("X-Arize-Permission") == []
    assert not [header for header in heard.headers if header[1] in ("forged", "ADMIN")]


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_key_is_refused_as_arizekeys_says(proxy: Proxy, kind: str) -> None:
    make, status, challenge = BAD[kind]

    told = proxy.with_key(make(proxy.house))

    assert (told.status, told.headers.get("www-authenticate")) == (status, challenge)
    assert told.headers["content-type"] == "application/problem+json"
    assert proxy.reached() == []


def test_without_a_key_nobody_gets_in(proxy: Proxy) -> None:
    nobody = proxy.ask()

    assert (nobody.status, nobody.headers.get("www-authenticate")) == (401, CHALLENGE)
    assert proxy.reached() == []


def test_a_revoked_key_is_refused_from_the_next_request_on(proxy: Proxy) -> None:
    new = good_key(proxy.house)
    assert [proxy.with_key(new.plaintext).status for _ in range(3)] == [200, 200, 200]

    revoke_key(proxy.house.cast.actor(proxy.house.cast.alice), new.key, at=timezone.now())

    assert proxy.with_key(new.plaintext).status == 401
    assert len(proxy.reached()) == 3


def test_what_comes_too_often_is_told_when_to_come_back(proxy: Proxy) -> None:
    new = good_key(proxy.house)

    told = proxy.with_key(new.plaintext)
    for _ in range(40 * RATE):
        if told.status != 200:
            break
        told = proxy.with_key(new.plaintext)

    assert told.status == 429
    assert told.headers["retry-after"] == "1"
    reached = len(proxy.reached())
    assert reached >= 2 * RATE


def test_two_keys_are_none(proxy: Proxy) -> None:
    good, other = (good_key(proxy.house).plaintext for _ in range(2))

    for headers in (
        (("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {other}")),
        (("Authorization", f"Bearer {good}"), ("authorization", "Bearer ak-nonsense")),
        (("X-Api-Key", good), ("X-Api-Key", other)),
        (("Authorization", good), ("X-Api-Key", good)),
    ):
        assert proxy.ask(*headers).status == 400, headers
    assert proxy.reached() == []


def test_what_is_asked_no_client_can_change(proxy: Proxy) -> None:
    """Space and permission, where the client is and whether it came privately: what the door goes by."""
    bobs, house = user_key(proxy.house.cast.bob, proxy.house.cast.account).plaintext, proxy.house
    elsewhere = encode_id("Space", house.cast.production.pk)
    forged = [
        *(("X-Arize-Space-Id", elsewhere), ("X_Arize_Space_Id", elsewhere), ("X-Arize-Permission", "SPACE_READ")),
        *(("X-Forwarded-For", "203.0.113.9"), ("X_Forwarded_For", "203.0.113.9"), ("X-Forwarded-Proto", "http")),
        *(("X.Forwarded.For", "203.0.113.9"), ("X_Forwarded_Proto", "http"), ("X.Api.Key", "ak-nonsense")),
        *(("X-Original-URI", "/verify"), ("X-Forwarded-Uri", "/verify")),
        *(("Cookie", "session=1"), ("X_Api_Key", "ak-nonsense")),
    ]

    told = proxy.ask(
        ("Authorization", bobs),
        *forged,
        ("Content-Type", "application/x-www-form-urlencoded"),
        method="POST",
        path=f"/verify?space={elsewhere}&permission=SPACE_READ",
        body=b"space=x",
    )

    assert told.status == 403
    assert proxy.reached() == []
    (asked,) = proxy.asked()
    assert asked.address == f"/verify?space={house.space}&permission=DATASET_READ"
    assert asked.values("Authorization") == [bobs]
    assert asked.values("X-Forwarded-For") == [CLIENT]
    assert asked.values("X-Forwarded-Proto") == ["https"]
    assert asked.values("X-Arize-Space-Id") == asked.values("X-Arize-Permission") == asked.values("Cookie") == []
    assert asked.values("X-Api-Key") == []
    assert asked.body == b""


def test_with_arizekeys_away_nobody_gets_in(proxy: Proxy) -> None:
    key = good_key(proxy.house).plaintext
    assert proxy.with_key(key).status == 200
    proxy.reached()

    with proxy.house.ear.away():
        told = proxy.with_key(key)

    assert told.status in (500, 502, 503, 504)
    assert proxy.reached() == []
    assert _comes_back(proxy, key)


def test_with_arizekeys_silent_nobody_gets_in(proxy: Proxy) -> None:
    key = good_key(proxy.house).plaintext

    with proxy.house.ear.silent():
        told = proxy.with_key(key)

    assert told.status in (500, 502, 503, 504)
    assert proxy.reached() == []
    assert len(proxy.asked()) == 1  # asking again would only make it later
    assert _comes_back(proxy, key)


def _comes_back(proxy: Proxy, key: str) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if proxy.with_key(key).status == 200:
            return True
        time.sleep(0.1)
    return False


def test_no_key_gets_into_a_log(proxy: Proxy) -> None:
    good, bad, lost = (good_key(proxy.house).plaintext for _ in range(3))
    before = len(proxy.log.read_text(errors="replace"))

    proxy.ask(("Authorization", f"Bearer {good}"), path="/one")
    proxy.ask(("X-Api-Key", good), path=f"/two?key={lost}")
    proxy.ask(("X-Api-Key", bad[:-1]), path=f"/three?key={lost}", method="DELETE")
    with proxy.house.ear.away():
        proxy.ask(("X-Api-Key", good), path=f"/four?key={lost}")

    deadline = time.monotonic() + 20
    while (said := proxy.log.read_text(errors="replace")[before:]).count("DELETE") < 1:
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
    assert "ak-" not in said


def test_a_script_that_fails_lets_nobody_in(house: House, certificate: Path, tmp_path: Path) -> None:
    """HAProxy goes on after a script's error, as if it had said nothing."""
    key = good_key(house).plaintext

    with standing(
        HAPROXY, house, certificate, tmp_path, lambda text: text.replace("core.httpclient()", "nobody")
    ) as it:
        it.reached()
        assert it.with_key(key).status == 503
        assert it.reached() == []
