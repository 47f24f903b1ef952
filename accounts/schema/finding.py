"""Lists as the caller may see them: rows narrowed by a search, with what was searched for by its whole name first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts.models import AccountBinding, Organization, Space, UserKind
from accounts.paging import Page, paginate, paginate_each, whole_first
from accounts.people import visible_bots
from accounts.permissions import permitted, require, seen_by
from accounts.reach import Presence, let_in, presences
from accounts.schema.inquiry import Inquiry
from accounts.schema.relay import Slice
from accounts.vocabulary import Permission

S = TypeVar("S", Organization, Space)


@dataclass(frozen=True)
class People:
    """Whom a list of members is narrowed to."""

    search: str = ""
    kind: UserKind | None = None


@dataclass(frozen=True)
class Attendance:
    """One page of who gets into one scope: memberships, and what each of them is there."""

    page: Page[AccountBinding]
    present: list[Presence]


def seen(inquiry: Inquiry, model: type[S], search: str, which: Slice) -> Page[S]:
    """Return a page of the scopes that the caller may see, oldest first."""
    rows = _searched(seen_by(inquiry.actor, model), search)
    return paginate(rows, cursor=which.cursor, limit=which.limit, newest_first=False, key=_key(search))


def seen_spaces_of(
    inquiry: Inquiry, organizations: list[Organization], search: str, which: Slice
) -> dict[int, Page[Space]]:
    """Return a page of the spaces that the caller may see in each organization, oldest first."""
    return paginate_each(
        Organization.objects.filter(pk__in=[row.pk for row in organizations]),
        _searched(seen_by(inquiry.actor, Space), search).filter(organization=OuterRef("pk")),
        rows=_searched(Space.objects.all(), search),
        cursor=which.cursor,
        limit=which.limit,
        newest_first=False,
        key=_key(search),
    )


def people_first(rows: QuerySet[AccountBinding], search: str) -> QuerySet[AccountBinding]:
    """Put the person of that very address, then those of that very name, before the others."""
    return whole_first(rows, Q(user__email=search.lower()), Q(user__name=search)) if search else rows


def page_of_people(rows: QuerySet[AccountBinding], search: str, which: Slice) -> Page[AccountBinding]:
    """Return a page of members that a search has found, oldest first."""
    found = people_first(rows, search)
    return paginate(found, cursor=which.cursor, limit=which.limit, newest_first=False, key=_key(search))


def attendance(inquiry: Inquiry, scopes: list[S], wanted: People, which: Slice) -> dict[int, Attendance]:
    """Return a page of who gets into each scope, oldest member first: as many queries for many scopes as for one.

    Raises:
        Forbidden: the caller may not see members at all.
    """
    require(inquiry.actor, Permission.USER_READ, inquiry.actor.require_account())
    rows = AccountBinding.objects.select_related("user", "content_object", "permission__role")
    pages = paginate_each(
        _these(scopes),
        people_first(_people(inquiry, scopes, wanted), wanted.search),
        rows=people_first(rows, wanted.search),
        cursor=which.cursor,
        limit=which.limit,
        newest_first=False,
        key=_key(wanted.search),
    )
    present = presences(scopes, {number: page.items for number, page in pages.items()})
    return {number: Attendance(page, present[number]) for number, page in pages.items()}


def how_many(inquiry: Inquiry, scopes: list[S], wanted: People) -> dict[int, int]:
    """Count who gets into each scope, of those whom ``attendance`` lists: whether that is allowed was asked there."""
    counted = _people(inquiry, scopes, wanted).order_by().values("content_object").annotate(n=Count("pk")).values("n")
    return dict(_these(scopes).annotate(n=Coalesce(Subquery(counted), 0)).values_list("pk", "n"))


def _people(inquiry: Inquiry, scopes: list[S], wanted: People) -> QuerySet[AccountBinding]:
    is_person, model = Q(user__kind=UserKind.PERSON), type(scopes[0])
    rows = let_in(inquiry.actor.require_account(), model)
    if wanted.kind is not None:
        rows = rows.filter(user__kind=wanted.kind)
    if wanted.kind != UserKind.PERSON and not inquiry.standing.is_account_admin:
        bots = visible_bots(inquiry.actor, inquiry.standing)
        if model is Space:
            readable = permitted(inquiry.me, Permission.SERVICE_KEY_READ, Space)
            bots &= Q(Exists(readable.filter(pk=OuterRef(OuterRef("pk")))))
        rows = rows.filter(is_person | bots)
    if wanted.search:
        named = Q(user__name__icontains=wanted.search)
        rows = rows.filter(named | (is_person & Q(user__email__icontains=wanted.search)))
    return rows


def _these(scopes: list[S]) -> QuerySet[S]:
    return type(scopes[0])._default_manager.filter(pk__in=[scope.pk for scope in scopes])


def _searched(rows: QuerySet[S], search: str) -> QuerySet[S]:
    return whole_first(rows.filter(name__icontains=search), Q(name=search)) if search else rows


def _key(search: str) -> str:
    return "place" if search else "pk"
