"""The buckets that all workers of a host share: exact among real processes, nobody else's, and bounded."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest

from apikeys import limits
from apikeys.errors import LimiterFailed
from apikeys.limits import Limit, Limiter

FEW = Limit(rate=0.01, burst=5)


@pytest.fixture
def limiter(tmp_path: Path) -> Iterator[Limiter]:
    """The buckets, in a file of the test's own."""
    limiter = Limiter(tmp_path / "limits")
    yield limiter
    limiter.close()


def _takes(limiter: Limiter, bucket: str, limit: Limit, times: int) -> int:
    return sum(not limiter.take(bucket, limit) for _ in range(times))


def test_a_burst_and_no_more(limiter: Limiter) -> None:
    assert [limiter.left("a", FEW), _takes(limiter, "a", FEW, 20), limiter.left("a", FEW)] == [True, 5, False]
    assert _takes(limiter, "b", FEW, 20) == 5


def test_it_says_how_long_to_wait(limiter: Limiter) -> None:
    _takes(limiter, "a", FEW, 5)

    waits = [limiter.take("a", FEW) for _ in range(3)]

    assert all(90 < wait <= 100 for wait in waits)  # being refused makes it no longer
    assert waits == sorted(waits, reverse=True)


def test_what_was_taken_comes_back(limiter: Limiter) -> None:
    quick = Limit(rate=200, burst=2)
    assert _takes(limiter, "a", quick, 2) == 2

    deadline = time.monotonic() + 10
    while limiter.take("a", quick):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_no_limit(limiter: Limiter) -> None:
    none = Limit(rate=0, burst=0)

    assert _takes(limiter, "a", none, 1_000) == 1_000
    assert limiter.left("a", none)


def test_the_highest_rate_is_one_too(limiter: Limiter) -> None:
    assert _takes(limiter, "a", Limit(rate=1_000_000, burst=3), 3) == 3
    assert Limit(rate=1_000_000, burst=3).step > 0


def test_two_workers_see_the_same(limiter: Limiter, tmp_path: Path) -> None:
    other = Limiter(tmp_path / "limits")

    assert [_takes(limiter, "a", FEW, 3), _takes(other, "a", FEW, 9), _takes(limiter, "a", FEW, 1)] == [3, 2, 0]
    other.close()


def test_another_host_hashes_otherwise(tmp_path: Path) -> None:
    """Nobody who knows this program can look for an address that shares a bucket with somebody else's."""
    ours, others = (Limiter(tmp_path / name) for name in ("ours", "others"))

    assert ours._find("guesses:192.0.2.7/32")[:2] != others._find("guesses:192.0.2.7/32")[:2]
    for one in (ours, others):
        one.close()


def test_strangers_who_share_a_place_share_no_bucket(limiter: Limiter) -> None:
    def where(bucket: str) -> tuple[int, int]:
        word, mark, _ = limiter._find(bucket)
        return word // limits._IN_A_PLACE, mark

    place, mark = where("a")
    others = (f"n{number}" for number in range(10_000_000))
    neighbour = next(one for one in others if (there := where(one))[0] == place and there[1] != mark)

    assert _takes(limiter, neighbour, FEW, 9) == 5
    assert _takes(limiter, "a", FEW, 9) == 5


def test_more_sources_than_places_make_it_stricter_and_never_looser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_PLACES", 1)
    limiter = Limiter(tmp_path / "crowded")

    through = sum(_takes(limiter, f"source {number}", FEW, 5) for number in range(1_000))

    assert 4 * 5 <= through <= 4 * 5 + 4
    assert (tmp_path / "crowded").stat().st_size == limits._SIZE  # nothing grows
    limiter.close()


def test_after_a_start_of_the_host_everything_is_empty(
    limiter: Limiter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the buckets begins anew then: a moment from before would lie ahead for as long as that had run."""
    assert _takes(limiter, "a", FEW, 9) == 5
    again = Limiter(tmp_path / "limits")
    assert _takes(again, "a", FEW, 9) == 0

    monkeypatch.setattr(limits, "_start_of_host", lambda: 7)
    after = Limiter(tmp_path / "limits")

    assert _takes(after, "a", FEW, 9) == 5
    for one in (again, after):
        one.close()


def test_a_file_of_another_kind_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "limits").write_bytes(os.urandom(1_048_576))

    limiter = Limiter(tmp_path / "limits")

    assert _takes(limiter, "a", FEW, 9) == 5
    limiter.close()


def test_a_limiter_that_fails_says_so_and_lets_nobody_through(tmp_path: Path) -> None:  # security 13
    limiter = Limiter(tmp_path / "limits")
    limiter.close()

    with pytest.raises(LimiterFailed):
        limiter.take("a", FEW)
    with pytest.raises(LimiterFailed):
        limiter.left("a", FEW)
    with pytest.raises(LimiterFailed):
        Limiter(tmp_path / "nowhere" / "limits")


# Real processes


def _work(path: Path, limit: Limit, seconds: float, begin: Barrier, results: Any) -> None:
    limiter, through = Limiter(path), 0
    begin.wait(timeout=60)
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        through += not limiter.take("one", limit)
    results.put((through, started, time.monotonic()))


def test_several_processes_let_no_more_through_than_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    begin, results, limit = context.Barrier(4), context.Queue(), Limit(rate=2_000, burst=500)
    workers = [context.Process(target=_work, args=(tmp_path / "limits", limit, 1.0, begin, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    told = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)

    seconds = max(ended for _, _, ended in told) - min(started for _, started, _ in told)
    through = sum(one for one, _, _ in told)
    # Whoever is stopped by a busy machine while it holds the lock is not waited for. Without a lock it was half as much
    # again that came through, and four times as much without sharing.
    assert 500 < through <= 1.25 * (limit.burst + limit.rate * seconds)


def _hold(path: Path, held: Event) -> None:
    limiter = Limiter(path)
    assert limiter._hold()
    held.set()
    signal.pause()


def test_a_worker_that_is_stopped_in_the_middle_holds_nobody_up(limiter: Limiter, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    stopped = context.Process(target=_hold, args=(tmp_path / "limits", held))
    stopped.start()
    assert held.wait(timeout=60)

    assert not limiter._hold()
    assert _takes(limiter, "a", FEW, 9) == 5

    stopped.kill()
    stopped.join(timeout=60)
    assert limiter._hold()  # whoever dies gives it back
