"""A database that is stopped and started again: nothing that was taken away comes back with it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

import pytest
from django.db import InterfaceError, OperationalError, connection
from pytest_django import DjangoDbBlocker

from apikeys.following import settle
from apikeys.lifecycle import NewKey
from apikeys.models import ApiKey, Verifier
from benchmarks.cluster import PASSWORD, Server
from tests.cast import Cast, assemble
from tests.factories import user_key
from tests.freshness.hosts import (
    Host,
    Line,
    ask_all,
    dsn,
    know_by_heart,
    revoke,
    revoke_by_hand,
    stopped,
    wait_until,
    warm,
)

pytestmark = pytest.mark.usefixtures("alone")


class Own(NamedTuple):
    """A database server that may be stopped, the hosts on it, and who is known there."""

    server: Server
    hosts: list[Host]
    cast: Cast

    @property
    def lines(self) -> list[Line]:
        """To each worker of each host."""
        return [line for host in self.hosts for line in host.lines]


@contextmanager
def _working_on(database: dict[str, Any]) -> Iterator[None]:
    """Have this process's verbs work on another database."""
    known = connection.settings_dict
    kept = {name: known[name] for name in database}
    connection.close()
    known.update(database)
    try:
        yield
    finally:
        connection.close()
        known.update(kept)


@pytest.fixture(scope="module")
def _own(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[tuple[Own, dict[str, Any]]]:
    """A server with a copy of the tests' database, and two hosts with two workers each on it."""
    folder = tmp_path_factory.mktemp("own")
    server = Server(folder / "server", "127.0.0.1", durable=False)
    database: dict[str, Any] = {
        "NAME": "postgres",
        "USER": "postgres",
        "PASSWORD": PASSWORD,
        "HOST": server.address,
        "PORT": str(server.port),
    }
    hosts: list[Host] = []
    try:
        server.make()
        server.start()
        with django_db_blocker.unblock():
            server.load(dsn())
            with _working_on(database):
                Verifier.objects.all().delete()  # hosts of other tests
                cast = assemble()
        hosts += [Host(folder / name, workers=2, **database) for name in ("one", "two")]
        yield Own(server, [host.connect() for host in hosts], cast), database
    finally:
        for host in hosts:
            host.stop()
        server.kill()


@pytest.fixture
def own(_own: tuple[Own, dict[str, Any]], transactional_db: None) -> Iterator[Own]:
    """That server, this process's verbs on it, and both hosts joined."""
    found, database = _own
    with _working_on(database):
        wait_until(lambda: Verifier.objects.filter(barred=False).count() == len(found.hosts))
        yield found


def _restart(server: Server, how: str = "immediate") -> None:
    server.stop(how)
    server.start()


def _insist(cast: Cast, new: NewKey) -> None:
    """Revoke a key, again and again until that is answered."""

    def is_answered() -> bool:
        try:
            revoke(cast, new)
        except (OperationalError, InterfaceError):
            connection.close()
            return False
        return True

    wait_until(is_answered)


@pytest.mark.parametrize("how", ["immediate", "fast"])
def test_what_is_revoked_around_a_restart_is_not_accepted_after_the_answer(own: Own, how: str) -> None:
    kept, *keys = (user_key(own.cast.bob, own.cast.account) for _ in range(25))
    for new in (kept, *keys):
        warm(own.lines, new.plaintext)
    left = iter(keys)
    revoked: list[NewKey] = []

    def revoke_some(few: int) -> None:
        for new in islice(left, few):
            _insist(own.cast, new)
            revoked.append(new)
            assert 204 not in ask_all(own.lines, new.plaintext)

    with ThreadPoolExecutor(1) as pool:
        revoke_some(3)
        restarted = pool.submit(_restart, own.server, how)
        while not restarted.done() and len(revoked) < len(keys) - 3:
            revoke_some(1)
        restarted.result()
        revoke_some(3)

    wait_until(lambda: 503 not in ask_all(own.lines, kept.plaintext))
    assert {status for new in revoked for status in ask_all(own.lines, new.plaintext)} == {401}
    wait_until(lambda: know_by_heart(own.lines, kept.plaintext))


def test_who_waits_while_the_database_is_restarted_waits_on(own: Own) -> None:
    new = user_key(own.cast.bob, own.cast.account)
    warm(own.lines, new.plaintext)
    first, second = (host.follower for host in own.hosts)
    awake = [line for line in own.lines if line.worker not in (first, second)]

    def revoke_and_hang_up() -> None:
        _insist(own.cast, new)
        connection.close()

    with ThreadPoolExecutor(1) as pool, stopped(first), stopped(second):
        revoked = pool.submit(revoke_and_hang_up)
        wait_until(ApiKey.objects.filter(pk=new.key.pk, revoked_at__isnull=False).exists)
        connection.close()
        _restart(own.server)
        revoked.result()
        assert 204 not in ask_all(awake, new.plaintext)

    wait_until(lambda: set(ask_all(own.lines, new.plaintext)) == {401})


def test_what_was_changed_before_anybody_listened_again_is_not_remembered(own: Own) -> None:
    """Here nobody is told of the change: what was remembered has to be given up because the line was lost."""
    kept, new = (user_key(own.cast.bob, own.cast.account) for _ in range(2))
    for one in (kept, new):
        warm(own.lines, one.plaintext)
    first, second = (host.follower for host in own.hosts)

    with stopped(first), stopped(second):
        _restart(own.server)
        revoke_by_hand(new)

    settle()
    wait_until(lambda: know_by_heart(own.lines, kept.plaintext))
    assert set(ask_all(own.lines, new.plaintext)) == {401}
