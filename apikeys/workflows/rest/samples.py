"""Things as they look on the wire: the examples in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from accounts.rest.examples import IDS, USER
from accounts.wire import encode_id

DATASET_ID = encode_id("Dataset", 1)
VERSION_ID = encode_id("DatasetVersion", 1)
EXPERIMENT_ID = encode_id("Experiment", 1)
PROJECT_ID = encode_id("Project", 1)
EXAMPLE_ID = "0190e1a6-4f3b-7000-8000-3c2f1d5e9a01"
RUN_ID = "0190e1a7-0c11-7000-8000-6b7d2a4e8f02"
SPAN_ID = "7f3c2a1b9d8e4f60"

PROJECT = {
    "id": PROJECT_ID,
    "name": "support-chat",
    "space_id": IDS["Space"],
    "created_at": "2027-01-12T10:00:00Z",
    "project_type": "APPLICATION",
}
DATASET_IN_LIST = {
    "id": DATASET_ID,
    "name": "capitals",
    "space_id": IDS["Space"],
    "created_at": "2027-01-12T10:00:00Z",
    "updated_at": "2027-01-12T10:30:00Z",
}
DATASET = {
    **DATASET_IN_LIST,
    "versions": [
        {
            "id": VERSION_ID,
            "name": "v1",
            "dataset_id": DATASET_ID,
            "created_at": "2027-01-12T10:00:00Z",
            "updated_at": "2027-01-12T10:30:00Z",
        }
    ],
}
ANNOTATION = {
    "name": "correct",
    "label": "yes",
    "score": 1,
    "updated_at": "2027-01-12T11:00:00Z",
    "annotator": {"email": USER["email"]},
}
NEW_EXAMPLES = [
    {"question": "What is the capital of Spain?", "answer": "Madrid", "topic": "geography"},
    {"question": "What is 2+2?", "answer": "4", "topic": "math"},
]
EXAMPLE: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "created_at": "2027-01-12T10:00:00Z",
    "updated_at": "2027-01-12T10:00:00Z",
    **NEW_EXAMPLES[0],
    "annotations": [ANNOTATION],
}
WRITTEN = {**DATASET_IN_LIST, "dataset_version_id": VERSION_ID, "example_ids": [EXAMPLE_ID]}
EXPERIMENT = {
    "id": EXPERIMENT_ID,
    "name": "small-model",
    "space_id": IDS["Space"],
    "dataset_id": DATASET_ID,
    "dataset_version_id": VERSION_ID,
    "created_at": "2027-01-12T12:00:00Z",
    "updated_at": "2027-01-12T12:00:00Z",
    "experiment_traces_project_id": None,
}
NEW_RUN = {"example_id": EXAMPLE_ID, "output": "Madrid", "model": "small", "latency_ms": 312}
RUN: dict[str, Any] = {
    "id": RUN_ID,
    "example_id": EXAMPLE_ID,
    "output": "Madrid",
    "error": None,
    "result": "Madrid",
    "model": "small",
    "latency_ms": 312,
}
