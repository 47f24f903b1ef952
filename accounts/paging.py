"""Keyset paging: page N costs what page 1 costs, and rows that come and go shift nothing.

Row numbers grow in the order of creation, so the primary key alone is the key of the page: newest first, or oldest
first. What was searched for by its whole name can come before all that merely contains it. Nothing here counts a list.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BigIntegerField, Case, F, Model, Q, QuerySet, Value, When

from accounts.errors import Invalid

M = TypeVar("M", bound=Model)
P = TypeVar("P", bound=Model)

# Further than row numbers get; with two of them added a number still fits into a cursor.
_STEP = 10**15


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page, and the cursor of the next where there is one."""

    items: list[M]
    next_cursor: str | None
    key: str = "pk"

    @property
    def has_more(self) -> bool:
        """Whether rows follow."""
        return self.next_cursor is not None

    @property
    def cursors(self) -> list[str]:
        """For each row the cursor after which the list goes on behind it."""
        return [_seal(row, self.key) for row in self.items]


def paginate(
    queryset: QuerySet[M], *, cursor: str | None = None, limit: int = 50, newest_first: bool = True, key: str = "pk"
) -> Page[M]:
    """Return up to ``limit`` rows after ``cursor``, which is what an earlier page gave as ``next_cursor``.

    Raises:
        Invalid: the cursor is none of ours.
    """
    return _page(list(_following(queryset, cursor, newest_first, key)[: limit + 1]), limit, key)


def paginate_each(
    parents: QuerySet[P],
    queryset: QuerySet[M],
    *,
    rows: QuerySet[M],
    cursor: str | None = None,
    limit: int = 50,
    newest_first: bool = True,
    key: str = "pk",
) -> dict[int, Page[M]]:
    """Return a page of what belongs to each of some rows, by the row's number: two queries for any number of them.

    ``queryset`` says what belongs to one, which is its ``OuterRef``; ``rows`` is where that is read from, with all it
    needs. For each parent no more is looked at than its page takes.

    Raises:
        Invalid: the cursor is none of ours.
    """
    found = ArraySubquery(_following(queryset, cursor, newest_first, key).values("pk")[: limit + 1])
    numbers: dict[int, list[int]] = dict(parents.annotate(page=found).values_list("pk", "page"))
    by_number = rows.in_bulk({number for each in numbers.values() for number in each})
    return {
        parent: _page([by_number[number] for number in each if number in by_number], limit, key)
        for parent, each in numbers.items()
    }


def whole_first(queryset: QuerySet[M], *whole: Q) -> QuerySet[M]:
    """Give rows a ``place`` to be the key of their pages: those that match wholly before the others, each oldest first.

    Clients look for a name among the few rows of a first page; rows that contain it must not keep it out.
    """
    cases = [When(condition, then=F("pk") + Value(step * _STEP)) for step, condition in enumerate(whole)]
    rest = F("pk") + Value(len(whole) * _STEP)
    placed = queryset.annotate(place=Case(*cases, default=rest, output_field=BigIntegerField()))
    return cast("QuerySet[M]", placed)  # the stubs take an annotated row for another type


def _following(queryset: QuerySet[M], cursor: str | None, newest_first: bool, key: str) -> QuerySet[M]:
    if cursor:
        queryset = queryset.filter(**{f"{key}__{'lt' if newest_first else 'gt'}": _open(cursor)})
    return queryset.order_by(f"-{key}" if newest_first else key)


def _page(rows: list[M], limit: int, key: str) -> Page[M]:
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(items=rows, next_cursor=_seal(rows[-1], key) if more else None, key=key)


def _seal(row: Model, key: str) -> str:
    return base64.urlsafe_b64encode(f"after:{getattr(row, key)}".encode()).decode().rstrip("=")


def _open(cursor: str) -> int:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError, ValueError):
        text = ""
    prefix, _, number = text.partition(":")
    if prefix != "after" or not number.isdecimal() or len(number) > 18:
        raise Invalid("This cursor is not one that a list returned; start again without it.", field="cursor")
    return int(number)
