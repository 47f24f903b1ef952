"""Flight's commands about datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accounts.errors import Invalid
from accounts.models import Space
from accounts.wire import decode_id
from apikeys.workflows import datasets
from apikeys.workflows.grpc.commands import answers
from apikeys.workflows.grpc.threshold import Visitor
from apikeys.workflows.models import Dataset, DatasetKind, DatasetVersion
from apikeys.workflows.streams import Stream
from apikeys.workflows.tables import Reading
from apikeys.workflows.uses import Workflow

# As they are numbered on the wire.
_KINDS = dict(enumerate((DatasetKind.UNKNOWN, DatasetKind.GENERATIVE, DatasetKind.INFERENCES)))


def create(visitor: Visitor, asked: Any) -> Callable[[Stream], Any]:
    """Refuse, or return what makes a dataset of a stream."""
    space = visitor.space(asked.space_id)
    name = datasets.may_create_dataset(visitor.actor, space, asked.dataset_name)
    kind = _KINDS.get(asked.dataset_type, DatasetKind.UNKNOWN)  # a number of its own is what a later client would send

    def keep(stream: Stream) -> Any:
        version = datasets.create_dataset(
            visitor.actor, space, name=name, kind=kind, stream=stream, at=visitor.caller.at
        )
        return _written(visitor, version, space)

    return keep


def add_version(visitor: Visitor, asked: Any) -> Callable[[Stream], Any]:
    """Refuse, or return what makes a new version of a stream."""
    space = visitor.space(asked.space_id)
    dataset = find(visitor, space, asked)
    datasets.may_add_version(visitor.actor, dataset)

    def keep(stream: Stream) -> Any:
        version = datasets.add_version(visitor.actor, dataset, stream=stream, at=visitor.caller.at)
        return _written(visitor, version, space)

    return keep


def read(visitor: Visitor, asked: Any) -> Reading:
    """Return a version's examples: the latest where none is named."""
    space = visitor.space(asked.space_id)
    dataset = find(visitor, space, asked)
    version = datasets.find_version(visitor.actor, dataset, **_which_version(asked.dataset_version))
    reading = datasets.read_rows(visitor.actor, version)
    visitor.note(Workflow.DATASET_READ, space)
    return reading


def list_all(visitor: Visitor, asked: Any) -> Any:
    """Return a space's datasets, oldest first."""
    space = visitor.space(asked.space_id)
    answer = answers.Datasets()
    for dataset in datasets.list_datasets(visitor.actor, space).order_by("pk"):
        info = answer.datasets.add(
            dataset_id=dataset.wire_id, dataset_name=dataset.name, dataset_type=DatasetKind(dataset.kind).value
        )
        info.created_at.FromDatetime(dataset.created_at)
        info.updated_at.FromDatetime(dataset.updated_at)
    visitor.note(Workflow.DATASET_READ, space)
    return answer


def list_versions(visitor: Visitor, asked: Any) -> Any:
    """Return a dataset's versions, newest first."""
    space = visitor.space(asked.space_id)
    answer = answers.Versions()
    for version in datasets.versions_of(visitor.actor, find(visitor, space, asked)):
        info = answer.versions.add(version_name=version.name)
        info.created_at.FromDatetime(version.created_at)
        info.updated_at.FromDatetime(version.updated_at)
    visitor.note(Workflow.DATASET_READ, space)
    return answer


def delete(visitor: Visitor, asked: Any) -> Any:
    """Delete a dataset."""
    space = visitor.space(asked.space_id)
    datasets.delete_dataset(visitor.actor, find(visitor, space, asked), at=visitor.caller.at)
    visitor.note(Workflow.DATASET_WRITE, space)
    return answers.DatasetDeleted(success=True)


def find(visitor: Visitor, space: Space, asked: Any) -> Dataset:
    """Return the dataset that a command names by its id, or else by its name."""
    if asked.dataset_id:
        number = decode_id(asked.dataset_id, "Dataset", field="dataset_id")
        return datasets.find_dataset(visitor.actor, space, number=number)
    return datasets.find_dataset(visitor.actor, space, name=asked.dataset_name)


def _which_version(named: str) -> dict[str, Any]:
    """Say which version is meant: clients of one age send its id, those of another its name."""
    try:
        return {"number": decode_id(named, "DatasetVersion")} if named else {}
    except Invalid:
        return {"name": named}


def _written(visitor: Visitor, version: DatasetVersion, space: Space) -> Any:
    visitor.note(Workflow.DATASET_WRITE, space)
    return answers.DatasetWritten(dataset_id=version.dataset.wire_id)
