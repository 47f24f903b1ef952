"""What happened, read only: the database itself refuses to change it."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.actors import Door
from accounts.admin.base import NOTHING, OneOf, OperatorAdmin, keys, linked
from accounts.audit import Tag, door_label
from accounts.models import Account, AuditEvent, User

_ACCOUNTS_OFFERED = 30


class ByTag(OneOf):
    """Filters by what happened."""

    title = "what happened"
    parameter_name = "tag"
    values = tuple((tag.value, str(tag.label)) for tag in Tag)


class ByDoor(OneOf):
    """Filters by the door."""

    title = "door"
    parameter_name = "door"
    values = tuple((door.value, str(door.label)) for door in Door)


class ByAccount(admin.SimpleListFilter):
    """Filters by account: the first few by name; the others through the link on their page."""

    title = "account"
    parameter_name = "account_id"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer a few accounts."""
        return [(str(account.pk), account.name) for account in Account.objects.order_by("name")[:_ACCOUNTS_OFFERED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        """Keep one account's events."""
        chosen = self.value() or ""
        return queryset.filter(account_id=int(chosen)) if chosen.isdecimal() and len(chosen) < 19 else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(OperatorAdmin[AuditEvent]):
    """The audit trail of all accounts."""

    list_display = ("at", "what", "outcome", "actor_link", "target_link", "account_name", "door_name", "ip")
    list_display_links = ("at",)
    list_filter = ("outcome", ByTag, ByDoor, "at", ByAccount)
    search_fields = ("actor_label", "target_label")
    search_help_text = "Part of who did it, or of what it was done to."
    ordering = ("-id",)
    shown = (
        "at",
        "what",
        "tag",
        "outcome",
        "account_name",
        "actor_link",
        "key_link",
        "target_link",
        "door_name",
        "ip",
        "operation_type",
        "operation_name",
        "operation_text",
        "variables_text",
        "details_text",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        """Fetch the account's present name, which the event does not hold."""
        name = Account.objects.filter(pk=OuterRef("account_id")).values("name")
        return super().get_queryset(request).annotate(present_name=Subquery(name))

    @admin.display(description="what happened")
    def what(self, event: AuditEvent) -> str:
        """The tag in words."""
        return str(Tag(event.tag).label) if event.tag in Tag.values else event.tag

    @admin.display(description="account")
    def account_name(self, event: Any) -> SafeString | str:
        """Link to the account, while there is one."""
        if event.present_name is None:
            return NOTHING
        return linked(Account(pk=event.account_id), event.present_name)

    @admin.display(description="who")
    def actor_link(self, event: AuditEvent) -> SafeString | str:
        """Link to who did it, under the name they had."""
        return linked(User(pk=event.actor_id), event.actor_label) if event.actor_id else event.actor_label or NOTHING

    @admin.display(description="with the key")
    def key_link(self, event: AuditEvent) -> SafeString | str:
        """Link to the key that opened the door."""
        return linked(keys().model(pk=event.key_id), f"Key {event.key_id}") if event.key_id else NOTHING

    @admin.display(description="to what")
    def target_link(self, event: AuditEvent) -> SafeString | str:
        """Link to what it was done to, under the name it had."""
        text = f"{event.target_type} {event.target_label}".strip()
        model = next((model for model in admin.site._registry if model.__name__ == event.target_type), None)
        return linked(model(pk=event.target_id), text) if model and event.target_id else text or NOTHING

    @admin.display(description="door")
    def door_name(self, event: AuditEvent) -> str:
        """The door in words."""
        return door_label(event.door)

    @admin.display(description="variables")
    def variables_text(self, event: AuditEvent) -> SafeString | str:
        """What the caller sent along."""
        return _json(event.variables)

    @admin.display(description="details")
    def details_text(self, event: AuditEvent) -> SafeString | str:
        """What the event adds to itself."""
        return _json(event.details)


def _json(value: Any) -> SafeString | str:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False)) if value else NOTHING
