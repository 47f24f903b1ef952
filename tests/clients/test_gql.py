"""gql 3 and gql 4, unmodified, at ``POST /graphql``: they read the schema, ask, change, and raise what they should.

Contract client-workflows §14 and rest-v2 §14.9.
"""

from __future__ import annotations

import re

import pytest

from accounts.models import Organization, SpaceBinding
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.clients.libraries import Call
from tests.factories import SpaceFactory
from tests.workflows.rows import dataset, project

pytestmark = pytest.mark.django_db(transaction=True)

VIEWER = "{ viewer { user { name } spaces { edges { node { id name } } } } }"
SPACES = """
query spaces($id: ID!, $after: String) {
  node(id: $id) {
    ... on AccountOrganization {
      spaces(first: 5, after: $after) { edges { node { name } } pageInfo { hasNextPage endCursor } }
    }
  }
}
"""
CREATE_USER_KEY = """
mutation make($input: CreateUserApiKeyInput!) {
  createUserApiKey(input: $input) { apiKey keyInfo { id name status redactedKey } }
}
"""
REFRESH = "mutation($input: RefreshApiKeyInput!) { refreshApiKey(input: $input) { apiKey keyInfo { id } } }"
REVOKE = "mutation($input: RevokeApiKeyInput!) { revokeApiKey(input: $input) { keyInfo { status } } }"
CREATE_ORGANIZATION = """
mutation($input: CreateOrganizationMutationInput!) { createOrganization(input: $input) { organization { id name } } }
"""
DATA = """
query ($id: ID!, $search: String, $exact: Boolean) {
  node(id: $id) {
    ... on Space {
      models(first: 5, search: $search, useExactSearchMatch: $exact) { edges { node { id name } } }
      datasets(first: 5) { edges { node { name } } }
    }
  }
}
"""
NODE = "query ($id: ID!) { node(id: $id) { __typename } }"
# In the shape of the prompt hub of SDK 7.54.0.
PUSH = """
mutation push(
  $spaceId: ID!, $name: String!, $commitMessage: String!, $format: PromptVersionInputVariableFormatEnum!
  $provider: ExternalLLMProvider!, $model: String, $messages: [LLMMessageInput!]!
  $invocation: InvocationParamsInput!, $providerParams: ProviderParamsInput!
) {
  createPrompt(input: {
    spaceId: $spaceId, name: $name, commitMessage: $commitMessage, inputVariableFormat: $format, provider: $provider,
    model: $model, messages: $messages, invocationParams: $invocation, providerParams: $providerParams
  }) { prompt { id name } }
}
"""
PULL = """
query pull($spaceId: ID!) {
  node(id: $spaceId) {
    ... on Space {
      prompts(first: 1) {
        edges {
          node {
            id messages llmParameters
            toolChoice { ... on ToolChoiceTool { tool } ... on ToolChoiceChoice { choice } }
          }
        }
      }
    }
  }
}
"""
REMOVE = "mutation($input: RemoveSpaceMemberMutationInput!) { removeSpaceMember(input: $input) { clientMutationId } }"


def test_reads_the_schema(cast: Cast, gql: Call, bobs: str) -> None:
    schema = gql(bobs, "schema").ok()

    # Wherever it is named, by the letter: documents of clients declare variables of these types.
    for field in (
        "viewer: Viewer!",
        "account: Account!",
        "node(",
        "createServiceApiKey(input: CreateServiceApiKeyInput!)",
        "createUserApiKey(input: CreateUserApiKeyInput!)",
        "refreshApiKey(input: RefreshApiKeyInput!)",
        "revokeApiKey(input: RevokeApiKeyInput!)",
        "createOrganization(input: CreateOrganizationMutationInput!)",
        "createSpace(input: CreateSpaceMutationInput!)",
        "updateSpace(input: UpdateSpaceMutationInput!)",
        "assignSpaceMembership(input: AssignSpaceMembershipMutationInput!)",
        "removeSpaceMember(input: RemoveSpaceMemberMutationInput!)",
        "createPrompt(input: CreatePromptMutationInput!)",
        "createPromptVersion(input: CreatePromptVersionMutationInput!)",
        "inputVariableFormat: PromptVersionInputVariableFormatEnum!",
        "provider: ExternalLLMProvider!",
        "messages: [LLMMessageInput!]!",
        "invocationParams: InvocationParamsInput!",
        "providerParams: ProviderParamsInput!",
    ):
        assert re.search(rf"^  {re.escape(field)}", schema, re.MULTILINE), field
    assert "type AccountOrganization implements Node {" in schema
    assert "union ToolChoice = ToolChoiceTool | ToolChoiceChoice" in schema


def test_asks(cast: Cast, gql: Call, bobs: str) -> None:
    SpaceFactory.create_batch(4, organization=cast.fraud)
    names, after, pages = [], None, 0

    viewer = gql(bobs, "execute", document=VIEWER).ok()["viewer"]
    while True:
        variables = {"id": encode_id("Organization", cast.fraud.pk), "after": after}
        spaces = gql(bobs, "execute", document=SPACES, variables=variables).ok()["node"]["spaces"]
        names += [edge["node"]["name"] for edge in spaces["edges"]]
        after, pages = spaces["pageInfo"]["endCursor"], pages + 1
        if not spaces["pageInfo"]["hasNextPage"]:
            break

    assert viewer["user"] == {"name": "Bob Baker"}
    assert viewer["spaces"]["edges"][0]["node"] == {"id": encode_id("Space", cast.production.pk), "name": "production"}
    assert (pages, names) == (2, [space.name for space in cast.fraud.spaces.order_by("pk")])


def test_the_life_of_a_key(cast: Cast, gql: Call, bobs: str) -> None:
    made = gql(bobs, "execute", document=CREATE_USER_KEY, variables={"input": {"name": "laptop"}}).ok()
    secret, info = made["createUserApiKey"]["apiKey"], made["createUserApiKey"]["keyInfo"]
    this = {"apiKeyId": info["id"]}

    assert (info["name"], info["status"], info["redactedKey"]) == ("laptop", "active", f"{secret[:6]}...{secret[-3:]}")
    assert gql(secret, "execute", document=VIEWER).ok()["viewer"]["user"]["name"] == "Bob Baker"

    fresh = gql(bobs, "execute", document=REFRESH, variables={"input": this}).ok()["refreshApiKey"]["apiKey"]
    assert gql(secret, "schema").kind == "TransportServerError"
    assert gql(fresh, "schema").ok()

    revoked = gql(bobs, "execute", document=REVOKE, variables={"input": this}).ok()
    assert revoked == {"revokeApiKey": {"keyInfo": {"status": "revoked"}}}
    assert gql(fresh, "schema").kind == "TransportServerError"
    assert ApiKey.objects.get(name="laptop").revoked_at is not None


def test_administers(cast: Cast, gql: Call, alices: str) -> None:
    made = gql(alices, "execute", document=CREATE_ORGANIZATION, variables={"input": {"name": "Growth"}}).ok()
    where = {"spaceId": encode_id("Space", cast.production.pk), "userId": encode_id("User", cast.bob.pk)}
    removed = gql(alices, "execute", document=REMOVE, variables={"input": {**where, "clientMutationId": "m 1"}}).ok()

    growth = Organization.objects.get(name="Growth")
    assert made["createOrganization"]["organization"] == {"id": encode_id("Organization", growth.pk), "name": "Growth"}
    assert removed == {"removeSpaceMember": {"clientMutationId": "m 1"}}
    assert not SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).exists()


def test_finds_a_model_by_its_name_and_reads_what_lies_in_a_space(cast: Cast, gql: Call, charlies: str) -> None:
    for name in ("fraud", "fraud 2"):
        project(cast.production, name, kind="ML_MODEL")
    dataset(cast.production, "golden")
    variables = {"id": encode_id("Space", cast.production.pk), "search": "fraud", "exact": True}

    space = gql(charlies, "execute", document=DATA, variables=variables).ok()["node"]

    (model,) = space["models"]["edges"]
    assert model["node"]["name"] == "fraud"
    assert gql(charlies, "execute", document=NODE, variables={"id": model["node"]["id"]}).ok() == {
        "node": {"__typename": "Model"}
    }
    assert [edge["node"]["name"] for edge in space["datasets"]["edges"]] == ["golden"]


def test_pushes_a_prompt_and_pulls_it(cast: Cast, gql: Call, bobs: str, charlies: str) -> None:
    space = encode_id("Space", cast.production.pk)
    values = {
        "spaceId": space,
        "name": "greeting",
        "commitMessage": "first",
        "format": "F_STRING",
        "provider": "vertexAI",
        "messages": [{"role": "user", "content": "Greet {name} ☃"}],
        "invocation": {"temperature": 0.5, "toolConfig": {"toolChoice": {"choice": "auto"}}},
        "providerParams": {},
    }

    made = gql(bobs, "execute", document=PUSH, variables=values).ok()["createPrompt"]["prompt"]
    pulled = gql(charlies, "execute", document=PULL, variables={"spaceId": space}).ok()["node"]["prompts"]["edges"]
    refused = gql(charlies, "execute", document=PUSH, variables=values | {"name": "another"})

    assert [edge["node"] for edge in pulled] == [
        {
            "id": made["id"],
            "messages": values["messages"],
            "toolChoice": {"choice": "auto"},
            "llmParameters": {"temperature": 0.5},
        }
    ]
    assert refused.kind == "TransportQueryError"
    assert refused.errors is not None
    assert refused.errors[0]["extensions"] == {"code": "forbidden", "status": 403}


@pytest.mark.parametrize("header", ["x-api-key", "Authorization"])
def test_bad_key_is_a_transport_server_error(cast: Cast, gql: Call, bobs: str, header: str) -> None:
    for call, arguments in (("schema", {}), ("execute", {"document": VIEWER})):
        refused = gql("ak-nonsense", call, header=header, **arguments)
        assert (refused.kind, refused.status) == ("TransportServerError", 401)
        assert gql(bobs, call, header=header, **arguments).ok()


def test_refusals_are_query_errors_with_a_code(cast: Cast, gql: Call, bobs: str) -> None:
    lab = encode_id("Space", cast.vision_lab.pk)
    for document, variables, code, status in (
        (CREATE_ORGANIZATION, {"name": "Growth"}, "forbidden", 403),
        (REMOVE, {"spaceId": lab, "userId": encode_id("User", cast.erin.pk)}, "not_found", 404),
        (REVOKE, {"apiKeyId": "nonsense"}, "invalid", 400),
        (REVOKE, {"apiKeyId": encode_id("ApiKey", 999_999)}, "key_not_found", 404),
    ):
        refused = gql(bobs, "execute", document=document, variables={"input": variables})
        assert refused.kind == "TransportQueryError"
        assert refused.errors is not None
        assert [error["extensions"] for error in refused.errors] == [{"code": code, "status": status}]
    assert not Organization.objects.filter(name="Growth").exists()


def test_what_does_not_fit_the_schema_is_not_even_sent(cast: Cast, gql: Call, bobs: str) -> None:
    refused = gql(bobs, "execute", document="{ viewer { secrets } }")

    assert refused.kind == "GraphQLError"
    assert "Cannot query field 'secrets' on type 'Viewer'" in refused.text
