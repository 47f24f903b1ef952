"""Flight and OTLP over gRPC: real clients against the real server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pytest_django import Settings

from accounts.models import AuditEvent, Project, ProjectKind, Space, User
from accounts.roles import RoleName
from accounts.wire import encode_id
from apikeys.lifecycle import revoke_key
from apikeys.workflows import datasets, streams, tables
from apikeys.workflows.grpc import wire
from apikeys.workflows.grpc.commands import answers
from apikeys.workflows.grpc.server import Server
from apikeys.workflows.grpc.services import SERVICES
from apikeys.workflows.models import Dataset, DatasetKind, DatasetVersion, Experiment, WorkflowUse
from tests.asides import wait_for
from tests.cast import Cast
from tests.factories import ProjectFactory, bind, custom_role, later, user_key
from tests.ports import free_port
from tests.test_quickstart import ROOT
from tests.workflows.conftest import FlightServer
from tests.workflows.flights import Flight, flying
from tests.workflows.sending import as_bytes, stream_of


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


def test_an_experiment_begun_by_somebody_else_does_not_tell_the_name_of_a_restricted_project(
    cast: Cast, flight_server: FlightServer, bobs: str, space: str
) -> None:
    named = {"spaceId": space, "datasetName": "golden", "experimentName": "first"}
    with flying(flight_server, bobs) as flight:
        flight.put(ROWS, "DatasetWritten", createDataset={"spaceId": space, "datasetName": "golden"})
        begin = {**named, "traceModelName": "secret"}
        flight.act("create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry=begin)
        Project.objects.update(restricted_at=timezone.now())
        again = flight.act("create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry=named)

    assert again.trace_model_name == "golden experiments"


@pytest.mark.parametrize("taken", ["restricted", "model"])
def test_an_experiment_begins_without_traces_where_their_name_is_taken(
    cast: Cast, flight_server: FlightServer, bobs: str, space: str, taken: str
) -> None:
    project = ProjectFactory.create(space=cast.production, name="mine")
    changes = {"restricted_at": timezone.now()} if taken == "restricted" else {"kind": ProjectKind.ML_MODEL}
    Project.objects.filter(pk=project.pk).update(**changes)
    begin = {"spaceId": space, "datasetName": "golden", "experimentName": "first", "traceModelName": "mine"}
    with flying(flight_server, bobs) as flight:
        flight.put(ROWS, "DatasetWritten", createDataset={"spaceId": space, "datasetName": "golden"})
        entry = flight.act("create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry=begin)

    assert entry.trace_model_name == "mine"
    assert Experiment.objects.get().project is None


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


RUN = pa.table({"id": ["0"], "example_id": ["a"], "result": ["yes"]})


def run_first(flight: Flight, space: str, *, dataset: str, experiment: str) -> dict[str, Any]:
    """Make a dataset and an experiment on it with its run, and return what names both."""
    named = {"spaceId": space, "datasetName": dataset}
    begin = {**named, "experimentName": experiment}
    made = flight.put(ROWS, "DatasetWritten", createDataset=named)
    flight.act("create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry=begin)
    posting = {"spaceId": space, "datasetId": made.dataset_id, "experimentName": experiment}
    flight.put(RUN, "RunsPosted", postExperimentData=posting)
    return begin


def test_names_are_found_as_they_were_given(flight_server: FlightServer, bobs: str, space: str) -> None:
    with flying(flight_server, bobs) as flight:
        named = run_first(flight, space, dataset="golden ", experiment=" first")
        read = flight.get(getExperiment=named)

    assert read.select(RUN.column_names).equals(RUN)
    assert (Dataset.objects.get().name, Experiment.objects.get().name) == ("golden", "first")


@pytest.mark.parametrize("name", ["", "first"])
def test_an_experiment_that_cannot_begin_makes_no_project_for_its_traces(
    flight_server: FlightServer, bobs: str, space: str, name: str
) -> None:
    with flying(flight_server, bobs) as flight:
        named = run_first(flight, space, dataset="golden", experiment="first")
        with pytest.raises(pa.lib.ArrowException, match="already has an experiment|A name has 1"):
            flight.act(
                "create_experiment_db_entry",
                "ExperimentEntry",
                createExperimentDbEntry={**named, "experimentName": name, "traceModelName": "ghost"},
            )

    assert [project.name for project in Project.objects.all()] == ["golden experiments"]


def test_whoever_may_make_experiments_and_not_read_them_fills_what_they_began(
    cast: Cast, flight_server: FlightServer, space: str
) -> None:
    role = custom_role(cast.account, "runs", "SPACE_READ", "DATASET_READ", "EXPERIMENT_CREATE")
    bind(cast.erin, cast.production, role)
    dataset = datasets.create_dataset(
        cast.actor(cast.bob),
        cast.production,
        name="golden",
        kind=DatasetKind.GENERATIVE,
        stream=stream_of(ROWS),
        at=timezone.now(),
    ).dataset
    named = {"spaceId": space, "experimentName": "first"}
    with flying(flight_server, user_key(cast.erin, cast.account).plaintext) as flight:
        begin = {**named, "datasetName": "golden"}
        flight.act("create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry=begin)
        flight.put(RUN, "RunsPosted", postExperimentData={**named, "datasetId": dataset.wire_id})
        with pytest.raises(pa.lib.ArrowException, match="EXPERIMENT_READ"):
            flight.get(getExperiment=begin)

    experiment = Experiment.objects.get()
    assert experiment.table is not None
    assert experiment.table.rows == 1


@dataclass
class Asked:
    """A call, and whose data it would touch."""

    method: str
    command: dict[str, Any]


@pytest.mark.parametrize("given", [{"id": [0, 1]}, {}], ids=["numbers", "none"])
def test_runs_are_read_with_ids_that_are_texts_and_under_both_names(
    flight_server: FlightServer, bobs: str, space: str, given: dict[str, list[int]]
) -> None:
    named = {"spaceId": space, "datasetName": "golden"}
    runs = pa.table({**given, "example_id": ["a", "b"], "output": ["yes", None]})
    with flying(flight_server, bobs) as flight:
        made = flight.put(ROWS, "DatasetWritten", createDataset=named)
        begin = {**named, "experimentName": "first"}
        entry = flight.act("create_experiment_db_entry", "ExperimentEntry", createExperimentDbEntry=begin)
        posting = {"spaceId": space, "datasetId": made.dataset_id, "experimentName": "first"}
        flight.put(runs, "RunsPosted", postExperimentData=posting)

        read = flight.get(getExperiment={"spaceId": space, "experimentId": entry.experiment_id})

    assert read.column("id").type == pa.string()
    assert len(set(read.column("id").to_pylist())) == 2
    assert read.column("output").to_pylist() == read.column("result").to_pylist() == ["yes", None]


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


NO_KEY = "The API key is missing, unknown, expired or revoked."
NO_SPACE = "You have no access to this space, or there is no such space. Ask one of its admins."


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
        refused = [
            outcome(reader, call)[0]
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
        ]
        read = reader.get(getDataset=named)
        listed = reader.act("list_datasets", "Datasets", listDatasets={"spaceId": space})

    assert refused == ["FlightUnauthorizedError"] * 6
    assert read.equals(ROWS)
    assert len(listed.datasets) == 1
    assert files(tables_folder) == stored
    assert (Dataset.objects.count(), DatasetVersion.objects.count(), Experiment.objects.count()) == (1, 1, 1)
    # The very same refusal, as those of runs and of an experiment are, is told once.
    assert AuditEvent.objects.filter(outcome="REFUSED", door="flight", operation_type="MUTATION").count() == 5


def test_a_refusal_that_cannot_be_recorded_is_a_failure(
    flight_server: FlightServer, cast: Cast, space: str, tables_folder: Path
) -> None:
    create = Asked("put", {"createDataset": {"spaceId": space, "datasetName": "new"}})
    with flying(flight_server, user_key(cast.charlie, cast.account).plaintext) as reader:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE accounts_auditevent RENAME TO away")
        try:
            unrecorded = outcome(reader, create)
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE away RENAME TO accounts_auditevent")
        recorded = outcome(reader, create)

    assert (unrecorded[0], recorded[0]) == ("FlightUnavailableError", "FlightUnauthorizedError")
    assert "The database cannot be reached." in unrecorded[1]
    assert AuditEvent.objects.filter(outcome="REFUSED").count() == 1  # the first counts as not told
    assert files(tables_folder) == []


def test_the_audit_log_has_no_key_that_hides_behind_escapes(
    flight_server: FlightServer, cast: Cast, bobs: str, space: str
) -> None:
    command = {"deleteDataset": {"spaceId": space, "datasetName": "golden"}, "note": "KEY"}
    hidden = json.dumps(command).replace("KEY", bobs.replace("ak-", "\\u0061k-"))
    with flying(flight_server, bobs) as flight:
        flight.put(ROWS, "DatasetWritten", createDataset=command["deleteDataset"])
        list(flight.client.do_action(fl.Action("delete_dataset", hidden.encode()), flight.options))

    told = [event.operation_text for event in AuditEvent.objects.filter(door="flight")]
    assert any("ak-[redacted]" in text for text in told)
    assert not any(bobs.removeprefix("ak-") in text for text in told)


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

        assert reader.read() is None
        with pytest.raises(fl.FlightUnauthenticatedError):
            writer.close()
    assert files(tables_folder) == []
    assert not Dataset.objects.exists()


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


def test_a_key_may_come_in_any_of_its_headers(flight_server: FlightServer, bobs: str, space: str) -> None:
    given = {
        "authorization": [bobs, f"Bearer {bobs}", f"bEARER {bobs}"],
        "x_api_key": [bobs],
        "api_key": [bobs],
        "arize_api_key": [bobs],
    }
    with flying(flight_server, None) as connection:
        for header, values in given.items():
            for value in values:
                flight = connection.with_key(None, **{header: value})

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
        "Flight returned invalid argument error, with message: Send one API key. Two different ones came.",
    )
    assert two_spaces[0] == "ArrowInvalid"


def test_malformed_commands_are_refused(flight_server: FlightServer, bobs: str, space: str) -> None:
    unknown = "is not the JSON of a request that this server knows"
    with flying(flight_server, bobs) as flight:
        for method, command, says in (
            ("put", {}, unknown),
            ("put", {"createDataset": {}, "updateDataset": {}}, unknown),
            ("put", {"getDataset": {"spaceId": space}}, unknown),
            ("put", {"createDataset": []}, "Name the space"),
            ("get", {"unknown": {}}, unknown),
            ("get", {"getDataset": {"spaceId": "nonsense"}}, "not the ID of a space"),
            ("get", {"getDataset": {"spaceId": space, "datasetId": "nonsense"}}, "not the ID of a dataset"),
            ("get", {"getDataset": {"spaceId": space, "datasetName": [1]}}, unknown),
            ("list_datasets", {"deleteDataset": {"spaceId": space, "datasetName": "y"}}, "not that of the action"),
            ("no_such_action", {"listDatasets": {}}, "no such action"),
        ):
            kind, text = outcome(flight, Asked(method, command))

            assert (kind, says in text) == ("ArrowInvalid", True), (command, text)
            assert "Traceback" not in text


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


SERVICE = "/arrow.flight.protocol.FlightService"


def uploading(command: dict[str, Any], parts: Iterable[bytes]) -> Iterator[bytes]:
    """Return what an upload consists of on the wire, with the descriptor in the first message."""
    descriptor = wire.flight.FlightDescriptor(type="CMD", cmd=json.dumps(command).encode()).SerializeToString()
    head = b"\x0a" + bytes([len(descriptor) & 0x7F | 0x80, len(descriptor) >> 7]) + descriptor
    for number, part in enumerate(parts):
        yield part if number else head + part


def messages_of(table: pa.Table, **options: Any) -> list[tuple[bytes, bytes]]:
    """Return a table as the messages of an Arrow stream: metadata and body of each."""
    body = as_bytes(table, **options)
    return [(metadata, content) for metadata, content in streams.read_messages(io.BytesIO(body))]


def raw_put(channel: grpc.Channel, key: str, messages: Iterable[bytes]) -> grpc.RpcError:
    """Upload what no client would; return how it was refused."""
    answer = raw_call(channel, key, "DoPut", messages)
    with pytest.raises(grpc.RpcError) as refused:
        list(answer)
    return refused.value


def raw_call(channel: grpc.Channel, key: str, method: str, messages: Iterable[bytes]) -> Any:
    """Begin a call whose messages are as they are."""
    call: Any = channel.stream_stream(f"{SERVICE}/{method}")
    return call(iter(messages), metadata=(("auth-token-bin", key.encode()),), timeout=60)


def test_malformed_streams_are_refused_and_leave_nothing(
    flight_server: FlightServer, bobs: str, space: str, tables_folder: Path, settings: Settings
) -> None:
    settings.TABLE_MOST_COLUMNS = 5_000
    command = {"createDataset": {"spaceId": space, "datasetName": "golden"}}
    schema, batch = messages_of(pa.table({"n": [1, 2, 3]}))
    two = messages_of(pa.table({"n": [1], "m": [1]}))[0]
    squeezed, content = messages_of(pa.table({"n": [0] * 10_000}), compression="zstd")[1]
    bomb = (1 << 40).to_bytes(8, "little") + content[8:]
    wide = messages_of(pa.table({f"c{number}": [1] for number in range(10_000)}))
    parts = {
        "no protobuf": [b"\xff\xff\xff"],
        "no descriptor": None,
        "nothing but the command": [b""],
        "no schema": [wire.write_part(*views(b"garbage, not metadata", b""))],
        "rows before the schema": [wire.write_part(*views(*batch))],
        "half a batch": [wire.write_part(*views(*part)) for part in (schema, (batch[0], batch[1][:8]))],
        "rows of another schema": [wire.write_part(*views(*part)) for part in (two, batch)],
        "two schemas": [wire.write_part(*views(*part)) for part in (schema, schema)],
        "broken metadata": [wire.write_part(*views(*part)) for part in (schema, (batch[0][:40], batch[1]))],
        "a compression bomb": [wire.write_part(*views(*part)) for part in (schema, (squeezed, bomb))],
        "10 000 columns": [wire.write_part(*views(*part)) for part in wide],
    }
    says = {
        "no protobuf": "not one of Arrow Flight's",
        "no descriptor": "not the JSON of a request",
        "nothing but the command": "schema message, was null",
        "no schema": "malformed metadata",
        "rows before the schema": "begins with its one schema",
        "half a batch": "buffers outside of what came",
        "rows of another schema": "Ran out of field metadata",
        "two schemas": "begins with its one schema",
        "broken metadata": "malformed metadata",
        "a compression bomb": "may have 512 MB",
        "10 000 columns": "10000 columns are too many",
    }
    with channel_to(flight_server) as channel:
        found = {
            name: raw_put(
                channel,
                bobs,
                [wire.write_part(*views(*schema))]
                if messages is None
                else messages
                if name == "no protobuf"
                else uploading(command, messages),
            )
            for name, messages in parts.items()
        }

    assert {name: refusal.code() for name, refusal in found.items()} == dict.fromkeys(
        parts, grpc.StatusCode.INVALID_ARGUMENT
    )
    told = {name: str(refusal.details()) for name, refusal in found.items()}
    assert not [(name, told[name]) for name in parts if says[name] not in told[name]]
    assert not [text for text in told.values() if "Traceback" in text or bobs in text]
    assert files(tables_folder) == []
    assert not Dataset.objects.exists()


def views(metadata: bytes, body: bytes) -> tuple[memoryview, memoryview]:
    """Return both as what they are written from."""
    return memoryview(metadata), memoryview(body)


DYING = """
import json, sys
import pyarrow as pa, pyarrow.flight as fl
place, key, space = sys.argv[1:]
part = pa.record_batch({"text": ["x" * 1_000] * 100})
command = json.dumps({"createDataset": {"spaceId": space, "datasetName": "golden"}}).encode()
options = fl.FlightCallOptions(headers=[(b"auth-token-bin", key.encode())])
writer, _ = fl.connect(place).do_put(fl.FlightDescriptor.for_command(command), part.schema, options)
for number in range(20):
    writer.write_batch(part)
print("half", flush=True)
sys.stdin.read()
"""


def test_nothing_is_kept_of_a_client_that_died(
    flight_server: FlightServer, bobs: str, space: str, tables_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apikeys.workflows.grpc.server._LOOKS", 6_000)  # however late it turns out here
    arguments = [sys.executable, "-c", DYING, f"grpc://127.0.0.1:{flight_server.port}", bobs, space]
    for _ in range(3):  # whether its end looks like an end of its data is a matter of luck
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "half\n"
            wait_for(lambda: files(tables_folder) != [])

            client.kill()

        wait_for(lambda: files(tables_folder) == [])

    assert not Dataset.objects.exists()


@contextlib.contextmanager
def server_with(**limits: Any) -> Iterator[Limited]:
    """Another server, with limits of its own."""
    server = Server(SERVICES, **limits)
    port = server.listen("127.0.0.1:0")
    server.start()
    yield Limited(port, 0, Path(), lambda: server.calls)
    server.stop(grace=0)


@dataclass(frozen=True)
class Limited(FlightServer):
    """A server, and how many calls run on it."""

    calls: Callable[[], int]


def test_more_calls_than_there_are_places_are_told_to_come_again(
    flight_server: FlightServer, bobs: str, space: str
) -> None:
    command = json.dumps({"createDataset": {"spaceId": space, "datasetName": "golden"}}).encode()
    with server_with(calls=2) as server, flying(server, bobs) as flight, channel_to(server) as channel:
        waiting = [
            flight.client.do_put(fl.FlightDescriptor.for_command(command), ROWS.schema, flight.options)[0]
            for _ in range(2)
        ]

        wait_for(lambda: server.calls() == 2)
        health = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.RpcError) as refusal:
            health.Check(health_pb2.HealthCheckRequest())
        for writer in waiting:
            with contextlib.suppress(fl.FlightError, pa.ArrowException):
                writer.close()

    assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_whoever_asks_for_health_without_a_key_takes_no_place(
    flight_server: FlightServer, bobs: str, space: str
) -> None:
    """Though the question never comes, or is none."""
    kept_waiting = threading.Event()

    def never() -> Iterator[bytes]:
        kept_waiting.wait(60)
        yield b""

    def served() -> bool:
        # The place of a call is free a moment after its answer.
        with contextlib.suppress(fl.FlightError, pa.ArrowException):
            flight.act("list_datasets", "Datasets", listDatasets={"spaceId": space})
            return True
        return False

    with server_with(calls=4) as server, flying(server, bobs) as flight, channel_to(server) as channel:
        check: Any = channel.stream_unary("/grpc.health.v1.Health/Check")
        asking = [check.future(never()) for _ in range(4)]
        try:
            told = [health_pb2.HealthCheckResponse.FromString(answer.result(30)) for answer in asking]
            wait_for(served)
        finally:
            kept_waiting.set()
        nonsense: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        told.append(health_pb2.HealthCheckResponse.FromString(nonsense(b"\xff" * 2**22)))

    assert {answer.status for answer in told} == {health_pb2.HealthCheckResponse.SERVING}


def test_a_key_leaves_places_to_others(
    flight_server: FlightServer, bobs: str, cast: Cast, space: str, tables_folder: Path
) -> None:
    alices = user_key(cast.alice, cast.account).plaintext
    command = json.dumps({"createDataset": {"spaceId": space, "datasetName": "golden"}}).encode()
    with server_with(calls_of_key=2) as server, flying(server, bobs) as flight:
        waiting = [
            flight.client.do_put(fl.FlightDescriptor.for_command(command), ROWS.schema, flight.options)[0]
            for _ in range(2)
        ]

        for writer in waiting:
            writer.write_table(ROWS)
        wait_for(lambda: len(files(tables_folder)) == 2)
        with pytest.raises(pa.ArrowException, match=r"2 calls open, and may have no more. Wait") as refusal:
            flight.act("list_datasets", "Datasets", listDatasets={"spaceId": space})
        flight.with_key(alices).act("list_datasets", "Datasets", listDatasets={"spaceId": space})
        for writer in waiting:
            with contextlib.suppress(fl.FlightError, pa.ArrowException):
                writer.close()
        wait_for(lambda: server.calls() == 0)
        flight.act("list_datasets", "Datasets", listDatasets={"spaceId": space})

    assert "Wait 1 second" not in str(refusal.value)


@pytest.mark.parametrize("method", ["DoGet", "DoAction", "GetFlightInfo"])
def test_a_request_is_no_larger_than_a_command(flight_server: FlightServer, bobs: str, method: str) -> None:
    with channel_to(flight_server) as channel:
        call: Any = channel.unary_unary(f"/arrow.flight.protocol.FlightService/{method}")
        with pytest.raises(grpc.RpcError) as refusal:
            call(bytes(2 * 2**20 + 1), metadata=(("authorization", bobs),))

    assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "2 MB" in (refusal.value.details() or "")


def test_the_command_of_an_upload_is_no_larger_either(flight_server: FlightServer, bobs: str) -> None:
    size = 2 * 2**20 + 2
    message = b"\x0a" + bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80, size >> 21])
    with channel_to(flight_server) as channel:
        refusal = raw_put(channel, bobs, [message + b"\x1a\x00" * (size // 2)])

    assert refusal.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "2 MB" in (refusal.details() or "")


def test_whoever_does_not_go_on_loses_their_place(
    flight_server: FlightServer, bobs: str, space: str, tables_folder: Path
) -> None:
    """Neither while sending nor while reading."""
    named = {"spaceId": space, "datasetName": "large"}
    large = pa.table({"noise": [os.urandom(100) for _ in range(300_000)]})
    command = json.dumps({"createDataset": {"spaceId": space, "datasetName": "golden"}}).encode()
    with flying(flight_server, bobs) as flight:  # which waits for whoever is only slow
        flight.put(large, "DatasetWritten", createDataset=named)
    stored = files(tables_folder)
    with server_with(idle=3.0) as server, flying(server, bobs) as flight, channel_to(server) as channel:
        writer, reader = flight.client.do_put(fl.FlightDescriptor.for_command(command), ROWS.schema, flight.options)
        ticket = wire.flight.Ticket(ticket=json.dumps({"getDataset": named}).encode()).SerializeToString()
        reading = raw_call(channel, bobs, "DoGet", [ticket])
        wait_for(lambda: server.calls() == 2)
        wait_for(lambda: server.calls() == 0)

        assert reader.read() is None
        with pytest.raises(fl.FlightCancelledError):
            writer.close()
        with pytest.raises(grpc.RpcError) as cut_off:
            list(reading)
        assert cut_off.value.code() == grpc.StatusCode.CANCELLED
    assert files(tables_folder) == stored


def test_a_key_in_the_clear_counts_only_from_this_machine_or_behind_a_proxy_that_is_believed(
    flight_server: FlightServer, bobs: str, space: str, settings: Settings
) -> None:
    call = Asked("list_datasets", {"listDatasets": {"spaceId": space}})
    forwarded = {"x_forwarded_for": "203.0.113.9"}
    with flying(flight_server, bobs) as flight:
        direct = outcome(flight.with_key(bobs, **forwarded), call)
        settings.TRUSTED_PROXIES = 1
        plain = outcome(flight.with_key(bobs, x_forwarded_proto="http", **forwarded), call)
        made(flight.with_key(bobs, x_forwarded_proto="https", **forwarded), call)
        elsewhere = Asked("list_datasets", {"listDatasets": {"spaceId": encode_id("Space", 10**6)}})
        outcome(flight.with_key(bobs, x_forwarded_proto="https", **forwarded), elsewhere)

    assert direct == plain
    assert direct[0] == "FlightUnauthorizedError"
    assert "TLS only" in direct[1]
    assert [str(event.ip) for event in AuditEvent.objects.filter(door="flight")] == ["203.0.113.9"]


class Process:
    """`manage.py serveflight`, as a process of its own."""

    def __init__(self, tables_folder: Path, *arguments: str) -> None:
        names = ("NAME", "USER", "PASSWORD", "HOST", "PORT")
        database = {name: connection.settings_dict[name] for name in names}
        given = {
            "database": {"ENGINE": "django.db.backends.postgresql", **database},
            "tables": str(tables_folder),
        }
        self.port = free_port()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.workflows.serve", "--port", str(self.port), "--tls-port", "0"),
                *arguments,
            ],
            cwd=ROOT,
            env=os.environ | {"ARIZEKEYS_DATA": str(django_settings.DATA_FOLDER), "FLIGHT_SERVER": json.dumps(given)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        assert f"grpc://127.0.0.1:{self.port}" in self.process.stdout.readline()

    @property
    def place(self) -> FlightServer:
        """Where it listens."""
        return FlightServer(self.port, 0, Path())

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_what_was_acknowledged_outlives_a_killed_server_and_nothing_else_does(
    flight_server: FlightServer, bobs: str, space: str, tables_folder: Path
) -> None:
    with Process(tables_folder) as server, flying(server.place, bobs) as flight:
        flight.put(ROWS, "DatasetWritten", createDataset={"spaceId": space, "datasetName": "golden"})
        kept = files(tables_folder)
        command = json.dumps({"createDataset": {"spaceId": space, "datasetName": "half"}}).encode()
        writer, _ = flight.client.do_put(fl.FlightDescriptor.for_command(command), ROWS.schema, flight.options)
        writer.write_table(ROWS)
        wait_for(lambda: files(tables_folder) != kept)

        server.process.kill()

        with pytest.raises(fl.FlightUnavailableError):
            writer.close()
    with flying(flight_server, bobs) as flight:
        read = flight.get(getDataset={"spaceId": space, "datasetName": "golden"})
    tables.sweep(grace=-1)

    assert read.equals(ROWS)
    assert [dataset.name for dataset in Dataset.objects.all()] == ["golden"]
    assert files(tables_folder) == kept


def test_a_server_that_is_told_to_end_lets_calls_finish(
    bobs: str, space: str, tables_folder: Path, transactional_db: None
) -> None:
    with Process(tables_folder, "--grace", "30") as server, flying(server.place, bobs) as flight:
        command = json.dumps({"createDataset": {"spaceId": space, "datasetName": "golden"}}).encode()
        writer, reader = flight.client.do_put(fl.FlightDescriptor.for_command(command), ROWS.schema, flight.options)
        writer.write_table(ROWS)
        wait_for(lambda: files(tables_folder) != [])

        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not listens(server.port))
        writer.write_table(ROWS)
        writer.done_writing()
        answer = answers.DatasetWritten.FromString(reader.read().to_pybytes())
        writer.close()

        assert server.process.wait(30) == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""
    assert Dataset.objects.get().wire_id == answer.dataset_id
    assert DatasetVersion.objects.get().table.rows == 2 * ROWS.num_rows


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
START = 1_790_000_000 * 10**9


def trace_of(project: str | None, *names: str) -> bytes:
    """What an exporter sends: one trace with spans of these names."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    if project:
        attribute = resource.resource.attributes.add(key="openinference.project.name")
        attribute.value.string_value = project
    for number, name in enumerate(names, start=1):
        span = resource.scope_spans.add().spans.add(
            trace_id=bytes(15) + b"\x01",
            span_id=bytes(7) + bytes([number]),
            name=name,
            start_time_unix_nano=START,
            end_time_unix_nano=START + number,
        )
        span.attributes.add(key="llm.input_messages.0.message.role").value.string_value = "user"
    return bytes(request.SerializeToString())


def send(channel: grpc.Channel, body: bytes, **headers: str) -> grpc.StatusCode:
    """Export spans as OpenTelemetry does; return how it ended."""
    export: Any = channel.unary_unary(TRACES)
    given = tuple((name.replace("__", "-"), value) for name, value in headers.items())
    _, call = export.with_call(body, metadata=given, timeout=60)
    code: grpc.StatusCode = call.code()
    return code


def refusal_of(channel: grpc.Channel, body: bytes, **headers: str) -> grpc.StatusCode:
    """Export spans that are refused."""
    with pytest.raises(grpc.RpcError) as refused:
        send(channel, body, **headers)
    return refused.value.code()


def exporting(space: str, **query: Any) -> dict[str, Any]:
    """What an exporter asks for, around the moment of the spans."""
    return {
        "spaceId": space,
        "modelId": "tracing",
        "environment": "TRACING",
        "startTime": "2026-09-21T00:00:00Z",
        "endTime": "2026-09-22T12:00:00Z",
        **query,
    }


def test_spans_by_opentelemetry_are_updated_and_exported(flight_server: FlightServer, bobs: str, space: str) -> None:
    with channel_to(flight_server, tls=True) as channel:
        sent = send(
            channel, trace_of("tracing", "first", "second"), authorization=bobs, api_key=bobs, arize__space__id=space
        )
    spans = [f"{number:016x}" for number in (1, 2, 3)]
    target = {"spaceId": space, "externalModelId": "tracing"}
    with flying(flight_server, bobs) as flight:
        evaluated = flight.put(
            pa.table({"context.span_id": spans, "eval.good.label": ["yes", "no", "yes"]}),
            "SpansUpdated",
            writeSpanEvaluationRequest=target,
        )
        annotated = flight.put(
            pa.table({"context.span_id": spans[:1], "annotation.note.label": ["fine"]}),
            "SpansUpdated",
            writeSpanAnnotationRequest=target,
        )
        patched = flight.put(
            pa.table({"context.span_id": spans, "patch_document": ['{"a": 1}', "no JSON", None]}),
            "MetadataUpdated",
            writeSpanAttributesMetadataRequest=target,
        )
        info = flight.info(**exporting(space))
        exported = flight.client.do_get(info.endpoints[0].ticket, flight.options).read_all()
        some = flight.info(**exporting(space, filterExpression="name = 'second'", projectedColumns=["name"]))
        projected = flight.client.do_get(some.endpoints[0].ticket, flight.options).read_all()
        nothing = flight.info(**exporting(space, endTime="2026-09-21T00:00:01Z"))

    assert sent == grpc.StatusCode.OK
    assert (evaluated.records_updated, evaluated.unmatched_ids) == (2, spans[2:])
    assert (annotated.records_updated, annotated.unmatched_ids) == (1, [])
    assert (patched.spans_processed, patched.spans_updated, patched.spans_failed) == (3, 1, 2)
    assert [error.span_id for error in patched.errors] == spans[1:]
    assert (info.total_records, info.schema) == (2, exported.schema)
    assert exported.column("name").to_pylist() == ["first", "second"]
    assert exported.column("start_time").to_pylist() == [START, START]
    assert exported.column("eval.good.label").to_pylist() == ["yes", "no"]
    assert exported.column("annotation.note.label").to_pylist() == ["fine", None]
    assert (some.total_records, sorted(projected.column_names)) == (1, ["name", "time"])
    assert nothing.total_records == 0


def test_spans_are_refused_as_exporters_understand(
    flight_server: FlightServer, cast: Cast, bobs: str, space: str
) -> None:
    charlies = user_key(cast.charlie, cast.account).plaintext
    mallorys = user_key(cast.mallory, cast.elsewhere.organization.account).plaintext
    body = trace_of("tracing", "first")
    with channel_to(flight_server) as channel:
        found = [
            refusal_of(channel, body, arize__space__id=space),
            refusal_of(channel, body, arize__space__id=space, authorization="Bearer nonsense"),
            refusal_of(channel, body, arize__space__id=space, authorization=charlies),
            refusal_of(channel, body, arize__space__id=space, authorization=mallorys),
            refusal_of(channel, body, authorization=bobs),
            refusal_of(channel, b"\xff", authorization=bobs, space_id=space),
        ]

    assert found == [
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.INVALID_ARGUMENT,
    ]
    assert not Project.objects.exists()


def test_a_ticket_is_worth_nothing_to_others(flight_server: FlightServer, cast: Cast, bobs: str, space: str) -> None:
    with channel_to(flight_server) as channel:
        send(channel, trace_of("tracing", "first"), authorization=bobs, arize__space__id=space)
    mallorys = user_key(cast.mallory, cast.elsewhere.organization.account).plaintext
    with flying(flight_server, bobs) as flight:
        ticket = flight.info(**exporting(space)).endpoints[0].ticket
        with pytest.raises(fl.FlightUnauthorizedError):
            flight.client.do_get(ticket, flight.with_key(mallorys).options).read_all()
        with pytest.raises(fl.FlightUnauthenticatedError):
            flight.client.do_get(ticket, flight.with_key(None).options).read_all()
        found = {
            change: outcome_of_export(flight, exporting(space, **{change: value}))
            for change, value in {
                "modelId": "another",
                "environment": "CORPUS",
                "endTime": "2026-09-20T00:00:00Z",
                "filterExpression": "name = (SELECT 1)",
                "similaritySearchParams": {"searchColumnName": "x"},
                "projectedColumns": ["no such column"],
            }.items()
        }

    assert found.pop("modelId") == "ArrowKeyError"
    assert set(found.values()) == {"ArrowInvalid"}, found


def test_a_restricted_project_is_open_to_those_bound_to_it_alone(
    flight_server: FlightServer, cast: Cast, bobs: str, space: str, tables_folder: Path
) -> None:
    alices, charlies = (user_key(who, cast.account).plaintext for who in (cast.alice, cast.charlie))
    spans = pa.table({"context.span_id": [f"{1:016x}"]})
    target = {"spaceId": space, "externalModelId": "tracing"}
    patch = pa.array(['{"a": 1}'])
    updates: list[tuple[dict[str, Any], pa.Table]] = [
        ({"writeSpanEvaluationRequest": target}, spans.append_column("eval.good.label", pa.array(["yes"]))),
        ({"writeSpanAnnotationRequest": target}, spans.append_column("annotation.note.label", pa.array(["fine"]))),
        ({"writeSpanAttributesMetadataRequest": target}, spans.append_column("patch_document", patch)),
    ]
    body = trace_of("tracing", "first")
    with channel_to(flight_server) as channel, flying(flight_server, None) as connection:
        send(channel, body, authorization=bobs, arize__space__id=space)
        Project.objects.update(restricted_at=timezone.now())
        bind(cast.charlie, Project.objects.get(), RoleName.MEMBER)
        stored = files(tables_folder)
        refused = []
        for key in (bobs, alices):
            refused.append(refusal_of(channel, body, authorization=key, arize__space__id=space).name)
            flight = connection.with_key(key)
            for command, table in updates:
                with pytest.raises(pa.lib.ArrowKeyError, match="no such project, or you have no access to it"):
                    flight.put(table, "SpansUpdated", **command)
            refused.append(outcome_of_export(flight, exporting(space)))
        kept = files(tables_folder)

        sent = send(channel, body, authorization=charlies, arize__space__id=space)
        flight = connection.with_key(charlies)
        for command, table in updates:
            flight.put(table, "SpansUpdated", **command)
        info = flight.info(**exporting(space))

    assert refused == ["PERMISSION_DENIED", "ArrowKeyError"] * 2
    assert (kept, Project.objects.count()) == (stored, 1)
    assert sent == grpc.StatusCode.OK
    assert len(files(tables_folder)) == len(stored) + 4
    assert info.total_records == 2


def outcome_of_export(flight: Flight, query: dict[str, Any]) -> str:
    """Ask for an export that is refused; return the exception's name."""
    with pytest.raises((fl.FlightError, pa.ArrowException)) as refused:
        flight.info(**query)
    return refused.type.__name__


def test_which_workflows_a_key_was_used_for_is_counted(flight_server: FlightServer, bobs: str, space: str) -> None:
    named = {"spaceId": space, "datasetName": "golden"}
    with flying(flight_server, None) as connection:
        old = connection.with_key(bobs, sdk_version="7.40.1", origin="arize-python-datasets-client")
        new = connection.with_key(bobs, sdk_version="8.61.0", sdk_package_name="arize")
        old.put(ROWS, "DatasetWritten", createDataset=named)
        for _ in range(2):
            new.get(getDataset=named)

    found = {(use.workflow, use.client, use.uses) for use in WorkflowUse.objects.all()}
    assert found == {("dataset.write", "arize 7.40.1", 1), ("dataset.read", "arize 8.61.0", 2)}
