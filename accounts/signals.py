"""What the ground floor announces to the floors above, which it does not know."""

from __future__ import annotations

from dataclasses import dataclass

from django.dispatch import Signal


@dataclass(frozen=True)
class Consequences:
    """What a person's removal from an account brings about elsewhere, in words for the page that asks first."""

    stops: tuple[str, ...] = ()
    goes_on: tuple[str, ...] = ()


# Sent inside the removal's transaction, before memberships go. Arguments: actor, user, account, at.
person_leaving = Signal()

# Sent before anybody decides; receivers return Consequences. Arguments: user, account, at.
removal_considered = Signal()

# Sent when key text turns up where it gets logged. Arguments: actor, text, where, at.
key_misplaced = Signal()

# Sent when somebody who is no account admin reads their own history; receivers return a type name as audit events
# use it and a queryset of row numbers that are the person's. Arguments: user, account.
own_targets = Signal()
