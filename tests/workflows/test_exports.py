"""Exports give back what was logged and what was said of it since, to whoever may read it, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from accounts.errors import Forbidden, Invalid, NotFound
from accounts.models import Project
from accounts.roles import RoleName
from apikeys.workflows import exports, shapes
from apikeys.workflows.errors import TooLarge
from apikeys.workflows.models import Environment, SegmentKind
from apikeys.workflows.uploads import ACTUAL_COLUMNS, Kind
from apikeys.workflows.uploads import Environment as Env
from tests.cast import Cast
from tests.factories import bind, custom_role
from tests.workflows.logging import START, asked, exported, log, nanoseconds, predict, spans_of, update

EVALUATIONS, ANNOTATIONS, METADATA = SegmentKind.EVALUATIONS, SegmentKind.ANNOTATIONS, SegmentKind.METADATA
ID = "context.span_id"


def _ids(table: pa.Table, key: str = ID) -> list[str]:
    return table[key].to_pylist()  # type: ignore[no-any-return]


def test_what_was_logged_comes_back_equal(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    sent = spans_of(
        "a",
        "b",
        "c",
        **{
            "attributes.llm.token_count.total": pa.array([1, None, 2**40]),
            "attributes.llm.input_messages": [['{"message.role": "user"}'], [], None],
            "attributes.cost": pa.array([0.1, None, float("inf")], pa.float32()),
            "attributes.flag": [True, None, False],
            "attributes.when": pa.array([1, None, 3], pa.timestamp("us", "Europe/Rome")),
            "attributes.struct": [{"x": [1]}, None, {"x": []}],
            "status_message": ["é\n", "", None],
        },
    )
    log(bob, cast.production, sent)

    got = exported(bob, cast.production, asked())

    assert got.drop_columns("time").equals(sent)
    assert got["time"].cast(pa.int64()).to_pylist() == sent["start_time"].to_pylist()


def test_start_is_inclusive_and_end_is_not(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of(*"abcde"))

    def between(first: float, last: float) -> list[str]:
        query = asked(start=START + timedelta(seconds=first), end=START + timedelta(seconds=last))
        return _ids(exported(bob, cast.production, query))

    assert between(0, 5) == list("abcde")
    assert between(1, 3) == ["b", "c"]
    assert between(0, 4) == list("abcd")
    assert between(0.5, 1) == []
    assert exported(bob, cast.production, asked(start=START + timedelta(seconds=5))).num_rows == 0


def test_a_nanosecond_before_the_end_is_before_it(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    rows = spans_of("a", "b").set_column(3, "start_time", pa.array([nanoseconds(1) - 1, nanoseconds(1)]))
    log(bob, cast.production, rows)

    assert _ids(exported(bob, cast.production, asked(until=1))) == ["a"]
    assert _ids(exported(bob, cast.production, asked(start=START + timedelta(seconds=1)))) == ["b"]


def test_what_is_said_later_lies_over_the_rows(cast: Cast) -> None:
    bob, space = cast.actor(cast.bob), cast.production
    log(bob, space, spans_of("a", "b", **{"attributes.metadata": ['{"x": 1}', None], "eval.Q.label": ["old", "old"]}))
    update(bob, space, EVALUATIONS, {ID: ["a", "b"], "eval.Q.label": ["good", None], "eval.Q.score": [1, 2]})
    update(bob, space, EVALUATIONS, {ID: ["b"], "eval.Q.score": [2.5]})
    update(bob, space, METADATA, {ID: ["a", "b"], "patch_document": ['{"x": null, "y": 1}', '{"z": 2}']})
    log(bob, space, spans_of("c"))

    got = {row[ID]: row for row in exported(bob, space, asked()).to_pylist()}

    assert {one: got[one]["eval.Q.label"] for one in got} == {"a": "good", "b": "old", "c": None}
    assert {one: got[one]["eval.Q.score"] for one in got} == {"a": 1.0, "b": 2.5, "c": None}
    assert json.loads(got["a"]["attributes.metadata"]) == {"x": None, "y": 1}
    assert json.loads(got["b"]["attributes.metadata"]) == {"z": 2}
    assert got["c"]["attributes.metadata"] is None


def test_more_said_than_there_is_memory_for_is_refused_before_it_is_read(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = cast.actor(cast.bob)
    ids = [str(number) for number in range(100)]
    log(bob, cast.production, spans_of(*ids))
    # A few hundred bytes on the disk, each time.
    long = {"context.span_id": ids, "eval.Q.explanation": ["x" * 10_000] * 100}
    update(bob, cast.production, SegmentKind.EVALUATIONS, long)
    patch = {"context.span_id": ids, "patch_document": [json.dumps({"x": "y" * 10_000})] * 100}
    update(bob, cast.production, SegmentKind.METADATA, patch)

    assert exported(bob, cast.production, asked()).num_rows == 100
    monkeypatch.setattr(exports, "MOST_SAID", 1_500_000)
    with pytest.raises(TooLarge, match="ask for fewer columns"):
        exported(bob, cast.production, asked())
    for name in ("name", "eval.Q.explanation", "attributes.metadata"):
        assert exported(bob, cast.production, asked(columns=(name,))).num_rows == 100


def test_columns_of_many_uploads_are_asked_for_in_parts(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = cast.actor(cast.bob)
    for number in range(10):
        log(bob, cast.production, spans_of(f"s{number}", **{f"attributes.{number}": [number]}))
    log(bob, cast.production, spans_of(*(f"t{number}" for number in range(100))))
    columns = exported(bob, cast.production, asked()).column_names

    monkeypatch.setattr(shapes, "_MOST_CELLS", 4 * len(columns))
    sizes = [batch.num_rows for batch in exports.prepare(bob, cast.production, asked()).batches()]
    assert (sum(sizes), max(sizes)) == (110, 4)

    monkeypatch.setattr(exports, "MOST_COLUMNS", len(columns))
    assert exported(bob, cast.production, asked()).column_names == columns
    monkeypatch.setattr(exports, "MOST_COLUMNS", len(columns) - 1)
    with pytest.raises(TooLarge, match=f"There are {len(columns)} columns, .* ask for fewer"):
        exported(bob, cast.production, asked())
    assert exported(bob, cast.production, asked(columns=("attributes.7",))).num_rows == 110


def test_filters_see_what_was_said_later(cast: Cast) -> None:
    bob, space = cast.actor(cast.bob), cast.production
    log(bob, space, spans_of(*"abc"))
    update(bob, space, EVALUATIONS, {ID: ["c", "a"], "eval.Q.label": ["good", "bad"]})

    def passed(text: str, **more: Any) -> pa.Table:
        return exported(bob, space, asked(filter=text, **more))

    assert _ids(passed("eval.Q.label = 'good'")) == ["c"]
    assert _ids(passed("eval.Q.label is null or name = 'name a'")) == ["a", "b"]
    assert _ids(passed("name = 'nothing'")) == []
    assert passed("eval.Q.label = 'good'", columns=("name",)).column_names == ["name", "time"]
    with pytest.raises(Invalid, match='no column "nam"'):
        _ = passed("nam = 'x'")


def test_rows_are_the_same_however_they_were_logged(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    bob, space = cast.actor(cast.bob), cast.production
    names = [f"s{number}" for number in range(10)]
    for start in range(0, 10, 3):
        log(bob, space, spans_of(*names[start : start + 3]))
    update(bob, space, EVALUATIONS, {ID: names[::2], "eval.Q.score": list(range(5))})
    query = asked(filter="eval.Q.score >= 1 or name = 's1' or eval.Q.score is null")
    expected = exported(bob, space, query)

    monkeypatch.setattr(exports, "_LOOKED_UP", 2)
    monkeypatch.setattr(exports, "_MOST_ROWS", 2)

    assert exported(bob, space, query).equals(expected)
    assert expected["eval.Q.score"].to_pylist() == [None, 1, None, 2, None, 3, None, 4, None]


def test_columns_asked_for_come_with_the_time(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))
    update(bob, cast.production, EVALUATIONS, {ID: ["a"], "eval.Q.score": [1]})

    assert exported(bob, cast.production, asked(columns=("name", "eval.Q.score"))).to_pylist() == [
        {"name": "name a", "time": START, "eval.Q.score": 1}
    ]
    with pytest.raises(Invalid, match="no column “nam”"):
        exported(bob, cast.production, asked(columns=("nam",)))


def test_uploads_of_different_columns_and_types_are_one_table(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a", **{"attributes.n": [1], "attributes.only": ["x"]}))
    log(bob, cast.production, spans_of("b", **{"attributes.n": [0.5]}))

    got = exported(bob, cast.production, asked())

    assert got["attributes.n"].to_pylist() == [1.0, 0.5]
    assert got["attributes.only"].to_pylist() == ["x", None]


def test_small_batches_come_to_whoever_asks_for_them(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of(*"abcde"))

    export = exports.prepare(bob, cast.production, asked(chunk=2))

    assert [batch.num_rows for batch in export.batches()] == [2, 2, 1]


def test_nothing_found_is_an_empty_batch(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))

    export = exports.prepare(bob, cast.production, asked(filter="name = 'x'"))
    empty = exports.prepare(
        bob, cast.production, asked(start=START + timedelta(hours=2), end=START + timedelta(hours=3))
    )

    assert export.total == 0
    assert [batch.num_rows for batch in export.batches()] == [0]
    assert (empty.total, empty.schema.names) == (0, ["time"])
    assert [batch.num_rows for batch in empty.batches()] == [0]


def test_samples_keep_whole_traces_and_the_same_ones(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    ids = [f"{number:03}" for number in range(200)]
    rows = spans_of(*ids).set_column(0, "context.trace_id", pa.array([f"t{number // 2}" for number in range(200)]))
    log(bob, cast.production, rows)

    got = exported(bob, cast.production, asked(sample_rate=0.5))

    traces = got["context.trace_id"].to_pylist()
    assert 25 < len(set(traces)) < 75
    assert all(traces.count(trace) == 2 for trace in traces)
    assert got.equals(exported(bob, cast.production, asked(sample_rate=0.5)))
    assert exported(bob, cast.production, asked(sample_rate=1.0)).num_rows == 200


def test_less_than_a_second_is_an_export_of_nothing(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))

    assert exported(bob, cast.production, asked(start=START, end=START)).num_rows == 0


def test_a_query_that_makes_no_sense_is_refused(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))
    queries: list[tuple[dict[str, Any], str]] = [
        ({"end": START - timedelta(seconds=1)}, "does not end before it starts"),
        ({"chunk": 0}, "one at least"),
        ({"sample_rate": 0.0}, "more than 0"),
        ({"sample_rate": 1.5}, "at most 1"),
        ({"filter": "x ="}, "cannot be read"),
    ]

    for query, words in queries:
        with pytest.raises(Invalid, match=words):
            _ = exports.prepare(bob, cast.production, asked(**query)).total


def test_whoever_may_not_see_it_learns_nothing(cast: Cast) -> None:
    log(cast.actor(cast.bob), cast.production, spans_of("a"))

    for who in (cast.erin, cast.mallory):
        for name in ("chat", "nothing"):
            with pytest.raises(NotFound) as refused:
                exports.prepare(cast.actor(who), cast.production, asked(name))

            assert refused.value.detail == "There is no such project, or you have no access to it."


def test_whoever_reads_the_space_may_export(cast: Cast) -> None:
    log(cast.actor(cast.bob), cast.production, spans_of("a"))

    for who in (cast.alice, cast.charlie, cast.dana):
        assert _ids(exported(cast.actor(who), cast.production, asked())) == ["a"]


def test_whoever_sees_the_project_and_not_its_spans_exports_nothing(cast: Cast) -> None:
    log(cast.actor(cast.bob), cast.production, spans_of("a"))
    bind(cast.erin, cast.production, custom_role(cast.account, "sees", "SPACE_READ", "PROJECT_READ"))

    with pytest.raises(Forbidden, match="PROJECT_SPAN_READ"):
        exports.prepare(cast.actor(cast.erin), cast.production, asked())


def test_a_restricted_project_is_open_to_those_bound_to_it_alone(cast: Cast) -> None:
    log(cast.actor(cast.bob), cast.production, spans_of("a"))
    Project.objects.update(restricted_at=START)
    bind(cast.charlie, Project.objects.get(), RoleName.READ_ONLY)

    for who in (cast.alice, cast.bob, cast.dana):
        with pytest.raises(NotFound):
            exports.prepare(cast.actor(who), cast.production, asked())
    assert _ids(exported(cast.actor(cast.charlie), cast.production, asked())) == ["a"]


def _fraud(environment: Environment = Environment.PRODUCTION, **more: Any) -> exports.ExportQuery:
    return asked("fraud", environment, **more)


def test_models_come_back_as_exports_name_them(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    sent = {
        "predictionID": ["1", "2"],
        "time": [START, START + timedelta(microseconds=1)],
        "categoricalPredictionLabel": ["yes", "no"],
        "age": [1, None],
        "city__tag": ["a", "b"],
        "e__embVector": [[1.0, 2.0], None],
    }
    predict(bob, cast.production, sent)

    assert exported(bob, cast.production, _fraud()).to_pydict() == sent


def test_actuals_join_predictions_when_they_are_asked_for(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    predict(
        bob,
        cast.production,
        {"predictionID": ["1", "2", "3"], "scorePredictionLabel": [0.1, 0.2, 0.3], "scoreActualLabel": [9.0, 9.0, 9.0]},
    )
    predict(
        bob,
        cast.production,
        {
            "predictionID": ["2", "1", "x"],
            "time": [START + timedelta(days=1)] * 3,
            "scoreActualLabel": [1.0, None, 1.0],
            "late__tag": ["b", "a", "x"],
        },
        kind=Kind.ACTUALS,
    )

    joined = exported(bob, cast.production, _fraud(include_actuals=True))
    alone = exported(bob, cast.production, _fraud())

    assert joined["scoreActualLabel"].to_pylist() == [9.0, 1.0, 9.0]
    assert joined["late__tag"].to_pylist() == alone["late__tag"].to_pylist() == ["a", "b", None]
    assert joined["time"].to_pylist() == [START] * 3
    assert not ACTUAL_COLUMNS & set(alone.column_names)


def test_actuals_are_always_in_the_rows_of_training_and_validation(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    for environment in (Env.TRAINING, Env.VALIDATION):
        predict(bob, cast.production, {"predictionID": ["1"], "scoreActualLabel": [1.0]}, environment=environment)

        got = exported(bob, cast.production, _fraud(Environment(environment)))

        assert got["scoreActualLabel"].to_pylist() == [1.0]
    assert exports.prepare(bob, cast.production, _fraud()).total == 0


def test_versions_and_batches_are_told_apart(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    for number, (version, batch) in enumerate([("v1", "b1"), ("v2", "b1"), ("v2", "b2")]):
        rows = {"predictionID": [str(number)]}
        predict(bob, cast.production, rows, environment=Env.VALIDATION, version=version, batch=batch)

    def found(**more: Any) -> list[str]:
        return _ids(exported(bob, cast.production, _fraud(Environment.VALIDATION, **more)), "predictionID")

    assert found() == ["0", "1", "2"]
    assert found(model_version="v2") == ["1", "2"]
    assert found(batch_id="b1") == ["0", "1"]
    assert found(model_version="v2", batch_id="b2") == ["2"]
    with pytest.raises(Invalid, match="Only traces can be sampled"):
        found(sample_rate=0.5)


def test_times_without_a_zone_are_no_question(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    predict(bob, cast.production, {"predictionID": ["1"], "time": [datetime(2026, 1, 1, 0, 0, 1)]})

    assert exported(bob, cast.production, _fraud(filter="time > '2026-01-01'"))["time"].to_pylist() == [
        datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    ]


def test_a_time_that_no_row_can_have_is_as_good_as_the_first_or_the_last(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of(*"abc"))
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

    for start, end in ((first, START + timedelta(seconds=2)), (START + timedelta(seconds=1), last)):
        assert len(_ids(exported(bob, cast.production, asked(start=start, end=end)))) == 2
