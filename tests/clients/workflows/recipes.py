"""The data that the steps send, made from nothing but a moment, and how it is told whether it came back.

Everything that is apt to get lost is in it: nulls, empty texts, signs and scripts, integers that no float holds,
nullable integers, categories, zones, lists, lists of lists, structs, vectors, and JSON.
"""

from __future__ import annotations

import datetime as clock
import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.clients.workflows.answering import Differs

Frame = Any  # of pandas, which has no types here

BIG = [2**63 - 1, -(2**63), 2**53 + 1, 0, -1]
TEXTS = ["", None, "line\nbreak\tand \"quotes\" and 'these'", "naïve ☃ 日本語 \U0001f600", "x" * 300]
VECTORS = [[0.1, 0.2, 0.3], [1.0, -1.0, 0.0], [1e-9, 1e9, 0.5], [0.0, 0.0, 0.0], [3.0, 2.0, 1.0]]


# --- comparing


def plain(value: Any) -> Any:
    """Return a value as Python has it, so that arrays, scalars and missing things compare."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, pd.Timestamp):
        return None if value is pd.NaT else instants([value])[0]
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and value != value:
        return None
    return value


def instants(values: Iterable[Any]) -> list[int]:
    """Return times, however they are written, in nanoseconds since 1970."""
    return [_instant(value) for value in values]


def _instant(value: Any) -> int:
    if isinstance(value, clock.datetime):
        stamp = pd.Timestamp(value)
        return int((stamp.tz_localize("UTC") if stamp.tz is None else stamp).as_unit("ns").value)
    number = float(value)
    for digits, factor in ((1e17, 1), (1e14, 10**3), (1e11, 10**6)):  # nano-, micro-, milliseconds
        if abs(number) > digits:
            return int(value) * factor
    return int(number * 10**9)


def expect_values(got: Iterable[Any], want: Iterable[Any], what: str) -> None:
    """Compare two columns by value; true and 1 are not the same, 3 and 3.0 are where a null made a float of it."""
    had, wanted = [plain(one) for one in got], [plain(one) for one in want]
    if len(had) != len(wanted):
        raise Differs(f"{what}: {len(had)} rows, not {len(wanted)}")
    for row, (one, other) in enumerate(zip(had, wanted, strict=True)):
        if one != other or isinstance(one, bool) != isinstance(other, bool):
            raise Differs(f"{what}, row {row}: {one!r}, not {other!r}")


def expect_frame(got: Frame, want: dict[str, list[Any]], key: str) -> list[str]:
    """Compare the columns of a frame whose rows may be in any order; tell which columns there are besides."""
    if got.empty:
        raise Differs("No rows came back.")
    missing = sorted(set(want) - set(got.columns))
    if missing:
        raise Differs(f"Without {missing}; there are {sorted(got.columns)}")
    had = _sorted({name: list(got[name]) for name in want}, key)
    wanted = _sorted(want, key)
    for name, column in wanted.items():
        expect_values(had[name], column, name)
    return sorted(set(got.columns) - set(want))


def expect_same(got: Frame, want: Frame) -> None:
    """Compare two frames in everything: columns in their order, types, index, rows in their order."""
    for what in ("columns", "index"):
        had, wanted = list(getattr(got, what)), list(getattr(want, what))
        if had != wanted:
            raise Differs(f"The {what} are {had}, not {wanted}")
    for name in want.columns:
        if got[name].dtype != want[name].dtype:
            raise Differs(f"{name} is of type {got[name].dtype!r}, not {want[name].dtype!r}")
        expect_values(got[name], want[name], name)


def expect_table(got: Any, want: dict[str, Any], key: str) -> list[str]:
    """Compare the columns of an Arrow table by type and value: ``want`` has arrays."""
    missing = sorted(set(want) - set(got.column_names))
    if missing:
        raise Differs(f"Without {missing}; there are {sorted(got.column_names)}")
    for name, array in want.items():
        if got.schema.field(name).type != array.type:
            raise Differs(f"{name} is of type {got.schema.field(name).type}, not {array.type}")
    had = _sorted({name: got.column(name).to_pylist() for name in want}, key)
    wanted = _sorted({name: array.to_pylist() for name, array in want.items()}, key)
    for name, column in wanted.items():
        expect_values(had[name], column, name)
    return sorted(set(got.column_names) - set(want))


def _sorted(columns: dict[str, list[Any]], key: str) -> dict[str, list[Any]]:
    order = sorted(range(len(columns[key])), key=lambda row: str(columns[key][row]))
    return {name: [column[row] for row in order] for name, column in columns.items()}


# --- models


@dataclass(frozen=True)
class Upload:
    """Rows of a model, which column is what, and how exports name them."""

    frame: Frame
    roles: dict[str, Any]  # as the SDK's Schema takes them; embeddings as (vector, data, link)
    exported: dict[str, str]  # export column -> the column sent
    kind: str = "SCORE_CATEGORICAL"

    def columns(self, *, exact: bool) -> dict[str, Any]:
        """Return what an export has to hold: arrays with their types, or plain values."""
        table = pa.Table.from_pandas(self.frame, preserve_index=False)
        arrays = {name: _text_for_category(table.column(sent)) for name, sent in self.exported.items()}
        return arrays if exact else {name: array.to_pylist() for name, array in arrays.items()}

    def times(self) -> list[int]:
        """Return when the rows happened, in the order of their ids."""
        order = sorted(range(len(self.frame)), key=lambda row: str(self.frame["row"].iloc[row]))
        return instants(self.frame["when"].iloc[row] for row in order)


def _text_for_category(column: Any) -> Any:
    # The SDK itself makes text of categories before it uploads a model's rows.
    column = column.combine_chunks()
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


PREDICTED = {
    "predictionID": "row",
    "categoricalPredictionLabel": "verdict",
    "scorePredictionLabel": "confidence",
    **{name: name for name in ("amount", "count", "big", "city", "note", "vip")},
    **{"team__tag": "team", "size__tag": "size"},
    **{"words__embVector": "vector", "words__rawData": "raw", "words__linkToData": "link"},
}
ACTUAL = {"categoricalActualLabel": "truth", "scoreActualLabel": "truth_score"}
FEATURES = ["amount", "count", "big", "city", "note", "vip"]


def model(recipe: str, at: int) -> Upload:
    """Return a model's rows: ``predictions``, ``whole`` (with actuals), ``actuals``, ``ranking`` or ``numeric``."""
    return {
        "predictions": _predictions,
        "whole": _whole,
        "actuals": _actuals,
        "ranking": _ranking,
        "numeric": _numeric,
    }[recipe](at)


def _whole(at: int) -> Upload:
    frame = pd.DataFrame(
        {
            "row": ["p-0", "p-1", "p-2", "p-3", "ü–4 '\"%"],
            "when": [at + second for second in range(5)],
            "verdict": ["fraud", "fine", "fine", "fraud", "日本"],
            "confidence": [0.5, 0.25, 1.0, 0.0, 0.125],
            "truth": ["fraud", "fine", "fraud", "fraud", "fine"],
            "truth_score": [1.0, 0.0, 1.0, 1.0, 0.0],
            "amount": [1.5, np.nan, -0.0, 1e300, 3.0],
            "count": pd.array([1, None, 3, 4, -5], dtype="Int64"),
            "big": BIG,
            "city": pd.Categorical(["Köln", "Basel", "Köln", "Basel", "Łódź"]),
            "note": TEXTS,
            "vip": [True, False, True, False, True],
            "team": ["red", "blue", "", None, "red"],
            "size": [1, 2, 3, 4, 5],
            "vector": VECTORS,
            "raw": ["a", "b b", "", "ü", "e"],
            "link": [f"https://example.com/{row}?q=a&b" for row in range(5)],
            "amount_weight": [0.5, -0.25, 0.0, 1.0, 2.0],
        }
    )
    roles = {
        "prediction_id_column_name": "row",
        "timestamp_column_name": "when",
        "prediction_label_column_name": "verdict",
        "prediction_score_column_name": "confidence",
        "actual_label_column_name": "truth",
        "actual_score_column_name": "truth_score",
        "feature_column_names": FEATURES,
        "tag_column_names": ["team", "size"],
        "shap_values_column_names": {"amount": "amount_weight"},
        "embedding_feature_column_names": {"words": ("vector", "raw", "link")},
    }
    return Upload(frame, roles, PREDICTED | ACTUAL)


def _predictions(at: int) -> Upload:
    whole = _whole(at)
    roles = {name: of for name, of in whole.roles.items() if not name.startswith("actual")}
    # Other ways of saying when: a time with a zone.
    frame = whole.frame.assign(when=pd.to_datetime(whole.frame["when"], unit="s", utc=True).dt.tz_convert("Asia/Tokyo"))
    return Upload(frame.drop(columns=["truth", "truth_score"]), roles, PREDICTED)


def _actuals(at: int) -> Upload:
    frame = _whole(at).frame[["row", "when", "truth", "truth_score"]].iloc[[3, 0, 2]].reset_index(drop=True)
    roles = {
        "prediction_id_column_name": "row",
        "actual_label_column_name": "truth",
        "actual_score_column_name": "truth_score",
    }
    return Upload(frame, roles, {"predictionID": "row"} | ACTUAL)


def _ranking(at: int) -> Upload:
    frame = pd.DataFrame(
        {
            "row": [f"r-{row}" for row in range(4)],
            "when": [at + 0.5 * row for row in range(4)],
            "query": ["q1", "q1", "q2", "q2"],
            "place": [1, 2, 1, 2],
            "relevance": [0.5, 1.0, 0.0, 0.25],
            "truth": ["click", "none", "none", "click"],
            "price": [9.5, 1.0, 2.0, 3.0],
        }
    )
    roles = {
        "prediction_id_column_name": "row",
        "timestamp_column_name": "when",
        "prediction_group_id_column_name": "query",
        "rank_column_name": "place",
        "relevance_score_column_name": "relevance",
        "relevance_labels_column_name": "truth",
        "feature_column_names": ["price"],
    }
    exported = {
        "predictionID": "row",
        "predictionGroupID": "query",
        "ranking:rank": "place",
        "ranking:relevance": "relevance",
        "ranking:label": "truth",
        "price": "price",
    }
    return Upload(frame, roles, exported, "RANKING")


def _numeric(at: int) -> Upload:
    frame = pd.DataFrame(
        {
            "row": ["n-0", "n-1", "n-2"],
            "when": pd.to_datetime([at, at + 1, at + 2], unit="s"),
            "guess": [1.5, -2.0, 1e-300],
            "truth": [1.0, -2.5, 0.0],
            "rooms": [3, 4, 5],
        }
    )
    roles = {
        "prediction_id_column_name": "row",
        "timestamp_column_name": "when",
        "prediction_label_column_name": "guess",
        "actual_label_column_name": "truth",
        "feature_column_names": ["rooms"],
    }
    exported = {
        "predictionID": "row",
        "numericPredictionLabel": "guess",
        "numericActualLabel": "truth",
        "rooms": "rooms",
    }
    return Upload(frame, roles, exported, "REGRESSION")


def weights(at: int) -> list[Any]:
    """Return what the rows' only SHAP values are, in the order of their ids."""
    frame = _whole(at).frame
    return list(frame.sort_values("row", key=lambda ids: ids.map(str))["amount_weight"])


# --- single records

RECORD_FEATURES = {
    "text": "naïve ☃",
    "empty": "",
    "whole": 3,
    "huge": 2**53 + 1,
    "part": 0.1,
    "flag": True,
    "many": ["a", "ü"],
}
RECORD_TAGS = {"team": "red", "size": 7}
RECORD_EMBEDDING = {"vector": [0.5, -1.0], "data": "ü", "link_to_data": "https://example.com/1"}


def recorded(prediction: str, *, actual: bool) -> dict[str, list[Any]]:
    """Return what an export has of a single record; the SDK writes true as text."""
    return {
        "predictionID": [prediction],
        "categoricalPredictionLabel": ["fraud"],
        "scorePredictionLabel": [0.75],
        **{name: [str(of) if isinstance(of, bool) else of] for name, of in RECORD_FEATURES.items()},
        **{f"{name}__tag": [of] for name, of in RECORD_TAGS.items()},
        **{"words__embVector": [[0.5, -1.0]], "words__linkToData": ["https://example.com/1"]},
        **({"categoricalActualLabel": ["fine"], "scoreActualLabel": [0.25]} if actual else {}),
    }


# --- spans

SPANS = [f"{number:016x}" for number in range(0xA1, 0xA5)]
UNKNOWN_SPAN = f"{0xEE:016x}"
TRACES = [f"{number:032x}" for number in (0xC1, 0xC1, 0xC1, 0xC2)]
JSON_LISTS = [
    "attributes.llm.input_messages",
    "attributes.embedding.embeddings",
    "attributes.retrieval.documents",
    "events",
]
UNCONVENTIONAL = ["attributes.shop.basket", "attributes.shop.total"]


def spans(at: int) -> Frame:
    """Return four spans of two traces, as a user has them."""
    started = [pd.Timestamp(at + second, unit="s", tz="UTC") for second in range(4)]
    event = {"name": "retry", "timestamp": at * 10**9, "attributes": {"attempt": 2, "why": "zögern"}}
    message = {"message.role": "user", "message.content": 'say "☃"\n'}
    return pd.DataFrame(
        {
            "context.trace_id": TRACES,
            "context.span_id": SPANS,
            "parent_id": [None, SPANS[0], SPANS[0], None],
            "name": ["root ü", "", "child", "日本"],
            "start_time": started,
            "end_time": [one + pd.Timedelta(milliseconds=500) for one in started],
            "status_code": ["OK", "ERROR", "UNSET", "OK"],
            "status_message": ["", None, "line\nbreak", "fine"],
            "events": [[event, event], [], [event], []],
            "attributes.openinference.span.kind": ["CHAIN", "LLM", "RETRIEVER", "CHAIN"],
            "attributes.input.value": TEXTS[:4],
            "attributes.input.mime_type": ["text/plain", "application/json", None, "text/plain"],
            "attributes.output.value": ["x" * 10_000, "", None, "{}"],
            "attributes.llm.model_name": [None, "gpt-4o", None, None],
            "attributes.llm.input_messages": [[], [message, message], None, [message]],
            "attributes.llm.invocation_parameters": ["{}", '{"temperature": 0.5}', None, None],
            "attributes.llm.token_count.prompt": [None, 12.0, None, 0.0],
            "attributes.metadata": [
                {"team": "blue", "n": 1, "of": None},
                {"team": "green"},
                None,
                {"deep": {"er": [1]}},
            ],
            "attributes.embedding.embeddings": [
                [{"embedding.vector": [0.5, -1.0], "embedding.text": "ü"}],
                [],
                None,
                [{"embedding.vector": [], "embedding.text": ""}],
            ],
            "attributes.retrieval.documents": [[], [], [{"document.id": "7", "document.score": 0.5}], None],
            "attributes.session.id": ["s-1", "s-1", "s-1", "s-2"],
            "attributes.shop.basket": [["apple", "pear"], [], None, ["ü"]],
            "attributes.shop.total": [1.5, None, 0.0, -1.0],
        }
    )


def sent_spans(at: int, release: int) -> dict[str, Any]:
    """Return the columns as a release uploads them: 7 without what no convention names, 8 with empty lists for none."""
    frame = spans(at)
    for name in ("start_time", "end_time"):
        frame[name] = [one.value for one in frame[name]]
    frame["attributes.metadata"] = [_as_json(one) for one in frame["attributes.metadata"]]
    for name in JSON_LISTS:
        nothing: list[str] | None = None if release == 7 else []
        frame[name] = [nothing if many is None else [_as_json(one) for one in many] for many in frame[name]]
    table = pa.Table.from_pandas(frame.drop(columns=UNCONVENTIONAL if release == 7 else []), preserve_index=False)
    return {name: table.column(name).combine_chunks() for name in table.column_names}


def _as_json(value: dict[str, Any] | None) -> str | None:
    # What is nested is written as JSON in JSON: so the SDK does it.
    if value is None:
        return None
    return json.dumps(
        {key: _as_json(one) if isinstance(one, dict) else one for key, one in value.items()}, ensure_ascii=False
    )


def evaluations(recipe: str) -> Frame:
    """Return evaluations: the ``first``, and a ``second`` that corrects one column of one of them."""
    if recipe == "second":
        return pd.DataFrame({"context.span_id": [SPANS[1]], "eval.Correct.label": ["right after all"]})
    return pd.DataFrame(
        {
            "context.span_id": [SPANS[0], SPANS[1], SPANS[3], UNKNOWN_SPAN],
            "eval.Correct.label": ["right", "wrong", "rïght", "right"],
            "eval.Correct.score": [1.0, 0.0, 0.5, 1.0],
            "eval.Correct.explanation": ["because ☃", "", "no\nreason", "unknown"],
            "eval.Toxic.score": [0.25, 0.5, 0.75, 1.0],
        }
    )


def annotation_rows(at: int) -> Frame:
    """Return annotations, with a note."""
    return pd.DataFrame(
        {
            "context.span_id": [SPANS[0], SPANS[2]],
            "annotation.quality.label": ["good", "bäd"],
            "annotation.quality.score": [1.0, 0.0],
            "annotation.quality.updated_by": ["anna", "ben"],
            "annotation.quality.updated_at": [at * 1000, at * 1000 + 1],
            "annotation.notes": ["looked at it ☃", "twice"],
        }
    )


def patches() -> Frame:
    """Return changes to metadata: one key replaced, one added, one set to null; and where there was none before."""
    return pd.DataFrame(
        {
            "context.span_id": [SPANS[0], SPANS[2]],
            "patch_document": [{"team": "red", "added": [1, "ü"], "n": None}, {"team": "new"}],
        }
    )


def exported_spans(at: int, layers: list[str], release: int) -> dict[str, list[Any]]:
    """Return what an export into a frame has to hold after the uploads named, in their order."""
    columns = {name: array.to_pylist() for name, array in sent_spans(at, release).items()}
    for name in JSON_LISTS[:3]:  # events stay as they are
        columns[name] = [None if many is None else [json.loads(one) for one in many] for many in columns[name]]
    columns["attributes.metadata"] = [
        None if one is None else json.loads(one) for one in columns["attributes.metadata"]
    ]
    for name in ("start_time", "end_time"):
        columns[name] = [pd.Timestamp(one, unit="ns") for one in columns[name]]
    for layer in layers:
        _lay(layer, columns, at)
    return {name: column for name, column in columns.items() if any(plain(one) is not None for one in column)}


def _lay(layer: str, columns: dict[str, list[Any]], at: int) -> None:
    if layer == "metadata":
        for _, row in patches().iterrows():
            place = SPANS.index(row["context.span_id"])
            columns["attributes.metadata"][place] = (columns["attributes.metadata"][place] or {}) | row[
                "patch_document"
            ]
        return
    frame = annotation_rows(at).drop(columns="annotation.notes") if layer == "annotations" else evaluations(layer)
    for _, row in frame.iterrows():
        if row["context.span_id"] not in SPANS:
            continue
        for name in frame.columns[1:]:
            columns.setdefault(name, [None] * len(SPANS))[SPANS.index(row["context.span_id"])] = row[name]


# --- datasets


def rich(at: int, *, rows: int = 5, binary: bool = True) -> Frame:
    """Return examples with everything in them that a table can hold."""
    times = range(rows)

    def turn(values: list[Any]) -> list[Any]:
        return [values[row % len(values)] for row in times]

    started = pd.to_datetime([at + row for row in times], unit="s")
    frame = pd.DataFrame(
        {
            "id": [f"e-{row}" if row else "ü 'id' % 0" for row in times],
            "created_at": [at * 1000 + row for row in times],
            "updated_at": [at * 1000 + 10 * row for row in times],
            "question": turn(TEXTS),
            "nothing": turn([None]),
            "number": turn([0.1, np.nan, -0.0, 1e300, np.inf]),
            "count": pd.array(turn([1, None, 2**53 + 1, 0, -(2**63)]), dtype="Int64"),
            "big": turn(BIG),
            "small": np.array(turn([-128, 127, 0, 1, -1]), dtype="int8"),
            "single": np.array(turn([0.1, 1.5, -2.0, 0.0, 1e30]), dtype="float32"),
            "kind": pd.Categorical(turn(["b", "a", "b", "c", "a"]), categories=["c", "b", "a"], ordered=True),
            "flag": turn([True, False, True, True, False]),
            "maybe": pd.array(turn([True, None, False, True, None]), dtype="boolean"),
            "naive": started,
            "universal": started.tz_localize("UTC"),
            "berlin": started.tz_localize("UTC").tz_convert("Europe/Berlin"),
            "vector": turn(VECTORS),
            "words": turn([["a", None, ""], [], None, ["ü"], ["a"]]),
            "matrix": turn([[[1, 2], [3]], [], [[]], None, [[4]]]),
            "person": turn([{"name": "Ü", "age": 3, "pets": ["cat"]}, {"name": None, "age": None, "pets": []}, None]),
            "turns": turn([[{"role": "user", "text": "hi"}, {"role": "bot", "text": None}], [], None]),
            "metadata": turn([{"a": 1, "b": {"c": [1, None, "ü"]}}, {}, None]),
            "day": turn([clock.date(2026, 1, 31), None, clock.date(1970, 1, 1)]),
            "price": turn([Decimal("12345678901234567890.12"), None, Decimal("-0.01")]),
        }
    )
    return frame.assign(bytes=turn([b"\x00\xff", b"", None])) if binary else frame


def table_of(frame: Frame) -> Any:
    """Return a frame as Arrow has it."""
    return pa.Table.from_pandas(frame, preserve_index=False)


def pandas_metadata(table: Any) -> Any:
    """Return what pandas noted in a schema, without which versions wrote it."""
    noted = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    return {key: noted.get(key) for key in ("index_columns", "column_indexes", "columns")}


RECORDS: list[dict[str, Any]] = [
    {
        "question": "naïve ☃ \U0001f600",
        "empty": "",
        "nothing": None,
        "whole": 3,
        "huge": 2**53 + 1,
        "part": 0.1,
        "flag": True,
        "words": ["a", "", "ü"],
        "nested": {"a": {"b": [1, 2], "c": "ü"}, "d": None},
    },
    {
        "question": 'line\nbreak and "quotes"',
        "empty": "not",
        "nothing": "something",
        "whole": -(2**63),
        "huge": 0,
        "part": -1e300,
        "flag": False,
        "words": [],
        "nested": {"a": {"b": [], "c": ""}, "d": "x"},
    },
    {
        "question": "x" * 2000,
        "empty": "",
        "nothing": None,
        "whole": 0,
        "huge": -1,
        "part": 0.5,
        "flag": True,
        "words": ["b"],
        "nested": {"a": {"b": [3], "c": "z"}, "d": None},
    },
]
