"""``/v2/experiments`` and ``/v2/projects``: what REST takes comes back as it was, by either name of what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.audit import Tag
from accounts.models import AuditEvent, Project
from accounts.roles import RoleName
from accounts.wire import encode_id
from apikeys.workflows import experiments, projects, tables
from apikeys.workflows.models import Dataset, Experiment, Table, WorkflowUse
from apikeys.workflows.streams import Stream
from tests.accounts.rest import Api
from tests.factories import bind

if TYPE_CHECKING:
    from tests.cast import Cast

RUNS: list[dict[str, Any]] = [
    {"example_id": "a", "output": "4", "model": "small", "tokens": 3, "eval.right.score": 1.5},
    {"example_id": "b", "output": "", "model": None, "tool_calls": [{"name": "x"}], "error": "too slow"},
]


@pytest.fixture
def api(cast: Cast) -> Api:
    """Ask as one of the cast."""
    return Api(cast)


@pytest.fixture
def dataset(api: Api) -> str:
    """The id of a dataset in production."""
    body = {"name": "d", "space_id": encode_id("Space", api.cast.production.pk), "examples": [{"q": "?"}]}
    status, made = api(api.cast.bob, "POST", "/v2/datasets", body)
    assert status == 201
    return str(made["id"])


def _made(api: Api, dataset: str, name: str = "e", runs: Any = None) -> dict[str, Any]:
    body = {"name": name, "dataset_id": dataset, "experiment_runs": runs or RUNS}
    status, made = api(api.cast.bob, "POST", "/v2/experiments", body)
    assert status == 201, made
    return made


def _runs(api: Api, experiment: str) -> list[dict[str, Any]]:
    status, page = api(api.cast.bob, "GET", f"/v2/experiments/{experiment}/runs")
    assert status == 200, page
    found: list[dict[str, Any]] = page["experiment_runs"]
    return found


def _flown(api: Api, **columns: Any) -> str:
    """Make an experiment as Flight does; return its id."""
    bob = api.cast.actor(api.cast.bob)
    experiment = experiments.open_experiment(bob, Dataset.objects.get(), name="flown", at=timezone.now())
    batch = pa.RecordBatch.from_pydict(columns)
    experiments.post_runs(bob, experiment, stream=Stream(batch.schema, iter([batch])), at=timezone.now())
    return experiment.wire_id


def test_runs_come_back_as_they_were(api: Api, dataset: str) -> None:
    made = _made(api, dataset)

    assert set(made) == {
        "id",
        "name",
        "space_id",
        "dataset_id",
        "dataset_version_id",
        "created_at",
        "updated_at",
        "experiment_traces_project_id",
    }
    assert (made["dataset_id"], made["experiment_traces_project_id"]) == (dataset, None)
    first, second = _runs(api, made["id"])
    assert first["id"] < second["id"]
    assert first == {
        "id": first["id"],
        **RUNS[0],
        "result": "4",
        "tool_calls": None,
        "error": None,
    }
    assert second["tool_calls"] == [{"name": "x"}]
    assert (second["output"], second["error"], second["tokens"]) == ("", "too slow", None)
    assert api(api.cast.bob, "GET", f"/v2/experiments/{made['id']}") == (200, made)


def test_an_experiment_needs_no_dataset(api: Api, dataset: str) -> None:
    cast, space = api.cast, encode_id("Space", api.cast.production.pk)
    runs = [{"output": "4", "model": "small", "example_id": None}, {"output": "5", "example_id": "elsewhere"}]
    body = {"name": "e", "space_id": space, "experiment_runs": runs}

    status, made = api(cast.bob, "POST", "/v2/experiments", body)

    assert (status, made["space_id"]) == (201, space)
    assert (made["dataset_id"], made["dataset_version_id"]) == (None, None)
    assert api(cast.bob, "GET", f"/v2/experiments/{made['id']}") == (200, made)
    first, second = _runs(api, made["id"])
    assert (first["output"], first["example_id"], first["model"]) == ("4", None, "small")
    assert (second["output"], second["example_id"]) == ("5", "elsewhere")
    for more in ({"output": "6"}, {"output": "7", "example_id": None}):
        assert api(cast.bob, "POST", f"/v2/experiments/{made['id']}/runs", {"experiment_runs": [more]})[0] == 201
    assert [run["output"] for run in _runs(api, made["id"])] == ["4", "5", "6", "7"]
    event = AuditEvent.objects.get(tag=Tag.EXPERIMENT_CREATED)
    assert (event.target_label, event.details) == ("e", {"space": "production", "rows": 2})
    # Its name is taken among those without a dataset, and nowhere else.
    assert api(cast.bob, "POST", "/v2/experiments", body)[0] == 409
    assert _made(api, dataset)["name"] == "e"
    assert api(cast.bob, "POST", "/v2/experiments", {**body, "space_id": encode_id("Space", cast.staging.pk)})[0] == 201
    assert api(cast.charlie, "POST", "/v2/experiments", {**body, "name": "other"})[0] == 403
    assert api(cast.erin, "POST", "/v2/experiments", {**body, "name": "other"})[0] == 404
    status, page = api(cast.bob, "GET", f"/v2/experiments?space_id={space}")
    assert [one["dataset_id"] for one in page["experiments"]] == [dataset, None]

    assert api(cast.bob, "DELETE", f"/v2/experiments/{made['id']}")[0] == 204
    assert (Experiment.objects.count(), Table.objects.count()) == (2, 3)


def test_what_older_clients_call_a_result_is_an_output_too(api: Api, dataset: str) -> None:
    experiment = _flown(api, id=[0, 1], example_id=["a", "b"], result=["4", None])

    first, second = _runs(api, experiment)
    assert (first["id"], first["output"], first["result"], first["error"]) == ("0", "4", "4", None)
    assert (second["output"], second["result"]) == (None, None)

    status, written = api(api.cast.bob, "POST", f"/v2/experiments/{experiment}/runs", {"experiment_runs": RUNS[:1]})
    assert status == 201
    added = _runs(api, experiment)[2]
    assert ([added["id"]], added["output"], added["result"]) == (written["run_ids"], "4", "4")
    assert tables.read(Experiment.objects.get().table).schema.names[:3] == ["id", "example_id", "result"]  # type: ignore[arg-type]  # it has one
    _, page = api(
        api.cast.bob, "POST", f"/v2/experiments/{experiment}/runs/search", {"filter": "output = '4' and id = '0'"}
    )
    assert [run["id"] for run in page["experiment_runs"]] == ["0"]


def test_outputs_that_are_no_texts_become_some(api: Api, dataset: str) -> None:
    experiment = _flown(api, example_id=[1, 2], output=[0.5, None], error=[["a"], None])

    first, second = _runs(api, experiment)

    assert (first["id"], first["example_id"], first["output"], first["error"]) == ("0", "1", "0.5", '["a"]')
    assert (second["id"], second["output"], second["error"]) == ("1", None, None)


def test_experiment_answers_before_it_has_runs(api: Api, dataset: str) -> None:
    bob = api.cast.actor(api.cast.bob)
    project = projects.create_project(bob, api.cast.production, name="traces", at=timezone.now())
    begun = experiments.open_experiment(bob, Dataset.objects.get(), name="begun", project=project, at=timezone.now())

    status, experiment = api(api.cast.bob, "GET", f"/v2/experiments/{begun.wire_id}")

    assert (status, experiment["experiment_traces_project_id"]) == (200, encode_id("Project", project.pk))
    assert _runs(api, begun.wire_id) == []
    added = {"experiment_runs": RUNS}
    assert api(api.cast.bob, "POST", f"/v2/experiments/{begun.wire_id}/runs", added)[0] == 201
    assert len(_runs(api, begun.wire_id)) == 2


def test_a_project_that_the_caller_may_not_see_is_not_told(
    api: Api, dataset: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    bob = api.cast.actor(api.cast.bob)
    hidden, shown = (
        projects.create_project(bob, api.cast.production, name=name, at=timezone.now()) for name in ("secret", "open")
    )
    for name, project in (("a", hidden), ("b", shown)):
        experiments.open_experiment(bob, Dataset.objects.get(), name=name, project=project, at=timezone.now())
    Project.objects.filter(pk=hidden.pk).update(restricted_at=timezone.now())
    begun = Experiment.objects.get(name="a").wire_id

    with CaptureQueriesContext(connection) as counted:
        _, page = api(api.cast.bob, "GET", "/v2/experiments")
    asked = len(counted)
    answers = [
        api(api.cast.bob, "GET", f"/v2/experiments/{begun}")[1],
        api(api.cast.bob, "POST", f"/v2/experiments/{begun}/runs", {"experiment_runs": RUNS})[1],
    ]

    told = [one["experiment_traces_project_id"] for one in page["experiments"]]
    assert told == [encode_id("Project", shown.pk), None]
    assert [one["experiment_traces_project_id"] for one in answers] == [None, None]
    experiments.open_experiment(bob, Dataset.objects.get(), name="c", project=shown, at=timezone.now())
    with django_assert_num_queries(asked):
        api(api.cast.bob, "GET", "/v2/experiments")


def test_runs_are_added_annotated_and_searched(api: Api, dataset: str) -> None:
    made = _made(api, dataset)
    address = f"/v2/experiments/{made['id']}"

    status, written = api(api.cast.bob, "POST", f"{address}/runs", {"experiment_runs": [{**RUNS[0], "model": 7}]})
    assert status == 201
    assert {**written, "run_ids": []} == {**made, "updated_at": written["updated_at"], "run_ids": []}
    assert written["updated_at"][:19] != made["updated_at"][:19]
    values = [{"name": "right", "label": "no", "score": 0}]
    body = {"annotations": [{"record_id": written["run_ids"][0], "values": values}]}
    assert api(api.cast.dana, "POST", f"{address}/runs/annotate", body)[0] == 202

    runs = _runs(api, made["id"])
    assert [run["model"] for run in runs] == ["small", None, 7]
    (said,) = runs[2]["annotations"]
    assert (said["label"], said["score"], said["annotator"]) == ("no", 0, {"email": "dana@example.com"})
    _, page = api(api.cast.bob, "POST", f"{address}/runs/search", {"filter": "eval.right.score > 1", "limit": 1})
    assert ([run["id"] for run in page["experiment_runs"]], page["pagination"]["has_more"]) == ([runs[0]["id"]], True)
    tags = AuditEvent.objects.filter(target_type="Experiment").order_by("pk").values_list("tag", flat=True)
    assert list(tags) == [Tag.EXPERIMENT_CREATED, Tag.EXPERIMENT_CHANGED, Tag.EXPERIMENT_ANNOTATED]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"experiment_runs": []}, 400),
        ({"experiment_runs": [{}]}, 400),
        ({"experiment_runs": [{"output": "x"}]}, 422),
        ({"experiment_runs": [{"example_id": "a"}]}, 400),
        ({"experiment_runs": [{"example_id": "a", "output": 3}]}, 400),
        ({"experiment_runs": [{"example_id": "a", "output": "x", "id": "mine"}]}, 400),
        ({"experiment_runs": RUNS[:1] * 1001}, 400),
        ({"dataset_id": None}, 400),
        ({"space_id": encode_id("Space", 1)}, 400),  # one or the other
        ({"experiment_runs": [{"output": "x", "example_id": ""}]}, 400),
        ({"name": " "}, 400),
        ({"dataset_id": encode_id("Dataset", 10**9)}, 404),
    ],
    ids=str,
)
def test_what_is_no_experiment_is_refused(api: Api, dataset: str, body: Any, status: int) -> None:
    whole = {"name": "e", "dataset_id": dataset, "experiment_runs": RUNS, **body}

    assert api(api.cast.bob, "POST", "/v2/experiments", whole)[0] == status

    assert not Experiment.objects.exists()
    assert Table.objects.count() == 1


def test_lists_are_narrowed_down(api: Api, cast: Cast, dataset: str) -> None:
    for name in ("one", "two"):
        _made(api, dataset, name)
    assert (
        api(cast.bob, "POST", "/v2/experiments", {"name": "one", "dataset_id": dataset, "experiment_runs": RUNS})[0]
        == 409
    )
    production = encode_id("Space", cast.production.pk)

    def names(query: str, person: Any = cast.bob) -> list[str]:
        status, page = api(person, "GET", f"/v2/experiments?{query}")
        assert status == 200, page
        return [one["name"] for one in page["experiments"]]

    assert names("") == ["two", "one"]
    assert names(f"dataset_id={dataset}&name=O") == ["two", "one"]
    assert names(f"space_id={production}&name=w") == ["two"]
    assert names(f"space_id={encode_id('Space', cast.staging.pk)}") == []
    assert names("", cast.erin) == []
    assert api(cast.erin, "GET", f"/v2/experiments?dataset_id={dataset}")[0] == 404
    assert api(cast.bob, "GET", f"/v2/experiments?dataset_id={dataset}&space_id={production}")[0] == 400


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("DELETE", "", None),
        ("POST", "/runs", {"experiment_runs": RUNS}),
        ("POST", "/runs/annotate", {"annotations": [{"record_id": "a", "values": [{"name": "n", "label": "l"}]}]}),
    ],
)
def test_readers_read_only_and_strangers_see_nothing(
    api: Api, cast: Cast, dataset: str, method: str, rest: str, body: Any
) -> None:
    address = f"/v2/experiments/{_made(api, dataset)['id']}"
    before = list(Table.objects.values_list("pk", flat=True))

    assert api(cast.charlie, method, f"{address}{rest}", body)[0] == 403
    assert api(cast.charlie, method, f"{address}{rest}", body and {"wrong": 1})[0] == 403  # whatever it holds
    assert api(cast.erin, method, f"{address}{rest}", body)[0] == 404
    assert api(cast.charlie, "GET", f"{address}/runs")[0] == 200
    assert list(Table.objects.values_list("pk", flat=True)) == before
    assert Experiment.objects.count() == 1


def test_a_table_that_was_replaced_before_it_was_read_is_no_failing_disk(
    api: Api, dataset: str, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    made = _made(api, dataset)["id"]
    read = tables.read

    def add(output: str) -> int:
        body = {"experiment_runs": [{"example_id": "c", "output": output}]}
        return api(api.cast.bob, "POST", f"/v2/experiments/{made}/runs", body)[0]

    def late(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(tables, "read", read)
        with django_capture_on_commit_callbacks(execute=True):  # the file goes with its row
            assert add("first") == 201
        return read(*args, **options)

    monkeypatch.setattr(tables, "read", late)
    assert add("second") == 201

    assert [run["output"] for run in _runs(api, made)] == ["4", "", "first", "second"]


def test_deleting_an_experiment_leaves_its_dataset(api: Api, dataset: str) -> None:
    made = _made(api, dataset)

    assert api(api.cast.bob, "DELETE", f"/v2/experiments/{made['id']}")[0] == 204

    assert api(api.cast.bob, "GET", f"/v2/experiments/{made['id']}")[0] == 404
    assert Table.objects.count() == 1
    assert api(api.cast.bob, "GET", f"/v2/datasets/{dataset}")[0] == 200


def test_projects_are_made_found_renamed_and_deleted(api: Api, cast: Cast) -> None:
    space = encode_id("Space", cast.production.pk)

    status, made = api(cast.bob, "POST", "/v2/projects", {"name": "chat", "space_id": space})
    assert (status, made["name"], made["project_type"], made["space_id"]) == (201, "chat", "APPLICATION", space)
    assert api(cast.bob, "POST", "/v2/projects", {"name": "chat", "space_id": space})[0] == 409
    assert api(cast.charlie, "POST", "/v2/projects", {"name": "other", "space_id": space})[0] == 403
    assert api(cast.erin, "POST", "/v2/projects", {"name": "other", "space_id": space})[0] == 404
    address = f"/v2/projects/{made['id']}"
    assert api(cast.charlie, "GET", address) == (200, made)
    assert api(cast.erin, "GET", address)[0] == 404
    assert api(cast.charlie, "PATCH", address, {"name": "x"})[0] == 403
    assert api(cast.bob, "PATCH", address, {})[0] == 400
    assert api(cast.bob, "PATCH", address, {"name": "dialogue"})[1]["name"] == "dialogue"
    for query, found in ((f"space_id={space}", 1), ("name=LOG", 1), ("name=chat", 0), ("space_name=stag", 0)):
        assert len(api(cast.bob, "GET", f"/v2/projects?{query}")[1]["projects"]) == found
    assert api(cast.charlie, "DELETE", address)[0] == 403
    assert api(cast.bob, "DELETE", address)[0] == 204
    assert not Project.objects.exists()
    assert set(WorkflowUse.objects.values_list("workflow", flat=True)) == {"project.read", "project.write"}


def test_restricted_projects_are_seen_by_those_bound_to_them_alone(api: Api, cast: Cast) -> None:
    project = projects.create_project(cast.actor(cast.bob), cast.production, name="secret", at=timezone.now())
    Project.objects.update(restricted_at=timezone.now())
    bind(cast.charlie, project, RoleName.READ_ONLY)
    address = f"/v2/projects/{encode_id('Project', project.pk)}"

    for person in (cast.bob, cast.alice):
        assert api(person, "GET", address)[0] == 404
        assert api(person, "GET", "/v2/projects")[1]["projects"] == []
    status, seen = api(cast.charlie, "GET", address)
    assert (status, seen["name"]) == (200, "secret")
    assert api(cast.charlie, "GET", "/v2/projects")[1]["projects"] == [seen]
