"""`manage.py sweeptables`: look after stored tables: drop what is old, put small ones together, remove left-overs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounts.management.teaching import TeachingCommand
from apikeys.workflows import tables, upkeep


class Command(TeachingCommand):
    """Does what the gRPC server does every hour by itself."""

    help = """Look after stored tables.

Spans and predictions logged more than ARIZEKEYS_TABLE_DAYS days ago are deleted; with 0, the default, they are kept.
Many small tables of one project, as traces make them, are put together into one. Files that nothing leads to are
removed: a server that is killed in the middle of an upload leaves one behind. Whatever is being written at the moment
stays, and so do files younger than --older-than. The gRPC server does all this every hour by itself."""

    examples = """examples:
  manage.py sweeptables                    as it is done every hour
  manage.py sweeptables --older-than 0     where no other host writes into the folder"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take how old a file has to be."""
        parser.add_argument(
            "--older-than",
            type=int,
            default=tables.GRACE,
            metavar="SECONDS",
            help="keep files written within so many seconds (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and say what was done."""
        if options["older_than"] < 0:
            raise CommandError("--older-than takes seconds, 0 or more.")
        now = timezone.now()
        expired, merged = upkeep.expire(at=now), upkeep.merge_small(at=now)
        upkeep.drop_unused(at=now)
        count, size = tables.sweep(grace=options["older_than"])
        if options["json"]:
            self.print_json({"expired": expired, "merged": merged, "removed": count, "bytes": size})
            return
        self.stdout.write(f"Deleted {expired} old tables, and put {merged} small ones together.")
        self.stdout.write(f"Removed {count} left-over files, {size} bytes.")
