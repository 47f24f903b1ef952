"""Every workflow of the vendor's SDKs 7.40.1 and 7.54.0, with a user key and a service key: what goes up comes back.

What comes back is compared in the client (``workflows/``): a step that finds a difference fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from accounts.wire import encode_id
from apikeys.workflows.models import Experiment, Prompt, WorkflowUse
from tests.cast import Cast
from tests.clients.conftest import installed
from tests.clients.environment import Client
from tests.clients.refusing import Attempt, Refusals, Way, seen_by
from tests.clients.walking import Steps, Walker, Workplace, walking

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="session", params=[Client.SDK_7_40, Client.SDK_7_54], ids=["7.40.1", "7.54.0"])
def seven(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walker]:
    """SDK 7, running."""
    with walking(installed(request.param), "seven", tmp_path_factory.mktemp("seven-home")) as walker:
        yield walker


@pytest.fixture
def late(seven: Walker, request: pytest.FixtureRequest) -> bool:
    """Whether it is 7.54.0, which has workflows that 7.40.1 has not."""
    return "7.54.0" in request.node.callspec.id


@pytest.fixture
def steps(seven: Walker, workplace: Workplace, cast: Cast, working_key: str) -> Steps:
    """SDK 7 in production, with either kind of key."""
    return Steps(seven, workplace, encode_id("Space", cast.production.pk), working_key)


def test_models_come_back_equal_in_every_environment(steps: Steps) -> None:
    for environment, batch in (("TRAINING", None), ("VALIDATION", "nightly")):
        steps.logged("log", model="m", recipe="whole", environment=environment, version="v1", batch=batch)
        back = steps.ok("expect_model", model="m", recipe="whole", environment=environment, weights=True)
        assert back["rows"] == 5

    only = {"model": "m", "environment": "VALIDATION"}
    assert steps.ok("export_model_to_df", batch_id="nightly", **only)["rows"] == 5
    assert steps.ok("export_model_to_df", batch_id="another", **only)["rows"] == 0
    assert steps.ok("export_model_to_df", model_version="v2", **only)["rows"] == 0


def test_actuals_join_predictions_made_before(steps: Steps) -> None:
    where = {"model": "m", "environment": "PRODUCTION"}
    steps.logged("log", recipe="predictions", version="v1", **where)
    steps.ok("expect_model", recipe="predictions", weights=True, **where)

    steps.logged("log", recipe="actuals", version="v1", **where)

    steps.ok("expect_model", recipe="predictions", actuals="actuals", **where)
    without = steps.ok("export_model_to_df", **where)
    assert "categoricalActualLabel" not in without["columns"]


@pytest.mark.parametrize("recipe", ["ranking", "numeric"])
def test_other_kinds_of_models_come_back_equal(steps: Steps, recipe: str) -> None:
    steps.logged("log", model=recipe, recipe=recipe, environment="TRAINING", version="v1")

    steps.ok("expect_model", model=recipe, recipe=recipe, environment="TRAINING")


def test_single_records_come_back_equal(steps: Steps) -> None:
    which = {"model": "m", "prediction": "ü 1"}
    steps.logged("record", **which)
    steps.ok("expect_record", **which)

    steps.logged("record_actual", **which)

    steps.ok("expect_record", actual=True, **which)


def test_exports_filter_and_project(steps: Steps) -> None:
    where = {"model": "m", "environment": "TRAINING"}
    steps.logged("log", recipe="whole", version="v1", **where)

    filtered = steps.ok("export_model_to_df", where="city = 'Köln' AND scorePredictionLabel IS NOT NULL", **where)
    assert filtered["ids"] == ["p-0", "p-2"]
    projected = steps.ok("export_model_to_df", columns=["amount"], **where)
    assert set(projected["columns"]) == {"amount", "time"}
    assert steps.ok("export_model_to_parquet", columns=["amount"], **where)["rows"] == 5
    assert steps("export_model_to_df", model="no such model", environment="TRAINING").kind == "ArrowKeyError"


def test_spans_come_back_equal_with_what_is_laid_over_them(steps: Steps, late: bool) -> None:
    steps.logged("log_spans", project="p")
    assert steps.ok("expect_spans", project="p", layers=[])["rows"] == 4

    steps.logged("log_evaluations", project="p")
    steps.ok("expect_spans", project="p", layers=["first"])
    assert steps.ok("log_evaluations_sync", project="p", recipe="second")["updated"] == 1
    steps.ok("expect_spans", project="p", layers=["first", "second"])
    assert steps.ok("log_annotations", project="p")["updated"] == 2
    layers = ["first", "second", "annotations"]
    steps.ok("expect_spans", project="p", layers=layers)
    if late:
        assert steps.ok("log_metadata", project="p")["spans_updated"] == 2
        assert steps.ok("expect_spans", project="p", layers=[*layers, "metadata"])["rows"] == 4


def test_evaluations_of_spans_that_there_are_not_are_reported(steps: Steps, late: bool) -> None:
    steps.logged("log_spans", project="p")

    said = steps.ok("log_evaluations_sync", project="p")

    assert said["updated"] == 3
    assert said["unmatched"] == (["00000000000000ee"] if late else [])
    assert steps.ok("export_model_to_df", model="p", environment="TRACING")["rows"] == 4


def test_evaluations_go_up_together_with_spans(steps: Steps) -> None:
    steps.logged("log_spans", project="p", evaluated=True)

    steps.ok("expect_spans", project="p", layers=["first"])


def test_datasets_come_back_equal_in_every_version(steps: Steps) -> None:
    made = steps.ok("create_dataset", name="d ü")["id"]
    steps.ok("get_dataset", dataset_id=made, recipe="first")
    steps.ok("get_dataset", dataset_name="d ü", recipe="first")

    assert steps.ok("update_dataset", dataset_id=made)["id"] == made
    assert steps.ok("update_dataset", dataset_name="d ü", recipe="first")["id"] == made

    newest, middle, oldest = steps.ok("get_dataset_versions", dataset_name="d ü")["versions"]
    assert steps.ok("get_dataset_versions", dataset_id=made)["versions"] == [newest, middle, oldest]
    steps.ok("get_dataset", dataset_id=made, dataset_version=oldest, recipe="first")
    steps.ok("get_dataset", dataset_id=made, dataset_version=middle, recipe="second", created=False)
    steps.ok("get_dataset", dataset_id=made, dataset_version=newest, recipe="first", created=False)
    steps.ok("get_dataset", dataset_id=made, recipe="first", created=False)
    (listed,) = steps.ok("list_datasets")["datasets"]
    assert (listed["dataset_id"], listed["dataset_name"], listed["dataset_type"]) == (made, "d ü", "GENERATIVE")

    assert steps.ok("delete_dataset", dataset_id=made)["deleted"] is True
    assert steps.ok("list_datasets")["datasets"] == []
    gone = steps("get_dataset", dataset_id=made)
    assert (gone.kind, "ArrowKeyError" in gone.caused_by) == ("RuntimeError", True)


def test_names_of_datasets_are_taken_once(steps: Steps) -> None:
    steps.ok("create_dataset", name="d")

    taken = steps("create_dataset", name="d", recipe="second")

    assert (taken.kind, "ArrowException" in taken.caused_by) == ("RuntimeError", True)
    assert len(steps.ok("list_datasets")["datasets"]) == 1
    steps.ok("get_dataset", dataset_name="d", recipe="first")


def test_experiments_run_and_come_back_equal(steps: Steps, late: bool) -> None:
    made = steps.ok("create_dataset", name="d", recipe="second")["id"]

    run = steps.ok("run_experiment", name="e", dataset_id=made)

    assert run["rows"] == 2
    assert "output" in steps.ok("get_experiment", name="e", compare=True, dataset_name="d")["columns"]
    steps.ok("get_experiment", name="e", compare=True, experiment_id=run["id"])
    again = steps("run_experiment", name="e", dataset_id=made)
    assert (again.kind, "ArrowException" in again.caused_by) == ("RuntimeError", True)
    # Each example's task and evaluation left a span in the experiment's own project.
    project = Experiment.objects.get().project
    assert project is not None
    names = steps.ok("count_traces", project=project.name)["names"]
    assert names == ["Evaluation: _length"] * 2 + ["Task: _task"] * 2

    if late:
        assert steps.ok("delete_experiment", experiment_name="e", dataset_name="d")["deleted"] is True
        gone = steps("get_experiment", name="e", dataset_name="d")
        assert (gone.kind, "ArrowKeyError" in gone.caused_by) == ("RuntimeError", True)


def test_experiments_run_elsewhere_come_back_equal(steps: Steps, late: bool) -> None:
    made = steps.ok("create_dataset", name="d")["id"]

    logged = steps.ok("log_experiment", name="e", dataset_name="d")

    steps.ok("get_experiment", name="e", compare=True, experiment_id=logged["id"])
    # The SDK loses the id on the way, and asks for a dataset without a name.
    lost = steps("log_experiment", name="f", dataset_id=made)
    assert (lost.kind, "ArrowKeyError" in lost.caused_by) == ("RuntimeError", True)
    assert list(Experiment.objects.values_list("name", flat=True)) == ["e"]
    if late:
        assert steps.ok("delete_experiment", experiment_id=logged["id"]) == {"deleted": True, "id": logged["id"]}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_traces_come_back_whole(steps: Steps, protocol: str) -> None:
    sent = steps.ok("export_traces", project="p", protocol=protocol)

    assert steps.ok("expect_traces", project="p", mark=sent["mark"])["rows"] == 2


def test_prompts_are_pushed_and_pulled(steps: Steps, late: bool) -> None:
    if not late:  # it selects what no schema for 7.54.0 can serve (contract client-workflows §14)
        for step, arguments, said in (
            ("push_prompt", {"name": "p ü"}, "Unknown type 'LLMIntegrationProvider'"),
            ("pull_prompts", {}, "Field 'toolChoice' of type 'ToolChoice' must have a selection of subfields"),
        ):
            failed = steps(step, **arguments)
            assert (failed.kind, failed.text.partition(".")[0]) == ("GraphQLError", said)
        assert not Prompt.objects.exists()
        return
    pushed = steps.ok("push_prompt", name="p ü")["id"]
    assert steps.ok("pull_prompt", name="p ü", said="{{question}}")["commit"] == "first"

    assert steps.ok("push_prompt", name="p ü", said="changed ☃", number=pushed)["id"] == pushed

    assert steps.ok("pull_prompt", name="p ü", said="changed ☃")["commit"] == "again"
    assert steps.ok("pull_prompts")["names"] == ["p ü"]


@pytest.mark.parametrize("working_key", ["a user key"], indirect=True)
def test_logger_and_exporter_take_who_asks_from_the_environment(
    steps: Steps, late: bool, cast: Cast, working_key: str, tmp_path: Path
) -> None:
    release = Client.SDK_7_54 if late else Client.SDK_7_40
    who = {"ARIZE_API_KEY": working_key, "ARIZE_SPACE_ID": encode_id("Space", cast.production.pk)}

    with walking(installed(release), "seven", tmp_path, **who) as walker:
        bare = steps.from_environment(walker)
        bare.logged("log", model="m", recipe="whole", environment="TRAINING", version="v1")
        bare.logged("log_spans", project="p")
        assert bare.ok("log_evaluations_sync", project="p")["updated"] == 3
        bare.ok("expect_model", model="m", recipe="whole", environment="TRAINING", weights=True)
        bare.ok("expect_spans", project="p", layers=["first"])

    uses = WorkflowUse.objects.filter(space=cast.production).values_list("workflow", "client")
    client = "arize 7.54.0" if late else "arize 7.40.1"
    exported = {("model.export", client), ("span.export", client)}
    assert set(uses) == {("model.log", client), ("span.log", client), ("span.update", client), *exported}


# --- refusals (contract client-workflows §15)


@pytest.fixture
def attempts(steps: Steps, late: bool) -> list[Attempt]:
    """What is there to be attempted upon, and every workflow once, by how a refusal of it is seen."""
    steps.logged("log", model="m", recipe="predictions", environment="PRODUCTION", version="v1")
    steps.logged("log_spans", project="p")
    made = steps.ok("create_dataset", name="d")["id"]
    experiment = steps.ok("log_experiment", name="e", dataset_name="d")["id"]
    production = {"model": "m", "environment": "PRODUCTION"}
    common = [
        Attempt("log", Way.ANSWERED, {"recipe": "predictions", "version": "v1", **production}),
        Attempt("log", Way.ANSWERED, {"recipe": "whole", "model": "new", "environment": "TRAINING", "version": "v1"}),
        Attempt("record", Way.ANSWERED, {"model": "m", "prediction": "1"}),
        Attempt("record_actual", Way.ANSWERED, {"model": "m", "prediction": "1"}),
        Attempt("log_spans", Way.ANSWERED, {"project": "p"}),
        Attempt("log_spans", Way.ANSWERED, {"project": "new"}),
        Attempt("log_evaluations", Way.ANSWERED, {"project": "p"}),
        Attempt("log_evaluations_sync", Way.SWALLOWED, {"project": "p"}),
        Attempt("log_annotations", Way.SWALLOWED, {"project": "p"}),
        Attempt("export_model_to_df", Way.FLIGHT, production, reads=True),
        Attempt("export_model_to_parquet", Way.FLIGHT, {"model": "p", "environment": "TRACING"}, reads=True),
        Attempt("create_dataset", Way.WRAPPED, {"name": "new"}),
        Attempt("update_dataset", Way.WRAPPED, {"dataset_id": made}),
        Attempt("get_dataset", Way.WRAPPED, {"dataset_id": made}, reads=True),
        Attempt("get_dataset_versions", Way.WRAPPED, {"dataset_name": "d"}, reads=True),
        Attempt("list_datasets", Way.WRAPPED, {}, reads=True),
        Attempt("run_experiment", Way.WRAPPED, {"name": "new", "dataset_id": made}),
        Attempt("log_experiment", Way.WRAPPED, {"name": "new", "dataset_name": "d"}),
        Attempt("get_experiment", Way.WRAPPED, {"experiment_id": experiment}, reads=True),
        Attempt("delete_dataset", Way.WRAPPED, {"dataset_id": made}),
        Attempt("export_traces", Way.LOGGED, {"project": "p", "protocol": "grpc"}),
        Attempt("export_traces", Way.LOGGED, {"project": "p", "protocol": "http"}),
    ]
    if not late:
        return common
    prompt = steps.ok("push_prompt", name="x")["id"]
    return [
        *common,
        Attempt("log_metadata", Way.UNANSWERED, {"project": "p"}),
        Attempt("delete_experiment", Way.WRAPPED, {"experiment_id": experiment}),
        Attempt("push_prompt", Way.PROMPT, {"name": "new"}),
        Attempt("push_prompt", Way.PROMPT, {"name": "x", "number": prompt}),
        # A node that one may not see is null, in all of GraphQL here; this SDK asks null for its prompts.
        Attempt("pull_prompt", Way.PROMPT, {"name": "x"}, reads=True, stumbles="TypeError"),
        Attempt("pull_prompts", Way.PROMPT, {}, reads=True, stumbles="TypeError"),
    ]


@pytest.mark.parametrize("working_key", ["a user key"], indirect=True)
def test_every_workflow_refuses_every_key_that_may_not(
    steps: Steps, refusals: Refusals, attempts: list[Attempt], refused_key: str
) -> None:
    refusals.hold(steps, attempts, refused_key)


@pytest.mark.parametrize("working_key", ["a user key"], indirect=True)
def test_strangers_cannot_tell_what_there_is(steps: Steps, refusals: Refusals) -> None:
    steps.ok("create_dataset", name="t-1-t")
    stranger = steps.with_key(refusals.key("of another space"))

    there, nowhere = (stranger("get_dataset", dataset_name=name) for name in ("t-1-t", "t-2-t"))

    assert seen_by(there, "t-1-t") == seen_by(nowhere, "t-2-t")
