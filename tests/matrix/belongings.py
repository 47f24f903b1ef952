"""What lies in the space of a scene: a dataset, experiments made on it, a project with a span, and an ML model."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import Project, Space
from apikeys.workflows import examples, experiments, runs, spans
from apikeys.workflows.models import Dataset, DatasetVersion, Experiment
from apikeys.workflows.streams import Stream
from tests.workflows import logging

if TYPE_CHECKING:
    from tests.matrix.scene import Scene

EXAMPLES = [{"question": "capital of Spain?"}]
SPAN = "7f3c2a1b9d8e4f60"
RUNS = [{"example_id": "any", "output": "Madrid"}]
SPANS = logging.spans_of("a")
PREDICTIONS = {"predictionID": ["p"], "time": [logging.START], "categoricalPredictionLabel": ["x"]}
MODEL = "fraud"  # as it is called there


def furnish(actor: Actor, space: Space) -> None:
    """Put them there."""
    at = timezone.now()
    version = examples.create(actor, space, name="capitals", examples=EXAMPLES, at=at)
    runs.create(actor, version.dataset, name="small-model", runs=RUNS, at=at)
    experiments.open_experiment(actor, version.dataset, name="begun", at=at)
    logging.log(actor, space, SPANS, name="support")
    logging.predict(actor, space, PREDICTIONS)
    spans.log_spans(actor, space, project_name="support", stream=_span(at), at=at)


def _span(at: datetime) -> Stream:
    began = int(at.timestamp()) * 10**9
    columns = {"context.trace_id": ["t"], "context.span_id": [SPAN], "start_time": [began], "end_time": [began]}
    batch = pa.RecordBatch.from_pydict({**columns, "time": pa.array([began], pa.timestamp("ns", "UTC"))})
    return Stream(batch.schema, iter([batch]))


def dataset(scene: Scene) -> Dataset:
    """Return the dataset."""
    return Dataset.objects.select_related("space__organization").get(space=scene.space, name="capitals")


def version(scene: Scene) -> DatasetVersion:
    """Return its version."""
    return DatasetVersion.objects.select_related("table").get(dataset=dataset(scene))


def example_id(scene: Scene) -> str:
    """Return the id of the example in it."""
    return str(examples.read(scene.cast.actor(scene.cast.alice), dataset(scene), limit=1).rows[0]["id"])


def experiment(scene: Scene) -> Experiment:
    """Return the experiment."""
    rows = Experiment.objects.select_related("space__organization", "dataset__space", "table")
    return rows.get(dataset=dataset(scene), name="small-model")


def begun(scene: Scene) -> Experiment:
    """Return another one, which waits for its runs."""
    rows = Experiment.objects.select_related("space__organization", "dataset__space", "table")
    return rows.get(dataset=dataset(scene), name="begun")


def run_id(scene: Scene) -> str:
    """Return the id of its run."""
    return str(runs.read(scene.cast.actor(scene.cast.alice), experiment(scene), limit=1).rows[0]["id"])


def project(scene: Scene) -> Project:
    """Return the project."""
    return Project.objects.select_related("space__organization").get(space=scene.space, name="support")
