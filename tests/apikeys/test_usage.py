"""Last used: counted in memory, written together, never on the key's row, never backwards, and lost only in part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection
from django.test import Client
from django.utils import timezone

from apikeys import usage
from apikeys.models import ApiKey, KeyUse
from apikeys.usage import Uses
from tests.cast import Cast, assemble
from tests.factories import used, user_key

NOBODY = (None, "")


def _nobody(_: object) -> tuple[str | None, str]:
    return NOBODY


def _row_of(key: ApiKey) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT xmin::text, ctid::text, apikeys_apikey.* FROM apikeys_apikey WHERE id = %s", [key.pk])
        return tuple(cursor.fetchone() or ())


@pytest.mark.django_db(transaction=True)
def test_a_use_leaves_the_keys_row_alone() -> None:
    cast = assemble()
    key = user_key(cast.bob, cast.account).key
    before = _row_of(key)

    for moment in (timezone.now(), timezone.now() + timedelta(hours=1)):
        used(key, ip="192.0.2.7", client="curl/8", at=moment)

    assert _row_of(key) == before
    assert KeyUse.objects.get().uses == 2


@pytest.mark.django_db
def test_what_is_kept_of_uses(cast: Cast) -> None:
    key, at, uses = user_key(cast.bob, cast.account).key, timezone.now(), Uses()

    for seconds, ip, client in (
        (0, "192.0.2.7", "curl/8.5.0"),
        (5, "198.51.100.9", "arize 8.61.0"),
        (6, "2001:db8:85a3:8d3:1319:8a2e:370:7348", "arize-ax-cli 0.39.0"),
    ):
        uses.note_at(key.pk, (ip, client), at.timestamp() + seconds)
    assert not KeyUse.objects.exists()
    uses.flush()

    use = KeyUse.objects.get()
    assert (use.first_used_at, use.last_used_at, use.uses) == (at, at + timedelta(seconds=6), 3)
    assert (use.ip, use.network) == ("2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:85a3::/48")
    assert (use.client, use.client_family) == ("arize-ax-cli 0.39.0", "ax 0")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ip", "network"),
    [("192.0.2.255", "192.0.2.0/24"), ("10.1.2.3", "10.1.2.0/24"), ("2001:db8::1", "2001:db8::/48"), (None, None)],
)
def test_network(cast: Cast, ip: str | None, network: str | None) -> None:
    key = user_key(cast.bob, cast.account).key

    used(key, ip=ip, client="", at=timezone.now())

    assert KeyUse.objects.get().network == network


@pytest.mark.django_db
def test_two_processes_that_write_in_the_wrong_order(cast: Cast) -> None:
    key, at = user_key(cast.bob, cast.account).key, timezone.now()

    used(key, ip="192.0.2.1", client="newer/1", at=at)
    used(key, ip="192.0.2.2", client="older/1", at=at - timedelta(minutes=5))
    used(key, ip="192.0.2.3", client="newest/1", at=at + timedelta(minutes=5))
    used(key, ip="192.0.2.4", client="late/1", at=at)

    use = KeyUse.objects.get()
    first, last = at - timedelta(minutes=5), at + timedelta(minutes=5)
    assert (use.first_used_at, use.last_used_at, use.uses) == (first, last, 4)
    assert (use.ip, use.client, use.client_family) == ("192.0.2.3", "newest/1", "newest 1")


@pytest.mark.django_db
def test_a_clock_that_is_set_back_takes_no_use_with_it(cast: Cast) -> None:
    key, at, uses = user_key(cast.bob, cast.account).key, timezone.now(), Uses()

    for seconds in (0, -3_600):
        uses.note_at(key.pk, NOBODY, at.timestamp() + seconds)
    uses.flush()

    assert KeyUse.objects.get().last_used_at == at


@pytest.mark.django_db
def test_many_keys_are_one_statement(cast: Cast, django_assert_num_queries: Callable[[int], Any]) -> None:
    uses = Uses()
    keys = [user_key(cast.bob, cast.account).key for _ in range(20)]
    for key in keys * 3:
        uses.note(key.pk, _nobody, None)
    uses.note(10**15, _nobody, None)  # deleted meanwhile

    with django_assert_num_queries(1):
        uses.flush()
    with django_assert_num_queries(0):
        uses.flush()

    assert set(KeyUse.objects.values_list("key_id", "uses")) == {(key.pk, 3) for key in keys}


@pytest.mark.django_db
def test_slow_doors_write_after_the_answer_and_once_in_an_interval(client: Client, cast: Cast) -> None:
    new = user_key(cast.bob, cast.account)
    headers = {"authorization": f"Bearer {new.plaintext}", "user-agent": "curl/8.5.0"}

    for _ in range(3):
        assert client.get("/v2/api-keys", headers=headers).status_code == 200
    first = KeyUse.objects.get()
    usage.uses.flush()

    last = KeyUse.objects.get()
    assert (first.uses, last.uses) == (1, 3)
    assert (last.ip, last.client_family) == ("127.0.0.1", "curl 8")


@pytest.mark.django_db(transaction=True)
def test_a_database_that_fails_keeps_the_counts_and_fails_no_request(client: Client) -> None:
    cast = assemble()
    new = user_key(cast.bob, cast.account)
    headers = {"authorization": f"Bearer {new.plaintext}"}
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE apikeys_keyuse RENAME TO away")
    try:
        assert [client.get("/v2/spaces", headers=headers).status_code for _ in range(2)] == [200, 200]
        with pytest.raises(DatabaseError):
            usage.uses.flush()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO apikeys_keyuse")

    usage.uses.flush()

    assert KeyUse.objects.get().uses == 2


@pytest.mark.django_db
def test_a_flood_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(usage, "MOST_KEYS", 10)
    uses = Uses()

    for key_id in range(5):
        uses.note(key_id, _nobody, None)
    assert not uses._wake.is_set()
    for key_id in range(5, 1_000):
        uses.note(key_id, _nobody, None)

    assert uses._wake.is_set()  # whoever writes is not to wait
    assert len(uses._counted) == 10
    uses.try_to_flush()
    assert "990 uses of keys were not counted" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_nothing_is_lost_between_counting_and_writing() -> None:
    cast = assemble()
    key, uses, ended = user_key(cast.bob, cast.account).key, Uses(), threading.Event()

    def write() -> None:
        while not ended.is_set():
            uses.flush()
        connection.close()

    writing = threading.Thread(target=write)
    writing.start()
    for _ in range(50_000):
        uses.note(key.pk, _nobody, None)
    ended.set()
    writing.join(timeout=30)
    uses.flush()

    assert KeyUse.objects.get().uses == 50_000


class Interrupted(int):
    """The number of a key. Whoever looks it up stands still while something else is done, or tried."""

    meanwhile: Callable[[], None]

    def __hash__(self) -> int:
        self.meanwhile()
        return super().__hash__()


@pytest.mark.django_db(transaction=True)
def test_a_use_that_is_just_counted_while_others_are_written_is_not_lost() -> None:
    cast = assemble()
    key, uses = user_key(cast.bob, cast.account).key, Uses()

    def write() -> None:
        uses.flush()
        connection.close()

    def try_to_write() -> None:
        writing.start()
        writing.join(timeout=0.5)

    writing, interrupted = threading.Thread(target=write), Interrupted(key.pk)
    interrupted.meanwhile = try_to_write

    uses.note(key.pk, _nobody, None)
    uses.note(interrupted, _nobody, None)
    writing.join(timeout=30)
    uses.flush()

    assert KeyUse.objects.get().uses == 2


# Real processes

# In a process that was forked, as an application server does: such a one ends without all that usually comes at an end.
COUNTING = """
import io, itertools, multiprocessing, os, sys, threading
from pathlib import Path
from django.conf import settings
settings.DATABASES["default"].update(NAME={name!r}, USER={user!r})
settings.SHARED_FOLDER = Path({shared!r})
settings.VERIFY_PATIENCE = 60
incoming = os.dup(0)

def work():
    from apikeys import usage
    usage.FLUSH_SECONDS = 0.2
    write = usage._write
    def tell(rows):
        write(rows)
        print("wrote", rows[0][1], flush=True)
    usage._write = tell
    from arizekeys import wsgi  # starts the thread that writes

    ended = threading.Event()
    threading.Thread(target=lambda: (os.read(incoming, 1), ended.set()), daemon=True).start()
    environ = {{"PATH_INFO": "/verify", "REQUEST_METHOD": "GET", "QUERY_STRING": "", "REMOTE_ADDR": "127.0.0.1",
               "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "HTTP_AUTHORIZATION": {key!r}}}
    said = []
    print("worker", os.getpid(), flush=True)
    for number in itertools.count(1):
        wsgi.application(environ, lambda status, headers: said.append(status[:3]))
        if said.pop() != "204":
            sys.exit("refused")
        if ended.wait(0.001):
            break
    print("asked", number, flush=True)

worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
worker.join()
sys.exit(worker.exitcode)
"""


@pytest.fixture
def counting(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a worker's application that is asked about one key without end, until its input ends."""
    begun: list[subprocess.Popen[str]] = []

    def begin(key: str) -> subprocess.Popen[str]:
        named = connection.settings_dict
        code = COUNTING.format(name=named["NAME"], user=named["USER"], shared=str(tmp_path / "shared"), key=key)
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "arizekeys.settings"}
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        with process:  # closes its pipes, and waits
            pass


def _written(told: list[str]) -> int:
    return sum(int(line.split()[1]) for line in told if line.startswith("wrote"))


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_loses_no_more_than_one_interval(
    counting: Callable[[str], subprocess.Popen[str]],
) -> None:
    cast = assemble()
    new = user_key(cast.bob, cast.account)
    process = counting(new.plaintext)
    assert process.stdout is not None
    worker = int(process.stdout.readline().split()[1])
    told = [process.stdout.readline() for _ in range(3)]
    killed_at = timezone.now()

    os.kill(worker, signal.SIGKILL)

    told += process.stdout.readlines()
    use = _settled()
    assert process.wait(timeout=30) != 0
    assert use.uses >= _written(told) > 0  # what it had written is there; the last may have been on its way
    assert use.first_used_at < use.last_used_at <= killed_at + timedelta(seconds=5)


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_ends_writes_everything(counting: Callable[[str], subprocess.Popen[str]]) -> None:
    cast = assemble()
    process = counting(user_key(cast.bob, cast.account).plaintext)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(2)]
    assert process.stdin is not None
    process.stdin.close()

    told += process.stdout.readlines()

    assert process.wait(timeout=30) == 0
    asked = next(int(line.split()[1]) for line in told if line.startswith("asked"))
    assert KeyUse.objects.get().uses == _written(told) == asked


def _settled() -> KeyUse:
    """Return what is written once nothing comes any more: a killed process leaves its last statement to the server."""
    before: datetime | None = None
    while (use := KeyUse.objects.get()).last_used_at != before:
        before = use.last_used_at
        time.sleep(0.2)
    return use
