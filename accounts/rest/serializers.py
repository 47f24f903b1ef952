"""What travels about organizations and spaces (contract rest-v2 §7 and §8)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import Organization, Space
from accounts.rest.shapes import PageQuery, Pagination, Text, WireId
from accounts.wire import encode_id

_MAX_NAME = 255


class OrganizationQuery(PageQuery):
    """How a list of organizations is narrowed down."""

    name = Text(
        required=False, allow_blank=True, max_length=_MAX_NAME, help_text="Part of the name; case does not count."
    )


class SpaceQuery(PageQuery):
    """How a list of spaces is narrowed down."""

    name = Text(
        required=False, allow_blank=True, max_length=_MAX_NAME, help_text="Part of the name; case does not count."
    )
    org_id = WireId("Organization", required=False, help_text="Spaces of this organization only.")


class OrganizationOut(serializers.Serializer[Any]):
    """An organization."""

    id = serializers.SerializerMethodField()
    name = serializers.CharField()
    description = serializers.CharField()
    created_at = serializers.DateTimeField()

    def get_id(self, organization: Organization) -> str:
        """Return the id that clients use."""
        return encode_id("Organization", organization.pk)


class IntegrationOut(serializers.Serializer[Any]):
    """The model a space uses by default."""

    integration_id = serializers.CharField()
    model_name = serializers.CharField()


class RuntimeOut(serializers.Serializer[Any]):
    """Where the agents of a space run by default."""

    integration_id = serializers.CharField()


class SpaceOut(serializers.Serializer[Any]):
    """A space."""

    id = serializers.SerializerMethodField()
    organization_id = serializers.SerializerMethodField()
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

    def get_id(self, space: Space) -> str:
        """Return the id that clients use."""
        return encode_id("Space", space.pk)

    def get_organization_id(self, space: Space) -> str:
        """Return the id of the organization the space is in."""
        return encode_id("Organization", space.organization_id)


class OrganizationPage(serializers.Serializer[Any]):
    """One page of organizations."""

    organizations = OrganizationOut(many=True)
    pagination = Pagination()


class SpacePage(serializers.Serializer[Any]):
    """One page of spaces."""

    spaces = SpaceOut(many=True)
    pagination = Pagination()
