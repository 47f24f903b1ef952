"""What is refused, and what failed, as gRPC says it: a status and a text that repeats no key and shows no traceback."""

from __future__ import annotations

import logging

import grpc
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError

from accounts.errors import Conflict, DomainError, Forbidden, NotFound, TooMany, Unavailable
from accounts.redaction import redact_text
from apikeys.errors import InvalidKey
from apikeys.following import NotSettled
from apikeys.workflows.errors import TooManyCalls

logger = logging.getLogger("apikeys.workflows.grpc")

Status = grpc.StatusCode

# What the domain refuses, and what gRPC calls it (contract client-workflows §5); the first that fits counts.
_STATUS_OF_REFUSAL: tuple[tuple[type[DomainError], Status], ...] = (
    (InvalidKey, Status.UNAUTHENTICATED),
    (Unavailable, Status.UNAVAILABLE),
    (NotFound, Status.NOT_FOUND),
    (Forbidden, Status.PERMISSION_DENIED),
    (Conflict, Status.ALREADY_EXISTS),
    (TooMany, Status.RESOURCE_EXHAUSTED),
    (DomainError, Status.INVALID_ARGUMENT),
)
# Statuses travel as headers, and clients take no more than some kilobytes of those.
_LONGEST_TEXT = 1_000

SOMETHING_WRONG = "Something is wrong on our side. It is in the log."
DATABASE_GONE = "The database cannot be reached. Try again in a moment."


def status_of(error: Exception, method: str) -> tuple[Status, str]:
    """Return how a call ends that ended with this; what should not have happened goes to the log."""
    if isinstance(error, DomainError):
        if isinstance(error, Unavailable):
            logger.error("%s failed", method, exc_info=error)
        status = next(status for kind, status in _STATUS_OF_REFUSAL if isinstance(error, kind))
        return status, redact_text(_wait(error))[:_LONGEST_TEXT]
    if isinstance(error, NotSettled):
        logger.error("What was done by %s may not hold everywhere", method, exc_info=error)
        return Status.UNAVAILABLE, str(error)
    # The embedded server that cannot be started is a wrong configuration, too.
    gone = isinstance(error, DatabaseError | InterfaceError | ImproperlyConfigured)
    if gone and not isinstance(error, IntegrityError | DataError):
        logger.error("The database failed at %s", method, exc_info=error)
        return Status.UNAVAILABLE, DATABASE_GONE
    logger.error("Unexpected error at %s", method, exc_info=error)
    return Status.INTERNAL, SOMETHING_WRONG


def _wait(error: DomainError) -> str:
    if isinstance(error, TooMany) and not isinstance(error, TooManyCalls):
        # Elsewhere a header says how long.
        seconds = error.retry_after
        return f"Too many requests. Wait {seconds} second{'' if seconds == 1 else 's'}."
    return error.detail
