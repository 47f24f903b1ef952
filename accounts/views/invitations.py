"""Invitations that nobody has accepted yet: seeing them, looking at a link again, and withdrawing one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import invitations, roster
from accounts.actors import Actor
from accounts.errors import DomainError, Forbidden, Invalid, NotFound
from accounts.invitations import Status
from accounts.pages import settings_page
from accounts.paging import paginate
from accounts.people import remove_person
from accounts.permissions import may
from accounts.recent import recent_login_required
from accounts.roster import Member
from accounts.standing import standing_of
from accounts.views import naming
from accounts.views.invite import show_once
from accounts.vocabulary import Permission

_PAGE_SIZE = 25
_STATUSES = {"": "All", Status.INVITED.value.lower(): "Pending", Status.EXPIRED.value.lower(): "Expired"}


@require_safe
@settings_page
def pending(request: HttpRequest, actor: Actor) -> HttpResponse:
    """List whom nobody has heard from yet: invited by whom, when, until when, as what."""
    if not roster.may_read(actor):
        return redirect("accounts:members")
    mine, account, at = standing_of(actor), actor.require_account(), timezone.now()
    query, status = naming.searched(request), request.GET.get("status", "")
    status = status if status in _STATUSES else ""
    rows = roster.members(actor, mine, roster.Wanted(query=query, status="invited"))
    if status:
        rows = rows.filter(invitations.with_status(Status(status.upper()), at, "user__"))
    try:
        page = paginate(rows, cursor=request.GET.get("after"), limit=_PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(request.path)
    members = roster.dress(actor, mine, page.items)
    inviters = roster.inviters(account, [member.user for member in members])
    kept = {"q": query, "status": status}
    context = {
        "section": "members",
        "tab": "invitations",
        "rows": [_row(member, inviters.get(member.user.pk, ""), at) for member in members],
        "query": query,
        "status": status,
        "statuses": [
            {"label": label, "url": naming.link(kept, status=value), "current": value == status}
            for value, label in _STATUSES.items()
        ],
        "may_invite": may(actor, Permission.USER_CREATE, account),
        "may_withdraw": may(actor, Permission.USER_DELETE, account),
        "is_admin": mine.is_account_admin,
        "older_url": naming.link(kept, after=page.next_cursor) if page.next_cursor else "",
        "first_url": naming.link(kept) if request.GET.get("after") else "",
    }
    return render(request, "accounts/invitations.html", context)


@require_POST
@settings_page
@recent_login_required
@sensitive_variables("text")
def link(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Show the link of an invitation once more. A POST, since looking at a credential is an event."""
    member = _found(actor, wire_id)
    try:
        text = invitations.show_link(
            actor, user=member.user, base_url=request.build_absolute_uri("/"), at=timezone.now()
        )
    except (Forbidden, NotFound):
        raise
    except DomainError as refusal:
        messages.error(request, refusal.detail)
        return redirect("accounts:invitations")
    return show_once(request, member.user, heading="link", link=text, done_url=reverse("accounts:invitations"))


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def withdraw(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Ask by name, then withdraw an invitation: the person never was in the account."""
    member, account = _found(actor, wire_id), actor.require_account()
    if not may(actor, Permission.USER_DELETE, account):
        raise Forbidden("Only an account admin withdraws invitations.")
    if not member.is_pending:
        messages.error(request, f"{member.user.name} has accepted meanwhile, and is a member now.")
        return redirect("accounts:member", wire_id=wire_id)
    context = {
        "section": "members",
        "member": member,
        "account": account,
        "close_url": reverse("accounts:invitations"),
        "error": "",
    }
    if request.method == "POST":
        try:
            remove_person(actor, user=member.user, at=timezone.now())
        except (Forbidden, NotFound):
            raise
        except DomainError as refusal:
            context["error"] = refusal.detail
        else:
            messages.success(request, f"The invitation of {member.user.name} is withdrawn.")
            return HttpResponseRedirect(reverse("accounts:invitations"))
    return render(request, "accounts/invitation_withdraw.html", context, status=422 if context["error"] else 200)


def _row(member: Member, by: str, at: Any) -> dict[str, Any]:
    user = member.user
    return {
        "member": member,
        "by": by,
        "expired": member.is_expired(at),
        "sent": user.invited_at or member.since,
        "until": (user.invited_at or member.since) + invitations.LIFETIME,
        "by_password": user.password_is_temporary,
    }


def _found(actor: Actor, wire_id: str) -> Member:
    return roster.find(actor, standing_of(actor), naming.number_of(wire_id))
