"""The HTTP addresses that loggers send to: Arrow streams, single records, and OpenTelemetry's spans.

A key is asked first, then the space, and then the schema that comes before the rows. Only whoever may do what they ask
for is listened to any further: the body is read as it comes, and never as a whole.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import Door, Operation
from accounts.errors import Forbidden, Invalid, LengthRequired, NotFound
from accounts.models import Space
from accounts.rest.endpoint import Endpoint
from accounts.wire import encode_id
from apikeys.authentication import ApiKeyAuthentication, client_name
from apikeys.errors import UnsafeRequest
from apikeys.workflows import records, single_records, spans, tables, traces
from apikeys.workflows.callers import Caller
from apikeys.workflows.errors import TooLarge, Unreadable
from apikeys.workflows.streams import Source, Stream, open_stream, read_messages
from apikeys.workflows.uploads import Kind, read_upload
from apikeys.workflows.uses import Workflow

# Where a client of any age says which space it means (contract client-workflows §2). Servers hand on hyphens and
# underscores alike.
_SPACE_HEADERS = ("arize-space-id", "space_id", "grpc-metadata-arize-space-id", "grpc-metadata-space_id")
_KEY_HEADERS = ("api_key", "arize-api-key")  # of OpenTelemetry's exporters, beside authorization
# A record is a few kilobytes.
_MOST_RECORD = 2 * 2**20
_CHUNK = 65_536


class IngestAuthentication(ApiKeyAuthentication):
    """The threshold of loggers. What they send is not told in the audit log, and not read to find out."""

    door = Door.INGEST

    def presented(self, request: HttpRequest) -> str | None:
        """Return the key, wherever a logger puts it."""
        given = {super().presented(request), *(request.headers.get(name) for name in _KEY_HEADERS)} - {None}
        if len(given) > 1:
            raise UnsafeRequest("Send one API key. Two different ones came.")
        return next(iter(given), None)

    def operation(self, request: HttpRequest) -> Operation:
        """Say which address it is."""
        return Operation(kind="MUTATION", name=f"{request.method} {request.path}")


class TracesAuthentication(IngestAuthentication):
    """The same threshold, for OpenTelemetry."""

    door = Door.OTLP


class Ingest(Endpoint):
    """What these addresses have in common."""

    authentication_classes = [IngestAuthentication]
    schema = None  # type: ignore[assignment]  # of the clients' own making: it is told in docs/workflows
    takes_chunks = True  # OpenTelemetry's exporters for JavaScript send everything in chunks
    post_only_reads = True  # no Idempotency-Key: the body is not held, so that there is nothing to compare

    @property
    def caller(self) -> Caller:
        """Who calls."""
        return Caller(self.actor, client_name(self.request.META), timezone.now())

    def space_of(self, caller: Caller) -> Space:
        """Return the space that the headers name.

        Raises:
            Invalid: two different ones, or none that could be one.
            Forbidden: the caller may not know of it.
        """
        named = {value for name in _SPACE_HEADERS if (value := self.request.headers.get(name))}
        if len(named) > 1:
            raise Invalid("The headers name two different spaces.")
        return caller.reach(next(iter(named), ""))


class PandasArrow(Ingest):
    """``POST /v1/pandas_arrow``: predictions, spans, or evaluations of spans (contract client-workflows §6)."""

    access = {
        "POST": "Predictions: ML_MODEL_UPDATE of the model. Spans: PROJECT_SPAN_CREATE of the project, and "
        "PROJECT_SPAN_UPDATE for evaluations. PROJECT_CREATE or ML_MODEL_CREATE in the space where it is new."
    }

    def post(self, request: Request) -> Response:
        """Store an upload. What is answered is stored: ``sync`` asks for nothing else."""
        caller = self.caller
        space = self.space_of(caller)
        stream = open_stream(read_messages(_body_of(request._request)), tables.limits())
        upload = read_upload(stream.schema)
        answer: dict[str, Any] = {"realTimeIngestionUri": _page_of(request, space)}
        if not upload.is_spans:
            records.log_records(caller.actor, space, upload=upload, stream=stream, at=caller.at)
            caller.note(Workflow.MODEL_LOG, space)
        elif upload.kind is Kind.ROWS:
            spans.log_spans(caller.actor, space, project_name=upload.model_id, stream=stream, at=caller.at)
            caller.note(Workflow.SPAN_LOG, space)
        else:
            found = spans.update_spans(
                caller.actor, space, project_name=upload.model_id, kind=upload.kind, stream=stream, at=caller.at
            )
            caller.note(Workflow.SPAN_UPDATE, space)
            answer |= {"records_updated": found.updated, "unmatched_ids": list(found.unmatched)}
        return Response(answer)


class SingleRecord(Ingest):
    """``POST /v1/log``: one prediction, one actual, or both (contract client-workflows §7)."""

    access = {"POST": "ML_MODEL_UPDATE of the model, and ML_MODEL_CREATE in the space where it is new."}

    def post(self, request: Request) -> Response:
        """Store a record."""
        caller = self.caller
        space = self.space_of(caller)
        try:
            sent = json.loads(_read(request._request, _MOST_RECORD))
        except (ValueError, RecursionError):
            raise Unreadable("The body is no JSON.") from None
        if not isinstance(sent, dict):
            raise Unreadable("The body is no JSON object.")
        upload, row = single_records.read_record(sent, at=caller.at)
        stream = Stream(row.schema, iter([row]))
        records.log_records(caller.actor, space, upload=upload, stream=stream, at=caller.at, streamed=True)
        caller.note(Workflow.RECORD_LOG, space)
        return Response({})


class Traces(Ingest):
    """``POST /v1/traces``: spans by OTLP over HTTP (contract client-workflows §12)."""

    authentication_classes = [TracesAuthentication]
    access = {
        "POST": "PROJECT_SPAN_CREATE of each project that the spans name, and PROJECT_CREATE in the space where it is "
        "new."
    }

    def post(self, request: Request) -> HttpResponse:
        """Store spans, all of them or none."""
        caller = self.caller
        space = self.space_of(caller)
        if (request.content_type or "").partition(";")[0].strip() != "application/x-protobuf":
            raise Invalid("Send the spans as protobuf, with Content-Type: application/x-protobuf.")
        try:
            spans.may_log_somewhere(caller.actor, space)
            spans.log_traces(caller.actor, space, traces.tables_of(_export_in(request._request)), at=caller.at)
        except NotFound as error:  # a project that others may know of
            raise Forbidden(error.detail) from None
        caller.note(Workflow.TRACE_EXPORT, space)
        answer = ExportTraceServiceResponse().SerializeToString()
        return HttpResponse(answer, content_type="application/x-protobuf", headers={"Cache-Control": "no-store"})


def _export_in(request: HttpRequest) -> Any:
    coding = request.headers.get("Content-Encoding", "identity").lower()
    if coding not in ("gzip", "identity", ""):
        raise Invalid("Send the spans plain, or compressed by gzip.")
    return traces.read_request(_read(request, traces.MOST_BODY, unzip=coding == "gzip"))


def _read(request: HttpRequest, most: int, *, unzip: bool = False) -> bytes:
    """Return a small body, unpacked no further than it may be large.

    Raises:
        TooLarge: it is larger.
        Unreadable: it is not gzip, or broke off.
    """
    parts, size, body = [], 0, _body_of(request)
    for part in _unzipped(body, most) if unzip else iter(lambda: body.read(_CHUNK), b""):
        parts.append(part)
        size += len(part)
        if size > most:
            raise _too_large(most)
    return b"".join(parts)


def _body_of(request: HttpRequest) -> Source:
    """Return what the body is read from: in chunks past Django, which would take it for empty.

    Then nobody tells an end from a connection that broke off. Arrow, gzip and JSON say where they end; of plain spans
    those of some programs may be stored, and those of others not, where it broke off just between them.
    """
    if "HTTP_TRANSFER_ENCODING" not in request.META:
        return request
    if not request.META.get("wsgi.input_terminated"):  # by this server nobody would be told where it ends
        raise LengthRequired
    source: Source = request.META["wsgi.input"]
    return source


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The body may have {most // 2**20} MB; send less at once.")


def _unzipped(body: Source, most: int) -> Iterator[bytes]:
    unpacking = zlib.decompressobj(wbits=31)
    came = 0
    try:
        while part := body.read(_CHUNK):
            came += len(part)
            if came > most:  # much can come that unpacks to nothing
                raise _too_large(most)
            yield unpacking.decompress(part, most + 1)
            if unpacking.eof and (unpacking.unused_data or body.read(1)):  # zlib would keep all that still comes
                raise Unreadable("Something comes behind the end of the gzip.")
    except zlib.error:
        raise Unreadable("The body is no gzip.") from None
    if not unpacking.eof:
        raise Unreadable("The body ends in the middle.")


def _page_of(request: Request, space: Space) -> str:
    return request.build_absolute_uri(reverse("workflows:space-data", args=[encode_id("Space", space.pk)]))
