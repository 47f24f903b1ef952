"""Organizations: one with its spaces and its members, and creating, changing and deleting one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts import atlas, roster
from accounts.actors import Actor
from accounts.errors import DomainError, Forbidden, Invalid, NotFound
from accounts.forms import OrganizationForm, show_refusal
from accounts.models import Organization
from accounts.pages import settings_page
from accounts.paging import paginate
from accounts.permissions import may
from accounts.recent import is_recent, recent_login_required, to_confirmation
from accounts.standing import Standing, standing_of
from accounts.tenancy import change_organization, create_organization, delete_organization
from accounts.views.naming import link, organization_at, searched
from accounts.views.scopes import delete_scope, list_members
from accounts.vocabulary import Permission
from accounts.wire import encode_id

_PAGE_SIZE = 25


@require_safe
@settings_page
def show(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """List the spaces of an organization, as far as the person may see them."""
    organization, mine, query = organization_at(actor, wire_id), standing_of(actor), searched(request)
    rows = atlas.spaces(actor, organization, query)
    try:
        page = paginate(rows, cursor=request.GET.get("after"), limit=_PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(request.path)
    kept = {"q": query}
    context = _head(mine, organization, "spaces") | {
        "lines": atlas.lines(mine, page.items),
        "query": query,
        "counts_people": roster.may_read(actor),
        "may_create_space": mine.holds(Permission.SPACE_CREATE, organization),
        "older_url": link(kept, after=page.next_cursor) if page.next_cursor else "",
        "first_url": link(kept) if request.GET.get("after") else "",
    }
    return render(request, "accounts/organization.html", context)


@require_safe
@settings_page
def members(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Show who is in an organization, and in which role."""
    organization, mine = organization_at(actor, wire_id), standing_of(actor)
    head = _head(mine, organization, "members")
    return list_members(request, actor, mine, organization, head, "accounts/organization_members.html")


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask for an organization's name and description, and create it."""
    if not may(actor, Permission.ORGANIZATION_CREATE, actor.require_account()):
        raise Forbidden("Only an account admin creates organizations.")
    form = OrganizationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            organization = create_organization(actor, at=timezone.now(), **form.cleaned_data)
        except (Forbidden, NotFound):
            raise
        except DomainError as refusal:
            show_refusal(form, refusal)
        else:
            messages.success(request, f"The organization “{organization}” is ready. Next, it needs a space.")
            return HttpResponseRedirect(_url("organization", organization))
    context = {"section": "spaces", "form": form, "close_url": reverse("accounts:spaces")}
    return render(request, "accounts/organization_new.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
def settings(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Rename or describe an organization."""
    organization, mine = organization_at(actor, wire_id), standing_of(actor)
    may_change = mine.holds(Permission.ORGANIZATION_UPDATE, organization)
    if request.method == "POST" and not may_change:
        raise Forbidden(f"Only an admin of “{organization}” changes it.")
    if may_change and not is_recent(request):
        return to_confirmation(request)
    form = OrganizationForm(
        request.POST or None, initial={"name": organization.name, "description": organization.description}
    )
    if request.method == "POST" and form.is_valid():
        try:
            organization = change_organization(actor, organization, at=timezone.now(), **form.cleaned_data)
        except (Forbidden, NotFound):
            raise
        except DomainError as refusal:
            show_refusal(form, refusal)
        else:
            messages.success(request, f"The organization “{organization}” is saved.")
            return HttpResponseRedirect(_url("organization-settings", organization))
    context = _head(mine, organization, "settings") | {
        "form": form,
        "may_change": may_change,
        "may_delete": mine.holds(Permission.ORGANIZATION_DELETE, organization),
        "admins": [] if may_change or not roster.may_read(actor) else roster.admins(actor),
    }
    return render(request, "accounts/organization_settings.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def delete(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Name what stops with an organization, have its name typed, and delete it with its spaces."""
    organization = organization_at(actor, wire_id)
    if not may(actor, Permission.ORGANIZATION_DELETE, organization):
        raise Forbidden("Only an account admin deletes organizations.")
    close_url = _url("organization-settings", organization)
    return delete_scope(request, actor, organization, delete_organization, close_url=close_url)


def _head(mine: Standing, organization: Organization, tab: str) -> dict[str, Any]:
    return {
        "section": "spaces",
        "tab": tab,
        "organization": organization,
        "wire_id": encode_id("Organization", organization.pk),
        "has_settings": mine.holds(Permission.ORGANIZATION_UPDATE, organization),
    }


def _url(name: str, organization: Organization) -> str:
    return reverse(f"accounts:{name}", kwargs={"wire_id": encode_id("Organization", organization.pk)})
