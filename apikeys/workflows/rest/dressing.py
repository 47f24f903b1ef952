"""Rows as REST shows them: properties at top level, what people said of them in a list of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rest_framework.response import Response

from apikeys.workflows.editing import Annotation, Value, without_annotations
from apikeys.workflows.edits import CREATED_AT, ID, UPDATED_AT
from apikeys.workflows.rows import Slice

# Years that every client can read.
_FIRST, _LAST = -62_135_596_800_000, 253_402_300_799_999


def rows_page(name: str, page: Slice, dress: Any) -> Response:
    """Answer with one page of rows, under the name that clients look for."""
    pagination: dict[str, Any] = {"has_more": page.has_more}
    if page.next_cursor is not None:
        pagination["next_cursor"] = page.next_cursor
    return Response({name: [dress(row) for row in page.rows], "pagination": pagination})


def example_out(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an example."""
    own, annotations = without_annotations(row)
    own |= {name: moment(own.get(name)) for name in (CREATED_AT, UPDATED_AT)}
    return {ID: own.pop(ID), **own, **_said(annotations)}


def run_out(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run."""
    own, annotations = without_annotations(row)
    own |= {name: _text(own.get(name)) for name in ("example_id", "output", "error")}
    return {ID: own.pop(ID), **own, **_said(annotations)}


def moment(value: Any) -> str | None:
    """Return a moment as clients read it: of milliseconds, or of a text that is one already; else none."""
    if isinstance(value, int | float) and not isinstance(value, bool) and _FIRST <= value <= _LAST:
        return datetime.fromtimestamp(value / 1_000, UTC).isoformat().replace("+00:00", "Z")
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat().replace("+00:00", "Z")


def values_by_record(annotations: list[dict[str, Any]]) -> dict[str, list[Value]]:
    """Return what a request says of rows, by their ids."""
    found: dict[str, list[Value]] = {}
    for one in annotations:
        found.setdefault(one["record_id"], []).extend(Value(**value) for value in one["values"])
    return found


def annotations_out(annotations: list[Annotation]) -> list[dict[str, Any]]:
    """Return what people said of a row."""
    return [_annotation(one) for one in annotations]


def _said(annotations: list[Annotation]) -> dict[str, Any]:
    return {"annotations": annotations_out(annotations)} if annotations else {}


def _annotation(one: Annotation) -> dict[str, Any]:
    value = one.value
    said = {"label": value.label, "score": value.score, "text": value.text, "updated_at": moment(one.updated_at)}
    dressed = {"name": value.name} | {name: part for name, part in said.items() if part is not None}
    return dressed if one.updated_by is None else {**dressed, "annotator": {"email": one.updated_by}}


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
