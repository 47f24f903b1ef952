"""The forms of signing in, Members, the audit log and the account's settings: they check shape, verbs decide."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any, TypeVar

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

from accounts.errors import DomainError, Invalid
from accounts.models import Account, Organization, Role, Space, User
from accounts.redaction import KEY_PATTERN
from accounts.roles import RoleName
from accounts.roster import RoleChoice
from accounts.trail import KEY_TYPE, Filter, actions
from accounts.wire import decode_id, encode_id

PASSWORD_HELP = "At least 12 characters. Four unrelated words make a good one, and a password manager a better."  # noqa: S105
_NO_KEYS = "That is an API key. Keys open the API, not these pages; sign in with your e-mail address and password."
MAX_SEARCH = 256
T = TypeVar("T")


def show_refusal(form: forms.Form, refusal: DomainError, **renamed: str) -> None:
    """Put a verb's refusal at the field it names, or above the form."""
    name = renamed.get(refusal.field or "", refusal.field or "")
    form.add_error(name if name in form.fields else None, refusal.detail)


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


class ForgotForm(forms.Form):
    """An address that may or may not be somebody's: the answer is the same."""

    email = forms.EmailField(
        label="E-mail", max_length=255, widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True})
    )


class InviteForm(forms.Form):
    """Somebody new: who, with which account role, and optionally where to begin."""

    email = forms.EmailField(
        label="E-mail",
        max_length=255,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Enter the address the invitation goes to."},
    )
    name = forms.CharField(
        label="Name",
        max_length=255,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Enter the person's name."},
    )
    role = forms.CharField(label="Account role")
    organization = forms.CharField(label="Organization", required=False)
    organization_role = forms.CharField(label="Organization role", required=False)
    space = forms.CharField(label="Space", required=False)
    space_role = forms.CharField(label="Space role", required=False)

    def __init__(
        self,
        *args: Any,
        roles: list[RoleChoice],
        organizations: list[Organization],
        spaces: list[Space],
        organization_roles: list[Role],
        space_roles: list[Role],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.organizations = {encode_id("Organization", row.pk): row for row in organizations}
        self.spaces = {encode_id("Space", row.pk): row for row in spaces}
        self.roles = roles
        self._organization_roles = {role.name: role for role in organization_roles}
        self._space_roles = {role.name: role for role in space_roles}
        # Annotators get their role below by themselves, so nobody chooses it there.
        self.organization_roles = [role for role in organization_roles if role.name != RoleName.ANNOTATOR]
        self.space_roles = [role for role in space_roles if role.name != RoleName.ANNOTATOR]

    def clean_role(self) -> Role:
        """Find the account role; whether it may be given is the verb's to say."""
        for choice in self.roles:
            if choice.role.name == self.cleaned_data["role"]:
                return choice.role
        raise ValidationError("Choose one of the roles.")

    def clean_organization(self) -> Organization | None:
        """Find the organization among those offered."""
        return _among(self.organizations, self.cleaned_data["organization"], "organizations you run")

    def clean_organization_role(self) -> Role | None:
        """Find the role in the organization."""
        return _among(self._organization_roles, self.cleaned_data["organization_role"], "roles")

    def clean_space(self) -> Space | None:
        """Find the space among those offered."""
        return _among(self.spaces, self.cleaned_data["space"], "spaces you run")

    def clean_space_role(self) -> Role | None:
        """Find the role in the space."""
        return _among(self._space_roles, self.cleaned_data["space_role"], "roles")

    def clean(self) -> dict[str, Any]:
        """Check that the places fit together: a space lies in its organization."""
        cleaned = super().clean() or self.cleaned_data
        organization, space = cleaned.get("organization"), cleaned.get("space")
        if space is not None and organization is not None and space.organization_id != organization.pk:
            self.add_error(
                "space", f"“{space}” is a space of “{space.organization}”. Choose that organization, or none."
            )
        if space is not None and organization is None:
            organization = cleaned["organization"] = self.organizations.get(
                encode_id("Organization", space.organization_id)
            )
            account_role = cleaned.get("role")
            if organization is None and not (account_role and account_role.is_admin):
                self.add_error(
                    "space",
                    f"First an admin of “{space.organization}” adds the person there. Invite without the space.",
                )
        return cleaned

    def places(self) -> list[tuple[Organization | Space, Role]]:
        """Return what is given along with the membership, outermost first."""
        # Annotators are annotators everywhere; nothing else could be meant.
        annotates = self.cleaned_data["role"].name == RoleName.ANNOTATOR
        found: list[tuple[Organization | Space, Role]] = []
        for scope, role, roles, default in (
            ("organization", "organization_role", self._organization_roles, RoleName.READ_ONLY),
            ("space", "space_role", self._space_roles, RoleName.MEMBER),
        ):
            if self.cleaned_data.get(scope) is not None:
                chosen = self.cleaned_data.get(role) or roles[default]
                found.append((self.cleaned_data[scope], roles[RoleName.ANNOTATOR] if annotates else chosen))
        return found


class AccountForm(forms.Form):
    """The account's key policy."""

    developer_access_locked = forms.BooleanField(label="Lock developer access", required=False)
    max_key_lifetime_days = forms.IntegerField(
        label="Longest life of a key, in days",
        required=False,
        min_value=1,
        max_value=36_500,
        help_text="Keys made from now on end after at most so many days. Empty: a key may live for ever.",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )

    @classmethod
    def of(cls, account: Account) -> AccountForm:
        """Return the form as the account stands."""
        return cls(
            initial={
                "developer_access_locked": account.developer_access_locked,
                "max_key_lifetime_days": account.max_key_lifetime_days,
            }
        )


class TrailForm(forms.Form):
    """What to look for in the audit log. An empty field narrows nothing."""

    person = forms.CharField(label="Person", required=False, max_length=MAX_SEARCH)
    action = forms.ChoiceField(label="Action", required=False)
    outcome = forms.ChoiceField(
        label="Outcome",
        required=False,
        choices=[("", "Any outcome"), ("SUCCEEDED", "Succeeded"), ("REFUSED", "Refused")],
    )
    since = forms.DateField(
        label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    key = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        action = self.fields["action"]
        assert isinstance(action, forms.ChoiceField)  # noqa: S101 -- tells the type checker what stands above
        action.choices = [("", "Any action"), *actions()]

    def clean_key(self) -> int | None:
        """Read the number out of a key's id."""
        try:
            return decode_id(self.cleaned_data["key"], KEY_TYPE) if self.cleaned_data["key"] else None
        except Invalid as refusal:
            raise ValidationError(refusal.detail) from refusal

    def clean(self) -> dict[str, Any]:
        """Check that the time range runs forward."""
        cleaned = super().clean() or self.cleaned_data
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since > until:
            self.add_error("until", "This day lies before the first one.")
        return cleaned

    def narrowed(self) -> Filter:
        """Return the filter. Days are whole days, UTC."""
        said = self.cleaned_data
        return Filter(
            person=said["person"],
            action=said["action"],
            outcome=said["outcome"],
            since=_edge(said["since"], time.min),
            until=_edge(said["until"], time.max),
            key_id=said["key"],
        )


def _edge(day: date | None, moment: time) -> datetime | None:
    return datetime.combine(day, moment, tzinfo=UTC) if day else None


def _among(rows: dict[str, T], chosen: str, what: str) -> T | None:
    if not chosen:
        return None
    if chosen not in rows:
        raise ValidationError(f"Choose one of the {what}.")
    return rows[chosen]


def _dress_passwords(form: forms.Form) -> None:
    form.fields["new_password1"].label = "New password"
    form.fields["new_password1"].help_text = PASSWORD_HELP
    form.fields["new_password2"].label = "New password again"
    form.fields["new_password2"].help_text = ""
