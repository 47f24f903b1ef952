"""Rows for tests, made with as little as they need. Roles are bound by ``bind``, keys are made by the real verbs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from accounts.actors import Actor, Door
from accounts.bindings import level_of, predefined
from accounts.models import (
    Account,
    AccountBinding,
    Organization,
    OrganizationBinding,
    Project,
    ProjectBinding,
    Role,
    Space,
    SpaceBinding,
    User,
)
from accounts.models.bindings import Binding
from accounts.roles import DEVELOPER_BY_DEFAULT, Level, RoleName
from accounts.seeding import own_permission
from apikeys.lifecycle import NewKey, OrganizationGrant, SpaceGrant, create_service_key, create_user_key
from apikeys.models import ApiKey
from apikeys.usage import Uses

PASSWORD = "correct horse battery staple"


class AccountFactory(DjangoModelFactory[Account]):
    """An account of its own name."""

    class Meta:
        model = Account

    name = factory.Sequence(lambda n: f"Account {n}")


class OrganizationFactory(DjangoModelFactory[Organization]):
    """An organization, in an account of its own unless one is given."""

    class Meta:
        model = Organization

    account = factory.SubFactory(AccountFactory)
    name = factory.Sequence(lambda n: f"Organization {n}")


class SpaceFactory(DjangoModelFactory[Space]):
    """A public space."""

    class Meta:
        model = Space

    organization = factory.SubFactory(OrganizationFactory)
    name = factory.Sequence(lambda n: f"space-{n}")


class ProjectFactory(DjangoModelFactory[Project]):
    """A project of traces that nothing restricts."""

    class Meta:
        model = Project

    space = factory.SubFactory(SpaceFactory)
    name = factory.Sequence(lambda n: f"project-{n}")


class PersonFactory(DjangoModelFactory[User]):
    """A person who has joined and can sign in with ``PASSWORD``."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"Person {n}")
    email = factory.Sequence(lambda n: f"person{n}@example.com")
    joined_at = factory.LazyFunction(timezone.now)

    @classmethod
    def _create(cls, model_class: type[User], *args: Any, **kwargs: Any) -> User:
        return User.objects.create_user(kwargs.pop("email"), kwargs.pop("password", PASSWORD), **kwargs)


def bind(user: User, scope: Account | Organization | Space | Project, role: RoleName | Role | str) -> Binding:
    """Bind a role without asking anybody: how things are when a test begins."""
    # With what guardian looks at, in one query: most tests bind a dozen roles before they begin.
    roles = Role.objects.select_related("permission__content_type").filter(account__isnull=True)
    row = role if isinstance(role, Role) else roles.get(level=level_of(scope), name=role)
    binding: Binding
    if isinstance(scope, Account):
        binding = AccountBinding.objects.create(
            user=user,
            permission=row.permission,
            content_object=scope,
            is_developer=row.name in DEVELOPER_BY_DEFAULT,
        )
    elif isinstance(scope, Organization):
        binding = OrganizationBinding.objects.create(user=user, permission=row.permission, content_object=scope)
    elif isinstance(scope, Project):
        binding = ProjectBinding.objects.create(user=user, permission=row.permission, content_object=scope)
    else:
        binding = SpaceBinding.objects.create(user=user, permission=row.permission, content_object=scope)
    return binding


def custom_role(account: Account, name: str, *permissions: str, number: int | None = None) -> Role:
    """Make a custom role: data that its management, which comes later, would write."""
    return Role.objects.create(
        pk=number,
        account=account,
        level=Level.SPACE,
        name=name,
        label=name,
        permissions=sorted(permissions),
        permission=own_permission(Level.SPACE, f"custom_{account.pk}_{name}", name),
    )


def acting(user: User, account: Account, door: Door = Door.BROWSER) -> Actor:
    """Return the actor of a person at a door."""
    return Actor(user=user, account=account, door=door)


def user_key(user: User, account: Account, name: str = "a user key", **options: Any) -> NewKey:
    """Make a user key through the real verb."""
    return create_user_key(acting(user, account), name=name, at=options.pop("at", timezone.now()), **options)


def service_key(
    creator: User,
    *spaces: Space,
    name: str = "a service key",
    role: RoleName | Role = RoleName.MEMBER,
    organization_role: RoleName = RoleName.READ_ONLY,
    account_role: RoleName = RoleName.MEMBER,
    at: datetime | None = None,
    **options: Any,
) -> NewKey:
    """Make a service key for spaces, with one role in all of them, through the real verb."""
    return create_service_key(
        acting(creator, spaces[0].organization.account),
        name=name,
        account_role=predefined(Level.ACCOUNT, account_role),
        organizations=grants(*spaces, role=role, organization_role=organization_role),
        at=at or timezone.now(),
        **options,
    )


def grants(
    *spaces: Space, role: RoleName | Role = RoleName.MEMBER, organization_role: RoleName = RoleName.READ_ONLY
) -> list[OrganizationGrant]:
    """Group spaces by organization, as the verb wants them."""
    row = role if isinstance(role, Role) else predefined(Level.SPACE, role)
    by_organization: dict[Organization, list[SpaceGrant]] = {}
    for space in spaces:
        by_organization.setdefault(space.organization, []).append(SpaceGrant(space, row))
    return [
        OrganizationGrant(organization, predefined(Level.ORGANIZATION, organization_role), tuple(members))
        for organization, members in by_organization.items()
    ]


def used(key: ApiKey, *, ip: str | None, client: str, at: datetime) -> None:
    """Let a key have been used, as a process writes it."""
    uses = Uses()
    uses.note_at(key.pk, (ip, client), at.timestamp())
    uses.flush()


def later(**by: float) -> datetime:
    """Return a moment from now."""
    return timezone.now() + timedelta(**by)
