"""One person or bot: every role and where it comes from, and everything that can be done about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import mail, roster
from accounts.actors import Actor
from accounts.bindings import (
    bind_role,
    delete_binding,
    level_of,
    may_manage_members,
    set_developer_access,
    unbind_role,
)
from accounts.errors import DomainError, Forbidden, NotFound
from accounts.models import Account, Organization, Role, Space, SpaceBinding
from accounts.pages import settings_page
from accounts.people import consequences_of_removal, offer_password_reset, remove_person
from accounts.permissions import may
from accounts.recent import is_recent, recent_login_required, to_confirmation
from accounts.roles import Level
from accounts.roster import Member, Scope, value_of
from accounts.standing import Standing, standing_of
from accounts.views.naming import number_of, organization_at, place_at, role_named, space_at
from accounts.views.sign_in import safe_next
from accounts.vocabulary import Permission
from accounts.wire import encode_id

_SCOPES: dict[str, type[Scope]] = {"account": Account, "organization": Organization, "space": Space}


@require_safe
@settings_page
def show(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Show a member's roles."""
    return _page(request, actor, wire_id)


@require_POST
@settings_page
def role(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Give a role at one scope, in place of one held there before. Whoever lowers their own is asked first."""
    mine = standing_of(actor)
    member = _person(roster.find(actor, mine, number_of(wire_id)))
    scope = _scope(actor, request.POST)
    chosen = role_named(actor, level_of(scope), request.POST.get("role", ""))
    if not is_recent(request):
        return to_confirmation(request, back=_url(wire_id))
    before = next((one for one in _own(member, scope) if one.is_predefined), None)
    lowers = before is not None and before.rank is not None and chosen.rank is not None and chosen.rank < before.rank
    if lowers and member.user == actor.user and "confirmed" not in request.POST:
        context = _dialog(wire_id) | {
            "member": member,
            "scope": scope,
            "scope_kind": _kind(scope),
            "scope_id": encode_id(type(scope).__name__, scope.pk),
            "before": before,
            "chosen": chosen,
        }
        return render(request, "accounts/demote_self.html", context)
    return _do(
        request,
        actor,
        wire_id,
        lambda: bind_role(actor, user=member.user, role=chosen, scope=scope, at=timezone.now()),
        f"{member.user.name} is now {chosen.label} in “{scope}”.",
    )


@require_POST
@settings_page
def withdraw(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Take one role of the account's own away from the member, in one space; the others stay."""
    member = roster.find(actor, standing_of(actor), number_of(wire_id))
    space = space_at(actor, request.POST.get("scope", ""))
    rows = SpaceBinding.objects.filter(user=member.user, content_object=space).select_related("permission__role")
    held = next((row for row in rows if value_of(row.role) == request.POST.get("role")), None)
    if held is None:
        raise NotFound(f"{member.user.name} does not hold that role there.")
    if not is_recent(request):
        return to_confirmation(request, back=_url(wire_id))
    return _do(
        request,
        actor,
        wire_id,
        lambda: delete_binding(actor, held, at=timezone.now()),
        f"{member.user.name} no longer holds {held.role.label} in “{space}”.",
    )


@require_POST
@settings_page
def developer(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Switch the member's developer access."""
    member = _person(roster.find(actor, standing_of(actor), number_of(wire_id)))
    if not is_recent(request):
        return to_confirmation(request, back=_url(wire_id))
    allowed = request.POST.get("allowed") == "yes"
    return _do(
        request,
        actor,
        wire_id,
        lambda: set_developer_access(actor, user=member.user, allowed=allowed, at=timezone.now()),
        f"{member.user.name} {'may make and refresh keys' if allowed else 'no longer makes or refreshes keys'}.",
    )


@require_POST
@settings_page
def reset(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Mail the member a link to a new password."""
    member = roster.find(actor, standing_of(actor), number_of(wire_id))
    if not may(actor, Permission.USER_UPDATE, actor.require_account()):
        raise Forbidden("Only an account admin has a link to a new password sent.")
    if not is_recent(request):
        return to_confirmation(request, back=_url(wire_id))
    if not mail.may_reset(member.user):
        messages.error(request, f"{member.user.name} has no password that could be reset.")
    else:
        person = offer_password_reset(actor, user=member.user, at=timezone.now())
        delivery = mail.send_reset(person, base_url=request.build_absolute_uri("/"))
        said = f"A link to a new password is for {member.user.email} alone. {delivery.value}"
        (messages.error if delivery in (mail.Delivery.OFF, mail.Delivery.FAILED) else messages.success)(request, said)
    return HttpResponseRedirect(_url(wire_id))


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def remove(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Ask by name, saying which keys stop and which go on; then remove the person from the account."""
    member, account, at = (
        roster.find(actor, standing_of(actor), number_of(wire_id)),
        actor.require_account(),
        timezone.now(),
    )
    if not may(actor, Permission.USER_DELETE, account):
        raise Forbidden("Only an account admin removes people from the account.")
    consequences = consequences_of_removal(member.user, account, at=at)
    context = _dialog(wire_id) | {"member": member, "account": account, "consequences": consequences}
    if request.method == "POST":
        try:
            remove_person(actor, user=member.user, at=at)
        except DomainError as refusal:
            return render(request, "accounts/remove.html", context | {"error": refusal.detail})
        mail.send_removal(actor, member.user, stopped=consequences.stops)
        messages.success(request, f"{member.user.name} is no longer in “{account}”.")
        return HttpResponseRedirect(reverse("accounts:members"))
    return render(request, "accounts/remove.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def leave(request: HttpRequest, actor: Actor, wire_id: str, scope_id: str) -> HttpResponse:
    """Ask by name, then take the member's roles in an organization (and its spaces) or in a space away."""
    mine = standing_of(actor)
    member = roster.find(actor, mine, number_of(wire_id))
    scope = place_at(actor, scope_id)
    if not _own(member, scope):
        raise NotFound(f"{member.user.name} has no role of their own there.")
    after = safe_next(request, default=_url(wire_id))
    if request.method == "POST":
        return _do(
            request,
            actor,
            wire_id,
            lambda: unbind_role(actor, user=member.user, scope=scope, at=timezone.now()),
            f"{member.user.name} has no role of their own in “{scope}” any more.",
            after=after,
        )
    if not may_manage_members(actor, scope):
        raise Forbidden(f"Only an admin of “{scope}” changes its members.")
    context = _dialog(wire_id) | {
        "close_url": after,
        "member": member,
        "scope": scope,
        "is_organization": isinstance(scope, Organization),
        "is_you": member.user == actor.user,
        "spaces": _taken_along(actor, mine, member, scope),
        "left": _left(member, scope),
    }
    return render(request, "accounts/leave.html", context)


def _page(request: HttpRequest, actor: Actor, wire_id: str, *, error: str = "", status: int = 200) -> HttpResponse:
    mine, account, at = standing_of(actor), actor.require_account(), timezone.now()
    member = roster.find(actor, mine, number_of(wire_id))
    roles, is_you = roster.roles_by_level(actor.require_account()), member.user == actor.user
    found = roster.places(actor, mine, member)
    reads = roster.may_read(actor)
    has_custom = any(not role.is_predefined for role in roles[Level.SPACE])
    rows = [
        {
            "place": place,
            "choices": _choices(roles, place.scope, mine, member, place.predefined, place.may_manage),
            "custom": [
                {"role": role, "value": value_of(role), "withdrawable": _withdrawable(mine, role, place.scope)}
                for role in place.custom
            ],
            "may_add_custom": has_custom and not member.user.is_bot and _gains_by_custom(place),
        }
        for place in found
    ]
    organizations = [] if member.user.is_bot else roster.addable_organizations(actor, mine, member)
    spaces = [] if member.user.is_bot else roster.addable_spaces(actor, mine, member)
    may_manage = mine.is_account_admin or bool(organizations or spaces) or any(place.may_manage for place in found)
    context: dict[str, Any] = {
        "section": "members",
        "member": member,
        "account": account,
        "account_id": encode_id("Account", account.pk),
        "is_you": is_you,
        "is_admin": mine.is_account_admin,
        "expired": member.is_expired(at),
        "may_invite": may(actor, Permission.USER_CREATE, account),
        "can_reset": mine.is_account_admin and mail.may_reset(member.user) and not is_you,
        "account_choices": _choices(roles, account, mine, member, member.role, mine.is_account_admin),
        "rows": rows,
        "is_cut": len(found) >= roster.MAX_PLACES,
        "add_organizations": [(encode_id("Organization", row.pk), row) for row in organizations],
        "add_organization_roles": roster.choices(
            roles[Level.ORGANIZATION], organizations[0], mine, member=member, current=None
        )
        if organizations
        else [],
        "add_spaces": [(encode_id("Space", row.pk), row) for row in spaces],
        "add_space_roles": roster.choices(roles[Level.SPACE], spaces[0], mine, member=member, current=None)
        if spaces
        else [],
        "may_manage": may_manage,
        "reads": reads,
        "admins": [] if may_manage or not reads else roster.admins(actor),
        "error": error,
    }
    return render(request, "accounts/member.html", context, status=status)


def _choices(
    roles: dict[Level, list[Role]],
    scope: Scope,
    mine: Standing,
    member: Member,
    current: Role | None,
    may_manage: bool,
) -> list[roster.RoleChoice]:
    # A bot's roles were chosen with its key. Here they can be taken away, not changed.
    if not may_manage or member.user.is_bot or current is None:
        return []
    offered = [role for role in roles[level_of(scope)] if role.is_predefined]
    return roster.choices(offered, scope, mine, member=member, current=current)


def _gains_by_custom(place: roster.Place) -> bool:
    """Whether a custom role could be added: there is none yet, and something is left that it could add to."""
    return place.gives.custom and not place.custom and not any(line.role.is_admin for line in place.access)


def _withdrawable(mine: Standing, role: Role, scope: Scope) -> bool:
    return mine.holds(Permission.ROLE_BINDING_DELETE, scope) and mine.covers(role, scope)


def _do(
    request: HttpRequest, actor: Actor, wire_id: str, verb: Callable[[], object], said: str, *, after: str = ""
) -> HttpResponse:
    try:
        verb()
    except (Forbidden, NotFound):
        raise
    except DomainError as refusal:
        return _page(request, actor, wire_id, error=refusal.detail, status=422)
    messages.success(request, said)
    return HttpResponseRedirect(after or _url(wire_id))


def _scope(actor: Actor, sent: Any) -> Scope:
    """Find the scope a form names: the account acted in, or one below it that the actor may see."""
    kind, wire_id = str(sent.get("level", "")), str(sent.get("scope", ""))
    if kind == "account":
        return actor.require_account()
    return organization_at(actor, wire_id) if kind == "organization" else space_at(actor, wire_id)


def _own(member: Member, scope: Scope) -> tuple[Role, ...]:
    if isinstance(scope, Account):
        return (member.role,)
    if isinstance(scope, Space):
        return member.standing.spaces.get(scope.pk, ())
    of_organization = member.standing.organizations.get(scope.pk)
    return (of_organization,) if of_organization else ()


def _taken_along(actor: Actor, mine: Standing, member: Member, scope: Organization | Space) -> list[Space]:
    """Return the spaces whose roles go with the organization's."""
    if isinstance(scope, Space):
        return []
    spaces = [place.scope for place in roster.places(actor, mine, member) if place.own]
    return [one for one in spaces if isinstance(one, Space) and one.organization_id == scope.pk]


def _left(member: Member, scope: Organization | Space) -> tuple[roster.Access, ...]:
    """Return what still gives the member access once the roles of their own are gone."""
    organizations, spaces = dict(member.standing.organizations), dict(member.standing.spaces)
    if isinstance(scope, Organization):
        organizations.pop(scope.pk, None)
    else:
        spaces.pop(scope.pk, None)
    without = Standing(
        account=member.standing.account,
        account_role=member.standing.account_role,
        is_developer=member.is_developer,
        organizations=organizations,
        spaces=spaces,
    )
    return roster.access(without, scope)


def _person(member: Member) -> Member:
    """Return the member, unless it is a bot, whose page offers to take roles away and nothing else."""
    if member.user.is_bot:
        raise Forbidden("What a bot may do was chosen with its key. Its roles can only be taken away.")
    return member


def _kind(scope: Scope) -> str:
    return next(name for name, model in _SCOPES.items() if isinstance(scope, model))


def _url(wire_id: str) -> str:
    return reverse("accounts:member", kwargs={"wire_id": wire_id})


def _dialog(wire_id: str) -> dict[str, Any]:
    return {"section": "members", "close_url": _url(wire_id), "wire_id": wire_id}
