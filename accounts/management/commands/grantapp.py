"""`manage.py grantapp`: what the application's database role may do."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.grants import grant_application
from accounts.management.teaching import TeachingCommand


class Command(TeachingCommand):
    """Grants the role that serves what it needs, run by the role that migrates."""

    help = """Give the database role that the application connects as the rights it needs, and no others.

Run it as the owner of the tables, after every migrate: new tables need granting too. The role gets SELECT, INSERT,
UPDATE and DELETE on all tables, but on the audit log only SELECT and INSERT. So the application itself, and whoever
takes it over, can neither change nor delete an event nor switch off what would refuse it.

The role has to exist, and to be neither the owner nor a superuser. Repeating the command changes nothing."""

    examples = """examples, with arizekeys as the owner and arizekeys_app as the application:
  psql -c "CREATE ROLE arizekeys_app LOGIN PASSWORD '…'"
  DATABASE_URL=postgres://arizekeys@db.example.com/arizekeys manage.py migrate
  DATABASE_URL=postgres://arizekeys@db.example.com/arizekeys manage.py grantapp arizekeys_app
  DATABASE_URL=postgres://arizekeys_app@db.example.com/arizekeys manage.py check --deploy --database default"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the role."""
        parser.add_argument("role", metavar="ROLE", help="the role in the application's DATABASE_URL")

    def handle(self, *args: Any, **options: Any) -> None:
        """Grant."""
        tables = grant_application(options["role"])
        if options["json"]:
            self.print_json({"role": options["role"], "tables": tables})
        else:
            self.stdout.write(f"{options['role']} may work with {tables} tables; the audit log it may read and add to.")
