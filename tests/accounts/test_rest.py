"""``/v2/organizations`` and ``/v2/spaces`` through HTTP: what a key can see, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.bindings import unbind_role
from accounts.models import Space, User
from accounts.permissions import may_see, seen_by
from accounts.roles import RoleName
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import AccountFactory, OrganizationFactory, SpaceFactory, bind, service_key, user_key

pytestmark = pytest.mark.django_db

Get = Callable[..., Any]


@pytest.fixture
def get(client: Client, cast: Cast) -> Get:
    """Ask as one of the cast, with a key of theirs, and return status and body."""
    keys: dict[int, str] = {}

    def ask(user: User, address: str, **parameters: Any) -> tuple[int, Any]:
        if user.pk not in keys:
            # Whoever has no developer access got their key when they had it.
            keys[user.pk] = _key_of(user, cast)
        response = client.get(address, parameters, headers={"authorization": f"Bearer {keys[user.pk]}"})
        return response.status_code, response.json()

    return ask


def _key_of(user: User, cast: Cast) -> str:
    membership = user.accountbinding_set.get(content_object=cast.account)
    type(membership).objects.filter(pk=membership.pk).update(is_developer=True)
    return user_key(user, cast.account).plaintext


def _names(answer: tuple[int, Any]) -> list[str]:
    status, body = answer
    assert status == 200, body
    (rows,) = (body[name] for name in ("spaces", "organizations") if name in body)
    return [row["name"] for row in rows]


@pytest.mark.parametrize(
    ("who", "organizations", "spaces"),
    [
        ("alice", ["Fraud & Risk", "Research"], ["production", "staging", "vision-lab"]),
        ("bob", ["Fraud & Risk"], ["production", "staging"]),
        ("charlie", ["Fraud & Risk"], ["production", "staging"]),
        ("dana", ["Fraud & Risk"], ["production", "staging"]),
        ("erin", ["Research"], ["vision-lab"]),
    ],
)
def test_everybody_sees_their_own(cast: Cast, get: Get, who: str, organizations: list[str], spaces: list[str]) -> None:
    person = getattr(cast, who)

    assert _names(get(person, "/v2/organizations")) == organizations
    assert _names(get(person, "/v2/spaces")) == spaces


def test_list_and_detail_agree(cast: Cast, get: Get) -> None:
    for person in (cast.alice, cast.bob, cast.erin):
        actor = cast.actor(person)
        for space in Space.objects.all():
            seen = seen_by(actor, Space).filter(pk=space.pk).exists()
            assert seen == may_see(actor, space)
            assert get(person, f"/v2/spaces/{encode_id('Space', space.pk)}")[0] == (200 if seen else 404)


def test_key_opens_the_account_it_was_made_in(cast: Cast, get: Get) -> None:
    """Bob is in a second account as well; his key of the first knows nothing of it."""
    second = AccountFactory.create()
    organization = OrganizationFactory.create(account=second, name="Other")
    space = SpaceFactory.create(organization=organization)
    bind(cast.bob, second, RoleName.ADMIN)

    assert _names(get(cast.bob, "/v2/organizations")) == ["Fraud & Risk"]
    assert get(cast.bob, f"/v2/spaces/{encode_id('Space', space.pk)}")[0] == 404


def test_space_is_told_whole(cast: Cast, get: Get) -> None:
    """Contract rest-v2 §8."""
    status, space = get(cast.bob, f"/v2/spaces/{encode_id('Space', cast.production.pk)}")

    assert status == 200
    assert datetime.fromisoformat(space.pop("created_at")) == cast.production.created_at
    assert space == {
        "id": encode_id("Space", cast.production.pk),
        "organization_id": encode_id("Organization", cast.fraud.pk),
        "name": "production",
        "description": "",
        "is_private": False,
        "default_llm_integration": None,
        "ml_models_enabled": True,
        "gradient_start_color": "",
        "gradient_end_color": "",
        "default_agent_runtime": None,
    }


def test_organization_is_told_whole(cast: Cast, get: Get) -> None:
    """Contract rest-v2 §7."""
    status, organization = get(cast.bob, f"/v2/organizations/{encode_id('Organization', cast.fraud.pk)}")

    assert status == 200
    assert organization.pop("created_at").endswith("Z")
    assert organization == {
        "id": encode_id("Organization", cast.fraud.pk),
        "name": "Fraud & Risk",
        "description": "",
    }


@pytest.mark.parametrize("part", ["prod", "PROD", "roduct", "production"])
def test_names_are_found_by_part(cast: Cast, get: Get, part: str) -> None:
    assert _names(get(cast.alice, "/v2/spaces", name=part)) == ["production"]


@pytest.mark.parametrize("part", ["%", "_", "\\", "productionx"])
def test_names_are_no_patterns(cast: Cast, get: Get, part: str) -> None:
    assert _names(get(cast.alice, "/v2/spaces", name=part)) == []
    assert _names(get(cast.alice, "/v2/organizations", name=part)) == []


def test_equal_names_are_all_listed(cast: Cast, get: Get) -> None:
    """Contract rest-v2 §3.2: clients tell the caller that a name is ambiguous."""
    SpaceFactory.create(organization=cast.research, name="production")

    assert _names(get(cast.alice, "/v2/spaces", name="production")) == ["production", "production"]


def test_spaces_of_one_organization(cast: Cast, get: Get) -> None:
    research = encode_id("Organization", cast.research.pk)

    assert _names(get(cast.alice, "/v2/spaces", org_id=research)) == ["vision-lab"]
    assert get(cast.bob, "/v2/spaces", org_id=research)[0] == 404


def test_pages_follow_one_another(cast: Cast, get: Get) -> None:
    for number in range(5):
        SpaceFactory.create(organization=cast.fraud, name=f"s{number}")
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 3, "name": ""}

    while True:
        status, body = get(cast.bob, "/v2/spaces", **parameters)
        assert status == 200
        assert len(body["spaces"]) <= 3
        seen += [space["name"] for space in body["spaces"]]
        if not body["pagination"]["has_more"]:
            break
        parameters["cursor"] = body["pagination"]["next_cursor"]

    assert body["pagination"] == {"has_more": False}
    assert seen == ["production", "staging", *(f"s{number}" for number in range(5))]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1.0", "1e1", "٣", "0x1", "9" * 30])
def test_limits_are_checked_here(cast: Cast, get: Get, limit: str) -> None:
    assert get(cast.bob, "/v2/spaces", limit=limit)[0] == 400


@pytest.mark.parametrize("cursor", ["x", "YWZ0ZXI6", "YWZ0ZXI6LTE", "a" * 101, "\x00", "ü"])
def test_cursors_of_other_makes_are_refused(cast: Cast, get: Get, cursor: str) -> None:
    assert get(cast.bob, "/v2/spaces", cursor=cursor)[0] == 400


def test_names_too_long_are_refused(cast: Cast, get: Get) -> None:
    assert get(cast.bob, "/v2/spaces", name="x" * 255)[0] == 200
    assert get(cast.bob, "/v2/spaces", name="x" * 256)[0] == 400
    assert get(cast.bob, "/v2/organizations", name="x\x00")[0] == 400


def test_repeated_parameters_are_refused(cast: Cast, get: Get) -> None:
    status, body = get(cast.bob, "/v2/spaces", limit=["1", "2"])

    assert status == 400
    assert body["errors"] == [{"parameter": "limit", "detail": "Give this once."}]


@pytest.mark.parametrize("place", ["organizations", "spaces"])
def test_lists_cost_the_same_for_one_row_and_for_many(cast: Cast, client: Client, place: str) -> None:
    headers = {"authorization": f"Bearer {user_key(cast.bob, cast.account).plaintext}"}
    client.get(f"/v2/{place}", headers=headers)
    costs = []
    for more in (0, 2, 27):
        for _ in range(more):
            organization = OrganizationFactory.create(account=cast.account)
            bind(cast.bob, organization, RoleName.MEMBER)
            SpaceFactory.create(organization=organization)
        with CaptureQueriesContext(connection) as queries:
            client.get(f"/v2/{place}", headers=headers)
        costs.append(len(queries))

    assert costs == [2, 2, 2]  # whose key it is, and the page


def test_losing_a_role_counts_on_the_next_request(cast: Cast, get: Get) -> None:  # security 18 and 22
    assert _names(get(cast.bob, "/v2/spaces")) == ["production", "staging"]

    unbind_role(cast.actor(cast.alice), user=cast.bob, scope=cast.fraud, at=timezone.now())

    assert _names(get(cast.bob, "/v2/spaces")) == []


def test_space_turned_private_under_someones_feet(cast: Cast, get: Get) -> None:
    address = f"/v2/spaces/{encode_id('Space', cast.staging.pk)}"
    assert get(cast.dana, address)[0] == 200

    Space.objects.filter(pk=cast.staging.pk).update(is_private=True)

    assert get(cast.dana, address)[0] == 404
    assert get(cast.bob, address)[0] == 200


def test_bot_sees_what_its_key_was_given(cast: Cast, client: Client) -> None:
    key = service_key(cast.alice, cast.vision_lab).plaintext

    body = client.get("/v2/spaces", headers={"authorization": f"Bearer {key}"}).json()

    assert [space["name"] for space in body["spaces"]] == ["vision-lab"]
