"""The verbs themselves, called by an actor: what every other door comes down to."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from django.db.models import Model
from django.utils import timezone

import accounts
import apikeys
from accounts import verbs
from accounts.actors import Door as Threshold
from accounts.errors import DomainError, Escalation, Forbidden, NotAllowed, NotFound
from tests.matrix.doors.ways import Door, Instead, Of, Way
from tests.matrix.fates import Fate
from tests.matrix.scene import NOBODY, Scene

# What functions that write tables call: none of them keeps anything without.
_WRITES = frozenset({"writing", "_in_place"})
VERBS = Door("verb", Threshold.SYSTEM)
_FATES = (
    (Escalation, Fate.ABOVE),
    (NotAllowed, Fate.AGAINST),
    (NotFound, Fate.ABSENT),
    (Forbidden, Fate.FORBIDDEN),
)


@dataclass(frozen=True)
class Call:
    """What a function is called with, behind the actor."""

    positional: tuple[Any, ...]
    named: dict[str, Any]


def given(*positional: Any, **named: Any) -> Call:
    """Return what a function is called with."""
    return Call(positional, named)


@dataclass(frozen=True, kw_only=True)
class VerbWay(Way):
    """A function that takes the actor first.

    Where it returns rows, ``holds`` says which one must be among them; of another answer ``says`` whether it is one.
    """

    door = VERBS
    function: Callable[..., Any]
    arguments: Of[Call]
    holds: Of[Model] | None = field(default=None)
    says: Callable[[Any], bool] | None = field(default=None)

    def ask(self, scene: Scene) -> Fate | str:
        """Call it."""
        call = self.arguments(scene)
        moment = {"at": timezone.now()} if "at" in inspect.signature(self.function).parameters else {}
        try:
            answer = self.function(scene.actor(Threshold.SYSTEM), *call.positional, **call.named, **moment)
            rows = list(answer) if self.holds or isinstance(answer, Iterator) else []
        except DomainError as refusal:
            # A function that nobody calls has no word for it: any refusal will do.
            if scene.who == NOBODY:
                return Fate.UNAUTHORIZED
            return next((fate for kind, fate in _FATES if isinstance(refusal, kind)), repr(refusal))
        told = self.holds is None or self.holds(scene) in rows
        if told and (self.says is None or self.says(answer)):
            return Fate.MADE
        return Fate.UNAUTHORIZED if scene.who == NOBODY else Fate.ABSENT


def verb(function: Callable[..., Any], arguments: Of[Call], differs: Instead | None = None, because: str = "") -> Way:
    """Do something by calling a verb."""
    return VerbWay(
        name=function.__name__, function=function, arguments=arguments, differs=differs or {}, because=because
    )


def work(function: Callable[..., Any], arguments: Of[Call]) -> Way:
    """Do something by calling a function that is no verb, since it first writes down what it is given."""
    return VerbWay(name=_name_of(function) or "", function=function, arguments=arguments)


def question(
    function: Callable[..., Any],
    arguments: Of[Call],
    *,
    holds: Of[Model] | None = None,
    says: Callable[[Any], bool] | None = None,
    differs: Instead | None = None,
    because: str = "",
) -> Way:
    """Ask one of the functions that doors read through. They are no verbs, and none has to be named here."""
    return VerbWay(
        name="",
        looks=True,
        function=function,
        arguments=arguments,
        holds=holds,
        says=says,
        differs=differs or {},
        because=because,
    )


def offered() -> set[str]:
    """Return the name of every function that is made a verb, and of every one that writes tables."""
    return {
        name
        for package in (accounts, apikeys)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if ".migrations" not in module.name
        for _, function in inspect.getmembers(import_module(module.name), inspect.isfunction)
        if (name := _name_of(function)) is not None
    }


def _name_of(function: Any) -> str | None:
    # What the decorator returned bears its function's name, and is still the decorator's own code.
    if function.__code__.co_filename == verbs.__file__ and hasattr(function, "__wrapped__"):
        return str(function.__name__)
    if _WRITES.intersection(function.__code__.co_names) and not function.__name__.startswith("_"):
        # With where it is: there are examples to append and runs to append.
        return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    return None
