"""Changing a password, and getting a new one by mail. Nothing here tells who has an account."""

from __future__ import annotations

from functools import partial
from typing import Any

from axes.utils import reset as forget_failures
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import PasswordChangeView, PasswordResetConfirmView
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from accounts import mail
from accounts.actors import Door, accounts_of
from accounts.afterwards import afterwards
from accounts.audit import Tag
from accounts.errors import DomainError
from accounts.forms import ChangePasswordForm, FirstPasswordForm, ForgotForm, NewPasswordForm, show_refusal
from accounts.models import User, UserKind
from accounts.models.users import normalize_email
from accounts.origin import client_ip
from accounts.people import choose_password
from accounts.recent import note_proof
from accounts.sessions import record_reset_asked, record_session
from accounts.views.sign_in import safe_next

# A person gets at most one mail in so many seconds, however often somebody asks in their name.
_PAUSE = 60


class Change(PasswordChangeView):
    """The old password and the new one. Every other session of the person ends."""

    template_name = "accounts/password.html"
    form_class = ChangePasswordForm
    success_url = reverse_lazy("accounts:password")

    def get_form_kwargs(self) -> dict[str, Any]:
        """Give the form the request, which the count of wrong passwords goes by."""
        return super().get_form_kwargs() | {"request": self.request}

    def form_valid(self, form: Any) -> HttpResponse:
        """Keep this session, record the change, and tell the person by mail."""
        with transaction.atomic():
            answer = super().form_valid(form)
            record_session(self.request, Tag.PASSWORD_CHANGED, form.user)
        note_proof(self.request)
        mail.send_password_changed(form.user)
        messages.success(self.request, "Your password is changed. Every other browser was signed out.")
        return answer

    def dispatch(self, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Show the page, which no cache keeps."""
        return never_cache(super().dispatch)(*args, **kwargs)


@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_required
def first(request: HttpRequest) -> HttpResponse:
    """Have a temporary password replaced by one that only the person knows, before they get any further."""
    person = request.user
    if not isinstance(person, User) or not person.password_is_temporary:
        return redirect(safe_next(request))
    form = FirstPasswordForm(person, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            choose_password(
                person,
                form.cleaned_data["new_password1"],
                door=Door.BROWSER,
                ip=client_ip(request),
                at=timezone.now(),
            )
        except DomainError as refusal:
            show_refusal(form, refusal)
        else:
            update_session_auth_hash(request, person)
            note_proof(request)
            messages.success(request, f"Welcome, {person.get_short_name()}. The temporary password is void.")
            return redirect(safe_next(request))
    context = {"form": form, "accounts": accounts_of(person), "next": safe_next(request)}
    return render(request, "accounts/password_first.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def forgot(request: HttpRequest) -> HttpResponse:
    """Mail a link to a new password, if the address is a person's; say the same either way, in the same time."""
    form = ForgotForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        email = normalize_email(form.cleaned_data["email"])
        user = User.objects.filter(kind=UserKind.PERSON, email=email).first()
        if user is not None and mail.may_reset(user) and cache.add(f"password-reset:{user.pk}", True, _PAUSE):
            mail.post_reset(user, base_url=request.build_absolute_uri("/"))
            afterwards(partial(record_reset_asked, request, user))  # what takes time must not tell either
        return redirect("accounts:password-forgot-sent")
    return render(request, "accounts/password_forgot.html", {"form": form})


@require_safe
@never_cache
def forgot_sent(request: HttpRequest) -> HttpResponse:
    """Say what happens next, without saying whether anything does."""
    return render(request, "accounts/password_forgot_sent.html")


class New(PasswordResetConfirmView):
    """A new password for whoever holds the link; it works once and signs nobody in."""

    template_name = "accounts/password_new.html"
    form_class = NewPasswordForm
    token_generator = mail.reset_tokens
    success_url = reverse_lazy("accounts:login")

    def form_valid(self, form: Any) -> HttpResponse:
        """Record the change, tell the person by mail, and forget wrong passwords typed before."""
        with transaction.atomic():
            answer = super().form_valid(form)
            record_session(self.request, Tag.PASSWORD_CHANGED, form.user, by="a link from a mail")
        forget_failures(username=form.user.email)
        mail.send_password_changed(form.user)
        messages.success(self.request, "Your password is changed. Sign in with the new one.")
        return answer
