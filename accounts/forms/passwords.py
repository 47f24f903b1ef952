"""The forms of signing in, and of passwords."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import (
    AuthenticationForm,
    PasswordChangeForm,
    SetPasswordForm,
)
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from accounts.models import User
from accounts.redaction import KEY_PATTERN

PASSWORD_HELP = "At least 12 characters. Four unrelated words make a good one, and a password manager a better."  # noqa: S105
_NO_KEYS = "That is an API key. Keys open the API, not these pages; sign in with your e-mail address and password."


class SignInForm(AuthenticationForm):
    """E-mail and password."""

    error_messages = {
        "invalid_login": "This e-mail address and password do not belong together. "
        "If you were invited and never signed in, use the link in the invitation.",
        "inactive": "This person has been deactivated.",
    }

    def __init__(self, request: HttpRequest | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        name = self.fields["username"]
        name.label = "E-mail"
        name.widget = forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True, "maxlength": 255})

    def clean_username(self) -> str:
        """Bring the address into the one spelling under which it is stored and failures are counted."""
        return str(self.cleaned_data["username"]).strip().lower()

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Refuse an API key in either field before anybody compares or stores it (security.md 14)."""
        typed = f"{self.data.get('username', '')} {self.data.get('password', '')}"
        if KEY_PATTERN.search(typed):
            self.data = {name: value for name, value in self.data.items() if name != "username"}
            raise ValidationError(_NO_KEYS, code="api_key")
        return super().clean()


class ConfirmForm(forms.Form):
    """The password once more, of whoever is signed in."""

    password = forms.CharField(
        label="Password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request

    @sensitive_variables("password")
    def clean_password(self) -> str:
        """Check the password as signing in does, so that guesses are counted and locked out the same."""
        password = str(self.cleaned_data["password"])
        user = self.request.user
        if not isinstance(user, User):
            raise TypeError("Only a signed-in person confirms a password.")
        if authenticate(self.request, username=user.email, password=password) != user:
            raise ValidationError("This is not your password.", code="wrong")
        return password


class PasswordOnly:
    """For Django's password forms, which would write the whole row as it was before the slow hash was worked out."""

    def save(self, commit: bool = True) -> User:
        """Write the password and nothing else, and that only while the person is active.

        Raises:
            PermissionDenied: the person was deactivated or removed in the meantime.
        """
        user: User = super().save(commit=False)  # type: ignore[misc]  # the form mixed in has it
        if commit:
            with transaction.atomic():
                if not User.objects.select_for_update(no_key=True).filter(pk=user.pk, is_active=True):
                    raise PermissionDenied("This person has been deactivated.")
                user.save(update_fields=["password"])
        return user


class ChangePasswordForm(PasswordOnly, PasswordChangeForm):
    """The old password, and the new one twice."""

    field_order = ["old_password", "new_password1", "new_password2"]

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        _dress_passwords(self)
        self.fields["old_password"].label = "Current password"

    @sensitive_variables("password")
    def clean_old_password(self) -> str:
        """Check the old password as signing in does, so that guesses are counted and locked out the same."""
        password = str(self.cleaned_data["old_password"])
        if authenticate(self.request, username=self.user.email, password=password) != self.user:
            raise ValidationError("This is not your password.", code="password_incorrect")
        return password


class NewPasswordForm(PasswordOnly, SetPasswordForm):  # type: ignore[type-arg]  # generic only for the type checker
    """A password twice, for whoever holds a link from a mail."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _dress_passwords(self)
        self.fields["new_password1"].widget.attrs["autofocus"] = True


class FirstPasswordForm(NewPasswordForm):
    """A password twice, in place of a temporary one. The verb writes it."""

    @sensitive_variables("password")
    def clean_new_password1(self) -> str:
        """Refuse the temporary one: somebody else knows it."""
        password = str(self.cleaned_data["new_password1"])
        if self.user.check_password(password):
            raise ValidationError("This is the temporary password. Choose one that only you know.", code="same")
        return password


class ForgotForm(forms.Form):
    """An address that may or may not be somebody's: the answer is the same."""

    email = forms.EmailField(
        label="E-mail", max_length=255, widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True})
    )


def _dress_passwords(form: forms.Form) -> None:
    form.fields["new_password1"].label = "New password"
    form.fields["new_password1"].help_text = PASSWORD_HELP
    form.fields["new_password2"].label = "New password again"
    form.fields["new_password2"].help_text = ""
