"""A host whose clock is an hour wrong obeys as all others do, since nothing here asks what time it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from apikeys.following import settle
from apikeys.models import Verifier
from tests.cast import Cast, assemble
from tests.factories import user_key
from tests.freshness.hosts import Host, ask_all, know_by_heart, revoke, revoke_by_hand, stopped, wait_until, warm

pytestmark = pytest.mark.usefixtures("alone")

HOUR = 3600


def _faketime() -> Path:
    """Return the library that tells a process another time. Without it tests are skipped; in CI that is a failure."""
    found = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("libfaketime is not installed.")
    return found


class Clock:
    """What a host takes for the time of day: as wrong as it is told to be, also while it runs."""

    def __init__(self, folder: Path) -> None:
        self._told = folder / "told"
        self.be_wrong(0)

    @property
    def env(self) -> dict[str, str]:
        """What makes a process believe it."""
        return {
            "LD_PRELOAD": str(_faketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._told),
            "FAKETIME_NO_CACHE": "1",
            # The clocks that only go forward are the kernel's.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def be_wrong(self, seconds: int) -> None:
        """Jump to a time that is so far ahead of the right one."""
        draft = self._told.with_suffix(".new")
        draft.write_text(f"{seconds:+d}", encoding="ascii")
        draft.replace(self._told)  # whoever looks meanwhile sees the one or the other


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A clock that can be set."""
    return Clock(tmp_path)


@pytest.fixture
def host(clock: Clock, tmp_path_factory: pytest.TempPathFactory, transactional_db: None) -> Iterator[Host]:
    """A host with two workers that goes by it."""
    host = Host(tmp_path_factory.mktemp("wrong") / "host", workers=2, env=clock.env)
    try:
        host.connect()
        wait_until(Verifier.objects.exists)
        yield host
    finally:
        host.stop()


def test_a_host_whose_clock_is_wrong_and_jumps_obeys_and_remembers(host: Host, clock: Clock) -> None:
    cast = assemble()
    for wrong in (HOUR, -HOUR):
        clock.be_wrong(wrong)
        revoked = user_key(cast.bob, cast.account)
        warm(host.lines, revoked.plaintext)
        assert [round((line.clock - time.time()) / HOUR) for line in host.lines] == [wrong // HOUR] * 2
        wait_until(partial(know_by_heart, host.lines, revoked.plaintext))

        revoke(cast, revoked)
        assert set(ask_all(host.lines, revoked.plaintext)) == {401}

        # What is left of a lease is short, and may be over before anybody has asked.
        assert any(_speaks_from_memory(cast, host, clock, wrong) for _ in range(10))


def _speaks_from_memory(cast: Cast, host: Host, clock: Clock, wrong: int) -> bool:
    """Whether it does so with its follower asleep, until somebody has waited for its lease to end: never after that."""
    clock.be_wrong(wrong)
    changed = user_key(cast.bob, cast.account)
    warm(host.lines, changed.plaintext)
    follower = host.follower
    (awake,) = (line for line in host.lines if line.worker != follower)
    wait_until(partial(know_by_heart, [awake], changed.plaintext))
    with stopped(follower):
        revoke_by_hand(changed)
        clock.be_wrong(-wrong)
        told = awake.ask(changed.plaintext)
        settle()
        assert awake.ask(changed.plaintext) == 401
    return told == 204
