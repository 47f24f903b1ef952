"""``/v2/datasets``: named examples in versions (contract client-workflows §10)."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import Incompatible
from accounts.models import Space
from accounts.paging import paginate
from accounts.permissions import find_seen, require
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import paged, path_id
from accounts.rest.examples import IDS, page_of
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from apikeys.workflows import datasets, examples
from apikeys.workflows.models import Dataset
from apikeys.workflows.rest.dressing import example_out, rows_page, values_by_record
from apikeys.workflows.rest.endpoint import ROWS_BYTES, WorkflowEndpoint, in_spaces_named
from apikeys.workflows.rest.samples import (
    DATASET,
    DATASET_IN_LIST,
    EXAMPLE,
    EXAMPLE_ID,
    NEW_EXAMPLES,
    VERSION_ID,
    WRITTEN,
)
from apikeys.workflows.rest.serializers import (
    AddExamples,
    Annotate,
    ChangeExamples,
    CreateDataset,
    DatasetInListOut,
    DatasetOut,
    DatasetPage,
    DeletedExamples,
    DeleteExamples,
    ExamplePage,
    ExampleQuery,
    InSpaces,
    Rename,
    SearchExamples,
    VersionQuery,
    WrittenExamples,
)
from apikeys.workflows.uses import Workflow

_TAG = "Datasets"
_PATH = {"dataset_id": "Dataset"}


class DatasetEndpoint(WorkflowEndpoint):
    """An address of one dataset."""

    def dataset(self, text: str, *needed: Permission) -> Dataset:
        """Return the dataset that the address names, to whoever may do what is asked: else its body is not read."""
        dataset = datasets.get_dataset(self.actor, path_id(text, "Dataset"))
        for permission in needed:
            require(self.actor, permission, dataset.space)
        return dataset


class DatasetList(WorkflowEndpoint):
    """The datasets the caller can see, and where new ones come from."""

    most_bytes = ROWS_BYTES
    access = {
        "GET": "Any valid key. The list holds the datasets its user may read; 404 for an unreadable `space_id`.",
        "POST": "DATASET_CREATE in the space: its members and admins.",
    }

    @operation(
        id="list_datasets",
        tag=_TAG,
        summary="List datasets",
        text="Newest first, without their versions.",
        query=InSpaces,
        success=(200, answer(DatasetPage, {"The first of several": page_of("datasets", DATASET_IN_LIST)})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request) -> Response:
        """List datasets."""
        query = self.query(InSpaces)
        space = find_seen(self.actor, Space, query["space_id"]) if "space_id" in query else None
        rows = datasets.datasets_seen_by(self.actor) if space is None else datasets.list_datasets(self.actor, space)
        page = paginate(in_spaces_named(rows, query), cursor=query["cursor"], limit=query["limit"])
        self.note(Workflow.DATASET_READ, space)
        return paged("datasets", page, DatasetInListOut(page.items, many=True).data)

    @operation(
        id="create_dataset",
        tag=_TAG,
        summary="Create a dataset",
        text="With 1 to 1000 examples and up to 8 MB of them; larger ones come by Arrow Flight. Each example has "
        "properties of your own; `id`, `created_at` and `updated_at` are set for it.",
        request=CreateDataset,
        success=(201, answer(DatasetOut, {"A new dataset": DATASET})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "Two examples",
                value={"name": "questions", "space_id": IDS["Space"], "examples": NEW_EXAMPLES},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Create a dataset."""
        body = self.body(CreateDataset)
        space = find_seen(self.actor, Space, body["space_id"])
        version = examples.create(self.actor, space, name=body["name"], examples=body["examples"], at=timezone.now())
        self.note(Workflow.DATASET_WRITE, space)
        return Response(DatasetOut(version.dataset).data, status=201)


class DatasetDetail(DatasetEndpoint):
    """One dataset."""

    access = {
        "GET": "DATASET_READ in the space; 404 otherwise.",
        "PATCH": "DATASET_UPDATE in the space: its members and admins.",
        "DELETE": "DATASET_DELETE in the space: its members and admins.",
    }

    @operation(
        id="get_dataset",
        tag=_TAG,
        summary="Get a dataset",
        text="With its versions, newest first.",
        path=_PATH,
        success=(200, answer(DatasetOut, {"A dataset": DATASET})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, dataset_id: str) -> Response:
        """Return a dataset."""
        dataset = self.dataset(dataset_id)
        self.note(Workflow.DATASET_READ, dataset.space)
        return Response(DatasetOut(dataset).data)

    @operation(
        id="update_dataset",
        tag=_TAG,
        summary="Rename a dataset",
        path=_PATH,
        request=Rename,
        success=(200, answer(DatasetOut, {"As it is now": DATASET | {"name": "cities"}})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("Another name", value={"name": "cities"}, request_only=True)],
    )
    def patch(self, request: Request, dataset_id: str) -> Response:
        """Rename a dataset."""
        dataset, body = self.dataset(dataset_id, Permission.DATASET_UPDATE), self.body(Rename)
        dataset = datasets.rename_dataset(self.actor, dataset, name=body["name"], at=timezone.now())
        self.note(Workflow.DATASET_WRITE, dataset.space)
        return Response(DatasetOut(dataset).data)

    @operation(
        id="delete_dataset",
        tag=_TAG,
        summary="Delete a dataset",
        text="With its versions and the experiments made on it. There is no way back. No body.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, dataset_id: str) -> Response:
        """Delete a dataset."""
        dataset = self.dataset(dataset_id)
        datasets.delete_dataset(self.actor, dataset, at=timezone.now())
        self.note(Workflow.DATASET_WRITE, dataset.space)
        return Response(status=204)


class Examples(DatasetEndpoint):
    """The examples of a dataset."""

    most_bytes = ROWS_BYTES
    access = {
        "GET": "DATASET_EXAMPLE_READ in the space.",
        "POST": "DATASET_UPDATE and DATASET_EXAMPLE_CREATE in the space: its members and admins.",
        "PATCH": "DATASET_UPDATE and DATASET_EXAMPLE_UPDATE in the space, and DATASET_EXAMPLE_CREATE for a new "
        "version: its members and admins.",
        "DELETE": "DATASET_UPDATE and DATASET_EXAMPLE_DELETE in the space: its members and admins.",
    }

    @operation(
        id="list_dataset_examples",
        tag=_TAG,
        summary="List examples",
        text="In the order in which they came. What an example lacks and another has is null.",
        path=_PATH,
        query=ExampleQuery,
        success=(200, answer(ExamplePage, {"The first of several": page_of("examples", EXAMPLE)})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, dataset_id: str) -> Response:
        """List examples."""
        dataset, query = self.dataset(dataset_id), self.query(ExampleQuery)
        page = examples.read(
            self.actor,
            dataset,
            version=query.get("dataset_version_id"),
            cursor=query["cursor"],
            limit=query["limit"],
        )
        self.note(Workflow.DATASET_READ, dataset.space)
        return rows_page("examples", page, example_out)

    @operation(
        id="insert_dataset_examples",
        tag=_TAG,
        summary="Add examples",
        text="To the latest version, or to the one named, in place. 1 to 1000 of them, up to 8 MB.",
        path=_PATH,
        query=VersionQuery,
        request=AddExamples,
        success=(201, answer(WrittenExamples, {"What was written": WRITTEN})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("One more", value={"examples": NEW_EXAMPLES[:1]}, request_only=True)],
    )
    def post(self, request: Request, dataset_id: str) -> Response:
        """Add examples."""
        dataset = self.dataset(dataset_id, Permission.DATASET_UPDATE, Permission.DATASET_EXAMPLE_CREATE)
        query, body = self.query(VersionQuery), self.body(AddExamples)
        edited = examples.append(
            self.actor,
            dataset,
            version=query.get("dataset_version_id"),
            examples=body["examples"],
            at=timezone.now(),
        )
        self.note(Workflow.DATASET_WRITE, dataset.space)
        return Response(_written(edited), status=201)

    @operation(
        id="update_dataset_examples",
        tag=_TAG,
        summary="Change examples",
        text="By their IDs; what a change does not name stays as it is, and IDs that there are none of are passed "
        "over. In place, or as a new version where that is given a name.",
        path=_PATH,
        query=VersionQuery,
        request=ChangeExamples,
        success=(200, answer(WrittenExamples, {"What was written": WRITTEN})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "As a new version",
                value={"examples": [{"id": EXAMPLE_ID, "answer": "Madrid!"}], "new_version": "louder"},
                request_only=True,
            )
        ],
    )
    def patch(self, request: Request, dataset_id: str) -> Response:
        """Change examples."""
        dataset = self.dataset(dataset_id, Permission.DATASET_UPDATE, Permission.DATASET_EXAMPLE_UPDATE)
        query, body = self.query(VersionQuery), self.body(ChangeExamples)
        ids = [example["id"] for example in body["examples"]]
        _require_distinct(ids, "examples")
        edited = examples.update(
            self.actor,
            dataset,
            version=query.get("dataset_version_id"),
            examples=body["examples"],
            new_version=body.get("new_version"),
            at=timezone.now(),
        )
        self.note(Workflow.DATASET_WRITE, dataset.space)
        return Response(_written(edited))

    @operation(
        id="delete_dataset_examples",
        tag=_TAG,
        summary="Remove examples",
        text="From one version, in place. IDs that there are none of are told apart, so it can be asked twice.",
        path=_PATH,
        request=DeleteExamples,
        success=(
            200,
            answer(
                DeletedExamples,
                {
                    "One of two": {
                        "completed": True,
                        "deleted_example_ids": [EXAMPLE_ID],
                        "not_deleted_example_ids": ["gone-before"],
                    }
                },
            ),
        ),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "Two examples",
                value={"dataset_version_id": VERSION_ID, "example_ids": [EXAMPLE_ID, "gone-before"]},
                request_only=True,
            )
        ],
    )
    def delete(self, request: Request, dataset_id: str) -> Response:
        """Remove examples."""
        dataset = self.dataset(dataset_id, Permission.DATASET_UPDATE, Permission.DATASET_EXAMPLE_DELETE)
        body = self.body(DeleteExamples)
        ids = body["example_ids"]
        _require_distinct(ids, "example_ids")
        gone = examples.delete(self.actor, dataset, version=body["dataset_version_id"], ids=ids, at=timezone.now())
        self.note(Workflow.DATASET_WRITE, dataset.space)
        deleted = set(gone)
        return Response(
            {
                "completed": True,
                "deleted_example_ids": [one for one in ids if one in deleted],
                "not_deleted_example_ids": [one for one in ids if one not in deleted],
            }
        )


class ExampleSearch(DatasetEndpoint):
    """Looking for examples."""

    post_only_reads = True
    access = {"POST": "DATASET_EXAMPLE_READ in the space."}

    @operation(
        id="search_dataset_examples",
        tag=_TAG,
        summary="Search examples",
        text="With a condition over their columns, as in SQL, or all of them. In the order in which they came.",
        path=_PATH,
        request=SearchExamples,
        success=(200, answer(ExamplePage, {"The first of several": page_of("examples", EXAMPLE)})),
        problems=(400, 401, 403, 404, 422, 429),
        examples=[OpenApiExample("By a column", value={"filter": "question LIKE '%Spain%'"}, request_only=True)],
    )
    def post(self, request: Request, dataset_id: str) -> Response:
        """Search examples."""
        dataset, body = self.dataset(dataset_id, Permission.DATASET_EXAMPLE_READ), self.body(SearchExamples)
        page = examples.read(
            self.actor,
            dataset,
            version=body.get("dataset_version_id"),
            condition=body.get("filter"),
            cursor=body["cursor"],
            limit=body["limit"],
        )
        self.note(Workflow.DATASET_READ, dataset.space)
        return rows_page("examples", page, example_out)


class ExampleAnnotations(DatasetEndpoint):
    """Saying something of examples."""

    most_bytes = ROWS_BYTES
    access = {"POST": "DATASET_EXAMPLE_ANNOTATE in the space: its annotators, members and admins."}

    @operation(
        id="annotate_dataset_examples",
        tag=_TAG,
        summary="Annotate examples",
        text="Those of the latest version. What was said under the same name before is overwritten, part by part.",
        path=_PATH,
        request=Annotate,
        success=(202, None),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "A label and a score",
                value={
                    "annotations": [
                        {"record_id": EXAMPLE_ID, "values": [{"name": "correct", "label": "yes", "score": 1}]}
                    ]
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, dataset_id: str) -> Response:
        """Annotate examples."""
        dataset, body = self.dataset(dataset_id, Permission.DATASET_EXAMPLE_ANNOTATE), self.body(Annotate)
        examples.annotate(self.actor, dataset, values_by_record(body["annotations"]), at=timezone.now())
        self.note(Workflow.DATASET_WRITE, dataset.space)
        return Response(status=202)


def _written(edited: examples.Edited) -> dict[str, Any]:
    return {
        **DatasetInListOut(edited.version.dataset).data,
        "dataset_version_id": encode_id("DatasetVersion", edited.version.pk),
        "example_ids": list(edited.ids),
    }


def _require_distinct(ids: list[str], field: str) -> None:
    if len(set(ids)) < len(ids):
        raise Incompatible("An example is named twice; name each once.", field=field)
