"""Coming in, going out, and proving once more who one is."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounts.audit import Tag
from accounts.forms import ConfirmForm, SignInForm
from accounts.models import User
from accounts.recent import note_proof
from accounts.sessions import record_session


class SignIn(LoginView):
    """E-mail and password. Bots are never found by an address, and have no password that could be right."""

    template_name = "accounts/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True


class SignOut(LogoutView):
    """Ends the session; by POST only, so that no link and no picture signs anybody out."""


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def confirm(request: HttpRequest) -> HttpResponse:
    """Ask for the password again, then go on to where the person was going."""
    form = ConfirmForm(request, request.POST or None)
    if request.method == "POST" and form.is_valid():
        note_proof(request)
        if isinstance(request.user, User):
            record_session(request, Tag.SIGNED_IN, request.user, confirmed=True)
        return HttpResponseRedirect(safe_next(request))
    return render(
        request,
        "accounts/confirm.html",
        {"form": form, "next": safe_next(request), "was_sent": "sent" in request.GET or "sent" in request.POST},
    )


def safe_next(request: HttpRequest, default: str = settings.LOGIN_REDIRECT_URL) -> str:
    """Return where ``next`` leads, if that is one of our own pages."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    ours = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if ours else resolve_url(default)
