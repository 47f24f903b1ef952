"""Django admin for whoever runs the installation: all accounts, changed through the same verbs as everywhere."""

from __future__ import annotations

from axes.admin import AccessAttemptAdmin as AxesAttemptAdmin
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.contrib.auth import admin as _auth_admin
from django.contrib.auth.models import Group
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache

from accounts.admin import audit, bindings, people, tenancy
from accounts.admin.base import OperatorAdmin, full_name, refuse_nul

__all__ = ["audit", "bindings", "people", "tenancy"]

admin.site.site_header = admin.site.site_title = "arizekeys operator"
admin.site.index_title = "The installation"
admin.site.enable_nav_sidebar = False  # the lists are wide, and the front page is one click away

# Nobody is ever in a group: roles are bindings. What axes logs besides locked doors is in the audit log.
for model in (Group, AccessLog, AccessFailureLog):
    admin.site.unregister(model)
admin.site.unregister(AccessAttempt)
_ = _auth_admin, AxesAttemptAdmin  # imported so that they have registered before they are taken out


@admin.register(AccessAttempt)
class AccessAttemptAdmin(OperatorAdmin[AccessAttempt]):
    """Wrong passwords of the last while. Deleting a line opens a door that too many of them closed."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time", "path_info")
    search_fields = ("username", "ip_address")
    search_help_text = "Part of the name that was typed, or of the address it came from."
    ordering = ("-attempt_time",)
    # Not the form data: a password may have been typed into the wrong field.
    shown = ("username", "ip_address", "user_agent", "path_info", "failures_since_start", "attempt_time")

    def has_delete_permission(self, request: HttpRequest, obj: AccessAttempt | None = None) -> bool:
        """Let superusers open a closed door before its time."""
        return self.operates(request)


class _Offers(AutocompleteJsonView):
    """What a field offers while one types; the name alone would not do where several accounts have a "production"."""

    def serialize_result(self, obj: Model, to_field_name: str) -> dict[str, str]:
        """Name one choice in full."""
        return {**super().serialize_result(obj, to_field_name), "text": full_name(obj)}


def _autocomplete(request: HttpRequest) -> HttpResponseBase:
    refuse_nul(request)
    return _Offers.as_view(admin_site=admin.site)(request)


@never_cache
def _sign_in(request: HttpRequest, extra_context: object = None) -> HttpResponseBase:
    """Send everybody through the product's own sign-in page: one place for lock-out, audit and second thoughts."""
    after = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(after, {request.get_host()}, require_https=request.is_secure()):
        after = reverse("admin:index")
    if admin.site.has_permission(request):
        return HttpResponseRedirect(after)
    if request.user.is_authenticated:
        raise PermissionDenied("Only the operators of this installation get in here.")
    return redirect_to_login(after, resolve_url(settings.LOGIN_URL))


def _own_password(request: HttpRequest, extra_context: object = None) -> HttpResponseBase:
    """Send operators to the product's own page, which counts wrong guesses, records the change and tells them of it."""
    return HttpResponseRedirect(reverse("accounts:password"))


# Assigned, since replacing the site would mean a subclass of Django's app configuration for these few methods.
admin.site.autocomplete_view = _autocomplete  # type: ignore[method-assign,assignment]
admin.site.login = _sign_in  # type: ignore[method-assign,assignment]
admin.site.password_change = _own_password  # type: ignore[method-assign,assignment]
admin.site.password_change_done = _own_password  # type: ignore[method-assign,assignment]
