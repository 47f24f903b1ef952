"""Runs as clients of either age upload and download them: every run has an id, and what came out has both names."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from django.utils import timezone

from apikeys.workflows import datasets, editing, examples, experiments, runs
from apikeys.workflows.errors import TooLarge
from apikeys.workflows.models import DatasetKind, DatasetVersion, Experiment, Table
from tests.cast import Cast
from tests.workflows.sending import stream_of


@pytest.fixture
def begun(cast: Cast) -> Experiment:
    bob, at = cast.actor(cast.bob), timezone.now()
    dataset = datasets.create_dataset(
        bob,
        cast.production,
        name="questions",
        kind=DatasetKind.GENERATIVE,
        stream=stream_of(pa.table({"id": ["a"]})),
        at=at,
    ).dataset
    return experiments.open_experiment(bob, dataset, name="try", at=at)


def test_runs_without_ids_get_some_in_the_order_of_texts(cast: Cast, begun: Experiment) -> None:
    bob, sent = cast.actor(cast.bob), pa.table({"example_id": ["a"] * 12, "output": list("abcdefghijkl")})

    filled = runs.post(bob, begun, stream=stream_of(sent), at=timezone.now())

    found = runs.download(bob, filled).table()
    ids = found.column("id").to_pylist()
    assert (ids, len(set(ids))) == (sorted(ids), 12)
    assert found.select(["example_id", "output"]).equals(sent)
    appended = runs.append(bob, filled, runs=[{"example_id": "a", "output": "m"}], at=timezone.now())
    assert appended.ids[0] > ids[-1]


def test_numbers_for_ids_become_texts(cast: Cast, begun: Experiment) -> None:
    sent = pa.table({"id": [0, 1], "example_id": ["a", "a"], "result": ["x", None]})

    filled = runs.post(cast.actor(cast.bob), begun, stream=stream_of(sent), at=timezone.now())

    assert runs.download(cast.actor(cast.bob), filled).table().column("id").to_pylist() == ["0", "1"]


@pytest.mark.parametrize(("sent", "other"), [("result", "output"), ("output", "result")])
def test_what_came_out_has_both_names(cast: Cast, begun: Experiment, sent: str, other: str) -> None:
    rows = pa.table({"id": ["1", "2"], "example_id": ["a", "a"], sent: ["x", None]})

    filled = runs.post(cast.actor(cast.bob), begun, stream=stream_of(rows), at=timezone.now())

    found = runs.download(cast.actor(cast.bob), filled).table()
    assert found.column(other).to_pylist() == ["x", None]
    assert found.select(rows.column_names).equals(rows)


@pytest.mark.parametrize("limit", ["rows", "bytes", "decoded"])
def test_tables_that_take_too_long_to_be_written_anew_are_not_changed_row_by_row(
    cast: Cast, begun: Experiment, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    bob, at = cast.actor(cast.bob), timezone.now()
    filled = runs.post(bob, begun, stream=stream_of(pa.table({"example_id": ["a"], "output": ["x"]})), at=at)
    if limit == "decoded":
        monkeypatch.setattr(editing, "MOST_EDITED_DECODED", 1)
    else:
        most = {"rows": editing.MOST_EDITED_ROWS, "bytes": editing.MOST_EDITED_STORED}[limit]
        Table.objects.update(**{limit: most + 1})
    filled = Experiment.objects.select_related("table").get(pk=filled.pk)
    version, said = (
        DatasetVersion.objects.select_related("dataset").get(),
        {"a": [editing.Value("correct", label="yes")]},
    )
    dataset = version.dataset
    edits: list[Callable[[], object]] = [
        lambda: runs.append(bob, filled, runs=[{"example_id": "a", "output": "m"}], at=at),
        lambda: runs.annotate(bob, filled, said, at=at),
        lambda: examples.append(bob, dataset, examples=[{"question": "?"}], at=at),
        lambda: examples.update(bob, dataset, examples=[{"id": "a", "question": "?"}], at=at),
        lambda: examples.update(bob, dataset, examples=[{"id": "a", "question": "?"}], new_version="v2", at=at),
        lambda: examples.delete(bob, dataset, version=version.pk, ids=["a"], at=at),
        lambda: examples.annotate(bob, dataset, said, at=at),
    ]

    for edit in edits:
        with pytest.raises(TooLarge, match="Upload a new (version|experiment) instead"):
            edit()
    assert runs.read(bob, filled, limit=10).rows[0]["output"] == "x"
