"""One row of the table, as it is carried out."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.audit import Tag
from tests.matrix.doors.ways import Way


@dataclass(frozen=True)
class Operation:
    """An operation through every door that offers it.

    When it was made, rows of the models in ``changes`` are others afterwards, of those in ``may_change`` and no others
    perhaps too, and the audit log says so with ``event``. When it was not, nothing is different and nothing recorded.
    """

    ways: tuple[Way, ...]
    changes: frozenset[str]
    may_change: frozenset[str]
    event: Tag | None


def operation(*ways: Way, changes: str = "", event: Tag | None = None) -> Operation:
    """Return an operation. The models it changes stand side by side, those it only may change with a question mark."""
    names = changes.split()
    return Operation(
        ways,
        changes=frozenset(name for name in names if not name.endswith("?")),
        may_change=frozenset(name.rstrip("?") for name in names),
        event=event,
    )
