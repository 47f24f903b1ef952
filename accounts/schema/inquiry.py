"""What the resolvers of one request share: who asks, and what was read together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Generic, TypeAlias, TypeVar, cast

import strawberry

from accounts.actors import Actor
from accounts.errors import DomainError, NotFound
from accounts.models import User
from accounts.standing import Standing, standing_of

M = TypeVar("M")
R = TypeVar("R")


@dataclass
class Inquiry:
    """One request. What it remembers of permissions ends with it (security 22)."""

    actor: Actor
    at: datetime
    client: str = ""  # as it names itself; shown, and never trusted

    @cached_property
    def standing(self) -> Standing:
        """What the caller is in the account."""
        return standing_of(self.actor)

    @property
    def me(self) -> User:
        """The caller.

        Raises:
            NotFound: nobody in particular is calling.
        """
        if self.actor.user is None:
            raise NotFound("There is no such user.")
        return self.actor.user

    def acting(self, info: Info) -> Actor:
        """Return the actor of one mutation: the field called is the operation that the audit trail names.

        What was remembered is forgotten, since the mutation may change it.
        """
        self.__dict__.pop("standing", None)
        return replace(self.actor, operation=replace(self.actor.operation, name=info.field_name))


Info: TypeAlias = strawberry.Info[Inquiry, None]


class Peers(Generic[M]):
    """Rows that were read together: what is asked of one is read for all, so that a page costs what one row costs."""

    def __init__(self, rows: Iterable[M]) -> None:
        self.rows = list(rows)
        self._answers: dict[Hashable, Any] = {}

    def ask(self, question: Hashable, read: Callable[[list[M]], R]) -> R:
        """Return the answer for all rows, read by the first who asks. A refusal is an answer too."""
        if question not in self._answers:
            try:
                self._answers[question] = read(self.rows)
            except DomainError as refusal:
                self._answers[question] = refusal
        answer = self._answers[question]
        if isinstance(answer, DomainError):
            raise answer
        return cast(R, answer)
