"""The numbers that workers share: whose file they are in, and in which order they are written."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apikeys import epochs as module
from apikeys import following
from apikeys.epochs import Epochs

FOR_LONG = time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 10**15


def test_a_file_from_before_a_restart_of_the_machine_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Epochs(tmp_path / "epochs")
    assert before.lock()
    before.allow_until(FOR_LONG)
    assert before.holds(before.stamp(()))
    before.close()
    (tmp_path / "boot").write_text("another-start")
    monkeypatch.setattr(module, "_BOOT", tmp_path / "boot")

    after = Epochs(tmp_path / "epochs")

    assert not after.holds(after.stamp(()))
    assert [path.name for path in tmp_path.glob("epochs-*")] == ["epochs-2-another-start"]
    after.close()


def test_a_file_that_somebody_follows_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = Epochs(tmp_path / "epochs")
    assert theirs.lock()
    (tmp_path / "boot").write_text("another-machine")
    monkeypatch.setattr(module, "_BOOT", tmp_path / "boot")

    ours = Epochs(tmp_path / "epochs")

    assert len(list(tmp_path.glob("epochs-*"))) == 2
    assert ours.lock()
    for one in (theirs, ours):
        one.close()


def test_one_writes_and_who_opens_a_new_file_writes_that(tmp_path: Path) -> None:
    first, second = (Epochs(tmp_path / "epochs") for _ in range(2))
    assert (first.lock(), second.lock()) == (True, False)
    for path in tmp_path.glob("epochs-*"):
        path.unlink()

    third = Epochs(tmp_path / "epochs")

    assert third.lock()
    first.allow_until(FOR_LONG)
    assert second.holds(second.stamp(()))
    assert not third.holds(third.stamp(()))
    first.close()
    assert second.lock()
    for one in (second, third):
        one.close()


def test_the_count_goes_up_before_a_slot_is_written(tmp_path: Path) -> None:
    epochs = Epochs(tmp_path / "epochs")
    before, seen = epochs.count(), list[int]()

    def things() -> Iterator[str]:
        seen.append(epochs.count())
        yield "key:7"

    epochs.change(things())

    assert seen == [before + 1]
    epochs.close()


def test_no_statement_asks_what_time_it_is() -> None:
    statements = [text for name, text in vars(following).items() if name.isupper() and isinstance(text, str)]

    assert len(statements) > 5
    assert [text for text in statements if re.search(r"(?i)time|now\(|current_|lease_until", text)] == []
