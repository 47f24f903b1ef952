"""``/v2/spans``: later ones first, page by page, with what was said of them; and nobody reads who may not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from django.utils import timezone

from accounts.models import Project
from accounts.wire import encode_id
from apikeys.workflows import listing, spans
from apikeys.workflows.models import Segment
from apikeys.workflows.streams import Stream
from tests.accounts.rest import Api

if TYPE_CHECKING:
    from tests.cast import Cast

NOW = timezone.now().replace(microsecond=0)
BEGAN = int(NOW.timestamp()) * 10**9


@pytest.fixture
def api(cast: Cast) -> Api:
    """Ask as one of the cast."""
    return Api(cast)


@pytest.fixture
def project(api: Api) -> str:
    """The id of a project with ten spans, one a minute, the last of them now."""
    numbers = range(10)
    batch = pa.RecordBatch.from_pydict(
        {
            "context.trace_id": [f"t{n}" for n in numbers],
            "context.span_id": [f"s{n}" for n in numbers],
            "parent_id": [None if n else "root" for n in numbers],
            "name": [f"step {n}" for n in numbers],
            "start_time": [BEGAN - (9 - n) * 60 * 10**9 for n in numbers],
            "end_time": [BEGAN - (9 - n) * 60 * 10**9 + 1_500 for n in numbers],
            "time": pa.array([NOW - timedelta(minutes=9 - n) for n in numbers], pa.timestamp("ns", "UTC")),
            "status_code": ["ERROR" if n == 3 else "OK" for n in numbers],
            "attributes.openinference.span.kind": ["LLM" for _ in numbers],
            "attributes.input.value": [f"question {n}" for n in numbers],
            "eval.right.score": [n / 10 for n in numbers],
            "events": [['{"name": "token", "timestamp": "2026-01-01T00:00:00Z", "attributes": {"n": 1}}']] * 10,
        }
    )
    bob = api.cast.actor(api.cast.bob)
    stream = Stream(batch.schema, iter([batch]))
    spans.log_spans(bob, api.cast.production, project_name="chat", stream=stream, at=NOW)
    return encode_id("Project", Project.objects.get().pk)


def _list(api: Api, project: str, query: str = "", person: Any = None, **body: Any) -> tuple[int, dict[str, Any]]:
    return api(person or api.cast.bob, "POST", f"/v2/spans?{query}", {"project_id": project, **body})


def _ids(page: dict[str, Any]) -> list[str]:
    return [span["context"]["span_id"] for span in page["spans"]]


def test_spans_come_later_ones_first_and_page_by_page(api: Api, project: str) -> None:
    status, first = _list(api, project, "limit=4")
    assert (status, _ids(first)) == (200, ["s9", "s8", "s7", "s6"])
    _, second = _list(api, project, f"limit=4&cursor={first['pagination']['next_cursor']}")
    _, third = _list(api, project, f"limit=4&cursor={second['pagination']['next_cursor']}")

    assert _ids(second) + _ids(third) == ["s5", "s4", "s3", "s2", "s1", "s0"]
    assert third["pagination"] == {"has_more": False}
    assert _list(api, project, "cursor=YWZ0ZXI6MQ")[0] == 400


def test_a_span_has_what_was_logged_of_it(api: Api, project: str) -> None:
    _, page = _list(api, project, "limit=1")

    (span,) = page["spans"]
    assert span == {
        "name": "step 9",
        "context": {"trace_id": "t9", "span_id": "s9"},
        "kind": "LLM",
        "parent_id": None,
        "start_time": span["start_time"],
        "end_time": span["end_time"],
        "status_code": "OK",
        "status_message": None,
        "attributes": {"openinference.span.kind": "LLM", "input.value": "question 9"},
        "annotations": [],
        "evaluations": [{"name": "right", "score": 0.9}],
        "events": [{"name": "token", "timestamp": "2026-01-01T00:00:00Z", "attributes": {"n": 1}}],
    }
    assert span["start_time"] == f"{NOW:%Y-%m-%dT%H:%M:%S}Z"


def test_spans_are_narrowed_down(api: Api, project: str) -> None:
    def moment(minutes: int) -> str:
        return (NOW - timedelta(minutes=minutes)).isoformat()

    assert _ids(_list(api, project, filter="status_code = 'ERROR'")[1]) == ["s3"]
    assert _ids(_list(api, project, start_time=moment(3), end_time=moment(1))[1]) == ["s8", "s7", "s6"]
    assert _list(api, project, filter="nowhere = 1")[0] == 422
    assert _list(api, project, filter=" ")[0] == 400
    assert _list(api, project, start_time=moment(1), end_time=moment(3))[0] == 422
    chosen = _list(api, project, "limit=1", included_columns=["attributes.input.value"], truncate_string_length=3)[1]
    assert chosen["spans"][0]["attributes"] == {"input.value": "que"}
    assert chosen["spans"][0]["evaluations"] == []
    left = _list(api, project, "limit=1", excluded_columns=["attributes.input.value"])[1]
    assert left["spans"][0]["attributes"] == {"openinference.span.kind": "LLM"}
    assert _list(api, project, included_columns=["a"], excluded_columns=["b"])[0] == 422


def test_spans_are_annotated_all_or_none(api: Api, cast: Cast, project: str) -> None:
    def annotate(person: Any, *ids: str, **value: Any) -> int:
        said = [{"record_id": one, "values": [{"name": "correct", **value}]} for one in ids]
        return api(person, "POST", "/v2/spans/annotate", {"project_id": project, "annotations": said})[0]

    assert annotate(cast.dana, "s9", "s8", label="yes", score=1) == 202
    assert annotate(cast.bob, "s9", text="sure") == 202
    assert annotate(cast.bob, "s7", "nobody", label="yes") == 404
    assert annotate(cast.charlie, "s7", label="yes") == 403
    assert annotate(cast.erin, "s7", label="yes") == 404

    first, second, third = _list(api, project, "limit=3")[1]["spans"]
    (said,) = first["annotations"]
    assert (said["name"], said["label"], said["score"], said["text"]) == ("correct", "yes", 1, "sure")
    assert said["annotator"] == {"email": "bob@example.com"}
    assert second["annotations"][0]["annotator"] == {"email": "dana@example.com"}
    assert third["annotations"] == []
    assert Segment.objects.count() == 3


def test_only_what_a_page_has_is_taken_out_of_its_columns(
    api: Api, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, row_of = list[int](), listing._row

    def take(batch: pa.RecordBatch, place: int) -> dict[str, Any]:
        taken.append(place)
        return row_of(batch, place)

    monkeypatch.setattr(listing, "_row", take)

    _, page = _list(api, project, "limit=2")

    assert _ids(page) == ["s9", "s8"]
    assert len(taken) == 3  # and one more, to know whether there is another page


def test_more_names_than_columns_may_be_are_not_written(api: Api, project: str) -> None:
    records = [
        {"record_id": f"s{n}", "values": [{"name": f"{n} {m}", "score": 1} for m in range(100)]} for n in range(10)
    ]
    body = {"project_id": project, "annotations": records}
    assert api(api.cast.bob, "POST", "/v2/spans/annotate", body)[0] == 202

    records += [{"record_id": "s1", "values": [{"name": "one more", "score": 1}]}]
    status, problem = api(api.cast.bob, "POST", "/v2/spans/annotate", body)

    assert (status, problem["error_code"]) == (400, "too_large")
    assert Segment.objects.count() == 2


def test_whoever_may_not_reads_none(api: Api, cast: Cast, project: str) -> None:
    assert _list(api, project, person=cast.charlie)[0] == 200
    nowhere = encode_id("Project", 10**9)
    answers = [_list(api, where, person=cast.erin) for where in (project, nowhere)]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    Project.objects.update(restricted_at=NOW)
    assert _list(api, project)[0] == 404


def test_spans_whose_times_came_in_different_types_are_one_list(api: Api, project: str) -> None:
    """Some clients send nanoseconds as numbers, others moments: together they would be texts."""
    batch = pa.RecordBatch.from_pydict(
        {
            "context.trace_id": ["t"],
            "context.span_id": ["later"],
            "start_time": pa.array([NOW + timedelta(seconds=1)], pa.timestamp("us", "UTC")),
            "end_time": pa.array([NOW + timedelta(seconds=2)], pa.timestamp("us", "UTC")),
        }
    )
    stream = Stream(batch.schema, iter([batch]))
    spans.log_spans(api.cast.actor(api.cast.bob), api.cast.production, project_name="chat", stream=stream, at=NOW)

    end = (NOW + timedelta(minutes=1)).isoformat()
    status, page = _list(api, project, "limit=2", end_time=end)

    assert (status, _ids(page)) == (200, ["later", "s9"])
