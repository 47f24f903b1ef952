"""``/v2/spans``: the latest spans of a project, and what people say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import NotAllowed
from accounts.models import Project
from accounts.rest.describe import answer, operation
from accounts.rest.examples import page_of
from accounts.rest.shapes import Cursor, Many, Moment, Name, OneOf, Pagination, QueryWhole, Shape, Text, Whole, WireId
from apikeys.workflows import listing, projects
from apikeys.workflows.editing import MOST_ROWS, without_annotations
from apikeys.workflows.rest.dressing import annotations_out, moment, rows_page, values_by_record
from apikeys.workflows.rest.endpoint import ROWS_BYTES, WorkflowEndpoint
from apikeys.workflows.rest.samples import ANNOTATION, PROJECT_ID, SPAN_ID
from apikeys.workflows.rest.serializers import MAX_ROWS_PER_PAGE, AnnotationOut, RowAnnotations
from apikeys.workflows.uses import Workflow

_TAG = "Spans"
_MAX_CURSOR = 2_000
_KINDS = (
    "LLM",
    "CHAIN",
    "RETRIEVER",
    "EMBEDDING",
    "AGENT",
    "TOOL",
    "RERANKER",
    "GUARDRAIL",
    "EVALUATOR",
    "PROMPT",
    "DECISION",
    "UNKNOWN",
)
_STATUSES = ("OK", "ERROR", "UNSET")
_ATTRIBUTE, _EVALUATION = "attributes.", "eval."
_KIND = "attributes.openinference.span.kind"
_SPAN = {
    "name": "answer",
    "context": {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": SPAN_ID},
    "kind": "LLM",
    "parent_id": None,
    "start_time": "2027-01-12T10:00:00Z",
    "end_time": "2027-01-12T10:00:01.500000Z",
    "status_code": "OK",
    "status_message": None,
    "attributes": {"input.value": "What is the capital of Spain?", "output.value": "Madrid"},
    "annotations": [ANNOTATION],
    "evaluations": [{"name": "relevance", "label": "relevant", "score": 0.9}],
    "events": [],
}


class SpanCursor(Cursor):
    """Where a list of spans goes on; empty for its beginning."""

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return {"format": "span-cursor"}


class SpanQuery(Shape):
    """Which of many spans."""

    limit = QueryWhole(min_value=1, max_value=MAX_ROWS_PER_PAGE, default=50, help_text="How many to return.")
    cursor = SpanCursor(
        max_length=_MAX_CURSOR, allow_blank=True, default="", help_text="`next_cursor` of the page before."
    )


class ListSpans(Shape):
    """Which spans to list, and what of them."""

    project_id = WireId("Project", help_text="The project they were logged to.")
    start_time = Moment(required=False, help_text="Spans that began then or later; left out, of the last 7 days.")
    end_time = Moment(required=False, help_text="Spans that began then or earlier; left out, up to now.")
    filter = Name(
        required=False, max_length=50_000, multiline=True, help_text="A condition over their columns, as in SQL."
    )
    included_columns = Many(
        Text(max_length=1_000), max_length=1_000, required=False, help_text="Of attributes and evaluations, these only."
    )
    excluded_columns = Many(
        Text(max_length=1_000), max_length=1_000, required=False, help_text="Of attributes and evaluations, not these."
    )
    truncate_string_length = Whole(
        min_value=1, max_value=10**9, required=False, help_text="Texts in attributes are cut to so many characters."
    )


class AnnotateSpans(Shape):
    """What is said of spans."""

    project_id = WireId("Project", help_text="The project they were logged to.")
    start_time = Moment(required=False, help_text="Not needed here: spans are found by their IDs.")
    end_time = Moment(required=False, help_text="Not needed here.")
    granularity = OneOf(
        ("SPAN", "TRACE", "SESSION"), required=False, help_text="What the IDs are of. Only spans are annotated here."
    )
    annotations = Many(RowAnnotations(), max_length=MOST_ROWS, help_text="Span by span.")


class SpanContextOut(serializers.Serializer[Any]):
    """What a span is named by."""

    trace_id = serializers.CharField(allow_null=True, help_text="Its trace.")
    span_id = serializers.CharField(allow_null=True, help_text="The span itself.")


class EvaluationOut(serializers.Serializer[Any]):
    """What an evaluator made of a span."""

    name = serializers.CharField(help_text="What was evaluated.")
    label = serializers.CharField(  # type: ignore[assignment]  # a field, which is taken off the class
        required=False, help_text="As one word."
    )
    score = serializers.FloatField(required=False, help_text="As a number.")
    explanation = serializers.CharField(required=False, help_text="Why.")


class SpanEventOut(serializers.Serializer[Any]):
    """What happened during a span."""

    name = serializers.CharField(allow_null=True, help_text="What it was.")
    timestamp = serializers.DateTimeField(allow_null=True, help_text="When.")
    attributes = serializers.DictField(allow_null=True, help_text="What is known of it.")


class SpanOut(serializers.Serializer[Any]):
    """One unit of work in a trace."""

    name = serializers.CharField(allow_null=True, help_text="What it is called.")
    context = SpanContextOut(help_text="Which trace and which span it is.")  # type: ignore[assignment]  # a field, which is taken off the class
    kind = serializers.ChoiceField(_KINDS, help_text="What kind of work it was.")
    parent_id = serializers.CharField(allow_null=True, help_text="The span it was a part of.")
    start_time = serializers.DateTimeField(allow_null=True, help_text="When it began.")
    end_time = serializers.DateTimeField(allow_null=True, help_text="When it ended.")
    status_code = serializers.ChoiceField(_STATUSES, help_text="How it went.")
    status_message = serializers.CharField(allow_null=True, help_text="What was said of that.")
    attributes = serializers.DictField(help_text="What is known of it, by the names of attributes, with their dots.")
    annotations = AnnotationOut(many=True, help_text="What people said of it.")
    evaluations = EvaluationOut(many=True, help_text="What evaluators said of it.")
    events = SpanEventOut(many=True, help_text="What happened meanwhile.")


class SpanPage(serializers.Serializer[Any]):
    """A page of a project's spans, later ones first."""

    spans = SpanOut(many=True, help_text="The spans.")
    pagination = Pagination(help_text="Whether there is more.")


class SpanEndpoint(WorkflowEndpoint):
    """An address of spans."""

    def project(self, number: int) -> Project:
        """Return the project that the body names."""
        return projects.find_project(self.actor, number=number)


class SpanList(SpanEndpoint):
    """The spans of a project."""

    post_only_reads = True
    access = {"POST": "PROJECT_SPAN_READ at the project."}

    @operation(
        id="list_spans",
        tag=_TAG,
        summary="List spans",
        text="Those that began between two moments, later ones first. To get many, export them.",
        query=SpanQuery,
        request=ListSpans,
        success=(200, answer(SpanPage, {"The first of several": page_of("spans", _SPAN)})),
        problems=(400, 401, 403, 404, 422, 429),
        examples=[OpenApiExample("Of the last week", value={"project_id": PROJECT_ID}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """List spans."""
        query, body = self.query(SpanQuery), self.body(ListSpans)
        included, excluded = body.get("included_columns"), frozenset(body.get("excluded_columns", ()))
        if included and excluded:
            raise NotAllowed("Name the columns to include or those to exclude, not both.", field="excluded_columns")
        project = self.project(body["project_id"])
        end: datetime = body.get("end_time") or timezone.now()
        start: datetime = body.get("start_time") or end - min(listing.USUAL_RANGE, end - _FIRST)
        if start > end:
            raise NotAllowed("The start lies behind the end.", field="start_time")
        page = listing.list_spans(
            self.actor,
            project,
            start=start,
            end=min(end, _LAST),
            condition=body.get("filter"),
            cursor=query["cursor"],
            limit=query["limit"],
        )
        self.note(Workflow.SPAN_EXPORT, project.space)
        wanted = frozenset(included) if included else None
        most = body.get("truncate_string_length")
        return rows_page("spans", page, lambda row: span_out(row, wanted, excluded, most))


class SpanAnnotations(SpanEndpoint):
    """Saying something of spans."""

    most_bytes = ROWS_BYTES
    access = {"POST": "PROJECT_SPAN_ANNOTATE at the project: annotators, members and admins."}

    @operation(
        id="annotate_spans",
        tag=_TAG,
        summary="Annotate spans",
        text="All of those named, or none: 404 where one is not there. What was said under the same name before is "
        "overwritten, part by part.",
        request=AnnotateSpans,
        success=(202, None),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "A label",
                value={
                    "project_id": PROJECT_ID,
                    "annotations": [{"record_id": SPAN_ID, "values": [{"name": "correct", "label": "yes"}]}],
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Annotate spans."""
        body = self.body(AnnotateSpans)
        project = self.project(body["project_id"])
        if body.get("granularity", "SPAN") == "SESSION":
            raise NotAllowed("Sessions are not annotated here; annotate their spans.", field="granularity")
        listing.annotate_spans(self.actor, project, values_by_record(body["annotations"]), at=timezone.now())
        self.note(Workflow.SPAN_UPDATE, project.space)
        return Response(status=202)


_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


def span_out(
    row: Mapping[str, Any], included: frozenset[str] | None, excluded: frozenset[str], most: int | None
) -> dict[str, Any]:
    """Return a span."""
    own, annotations = without_annotations(row)
    shown = {
        name: value
        for name, value in own.items()
        if value is not None and name not in excluded and (included is None or name in included)
    }
    kind, status = str(own.get(_KIND) or "UNKNOWN").upper(), str(own.get("status_code") or "UNSET").upper()
    return {
        "name": _text(own.get("name")),
        "context": {"trace_id": _text(own.get("context.trace_id")), "span_id": _text(own.get("context.span_id"))},
        "kind": kind if kind in _KINDS else "UNKNOWN",
        "parent_id": _text(own.get("parent_id")),
        "start_time": _moment(own.get("start_time")),
        "end_time": _moment(own.get("end_time")),
        "status_code": status if status in _STATUSES else "UNSET",
        "status_message": _text(own.get("status_message")),
        "attributes": {
            name.removeprefix(_ATTRIBUTE): _cut(value, most)
            for name, value in shown.items()
            if name.startswith(_ATTRIBUTE)
        },
        "annotations": annotations_out(annotations),
        "evaluations": _evaluations(shown),
        "events": [_event(one) for one in _listed(own.get("events"))],
    }


def _moment(value: Any) -> str | None:
    # Spans have nanoseconds, which are cut: clients read microseconds.
    return moment(value // 1_000 / 1_000 if isinstance(value, int) and not isinstance(value, bool) else value)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _cut(value: Any, most: int | None) -> Any:
    if most is None:
        return value
    if isinstance(value, str):
        return value[:most]
    if isinstance(value, Mapping):
        return {name: _cut(item, most) for name, item in value.items()}
    return [_cut(item, most) for item in value] if isinstance(value, list) else value


def _evaluations(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, value in row.items():
        about, _, part = name.removeprefix(_EVALUATION).rpartition(".")
        if not name.startswith(_EVALUATION) or not about:
            continue
        if part == "score" and isinstance(value, int | float) and not isinstance(value, bool):
            found.setdefault(about, {})[part] = value
        elif part in ("label", "explanation"):
            found.setdefault(about, {})[part] = str(value)
    return [{"name": about, **parts} for about, parts in found.items()]


def _listed(events: Any) -> list[dict[str, Any]]:
    """Return events, however they came: as objects, as JSON, or as a list of JSON."""
    read = _read(events)
    return [one for one in map(_read, read if isinstance(read, list) else []) if isinstance(one, dict)]


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    about = _read(event.get("attributes"))
    at = event.get("timestamp")
    return {
        "name": _text(event.get("name")),
        "timestamp": _moment(at),
        "attributes": about if isinstance(about, dict) else None,
    }
