"""Showing on a form what a verb refused."""

from __future__ import annotations

from django import forms

from accounts.errors import DomainError


def show_refusal(form: forms.Form, refusal: DomainError, **renamed: str) -> None:
    """Put a verb's refusal at the field it names, or above the form."""
    name = renamed.get(refusal.field or "", refusal.field or "")
    form.add_error(name if name in form.fields else None, refusal.detail)
