"""Does a page of keys stay fast as the list grows? First page, a page deep down, a status filter and a name search.

    .venv/bin/python benchmarks/list_pages.py [ROWS]

Compares an account with ten thousand service keys to one with ROWS (default: a million), in the same database.
"""

from __future__ import annotations

import sys

import stage

stage.set_up()

from collections.abc import Callable

from django.db import connection
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.models import Account
from accounts.paging import paginate
from accounts.tenancy import create_account
from apikeys.models import KeyStatus
from apikeys.policy import service_keys

SMALL = 10_000
ROUNDS = 21

_FILL = """
WITH bots AS (
    INSERT INTO accounts_user (kind, email, name, password, is_active, is_staff, is_superuser, created_at)
    SELECT 'BOT', md5(%(account)s || '-' || n) || '@bot.invalid', 'bot ' || n, '!', true, false, false, now()
    FROM generate_series(1, %(rows)s) n
    RETURNING id
)
INSERT INTO apikeys_apikey (account_id, kind, name, description, owner_id, created_by_name, created_at, redacted_key,
                            revoked_at)
SELECT %(account)s, 'SERVICE', 'pipeline ' || id || CASE WHEN id %% 1000 = 0 THEN ' nightly export' ELSE '' END, '', id,
       'Somebody', now(), 'ak-abc...xyz', CASE WHEN id %% 10 = 0 THEN now() END
FROM bots
"""


def filled(name: str, rows: int) -> Actor:
    """Return the admin of an account with that many service keys, making them once."""
    account = Account.objects.filter(name=name).first()
    if account is None:
        account, _ = create_account(
            Actor.from_command(None),
            name=name,
            admin_email=f"{name}@example.com",
            admin_name="Admin",
            password=None,
            at=timezone.now(),
        )
        with connection.cursor() as cursor:
            cursor.execute(_FILL, {"account": account.pk, "rows": rows})
            cursor.execute("ANALYZE")
    return Actor(user=account.bindings.get(user__kind="PERSON").user, account=account, door=Door.BROWSER)


def cases(actor: Actor) -> dict[str, Callable[[], object]]:
    """Return what a person does on the page."""
    now = timezone.now()
    keys = service_keys(actor)
    middle = keys.order_by("pk").values_list("pk", flat=True)[SMALL // 2]
    deep = paginate(keys.filter(pk__lte=middle), limit=25).next_cursor
    return {
        "first page": lambda: paginate(keys, limit=25),
        "page deep down": lambda: paginate(keys, cursor=deep, limit=25),
        "revoked only": lambda: paginate(keys.with_status(KeyStatus.REVOKED, at=now), limit=25),
        "active, search for a rare word": lambda: paginate(
            keys.with_status(KeyStatus.ACTIVE, at=now).named_like("nightly exp"), limit=25
        ),
        "search for a word in every name": lambda: paginate(keys.named_like("pipe"), limit=25),
        "search for one key": lambda: paginate(keys.named_like("pipeline 5005"), limit=25),
        "search for nothing": lambda: paginate(keys.named_like("zebra"), limit=25),
    }


def main() -> None:
    """Measure both accounts in turns and print the ratios."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    small, large = cases(filled("small", SMALL)), cases(filled(f"large-{rows}", rows))
    for name in small:
        medians = stage.interleaved({f"{SMALL} keys": small[name], f"{rows} keys": large[name]}, ROUNDS)
        print(f"\n{name}")
        stage.table(medians, f"{SMALL} keys")


if __name__ == "__main__":
    main()
