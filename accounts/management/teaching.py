"""What the commands have in common: help that teaches, answers as JSON on request, refusals as sentences."""

from __future__ import annotations

import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from accounts.errors import DomainError


class TeachingCommand(BaseCommand):
    """A command that is one verb: parse, act, print. ``examples`` stand below its help as they are written."""

    examples = ""
    requires_system_checks = ()  # scripts call these one after another, and `check` is a command of its own

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the line breaks of the help, and offer --json."""
        parser = super().create_parser(
            prog_name,
            subcommand,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=self.examples,
            **kwargs,
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON object instead of text; errors too, on standard error"
        )
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Act; what is refused ends the command with a sentence and code 1, never with a traceback."""
        try:
            return super().execute(*args, **options)
        except (CommandError, DomainError, DatabaseError) as error:
            if not options.get("json"):
                raise CommandError(_sentence(error)) from error
            self.stderr.write(json.dumps({"error": _described(error)}, ensure_ascii=False), style_func=str)
            raise SystemExit(1) from error

    def print_json(self, value: dict[str, Any]) -> None:
        """Print the one JSON object."""
        self.stdout.write(json.dumps(value, ensure_ascii=False))


def _sentence(error: Exception) -> str:
    if isinstance(error, DatabaseError):
        reason = next(iter(str(error).strip().splitlines()), "no reason given")
        return f"The database does not answer as it should: {reason}. Is it up, and did `manage.py migrate` run?"
    return error.detail if isinstance(error, DomainError) else str(error)


def _described(error: Exception) -> dict[str, str]:
    code = error.code if isinstance(error, DomainError) else "usage"
    described = {"code": "database" if isinstance(error, DatabaseError) else code, "detail": _sentence(error)}
    if isinstance(error, DomainError) and error.field:
        described["field"] = error.field
    return described
