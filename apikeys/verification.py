"""The one function that turns presented text into a principal. Every door calls it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Case, Exists, OuterRef, QuerySet, Value, When

from accounts.models import Account, AccountBinding, SpaceBinding, User
from apikeys import peppers, tokens
from apikeys.errors import DeveloperAccessLocked, InvalidKey, Reason
from apikeys.models import KeyKind, KeySecret

logger = logging.getLogger("apikeys.verification")

LOCKED_OUT = "The account's developer access lock is on: user keys cannot call the API."
_NO_DIGEST = bytes(32)
# Stands for the public id in the query that is put together once; no key can have it.
_ANY_ID = "?" * tokens.PUBLIC_ID_LENGTH
_USER_FIELDS = [field.attname for field in User._meta.concrete_fields]
_ACCOUNT_FIELDS = [field.attname for field in Account._meta.concrete_fields]
_KEY_FIELDS = ("id", "kind", "name", "expires_at", "revoked_at", "redacted_key", "owner_id", "account_id")


def _is_past(moment: datetime | None, at: datetime) -> bool:
    return moment is not None and moment <= at


# What keeps a key from opening anything, although its secret is right. The first that is so is the reason.
OBSTACLES: tuple[tuple[Reason, Callable[[Mapping[str, Any], datetime], bool]], ...] = (
    (Reason.REVOKED, lambda row, at: row["key__revoked_at"] is not None),
    (Reason.EXPIRED, lambda row, at: _is_past(row["key__expires_at"], at)),
    (Reason.SUPERSEDED, lambda row, at: _is_past(row["ends_at"], at)),
    (Reason.OWNER_INACTIVE, lambda row, at: not row["key__owner__is_active"]),
    (Reason.OWNER_REMOVED, lambda row, at: not row["is_member"]),
    (Reason.UNBOUND, lambda row, at: not row["is_bound"]),
)


@dataclass(frozen=True)
class VerifiedKey:
    """A key that opened: who acts, in which account. Permissions are the user's, asked at each use."""

    key_id: int
    secret_id: int
    kind: str
    name: str
    redacted_key: str
    expires_at: datetime | None
    issued_at: datetime  # the secret that was presented
    ends_at: datetime | None  # whichever comes first, the key's end or the secret's
    user: User
    account: Account

    @property
    def is_user_key(self) -> bool:
        """Whether the key is a person's."""
        return self.kind == KeyKind.USER

    @property
    def is_locked_out(self) -> bool:
        """Whether the account's lock keeps the key out."""
        return is_locked_out(self.kind, self.account.developer_access_locked)


def verify(presented: str, *, at: datetime) -> VerifiedKey:
    """Return who a presented key stands for.

    A malformed key costs no query and no MAC, a well-formed one exactly one query and one MAC, whether it is known or
    not (security 7 and 8). The query carries the public id only.

    Raises:
        InvalidKey: for every reason there is, and always the same to the outside.
    """
    key_text = tokens.parse(presented)
    row = look_up(key_text.public_id)
    reason = why_refused(key_text, row, at)
    if row is None or reason is not None:
        reason = reason or Reason.UNKNOWN
        logger.info("refused ak-%s…: %s", key_text.public_id, reason)
        raise InvalidKey(reason, key_id=row["key__id"] if row else None)
    freshen(key_text, row)
    return VerifiedKey(
        key_id=row["key__id"],
        secret_id=row["id"],
        kind=row["key__kind"],
        name=row["key__name"],
        redacted_key=row["key__redacted_key"],
        expires_at=row["key__expires_at"],
        issued_at=row["created_at"],
        ends_at=end_of(row),
        user=User.from_db(None, _USER_FIELDS, [row[f"key__owner__{name}"] for name in _USER_FIELDS]),
        account=Account.from_db(None, _ACCOUNT_FIELDS, [row[f"key__account__{name}"] for name in _ACCOUNT_FIELDS]),
    )


def look_up(public_id: str) -> dict[str, Any] | None:
    """Fetch all that a decision needs, flat: building models for keys that are refused would show in the time taken."""
    columns, sql, parameters = _question()
    with connection.cursor() as cursor:
        cursor.execute(sql, [public_id if value == _ANY_ID else value for value in parameters])
        row = cursor.fetchone()
    return dict(zip(columns, row, strict=True)) if row else None


def require_still_open(key_id: int, secret_id: int | None, *, at: datetime) -> None:
    """Ask once more of a key that opened before, by the same secret; whoever asks holds the key's row.

    Raises:
        InvalidKey: it would not open any more.
        DeveloperAccessLocked: it is a user key, and the account's lock is on by now.
    """
    columns, rows = _secrets()
    rows = rows.none() if secret_id is None else rows.filter(pk=secret_id, key=key_id)
    found = rows.values_list(*columns).first()
    row = dict(zip(columns, found, strict=True)) if found else None
    reason = _obstacle(row, at) if row else Reason.UNKNOWN
    if row is None or reason is not None:
        raise InvalidKey(reason or Reason.UNKNOWN, key_id=key_id)
    if is_locked_out(row["key__kind"], row["key__account__developer_access_locked"]):
        raise DeveloperAccessLocked(LOCKED_OUT)


@functools.cache
def _question() -> tuple[tuple[str, ...], str, tuple[Any, ...]]:
    """Return the columns, the SQL and the parameters of the one query; putting it together takes longer than asking."""
    columns, rows = _secrets()
    sql, parameters = rows.filter(public_id=_ANY_ID).values_list(*columns).query.sql_with_params()
    return columns, sql, tuple(parameters)


def _secrets() -> tuple[tuple[str, ...], QuerySet[KeySecret]]:
    """Return what a decision needs of each secret, and where it comes from."""
    member = AccountBinding.objects.filter(user=OuterRef("key__owner"), content_object=OuterRef("key__account"))
    bound = SpaceBinding.objects.filter(user=OuterRef("key__owner"))
    columns = (
        "id",
        "digest",
        "pepper_id",
        "created_at",
        "ends_at",
        "is_member",
        "is_bound",
        *(f"key__{name}" for name in _KEY_FIELDS),
        *(f"key__owner__{name}" for name in _USER_FIELDS),
        *(f"key__account__{name}" for name in _ACCOUNT_FIELDS),
    )
    rows = KeySecret.objects.annotate(
        is_member=Exists(member),
        is_bound=Case(When(key__kind=KeyKind.SERVICE, then=Exists(bound)), default=Value(True)),
    )
    return columns, rows


def why_refused(key_text: tokens.KeyText, row: Mapping[str, Any] | None, at: datetime) -> Reason | None:
    """Return why a key opens nothing, or ``None``: the one place where that is decided, whoever fetched the row."""
    pepper = pepper_of(row) if row else None
    # One MAC in every case, so that the time taken tells nothing about which keys exist.
    opens = tokens.matches(key_text, pepper or peppers.newest()[1], bytes(row["digest"]) if row else _NO_DIGEST)
    if row is None:
        return Reason.UNKNOWN
    if pepper is None:
        logger.error("The pepper %s is not configured; keys made with it are refused.", row["pepper_id"])
        return Reason.NO_PEPPER
    if not opens:
        return Reason.WRONG_SECRET
    return _obstacle(row, at)


def _obstacle(row: Mapping[str, Any], at: datetime) -> Reason | None:
    return next((reason for reason, is_so in OBSTACLES if is_so(row, at)), None)


def end_of(row: Mapping[str, Any]) -> datetime | None:
    """Return when a secret stops by itself."""
    ends = [moment for moment in (row["key__expires_at"], row["ends_at"]) if moment is not None]
    return min(ends, default=None)


def pepper_of(row: Mapping[str, Any]) -> bytes | None:
    """Return the pepper that a secret was made with, if it is configured: without it no secret can be told right."""
    return peppers.ring().get(row["pepper_id"])


def is_locked_out(kind: str, developer_access_locked: bool) -> bool:
    """Whether a key that opens is kept out all the same: the account's lock is for keys of people."""
    return developer_access_locked and kind == KeyKind.USER


def freshen(key_text: tokens.KeyText, row: Mapping[str, Any]) -> None:
    """Move a digest made with an older pepper to the newest: use is what migrates rows (security 5)."""
    number, pepper = peppers.newest()
    if row["pepper_id"] != number:
        KeySecret.objects.filter(pk=row["id"], pepper_id=row["pepper_id"]).update(
            digest=tokens.digest(key_text, pepper), pepper_id=number
        )
