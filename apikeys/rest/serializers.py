"""What travels about keys (contract rest-v2 §5): requests as strict shapes, answers without empty properties."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from accounts.rest.role_objects import OrganizationRoleField, RoleField, RoleOut, SpaceRoleField, role_schema
from accounts.rest.shapes import Absent, IdOut, Moment, Name, OneOf, PageQuery, Pagination, Shape, Text, Whole, WireId
from accounts.roles import RoleName
from accounts.wire import encode_id
from apikeys.lifecycle import MAX_DESCRIPTION, MAX_GRACE, MAX_NAME, MAX_SCOPES
from apikeys.models import ApiKey, KeyKind
from apikeys.policy import SERVICE_ACCOUNT_ROLES, KeyBindings

# The wire knows two of the three (contract rest-v2 §5.1).
WIRE_STATUSES = ("ACTIVE", "REVOKED")


class PredefinedBotAccountRole(Shape):
    """A predefined role of the account that bots can have."""

    type = OneOf(["PREDEFINED"], help_text="It is a predefined role.")
    name = OneOf(sorted(SERVICE_ACCOUNT_ROLES), help_text="Which one.")


@extend_schema_field(role_schema("BotAccountRole", PredefinedBotAccountRole))
class BotAccountRoleField(RoleField):
    """A role of the account, for a bot."""

    predefined = PredefinedBotAccountRole


class CreateUserKey(Shape):
    """A key that is its person."""

    key_type = OneOf(["USER"], help_text="It is a user key.")
    name = Name(max_length=MAX_NAME, help_text="Need not be unique. Blanks around it are taken off.")
    description = Text(
        max_length=MAX_DESCRIPTION, allow_blank=True, required=False, multiline=True, help_text="What it is for."
    )
    expires_at = Moment(
        required=False,
        help_text="In the future; without an offset it is UTC. Left out: never, or the account's longest lifetime.",
    )


class ServiceKeySpace(Shape):
    """A space that a service key shall open, and with which role."""

    space_id = WireId("Space", help_text="A space of the organization; each is given once.")
    role = SpaceRoleField(required=False, help_text="Left out: MEMBER. Not above your own, and not ANNOTATOR.")


class ServiceKeyOrganization(Shape):
    """An organization that a service key shall open, with which role, and in which of its spaces."""

    org_id = WireId("Organization", help_text="Each organization is given once.")
    role = OrganizationRoleField(
        required=False, help_text="Left out: READ_ONLY. Not above your own, not ANNOTATOR, and not a custom role."
    )
    spaces = serializers.ListField(
        child=ServiceKeySpace(), min_length=1, max_length=MAX_SCOPES, help_text="The spaces it shall open."
    )


class CreateServiceKey(CreateUserKey):
    """A key with a bot user of its own."""

    key_type = OneOf(["SERVICE"], help_text="It is a service key.")
    account_role = BotAccountRoleField(
        required=False, help_text="Left out: MEMBER. Not above your own, and not a custom role."
    )
    organizations = serializers.ListField(
        child=ServiceKeyOrganization(),
        min_length=1,
        max_length=MAX_SCOPES,
        help_text="The organizations it shall open.",
    )


class RefreshKey(Shape):
    """How the new secret shall live, and how long the old one goes on."""

    expires_at = Moment(
        required=False,
        help_text="Required when the key expires already, and never later than that. Left out: never.",
    )
    grace_period_seconds = Whole(
        required=False,
        min_value=0,
        max_value=int(MAX_GRACE.total_seconds()),
        help_text="How long the old secret goes on. Left out or 0: it dies at once.",
    )


class KeyQuery(PageQuery):
    """Which keys to list."""

    key_type = OneOf(
        KeyKind.values, required=False, help_text="Left out: USER; with `space_id`, SERVICE, which is all there is."
    )
    status = OneOf(
        WIRE_STATUSES,
        default="ACTIVE",
        help_text="ACTIVE: valid for use. REVOKED: ended by somebody. Keys that have expired are in neither.",
    )
    space_id = WireId("Space", required=False, help_text="Service keys bound to this space.")
    user_id = WireId(
        "User",
        required=False,
        help_text="With `space_id`: keys that this user made. Without: this user's keys, for account admins only.",
    )


class BotSpaceOut(serializers.Serializer[Any]):
    """A space a bot is in."""

    space_id = IdOut("Space")
    role = RoleOut(help_text="What the bot is there.")


class BotOrganizationOut(serializers.Serializer[Any]):
    """An organization a bot is in."""

    org_id = IdOut("Organization")
    role = RoleOut(help_text="What the bot is there.")
    spaces = BotSpaceOut(many=True, help_text="The spaces of the organization that it is in.")


class BotOut(serializers.Serializer[Any]):
    """The bot user of a service key. Without a name it could not be resolved, and its role is a placeholder."""

    id = IdOut("User")
    name = serializers.CharField(help_text="Its name; it grew out of the key's.")
    account_role = RoleOut(help_text="What it is in the account.")
    organizations = BotOrganizationOut(
        many=True,
        help_text="Always empty in a list with `space_id`: the bot may be in places that you cannot see.",
    )

    def to_representation(self, instance: ApiKey) -> dict[str, Any]:
        """Return what :func:`bot_out` made of the key's bot, out of the context."""
        bots: dict[int, dict[str, Any]] = self.context["bots"]
        return bots[instance.pk]


class StatusOut(serializers.ChoiceField):
    """What a key is at the time in the context."""

    def to_representation(self, value: Any) -> str:
        """Return the status of the key."""
        at: datetime = self.context["at"]
        return str(value.status(at=at).value)


class RefreshedKeyOut(Absent):
    """A key, without its bot."""

    # Needs ``at`` in its context: what a key is depends on the time.
    id = IdOut("ApiKey", source="pk")
    name = serializers.CharField(help_text="What its maker called it.")
    description = serializers.CharField(required=False, help_text="What it is for. Absent: nobody has said.")
    key_type = serializers.ChoiceField(KeyKind.values, source="kind", help_text="Whether a person's or a bot's.")
    status = StatusOut(WIRE_STATUSES, source="*", help_text="ACTIVE: valid for use. REVOKED: ended by somebody.")
    redacted_key = serializers.CharField(help_text="First six characters, three dots, last three.")
    created_at = serializers.DateTimeField(help_text="When it was made.")
    expires_at = serializers.DateTimeField(required=False, help_text="Absent: never.")
    created_by_user_id = IdOut(
        "User", source="created_by_id", required=False, help_text="Who made it. Absent: the operator."
    )
    last_used_at = serializers.DateTimeField(
        source="use.last_used_at", required=False, help_text="Approximate. Absent: unused."
    )


class UserKeyOut(RefreshedKeyOut):
    """A person's key."""

    key_type = serializers.ChoiceField(["USER"], source="kind", help_text="It is a user key.")


class ServiceKeyOut(RefreshedKeyOut):
    """A service key."""

    # Needs ``bots`` in its context: what :func:`bot_out` returned, by key number.
    key_type = serializers.ChoiceField(["SERVICE"], source="kind", help_text="It is a service key.")
    bot_user = BotOut(source="*", help_text="Who it is.")


# The secret is put next to what these serializers return, never into one: their data may end up in a log or a report.


class CreatedUserKey(UserKeyOut):
    """A person's new key."""

    key = serializers.CharField(help_text="The full key. Shown here and never again.")


class CreatedServiceKey(ServiceKeyOut):
    """A new service key."""

    key = serializers.CharField(help_text="The full key. Shown here and never again.")


class RefreshedKey(RefreshedKeyOut):
    """A key with a new secret."""

    key = serializers.CharField(help_text="The full new key. Shown here and never again.")


class KeyPage(serializers.Serializer[Any]):
    """One page of keys."""

    api_keys = PolymorphicProxySerializer(
        component_name="ApiKey",
        serializers={"USER": UserKeyOut, "SERVICE": ServiceKeyOut},
        resource_type_field_name="key_type",
        many=True,
        help_text="The keys.",
    )
    pagination = Pagination(help_text="Whether there is more.")


def bot_out(key: ApiKey, bindings: KeyBindings, *, with_scopes: bool = True) -> dict[str, Any]:
    """Dress a service key's bot (contract rest-v2 §5.1 and §5.2). One that is nobody any more gets a placeholder."""
    role = bindings.account_role
    return {
        "id": encode_id("User", key.owner_id),
        "name": key.owner.name if role else "",
        "account_role": RoleOut(role).data if role else {"type": "PREDEFINED", "name": RoleName.MEMBER.value},
        "organizations": _organizations_out(bindings) if role and with_scopes else [],
    }


def _organizations_out(bindings: KeyBindings) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {
        organization.pk: {
            "org_id": encode_id("Organization", organization.pk),
            "role": RoleOut(role).data,
            "spaces": [],
        }
        for organization, role in bindings.organizations
    }
    for space, role in bindings.spaces:
        if space.organization_id in found:
            one = {"space_id": encode_id("Space", space.pk), "role": RoleOut(role).data}
            found[space.organization_id]["spaces"].append(one)
    return list(found.values())
