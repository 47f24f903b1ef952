"""Pages of rows are given whatever types their columns have, and conditions that these cannot meet are refused."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from accounts.errors import NotAllowed
from apikeys.workflows import rows
from apikeys.workflows.streams import Stream

COLUMNS = {
    "uuid": pa.array([b"0123456789abcdef"], pa.uuid()),
    "view": pa.array(["x"], pa.string_view()),
    "zone": pa.array([1], pa.timestamp("s", "Mars/Phobos")),
    "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.timestamp("ns"))),
}


def page(column: Any, condition: str | None) -> list[dict[str, Any]]:
    table = pa.table({"x": column, "y": column})
    stream = Stream(table.schema, iter(table.to_batches()))
    return rows.page(stream, start=0, after=0, limit=10, condition=condition).rows


@pytest.mark.parametrize("name", ["uuid", "view", "map"])
def test_a_condition_that_values_cannot_meet_is_refused(name: str) -> None:
    with pytest.raises(NotAllowed, match="cannot be"):
        page(COLUMNS[name], "x = y")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uuid", "MDEyMzQ1Njc4OWFiY2RlZg=="),
        ("view", "x"),
        ("zone", "1970-01-01T00:00:01Z"),
        ("map", [["k", "1970-01-01 00:00:00.000000001"]]),
    ],
)
def test_values_of_rare_types_are_given(name: str, value: Any) -> None:
    assert page(COLUMNS[name], None) == [{"x": value, "y": value}]
