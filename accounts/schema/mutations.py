"""What is changed over GraphQL about organizations, spaces and who is in them: one verb per field."""

from __future__ import annotations

import unicodedata
from typing import TypeVar

import strawberry

from accounts.actors import Actor
from accounts.bindings import is_bound_within, unbind_role
from accounts.enrolment import Enrolment, enrol
from accounts.errors import Invalid, NotFound
from accounts.models import Organization, Role, Space, User
from accounts.people import find_member, known_members
from accounts.permissions import find_seen, seen_by
from accounts.roles import Level
from accounts.schema import types
from accounts.schema.inquiry import Info
from accounts.schema.relay import told
from accounts.schema.words import SpaceMemberRole
from accounts.tenancy import change_space, create_organization, create_space
from accounts.wire import decode_id

M = TypeVar("M", Role, Space, User)

MAX_DESCRIPTION = 1000
MAX_ENROLMENTS = 100


@strawberry.input(description="A new organization.")
class CreateOrganizationMutationInput:
    """A new organization."""

    name: str
    description: str | None = None
    client_mutation_id: str | None = None


@strawberry.type(description="The new organization.")
class CreateOrganizationMutationPayload:
    """The new organization."""

    organization: types.AccountOrganization
    client_mutation_id: str | None


@strawberry.input(description="A new space. It is public unless `private` says otherwise.")
class CreateSpaceMutationInput:
    """A new space."""

    account_organization_id: strawberry.ID
    name: str
    private: bool | None = False
    description: str | None = None
    client_mutation_id: str | None = None


@strawberry.type(description="The new space.")
class CreateSpaceMutationPayload:
    """The new space."""

    space: types.Space
    client_mutation_id: str | None


@strawberry.input(description="What shall be different about a space; what is left out stays.")
class UpdateSpaceMutationInput:
    """What shall be different about a space; what is left out stays."""

    space_id: strawberry.ID
    name: str | None = None
    description: str | None = None
    private: bool | None = None
    ml_models_enabled: bool | None = None
    gradient_start_color: str | None = None
    gradient_end_color: str | None = None
    client_mutation_id: str | None = None


@strawberry.type(description="The space as it is now.")
class UpdateSpaceMutationPayload:
    """The space as it is now."""

    space: types.Space
    client_mutation_id: str | None


@strawberry.input(description="Who shall have which role where: a predefined one, or a custom one by its ID.")
class SpaceMembershipInput:
    """Who shall have which role where: a predefined one, or a custom one by its ID."""

    user_id: strawberry.ID
    space_id: strawberry.ID
    role: SpaceMemberRole | None = None
    custom_role_id: strawberry.ID | None = None


@strawberry.input(description="Up to a hundred memberships.")
class AssignSpaceMembershipMutationInput:
    """Up to a hundred memberships."""

    space_memberships: list[SpaceMembershipInput]
    client_mutation_id: str | None = None


@strawberry.type(description="The memberships, in the order asked for.")
class AssignSpaceMembershipMutationPayload:
    """The memberships, in the order asked for."""

    space_memberships: list[types.SpaceMembership]
    client_mutation_id: str | None


@strawberry.input(description="Who shall leave which space.")
class RemoveSpaceMemberMutationInput:
    """Who shall leave which space."""

    space_id: strawberry.ID
    user_id: strawberry.ID
    client_mutation_id: str | None = None


@strawberry.type(description="The space that was left.")
class RemoveSpaceMemberMutationPayload:
    """The space that was left."""

    space: types.Space | None
    client_mutation_id: str | None


@strawberry.type
class AccountMutations:
    """The mutations of the ground floor."""

    @told("Create an organization in the account.", access="ORGANIZATION_CREATE in the account: its admins.")
    def create_organization(
        self, info: Info, input: CreateOrganizationMutationInput
    ) -> CreateOrganizationMutationPayload | None:
        """Create an organization."""
        organization = create_organization(
            info.context.acting(info),
            name=one_line(input.name, "name"),
            description=at_most(input.description or "", MAX_DESCRIPTION, "description"),
            at=info.context.at,
        )
        return CreateOrganizationMutationPayload(
            organization=types.one_organization(organization), client_mutation_id=input.client_mutation_id
        )

    @told(
        "Create a space. Whoever creates it as less than an admin above becomes its admin.",
        access="SPACE_CREATE in the organization: its members and admins.",
    )
    def create_space(self, info: Info, input: CreateSpaceMutationInput) -> CreateSpaceMutationPayload | None:
        """Create a space."""
        actor = info.context.acting(info)
        number = decode_id(input.account_organization_id, "Organization", field="accountOrganizationId")
        space = create_space(
            actor,
            organization=find_seen(actor, Organization, number),
            name=one_line(input.name, "name"),
            description=at_most(input.description or "", MAX_DESCRIPTION, "description"),
            is_private=bool(input.private),
            at=info.context.at,
        )
        return CreateSpaceMutationPayload(space=types.one_space(space), client_mutation_id=input.client_mutation_id)

    @told(
        "Change a space. Making it private takes access from those who have no role of their own in it.",
        access="SPACE_UPDATE in the space: its admins.",
    )
    def update_space(self, info: Info, input: UpdateSpaceMutationInput) -> UpdateSpaceMutationPayload | None:
        """Change a space."""
        actor = info.context.acting(info)
        space = change_space(
            actor,
            _space(actor, input.space_id),
            name=None if input.name is None else one_line(input.name, "name"),
            description=input.description,
            is_private=input.private,
            ml_models_enabled=input.ml_models_enabled,
            gradient_start_color=_color(input.gradient_start_color, "gradientStartColor"),
            gradient_end_color=_color(input.gradient_end_color, "gradientEndColor"),
            at=info.context.at,
        )
        return UpdateSpaceMutationPayload(space=types.one_space(space), client_mutation_id=input.client_mutation_id)

    @told(
        "Give people roles in spaces: all of them or, where one is refused, none. A predefined role takes the place of "
        "the predefined one held there before, a custom role that of the custom one.",
        access="A predefined role: admins of the space and those above. A custom role: ROLE_BINDING_CREATE in the "
        "space. No role above one's own.",
    )
    def assign_space_membership(
        self, info: Info, input: AssignSpaceMembershipMutationInput
    ) -> AssignSpaceMembershipMutationPayload | None:
        """Give roles in spaces."""
        actor = info.context.acting(info)
        rows = enrol(actor, wanted=_enrolments(actor, input.space_memberships), at=info.context.at)
        return AssignSpaceMembershipMutationPayload(
            space_memberships=types.memberships(rows), client_mutation_id=input.client_mutation_id
        )

    @told(
        "Take all of somebody's roles in a space and its projects away. In a public space their role in the "
        "organization still counts.",
        access="Admins of the space and those above; not somebody whose role is above one's own.",
    )
    def remove_space_member(
        self, info: Info, input: RemoveSpaceMemberMutationInput
    ) -> RemoveSpaceMemberMutationPayload | None:
        """Take a member out of a space."""
        actor = info.context.acting(info)
        space = _space(actor, input.space_id)
        user = find_member(actor, decode_id(input.user_id, "User", field="userId"))
        is_member = is_bound_within(user, space)
        unbind_role(actor, user=user, scope=space, at=info.context.at)
        if not is_member:
            raise NotFound("This user has no role of their own in the space.")
        # Whoever took themselves out may not see it any more.
        left = types.spaces_of(info.context, [space.pk]).get(space.pk)
        return RemoveSpaceMemberMutationPayload(space=left, client_mutation_id=input.client_mutation_id)


def at_most(text: str, limit: int, field: str) -> str:
    """Return a text that is not too long.

    Raises:
        Invalid: it is.
    """
    if len(text) > limit:
        raise Invalid(f"This may have at most {limit} characters.", field=field)
    return text


def one_line(text: str, field: str) -> str:
    """Return a text without line breaks and other control characters.

    Raises:
        Invalid: it has some.
    """
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise Invalid("Control characters are not allowed here.", field=field)
    return text


def _color(text: str | None, field: str) -> str | None:
    return None if text is None else one_line(text, field)


def _space(actor: Actor, wire_id: str) -> Space:
    return find_seen(actor, Space, decode_id(wire_id, "Space", field="spaceId"))


def _enrolments(actor: Actor, wanted: list[SpaceMembershipInput]) -> list[Enrolment]:
    """Find the users, spaces and roles that are meant: four queries for any number."""
    if not 1 <= len(wanted) <= MAX_ENROLMENTS:
        raise Invalid(f"Give 1 to {MAX_ENROLMENTS} memberships.", field="spaceMemberships")
    if any((one.role is None) == (one.custom_role_id is None) for one in wanted):
        raise Invalid("Give a role or a customRoleId, and not both.", field="spaceMemberships")
    account = actor.require_account()
    spaces = {one.space_id: decode_id(one.space_id, "Space", field="spaceId") for one in wanted}
    users = {one.user_id: decode_id(one.user_id, "User", field="userId") for one in wanted}
    custom: dict[strawberry.ID | None, int] = {
        one.custom_role_id: decode_id(one.custom_role_id, "Role", field="customRoleId")
        for one in wanted
        if one.custom_role_id is not None
    }
    seen = seen_by(actor, Space).select_related("organization").in_bulk(spaces.values())
    members = known_members(actor).filter(user__in=users.values(), user__is_active=True)
    there = {member.user_id: member.user for member in members}
    own = Role.objects.filter(account=account, deleted_at__isnull=True).in_bulk(custom.values())
    predefined = {role.name: role for role in Role.objects.filter(account__isnull=True, level=Level.SPACE)}
    return [
        Enrolment(
            space=_found(seen, spaces[one.space_id], "space"),
            role=predefined[one.role.value] if one.role else _found(own, custom.get(one.custom_role_id, 0), "role"),
            user=_found(there, users[one.user_id], "person in this account"),
        )
        for one in wanted
    ]


def _found(rows: dict[int, M], number: int, what: str) -> M:
    if number not in rows:
        raise NotFound(f"There is no such {what}, or you have no access.", field="spaceMemberships")
    return rows[number]
