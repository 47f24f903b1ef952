"""Keyset paging: page N costs what page 1 costs, and rows that come and go shift nothing.

Row numbers grow in the order of creation, so the primary key alone is the key of the page: newest first, or oldest
first. Nothing here counts a list.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.db.models import Model, QuerySet

from accounts.errors import Invalid

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page, and the cursor of the next where there is one."""

    items: list[M]
    next_cursor: str | None

    @property
    def has_more(self) -> bool:
        """Whether rows follow."""
        return self.next_cursor is not None


def paginate(
    queryset: QuerySet[M], *, cursor: str | None = None, limit: int = 50, newest_first: bool = True
) -> Page[M]:
    """Return up to ``limit`` rows after ``cursor``, which is what an earlier page gave as ``next_cursor``.

    Raises:
        Invalid: the cursor is none of ours.
    """
    if cursor:
        after = _open(cursor)
        queryset = queryset.filter(pk__lt=after) if newest_first else queryset.filter(pk__gt=after)
    rows = list(queryset.order_by("-pk" if newest_first else "pk")[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(items=rows, next_cursor=_seal(rows[-1].pk) if more else None)


def _seal(number: int) -> str:
    return base64.urlsafe_b64encode(f"after:{number}".encode()).decode().rstrip("=")


def _open(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        text = ""
    prefix, _, number = text.partition(":")
    if prefix != "after" or not number.isdecimal() or len(number) > 18:
        raise Invalid("This cursor is not one that a list returned; start again without it.", field="cursor")
    return int(number)
