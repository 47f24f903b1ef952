"""Inviting people, sending an invitation again, and accepting one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.views import PasswordResetConfirmView
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts import invitations, mail, roster
from accounts.actors import Actor, Door, accounts_of
from accounts.errors import DomainError, Forbidden
from accounts.forms import InviteForm, NewPasswordForm, show_refusal
from accounts.models import User
from accounts.origin import client_ip
from accounts.pages import settings_page
from accounts.people import Invitation, accept_invitation, invite_person, resend_invitation
from accounts.permissions import may
from accounts.recent import recent_login_required
from accounts.roles import Level, RoleName
from accounts.scope import chosen_scope
from accounts.standing import standing_of
from accounts.views.naming import number_of
from accounts.vocabulary import Permission
from accounts.wire import encode_id

_BACKEND = "django.contrib.auth.backends.ModelBackend"


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def invite(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Ask whom to invite, or invite and show the link this one time."""
    if not may(actor, Permission.USER_CREATE, actor.require_account()):
        raise Forbidden("Your role does not allow inviting people. Ask an account admin.")
    form = _form(request, actor)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            invitation = invite_person(
                actor,
                email=said["email"],
                name=said["name"],
                role=said["role"],
                places=form.places(),
                mode=said["mode"],
                at=timezone.now(),
            )
        except DomainError as refusal:
            show_refusal(form, refusal)
        else:
            return _invited(request, actor, invitation)
    return render(request, "accounts/invite.html", {"section": "members", "form": form} | _close())


@require_POST
@settings_page
@recent_login_required
def resend(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Send an invitation again; the link sent before stops working."""
    member = roster.find(actor, standing_of(actor), number_of(wire_id))
    try:
        person = resend_invitation(actor, user=member.user, at=timezone.now())
    except Forbidden:
        raise
    except DomainError as refusal:
        messages.error(request, refusal.detail)
        return redirect("accounts:member", wire_id=wire_id)
    return _invited(request, actor, Invitation(user=person, needs_password=True), again=True)


class Accept(PasswordResetConfirmView):
    """A first password for an invited person: the link works once, and signs the person in."""

    template_name = "accounts/accept.html"
    form_class = NewPasswordForm
    token_generator = invitations.tokens
    success_url = reverse_lazy("apikeys:list")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Say into which account the invitation leads."""
        context = super().get_context_data(**kwargs)
        if self.validlink and isinstance(self.user, User):
            context |= {"person": self.user, "accounts": accounts_of(self.user)}
        return context

    def form_valid(self, form: Any) -> HttpResponse:
        """Set the password if nobody did so in the meantime, and sign the person in."""
        person: User = form.user
        with transaction.atomic():
            ip = client_ip(self.request)
            first = accept_invitation(person, door=Door.BROWSER, ip=ip, at=timezone.now())
            if first:
                form.save()
        if not first:
            self.validlink = False
            return self.render_to_response(self.get_context_data())
        # Whoever was signed in here before does not stay so under another's name.
        self.request.session.flush()
        login(self.request, person, backend=_BACKEND)
        messages.success(self.request, f"Welcome, {person.get_short_name()}. You are signed in.")
        return redirect(str(self.success_url))


def _form(request: HttpRequest, actor: Actor) -> InviteForm:
    mine, roles, chosen = (
        standing_of(actor),
        roster.roles_by_level(actor.require_account()),
        chosen_scope(request, actor),
    )
    initial = {
        "role": RoleName.MEMBER.value,
        "organization_role": RoleName.READ_ONLY.value,
        "space_role": RoleName.MEMBER.value,
        "organization": encode_id("Organization", chosen.organization.pk) if chosen.organization else "",
        "space": encode_id("Space", chosen.space.pk) if chosen.space else "",
    }
    return InviteForm(
        request.POST if request.method == "POST" else None,
        initial=initial,
        roles=roster.invitable(roles[Level.ACCOUNT], mine),
        organizations=roster.addable_organizations(actor, mine),
        spaces=roster.addable_spaces(actor, mine),
        organization_roles=roles[Level.ORGANIZATION],
        space_roles=roles[Level.SPACE],
        may_tell_password=mine.is_account_admin,
    )


def _invited(request: HttpRequest, actor: Actor, invitation: Invitation, *, again: bool = False) -> HttpResponse:
    user, base_url = invitation.user, request.build_absolute_uri("/")
    if not invitation.needs_password:
        mail.send_welcome(actor, user, base_url=base_url)
        messages.success(request, f"{user.name} already signs in here, and is now a member of this account.")
        return redirect("accounts:member", wire_id=encode_id("User", user.pk))
    if invitation.temporary_password is not None:
        return show_once(request, user, heading="password", password=invitation.temporary_password)
    link = invitations.link(user, base_url) if invitations.may_be_shown(actor, user) else ""
    delivery = mail.send_invitation(actor, user, base_url=base_url)
    return show_once(request, user, heading="again" if again else "invited", link=link, delivery=delivery)


@sensitive_variables("link", "password", "context")
def show_once(
    request: HttpRequest,
    person: User,
    *,
    heading: str,
    link: str = "",
    password: str = "",
    delivery: mail.Delivery | None = None,
    done_url: str = "",
) -> HttpResponse:
    """Show what lets an invited person in, in this answer only: in no address, session, message or history."""
    context = {
        "section": "members",
        "person": person,
        "heading": heading,
        "delivery": delivery,
        "link": link,
        "password": password,
        "sign_in_url": request.build_absolute_uri(reverse("accounts:login")),
        "days": invitations.LIFETIME.days,
        "done_url": done_url or reverse("accounts:member", kwargs={"wire_id": encode_id("User", person.pk)}),
        # Only where this is the one way to the person does leaving without it ask first.
        "keeps": bool(password or (link and delivery is not None and not delivery.arrived)),
    }
    answer = render(request, "accounts/invited.html", context | _close())
    answer["Referrer-Policy"] = "no-referrer"
    return answer


def _close() -> dict[str, str]:
    return {"close_url": reverse("accounts:members")}
