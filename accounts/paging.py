"""Keyset paging: page N costs what page 1 costs, and rows that come and go shift nothing.

Row numbers grow in the order of creation, so the primary key alone is the key of the page: newest first, or oldest
first. Nothing here counts a list.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Model, QuerySet

from accounts.errors import Invalid

M = TypeVar("M", bound=Model)
P = TypeVar("P", bound=Model)


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
    rows = list(_following(queryset, cursor, newest_first)[: limit + 1])
    return _page(rows, limit)


def paginate_each(
    parents: QuerySet[P],
    queryset: QuerySet[M],
    *,
    rows: QuerySet[M],
    cursor: str | None = None,
    limit: int = 50,
    newest_first: bool = True,
) -> dict[int, Page[M]]:
    """Return a page of what belongs to each of some rows, by the row's number: two queries for any number of them.

    ``queryset`` says what belongs to one, which is its ``OuterRef``; ``rows`` is where that is read from, with all it
    needs. For each parent no more is looked at than its page takes.

    Raises:
        Invalid: the cursor is none of ours.
    """
    found = ArraySubquery(_following(queryset, cursor, newest_first).values("pk")[: limit + 1])
    numbers: dict[int, list[int]] = dict(parents.annotate(page=found).values_list("pk", "page"))
    by_number = rows.in_bulk({number for each in numbers.values() for number in each})
    return {
        parent: _page([by_number[number] for number in each if number in by_number], limit)
        for parent, each in numbers.items()
    }


def cursor_of(row: Model) -> str:
    """Return the cursor after which a list goes on behind this row."""
    return base64.urlsafe_b64encode(f"after:{row.pk}".encode()).decode().rstrip("=")


def _following(queryset: QuerySet[M], cursor: str | None, newest_first: bool) -> QuerySet[M]:
    if cursor:
        after = _open(cursor)
        queryset = queryset.filter(pk__lt=after) if newest_first else queryset.filter(pk__gt=after)
    return queryset.order_by("-pk" if newest_first else "pk")


def _page(rows: list[M], limit: int) -> Page[M]:
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(items=rows, next_cursor=cursor_of(rows[-1]) if more else None)


def _open(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        text = ""
    prefix, _, number = text.partition(":")
    if prefix != "after" or not number.isdecimal() or len(number) > 18:
        raise Invalid("This cursor is not one that a list returned; start again without it.", field="cursor")
    return int(number)
