"""Finding the keys a command line means: by ID, by redacted form, or by name."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from accounts.errors import Invalid, NotAllowed
from accounts.models import Account, User
from accounts.redaction import KEY_PATTERN
from accounts.wire import decode_id
from apikeys.errors import KeyNotFound
from apikeys.models import ApiKey, ApiKeyQuerySet
from apikeys.tokens import redacted

_NAMED = 10


def find_key(text: str, *, account: Account | None, user: User | None, at: datetime) -> ApiKey:
    """Return the one key meant; one that lives comes before those of the same name that are over.

    Raises:
        Invalid: a whole key was given.
        KeyNotFound: there is none.
        NotAllowed: there are several.
    """
    if KEY_PATTERN.search(text):
        raise Invalid(
            "That is a whole key, and it is now in this machine's list of processes and the shell's history. "
            f"Name it by its redacted form instead, {redacted(text.strip())}, and revoke it.",
            field="key",
        )
    keys = ApiKeyQuerySet(ApiKey).select_related("account", "owner", "created_by")
    if account is not None:
        keys = keys.filter(account=account)
    if user is not None:
        keys = keys.filter(Q(owner=user) | Q(created_by=user))
    try:
        found = list(keys.filter(pk=decode_id(text, "ApiKey")))
    except Invalid:
        found = _by_text(keys, text.strip(), at)
    if not found:
        raise KeyNotFound(f"There is no key “{text}”{_near(keys, text)}", field="key")
    if len(found) > 1:
        lines = "\n".join(f"  {described(key, at)}" for key in found[:_NAMED])
        more = "\n  and more" if len(found) > _NAMED else ""
        raise NotAllowed(f"“{text}” means several keys; give the ID of one:\n{lines}{more}", field="key")
    return found[0]


def described(key: ApiKey, at: datetime) -> str:
    """Return a key on one line, with all that tells it from another."""
    kind, status = ("service key" if key.is_service_key else "user key"), key.status(at=at).label.lower()
    made = f"made by {key.created_by or key.created_by_name}" if key.is_service_key else f"of {key.owner}"
    return f"{key.wire_id}  {key.name}  {key.redacted_key}  {status} {kind} {made} in {key.account}"


def _by_text(keys: ApiKeyQuerySet, text: str, at: datetime) -> list[ApiKey]:
    either = keys.filter(Q(redacted_key=text) | Q(name=text))
    return list(either.active(at=at).order_by("-pk")[: _NAMED + 1]) or list(either.order_by("-pk")[: _NAMED + 1])


def _near(keys: ApiKeyQuerySet, text: str) -> str:
    near = [key.name for key in keys.named_like(text).order_by("-pk")[:3]] if text.strip() else []
    return f". Did you mean {', '.join(f'“{name}”' for name in near)}?" if near else "."
