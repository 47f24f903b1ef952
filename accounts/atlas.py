"""Organizations and their spaces as somebody may see them: the questions behind the Spaces pages.

A page of organizations costs the same few queries as one, whatever the number of their spaces.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import Coalesce, RowNumber

from accounts.actors import Actor
from accounts.models import Organization, OrganizationBinding, Space, SpaceBinding, UserKind
from accounts.permissions import seen_by
from accounts.roster import Access, access
from accounts.standing import Standing
from accounts.vocabulary import Permission
from accounts.wire import encode_id

S = TypeVar("S", Organization, Space)

# So many spaces of one organization are listed beside others; its own page lists all.
LISTED = 8


@dataclass(frozen=True)
class Line:
    """One space, or one organization, in a list: who is there, and what one is there oneself."""

    scope: Organization | Space
    access: tuple[Access, ...]
    people: int

    @property
    def wire_id(self) -> str:
        """The id in addresses and forms."""
        return encode_id(type(self.scope).__name__, self.scope.pk)


@dataclass(frozen=True)
class Section:
    """An organization with the first of its spaces."""

    organization: Line
    spaces: tuple[Line, ...]
    has_more: bool
    may_create: bool


def organizations(actor: Actor, query: str = "") -> QuerySet[Organization]:
    """Return the organizations the actor may see; with a query those named so, or with a space named so."""
    rows = seen_by(actor, Organization)
    if query:
        within = seen_by(actor, Space).filter(organization=OuterRef("pk"), name__icontains=query)
        rows = rows.filter(Q(name__icontains=query) | Exists(within))
    return _with_people(rows, OrganizationBinding)


def spaces(actor: Actor, organization: Organization, query: str = "") -> QuerySet[Space]:
    """Return the spaces of an organization that the actor may see."""
    rows = seen_by(actor, Space).filter(organization=organization)
    if query:
        rows = rows.filter(name__icontains=query)
    return _with_people(rows, SpaceBinding).select_related("organization")


def lines(mine: Standing, rows: Iterable[Organization | Space]) -> tuple[Line, ...]:
    """Return rows of ``organizations`` or ``spaces`` with one's own roles there: no query."""
    return tuple(Line(row, access(mine, row), row.people) for row in rows)  # type: ignore[union-attr]  # annotated


def sections(actor: Actor, mine: Standing, rows: list[Organization], query: str = "") -> list[Section]:
    """Return a page of organizations, each with the first of its spaces by name: one query."""
    within = seen_by(actor, Space).filter(organization__in=rows)
    if query:
        within = within.filter(Q(name__icontains=query) | Q(organization__name__icontains=query))
    place = Window(RowNumber(), partition_by=F("organization"), order_by=("name", "pk"))
    found: dict[int, list[Space]] = defaultdict(list)
    numbered = _with_people(within, SpaceBinding).select_related("organization").annotate(place=place)
    for space in numbered.filter(place__lte=LISTED + 1).order_by("name", "pk"):
        found[space.organization_id].append(space)
    return [
        Section(
            organization=line,
            spaces=lines(mine, found[line.scope.pk][:LISTED]),
            has_more=len(found[line.scope.pk]) > LISTED,
            may_create=mine.holds(Permission.SPACE_CREATE, line.scope),
        )
        for line in lines(mine, rows)
    ]


def creatable_in(actor: Actor, mine: Standing) -> list[Organization]:
    """Return the organizations in which the actor may create spaces, by name."""
    rows = seen_by(actor, Organization).order_by("name", "pk")
    if not mine.is_account_admin:
        able = [pk for pk, role in mine.organizations.items() if role.allows(Permission.SPACE_CREATE)]
        rows = rows.filter(pk__in=able)
    return list(rows)


def _with_people(rows: QuerySet[S], table: type[OrganizationBinding] | type[SpaceBinding]) -> QuerySet[S]:
    """Add to each scope, as ``people``, how many people have a role of their own there."""
    own = table._default_manager.filter(
        content_object=OuterRef("pk"), user__kind=UserKind.PERSON, permission__role__deleted_at__isnull=True
    )
    counted = own.order_by().values("content_object").annotate(count=Count("user", distinct=True)).values("count")
    return rows.annotate(people=Coalesce(Subquery(counted), 0))
