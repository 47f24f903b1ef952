"""``arize_toolkit`` 1.0.20, public and unmodified: all it does with keys, spaces, organizations and their people.

Contract rest-v2 §14.9. It speaks GraphQL through gql 3, and takes the URL of the product for the address.
"""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Account, Organization, OrganizationBinding, Space, SpaceBinding, User
from accounts.roles import RoleName
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.clients.libraries import Call
from tests.factories import OrganizationFactory, SpaceFactory, custom_role, service_key

pytestmark = pytest.mark.django_db(transaction=True)

# What of it works without models, prompts and monitors, which are not served here: in a test each.
PLACES = r"switch_space|update_space|create_(new|with)_.*|get_(all_)?(organization|space)s?(_by_id)?"
PEOPLE = r"get_user|(assign_space_membership|remove_space_member)(_by_id)?|get_space_users"
KEYS = r".*api_key.*"


def _id(row: Organization | Space) -> str:
    return encode_id(type(row).__name__, row.pk)


def _names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


def _roles(user: User, space: Space) -> list[str]:
    rows = SpaceBinding.objects.filter(user=user, content_object=space).order_by("pk")
    return [row.role.name for row in rows]


def test_the_tests_below_are_about_all_that_is_ours(toolkit: Call) -> None:
    ours = toolkit.left_out(r".*(organization|space|api_key|user).*")

    assert len(ours) == 17
    assert set(ours) == set(toolkit.left_out(f"{PLACES}|{PEOPLE}|{KEYS}"))


def test_every_method_of_places(cast: Cast, toolkit: Call, alices: str, bobs: str) -> None:
    assert _names(toolkit(alices, "get_all_organizations").ok()) == ["Fraud & Risk", "Research"]
    assert _names(toolkit(alices, "get_all_spaces").ok()) == ["production", "staging"]
    staging = toolkit(bobs, "get_space", name="staging").ok()
    assert (staging["id"], staging["private"], staging["description"]) == (_id(cast.staging), False, "")
    assert toolkit(bobs, "get_space_by_id", space_id=_id(cast.staging)).ok() == staging
    url = toolkit(alices, "switch_space", space="vision-lab", organization="Research").ok()
    assert url.endswith(f"/organizations/{_id(cast.research)}/spaces/{_id(cast.vision_lab)}")

    for _ in range(2):  # the second time it finds what it made
        made = toolkit(bobs, "create_new_space", name="vault", private=True, set_as_active=False).ok()
    vault = Space.objects.get(name="vault")
    assert (made, vault.organization, vault.is_private) == (_id(vault), cast.fraud, True)

    changed = toolkit(
        *(bobs, "update_space"),
        space_id=made,
        name="attic",
        private=False,
        description="under the roof",
        gradient_start_color="#112233",
        gradient_end_color="#445566",
        ml_models_enabled=False,
    ).ok()
    vault.refresh_from_db()
    assert (changed["name"], changed["private"], changed["description"]) == ("attic", False, "under the roof")
    assert (vault.name, vault.gradient_start_color, vault.ml_models_enabled) == ("attic", "#112233", False)

    new: dict[str, Any] = {"org_description": "and more", "space_private": True}
    url = toolkit(
        *(alices, "create_new_organization_and_space"), org_name="Growth", space_name="a", set_as_active=False, **new
    ).ok()
    usual: dict[str, Any] = {"sleep_time": 0, "verify": True}
    reach = toolkit(alices, "create_with_new_organization", org_name="Reach", space_name="b", **new, **usual).ok()
    beside = toolkit(
        *(alices, "create_with_new_space"), organization="Reach", space_name="c", space_private=False, **usual
    ).ok()

    a, b, c = (Space.objects.select_related("organization").get(name=name) for name in "abc")
    assert [(space.organization.name, space.organization.description, space.is_private) for space in (a, b, c)] == [
        ("Growth", "and more", True),
        ("Reach", "and more", True),
        ("Reach", "and more", False),
    ]
    assert url.endswith(f"/organizations/{_id(a.organization)}/spaces/{_id(a)}")
    assert [(one["org_id"], one["space_id"]) for one in (reach, beside)] == [
        (_id(b.organization), _id(b)),
        (_id(b.organization), _id(c)),
    ]
    assert toolkit.left_out(PLACES) == {}


def test_every_method_of_people(cast: Cast, toolkit: Call, alices: str, bobs: str) -> None:
    bob, charlie = (encode_id("User", person.pk) for person in (cast.bob, cast.charlie))
    keeper = encode_id("Role", custom_role(cast.account, "Keeper", "SPACE_READ").pk)
    both = {"user_names": ["bob@example.com", "Charlie Chen"], "space_names": ["production", "staging"]}
    there = {"user_ids": [charlie], "space_ids": _id(cast.production)}

    person = toolkit(bobs, "get_user", search="charlie@example.com").ok()
    given = toolkit(alices, "assign_space_membership", **both, role="admin").ok()
    lowered = toolkit(alices, "assign_space_membership_by_id", **there, role="readOnly").ok()
    added = toolkit(alices, "assign_space_membership_by_id", **there, custom_role_id=keeper).ok()
    again = toolkit(alices, "assign_space_membership", user_names="Charlie Chen", custom_role_id=keeper).ok()

    assert person == {
        "id": charlie,
        "name": "Charlie Chen",
        "email": "charlie@example.com",
        "status": "active",
        "accountRole": "member",
        "userType": "human",
        "createdAt": person["createdAt"],
    }
    assert [(row["role"], row["user"]["id"]) for row in given] == [
        ("admin", who) for who in (bob, bob, charlie, charlie)
    ]
    assert [row["role"] for row in lowered] == ["readOnly"]
    assert [row["user"]["name"] for row in added + again] == ["Charlie Chen"] * 2
    assert _roles(cast.bob, cast.production) == _roles(cast.charlie, cast.staging) == [RoleName.ADMIN]
    assert _roles(cast.charlie, cast.production) == [RoleName.READ_ONLY, "Keeper"]

    removed = toolkit(alices, "remove_space_member", user_name="Charlie Chen", space_name="production").ok()
    toolkit(alices, "remove_space_member_by_id", user_id=bob, space_id=_id(cast.staging)).ok()
    people = toolkit(alices, "get_space_users", space_id=_id(cast.staging), search="@example.com", user_type="human")

    assert removed == {"space_id": _id(cast.production), "space_name": "production"}
    assert _roles(cast.charlie, cast.production) == _roles(cast.bob, cast.staging) == []
    assert [(row["user"]["name"], row["role"], row["membership"]) for row in people.ok()] == [
        ("Alice Archer", None, "ACCOUNT_ADMIN"),
        ("Bob Baker", None, "PUBLIC_MEMBERSHIP"),
        ("Charlie Chen", "admin", "EXPLICIT_MEMBERSHIP"),
        ("Dana Diaz", None, "PUBLIC_MEMBERSHIP"),
    ]
    assert toolkit.left_out(PEOPLE) == {}


def test_every_method_of_keys(cast: Cast, toolkit: Call, alices: str) -> None:
    new = toolkit(alices, "create_space_admin_api_key", name="nightly").ok()

    key = ApiKey.objects.get(name="nightly")
    assert (new["id"], new["expiresAt"]) == (key.wire_id, None)
    assert _roles(key.owner, cast.production) == [RoleName.ADMIN]
    assert OrganizationBinding.objects.get(user=key.owner).role.name == RoleName.MEMBER
    assert toolkit(new["apiKey"], "Client").ok()["space"] == "production"
    assert toolkit.left_out(KEYS) == {}


def test_construction_finds_organization_and_space_by_name(cast: Cast, toolkit: Call, alices: str, bobs: str) -> None:
    for number in range(12):  # the client looks among the first ten that contain the name
        SpaceFactory.create(organization=cast.fraud, name=f"shadow {number}")
        OrganizationFactory.create(account=cast.account, name=f"Shade {number}")
    shadow = SpaceFactory.create(organization=cast.fraud, name="shadow")
    shade = OrganizationFactory.create(account=cast.account, name="Shade")
    SpaceFactory.create(organization=shade, name="only")

    found = toolkit(alices, "Client", in_organization="Fraud & Risk", in_space="shadow").ok()
    other = toolkit(alices, "switch_space", organization="Shade").ok()
    hidden = toolkit(bobs, "Client", in_organization="Research", in_space="vision-lab")

    assert (found["org_id"], found["space_id"]) == (_id(cast.fraud), _id(shadow))
    assert f"/organizations/{_id(shade)}/" in other
    assert (hidden.error[1], "No organization found" in hidden.text) == ("ArizeAPIException", True)
    assert len(toolkit(alices, "get_all_organizations").ok()) == 15
    assert len(toolkit(alices, "get_all_spaces").ok()) == 15


def test_refusals_arrive_as_its_own_exception(cast: Cast, toolkit: Call, alices: str, bobs: str) -> None:
    for refused, told in (
        (toolkit("ak-nonsense", "get_all_spaces"), "401 Client Error: Unauthorized"),
        (toolkit(bobs, "create_space_admin_api_key", name="too much"), "role_above_own"),
        (toolkit(bobs, "create_new_organization_and_space", org_name="O", space_name="s"), "forbidden"),
        (toolkit(bobs, "get_space_by_id", space_id=_id(cast.vision_lab)), "Object not found"),
        (toolkit(bobs, "remove_space_member", user_name="Charlie Chen"), "forbidden"),
        (toolkit(alices, "get_user", search="mallory@example.com"), "No user found"),
        (toolkit(alices, "update_space", name="staging"), "conflict"),
        (toolkit(alices, "assign_space_membership", user_names="Erin Evans"), "incompatible"),
    ):
        assert "ArizeAPIException" in refused.error
        assert told in refused.text
    assert not Organization.objects.filter(name="O").exists()
    assert not ApiKey.objects.filter(name="too much").exists()


def test_limits_are_told_as_limits(cast: Cast, toolkit: Call, alices: str) -> None:
    Account.objects.filter(pk=cast.account.pk).update(max_keys_per_hour=1)

    refused = toolkit(alices, "create_space_admin_api_key", name="one too many")

    assert "Rate limit exceeded - try adding 'sleep_time' between requests" in refused.text


def test_bots_are_among_a_spaces_users(cast: Cast, toolkit: Call, alices: str) -> None:
    service_key(cast.alice, cast.production, name="nightly")

    bots = toolkit(alices, "get_space_users", user_type="bot").ok()

    assert [(row["user"]["name"], row["role"], row["membership"]) for row in bots] == [
        ("nightly", "member", "EXPLICIT_MEMBERSHIP")
    ]
