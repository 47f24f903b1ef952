"""What all doors have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from django.db.models import Model

from accounts.actors import Door as Threshold
from accounts.wire import encode_id
from tests.matrix.fates import Fate
from tests.matrix.scene import Scene

T = TypeVar("T")
Of = Callable[[Scene], T]
# For a fate or for a caller: what comes instead. ``None``: they cannot even ask.
Instead = Mapping[Fate | str, Fate | None]


@dataclass(frozen=True, eq=False)
class Door:
    """One door: under which name the audit log knows it, and what is special about who comes in and what they hear."""

    name: str
    threshold: Threshold
    instead: Instead = field(default_factory=dict)
    because: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a door offers an operation, under the name that the door itself has for it.

    ``differs`` is for what a specification wants otherwise than the table, and ``because`` names that specification.
    ``looks`` marks what changes nothing in any case: a list, or the page that asks before something is done.
    ``prepared`` makes the scene what this way needs it to be.
    """

    door: ClassVar[Door]
    name: str
    differs: Instead = field(default_factory=dict)
    because: str = ""
    looks: bool = False
    prepared: Callable[[Scene], None] | None = None

    def ask(self, scene: Scene) -> Fate | str:
        """Ask as the scene's caller; return what came of it, or the answer where it is none of the fates."""
        raise NotImplementedError

    def expected(self, who: str, cell: Fate | None) -> Fate | None:
        """Return what this door shall answer the caller whose cell in the table says so."""
        if not self.asks_about(who):
            return self.differs[who] if who in self.differs else self.door.instead[who]
        for instead in (self.differs, self.door.instead):
            cell = instead.get(cell, cell) if cell is not None else None
        return cell

    def asks_about(self, who: str) -> bool:
        """Whether what this door answers a caller depends on the table."""
        return who not in self.differs and who not in self.door.instead


def wire(row: Model) -> str:
    """Return the id under which a row travels."""
    name = {"SpaceBinding": "RoleBinding", "ProjectBinding": "RoleBinding"}.get(type(row).__name__, type(row).__name__)
    return encode_id(name, row.pk)


def nothing(scene: Scene) -> tuple[()]:
    """Return no rows: for operations on nothing in particular."""
    return ()
