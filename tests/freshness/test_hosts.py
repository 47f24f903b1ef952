"""Real servers, real faults: after the answer to what takes something away nobody accepts it, whatever happened."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from accounts.bindings import bind_role, predefined
from accounts.custom_roles import change_role
from accounts.models import Role, Space
from accounts.people import remove_person
from accounts.roles import Level, RoleName
from accounts.tenancy import change_account, change_space, delete_organization
from accounts.wire import encode_id
from apikeys import following, peppers, tokens
from apikeys.following import settle
from apikeys.lifecycle import NewKey, refresh_key
from apikeys.models import ApiKey, KeySecret, Verifier
from tests.cast import Cast, assemble
from tests.factories import (
    AccountFactory,
    OrganizationFactory,
    PersonFactory,
    SpaceFactory,
    bind,
    custom_role,
    service_key,
    user_key,
)
from tests.freshness.hosts import Host, Line, Relay, ask_all, revoke, revoke_by_hand, stopped, wait_until, warm

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture(scope="module")
def _two(
    tmp_path_factory: pytest.TempPathFactory, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[list[Host]]:
    """Two hosts with four workers each."""
    folder = tmp_path_factory.mktemp("hosts")
    hosts = [Host(folder / name, workers=4) for name in ("one", "two")]
    try:
        yield [host.connect() for host in hosts]
    finally:
        for host in hosts:
            host.stop()
        with django_db_blocker.unblock():
            Verifier.objects.all().delete()  # or whoever settles next would wait for them
            connection.close()


@pytest.fixture
def hosts(_two: list[Host], transactional_db: None) -> list[Host]:
    """Two hosts that have joined: emptying the tables after a test has taken their rows away."""
    wait_until(lambda: Verifier.objects.filter(barred=False).count() == len(_two))
    return [host.connect() for host in _two]


@pytest.fixture
def relay() -> Iterator[Relay]:
    """A wire that can be held up."""
    wire = Relay()
    yield wire
    wire.close()


@pytest.fixture
def behind(relay: Relay, tmp_path_factory: pytest.TempPathFactory, transactional_db: None) -> Iterator[Host]:
    """A host with two workers at the end of that wire."""
    host = Host(tmp_path_factory.mktemp("behind") / "host", workers=2, HOST="127.0.0.1", PORT=str(relay.port))
    try:
        host.connect()
        wait_until(Verifier.objects.exists)
        yield host
    finally:
        host.stop()


@pytest.fixture
def everybody(transactional_db: None) -> Cast:
    """The cast, committed."""
    return assemble()


def _lines(hosts: list[Host]) -> list[Line]:
    return [line for host in hosts for line in host.lines]


@dataclass
class Taken:
    """Something to take away: how, from which key, and what that key may ask until then."""

    take: Callable[[], object]
    key: str
    query: str = ""
    give_back: Callable[[], object] = lambda: None


def _in(space: Space, permission: str = "") -> str:
    return f"space={encode_id('Space', space.pk)}" + (f"&permission={permission}" if permission else "")


def _keys(cast: Cast, count: int) -> Iterator[NewKey]:
    """Make keys of Bob's, all at once: through the verb a thousand take longer than the test."""
    number, pepper = peppers.newest()
    at, texts = timezone.now(), [tokens.mint() for _ in range(count)]
    known = {"account": cast.account, "kind": "USER", "owner": cast.bob, "created_by": cast.bob, "created_at": at}
    keys = ApiKey.objects.bulk_create(
        [ApiKey(name="one of many", redacted_key=tokens.redacted(text.plaintext), **known) for text in texts]
    )
    secrets = [
        {"key": key, "public_id": text.public_id, "digest": tokens.digest(text, pepper)}
        for key, text in zip(keys, texts, strict=True)
    ]
    KeySecret.objects.bulk_create([KeySecret(pepper_id=number, created_at=at, **one) for one in secrets])
    return (NewKey(key, text.plaintext) for key, text in zip(keys, texts, strict=True))


def _revoked(cast: Cast, new: NewKey) -> Taken:
    return Taken(lambda: revoke(cast, new), new.plaintext)


def _refreshed(cast: Cast, new: NewKey) -> Taken:
    return Taken(lambda: refresh_key(cast.actor(cast.bob), new.key, at=timezone.now()), new.plaintext)


def _removed(cast: Cast, _: NewKey) -> Taken:
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    key = user_key(person, cast.account).plaintext
    return Taken(lambda: remove_person(cast.actor(cast.alice), user=person, at=timezone.now()), key)


def _demoted(cast: Cast, new: NewKey) -> Taken:
    def become(role: RoleName) -> None:
        row = predefined(Level.SPACE, role)
        bind_role(cast.actor(cast.alice), user=cast.bob, role=row, scope=cast.production, at=timezone.now())

    return Taken(
        lambda: become(RoleName.READ_ONLY),
        new.plaintext,
        _in(cast.production, "DATASET_CREATE"),
        lambda: become(RoleName.MEMBER),
    )


def _narrowed(cast: Cast, _: NewKey) -> Taken:
    role = custom_role(cast.account, f"role {Role.objects.count()}", "SPACE_READ", "DATASET_CREATE")
    key = service_key(cast.alice, cast.vision_lab, role=role).plaintext
    return Taken(
        lambda: change_role(cast.actor(cast.alice), role, permissions=["SPACE_READ"], at=timezone.now()),
        key,
        _in(cast.vision_lab, "DATASET_CREATE"),
    )


def _closed(cast: Cast, _: NewKey) -> Taken:
    space = SpaceFactory.create(organization=cast.fraud)

    def close() -> None:
        change_space(cast.actor(cast.alice), space, is_private=True, at=timezone.now())

    return Taken(close, user_key(cast.charlie, cast.account).plaintext, _in(space))


def _deleted(cast: Cast, _: NewKey) -> Taken:
    space = SpaceFactory.create(organization=OrganizationFactory.create(account=cast.account))
    key = user_key(cast.alice, cast.account).plaintext

    def delete() -> None:
        delete_organization(cast.actor(cast.alice), space.organization, at=timezone.now())

    return Taken(delete, key, _in(space))


def _locked(cast: Cast, new: NewKey) -> Taken:
    def lock(locked: bool) -> None:
        kept = cast.account.max_key_lifetime_days
        change_account(
            cast.actor(cast.alice), developer_access_locked=locked, max_key_lifetime_days=kept, at=timezone.now()
        )

    return Taken(lambda: lock(True), new.plaintext, "", lambda: lock(False))


OTHERS = (_removed, _demoted, _narrowed, _closed, _deleted, _locked)
# At the same time, each in an account of its own: verbs of one account wait for each other.
# In each some keys end by a verb of their own, and the rest ten at a time, with the person whose they are.
PLACES, EACH, OTHER, LEAVING, THEIRS = 4, 30, 12, 22, 10


def _take_away(cast: Cast, number: int, hosts: list[Host], accepted: Counter[str]) -> None:
    """Take things away one after the other, and ask everybody after each answer."""
    try:
        lines = [line for host in hosts for line in host.own_lines()]
        for turn, new in enumerate(_keys(cast, EACH)):
            # The first place does everything else as well.
            other = number == 0 and turn < OTHER
            kind = OTHERS[turn % len(OTHERS)] if other else (_revoked, _refreshed)[turn % 2]
            taken = kind(cast, new)
            assert set(ask_all(lines, taken.key, taken.query)) == {204}, kind
            taken.take()
            told = ask_all(lines, taken.key, taken.query) + ask_all(lines, taken.key, taken.query)
            accepted[kind.__name__] += told.count(204)
            taken.give_back()
        for _ in range(LEAVING):
            _leave(cast, lines, accepted)
        for line in lines:
            line.close()
    finally:
        connection.close()


def _leave(cast: Cast, lines: list[Line], accepted: Counter[str]) -> None:
    """Remove a person with all their keys, and ask everybody about each."""
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    keys = [new.plaintext for new in _keys(replace(cast, bob=person), THEIRS)]
    assert {status for key in keys for status in ask_all(lines, key)} == {204}

    remove_person(cast.actor(cast.alice), user=person, at=timezone.now())

    for line in lines:
        for key in keys:
            line.send(key)
    accepted["_leave"] += [line.status() for line in lines for _ in keys].count(204)


def _elsewhere(cast: Cast) -> Cast:
    """Return the cast with another account, and another Bob in it."""
    account, bob = AccountFactory.create(), PersonFactory.create()
    bind(bob, account, RoleName.MEMBER)
    bind(cast.alice, account, RoleName.ADMIN)
    return replace(cast, account=account, bob=bob)


def test_of_a_thousand_revocations_under_load_none_is_accepted_after_its_answer(
    everybody: Cast, hosts: list[Host]
) -> None:
    accepted = Counter[str]()
    casts = [everybody, *(_elsewhere(everybody) for _ in range(PLACES - 1))]

    with ThreadPoolExecutor(PLACES) as pool:
        for done in [pool.submit(_take_away, cast, number, hosts, accepted) for number, cast in enumerate(casts)]:
            done.result()

    # Three askers are the load for the fourth.
    assert PLACES * (EACH + LEAVING * THEIRS) == 1_000
    assert {"_leave", _revoked.__name__, _refreshed.__name__, *(kind.__name__ for kind in OTHERS)} == set(accepted)
    assert accepted.total() == 0, accepted


def test_a_stopped_follower_is_waited_for_and_resumes_without_its_memory(
    everybody: Cast, hosts: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE", 5.0)  # for the other one, which may be slow and is not given up
    new, lines = user_key(everybody.bob, everybody.account), _lines(hosts)
    warm(lines, new.plaintext)
    follower = hosts[0].follower
    asleep = hosts[0].line_to(follower)
    awake = [line for line in lines if line is not asleep]
    joined = set(Verifier.objects.values_list("name", flat=True))

    with stopped(follower):
        revoke(everybody, new)
        asleep.send(new.plaintext)
        assert set(ask_all(awake, new.plaintext)) == {401}
        assert Verifier.objects.filter(name__in=joined).count() == 1  # the other host's

    assert asleep.status() == 401
    assert set(ask_all(lines, new.plaintext)) == {401}


def test_what_is_remembered_while_nobody_settles_is_what_settling_is_for(everybody: Cast, hosts: list[Host]) -> None:
    """The memory of a host whose follower sleeps is believed until its lease is over: so these tests can fail."""

    def it_is_remembered() -> bool:
        new = user_key(everybody.bob, everybody.account)
        warm(hosts[0].lines, new.plaintext)
        follower = hosts[0].follower
        awake = [line for line in hosts[0].lines if line.worker != follower]
        with stopped(follower):
            revoke_by_hand(new)
            told = ask_all(awake, new.plaintext)
            settle()
            assert set(ask_all(awake, new.plaintext)) == {401}
        return 204 in told

    # What is left of a lease is short, and may be over before anybody has asked.
    assert any(it_is_remembered() for _ in range(10))


def test_a_stopped_worker_that_does_not_follow_holds_nobody_up(
    everybody: Cast, hosts: list[Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE", 30.0)  # whoever is only slow is not given up
    new, lines = user_key(everybody.bob, everybody.account), _lines(hosts)
    warm(lines, new.plaintext)
    follower = hosts[1].follower
    asleep = next(line for line in hosts[1].lines if line.worker != follower)
    joined = set(Verifier.objects.values_list("name", flat=True))

    with stopped(asleep.worker):
        revoke(everybody, new)
        asleep.send(new.plaintext)
        assert set(ask_all([line for line in lines if line is not asleep], new.plaintext)) == {401}

    assert asleep.status() == 401
    assert set(Verifier.objects.values_list("name", flat=True)) == joined


def test_after_a_killed_follower_another_follows(everybody: Cast, hosts: list[Host]) -> None:
    first, second = (user_key(everybody.bob, everybody.account) for _ in range(2))
    warm(_lines(hosts), first.plaintext)
    follower = hosts[0].follower
    left = [line for line in _lines(hosts) if line.worker != follower]

    os.kill(follower, signal.SIGKILL)
    revoke(everybody, first)

    assert set(ask_all(left, first.plaintext)) == {401}
    wait_until(lambda: hosts[0].follower not in (0, follower))
    lines = _lines([host.connect() for host in hosts])  # with the worker that was started instead
    warm(lines, second.plaintext)
    revoke(everybody, second)
    assert set(ask_all(lines, second.plaintext)) == {401}


def test_a_lost_line_to_the_database_loses_no_change(everybody: Cast, hosts: list[Host]) -> None:
    lines = _lines(hosts)
    for _ in range(5):
        new = user_key(everybody.bob, everybody.account)
        warm(lines, new.plaintext)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ 'apikeys_verifier'"
            )
            assert cursor.rowcount == 2

        revoke(everybody, new)

        assert set(ask_all(lines, new.plaintext)) == {401}
        wait_until(lambda: Verifier.objects.filter(acknowledged__gt=0).count() == 2)


def test_a_host_cut_off_by_a_firewall_accepts_nothing_that_was_taken_away(
    everybody: Cast, behind: Host, relay: Relay
) -> None:
    new = user_key(everybody.bob, everybody.account)
    warm(behind.lines, new.plaintext)

    relay.hold()
    revoke(everybody, new)
    for line in behind.lines:
        line.send(new.plaintext)
    # Its memory is over, and its question does not get through.
    assert all(line.is_silent(seconds=0.2) for line in behind.lines)
    relay.release()

    assert {line.status() for line in behind.lines} == {401}
    assert set(ask_all(behind.lines, new.plaintext)) == {401}


def test_an_answer_of_before_that_arrives_after_is_not_remembered(everybody: Cast, behind: Host, relay: Relay) -> None:
    known, cold = (user_key(everybody.bob, everybody.account) for _ in range(2))
    warm(behind.lines, known.plaintext)  # so that both workers have their connection

    relay.hold(answers_to_questions=True)
    for line in behind.lines:
        line.send(cold.plaintext)
    wait_until(lambda: relay.holds_back(len(behind.lines)))
    revoke(everybody, cold)
    relay.release()

    # These were asked, and decided, before the change was made.
    assert {line.status() for line in behind.lines} == {204}
    assert set(ask_all(behind.lines, cold.plaintext)) == {401}


def test_without_a_database_memory_lasts_as_long_as_the_lease_and_then_nothing_is_known(
    everybody: Cast, behind: Host, relay: Relay
) -> None:
    new = user_key(everybody.bob, everybody.account)
    warm(behind.lines, new.plaintext)
    told: list[list[int]] = [[] for _ in behind.lines]

    relay.cut()

    def all_know_nothing() -> bool:
        for said, status in zip(told, ask_all(behind.lines, new.plaintext), strict=True):
            said.append(status)
        return all(said[-1] == 503 for said in told)

    wait_until(all_know_nothing)
    for _ in range(20):
        assert set(ask_all(behind.lines, new.plaintext)) == {503}
    for said in told:
        assert said == sorted(said)  # 204 as long as the lease, then 503
    revoke(everybody, new)
    relay.release()
    wait_until(lambda: 503 not in ask_all(behind.lines, new.plaintext))
    assert set(ask_all(behind.lines, new.plaintext)) == {401}
