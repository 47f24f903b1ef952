"""``/verify``: what it answers, that it remembers, and that nothing it remembers outlives the answer to a change."""

from __future__ import annotations

import gc
import io
import os
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import RequestFactory
from django.utils import timezone
from psycopg import pq

from accounts.actors import Actor
from accounts.bindings import bind_role, predefined, unbind_role
from accounts.custom_roles import change_role
from accounts.models import SpaceBinding
from accounts.people import deactivate_person, reactivate_person, remove_person
from accounts.roles import Level, RoleName
from accounts.tenancy import change_account, change_space, delete_space
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from apikeys import following, forward_auth, limits, tokens
from apikeys.cache import NEVER, Memory
from apikeys.epochs import Epochs
from apikeys.following import Follower, _parameters, settle
from apikeys.forward_auth import ForwardAuth
from apikeys.lifecycle import NewKey, refresh_key, revoke_key
from apikeys.limits import Limiter
from apikeys.models import ApiKey, KeyUse, Verifier
from apikeys.usage import Uses
from tests.cast import Cast, assemble
from tests.factories import bind, custom_role, later, service_key, user_key

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Told:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Proxy:
    """Asks the door as a proxy would."""

    door: ForwardAuth
    epochs: Epochs
    uses: Uses

    def __call__(self, key: str | None = None, *, query: str = "", **meta: Any) -> Told:
        given = {"HTTP_AUTHORIZATION": f"Bearer {key}"} if key else {}
        environ = RequestFactory().get(f"/verify?{query}").environ | given | meta
        said: list[Any] = []
        body = b"".join(self.door(environ, lambda status, headers: said.extend((status, headers))))
        return Told(int(said[0].split()[0]), dict(said[1]), body)


def _wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def proxy(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The door, with the thread that keeps it honest, and that nobody gives up for being slow."""
    settings.VERIFY_GUESSES = 0
    monkeypatch.setattr(following, "PATIENCE", 60.0)
    monkeypatch.setattr(following, "LEASE", 60.0)
    epochs, uses = Epochs(tmp_path / "epochs"), Uses()
    follower = Follower(epochs)
    follower.start()
    _wait_for(lambda: epochs.holds(epochs.stamp(())))
    yield Proxy(ForwardAuth(epochs, Limiter(tmp_path / "limits"), uses), epochs, uses)
    follower.end()
    follower.join(timeout=60)
    assert not follower.is_alive()
    assert not Verifier.objects.exists()


@pytest.fixture
def everybody() -> Cast:
    """The cast, committed."""
    return assemble()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything the door sends to the database: from this thread, beside which the follower renews its lease."""
    sent: list[str] = []
    execute, door = psycopg.Cursor.execute, threading.get_ident()

    def note(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.get_ident() == door:
            sent.append(str(query))
        return execute(self, query, *args, **kwargs)

    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    return sent


@dataclass
class Wire:
    """What goes to the database on this thread's connection, read off the wire itself."""

    written: Path
    _seen: int = 0

    def __call__(self) -> list[str]:
        """Return the messages sent since this was last called: Parse prepares, Bind and Execute ask."""
        lines = self.written.read_text("utf-8", "replace").splitlines()
        new, self._seen = lines[self._seen :], len(lines)
        return [line.split("\t")[2] for line in new if line.startswith("F\t")]


PREPARED = ["Parse", "Sync"]
ONE_PREPARED_QUERY = ["Bind", "Describe", "Execute", "Sync"]


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """The wire of a connection on which nothing is prepared yet."""
    connection.close()
    connection.ensure_connection()
    server = connection.connection.pgconn
    with (tmp_path / "wire").open("wb") as file:
        server.trace(os.dup(file.fileno()))
        server.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
        yield Wire(tmp_path / "wire")
        server.untrace()


def _in(space: Any, permission: str = "") -> str:
    return f"space={encode_id('Space', space.pk)}" + (f"&permission={permission}" if permission else "")


def test_who_it_is(everybody: Cast, proxy: Proxy) -> None:
    new = service_key(everybody.alice, everybody.production, role=RoleName.READ_ONLY)

    told = proxy(new.plaintext, query=_in(everybody.production, "DATASET_READ"))

    assert (told.status, told.body) == (204, b"")
    request_id = told.headers.pop("X-Request-Id")
    assert told.headers == {
        "X-Arize-Key-Id": new.key.wire_id,
        "X-Arize-Key-Kind": "SERVICE",
        "X-Arize-User-Id": encode_id("User", new.key.owner_id),
        "X-Arize-User-Kind": "BOT",
        "X-Arize-Account-Id": encode_id("Account", everybody.account.pk),
        "X-Arize-Space-Id": encode_id("Space", everybody.production.pk),
        "X-Arize-Role": "READ_ONLY",
        "Cache-Control": "no-store",
    }
    assert proxy(new.plaintext).headers["X-Request-Id"] != request_id


def test_every_way_of_sending_a_key(everybody: Cast, proxy: Proxy) -> None:
    key = user_key(everybody.bob, everybody.account).plaintext

    for meta in ({"HTTP_AUTHORIZATION": f"Bearer {key}"}, {"HTTP_AUTHORIZATION": key}, {"HTTP_X_API_KEY": key}):
        assert proxy(**meta).status == 204
    for meta in (
        {"HTTP_AUTHORIZATION": key, "HTTP_X_API_KEY": key},
        {"HTTP_AUTHORIZATION": f"{key},{key}"},
        {"HTTP_COOKIE": f"k={key}"},
    ):
        assert proxy(**meta).status == 400
    assert proxy(query=f"key={key}").status == 400
    assert ApiKey.objects.get().exposed_at is not None


def test_refusals(everybody: Cast, proxy: Proxy) -> None:
    good = user_key(everybody.bob, everybody.account).plaintext
    dead = user_key(everybody.bob, everybody.account)
    revoke_key(everybody.actor(everybody.bob), dead.key, at=timezone.now())
    late = user_key(everybody.bob, everybody.account, expires_at=later(days=1))
    ApiKey.objects.filter(pk=late.key.pk).update(expires_at=timezone.now())  # the day is over

    wrong = [proxy(one) for one in (dead.plaintext, late.plaintext, good[:-7] + "0" + good[-6:], "ak-x", good + "x")]

    assert {(one.status, one.headers["WWW-Authenticate"], one.body) for one in wrong} == {
        (401, 'Bearer realm="arizekeys", error="invalid_token"', wrong[0].body)
    }
    nobody = proxy()
    assert (nobody.status, nobody.headers["WWW-Authenticate"]) == (401, 'Bearer realm="arizekeys"')
    for place, permission in ((everybody.production, "SPACE_DELETE"), (everybody.vision_lab, "SPACE_READ")):
        told = proxy(good, query=_in(place, permission))
        assert told.status == 403
        assert f'error="insufficient_scope", scope="{permission}"' in told.headers["WWW-Authenticate"]
    assert proxy(good, query=_in(everybody.elsewhere)).status == 403
    for query in ("space=x", "permission=FLY", "spcae=x", "space=&space=", f"space={encode_id('User', 1)}"):
        assert proxy(good, query=query).status == 400


def test_what_a_client_says_of_the_space_counts_less_than_what_the_proxy_asks(everybody: Cast, proxy: Proxy) -> None:
    key = user_key(everybody.bob, everybody.account).plaintext
    mine = {"HTTP_X_ARIZE_SPACE_ID": encode_id("Space", everybody.production.pk)}

    assert proxy(key, **mine).headers["X-Arize-Space-Id"] == mine["HTTP_X_ARIZE_SPACE_ID"]
    assert proxy(key, query=_in(everybody.vision_lab), **mine).status == 403


def test_plain_http_from_elsewhere_is_refused(everybody: Cast, proxy: Proxy, settings: Any) -> None:  # security 29
    key = user_key(everybody.bob, everybody.account).plaintext

    assert proxy(key, REMOTE_ADDR="10.0.0.9").status == 403
    assert proxy(key, HTTP_X_FORWARDED_PROTO="https").status == 403
    settings.TRUSTED_PROXIES = 1
    assert proxy(key, REMOTE_ADDR="10.0.0.9", HTTP_X_FORWARDED_PROTO="https").status == 204
    assert proxy(key, HTTP_X_FORWARDED_PROTO="http").status == 403


def test_a_miss_is_one_prepared_query_and_what_is_remembered_is_none(
    everybody: Cast, proxy: Proxy, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward_auth, "REFUSAL_SECONDS", 60.0)
    key = user_key(everybody.bob, everybody.account).plaintext
    wire: Wire = request.getfixturevalue("wire")

    for query, status, first in (
        ("", 204, PREPARED + ONE_PREPARED_QUERY),
        (_in(everybody.production, "DATASET_READ"), 204, ONE_PREPARED_QUERY),
        (_in(everybody.production, "SPACE_DELETE"), 403, ONE_PREPARED_QUERY),
    ):
        assert (proxy(key, query=query).status, wire()) == (status, first)
        for _ in range(20):
            assert (proxy(key, query=query).status, wire()) == (status, [])
    for rubbish in ("ak-nonsense", key[:-1], f"{key}x", key.swapcase(), "ak-" + 100_000 * "x"):
        assert (proxy(rubbish).status, wire()) == (401, [])
    for status, query in ((401, ""), (400, "space=x"), (400, "permission=FLY"), (400, f"space={10_000 * 'x'}")):
        assert (proxy(key if query else None, query=query).status, wire()) == (status, [])
    unknown = tokens.mint().plaintext
    assert [(proxy(unknown).status, wire()) for _ in range(3)] == [(401, ONE_PREPARED_QUERY), (401, []), (401, [])]


def test_a_connection_that_is_gone_is_replaced_and_asked_again(everybody: Cast, proxy: Proxy) -> None:
    keys = [user_key(everybody.bob, everybody.account).plaintext for _ in range(2)]
    assert proxy(keys[0]).status == 204
    number = connection.connection.pgconn.backend_pid

    with psycopg.connect(**_parameters(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [number])

    assert proxy(keys[1]).status == 204
    assert connection.connection.pgconn.backend_pid != number
    with connection.cursor() as cursor:
        cursor.execute("SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE name LIKE 'arizekeys_%'")
        assert cursor.fetchall() == [(1,)]


def test_a_statement_that_the_connection_lost_is_prepared_again(everybody: Cast, proxy: Proxy) -> None:
    keys = [user_key(everybody.bob, everybody.account).plaintext for _ in range(2)]
    assert proxy(keys[0]).status == 204

    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")  # as behind a pooler that hands out another connection

    assert proxy(keys[1]).status == 204


def test_a_database_that_says_nothing_is_not_waited_for(everybody: Cast, proxy: Proxy, settings: Any) -> None:
    key = user_key(everybody.bob, everybody.account).plaintext
    settings.VERIFY_PATIENCE = 0.2

    with psycopg.connect(**_parameters()) as other:
        other.execute("LOCK TABLE apikeys_keysecret")
        assert proxy(key).status == 503

    settings.VERIFY_PATIENCE = 60  # it says something again, and may take its time
    assert proxy(key).status == 204


def test_a_flood_of_rubbish_costs_so_many_queries_and_bytes_and_no_more(
    everybody: Cast, tmp_path: Path, proxy: Proxy, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.VERIFY_GUESSES = 2
    monkeypatch.setattr(forward_auth, "MOST_REFUSALS", 8)
    strict = Proxy(ForwardAuth(proxy.epochs, Limiter(tmp_path / "strict"), Uses()), proxy.epochs, Uses())
    asked = "SELECT coalesce(sum(generic_plans + custom_plans), 0) FROM pg_prepared_statements"
    with connection.cursor() as cursor:
        cursor.execute(asked)
        before = int(cursor.fetchone()[0])
        started = time.monotonic()

        told = [strict(tokens.mint().plaintext).status for _ in range(300)]

        # Two a second from one address, and of all that flood ten times as many: each with two seconds' worth at once.
        seconds = time.monotonic() - started
        cursor.execute(asked)
        assert 4 <= told.count(401) <= 4 + 2 * seconds + 1
        assert told.count(401) < int(cursor.fetchone()[0]) - before <= 44 + 22 * seconds + 1
    assert told.count(401) + told.count(429) == 300
    assert len(strict.door._refusals) <= 8
    assert len(strict.door._answers) == 0


def test_a_key_that_opens_nothing_costs_one_query_whatever_is_asked(
    everybody: Cast, proxy: Proxy, asked: list[str]
) -> None:
    dead = user_key(everybody.bob, everybody.account)
    revoke_key(everybody.actor(everybody.bob), dead.key, at=timezone.now())
    with connection.cursor() as cursor:
        count = "SELECT coalesce(sum(generic_plans + custom_plans), 0) FROM pg_prepared_statements"
        cursor.execute(count)
        before = int(cursor.fetchone()[0])
        started = time.monotonic()

        told = [proxy(dead.plaintext, query=_in(everybody.production, one)).status for one in list(Permission)[:100]]

        cursor.execute(count)
        assert int(cursor.fetchone()[0]) - before <= 1 + (time.monotonic() - started) / forward_auth.REFUSAL_SECONDS
    assert set(told) == {401}


@pytest.mark.parametrize("query", ["space=", "permission=", "space=&permission=DATASET_READ"])
def test_what_was_left_empty_lets_nobody_in(everybody: Cast, proxy: Proxy, query: str) -> None:
    """A proxy that fills in a variable which happens to be empty asked nothing, and meant something."""
    key = user_key(everybody.bob, everybody.account).plaintext
    header = {"HTTP_X_ARIZE_SPACE_ID": ""} if query.startswith("space") else {"HTTP_X_ARIZE_PERMISSION": ""}

    assert proxy(key).status == 204
    assert proxy(key, query=query).status == 400
    assert proxy(key, **header).status == 400


def test_a_key_in_a_form_is_seen_behind_an_answer_that_is_remembered(everybody: Cast, proxy: Proxy) -> None:
    """Security 27."""
    mine, other = (user_key(everybody.bob, everybody.account, name).plaintext for name in ("mine", "other"))
    body = f"token={other}".encode()
    form: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }

    assert proxy(mine).status == 204
    assert proxy(mine, **form).status == 400
    assert ApiKey.objects.get(exposed_at__isnull=False).name == "other"


def test_what_is_too_long_to_be_a_question_is_remembered_nowhere(everybody: Cast, proxy: Proxy) -> None:
    key = user_key(everybody.bob, everybody.account).plaintext
    known = forward_auth._question.cache_info().currsize
    query = _in(everybody.production, "SPACE_READ")

    for number in range(5):
        assert proxy(key, query=query, HTTP_X_ARIZE_SPACE_ID=f"{number}" * 5_000).status == 204
        assert proxy(key, query="&" * 2_000 + str(number)).status == 400

    assert forward_auth._question.cache_info().currsize <= known + 1


def test_keys_in_the_wrong_place_are_looked_up_as_often_as_guesses_and_no_more(
    everybody: Cast, proxy: Proxy, settings: Any, django_assert_max_num_queries: Any
) -> None:
    settings.VERIFY_GUESSES = 1

    with django_assert_max_num_queries(12 * 22 + 60):
        told = [proxy(HTTP_COOKIE=f"k={tokens.mint().plaintext}").status for _ in range(150)]

    assert set(told) == {400, 429}


def test_a_connection_that_was_lost_is_replaced(everybody: Cast, proxy: Proxy) -> None:
    key = user_key(everybody.bob, everybody.account).plaintext
    connection.ensure_connection()
    _cut_off(connection.connection.info.backend_pid)

    assert proxy(key).status == 204


def test_a_database_that_does_not_answer_is_503_until_it_does(
    everybody: Cast, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:  # security 13
    key = user_key(everybody.bob, everybody.account).plaintext
    connection.ensure_connection()
    _cut_off(connection.connection.info.backend_pid)
    monkeypatch.setitem(connection.settings_dict, "NAME", "nowhere")

    refused = proxy(key)

    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    monkeypatch.undo()
    assert proxy(key).status == 204


def _cut_off(backend: int) -> None:
    """End a connection from the other side, as a server does that goes down."""
    with psycopg.connect(**_parameters()) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])


Deed = Callable[[Cast, NewKey], object]


def _demote(cast: Cast, _: NewKey) -> None:
    bind_role(
        cast.actor(cast.alice),
        user=cast.bob,
        role=predefined(Level.SPACE, RoleName.READ_ONLY),
        scope=cast.production,
        at=timezone.now(),
    )


def _shorten(cast: Cast, new: NewKey) -> None:
    refresh_key(cast.actor(cast.bob), new.key, at=timezone.now())


def _narrow(cast: Cast, _: NewKey) -> None:
    role = SpaceBinding.objects.get(user=cast.bob, content_object=cast.production).role
    change_role(cast.actor(cast.alice), role, permissions=["SPACE_READ"], at=timezone.now())


def _lock(cast: Cast, _: NewKey) -> None:
    change_account(cast.actor(cast.alice), developer_access_locked=True, max_key_lifetime_days=None, at=timezone.now())


def _close(cast: Cast, _: NewKey) -> None:
    unbind_role(cast.actor(cast.alice), user=cast.bob, scope=cast.production, at=timezone.now())
    change_space(cast.actor(cast.alice), cast.production, is_private=True, at=timezone.now())


DEEDS: dict[str, tuple[Deed, int]] = {
    "revoke": (lambda cast, new: revoke_key(cast.actor(cast.bob), new.key, at=timezone.now()), 401),
    "refresh": (_shorten, 401),
    "remove": (lambda cast, _: remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now()), 401),
    "deactivate": (lambda cast, _: deactivate_person(Actor.from_command(None), user=cast.bob, at=timezone.now()), 401),
    "demote": (_demote, 403),
    "lock": (_lock, 403),
    "close the space": (_close, 403),
    "delete the space": (lambda cast, _: delete_space(cast.actor(cast.alice), cast.production, at=timezone.now()), 403),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_what_was_taken_away_is_refused_at_once(everybody: Cast, proxy: Proxy, asked: list[str], deed: str) -> None:
    do, status = DEEDS[deed]
    new, query = user_key(everybody.bob, everybody.account), _in(everybody.production, "DATASET_CREATE")
    bystander = user_key(everybody.charlie, everybody.account).plaintext
    for key, ask in ((new.plaintext, query), (bystander, "")):
        assert [proxy(key, query=ask).status for _ in range(2)] == [204, 204]
    asked.clear()

    do(everybody, new)

    assert proxy(new.plaintext, query=query).status == status


def test_a_custom_role_that_changes_bites_at_once(everybody: Cast, proxy: Proxy) -> None:
    SpaceBinding.objects.filter(user=everybody.bob, content_object=everybody.production).delete()
    change_space(everybody.actor(everybody.alice), everybody.production, is_private=True, at=timezone.now())
    bind(everybody.bob, everybody.production, custom_role(everybody.account, "r", "SPACE_READ", "DATASET_CREATE"))
    new, query = user_key(everybody.bob, everybody.account), _in(everybody.production, "DATASET_CREATE")
    settle()
    assert [proxy(new.plaintext, query=query).status for _ in range(2)] == [204, 204]

    _narrow(everybody, new)

    assert proxy(new.plaintext, query=query).status == 403


def test_what_is_given_is_there_at_once(everybody: Cast, proxy: Proxy) -> None:
    new = user_key(everybody.bob, everybody.account)
    deactivate_person(Actor.from_command(None), user=everybody.bob, at=timezone.now())
    assert proxy(new.plaintext).status == 401

    reactivate_person(Actor.from_command(None), user=everybody.bob, at=timezone.now())
    time.sleep(1.1)  # as long as a refusal is remembered

    assert proxy(new.plaintext).status == 204


def test_a_change_of_one_key_leaves_the_others_remembered(everybody: Cast, proxy: Proxy, asked: list[str]) -> None:
    first, second = (user_key(everybody.bob, everybody.account) for _ in range(2))
    assert [proxy(one.plaintext).status for one in (first, second)] == [204, 204]
    revoke_key(everybody.actor(everybody.bob), first.key, at=timezone.now())
    asked.clear()

    assert proxy(second.plaintext).status == 204

    assert asked == []


def test_an_answer_ends_with_the_key(everybody: Cast, proxy: Proxy) -> None:
    ends = later(seconds=4)
    new = user_key(everybody.bob, everybody.account, expires_at=ends)
    assert proxy(new.plaintext).status == 204

    time.sleep(max(0.0, (ends - timezone.now()).total_seconds()) + 0.1)

    assert proxy(new.plaintext).status == 401


@pytest.fixture
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass in which what was taken comes back."""
    moment = limits._now()
    monkeypatch.setattr(limits, "_now", lambda: moment)


@pytest.mark.usefixtures("no_time")
def test_a_limit_per_key(everybody: Cast, tmp_path: Path, proxy: Proxy, settings: Any) -> None:
    settings.VERIFY_RATE_PER_KEY = 5
    strict = Proxy(ForwardAuth(proxy.epochs, Limiter(tmp_path / "strict"), Uses()), proxy.epochs, Uses())
    key, other = (user_key(everybody.bob, everybody.account).plaintext for _ in range(2))

    told = [strict(key) for _ in range(11)]

    assert [one.status for one in told] == [204] * 10 + [429]
    assert told[-1].headers["Retry-After"] == "1"
    assert strict(other).status == 204


@pytest.mark.usefixtures("no_time")
def test_guessing_bars_the_guesser_and_an_expired_key_bars_nobody(
    everybody: Cast, tmp_path: Path, proxy: Proxy, settings: Any
) -> None:
    settings.VERIFY_GUESSES = 2
    strict = Proxy(ForwardAuth(proxy.epochs, Limiter(tmp_path / "strict"), Uses()), proxy.epochs, Uses())
    dead = user_key(everybody.bob, everybody.account)
    good = user_key(everybody.bob, everybody.account).plaintext
    revoke_key(everybody.actor(everybody.bob), dead.key, at=timezone.now())
    assert strict(good).status == 204
    assert [strict(dead.plaintext).status for _ in range(20)] == [401] * 20

    guesses = [strict(f"ak-{number}").status for number in range(6)]

    assert guesses == [401] * 4 + [429] * 2
    assert strict(good).status == 204


def test_the_memory_is_bounded(everybody: Cast, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    key = user_key(everybody.bob, everybody.account).plaintext
    memory = proxy.door._answers
    monkeypatch.setattr(memory, "_most", 3)

    for permission in ("SPACE_READ", "DATASET_READ", "PROJECT_READ", "PROMPT_READ", "MONITOR_READ"):
        proxy(key, query=_in(everybody.production, permission))

    assert len(memory) == 3


def test_the_memory_is_bounded_in_bytes(proxy: Proxy) -> None:
    memory: Memory[bytes] = Memory(proxy.epochs, most=20_000, most_bytes=3 * 2**20, size=sys.getsizeof)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(6_000):
            answer, things = bytes(number % 2_000), [f"{kind}:{number}" for kind in ("key", "user", "account", "space")]
            found = (answer, things, NEVER)
            memory.learn(memory.name(str(number)), lambda found=found: found)  # type: ignore[misc]  # of this turn
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert 500 < len(memory) < 6_000
    assert 2 * 2**20 < memory.bytes_held <= 3 * 2**20
    assert held <= memory.bytes_held  # what it says it holds is no less than what it does
    assert memory.recall(memory.name("0")) is None
    assert memory.recall(memory.name("5999")) == bytes(1_999)
    memory.forget_all()
    assert (len(memory), memory.bytes_held) == (0, 0)


def test_uses_are_counted_and_written_together(everybody: Cast, proxy: Proxy, asked: list[str]) -> None:
    keys = [user_key(everybody.bob, everybody.account) for _ in range(3)]
    for number, new in enumerate(keys, start=1):
        for _ in range(number):
            proxy(new.plaintext, HTTP_USER_AGENT="curl/8")
    asked.clear()

    assert proxy.uses.flush() == 3
    assert proxy.uses.flush() == 0

    assert list(KeyUse.objects.order_by("key_id").values_list("uses", "ip", "client")) == [
        (number, "127.0.0.1", "curl/8") for number in (1, 2, 3)
    ]
    KeyUse.objects.update(last_used_at=later(days=1))
    proxy(keys[0].plaintext)
    proxy.uses.flush()
    use = KeyUse.objects.get(key=keys[0].key)
    assert use.uses == 2
    assert use.last_used_at > later(hours=23)  # it never goes back


def test_the_very_first_fence_is_waited_for(everybody: Cast, proxy: Proxy, tmp_path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER SEQUENCE apikeys_fence RESTART")
    follower = Follower(Epochs(tmp_path / "second"))

    follower.start()
    _wait_for(lambda: Verifier.objects.count() == 2)

    assert Verifier.objects.filter(acknowledged=0).count() == 1
    follower.end()
    follower.join(timeout=60)
