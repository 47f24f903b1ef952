"""The forms of organizations and spaces."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.changes import MAX_NAME
from accounts.models import Organization, Space
from accounts.wire import encode_id

MAX_DESCRIPTION = 1000
PUBLIC, PRIVATE = "public", "private"


class OrganizationForm(forms.Form):
    """What an organization is called, and what it is for."""

    name = forms.CharField(
        label="Name",
        max_length=MAX_NAME,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Enter a name."},
    )
    description = forms.CharField(
        label="Description",
        max_length=MAX_DESCRIPTION,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class SpaceForm(OrganizationForm):
    """The same of a space, and who gets in."""

    visibility = forms.ChoiceField(
        label="Who gets in",
        choices=[(PUBLIC, "Public"), (PRIVATE, "Private")],
        error_messages={"required": "Choose who gets in."},
    )

    @property
    def is_private(self) -> bool:
        """Whether the space shall be private, of a valid form."""
        return bool(self.cleaned_data["visibility"] == PRIVATE)


class NewSpaceForm(SpaceForm):
    """A space to be, in one of the organizations where that may be."""

    organization = forms.CharField(
        label="Organization", error_messages={"required": "Choose the organization the space is for."}
    )

    field_order = ("organization", "name", "description", "visibility")

    def __init__(self, *args: Any, organizations: list[Organization], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.organizations = {encode_id("Organization", row.pk): row for row in organizations}

    def clean_organization(self) -> Organization:
        """Find the organization among those offered."""
        organization = self.organizations.get(self.cleaned_data["organization"])
        if organization is None:
            raise ValidationError("Choose one of the organizations in which you may create spaces.")
        return organization


class DeletionForm(forms.Form):
    """The name of what goes, typed by whoever means it."""

    name = forms.CharField(
        max_length=MAX_NAME,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Type the name, so that nothing is deleted by mistake."},
    )

    def __init__(self, *args: Any, scope: Organization | Space, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope = scope
        if self.errors:
            self.fields["name"].widget.attrs["autofocus"] = True

    def clean_name(self) -> str:
        """Compare with the name, letter by letter."""
        name = str(self.cleaned_data["name"])
        if name != self.scope.name:
            raise ValidationError("This is not its name. Nothing was deleted.")
        return name
