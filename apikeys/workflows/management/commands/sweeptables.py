"""`manage.py sweeptables`: remove files of uploads that never became anything."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.teaching import TeachingCommand
from apikeys.workflows import tables


class Command(TeachingCommand):
    """Removes what is left over in the folder of tables."""

    help = """Remove files in the folder of tables that nothing leads to.

A server that is killed in the middle of an upload leaves a file behind, and so does a file that could not be removed
with its dataset. Whatever is being written at the moment stays, and so does everything younger than --older-than.
The gRPC server does this every hour by itself."""

    examples = """examples:
  manage.py sweeptables                    what is older than an hour
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
        """Remove, and say how many."""
        if options["older_than"] < 0:
            raise CommandError("--older-than takes seconds, 0 or more.")
        count, size = tables.sweep(grace=options["older_than"])
        if options["json"]:
            self.print_json({"removed": count, "bytes": size})
            return
        self.stdout.write(f"Removed {count} file{'' if count == 1 else 's'}, {size} bytes.")
