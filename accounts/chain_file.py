"""Checking an exported audit log on its own, without the database it came from: it holds all that the hashes cover.

Only NDJSON does: a CSV has its formulas defused, and with that is not to the letter what was written.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from accounts.chain import Fault, Head, fingerprint
from accounts.errors import Invalid
from accounts.wire import decode_id


@dataclass(frozen=True)
class FileReport:
    """What checking a file came to. A filter leaves gaps; only of neighbours is it known that they belong together."""

    events: int
    newest: Head | None
    oldest: int
    gaps: int
    fault: Fault | None


def check_lines(lines: Iterable[str], *, expected: set[Head] | None = None) -> FileReport:
    """Check the lines of an NDJSON export, newest first; heads met on the way are taken out of ``expected``.

    Raises:
        Invalid: a line is none of an export, or one of somebody who may not know all addresses, which has no hashes.
    """
    looked_for = set() if expected is None else expected
    newest: Head | None = None
    after: dict[str, Any] | None = None  # the line before: the event after
    events = gaps = 0
    for number, line in enumerate(lines, start=1):
        row, head, content = _read(line, number)
        what = _wrong(row, head, content, after)
        if what:
            return FileReport(events, newest, after["position"] if after else 0, gaps, _fault(row, what))
        gaps += after is not None and after["position"] != head.position + 1
        events, newest, after = events + 1, newest or head, row
        looked_for.discard(head)
    return FileReport(events, newest, after["position"] if after else 0, gaps, None)


def _wrong(row: dict[str, Any], head: Head, content: bytes, after: dict[str, Any] | None) -> str:
    if head.hash != content:
        return "its content was changed"
    if after is None:
        return ""
    if head.position >= after["position"] or row["account_id"] != after["account_id"]:
        return "it stands in the wrong place"
    if head.position + 1 == after["position"] and after["previous"] != row["hash"]:
        return "the event after it was fastened to another one"
    return ""


def _fault(row: dict[str, Any], what: str) -> Fault:
    return Fault(row["position"], what, decode_id(row["id"], "AuditEvent"), _moment(row["at"]))


def _read(line: str, number: int) -> tuple[dict[str, Any], Head, bytes]:
    try:
        row: dict[str, Any] = json.loads(line, parse_float=Decimal)
        if row["hash"] is None:
            raise Invalid(
                "This file has no hashes: whoever exported it may not know all addresses. Ask an account admin for one."
            )
        return row, Head(int(row["position"]), bytes.fromhex(row["hash"])), fingerprint(_texts(row))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Invalid(f"Line {number} is none of an NDJSON export of the audit log.") from None


def _texts(row: dict[str, Any]) -> list[str | None]:
    """Return what the hash covers, in the order of ``chain.COLUMNS`` and as PostgreSQL writes it."""
    return [
        row["previous"],
        str(row["position"]),
        _number(row["id"], "AuditEvent"),
        _number(row["account_id"], "Account"),
        _moment(row["at"]),
        row["action"],
        row["outcome"],
        row["door"],
        _number(row["actor_id"], "User"),
        row["actor"],
        _number(row["key_id"], "ApiKey"),
        _address(row["ip"]),
        row["target_type"],
        _number(row["target_id"], row["target_type"]),
        row["target"],
        row["operation_type"],
        row["operation_name"],
        row["operation_text"],
        _jsonb(row["variables"]),
        _jsonb(row["details"]),
    ]


def _number(wire_id: str | None, type_name: str) -> str | None:
    try:
        return None if wire_id is None else str(decode_id(wire_id, type_name))
    except Invalid:
        return wire_id  # not what was exported, so the hash will not fit


def _moment(text: str) -> str:
    moment, _, zone = text.partition("+")
    return f"{moment}+{zone}" if zone != "00:00" else moment.rstrip("0").rstrip(".") if "." in moment else moment


def _address(text: str | None) -> str | None:
    return None if text is None else str(ipaddress.ip_interface(text))


def _jsonb(value: Any) -> str:
    """Write JSON as PostgreSQL does: short names first, numbers without an exponent."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
        return "{" + ", ".join(f"{_jsonb(name)}: {_jsonb(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_jsonb, value)) + "]"
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
