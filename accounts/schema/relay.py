"""Relay's two shapes: objects with an id of their own, and lists that are read page by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import strawberry
from django.db.models import Model
from strawberry.types import get_object_definition
from strawberry.types.field import StrawberryField

from accounts.errors import Invalid
from accounts.paging import Page

M = TypeVar("M", bound=Model)
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

# How a rule of access begins in a description; the REST API's document says it the same way.
ACCESS = "**Access.** "
MAX_FIRST = 100
DEFAULT_FIRST = 50  # as REST's pages are (contract rest-v2 §4.3)


def told(what: str, *, access: str = "") -> Callable[[F], F]:
    """Make a method a field, and say what it is and who may use it: no root field is without ``access`` (security 20).

    The rule is in the schema that clients read; the verbs and questions behind the field enforce it.
    """
    description = f"{what}\n\n{ACCESS}{access}" if access else what
    return cast(Callable[[F], F], strawberry.field(description=description))  # which is typed as returning anything


def extend(kind: type, **fields: Callable[..., Any]) -> None:
    """Add fields of a floor above to a type of this one, by the names they shall have."""
    definition = get_object_definition(kind, strict=True)
    for name, field in fields.items():
        made = cast(StrawberryField, field)  # what ``told`` makes of a function
        made.python_name, made.origin = name, kind
        definition.fields.append(made)


@strawberry.interface(description="Whatever has an ID. The IDs are those of the REST API.")
class Node:
    """Something that ``node(id)`` finds."""

    @told("The ID, the same everywhere.")
    def id(self) -> strawberry.ID:
        """Return the wire id."""
        return strawberry.ID(self.wire_id)

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        raise NotImplementedError


@strawberry.type(description="Where a page stands in its list. Lists are read forwards.")
class PageInfo:
    """What tells whether to go on, and from where."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(description="One entry of a page.")
class Edge(Generic[T]):
    """An object and its place in the list."""

    cursor: str
    node: T


@strawberry.type(description="One page of a list.")
class Connection(Generic[T]):
    """What Relay calls a page."""

    edges: list[Edge[T]]
    page_info: PageInfo


@dataclass(frozen=True)
class Slice:
    """Which page is wanted."""

    limit: int
    cursor: str | None

    @classmethod
    def of(cls, first: int | None, after: str | None) -> Slice:
        """Read the two arguments of every list.

        Raises:
            Invalid: more or less than a page holds.
        """
        limit = DEFAULT_FIRST if first is None else first
        if not 1 <= limit <= MAX_FIRST:
            raise Invalid(f"A page has 1 to {MAX_FIRST} entries.", field="first")
        return cls(limit, after or None)


def connection(page: Page[M], dress: Callable[[M], T], which: Slice) -> Connection[T]:
    """Dress a page of rows."""
    return Connection(edges=edges(page, [dress(row) for row in page.items]), page_info=page_info(page, which))


def edges(page: Page[Any], nodes: list[T]) -> list[Edge[T]]:
    """Give each of a page's dressed rows its cursor."""
    return [Edge(cursor=cursor, node=node) for cursor, node in zip(page.cursors, nodes, strict=True)]


def page_info(page: Page[Any], which: Slice) -> PageInfo:
    """Say where a page stands. What lies before it is not looked at: there is something if one came from there."""
    cursors = page.cursors
    return PageInfo(
        has_next_page=page.has_more,
        has_previous_page=which.cursor is not None,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )
