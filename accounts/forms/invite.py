"""The form of inviting somebody."""

from __future__ import annotations

from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError

from accounts.invitations import InviteMode
from accounts.models import Organization, Role, Space
from accounts.roles import RoleName
from accounts.roster import RoleChoice, value_of
from accounts.wire import encode_id

T = TypeVar("T")


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
    mode = forms.ChoiceField(
        label="How they get in",
        required=False,
        choices=[(mode.value, mode.label) for mode in (InviteMode.EMAIL_LINK, InviteMode.TEMPORARY_PASSWORD)],
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
        may_tell_password: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.organizations = {encode_id("Organization", row.pk): row for row in organizations}
        self.spaces = {encode_id("Space", row.pk): row for row in spaces}
        self.roles = roles
        self.may_tell_password = may_tell_password
        self._organization_roles = {value_of(role): role for role in organization_roles}
        self._space_roles = {value_of(role): role for role in space_roles}

    @property
    def organization_roles(self) -> list[RoleChoice]:
        """The roles to choose from in the organization."""
        return self._choices("organization_role", self._organization_roles)

    @property
    def space_roles(self) -> list[RoleChoice]:
        """The roles to choose from in the space, custom ones behind."""
        return self._choices("space_role", self._space_roles)

    def clean_mode(self) -> InviteMode:
        """Return how the person gets in; a password is told to account admins alone."""
        mode = InviteMode(self.cleaned_data["mode"] or InviteMode.EMAIL_LINK)
        if mode is InviteMode.TEMPORARY_PASSWORD and not self.may_tell_password:
            raise ValidationError("Only account admins hand out temporary passwords.")
        return mode

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
                given = roles[RoleName.ANNOTATOR] if annotates and chosen.is_predefined else chosen
                found.append((self.cleaned_data[scope], given))
        return found

    def _choices(self, field: str, roles: dict[str, Role]) -> list[RoleChoice]:
        # Annotators get their role below by themselves, so nobody chooses it there.
        chosen = self[field].value()
        return [
            RoleChoice(role, "", value == chosen)
            for value, role in roles.items()
            if not (role.is_predefined and role.name == RoleName.ANNOTATOR)
        ]


def _among(rows: dict[str, T], chosen: str, what: str) -> T | None:
    if not chosen:
        return None
    if chosen not in rows:
        raise ValidationError(f"Choose one of the {what}.")
    return rows[chosen]
