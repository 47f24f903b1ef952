from __future__ import annotations

from typing import Protocol, TypeVar

import pytest
from django.contrib.postgres.expressions import ArraySubquery
from pytest_django import DjangoAssertNumQueries

from accounts.models import AccountBinding, Organization, Space, User
from accounts.permissions import visible
from accounts.reach import Presence, Through, let_in, presences
from accounts.roles import RoleName
from tests.cast import Cast
from tests.factories import PersonFactory, SpaceFactory, bind, custom_role, service_key

pytestmark = pytest.mark.django_db

S = TypeVar("S", Organization, Space)


@pytest.fixture
def crowd(cast: Cast) -> Cast:
    """Add to the cast everybody whose access comes from somewhere unusual."""
    for name, organization_role in (("olive", RoleName.ADMIN), ("oscar", RoleName.MEMBER)):
        person = PersonFactory.create(name=name, email=f"{name}@example.com")
        bind(person, cast.account, RoleName.MEMBER)
        bind(person, cast.research, organization_role)
    auditor = PersonFactory.create(name="auditor", email="auditor@example.com")
    bind(auditor, cast.account, RoleName.MEMBER)
    bind(auditor, cast.research, RoleName.READ_ONLY)
    bind(auditor, cast.vision_lab, custom_role(cast.account, "reads spaces", "SPACE_READ"))
    gone = PersonFactory.create(name="gone", email="gone@example.com", is_active=False)
    bind(gone, cast.account, RoleName.ADMIN)
    bind(gone, cast.production, RoleName.ADMIN)
    service_key(cast.alice, cast.production, name="bot")
    SpaceFactory.create(organization=cast.research, name="open-lab")
    return cast


def _inside(cast: Cast, model: type[S]) -> dict[int, set[int]]:
    users = ArraySubquery(let_in(cast.account, model).values("user"))
    return {row.pk: set(row.users) for row in model._default_manager.annotate(users=users)}


def test_those_let_in_are_those_who_may_see_it(crowd: Cast) -> None:
    members = User.objects.filter(accountbinding__content_object=crowd.account)

    def may_see(model: type[S], scope: S) -> set[int]:
        return {user.pk for user in members if visible(user, model).filter(pk=scope.pk).exists()}

    spaces, organizations = _inside(crowd, Space), _inside(crowd, Organization)
    for space in Space.objects.filter(organization__account=crowd.account):
        assert spaces[space.pk] == may_see(Space, space), space
    for organization in Organization.objects.filter(account=crowd.account):
        assert organizations[organization.pk] == may_see(Organization, organization), organization


class Present(Protocol):
    """Says what everybody is at a scope, by name."""

    def __call__(self, scope: S, /) -> dict[str, Presence]:
        """Return who is there."""


@pytest.fixture
def present(crowd: Cast) -> Present:
    def there(scope: S, /) -> dict[str, Presence]:
        users = _inside(crowd, type(scope))[scope.pk]
        rows = AccountBinding.objects.filter(user__in=users, content_object=crowd.account)
        found = presences([scope], {scope.pk: list(rows.select_related("user", "content_object", "permission__role"))})
        return {one.membership.user.name: one for one in found[scope.pk]}

    return there


def test_what_everybody_is_and_why_they_are_there(crowd: Cast, present: Present) -> None:
    def told(found: dict[str, Presence]) -> dict[str, tuple[str | None, str]]:
        return {name: (one.counts.name if one.counts else None, one.through.name) for name, one in found.items()}

    open_lab = Space.objects.get(name="open-lab")
    assert {space.name: told(present(space)) for space in (crowd.production, crowd.vision_lab, open_lab)} == {
        "production": {
            "Alice Archer": ("ADMIN", "ACCOUNT_ADMIN"),
            "Bob Baker": ("MEMBER", "EXPLICIT_MEMBERSHIP"),
            "Charlie Chen": ("READ_ONLY", "EXPLICIT_MEMBERSHIP"),
            "Dana Diaz": ("ANNOTATOR", "EXPLICIT_MEMBERSHIP"),
            "bot": ("MEMBER", "EXPLICIT_MEMBERSHIP"),
        },
        "vision-lab": {
            "Alice Archer": ("ADMIN", "ACCOUNT_ADMIN"),
            "Erin Evans": ("MEMBER", "EXPLICIT_MEMBERSHIP"),
            "olive": ("ADMIN", "ORGANIZATION_ADMIN"),
            "auditor": (None, "EXPLICIT_MEMBERSHIP"),
        },
        "open-lab": {
            "Alice Archer": ("ADMIN", "ACCOUNT_ADMIN"),
            "Erin Evans": ("READ_ONLY", "PUBLIC_MEMBERSHIP"),
            "olive": ("ADMIN", "ORGANIZATION_ADMIN"),
            "oscar": ("MEMBER", "PUBLIC_MEMBERSHIP"),
            "auditor": ("READ_ONLY", "PUBLIC_MEMBERSHIP"),
        },
    }
    assert told(present(crowd.research)) == {
        "Alice Archer": ("ADMIN", "ACCOUNT_ADMIN"),
        "Erin Evans": ("READ_ONLY", "EXPLICIT_MEMBERSHIP"),
        "olive": ("ADMIN", "EXPLICIT_MEMBERSHIP"),
        "oscar": ("MEMBER", "EXPLICIT_MEMBERSHIP"),
        "auditor": ("READ_ONLY", "EXPLICIT_MEMBERSHIP"),
    }


def test_admin_who_was_added_all_the_same_is_there_by_their_own_role(crowd: Cast, present: Present) -> None:
    bind(crowd.alice, crowd.production, RoleName.READ_ONLY)

    alice = present(crowd.production)["Alice Archer"]

    assert ([role.name for role in alice.own], alice.through) == (["READ_ONLY"], Through.EXPLICIT_MEMBERSHIP)
    assert alice.counts is not None
    assert alice.counts.name == "ADMIN"


def test_many_scopes_cost_as_much_as_one(crowd: Cast, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    scopes = [crowd.production, crowd.staging, crowd.vision_lab]
    inside = _inside(crowd, Space)
    rows = {
        row.user_id: row
        for row in AccountBinding.objects.filter(content_object=crowd.account).select_related(
            "user", "content_object", "permission__role"
        )
    }

    for some in (scopes[:1], scopes):
        with django_assert_num_queries(2):
            presences(some, {scope.pk: [rows[user] for user in inside[scope.pk]] for scope in some})
