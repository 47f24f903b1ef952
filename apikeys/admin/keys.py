"""The operator's view of keys. No page here reads a digest, so none can show one."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from accounts.actors import Actor
from accounts.admin.base import NOTHING, FewRelated, OperatorAdmin, linked, listed
from accounts.audit_export import Format
from accounts.errors import DomainError, Invalid
from accounts.models import AuditEvent
from accounts.recent import is_recent, to_confirmation
from accounts.wire import decode_id
from apikeys import peppers
from apikeys.admin.issue import issue_view
from apikeys.key_export import export_keys
from apikeys.lifecycle import revoke_key
from apikeys.models import ApiKey, ApiKeyQuerySet, KeySecret, KeyStatus, KeyUse
from apikeys.policy import KeyBindings, bindings_of

# Every key is named on the page that asks; Django takes no more than a thousand fields in one form.
_REVOKED_AT_ONCE = 500
_LONG_UNUSED = timedelta(days=90)

_REDACTED = re.compile(r"ak-[0-9A-Za-z]{3}(?:\.{2,3}|…)[0-9A-Za-z]{3}", re.ASCII)
_PUBLIC_ID = re.compile(r"(?:ak-)?([0-9A-Za-z]{12})(?:\.{3}|…)?", re.ASCII)


class ByStatus(admin.SimpleListFilter):
    """Filters by what pages call the status, which is a question about the time."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the statuses."""
        return [(status.value, str(status.label)) for status in KeyStatus]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the keys of one status."""
        assert isinstance(queryset, ApiKeyQuerySet)  # noqa: S101 -- the filter stands on one model's page
        chosen = self.value()
        return queryset.with_status(KeyStatus(chosen), at=timezone.now()) if chosen in KeyStatus.values else queryset


class ByUse(admin.SimpleListFilter):
    """Filters by when a key was last used: what to look for before revoking."""

    title = "last used"
    parameter_name = "used"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer what is worth looking for."""
        return [("day", "Within a day"), ("long", f"Not for {_LONG_UNUSED.days} days"), ("never", "Never")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the keys of one kind."""
        now = timezone.now()
        conditions = {
            "day": Q(use__last_used_at__gt=now - timedelta(days=1)),
            "long": Q(use__last_used_at__lt=now - _LONG_UNUSED),
            "never": Q(use__isnull=True),
        }
        return queryset.filter(conditions.get(self.value() or "", Q()))


class ByExposure(admin.SimpleListFilter):
    """Filters by whether a key was seen where keys get logged: these want refreshing."""

    title = "exposure"
    parameter_name = "exposed"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer what is worth looking for."""
        return [("yes", "Seen in an unsafe place")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep exposed keys."""
        return queryset.filter(exposed_at__isnull=False) if self.value() == "yes" else queryset


class ByPepper(admin.SimpleListFilter):
    """Filters secrets by the pepper their digest was made with: none left means that it can go."""

    title = "pepper"
    parameter_name = "pepper"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the configured peppers, by number."""
        return [*((str(number), f"Pepper {number}") for number in peppers.ring()), ("missing", "Not configured")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[KeySecret]) -> QuerySet[KeySecret]:
        """Keep the secrets of one pepper."""
        chosen = self.value() or ""
        if chosen == "missing":
            return queryset.exclude(pepper_id__in=peppers.ring())
        return queryset.filter(pepper_id=int(chosen)) if chosen.isdecimal() and len(chosen) < 6 else queryset


class SecretInline(admin.TabularInline):  # type: ignore[type-arg]  # takes no parameter at run time
    """The secrets of a key: one, or more while an older one is in its grace."""

    model = KeySecret
    fields = readonly_fields = ("shown_public_id", "pepper_id", "created_at", "superseded_at", "ends_at")
    extra = max_num = 0
    can_delete = False
    show_change_link = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[KeySecret]:
        """Leave the digest in the database."""
        return super().get_queryset(request).defer("digest").order_by("-pk")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: secrets are made by verbs."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a secret is what it is."""
        return False

    @admin.display(description="begins with")
    def shown_public_id(self, secret: KeySecret) -> str:
        """The part of the key text that logs may hold."""
        return str(secret)


@admin.register(ApiKey)
class ApiKeyAdmin(OperatorAdmin[ApiKey]):
    """Keys of all accounts. Editing one would break what its maker was promised; ending one is an action."""

    change_form_template = "admin/apikeys/apikey/change_form.html"
    change_list_template = "admin/apikeys/apikey/change_list.html"
    list_display = (
        "name",
        "kind",
        "status_word",
        "redacted_key",
        "owner_link",
        "creator_link",
        "account_link",
        "created_at",
        "expires_at",
        "last_used",
    )
    list_filter = (ByStatus, "kind", ByUse, ByExposure, ("account", FewRelated))
    list_select_related = ("account", "owner", "created_by", "use")
    search_fields = ("name",)
    search_help_text = (
        "The beginning of words in the name; an ID; ak-abc...xyz; the twelve letters that logs show; "
        "or a person's e-mail address."
    )
    ordering = ("-pk",)
    actions = ("revoke", "export_csv", "export_ndjson")
    inlines = (SecretInline,)
    shown = (
        "name",
        "description",
        "wire_id",
        "kind",
        "status_word",
        "redacted_key",
        "account_link",
        "owner_link",
        "creator_link",
        "roles",
        "created_at",
        "expires_at",
        "refreshed_at",
        "revoked_at",
        "exposed_at",
        "last_used",
        "last_used_from",
        "trail",
        "deeds",
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """Find keys by whatever form of them the operator has at hand, from an index in every case."""
        assert isinstance(queryset, ApiKeyQuerySet)  # noqa: S101 -- the model's own manager made it
        term = search_term.replace("\x00", "").strip()
        if not term:
            return queryset, False
        if _REDACTED.fullmatch(term):
            return queryset.filter(redacted_key=f"{term[:6]}...{term[-3:]}"), False
        if "@" in term:
            address = term.lower()
            return queryset.filter(Q(owner__email=address) | Q(created_by__email=address)), False
        try:
            return queryset.filter(pk=decode_id(term, "ApiKey")), False
        except Invalid:
            pass
        if public_id := _PUBLIC_ID.fullmatch(term):
            found = queryset.filter(secrets__public_id=public_id[1])
            if found.exists():
                return found, False
        return queryset.named_like(term), False

    def get_urls(self) -> list[URLPattern]:
        """Add the page that makes a key."""
        page = self.admin_site.admin_view(partial(issue_view, self))
        return [path("issue/", page, name="apikeys_apikey_issue"), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Offer to revoke a key that is not."""
        key = kwargs.get("obj")
        context["may_revoke"] = isinstance(key, ApiKey) and key.revoked_at is None and self.operates(request)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.action(description="Revoke selected keys…", permissions=["operate"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponseBase | None:
        """Ask by name, then revoke each key through the verb."""
        keys = list(queryset.select_related("account", "owner", "use")[: _REVOKED_AT_ONCE + 1])
        if len(keys) > _REVOKED_AT_ONCE:
            self.message_user(
                request, f"Select at most {_REVOKED_AT_ONCE} keys, so that you see which.", messages.ERROR
            )
            return None
        if "confirmed" not in request.POST:
            return self._ask(request, keys)
        at, ended = timezone.now(), 0
        for key in keys:
            try:
                revoke_key(Actor.from_admin(request, key.account), key, at=at)
                ended += key.revoked_at is None
            except DomainError as refusal:
                self.message_user(request, f"{key.name}: {refusal.detail}", messages.ERROR)
        one = ended == 1
        self.message_user(
            request,
            f"{ended} key{'' if one else 's'} revoked; {'it is' if one else 'they are'} refused from now on.",
            messages.SUCCESS,
        )
        return None

    @admin.action(description="Export selected keys as CSV", permissions=["operate"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponseBase | None:
        """Send a CSV file."""
        return self._export(request, queryset, Format.CSV)

    @admin.action(description="Export selected keys as NDJSON", permissions=["operate"])
    def export_ndjson(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponseBase | None:
        """Send an NDJSON file."""
        return self._export(request, queryset, Format.NDJSON)

    @admin.display(description="status")
    def status_word(self, key: ApiKey) -> str:
        """The status as pages show it."""
        word = str(key.status(at=timezone.now()).label)
        return f"{word}, exposed" if key.exposed_at and key.revoked_at is None else word

    @admin.display(description="owner")
    def owner_link(self, key: ApiKey) -> SafeString | str:
        """Link to the person, or to the bot of a service key."""
        return linked(key.owner)

    @admin.display(description="created by")
    def creator_link(self, key: ApiKey) -> SafeString | str:
        """Link to who made it, or name who did while they were there."""
        return linked(key.created_by) if key.created_by else key.created_by_name

    @admin.display(description="account")
    def account_link(self, key: ApiKey) -> SafeString | str:
        """Link to the account."""
        return linked(key.account)

    @admin.display(description="last used")
    def last_used(self, key: ApiKey) -> Any:
        """When it was last used, about."""
        use = getattr(key, "use", None)
        return use.last_used_at if use else "never"

    @admin.display(description="last used from")
    def last_used_from(self, key: ApiKey) -> str:
        """From where, and by what client as it names itself."""
        use = getattr(key, "use", None)
        said = (use.ip, use.network, use.client, use.client_family) if use else ()
        return " · ".join(filter(None, said)) or NOTHING

    @admin.display(description="ID")
    def wire_id(self, key: ApiKey) -> str:
        """The ID that clients use."""
        return key.wire_id

    @admin.display(description="may do")
    def roles(self, key: ApiKey) -> SafeString | str:
        """Link to every place a service key opens, with its role there."""
        if not key.is_service_key:
            return "what its owner may do at the moment"
        held = bindings_of([key]).get(key.pk, KeyBindings())
        lines: list[tuple[Any, Any]] = [(linked(key.account), held.account_role)]
        for organization, role in held.organizations:
            lines.append((linked(organization), role))
            lines += [
                (format_html("{} / {}", organization, linked(space)), space_role)
                for space, space_role in held.spaces
                if space.organization_id == organization.pk
            ]
        return format_html_join(mark_safe("<br>"), "{}: {}", lines)  # noqa: S308 -- a constant

    @admin.display(description="its own deeds")
    def deeds(self, key: ApiKey) -> SafeString:
        """Link to what was done with the key."""
        return listed("What was done with it", AuditEvent, key_id=key.pk)

    def _ask(self, request: HttpRequest, keys: list[ApiKey]) -> TemplateResponse:
        now = timezone.now()
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoke this key?" if len(keys) == 1 else "Revoke these keys?",
            "opts": self.opts,
            "keys": [(key, key.status(at=now).label, getattr(key, "use", None)) for key in keys],
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/apikeys/apikey/revoke.html", context)

    def _export(self, request: HttpRequest, queryset: QuerySet[ApiKey], form: Format) -> HttpResponseBase | None:
        if not is_recent(request):
            return to_confirmation(request, back=request.get_full_path())
        chosen = ApiKeyQuerySet(ApiKey).filter(pk__in=queryset.order_by().values("pk"))
        at = timezone.now()
        lines = export_keys(Actor.from_admin(request, None), chosen, form=form, at=at)
        response = StreamingHttpResponse(lines, content_type=form.content_type)
        response["Content-Disposition"] = f'attachment; filename="keys-{at:%Y%m%d-%H%M%S}.{form.value}"'
        return response


@admin.register(KeySecret)
class KeySecretAdmin(OperatorAdmin[KeySecret]):
    """Which secrets there are and with which pepper they were digested. What opens a key is not among it."""

    list_display = ("begins_with", "key_link", "pepper_id", "created_at", "superseded_at", "ends_at")
    list_filter = (ByPepper, ("superseded_at", admin.EmptyFieldListFilter))
    list_select_related = ("key",)
    search_fields = ("public_id__exact",)
    search_help_text = "The twelve letters that logs show after ak-."
    ordering = ("-pk",)
    shown = ("begins_with", "key_link", "pepper_id", "created_at", "superseded_at", "ends_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[KeySecret]:
        """Leave the digest in the database."""
        return super().get_queryset(request).select_related("key").defer("digest")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[KeySecret], bool]:
        """Take the form in which logs show it, too."""
        found = _PUBLIC_ID.fullmatch(search_term.strip())
        return super().get_search_results(request, queryset, found[1] if found else search_term)

    @admin.display(description="begins with")
    def begins_with(self, secret: KeySecret) -> str:
        """The part of the key text that logs may hold."""
        return str(secret)

    @admin.display(description="key")
    def key_link(self, secret: KeySecret) -> SafeString | str:
        """Link to the key it opens."""
        return linked(secret.key)


@admin.register(KeyUse)
class KeyUseAdmin(OperatorAdmin[KeyUse]):
    """When keys were first and last used, and from where."""

    list_display = ("key_name", "key_link", "last_used_at", "first_used_at", "uses", "ip", "network", "client_family")
    list_select_related = ("key",)
    search_fields = ("key__name",)
    search_help_text = "An address, or part of the key's name."
    ordering = ("-pk",)
    shown = ("key_link", "first_used_at", "last_used_at", "uses", "ip", "network", "client", "client_family")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[KeyUse], bool]:
        """Search by address where one was typed."""
        try:
            address = ipaddress.ip_address(search_term.strip())
        except ValueError:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(ip=str(address)), False

    @admin.display(description="use of")
    def key_name(self, use: KeyUse) -> str:
        """The key's name."""
        return use.key.name

    @admin.display(description="key")
    def key_link(self, use: KeyUse) -> SafeString | str:
        """Link to the key."""
        return linked(use.key, use.key.redacted_key)
