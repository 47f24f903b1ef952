"""Flight and OTLP over gRPC: real clients against the real server."""

from __future__ import annotations

from pathlib import Path

import grpc
import pyarrow as pa
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from accounts.models import Project, Space
from accounts.wire import encode_id
from apikeys.workflows.models import DatasetVersion, Experiment
from tests.cast import Cast
from tests.factories import user_key
from tests.workflows.conftest import FlightServer
from tests.workflows.flights import flying


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
