"""What the single-record logger sends, one JSON object per row, turned into the columns that exports have.

Its fields are those of a protobuf message in snake case, 64-bit integers as text (contract client-workflows §7).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
from google.protobuf import json_format

from accounts.errors import Invalid
from apikeys.workflows.messages import declare
from apikeys.workflows.uploads import (
    PREDICTION_ID,
    TIME,
    TIME_TYPE,
    Environment,
    Kind,
    ModelType,
    Upload,
    described,
    new_ids,
    shap_name,
    tag_name,
)

_RECORD = declare(
    "arizekeys.records",
    {
        "Record": {
            "model_id": (2, "string"),
            "model_version": (20, "string"),
            "prediction_id": (3, "string"),
            "prediction": (8, "Prediction"),
            "actual": (9, "Actual"),
            "feature_importances": (10, "FeatureImportances"),
            "prediction_and_actual": (11, "PredictionAndActual"),
            "environment_params": (13, "EnvironmentParams"),
            "is_generative_llm_record": (14, "google.protobuf.BoolValue"),
        },
        "Empty": {},
        "Validation": {"batch_id": (1, "string")},
        "EnvironmentParams": {
            "training": (1, "Empty", "environment"),
            "validation": (2, "Validation", "environment"),
            "production": (3, "Empty", "environment"),
        },
        "PredictionAndActual": {"prediction": (1, "Prediction"), "actual": (2, "Actual")},
        "Prediction": {
            "timestamp": (1, "google.protobuf.Timestamp"),
            "model_version": (2, "string"),
            "label": (3, "Label"),
            "features": (4, "map<string, Value>"),
            "tags": (5, "map<string, Value>"),
            "prediction_label": (6, "Label"),
            "llm_fields": (7, "LLMFields"),
            "retrieved_document_ids": (8, "repeated string"),
        },
        "Actual": {
            "timestamp": (1, "google.protobuf.Timestamp"),
            "label": (2, "Label"),
            "tags": (3, "map<string, Value>"),
            "actual_label": (4, "Label"),
        },
        "FeatureImportances": {
            "timestamp": (1, "google.protobuf.Timestamp"),
            "model_version": (2, "string"),
            "feature_importances": (3, "map<string, double>"),
        },
        "LLMFields": {
            "llm_model_name": (1, "string"),
            "llm_params": (2, "map<string, Value>"),
            "prompt_template": (3, "string"),
            "prompt_template_name": (4, "string"),
        },
        "Value": {
            "string": (1, "string", "data"),
            "int": (2, "int64", "data"),
            "double": (3, "double", "data"),
            "multi_value": (4, "Texts", "data"),
            "embedding": (5, "Embedding", "data"),
            "dictionary": (6, "Numbers", "data"),
        },
        "Numbers": {"values": (1, "map<string, google.protobuf.DoubleValue>")},
        "Texts": {"values": (1, "repeated string")},
        "Embedding": {
            "vector": (1, "repeated double"),
            "link_to_data": (3, "google.protobuf.StringValue"),
            "raw_data": (4, "RawData"),
        },
        "RawData": {"tokenArray": (2, "Tokens")},
        "Tokens": {"tokens": (1, "repeated string")},
        "Category": {"category": (1, "string")},
        "ScoreValue": {"value": (1, "double")},
        "ScoreCategory": {
            "category": (1, "string"),
            "score": (2, "double"),
            "numeric_sequence": (3, "repeated double"),
        },
        "ScoreCategorical": {
            "category": (3, "Category", "type"),
            "score_category": (4, "ScoreCategory", "type"),
            "score_value": (5, "ScoreValue", "type"),
        },
        "Label": {
            "binary": (1, "bool", "data"),
            "categorical": (2, "string", "data"),
            "numeric": (3, "double", "data"),
            "score_categorical": (4, "ScoreCategorical", "data"),
            "ranking": (5, "Ranking", "data"),
            "object_detection": (6, "Boxes", "data"),
            "multi_class": (7, "MultiClass", "data"),
            "cv_label": (8, "Vision", "data"),
        },
        # A prediction's and an actual's in one: JSON goes by names, and no two of theirs are equal.
        "Ranking": {
            "prediction_group_id": (1, "string"),
            "rank": (2, "int64"),
            "prediction_score": (3, "google.protobuf.DoubleValue"),
            "label": (4, "string"),
            "category": (5, "Texts"),
            "relevance_score": (6, "google.protobuf.DoubleValue"),
        },
        "Boxes": {"bounding_boxes": (1, "repeated Box")},
        "Box": {
            "coordinates": (1, "repeated double"),
            "category": (2, "string"),
            "score": (3, "google.protobuf.DoubleValue"),
            "bbox_coordinates": (4, "repeated double"),
        },
        "Polygons": {"polygons": (1, "repeated Box")},
        "Vision": {
            "semantic_segmentation_label": (2, "Polygons", "data"),
            "prediction_instance_segmentation_label": (3, "Polygons", "data"),
            "actual_instance_segmentation_label": (4, "Polygons", "data"),
        },
        "Scores": {
            "prediction_score": (1, "google.protobuf.DoubleValue"),
            "threshold_score": (2, "google.protobuf.DoubleValue"),
        },
        "MultiLabel": {"prediction_threshold_scores": (1, "map<string, Scores>")},
        "SingleLabel": {"prediction_scores": (1, "map<string, google.protobuf.DoubleValue>")},
        "MultiClass": {
            "multi_label": (1, "MultiLabel", "type"),
            "single_label": (2, "SingleLabel", "type"),
            "actual_labels": (3, "repeated string"),
        },
    },
)
_CLASS_SCORES = pa.list_(pa.struct([("class_name", pa.string()), ("score", pa.float64())]))


def read_record(document: Mapping[str, Any], *, at: datetime) -> tuple[Upload, pa.RecordBatch]:
    """Turn one record of /v1/log into what an upload of one row would be; the row is stored as it is.

    Raises:
        Invalid: it is no such record, or has nothing in it.
    """
    try:
        record = json_format.ParseDict(dict(document), _RECORD.Record(), ignore_unknown_fields=True)
    except (json_format.ParseError, AttributeError, RecursionError, TypeError, ValueError):
        raise Invalid("The body is no record: see the fields that the client's documentation gives it.") from None
    prediction, actual = _halves(record)
    if prediction is None and actual is None and not record.HasField("feature_importances"):
        raise Invalid("The record has neither a prediction nor an actual nor feature importances.")
    columns: dict[str, Any] = {
        PREDICTION_ID: pa.array([record.prediction_id], pa.string()) if record.prediction_id else new_ids(1),
        TIME: pa.array([_time_of(record, prediction, actual, at)], TIME_TYPE),
    }
    for name, value in _record_columns(record, prediction, actual):
        if name in columns:
            raise Invalid(f"Two values of the record would be called “{name}” in exports: rename one of them.")
        columns[name] = value
    environment = record.environment_params.WhichOneof("environment") or "production"
    upload = described(
        model_id=record.model_id,
        environment=Environment(environment.upper()),
        model_type=ModelType.GENERATIVE_LLM if record.is_generative_llm_record.value else ModelType.UNKNOWN,
        model_version=(prediction.model_version if prediction else "") or record.feature_importances.model_version,
        batch_id=record.environment_params.validation.batch_id,
        kind=Kind.ACTUALS if prediction is None and environment == "production" else Kind.ROWS,
        is_spans=False,
        columns=tuple((name, name) for name in columns),
    )
    return upload, pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _halves(record: Any) -> tuple[Any, Any]:
    both = record.prediction_and_actual
    prediction = record.prediction if record.HasField("prediction") else None
    actual = record.actual if record.HasField("actual") else None
    return (
        both.prediction if prediction is None and both.HasField("prediction") else prediction,
        both.actual if actual is None and both.HasField("actual") else actual,
    )


def _time_of(record: Any, prediction: Any, actual: Any, at: datetime) -> Any:
    for part in (prediction, actual, record.feature_importances):
        if part is not None and part.HasField("timestamp"):
            nanoseconds = part.timestamp.ToNanoseconds()
            if not -(2**63) <= nanoseconds < 2**63:
                raise Invalid("The time of the record lies outside of 1678 to 2261.")
            return nanoseconds
    return pa.scalar(at, TIME_TYPE)


def _record_columns(record: Any, prediction: Any, actual: Any) -> Iterator[tuple[str, Any]]:
    if prediction is not None:
        label = prediction.prediction_label if prediction.HasField("prediction_label") else prediction.label
        yield from _label_columns(label, "Prediction")
        for name, value in sorted(prediction.features.items()):
            yield from _value_columns(name, value)
        for name, value in sorted(prediction.tags.items()):
            yield from _value_columns(tag_name(name), value)
        if prediction.HasField("llm_fields"):
            yield from _llm_columns(prediction.llm_fields)
        if prediction.retrieved_document_ids:
            yield "retrievedDocumentIDs", pa.array([list(prediction.retrieved_document_ids)], pa.list_(pa.string()))
    if actual is not None:
        yield from _label_columns(actual.actual_label if actual.HasField("actual_label") else actual.label, "Actual")
        known = set() if prediction is None else set(prediction.tags)
        # Clients send a record's tags with both its halves.
        for name, value in sorted(actual.tags.items()):
            if name not in known:
                yield from _value_columns(tag_name(name), value)
    for feature, number in sorted(record.feature_importances.feature_importances.items()):
        yield shap_name(feature), pa.array([number], pa.float64())


def _value_columns(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    match value.WhichOneof("data"):
        case "string":
            yield name, pa.array([value.string], pa.string())
        case "int":
            yield name, pa.array([value.int], pa.int64())
        case "double":
            yield name, pa.array([value.double], pa.float64())
        case "multi_value":
            yield name, pa.array([list(value.multi_value.values)], pa.list_(pa.string()))
        case "dictionary":
            yield name, _class_scores((key, number.value) for key, number in value.dictionary.values.items())
        case "embedding":
            yield from _embedding_columns(name, value.embedding)


def _embedding_columns(name: str, embedding: Any) -> Iterator[tuple[str, Any]]:
    yield f"{name}__embVector", pa.array([list(embedding.vector)], pa.list_(pa.float64()))
    tokens = list(embedding.raw_data.tokenArray.tokens)
    if len(tokens) == 1:  # what was one text, clients send as a list of it
        yield f"{name}__rawData", pa.array(tokens, pa.string())
    elif tokens:
        yield f"{name}__rawData", pa.array([tokens], pa.list_(pa.string()))
    if embedding.link_to_data.value:
        yield f"{name}__linkToData", pa.array([embedding.link_to_data.value], pa.string())


def _llm_columns(fields: Any) -> Iterator[tuple[str, Any]]:
    for name, text in (
        ("promptTemplate", fields.prompt_template),
        ("promptTemplateVersion", fields.prompt_template_name),
        ("llmModelName", fields.llm_model_name),
    ):
        if text:
            yield name, pa.array([text], pa.string())
    if fields.llm_params:
        params = {
            name: getattr(value, value.WhichOneof("data") or "string") for name, value in fields.llm_params.items()
        }
        yield "llmParams", pa.array([json.dumps(params, default=str, sort_keys=True)], pa.string())


def _label_columns(label: Any, side: str) -> Iterator[tuple[str, Any]]:
    match label.WhichOneof("data"):
        case "binary":
            yield f"categorical{side}Label", pa.array([str(label.binary)], pa.string())
        case "categorical":
            yield f"categorical{side}Label", pa.array([label.categorical], pa.string())
        case "numeric":
            yield f"numeric{side}Label", pa.array([label.numeric], pa.float64())
        case "score_categorical":
            yield from _category_columns(label.score_categorical, side)
        case "ranking":
            yield from _ranking_columns(label.ranking)
        case "object_detection":
            yield from _box_columns(label.object_detection.bounding_boxes, side)
        case "cv_label":
            yield from _polygon_columns(label.cv_label, side)
        case "multi_class":
            yield from _class_columns(label.multi_class)


def _category_columns(label: Any, side: str) -> Iterator[tuple[str, Any]]:
    match label.WhichOneof("type"):
        case "category":
            yield f"categorical{side}Label", pa.array([label.category.category], pa.string())
        case "score_category":
            yield f"categorical{side}Label", pa.array([label.score_category.category], pa.string())
            yield f"score{side}Label", pa.array([label.score_category.score], pa.float64())
        case "score_value":
            yield f"score{side}Label", pa.array([label.score_value.value], pa.float64())


def _ranking_columns(label: Any) -> Iterator[tuple[str, Any]]:
    if label.prediction_group_id or label.rank:
        yield "predictionGroupID", pa.array([label.prediction_group_id], pa.string())
        yield "ranking:rank", pa.array([label.rank], pa.int64())
    if label.HasField("prediction_score"):
        yield "scorePredictionLabel", pa.array([label.prediction_score.value], pa.float64())
    if label.label:
        yield "categoricalPredictionLabel", pa.array([label.label], pa.string())
    if label.category.values:
        yield "ranking:label", pa.array([list(label.category.values)], pa.list_(pa.string()))
    if label.HasField("relevance_score"):
        yield "ranking:relevance", pa.array([label.relevance_score.value], pa.float64())


def _box_columns(boxes: Any, side: str) -> Iterator[tuple[str, Any]]:
    yield f"box{side}Coordinates", _numbers_of(box.coordinates for box in boxes)
    yield (
        f"box{side}Label" if side == "Prediction" else f"box{side}Labels",
        pa.array([[box.category for box in boxes]], pa.list_(pa.string())),
    )
    if any(box.HasField("score") for box in boxes):
        yield f"box{side}Scores", pa.array([[box.score.value for box in boxes]], pa.list_(pa.float64()))


def _polygon_columns(label: Any, side: str) -> Iterator[tuple[str, Any]]:
    kind = label.WhichOneof("data")
    if kind is None:
        return
    polygons = getattr(label, kind).polygons
    name = "semanticSegmentation" if kind == "semantic_segmentation_label" else "instanceSegmentation"
    yield f"{name}Polygon{side}Coordinates", _numbers_of(polygon.coordinates for polygon in polygons)
    yield f"{name}Polygon{side}Labels", pa.array([[one.category for one in polygons]], pa.list_(pa.string()))
    if any(polygon.bbox_coordinates for polygon in polygons):
        yield f"{name}Box{side}Coordinates", _numbers_of(polygon.bbox_coordinates for polygon in polygons)
    if any(polygon.HasField("score") for polygon in polygons):
        yield f"{name}Polygon{side}Scores", pa.array([[one.score.value for one in polygons]], pa.list_(pa.float64()))


def _numbers_of(lists: Iterable[Any]) -> Any:
    return pa.array([[list(numbers) for numbers in lists]], pa.list_(pa.list_(pa.float64())))


def _class_columns(label: Any) -> Iterator[tuple[str, Any]]:
    match label.WhichOneof("type"):
        case "single_label":
            scores = label.single_label.prediction_scores
            yield "scorePredictionLabel", _class_scores((name, score.value) for name, score in scores.items())
        case "multi_label":
            both = sorted(label.multi_label.prediction_threshold_scores.items())
            yield "scorePredictionLabel", _class_scores((name, one.prediction_score.value) for name, one in both)
            yield "multiClassThresholdScores", _class_scores((name, one.threshold_score.value) for name, one in both)
    if label.actual_labels:
        scored = ((name, 1.0) for name in label.actual_labels)
        yield "scoreActualLabel", _class_scores(scored)


def _class_scores(scores: Iterable[tuple[str, float]]) -> Any:
    """As the batch logger has them: a list of classes and their numbers."""
    return pa.array([[{"class_name": name, "score": score} for name, score in sorted(scores)]], _CLASS_SCORES)
