"""Flight and OTLP over gRPC: real clients against the real server."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from django.utils import timezone
from grpc_health.v1 import health_pb2, health_pb2_grpc

from accounts.models import AuditEvent, Project, Space, User
from accounts.wire import encode_id
from apikeys.lifecycle import revoke_key
from apikeys.workflows.models import Dataset, DatasetVersion, Experiment
from tests.cast import Cast
from tests.factories import later, user_key
from tests.workflows.conftest import FlightServer
from tests.workflows.flights import Flight, flying


def channel_to(server: FlightServer, *, tls: bool = False) -> grpc.Channel:
    """A connection without a key."""
    if tls:
        trusted = grpc.ssl_channel_credentials(server.certificate.read_bytes())
        return grpc.secure_channel(f"localhost:{server.tls_port}", trusted)
    return grpc.insecure_channel(f"127.0.0.1:{server.port}")


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "TLS"])
def test_health_is_told_without_a_key(flight_server: FlightServer, tls: bool) -> None:
    with channel_to(flight_server, tls=tls) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_is_not_watched(flight_server: FlightServer) -> None:
    with channel_to(flight_server) as channel, pytest.raises(grpc.RpcError) as refusal:
        next(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()))

    assert refusal.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.fixture
def bobs(cast: Cast) -> str:
    """A key of Bob's, who is a member of production."""
    return user_key(cast.bob, cast.account).plaintext


@pytest.fixture
def space(cast: Cast) -> str:
    """The id of production."""
    return wire_id(cast.production)


def files(folder: Path) -> list[str]:
    """What lies in the folder of tables."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def wire_id(space: Space) -> str:
    return encode_id("Space", space.pk)


ROWS = pa.table(
    {
        "id": ["a", "b", "c"],
        "kind": pa.array(["x", None, "y"]).dictionary_encode(),
        "scores": [[0.5], None, []],
        "meta": [{"n": 1}, {"n": None}, None],
        "at": pa.array([1, 2, None], pa.timestamp("ns", "Europe/Berlin")),
    },
    metadata={b"pandas": b'{"index_columns": []}'},
)


@pytest.mark.parametrize("tls", [False, True], ids=["plaintext", "TLS"])
def test_a_dataset_comes_back_as_it_went(flight_server: FlightServer, bobs: str, space: str, tls: bool) -> None:
    with flying(flight_server, bobs, tls=tls) as flight:
        made = flight.put(
            ROWS,
            "DatasetWritten",
            createDataset={"spaceId": space, "datasetName": "golden", "datasetType": "GENERATIVE"},
        )
        by_id = flight.get(getDataset={"spaceId": space, "datasetId": made.dataset_id})
        by_name = flight.get(getDataset={"spaceId": space, "datasetName": "golden"})

    assert by_id.schema.equals(ROWS.schema, check_metadata=True)
    assert by_id.equals(ROWS)
    assert by_name.equals(ROWS)


def test_versions_are_listed_newest_first_and_each_opens_again(
    flight_server: FlightServer, bobs: str, space: str
) -> None:
    more = ROWS.slice(1)
    named = {"spaceId": space, "datasetName": "golden"}
    with flying(flight_server, bobs) as flight:
        made = flight.put(ROWS, "DatasetWritten", createDataset=named)
        assert flight.put(more, "DatasetWritten", updateDataset=named).dataset_id == made.dataset_id
        listed = flight.act("list_datasets", "Datasets", listDatasets={"spaceId": space})
        versions = flight.act("get_dataset_version", "Versions", getDatasetVersions=named)
        tables = [
            flight.get(getDataset={**named, "datasetVersion": version.version_name}) for version in versions.versions
        ]
        stored = DatasetVersion.objects.order_by("number").first()
        assert stored is not None
        by_id = flight.get(getDataset={**named, "datasetVersion": stored.wire_id})
        latest = flight.get(getDataset=named)

    assert [(one.dataset_id, one.dataset_name, one.dataset_type) for one in listed.datasets] == [
        (made.dataset_id, "golden", 0)
    ]
    assert [version.version_name for version in versions.versions] == ["v2", "v1"]
    assert versions.versions[0].created_at.ToDatetime() >= versions.versions[1].created_at.ToDatetime()
    assert [table.equals(expected) for table, expected in zip(tables, [more, ROWS], strict=True)] == [True, True]
    assert by_id.equals(ROWS)
    assert latest.equals(more)


def test_a_deleted_dataset_is_gone(flight_server: FlightServer, bobs: str, space: str, tables_folder: Path) -> None:
    named = {"spaceId": space, "datasetName": "golden"}
    with flying(flight_server, bobs) as flight:
        flight.put(ROWS, "DatasetWritten", createDataset=named)

        assert flight.act("delete_dataset", "DatasetDeleted", deleteDataset=named).success

        with pytest.raises(pa.lib.ArrowKeyError, match="There is no dataset “golden”"):
            flight.get(getDataset=named)
    assert files(tables_folder) == []


def test_an_experiment_is_begun_filled_read_and_deleted(flight_server: FlightServer, bobs: str, space: str) -> None:
    named = {"spaceId": space, "datasetName": "golden"}
    runs = pa.table({"id": ["0", "1"], "example_id": ["a", "b"], "result": ["yes", None]})
    with flying(flight_server, bobs) as flight:
        made = flight.put(ROWS, "DatasetWritten", createDataset=named)
        begin = {**named, "experimentName": "first"}
        entry = flight.act("create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry=begin)
        again = flight.act("create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry=begin)
        posting = {"spaceId": space, "datasetId": made.dataset_id, "experimentName": "first"}
        posted = flight.put(runs, "RunsPosted", postExperimentData=posting)
        read = flight.get(getExperiment={"spaceId": space, "experimentId": entry.experiment_id})
        by_name = flight.get(getExperiment={**named, "experimentName": "first"})
        with pytest.raises(pa.lib.ArrowException, match="already has an experiment “first”"):
            flight.act("create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry=begin)
        with pytest.raises(pa.lib.ArrowException, match="already has an experiment “first”"):
            flight.put(runs, "RunsPosted", postExperimentData=posting)
        deleted = flight.act(
            "delete_experiment",
            "ExperimentDeleted",
            deleteExperiment={
                "spaceId": space,
                "experimentNameIdentifier": {"experimentName": "first", "datasetName": "golden"},
            },
        )

    assert entry == again
    assert (entry.dataset_id, posted.dataset_id) == (made.dataset_id, made.dataset_id)
    assert (posted.experiment_id, deleted.experiment_id) == (entry.experiment_id, entry.experiment_id)
    assert Project.objects.get().name == entry.trace_model_name == "golden experiments"
    assert read.select(runs.column_names).equals(runs)
    assert by_name.equals(read)
    assert not Experiment.objects.exists()


@dataclass
class Asked:
    """A call, and whose data it would touch."""

    method: str
    command: dict[str, Any]


def commands_about(space: str) -> list[Asked]:
    """Every command there is, about things that may or may not exist."""
    dataset = {"spaceId": space, "datasetName": "golden"}
    dataset_id = encode_id("Dataset", 1)
    return [
        Asked("put", {"createDataset": dataset}),
        Asked("put", {"updateDataset": dataset}),
        Asked("put", {"postExperimentData": {"spaceId": space, "datasetId": dataset_id, "experimentName": "e"}}),
        Asked("get", {"getDataset": dataset}),
        Asked("get", {"getExperiment": {"spaceId": space, "experimentId": encode_id("Experiment", 1)}}),
        Asked("list_datasets", {"listDatasets": {"spaceId": space}}),
        Asked("get_dataset_version", {"getDatasetVersions": dataset}),
        Asked("delete_dataset", {"deleteDataset": dataset}),
        Asked("create_experiment_db_entry", {"createExperimentDbEntry": {**dataset, "experimentName": "e"}}),
        Asked(
            "delete_experiment", {"deleteExperiment": {"spaceId": space, "experimentId": encode_id("Experiment", 1)}}
        ),
    ]


def made(flight: Flight, call: Asked) -> object:
    """Make a call."""
    if call.method == "put":
        return flight.put(ROWS, "DatasetWritten", **call.command)
    if call.method == "get":
        return flight.get(**call.command)
    return flight.act(call.method, "Datasets", **call.command)


def outcome(flight: Flight, call: Asked) -> tuple[str, str]:
    """Make a call that is refused; return the exception's name and its text."""
    with pytest.raises((fl.FlightError, pa.ArrowException)) as refused:
        made(flight, call)
    return refused.type.__name__, str(refused.value).partition(". gRPC client debug context")[0]


NO_KEY = "The API key is missing, unknown, expired or revoked"
NO_SPACE = "You have no access to this space, or there is no such space. Ask one of its admins"


def test_every_command_is_refused_to_whoever_has_no_good_key(
    flight_server: FlightServer, cast: Cast, space: str, tables_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    revoked = user_key(cast.bob, cast.account, name="revoked")
    revoke_key(cast.actor(cast.bob), revoked.key, at=timezone.now())
    expired = user_key(cast.bob, cast.account, name="expired", at=later(days=-3), expires_at=later(days=-1))
    locked = user_key(cast.charlie, cast.account, name="owner disabled")
    User.objects.filter(pk=cast.charlie.pk).update(is_active=False)
    unknown = f"ak-{'0' * 60}"
    keys = [None, "", unknown, "ü", revoked.plaintext, expired.plaintext, locked.plaintext]

    with flying(flight_server, None) as flight:
        found = {(key, outcome(flight.with_key(key), call)) for key in keys for call in commands_about(space)}

    assert found == {
        (key, ("FlightUnauthenticatedError", f"Flight returned unauthenticated error, with message: {NO_KEY}"))
        for key in keys
    }
    assert files(tables_folder) == []
    for key in filter(None, keys):
        assert key not in caplog.text


def test_a_key_of_another_space_hears_the_same_of_what_is_there_and_what_is_not(
    flight_server: FlightServer, cast: Cast, bobs: str, space: str, tables_folder: Path
) -> None:
    mallorys = user_key(cast.mallory, cast.elsewhere.organization.account).plaintext
    erins = user_key(cast.erin, cast.account).plaintext
    nowhere = encode_id("Space", 10**6)
    with flying(flight_server, bobs) as flight:
        before = {outcome(flight.with_key(key), call) for key in (mallorys, erins) for call in commands_about(space)}
        flight.put(ROWS, "DatasetWritten", createDataset={"spaceId": space, "datasetName": "golden"})
        stored = files(tables_folder)
        after = {outcome(flight.with_key(key), call) for key in (mallorys, erins) for call in commands_about(space)}
        elsewhere = {outcome(flight, call) for call in commands_about(nowhere)}

    assert before == after == elsewhere
    assert before == {("FlightUnauthorizedError", f"Flight returned unauthorized error, with message: {NO_SPACE}")}
    assert files(tables_folder) == stored
    assert Dataset.objects.count() == 1


def test_a_key_that_may_only_read_gets_and_lists_and_does_nothing_else(
    flight_server: FlightServer, cast: Cast, bobs: str, space: str, tables_folder: Path
) -> None:
    charlies = user_key(cast.charlie, cast.account).plaintext
    named = {"spaceId": space, "datasetName": "golden"}
    with flying(flight_server, bobs) as flight:
        made = flight.put(ROWS, "DatasetWritten", createDataset=named)
        entry = flight.act(
            "create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry={**named, "experimentName": "e"}
        )
        stored = files(tables_folder)
        reader = flight.with_key(charlies)
        refused = {
            call.method: outcome(reader, call)[0]
            for call in [
                Asked("put", {"createDataset": {"spaceId": space, "datasetName": "another"}}),
                Asked("put", {"updateDataset": named}),
                Asked(
                    "put",
                    {"postExperimentData": {"spaceId": space, "datasetId": made.dataset_id, "experimentName": "e"}},
                ),
                Asked("delete_dataset", {"deleteDataset": named}),
                Asked("create_experiment_db_entry", {"createExperimentDbEntry": {**named, "experimentName": "new"}}),
                Asked(
                    "delete_experiment", {"deleteExperiment": {"spaceId": space, "experimentId": entry.experiment_id}}
                ),
            ]
        }
        read = reader.get(getDataset=named)
        listed = reader.act("list_datasets", "Datasets", listDatasets={"spaceId": space})

    assert set(refused.values()) == {"FlightUnauthorizedError"}
    assert read.equals(ROWS)
    assert len(listed.datasets) == 1
    assert files(tables_folder) == stored
    assert (Dataset.objects.count(), DatasetVersion.objects.count(), Experiment.objects.count()) == (1, 1, 1)
    assert AuditEvent.objects.filter(outcome="REFUSED", door="flight").count() >= 6


def test_a_key_revoked_between_two_calls_on_one_connection_fails_the_second(
    flight_server: FlightServer, cast: Cast, space: str
) -> None:
    key = user_key(cast.bob, cast.account)
    with flying(flight_server, key.plaintext) as flight:
        flight.act("list_datasets", "Datasets", listDatasets={"spaceId": space})

        revoke_key(cast.actor(cast.bob), key.key, at=timezone.now())

        with pytest.raises(fl.FlightUnauthenticatedError):
            flight.act("list_datasets", "Datasets", listDatasets={"spaceId": space})


def test_a_key_revoked_while_data_comes_keeps_nothing(
    flight_server: FlightServer, cast: Cast, space: str, tables_folder: Path
) -> None:
    key = user_key(cast.bob, cast.account)
    command = json.dumps({"createDataset": {"spaceId": space, "datasetName": "golden"}}).encode()
    with flying(flight_server, key.plaintext) as flight:
        writer, reader = flight.client.do_put(fl.FlightDescriptor.for_command(command), ROWS.schema, flight.options)
        writer.write_table(ROWS)
        wait_for(lambda: files(tables_folder) != [])

        revoke_key(cast.actor(cast.bob), key.key, at=timezone.now())
        writer.done_writing()

        with pytest.raises(fl.FlightUnauthenticatedError):
            reader.read()
        with contextlib.suppress(fl.FlightUnauthenticatedError):
            writer.close()
    assert files(tables_folder) == []
    assert not Dataset.objects.exists()


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_refusal_does_not_wait_for_the_data(flight_server: FlightServer, bobs: str, cast: Cast) -> None:
    """Whoever streams without end hears it: the server reads no further than the command."""
    command = json.dumps({"createDataset": {"spaceId": wire_id(cast.vision_lab), "datasetName": "golden"}}).encode()
    part = pa.record_batch({"text": ["x" * 1_000] * 1_000})
    with flying(flight_server, bobs) as flight:
        writer, _ = flight.client.do_put(fl.FlightDescriptor.for_command(command), part.schema, flight.options)

        sent = 0
        with pytest.raises(fl.FlightUnauthorizedError):  # noqa: PT012 -- on which write it comes is the network's
            for sent in range(2_000):  # noqa: B007 -- asked below
                writer.write_batch(part)

        with contextlib.suppress(fl.FlightUnauthorizedError):
            writer.close()
    assert sent < 1_000


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "{key}"},
        {"authorization": "Bearer {key}"},
        {"authorization": "bEARER {key}"},
        {"x_api_key": "{key}"},
        {"api_key": "{key}"},
        {"arize_api_key": "{key}"},
    ],
)
def test_a_key_may_come_in_any_of_its_headers(
    flight_server: FlightServer, bobs: str, space: str, headers: dict[str, str]
) -> None:
    given = {name: value.format(key=bobs) for name, value in headers.items()}
    with flying(flight_server, None, **given) as flight:
        assert not flight.act("list_datasets", "Datasets", listDatasets={"spaceId": space}).datasets


def test_two_keys_or_two_spaces_are_refused(flight_server: FlightServer, cast: Cast, bobs: str, space: str) -> None:
    call = Asked("list_datasets", {"listDatasets": {"spaceId": space}})
    with flying(flight_server, bobs, authorization=f"Bearer {bobs}", space_id=space) as flight:
        assert not flight.act("list_datasets", "Datasets", **call.command).datasets
        other = user_key(cast.bob, cast.account, name="other").plaintext
        two_keys = outcome(flight.with_key(bobs, authorization=other), call)
        two_spaces = outcome(flight.with_key(bobs, space_id=wire_id(cast.staging)), call)

    assert two_keys == (
        "ArrowInvalid",
        "Flight returned invalid argument error, with message: Send one API key. Two different ones came",
    )
    assert two_spaces[0] == "ArrowInvalid"


@pytest.mark.parametrize(
    ("method", "command"),
    [
        ("put", {}),
        ("put", {"createDataset": {}, "updateDataset": {}}),
        ("put", {"getDataset": {"spaceId": "x"}}),
        ("put", {"createDataset": []}),
        ("put", {"createDataset": {"datasetName": "no space"}}),
        ("get", {"unknown": {}}),
        ("get", {"getDataset": {"spaceId": "nonsense"}}),
        ("list_datasets", {"deleteDataset": {"spaceId": "x", "datasetName": "y"}}),
        ("no_such_action", {"listDatasets": {}}),
    ],
)
def test_malformed_commands_are_refused(
    flight_server: FlightServer, bobs: str, method: str, command: dict[str, Any]
) -> None:
    with flying(flight_server, bobs) as flight:
        kind, text = outcome(flight, Asked(method, command))

    assert (kind, "Traceback" in text) in {("ArrowInvalid", False), ("FlightUnauthorizedError", False)}


def test_unknown_members_are_passed_over(flight_server: FlightServer, bobs: str, space: str) -> None:
    with flying(flight_server, bobs) as flight:
        made = flight.put(
            ROWS,
            "DatasetWritten",
            createDataset={"spaceId": space, "datasetName": "golden", "datasetType": "NEWER", "since": {"v9": [1]}},
            hint="none",
        )

    assert Dataset.objects.get().wire_id == made.dataset_id


def test_what_failed_with_us_says_so_and_nothing_more(
    flight_server: FlightServer, bobs: str, space: str, tables_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables_folder.write_text("in the way of the folder")
    with flying(flight_server, bobs) as flight:
        kind, text = outcome(flight, Asked("put", {"createDataset": {"spaceId": space, "datasetName": "golden"}}))

    assert (kind, "Traceback" in text, str(tables_folder) in text) == ("FlightUnavailableError", False, False)
    assert not Dataset.objects.exists()
    assert bobs not in caplog.text
