"""Do refusals tell by their timing which keys exist? Compares the medians of `verify` over 10 000 calls each.

    .venv/bin/python benchmarks/refusal_timing.py

Unknown id, wrong secret and revoked key have to lie within 5 % of each other (security 8).
"""

from __future__ import annotations

import stage

stage.set_up()

from collections.abc import Callable

from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.models import Account, User
from accounts.tenancy import create_account
from apikeys import tokens
from apikeys.errors import InvalidKey
from apikeys.lifecycle import create_user_key, revoke_key
from apikeys.verification import verify

ROUNDS = 10_000
NOW = timezone.now()


def refused(plaintext: str) -> Callable[[], None]:
    """Return a call that presents a key and is refused."""

    def present() -> None:
        try:
            verify(plaintext, at=NOW)
        except InvalidKey:
            return
        raise SystemExit("A key that should be refused was accepted.")

    return present


def main() -> None:
    """Measure, and fail when the spread is too wide."""
    Account.objects.filter(name="timing").delete()
    User.objects.filter(email="timing@example.com").delete()
    account, person = create_account(
        Actor.from_command(None),
        name="timing",
        admin_email="timing@example.com",
        admin_name="Timing",
        password=None,
        at=NOW,
    )
    actor = Actor(user=person, account=account, door=Door.COMMAND)
    live, revoked = (create_user_key(actor, name=name, at=NOW) for name in ("live", "revoked"))
    revoke_key(actor, revoked.key, at=NOW)
    wrong = tokens.KeyText(tokens.parse(live.plaintext).public_id, tokens.mint().secret)
    medians = stage.interleaved(
        {
            "unknown id": refused(tokens.mint().plaintext),
            "wrong secret": refused(wrong.plaintext),
            "revoked": refused(revoked.plaintext),
        },
        ROUNDS,
    )
    stage.table(medians, "unknown id")
    spread = max(medians.values()) / min(medians.values()) - 1
    print(f"spread {spread:.1%}, allowed 5 %")
    if spread >= 0.05:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
