"""What happens to keys when a person leaves an account: the answer to the ground floor's signals."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts.actors import Actor
from accounts.models import Account, User
from accounts.signals import Consequences
from apikeys.lifecycle import revoke_keys_of
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyKind

_NAMED = 20  # how many keys the page names before it counts


def on_leaving(*, actor: Actor, user: User, account: Account, at: datetime, **_: Any) -> None:
    """Revoke the person's user keys, in the transaction that removes the person."""
    revoke_keys_of(actor, user, account, at=at, because="the person was removed from the account")


def on_considering(*, user: User, account: Account, at: datetime, **_: Any) -> Consequences:
    """Name the user keys that would stop and the service keys that would go on."""
    live = ApiKeyQuerySet(ApiKey).filter(account=account).active(at=at)
    return Consequences(
        stops=_names(live.filter(owner=user, kind=KeyKind.USER)),
        goes_on=_names(live.filter(created_by=user, kind=KeyKind.SERVICE)),
    )


def _names(keys: ApiKeyQuerySet) -> tuple[str, ...]:
    rows = list(keys.order_by("-pk").values_list("name", "redacted_key")[: _NAMED + 1])
    names = [f"{name} ({redacted})" for name, redacted in rows[:_NAMED]]
    if len(rows) > _NAMED:
        names.append("and more")
    return tuple(names)
