"""Keeps key text out of everything that is written down: log lines, audit details, tracebacks. And what cannot be."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

# What an API key looks like (design: key text). Longer runs are covered too: a key with a letter typed behind it
# still gives the key away.
KEY_PATTERN = re.compile(r"ak-[0-9A-Za-z]{20,}")
_REDACTED = "ak-[redacted]"
# What JSON and command lines can hold and no column of PostgreSQL takes: NUL, and half of a pair of surrogates.
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether a column can hold a text: there is nothing by a name that none can."""
    return not _UNSTORABLE.search(text)


def redact_text(text: str) -> str:
    """Return the text with everything that looks like an API key taken out, and as something that can be stored."""
    return KEY_PATTERN.sub(_REDACTED, _UNSTORABLE.sub("\ufffd", text))


def redact(value: Any) -> Any:
    """Return a copy of a JSON-like value with every string in it cleaned, and no number that JSON does not know."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {redact_text(str(name)): redact(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return redact_text(str(value))


class RedactKeys(logging.Filter):
    """Logging filter for every handler: the finished message, its arguments and its traceback are cleaned."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean the record in place; never drops one."""
        message = record.getMessage()
        if KEY_PATTERN.search(message):
            record.msg, record.args = redact_text(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact_text(record.exc_text)
        if record.stack_info:
            record.stack_info = redact_text(record.stack_info)
        return True
