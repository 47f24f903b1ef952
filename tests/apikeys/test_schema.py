"""Keys over GraphQL: whose are shown to whom, and what is done with them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.actors import Door
from accounts.models import Account, AuditEvent, User
from accounts.people import remove_person
from accounts.wire import encode_id
from apikeys.lifecycle import NewKey
from apikeys.models import ApiKey
from apikeys.policy import bindings_of
from apikeys.schema import CreateUserApiKeyPayload
from tests.asking import Asker, asker, names, nodes
from tests.cast import Cast
from tests.factories import SpaceFactory, later, service_key, user_key

pytestmark = pytest.mark.django_db

EVERYBODY = ["alice", "bob", "charlie", "dana", "erin", "mallory"]
FIELDS = """id name description keyType status redactedKey createdAt expiresAt lastUsedAt createdByUserId
  createdBy { name } user { name }"""


@pytest.fixture
def keys(cast: Cast) -> dict[str, NewKey]:
    """Make keys of every kind, in every state."""
    dead = service_key(cast.alice, cast.production, name="dead")
    asker(cast.alice).data(
        "mutation($id: ID!) { revokeApiKey(input: {apiKeyId: $id}) { clientMutationId } }", id=dead.key.wire_id
    )
    over = user_key(cast.bob, cast.account, "over", expires_at=later(hours=1))
    ApiKey.objects.filter(pk=over.key.pk).update(created_at=later(hours=-2), expires_at=later(hours=-1))
    return {
        "nightly": service_key(cast.alice, cast.production, name="nightly"),
        "bobs": service_key(cast.bob, cast.production, cast.staging, name="bobs", description="d"),
        "lab": service_key(cast.erin, cast.vision_lab, name="lab"),
        "far": service_key(cast.alice, cast.production, cast.vision_lab, name="far"),
        "laptop": user_key(cast.bob, cast.account, "laptop", expires_at=later(days=1)),
        "dead": dead,
        "over": over,
    }


def _rest(who: Asker, query: str) -> Any:
    response = Client().get(f"/v2/api-keys?{query}", headers={"Authorization": f"Bearer {who.key.plaintext}"})
    return response.json()["api_keys"] if response.status_code == 200 else response.json()["error_code"]


def _as_rest(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write keys as REST does, but for their bots."""
    said = [
        {
            "id": one["id"],
            "name": one["name"],
            "description": one["description"],
            "key_type": one["keyType"].upper(),
            "status": one["status"].upper(),
            "redacted_key": one["redactedKey"],
            "created_at": one["createdAt"],
            "expires_at": one["expiresAt"],
            "created_by_user_id": one["createdByUserId"],
            "last_used_at": one["lastUsedAt"],
        }
        for one in shown
    ]
    return [{name: value for name, value in one.items() if value} for one in said]


def _without_bots(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name != "bot_user"} for one in listed]


# What is shown


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("kind", ["user", "service"])
@pytest.mark.parametrize("status", ["active", "revoked"])
def test_own_keys_are_those_of_rest(cast: Cast, keys: dict[str, NewKey], name: str, kind: str, status: str) -> None:
    who = asker(getattr(cast, name))
    text = f"""query($kind: ApiKeyType, $status: ApiKeyStatus) {{ viewer {{
      apiKeys(keyType: $kind, status: $status) {{ edges {{ node {{ {FIELDS} }} }} }} }} }}"""

    shown = nodes(who.data(text, kind=kind, status=status)["viewer"]["apiKeys"])

    assert _as_rest(shown) == _without_bots(_rest(who, f"key_type={kind.upper()}&status={status.upper()}"))


@pytest.mark.parametrize("name", EVERYBODY)
def test_keys_of_each_space_are_those_of_rest(cast: Cast, keys: dict[str, NewKey], name: str) -> None:
    who = asker(getattr(cast, name))
    text = f"""{{ viewer {{ spaces(first: 5) {{ edges {{ node {{ id apiKeys(first: 20) {{ edges {{ node {{
      {FIELDS} }} }} }} }} }} }} }} }}"""

    body = who.answer(text)

    for space in nodes(body["data"]["viewer"]["spaces"]):
        listed = _rest(who, f"space_id={space['id']}")
        if space["apiKeys"] is None:
            assert listed == "forbidden"
        else:
            assert _as_rest(nodes(space["apiKeys"])) == _without_bots(listed)
    assert {error["extensions"]["code"] for error in body.get("errors", [])} <= {"forbidden"}


@pytest.mark.parametrize("name", EVERYBODY)
def test_ids_of_keys_lead_to_those_one_may_know_of(cast: Cast, keys: dict[str, NewKey], name: str) -> None:
    """Whoever may refresh or revoke a key, or is refused that with 403, may know of it; others get 404."""
    who = asker(getattr(cast, name))

    for new in keys.values():
        found = who.data("query($id: ID!) { node(id: $id) { ... on ApiKey { name } } }", id=new.key.wire_id)["node"]
        refused = Client().post(
            f"/v2/api-keys/{new.key.wire_id}/refresh",
            {"grace_period_seconds": 0, "expires_at": "2020-01-01T00:00:00Z"},
            content_type="application/json",
            headers={"x-api-key": who.key.plaintext},
        )
        assert (found is None) == (refused.status_code == 404), (name, new.key.name)


def test_expired_keys_are_listed_where_they_are_asked_for(cast: Cast, keys: dict[str, NewKey]) -> None:
    text = "{ viewer { apiKeys(status: expired) { edges { node { name status } } } } }"

    assert nodes(asker(cast.bob).data(text)["viewer"]["apiKeys"]) == [{"name": "over", "status": "expired"}]


def test_key_says_whose_it_is_and_what_its_bot_may_do_where(cast: Cast, keys: dict[str, NewKey]) -> None:
    text = """query($id: ID!) { node(id: $id) { ... on ApiKey { createdBy { name } user { name userType }
      spaceMemberships { edges { node { role space { name } user { name } } } } } } }"""
    number = keys["far"].key.wire_id

    def spaces(who: User) -> list[str]:
        found = asker(who).data(text, id=number)["node"]
        return [one["space"]["name"] for one in nodes(found["spaceMemberships"])]

    assert asker(cast.alice).data(text, id=keys["nightly"].key.wire_id)["node"] == {
        "createdBy": {"name": "Alice Archer"},
        "user": {"name": "nightly", "userType": "bot"},
        "spaceMemberships": {
            "edges": [{"node": {"role": "member", "space": {"name": "production"}, "user": {"name": "nightly"}}}]
        },
    }
    assert spaces(cast.alice) == ["production", "vision-lab"]
    # Bob knows of the key through production. Where else it opens anything is none of his business.
    assert spaces(cast.bob) == ["production"]


def test_user_keys_have_no_memberships_of_their_own(cast: Cast, keys: dict[str, NewKey]) -> None:
    text = "{ viewer { apiKeys { edges { node { spaceMemberships { edges { cursor } } } } } } }"

    assert all(one["spaceMemberships"]["edges"] == [] for one in nodes(asker(cast.bob).data(text)["viewer"]["apiKeys"]))


def test_maker_who_left_is_an_id_only(cast: Cast, keys: dict[str, NewKey]) -> None:
    alice = asker(cast.alice)
    remove_person(cast.actor(cast.alice), user=cast.erin, at=later())

    found = alice.data(
        "query($id: ID!) { node(id: $id) { ... on ApiKey { createdBy { name } createdByUserId status } } }",
        id=keys["lab"].key.wire_id,
    )["node"]

    assert found == {"createdBy": None, "createdByUserId": encode_id("User", cast.erin.pk), "status": "active"}


def test_keys_are_paged_newest_first(cast: Cast) -> None:
    bob = asker(cast.bob)
    for number in range(4):
        user_key(cast.bob, cast.account, f"key {number}")
    text = """query($after: String) { viewer { apiKeys(first: 2, after: $after) { edges { node { name } }
      pageInfo { hasNextPage endCursor } } } }"""

    first = bob.data(text)["viewer"]["apiKeys"]
    second = bob.data(text, after=first["pageInfo"]["endCursor"])["viewer"]["apiKeys"]
    third = bob.data(text, after=second["pageInfo"]["endCursor"])["viewer"]["apiKeys"]

    assert [names(page) for page in (first, second, third)] == [["key 3", "key 2"], ["key 1", "key 0"], ["mine"]]
    assert [page["pageInfo"]["hasNextPage"] for page in (first, second, third)] == [True, True, False]


LISTS = {
    "own": """{ viewer { apiKeys(first: 30, keyType: service) { edges { node { name lastUsedAt createdBy { name }
        user { name } spaceMemberships(first: 2) { edges { node { role space { name } user { name } } } } } } } } }""",
    "of spaces": """{ viewer { spaces(first: 30) { edges { node { name apiKeys(first: 2) { edges { node { name
        lastUsedAt createdBy { name } user { name } spaceMemberships(first: 1) { edges { node { space {
        name } } } } } } } } } } } }""",
}


@pytest.mark.parametrize("what", LISTS)
@pytest.mark.parametrize("name", ["alice", "bob"])
def test_queries_do_not_grow_with_the_rows(cast: Cast, what: str, name: str) -> None:
    who = asker(getattr(cast, name))
    who.data(LISTS[what])
    counts = []
    for rows in (1, 3, 30):
        while ApiKey.objects.filter(kind="SERVICE").count() < rows:
            space = SpaceFactory.create(organization=cast.fraud)
            service_key(getattr(cast, name), space)
        with CaptureQueriesContext(connection) as queries:
            who.data(LISTS[what])
        counts.append(len(queries))

    assert counts[0] == counts[1] == counts[2] <= 20


# What is done

SERVICE = """mutation($input: CreateServiceApiKeyInput!) { createServiceApiKey(input: $input) {
  apiKey keyInfo { expiresAt id name keyType status } clientMutationId } }"""


def test_service_key_is_made_as_the_public_toolkit_asks(cast: Cast) -> None:
    """Contract rest-v2 §14.9."""
    given = {
        "name": "toolkit",
        "spaceId": encode_id("Space", cast.production.pk),
        "spaceRole": "admin",
        "accountOrganizationRole": "member",
        "accountRole": "member",
    }

    found = asker(cast.alice).data(SERVICE, input=given)["createServiceApiKey"]

    key = ApiKey.objects.get(name="toolkit")
    assert found == {
        "apiKey": found["apiKey"],
        "keyInfo": {
            "expiresAt": None,
            "id": key.wire_id,
            "name": "toolkit",
            "keyType": "service",
            "status": "active",
        },
        "clientMutationId": None,
    }
    held = bindings_of([key])[key.pk]
    assert (held.account_role.name if held.account_role else None) == "MEMBER"
    assert [(where.name, role.name) for where, role in held.organizations] == [("Fraud & Risk", "MEMBER")]
    assert [(where.name, role.name) for where, role in held.spaces] == [("production", "ADMIN")]
    assert names(
        Asker(NewKey(key, found["apiKey"])).data("{ viewer { spaces { edges { node { name } } } } }")["viewer"][
            "spaces"
        ]
    ) == ["production", "staging"]


def test_service_key_has_the_defaults_of_rest(cast: Cast) -> None:
    given = {"name": "plain", "spaceId": encode_id("Space", cast.production.pk), "clientMutationId": "c"}

    found = asker(cast.bob).data(SERVICE, input=given | {"expiresAt": "2031-01-02T03:04:05"})["createServiceApiKey"]

    held = bindings_of([ApiKey.objects.get(name="plain")]).popitem()[1]
    assert (found["clientMutationId"], found["keyInfo"]["expiresAt"]) == ("c", "2031-01-02T03:04:05Z")
    assert (held.account_role.name if held.account_role else None) == "MEMBER"
    assert [role.name for _, role in (*held.organizations, *held.spaces)] == ["READ_ONLY", "MEMBER"]


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("bob", {"spaceRole": "admin"}, "role_above_own"),
        ("bob", {"accountOrganizationRole": "admin"}, "role_above_own"),
        ("bob", {"accountRole": "admin"}, "role_above_own"),
        ("alice", {"spaceRole": "annotator"}, "not_allowed"),
        ("alice", {"accountOrganizationRole": "annotator"}, "not_allowed"),
        ("charlie", {}, "forbidden"),
        ("dana", {}, "developer_access_off"),
        ("erin", {}, "not_found"),
        ("mallory", {}, "not_found"),
        ("bob", {"name": ""}, "invalid"),
        ("bob", {"name": "a\nb"}, "invalid"),
        ("bob", {"name": "x" * 257}, "invalid"),
        ("bob", {"description": "x" * 1001}, "invalid"),
        ("bob", {"expiresAt": "2020-01-01T00:00:00Z"}, "bad_lifetime"),
        ("bob", {"spaceId": encode_id("Organization", 1)}, "invalid"),
        ("bob", {"spaceId": "production"}, "invalid"),
    ],
)
def test_service_key_that_may_not_be_is_refused(cast: Cast, name: str, change: dict[str, Any], code: str) -> None:
    given = {"name": "n", "spaceId": encode_id("Space", cast.production.pk)} | change

    assert asker(getattr(cast, name)).codes(SERVICE, input=given) == [code]
    assert not ApiKey.objects.filter(kind="SERVICE").exists()


USER = """mutation($input: CreateUserApiKeyInput!) { createUserApiKey(input: $input) {
  apiKey keyInfo { name description expiresAt keyType createdBy { name } user { name } } clientMutationId } }"""


def test_user_key_is_made_and_opens(cast: Cast) -> None:
    given = {"name": " laptop ", "description": "d", "expiresAt": "2031-01-01T00:00:00+02:00", "clientMutationId": "x"}

    found = asker(cast.bob).data(USER, input=given)["createUserApiKey"]

    assert found == {
        "apiKey": found["apiKey"],
        "keyInfo": {
            "name": "laptop",
            "description": "d",
            "expiresAt": "2030-12-31T22:00:00Z",
            "keyType": "user",
            "createdBy": {"name": "Bob Baker"},
            "user": {"name": "Bob Baker"},
        },
        "clientMutationId": "x",
    }
    new = NewKey(ApiKey.objects.get(name="laptop"), found["apiKey"])
    assert Asker(new).data("{ viewer { user { name } } }") == {"viewer": {"user": {"name": "Bob Baker"}}}


def test_user_key_that_may_not_be_is_refused(cast: Cast) -> None:
    service = Asker(service_key(cast.alice, cast.production))

    assert asker(cast.dana).codes(USER, input={"name": "n"}) == ["developer_access_off"]
    assert service.codes(USER, input={"name": "n"}) == ["forbidden"]
    Account.objects.filter(pk=cast.account.pk).update(developer_access_locked=True)
    given = {"name": "n", "spaceId": encode_id("Space", cast.production.pk)}
    assert service.codes(SERVICE, input=given) == ["developer_access_locked"]


REFRESH = """mutation($input: RefreshApiKeyInput!) { refreshApiKey(input: $input) {
  apiKey keyInfo { id redactedKey status } clientMutationId } }"""


def test_key_gets_a_new_secret(cast: Cast, keys: dict[str, NewKey]) -> None:
    bob, before = asker(cast.bob), keys["bobs"]

    found = bob.data(REFRESH, input={"apiKeyId": before.key.wire_id, "clientMutationId": "r"})["refreshApiKey"]

    key = ApiKey.objects.get(pk=before.key.pk)
    assert found == {
        "apiKey": found["apiKey"],
        "keyInfo": {"id": key.wire_id, "redactedKey": key.redacted_key, "status": "active"},
        "clientMutationId": "r",
    }
    assert Asker(NewKey(key, found["apiKey"])).post("{ viewer { user { name } } }").status_code == 200
    assert Asker(before).post("{ viewer { user { name } } }").status_code == 401


def test_old_secret_goes_on_for_the_grace_period(cast: Cast, keys: dict[str, NewKey]) -> None:
    before = keys["bobs"]

    asker(cast.bob).data(REFRESH, input={"apiKeyId": before.key.wire_id, "gracePeriodSeconds": 60})

    assert Asker(before).post("{ viewer { user { name } } }").status_code == 200


@pytest.mark.parametrize(
    ("name", "which", "change", "code"),
    [
        ("bob", "nightly", {}, "forbidden"),
        ("bob", "lab", {}, "key_not_found"),
        ("mallory", "bobs", {}, "key_not_found"),
        ("bob", "bobs", {"gracePeriodSeconds": 86_401}, "invalid"),
        ("bob", "bobs", {"gracePeriodSeconds": -1}, "invalid"),
        ("bob", "laptop", {}, "bad_lifetime"),
        ("bob", "laptop", {"expiresAt": "2090-01-01T00:00:00Z"}, "bad_lifetime"),
        ("alice", "dead", {}, "not_allowed"),
        ("bob", "over", {"expiresAt": "2090-01-01T00:00:00Z"}, "not_allowed"),
    ],
)
def test_refresh_that_may_not_be_is_refused(
    cast: Cast, keys: dict[str, NewKey], name: str, which: str, change: dict[str, Any], code: str
) -> None:
    given = {"apiKeyId": keys[which].key.wire_id} | change

    assert asker(getattr(cast, name)).codes(REFRESH, input=given) == [code]


REVOKE = """mutation($id: ID!) { revokeApiKey(input: {apiKeyId: $id, clientMutationId: "v"}) {
  keyInfo { id status } clientMutationId } }"""


def test_key_is_revoked_at_once_and_twice_is_once(cast: Cast, keys: dict[str, NewKey]) -> None:
    bob, key = asker(cast.bob), keys["bobs"]

    answers = [bob.data(REVOKE, id=key.key.wire_id) for _ in range(2)]

    assert (
        answers
        == [{"revokeApiKey": {"keyInfo": {"id": key.key.wire_id, "status": "revoked"}, "clientMutationId": "v"}}] * 2
    )
    assert Asker(key).post("{ viewer { user { name } } }").status_code == 401
    (event,) = AuditEvent.objects.filter(tag="key:revoke", target_id=key.key.pk)
    assert (event.door, event.operation_name, event.key_id) == (Door.GRAPHQL, "revokeApiKey", bob.key.key.pk)


def test_key_may_end_itself(cast: Cast) -> None:
    bob = asker(cast.bob)

    assert bob.data(REVOKE, id=bob.key.key.wire_id)["revokeApiKey"]["keyInfo"]["status"] == "revoked"
    assert bob.post("{ viewer { user { name } } }").status_code == 401


def test_revocation_that_may_not_be_is_refused(cast: Cast, keys: dict[str, NewKey]) -> None:
    assert asker(cast.bob).codes(REVOKE, id=keys["nightly"].key.wire_id) == ["forbidden"]
    assert asker(cast.charlie).codes(REVOKE, id=keys["nightly"].key.wire_id) == ["key_not_found"]
    assert asker(cast.mallory).codes(REVOKE, id=keys["nightly"].key.wire_id) == ["key_not_found"]
    assert ApiKey.objects.get(pk=keys["nightly"].key.pk).revoked_at is None


def test_answer_with_a_secret_does_not_show_it_when_printed(cast: Cast) -> None:  # security 42
    new = user_key(cast.bob, cast.account)

    payload = CreateUserApiKeyPayload(new=new, client_mutation_id=None)

    assert payload.api_key() == new.plaintext
    assert new.plaintext not in repr(payload)


def test_demotion_bites_on_the_next_call(cast: Cast, keys: dict[str, NewKey]) -> None:  # security 18
    bob = asker(cast.bob)
    text = "query($id: ID!) { node(id: $id) { ... on Space { apiKeys { edges { node { name } } } } } }"
    number = encode_id("Space", cast.production.pk)

    before = names(bob.data(text, id=number)["node"]["apiKeys"])
    asker(cast.alice).data(
        """mutation($user: ID!, $space: ID!) { assignSpaceMembership(input: {spaceMemberships: [
        {userId: $user, spaceId: $space, role: readOnly}]}) { clientMutationId } }""",
        user=encode_id("User", cast.bob.pk),
        space=number,
    )

    assert before == ["far", "bobs", "nightly"]
    assert bob.codes(text, id=number) == ["forbidden"]
