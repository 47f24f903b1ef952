"""``/v2/datasets``: what REST takes comes back as it was, Flight reads it too, and whoever may not leaves no trace."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from django.db import connection
from django.utils import timezone

from accounts.audit import Tag
from accounts.models import AuditEvent, SpaceBinding
from accounts.wire import encode_id
from apikeys.workflows import datasets, editing, tables
from apikeys.workflows.models import Dataset, DatasetKind, DatasetVersion, Table, WorkflowUse
from apikeys.workflows.streams import Stream
from tests.accounts.rest import Api
from tests.factories import bind, custom_role
from tests.workflows.storage import BROKEN, LONG, broken

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from accounts.models import User
    from tests.cast import Cast

EXAMPLES: list[dict[str, Any]] = [
    {"question": "2+2?", "answer": "4", "n": 1, "of": {"a": [1, 2], "b": None}, "any": "text", "ok": True},
    {"question": "capital?", "answer": None, "n": 2.5, "of": {"a": [], "b": "x"}, "any": {"x": 1}, "ok": False},
    {"question": "ü\n", "n": None, "any": 3},
]


@pytest.fixture
def api(cast: Cast) -> Api:
    """Ask as one of the cast."""
    return Api(cast)


def _create(api: Api, person: User, examples: Any = None, name: str = "capitals") -> tuple[int, dict[str, Any]]:
    body = {"name": name, "space_id": encode_id("Space", api.cast.production.pk), "examples": examples or EXAMPLES}
    return api(person, "POST", "/v2/datasets", body)


def _made(api: Api, examples: Any = None) -> dict[str, Any]:
    status, dataset = _create(api, api.cast.bob, examples)
    assert status == 201
    return dataset


def _examples(api: Api, address: str, person: User | None = None) -> list[dict[str, Any]]:
    status, page = api(person or api.cast.bob, "GET", f"{address}/examples")
    assert status == 200, page
    found: list[dict[str, Any]] = page["examples"]
    return found


def _own(example: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in example.items() if name not in ("id", "created_at", "updated_at")}


def _flight(api: Api, *batches: pa.RecordBatch, name: str = "flown") -> str:
    """Make a dataset as Flight does; return its address."""
    stream = Stream(batches[0].schema, iter(batches))
    bob = api.cast.actor(api.cast.bob)
    version = datasets.create_dataset(
        bob, api.cast.production, name=name, kind=DatasetKind.GENERATIVE, stream=stream, at=timezone.now()
    )
    return f"/v2/datasets/{version.dataset.wire_id}"


def test_examples_come_back_as_they_were(api: Api) -> None:
    dataset = _made(api)

    assert set(dataset) == {"id", "name", "space_id", "created_at", "updated_at", "versions"}
    assert [version["name"] for version in dataset["versions"]] == ["v1"]
    found = _examples(api, f"/v2/datasets/{dataset['id']}")
    assert [_own(example) for example in found] == [
        EXAMPLES[0],
        EXAMPLES[1],
        {"question": "ü\n", "answer": None, "n": None, "of": None, "any": 3, "ok": None},
    ]
    assert len({example["id"] for example in found}) == 3
    assert all(example["created_at"] == example["updated_at"] for example in found)
    assert found[0]["created_at"].endswith("Z")


def test_flight_reads_what_rest_wrote(api: Api) -> None:
    _made(api)

    table = tables.read(Table.objects.get()).table()

    assert table.column_names[:3] == ["id", "created_at", "updated_at"]
    assert table.schema.field("created_at").type == pa.int64()
    assert table.column("n").to_pylist() == [1.0, 2.5, None]
    assert table.column("of").to_pylist() == [{"a": [1, 2], "b": None}, {"a": [], "b": "x"}, None]
    assert table.column("any").to_pylist() == ["text", '{"x": 1}', "3"]


def test_rest_reads_what_flight_wrote(api: Api) -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "id": [7, 8],
            "created_at": [1_700_000_000_000, None],
            "score": [float("nan"), 1.5],
            "at": pa.array([0, None], pa.timestamp("us", "UTC")),
            "size": pa.array(["s", "s"]).dictionary_encode(),
            "input": ['{"a": 1}', None],
        }
    )
    address = _flight(api, batch)

    first, second = _examples(api, address)

    assert first == {
        "id": "7",
        "created_at": "2023-11-14T22:13:20Z",
        "updated_at": None,
        "score": None,
        "at": "1970-01-01T00:00:00.000000Z",
        "size": "s",
        "input": '{"a": 1}',
    }
    assert (second["id"], second["created_at"], second["score"]) == ("8", None, 1.5)


@pytest.mark.parametrize(
    "examples",
    [
        [],
        [{}],
        [{"a": 1}, {}],
        [{"id": "1", "a": 1}],
        [{"created_at": 1}],
        [{"updated_at": 1}],
        [{"annotations": []}],
        [{"": 1}],
        ["text"],
        [{"a": 1}] * 1001,
        [{"a": "\ud800"}],
        "text",
    ],
    ids=str,
)
def test_what_is_no_example_is_refused_and_nothing_is_kept(api: Api, examples: Any, tables_folder: Path) -> None:
    body = {"name": "d", "space_id": encode_id("Space", api.cast.production.pk), "examples": examples}

    assert api(api.cast.bob, "POST", "/v2/datasets", body)[0] == 400

    assert not Dataset.objects.exists()
    assert not Table.objects.exists()
    assert not list(tables_folder.rglob("*.parquet"))


def test_a_thousand_examples_and_eight_megabytes_go_in_one_body(api: Api) -> None:
    dataset = _made(api, [{"text": "x" * 8_000, "n": number} for number in range(1000)])

    status, page = api(api.cast.bob, "GET", f"/v2/datasets/{dataset['id']}/examples?limit=500")

    assert (status, len(page["examples"]), page["examples"][499]["n"]) == (200, 500, 499)


def test_bodies_are_bounded_here_and_smaller_elsewhere(api: Api) -> None:
    nine = {"name": "x" * (9 * 2**20)}
    three = {"name": "x" * (3 * 2**20)}
    address = f"/v2/datasets/{_made(api)['id']}"

    assert api(api.cast.bob, "POST", "/v2/datasets", nine)[0] == 413
    assert api(api.cast.bob, "POST", "/v2/datasets", three)[0] == 400
    assert api(api.cast.bob, "PATCH", address, three)[0] == 413


def test_a_large_body_is_told_apart_from_another_under_one_idempotency_key(api: Api) -> None:
    space = encode_id("Space", api.cast.production.pk)
    one = {"name": "big", "space_id": space, "examples": [{"text": "a" * 3_000_000}]}
    other = {"name": "big", "space_id": space, "examples": [{"text": "b" * 3_000_000}]}
    header = {"idempotency-key": "once"}

    first = api(api.cast.bob, "POST", "/v2/datasets", one, **header)
    again = api(api.cast.bob, "POST", "/v2/datasets", one, **header)

    assert first == again
    assert first[0] == 201
    assert api(api.cast.bob, "POST", "/v2/datasets", other, **header)[0] == 422
    assert Dataset.objects.count() == 1


def test_names_are_unique_in_a_space(api: Api) -> None:
    dataset = _made(api)

    assert _create(api, api.cast.bob)[0] == 409
    assert _create(api, api.cast.bob, name="other")[0] == 201
    assert api(api.cast.bob, "PATCH", f"/v2/datasets/{dataset['id']}", {"name": "other"})[0] == 409
    status, renamed = api(api.cast.bob, "PATCH", f"/v2/datasets/{dataset['id']}", {"name": "cities"})
    assert (status, renamed["name"]) == (200, "cities")
    assert renamed["updated_at"][:19] != dataset["updated_at"][:19]
    assert Table.objects.count() == 2


def test_lists_are_narrowed_down_and_paged(api: Api, cast: Cast) -> None:
    for name in ("b", "Ab", "c"):
        assert _create(api, cast.bob, name=name)[0] == 201
    staging = {"name": "ab", "space_id": encode_id("Space", cast.staging.pk), "examples": [{"a": 1}]}
    assert api(cast.bob, "POST", "/v2/datasets", staging)[0] == 201

    def names(query: str, person: User = cast.bob) -> list[str]:
        status, page = api(person, "GET", f"/v2/datasets?{query}")
        assert status == 200, page
        assert all("versions" not in one for one in page["datasets"])
        return [one["name"] for one in page["datasets"]]

    assert names("") == ["ab", "c", "Ab", "b"]
    assert names("name=B") == ["ab", "Ab", "b"]
    assert names("space_name=STAG") == ["ab"]
    assert names(f"space_id={encode_id('Space', cast.production.pk)}&name=b") == ["Ab", "b"]
    assert names("", cast.erin) == []
    assert api(cast.erin, "GET", f"/v2/datasets?space_id={encode_id('Space', cast.vision_lab.pk)}")[0] == 200
    assert api(cast.bob, "GET", f"/v2/datasets?space_id={encode_id('Space', cast.vision_lab.pk)}")[0] == 404
    status, page = api(cast.bob, "GET", "/v2/datasets?limit=3")
    assert page["pagination"]["has_more"]
    assert names(f"limit=3&cursor={page['pagination']['next_cursor']}") == ["b"]


def test_examples_are_paged_without_missing_or_repeating_any(api: Api) -> None:
    batches = [pa.RecordBatch.from_pydict({"id": [str(n) for n in range(s, s + 700)]}) for s in range(0, 2100, 700)]
    address = _flight(api, *batches)
    found: list[str] = []
    cursor = ""

    for _ in range(10):
        status, page = api(api.cast.bob, "GET", f"{address}/examples?limit=500&cursor={cursor}")
        assert status == 200
        found += [example["id"] for example in page["examples"]]
        if not page["pagination"]["has_more"]:
            break
        cursor = page["pagination"]["next_cursor"]

    assert found == [str(number) for number in range(2100)]
    assert "next_cursor" not in page["pagination"]
    assert api(api.cast.bob, "GET", f"{address}/examples?limit=501")[0] == 400
    assert api(api.cast.bob, "GET", f"{address}/examples?cursor=YWZ0ZXI6MQ")[0] == 400


def test_search_finds_what_passes_and_pages_through_it(api: Api) -> None:
    batch = pa.RecordBatch.from_pydict({"id": list(range(100)), "topic": ["a", "b"] * 50, "a.b": list(range(100))})
    address = _flight(api, batch)

    def search(**body: Any) -> tuple[list[str], str | None]:
        status, page = api(api.cast.bob, "POST", f"{address}/examples/search", body)
        assert status == 200, page
        return [one["id"] for one in page["examples"]], page["pagination"].get("next_cursor")

    first, cursor = search(filter="topic = 'a' and a.b >= 10", limit=30)
    rest, end = search(filter="topic = 'a' and a.b >= 10", limit=30, cursor=cursor)

    assert first + rest == [str(number) for number in range(10, 100, 2)]
    assert (len(first), end) == (30, None)
    assert search(filter="id in ('3', '5')") == (["3", "5"], None)
    assert len(search()[0]) == 50


@pytest.mark.parametrize(
    ("condition", "status"), [("", 400), ("  ", 400), ("nowhere = 1", 422), ("topic = ", 422), ("1; select 1", 422)]
)
def test_search_refuses_what_is_no_condition(api: Api, condition: str, status: int) -> None:
    address = f"/v2/datasets/{_made(api)['id']}"

    assert api(api.cast.bob, "POST", f"{address}/examples/search", {"filter": condition})[0] == status


def test_examples_are_added_in_place(api: Api) -> None:
    dataset = _made(api)
    address = f"/v2/datasets/{dataset['id']}"
    before = Table.objects.get()

    status, written = api(api.cast.bob, "POST", f"{address}/examples?dataset_version_id=", {"examples": [{"new": [1]}]})

    assert status == 201
    assert written["dataset_version_id"] == dataset["versions"][0]["id"]
    assert written["updated_at"][:19] != dataset["updated_at"][:19]
    found = _examples(api, address)
    assert [example["id"] for example in found][3:] == written["example_ids"]
    assert [_own(example) for example in found[:1]] == [{**EXAMPLES[0], "new": None}]
    assert found[3]["new"] == [1]
    assert Table.objects.get() != before
    assert DatasetVersion.objects.count() == 1


def test_examples_are_changed_in_place_or_in_a_new_version(api: Api) -> None:
    dataset = _made(api)
    address = f"/v2/datasets/{dataset['id']}"
    first, second, _ = _examples(api, address)

    body = {"examples": [{"id": second["id"], "answer": "Madrid", "n": "many"}, {"id": "nobody", "answer": "x"}]}
    status, written = api(api.cast.bob, "PATCH", f"{address}/examples?dataset_version_id=", body)
    assert (status, written["example_ids"]) == (200, [second["id"]])
    changed = _examples(api, address)
    assert changed[0] == first
    assert _own(changed[1]) == {**EXAMPLES[1], "answer": "Madrid", "n": "many"}
    assert changed[1]["created_at"] == second["created_at"]
    assert changed[1]["updated_at"] > second["updated_at"]

    newer: dict[str, Any] = {"examples": [{"id": first["id"], "answer": "four"}], "new_version": "words"}
    status, written = api(api.cast.bob, "PATCH", f"{address}/examples", newer)
    assert (status, written["example_ids"]) == (200, [first["id"]])
    assert api(api.cast.bob, "PATCH", f"{address}/examples", newer)[0] == 409
    old = dataset["versions"][0]["id"]
    assert [example["answer"] for example in _examples(api, address)] == ["four", "Madrid", None]
    status, page = api(api.cast.bob, "GET", f"{address}/examples?dataset_version_id={old.replace('=', '%3D')}")
    assert [example["answer"] for example in page["examples"]] == ["4", "Madrid", None]
    status, read = api(api.cast.bob, "GET", address)
    assert [version["name"] for version in read["versions"]] == ["words", "v1"]
    assert read["versions"][0]["id"] == written["dataset_version_id"]


@pytest.mark.parametrize(
    "examples",
    [[{"answer": "x"}], [{"id": ""}], [{"id": 3}], [{"id": "a", "created_at": 1}], [{"id": "a"}, {"id": "a"}], []],
    ids=str,
)
def test_changes_that_name_no_example_are_refused(api: Api, examples: Any) -> None:
    address = f"/v2/datasets/{_made(api)['id']}/examples"

    assert api(api.cast.bob, "PATCH", address, {"examples": examples})[0] == 400


def test_examples_are_removed_and_it_can_be_asked_twice(api: Api) -> None:
    dataset = _made(api)
    address = f"/v2/datasets/{dataset['id']}"
    ids = [example["id"] for example in _examples(api, address)]
    body = {"dataset_version_id": dataset["versions"][0]["id"], "example_ids": [ids[1], "nobody"]}

    first = api(api.cast.bob, "DELETE", f"{address}/examples", body)
    again = api(api.cast.bob, "DELETE", f"{address}/examples", body)

    assert first == (
        200,
        {"completed": True, "deleted_example_ids": [ids[1]], "not_deleted_example_ids": ["nobody"]},
    )
    assert again[1]["not_deleted_example_ids"] == [ids[1], "nobody"]
    assert [example["id"] for example in _examples(api, address)] == [ids[0], ids[2]]
    assert api(api.cast.bob, "DELETE", f"{address}/examples", {**body, "example_ids": ["a", "a"]})[0] == 400
    assert api(api.cast.bob, "DELETE", f"{address}/examples", {"example_ids": ["a"]})[0] == 400


def test_annotations_are_laid_over_examples_and_can_be_searched(api: Api, cast: Cast) -> None:
    dataset = _made(api)
    address = f"/v2/datasets/{dataset['id']}"
    first = _examples(api, address)[0]["id"]

    def annotate(person: User, record: str, **value: Any) -> int:
        body = {"annotations": [{"record_id": record, "values": [{"name": "correct", **value}]}]}
        return api(person, "POST", f"{address}/examples/annotate", body)[0]

    assert annotate(cast.dana, first, label="yes", score=0.5) == 202
    assert annotate(cast.bob, first, score=1, text="sure") == 202
    assert annotate(cast.bob, "nobody", label="no") == 202
    assert annotate(cast.bob, first, score="1") == 400

    example = _examples(api, address)[0]
    (said,) = example["annotations"]
    assert (said["name"], said["label"], said["score"], said["text"]) == ("correct", "yes", 1, "sure")
    assert said["annotator"] == {"email": "bob@example.com"}
    assert _own(example) == {**EXAMPLES[0], "annotations": [said]}
    assert "annotations" not in _examples(api, address)[1]
    _, page = api(cast.bob, "POST", f"{address}/examples/search", {"filter": "annotation.correct.label = 'yes'"})
    assert [one["id"] for one in page["examples"]] == [first]
    assert AuditEvent.objects.filter(tag=Tag.DATASET_ANNOTATED, outcome="SUCCEEDED").count() == 2


WRITES: list[tuple[str, str, Any, str]] = [
    ("PATCH", "", {"name": "x"}, "DATASET_UPDATE"),
    ("DELETE", "", None, "DATASET_DELETE"),
    ("POST", "/examples", {"examples": [{"a": 1}]}, "DATASET_EXAMPLE_CREATE"),
    ("PATCH", "/examples", {"examples": [{"id": "a", "b": 1}]}, "DATASET_EXAMPLE_UPDATE"),
    ("DELETE", "/examples", {"dataset_version_id": "VERSION", "example_ids": ["a"]}, "DATASET_EXAMPLE_DELETE"),
    (
        "POST",
        "/examples/annotate",
        {"annotations": [{"record_id": "a", "values": [{"name": "n", "label": "l"}]}]},
        "DATASET_EXAMPLE_ANNOTATE",
    ),
]


@pytest.mark.parametrize(("method", "rest", "body", "permission"), WRITES)
def test_readers_read_only_and_strangers_see_nothing(
    api: Api, cast: Cast, method: str, rest: str, body: Any, permission: str
) -> None:
    dataset = _made(api)
    body = json.loads(json.dumps(body).replace("VERSION", dataset["versions"][0]["id"]))
    before = list(Table.objects.values_list("pk", flat=True))
    address = f"/v2/datasets/{dataset['id']}"

    status, refusal = api(cast.charlie, method, f"{address}{rest}", body)

    assert status == 403, refusal
    assert api(cast.charlie, method, f"{address}{rest}", body and {"wrong": 1})[0] == 403  # whatever it holds
    assert api(cast.erin, method, f"{address}{rest}", body)[0] == 404
    nowhere = f"/v2/datasets/{encode_id('Dataset', 10**9)}{rest}"
    strange = [api(person, method, f"{address}{rest}", body) for person in (cast.erin, cast.mallory)]
    assert all(
        {**answer, "instance": ""} == {**api(cast.erin, method, nowhere, body)[1], "instance": ""}
        for _, answer in strange
    )
    assert api(cast.charlie, "GET", address)[0] == 200
    assert len(_examples(api, address, cast.charlie)) == 3
    assert list(Table.objects.values_list("pk", flat=True)) == before


@pytest.mark.parametrize(("method", "rest", "body", "permission"), WRITES)
def test_each_write_takes_its_own_permission(
    api: Api, cast: Cast, method: str, rest: str, body: Any, permission: str
) -> None:
    dataset = _made(api)
    body = json.loads(json.dumps(body).replace("VERSION", dataset["versions"][0]["id"]))
    SpaceBinding.objects.filter(user=cast.erin).delete()
    others = [one for _, _, _, one in WRITES if one not in (permission, "DATASET_UPDATE")]
    update = [] if permission in ("DATASET_DELETE", "DATASET_EXAMPLE_ANNOTATE") else ["DATASET_UPDATE"]
    seen = ["SPACE_READ", "DATASET_READ"]
    bind(cast.erin, cast.fraud, "READ_ONLY")
    without = custom_role(cast.account, "without", *seen, *others, *[] if permission == "DATASET_UPDATE" else update)
    bind(cast.erin, cast.production, without)
    address = f"/v2/datasets/{dataset['id']}{rest}"

    assert api(cast.erin, method, address, body)[0] == 403

    SpaceBinding.objects.filter(user=cast.erin).delete()
    bind(cast.erin, cast.production, custom_role(cast.account, "with", *seen, permission, *update))
    assert api(cast.erin, method, address, body)[0] < 300


def test_deleting_takes_files_along(api: Api, tables_folder: Path, django_capture_on_commit_callbacks: Any) -> None:
    dataset = _made(api)
    assert list(tables_folder.rglob("*.parquet"))

    with django_capture_on_commit_callbacks(execute=True):
        assert api(api.cast.bob, "DELETE", f"/v2/datasets/{dataset['id']}")[0] == 204

    assert not Table.objects.exists()
    assert not list(tables_folder.rglob("*.parquet"))


@pytest.mark.parametrize("how", BROKEN)
def test_what_cannot_be_stored_is_a_503_and_leaves_nothing(api: Api, tables_folder: Path, how: str) -> None:
    api.raises = False  # what is logged as an error
    with broken(tables_folder, how):
        status, problem = _create(api, api.cast.bob, [{"city": LONG}])

    assert (status, problem["error_code"]) == (503, "storage_unavailable")
    assert str(tables_folder) not in json.dumps(problem)
    assert not Dataset.objects.exists()
    assert not Table.objects.exists()
    assert not list(tables_folder.rglob("*.parquet"))
    assert _create(api, api.cast.bob)[0] == 201


def test_use_is_counted_by_workflow(api: Api) -> None:
    dataset = _made(api)
    _examples(api, f"/v2/datasets/{dataset['id']}")

    assert dict(WorkflowUse.objects.values_list("workflow", "uses")) == {"dataset.write": 1, "dataset.read": 1}


def test_properties_that_only_some_have_are_not_made_for_all_without_end(api: Api) -> None:
    address = f"/v2/datasets/{_made(api)['id']}/examples"
    for each, words in ((6, "6000 columns"), (3, "1000 of these with 3000 different properties")):
        sparse = [{f"{n} {m}": 1 for m in range(each)} for n in range(1_000)]
        for status, problem in (
            _create(api, api.cast.bob, sparse, "x"),
            api(api.cast.bob, "POST", address, {"examples": sparse}),
        ):
            assert (status, problem["error_code"]) == (400, "too_large")
            assert words in problem["detail"]
    assert Table.objects.count() == 1


def test_properties_that_are_new_are_not_made_for_many_rows_without_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "_MOST_NEW_CELLS", 30)
    address = f"/v2/datasets/{_made(api)['id']}/examples"
    body = {"examples": [{f"new {n}": n for n in range(11)}]}
    status, problem = api(api.cast.bob, "POST", address, body)
    assert (status, problem["error_code"]) == (400, "too_large")
    assert "Each of 3 rows would have 11 properties more" in problem["detail"]

    body["examples"][0].pop("new 1")
    assert api(api.cast.bob, "POST", address, body)[0] == 201


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let something be done in the last moment before the next table is written."""
    drafted = tables.drafted

    def do(job: Callable[[], object]) -> None:
        """Do it once."""

        def hasty(stream: Stream) -> Any:
            monkeypatch.setattr(tables, "drafted", drafted)
            job()
            return drafted(stream)

        monkeypatch.setattr(tables, "drafted", hasty)

    return do


def test_a_version_made_of_another_has_what_was_added_to_that_meanwhile(
    api: Api, first: Callable[[Callable[[], object]], None]
) -> None:
    address = f"/v2/datasets/{_made(api)['id']}"
    one = _examples(api, address)[0]["id"]
    first(lambda: api(api.cast.bob, "POST", f"{address}/examples", {"examples": [{"n": 7}]}))

    body = {"examples": [{"id": one, "n": 5}], "new_version": "better"}
    status, answer = api(api.cast.bob, "PATCH", f"{address}/examples", body)

    assert status == 200, answer
    assert [example["n"] for example in _examples(api, address)] == [5, 2.5, None, 7]


def test_what_is_added_to_the_latest_version_is_in_that_which_there_is_then(
    api: Api, first: Callable[[Callable[[], object]], None]
) -> None:
    address = f"/v2/datasets/{_made(api)['id']}"
    one = _examples(api, address)[0]["id"]
    body = {"examples": [{"id": one, "n": 5}], "new_version": "better"}
    first(lambda: api(api.cast.bob, "PATCH", f"{address}/examples", body))

    status, answer = api(api.cast.bob, "POST", f"{address}/examples", {"examples": [{"n": 7}]})

    assert status == 201, answer
    latest = DatasetVersion.objects.order_by("-number")[0]
    assert (latest.name, answer["dataset_version_id"]) == ("better", latest.wire_id)
    assert [example["n"] for example in _examples(api, address)] == [5, 2.5, None, 7]


def test_a_table_that_was_replaced_before_it_was_read_is_no_failing_disk(
    api: Api, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    address = f"/v2/datasets/{_made(api)['id']}"
    one = _examples(api, address)[0]["id"]
    read = tables.read

    def late(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(tables, "read", read)
        with django_capture_on_commit_callbacks(execute=True):  # the file goes with its row
            assert api(api.cast.bob, "POST", f"{address}/examples", {"examples": [{"n": 7}]})[0] == 201
        return read(*args, **options)

    for body in ({"examples": [{"id": one, "n": 5}]}, {"examples": [{"id": one, "n": 6}], "new_version": "better"}):
        monkeypatch.setattr(tables, "read", late)
        status, answer = api(api.cast.bob, "PATCH", f"{address}/examples", body)
        assert status == 200, answer

    assert [example["n"] for example in _examples(api, address)] == [6, 2.5, None, 7, 7]


@pytest.mark.django_db(transaction=True)
def test_nothing_that_several_add_at_once_is_lost(api: Api, cast: Cast) -> None:
    address = f"/v2/datasets/{_made(api)['id']}/examples"
    api.key_of(cast.bob)

    def add(number: int) -> None:
        """Add a row, and again as long as others were faster."""
        try:
            for _ in range(50):
                status, answer = api(cast.bob, "POST", address, {"examples": [{"n": number}]})
                if status != 409:
                    break
            assert status == 201, answer
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(add, range(10, 16)))

    kept = [example["n"] for example in _examples(api, address.removesuffix("/examples"))][3:]
    assert sorted(kept) == list(range(10, 16))
    assert Table.objects.count() == 1
