"""Doing once what is asked twice: a caller who does not know whether a request arrived can safely send it again.

A request that carries a name (the header ``Idempotency-Key``) is answered once; for a day the same request under the
same name gets the same answer and changes nothing. Refusals are not kept: the next attempt is decided afresh.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from accounts.actors import Actor
from accounts.errors import Conflict, DomainError, Invalid, NotAllowed
from accounts.models import IdempotentAnswer, User
from accounts.verbs import announce_commit

KEPT = timedelta(days=1)
MAX_NAME = 255


@dataclass(frozen=True)
class Answer:
    """What a caller was told, without the secret, where there was one; ``secret_of`` is the id of what it opens."""

    status: int
    body: Any
    secret_of: str = ""


class NameReused(NotAllowed):
    """The name was given to another request."""

    code = "idempotency_key_reused"


class AlreadyDone(Conflict):
    """It was done, and the secret in its answer was shown; ``row_id`` is what was made."""

    code = "already_done"

    def __init__(self, row_id: str) -> None:
        super().__init__(
            f"This request was carried out already and made {row_id}. Its secret was shown then and is not shown "
            "again: if it was lost, refresh the key, or send the invitation again."
        )
        self.row_id = row_id


def answer_once(
    actor: Actor, name: str, fingerprint: bytes, carry_out: Callable[[], Answer], *, at: datetime
) -> Answer | None:
    """Carry a request out unless that was done under this name; return the answer of then, or ``None`` for now's.

    Whoever comes second at the same moment waits for the first. ``fingerprint`` tells requests apart.

    Raises:
        Invalid: the name is unusable.
        NameReused: the name stands for another request.
        AlreadyDone: the answer held a secret.
        What ``carry_out`` raises.
    """
    if actor.user is None or not 1 <= len(name) <= MAX_NAME or not (name.isascii() and name.isprintable()):
        raise Invalid(f"An Idempotency-Key has 1 to {MAX_NAME} printable ASCII characters.")
    with transaction.atomic():
        row, is_first = _claim(actor.user, name, fingerprint, at)
        if is_first:
            answer = _attempt(carry_out, row)
            if isinstance(answer, Answer):
                row.status, row.body, row.secret_of = answer.status, answer.body, answer.secret_of
                row.save(update_fields=["status", "body", "secret_of"])
                return None
        else:
            # What was done then may not have held everywhere yet when the answer to it was lost.
            announce_commit()
            answer = _answer_of_then(row, fingerprint)
            if isinstance(answer, Answer):
                return answer
    raise answer


def _claim(user: User, name: str, fingerprint: bytes, at: datetime) -> tuple[IdempotentAnswer, bool]:
    IdempotentAnswer.objects.filter(user=user, created_at__lt=at - KEPT).delete()
    return IdempotentAnswer.objects.select_for_update().get_or_create(
        user=user, name=name, defaults={"fingerprint": fingerprint, "created_at": at}
    )


def _answer_of_then(row: IdempotentAnswer, fingerprint: bytes) -> Answer | AlreadyDone:
    if bytes(row.fingerprint) != fingerprint:
        raise NameReused("This Idempotency-Key was used for another request. Give every request its own.")
    if row.secret_of:
        return AlreadyDone(row.secret_of)
    return Answer(status=row.status or 200, body=row.body)


def _attempt(carry_out: Callable[[], Answer], row: IdempotentAnswer) -> Answer | DomainError:
    """Carry it out; a refusal is handed back, so that its event in the audit log outlives this transaction."""
    try:
        return carry_out()
    except DomainError as refusal:
        row.delete()
        return refusal
