"""How data gets in: written down as it comes, without any lock, and then kept in one short transaction.

An upload may take minutes, and much can change meanwhile. So what was asked before its first byte is asked once more
in the transaction that keeps it, and a key that would not be let in any more keeps nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.actors import Actor
from accounts.audit import Tag, record_refusal
from accounts.errors import DomainError, NotFound
from accounts.models import Space
from accounts.verbs import lock_account, within
from apikeys.models import ApiKey
from apikeys.verification import require_still_open
from apikeys.workflows.leaving import hold


@contextlib.contextmanager
def writing(actor: Actor, tag: Tag, *, alone: bool = False) -> Iterator[None]:
    """Hold one transaction for what an upload leaves behind; a refusal that matters is recorded after it is undone.

    ``alone`` is for uploads that change more than they add to: they wait for other changes in the account, as verbs do.

    Raises:
        InvalidKey, DeveloperAccessLocked: the actor's key would not be let in any more.
    """
    try:
        with within(), transaction.atomic():
            if alone and actor.account is not None:
                lock_account(actor.account)  # before the key, as whoever revokes one does
            _require_key(actor)
            yield
    except DomainError as refusal:
        if refusal.recorded and not refusal.noted:
            record_refusal(actor, tag, refusal)
        raise


def hold_space(space: Space) -> None:
    """Let nobody delete a space until the end of the transaction, since something new is put into it.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    if not hold(Space.objects.filter(pk=space.pk)):
        raise NotFound("The space was deleted meanwhile.")


def after(previous: datetime, at: datetime) -> datetime:
    """Return the moment of a change: in another second than the one before, since clients cut it to seconds."""
    return at if int(at.timestamp()) > int(previous.timestamp()) else previous + timedelta(seconds=1)


def _require_key(actor: Actor) -> None:
    """Hold the key until the end of the transaction: whoever revokes it waits, and nothing is kept afterwards."""
    if actor.key_id is None:
        return
    list(ApiKey.objects.select_for_update(no_key=True).filter(pk=actor.key_id).values_list("pk"))
    require_still_open(actor.key_id, actor.secret_id, at=timezone.now())
