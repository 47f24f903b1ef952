"""`manage.py explainkey`: why a key may, or may not, from the command line."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.actors import Actor
from accounts.errors import Invalid
from accounts.management.naming import find_account, find_organization, find_person, find_space
from accounts.management.teaching import TeachingCommand
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from apikeys.explanation import Explanation, Fact, Verdict, explain
from apikeys.management.finding import described, find_key

_MARKS = {Verdict.PASSES: "ok", Verdict.PERMITS: "permits", Verdict.REFUSES: "refuses", Verdict.SILENT: "-"}


class Command(TeachingCommand):
    """Explains a key as the operator, with the function that the page and REST explain it with."""

    help = """Say why a key may, or may not, do something: each fact that is asked, in order, and the one that decides.

A key is meant by its ID, by its redacted form (ak-abc...xyz) or by its name. Without --space or --org it is asked of
the account, without --permission whether the key gets in there. It counts as no use of the key."""

    examples = """examples:
  manage.py explainkey nightly-export --space production --permission DATASET_CREATE
  manage.py explainkey 'ak-abc...xyz' --space "Fraud & Risk/production"
  manage.py explainkey notebook --user bob@example.com --previous --json

Never give the whole key: other users of this machine can read arguments."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the key and what is asked about it."""
        parser.add_argument("key", metavar="KEY", help="ID, redacted form or name")
        parser.add_argument("--space", metavar="NAME_OR_ID", help="where; also as ORGANIZATION/SPACE")
        parser.add_argument("--org", metavar="NAME_OR_ID", help="where, in place of a space")
        parser.add_argument("--permission", metavar="NAME", help="what, for example DATASET_CREATE")
        parser.add_argument("--previous", action="store_true", help="the secret before the last refresh")
        parser.add_argument("--user", metavar="EMAIL", help="only keys this person owns or made")
        parser.add_argument("--account", metavar="NAME_OR_ID", help="only keys of this account")

    def handle(self, *args: Any, **options: Any) -> None:
        """Find what is meant, and explain it."""
        now = timezone.now()
        account = find_account(options["account"]) if options["account"] else None
        user = find_person(options["user"]) if options["user"] else None
        key = find_key(options["key"], account=account, user=user, at=now)
        actor = Actor.from_command(key.account)
        told = explain(
            actor,
            key.pk,
            space_id=find_space(options["space"], actor).pk if options["space"] else None,
            organization_id=find_organization(options["org"], actor).pk if options["org"] else None,
            permission=_permission(options["permission"]) if options["permission"] else None,
            previous=options["previous"],
            at=now,
        )
        if options["json"]:
            self.print_json(_dressed(told))
            return
        self.stdout.write(f"{described(key, now)}\n\n{told.says}\n\n" + "\n".join(map(_line, told.facts)))


def _permission(text: str) -> Permission:
    try:
        return Permission(text.strip().upper())
    except ValueError:
        raise Invalid(
            f"There is no permission “{text}”: they are called like DATASET_READ.", field="permission"
        ) from None


def _line(fact: Fact) -> str:
    return f"{'>' if fact.decided else ' '} {_MARKS[fact.verdict]:<8}{fact.says}"


def _dressed(told: Explanation) -> dict[str, Any]:
    return {
        "api_key_id": told.key.wire_id,
        "space_id": encode_id("Space", told.space_id) if told.space_id else None,
        "organization_id": encode_id("Organization", told.organization_id) if told.organization_id else None,
        "permission": told.permission,
        "allowed": told.allowed,
        "outcome": told.outcome,
        "status": told.status,
        "says": told.says,
        "facts": [
            {"fact": fact.step, "verdict": fact.verdict, "decided": fact.decided, "says": fact.says}
            for fact in told.facts
        ],
    }
