"""Many write to the audit log at once, on connections of their own: no chain forks, no account waits for another."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.audit import Tag, record
from accounts.chain import chains, check
from accounts.models import Account, AuditEvent, User
from accounts.people import remove_person
from tests.cast import assemble
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 6
EACH = 25


class Aside(threading.Thread):
    """Runs something on a connection of its own and keeps what came of it."""

    def __init__(self, do: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._do = do
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._do()
        except Exception as error:
            self.outcome = error
        finally:
            connections.close_all()

    def finish(self) -> Any:
        """Wait for the end and return what came of it."""
        self.join(timeout=60)
        assert not self.is_alive()
        return self.outcome


def write(account: Account | None) -> AuditEvent:
    """Record one event."""
    return record(Actor(user=None, account=account, door=Door.SYSTEM), Tag.ACCOUNT_CHANGED, account)


def wait_until_somebody_waits_for_a_lock() -> None:
    """Wait until the database says that somebody does."""
    for _ in range(6_000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees what it saw first
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone():
                return
        time.sleep(0.01)
    pytest.fail("nobody waited for a lock")


def without_patience() -> None:
    """Let the current transaction give up at the first lock that it does not get at once."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '200ms'")


@pytest.mark.parametrize("accounts", [1, 3])
def test_writers_at_once_leave_unforked_chains_without_gaps(accounts: int) -> None:
    """The very first events of each account are among them."""
    scopes = AccountFactory.create_batch(accounts)
    ready = threading.Barrier(WRITERS)

    def work() -> None:
        ready.wait(timeout=30)
        for number in range(EACH):
            write(scopes[number % accounts])

    writers = [Aside(work) for _ in range(WRITERS)]
    # Whoever checks meanwhile sees nothing wrong either.
    seen = [check(scope.pk).fault for _ in range(10) for scope in scopes]

    assert [writer.finish() for writer in writers] == [None] * WRITERS
    assert seen == [None] * len(seen)
    reports = [check(scope.pk) for scope in scopes]
    assert [report.fault for report in reports] == [None] * accounts
    assert sum(report.good.position for report in reports) == WRITERS * EACH
    for scope in scopes:
        numbers = AuditEvent.objects.filter(account_id=scope.pk).order_by("position").values_list("pk", flat=True)
        assert list(numbers) == sorted(numbers)


@pytest.mark.parametrize("already", [0, 2])
@pytest.mark.parametrize("look", range(5))
def test_what_is_written_between_two_looks_of_a_check_is_no_fault(look: int, already: int) -> None:
    account = AccountFactory.create()
    for _ in range(already):
        write(account)
    looks = itertools.count()

    def then_somebody_writes(execute: Callable[..., Any], *query: Any) -> Any:
        answer = execute(*query)
        if next(looks) == look:
            assert isinstance(Aside(lambda: write(account)).finish(), AuditEvent)
        return answer

    with connection.execute_wrapper(then_somebody_writes):
        report = check(account.pk)

    assert report.fault is None
    assert AuditEvent.objects.filter(account_id=account.pk).count() == already + 1


def test_writers_of_two_accounts_do_not_wait_for_each_other() -> None:
    one, other = AccountFactory.create_batch(2)

    def aside(account: Account | None) -> int:
        with transaction.atomic():
            without_patience()
            return write(account).position

    with transaction.atomic():
        assert write(one).position == 1

        assert Aside(lambda: aside(other)).finish() == 1
        assert Aside(lambda: aside(None)).finish() == 1
        # While whoever comes to the same account does wait.
        assert isinstance(Aside(lambda: aside(one)).finish(), OperationalError)


def test_the_second_writer_waits_for_the_first_and_follows_it() -> None:
    account = AccountFactory.create()

    with transaction.atomic():
        first = write(account)
        second = Aside(lambda: write(account))
        wait_until_somebody_waits_for_a_lock()

    assert bytes(second.finish().previous) == bytes(first.hash)


def test_what_is_rolled_back_leaves_no_gap() -> None:
    account = AccountFactory.create()
    write(account)

    with transaction.atomic():
        write(account)
        follower = Aside(lambda: write(account))
        wait_until_somebody_waits_for_a_lock()
        transaction.set_rollback(True)

    assert follower.finish().position == 2
    assert check(account.pk).fault is None


def test_somebody_removed_while_they_change_their_password_stops_nobody() -> None:
    """The one holds the person's row and records, the other records and needs the row: not while it holds the chain."""
    cast = assemble()

    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=cast.bob.pk)
        removal = Aside(lambda: remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now()))
        wait_until_somebody_waits_for_a_lock()
        record(cast.actor(cast.bob), Tag.PASSWORD_CHANGED, cast.bob)

    assert removal.finish() is None
    assert [check(number).fault for number in chains()] == [None] * len(chains())
