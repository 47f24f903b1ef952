"""Roles as they travel inside other things: ``{"type": "PREDEFINED", "name": …}`` or ``{"type": "CUSTOM", "id": …}``.

Contract rest-v2 §5.1; the same three shapes for keys, people, and members of organizations and spaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from accounts.actors import Actor
from accounts.errors import NotAllowed, NotFound
from accounts.models import Role
from accounts.rest.shapes import Absent, IdOut, OneOf, Shape, WireId
from accounts.roles import PREDEFINED, Level, RoleName
from accounts.wire import encode_id


@dataclass(frozen=True)
class RoleChoice:
    """A role as a request names it: a predefined one by name, or a custom one by number."""

    name: RoleName | None = None
    number: int | None = None


def _names(level: Level) -> list[str]:
    return [role.name.value for role in reversed(PREDEFINED) if role.level == level]


class PredefinedAccountRole(Shape):
    """A predefined role of the account."""

    type = OneOf(["PREDEFINED"], help_text="It is a predefined role.")
    name = OneOf(_names(Level.ACCOUNT), help_text="Which one.")


class PredefinedOrganizationRole(Shape):
    """A predefined role in an organization."""

    type = OneOf(["PREDEFINED"], help_text="It is a predefined role.")
    name = OneOf(_names(Level.ORGANIZATION), help_text="Which one.")


class PredefinedSpaceRole(Shape):
    """A predefined role in a space."""

    type = OneOf(["PREDEFINED"], help_text="It is a predefined role.")
    name = OneOf(_names(Level.SPACE), help_text="Which one.")


class CustomRole(Shape):
    """A role of the account's own."""

    type = OneOf(["CUSTOM"], help_text="It is one of the account's own.")
    id = WireId("Role")


class RoleField(serializers.Field[RoleChoice, Any, Any, Any]):
    """A role object: which of the two shapes it has, ``type`` says."""

    predefined: ClassVar[type[Shape]]
    default_error_messages = {
        "invalid": "This must be a role: an object with a type.",
        "type": "This must be PREDEFINED or CUSTOM.",
    }

    def to_internal_value(self, data: Any) -> RoleChoice:
        """Return which role is meant; whether there is such a custom role is not asked here."""
        if not isinstance(data, Mapping):
            self.fail("invalid")
        kind = data.get("type")
        shapes: dict[Any, type[Shape]] = {"PREDEFINED": self.predefined, "CUSTOM": CustomRole}
        if not isinstance(kind, str) or kind not in shapes:
            raise serializers.ValidationError({"type": [self.error_messages["type"]]})
        value = shapes[kind]().run_validation(data)
        return RoleChoice(number=value["id"]) if kind == "CUSTOM" else RoleChoice(name=RoleName(value["name"]))

    def to_representation(self, value: RoleChoice) -> Any:
        """Do nothing: requests are not answered with."""
        raise NotImplementedError


def role_schema(name: str, predefined: type[Shape]) -> Any:
    """Return how a role object is described."""
    return PolymorphicProxySerializer(
        component_name=name,
        serializers={"PREDEFINED": predefined, "CUSTOM": CustomRole},
        resource_type_field_name="type",
        help_text="Which role: a predefined one by name, or one of the account's own by ID.",
    )


@extend_schema_field(role_schema("AccountRole", PredefinedAccountRole))
class AccountRoleField(RoleField):
    """A role of the account."""

    predefined = PredefinedAccountRole


@extend_schema_field(role_schema("OrganizationRole", PredefinedOrganizationRole))
class OrganizationRoleField(RoleField):
    """A role in an organization."""

    predefined = PredefinedOrganizationRole


@extend_schema_field(role_schema("SpaceRole", PredefinedSpaceRole))
class SpaceRoleField(RoleField):
    """A role in a space."""

    predefined = PredefinedSpaceRole


class RoleOut(Absent):
    """A role somebody has."""

    type = serializers.ChoiceField(["PREDEFINED", "CUSTOM"], help_text="Whether it comes with the product.")
    name = serializers.CharField(help_text="What it is called: ADMIN, or of a custom role what its makers chose.")
    id = IdOut("Role", required=False, help_text="Of a custom role alone: its ID.")

    def to_representation(self, instance: Role) -> dict[str, Any]:
        """Dress a row of the roles table."""
        if instance.is_predefined:
            return {"type": "PREDEFINED", "name": instance.name}
        return {"type": "CUSTOM", "id": encode_id("Role", instance.pk), "name": instance.name}


class RoleFinder:
    """The predefined roles and those custom ones that a request names, read at once."""

    def __init__(self, actor: Actor, choices: Iterable[RoleChoice]) -> None:
        numbers = {choice.number for choice in choices if choice.number is not None}
        rows = list(Role.objects.filter(account__isnull=True))
        self.predefined = {(role.level, role.name): role for role in rows}
        self.custom = (
            Role.objects.filter(account=actor.account, deleted_at__isnull=True).in_bulk(numbers) if numbers else {}
        )

    def find(self, level: Level, choice: RoleChoice, field: str = "role") -> Role:
        """Return the role that is meant.

        Raises:
            NotAllowed: a custom role where there are none.
            NotFound: there is no such custom role.
        """
        if choice.name is not None:
            return self.predefined[level, choice.name]
        if level != Level.SPACE:
            raise NotAllowed("Custom roles can be given in spaces only.", field=field)
        role = self.custom.get(choice.number or 0)
        if role is None:
            raise NotFound("There is no such role.", field=field)
        return role
