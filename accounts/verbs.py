"""What makes a function a verb: one transaction, one account at a time, and refusals that are not forgotten."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Concatenate, ParamSpec, TypeVar

from django.db import transaction

from accounts.actors import Actor
from accounts.audit import Tag, record_refusal
from accounts.errors import DomainError
from accounts.models import Account
from accounts.signals import committed

P = ParamSpec("P")
R = TypeVar("R")

_inside: ContextVar[bool] = ContextVar("inside a verb", default=False)


def verb(tag: Tag) -> Callable[[Callable[Concatenate[Actor, P], R]], Callable[Concatenate[Actor, P], R]]:
    """Make a function a verb.

    It runs in one transaction and alone in its account, from the first question on: what it decides about roles still
    holds when it commits. A refusal that matters is recorded after the transaction rolled back; where one verb calls
    another, by the outer one, with which the inner one's event would vanish.
    """

    def decorate(function: Callable[Concatenate[Actor, P], R]) -> Callable[Concatenate[Actor, P], R]:
        @functools.wraps(function)
        def run(actor: Actor, /, *args: P.args, **kwargs: P.kwargs) -> R:
            outermost = not _inside.get()
            try:
                with within(), transaction.atomic():
                    if actor.account is not None:
                        lock_account(actor.account)
                    result = function(actor, *args, **kwargs)
                    announce_commit()
                    return result
            except DomainError as refusal:
                if refusal.recorded and outermost:
                    record_refusal(actor, tag, refusal)
                raise

        return run

    return decorate


@contextlib.contextmanager
def within() -> Iterator[None]:
    """Let the verbs in here know that they are part of something, which records their refusals after it is undone."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def announce_commit() -> None:
    """Have it announced once that the outermost transaction has committed, however many verbs were part of it.

    Also when nothing changed: whoever revokes a second time relies on the answer as much as the first time.
    """
    if not any(function is _committed for _, function, _ in transaction.get_connection().run_on_commit):
        transaction.on_commit(_committed)


def _committed() -> None:
    committed.send(sender=None)


def lock_account(account: Account) -> None:
    """Let one change at a time through per account: "may they still", "the last admin" and caps ask about many rows."""
    list(Account.objects.select_for_update(no_key=True).filter(pk=account.pk).values_list("pk"))
