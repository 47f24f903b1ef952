"""What travels about audit logs (contract rest-v2 §11, and what our pages know besides)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.actors import Door
from accounts.audit import Tag
from accounts.models import AuditEvent
from accounts.rest.shapes import IdOut, Many, Moment, OneOf, PageQuery, Pagination, Shape, Text, WireId
from accounts.trail import KEY_TYPE, Filter, OperationType, operation_name, operation_type
from accounts.wire import encode_id

# Contract rest-v2 §11.
_MAX_NAME = 255
_MAX_NAMES = 20
_MAX_SEARCH = 256

_ACTIONS = sorted({*Tag.values, *(tag.split(":")[0] for tag in Tag.values)})


class _Narrowing(Shape):
    """How audit logs are narrowed down, in a query and in a body alike."""

    start_time = Moment(
        required=False, help_text="From this moment on, itself included. Left out: 30 days before the end."
    )
    end_time = Moment(required=False, help_text="Up to this moment, itself included. Left out: now.")
    user_id = WireId("User", required=False, help_text="Only what this user did.")
    operation_type = OneOf(OperationType.values, required=False, help_text="Only operations of this type.")
    operation_name = Many(
        Text(max_length=_MAX_NAME),
        max_length=_MAX_NAMES,
        required=False,
        help_text="Only these operations, spelled exactly so; can be given up to 20 times. "
        "What came through no API goes by its action.",
    )
    action = OneOf(_ACTIONS, required=False, help_text="Only this action, or with a single word all of its kind.")
    outcome = OneOf(["SUCCEEDED", "REFUSED"], required=False, help_text="Only what was done, or only what was not.")
    door = OneOf(Door.values, required=False, help_text="Only what came through this door.")
    key_id = WireId(KEY_TYPE, required=False, help_text="Only what was done to this API key, or with it.")
    person = Text(
        max_length=_MAX_SEARCH,
        required=False,
        allow_blank=True,
        help_text="Only what was done by or to people with this in their name or e-mail address; case does not count.",
    )


class AuditLogQuery(_Narrowing, PageQuery):
    """How a list of audit logs is narrowed down."""


class ExportAuditLogs(_Narrowing):
    """Which audit logs to export, and how."""

    format = OneOf(["NDJSON", "CSV"], help_text="One JSON object a line, or comma-separated values.")
    start_time = Moment(required=False, help_text="From this moment on, itself included. Left out: from the beginning.")


class AuditLogOut(serializers.Serializer[Any]):
    """One event."""

    id = IdOut("AuditEvent", source="pk")
    user_id = serializers.SerializerMethodField(help_text="Who did it; null for nobody known, and for the operator.")
    ip = serializers.CharField(allow_null=True, help_text="From which address; null where there was none.")
    operation_type = serializers.SerializerMethodField(help_text="MUTATION for what was to change something.")
    operation_name = serializers.SerializerMethodField(
        help_text="The REST endpoint or GraphQL operation; what came through no API goes by its action."
    )
    operation_text = serializers.CharField(help_text="The body or the GraphQL query, without keys.")
    variables = serializers.SerializerMethodField(help_text="A JSON object, as a string.")
    created_at = serializers.DateTimeField(source="at", help_text="When it happened.")
    # From here on, what only we say.
    action = serializers.CharField(source="tag", help_text="What happened, as subject:action.")
    outcome = serializers.ChoiceField(["SUCCEEDED", "REFUSED"], help_text="Whether it was done.")
    door = serializers.ChoiceField(Door.values, help_text="What it came through.")
    user = serializers.CharField(source="actor_label", help_text="Who did it, by the name they had.")
    key_id = serializers.SerializerMethodField(help_text="The API key it was done with, or null.")
    target_type = serializers.CharField(help_text="What kind of thing it was done to; may be empty.")
    target_id = serializers.SerializerMethodField(help_text="What it was done to, or null.")
    target = serializers.CharField(source="target_label", help_text="What it was done to, by the name it had.")
    details = serializers.DictField(help_text="What there is to say about it, such as values before and after.")
    position = serializers.IntegerField(help_text="Its place in the account's chain of events, counted from 1.")
    hash = serializers.SerializerMethodField(help_text="SHA-256 of the event and of the one before it.")

    def get_user_id(self, event: AuditEvent) -> str | None:
        """Return the id of who did it."""
        return encode_id("User", event.actor_id) if event.actor_id else None

    @extend_schema_field(serializers.ChoiceField(OperationType.values))
    def get_operation_type(self, event: AuditEvent) -> str:
        """Return the kind of operation."""
        return operation_type(event)

    def get_operation_name(self, event: AuditEvent) -> str:
        """Return the operation's name."""
        return operation_name(event)

    def get_variables(self, event: AuditEvent) -> str:
        """Return the variables as clients want them: as text."""
        return json.dumps(event.variables, ensure_ascii=False)

    def get_key_id(self, event: AuditEvent) -> str | None:
        """Return the id of the key used."""
        return encode_id(KEY_TYPE, event.key_id) if event.key_id else None

    def get_target_id(self, event: AuditEvent) -> str | None:
        """Return the id of what it was done to."""
        return encode_id(event.target_type, event.target_id) if event.target_type and event.target_id else None

    def get_hash(self, event: AuditEvent) -> str:
        """Return the hash in hexadecimal digits."""
        return bytes(event.hash).hex()


class AuditLogPage(serializers.Serializer[Any]):
    """One page of audit logs."""

    logs = AuditLogOut(many=True, help_text="The events.")
    pagination = Pagination(help_text="Whether there is more.")


def narrowed(said: dict[str, Any], *, since: datetime | None, until: datetime) -> Filter:
    """Return the filter that a checked query or body asks for."""
    return Filter(
        person=said.get("person", ""),
        user_id=said.get("user_id"),
        action=said.get("action", ""),
        outcome=said.get("outcome", ""),
        door=said.get("door", ""),
        operation_type=said.get("operation_type", ""),
        operation_names=tuple(said.get("operation_name", ())),
        since=since,
        until=until,
        key_id=said.get("key_id"),
    )
