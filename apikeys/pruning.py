"""Deleting secrets that open nothing any more, so that an old pepper can be retired. The keys themselves stay."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.errors import Forbidden
from apikeys.models import KeySecret

# Small enough that nobody who verifies or refreshes a key meanwhile waits noticeably.
_BATCH = 1_000


def prunable(*, at: datetime, kept: timedelta) -> QuerySet[KeySecret]:
    """Return the secrets whose grace has ended, and those of keys that ended longer ago than ``kept``."""
    before = at - kept
    return KeySecret.objects.filter(
        Q(ends_at__lte=at) | Q(key__revoked_at__lte=before) | Q(key__expires_at__lte=before)
    )


def prune_secrets(
    actor: Actor, *, at: datetime, kept: timedelta, told: Callable[[int], None] = lambda done: None
) -> int:
    """Delete what ``prunable`` returns, batch by batch, and return how many; ``told`` hears of each batch.

    A pruned secret is refused like an unknown one. Operators only.

    Raises:
        Forbidden: the actor is not an operator.
    """
    if not actor.is_operator:
        raise Forbidden("Only the operator of the installation prunes secrets.")
    done, last = 0, 0
    rows = prunable(at=at, kept=kept).order_by("pk").values_list("pk", flat=True)
    while batch := list(rows.filter(pk__gt=last)[:_BATCH]):  # so that no batch walks over the living ones again
        with transaction.atomic():
            KeySecret.objects.filter(pk__in=batch).delete()
            record(actor, Tag.SECRETS_PRUNED, at=at, secrets=len(batch), kept_days=kept.days)
        done, last = done + len(batch), batch[-1]
        told(done)
    return done
