"""The Data pages and what a key has done: who sees what, at the same cost for one thing and for three."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Space, User
from accounts.roles import RoleName
from accounts.wire import encode_id
from apikeys.workflows.models import Experiment, WorkflowUse
from apikeys.workflows.uses import Workflow
from tests.cast import Cast
from tests.factories import PersonFactory, bind, custom_role, service_key, user_key
from tests.workflows.rows import dataset, experiment, project, written

pytestmark = pytest.mark.django_db


def data_of(space: Space) -> str:
    """Return where a space's data is shown."""
    return reverse("workflows:space-data", args=[encode_id("Space", space.pk)])


def signed_in(person: User) -> Client:
    """Return somebody's browser."""
    client = Client()
    client.force_login(person, "django.contrib.auth.backends.ModelBackend")
    return client


def page(person: User, address: str, **query: str) -> str:
    """Return a page as somebody sees it."""
    answer = signed_in(person).get(address, query)
    assert answer.status_code == 200, answer
    return " ".join(answer.getvalue().decode().split())


def reader_of(cast: Cast, *permissions: str) -> User:
    """Return somebody with a custom role in production alone, which permits these and the space itself."""
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    bind(person, cast.production, custom_role(cast.account, "reader", "SPACE_READ", *permissions))
    return person


def test_what_arrived_is_shown_with_its_size_and_its_last_writer(cast: Cast) -> None:
    golden = dataset(cast.production, "golden set", versions=2, rows=1200, size=3 * 2**20)
    experiment(golden, "baseline", rows=1201)
    experiment(golden, "begun", posted=False)
    project(cast.production, "chat traces", uploads=2, rows=7)
    project(cast.production, "fraud model", kind="ML_MODEL")
    dataset(cast.staging, "another space's")

    shown = page(cast.charlie, data_of(cast.production))

    for text in ("golden set", "1,201", "6.0 MB", "Generative", "by <bdi>Bob Baker</bdi>", "baseline", "begun"):
        assert text in shown
    for text in ("chat traces", "Tracing project", ">14<", "8.0 KB", "fraud model", "ML model", "None yet"):
        assert text in shown
    assert "bob@example.com" not in shown
    assert "another space" not in shown


def test_an_empty_space_says_how_to_send_the_first_data(cast: Cast, settings: Any) -> None:
    settings.GRPC_PORT = 9915

    shown = page(cast.bob, data_of(cast.production))

    assert "Nothing has arrived yet" in shown
    assert "api_scheme=&quot;http&quot;, api_host=&quot;testserver&quot;, api_port=80, flight_scheme=" in shown
    assert "flight_port=9915" in shown
    assert f"space=&quot;{encode_id('Space', cast.production.pk)}&quot;" in shown


def test_behind_tls_one_host_and_port_are_enough(cast: Cast) -> None:
    answer = signed_in(cast.bob).get(data_of(cast.production), secure=True, headers={"host": "testserver:8443"})

    shown = answer.getvalue().decode()
    assert "single_host=&quot;testserver&quot;," in shown
    assert "single_port=8443," in shown
    assert "flight_port" not in shown


def test_a_kind_that_is_missing_says_how_to_send_the_first(cast: Cast) -> None:
    dataset(cast.production, "golden")

    shown = page(cast.bob, data_of(cast.production))

    assert "No project yet." in shown
    assert "No experiment yet." in shown
    assert "client.experiments.run(" in shown
    assert "No dataset yet." not in shown


@pytest.mark.parametrize(
    ("permission", "seen"),
    [("DATASET_READ", {"golden"}), ("EXPERIMENT_READ", {"baseline"}), ("PROJECT_READ", {"chat"})],
)
def test_each_permission_shows_its_own_and_nothing_else(cast: Cast, permission: str, seen: set[str]) -> None:
    experiment(dataset(cast.production, "golden"), "baseline")
    project(cast.production, "chat")
    person = reader_of(cast, permission)

    shown = page(person, data_of(cast.production))

    assert {name for name in ("golden", "baseline", "chat") if name in shown} == seen
    for show, name in (("datasets", "golden"), ("experiments", "baseline"), ("projects", "chat")):
        answer = signed_in(person).get(data_of(cast.production), {"show": show})
        own = name in seen
        assert answer.status_code == (200 if own else 403)
        assert (name in answer.getvalue().decode()) == own


def test_an_experiment_says_whether_its_dataset_is_not_shown_or_not_there(cast: Cast) -> None:
    experiment(dataset(cast.production, "golden"), "baseline")
    Experiment.objects.create(space=cast.production, name="by hand", last_writer="Bob")

    def datasets_on_page(person: User) -> list[str]:
        return re.findall(r'data-label="Dataset"><div><\w+[^>]*>([^<]*)<', page(person, data_of(cast.production)))

    assert datasets_on_page(cast.bob) == ["None", "golden"]
    assert datasets_on_page(reader_of(cast, "EXPERIMENT_READ")) == ["None", "Not shown to you"]


def test_whoever_sees_nothing_here_is_told_no_names(cast: Cast) -> None:
    experiment(dataset(cast.production, "golden"), "baseline")
    project(cast.production, "chat")

    shown = page(reader_of(cast), data_of(cast.production))

    assert "Nothing has arrived yet" not in shown
    assert "Your role does not show data" in shown


def test_a_restricted_project_is_there_for_those_bound_to_it(cast: Cast) -> None:
    secret = project(cast.production, "secret project", restricted=True)
    bind(cast.charlie, secret, RoleName.READ_ONLY)

    assert "secret project" in page(cast.charlie, data_of(cast.production))
    for person in (cast.alice, cast.bob):
        assert "secret project" not in page(person, data_of(cast.production))


def test_a_role_in_one_project_shows_that_one(cast: Cast) -> None:
    project(cast.production, "other project")
    own = project(cast.production, "own project")
    person = reader_of(cast)
    bind(person, own, RoleName.READ_ONLY)

    for query in ({}, {"show": "projects"}):
        shown = page(person, data_of(cast.production), **query)
        assert "own project" in shown
        assert "other project" not in shown


def test_a_space_that_one_may_not_see_has_no_data_page(cast: Cast) -> None:
    dataset(cast.vision_lab, "lab")
    address = data_of(cast.vision_lab)

    assert "lab" in page(cast.erin, address)
    for person in (cast.bob, cast.mallory):
        assert signed_in(person).get(address).status_code == 404
    assert signed_in(cast.erin).get(reverse("workflows:space-data", args=["nonsense"])).status_code == 404
    assert Client().get(address).status_code == 302


def test_the_latest_of_each_kind_and_then_all_page_by_page(cast: Cast) -> None:
    now = timezone.now()
    for number in range(27):
        written(dataset(cast.production, f"set-{number:02}"), now - timedelta(minutes=30 - number))
    written(dataset(cast.production, "old but used"), now)
    address = data_of(cast.production)

    latest = page(cast.bob, address)
    first = signed_in(cast.bob).get(address, {"show": "datasets"})
    second = signed_in(cast.bob).get(address + first.context["older_url"])

    assert [f"set-{n:02}" for n in range(27) if f"set-{n:02}" in latest] == ["set-23", "set-24", "set-25", "set-26"]
    assert "old but used" in latest
    assert "All datasets" in latest
    names = [line.name for answer in (first, second) for line in answer.context["sections"][0].lines]
    assert names == ["old but used", *(f"set-{n:02}" for n in reversed(range(27)))]
    assert signed_in(cast.bob).get(address, {"show": "datasets", "after": "nonsense"}).status_code == 302


@pytest.mark.parametrize("show", ["", "projects", "datasets", "experiments"])
def test_three_cost_what_one_costs(cast: Cast, show: str) -> None:
    client, address = signed_in(cast.bob), data_of(cast.production)

    def cost() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert client.get(address, {"show": show}).status_code == 200
        return len(asked)

    def furnish(name: str) -> None:
        experiment(dataset(cast.production, name), name, project=project(cast.production, name))

    furnish("one")
    cost()
    one = cost()
    furnish("two")
    furnish("three")

    assert cost() == one


def test_the_tab_and_the_entry_in_settings_lead_there(cast: Cast) -> None:
    members = page(cast.bob, reverse("accounts:space", args=[encode_id("Space", cast.production.pk)]))

    assert f'href="{data_of(cast.production)}"' in members
    assert f'href="{reverse("workflows:data")}"' in members


def test_settings_data_goes_to_the_chosen_space_or_asks_which(cast: Cast) -> None:
    client, address = signed_in(cast.bob), reverse("workflows:data")

    asked = client.get(address)
    assert [space.name for space in asked.context["spaces"]] == ["production", "staging"]
    assert client.get(address, {"after": "nonsense"}).status_code == 302

    client.post(reverse("accounts:scope"), {"space": encode_id("Space", cast.staging.pk)})
    assert client.get(address)["Location"] == data_of(cast.staging)
    assert signed_in(cast.mallory).get(address)["Location"] == data_of(cast.elsewhere)
    nobody = PersonFactory.create()
    bind(nobody, cast.account, RoleName.MEMBER)
    assert "No space that you see" in page(nobody, address)


def test_a_key_shows_what_it_was_used_for(cast: Cast) -> None:
    key = service_key(cast.alice, cast.production, cast.vision_lab, name="pipeline").key
    now = timezone.now()
    for workflow, client, space, ago in (
        (Workflow.DATASET_WRITE, "arize 8.61.0", cast.production, 5),
        (Workflow.SPAN_LOG, "", cast.vision_lab, 60),
    ):
        WorkflowUse.objects.create(
            key=key,
            workflow=workflow,
            client=client,
            space=space,
            first_used_at=now - timedelta(days=3),
            last_used_at=now - timedelta(minutes=ago),
            uses=1234,
        )
    address = reverse("workflows:key-uses", args=[key.wire_id])

    shown = page(cast.alice, address)
    for text in (
        str(Workflow.DATASET_WRITE.label),
        "arize 8.61.0",
        "1,234",
        "5 minutes ago",
        "3 days ago",
        "vision-lab",
    ):
        assert text in shown
    assert "Did not say" in shown
    bobs = page(cast.bob, address)  # a member of production reads its keys, and may not know of the other space
    assert "arize 8.61.0" in bobs
    assert "vision-lab" not in bobs
    for person in (cast.charlie, cast.mallory):
        assert signed_in(person).get(address).status_code == 404


def test_a_key_that_did_nothing_says_so(cast: Cast) -> None:
    key = user_key(cast.bob, cast.account, "laptop").key

    assert "No workflow yet" in page(cast.bob, reverse("workflows:key-uses", args=[key.wire_id]))
    assert reverse("workflows:key-uses", args=[key.wire_id]) in page(
        cast.bob, reverse("apikeys:why", args=[key.wire_id])
    )
