"""Accounts, organizations, spaces, people and roles as GraphQL shows them.

Every object carries its row; what belongs to it is read for all the rows it was read with (``Peers``). Fields of keys
are added by the floor above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TypeAlias, TypeVar

import strawberry
from strawberry import Private

from accounts import models, roster
from accounts.custom_roles import roles_of, wire_name_of
from accounts.models import UserKind
from accounts.paging import paginate
from accounts.permissions import seen_by
from accounts.reach import Presence, Through
from accounts.schema.finding import People, attendance, how_many, page_of_people, seen, seen_spaces_of
from accounts.schema.inquiry import Info, Inquiry, Peers
from accounts.schema.relay import (
    DEFAULT_FIRST,
    Connection,
    Edge,
    Node,
    PageInfo,
    Slice,
    connection,
    edges,
    page_info,
    told,
)
from accounts.schema.words import (
    AccountOrganizationRole,
    AccountRole,
    ResourceType,
    SpaceMemberRole,
    UserStatus,
    UserType,
    account_role,
    space_role,
)
from accounts.wire import encode_id

Binding: TypeAlias = models.SpaceBinding | models.ProjectBinding
B = TypeVar("B", bound=Binding)

SEARCH = "`search` narrows the list to what has the text in its name; the whole name comes first, case does not count."
PEOPLE_SEARCH = "`search` looks for the text in names and e-mail addresses; case does not count."
_USER_READ = "USER_READ in the account: all members but Annotators."
_MEMBERS = f"{_USER_READ} Bots: whoever may read service keys there."


@strawberry.type(description="A named set of permissions: one that everybody has, or one of the account's own.")
class Role(Node):
    """A role at one level."""

    row: Private[models.Role]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("Role", self.row.pk)

    @told("The name; of a predefined role with its level, such as “Space Admin”.")
    def name(self) -> str:
        """Return the name."""
        return wire_name_of(self.row)

    @told("What it is for.")
    def description(self) -> str:
        """Return the description."""
        return self.row.description

    @told("Whether every account has it, and nobody changes it.")
    def is_predefined(self) -> bool:
        """Whether it ships with the product."""
        return self.row.is_predefined

    @told("What it permits, by the names that the REST API uses too.")
    def permissions(self) -> list[str]:
        """Return the names."""
        return sorted(self.row.permissions)

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at


@strawberry.type(description="A person of the account, or the bot of a service key.")
class User(Node):
    """Somebody, as a member of the account acted in."""

    membership: Private[models.AccountBinding]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("User", self.membership.user_id)

    @told("The name; of a bot that of its key.")
    def name(self) -> str:
        """Return the name."""
        return self.membership.user.name

    @told("The e-mail address. Bots have none.")
    def email(self) -> str | None:
        """Return the address."""
        return None if self.membership.user.is_bot else self.membership.user.email

    @told("Whether the user has joined. Removed people are in no list at all.")
    def status(self) -> UserStatus:
        """Say how far they have come."""
        user = self.membership.user
        return UserStatus.active if user.is_active and not user.is_pending else UserStatus.inactive

    @told("The role in the account, if it is one of the two that have a word here.")
    def account_role(self) -> AccountRole | None:
        """Return the word for the role."""
        return account_role(self.membership.role)

    @told("The role in the account.")
    def role(self) -> Role:
        """Return the role."""
        return Role(row=self.membership.role)

    @told("A person, or a bot.")
    def user_type(self) -> UserType:
        """Say which."""
        return UserType(UserKind(self.membership.user.kind))

    @told("Whether the user may make and refresh keys.")
    def is_developer(self) -> bool:
        """Whether they have developer access."""
        return self.membership.is_developer

    @told("When the user came to this installation.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.membership.user.created_at


@strawberry.type(description="Somebody who gets into an organization, with or without a role of their own there.")
class AccountOrganizationUser:
    """A person or a bot in an organization."""

    presence: Private[Presence]

    @told("The role given in the organization. Null for admins of the account without one.")
    def role(self) -> AccountOrganizationRole | None:
        """Return the role of their own."""
        own = self.presence.own
        return AccountOrganizationRole(space_role(own[0]).value) if own else None

    @told("The role that counts.")
    def effective_role(self) -> AccountOrganizationRole | None:
        """Return the highest role."""
        counts = self.presence.counts
        return AccountOrganizationRole(space_role(counts).value) if counts else None

    @told("What the access comes from.")
    def membership(self) -> Through:
        """Say why they are here."""
        return self.presence.through

    @told("Who it is.")
    def user(self) -> User:
        """Return the user."""
        return User(membership=self.presence.membership)


@strawberry.type(description="Somebody who gets into a space, with or without a role of their own there.")
class SpaceUser:
    """A person or a bot in a space."""

    presence: Private[Presence]

    @told("The predefined role given in the space itself. Null where access comes from above.")
    def role(self) -> SpaceMemberRole | None:
        """Return the predefined role of their own."""
        return next((space_role(role) for role in self.presence.own if role.is_predefined), None)

    @told("The custom role given in the space, if there is one.")
    def custom_role(self) -> Role | None:
        """Return the custom role of their own."""
        return next((Role(row=role) for role in self.presence.own if not role.is_predefined), None)

    @told("The highest predefined role that counts here, wherever it comes from.")
    def effective_role(self) -> SpaceMemberRole | None:
        """Return the highest role."""
        return space_role(self.presence.counts) if self.presence.counts else None

    @told("What the access comes from.")
    def membership(self) -> Through:
        """Say why they are here."""
        return self.presence.through

    @told("Who it is.")
    def user(self) -> User:
        """Return the user."""
        return User(membership=self.presence.membership)


@strawberry.type(description="One page of a list, and how long the whole list is.")
class SpaceUserConnection:
    """One page of who gets into a space."""

    edges: list[Edge[SpaceUser]]
    page_info: PageInfo
    count: Private[Callable[[], int]]

    @told("How many there are on all pages.")
    def total_count(self) -> int:
        """Count them."""
        return self.count()


@strawberry.type(description="Where work happens.")
class Space(Node):
    """A space that the caller may see."""

    row: Private[models.Space]
    peers: Private[Peers[models.Space]]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("Space", self.row.pk)

    @told("The name, unique in the organization.")
    def name(self) -> str:
        """Return the name."""
        return self.row.name

    @told("What it is for.")
    def description(self) -> str:
        """Return the description."""
        return self.row.description

    @told("Whether only members and the admins above get in.")
    def private(self) -> bool:
        """Whether it is private."""
        return self.row.is_private

    @told("Whether models of machine learning are switched on.")
    def ml_models_enabled(self) -> bool:
        """Whether they are."""
        return self.row.ml_models_enabled

    @told("One end of the colours it is shown in.")
    def gradient_start_color(self) -> str:
        """Return the colour."""
        return self.row.gradient_start_color

    @told("The other end.")
    def gradient_end_color(self) -> str:
        """Return the colour."""
        return self.row.gradient_end_color

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told("The organization it is in.", access="ORGANIZATION_READ there; null otherwise.")
    def organization(self, info: Info) -> AccountOrganization | None:
        """Return the organization."""
        found = self.peers.ask("organization", lambda spaces: _organizations_of(info.context, spaces))
        return found.get(self.row.organization_id)

    @told(
        f"Everybody with access, oldest member first: also admins whom nobody added. {PEOPLE_SEARCH}",
        access=_MEMBERS,
    )
    def space_users(
        self,
        info: Info,
        first: int | None = DEFAULT_FIRST,
        after: str | None = None,
        search: str | None = None,
        user_type: UserType | None = None,
    ) -> SpaceUserConnection | None:
        """Return who gets in."""
        inquiry, which, wanted = info.context, Slice.of(first, after), _people(search, user_type)
        found = self.peers.ask(("users", wanted, which), lambda rows: attendance(inquiry, rows, wanted, which))
        here = found[self.row.pk]

        def count() -> int:
            counts = self.peers.ask(("number of users", wanted), lambda rows: how_many(inquiry, rows, wanted))
            return counts[self.row.pk]

        return SpaceUserConnection(
            edges=edges(here.page, [SpaceUser(presence=one) for one in here.present]),
            page_info=page_info(here.page, which),
            count=count,
        )


@strawberry.type(description="A part of the account: a department, a product.")
class AccountOrganization(Node):
    """An organization that the caller may see."""

    row: Private[models.Organization]
    peers: Private[Peers[models.Organization]]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("Organization", self.row.pk)

    @told("The name, unique in the account.")
    def name(self) -> str:
        """Return the name."""
        return self.row.name

    @told("What it is for.")
    def description(self) -> str:
        """Return the description."""
        return self.row.description

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told(f"Its spaces, oldest first. {SEARCH}", access="SPACE_READ in each.")
    def spaces(
        self, info: Info, first: int | None = DEFAULT_FIRST, after: str | None = None, search: str | None = None
    ) -> Connection[Space] | None:
        """Return its spaces."""
        inquiry, which, part = info.context, Slice.of(first, after), search or ""
        found = self.peers.ask(("spaces", part, which), lambda rows: _spaces_of(inquiry, rows, part, which))
        return found[self.row.pk]

    @told(
        f"Everybody with access, oldest member first: also admins of the account. {PEOPLE_SEARCH}",
        access=_MEMBERS,
    )
    def account_organization_users(
        self,
        info: Info,
        first: int | None = DEFAULT_FIRST,
        after: str | None = None,
        search: str | None = None,
        user_type: UserType | None = None,
    ) -> Connection[AccountOrganizationUser] | None:
        """Return who gets in."""
        inquiry, which, wanted = info.context, Slice.of(first, after), _people(search, user_type)
        found = self.peers.ask(("users", wanted, which), lambda rows: attendance(inquiry, rows, wanted, which))
        here = found[self.row.pk]
        return Connection(
            edges=edges(here.page, [AccountOrganizationUser(presence=one) for one in here.present]),
            page_info=page_info(here.page, which),
        )


@strawberry.type(description="A role that somebody was given in an organization.")
class OrganizationMembership(Node):
    """A binding in an organization, as a membership."""

    row: Private[models.OrganizationBinding]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("OrganizationMembership", self.row.pk)

    @told("The role.")
    def role(self) -> AccountOrganizationRole:
        """Return the word for the role."""
        return AccountOrganizationRole(space_role(self.row.role).value)

    @told("Who has it.")
    def user(self, info: Info) -> User | None:
        """Return who has the role."""
        return users_of(info.context, [self.row.user_id]).get(self.row.user_id)

    @told("Where.")
    def organization(self) -> AccountOrganization:
        """Return the organization."""
        return one_organization(self.row.content_object)


@strawberry.type(description="A role that somebody was given in a space.")
class SpaceMembership(Node):
    """A binding, as a membership."""

    row: Private[models.SpaceBinding]
    peers: Private[Peers[models.SpaceBinding]]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("SpaceMembership", self.row.pk)

    @told("The role; for a custom one the lowest predefined role that permits as much.")
    def role(self) -> SpaceMemberRole:
        """Return the word for the role."""
        return space_role(self.row.role)

    @told("The role, if it is a custom one.")
    def custom_role(self) -> Role | None:
        """Return the custom role."""
        return None if self.row.role.is_predefined else Role(row=self.row.role)

    @told("Who has it.", access=f"{_USER_READ} Null otherwise.")
    def user(self, info: Info) -> User | None:
        """Return who has the role."""
        return _user_of(info.context, self.row, self.peers)

    @told("Where.", access="SPACE_READ there; null otherwise.")
    def space(self, info: Info) -> Space | None:
        """Return the space."""
        return _space_of(info.context, self.row, self.peers)


@strawberry.type(
    description="A role that somebody was given in a space or a project, as the REST API's role bindings have it."
)
class RoleBinding(Node):
    """The same binding under its other id, or one in a project."""

    row: Private[Binding]
    peers: Private[Peers[Binding]]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("RoleBinding", self.row.pk)

    @told("The role.")
    def role(self) -> Role:
        """Return the role."""
        return Role(row=self.row.role)

    @told("Who has it.", access=f"{_USER_READ} Null otherwise.")
    def user(self, info: Info) -> User | None:
        """Return who has the role."""
        return _user_of(info.context, self.row, self.peers)

    @told("Whether it is on a space or on a project.")
    def resource_type(self) -> ResourceType:
        """Return what it is on."""
        return ResourceType.project if isinstance(self.row, models.ProjectBinding) else ResourceType.space

    @told("The ID of the space or the project.")
    def resource_id(self) -> strawberry.ID:
        """Return the ID of what it is on."""
        kind = models.Project if isinstance(self.row, models.ProjectBinding) else models.Space
        return strawberry.ID(encode_id(kind.__name__, self.row.content_object_id))

    @told("The space, or the one that the project is in.", access="SPACE_READ there; null otherwise.")
    def space(self, info: Info) -> Space | None:
        """Return the space."""
        return _space_of(info.context, self.row, self.peers)

    @told("When it was given.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told("When the role was last another.")
    def updated_at(self) -> datetime:
        """Return the moment."""
        return self.row.updated_at


@strawberry.type(description="The account that the key was made in.")
class Account(Node):
    """The account acted in."""

    row: Private[models.Account]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("Account", self.row.pk)

    @told("The name.")
    def name(self) -> str:
        """Return the name."""
        return self.row.name

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told(f"Its organizations, oldest first. {SEARCH}", access="ORGANIZATION_READ in each.")
    def organizations(
        self, info: Info, first: int | None = DEFAULT_FIRST, after: str | None = None, search: str | None = None
    ) -> Connection[AccountOrganization] | None:
        """Return the organizations."""
        return _organizations(info.context, search or "", Slice.of(first, after))

    @told(f"Its people, oldest first, without bots. {PEOPLE_SEARCH}", access=_USER_READ)
    def users(
        self, info: Info, first: int | None = DEFAULT_FIRST, after: str | None = None, search: str | None = None
    ) -> Connection[User] | None:
        """Return the people."""
        inquiry, which, part = info.context, Slice.of(first, after), search or ""
        rows = roster.members(inquiry.actor, inquiry.standing, roster.Wanted(query=part))
        page = page_of_people(rows.filter(user__is_active=True), part, which)
        return connection(page, lambda row: User(membership=row), which)

    @told(
        "The roles there are: predefined ones, and the account's own.",
        access="ROLE_READ in the account: all members but Annotators.",
    )
    def roles(self, info: Info, first: int | None = DEFAULT_FIRST, after: str | None = None) -> Connection[Role] | None:
        """Return the roles."""
        which = Slice.of(first, after)
        page = paginate(roles_of(info.context.actor), cursor=which.cursor, limit=which.limit, newest_first=False)
        return connection(page, lambda row: Role(row=row), which)


@strawberry.type(description="Whoever the key stands for.")
class Viewer:
    """The caller."""

    @told("The person, or the bot of the service key.")
    def user(self, info: Info) -> User:
        """Return the caller."""
        return myself(info.context)

    @told(f"The organizations the caller can see, oldest first. {SEARCH}", access="ORGANIZATION_READ.")
    def organizations(
        self, info: Info, first: int | None = DEFAULT_FIRST, after: str | None = None, search: str | None = None
    ) -> Connection[AccountOrganization] | None:
        """Return the organizations."""
        return _organizations(info.context, search or "", Slice.of(first, after))

    @told(f"The spaces the caller can see, oldest first. {SEARCH}", access="SPACE_READ.")
    def spaces(
        self, info: Info, first: int | None = DEFAULT_FIRST, after: str | None = None, search: str | None = None
    ) -> Connection[Space] | None:
        """Return the spaces."""
        which = Slice.of(first, after)
        page = seen(info.context, models.Space, search or "", which)
        peers = Peers(page.items)
        return connection(page, lambda row: Space(row=row, peers=peers), which)


def one_space(row: models.Space) -> Space:
    """Dress a space that was read alone."""
    return Space(row=row, peers=Peers([row]))


def one_organization(row: models.Organization) -> AccountOrganization:
    """Dress an organization that was read alone."""
    return AccountOrganization(row=row, peers=Peers([row]))


def myself(inquiry: Inquiry) -> User:
    """Return the caller as a user."""
    (user,) = members_of(inquiry, [inquiry.me.pk]).values()
    return user


def users_of(inquiry: Inquiry, numbers: Iterable[int | None]) -> dict[int, User]:
    """Return those of some users whom the caller may know of: the account's people, and in any case themselves.

    Bots are for whoever got their number from what only those see who may know of them.
    """
    wanted = {number for number in numbers if number is not None}
    if not roster.may_read(inquiry.actor):
        wanted &= {inquiry.me.pk}
    return members_of(inquiry, wanted)


def members_of(inquiry: Inquiry, numbers: Iterable[int]) -> dict[int, User]:
    """Return those of some users who are in the account, whoever asks."""
    rows = models.AccountBinding.objects.filter(
        user__in=list(numbers), content_object=inquiry.actor.require_account(), user__is_active=True
    )
    return {row.user_id: User(membership=row) for row in rows.select_related("user", "permission__role")}


def memberships(rows: Iterable[models.SpaceBinding]) -> list[SpaceMembership]:
    """Dress bindings that were read, or made, together."""
    peers = Peers(rows)
    return [SpaceMembership(row=row, peers=peers) for row in peers.rows]


def _user_of(inquiry: Inquiry, row: B, peers: Peers[B]) -> User | None:
    return peers.ask("users", lambda rows: users_of(inquiry, [one.user_id for one in rows])).get(row.user_id)


def _space_of(inquiry: Inquiry, row: B, peers: Peers[B]) -> Space | None:
    found = peers.ask("spaces", lambda rows: spaces_of(inquiry, [_space_number(one) for one in rows]))
    return found.get(_space_number(row))


def _space_number(row: Binding) -> int:
    if isinstance(row, models.ProjectBinding):
        number: int = row.content_object.space_id
        return number
    return row.content_object_id


def spaces_of(inquiry: Inquiry, numbers: Iterable[int]) -> dict[int, Space]:
    """Return those of some spaces that the caller may see."""
    peers = Peers(seen_by(inquiry.actor, models.Space).filter(pk__in=set(numbers)))
    return {row.pk: Space(row=row, peers=peers) for row in peers.rows}


def _organizations(inquiry: Inquiry, search: str, which: Slice) -> Connection[AccountOrganization]:
    page = seen(inquiry, models.Organization, search, which)
    peers = Peers(page.items)
    return connection(page, lambda row: AccountOrganization(row=row, peers=peers), which)


def _spaces_of(
    inquiry: Inquiry, rows: list[models.Organization], search: str, which: Slice
) -> dict[int, Connection[Space]]:
    pages = seen_spaces_of(inquiry, rows, search, which)
    # Spaces of all the organizations are peers: what is asked of them next is read for all of them together.
    peers = Peers([space for page in pages.values() for space in page.items])
    return {number: connection(page, lambda row: Space(row=row, peers=peers), which) for number, page in pages.items()}


def _organizations_of(inquiry: Inquiry, spaces: list[models.Space]) -> dict[int, AccountOrganization]:
    rows = seen_by(inquiry.actor, models.Organization).filter(pk__in={space.organization_id for space in spaces})
    peers = Peers(rows)
    return {row.pk: AccountOrganization(row=row, peers=peers) for row in peers.rows}


def _people(search: str | None, user_type: UserType | None) -> People:
    return People(search or "", user_type.value if user_type else None)
