"""What clients do with datasets, experiments and projects, over REST and Arrow Flight, and the verbs behind that."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
from django.utils import timezone

from accounts.audit import Tag
from apikeys.workflows import datasets, examples, experiments, listing, projects, runs, segments
from apikeys.workflows.editing import Value
from apikeys.workflows.models import DatasetKind
from tests.matrix.belongings import (
    EXAMPLES,
    RUNS,
    SPAN,
    begun,
    dataset,
    example_id,
    experiment,
    project,
    run_id,
    version,
)
from tests.matrix.doors.flight import flown
from tests.matrix.doors.rest import rest
from tests.matrix.doors.verbs import given, question, verb, work
from tests.matrix.doors.ways import Way, wire
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.scene import Scene
from tests.workflows.sending import stream_of

_DATASET = "/v2/datasets/{dataset_id}"
_EXPERIMENT = "/v2/experiments/{experiment_id}"
_PROJECT = "/v2/projects/{project_id}"
_EDITED = "Dataset DatasetVersion Table"
_TABLE = pa.table({"id": ["1"], "question": ["capital of Spain?"]})
_RUNS = pa.table({"id": ["1"], "example_id": ["1"], "output": ["Madrid"]})


def _said(row_id: str) -> dict[str, Any]:
    return {"annotations": [{"record_id": row_id, "values": [{"name": "correct", "label": "yes"}]}]}


def _values(row_id: str) -> dict[str, list[Value]]:
    return {row_id: [Value("correct", label="yes")]}


def _changed(scene: Scene) -> list[dict[str, str]]:
    return [{"id": example_id(scene), "answer": "Madrid"}]


def _gone(scene: Scene) -> dict[str, Any]:
    return {"dataset_version_id": wire(version(scene)), "example_ids": [example_id(scene)]}


def _recently() -> dict[str, datetime]:
    return {"start": timezone.now() - timedelta(hours=1), "end": timezone.now()}


def _told_again(way: Way) -> Way:
    """What is written to a project is told of once in a while; here, of each time."""
    return replace(way, prepared=lambda scene: segments.forget_streams())


DATASETS: dict[str, Operation] = {
    "list datasets": operation(
        question(datasets.datasets_seen_by, lambda scene: given(), holds=dataset),
        rest("GET /v2/datasets", shows=lambda scene: wire(dataset(scene))),
        flown("DoAction list_datasets", lambda scene: {}, shows=lambda scene: wire(dataset(scene))),
    ),
    "read a dataset": operation(
        question(datasets.get_dataset, lambda scene: given(dataset(scene).pk)),
        rest(f"GET {_DATASET}", lambda scene: [dataset(scene)]),
    ),
    "create a dataset": operation(
        work(examples.create, lambda scene: given(scene.space, name="new", examples=EXAMPLES)),
        rest(
            "POST /v2/datasets",
            body=lambda scene: {"name": "new", "space_id": wire(scene.space), "examples": EXAMPLES},
        ),
        work(
            datasets.create_dataset,
            lambda scene: given(scene.space, name="new", kind=DatasetKind.GENERATIVE, stream=stream_of(_TABLE)),
        ),
        flown("DoPut create_dataset", lambda scene: {"datasetName": "new"}, _TABLE),
        changes=_EDITED,
        event=Tag.DATASET_CREATED,
    ),
    "rename a dataset": operation(
        verb(datasets.rename_dataset, lambda scene: given(dataset(scene), name="renamed")),
        rest(f"PATCH {_DATASET}", lambda scene: [dataset(scene)], body=lambda scene: {"name": "renamed"}),
        changes="Dataset",
        event=Tag.DATASET_CHANGED,
    ),
    "delete a dataset": operation(
        verb(datasets.delete_dataset, lambda scene: given(dataset(scene))),
        rest(f"DELETE {_DATASET}", lambda scene: [dataset(scene)]),
        flown("DoAction delete_dataset", lambda scene: {"datasetId": wire(dataset(scene))}),
        changes=f"{_EDITED} Experiment",
        event=Tag.DATASET_DELETED,
    ),
    "add a version to a dataset": operation(
        work(datasets.add_version, lambda scene: given(dataset(scene), stream=stream_of(_TABLE))),
        flown("DoPut update_dataset", lambda scene: {"datasetId": wire(dataset(scene))}, _TABLE),
        changes=_EDITED,
        event=Tag.DATASET_VERSION_ADDED,
    ),
    "list the versions of a dataset": operation(
        question(datasets.versions_of, lambda scene: given(dataset(scene)), holds=version),
        flown("DoAction get_dataset_versions", lambda scene: {"datasetId": wire(dataset(scene))}),
    ),
    "read examples": operation(
        question(datasets.read_rows, lambda scene: given(version(scene))),
        flown("DoGet get_dataset", lambda scene: {"datasetId": wire(dataset(scene))}, shows=example_id),
        question(examples.read, lambda scene: given(dataset(scene), limit=1)),
        rest(f"GET {_DATASET}/examples", lambda scene: [dataset(scene)], shows=example_id),
        rest(
            f"POST {_DATASET}/examples/search",
            lambda scene: [dataset(scene)],
            body=lambda scene: {"filter": "question is not null"},
            shows=example_id,
        ),
    ),
    "add examples": operation(
        work(examples.append, lambda scene: given(dataset(scene), examples=EXAMPLES)),
        rest(f"POST {_DATASET}/examples", lambda scene: [dataset(scene)], body=lambda scene: {"examples": EXAMPLES}),
        changes=_EDITED,
        event=Tag.DATASET_CHANGED,
    ),
    "change examples": operation(
        work(examples.update, lambda scene: given(dataset(scene), examples=_changed(scene))),
        rest(
            f"PATCH {_DATASET}/examples",
            lambda scene: [dataset(scene)],
            body=lambda scene: {"examples": _changed(scene)},
        ),
        changes=_EDITED,
        event=Tag.DATASET_CHANGED,
    ),
    "remove examples": operation(
        work(
            examples.delete,
            lambda scene: given(dataset(scene), version=version(scene).pk, ids=[example_id(scene)]),
        ),
        rest(f"DELETE {_DATASET}/examples", lambda scene: [dataset(scene)], body=_gone),
        changes=_EDITED,
        event=Tag.DATASET_CHANGED,
    ),
    "annotate examples": operation(
        work(examples.annotate, lambda scene: given(dataset(scene), _values(example_id(scene)))),
        rest(
            f"POST {_DATASET}/examples/annotate",
            lambda scene: [dataset(scene)],
            body=lambda scene: _said(example_id(scene)),
        ),
        changes=_EDITED,
        event=Tag.DATASET_ANNOTATED,
    ),
}

EXPERIMENTS: dict[str, Operation] = {
    "list experiments": operation(
        question(experiments.experiments_seen_by, lambda scene: given(), holds=experiment),
        rest("GET /v2/experiments", shows=lambda scene: wire(experiment(scene))),
    ),
    "read an experiment": operation(
        question(experiments.get_experiment, lambda scene: given(experiment(scene).pk)),
        rest(f"GET {_EXPERIMENT}", lambda scene: [experiment(scene)]),
    ),
    "begin an experiment": operation(
        work(experiments.open_experiment, lambda scene: given(dataset(scene), name="new")),
        flown(
            "DoAction create_experiment_db_entry",
            lambda scene: {"datasetId": wire(dataset(scene)), "experimentName": "new"},
        ),
        changes="Experiment Project?",
        event=Tag.EXPERIMENT_CREATED,
    ),
    "post the runs of an experiment": operation(
        work(experiments.post_runs, lambda scene: given(begun(scene), stream=stream_of(_RUNS))),
        flown(
            "DoPut post_experiment_data",
            lambda scene: {"datasetId": wire(dataset(scene)), "experimentName": "begun"},
            _RUNS,
        ),
        changes="Experiment Table",
        event=Tag.EXPERIMENT_CHANGED,
    ),
    "create an experiment": operation(
        work(experiments.create_experiment, lambda scene: given(dataset(scene), name="new", stream=stream_of(_RUNS))),
        work(runs.create, lambda scene: given(dataset(scene), name="new", runs=RUNS)),
        rest(
            "POST /v2/experiments",
            body=lambda scene: {"name": "new", "dataset_id": wire(dataset(scene)), "experiment_runs": RUNS},
        ),
        changes="Experiment Table",
        event=Tag.EXPERIMENT_CREATED,
    ),
    "create an experiment without a dataset": operation(
        work(experiments.create_experiment, lambda scene: given(scene.space, name="new", stream=stream_of(_RUNS))),
        work(runs.create, lambda scene: given(scene.space, name="new", runs=RUNS)),
        rest(
            "POST /v2/experiments",
            body=lambda scene: {"name": "new", "space_id": wire(scene.space), "experiment_runs": RUNS},
        ),
        changes="Experiment Table",
        event=Tag.EXPERIMENT_CREATED,
    ),
    "delete an experiment": operation(
        verb(experiments.delete_experiment, lambda scene: given(experiment(scene))),
        rest(f"DELETE {_EXPERIMENT}", lambda scene: [experiment(scene)]),
        flown("DoAction delete_experiment", lambda scene: {"experimentId": wire(experiment(scene))}),
        changes="Experiment Table",
        event=Tag.EXPERIMENT_DELETED,
    ),
    "read runs": operation(
        question(experiments.read_runs, lambda scene: given(experiment(scene))),
        flown("DoGet get_experiment", lambda scene: {"experimentId": wire(experiment(scene))}, shows=run_id),
        question(runs.read, lambda scene: given(experiment(scene), limit=1)),
        rest(f"GET {_EXPERIMENT}/runs", lambda scene: [experiment(scene)], shows=run_id),
        rest(
            f"POST {_EXPERIMENT}/runs/search",
            lambda scene: [experiment(scene)],
            body=lambda scene: {"filter": "output = 'Madrid'"},
            shows=run_id,
        ),
    ),
    "add runs": operation(
        work(runs.append, lambda scene: given(experiment(scene), runs=RUNS)),
        rest(
            f"POST {_EXPERIMENT}/runs",
            lambda scene: [experiment(scene)],
            body=lambda scene: {"experiment_runs": RUNS},
        ),
        changes="Experiment Table",
        event=Tag.EXPERIMENT_CHANGED,
    ),
    "annotate runs": operation(
        work(runs.annotate, lambda scene: given(experiment(scene), _values(run_id(scene)))),
        rest(
            f"POST {_EXPERIMENT}/runs/annotate",
            lambda scene: [experiment(scene)],
            body=lambda scene: _said(run_id(scene)),
        ),
        changes="Experiment Table",
        event=Tag.EXPERIMENT_ANNOTATED,
    ),
}

PROJECTS: dict[str, Operation] = {
    "list projects": operation(
        question(projects.list_projects, lambda scene: given(), holds=project),
        rest("GET /v2/projects", shows=lambda scene: wire(project(scene))),
    ),
    "read a project": operation(
        question(projects.find_project, lambda scene: given(number=project(scene).pk)),
        rest(f"GET {_PROJECT}", lambda scene: [project(scene)]),
    ),
    "create a project": operation(
        verb(projects.create_project, lambda scene: given(scene.space, name="new")),
        rest("POST /v2/projects", body=lambda scene: {"name": "new", "space_id": wire(scene.space)}),
        changes="Project",
        event=Tag.PROJECT_CREATED,
    ),
    "rename a project": operation(
        verb(projects.rename_project, lambda scene: given(project(scene), name="renamed")),
        rest(f"PATCH {_PROJECT}", lambda scene: [project(scene)], body=lambda scene: {"name": "renamed"}),
        changes="Project",
        event=Tag.PROJECT_CHANGED,
    ),
    "delete a project": operation(
        verb(projects.delete_project, lambda scene: given(project(scene))),
        rest(f"DELETE {_PROJECT}", lambda scene: [project(scene)]),
        changes="Project Segment Table",
        event=Tag.PROJECT_DELETED,
    ),
    "read spans": operation(
        question(listing.list_spans, lambda scene: given(project(scene), limit=1, **_recently())),
        rest("POST /v2/spans", body=lambda scene: {"project_id": wire(project(scene))}, shows=lambda scene: SPAN),
    ),
    "annotate spans by their ids": operation(
        _told_again(work(listing.annotate_spans, lambda scene: given(project(scene), _values(SPAN)))),
        _told_again(
            rest(
                "POST /v2/spans/annotate",
                body=lambda scene: {"project_id": wire(project(scene)), **_said(SPAN)},
            )
        ),
        changes="Project Segment Table",
        event=Tag.PROJECT_WRITTEN,
    ),
}
