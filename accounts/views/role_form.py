"""Putting a role together from permissions, from nothing or from a copy, and changing one.

Everything works by buttons of the form: it comes back looked over, with what was typed and ticked. Scripts press them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.actors import Actor
from accounts.categories import CATEGORIES, WITHOUT_EFFECT_IN_SPACES, Category, Resource, action_of, difference
from accounts.custom_roles import change_role, create_role, find_role, roles_of, uses, wire_name_of
from accounts.errors import DomainError, Forbidden, NotFound
from accounts.forms import RoleForm, show_refusal
from accounts.models import Role
from accounts.pages import settings_page
from accounts.permissions import may
from accounts.recent import recent_login_required
from accounts.roles import Level, RoleName
from accounts.views.naming import MAX_SEARCH, number_of
from accounts.vocabulary import Permission
from accounts.wire import encode_id

_BEFORE = "before"  # compares a role with itself as it was


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Put a role together, from nothing or from a copy, and create it."""
    if not may(actor, Permission.ROLE_CREATE, actor.require_account()):
        raise Forbidden("Only an account admin creates roles.")
    return _edited(_RolePage.of(request, actor, None))


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def edit(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Change a role of the account's own."""
    role = find_role(actor, number_of(wire_id, "Role"))
    if role.is_predefined or not may(actor, Permission.ROLE_UPDATE, actor.require_account()):
        raise Forbidden("Predefined roles stay as they are, and only an account admin changes the others.")
    return _edited(_RolePage.of(request, actor, role))


@dataclass
class _RolePage:
    """The form of a role in one of its states: opened, looked over without saving, or sent to save."""

    request: HttpRequest
    actor: Actor
    role: Role | None
    form: RoleForm
    chosen: frozenset[str]
    query: str
    sources: list[Role]

    @classmethod
    def of(cls, request: HttpRequest, actor: Actor, role: Role | None) -> _RolePage:
        sent = request.POST if request.method == "POST" else None
        sources = [one for one in _sources(actor) if one != role]
        query = sent.get("q", "").replace("\x00", "").strip()[:MAX_SEARCH] if sent else ""
        if sent is not None:
            chosen = frozenset(sent.getlist("permissions")) & frozenset(Permission)
            step = sent.get("step", "")
            source = _named(sources, sent.get("source", "")) if step == "copy" else None
            chosen = _after(step, chosen, query, source)
        elif role is not None:
            chosen = frozenset(role.permissions)
        else:
            source = _named(sources, request.GET.get("from", ""))
            chosen = frozenset(source.permissions) if source else frozenset()
        saves = sent is not None and sent.get("step") == "save"
        initial = {"name": role.name, "description": role.description} if role else {}
        # A form that is only looked over comes back with what was typed and without complaints about the rest.
        form = RoleForm(sent if saves else None, initial=initial | (sent.dict() if sent else {}))
        return cls(request, actor, role, form, chosen, query, sources)

    @property
    def saves(self) -> bool:
        """Whether the form was sent to be saved."""
        return self.form.is_bound

    def show(self, *, status: int = 200) -> HttpResponse:
        """Render the form as it is filled in."""
        bases = [role for role in self.sources if role.is_predefined]
        compared = self._compared(bases)
        against = self.role.permissions if self.role and compared is None else compared.permissions if compared else []
        sent = self.request.POST if self.request.method == "POST" else self.request.GET
        context = {
            "section": "roles",
            "role": self.role,
            "uses": uses(self.role) if self.role else 0,
            "form": self.form,
            "query": self.query,
            "count": len(self.chosen),
            "total": len(Permission),
            "categories": [_boxes(category, self.chosen, self.query) for category in CATEGORIES],
            "sources": [
                {"role": one, "value": encode_id("Role", one.pk), "label": _source_label(one)} for one in self.sources
            ],
            "source": sent.get("source") or sent.get("from", ""),
            "bases": [{"role": one, "current": one == compared} for one in bases],
            "before": self.role is not None,
            "against": compared,
            "difference": difference(self.chosen, against) if self.chosen else None,
            "close_url": self.close_url,
        }
        return render(self.request, "accounts/role_edit.html", context, status=status)

    @property
    def close_url(self) -> str:
        """Where one is afterwards, or instead."""
        return _page_of(self.role) if self.role else reverse("accounts:roles")

    def save(self) -> Role:
        """Call the verb."""
        said = self.form.cleaned_data
        values = {name: said[name] for name in ("name", "description", "permissions")}
        if self.role is None:
            return create_role(self.actor, at=timezone.now(), **values)
        return change_role(self.actor, self.role, at=timezone.now(), **values)

    def _compared(self, bases: list[Role]) -> Role | None:
        """Return the role to compare with; none for the role as it was."""
        asked = self.request.POST.get("against", "")
        if self.role is not None and asked in ("", _BEFORE):
            return None
        copied = _named(self.sources, self.request.POST.get("source", "") or self.request.GET.get("from", ""))
        if self.request.POST.get("step") == "copy" or not asked:
            asked = copied.name if copied and copied.is_predefined else asked or RoleName.MEMBER
        return next((one for one in bases if one.name == asked), bases[0] if bases else None)


def _edited(page: _RolePage) -> HttpResponse:
    if not page.saves:
        return page.show()
    if not page.form.is_valid():
        return page.show(status=422)
    try:
        role = page.save()
    except (Forbidden, NotFound):
        raise
    except DomainError as refusal:
        show_refusal(page.form, refusal)
        return page.show(status=422)
    done = "It counts from the very next request." if page.role else "It can be given to people in every space."
    messages.success(page.request, f"The role “{role}” is saved. {done}")
    return HttpResponseRedirect(_page_of(role))


def _after(step: str, chosen: frozenset[str], query: str, source: Role | None) -> frozenset[str]:
    """Return what is chosen after a button of the form was pressed."""
    if step == "copy":
        return frozenset(source.permissions) if source else frozenset()
    verb, _, key = step.partition("-")
    category = next((one for one in CATEGORIES if one.key == key), None)
    if category is None or verb not in ("all", "none"):
        return chosen
    meant = {
        permission.value
        for resource in category.resources
        if _matches(category, resource, query)
        for permission in resource.permissions
    }
    return chosen | meant if verb == "all" else chosen - meant


def _matches(category: Category, resource: Resource, query: str) -> bool:
    words = query.casefold().replace("_", " ").split()
    text = _words(category, resource)
    return all(word in text for word in words)


def _words(category: Category, resource: Resource) -> str:
    """Return everything a resource is found by, for the search here and for the one in the browser."""
    actions = " ".join(action_of(permission) for permission in resource.permissions)
    return f"{category.label} {resource.label} {resource.name.replace('_', ' ')} {actions}".casefold()


def _boxes(category: Category, chosen: frozenset[str], query: str) -> dict[str, Any]:
    rows = [
        {
            "resource": resource,
            "words": _words(category, resource),
            "hidden": not _matches(category, resource, query),
            "boxes": [
                {
                    "value": permission.value,
                    "action": action_of(permission),
                    "checked": permission in chosen,
                    "idle": permission in WITHOUT_EFFECT_IN_SPACES,
                }
                for permission in resource.permissions
            ],
        }
        for resource in category.resources
    ]
    return {
        "category": category,
        "rows": rows,
        "hidden": all(row["hidden"] for row in rows),
        "count": sum(permission in chosen for permission in category.permissions),
        "total": len(category.permissions),
        "idle": WITHOUT_EFFECT_IN_SPACES.issuperset(category.permissions),
    }


def _sources(actor: Actor) -> list[Role]:
    """Return what a role can be copied from: the roles of spaces, highest first, then the account's own."""
    rows: QuerySet[Role] = roles_of(actor).filter(level=Level.SPACE)
    return sorted(rows, key=lambda role: (-(role.rank or 0), role.name))


def _source_label(role: Role) -> str:
    return wire_name_of(role) if role.is_predefined else role.name


def _named(roles: list[Role], value: str) -> Role | None:
    return next((role for role in roles if value and encode_id("Role", role.pk) == value), None)


def _page_of(role: Role) -> str:
    return reverse("accounts:role", kwargs={"wire_id": encode_id("Role", role.pk)})
