"""What the batch loggers send, turned into the columns that exports have.

An upload is Arrow columns under the names that its sender chose, and a message beside them that says which column is
what (contract client-workflows §6). What exports call these columns is fixed by a parser of names that clients carry
with them (§9): ``predictionID``, ``time``, ``categoricalPredictionLabel``, ``NAME__embVector``, ``NAME__tag`` and so
on. So that is what they are called from the beginning, and nothing has to remember what they were called before.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError

from accounts.errors import Invalid
from apikeys.workflows.errors import TooLarge, Unreadable
from apikeys.workflows.messages import declare

SCHEMA_KEY = b"arize-schema"
SPAN_ID = "context.span_id"
TRACE_ID = "context.trace_id"
START_TIME = "start_time"
PREDICTION_ID = "predictionID"
TIME = "time"
TIME_TYPE = pa.timestamp("ns", "UTC")
PATCH = "patch_document"
# Names of models and versions end in columns of the database.
_LONGEST_NAME = 255
# The message beside the columns, in base64: the names of some thousand columns fit well, and what is empty in it takes
# two bytes there and some dozen decoded.
_LONGEST_MESSAGE = 2**20
# Names of columns of spans that are judgements of them: of a span, of its session or its trace.
EVALUATION_PREFIXES = ("eval.", "session_eval.", "trace_eval.")
ANNOTATION_PREFIX = "annotation."
_SAME_NAME = "Two columns of the upload would be called “{}” in exports: rename one of them."


class Environment(StrEnum):
    """Where rows come from. CORPUS is not kept."""

    TRAINING = "TRAINING"
    VALIDATION = "VALIDATION"
    PRODUCTION = "PRODUCTION"
    CORPUS = "CORPUS"
    TRACING = "TRACING"


class ModelType(StrEnum):
    """What a model's labels are. What the clients do not send counts as categories."""

    UNKNOWN = "UNKNOWN"
    BINARY = "BINARY"
    NUMERIC = "NUMERIC"
    CATEGORICAL = "CATEGORICAL"
    SCORE_CATEGORICAL = "SCORE_CATEGORICAL"
    RANKING = "RANKING"
    OBJECT_DETECTION = "OBJECT_DETECTION"
    GENERATIVE_LLM = "GENERATIVE_LLM"
    MULTI_CLASS = "MULTI_CLASS"


class Kind(StrEnum):
    """What an upload is to its project: rows of their own, or something laid over them."""

    ROWS = "ROWS"
    EVALUATIONS = "EVALUATIONS"
    ANNOTATIONS = "ANNOTATIONS"
    METADATA = "METADATA"
    ACTUALS = "ACTUALS"


@dataclass(frozen=True)
class Upload:
    """What an upload says of itself. ``columns`` are pairs: a name as it came, and the one that exports have for it."""

    model_id: str
    environment: Environment
    model_type: ModelType = ModelType.UNKNOWN
    model_version: str = ""
    batch_id: str = ""
    kind: Kind = Kind.ROWS
    is_spans: bool = False
    columns: tuple[tuple[str, str], ...] = ()

    def schema(self, schema: pa.Schema, *, at: datetime) -> pa.Schema:
        """The columns that rows of ``schema`` are stored as.

        Raises:
            Invalid: columns that the upload names are missing, or are of a type that their role cannot have.
        """
        return self.stored(_empty(schema), at=at).schema

    def stored(self, batch: pa.RecordBatch, *, at: datetime) -> pa.RecordBatch:
        """Rows as they are stored: under the names that exports have, with a time and an id each.

        Where the upload has no time, or a row none, it is ``at``; where a row has no prediction id, it gets one.

        Raises:
            Invalid: as `schema`, or a value is no possible time.
        """
        return _stored_spans(batch, at) if self.is_spans else _stored_records(self, batch, at)


# Actuals, and what else belongs to them: an export leaves them out unless it asks for actuals (contract §9).
ACTUAL_COLUMNS = frozenset(
    {
        "categoricalActualLabel",
        "scoreActualLabel",
        "numericActualLabel",
        "ranking:label",
        "ranking:relevance",
        "boxActualCoordinates",
        "boxActualLabels",
        "boxActualScores",
        "semanticSegmentationPolygonActualCoordinates",
        "semanticSegmentationPolygonActualLabels",
        "instanceSegmentationPolygonActualCoordinates",
        "instanceSegmentationBoxActualCoordinates",
        "instanceSegmentationPolygonActualLabels",
        "instanceSegmentationPolygonActualScores",
    }
)


# ---- the message beside the columns (contract §6) --------------------------------------------------------------------

_DETECTION = "ObjectDetectionLabelColumnNames"
_SEGMENTATION = "SemanticSegmentationLabelColumnNames"
_INSTANCES = "InstanceSegmentationLabelColumnNames"
_MESSAGES = declare(
    "arizekeys.uploads",
    {
        "Schema": {
            "constants": (1, "Constants"),
            "arrow_schema": (4, "ArrowSchema"),
            "arize_spans": (8, "Spans"),
        },
        "Spans": {},
        "Constants": {
            "model_id": (1, "string"),
            "model_version": (2, "string"),
            "batch_id": (3, "string"),
            "environment": (4, "int32"),
            "model_type": (5, "int32"),
        },
        "EmbeddingColumnNames": {"vector": (1, "string"), "data": (2, "string"), "link_to_data": (3, "string")},
        "PromptTemplateColumnNames": {"template": (1, "string"), "version": (2, "string")},
        "LLMConfigColumnNames": {"model": (1, "string"), "params": (2, "string")},
        _DETECTION: {"coordinates": (1, "string"), "categories": (2, "string"), "scores": (3, "string")},
        _SEGMENTATION: {"coordinates": (1, "string"), "categories": (2, "string")},
        _INSTANCES: {
            "coordinates": (1, "string"),
            "boxes": (2, "string"),
            "categories": (3, "string"),
            "scores": (4, "string"),
        },
        "ArrowSchema": {
            "prediction_id": (1, "string"),
            "features": (2, "repeated string"),
            "timestamp": (3, "string"),
            "prediction_label": (4, "string"),
            "prediction_score": (5, "string"),
            "actual_label": (6, "string"),
            "actual_score": (7, "string"),
            "shap_values": (8, "map<string, string>"),
            "tags": (9, "repeated string"),
            "prediction_group_id": (15, "string"),
            "rank": (16, "string"),
            "embeddings": (17, "map<string, EmbeddingColumnNames>"),
            "prediction_objects": (18, _DETECTION),
            "actual_objects": (19, _DETECTION),
            "prompt_template": (20, "PromptTemplateColumnNames"),
            "llm_config": (21, "LLMConfigColumnNames"),
            "retrieved_document_ids": (23, "string"),
            "threshold_scores": (24, "string"),
            "prediction_segments": (25, _SEGMENTATION),
            "actual_segments": (26, _SEGMENTATION),
            "prediction_instances": (27, _INSTANCES),
            "actual_instances": (28, _INSTANCES),
        },
    },
)
_ENVIRONMENTS = dict(enumerate(Environment, start=1))
_MODEL_TYPES = dict(enumerate(ModelType))
_INDEX = "__index_level_"  # pandas' own rows' labels, which the schema never names


def read_upload(schema: pa.Schema) -> Upload:
    """Say what rows of ``schema`` are, by the message in its metadata.

    Raises:
        Unreadable: there is no such message, or it is none.
        TooLarge: it is longer than the names of all columns.
        Invalid: it names no model, an environment that is not kept, or one column name for two things.
    """
    encoded = (schema.metadata or {}).get(SCHEMA_KEY)
    if encoded is None:
        raise Unreadable("The upload does not say which column is what: its schema has no arize-schema.")
    if len(encoded) > _LONGEST_MESSAGE:
        raise TooLarge(f"The arize-schema of the upload may have {_LONGEST_MESSAGE // 2**20} MB.")
    try:
        message = _MESSAGES.Schema.FromString(base64.b64decode(encoded, validate=True))
    except (binascii.Error, DecodeError, ValueError):
        raise Unreadable("The arize-schema of the upload cannot be read.") from None
    constants = message.constants
    is_spans = message.HasField("arize_spans")
    environment = Environment.TRACING if is_spans else _ENVIRONMENTS.get(constants.environment)
    model_type = _MODEL_TYPES.get(constants.model_type, ModelType.UNKNOWN)
    columns = () if is_spans else tuple(_roles(message.arrow_schema, model_type))
    return described(
        model_id=constants.model_id,
        environment=environment,
        model_type=model_type,
        model_version=constants.model_version,
        batch_id=constants.batch_id,
        kind=_kind_of_spans(schema.names) if is_spans else _kind_of_records(environment, columns),
        is_spans=is_spans,
        columns=columns,
    )


def described(**parts: Any) -> Upload:
    """An `Upload` of ``parts``, if there can be one.

    Raises:
        Invalid: it names no model, or what cannot be a name, or an environment that is not kept.
    """
    if not parts["model_id"]:
        raise Invalid("The upload names no model and no project.")
    for name in ("model_id", "model_version", "batch_id"):
        if "\0" in parts[name]:  # which no text in the database has
            raise Invalid(f"The {name} of the upload has a character NUL in it.")
        if len(parts[name]) > _LONGEST_NAME:
            raise Invalid(f"The {name} of the upload is longer than {_LONGEST_NAME} characters.")
    if parts["environment"] is None:
        raise Invalid("The upload names no environment that exists: training, validation, production or tracing.")
    if parts["environment"] is Environment.CORPUS:
        raise Invalid("The corpus environment is not kept here.")
    if parts["environment"] is Environment.TRACING and not parts["is_spans"]:
        raise Invalid("Only spans belong to the tracing environment.")
    return Upload(**parts)


def _kind_of_spans(names: Iterable[str]) -> Kind:
    others = [name for name in names if name != SPAN_ID and not name.startswith(_INDEX)]
    return Kind.EVALUATIONS if others and all(map(is_evaluation, others)) else Kind.ROWS


def is_evaluation(name: str) -> bool:
    """Whether a column of spans judges them."""
    return name.startswith(EVALUATION_PREFIXES)


def _kind_of_records(environment: Environment | None, columns: tuple[tuple[str, str], ...]) -> Kind:
    """Rows without a prediction are about predictions that came before, or will come (only in production)."""
    if environment is not Environment.PRODUCTION or any(name in _PREDICTED for _, name in columns):
        return Kind.ROWS
    is_about_others = any(name in ACTUAL_COLUMNS or name.endswith(("__tag", "_shap")) for _, name in columns)
    return Kind.ACTUALS if is_about_others and any(name == PREDICTION_ID for _, name in columns) else Kind.ROWS


_PREDICTED = frozenset(
    {
        "categoricalPredictionLabel",
        "scorePredictionLabel",
        "numericPredictionLabel",
        "ranking:rank",
        "predictionGroupID",
        "multiClassThresholdScores",
        "boxPredictionCoordinates",
        "semanticSegmentationPolygonPredictionCoordinates",
        "instanceSegmentationPolygonPredictionCoordinates",
    }
)


def _roles(message: Any, model_type: ModelType) -> Iterator[tuple[str, str]]:
    """Pairs of a column as it came and its name in exports, without those that the message leaves empty."""
    is_ranking = model_type is ModelType.RANKING
    label = "numeric{}Label" if model_type is ModelType.NUMERIC else "categorical{}Label"
    named = [
        (message.prediction_id, PREDICTION_ID),
        (message.timestamp, TIME),
        (message.prediction_label, label.format("Prediction")),
        (message.prediction_score, "scorePredictionLabel"),
        (message.actual_label, "ranking:label" if is_ranking else label.format("Actual")),
        (message.actual_score, "ranking:relevance" if is_ranking else "scoreActualLabel"),
        (message.prediction_group_id, "predictionGroupID"),
        (message.rank, "ranking:rank"),
        *((feature, _feature_name(feature)) for feature in message.features),
        *((tag, tag_name(tag)) for tag in message.tags),
        *((column, shap_name(feature)) for feature, column in sorted(message.shap_values.items())),
        *_embedded(message),
        *_seen(message),
        (message.prompt_template.template, "promptTemplate"),
        (message.prompt_template.version, "promptTemplateVersion"),
        (message.llm_config.model, "llmModelName"),
        (message.llm_config.params, "llmParams"),
        (message.retrieved_document_ids, "retrievedDocumentIDs"),
        (message.threshold_scores, "multiClassThresholdScores"),
    ]
    return ((came, name) for came, name in named if came)


def _feature_name(feature: str) -> str:
    """What exports call a feature: what clients do, unless the rows' ids or times have that name.

    Raises:
        Invalid: they have.
    """
    if feature in (PREDICTION_ID, TIME):
        raise Invalid(_SAME_NAME.format(feature))
    return feature


def tag_name(tag: str) -> str:
    """What exports call a tag. What was exported and comes again has the name already."""
    return tag if tag.endswith("__tag") else f"{tag}__tag"


def shap_name(feature: str) -> str:
    """What exports call the SHAP values of a feature: clients let no feature end in this."""
    return f"{feature}_shap"


def _embedded(message: Any) -> Iterator[tuple[str, str]]:
    for name, columns in sorted(message.embeddings.items()):
        yield columns.vector, f"{name}__embVector"
        yield columns.data, f"{name}__rawData"
        yield columns.link_to_data, f"{name}__linkToData"


def _seen(message: Any) -> Iterator[tuple[str, str]]:
    """Vision columns. (That one of them says Label and its like Labels is how the clients' parser has it.)"""
    for side, objects in (("Prediction", message.prediction_objects), ("Actual", message.actual_objects)):
        yield objects.coordinates, f"box{side}Coordinates"
        yield objects.categories, f"box{side}Label" if side == "Prediction" else f"box{side}Labels"
        yield objects.scores, f"box{side}Scores"
    for side, segments in (("Prediction", message.prediction_segments), ("Actual", message.actual_segments)):
        yield segments.coordinates, f"semanticSegmentationPolygon{side}Coordinates"
        yield segments.categories, f"semanticSegmentationPolygon{side}Labels"
    for side, instances in (("Prediction", message.prediction_instances), ("Actual", message.actual_instances)):
        yield instances.coordinates, f"instanceSegmentationPolygon{side}Coordinates"
        yield instances.boxes, f"instanceSegmentationBox{side}Coordinates"
        yield instances.categories, f"instanceSegmentationPolygon{side}Labels"
        yield instances.scores, f"instanceSegmentationPolygon{side}Scores"


# ---- columns ---------------------------------------------------------------------------------------------------------


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def _stored_records(upload: Upload, batch: pa.RecordBatch, at: datetime) -> pa.RecordBatch:
    columns: dict[str, Any] = {PREDICTION_ID: None, TIME: None}
    for came, name in upload.columns:
        if columns.get(name) is not None:
            raise Invalid(_SAME_NAME.format(name))
        columns[name] = plain(_column(batch, came))
    columns[PREDICTION_ID] = _ids(columns[PREDICTION_ID], batch.num_rows)
    columns[TIME] = _times(columns[TIME], batch.num_rows, at)
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _column(batch: pa.RecordBatch, name: str) -> Any:
    found = batch.schema.get_all_field_indices(name)
    if len(found) != 1:
        what = "is not among the columns of the upload" if not found else "is there more than once"
        raise Invalid(f"The column “{name}”, which the arize-schema names, {what}.")
    return batch.column(found[0])


def _stored_spans(batch: pa.RecordBatch, at: datetime) -> pa.RecordBatch:
    """Spans as they came, and the time at which each began, for which exports have a name of their own."""
    trace, span, start = (_column_of_spans(batch, name) for name in (TRACE_ID, SPAN_ID, START_TIME))
    for name, column in ((TRACE_ID, trace), (SPAN_ID, span)):
        _require_text(name, column.type)
        if column.null_count:
            raise Invalid(f"Each span needs a {name}.")
    if pa.types.is_floating(start.type):
        start = _cast(START_TIME, start, pa.int64(), "nanoseconds")
    if pa.types.is_integer(start.type):
        start = _cast(START_TIME, start, pa.int64(), "nanoseconds").cast(TIME_TYPE)
    kept = [name for name in batch.schema.names if name != TIME and not name.startswith(_INDEX)]
    columns = [plain(_column(batch, name)) for name in kept]
    return pa.RecordBatch.from_arrays([*columns, _times(start, batch.num_rows, at)], [*kept, TIME])


def overlay_columns(kind: Kind, schema: pa.Schema) -> list[str]:
    """The columns of an upload of ``kind`` that are laid over spans, behind the one that says over which.

    Raises:
        Invalid: it does not say over which, or has columns that such an upload cannot have.
    """
    found = schema.get_all_field_indices(SPAN_ID)
    if len(found) != 1:
        raise Invalid(f"The upload needs one column {SPAN_ID}: it says which spans are meant.")
    _require_text(SPAN_ID, schema.field(found[0]).type)
    names = [name for name in schema.names if name != SPAN_ID and not name.startswith(_INDEX)]
    fits: dict[Kind, Callable[[str], bool]] = {
        Kind.EVALUATIONS: is_evaluation,
        Kind.ANNOTATIONS: lambda name: name.startswith(ANNOTATION_PREFIX),
        Kind.METADATA: lambda name: name == PATCH,
    }
    wrong = [name for name in names if not fits[kind](name)]
    if wrong or not names:
        expected = {
            Kind.EVALUATIONS: "eval.NAME.label, eval.NAME.score or eval.NAME.explanation",
            Kind.ANNOTATIONS: "annotation.NAME.label, annotation.NAME.score or annotation.notes",
            Kind.METADATA: PATCH,
        }[kind]
        what = f"“{wrong[0]}” is none of them" if wrong else "there is none"
        raise Invalid(f"The columns beside {SPAN_ID} are called {expected}: {what}.")
    if len(set(names)) < len(names):
        raise Invalid("Two columns of the upload have the same name.")
    if kind is Kind.METADATA:
        _require_text(PATCH, schema.field(PATCH).type)
    return names


def plain(column: Any) -> Any:
    """A column in a type that everything can be done with: without dictionaries and views."""
    if isinstance(column, pa.DictionaryArray):  # not all types have a cast from one
        return column.dictionary.take(column.indices)
    kind = plain_type(column.type)
    return column if kind == column.type else column.cast(kind)


def plain_type(kind: Any) -> Any:
    """The type that `plain` gives a column."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind


def _column_of_spans(batch: pa.RecordBatch, name: str) -> Any:
    found = batch.schema.get_all_field_indices(name)
    if len(found) != 1:
        raise Invalid(f"Spans need one column {name}.")
    return plain(batch.column(found[0]))


def _require_text(name: str, kind: Any) -> None:
    kind = plain_type(kind)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise Invalid(f"The column {name} holds {kind}; it has to be text.")


def _cast(name: str, column: Any, kind: Any, what: str) -> Any:
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise Invalid(f"The column {name} has values that are no {what}.") from None


def _ids(column: Any, rows: int) -> Any:
    """Ids as text, with new ones where there are none."""
    if column is None or pa.types.is_null(column.type):
        return new_ids(rows)
    column = plain(column)
    if not _is_number(column.type):
        _require_text("of prediction ids", column.type)
    ids = column.cast(pa.string())
    return pc.coalesce(ids, new_ids(rows)) if ids.null_count else ids


def new_ids(rows: int) -> Any:
    """As many random ids, of 32 hexadecimal digits each, made in one piece: there may be a million."""
    digits = secrets.token_hex(16 * rows).encode()
    offsets = array("i", range(0, 32 * rows + 1, 32))
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(digits))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _times(column: Any, rows: int, at: datetime) -> Any:
    """Times of all kinds as one kind: seconds, whole or not, dates, and Arrow's own, in UTC where they have no zone."""
    now = pa.scalar(at, TIME_TYPE)
    if column is None or pa.types.is_null(column.type):
        return pa.repeat(now, rows)
    column = plain(column)
    kind = column.type
    try:
        if pa.types.is_integer(kind):
            column = column.cast(pa.int64()).cast(pa.timestamp("s", "UTC"))
        elif pa.types.is_floating(kind):
            seconds = column.cast(pa.float64())
            whole = pc.floor(seconds)
            # A double that holds the seconds of our days has room for microseconds, and for no more.
            micros = pc.round(pc.multiply(pc.subtract(seconds, whole), 1e6)).cast(pa.int64())
            column = pc.add_checked(
                pc.multiply_checked(whole.cast(pa.int64()), 10**9), pc.multiply_checked(micros, 1000)
            )
        elif not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            raise Invalid(f"The times of the upload are {kind}; they may be seconds, dates or timestamps.")
        times = column.cast(TIME_TYPE)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise Invalid("The upload has times that lie outside of 1678 to 2261; numbers are taken for seconds.") from None
    return pc.coalesce(times, now) if times.null_count else times
