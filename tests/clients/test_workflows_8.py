"""Every workflow of the vendor's SDK 8.61.0, with a user key and with a service key: what goes up comes back.

What comes back is compared in the client (``workflows/``): a step that finds a difference fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Project
from accounts.wire import encode_id
from apikeys.lifecycle import revoke_key
from apikeys.workflows.models import Dataset, Experiment, WorkflowUse
from tests.cast import Cast
from tests.clients.conftest import installed
from tests.clients.documented import exported
from tests.clients.environment import Client
from tests.clients.refusing import Attempt, Refusals, Way, seen_by
from tests.clients.walking import Steps, Walker, Workplace, walking
from tests.factories import user_key

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="session")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walker]:
    """SDK 8, running."""
    with walking(installed(Client.SDK), "eight", tmp_path_factory.mktemp("eight-home")) as walker:
        yield walker


@pytest.fixture
def steps(eight: Walker, workplace: Workplace, cast: Cast, working_key: str) -> Steps:
    """SDK 8 in production, with either kind of key."""
    return Steps(eight, workplace, encode_id("Space", cast.production.pk), working_key)


def test_models_come_back_equal_in_every_environment(steps: Steps) -> None:
    for environment, batch in (("TRAINING", ""), ("VALIDATION", "nightly")):
        steps.logged("ml_log", model="m", recipe="whole", environment=environment, batch=batch)
        back = steps.ok("expect_model", model="m", recipe="whole", environment=environment, weights=True)
        assert back["rows"] == 5

    only = {"model": "m", "environment": "VALIDATION"}
    assert steps.ok("ml_export_to_df", batch_id="nightly", **only)["rows"] == 5
    assert steps.ok("ml_export_to_df", batch_id="another", **only)["rows"] == 0
    assert steps.ok("ml_export_to_df", model_version="v2", **only)["rows"] == 0


def test_actuals_join_predictions_made_before(steps: Steps) -> None:
    where = {"model": "m", "environment": "PRODUCTION"}
    steps.logged("ml_log", recipe="predictions", **where)
    steps.ok("expect_model", recipe="predictions", weights=True, **where)

    steps.logged("ml_log", recipe="actuals", **where)

    steps.ok("expect_model", recipe="predictions", actuals="actuals", **where)
    assert "categoricalActualLabel" not in steps.ok("ml_export_to_df", **where)["columns"]


@pytest.mark.parametrize("recipe", ["ranking", "numeric"])
def test_other_kinds_of_models_come_back_equal(steps: Steps, recipe: str) -> None:
    steps.logged("ml_log", model=recipe, recipe=recipe, environment="TRAINING")

    steps.ok("expect_model", model=recipe, recipe=recipe, environment="TRAINING")


def test_single_records_come_back_equal(steps: Steps) -> None:
    which = {"model": "m", "prediction": "ü 1"}
    steps.logged("ml_log_stream", **which)
    steps.ok("expect_record", **which)

    steps.logged("ml_log_stream_actual", **which)

    steps.ok("expect_record", actual=True, **which)


def test_exports_filter_and_project(steps: Steps) -> None:
    where = {"model": "m", "environment": "TRAINING"}
    steps.logged("ml_log", recipe="whole", **where)
    steps.logged("spans_log", project="p")

    assert steps.ok("ml_export_to_df", where="city = 'Köln'", **where)["ids"] == ["p-0", "p-2"]
    assert set(steps.ok("ml_export_to_df", columns=["amount"], **where)["columns"]) == {"amount", "time"}
    assert steps.ok("ml_export_to_parquet", columns=["amount"], **where)["rows"] == 5
    filtered = steps.ok("spans_export_to_df", project="p", where="attributes.openinference.span.kind = 'LLM'")
    assert filtered["ids"] == ["00000000000000a2"]
    assert steps.ok("spans_export_to_parquet", project="p", columns=["name"])["rows"] == 4
    nowhere = steps("spans_export_to_df", project="no such project")
    assert (nowhere.kind, "ArrowKeyError" in nowhere.caused_by) == ("RuntimeError", True)


def test_spans_come_back_equal_with_what_is_laid_over_them(steps: Steps) -> None:
    steps.logged("spans_log", project="p")
    assert steps.ok("expect_spans", project="p", layers=[])["rows"] == 4

    said = steps.ok("spans_update_evaluations", project="p")
    assert said == {"records_updated": "3", "unmatched_ids": ["00000000000000ee"]}
    steps.ok("expect_spans", project="p", layers=["first"])
    steps.logged("spans_update_evaluations", project="p", recipe="second", force_http=True)
    steps.ok("expect_spans", project="p", layers=["first", "second"])
    assert steps.ok("spans_update_annotations", project="p")["records_updated"] == "2"
    layers = ["first", "second", "annotations"]
    steps.ok("expect_spans", project="p", layers=layers)
    assert steps.ok("spans_update_metadata", project="p")["spans_updated"] == "2"
    assert steps.ok("expect_spans", project="p", layers=[*layers, "metadata"])["rows"] == 4


def test_evaluations_go_up_together_with_spans(steps: Steps) -> None:
    steps.logged("spans_log", project="p", evaluated=True)

    steps.ok("expect_spans", project="p", layers=["first"])


def test_small_datasets_come_back_equal_over_rest_and_flight(steps: Steps, cast: Cast) -> None:
    made = steps.ok("datasets_create", name="d ü")

    assert made["space"] == encode_id("Space", cast.production.pk)
    paged = steps.ok("expect_records", dataset=made["id"], limit=2)["ids"]
    assert steps.ok("expect_records", dataset=made["id"], all=True)["ids"] == paged
    # Once more, kept on the client's disk and read from there.
    assert steps.ok("expect_records", dataset=made["id"], all=True, caching=True)["ids"] == paged
    assert steps.ok("expect_records", dataset=made["id"], all=True, caching=True)["ids"] == paged


@pytest.mark.parametrize("way", ["many", "file"])
def test_large_datasets_and_files_come_back_equal_over_flight(steps: Steps, way: str) -> None:
    made = steps.ok("datasets_create", name="d", way=way)["id"]

    assert steps.ok("expect_dataset", dataset=made, way=way)["rows"] == (1001 if way == "many" else 5)


def test_datasets_are_listed_looked_up_renamed_and_deleted(steps: Steps) -> None:
    made, other = (steps.ok("datasets_create", name=name) for name in ("d", "other d"))

    assert sorted(steps.ok("datasets_list", limit=1)["names"]) == ["d", "other d"]
    assert steps.ok("datasets_list", name="OTHER")["names"] == ["other d"]
    assert steps.ok("datasets_get", dataset="d", space="production")["id"] == made["id"]
    taken = steps("datasets_create", name="d")
    assert (taken.kind, taken.status) == ("ConflictException", 409)
    renamed = steps.ok("datasets_update", dataset=made["id"], name="renamed")
    assert (renamed["name"], renamed["id"]) == ("renamed", made["id"])
    # Kept downloads are known by it, in whole seconds.
    assert renamed["updated_at"][:19] != made["updated_at"][:19]

    steps.ok("datasets_delete", dataset=other["id"])

    gone = steps("datasets_get", dataset=other["id"])
    assert (gone.kind, gone.status) == ("NotFoundException", 404)
    assert steps.ok("datasets_list")["names"] == ["renamed"]


def test_examples_are_appended_changed_and_deleted(steps: Steps) -> None:
    made = steps.ok("datasets_create", name="d")
    first = made["versions"][0]

    appended = steps.ok("datasets_append_examples", dataset=made["id"], dataset_version_id=first)
    (example,) = appended["ids"]
    assert _questions(steps, made["id"], example) == ["appended ü"]
    assert steps.ok("datasets_update_examples", dataset=made["id"], example=example)["ids"] == [example]
    assert _questions(steps, made["id"], example) == ["changed ☃"]
    further = steps.ok("datasets_append_examples", dataset=made["id"])["ids"]
    new = steps.ok("datasets_update_examples", dataset=made["id"], example=further[0], new_version="two")["version"]
    assert _questions(steps, made["id"], further[0], dataset_version_id=new) == ["changed ☃"]
    assert _questions(steps, made["id"], further[0], dataset_version_id=first) == ["appended ü"]

    deleted = steps.ok(
        "datasets_delete_examples",
        dataset=made["id"],
        dataset_version_id=new,
        examples=[example, *further, "no such example"],
    )

    assert sorted(deleted["deleted_example_ids"]) == sorted([example, *further])
    assert deleted["not_deleted_example_ids"] == ["no such example"]
    assert deleted["completed"] is True
    steps.ok("expect_records", dataset=made["id"])
    assert _questions(steps, made["id"], example, dataset_version_id=first) == ["changed ☃"]


def _questions(steps: Steps, dataset: str, example: str, **options: Any) -> list[str]:
    found = steps.ok("datasets_list_examples", dataset=dataset, **options)["examples"]
    return [one["fields"]["question"] for one in found if one["id"] == example]


def test_examples_are_annotated(steps: Steps) -> None:
    made = steps.ok("datasets_create", name="d")["id"]
    ids = steps.ok("expect_records", dataset=made)["ids"]

    steps.ok("datasets_annotate_examples", dataset=made, example=ids[1])

    found = {one["id"]: one["annotations"] for one in steps.ok("datasets_list_examples", dataset=made)["examples"]}
    assert [(one["name"], one["label"], one["score"]) for one in found[ids[1]]] == [("quality", "gööd", 0.5)]
    assert (found[ids[0]], found[ids[2]]) == ([], [])


@pytest.mark.parametrize("force_http", [False, True], ids=["Flight", "HTTP"])
def test_experiments_run_and_come_back_equal(steps: Steps, force_http: bool) -> None:
    made = steps.ok("datasets_create", name="d")

    run = steps.ok("experiments_run", name="e", dataset=made["id"], force_http=force_http)

    assert (run["rows"], run["dataset"], run["version"]) == (3, made["id"], made["versions"][0])
    assert steps.ok("expect_runs", name="e", experiment=run["id"])["rows"] == 3
    if not force_http:
        project = Experiment.objects.get().project
        assert project is not None
        assert run["project"] == encode_id("Project", project.pk)
        names = steps.ok("count_traces", project=project.name)["names"]
        assert names == ["Evaluation: _length"] * 3 + ["Task: _failing_task"] * 3


@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_experiments_run_elsewhere_come_back_equal(steps: Steps, many: bool) -> None:
    made = steps.ok("datasets_create", name="d")["id"]
    examples = steps.ok("expect_records", dataset=made)["ids"]

    logged = steps.ok("experiments_create", name="e", examples=examples, many=many, dataset=made)

    back = steps.ok("expect_runs", name="e", experiment=logged["id"], rest=not many)
    assert back["rows"] == (1001 if many else 3)


@pytest.mark.parametrize("examples", [None, ["elsewhere", None, None]])
def test_an_experiment_needs_no_dataset(steps: Steps, examples: list[str | None] | None) -> None:
    made = steps.ok("experiments_create", name="e", space="production", examples=examples)

    assert (made["dataset"], made["version"]) == (None, None)
    assert steps.ok("expect_runs", name="e", experiment=made["id"])["rows"] == 3
    assert steps.ok("experiments_get", experiment="e", space="production")["id"] == made["id"]


def test_experiments_are_listed_looked_up_extended_annotated_and_deleted(steps: Steps) -> None:
    made = steps.ok("datasets_create", name="d")["id"]
    examples = steps.ok("expect_records", dataset=made)["ids"]
    one, other = (
        steps.ok("experiments_create", name=name, examples=examples, dataset=made)["id"] for name in ("one", "other")
    )

    assert sorted(steps.ok("experiments_list", dataset=made, limit=1)["names"]) == ["one", "other"]
    assert sorted(steps.ok("experiments_list", space="production")["names"]) == ["one", "other"]
    assert steps.ok("experiments_get", experiment="one", dataset=made)["id"] == one
    taken = steps("experiments_create", name="one", examples=examples, dataset=made)
    assert (taken.kind, taken.status) == ("ConflictException", 409)
    (appended,) = steps.ok("experiments_append_runs", experiment=one, example=examples[0])["ids"]
    steps.ok("experiments_annotate_runs", experiment=one, run=appended)
    runs = steps.ok("experiments_list_runs", experiment=one)["runs"]
    assert [run["id"] for run in runs] == sorted(run["id"] for run in runs)
    (last,) = [run for run in runs if run["id"] == appended]
    assert (len(runs), last["example"], last["output"]) == (4, examples[0], "appended ü")
    assert [(note["name"], note["label"]) for note in last["annotations"]] == [("quality", "gööd")]

    steps.ok("experiments_delete", experiment=one)

    gone = steps("experiments_get", experiment=one)
    assert (gone.kind, gone.status) == ("NotFoundException", 404)
    assert list(Experiment.objects.values_list("name", flat=True)) == ["other"]
    assert steps.ok("experiments_get", experiment=other)["name"] == "other"


def test_projects_are_made_listed_looked_up_renamed_and_deleted(steps: Steps) -> None:
    made, other = (steps.ok("projects_create", name=name)["id"] for name in ("p", "other p"))

    assert sorted(steps.ok("projects_list", limit=1)["names"]) == ["other p", "p"]
    assert steps.ok("projects_get", project="p", space="production")["id"] == made
    assert steps.ok("projects_update", project=made, name="renamed")["name"] == "renamed"
    assert steps.ok("projects_get", project=made)["name"] == "renamed"
    steps.ok("projects_delete", project=other)

    assert steps.ok("projects_list")["names"] == ["renamed"]
    assert steps("projects_get", project=other).kind == "NotFoundException"


def test_spans_are_read_and_annotated_over_rest(steps: Steps) -> None:
    steps.logged("spans_log", project="p")
    project = encode_id("Project", Project.objects.get(name="p").pk)

    found = steps.ok("spans_list", project=project, limit=3)["spans"]
    steps.ok("spans_annotate", project=project, span="00000000000000a2")

    assert [span["context"]["span_id"] for span in found] == [f"00000000000000a{number}" for number in (4, 3, 2, 1)]
    assert {span["name"] for span in found} == {"root ü", "", "child", "日本"}
    assert "annotation.quality.label" in steps.ok("spans_export_to_df", project="p")["columns"]


@pytest.mark.parametrize("working_key", ["a user key"], indirect=True)
def test_restricted_projects_are_closed_to_whoever_is_not_bound_there(steps: Steps, cast: Cast) -> None:
    steps.logged("spans_log", project="p")
    project = encode_id("Project", Project.objects.get(name="p").pk)
    admin = steps.with_key(user_key(cast.alice, cast.account).plaintext)

    admin.ok("restrict", resource=project)

    assert steps("projects_get", project=project).kind == "NotFoundException"
    refused = steps("spans_log", project="p")
    assert (refused.kind, refused.status) == ("APIError", 404)
    assert "ArrowKeyError" in steps("spans_export_to_df", project="p").caused_by
    admin.ok("unrestrict", resource=project)
    assert steps.ok("expect_spans", project="p", layers=[])["rows"] == 4


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_traces_come_back_whole(steps: Steps, protocol: str) -> None:
    sent = steps.ok("export_traces", project="p", protocol=protocol)

    assert steps.ok("expect_traces", project="p", mark=sent["mark"])["rows"] == 2


def test_the_vendors_package_for_traces_sends_them(steps: Steps) -> None:
    sent = steps.ok("register_and_trace", project="p")

    assert steps.ok("expect_traces", project="p", mark=sent["mark"])["rows"] == 2


@pytest.mark.parametrize("working_key", ["a user key"], indirect=True)
def test_everything_is_found_by_the_environment_alone(
    steps: Steps, workplace: Workplace, cast: Cast, working_key: str, tmp_path: Path
) -> None:
    web = workplace.web.rpartition(":")[2]
    environment = exported("On one machine", {"ak-…": working_key, "8000": web, "8815": str(workplace.port)})

    with walking(installed(Client.SDK), "eight", tmp_path, **environment) as walker:
        bare = steps.from_environment(walker)
        few = bare.ok("datasets_create", name="few")["id"]
        bare.ok("expect_records", dataset=few)
        many = bare.ok("datasets_create", name="many", way="many")["id"]
        bare.ok("expect_dataset", dataset=many, way="many")
        bare.ok("experiments_run", name="e", dataset=few)

    project = Experiment.objects.get().project
    assert project is not None
    uses = WorkflowUse.objects.filter(space=cast.production).values_list("workflow", "client")
    assert {(workflow, client.partition("/")[0]) for workflow, client in uses} == {
        *((one, "arize 8.61.0") for one in ("dataset.read", "dataset.write", "experiment.read", "experiment.write")),
        ("trace.export", "OTel-OTLP-Exporter-Python"),
    }
    names = steps.ok("count_traces", project=project.name)["names"]
    assert names == ["Evaluation: _length"] * 3 + ["Task: _failing_task"] * 3


# --- refusals (contract client-workflows §15)


@pytest.fixture
def attempts(steps: Steps, cast: Cast) -> list[Attempt]:
    """What is there to be attempted upon, and every workflow once, by how a refusal of it is seen."""
    steps.logged("ml_log", model="m", recipe="predictions", environment="PRODUCTION")
    steps.logged("spans_log", project="p")
    made = steps.ok("datasets_create", name="d")
    dataset, version = made["id"], made["versions"][0]
    examples = steps.ok("expect_records", dataset=dataset)["ids"]
    experiment = steps.ok("experiments_create", name="e", examples=examples, dataset=dataset)["id"]
    run = steps.ok("experiments_list_runs", experiment=experiment)["runs"][0]["id"]
    project = encode_id("Project", Project.objects.get(name="p").pk)
    production = {"model": "m", "environment": "PRODUCTION"}
    space = encode_id("Space", cast.production.pk)
    return [
        Attempt("ml_log", Way.RAISED, {"recipe": "predictions", **production}),
        Attempt("ml_log", Way.RAISED, {"recipe": "whole", "model": "new", "environment": "TRAINING"}),
        Attempt("ml_log_stream", Way.ANSWERED, {"model": "m", "prediction": "1"}),
        Attempt("ml_log_stream_actual", Way.ANSWERED, {"model": "m", "prediction": "1"}),
        Attempt("ml_export_to_df", Way.WRAPPED, production, reads=True),
        Attempt("ml_export_to_parquet", Way.WRAPPED, production, reads=True),
        Attempt("spans_log", Way.RAISED, {"project": "p"}),
        Attempt("spans_log", Way.RAISED, {"project": "new"}),
        Attempt("spans_update_evaluations", Way.WRAPPED, {"project": "p"}),
        Attempt("spans_update_evaluations", Way.RAISED, {"project": "p", "force_http": True}),
        Attempt("spans_update_annotations", Way.WRAPPED, {"project": "p"}),
        Attempt("spans_update_metadata", Way.WRAPPED, {"project": "p"}),
        Attempt("spans_export_to_df", Way.WRAPPED, {"project": "p"}, reads=True),
        Attempt("spans_export_to_parquet", Way.WRAPPED, {"project": "p"}, reads=True),
        Attempt("spans_list", Way.REST, {"project": project}, reads=True),
        Attempt("spans_annotate", Way.REST, {"project": project, "span": "00000000000000a2"}),
        Attempt("datasets_create", Way.REST, {"name": "new"}),
        Attempt("datasets_create", Way.WRAPPED, {"name": "new", "way": "many"}),
        Attempt("datasets_create", Way.WRAPPED, {"name": "new", "way": "file"}),
        Attempt("datasets_list", Way.REST, {"space": space}, reads=True),
        Attempt("datasets_get", Way.REST, {"dataset": dataset}, reads=True),
        Attempt("datasets_update", Way.REST, {"dataset": dataset, "name": "renamed"}),
        Attempt("datasets_list_examples", Way.REST, {"dataset": dataset}, reads=True),
        Attempt("datasets_list_examples", Way.REST, {"dataset": dataset, "all": True}, reads=True),
        Attempt("datasets_export_to_parquet", Way.REST, {"dataset": dataset}, reads=True),
        Attempt("datasets_append_examples", Way.REST, {"dataset": dataset}),
        Attempt("datasets_update_examples", Way.REST, {"dataset": dataset, "example": examples[0]}),
        Attempt(
            "datasets_delete_examples",
            Way.REST,
            {"dataset": dataset, "dataset_version_id": version, "examples": examples[:1]},
        ),
        Attempt("datasets_annotate_examples", Way.REST, {"dataset": dataset, "example": examples[0]}),
        Attempt("experiments_run", Way.WRAPPED, {"name": "new", "dataset": dataset}, looks=Way.REST),
        Attempt("experiments_run", Way.REST, {"name": "new", "dataset": dataset, "force_http": True}),
        Attempt("experiments_create", Way.REST, {"name": "new", "examples": examples, "dataset": dataset}),
        Attempt("experiments_create", Way.REST, {"name": "new", "space": encode_id("Space", cast.production.pk)}),
        Attempt(
            "experiments_create",
            Way.WRAPPED,
            {"name": "new", "examples": examples, "dataset": dataset, "many": True},
            looks=Way.REST,
        ),
        Attempt("experiments_get", Way.REST, {"experiment": experiment}, reads=True),
        Attempt("experiments_list", Way.REST, {"dataset": dataset}, reads=True),
        Attempt("experiments_list_runs", Way.REST, {"experiment": experiment}, reads=True),
        Attempt("experiments_list_runs", Way.REST, {"experiment": experiment, "all": True}, reads=True),
        Attempt("experiments_append_runs", Way.REST, {"experiment": experiment, "example": examples[0]}),
        Attempt("experiments_annotate_runs", Way.REST, {"experiment": experiment, "run": run}),
        Attempt("experiments_delete", Way.REST, {"experiment": experiment}),
        Attempt("datasets_delete", Way.REST, {"dataset": dataset}),
        Attempt("projects_create", Way.REST, {"name": "new"}),
        Attempt("projects_list", Way.REST, {"space": space}, reads=True),
        Attempt("projects_get", Way.REST, {"project": project}, reads=True),
        Attempt("projects_update", Way.REST, {"project": project, "name": "renamed"}),
        Attempt("projects_delete", Way.REST, {"project": project}),
        Attempt("restrict", Way.REST, {"resource": project}),
        Attempt("export_traces", Way.LOGGED, {"project": "p", "protocol": "grpc"}),
        Attempt("export_traces", Way.LOGGED, {"project": "p", "protocol": "http"}),
    ]


@pytest.mark.parametrize("working_key", ["a user key"], indirect=True)
def test_every_workflow_refuses_every_key_that_may_not(
    steps: Steps, refusals: Refusals, attempts: list[Attempt], refused_key: str
) -> None:
    refusals.hold(steps, attempts, refused_key)


@pytest.mark.parametrize("working_key", ["a user key"], indirect=True)
def test_strangers_cannot_tell_what_there_is(steps: Steps, refusals: Refusals) -> None:
    made = steps.ok("datasets_create", name="t-1-t")["id"]
    stranger = steps.with_key(refusals.key("of another space"))

    there, nowhere = (stranger("datasets_get", dataset=one) for one in (made, encode_id("Dataset", 999_999)))

    assert (there.kind, there.status) == (nowhere.kind, nowhere.status) == ("NotFoundException", 404)
    named = [stranger("datasets_get", dataset=name, space="production") for name in ("t-1-t", "t-2-t")]
    assert seen_by(named[0], "t-1-t") == seen_by(named[1], "t-2-t")


@pytest.mark.parametrize("working_key", ["a user key"], indirect=True)
def test_key_revoked_between_two_calls_on_one_connection_fails_the_second(steps: Steps, cast: Cast) -> None:
    made = steps.ok("datasets_create", name="d")["id"]
    key = user_key(cast.bob, cast.account, name="soon revoked")
    program = steps.with_key(key.plaintext)
    program.ok("connect")
    assert program.ok("ask_again", dataset=made)["rows"] == 3

    revoke_key(cast.actor(cast.bob), key.key, at=timezone.now())

    second = program("ask_again", dataset=made)
    assert (second.kind, "FlightUnauthenticatedError" in second.caused_by) == ("RuntimeError", True)
    assert Dataset.objects.count() == 1
