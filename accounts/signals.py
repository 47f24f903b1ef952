"""What the ground floor announces to the floors above, which it does not know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from django.dispatch import Signal


@dataclass(frozen=True)
class Consequences:
    """What a removal or a deletion brings about elsewhere, in words for the page that asks first."""

    stops: tuple[str, ...] = ()
    goes_on: tuple[str, ...] = ()

    @classmethod
    def gathered(cls, sent: Iterable[tuple[Any, Any]]) -> Self:
        """Put together what the receivers of a signal answered."""
        answers = [answer for _, answer in sent if isinstance(answer, cls)]
        return cls(
            stops=tuple(line for answer in answers for line in answer.stops),
            goes_on=tuple(line for answer in answers for line in answer.goes_on),
        )


# Sent inside the removal's transaction, before memberships go. Arguments: actor, user, account, at.
person_leaving = Signal()

# Sent before anybody decides; receivers return Consequences. Arguments: user, account, at.
removal_considered = Signal()

# Sent inside a deletion's transaction, before anything is recorded: receivers lock what goes with the scope, and what
# becomes of it. Arguments: scope (organization or space).
scope_locking = Signal()

# Sent inside a deletion's transaction, before anything goes. Arguments: actor, scope (organization or space), at.
scope_leaving = Signal()

# Sent before anybody decides; receivers return Consequences. Arguments: scope, at.
deletion_considered = Signal()

# Sent after the transaction of one verb or more has committed, before whoever called is answered. No arguments.
committed = Signal()

# Sent when key text turns up where it gets logged. Arguments: actor, text, where, at.
key_misplaced = Signal()

# Sent when somebody who is no account admin reads their own history; receivers return a type name as audit events
# use it and a queryset of row numbers that are the person's. Arguments: user, account.
own_targets = Signal()
