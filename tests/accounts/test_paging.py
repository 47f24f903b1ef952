from __future__ import annotations

import pytest
from django.db.models import OuterRef, Q
from pytest_django import DjangoAssertNumQueries

from accounts.errors import Invalid
from accounts.models import Organization, Space
from accounts.paging import paginate, paginate_each, whole_first
from tests.factories import OrganizationFactory, SpaceFactory

pytestmark = pytest.mark.django_db


def _names(newest_first: bool = True, limit: int = 2) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        page = paginate(Space.objects.all(), cursor=cursor, limit=limit, newest_first=newest_first)
        pages.append([space.name for space in page.items])
        cursor = page.next_cursor
        if cursor is None:
            return pages


def test_pages_cover_everything_once_in_both_directions() -> None:
    organization = OrganizationFactory.create()
    for name in "abcde":
        SpaceFactory.create(organization=organization, name=name)

    assert _names() == [["e", "d"], ["c", "b"], ["a"]]
    assert _names(newest_first=False) == [["a", "b"], ["c", "d"], ["e"]]


def test_last_page_that_is_full_has_no_cursor() -> None:
    organization = OrganizationFactory.create()
    for name in "ab":
        SpaceFactory.create(organization=organization, name=name)

    assert _names() == [["b", "a"]]


def test_rows_that_come_and_go_shift_nothing() -> None:
    organization = OrganizationFactory.create()
    spaces = [SpaceFactory.create(organization=organization, name=name) for name in "abcd"]
    first = paginate(Space.objects.all(), limit=2)

    SpaceFactory.create(organization=organization, name="new")
    spaces[3].delete()
    second = paginate(Space.objects.all(), limit=2, cursor=first.next_cursor)

    assert [space.name for space in second.items] == ["b", "a"]


def test_empty_list_is_one_empty_page() -> None:
    page = paginate(Space.objects.all())

    assert page.items == []
    assert not page.has_more


@pytest.mark.parametrize("cursor", ["x", "YWZ0ZXI6eA", "é", "a" * 5000, "YWZ0ZXI6LTE"])
def test_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid):
        paginate(Space.objects.all(), cursor=cursor)


def test_pages_of_many_cost_as_much_as_of_one(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    full, short, empty = OrganizationFactory.create_batch(3)
    for name in "abc":
        SpaceFactory.create(organization=full, name=name)
    SpaceFactory.create(organization=short, name="d")
    of_each = Space.objects.filter(organization=OuterRef("pk"))

    with django_assert_num_queries(2):
        pages = paginate_each(
            Organization.objects.all(), of_each, rows=Space.objects.all(), limit=2, newest_first=False
        )
    (second,) = paginate_each(
        Organization.objects.filter(pk=full.pk),
        of_each,
        rows=Space.objects.all(),
        limit=2,
        newest_first=False,
        cursor=pages[full.pk].next_cursor,
    ).values()

    named = {number: [space.name for space in page.items] for number, page in pages.items()}
    assert named == {full.pk: ["a", "b"], short.pk: ["d"], empty.pk: []}
    assert [page.has_more for page in pages.values()] == [True, False, False]
    assert ([space.name for space in second.items], second.has_more) == (["c"], False)


def test_whole_matches_come_before_parts_over_all_pages() -> None:
    organization = OrganizationFactory.create()
    for name in ("production-1", "production-2", "production", "production-3"):
        SpaceFactory.create(organization=organization, name=name)
    rows = whole_first(Space.objects.filter(name__icontains="production"), Q(name="production"))

    first = paginate(rows, limit=2, newest_first=False, key="place")
    second = paginate(rows, limit=2, newest_first=False, key="place", cursor=first.next_cursor)

    assert [space.name for space in first.items] == ["production", "production-1"]
    assert [space.name for space in second.items] == ["production-2", "production-3"]
    assert (first.cursors[-1], second.next_cursor) == (first.next_cursor, None)
