"""The kinds of error REST knows, as one table: what a client gets, and what the page about errors explains.

Pure: no DRF in here, whose settings lead to the module that answers with these.
"""

from __future__ import annotations

from dataclasses import dataclass

from accounts.errors import Invalid

# Where the page about errors is served; a problem's `type` points at a section of it.
PAGE = "/docs/errors"

# Of a body with a thousand faults the first few say enough.
_FAULTS_SHOWN = 20
_FAULTS_IN_WORDS = 3


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a request: where (a path of names and indexes), and what."""

    where: tuple[str | int, ...]
    detail: str

    def __str__(self) -> str:
        name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.where).lstrip(".")
        return f"{name}: {self.detail}" if name else self.detail


class Malformed(Invalid):
    """The body or the query does not have the shape it must have."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults[:_FAULTS_SHOWN])
        words = " ".join(str(fault) for fault in faults[:_FAULTS_IN_WORDS])
        more = len(faults) - _FAULTS_IN_WORDS
        super().__init__(f"{words} And {more} more." if more > 0 else words)


@dataclass(frozen=True)
class ProblemKind:
    """One class of errors (RFC 9457). ``title`` and ``slug`` are stable and public (contract rest-v2 §4.4).

    ``codes`` explains the values of ``error_code`` that come with it.
    """

    status: int
    slug: str
    title: str
    meaning: str
    advice: str
    codes: tuple[tuple[str, str], ...] = ()


KINDS: tuple[ProblemKind, ...] = (
    ProblemKind(
        400,
        "invalid-request",
        "Invalid request parameters",
        "The request cannot be read: a body that is no JSON, an unknown or missing property, a value of the wrong "
        "type or out of its bounds, an ID that is none, or an API key in a place where it does not belong.",
        "Correct the request. The list “errors” points at each value at fault; values themselves are never repeated.",
        (
            ("invalid", "A property or a parameter is missing, unknown, of the wrong type or out of bounds."),
            ("incompatible", "Parts of the request do not go together, or not with what the user is."),
            ("length_required", "The body came in chunks. Send it with a Content-Length."),
            ("too_complex", "A GraphQL operation asks for more than is answered at once. Split it, or its pages."),
            ("unreadable", "What came is no Arrow stream, no spans or no record, or the body ended in the middle."),
            ("too_large", "There are more rows, columns or bytes than are taken at once. Send less at once."),
            ("invalid_request", "The API key came twice, or in the address, a cookie or a form. Refresh that key."),
        ),
    ),
    ProblemKind(
        401,
        "authentication-required",
        "Authentication required",
        "There is no API key, or the one presented opens nothing. Unknown, expired and revoked keys get the same "
        "answer; the reason is told to the key's owner only, under Settings.",
        "Send a valid key in the header Authorization: Bearer, a blank, and the key.",
        (
            ("authentication_required", "No API key was presented."),
            ("invalid_token", "The API key is unknown, expired or revoked, or its owner has left."),
        ),
    ),
    ProblemKind(
        403,
        "access-forbidden",
        "Access forbidden",
        "You can see the thing, but not do this to it.",
        "Ask an admin of the space, the organization or the account for the role it takes.",
        (
            (
                "forbidden",
                "Your role does not permit it. “scope” in WWW-Authenticate names the permission, where it is one.",
            ),
            ("developer_access_off", "You have no developer access, so you cannot create or refresh keys."),
            ("developer_access_locked", "The account's developer access lock is on: user keys cannot call the API."),
            ("https_required", "An API key came over a connection that others can read. Refresh that key; use HTTPS."),
        ),
    ),
    ProblemKind(
        404,
        "resource-not-found",
        "Resource not found",
        "It does not exist, or you have no access to it. Both look the same, so that IDs cannot be probed.",
        "Check the ID, and that the key belongs to the account the thing is in.",
        (
            ("not_found", "There is no such thing, or no such address."),
            ("key_not_found", "There is no such API key, or it is none of your business."),
        ),
    ),
    ProblemKind(
        405,
        "method-not-allowed",
        "Method not allowed",
        "The address exists, but does not answer to this method.",
        "Use one of the methods that the header Allow names.",
        (("method_not_allowed", "The method is not offered at this address."),),
    ),
    ProblemKind(
        409,
        "resource-conflict",
        "Resource conflict",
        "A name or an identity is already taken, or the thing is in use.",
        "Choose another name, or look up what is there.",
        (
            ("conflict", "Something else has that name or identity."),
            (
                "already_done",
                "The request with this Idempotency-Key was carried out, and its secret was shown then. `resource_id` "
                "says what it made.",
            ),
        ),
    ),
    ProblemKind(
        413,
        "content-too-large",
        "Content too large",
        "The body is larger than this API reads.",
        "Send less at a time.",
        (("content_too_large", "The body is too large."),),
    ),
    ProblemKind(
        422,
        "request-not-allowed",
        "Request not allowed",
        "The request is well formed and still against a rule.",
        "Read “detail”: it says which rule, and what would be allowed.",
        (
            ("not_allowed", "A rule refuses it."),
            ("idempotency_key_reused", "The Idempotency-Key was given to another request before."),
            ("role_above_own", "A role above your own was asked for."),
            ("bad_lifetime", "The expiry lies in the past, beyond the account's limit, or beyond the old key's."),
            ("too_many_keys", "The account holds as many live keys as it may."),
        ),
    ),
    ProblemKind(
        429,
        "rate-limit-exceeded",
        "Rate limit exceeded",
        "Too many requests of this kind in a short time.",
        "Wait as many seconds as the header Retry-After says.",
        (
            ("rate_limited", "A rate limit was reached."),
            ("too_many_keys_this_hour", "The account made as many keys as it may within one hour."),
        ),
    ),
    ProblemKind(
        500,
        "internal-error",
        "Internal error",
        "Something is wrong on our side, and it is in the log.",
        "Tell whoever runs this installation when it happened.",
        (("internal_error", "An error nobody foresaw."),),
    ),
    ProblemKind(
        503,
        "service-unavailable",
        "Service unavailable",
        "The database cannot be reached. Nothing is let through in the meantime.",
        "Try again in a moment.",
        (
            ("unavailable", "The database cannot be reached."),
            ("storage_unavailable", "Uploaded data cannot be stored or read; of an upload nothing was kept."),
            (
                "unsettled",
                "The change was made, and the database failed before every host was known to have heard of it. Ask "
                "again: the same answer with 2xx says that it holds everywhere.",
            ),
        ),
    ),
)

BY_STATUS = {kind.status: kind for kind in KINDS}
