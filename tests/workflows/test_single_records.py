"""Single records become the same columns as uploads of many."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from accounts.errors import Invalid
from apikeys.workflows.single_records import read_record
from apikeys.workflows.uploads import Environment, Kind, ModelType

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _label(category: str) -> dict[str, Any]:
    return {"score_categorical": {"category": {"category": category}}}


def test_a_record_becomes_the_columns_of_an_upload() -> None:
    upload, row = read_record(
        {
            "model_id": "m",
            "prediction_id": "1",
            "prediction": {
                "timestamp": "2026-01-02T03:04:05Z",
                "model_version": "v",
                "prediction_label": {"score_categorical": {"score_category": {"category": "yes", "score": 0.5}}},
                "features": {
                    "name": {"string": "x"},
                    "age": {"int": "9007199254740993"},
                    "size": {"double": 1.5},
                    "words": {"multi_value": {"values": ["a", "b"]}},
                    "text": {"embedding": {"vector": [1, 2.5], "raw_data": {"tokenArray": {"tokens": ["t"]}}}},
                    "image": {"embedding": {"vector": [1], "link_to_data": "https://example.org/1.png"}},
                },
                "tags": {"city": {"string": "c"}},
            },
            "actual": {"actual_label": _label("no"), "tags": {"city": {"string": "c"}, "late": {"int": "1"}}},
            "feature_importances": {"feature_importances": {"age": 0.25}},
            "environment_params": {"validation": {"batch_id": "b"}},
            "is_generative_llm_record": True,
            "of_a_later_client": 1,
        },
        at=AT,
    )

    assert (upload.model_id, upload.model_version, upload.batch_id) == ("m", "v", "b")
    assert (upload.environment, upload.model_type) == (Environment.VALIDATION, ModelType.GENERATIVE_LLM)
    assert upload.kind is Kind.ROWS
    assert row.to_pylist() == [
        {
            "predictionID": "1",
            "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "categoricalPredictionLabel": "yes",
            "scorePredictionLabel": 0.5,
            "age": 9007199254740993,
            "image__embVector": [1.0],
            "image__linkToData": "https://example.org/1.png",
            "name": "x",
            "size": 1.5,
            "text__embVector": [1.0, 2.5],
            "text__rawData": "t",
            "words": ["a", "b"],
            "city__tag": "c",
            "categoricalActualLabel": "no",
            "late__tag": 1,
            "age_shap": 0.25,
        }
    ]


def test_a_record_without_time_or_id_gets_them() -> None:
    upload, row = read_record({"model_id": "m", "prediction": {"prediction_label": {"numeric": 3.5}}}, at=AT)

    assert upload.environment is Environment.PRODUCTION
    assert row.column("time").to_pylist() == [AT]
    assert len(row.column("predictionID")[0].as_py()) == 32
    assert row.column("numericPredictionLabel").to_pylist() == [3.5]


@pytest.mark.parametrize(
    ("part", "environment", "kind"),
    [
        ({"actual": {"actual_label": {"numeric": 1}}}, {"production": {}}, Kind.ACTUALS),
        ({"feature_importances": {"feature_importances": {"a": 1}}}, {"production": {}}, Kind.ACTUALS),
        ({"actual": {"actual_label": {"numeric": 1}}}, {"training": {}}, Kind.ROWS),
        ({"prediction": {"prediction_label": {"numeric": 1}}}, {"production": {}}, Kind.ROWS),
    ],
)
def test_actuals_alone_are_about_predictions_elsewhere(part: Any, environment: Any, kind: Kind) -> None:
    upload, _ = read_record({"model_id": "m", "prediction_id": "1", "environment_params": environment, **part}, at=AT)

    assert upload.kind is kind


@pytest.mark.parametrize(
    ("label", "columns"),
    [
        ({"score_categorical": {"score_value": {"value": 2}}}, {"scorePredictionLabel": 2.0}),
        (
            {"ranking": {"prediction_group_id": "g", "rank": "2", "prediction_score": 0.5, "label": "l"}},
            {
                "predictionGroupID": "g",
                "ranking:rank": 2,
                "scorePredictionLabel": 0.5,
                "categoricalPredictionLabel": "l",
            },
        ),
        (
            {"object_detection": {"bounding_boxes": [{"coordinates": [1, 2], "category": "cat", "score": 0.5}]}},
            {"boxPredictionCoordinates": [[1.0, 2.0]], "boxPredictionLabel": ["cat"], "boxPredictionScores": [0.5]},
        ),
        (
            {"cv_label": {"semantic_segmentation_label": {"polygons": [{"coordinates": [1], "category": "cat"}]}}},
            {
                "semanticSegmentationPolygonPredictionCoordinates": [[1.0]],
                "semanticSegmentationPolygonPredictionLabels": ["cat"],
            },
        ),
        (
            {
                "multi_class": {
                    "multi_label": {
                        "prediction_threshold_scores": {"a": {"prediction_score": 0.5, "threshold_score": 0.25}}
                    }
                }
            },
            {
                "scorePredictionLabel": [{"class_name": "a", "score": 0.5}],
                "multiClassThresholdScores": [{"class_name": "a", "score": 0.25}],
            },
        ),
        (
            {"multi_class": {"single_label": {"prediction_scores": {"a": 0.5}}}},
            {"scorePredictionLabel": [{"class_name": "a", "score": 0.5}]},
        ),
    ],
)
def test_labels_of_all_kinds_have_their_columns(label: Any, columns: dict[str, Any]) -> None:
    _, row = read_record({"model_id": "m", "prediction_id": "1", "prediction": {"prediction_label": label}}, at=AT)

    assert row.select(row.schema.names[2:]).to_pylist() == [columns]


@pytest.mark.parametrize(
    ("label", "columns"),
    [
        (
            {"ranking": {"category": {"values": ["click"]}, "relevance_score": 0}},
            {"ranking:label": ["click"], "ranking:relevance": 0.0},
        ),
        ({"multi_class": {"actual_labels": ["a"]}}, {"scoreActualLabel": [{"class_name": "a", "score": 1.0}]}),
        (
            {"cv_label": {"actual_instance_segmentation_label": {"polygons": [{"coordinates": [1], "category": "c"}]}}},
            {
                "instanceSegmentationPolygonActualCoordinates": [[1.0]],
                "instanceSegmentationPolygonActualLabels": ["c"],
            },
        ),
    ],
)
def test_actual_labels_of_all_kinds_have_their_columns(label: Any, columns: dict[str, Any]) -> None:
    _, row = read_record({"model_id": "m", "prediction_id": "1", "actual": {"actual_label": label}}, at=AT)

    assert row.select(row.schema.names[2:]).to_pylist() == [columns]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "neither a prediction nor an actual"),
        ({"model_id": "m"}, "neither a prediction nor an actual"),
        ({"prediction": {}}, "names no model"),
        ({"model_id": 3, "prediction": {}}, "no record"),
        ({"model_id": "m", "prediction": 3}, "no record"),
        ({"model_id": "m", "prediction": {"features": {"a": [1]}}}, "no record"),
        ({"model_id": "m", "prediction": {"features": {"a": {"int": "x"}}}}, "no record"),
        ({"model_id": "m", "prediction": {"timestamp": "yesterday"}}, "no record"),
        ({"model_id": "m", "prediction": {"timestamp": "9999-01-01T00:00:00Z"}}, "outside of 1678 to 2261"),
        (
            {"model_id": "m", "prediction": {"features": {"time": {"string": "x"}}}},
            "would be called “time” in exports",
        ),
    ],
)
def test_what_is_no_record_is_refused(document: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_record(document, at=AT)
