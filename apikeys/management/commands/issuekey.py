"""`manage.py issuekey`: make a key from the command line, and print its secret once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts.actors import Actor
from accounts.management.naming import find_account, find_member
from accounts.management.teaching import TeachingCommand
from accounts.models import Role
from accounts.wire import encode_id
from apikeys.lifecycle import NewKey, create_service_key, create_user_key
from apikeys.management.wishes import account_meant, account_role, ending, grants
from apikeys.models import KeyStatus
from apikeys.policy import KeyBindings, bindings_of


class Command(TeachingCommand):
    """Makes a user key or a service key through the same verbs, and under the same ceilings, as everywhere."""

    help = """Make an API key and print it, this one time.

A user key carries what its person may do at every moment, and stops when the person is removed. A service key, with
--service, has a bot user of its own, with the roles given here and no others.

With --user the key is made on that person's behalf: nothing goes beyond that person's own roles. A service key without
--user is made by the operator, who has no ceiling."""

    examples = """examples:
  manage.py issuekey --user bob@example.com --name "bob's laptop" --expires-in 90d
  manage.py issuekey --user bob@example.com --name notebook --json
  manage.py issuekey --service --name nightly-export --org "Fraud & Risk" --space production=MEMBER
  manage.py issuekey --service --user bob@example.com --name ci --org Research=READ_ONLY \\
      --space "Research/vision-lab=READ_ONLY" --space "Fraud & Risk/staging" --account-role MEMBER

Organizations, spaces and accounts are given by name or ID. Roles are ADMIN, MEMBER and READ_ONLY, in any spelling, or a
custom role's name; left out they are MEMBER in the account, READ_ONLY in an organization and MEMBER in a space. An
organization need not be given when the space's name says enough.

The JSON object holds "id", "key", "name", "key_type", "redacted_key", "created_at", "expires_at" and, for a service
key, "bot_user". Nothing keeps the key itself: catch it, for example with
  manage.py issuekey ... --json | python -c 'import json, sys; print(json.load(sys.stdin)["key"])'"""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take what the key shall be."""
        parser.add_argument("--user", metavar="EMAIL", help="whose key it is, or who makes the service key")
        parser.add_argument("--name", required=True, help="what lists show; say what will use the key")
        parser.add_argument("--description", default="", help="more about it")
        parser.add_argument("--account", metavar="NAME_OR_ID", help="needed where there are several")
        ends = parser.add_mutually_exclusive_group()
        ends.add_argument("--expires-at", metavar="TIME", help="when it ends, as 2027-01-31T12:00:00Z")
        ends.add_argument("--expires-in", metavar="LENGTH", help="how long it lives: 30m, 12h, 90d, 2w")
        service = parser.add_argument_group("service keys")
        service.add_argument("--service", action="store_true", help="make a service key")
        service.add_argument(
            "--org",
            action="append",
            default=[],
            metavar="ORG[=ROLE]",
            help="an organization and the role in it; repeat for more",
        )
        service.add_argument(
            "--space", action="append", default=[], metavar="SPACE[=ROLE]", help="a space and the role in it; likewise"
        )
        service.add_argument("--account-role", metavar="ROLE", help="MEMBER or ADMIN")

    @sensitive_variables("new")
    def handle(self, *args: Any, **options: Any) -> None:
        """Make the key and print it."""
        self._require_sensible(options)
        actor = self._actor(options)
        now = timezone.now()
        common: dict[str, Any] = {
            "name": options["name"],
            "description": options["description"],
            "expires_at": ending(options["expires_at"], options["expires_in"], now=now),
            "at": now,
        }
        if options["service"]:
            new = create_service_key(
                actor,
                account_role=account_role(actor, options["account_role"]),
                organizations=grants(actor, options["org"] or [], options["space"] or []),
                **common,
            )
        else:
            new = create_user_key(actor, **common)
        if options["json"]:
            self.print_json(_described(new))
        else:
            self.stdout.write(_said(new))

    @staticmethod
    def _require_sensible(options: dict[str, Any]) -> None:
        if options["service"]:
            if not options["space"]:
                raise CommandError("A service key opens spaces: name at least one with --space SPACE=ROLE.")
            return
        if not options["user"]:
            raise CommandError("Whose key shall it be? Say it with --user EMAIL, or make a --service key.")
        if options["org"] or options["space"] or options["account_role"]:
            raise CommandError("A user key has its person's roles; --org, --space and --account-role need --service.")

    @staticmethod
    def _actor(options: dict[str, Any]) -> Actor:
        if not options["user"]:
            meant = None if options["account"] else account_meant(options["org"] or [], options["space"] or [])
            return Actor.from_command(meant or find_account(options["account"]))
        person, account = find_member(options["user"], options["account"])
        return Actor.from_command(account, on_behalf_of=person)


@sensitive_variables()
def _described(new: NewKey) -> dict[str, Any]:
    key = new.key
    described: dict[str, Any] = {
        "id": key.wire_id,
        "key": new.plaintext,
        "name": key.name,
        "description": key.description,
        "key_type": str(key.kind),
        "status": KeyStatus.ACTIVE.value,
        "redacted_key": key.redacted_key,
        "account": {"id": encode_id("Account", key.account_id), "name": key.account.name},
        "created_at": key.created_at.isoformat(),
        "created_by_user_id": encode_id("User", key.created_by_id) if key.created_by_id else None,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }
    if key.is_service_key:
        held = bindings_of([key]).get(key.pk, KeyBindings())
        described["bot_user"] = {
            "id": encode_id("User", key.owner_id),
            "name": key.owner.name,
            "account_role": _role(held.account_role),
            "organizations": [
                {
                    "org_id": encode_id("Organization", organization.pk),
                    "name": organization.name,
                    "role": _role(role),
                    "spaces": [
                        {"space_id": encode_id("Space", space.pk), "name": space.name, "role": _role(held_there)}
                        for space, held_there in held.spaces
                        if space.organization_id == organization.pk
                    ],
                }
                for organization, role in held.organizations
            ],
        }
    return described


def _role(role: Role | None) -> dict[str, str] | None:
    if role is None:
        return None
    if role.is_predefined:
        return {"type": "PREDEFINED", "name": role.name}
    return {"type": "CUSTOM", "id": encode_id("Role", role.pk), "name": role.name}


@sensitive_variables()
def _said(new: NewKey) -> str:
    key = new.key
    ends = f"It ends at {key.expires_at:%Y-%m-%d %H:%M} UTC." if key.expires_at else "It never expires by itself."
    if key.is_service_key:
        held = bindings_of([key]).get(key.pk, KeyBindings())
        lines = [f"Created the service key “{key.name}” in {key.account}. {ends} It may act as"]
        lines += [f"  {role} in {space.organization} / {space}" for space, role in held.spaces]
    else:
        lines = [f"Created the user key “{key.name}” of {key.owner} in {key.account}. {ends}"]
    return "\n".join(
        [
            *lines,
            "",
            f"  {new.plaintext}",
            "",
            "This is the only time it is shown: put it where the program that needs it finds it, for example in the",
            f"variable ARIZE_API_KEY. To end it: manage.py revokekey {key.wire_id}",
        ]
    )
