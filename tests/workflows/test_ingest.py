"""The HTTP addresses of loggers: who gets in, what is stored, and that a refusal stores and reads nothing."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from django.test import Client
from django.utils import timezone
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from accounts.models import AuditEvent, Project, Space
from accounts.roles import RoleName
from accounts.wire import encode_id
from apikeys.lifecycle import revoke_key
from apikeys.models import ApiKey
from apikeys.workflows import exports
from apikeys.workflows.models import Environment, Segment, Table, WorkflowUse
from tests.cast import Cast
from tests.factories import bind, service_key, user_key
from tests.workflows.logging import asked, exported, spans_of
from tests.workflows.sending import as_bytes
from tests.workflows.storage import BROKEN, LONG, broken
from tests.workflows.test_uploads import CLIENT

ARROW = "/v1/pandas_arrow"
ADDRESSES = (ARROW, "/v1/log", "/v1/traces")
RECORD = {
    "model_id": "fraud",
    "prediction_id": "one",
    "prediction": {
        "model_version": "v1",
        "prediction_label": {"score_categorical": {"category": {"category": "yes"}}},
        "features": {"city": {"string": "Köln"}, "rooms": {"int": "3"}},
    },
    "environment_params": {"production": {}},
}


WIDE = RECORD | {"prediction": {"features": {f"f{number}": {"int": "1"} for number in range(5_001)}}}


def described(
    table: pa.Table, *, environment: int = 5, spans: bool = True, compression: str | None = None, **columns: Any
) -> bytes:
    message = CLIENT.Schema(constants=CLIENT.Constants(model_id="chat", environment=environment, model_version="v1"))
    if spans:
        message.arize_spans.SetInParent()
    else:
        message.arrow_schema.CopyFrom(CLIENT.Columns(**columns))
    metadata = {"arize-schema": base64.b64encode(message.SerializeToString())}
    return as_bytes(table.replace_schema_metadata(metadata), compression=compression)


def traced(*names: str, project: str = "chat") -> bytes:
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(
        KeyValue(key="openinference.project.name", value=AnyValue(string_value=project))
    )
    scope = resource.scope_spans.add()
    for number, name in enumerate(names, start=1):
        scope.spans.add(
            trace_id=bytes(15) + b"\x01",
            span_id=number.to_bytes(8),
            name=name,
            start_time_unix_nano=1_767_225_600 * 10**9,
            end_time_unix_nano=1_767_225_601 * 10**9,
        )
    return request.SerializeToString()


BODIES = {
    ARROW: (described(spans_of("a", "b")), ""),
    "/v1/log": (json.dumps(RECORD).encode(), "application/json"),
    "/v1/traces": (traced("a"), "application/x-protobuf"),
}


def post(
    address: str,
    key: str | None,
    space: Space | None,
    body: bytes | None = None,
    kind: str | None = None,
    *,
    client: Client | None = None,
    **headers: Any,
) -> Any:
    own, own_kind = BODIES[address]
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if key is not None:
        given["authorization"] = key
    if space is not None:
        given["arize-space-id"] = encode_id("Space", space.pk)
    sent = own if body is None else body
    content_type = own_kind if kind is None else kind
    return (client or Client()).generic("POST", address, sent, content_type=content_type, headers=given)


@pytest.fixture
def key(cast: Cast) -> str:
    """A key of Bob's, who is a Member of production."""
    return user_key(cast.bob, cast.account).plaintext


def nothing(folder: Path) -> bool:
    return not (
        Table.objects.exists()
        or Segment.objects.exists()
        or Project.objects.exists()
        or [path for path in folder.rglob("*") if path.is_file()]
    )


def test_spans_are_stored_before_they_are_answered(cast: Cast, key: str) -> None:
    response = post(ARROW, key, cast.production, sdk_version="7.40.1")

    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert response.json()["realTimeIngestionUri"].startswith("http://testserver/settings/spaces/")
    assert exported(cast.actor(cast.bob), cast.production, asked()).num_rows == 2
    event = AuditEvent.objects.get(tag="project:write")
    assert (event.door, event.operation_name, event.operation_text) == ("ingest", "POST /v1/pandas_arrow", "")
    use = WorkflowUse.objects.get()
    assert (use.workflow, use.client, use.space, use.uses) == ("span.log", "arize 7.40.1", cast.production, 1)


def test_evaluations_find_the_spans_that_they_judge(cast: Cast, key: str) -> None:
    post(ARROW, key, cast.production)
    judged = pa.table({"context.span_id": ["a", "nobody's"], "eval.Right.label": ["yes", "no"]})

    response = post(ARROW, key, cast.production, described(judged))

    assert response.status_code == 200
    assert (response.json()["records_updated"], response.json()["unmatched_ids"]) == (1, ["nobody's"])
    rows = exported(cast.actor(cast.bob), cast.production, asked()).to_pylist()
    assert [row["eval.Right.label"] for row in rows] == ["yes", None]
    assert set(WorkflowUse.objects.values_list("workflow", flat=True)) == {"span.log", "span.update"}


def test_predictions_get_the_columns_that_exports_have(cast: Cast, key: str) -> None:
    table = pa.table({"who": ["1"], "said": ["yes"], "city": ["Köln"], "when": [1_767_225_600.0]})
    body = described(
        table,
        environment=3,
        spans=False,
        prediction_id="who",
        prediction_label="said",
        features=["city"],
        timestamp="when",
    )

    assert post(ARROW, key, cast.production, body).status_code == 200

    query = asked("chat", Environment.PRODUCTION)
    (row,) = exported(cast.actor(cast.bob), cast.production, query).to_pylist()
    assert (row["predictionID"], row["categoricalPredictionLabel"], row["city"]) == ("1", "yes", "Köln")


def test_a_single_record_is_a_row(cast: Cast, key: str) -> None:
    assert post("/v1/log", key, cast.production).status_code == 200

    now = timezone.now()
    query = exports.ExportQuery(
        project="fraud",
        environment=Environment.PRODUCTION,
        start=now - timedelta(hours=1),
        end=now + timedelta(hours=1),
    )
    (row,) = exported(cast.actor(cast.bob), cast.production, query).to_pylist()
    assert (row["predictionID"], row["city"], row["rooms"]) == ("one", "Köln", 3)


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_traces_come_plain_or_compressed(cast: Cast, key: str, coding: str) -> None:
    body = traced("ask", "answer")
    said: dict[str, Any] = {"content_encoding": coding} if coding else {}

    response = post("/v1/traces", key, cast.production, gzip.compress(body) if coding else body, **said)

    assert response.status_code == 200
    assert response["Content-Type"] == "application/x-protobuf"
    assert ExportTraceServiceResponse.FromString(response.content) == ExportTraceServiceResponse()
    assert exported(cast.actor(cast.bob), cast.production, asked())["name"].to_pylist() == ["ask", "answer"]


def test_traces_of_a_thousand_calls_are_one_event_an_hour(cast: Cast, key: str) -> None:
    for _ in range(3):
        assert post("/v1/traces", key, cast.production).status_code == 200

    (event,) = AuditEvent.objects.filter(tag="project:write")
    assert (event.door, event.details["times"]) == ("otlp", 1)
    assert WorkflowUse.objects.get().uses == 3


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("authorization", ""),
        ("authorization", "Bearer "),
        ("authorization", "bearer "),
        ("x-api-key", ""),
        ("api_key", ""),
        ("api-key", ""),
        ("arize-api-key", ""),
    ],
)
def test_a_key_is_taken_wherever_a_client_puts_it(cast: Cast, key: str, name: str, scheme: str) -> None:
    headers: dict[str, Any] = {name: scheme + key}

    assert post("/v1/log", None, cast.production, **headers).status_code == 200


def test_the_same_key_twice_is_one_key(cast: Cast, key: str) -> None:
    assert post("/v1/log", key, cast.production, api_key=key).status_code == 200


@pytest.mark.parametrize("name", ["space_id", "Grpc-Metadata-arize-space-id", "Grpc-Metadata-space_id"])
def test_a_space_is_taken_wherever_a_client_puts_it(cast: Cast, key: str, name: str) -> None:
    headers: dict[str, Any] = {name: encode_id("Space", cast.production.pk)}

    assert post("/v1/log", key, None, **headers).status_code == 200


def test_two_keys_or_two_spaces_are_refused(cast: Cast, key: str, tables_folder: Path) -> None:
    other = user_key(cast.bob, cast.account, "other").plaintext

    for response in (
        post(ARROW, key, cast.production, api_key=other),
        post(ARROW, key, cast.production, space_id=encode_id("Space", cast.staging.pk)),
    ):
        assert response.status_code == 400
        assert key not in response.content.decode()
        assert other not in response.content.decode()
    assert nothing(tables_folder)


class Refused:
    """Keys that open nothing, or not enough, and what comes of it."""

    def __init__(self, cast: Cast) -> None:
        at = timezone.now()
        revoked = user_key(cast.bob, cast.account, "revoked")
        revoke_key(cast.actor(cast.bob), revoked.key, at=at)
        expired = user_key(cast.bob, cast.account, "expired", expires_at=at + timedelta(hours=1))
        ApiKey.objects.filter(pk=expired.key.pk).update(
            created_at=at - timedelta(days=2), expires_at=at - timedelta(days=1)
        )
        readers = service_key(cast.alice, cast.production, role=RoleName.READ_ONLY)
        self.keys = {
            "none": (None, 401),
            "no key at all": ("hello", 401),
            "unknown": ("ak-" + "a" * 61, 401),
            "revoked": (revoked.plaintext, 401),
            "expired": (expired.plaintext, 401),
            "read-only": (user_key(cast.charlie, cast.account, "charlie").plaintext, 403),
            "read-only service": (readers.plaintext, 403),
            "another space": (user_key(cast.erin, cast.account, "erin").plaintext, 403),
            "another account": (user_key(cast.mallory, cast.elsewhere.organization.account, "m").plaintext, 403),
        }


@pytest.mark.parametrize("address", ADDRESSES)
def test_whoever_may_not_stores_nothing_and_hears_no_key(cast: Cast, tables_folder: Path, address: str) -> None:
    for name, (presented, status) in Refused(cast).keys.items():
        response = post(address, presented, cast.production)

        assert response.status_code == status, (name, response.content)
        told = response.content.decode()
        assert response["Content-Type"] == "application/problem+json"
        assert "Traceback" not in told
        assert presented is None or presented not in told
        assert nothing(tables_folder), name


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_space_that_there_is_not_is_answered_as_one_that_is_not_theirs(cast: Cast, address: str) -> None:
    erins = user_key(cast.erin, cast.account, "erin").plaintext
    theirs = post(address, erins, cast.production)
    gone = Space(pk=999_999)

    none = post(address, erins, gone)

    assert (none.status_code, none.json()) == (theirs.status_code, theirs.json())


class Counting(BytesIO):
    """A body that says how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        self.taken += len(part)
        return part


@pytest.mark.parametrize("who", ["nobody", "charlie", "erin"])
def test_a_refusal_reads_no_further_than_it_has_to(cast: Cast, who: str) -> None:
    table = pa.table({name: [0.5] * 500_000 for name in ("context.span_id", "start_time", "attributes.x")})
    body = Counting(described(table))
    key = "" if who == "nobody" else user_key(getattr(cast, who), cast.account, who).plaintext
    headers = {"authorization": key, "arize-space-id": encode_id("Space", cast.production.pk)}

    response = Client().post(
        ARROW,
        headers=headers,
        content_type="",
        **{"wsgi.input": body, "CONTENT_LENGTH": str(len(body.getvalue()))},  # type: ignore[arg-type]  # the environment's
    )

    assert response.status_code in (401, 403)
    assert body.taken < 100_000


def test_whoever_may_add_spans_to_one_project_is_listened_to(cast: Cast, key: str) -> None:
    post("/v1/traces", key, cast.production)
    bind(cast.charlie, Project.objects.get(), RoleName.MEMBER)
    charlies = user_key(cast.charlie, cast.account, "charlie").plaintext

    assert post("/v1/traces", charlies, cast.production).status_code == 200
    assert post("/v1/traces", charlies, cast.production, traced("a", project="another")).status_code == 403


PREDICTED = described(pa.table({"who": ["1"]}), environment=3, spans=False, prediction_id="who")
JUDGED = described(pa.table({"context.span_id": ["a"], "eval.Right.label": ["yes"]}))


@pytest.mark.parametrize(
    ("address", "first", "body", "status"),
    [
        (ARROW, None, None, 404),
        (ARROW, None, JUDGED, 404),
        (ARROW, PREDICTED, PREDICTED, 404),
        ("/v1/log", None, None, 404),
        ("/v1/traces", None, None, 403),
    ],
    ids=["spans", "evaluations", "predictions", "a record", "traces"],
)
def test_a_restricted_project_takes_from_those_bound_to_it_alone(
    cast: Cast, key: str, tables_folder: Path, address: str, first: bytes | None, body: bytes | None, status: int
) -> None:
    assert post(address, key, cast.production, first).status_code == 200
    Project.objects.update(restricted_at=timezone.now())
    bind(cast.charlie, Project.objects.get(), RoleName.MEMBER)
    alices = user_key(cast.alice, cast.account, "alice").plaintext
    charlies = user_key(cast.charlie, cast.account, "charlie").plaintext

    for unbound in (key, alices):
        response = post(address, unbound, cast.production, body)

        assert response.status_code == status
        assert response.json()["detail"] == "There is no such project, or you have no access to it."
    assert (Project.objects.count(), Segment.objects.count(), Table.objects.count()) == (1, 1, 1)
    assert len(list(tables_folder.rglob("*.parquet"))) == 1

    assert post(address, charlies, cast.production, body).status_code == 200
    assert set(Segment.objects.values_list("project__name", flat=True)) == {Project.objects.get().name}
    assert Segment.objects.count() == 2


def test_traces_are_not_read_of_whoever_may_add_them_to_nothing(cast: Cast) -> None:
    body = Counting(traced("a"))
    headers = {
        "authorization": user_key(cast.charlie, cast.account, "charlie").plaintext,
        "arize-space-id": encode_id("Space", cast.production.pk),
    }

    response = Client().post(
        "/v1/traces",
        headers=headers,
        content_type="application/x-protobuf",
        **{"wsgi.input": body, "CONTENT_LENGTH": str(len(body.getvalue()))},  # type: ignore[arg-type]  # the environment's
    )

    assert response.status_code == 403
    assert body.taken == 0


@pytest.mark.parametrize(
    ("address", "body", "kind", "says"),
    [
        (ARROW, b"", "", "Arrow stream"),
        (ARROW, b"PAR1" * 50, "", "no Arrow IPC stream"),
        (ARROW, as_bytes(spans_of("a")), "", "arize-schema"),
        (ARROW, described(spans_of(*"ab"))[:-20], "", "in the middle"),
        (ARROW, described(pa.table({"x": [1]}), environment=3, spans=False, prediction_id="y"), "", "y"),
        ("/v1/log", b"{", "application/json", "no JSON"),
        ("/v1/log", b"[]", "application/json", "no JSON object"),
        ("/v1/log", b"[" * 100_000, "application/json", "no JSON"),
        ("/v1/log", b"{}", "application/json", ""),
        ("/v1/log", b" " * (2 * 2**20 + 1), "application/json", "2 MB"),
        ("/v1/log", json.dumps(WIDE).encode(), "application/json", "5003 columns"),
        ("/v1/traces", b"\xff", "application/x-protobuf", "ExportTraceServiceRequest"),
        ("/v1/traces", b"{}", "application/json", "protobuf"),
    ],
)
def test_what_cannot_be_read_is_a_clear_400_and_stores_nothing(
    cast: Cast, key: str, tables_folder: Path, address: str, body: bytes, kind: str, says: str
) -> None:
    response = post(address, key, cast.production, body, kind)

    assert response.status_code == 400, response.content
    assert says in response.json()["detail"]
    assert nothing(tables_folder)


def too_wide() -> bytes:
    return described(pa.table({f"c{number}": [1] for number in range(10_000)}))


def exploding() -> bytes:
    """Rows that claim to be a terabyte once they are unpacked."""
    body = bytearray(described(spans_of(*map(str, range(1_000))), compression="zstd"))
    claimed = body.index((8_000).to_bytes(8, "little"))
    body[claimed : claimed + 8] = (2**40).to_bytes(8, "little")
    return bytes(body)


@pytest.mark.parametrize(
    ("body", "says"), [(too_wide, "10000 columns are too many"), (exploding, "A record batch may have 512 MB")]
)
def test_what_is_too_large_once_it_is_unpacked_is_a_clear_400(
    cast: Cast, key: str, tables_folder: Path, body: Callable[[], bytes], says: str
) -> None:
    response = post(ARROW, key, cast.production, body())

    assert (response.status_code, response.json()["error_code"]) == (400, "too_large")
    assert says in response.json()["detail"]
    assert nothing(tables_folder)


@pytest.mark.parametrize("how", BROKEN)
def test_what_cannot_be_stored_is_a_503_and_stores_nothing(cast: Cast, key: str, tables_folder: Path, how: str) -> None:
    prediction = {**RECORD["prediction"], "features": {"city": {"string": LONG}}}  # type: ignore[dict-item]  # as above
    bodies = {
        ARROW: described(spans_of("a", **{"attributes.city": [LONG]})),
        "/v1/log": json.dumps({**RECORD, "prediction": prediction}).encode(),
        "/v1/traces": traced(LONG),
    }
    client = Client(raise_request_exception=False)  # what is logged as an error
    with broken(tables_folder, how):
        answers = [post(address, key, cast.production, body, client=client) for address, body in bodies.items()]

    for answer in answers:
        assert (answer.status_code, answer.json()["error_code"]) == (503, "storage_unavailable")
        assert str(tables_folder) not in answer.content.decode()
    assert nothing(tables_folder)
    assert post(ARROW, key, cast.production).status_code == 200


def test_a_bomb_of_gzip_is_unpacked_no_further_than_a_body_may_be(cast: Cast, key: str, tables_folder: Path) -> None:
    bomb = gzip.compress(bytes(50 * 2**20))

    response = post("/v1/traces", key, cast.production, bomb, content_encoding="gzip")

    assert response.status_code == 400
    assert "8 MB" in response.json()["detail"]
    assert nothing(tables_folder)


# An empty stored block of deflate: five bytes that unpack to none (RFC 1951, 3.2.4).
NOTHING = b"\0\0\0\xff\xff"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (gzip.compress(traced("a")) + bytes(1), "behind the end"),
        (gzip.compress(b"").ljust(65_536, b"\0") + bytes(10 * 2**20), "behind the end"),
        (gzip.compress(b"")[:10] + NOTHING * 2 * 2**20, "8 MB"),
    ],
    ids=["a byte behind it", "megabytes behind it", "nothing in it"],
)
def test_what_unpacks_to_nothing_is_read_no_further_than_a_body_may_be(
    cast: Cast, key: str, body: bytes, says: str
) -> None:
    response = post("/v1/traces", key, cast.production, body, content_encoding="gzip")

    assert response.status_code == 400
    assert says in response.json()["detail"]


@pytest.mark.parametrize("method", ["get", "put", "delete"])
def test_other_methods_are_not_offered(key: str, method: str) -> None:
    response = getattr(Client(), method)(ARROW, headers={"authorization": key})

    assert response.status_code == 405
