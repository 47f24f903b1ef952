"""Refusals about keys. What the outside hears of a bad key is always the same; the reason stays inside."""

from __future__ import annotations

import math
from enum import StrEnum

from accounts.errors import DomainError, Forbidden, Invalid, NotAllowed, NotFound, TooMany, Unavailable


class Reason(StrEnum):
    """Why a presented key was refused: for the log and the owner, never for the caller."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    WRONG_SECRET = "wrong secret"  # noqa: S105 -- a reason, no password
    NO_PEPPER = "its pepper is not configured"
    SUPERSEDED = "secret replaced by a refresh"
    REVOKED = "revoked"
    EXPIRED = "expired"
    OWNER_INACTIVE = "owner deactivated"
    OWNER_REMOVED = "owner no longer in the account"
    UNBOUND = "bot has no space left"


class InvalidKey(DomainError):
    """The key opens nothing. ``reason`` must not reach the caller, and neither may ``key_id``, where there is one."""

    code = "invalid_token"

    def __init__(self, reason: Reason, *, key_id: int | None = None) -> None:
        super().__init__("The API key is missing, unknown, expired or revoked.")
        self.reason = reason
        self.key_id = key_id


class MalformedKey(InvalidKey):
    """What was presented cannot be a key; found out without asking the database."""

    def __init__(self) -> None:
        super().__init__(Reason.MALFORMED)


class KeyNotFound(NotFound):
    """There is no such key, or it is none of the caller's business."""

    code = "key_not_found"


class DeveloperAccessOff(Forbidden):
    """The person has no developer access."""

    code = "developer_access_off"


class DeveloperAccessLocked(Forbidden):
    """The account's developer access lock is on."""

    code = "developer_access_locked"


class BadLifetime(NotAllowed):
    """The expiry lies in the past, beyond the account's limit, or beyond the old key's."""

    code = "bad_lifetime"


class TooManyKeys(NotAllowed):
    """The account holds as many live keys as it may."""

    code = "too_many_keys"


class TooFast(TooMany):
    """The account made too many keys within the hour."""

    code = "too_many_keys_this_hour"


# Seconds that anybody is told to wait at most.
_LONGEST_WAIT = 60


class TooOften(TooMany):
    """A key comes more often than it may, or whoever presents it was wrong too often."""

    code = "rate_limited"
    recorded = False  # by those who hear of it: whoever was wrong has no account to record it in

    def __init__(self, wait: float) -> None:
        """``wait`` is in seconds; clients are told whole ones, and small ones (contract rest-v2 §4.5)."""
        super().__init__(
            "Too many requests. Wait as long as Retry-After says.",
            retry_after=max(1, min(_LONGEST_WAIT, math.ceil(wait))),
        )


class LimiterFailed(Unavailable):
    """How often somebody came cannot be known at the moment, so nobody is let in (503)."""

    def __init__(self) -> None:
        super().__init__("Whether the key may do this cannot be known at the moment. Try again.")


class UnsafeRequest(Invalid):
    """The credentials came twice, or in a place that gets logged (RFC 6750 §2)."""

    code = "invalid_request"
