"""Wire ids in templates: what forms and addresses carry in place of row numbers."""

from __future__ import annotations

from django import template
from django.db.models import Model

from accounts.wire import encode_id

register = template.Library()


@register.filter
def wire_id(row: Model) -> str:
    """Return the id under which a row travels; a request's lazy user is a row too."""
    return encode_id(row.__class__.__name__, row.pk)
