"""Spaces: all of them by organization, one with who gets in, and creating, changing and deleting one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from accounts import atlas, roster
from accounts.actors import Actor
from accounts.errors import DomainError, Forbidden, Invalid, NotFound
from accounts.forms import NewSpaceForm, SpaceForm, show_refusal
from accounts.forms.places import PRIVATE, PUBLIC
from accounts.models import Space
from accounts.pages import settings_page, space_head
from accounts.paging import paginate
from accounts.permissions import may
from accounts.recent import is_recent, recent_login_required, to_confirmation
from accounts.scope import chosen_scope
from accounts.standing import Standing, standing_of
from accounts.tenancy import change_space, create_space, delete_space
from accounts.views.naming import link, organization_at, searched, space_at
from accounts.views.scopes import delete_scope, list_members
from accounts.vocabulary import Permission
from accounts.wire import encode_id

_PAGE_SIZE = 10
# How many people a page names before it counts.
_NAMED = 20


@require_safe
@settings_page
def index(request: HttpRequest, actor: Actor) -> HttpResponse:
    """List organizations with the first of their spaces, as far as the person may see them."""
    mine, query = standing_of(actor), searched(request)
    try:
        page = paginate(
            atlas.organizations(actor, query), cursor=request.GET.get("after"), limit=_PAGE_SIZE, newest_first=False
        )
    except Invalid:
        return HttpResponseRedirect(request.path)
    kept = {"q": query}
    runs = any(role.allows(Permission.SPACE_CREATE) for role in mine.organizations.values())
    context = {
        "section": "spaces",
        "sections": atlas.sections(actor, mine, page.items, query),
        "query": query,
        "listed": atlas.LISTED,
        "may_create_organization": mine.holds(Permission.ORGANIZATION_CREATE, actor.require_account()),
        "may_create_space": bool(page.items) and (mine.is_account_admin or runs),
        "counts_people": roster.may_read(actor),
        "admins": [] if mine.is_account_admin or mine.organizations else roster.admins(actor),
        "older_url": link(kept, after=page.next_cursor) if page.next_cursor else "",
        "first_url": link(kept) if request.GET.get("after") else "",
    }
    return render(request, "accounts/spaces.html", context)


@require_safe
@settings_page
def show(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Show who gets into a space, and how each comes to."""
    space = space_at(actor, wire_id)
    mine = standing_of(actor)
    return list_members(request, actor, mine, space, space_head(mine, space, "members"), "accounts/space.html")


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask for a space's name, description and visibility, and create it."""
    mine = standing_of(actor)
    organizations = atlas.creatable_in(actor, mine)
    if not organizations:
        raise Forbidden("Spaces are created by members and admins of an organization. You are neither in any.")
    chosen = chosen_scope(request, actor).organization
    initial = {
        "organization": request.GET.get("organization") or (encode_id("Organization", chosen.pk) if chosen else ""),
        "visibility": PUBLIC,
    }
    form = NewSpaceForm(request.POST or None, initial=initial, organizations=organizations)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            space = create_space(
                actor,
                organization=said["organization"],
                name=said["name"],
                description=said["description"],
                is_private=form.is_private,
                at=timezone.now(),
            )
        except (Forbidden, NotFound):
            raise
        except DomainError as refusal:
            show_refusal(form, refusal)
        else:
            messages.success(request, f"The space “{space}” is ready. Next, give people a role in it.")
            return HttpResponseRedirect(_url("space", space))
    inside = organization_at(actor, request.GET["organization"]) if "organization" in request.GET else None
    context = {
        "section": "spaces",
        "form": form,
        "close_url": _organization_url(inside.pk) if inside else reverse("accounts:spaces"),
        "becomes_admin": not mine.is_account_admin,
    }
    return render(request, "accounts/space_new.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
def settings(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Rename or describe a space, or change who gets in: then the page first says who comes or goes with that."""
    space, mine = space_at(actor, wire_id), standing_of(actor)
    may_change = mine.holds(Permission.SPACE_UPDATE, space)
    if request.method == "POST" and not may_change:
        raise Forbidden(f"Only an admin of “{space}” changes it.")
    if may_change and not is_recent(request):
        return to_confirmation(request)
    form = SpaceForm(
        request.POST or None,
        initial={
            "name": space.name,
            "description": space.description,
            "visibility": PRIVATE if space.is_private else PUBLIC,
        },
    )
    if request.method == "POST" and form.is_valid():
        if form.is_private != space.is_private and "confirmed" not in request.POST:
            return _ask_visibility(request, actor, mine, space, form)
        try:
            space = change_space(
                actor,
                space,
                name=form.cleaned_data["name"],
                description=form.cleaned_data["description"],
                is_private=form.is_private,
                at=timezone.now(),
            )
        except (Forbidden, NotFound):
            raise
        except DomainError as refusal:
            show_refusal(form, refusal)
        else:
            messages.success(request, f"The space “{space}” is saved.")
            return HttpResponseRedirect(_url("space-settings", space))
    context = space_head(mine, space, "settings") | {
        "form": form,
        "may_change": may_change,
        "may_delete": mine.holds(Permission.SPACE_DELETE, space),
        "admins": [] if may_change or not roster.may_read(actor) else roster.admins(actor),
    }
    return render(request, "accounts/space_settings.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def delete(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Name what stops with a space, have its name typed, and delete it."""
    space = space_at(actor, wire_id)
    if not may(actor, Permission.SPACE_DELETE, space):
        raise Forbidden(f"Only an admin of “{space}” deletes it.")
    return delete_scope(request, actor, space, delete_space, close_url=_url("space-settings", space))


def _ask_visibility(request: HttpRequest, actor: Actor, mine: Standing, space: Space, form: SpaceForm) -> HttpResponse:
    """Say who loses or gains the space before that is done."""
    moving = roster.only_while_public(actor, space)
    people = moving.filter(user__kind="PERSON").order_by("user__name", "pk")
    reads = roster.may_read(actor)
    context = {
        "section": "spaces",
        "space": space,
        "form": form,
        "is_private": form.is_private,
        "people": [row.user for row in people[:_NAMED]] if reads else [],
        "people_count": people.count(),
        "bots_count": moving.filter(user__kind="BOT").count(),
        "is_you": actor.user is not None and moving.filter(user=actor.user).exists(),
        "close_url": _url("space-settings", space),
    }
    return render(request, "accounts/space_visibility.html", context)


def _url(name: str, space: Space) -> str:
    return reverse(f"accounts:{name}", kwargs={"wire_id": encode_id("Space", space.pk)})


def _organization_url(number: int) -> str:
    return reverse("accounts:organization", kwargs={"wire_id": encode_id("Organization", number)})
