"""What a Flight call asks for, as JSON, and what it is answered, as protobuf (contract client-workflows §5 and §9).

One declaration for all releases of the clients: the members of older ones are a subset of the newer ones'.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format

from accounts.errors import Invalid
from apikeys.workflows.errors import TooLarge
from apikeys.workflows.messages import declare

_DATASET: Any = {
    "space_id": (1, "string"),
    "dataset_id": (2, "string", "dataset_identifier"),
    "dataset_name": (3, "string", "dataset_identifier"),
}
_UPDATE_SPANS: Any = {
    "space_id": (1, "string"),
    "external_model_id": (2, "string"),
    "model_version": (3, "string"),
    "row_id_column_name": (4, "string"),
}
_TIMESTAMP = "google.protobuf.Timestamp"

commands: Any = declare(
    "arizekeys.commands",
    {
        "Put": {
            "create_dataset": (1, "CreateDataset", "request"),
            "update_dataset": (2, "OneDataset", "request"),
            "post_experiment_data": (3, "PostExperimentData", "request"),
            "write_span_evaluation_request": (4, "UpdateSpans", "request"),
            "write_span_annotation_request": (5, "UpdateSpans", "request"),
            "write_span_attributes_metadata_request": (6, "UpdateSpans", "request"),
        },
        "Get": {
            "get_dataset": (1, "GetDataset", "request"),
            "get_experiment": (2, "GetExperiment", "request"),
            "export": (3, "Export", "request"),  # a ticket of ours
        },
        "Act": {
            "list_datasets": (1, "ListDatasets", "request"),
            "get_dataset_versions": (2, "OneDataset", "request"),
            "delete_dataset": (3, "OneDataset", "request"),
            "create_experiment_db_entry": (4, "CreateExperimentEntry", "request"),
            "delete_experiment": (5, "DeleteExperiment", "request"),
        },
        "CreateDataset": {
            "space_id": (1, "string"),
            "dataset_name": (2, "string"),
            "dataset_type": (3, "DatasetType"),
        },
        "OneDataset": _DATASET,
        "GetDataset": {**_DATASET, "dataset_version": (4, "string")},
        "ListDatasets": {"space_id": (1, "string")},
        "GetExperiment": {
            "space_id": (1, "string"),
            "experiment_id": (2, "string"),
            "experiment_name": (3, "string"),
            "dataset_name": (4, "string"),
        },
        "PostExperimentData": {
            "space_id": (1, "string"),
            "dataset_id": (2, "string"),
            "experiment_name": (3, "string"),
        },
        "CreateExperimentEntry": {
            **_DATASET,
            "experiment_name": (4, "string"),
            "trace_model_name": (5, "string"),
        },
        "ExperimentName": {"experiment_name": (1, "string"), "dataset_name": (2, "string")},
        "DeleteExperiment": {
            "space_id": (1, "string"),
            "experiment_id": (2, "string", "experiment_identifier"),
            "experiment_name_identifier": (3, "ExperimentName", "experiment_identifier"),
        },
        "UpdateSpans": _UPDATE_SPANS,
        "Similarity": {"search_column_name": (1, "string")},
        "Export": {
            "space_id": (1, "string"),
            "model_id": (2, "string"),
            "environment": (3, "Environment"),
            "start_time": (4, _TIMESTAMP),
            "end_time": (5, _TIMESTAMP),
            "model_version": (6, "string"),
            "batch_id": (7, "string"),
            "include_actuals": (8, "bool"),
            "filter_expression": (9, "string"),
            "similarity_search_params": (10, "Similarity"),
            "projected_columns": (11, "repeated string"),
            "stream_chunk_size": (12, "google.protobuf.Int64Value"),
            "sample_rate": (13, "google.protobuf.DoubleValue"),
        },
    },
    enums={
        "DatasetType": ("UNKNOWN", "GENERATIVE", "INFERENCES"),
        "Environment": ("UNKNOWN", "TRAINING", "VALIDATION", "PRODUCTION", "TRACING"),
    },
)

answers: Any = declare(
    "arizekeys.answers",
    {
        "DatasetWritten": {"dataset_id": (1, "string")},
        "RunsPosted": {"experiment_id": (1, "string"), "dataset_id": (2, "string")},
        "SpansUpdated": {"records_updated": (1, "int64"), "unmatched_ids": (2, "repeated string")},
        "MetadataUpdated": {
            "spans_processed": (1, "int64"),
            "spans_updated": (2, "int64"),
            "spans_failed": (3, "int64"),
            "errors": (4, "repeated SpanError"),
        },
        "SpanError": {"span_id": (1, "string"), "error_message": (2, "string")},
        "DatasetInfo": {
            "dataset_id": (1, "string"),
            "dataset_name": (2, "string"),
            "dataset_type": (3, "DatasetType"),
            "created_at": (4, _TIMESTAMP),
            "updated_at": (5, _TIMESTAMP),
        },
        "Datasets": {"datasets": (1, "repeated DatasetInfo")},
        "VersionInfo": {"version_name": (1, "string"), "created_at": (2, _TIMESTAMP), "updated_at": (3, _TIMESTAMP)},
        "Versions": {"versions": (2, "repeated VersionInfo")},
        "DatasetDeleted": {"success": (1, "bool")},
        "ExperimentEntry": {
            "experiment_id": (1, "string"),
            "dataset_id": (2, "string"),
            "trace_model_name": (3, "string"),
        },
        "ExperimentDeleted": {"experiment_id": (1, "string")},
    },
    enums={"DatasetType": ("UNKNOWN", "GENERATIVE", "INFERENCES")},
)

# A filter and the names of some thousand columns fit well.
_LONGEST = 2**20
_UNREADABLE = (
    "The command is not the JSON of a request that this server knows. Is the client older or newer than 7.40 to 8?"
)


def read_command(kind: Any, text: bytes) -> tuple[str, Any]:
    """Return which of the requests of ``kind`` (commands.Put, .Get or .Act) a command is, and what it says.

    Raises:
        Invalid: it is none of them, or more than one.
    """
    message = _parse(kind, text)
    member = message.WhichOneof("request")
    if member is None:
        raise Invalid(_UNREADABLE)
    return member, getattr(message, member)


def read_export(text: bytes) -> Any:
    """Return what an export asks for.

    Raises:
        Invalid: it asks for nothing.
    """
    return _parse(commands.Export, text)


def write_ticket(export: Any) -> bytes:
    """Return an export as a command for later: nothing is kept here, and it is authorised again when it comes."""
    return json_format.MessageToJson(commands.Get(export=export), indent=None).encode()


def _parse(kind: Any, text: bytes) -> Any:
    if len(text) > _LONGEST:
        raise TooLarge(f"A command may have {_LONGEST} bytes.")
    try:
        return json_format.Parse(text, kind(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError):
        # What they say of it repeats what was sent.
        raise Invalid(_UNREADABLE) from None
