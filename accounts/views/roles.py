"""Roles: the predefined ones side by side, the account's own, and what one permits, who holds it, and its end."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts import roster
from accounts.actors import Actor
from accounts.categories import (
    CATEGORIES,
    WITHOUT_EFFECT_IN_SPACES,
    Category,
    Resource,
    difference,
    parts_of,
    resource_name_of,
)
from accounts.custom_roles import delete_role, find_role, roles_of, uses
from accounts.errors import DomainError, Forbidden, Invalid, NotFound
from accounts.models import Role
from accounts.pages import settings_page
from accounts.paging import paginate
from accounts.permissions import may
from accounts.recent import recent_login_required
from accounts.roles import Level
from accounts.views.naming import link, number_of, searched
from accounts.vocabulary import Permission
from accounts.wire import encode_id

_PAGE_SIZE = 25
# How many of those who hold a role its page names before it turns over, and a refused deletion before it counts.
_HOLDERS = 20
_LEVELS = {
    Level.SPACE: ("Spaces", "In one space. A role of one's own there counts instead of the organization's."),
    Level.ORGANIZATION: ("Organizations", "In an organization, and from there in its public spaces."),
    Level.ACCOUNT: ("Account", "In the account. Below it, only Admin opens anything by itself."),
}


@require_safe
@settings_page
def own(request: HttpRequest, actor: Actor) -> HttpResponse:
    """List the account's own roles, and how often each is held."""
    if not _may(actor, Permission.ROLE_READ):
        return _closed(request)
    query = searched(request)
    rows = roles_of(actor).filter(account=actor.require_account())
    if query:
        rows = rows.filter(name__icontains=query)
    try:
        page = paginate(roster.with_holders(rows), cursor=request.GET.get("after"), limit=_PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(request.path)
    kept = {"q": query}
    context = {
        "section": "roles",
        "tab": "own",
        "rows": [
            {"role": role, "wire_id": encode_id("Role", role.pk), "areas": _areas(role), "count": len(role.permissions)}
            for role in page.items
        ],
        "query": query,
        "may_create": _may(actor, Permission.ROLE_CREATE),
        "total": len(Permission),
        "admins": [] if _may(actor, Permission.ROLE_CREATE) else roster.admins(actor),
        "older_url": link(kept, after=page.next_cursor) if page.next_cursor else "",
        "first_url": link(kept) if request.GET.get("after") else "",
    }
    return render(request, "accounts/roles.html", context)


@require_safe
@settings_page
def predefined(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Show the predefined roles of one level side by side."""
    if not _may(actor, Permission.ROLE_READ):
        return _closed(request)
    asked = request.GET.get("level", "").upper()
    level = next((one for one in Level if one.value == asked), Level.SPACE)
    roles = list(roles_of(actor).filter(account__isnull=True, level=level).order_by("-rank"))
    context = {
        "section": "roles",
        "tab": "predefined",
        "levels": [
            {"label": label, "url": f"?level={one.value.lower()}", "current": one == level}
            for one, (label, _) in _LEVELS.items()
        ],
        "says": _LEVELS[level][1],
        "roles": [
            {"role": role, "wire_id": encode_id("Role", role.pk), "count": len(role.permissions)} for role in roles
        ],
        "categories": [
            {
                "category": category,
                "rows": [
                    {"resource": resource, "cells": [_cell(resource, role) for role in roles]}
                    for resource in category.resources
                ],
            }
            for category in CATEGORIES
        ],
    }
    return render(request, "accounts/roles_predefined.html", context)


@require_safe
@settings_page
def show(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Show what a role permits, what sets it apart from a predefined one, and who holds it where."""
    role = _find(actor, wire_id)
    in_spaces = role.level == Level.SPACE
    bases = [one for one in _predefined_in_spaces(actor) if one != role] if in_spaces else []
    against = _chosen_base(bases, request.GET.get("against", ""), role.permissions)
    try:
        held = paginate(roster.holders(actor, role), cursor=request.GET.get("after"), limit=_HOLDERS)
    except Invalid:
        return HttpResponseRedirect(request.path)
    kept = {"against": request.GET.get("against", "")}
    context = {
        "section": "roles",
        "role": role,
        "wire_id": wire_id,
        "level": _LEVELS[Level(role.level)][0],
        "count": len(role.permissions),
        "total": len(Permission),
        "categories": [_told(category, role) for category in CATEGORIES],
        "bases": [{"role": one, "current": one == against} for one in bases],
        "against": against,
        "difference": difference(role.permissions, against.permissions) if against else None,
        "holders": held.items if in_spaces else [],
        "in_projects": list(roster.project_holders(actor, role)[:_HOLDERS]) if in_spaces else [],
        "uses": uses(role) if in_spaces else 0,
        "in_spaces": in_spaces,
        "may_create": _may(actor, Permission.ROLE_CREATE),
        "may_change": not role.is_predefined and _may(actor, Permission.ROLE_UPDATE),
        "may_delete": not role.is_predefined and _may(actor, Permission.ROLE_DELETE),
        "older_url": link(kept, after=held.next_cursor) if held.next_cursor else "",
        "first_url": link(kept) if request.GET.get("after") else "",
    }
    return render(request, "accounts/role.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def delete(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Ask by name, or say who still holds the role; then delete it."""
    role = _find(actor, wire_id)
    if role.is_predefined or not _may(actor, Permission.ROLE_DELETE):
        raise Forbidden("Predefined roles stay, and only an account admin deletes the others.")
    error = ""
    if request.method == "POST":
        try:
            delete_role(actor, role, at=timezone.now())
        except (Forbidden, NotFound):
            raise
        except DomainError as refusal:
            error = refusal.detail
        else:
            messages.success(request, f"The role “{role}” is deleted.")
            return HttpResponseRedirect(reverse("accounts:roles"))
    context = {
        "section": "roles",
        "role": role,
        "uses": uses(role),
        "holders": [
            *roster.holders(actor, role).order_by("-pk")[:_HOLDERS],
            *roster.project_holders(actor, role)[:_HOLDERS],
        ],
        "error": error,
        "close_url": _url("role", wire_id),
    }
    return render(request, "accounts/role_delete.html", context, status=409 if error else 200)


def _told(category: Category, role: Role) -> dict[str, Any]:
    parts = parts_of(role.permissions, category.resources)
    there = {part.resource.name for part in parts}
    return {
        "category": category,
        "parts": parts,
        "without": [resource.label for resource in category.resources if resource.name not in there],
        "idle": role.level == Level.SPACE and WITHOUT_EFFECT_IN_SPACES.issuperset(category.permissions),
    }


def _cell(resource: Resource, role: Role) -> dict[str, Any]:
    (part,) = parts_of(role.permissions, [resource]) or (None,)
    return {"role": role, "part": part}


def _areas(role: Role) -> list[str]:
    """Return the parts of the product a role reaches."""
    names = {resource_name_of(permission) for permission in role.permissions}
    return [category.label for category in CATEGORIES if any(resource.name in names for resource in category.resources)]


def _predefined_in_spaces(actor: Actor) -> list[Role]:
    return list(roles_of(actor).filter(account__isnull=True, level=Level.SPACE).order_by("-rank"))


def _chosen_base(bases: list[Role], name: str, permissions: list[str]) -> Role | None:
    """Return the role asked for, or else the one that is most like it."""
    mine = set(permissions)
    asked = next((one for one in bases if one.name == name), None)
    return asked or min(bases, key=lambda one: len(mine.symmetric_difference(one.permissions)), default=None)


def _closed(request: HttpRequest) -> HttpResponse:
    context = {
        "section": "roles",
        "heading": "Roles",
        "title": "Your role does not show roles",
        "text": "Annotators work on what they are given, and do not see what others may do. "
        "If you need to, ask an account admin for another account role.",
    }
    return render(request, "accounts/closed.html", context, status=403)


def _find(actor: Actor, wire_id: str) -> Role:
    return find_role(actor, number_of(wire_id, "Role"))


def _may(actor: Actor, permission: Permission) -> bool:
    return may(actor, permission, actor.require_account())


def _url(name: str, wire_id: str) -> str:
    return reverse(f"accounts:{name}", kwargs={"wire_id": wire_id})
