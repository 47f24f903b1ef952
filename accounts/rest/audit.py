"""``/v2/audit-logs``: reading the account's audit log, and taking it along as a file (contract rest-v2 §11)."""

from __future__ import annotations

from datetime import datetime

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.audit_export import Format, as_csv, as_ndjson, export_events
from accounts.errors import Incompatible
from accounts.paging import paginate
from accounts.rest.audit_shapes import (
    AuditLogOut,
    AuditLogPage,
    AuditLogQuery,
    ExportAuditLogs,
    narrowed,
)
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint, paged
from accounts.rest.examples import EVENT, EXPORTED, page_of
from accounts.trail import all_events, usual_start

_TAG = "Audit logs"
_ACCESS = "Account admins; 403 for everybody else."
_FILE = "The file, in the format that was asked for."


class AuditLogList(Endpoint):
    """What happened in the account."""

    access = {"GET": _ACCESS}

    @operation(
        id="list_audit_logs",
        tag=_TAG,
        summary="List audit logs",
        text="Newest first: every change in the account, every refusal that matters, every sign-in and export. "
        "Without `start_time`, those of the 30 days before the end. Nothing in the log can be edited or deleted.",
        query=AuditLogQuery,
        success=(200, answer(AuditLogPage, {"A key was made": page_of("logs", EVENT)})),
        problems=(400, 401, 403, 429),
    )
    def get(self, request: Request) -> Response:
        """List events."""
        query = self.query(AuditLogQuery)
        events = all_events(self.actor)
        end = query.get("end_time") or timezone.now()
        start = query.get("start_time") or usual_start(end)
        _require_forward(start, end)
        page = paginate(
            narrowed(query, since=start, until=end).apply(events), cursor=query["cursor"], limit=query["limit"]
        )
        return paged("logs", page, AuditLogOut(page.items, many=True).data)


class AuditLogExport(Endpoint):
    """The log as a file."""

    access = {"POST": _ACCESS}
    post_only_reads = True

    @operation(
        id="export_audit_logs",
        tag=_TAG,
        summary="Export audit logs",
        text="Newest first, as one file of any length: one JSON object a line, or CSV in which no cell is a formula. "
        "Each row holds the event's place in the account's chain, its hash and the hash before it. "
        "The export is recorded in the log itself.",
        request=ExportAuditLogs,
        success=(
            200,
            {
                "application/x-ndjson": answer(str, {"A key was made": "".join(as_ndjson([EXPORTED]))}, _FILE),
                "text/csv": answer(str, {"A key was made": "".join(as_csv([EXPORTED]))}, _FILE),
            },
        ),
        problems=(400, 401, 403, 429),
        examples=[
            OpenApiExample(
                "What was done with keys in January",
                value={
                    "format": "CSV",
                    "action": "key",
                    "start_time": "2027-01-01T00:00:00Z",
                    "end_time": "2027-01-31T23:59:59Z",
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> StreamingHttpResponse:
        """Stream the events."""
        body, now = self.body(ExportAuditLogs), timezone.now()
        all_events(self.actor)  # part of it is no export of the account's log
        start, end = body.get("start_time"), body.get("end_time") or now
        if start is not None:
            _require_forward(start, end)
        form = Format[body["format"]]
        lines = export_events(self.actor, narrowed=narrowed(body, since=start, until=end), form=form, at=now)
        answer = StreamingHttpResponse(lines, content_type=form.content_type)
        answer["Content-Disposition"] = f'attachment; filename="audit-{now:%Y-%m-%d}.{form.value}"'
        return answer


def _require_forward(start: datetime, end: datetime) -> None:
    if start > end:
        raise Incompatible("This must not be later than end_time.", field="start_time")
