"""What travels about people, organizations, spaces, roles and bindings (contract rest-v2 §6 to §9)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.changes import MAX_NAME
from accounts.custom_roles import MAX_DESCRIPTION, wire_name_of
from accounts.invitations import InviteMode, Status, status_of
from accounts.models import AccountBinding, Role
from accounts.rest.role_objects import AccountRoleField, OrganizationRoleField, RoleOut, SpaceRoleField
from accounts.rest.shapes import (
    Absent,
    AtLeastOne,
    Flag,
    IdOut,
    Many,
    OneOf,
    PageQuery,
    Pagination,
    QueryFlag,
    Shape,
    Text,
    WireId,
)
from accounts.vocabulary import Permission

# What a binding can be on; projects come with the workflows that fill them.
RESOURCE_TYPES = ("SPACE", "PROJECT")
_MAX_COLOR = 32


class OrganizationQuery(PageQuery):
    """How a list of organizations is narrowed down."""

    name = Text(
        required=False, allow_blank=True, max_length=MAX_NAME, help_text="Part of the name; case does not count."
    )


class SpaceQuery(PageQuery):
    """How a list of spaces is narrowed down."""

    name = Text(
        required=False, allow_blank=True, max_length=MAX_NAME, help_text="Part of the name; case does not count."
    )
    org_id = WireId("Organization", required=False, help_text="Spaces of this organization only.")


class CreateOrganization(Shape):
    """A new organization."""

    name = Text(max_length=MAX_NAME)
    description = Text(max_length=MAX_DESCRIPTION, allow_blank=True, required=False, multiline=True)


class ChangeOrganization(AtLeastOne):
    """What shall be different about an organization."""

    name = Text(max_length=MAX_NAME, required=False)
    description = Text(
        max_length=MAX_DESCRIPTION, allow_blank=True, allow_null=True, required=False, multiline=True, null_as=""
    )


class AddOrganizationMember(Shape):
    """Who shall be in an organization, as what."""

    user_id = WireId("User")
    role = OrganizationRoleField(help_text="Not above your own. ANNOTATOR for Annotators of the account alone.")


class OrganizationOut(serializers.Serializer[Any]):
    """An organization."""

    id = IdOut("Organization", source="pk")
    name = serializers.CharField()
    description = serializers.CharField()
    created_at = serializers.DateTimeField()


class OrganizationMemberOut(serializers.Serializer[Any]):
    """Somebody's membership of an organization."""

    id = IdOut("OrganizationMembership", source="pk")
    user_id = IdOut("User")
    organization_id = IdOut("Organization", source="content_object_id")
    role = RoleOut()


class IntegrationIn(Shape):
    """The model a space shall use by default."""

    integration_id = Text(max_length=200)
    model_name = Text(max_length=MAX_NAME)


class RuntimeIn(Shape):
    """Where the agents of a space shall run by default."""

    integration_id = Text(max_length=200)


class CreateSpace(Shape):
    """A new space."""

    name = Text(max_length=MAX_NAME)
    organization_id = WireId("Organization")
    description = Text(max_length=MAX_DESCRIPTION, allow_blank=True, required=False, multiline=True)
    is_private = Flag(required=False, help_text="Left out: public.")


class ChangeSpace(AtLeastOne):
    """What shall be different about a space."""

    name = Text(max_length=MAX_NAME, required=False)
    description = Text(max_length=MAX_DESCRIPTION, allow_null=True, required=False, multiline=True, null_as="")
    is_private = Flag(required=False)
    ml_models_enabled = Flag(required=False)
    gradient_start_color = Text(max_length=_MAX_COLOR, allow_blank=True, required=False)
    gradient_end_color = Text(max_length=_MAX_COLOR, allow_blank=True, required=False)
    default_llm_integration = IntegrationIn(
        allow_null=True, required=False, help_text="There are no integrations yet: only `null` can be given."
    )
    default_agent_runtime = RuntimeIn(
        allow_null=True, required=False, help_text="There are no integrations yet: only `null` can be given."
    )


class AddSpaceMember(Shape):
    """Who shall be in a space, as what."""

    user_id = WireId("User")
    role = SpaceRoleField(help_text="Not above your own. ANNOTATOR for Annotators of the account alone.")


class SpaceMemberOut(serializers.Serializer[Any]):
    """Somebody's role of their own in a space."""

    id = IdOut("SpaceMembership", source="pk")
    user_id = IdOut("User")
    space_id = IdOut("Space", source="content_object_id")
    role = RoleOut()


class IntegrationOut(serializers.Serializer[Any]):
    """The model a space uses by default."""

    integration_id = serializers.CharField()
    model_name = serializers.CharField()


class RuntimeOut(serializers.Serializer[Any]):
    """Where the agents of a space run by default."""

    integration_id = serializers.CharField()


class SpaceOut(serializers.Serializer[Any]):
    """A space."""

    id = IdOut("Space", source="pk")
    organization_id = IdOut("Organization")
    name = serializers.CharField()
    description = serializers.CharField()
    created_at = serializers.DateTimeField()
    is_private = serializers.BooleanField()
    ml_models_enabled = serializers.BooleanField()
    gradient_start_color = serializers.CharField()
    gradient_end_color = serializers.CharField()
    # Clients expect these two; nothing can be set there yet.
    default_llm_integration = IntegrationOut(default=None, allow_null=True)
    default_agent_runtime = RuntimeOut(default=None, allow_null=True)


class OrganizationPage(serializers.Serializer[Any]):
    """One page of organizations."""

    organizations = OrganizationOut(many=True)
    pagination = Pagination()


class SpacePage(serializers.Serializer[Any]):
    """One page of spaces."""

    spaces = SpaceOut(many=True)
    pagination = Pagination()


class UserQuery(PageQuery):
    """How a list of people is narrowed down."""

    email = Text(
        required=False, allow_blank=True, max_length=MAX_NAME, help_text="Part of the address; case does not count."
    )
    status = Many(
        OneOf(Status.values), max_length=len(Status.values), required=False, help_text="One or more. Left out: all."
    )


class CreateUser(Shape):
    """An invitation."""

    name = Text(max_length=MAX_NAME)
    email = Text(max_length=MAX_NAME)
    role = AccountRoleField(help_text="Members may give MEMBER and ANNOTATOR only; no custom roles.")
    invite_mode = OneOf(InviteMode.values)


class ChangeUser(AtLeastOne):
    """What shall be different about a person."""

    name = Text(max_length=MAX_NAME, required=False)
    is_developer = Flag(required=False, help_text="May make and refresh keys. Account admins only.")


class UserOut(serializers.Serializer[Any]):
    """A person in an account: needs a membership, and ``at`` in its context."""

    id = IdOut("User", source="user_id")
    name = serializers.CharField(source="user.name")
    email = serializers.CharField(source="user.email")
    created_at = serializers.DateTimeField(source="user.created_at")
    status = serializers.SerializerMethodField()
    role = RoleOut()
    is_developer = serializers.BooleanField()

    @extend_schema_field(serializers.ChoiceField(Status.values))
    def get_status(self, membership: AccountBinding) -> str:
        """Return how far the person has come at the time in the context."""
        return str(status_of(membership.user, self.context["at"]))


class CreatedUser(UserOut):
    """A person who was just invited."""

    invite_mode = serializers.ChoiceField(InviteMode.values, read_only=True)
    temporary_password = serializers.CharField(
        read_only=True, required=False, help_text="With TEMPORARY_PASSWORD alone. Shown here and never again."
    )


class UserPage(serializers.Serializer[Any]):
    """One page of people."""

    users = UserOut(many=True)
    pagination = Pagination()


class RoleQuery(PageQuery):
    """How a list of roles is narrowed down."""

    is_predefined = QueryFlag(required=False, help_text="Left out: both kinds.")


class CreateRole(Shape):
    """A new custom role."""

    name = Text(
        max_length=MAX_NAME,
        help_text="ASCII letters, digits, blanks, and - _ . , ( ) [ ] ' \" / : \\ & @ # $ % ! ? + =",
    )
    permissions = Many(OneOf([one.value for one in Permission]), max_length=2 * len(Permission))
    description = Text(max_length=MAX_DESCRIPTION, allow_blank=True, required=False, multiline=True)


class ChangeRole(AtLeastOne):
    """What shall be different about a custom role."""

    name = Text(max_length=MAX_NAME, required=False)
    permissions = Many(OneOf([one.value for one in Permission]), max_length=2 * len(Permission), required=False)
    description = Text(
        max_length=MAX_DESCRIPTION, allow_blank=True, allow_null=True, required=False, multiline=True, null_as=""
    )


class RoleRowOut(Absent):
    """A role with what it permits."""

    id = IdOut("Role", source="pk")
    name = serializers.SerializerMethodField(help_text="Of a predefined role, with its level: Space Admin.")
    description = serializers.CharField(required=False)
    permissions = serializers.ListField(child=serializers.ChoiceField([one.value for one in Permission]))
    is_predefined = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_name(self, role: Role) -> str:
        """Return the name that tells the role from all others."""
        return wire_name_of(role)


class RolePage(serializers.Serializer[Any]):
    """One page of roles."""

    roles = RoleRowOut(many=True)
    pagination = Pagination()


class RoleBindingQuery(PageQuery):
    """Which bindings to list."""

    resource_type = OneOf(RESOURCE_TYPES)
    user_id = WireId("User", required=False, help_text="Of this user only; of a service key, its bot.")


class CreateRoleBinding(Shape):
    """Which role a user shall have where."""

    role_id = WireId("Role")
    user_id = WireId("User", help_text="Of a service key: its bot's.")
    resource_type = OneOf(RESOURCE_TYPES)
    resource_id = Text(max_length=200, help_text="An ID of the stated type.")


class ChangeRoleBinding(Shape):
    """Which role a binding shall be of."""

    role_id = WireId("Role")


class RoleBindingOut(serializers.Serializer[Any]):
    """A role that a user has in a space."""

    id = IdOut("RoleBinding", source="pk")
    role_id = IdOut("Role", source="role.pk")
    user_id = IdOut("User")
    resource_type = serializers.SerializerMethodField()
    resource_id = IdOut("Space", source="content_object_id")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    @extend_schema_field(serializers.ChoiceField(RESOURCE_TYPES))
    def get_resource_type(self, binding: object) -> str:
        """Return what the binding is on."""
        return RESOURCE_TYPES[0]


class RoleBindingPage(serializers.Serializer[Any]):
    """One page of bindings."""

    role_bindings = RoleBindingOut(many=True)
    pagination = Pagination()
