"""Flight's commands about experiments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accounts.errors import Conflict, Forbidden, NotFound
from accounts.models import Project, ProjectKind, Space
from accounts.permissions import may_see
from accounts.vocabulary import Permission
from accounts.wire import decode_id
from apikeys.workflows import datasets, experiments, projects, runs
from apikeys.workflows.grpc.commands import answers
from apikeys.workflows.grpc.datasets import find as find_dataset
from apikeys.workflows.grpc.threshold import Visitor
from apikeys.workflows.models import Dataset, Experiment
from apikeys.workflows.streams import Stream
from apikeys.workflows.tables import Reading
from apikeys.workflows.uses import Workflow

_LONGEST_NAME = 200


def open_entry(visitor: Visitor, asked: Any) -> Any:
    """Begin an experiment, and say where its traces go."""
    space = visitor.space(asked.space_id)
    dataset = find_dataset(visitor, space, asked)
    name = experiments.may_open_experiment(visitor.actor, dataset, asked.experiment_name)  # before a project is made
    traces = asked.trace_model_name or f"{dataset.name[:_LONGEST_NAME]} experiments"
    experiment = experiments.open_experiment(
        visitor.actor,
        dataset,
        name=name,
        project=_project(visitor, space, traces),
        at=visitor.caller.at,
    )
    visitor.note(Workflow.EXPERIMENT_WRITE, space)
    project = experiment.project  # of whoever began it
    return answers.ExperimentEntry(
        experiment_id=experiment.wire_id,
        dataset_id=dataset.wire_id,
        trace_model_name=project.name if project and may_see(visitor.actor, project) else traces,
    )


def post_runs(visitor: Visitor, asked: Any) -> Callable[[Stream], Any]:
    """Refuse, or return what fills an experiment with the runs in a stream."""
    space = visitor.space(asked.space_id)
    dataset = datasets.find_dataset(
        visitor.actor, space, number=decode_id(asked.dataset_id, "Dataset", field="dataset_id")
    )
    needed = Permission.EXPERIMENT_CREATE
    experiment = experiments.find_experiment(
        visitor.actor, space, name=asked.experiment_name, dataset=dataset, needed=needed
    )
    experiments.may_post_runs(visitor.actor, experiment)

    def keep(stream: Stream) -> Any:
        posted = runs.post(visitor.actor, experiment, stream=stream, at=visitor.caller.at)
        visitor.note(Workflow.EXPERIMENT_WRITE, space)
        return answers.RunsPosted(experiment_id=posted.wire_id, dataset_id=dataset.wire_id)

    return keep


def read(visitor: Visitor, asked: Any) -> Reading:
    """Return an experiment's runs."""
    space = visitor.space(asked.space_id)
    experiment = _find(visitor, space, asked.experiment_id, asked.experiment_name, asked.dataset_name)
    reading = runs.download(visitor.actor, experiment)
    visitor.note(Workflow.EXPERIMENT_READ, space)
    return reading


def delete(visitor: Visitor, asked: Any) -> Any:
    """Delete an experiment."""
    space = visitor.space(asked.space_id)
    name = asked.experiment_name_identifier
    experiment = _find(visitor, space, asked.experiment_id, name.experiment_name, name.dataset_name)
    wire_id = experiment.wire_id
    experiments.delete_experiment(visitor.actor, experiment, at=visitor.caller.at)
    visitor.note(Workflow.EXPERIMENT_WRITE, space)
    return answers.ExperimentDeleted(experiment_id=wire_id)


def _find(visitor: Visitor, space: Space, wire_id: str, name: str, dataset_name: str) -> Experiment:
    if wire_id:
        number = decode_id(wire_id, "Experiment", field="experiment_id")
        return experiments.find_experiment(visitor.actor, space, number=number)
    dataset: Dataset = datasets.find_dataset(visitor.actor, space, name=dataset_name)
    return experiments.find_experiment(visitor.actor, space, name=name, dataset=dataset)


def _project(visitor: Visitor, space: Space, name: str) -> Project | None:
    """Return the project for an experiment's traces, or ``None``.

    Whoever may make none experiments all the same, without traces, and so does whoever names one that is not to be had.
    """
    try:
        return projects.find_or_create(visitor.actor, space, name=name, kind=ProjectKind.TRACING, at=visitor.caller.at)
    except (Forbidden, NotFound, Conflict):
        return None
