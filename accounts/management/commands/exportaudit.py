"""`manage.py exportaudit`: an account's audit log as a file."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.audit import Tag
from accounts.audit_export import Format, export_events
from accounts.management.naming import find_account, find_person
from accounts.management.teaching import TeachingCommand
from accounts.trail import KEY_TYPE, Filter, OperationType
from accounts.wire import decode_id


class Command(TeachingCommand):
    """Writes what the audit log page exports, without anybody signing in."""

    help = """Write an account's audit log, newest event first, to standard output or a file.

Days are UTC and both are included. --action takes one action, or what stands before the colon for all of its kind
(key, person, role, session, ...). The export is recorded in the log itself."""

    examples = """examples:
  manage.py exportaudit --account "Acme AI" > audit.ndjson
  manage.py exportaudit --account "Acme AI" --format csv --since 2027-01-01 --until 2027-01-31 --output january.csv
  manage.py exportaudit --account "Acme AI" --person bob@example.com --action key:create --json | jq -r .at

--json is short for --format ndjson: one object a line."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the account, the form of the file, and what to narrow it to."""
        parser.add_argument("--account", metavar="NAME_OR_ID", help="needed where there are several")
        parser.add_argument("--format", choices=Format.values, default=Format.NDJSON.value, help="default: %(default)s")
        parser.add_argument("--output", type=Path, help="a new file; default: standard output")
        parser.add_argument("--since", type=date.fromisoformat, metavar="DAY", help="first day, as 2027-01-31")
        parser.add_argument("--until", type=date.fromisoformat, metavar="DAY", help="last day")
        parser.add_argument("--person", default="", help="done by or to: part of a name or an e-mail address")
        parser.add_argument("--user", metavar="EMAIL_OR_ID", help="done by exactly this one")
        parser.add_argument("--key", metavar="ID", help="done to this API key, or with it")
        parser.add_argument("--action", default="", help="for example key:revoke, or key")
        parser.add_argument("--outcome", choices=("SUCCEEDED", "REFUSED"), default="")
        parser.add_argument("--door", choices=Door.values, default="", help="through which it came")
        parser.add_argument("--operation-type", choices=OperationType.values, default="", help="what clients call it")
        parser.add_argument(
            "--operation",
            action="append",
            default=[],
            metavar="NAME",
            help='for example "POST /v2/api-keys", or the action of what came through no API; can be repeated',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Record the export and write the lines."""
        account = find_account(options["account"])
        known = {*Tag.values, *(value.split(":")[0] for value in Tag.values)}
        if options["action"] and options["action"] not in known:
            raise CommandError(f"There is no action {options['action']}. Known are: {', '.join(sorted(Tag.values))}.")
        narrowed = Filter(
            person=options["person"],
            user_id=_user(options["user"]),
            action=options["action"],
            outcome=options["outcome"],
            door=options["door"],
            operation_type=options["operation_type"],
            operation_names=tuple(options["operation"]),
            key_id=decode_id(options["key"], KEY_TYPE, field="key") if options["key"] else None,
            since=_edge(options["since"], time.min),
            until=_edge(options["until"], time.max),
        )
        path: Path | None = options["output"]
        try:
            # Opened before anything is recorded: a folder that cannot be written to is no export.
            target = path.open("x", encoding="utf-8", newline="") if path else None
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        form = Format.NDJSON if options["json"] else Format(options["format"])
        lines = export_events(Actor.from_command(account), narrowed=narrowed, form=form, at=timezone.now())
        if target is None:
            for line in lines:
                self.stdout.write(line, ending="")
            return
        with target:
            count = sum(1 for line in lines if target.write(line))
        self.stderr.write(f"Wrote {count} lines to {path}.", style_func=str)


def _user(text: str | None) -> int | None:
    if not text:
        return None
    return find_person(text).pk if "@" in text else decode_id(text, "User", field="user")


def _edge(day: date | None, moment: time) -> datetime | None:
    return datetime.combine(day, moment, tzinfo=UTC) if day else None
