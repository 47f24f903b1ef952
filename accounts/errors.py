"""Refusals that any verb of the ground floor may raise; doors translate them once, each in its own way."""

from __future__ import annotations


class DomainError(Exception):
    """A rule said no.

    ``code`` is stable and public, ``detail`` is a sentence for people that says what to do next. ``field`` names
    the input at fault where there is one. ``recorded`` says whether the refusal belongs in the audit trail, and
    ``noted`` whether it got there.
    """

    code = "refused"
    recorded = False
    noted = False

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class NotFound(DomainError):
    """It does not exist, or the caller may not read it: the same answer for both."""

    code = "not_found"


class Forbidden(DomainError):
    """The caller may read the thing but not do this to it. ``permission`` names what it takes, where that is one."""

    code = "forbidden"
    recorded = True

    def __init__(self, detail: str, *, field: str | None = None, permission: str | None = None) -> None:
        super().__init__(detail, field=field)
        self.permission = permission


class NotAllowed(DomainError):
    """Well formed, and still against a rule (REST: 422)."""

    code = "not_allowed"


class Incompatible(NotAllowed):
    """Parts of it do not go together, or not with what somebody is: an annotator, or not invited (REST: 400)."""

    code = "incompatible"


class Escalation(NotAllowed):
    """A role above the caller's own was asked for."""

    code = "role_above_own"
    recorded = True


class Invalid(DomainError):
    """The input is malformed or out of its bounds (REST: 400)."""

    code = "invalid"


class LengthRequired(Invalid):
    """A body has no length, and would be taken for empty."""

    code = "length_required"

    def __init__(self) -> None:
        super().__init__("Send the body with a Content-Length, and not in chunks.")


class Conflict(DomainError):
    """A name or an identity is already taken, or the thing is in use (REST: 409)."""

    code = "conflict"


class Unavailable(DomainError):
    """What it takes cannot be reached at the moment, so nothing was done (REST: 503)."""

    code = "unavailable"


class TooMany(DomainError):
    """A rate limit was reached; ``retry_after`` is in seconds."""

    code = "rate_limited"
    recorded = True

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
