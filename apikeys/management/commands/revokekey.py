"""`manage.py revokekey`: end keys at once, from the command line."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounts.actors import Actor
from accounts.management.naming import find_account, find_person
from accounts.management.teaching import TeachingCommand
from apikeys.lifecycle import revoke_key
from apikeys.management.finding import described, find_key


class Command(TeachingCommand):
    """Revokes keys as the operator, through the verb."""

    help = """Revoke keys: they are refused from the next request on, and no key comes back.

A key is meant by its ID, by its redacted form (ak-abc...xyz) or by its name. A name that several keys have is refused,
with their IDs to choose from. Revoking a key that is revoked already changes nothing and succeeds."""

    examples = """examples:
  manage.py revokekey nightly-export
  manage.py revokekey 'ak-abc...xyz' --yes
  manage.py revokekey notebook laptop --user bob@example.com --yes --json

Never give the whole key: other users of this machine can read arguments. Without a terminal to ask at, say --yes."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the keys and what narrows their names down."""
        parser.add_argument("keys", nargs="+", metavar="KEY", help="ID, redacted form or name")
        parser.add_argument("--user", metavar="EMAIL", help="only keys this person owns or made")
        parser.add_argument("--account", metavar="NAME_OR_ID", help="only keys of this account")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        """Find all the keys first, ask, and revoke them."""
        now = timezone.now()
        account = find_account(options["account"]) if options["account"] else None
        user = find_person(options["user"]) if options["user"] else None
        found = {
            key.pk: key for key in (find_key(text, account=account, user=user, at=now) for text in options["keys"])
        }
        ending = [key for key in found.values() if key.revoked_at is None]
        if ending and not options["yes"]:
            self._ask("\n".join(f"  {described(key, now)}" for key in ending))
        for key in found.values():  # also what is revoked already: whoever asks again relies on the answer as much
            revoke_key(Actor.from_command(key.account), key, at=now)
        if options["json"]:
            rows = [
                {
                    "id": key.wire_id,
                    "name": key.name,
                    "redacted_key": key.redacted_key,
                    "status": "REVOKED",
                    "already_revoked": key not in ending,
                }
                for key in found.values()
            ]
            self.print_json({"revoked": rows})
            return
        for key in found.values():
            word = "Revoked" if key in ending else "Was revoked already:"
            self.stdout.write(f"{word} “{key.name}” ({key.redacted_key}).")

    def _ask(self, lines: str) -> None:
        if not sys.stdin.isatty():
            raise CommandError("There is nobody to ask; say --yes if you are sure.")
        # On standard error, so that a caller who catches the answer as JSON still sees the question.
        self.stderr.write(f"Revoke for good?\n{lines}", style_func=str)
        if input("Type yes to go on: ").strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was revoked.")
