from __future__ import annotations

import pytest

from accounts.errors import Invalid
from accounts.models import Space
from accounts.paging import paginate
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
