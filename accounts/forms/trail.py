"""The form that filters the audit log."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.actors import Door
from accounts.errors import Invalid
from accounts.trail import KEY_TYPE, Filter, OperationType, actions
from accounts.wire import decode_id

MAX_SEARCH = 256


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
    door = forms.ChoiceField(label="From where", required=False, choices=[("", "Anywhere"), *Door.choices])
    operation_type = forms.ChoiceField(
        label="Kind of operation", required=False, choices=[("", "Any kind"), *OperationType.choices]
    )
    operation_name = forms.CharField(
        label="Operation",
        required=False,
        max_length=MAX_SEARCH,
        help_text="As in “POST /v2/api-keys”, to the letter. Several go with commas between them.",
    )
    user = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)
    key = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        action = self.fields["action"]
        assert isinstance(action, forms.ChoiceField)  # noqa: S101 -- tells the type checker what stands above
        action.choices = [("", "Any action"), *actions()]

    def clean_user(self) -> int | None:
        """Read the number out of a person's id."""
        return self._number("user", "User")

    def clean_key(self) -> int | None:
        """Read the number out of a key's id."""
        return self._number("key", KEY_TYPE)

    def clean_operation_name(self) -> tuple[str, ...]:
        """Take the names apart."""
        return tuple(filter(None, (name.strip() for name in self.cleaned_data["operation_name"].split(","))))

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
            door=said["door"],
            operation_type=said["operation_type"],
            operation_names=said["operation_name"],
            user_id=said["user"],
            since=_edge(said["since"], time.min),
            until=_edge(said["until"], time.max),
            key_id=said["key"],
        )

    def _number(self, field: str, type_name: str) -> int | None:
        try:
            return decode_id(self.cleaned_data[field], type_name) if self.cleaned_data[field] else None
        except Invalid as refusal:
            raise ValidationError(refusal.detail) from refusal


def _edge(day: date | None, moment: time) -> datetime | None:
    return datetime.combine(day, moment, tzinfo=UTC) if day else None
