"""The readers of the environment: what they accept, and that a refusal names the variable and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from arizekeys import env

PEPPER = "p" * 16 + "q" * 16


@pytest.fixture
def variable(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A clean slate for the two names used here."""
    monkeypatch.delenv("SOME_NAME", raising=False)
    monkeypatch.delenv("SOME_NAME_FILE", raising=False)
    return monkeypatch


@pytest.mark.usefixtures("variable")
def test_text_without_default_is_required() -> None:
    with pytest.raises(ImproperlyConfigured, match="SOME_NAME is required"):
        env.text("SOME_NAME")


def test_text_counts_blank_as_unset(variable: pytest.MonkeyPatch) -> None:
    variable.setenv("SOME_NAME", "  ")

    assert env.text("SOME_NAME", "default") == "default"


@pytest.mark.parametrize(
    ("written", "meant"), [("yes", True), ("ON", True), ("1", True), ("false", False), ("0", False)]
)
def test_flag_reads_yes_and_no(variable: pytest.MonkeyPatch, written: str, meant: bool) -> None:
    variable.setenv("SOME_NAME", written)

    assert env.flag("SOME_NAME", not meant) is meant


def test_flag_refuses_anything_else(variable: pytest.MonkeyPatch) -> None:
    variable.setenv("SOME_NAME", "maybe")

    with pytest.raises(ImproperlyConfigured, match="SOME_NAME must be one of"):
        env.flag("SOME_NAME", False)


@pytest.mark.parametrize("written", ["many", "1.5", "-1", "11"])
def test_number_refuses_what_is_none_or_out_of_range(variable: pytest.MonkeyPatch, written: str) -> None:
    variable.setenv("SOME_NAME", written)

    with pytest.raises(ImproperlyConfigured, match="SOME_NAME must be"):
        env.number("SOME_NAME", 0, maximum=10)


def test_number_accepts_its_limits(variable: pytest.MonkeyPatch) -> None:
    variable.setenv("SOME_NAME", "10")

    assert env.number("SOME_NAME", 0, maximum=10) == 10


def test_items_drops_empty_ones(variable: pytest.MonkeyPatch) -> None:
    variable.setenv("SOME_NAME", "a, b,,c ,")

    assert env.items("SOME_NAME") == ["a", "b", "c"]


def test_secret_comes_from_a_file(variable: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from the file\n")
    variable.setenv("SOME_NAME_FILE", str(tmp_path / "secret"))

    assert env.secret("SOME_NAME") == "from the file"


def test_secret_given_twice_is_refused(variable: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variable.setenv("SOME_NAME", "hush")
    variable.setenv("SOME_NAME_FILE", str(tmp_path / "secret"))

    with pytest.raises(ImproperlyConfigured, match="both set") as refusal:
        env.secret("SOME_NAME")
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_secret_file_that_is_missing_or_useless_is_refused(
    variable: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    variable.setenv("SOME_NAME_FILE", str(tmp_path / "secret"))

    with pytest.raises(ImproperlyConfigured, match="SOME_NAME_FILE points at"):
        env.secret("SOME_NAME")


@pytest.mark.parametrize("weak", ["short", "a" * 60, env.EXAMPLE_SECRET])
def test_secret_key_refuses_a_weak_one(variable: pytest.MonkeyPatch, weak: str) -> None:
    variable.setenv("SOME_NAME", weak)

    with pytest.raises(ImproperlyConfigured, match="SOME_NAME") as refusal:
        env.secret_key("SOME_NAME")
    assert weak not in str(refusal.value)


def test_peppers_keep_their_order() -> None:
    ring = env.parse_peppers(f"2:{PEPPER}, 1:{PEPPER}x", "PEPPERS")

    assert list(ring.items()) == [(2, PEPPER.encode()), (1, f"{PEPPER}x".encode())]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "holds no pepper"),
        (" , ", "holds no pepper"),
        (PEPPER, "number:secret"),
        (f"one:{PEPPER}", "number:secret"),
        (f"0:{PEPPER}", "number:secret"),
        (f"1:{PEPPER},1:{PEPPER}", "holds number 1 twice"),
        (f"1:{PEPPER[:-1]}", "shorter than 32 bytes"),
        (f"1:{env.EXAMPLE_SECRET}", "example from the documentation"),
    ],
)
def test_peppers_refuse_what_would_not_protect(written: str, complaint: str) -> None:
    """security.md 6."""
    with pytest.raises(ImproperlyConfigured, match=complaint) as refusal:
        env.parse_peppers(written, "PEPPERS")
    assert PEPPER[:-1] not in str(refusal.value)
