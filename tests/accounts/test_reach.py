from __future__ import annotations

from collections.abc import Callable

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


def _inside(cast: Cast, model: type[Organization] | type[Space]) -> dict[int, set[int]]:
    users = ArraySubquery(let_in(cast.account, model).values("user"))
    return {row.pk: set(row.users) for row in model._default_manager.annotate(users=users)}


def test_those_let_in_are_those_who_may_see_it(crowd: Cast) -> None:
    members = User.objects.filter(accountbinding__content_object=crowd.account)

    for model in (Organization, Space):
        inside = _inside(crowd, model)
        for scope in model._default_manager.all():
            may_see = {user.pk for user in members if visible(user, model).filter(pk=scope.pk).exists()}
            # Admins of the account are let into its own scopes only: the outer query says which.
            ours = scope.account if isinstance(scope, Organization) else scope.organization.account
            if ours == crowd.account:
                assert inside[scope.pk] == may_see, scope


Present = Callable[[Organization | Space], dict[str, Presence]]


@pytest.fixture
def present(crowd: Cast) -> Present:
    def there(scope: Organization | Space) -> dict[str, Presence]:
        users = _inside(crowd, type(scope))[scope.pk]
        rows = AccountBinding.objects.filter(user__in=users, content_object=crowd.account)
        found = presences([scope], {scope.pk: list(rows.select_related("user", "content_object", "permission__role"))})
        return {one.membership.user.name: one for one in found[scope.pk]}

    return there


def test_what_everybody_is_and_why_they_are_there(crowd: Cast, present: Present) -> None:
    told = {
        scope.name: {
            name: (one.counts.name if one.counts else None, one.through.name) for name, one in present(scope).items()
        }
        for scope in (crowd.production, crowd.vision_lab, Space.objects.get(name="open-lab"), crowd.research)
    }

    assert told == {
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
        "Research": {
            "Alice Archer": ("ADMIN", "ACCOUNT_ADMIN"),
            "Erin Evans": ("READ_ONLY", "EXPLICIT_MEMBERSHIP"),
            "olive": ("ADMIN", "EXPLICIT_MEMBERSHIP"),
            "oscar": ("MEMBER", "EXPLICIT_MEMBERSHIP"),
            "auditor": ("READ_ONLY", "EXPLICIT_MEMBERSHIP"),
        },
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
