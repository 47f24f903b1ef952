from __future__ import annotations

import logging
import sys

import pytest

from accounts.redaction import RedactKeys, redact, redact_text
from apikeys.tokens import mint


def _filtered(record: logging.LogRecord) -> str:
    assert RedactKeys().filter(record)
    return logging.Formatter("%(message)s").format(record)


def _record(message: object, *args: object, **more: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, __file__, 1, message, args, **{"exc_info": None, **more})  # type: ignore[arg-type]  # the stubs want it spelled out


@pytest.mark.parametrize(
    "dress",
    [
        pytest.param(lambda key: key, id="alone"),
        pytest.param(lambda key: f"Bearer {key}", id="in a header"),
        pytest.param(lambda key: f"/v2?key={key}&x=1", id="in an address"),
        pytest.param(lambda key: f"'{key}x'", id="with a letter too many"),
        pytest.param(lambda key: key[:40], id="cut off"),
    ],
)
def test_key_text_is_taken_out_of_messages_and_arguments(dress: object) -> None:  # security 41
    assert callable(dress)
    key = mint()
    text = dress(key.plaintext)

    for record in (_record(text), _record("saw %s", text), _record("saw %r", {"header": text})):
        assert key.secret[:20] not in _filtered(record)


def test_key_text_is_taken_out_of_tracebacks() -> None:  # security 41
    key = mint().plaintext

    try:
        raise ValueError(f"bad value {key}")
    except ValueError:
        line = _filtered(_record("failed", exc_info=sys.exc_info()))

    assert "ValueError" in line
    assert key not in line


def test_message_without_keys_stays_as_it_is() -> None:
    record = _record("refused %s", "ak-short")

    assert _filtered(record) == "refused ak-short"
    assert record.args == ("ak-short",)


def test_redact_goes_into_every_corner_of_a_value() -> None:
    key = mint().plaintext
    value = {"a": [key, {"b": (key, 1, None, True)}], key: {key}, "n": 1.5}

    assert redact(value) == {
        "a": ["ak-[redacted]", {"b": ["ak-[redacted]", 1, None, True]}],
        "ak-[redacted]": ["ak-[redacted]"],
        "n": 1.5,
    }


def test_what_no_database_stores_is_replaced() -> None:
    odd = {"a\x00": ["\ud800", "x\udfffy", float("inf"), float("-inf"), 1e3], "💣": "💣"}

    assert redact(odd) == {"a\ufffd": ["\ufffd", "x\ufffdy", "inf", "-inf", 1e3], "💣": "💣"}


def test_a_key_beside_what_is_replaced_is_still_seen() -> None:
    assert redact_text(f"\ud800{mint().plaintext}\x00") == "\ufffdak-[redacted]\ufffd"


def test_redacted_form_is_not_redacted_again() -> None:
    assert redact_text("ak-abc...xyz") == "ak-abc...xyz"
