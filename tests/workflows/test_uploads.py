"""Uploads become the columns that exports have, or are refused with what is wrong with them."""

from __future__ import annotations

import base64
import re
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from accounts.errors import Invalid
from apikeys.workflows.errors import TooLarge, Unreadable
from apikeys.workflows.messages import declare
from apikeys.workflows.uploads import Environment, Kind, ModelType, Upload, overlay_columns, read_upload

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
# The numbers of contract client-workflows §6, under names of the clients.
CLIENT = declare(
    "tests.client",
    {
        "Constants": {
            "model_id": (1, "string"),
            "model_version": (2, "string"),
            "batch_id": (3, "string"),
            "environment": (4, "int32"),
            "model_type": (5, "int32"),
        },
        "Embedding": {"vector": (1, "string"), "data": (2, "string"), "link": (3, "string")},
        "Boxes": {"coordinates": (1, "string"), "categories": (2, "string"), "scores": (3, "string")},
        "Columns": {
            "prediction_id": (1, "string"),
            "features": (2, "repeated string"),
            "timestamp": (3, "string"),
            "prediction_label": (4, "string"),
            "prediction_score": (5, "string"),
            "actual_label": (6, "string"),
            "actual_score": (7, "string"),
            "shap": (8, "map<string, string>"),
            "tags": (9, "repeated string"),
            "group": (15, "string"),
            "rank": (16, "string"),
            "embeddings": (17, "map<string, Embedding>"),
            "boxes": (18, "Boxes"),
            "actual_boxes": (19, "Boxes"),
            "unknown": (99, "string"),
        },
        "Empty": {},
        "Schema": {"constants": (1, "Constants"), "arrow_schema": (4, "Columns"), "arize_spans": (8, "Empty")},
    },
)


def _described(batch: pa.RecordBatch, model_type: int = 4, environment: int = 3, **columns: Any) -> pa.RecordBatch:
    constants = CLIENT.Constants(
        model_id="m", model_version="v", batch_id="b", environment=environment, model_type=model_type
    )
    return _with(batch, CLIENT.Schema(constants=constants, arrow_schema=CLIENT.Columns(**columns)))


def _with(batch: pa.RecordBatch, message: Any) -> pa.RecordBatch:
    encoded = base64.b64encode(message.SerializeToString())
    return batch.replace_schema_metadata({"pandas": "{}", "arize-schema": encoded})


def _stored(batch: pa.RecordBatch, model_type: int = 4, environment: int = 3, **columns: Any) -> tuple[Upload, Any]:
    described = _described(batch, model_type, environment, **columns)
    upload = read_upload(described.schema)
    stored = upload.stored(described, at=AT)
    assert upload.schema(described.schema, at=AT) == stored.schema
    return upload, stored


def test_columns_get_the_names_that_exports_have() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "id": ["1", "2"],
            "when": [1.5, 2],
            "said": ["yes", "no"],
            "sure": [0.9, 0.8],
            "was": pa.array(["no", "no"]).dictionary_encode(),
            "age": [1, None],
            "age shap": [0.1, 0.2],
            "city": ["a", "b"],
            "vector": [[1.0], [2.0]],
            "text": ["x", None],
            "__index_level_0__": [5, 6],
        }
    )

    upload, stored = _stored(
        batch,
        prediction_id="id",
        timestamp="when",
        prediction_label="said",
        prediction_score="sure",
        actual_label="was",
        features=["age"],
        tags=["city", "age"],
        shap={"age": "age shap"},
        embeddings={"words": CLIENT.Embedding(vector="vector", data="text")},
        unknown="of a later client",
    )

    assert upload.model_id == "m"
    assert (upload.model_version, upload.batch_id) == ("v", "b")
    assert (upload.environment, upload.model_type) == (Environment.PRODUCTION, ModelType.SCORE_CATEGORICAL)
    assert upload.kind is Kind.ROWS
    assert stored.to_pydict() == {
        "predictionID": ["1", "2"],
        "time": [datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC)],
        "categoricalPredictionLabel": ["yes", "no"],
        "scorePredictionLabel": [0.9, 0.8],
        "categoricalActualLabel": ["no", "no"],
        "age": [1, None],
        "city__tag": ["a", "b"],
        "age__tag": [1, None],
        "age_shap": [0.1, 0.2],
        "words__embVector": [[1.0], [2.0]],
        "words__rawData": ["x", None],
    }


def test_labels_are_called_by_what_the_model_is() -> None:
    batch = pa.RecordBatch.from_pydict({"p": [1.0], "a": [2.0], "g": ["x"], "r": [1], "l": [["y"]], "s": [0.5]})

    _, numeric = _stored(batch, model_type=2, prediction_label="p", actual_label="a")
    _, ranking = _stored(
        batch, model_type=5, prediction_score="p", actual_label="l", actual_score="s", group="g", rank="r"
    )
    boxes = {"boxes": CLIENT.Boxes(coordinates="l", categories="l", scores="l")}
    actual_boxes = {"actual_boxes": CLIENT.Boxes(coordinates="l", categories="l")}
    _, seen = _stored(batch, model_type=6, **boxes, **actual_boxes)

    assert numeric.schema.names[2:] == ["numericPredictionLabel", "numericActualLabel"]
    assert ranking.schema.names[2:] == [
        "scorePredictionLabel",
        "ranking:label",
        "ranking:relevance",
        "predictionGroupID",
        "ranking:rank",
    ]
    assert seen.schema.names[2:] == [
        "boxPredictionCoordinates",
        "boxPredictionLabel",
        "boxPredictionScores",
        "boxActualCoordinates",
        "boxActualLabels",
    ]


def test_what_was_exported_keeps_the_names_of_its_tags() -> None:
    _, stored = _stored(pa.RecordBatch.from_pydict({"city__tag": ["a"]}), tags=["city__tag"])

    assert stored.schema.names == ["predictionID", "time", "city__tag"]


@pytest.mark.parametrize(
    ("times", "stored"),
    [
        (pa.array([1_700_000_000]), datetime(2023, 11, 14, 22, 13, 20)),
        (pa.array([1_700_000_000], pa.uint32()), datetime(2023, 11, 14, 22, 13, 20)),
        (pa.array([1_700_000_000.123456]), datetime(2023, 11, 14, 22, 13, 20, 123456)),
        (pa.array([-0.25]), datetime(1969, 12, 31, 23, 59, 59, 750_000)),
        (pa.array([date(2026, 1, 2)]), datetime(2026, 1, 2)),
        (pa.array([datetime(2026, 1, 2, 3)], pa.timestamp("us")), datetime(2026, 1, 2, 3)),
        (pa.array([datetime(2026, 1, 2, 3, tzinfo=UTC)], pa.timestamp("ms", "Asia/Tokyo")), datetime(2026, 1, 2, 3)),
        (pa.array([None], pa.int64()), datetime(2026, 5, 1, 12)),
        (pa.nulls(1), datetime(2026, 5, 1, 12)),
    ],
)
def test_times_of_all_kinds_are_one_kind(times: Any, stored: datetime) -> None:
    _, rows = _stored(pa.RecordBatch.from_arrays([times], ["t"]), timestamp="t")

    assert rows.column("time").type == pa.timestamp("ns", "UTC")
    assert rows.column("time").to_pylist() == [stored.replace(tzinfo=UTC)]


def test_without_times_all_is_now_and_without_ids_each_gets_one() -> None:
    _, rows = _stored(pa.RecordBatch.from_pydict({"f": [1, 2, 3]}), features=["f"])

    assert rows.column("time").to_pylist() == [AT] * 3
    ids = rows.column("predictionID").to_pylist()
    assert len(set(ids)) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_ids_are_text_and_missing_ones_are_made() -> None:
    _, rows = _stored(pa.RecordBatch.from_pydict({"id": [7, None]}), prediction_id="id")

    first, second = rows.column("predictionID").to_pylist()
    assert first == "7"
    assert re.fullmatch("[0-9a-f]{32}", second)


@pytest.mark.parametrize(
    ("environment", "columns", "kind"),
    [
        (3, {"prediction_id": "a", "actual_label": "b"}, Kind.ACTUALS),
        (3, {"prediction_id": "a", "tags": ["b"]}, Kind.ACTUALS),
        (3, {"prediction_id": "a", "shap": {"f": "b"}}, Kind.ACTUALS),
        (3, {"prediction_id": "a", "features": ["b"]}, Kind.ROWS),
        (3, {"prediction_id": "a", "actual_label": "b", "prediction_label": "b"}, Kind.ROWS),
        (3, {"actual_label": "b"}, Kind.ROWS),
        (1, {"prediction_id": "a", "actual_label": "b"}, Kind.ROWS),
        (2, {"prediction_id": "a", "actual_label": "b"}, Kind.ROWS),
    ],
)
def test_actuals_alone_are_about_predictions_elsewhere(environment: int, columns: Any, kind: Kind) -> None:
    batch = _described(pa.RecordBatch.from_pydict({"a": ["1"], "b": ["x"]}), environment=environment, **columns)

    assert read_upload(batch.schema).kind is kind


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"features": ["missing"]}, "“missing”, which the arize-schema names, is not among the columns"),
        ({"features": ["time"], "timestamp": "number"}, "would be called “time” in exports"),
        ({"features": ["time"]}, "would be called “time” in exports"),
        ({"features": ["predictionID"]}, "would be called “predictionID” in exports"),
        ({"features": ["predictionID"], "prediction_id": "number"}, "would be called “predictionID” in exports"),
        ({"timestamp": "text"}, "times of the upload are string"),
        ({"timestamp": "huge"}, "outside of 1678 to 2261"),
        ({"timestamp": "huge float"}, "outside of 1678 to 2261"),
        ({"prediction_id": "list"}, "prediction ids holds list<item: int64>; it has to be text"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns: Any, words: str) -> None:
    batch = _described(
        pa.RecordBatch.from_pydict(
            {
                "number": [1],
                "time": [1],
                "predictionID": [1],
                "text": ["x"],
                "huge": [10**15],
                "huge float": [1e300],
                "list": [[1]],
            }
        ),
        **columns,
    )

    with pytest.raises(Invalid, match=re.escape(words)):
        read_upload(batch.schema).stored(batch, at=AT)


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        ({"environment": 3}, "names no model"),
        ({"model_id": "m", "environment": 9}, "names no environment"),
        ({"model_id": "m"}, "names no environment"),
        ({"model_id": "m", "environment": 4}, "corpus environment is not kept"),
        ({"model_id": "m", "environment": 5}, "Only spans belong to the tracing environment"),
        ({"model_id": "m" * 256, "environment": 3}, "longer than 255"),
        ({"model_id": "m\0", "environment": 3}, "model_id of the upload has a character NUL"),
        ({"model_id": "m", "environment": 3, "model_version": "\0"}, "model_version of the upload has"),
        ({"model_id": "m", "environment": 3, "batch_id": "\0"}, "batch_id of the upload has"),
    ],
)
def test_an_upload_that_says_too_little_is_refused(constants: Any, words: str) -> None:
    message = CLIENT.Schema(constants=CLIENT.Constants(**constants), arrow_schema=CLIENT.Columns())

    with pytest.raises(Invalid, match=words):
        read_upload(_with(pa.RecordBatch.from_pydict({"a": [1]}), message).schema)


@pytest.mark.parametrize(
    "metadata", [None, {"arize-schema": "%%"}, {"arize-schema": base64.b64encode(b"\xff\xff").decode()}]
)
def test_a_message_that_is_none_is_refused(metadata: dict[str, str] | None) -> None:
    with pytest.raises(Unreadable):
        read_upload(pa.schema([("a", pa.int64())], metadata))


def test_a_message_of_more_than_the_names_of_all_columns_is_not_decoded() -> None:
    empty = base64.b64encode(b"\x22\x82\x80\x40" + b"\x12\x00" * (2**19 + 1))  # features, each without a name

    with pytest.raises(TooLarge, match="1 MB"):
        read_upload(pa.schema([("x", pa.int8())], {"arize-schema": empty}))


def test_categories_of_any_kind_are_kept_without_being_ones() -> None:
    times = pa.array([datetime(2026, 1, 1), None], pa.timestamp("us")).dictionary_encode()

    _, stored = _stored(pa.RecordBatch.from_pydict({"when": times}), features=["when"])

    assert stored.column("when").to_pylist() == [datetime(2026, 1, 1), None]


def _spans(**columns: Any) -> pa.RecordBatch:
    message = CLIENT.Schema(constants=CLIENT.Constants(model_id="p"), arize_spans=CLIENT.Empty())
    return _with(pa.RecordBatch.from_pydict(columns), message)


def test_spans_stay_as_they_are_and_get_a_time() -> None:
    batch = _spans(
        **{
            "context.trace_id": ["t", "t"],
            "context.span_id": pa.array(["a", "b"], pa.string_view()),
            "start_time": [1_700_000_000_123_456_789, None],
            "name": pa.array(["x", None]).dictionary_encode(),
            "attributes.llm.input_messages": [["{}"], None],
            "time": [1, 2],
            "__index_level_0__": [1, 2],
        }
    )

    upload = read_upload(batch.schema)
    stored = upload.stored(batch, at=AT)

    assert (upload.model_id, upload.is_spans, upload.kind) == ("p", True, Kind.ROWS)
    assert upload.environment is Environment.TRACING
    assert stored.schema.names == [
        "context.trace_id",
        "context.span_id",
        "start_time",
        "name",
        "attributes.llm.input_messages",
        "time",
    ]
    assert stored.column("context.span_id").to_pylist() == ["a", "b"]
    assert stored.column("start_time").to_pylist() == [1_700_000_000_123_456_789, None]
    assert stored.column("name").to_pylist() == ["x", None]
    assert stored.column("time").cast(pa.int64()).to_pylist() == [
        1_700_000_000_123_456_789,
        int(AT.timestamp()) * 10**9,
    ]


def test_evaluations_alone_are_known_by_their_columns() -> None:
    only = _spans(**{"context.span_id": ["a"], "eval.Q.label": ["x"], "trace_eval.Q.score": [1.0]})
    with_more = _spans(**{"context.span_id": ["a"], "eval.Q.label": ["x"], "name": ["n"]})

    assert read_upload(only.schema).kind is Kind.EVALUATIONS
    assert read_upload(with_more.schema).kind is Kind.ROWS


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"context.span_id": ["a"], "start_time": [1]}, "Spans need one column context.trace_id"),
        ({"context.trace_id": ["a"], "context.span_id": ["a"]}, "Spans need one column start_time"),
        ({"context.trace_id": [1], "context.span_id": ["a"], "start_time": [1]}, "context.trace_id holds int64"),
        ({"context.trace_id": ["a"], "context.span_id": [None], "start_time": [1]}, "context.span_id holds null"),
        (
            {"context.trace_id": ["a", None], "context.span_id": ["a", "b"], "start_time": [1, 1]},
            "Each span needs a context.trace_id",
        ),
        (
            {"context.trace_id": ["a"], "context.span_id": ["a"], "start_time": pa.array([2**63], pa.uint64())},
            "start_time has values that are no nanoseconds",
        ),
        (
            {"context.trace_id": ["a"], "context.span_id": ["a"], "start_time": ["now"]},
            "times of the upload are string",
        ),
    ],
)
def test_spans_that_lack_something_are_refused(columns: Any, words: str) -> None:
    batch = _spans(**columns)

    with pytest.raises(Invalid, match=re.escape(words)):
        read_upload(batch.schema).stored(batch, at=AT)


@pytest.mark.parametrize(
    ("kind", "columns", "words"),
    [
        (Kind.EVALUATIONS, ["eval.Q.label"], "one column context.span_id"),
        (Kind.EVALUATIONS, ["context.span_id"], "there is none"),
        (Kind.EVALUATIONS, ["context.span_id", "eval.Q.label", "annotation.Q.label"], "“annotation.Q.label” is none"),
        (Kind.ANNOTATIONS, ["context.span_id", "name"], "“name” is none of them"),
        (Kind.METADATA, ["context.span_id", "patch"], "are called patch_document: “patch” is none of them"),
        (Kind.EVALUATIONS, ["context.span_id", "eval.Q.label", "eval.Q.label"], "same name"),
    ],
)
def test_updates_of_spans_have_only_their_own_columns(kind: Kind, columns: list[str], words: str) -> None:
    with pytest.raises(Invalid, match=re.escape(words)):
        overlay_columns(kind, pa.schema([(name, pa.string()) for name in columns]))


def test_the_columns_of_an_update_are_told() -> None:
    names = ["context.span_id", "annotation.Q.label", "annotation.notes", "__index_level_0__"]

    found = overlay_columns(Kind.ANNOTATIONS, pa.schema([(name, pa.string()) for name in names]))

    assert found == ["annotation.Q.label", "annotation.notes"]
