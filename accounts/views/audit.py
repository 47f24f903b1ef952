"""The audit log: reading it page by page, and taking it along as a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.actors import Actor
from accounts.audit_export import Format, export_events
from accounts.errors import Invalid
from accounts.forms import TrailForm
from accounts.pages import settings_page
from accounts.paging import paginate
from accounts.recent import recent_login_required
from accounts.trail import KEY_TYPE, Filter, addresses_for, sees_everything, tell, visible_events

_PAGE_SIZE = 30
# What the page keeps folded away until it is used.
_FINE = frozenset({"door", "operation_type", "operation_name"})


@require_safe
@settings_page
def trail(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Show events, newest first."""
    form = TrailForm(request.GET)
    valid = form.is_valid()
    narrowed = form.narrowed() if valid else Filter()
    # A filter that makes no sense shows nothing rather than everything.
    events = narrowed.apply(visible_events(actor)) if valid else visible_events(actor).none()
    try:
        page = paginate(events, cursor=request.GET.get("after"), limit=_PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(request.path)
    kept = {name: value for name, value in request.GET.items() if name in form.fields and value}
    address = addresses_for(actor)
    rows = [tell(event, ip=address(event)) for event in page.items]
    context = {
        "section": "audit",
        "form": form,
        "rows": rows,
        "kept": kept,
        "is_filtered": bool(kept),
        "sees_everything": sees_everything(actor),
        "is_finely_filtered": not _FINE.isdisjoint(kept),
        "key_name": next((row.target for row in rows if row.event.target_type == KEY_TYPE), "")
        if kept.get("key")
        else "",
        "user_name": next((row.name for row in rows), "") if kept.get("user") else "",
        "without_key_url": _without("key", kept),
        "without_user_url": _without("user", kept),
        "older_url": f"?{urlencode(kept | {'after': page.next_cursor})}" if page.next_cursor else "",
        "first_url": f"?{urlencode(kept)}" if request.GET.get("after") else "",
    }
    return render(request, "accounts/audit.html", context)


@require_POST
@settings_page
@recent_login_required
def export(request: HttpRequest, actor: Actor) -> HttpResponseBase:
    """Stream what the filter leaves, as a file. A POST, since the export is an event itself."""
    form, wanted = TrailForm(request.POST), request.POST.get("format")
    if not form.is_valid() or wanted not in Format.values:
        messages.error(request, "Nothing was exported: the filter could not be read. Choose it anew.")
        return redirect("accounts:audit")
    at, form_of_file = timezone.now(), Format(wanted)
    lines = export_events(actor, narrowed=form.narrowed(), form=form_of_file, at=at)
    answer = StreamingHttpResponse(lines, content_type=form_of_file.content_type)
    answer["Content-Disposition"] = f'attachment; filename="audit-{at:%Y-%m-%d}.{form_of_file.value}"'
    return answer


def _without(name: str, kept: Mapping[str, Any]) -> str:
    return f"?{urlencode({other: value for other, value in kept.items() if other != name})}"
