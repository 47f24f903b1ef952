"""What travels about organizations and spaces (contract rest-v2 §7 and §8)."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.rest.shapes import IdOut, PageQuery, Pagination, Text, WireId

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

    id = IdOut("Organization", source="pk")
    name = serializers.CharField()
    description = serializers.CharField()
    created_at = serializers.DateTimeField()


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
