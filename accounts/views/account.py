"""The account's settings: its key policy."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.actors import Actor
from accounts.errors import DomainError, Forbidden
from accounts.forms import AccountForm, show_refusal
from accounts.pages import settings_page
from accounts.recent import is_recent, to_confirmation
from accounts.roster import admins
from accounts.standing import standing_of
from accounts.tenancy import change_account


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
def settings(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Show the account's policy to everybody in it, and let its admins change it."""
    account = actor.require_account()
    may_change = standing_of(actor).is_account_admin
    if may_change and not is_recent(request):
        return to_confirmation(request)
    form = AccountForm(request.POST) if request.method == "POST" else AccountForm.of(account)
    if request.method == "POST" and form.is_valid():
        try:
            change_account(actor, at=timezone.now(), **form.cleaned_data)
        except Forbidden:
            raise
        except DomainError as refusal:
            show_refusal(form, refusal)
        else:
            messages.success(request, "Account settings saved.")
            return redirect("accounts:account")
    context = {
        "section": "account",
        "account": account,
        "form": form,
        "may_change": may_change,
        "admins": [] if may_change else admins(actor),
    }
    return render(request, "accounts/account.html", context)
