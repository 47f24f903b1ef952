"""`manage.py createaccount`: where a real installation begins."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounts import invitations, mail
from accounts.actors import Actor
from accounts.management.teaching import TeachingCommand
from accounts.models import User
from accounts.models.users import normalize_email
from accounts.tenancy import create_account
from accounts.wire import encode_id

PASSWORD = "ARIZEKEYS_ADMIN_PASSWORD"  # noqa: S105 -- the name of a variable
_TRIES = 3


class Command(TeachingCommand):
    """Creates an account and its first admin, and nothing else."""

    help = """Create an account and its first admin, without any demo data.

The admin signs in with a password that is asked for twice, or taken from the environment variable
ARIZEKEYS_ADMIN_PASSWORD (or from the file that ARIZEKEYS_ADMIN_PASSWORD_FILE names): never from an argument, which
other users of this machine could read. With --invite the admin gets a link and chooses a password alone. Somebody who
already signs in on this installation keeps the password they have."""

    examples = """examples:
  manage.py createaccount --name "Acme" --admin-email ada@acme.example --admin-name "Ada Admin"
  ARIZEKEYS_ADMIN_PASSWORD_FILE=/run/secrets/admin manage.py createaccount --name Acme ... --json
  manage.py createaccount --name Acme ... --invite --url https://keys.acme.example

Account admins run their account in the browser. Whoever runs the installation gets into /admin/ with an account of
Django's own kind: manage.py createsuperuser."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the names; never a password."""
        parser.add_argument("--name", required=True, help="the account's name, for example the company's")
        parser.add_argument("--admin-email", required=True, metavar="EMAIL", help="the address the admin signs in with")
        parser.add_argument("--admin-name", required=True, metavar="NAME", help="the admin's name, as pages show it")
        parser.add_argument("--invite", action="store_true", help="set no password; mail or print an invitation link")
        parser.add_argument("--url", help="where this installation is reached, for the link (default: a guess)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the account, and say how its admin gets in."""
        email: str = normalize_email(options["admin_email"])
        known = User.objects.filter(email=email).first()
        new = known is None or not known.has_usable_password()
        password = None if options["invite"] or not new else _password(email, options["admin_name"])
        account, admin = create_account(
            Actor.from_command(None),
            name=options["name"],
            admin_email=email,
            admin_name=options["admin_name"],
            password=password,
            at=timezone.now(),
        )
        said: dict[str, Any] = {
            "account": {"id": encode_id("Account", account.pk), "name": account.name},
            "admin": {"id": encode_id("User", admin.pk), "email": admin.email, "name": admin.name},
        }
        way_in = f"{admin.email} signs in with the password {'just set' if password else 'they have'}."
        if admin.is_pending:
            url: str = options["url"] or _guessed_url()
            delivery = mail.send_invitation(Actor.from_command(account), admin, base_url=url)
            link = invitations.link(admin, url)
            said["invitation"] = {"link": link, "mailed": delivery.arrived}
            way_in = f"{admin.email} was mailed an invitation."
            if not delivery.arrived:
                way_in = f"{delivery.value} Give {admin.email} this link; whoever has it becomes them:\n\n  {link}\n"
        if options["json"]:
            self.print_json(said)
            return
        self.stdout.write(f"Created the account “{account.name}” with the admin {admin}.\n{way_in}")


def _password(email: str, name: str) -> str:
    """Return the first admin's password, checked as on every page that takes one."""
    given = _from_environment()
    if given is not None:
        if problem := _problem(given, email, name):
            raise CommandError(f"The password in {PASSWORD} cannot be taken: {problem}")
        return given
    if not sys.stdin.isatty():
        raise CommandError(
            f"There is nobody to ask for a password: set {PASSWORD} or {PASSWORD}_FILE, or use --invite."
        )
    for _ in range(_TRIES):
        first = getpass.getpass(f"Password for {email}: ")
        problem = _problem(first, email, name)
        if problem is None and first == getpass.getpass("Once more: "):
            return first
        sys.stderr.write(f"{problem or 'The two are not the same.'}\n")
    raise CommandError("No password was set, and no account was created.")


def _from_environment() -> str | None:
    value, file = os.environ.get(PASSWORD), os.environ.get(f"{PASSWORD}_FILE")
    if value and file:
        raise CommandError(f"{PASSWORD} and {PASSWORD}_FILE are both set; keep one of them.")
    if not file:
        return value or None
    try:
        # Like a shell's $(...): the line's end is not part of the password.
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CommandError(f"{PASSWORD}_FILE points at {file}, which cannot be read: {reason}.") from None


def _problem(password: str, email: str, name: str) -> str | None:
    try:
        validate_password(password, User(email=email, name=name))
    except ValidationError as error:
        return " ".join(error.messages)
    return None


def _guessed_url() -> str:
    if settings.LOCAL:
        return f"http://127.0.0.1:{os.environ.get('ARIZEKEYS_PORT', '8000')}/"
    return f"https://{settings.ALLOWED_HOSTS[0].lstrip('.')}/"
