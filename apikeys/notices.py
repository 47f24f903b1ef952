"""Tells people by mail what happened to keys of theirs: a key that somebody else made is noticed the same minute.

Sent after the commit and behind the caller's back, so that no key waits for a mail server (security 47).
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from django.db import transaction

from accounts import mail
from accounts.actors import Actor
from accounts.models import User
from apikeys.models import ApiKey


class Notice(Enum):
    """What people are told of, in the words of the subject."""

    CREATED = "A user key was created for you"
    REFRESHED = "Somebody refreshed a key of yours"
    REVOKED = "Somebody revoked a key of yours"
    EXPOSED = "A key of yours was seen in an unsafe place"


# Said even to the person who did it: if it was not they, this is how they learn of it.
_ALWAYS = frozenset({Notice.CREATED, Notice.EXPOSED})


def tell(actor: Actor, key: ApiKey, what: Notice, *, at: datetime) -> None:
    """Mail the person behind a key, once the current transaction has committed."""
    person = _behind(key)
    if person is None or (person == actor.user and what not in _ALWAYS):
        return
    words = {"what": what.value, "key": mail.plain(key.name), "redacted": key.redacted_key, "at": at}
    account = key.account
    transaction.on_commit(lambda: mail.post_notice("key_notice", person, actor=actor, account=account, words=words))


def _behind(key: ApiKey) -> User | None:
    """Return whom a key concerns: its person, or whoever made the service key, while they can still sign in."""
    person = key.created_by if key.is_service_key else key.owner
    if person is None or person.is_bot or not person.is_active or person.joined_at is None:
        return None
    return person
