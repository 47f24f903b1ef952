"""`manage.py exportkeys`: keys as a file, without what opens them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q
from django.utils import timezone

from accounts.actors import Actor
from accounts.audit_export import Format
from accounts.management.naming import find_account, find_person
from accounts.management.teaching import TeachingCommand
from apikeys.key_export import export_keys
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyKind, KeyStatus


class Command(TeachingCommand):
    """Writes the keys of one account or all, as the operator."""

    help = """Write keys, newest first, to standard output or a file: names, owners, roles, dates and last use.

No secret and no digest is among it. No cell of the CSV is a formula. The export is recorded in the audit log of every
account whose keys it takes along."""

    examples = """examples:
  manage.py exportkeys > keys.csv
  manage.py exportkeys --account "Acme AI" --status ACTIVE --format ndjson --output keys.ndjson
  manage.py exportkeys --user bob@example.com --json | jq -r .name

--json is short for --format ndjson: one object a line."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what to narrow the keys to, and the form of the file."""
        parser.add_argument("--account", metavar="NAME_OR_ID", help="only keys of this account")
        parser.add_argument("--user", metavar="EMAIL", help="only keys this person owns or made")
        parser.add_argument("--status", choices=KeyStatus.values, help="only keys of this status")
        parser.add_argument("--key-type", choices=KeyKind.values, help="only keys of this kind")
        parser.add_argument("--format", choices=Format.values, default=Format.CSV.value, help="default: %(default)s")
        parser.add_argument("--output", type=Path, help="a new file; default: standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Record the export and write the lines."""
        now = timezone.now()
        account = find_account(options["account"]) if options["account"] else None
        keys = ApiKeyQuerySet(ApiKey).all()
        if account is not None:
            keys = keys.filter(account=account)
        if options["user"]:
            person = find_person(options["user"])
            keys = keys.filter(Q(owner=person) | Q(created_by=person))
        if options["status"]:
            keys = keys.with_status(KeyStatus(options["status"]), at=now)
        if options["key_type"]:
            keys = keys.filter(kind=options["key_type"])
        form = Format.NDJSON if options["json"] else Format(options["format"])
        path: Path | None = options["output"]
        try:
            # Opened before anything is recorded: a folder that cannot be written to is no export.
            target = path.open("x", encoding="utf-8", newline="") if path else None
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        lines = export_keys(Actor.from_command(account), keys, form=form, at=now)
        if target is None:
            for line in lines:
                self.stdout.write(line, ending="")
            return
        with target:
            count = sum(1 for line in lines if target.write(line))
        self.stderr.write(f"Wrote {count} lines to {path}.", style_func=str)
