"""What an export has to hold, whichever release asks for it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.clients.workflows import recipes
from tests.clients.workflows.answering import Differs, Facts

Frame = Any  # of pandas, which has no types here
Export = Callable[[str | None], Any]  # into a frame, or into the file named


def into_file(export: Export) -> Any:
    """Return what an export into a file leaves there: an Arrow table, or None without a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.parquet"
        export(str(path))
        return pq.read_table(path) if path.exists() else None


def ids(frame: Frame) -> list[str]:
    """Return the ids of the rows of an export."""
    name = next((name for name in ("predictionID", "context.span_id") if name in frame), None)
    return sorted(map(str, frame[name])) if name else []


def compare_model(
    export: Export, upload: recipes.Upload, actuals: recipes.Upload | None = None, weights: list[float] | None = None
) -> tuple[Frame, Facts]:
    """Export a model both ways, and compare with what was logged, into the last bit and type."""
    frame = export(None)
    besides = recipes.expect_frame(frame, upload.columns(exact=False), "predictionID")
    order = frame.sort_values("predictionID", key=lambda names: names.map(str))
    recipes.expect_values(recipes.instants(order["time"]), upload.times(), "time")
    if list(frame["time"]) != sorted(frame["time"]):
        raise Differs("The rows are not in the order of their times.")
    if actuals:
        _compare_actuals(frame, actuals)
    if weights is not None and not any([recipes.plain(one) for one in order[name]] == weights for name in besides):
        raise Differs(f"The SHAP values are in none of {besides}")
    recipes.expect_table(into_file(export), upload.columns(exact=True), "predictionID")
    return frame, {"rows": len(frame), "besides": besides}


def _compare_actuals(frame: Frame, upload: recipes.Upload) -> None:
    for name, sent in recipes.ACTUAL.items():
        wanted = dict(zip(upload.frame["row"], upload.frame[sent], strict=True))
        recipes.expect_values(frame[name], [wanted.get(row) for row in frame["predictionID"]], name)


def compare_record(frame: Frame, prediction: str, at: int, *, actual: bool) -> Facts:
    """Compare an export of a single record with what was logged."""
    frame = frame[frame["predictionID"] == prediction]
    recipes.expect_frame(frame, recipes.recorded(prediction, actual=actual), "predictionID")
    # A record's data is sent as a list of one text, and is one text in a table.
    if recipes.plain(frame["words__rawData"].iloc[0]) not in ("ü", ["ü"]):
        raise Differs(f"words__rawData: {frame['words__rawData'].iloc[0]!r}")
    recipes.expect_values(recipes.instants(frame["time"]), [at * 10**9], "time")
    return {"rows": len(frame)}


def compare_spans(export: Export, at: int, layers: list[str], release: int) -> Facts:
    """Export spans both ways, and compare with what was logged and laid over it."""
    frame = export(None)
    wanted = recipes.exported_spans(at, layers, release)
    besides = recipes.expect_frame(frame, wanted, "context.span_id")
    if "annotations" in layers:
        _compare_notes(frame)
    sent = recipes.sent_spans(at, release)
    if "metadata" in layers:
        del sent["attributes.metadata"]
    recipes.expect_table(into_file(export), sent, "context.span_id")
    return {"rows": len(frame), "besides": besides}


def _compare_notes(frame: Frame) -> None:
    notes = dict(zip(frame["context.span_id"], frame["annotation.notes"], strict=True))
    sent = recipes.annotation_rows(0)
    for span, text in zip(sent["context.span_id"], sent["annotation.notes"], strict=True):
        texts = [json.loads(one)["text"] for one in notes[span]]
        if texts != [text]:
            raise Differs(f"The notes of {span} are {texts}")
