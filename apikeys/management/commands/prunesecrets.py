"""`manage.py prunesecrets`: delete secrets that open nothing any more, so that old peppers can be retired."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Count
from django.utils import timezone

from accounts.actors import Actor
from accounts.management.teaching import TeachingCommand
from apikeys import peppers
from apikeys.models import KeySecret
from apikeys.pruning import prunable, prune_secrets

_DEFAULT_DAYS = 30


class Command(TeachingCommand):
    """Deletes dead secrets in small batches."""

    help = """Delete secrets that open nothing any more. The keys themselves stay, with their name, history and use.

Deleted are secrets that a refresh replaced and whose grace has ended, and the secrets of keys that were revoked or
expired more than --older-than days ago. A pepper that no secret is left with can be taken out of the configuration; the
command says which."""

    examples = """examples:
  manage.py prunesecrets --dry-run            how many there are
  manage.py prunesecrets                      once a day, from a timer
  manage.py prunesecrets --older-than 0       also of keys that ended just now

To retire a pepper: add a new one behind it, let keys be used (use moves them on) or refreshed, prune, and remove the
old one when this command names it as unused."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take how long secrets of ended keys are kept."""
        parser.add_argument(
            "--older-than",
            type=int,
            default=_DEFAULT_DAYS,
            metavar="DAYS",
            help="keep secrets of keys that ended within so many days (default: %(default)s)",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete, and say what is left."""
        days: int = options["older_than"]
        if not 0 <= days <= 36_500:
            raise CommandError("--older-than takes 0 to 36500 days.")
        now, kept = timezone.now(), timedelta(days=days)
        if options["dry_run"]:
            count = prunable(at=now, kept=kept).count()
        else:
            count = prune_secrets(Actor.from_command(None), at=now, kept=kept, told=self._tell(options))
        left = dict.fromkeys(peppers.ring(), 0) | dict(
            KeySecret.objects.order_by().values_list("pepper_id").annotate(Count("pk"))
        )
        newest, _ = peppers.newest()
        unused = sorted(number for number, secrets in left.items() if not secrets and number != newest)
        if options["json"]:
            name = "prunable" if options["dry_run"] else "pruned"
            self.print_json({name: count, "left_by_pepper": left, "unused_peppers": unused})
            return
        self.stdout.write(f"{'Would delete' if options['dry_run'] else 'Deleted'} {count} secrets.")
        for number, secrets in sorted(left.items()):
            self.stdout.write(f"Pepper {number}: {secrets} secrets" + (", can be removed" if number in unused else ""))

    def _tell(self, options: dict[str, Any]) -> Any:
        quiet = options["json"] or options["verbosity"] < 1
        return (lambda done: None) if quiet else (lambda done: self.stderr.write(f"{done} ...", style_func=str))
