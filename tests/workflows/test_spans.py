"""Spans: who may log and change them, what is kept, and what is said of what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from accounts.actors import Door
from accounts.audit import Tag
from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from accounts.models import AuditEvent, Project, ProjectKind
from accounts.roles import RoleName
from apikeys.errors import InvalidKey
from apikeys.lifecycle import revoke_key
from apikeys.workflows import projects, spans, tables
from apikeys.workflows.errors import TooLarge
from apikeys.workflows.models import Segment, SegmentKind, Table
from apikeys.workflows.streams import Stream, decoded_size
from tests.cast import Cast
from tests.factories import bind, custom_role, user_key
from tests.workflows.logging import START, asked, exported, log, spans_of, update

EVALUATIONS, ANNOTATIONS, METADATA = SegmentKind.EVALUATIONS, SegmentKind.ANNOTATIONS, SegmentKind.METADATA
SAID: dict[SegmentKind, dict[str, list[Any]]] = {
    EVALUATIONS: {"context.span_id": ["a"], "eval.Q.label": ["good"]},
    ANNOTATIONS: {"context.span_id": ["a"], "annotation.Q.label": ["good"]},
    METADATA: {"context.span_id": ["a"], "patch_document": ['{"x": 1}']},
}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _unread() -> Stream:
    return Stream(spans_of("a").schema, map(_fail, spans_of("a").to_batches()))


def _fail(batch: pa.RecordBatch) -> pa.RecordBatch:
    pytest.fail("The data was read before anybody asked who sends it.")


def test_spans_make_their_project_and_are_kept(cast: Cast) -> None:
    bob = cast.actor(cast.bob)

    segment = log(bob, cast.production, spans_of("a", "b"))

    project = Project.objects.get(name="chat")
    assert (project.kind, project.last_writer, segment.project) == (ProjectKind.TRACING, bob.label, project)
    assert (segment.table.rows, segment.kind, segment.environment) == (2, "ROWS", "TRACING")
    assert segment.first_at == START
    assert segment.last_at is not None
    assert (segment.last_at - START).total_seconds() == 1
    stored = tables.read(segment.table).table()
    assert stored.drop_columns("time").equals(spans_of("a", "b"))
    event = AuditEvent.objects.get(tag=Tag.PROJECT_WRITTEN)
    assert (event.target_label, event.details["rows"], event.details["kind"]) == ("chat", 2, "Rows")


def test_further_spans_go_to_the_same_project(cast: Cast) -> None:
    bob = cast.actor(cast.bob)

    log(bob, cast.production, spans_of("a"))
    log(bob, cast.production, spans_of("b"))

    assert Project.objects.get().segments.count() == 2


@pytest.mark.parametrize("is_there", [False, True])
def test_nobody_else_logs_spans(cast: Cast, tables_folder: Path, is_there: bool) -> None:
    if is_there:
        projects.create_project(cast.actor(cast.bob), cast.production, name="chat", at=START)
    strangers = [(cast.charlie, Forbidden), (cast.dana, Forbidden), (cast.erin, NotFound), (cast.mallory, NotFound)]

    for who, refusal in strangers:
        with pytest.raises(refusal):
            spans.log_spans(cast.actor(who), cast.production, project_name="chat", stream=_unread(), at=START)

    assert not Table.objects.exists()
    assert not _files(tables_folder)
    assert Project.objects.exists() is is_there


def test_a_new_project_takes_both_permissions(cast: Cast) -> None:
    only_makes = custom_role(cast.account, "makes", "SPACE_READ", "PROJECT_READ", "PROJECT_CREATE")
    only_logs = custom_role(cast.account, "logs", "SPACE_READ", "PROJECT_READ", "PROJECT_SPAN_CREATE")
    bind(cast.erin, cast.production, only_makes)
    bind(cast.mallory, cast.account, RoleName.MEMBER)
    bind(cast.mallory, cast.production, only_logs)

    for who, missing in ((cast.erin, "PROJECT_SPAN_CREATE"), (cast.mallory, "PROJECT_CREATE")):
        with pytest.raises(Forbidden, match=missing):
            log(cast.actor(who), cast.production, spans_of("a"))
    assert not Project.objects.exists()

    projects.create_project(cast.actor(cast.erin), cast.production, name="chat", at=START)
    assert log(cast.actor(cast.mallory), cast.production, spans_of("a")).table.rows == 1
    with pytest.raises(Forbidden, match="PROJECT_SPAN_CREATE"):
        log(cast.actor(cast.erin), cast.production, spans_of("a"))


def test_nobody_else_says_something_of_them(cast: Cast) -> None:
    log(cast.actor(cast.bob), cast.production, spans_of("a"))
    strangers = [(cast.charlie, Forbidden), (cast.dana, Forbidden), (cast.erin, NotFound), (cast.mallory, NotFound)]

    for kind, said in SAID.items():
        for who, refusal in strangers:
            if (who, kind) == (cast.dana, ANNOTATIONS):  # which is what annotators are for
                continue
            with pytest.raises(refusal):
                update(cast.actor(who), cast.production, kind, said)

    assert Segment.objects.exclude(kind=SegmentKind.ROWS).count() == 0
    assert update(cast.actor(cast.dana), cast.production, ANNOTATIONS, SAID[ANNOTATIONS]).updated == 1


def test_a_model_is_no_place_for_spans(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    projects.create_project(bob, cast.production, name="chat", kind=ProjectKind.ML_MODEL, at=START)

    with pytest.raises(Conflict):
        log(bob, cast.production, spans_of("a"))


def test_a_key_revoked_meanwhile_leaves_nothing(cast: Cast, tables_folder: Path) -> None:
    key = user_key(cast.bob, cast.account)
    actor = replace(cast.actor(cast.bob, Door.FLIGHT), key_id=key.key.pk, secret_id=key.key.secrets.get().pk)
    rows = spans_of("a")

    def batches() -> Any:
        yield from rows.to_batches()
        revoke_key(cast.actor(cast.bob), key.key, at=START)

    with pytest.raises(InvalidKey):
        spans.log_spans(actor, cast.production, project_name="chat", stream=Stream(rows.schema, batches()), at=START)

    assert not Project.objects.exists()
    assert not Table.objects.exists()
    assert not _files(tables_folder)


def test_rows_that_are_no_spans_leave_nothing(cast: Cast, tables_folder: Path) -> None:
    with pytest.raises(Invalid, match="context.trace_id"):
        log(cast.actor(cast.bob), cast.production, pa.table({"context.span_id": ["a"]}))

    assert not Project.objects.exists()
    assert not _files(tables_folder)


def test_ids_that_no_span_has_are_reported_and_not_kept(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))
    log(bob, cast.production, spans_of("b"))
    log(bob, cast.production, spans_of("x"), name="another")

    answer = update(
        bob,
        cast.production,
        EVALUATIONS,
        {"context.span_id": ["a", "x", "b", "x", None], "eval.Q.score": [1.0, 2.0, 3.0, 4.0, 5.0]},
    )

    assert (answer.processed, answer.updated, answer.unmatched, answer.failed) == (4, 2, ("x",), ())
    segment = Segment.objects.get(kind=EVALUATIONS)
    assert tables.read(segment.table).table().to_pydict() == {"context.span_id": ["a", "b"], "eval.Q.score": [1.0, 3.0]}
    assert segment.first_at is None


def test_where_nothing_is_known_nothing_is_kept(cast: Cast, tables_folder: Path) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))
    before = _files(tables_folder)

    answer = update(bob, cast.production, EVALUATIONS, {"context.span_id": ["x"], "eval.Q.score": [1.0]})

    assert (answer.updated, answer.unmatched) == (0, ("x",))
    assert _files(tables_folder) == before
    with pytest.raises(NotFound):
        update(bob, cast.production, EVALUATIONS, SAID[EVALUATIONS], name="another")


def test_patches_that_are_too_large_are_reported_and_not_kept(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a", "b", "c"))
    text = "x" * (spans.MOST_PATCH - len('{"a": ""}'))
    patches = [f'{{"a": "{text}"}}', f'{{"a": "{text}x"}}', None]

    answer = update(
        bob, cast.production, SegmentKind.METADATA, {"context.span_id": ["a", "b", "c"], "patch_document": patches}
    )

    assert (answer.processed, answer.updated) == (3, 1)
    assert answer.failed[0] == ("b", "A patch may have 256 KB; this one has more.")
    assert [span for span, _ in answer.failed] == ["b", "c"]

    many = {"context.span_id": ["a"] * 257, "patch_document": patches[:1] * 257}
    with pytest.raises(TooLarge, match="64 MB"):
        update(bob, cast.production, SegmentKind.METADATA, many)


def test_broken_patches_are_reported_and_not_kept(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a", "b"))

    answer = update(
        bob,
        cast.production,
        METADATA,
        {"context.span_id": ["a", "a", "b", "x"], "patch_document": ['{"n": 1}', "[1]", "{", '{"n": 2}']},
    )

    assert (answer.processed, answer.updated, answer.unmatched) == (4, 1, ("x",))
    assert [span for span, _ in answer.failed] == ["a", "b"]
    assert all(message.startswith("The patch cannot be read as a JSON object") for _, message in answer.failed)


def test_an_answer_tells_the_first_of_many_and_counts_the_others(cast: Cast) -> None:
    bob, most = cast.actor(cast.bob), spans.MOST_TOLD
    log(bob, cast.production, spans_of("a"))
    unknown = [str(number) for number in range(most + 3)]

    judged = update(
        bob, cast.production, EVALUATIONS, {"context.span_id": [*unknown, "a"], "eval.Q.score": [1.0] * (most + 4)}
    )
    broken = update(
        bob,
        cast.production,
        METADATA,
        {"context.span_id": [*unknown, "a"], "patch_document": [None] * most + ["{}"] * 4},
    )

    assert (judged.processed, judged.updated, judged.unknown) == (most + 4, 1, most + 3)
    assert judged.unmatched == tuple(unknown[:most])
    assert (broken.processed, broken.updated, broken.unknown) == (most + 4, 1, 3)
    assert [span for span, _ in broken.failed] == unknown[:most]

    patches = {"context.span_id": unknown, "patch_document": ["["] * len(unknown)}
    assert len(update(bob, cast.production, METADATA, patches).failed) == most


@pytest.mark.parametrize(
    ("kind", "columns", "says"),
    [
        (METADATA, {"context.span_id": pa.nulls(1_000_001, pa.string())}, "1000000 rows, and 20000000 values"),
        (ANNOTATIONS, {"context.span_id": pa.repeat("a", 100_001)}, "1000000 rows, and 20000000 values"),
        (METADATA, {"context.span_id": pa.array(["a" * 65 * 2**20])}, "ids of an update may have 64 MB"),
    ],
    ids=["rows", "values", "ids"],
)
def test_an_update_of_more_than_is_gone_through_at_once_is_refused(
    cast: Cast, tables_folder: Path, kind: SegmentKind, columns: dict[str, pa.Array], says: str
) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))
    before, rows = _files(tables_folder), len(columns["context.span_id"])
    names = [f"annotation.{number}.label" for number in range(200)] if kind == ANNOTATIONS else ["patch_document"]
    nothing = pa.nulls(rows, pa.null() if kind == ANNOTATIONS else pa.string())

    with pytest.raises(TooLarge, match=says):
        update(bob, cast.production, kind, columns | dict.fromkeys(names, nothing))

    assert _files(tables_folder) == before


def test_many_annotations_are_signed_in_portions(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))
    sizes: list[int] = []
    drafted = tables.drafted

    def measured(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            sizes.append(decoded_size(batch))
            yield batch

    monkeypatch.setattr(tables, "drafted", lambda stream: drafted(Stream(stream.schema, measured(stream.batches))))
    names = [f"annotation.{number}.label" for number in range(200)]

    update(
        bob,
        cast.production,
        ANNOTATIONS,
        {"context.span_id": ["a"] * 5_000} | {name: pa.nulls(5_000) for name in names},
    )

    kept = tables.read(Segment.objects.get(kind=ANNOTATIONS).table).table()
    assert (kept.num_rows, kept["annotation.7.updated_by"].unique().to_pylist()) == (5_000, [bob.label])
    assert sum(sizes) > 30 * 2**20
    assert max(sizes) < 8 * 2**20


def test_annotations_say_by_whom_and_when(cast: Cast) -> None:
    bob, dana = cast.actor(cast.bob), cast.actor(cast.dana)
    log(bob, cast.production, spans_of("a"))

    update(
        dana,
        cast.production,
        ANNOTATIONS,
        {
            "context.span_id": ["a"],
            "annotation.Q.label": ["good"],
            "annotation.R.score": [1.0],
            "annotation.R.updated_by": ["SDK"],
            "annotation.notes": [['{"text": "x"}']],
        },
    )

    (row,) = exported(bob, cast.production, asked()).to_pylist()
    assert {name: value for name, value in row.items() if name.startswith("annotation.")} == {
        "annotation.Q.label": "good",
        "annotation.Q.updated_by": dana.label,
        "annotation.Q.updated_at": int(START.timestamp() * 1000),
        "annotation.R.score": 1.0,
        "annotation.R.updated_by": "SDK",
        "annotation.R.updated_at": int(START.timestamp() * 1000),
        "annotation.notes": ['{"text": "x"}'],
    }


def test_an_update_has_only_columns_of_its_kind(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    log(bob, cast.production, spans_of("a"))

    with pytest.raises(Invalid, match="“name” is none of them"):
        update(bob, cast.production, EVALUATIONS, {"context.span_id": ["a"], "name": ["x"]})


def test_traces_go_to_all_their_projects_or_to_none(cast: Cast, tables_folder: Path) -> None:
    bob = cast.actor(cast.bob)
    projects.create_project(bob, cast.production, name="model", kind=ProjectKind.ML_MODEL, at=START)
    logged: Callable[[list[str]], object] = lambda names: spans.log_traces(  # noqa: E731 -- two calls of one line
        bob, cast.production, {name: spans_of(name) for name in names}, at=START
    )

    with pytest.raises(Conflict):
        logged(["chat", "model", "search"])
    assert (Segment.objects.count(), len(_files(tables_folder)), Project.objects.count()) == (0, 0, 1)

    logged(["chat", "search"])
    assert list(Segment.objects.order_by("pk").values_list("project__name", flat=True)) == ["chat", "search"]
