"""Data over GraphQL: each permission shows its own, what is restricted stays hidden, and many cost what one costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.roles import RoleName
from accounts.wire import encode_id
from tests.asking import Asker, asker, names, nodes
from tests.cast import Cast
from tests.factories import PersonFactory, bind, custom_role
from tests.workflows.rows import dataset, experiment, project

pytestmark = pytest.mark.django_db

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "workflows" / "prompts.md"
LISTS = ("projects", "models", "datasets", "experiments", "prompts")


def _space(asking: Asker, cast: Cast, fields: str) -> Any:
    document = f"query ($id: ID!) {{ node(id: $id) {{ ... on Space {{ {fields} }} }} }}"
    return asking.data(document, id=encode_id("Space", cast.production.pk))["node"]


def _node(asking: Asker, kind: str, number: int, fields: str = "id") -> Any:
    document = f"query ($id: ID!) {{ node(id: $id) {{ ... on {kind} {{ {fields} }} }} }}"
    return asking.data(document, id=encode_id(kind, number))["node"]


def _custom(cast: Cast, *permissions: str) -> Asker:
    """Return somebody with a custom role in production alone, which permits these and the space itself."""
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    bind(person, cast.production, custom_role(cast.account, "reader", "SPACE_READ", *permissions))
    return asker(person)


def test_a_space_lists_what_lies_in_it(cast: Cast) -> None:
    old, new = dataset(cast.production, "golden", versions=2), dataset(cast.production, "silver")
    traces = project(cast.production, "chat")
    project(cast.production, "fraud", kind="ML_MODEL")
    ran = experiment(old, "baseline", project=traces)
    dataset(cast.staging, "elsewhere")

    space = _space(
        asker(cast.charlie),
        cast,
        """
        projects { edges { node { name modelType isRestricted lastWriter } } }
        datasets(first: 9) {
          edges { node {
            id name datasetType
            versions(first: 9) { edges { node { name } } }
            experiments(first: 9) { edges { node { name } } }
          } }
        }
        experiments { edges { node { id name dataset { name } tracesProject { id } } } }
        """,
    )

    assert nodes(space["projects"]) == [
        {"name": "fraud", "modelType": "mlModel", "isRestricted": False, "lastWriter": "Bob Baker"},
        {"name": "chat", "modelType": "tracing", "isRestricted": False, "lastWriter": "Bob Baker"},
    ]
    assert [(one["id"], one["name"], one["datasetType"]) for one in nodes(space["datasets"])] == [
        (new.wire_id, "silver", "generative"),
        (old.wire_id, "golden", "generative"),
    ]
    assert [names(one["versions"]) for one in nodes(space["datasets"])] == [["v1"], ["v2", "v1"]]
    assert [names(one["experiments"]) for one in nodes(space["datasets"])] == [[], ["baseline"]]
    assert nodes(space["experiments"]) == [
        {
            "id": ran.wire_id,
            "name": "baseline",
            "dataset": {"name": "golden"},
            "tracesProject": {"id": encode_id("Model", traces.pk)},
        }
    ]


def test_what_the_page_about_prompts_asks_is_answered(cast: Cast) -> None:
    (document,) = re.findall(r"^```graphql\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    golden = dataset(cast.production, "golden")
    fraud = project(cast.production, "fraud", kind="ML_MODEL")

    space = asker(cast.charlie).data(document, id=encode_id("Space", cast.production.pk))["node"]

    version = {"id": golden.versions.get().wire_id, "name": "v1"}
    assert nodes(space["datasets"]) == [
        {"id": golden.wire_id, "name": "golden", "lastWriter": "Bob Baker", "versions": {"edges": [{"node": version}]}}
    ]
    assert nodes(space["models"]) == [{"id": encode_id("Model", fraud.pk), "name": "fraud", "modelType": "mlModel"}]


def test_models_are_found_by_their_whole_name(cast: Cast) -> None:
    for name in ("fraud", "fraud-2", "Fraud"):
        project(cast.production, name, kind="ML_MODEL")
    asking = asker(cast.bob)
    document = 'models(first: 10, search: "fraud", useExactSearchMatch: %s) { edges { node { name } } }'

    assert names(_space(asking, cast, document % "true")["models"]) == ["fraud"]
    assert names(_space(asking, cast, document % "false")["models"]) == ["fraud", "fraud-2", "Fraud"]
    kinds = "projects(modelType: tracing) { edges { node { name } } }"
    assert names(_space(asking, cast, kinds)["projects"]) == []


@pytest.mark.parametrize(
    ("permission", "field"),
    [("DATASET_READ", "datasets"), ("EXPERIMENT_READ", "experiments"), ("PROMPT_READ", "prompts")],
)
def test_each_list_takes_its_own_permission(cast: Cast, permission: str, field: str) -> None:
    asking = _custom(cast, permission)
    document = "query ($id: ID!) { node(id: $id) { ... on Space { %s { edges { node { id } } } } } }"
    others = {"datasets", "experiments", "prompts"} - {field}

    assert asking.codes(document % field, id=encode_id("Space", cast.production.pk)) == []
    for other in others:
        assert asking.codes(document % other, id=encode_id("Space", cast.production.pk)) == ["forbidden"]


def test_an_experiment_does_not_tell_of_a_dataset_and_a_project_that_one_may_not_see(cast: Cast) -> None:
    secret = project(cast.production, "secret", restricted=True)
    experiment(dataset(cast.production, "golden"), "baseline", project=secret)
    fields = "experiments { edges { node { name dataset { name } tracesProject { name } } } }"

    assert nodes(_space(_custom(cast, "EXPERIMENT_READ"), cast, fields)["experiments"]) == [
        {"name": "baseline", "dataset": None, "tracesProject": None}
    ]
    assert nodes(_space(asker(cast.bob), cast, fields)["experiments"]) == [
        {"name": "baseline", "dataset": {"name": "golden"}, "tracesProject": None}
    ]


def test_a_dataset_does_not_tell_of_experiments_that_one_may_not_see(cast: Cast) -> None:
    experiment(dataset(cast.production, "golden"), "baseline")
    fields = "datasets(first: 9) { edges { node { experiments(first: 9) { edges { node { name } } } } } }"

    def found(asking: Asker) -> list[str]:
        (only,) = nodes(_space(asking, cast, fields)["datasets"])
        return names(only["experiments"])

    assert found(_custom(cast, "DATASET_READ")) == []
    assert found(asker(cast.charlie)) == ["baseline"]


def test_a_restricted_project_is_there_for_those_bound_to_it(cast: Cast) -> None:
    project(cast.production, "open")
    secret = project(cast.production, "secret", restricted=True)
    bind(cast.charlie, secret, RoleName.READ_ONLY)
    fields = "projects { edges { node { name } } } models { edges { node { name } } }"

    for person, seen in ((cast.alice, ["open"]), (cast.bob, ["open"]), (cast.charlie, ["secret", "open"])):
        asking = asker(person)
        space = _space(asking, cast, fields)
        assert (names(space["projects"]), names(space["models"])) == (seen, seen)
        found = _node(asking, "Model", secret.pk)
        assert found == ({"id": encode_id("Model", secret.pk)} if "secret" in seen else None)


def test_what_has_an_id_is_found_by_it_where_one_may_read_it(cast: Cast) -> None:
    golden = dataset(cast.production, "golden")
    things: list[tuple[str, int]] = [
        ("Model", project(cast.production, "chat").pk),
        ("Dataset", golden.pk),
        ("DatasetVersion", golden.versions.get().pk),
        ("Experiment", experiment(golden, "baseline").pk),
    ]
    reader, outsider, blind = asker(cast.charlie), asker(cast.erin), _custom(cast)

    for kind, number in things:
        assert _node(reader, kind, number) == {"id": encode_id(kind, number)}
        assert _node(outsider, kind, number) is None
        assert _node(blind, kind, number) is None
        assert _node(reader, kind, 999_999) is None


def test_lists_are_read_page_by_page(cast: Cast) -> None:
    for number in range(5):
        dataset(cast.production, f"set-{number}")
    asking = asker(cast.bob)
    document = """
        query ($id: ID!, $after: String, $search: String) { node(id: $id) { ... on Space {
          datasets(first: 2, after: $after, search: $search) {
            edges { node { name } } pageInfo { hasNextPage endCursor }
          }
        } } }
    """

    for search, expected in (
        ("", ["set-4", "set-3", "set-2", "set-1", "set-0"]),
        ("SET", [f"set-{n}" for n in range(5)]),
    ):
        found: list[str] = []
        after = None
        while True:
            page = asking.data(document, id=encode_id("Space", cast.production.pk), after=after, search=search)
            page = page["node"]["datasets"]
            found += names(page)
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert found == expected


def test_three_of_everything_cost_what_one_costs(
    cast: Cast, django_assert_max_num_queries: Callable[[int], Any], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    asking = asker(cast.alice)
    document = """
      { viewer { spaces { edges { node {
        projects { edges { node { name } } }
        datasets { edges { node {
          name versions(first: 2) { edges { node { name } } } experiments(first: 2) { edges { node { name } } }
        } } }
        experiments(first: 5) { edges { node { name dataset { name } tracesProject { name } } } }
      } } } } }
    """.replace("spaces {", "spaces(first: 3) {").replace("projects {", "projects(first: 5) {")
    document = document.replace("datasets {", "datasets(first: 5) {")

    def furnish(name: str) -> None:
        for space in (cast.production, cast.staging, cast.vision_lab):
            experiment(dataset(space, name), name, project=project(space, name))

    furnish("one")
    asking.data(document)
    with django_assert_max_num_queries(60) as counted:
        asking.data(document)
    furnish("two")
    furnish("three")
    with django_assert_num_queries(len(counted)):
        assert "three" in str(asking.data(document))
