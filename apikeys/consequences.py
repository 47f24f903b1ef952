"""What becomes of keys when a person leaves or a space is deleted, and which keys are whose: answers to signals."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.bindings import bindings_within, described
from accounts.models import Account, Organization, Space, User
from accounts.signals import Consequences
from apikeys.errors import MalformedKey
from apikeys.lifecycle import flag_exposed, revoke_keys, revoke_keys_of
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyKind
from apikeys.policy import bound_at, bound_only_at

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


def on_scope_leaving(*, actor: Actor, scope: Organization | Space, at: datetime, **_: Any) -> None:
    """Revoke the service keys that would be left without any space; others only lose this one, and it is recorded."""
    because = f"the {scope._meta.verbose_name} it was for was deleted"
    revoke_keys(actor, bound_only_at(scope), at=at, because=because)
    keys = {key.owner_id: key for key in bound_at(scope).filter(revoked_at__isnull=True).order_by("pk")}
    lost: dict[int, list[dict[str, Any]]] = {bot: [] for bot in keys}
    for rows in bindings_within(scope):
        for binding in rows.filter(user__in=keys):
            lost[binding.user_id].append(described(binding))
    for bot, key in keys.items():
        record(actor, Tag.ROLE_WITHDRAWN, key, at=at, withdrawn=lost[bot], because=because)


def on_considering_deletion(*, scope: Organization | Space, at: datetime, **_: Any) -> Consequences:
    """Name the service keys that would stop, and those that would go on elsewhere."""
    stops = bound_only_at(scope).active(at=at)
    return Consequences(
        stops=_names(stops), goes_on=_names(bound_at(scope).active(at=at).exclude(pk__in=stops.values("pk")))
    )


def on_reading_own_history(*, user: User, account: Account, **_: Any) -> tuple[str, QuerySet[ApiKey, int]]:
    """Say which keys are the person's: those they own and the service keys they made."""
    own = ApiKey.objects.filter(Q(owner=user) | Q(kind=KeyKind.SERVICE, created_by=user), account=account)
    return ApiKey.__name__, own.values_list("pk", flat=True)


def on_misplaced(*, actor: Actor, text: str, where: str, at: datetime, **_: Any) -> None:
    """Mark the key exposed, if it is one."""
    with suppress(MalformedKey):
        flag_exposed(actor, text, where=where, at=at)


def _names(keys: ApiKeyQuerySet) -> tuple[str, ...]:
    rows = list(keys.order_by("-pk").values_list("name", "redacted_key")[: _NAMED + 1])
    names = [f"{name} ({redacted})" for name, redacted in rows[:_NAMED]]
    if len(rows) > _NAMED:
        names.append("and more")
    return tuple(names)
