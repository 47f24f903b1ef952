"""The form of a custom role."""

from __future__ import annotations

from django import forms

from accounts.custom_roles import MAX_DESCRIPTION
from accounts.vocabulary import Permission


class RoleForm(forms.Form):
    """A name, a description, and everything the role permits."""

    name = forms.CharField(
        label="Role name",
        max_length=255,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Give the role a name by which people will choose it."},
    )
    description = forms.CharField(
        label="Description",
        max_length=MAX_DESCRIPTION,
        required=False,
        help_text="Shown wherever the role can be chosen.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    permissions = forms.MultipleChoiceField(
        label="Permissions",
        choices=[(permission.value, permission.value) for permission in Permission],
        error_messages={"required": "Choose at least one permission. A role without any would open nothing."},
    )
