"""What travels about people, organizations, spaces, roles, bindings and restrictions (contract rest-v2 §6 to §10)."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.changes import MAX_NAME
from accounts.custom_roles import LETTERS, MAX_DESCRIPTION, wire_name_of
from accounts.errors import Invalid
from accounts.invitations import InviteMode, Status, status_of
from accounts.models import AccountBinding, Project, ProjectBinding, Role, Space, SpaceBinding
from accounts.people import clean_email
from accounts.rest.role_objects import AccountRoleField, OrganizationRoleField, RoleOut, SpaceRoleField
from accounts.rest.shapes import (
    Absent,
    AtLeastOne,
    Flag,
    IdOut,
    Many,
    Name,
    OneOf,
    PageQuery,
    Pagination,
    QueryFlag,
    Shape,
    Text,
    WireId,
    described_id,
)
from accounts.vocabulary import Permission
from accounts.wire import encode_id

# What a binding can be on, and what clients know that a restriction can be on. Here it is projects.
RESOURCE_TYPES = ("SPACE", "PROJECT")
RESTRICTION_TYPES = ("PROJECT", "DASHBOARD", "PROMPT")
_MAX_COLOR = 32
_ROLE_NAME = (
    "Unique in the account. ASCII letters, digits, blanks, and - _ . , ( ) [ ] ' \" / : \\ & @ # $ % ! ? + = only; "
    "blanks around it are taken off."
)


class Email(Text):
    """An e-mail address, in the one spelling that the verbs keep."""

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return {"format": "email"}

    def to_internal_value(self, data: Any) -> str:
        """Return the address, cleaned."""
        text = super().to_internal_value(data)
        try:
            return clean_email(text)
        except Invalid as error:
            raise serializers.ValidationError(error.detail) from None


class ResourceId(Text):
    """The ID of what has the type that is stated beside it."""

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return {"format": "resource-id"}


class RoleName(Name):
    """The name of a custom role, of the letters that such names are made of."""

    default_error_messages = {"letters": "Letters and digits without accents, blanks and a few signs only."}

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return {"pattern": f"^ *[{LETTERS}][{LETTERS} ]*$"}

    def to_internal_value(self, data: Any) -> str:
        """Return the string as it came."""
        text = super().to_internal_value(data)
        if re.fullmatch(f"[{LETTERS} ]+", text) is None:
            self.fail("letters")
        return text


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

    name = Name(max_length=MAX_NAME, help_text="Unique in the account. Blanks around it are taken off.")
    description = Text(
        max_length=MAX_DESCRIPTION, allow_blank=True, required=False, multiline=True, help_text="What it is for."
    )


class ChangeOrganization(AtLeastOne):
    """What shall be different about an organization."""

    name = Name(max_length=MAX_NAME, required=False, help_text="Unique in the account. Blanks around it are taken off.")
    description = Text(
        max_length=MAX_DESCRIPTION,
        allow_blank=True,
        allow_null=True,
        required=False,
        multiline=True,
        null_as="",
        help_text="What it is for; `null` for nothing.",
    )


class AddOrganizationMember(Shape):
    """Who shall be in an organization, as what."""

    user_id = WireId("User", help_text="Somebody in the account.")
    role = OrganizationRoleField(help_text="Not above your own. ANNOTATOR for Annotators of the account alone.")


class OrganizationOut(serializers.Serializer[Any]):
    """An organization."""

    id = IdOut("Organization", source="pk")
    name = serializers.CharField(help_text="Its name, unique in the account.")
    description = serializers.CharField(help_text="What it is for; may be empty.")
    created_at = serializers.DateTimeField(help_text="When it was made.")


class OrganizationMemberOut(serializers.Serializer[Any]):
    """Somebody's membership of an organization."""

    id = IdOut("OrganizationMembership", source="pk")
    user_id = IdOut("User")
    organization_id = IdOut("Organization", source="content_object_id")
    role = RoleOut(help_text="What the user is there.")


class IntegrationIn(Shape):
    """The model a space shall use by default."""

    integration_id = Text(max_length=200, help_text="The integration's ID.")
    model_name = Text(max_length=MAX_NAME, help_text="The model, by the name the integration knows it by.")


class RuntimeIn(Shape):
    """Where the agents of a space shall run by default."""

    integration_id = Text(max_length=200, help_text="The integration's ID.")


class CreateSpace(Shape):
    """A new space."""

    name = Name(max_length=MAX_NAME, help_text="Unique in the organization. Blanks around it are taken off.")
    organization_id = WireId("Organization", help_text="The organization it shall be in.")
    description = Text(
        max_length=MAX_DESCRIPTION, allow_blank=True, required=False, multiline=True, help_text="What it is for."
    )
    is_private = Flag(required=False, help_text="Left out: public.")


class ChangeSpace(AtLeastOne):
    """What shall be different about a space."""

    name = Name(
        max_length=MAX_NAME, required=False, help_text="Unique in the organization. Blanks around it are taken off."
    )
    description = Text(
        max_length=MAX_DESCRIPTION,
        allow_null=True,
        required=False,
        multiline=True,
        null_as="",
        help_text="What it is for; `null` for nothing.",
    )
    is_private = Flag(required=False, help_text="Only members, and the admins above, get in.")
    ml_models_enabled = Flag(required=False, help_text="Whether clients offer ML models in it.")
    gradient_start_color = Text(
        max_length=_MAX_COLOR, allow_blank=True, required=False, help_text="Where the colours it is shown in begin."
    )
    gradient_end_color = Text(
        max_length=_MAX_COLOR, allow_blank=True, required=False, help_text="Where the colours it is shown in end."
    )
    default_llm_integration = IntegrationIn(
        allow_null=True, required=False, help_text="There are no integrations yet: only `null` can be given."
    )
    default_agent_runtime = RuntimeIn(
        allow_null=True, required=False, help_text="There are no integrations yet: only `null` can be given."
    )


class AddSpaceMember(Shape):
    """Who shall be in a space, as what."""

    user_id = WireId("User", help_text="Somebody in the space's organization.")
    role = SpaceRoleField(help_text="Not above your own. ANNOTATOR for Annotators of the account alone.")


class SpaceMemberOut(serializers.Serializer[Any]):
    """Somebody's role of their own in a space."""

    id = IdOut("SpaceMembership", source="pk")
    user_id = IdOut("User")
    space_id = IdOut("Space", source="content_object_id")
    role = RoleOut(help_text="What the user is there.")


class IntegrationOut(serializers.Serializer[Any]):
    """The model a space uses by default."""

    integration_id = serializers.CharField(help_text="The integration's ID.")
    model_name = serializers.CharField(help_text="The model, by the name the integration knows it by.")


class RuntimeOut(serializers.Serializer[Any]):
    """Where the agents of a space run by default."""

    integration_id = serializers.CharField(help_text="The integration's ID.")


class SpaceOut(serializers.Serializer[Any]):
    """A space."""

    id = IdOut("Space", source="pk")
    organization_id = IdOut("Organization")
    name = serializers.CharField(help_text="Its name, unique in its organization.")
    description = serializers.CharField(help_text="What it is for; may be empty.")
    created_at = serializers.DateTimeField(help_text="When it was made.")
    is_private = serializers.BooleanField(help_text="Whether only members, and the admins above, get in.")
    ml_models_enabled = serializers.BooleanField(help_text="Whether clients offer ML models in it.")
    gradient_start_color = serializers.CharField(help_text="Where the colours it is shown in begin; may be empty.")
    gradient_end_color = serializers.CharField(help_text="Where the colours it is shown in end; may be empty.")
    # Clients expect these two; nothing can be set there yet.
    default_llm_integration = IntegrationOut(
        default=None, allow_null=True, help_text="The model it uses by default; `null` for none."
    )
    default_agent_runtime = RuntimeOut(
        default=None, allow_null=True, help_text="Where its agents run by default; `null` for nowhere."
    )


class OrganizationPage(serializers.Serializer[Any]):
    """One page of organizations."""

    organizations = OrganizationOut(many=True, help_text="The organizations.")
    pagination = Pagination(help_text="Whether there is more.")


class SpacePage(serializers.Serializer[Any]):
    """One page of spaces."""

    spaces = SpaceOut(many=True, help_text="The spaces.")
    pagination = Pagination(help_text="Whether there is more.")


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

    name = Name(max_length=MAX_NAME, help_text="As others shall see it. Blanks around it are taken off.")
    email = Email(max_length=MAX_NAME, help_text="Where the person receives mail, and signs in with.")
    role = AccountRoleField(help_text="Members may give MEMBER and ANNOTATOR only; no custom roles.")
    invite_mode = OneOf(InviteMode.values, help_text="How the person comes in.")


class ChangeUser(AtLeastOne):
    """What shall be different about a person."""

    name = Name(
        max_length=MAX_NAME, required=False, help_text="As others shall see it. Blanks around it are taken off."
    )
    is_developer = Flag(required=False, help_text="May make and refresh keys. Account admins only.")


class UserOut(serializers.Serializer[Any]):
    """A person in the account."""

    # Dresses a membership, and needs ``at`` in its context.
    id = IdOut("User", source="user_id")
    name = serializers.CharField(source="user.name", help_text="As others see it.")
    email = serializers.EmailField(source="user.email", help_text="Where the person receives mail, and signs in with.")
    created_at = serializers.DateTimeField(source="user.created_at", help_text="When the person was first invited.")
    status = serializers.SerializerMethodField(
        help_text="ACTIVE: has come in. INVITED: has not yet. EXPIRED: has not in time."
    )
    role = RoleOut(help_text="What the person is in the account.")
    is_developer = serializers.BooleanField(help_text="Whether the person may make and refresh keys.")

    @extend_schema_field(serializers.ChoiceField(Status.values))
    def get_status(self, membership: AccountBinding) -> str:
        """Return how far the person has come at the time in the context."""
        return str(status_of(membership.user, self.context["at"]))


class CreatedUser(UserOut):
    """A person who was just invited."""

    invite_mode = serializers.ChoiceField(InviteMode.values, help_text="How the person comes in.")
    temporary_password = serializers.CharField(
        required=False, help_text="With TEMPORARY_PASSWORD alone. Shown here and never again."
    )


class UserPage(serializers.Serializer[Any]):
    """One page of people."""

    users = UserOut(many=True, help_text="The people.")
    pagination = Pagination(help_text="Whether there is more.")


class RoleQuery(PageQuery):
    """How a list of roles is narrowed down."""

    is_predefined = QueryFlag(required=False, help_text="Left out: both kinds.")


class CreateRole(Shape):
    """A new custom role."""

    name = RoleName(max_length=MAX_NAME, help_text=_ROLE_NAME)
    permissions = Many(
        OneOf([one.value for one in Permission]), max_length=2 * len(Permission), help_text="What it permits."
    )
    description = Text(
        max_length=MAX_DESCRIPTION, allow_blank=True, required=False, multiline=True, help_text="What it is for."
    )


class ChangeRole(AtLeastOne):
    """What shall be different about a custom role."""

    name = RoleName(max_length=MAX_NAME, required=False, help_text=_ROLE_NAME)
    permissions = Many(
        OneOf([one.value for one in Permission]),
        max_length=2 * len(Permission),
        required=False,
        help_text="What it shall permit, in place of all it permits now.",
    )
    description = Text(
        max_length=MAX_DESCRIPTION,
        allow_blank=True,
        allow_null=True,
        required=False,
        multiline=True,
        null_as="",
        help_text="What it is for; `null` for nothing.",
    )


class RoleRowOut(Absent):
    """A role with what it permits."""

    id = IdOut("Role", source="pk")
    name = serializers.SerializerMethodField(help_text="Of a predefined role, with its level: Space Admin.")
    description = serializers.CharField(required=False, help_text="What it is for. Absent: nobody has said.")
    permissions = serializers.ListField(
        child=serializers.ChoiceField([one.value for one in Permission]), help_text="What it permits."
    )
    is_predefined = serializers.BooleanField(help_text="Whether it comes with the product; such roles never change.")
    created_at = serializers.DateTimeField(help_text="When it was made.")
    updated_at = serializers.DateTimeField(help_text="When it was last changed.")

    def get_name(self, role: Role) -> str:
        """Return the name that tells the role from all others."""
        return wire_name_of(role)


class RolePage(serializers.Serializer[Any]):
    """One page of roles."""

    roles = RoleRowOut(many=True, help_text="The roles.")
    pagination = Pagination(help_text="Whether there is more.")


class RoleBindingQuery(PageQuery):
    """Which bindings to list."""

    resource_type = OneOf(RESOURCE_TYPES, help_text="What the bindings are on.")
    user_id = WireId("User", required=False, help_text="Of this user only; of a service key, its bot.")


class CreateRoleBinding(Shape):
    """Which role a user shall have where."""

    role_id = WireId("Role", help_text="A role for spaces, predefined or custom.")
    user_id = WireId("User", help_text="Of a service key: its bot's.")
    resource_type = OneOf(RESOURCE_TYPES, help_text="What the binding shall be on.")
    resource_id = ResourceId(max_length=200, help_text="An ID of the stated type.")


class ChangeRoleBinding(Shape):
    """Which role a binding shall be of."""

    role_id = WireId("Role", help_text="A role of the kind that it is of now: predefined or custom.")


class RoleBindingOut(serializers.Serializer[Any]):
    """A role that a user has in a space or a project."""

    id = IdOut("RoleBinding", source="pk")
    role_id = IdOut("Role", source="role.pk")
    user_id = IdOut("User")
    resource_type = serializers.SerializerMethodField(help_text="What the binding is on.")
    resource_id = serializers.SerializerMethodField(help_text="The ID of what it is on: of a space, or of a project.")
    created_at = serializers.DateTimeField(help_text="When it was made.")
    updated_at = serializers.DateTimeField(help_text="When it was last changed.")

    @extend_schema_field(serializers.ChoiceField(RESOURCE_TYPES))
    def get_resource_type(self, binding: SpaceBinding | ProjectBinding) -> str:
        """Return what the binding is on."""
        return RESOURCE_TYPES[isinstance(binding, ProjectBinding)]

    @extend_schema_field({"type": "string", "format": "resource-id"})
    def get_resource_id(self, binding: SpaceBinding | ProjectBinding) -> str:
        """Return the ID of that."""
        kind = Project if isinstance(binding, ProjectBinding) else Space
        return encode_id(kind.__name__, binding.content_object_id)


class RoleBindingPage(serializers.Serializer[Any]):
    """One page of bindings."""

    role_bindings = RoleBindingOut(many=True, help_text="The bindings.")
    pagination = Pagination(help_text="Whether there is more.")


class RestrictionQuery(PageQuery):
    """Which restrictions to list."""

    resource_type = OneOf(
        RESTRICTION_TYPES, required=False, help_text="Of this kind only. Dashboards and prompts are never restricted."
    )


class ProjectIdIn(Text):
    """The ID of what shall be restricted."""

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return described_id("Project", str(self.field_name))


class RestrictResource(Shape):
    """What shall be restricted."""

    resource_id = ProjectIdIn(max_length=200, help_text="The ID of a project.")


class RestrictionOut(serializers.Serializer[Any]):
    """A project in which only roles given in the project itself count."""

    resource_type = serializers.SerializerMethodField(help_text="What is restricted.")
    resource_id = IdOut("Project", source="pk")
    created_at = serializers.DateTimeField(source="restricted_at", help_text="Since when.")

    @extend_schema_field(serializers.ChoiceField(RESTRICTION_TYPES))
    def get_resource_type(self, project: Project) -> str:
        """Return what is restricted."""
        return RESTRICTION_TYPES[0]


class RestrictionPage(serializers.Serializer[Any]):
    """One page of restrictions."""

    resource_restrictions = RestrictionOut(many=True, help_text="The restrictions.")
    pagination = Pagination(help_text="Whether there is more.")
