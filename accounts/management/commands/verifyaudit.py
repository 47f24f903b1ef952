"""`manage.py verifyaudit`: whether the audit log is still what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.chain import Fault, Head, Report, walk
from accounts.chain_file import FileReport, check_lines
from accounts.management.naming import find_account
from accounts.management.teaching import TeachingCommand
from accounts.wire import encode_id


class Command(TeachingCommand):
    """Walks the chains of events and says where the first of each breaks."""

    help = """Check that nobody changed, deleted or slipped in audit events behind the application's back.

Every event holds a hash of its content and of the event before it in the same account. This command computes all of
them anew and names the first event of each account that does not fit: its ID, its position, when it happened, and what
is wrong. An account of which no event is left is named as well. The exit code is 1 then.

What it prints as an account's head is position and hash of the last event. Note it somewhere the database's
administrator cannot write; --expect says later whether that event is still in its place. Only so is it noticed when
somebody with all rights over the database rewrites everything from some point on, hashes included.

With --file it checks an export instead (NDJSON, of an account admin or the operator), and needs no database."""

    examples = """examples:
  manage.py verifyaudit
  manage.py verifyaudit --account "Acme AI"
  manage.py verifyaudit --json | jq -r '.chains[] | "\\(.account) \\(.head)"' >> /mnt/elsewhere/heads
  manage.py verifyaudit --expect 1204:5ae0…c3 --expect 88:0f1d…77
  manage.py verifyaudit --file audit-2027-01-31.ndjson

It only reads, a portion at a time, and can run beside everything else. Events that are written meanwhile are left for
the next run."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the account, and heads noted earlier."""
        parser.add_argument("--account", metavar="NAME_OR_ID", help="only this one; default: all, and the installation")
        parser.add_argument(
            "--expect",
            action="append",
            default=[],
            metavar="POSITION:HASH",
            help="a head noted earlier, which must still be in a chain that is checked; can be repeated",
        )
        parser.add_argument("--file", type=Path, metavar="EXPORT", help="check an exported file, and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check chain by chain, and fail in the end if one is broken."""
        noted = {_head(text) for text in options["expect"]}
        missing = set(noted)
        if options["file"]:
            self._check_file(options["file"], noted, missing, as_json=options["json"])
            return
        account = None if options["account"] is None else find_account(options["account"])
        reports = []
        for report in walk(account, expected=missing):
            reports.append(report)
            if not options["json"]:
                self.stdout.write("\n".join(_told(report)))
        broken = [report for report in reports if report.fault]
        described = {"chains": [_described(report) for report in reports]}
        self._conclude(described, noted, missing, broken=bool(broken), as_json=options["json"])

    def _check_file(self, path: Path, noted: set[Head], missing: set[Head], *, as_json: bool) -> None:
        try:
            with path.open(encoding="utf-8") as lines:
                report = check_lines(lines, expected=missing)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
            raise CommandError(f"{path} cannot be read: {reason}.") from error
        if not as_json:
            self.stdout.write("\n".join(_told_of_file(path, report)))
        described = {"file": str(path), **_described_file(report)}
        self._conclude(described, noted, missing, broken=report.fault is not None, as_json=as_json)

    def _conclude(
        self, described: dict[str, Any], noted: set[Head], missing: set[Head], *, broken: bool, as_json: bool
    ) -> None:
        if as_json:
            found = [{"head": str(head), "found": head not in missing} for head in sorted(noted)]
            self.print_json(described | {"expected": found})
            if broken or missing:
                raise SystemExit(1)
            return
        for head in sorted(missing):
            self.stdout.write(f"Not found: {head}. What was written from there on, or before, is not there any more.")
        if broken or missing:
            raise CommandError("The audit log is not what was written.")


def _told(report: Report) -> list[str]:
    count = _events(report.good.position)
    if report.fault is None:
        return [f"{report.account_name}: {count}, unbroken. Head {report.good}"]
    return [f"{report.account_name}: broken after {count}. Head up to there {report.good}", f"  {_said(report.fault)}"]


def _told_of_file(path: Path, report: FileReport) -> list[str]:
    count = _events(report.events)
    if report.fault is not None:
        return [f"{path}: broken after {count}.", f"  {_said(report.fault)}"]
    if report.newest is None:
        return [f"{path}: no event."]
    if report.gaps:
        gaps = "1 gap" if report.gaps == 1 else f"{report.gaps} gaps"
        whole = f"each as it was written, with {gaps} between them, as a filter leaves"
    else:
        whole = f"unbroken from position {report.oldest} to {report.newest.position}"
    return [f"{path}: {count}, {whole}. Head {report.newest}"]


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _said(fault: Fault) -> str:
    which = f"Event {encode_id('AuditEvent', fault.number)} at position" if fault.number else "Position"
    when = f", {fault.at.replace('T', ' ')} UTC" if fault.at else ""
    return f"{which} {fault.position}{when}: {fault.what}."


def _described_file(report: FileReport) -> dict[str, Any]:
    return {
        "events": report.events,
        "head": str(report.newest) if report.newest else None,
        "gaps": report.gaps,
        "fault": _described_fault(report.fault),
    }


def _described(report: Report) -> dict[str, Any]:
    return {
        "account": report.account_name,
        "account_id": encode_id("Account", report.account_id) if report.account_id else None,
        "events": report.good.position,
        "head": str(report.good),
        "fault": _described_fault(report.fault),
    }


def _described_fault(fault: Fault | None) -> dict[str, Any] | None:
    if fault is None:
        return None
    return {
        "event": encode_id("AuditEvent", fault.number) if fault.number else None,
        "position": fault.position,
        "at": f"{fault.at}Z" if fault.at else None,
        "what": fault.what,
    }


def _head(text: str) -> Head:
    position, _, digest = text.strip().partition(":")
    if not (position.isascii() and position.isdecimal()) or len(position) > 18 or len(digest) != 64:
        raise CommandError(f"“{text}” is no head: that is a position, a colon and 64 hexadecimal digits.")
    try:
        return Head(int(position), bytes.fromhex(digest))
    except ValueError:
        raise CommandError(f"“{text}” is no head: what follows the colon is not hexadecimal.") from None
