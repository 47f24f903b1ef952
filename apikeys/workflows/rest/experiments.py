"""``/v2/experiments``: what tasks made, of datasets as a rule (contract client-workflows §11)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import Actor
from accounts.errors import Incompatible
from accounts.models import Space
from accounts.paging import paginate
from accounts.permissions import find_seen, require
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import paged, path_id
from accounts.rest.examples import page_of
from accounts.vocabulary import Permission
from apikeys.workflows import datasets, experiments, runs
from apikeys.workflows.models import Dataset, Experiment
from apikeys.workflows.rest.dressing import rows_page, run_out, values_by_record
from apikeys.workflows.rest.endpoint import ROWS_BYTES, WorkflowEndpoint, in_spaces_named
from apikeys.workflows.rest.samples import DATASET_ID, EXPERIMENT, NEW_RUN, RUN, RUN_ID
from apikeys.workflows.rest.serializers import (
    AddRuns,
    Annotate,
    CreateExperiment,
    ExperimentOut,
    ExperimentPage,
    ExperimentQuery,
    RowQuery,
    RunPage,
    SearchRuns,
    WrittenRuns,
)
from apikeys.workflows.uses import Workflow

_TAG = "Experiments"
_PATH = {"experiment_id": "Experiment"}


def _dressed(actor: Actor, rows: Collection[Experiment]) -> list[dict[str, Any]]:
    seen = experiments.projects_seen_of(actor, rows)
    return list(ExperimentOut(rows, many=True, context={"projects_seen": seen}).data)


class ExperimentEndpoint(WorkflowEndpoint):
    """An address of one experiment."""

    def experiment(self, text: str, *needed: Permission) -> Experiment:
        """Return the experiment that the address names, to whoever may do what is asked: else its body is not read."""
        experiment = experiments.get_experiment(self.actor, path_id(text, "Experiment"))
        for permission in needed:
            require(self.actor, permission, experiment.space)
        return experiment


class ExperimentList(WorkflowEndpoint):
    """The experiments the caller can see, and where new ones come from."""

    most_bytes = ROWS_BYTES
    access = {
        "GET": "Any valid key. The list holds the experiments its user may read; 404 for an unreadable `dataset_id` or "
        "`space_id`.",
        "POST": "EXPERIMENT_CREATE in the space, be it the dataset's: its members and admins.",
    }

    @operation(
        id="list_experiments",
        tag=_TAG,
        summary="List experiments",
        text="Newest first. Name a dataset or a space, or neither.",
        query=ExperimentQuery,
        success=(200, answer(ExperimentPage, {"The first of several": page_of("experiments", EXPERIMENT)})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request) -> Response:
        """List experiments."""
        query = self.query(ExperimentQuery)
        if "dataset_id" in query and "space_id" in query:
            raise Incompatible("Name a dataset or a space, not both.", field="space_id")
        rows, space = experiments.experiments_seen_by(self.actor), None
        if "dataset_id" in query:
            dataset = datasets.get_dataset(self.actor, query["dataset_id"])
            rows, space = rows.filter(dataset=dataset), dataset.space
        elif "space_id" in query:
            space = find_seen(self.actor, Space, query["space_id"])
            rows = experiments.list_experiments(self.actor, space)
        rows = in_spaces_named(rows, query)
        page = paginate(rows, cursor=query["cursor"], limit=query["limit"])
        self.note(Workflow.EXPERIMENT_READ, space)
        return paged("experiments", page, _dressed(self.actor, page.items))

    @operation(
        id="create_experiment",
        tag=_TAG,
        summary="Create an experiment",
        text="On the latest version of a dataset, or in a space without any, with 1 to 1000 runs and up to 8 MB of "
        "them; larger ones on datasets come by Arrow Flight. Each run has the `output` that came out and properties of "
        "your own; over a dataset it has the `example_id` it was made of. Whether there is such an example is not "
        "looked at.",
        request=CreateExperiment,
        success=(201, answer(ExperimentOut, {"A new experiment": EXPERIMENT})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "One run",
                value={"name": "large-model", "dataset_id": DATASET_ID, "experiment_runs": [NEW_RUN]},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Create an experiment."""
        body = self.body(CreateExperiment)
        if ("dataset_id" in body) is ("space_id" in body):
            raise Incompatible(
                "Name the dataset that the experiment was made on, or the space of one without a dataset.",
                field="dataset_id",
            )
        on: Dataset | Space = (
            datasets.get_dataset(self.actor, body["dataset_id"])
            if "dataset_id" in body
            else find_seen(self.actor, Space, body["space_id"])
        )
        experiment = runs.create(self.actor, on, name=body["name"], runs=body["experiment_runs"], at=timezone.now())
        self.note(Workflow.EXPERIMENT_WRITE, experiment.space)
        return Response(_dressed(self.actor, [experiment])[0], status=201)


class ExperimentDetail(ExperimentEndpoint):
    """One experiment."""

    access = {
        "GET": "EXPERIMENT_READ in the space; 404 otherwise.",
        "DELETE": "EXPERIMENT_DELETE in the space: its members and admins.",
    }

    @operation(
        id="get_experiment",
        tag=_TAG,
        summary="Get an experiment",
        text="Without its runs. Also before there are any.",
        path=_PATH,
        success=(200, answer(ExperimentOut, {"An experiment": EXPERIMENT})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, experiment_id: str) -> Response:
        """Return an experiment."""
        experiment = self.experiment(experiment_id)
        self.note(Workflow.EXPERIMENT_READ, experiment.space)
        return Response(_dressed(self.actor, [experiment])[0])

    @operation(
        id="delete_experiment",
        tag=_TAG,
        summary="Delete an experiment",
        text="With its runs. Its traces stay in their project. There is no way back. No body.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, experiment_id: str) -> Response:
        """Delete an experiment."""
        experiment = self.experiment(experiment_id)
        experiments.delete_experiment(self.actor, experiment, at=timezone.now())
        self.note(Workflow.EXPERIMENT_WRITE, experiment.space)
        return Response(status=204)


class Runs(ExperimentEndpoint):
    """The runs of an experiment."""

    most_bytes = ROWS_BYTES
    access = {
        "GET": "EXPERIMENT_RUN_READ in the space.",
        "POST": "EXPERIMENT_UPDATE in the space: its members and admins.",
    }

    @operation(
        id="list_experiment_runs",
        tag=_TAG,
        summary="List runs",
        text="In the order in which they came. What a run lacks and another has is null.",
        path=_PATH,
        query=RowQuery,
        success=(200, answer(RunPage, {"The first of several": page_of("experiment_runs", RUN)})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, experiment_id: str) -> Response:
        """List runs."""
        experiment, query = self.experiment(experiment_id), self.query(RowQuery)
        page = runs.read(self.actor, experiment, cursor=query["cursor"], limit=query["limit"])
        self.note(Workflow.EXPERIMENT_READ, experiment.space)
        return rows_page("experiment_runs", page, run_out)

    @operation(
        id="insert_experiment_runs",
        tag=_TAG,
        summary="Add runs",
        text="1 to 1000 of them, up to 8 MB.",
        path=_PATH,
        request=AddRuns,
        success=(201, answer(WrittenRuns, {"What was written": {**EXPERIMENT, "run_ids": [RUN_ID]}})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("One more", value={"experiment_runs": [NEW_RUN]}, request_only=True)],
    )
    def post(self, request: Request, experiment_id: str) -> Response:
        """Add runs."""
        experiment, body = self.experiment(experiment_id, Permission.EXPERIMENT_UPDATE), self.body(AddRuns)
        edited = runs.append(self.actor, experiment, runs=body["experiment_runs"], at=timezone.now())
        self.note(Workflow.EXPERIMENT_WRITE, experiment.space)
        written: dict[str, Any] = {**_dressed(self.actor, [edited.experiment])[0], "run_ids": list(edited.ids)}
        return Response(written, status=201)


class RunSearch(ExperimentEndpoint):
    """Looking for runs."""

    post_only_reads = True
    access = {"POST": "EXPERIMENT_RUN_READ in the space."}

    @operation(
        id="search_experiment_runs",
        tag=_TAG,
        summary="Search runs",
        text="With a condition over their columns, as in SQL, or all of them. In the order in which they came.",
        path=_PATH,
        request=SearchRuns,
        success=(200, answer(RunPage, {"The first of several": page_of("experiment_runs", RUN)})),
        problems=(400, 401, 403, 404, 422, 429),
        examples=[OpenApiExample("By a column", value={"filter": "output = 'Madrid'"}, request_only=True)],
    )
    def post(self, request: Request, experiment_id: str) -> Response:
        """Search runs."""
        experiment, body = self.experiment(experiment_id, Permission.EXPERIMENT_RUN_READ), self.body(SearchRuns)
        page = runs.read(
            self.actor, experiment, condition=body.get("filter"), cursor=body["cursor"], limit=body["limit"]
        )
        self.note(Workflow.EXPERIMENT_READ, experiment.space)
        return rows_page("experiment_runs", page, run_out)


class RunAnnotations(ExperimentEndpoint):
    """Saying something of runs."""

    most_bytes = ROWS_BYTES
    access = {"POST": "EXPERIMENT_RUN_ANNOTATE in the space: its annotators, members and admins."}

    @operation(
        id="annotate_experiment_runs",
        tag=_TAG,
        summary="Annotate runs",
        text="What was said under the same name before is overwritten, part by part.",
        path=_PATH,
        request=Annotate,
        success=(202, None),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "A label",
                value={"annotations": [{"record_id": RUN_ID, "values": [{"name": "correct", "label": "yes"}]}]},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, experiment_id: str) -> Response:
        """Annotate runs."""
        experiment, body = self.experiment(experiment_id, Permission.EXPERIMENT_RUN_ANNOTATE), self.body(Annotate)
        runs.annotate(self.actor, experiment, values_by_record(body["annotations"]), at=timezone.now())
        self.note(Workflow.EXPERIMENT_WRITE, experiment.space)
        return Response(status=202)
