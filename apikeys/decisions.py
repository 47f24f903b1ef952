"""May this key do this there? Answered from one prepared query, for those who ask on every request of theirs.

The rules are the house's own: what opens is decided in ``verification.why_refused``, which roles count in a space in
``standing.roles_in_space``. What is new here is only that everything both of them need comes with one question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings

from accounts.roles import RoleName
from accounts.standing import roles_in_space
from accounts.vocabulary import Permission
from apikeys import tokens
from apikeys.errors import InvalidKey, Reason
from apikeys.prepared import Prepared
from apikeys.verification import end_of, freshen, is_locked_out, why_refused

_MOST_ROLES = 1024

# A role as the query hands it over: as much as a decision needs, and whether it names the permission asked for.
_ROLE = """json_build_array(
    role.name, role.rank, role.account_id IS NOT NULL, role.permissions @> ARRAY[$3::text]::varchar[]
)"""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def _moment(text: bytes) -> datetime:
    return _BEGINNING + timedelta(microseconds=int(text))


def _binary(text: bytes) -> bytes:
    return bytes.fromhex(text[2:].decode())


_truth = b"t".__eq__


def _microseconds(column: str) -> str:
    return f"(extract(epoch FROM {column}) * 1000000)::bigint"


# What is fetched: under which name the rules know it, where it comes from, and how its text is read.
_COLUMNS: tuple[tuple[str, str, Callable[[bytes], object]], ...] = (
    ("id", "secret.id", int),
    ("digest", "secret.digest", _binary),
    ("pepper_id", "secret.pepper_id", int),
    ("ends_at", _microseconds("secret.ends_at"), _moment),
    ("key_id", "key.id", int),
    ("kind", "key.kind", bytes.decode),
    ("key__expires_at", _microseconds("key.expires_at"), _moment),
    ("key__revoked_at", _microseconds("key.revoked_at"), _moment),
    ("owner_id", "owner.id", int),
    ("owner_kind", "owner.kind", bytes.decode),
    ("key__owner__is_active", "owner.is_active", _truth),
    ("account_id", "account.id", int),
    ("developer_access_locked", "account.developer_access_locked", _truth),
    ("is_member", "member.role IS NOT NULL", _truth),
    (
        "is_bound",
        "key.kind <> 'SERVICE' OR EXISTS (SELECT FROM accounts_spacebinding WHERE user_id = owner.id)",
        _truth,
    ),
    ("space_id", "space.id", int),
    ("is_private", "space.is_private", _truth),
    ("account_role", "member.role", bytes.decode),
    (
        "organization_role",
        f"""(SELECT {_ROLE} FROM accounts_organizationbinding binding
               JOIN accounts_role role ON role.permission_id = binding.permission_id AND role.deleted_at IS NULL
              WHERE binding.user_id = owner.id AND binding.content_object_id = space.organization_id)""",  # noqa: S608 -- as below
        bytes.decode,
    ),
    (
        "space_roles",
        f"""(SELECT json_agg({_ROLE} ORDER BY role.rank DESC NULLS LAST, role.id) FROM accounts_spacebinding binding
               JOIN accounts_role role ON role.permission_id = binding.permission_id AND role.deleted_at IS NULL
              WHERE binding.user_id = owner.id AND binding.content_object_id = space.id)""",  # noqa: S608 -- as below
        bytes.decode,
    ),
)
_READERS = tuple((name, read) for name, _, read in _COLUMNS)

_QUESTION = f"""
SELECT {", ".join(source for _, source, _ in _COLUMNS)}
  FROM apikeys_keysecret secret
  JOIN apikeys_apikey key ON key.id = secret.key_id
  JOIN accounts_user owner ON owner.id = key.owner_id
  JOIN accounts_account account ON account.id = key.account_id
  LEFT JOIN LATERAL (
       SELECT {_ROLE} AS role FROM accounts_accountbinding binding
         JOIN accounts_role role ON role.permission_id = binding.permission_id AND role.deleted_at IS NULL
        WHERE binding.user_id = owner.id AND binding.content_object_id = account.id
  ) member ON true
  LEFT JOIN LATERAL (
       SELECT space.id, space.is_private, space.organization_id FROM accounts_space space
         JOIN accounts_organization organization ON organization.id = space.organization_id
        WHERE space.id = $2::bigint AND organization.account_id = account.id
  ) space ON true
 WHERE secret.public_id = $1
"""  # noqa: S608 -- put together from constants; values are parameters
_prepared = Prepared(_QUESTION, patience=lambda: settings.VERIFY_PATIENCE)


@dataclass(frozen=True)
class Question:
    """What is asked: may whoever holds this key do this there? Without a space it is asked of the account.

    A space alone asks whether they get in at all.
    """

    space: int | None = None
    permission: Permission | None = None

    @property
    def asked(self) -> Permission:
        """The permission that decides."""
        return self.permission or Permission.SPACE_READ

    @property
    def opens_anything(self) -> bool:
        """Whether nothing is asked but who it is."""
        return self.space is None and self.permission is None


@dataclass(frozen=True)
class Decision:
    """The answer, and until when it stands if nobody changes anything."""

    allowed: bool
    key_id: int
    kind: str
    user_id: int
    user_kind: str
    account_id: int
    space_id: int | None
    role: str
    locked: bool
    ends_at: datetime | None


@dataclass(frozen=True)
class _Role:
    name: str
    rank: int | None
    own: bool
    holds: bool

    @property
    def is_predefined(self) -> bool:
        return not self.own

    @property
    def is_admin(self) -> bool:
        return not self.own and self.name == RoleName.ADMIN


def decide(presented: str, question: Question, *, at: datetime) -> Decision:
    """Answer a question about a presented key: no query for a malformed one, else exactly one.

    Raises:
        InvalidKey: the key opens nothing; always the same to the outside.
    """
    key_text = tokens.parse(presented)
    row = _fetch(key_text.public_id, question)
    reason = why_refused(key_text, row, at)
    if row is None or reason is not None:
        raise InvalidKey(reason or Reason.UNKNOWN, key_id=row["key_id"] if row else None)
    freshen(key_text, row)
    roles = _roles(row)
    return Decision(
        allowed=question.opens_anything or (_is_there(row, question) and any(role.holds for role in roles)),
        key_id=row["key_id"],
        kind=row["kind"],
        user_id=row["owner_id"],
        user_kind=row["owner_kind"],
        account_id=row["account_id"],
        space_id=row["space_id"],
        role=_effective(roles),
        locked=is_locked_out(row["kind"], row["developer_access_locked"]),
        ends_at=end_of(row),
    )


def _is_there(row: Mapping[str, Any], question: Question) -> bool:
    return question.space is None or row["space_id"] is not None


def _roles(row: Mapping[str, Any]) -> tuple[_Role, ...]:
    """Return the roles that count where it was asked: the account's own, or those in the space."""
    (account_role,) = _read_roles(f"[{row['account_role']}]")
    if row["space_id"] is None:
        return (account_role,)
    organization_role = _read_roles(f"[{row['organization_role']}]")[0] if row["organization_role"] else None
    own = _read_roles(row["space_roles"] or "[]")
    return roles_in_space(account_role, organization_role, own, is_private=row["is_private"])


@lru_cache(maxsize=_MOST_ROLES)
def _read_roles(text: str) -> tuple[_Role, ...]:
    """Read roles as the query writes them. Few texts are met again and again: the roles there are."""
    return tuple(_Role(*one) for one in json.loads(text))


def _effective(roles: tuple[_Role, ...]) -> str:
    """Return the name of the role that says most: of the account's below its spaces only Admin says anything."""
    account_role, *further = roles
    counting = [account_role] if account_role.is_admin or not further else further
    return max(counting, key=lambda role: role.rank or 0).name


def _fetch(public_id: str, question: Question) -> dict[str, Any] | None:
    space = None if question.space is None else str(question.space).encode()
    row = _prepared.row((public_id.encode(), space, question.asked.value.encode()))
    if row is None:
        return None
    return {name: None if text is None else read(text) for (name, read), text in zip(_READERS, row, strict=True)}
