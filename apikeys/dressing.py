"""Keys as pages show them: what a row of the list and the dialogs about one key say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse

from accounts.actors import Actor
from accounts.models import Space
from accounts.permissions import seen_by
from accounts.standing import Standing
from apikeys import policy
from apikeys.models import ApiKey, KeySecret, KeyStatus

_SOON = timedelta(days=7)
_LATELY = timedelta(days=1)
_TONES = {KeyStatus.ACTIVE: "ok", KeyStatus.EXPIRED: "warn", KeyStatus.REVOKED: "danger"}


@dataclass(frozen=True)
class GrantLine:
    """One space a service key opens, and as what."""

    organization: str
    space: str
    role: str


@dataclass(frozen=True)
class KeyRow:
    """One key in words."""

    wire_id: str
    name: str
    description: str
    redacted_key: str
    status: KeyStatus
    grace_until: datetime | None
    exposed: bool
    bot_name: str
    grants: tuple[GrantLine, ...]
    reaches_further: bool
    created_at: datetime
    created_by: str
    created_by_you: bool
    expires_at: datetime | None
    expires_soon: bool
    last_used_at: datetime | None
    last_used_by: str
    last_used_network: str
    last_used_client: str
    first_used_at: datetime | None
    times_used: int
    used_lately: bool
    why_url: str
    refresh_url: str
    revoke_url: str

    @property
    def status_label(self) -> str:
        """The status as a word."""
        return str(self.status.label)

    @property
    def status_tone(self) -> str:
        """The colour of the status."""
        return _TONES[self.status]

    @property
    def is_over(self) -> bool:
        """Whether the key opens nothing any more."""
        return self.status != KeyStatus.ACTIVE


def rows(actor: Actor, standing: Standing, keys: Sequence[ApiKey], *, at: datetime) -> list[KeyRow]:
    """Dress a page of keys: as many queries for many as for one. Keys come with owner, created_by and use."""
    bindings = policy.bindings_of(keys)
    # A key may reach into places whose very names are none of the reader's business.
    seen = set(seen_by(actor, Space).values_list("pk", flat=True)) if bindings else set()
    graces = dict(
        KeySecret.objects.filter(key__in=keys, superseded_at__isnull=False, ends_at__gt=at)
        .order_by("ends_at")
        .values_list("key", "ends_at")
    )
    return [
        _row(actor, standing, key, bindings.get(key.pk, policy.KeyBindings()), seen, graces.get(key.pk), at)
        for key in keys
    ]


def _row(
    actor: Actor,
    standing: Standing,
    key: ApiKey,
    bindings: policy.KeyBindings,
    seen: set[int],
    grace_until: datetime | None,
    at: datetime,
) -> KeyRow:
    status, use = key.status(at=at), getattr(key, "use", None)
    is_active = status == KeyStatus.ACTIVE
    may_refresh = (
        is_active
        and standing.is_developer
        and not standing.account.developer_access_locked
        and policy.why_not_refresh(actor, standing, key, bindings) is None
    )
    may_revoke = is_active and policy.why_not_revoke(actor, standing, key, bindings) is None
    return KeyRow(
        wire_id=key.wire_id,
        name=key.name,
        description=key.description,
        redacted_key=key.redacted_key,
        status=status,
        grace_until=grace_until if is_active else None,
        exposed=is_active and key.exposed_at is not None,
        bot_name=key.owner.name if key.is_service_key else "",
        grants=tuple(
            GrantLine(space.organization.name, space.name, role.label)
            for space, role in bindings.spaces
            if space.pk in seen
        ),
        reaches_further=any(space.pk not in seen for space, _ in bindings.spaces),
        created_at=key.created_at,
        created_by=key.created_by.name if key.created_by else key.created_by_name,
        created_by_you=actor.user is not None and key.created_by_id == actor.user.pk,
        expires_at=key.expires_at,
        expires_soon=is_active and key.expires_at is not None and key.expires_at - at < _SOON,
        last_used_at=use.last_used_at if use else None,
        last_used_by=key.owner.name if use else "",
        last_used_network=use.network or "" if use else "",
        last_used_client=use.client_family or use.client if use else "",
        first_used_at=use.first_used_at if use else None,
        times_used=use.uses if use else 0,
        used_lately=use is not None and at - use.last_used_at < _LATELY,
        why_url=reverse("apikeys:why", args=[key.wire_id]),
        refresh_url=reverse("apikeys:refresh", args=[key.wire_id]) if may_refresh else "",
        revoke_url=reverse("apikeys:revoke", args=[key.wire_id]) if may_revoke else "",
    )
