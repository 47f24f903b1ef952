"""The prompt hub: pushed and pulled as the vendor's SDK 7.54.0 does it, by those who may, and told in the audit log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accounts.audit import Tag
from accounts.models import AuditEvent
from accounts.roles import RoleName
from accounts.wire import encode_id
from apikeys.workflows.models import Prompt, PromptVersion
from apikeys.workflows.prompts import MAX_CONTENT
from tests.asking import Asker, asker, names, nodes
from tests.cast import Cast
from tests.factories import PersonFactory, bind, custom_role

pytestmark = pytest.mark.django_db

CREATE = """
mutation ($input: CreatePromptMutationInput!) { createPrompt(input: $input) { prompt { id name } } }
"""
ADD = """
mutation ($input: CreatePromptVersionMutationInput!) {
  createPromptVersion(input: $input) { promptVersion { id number } prompt { commitMessage } }
}
"""
# As the SDK asks, but for the arguments that it leaves out.
PULL = """
query ($id: ID!, $first: Int, $after: String, $search: String, $versionId: ID, $name: String, $versionLabel: String) {
  node(id: $id) { ... on Space {
    prompts(
      first: $first, after: $after, search: $search, versionId: $versionId, name: $name, versionLabel: $versionLabel
    ) {
      edges { node {
        id name description tags commitMessage messages inputVariableFormat
        toolChoice { ... on ToolChoiceTool { tool } ... on ToolChoiceChoice { choice } }
        toolCalls llmParameters provider modelName versionId versionNumber
      } }
      pageInfo { hasNextPage endCursor }
    }
  } }
}
"""
TOOL = {"type": "function", "function": {"name": "weather", "description": "", "parameters": {"type": "object"}}}


def wanted(cast: Cast, name: str | None = "greeting", **changed: Any) -> dict[str, Any]:
    """Return what a client sends to create a prompt."""
    return {
        "spaceId": encode_id("Space", cast.production.pk),
        **({} if name is None else {"name": name, "description": "Says hello", "tags": ["a", "b"]}),
        "commitMessage": "first",
        "inputVariableFormat": "F_STRING",
        "provider": "openAI",
        "model": "GPT_4o",
        "messages": [{"role": "system", "content": "Be kind.\n"}, {"role": "user", "content": "Greet {name} 👋"}],
        "invocationParams": {"temperature": 0.5, "maxTokens": 7, "stop": ["."]},
        "providerParams": {},
        **changed,
    }


def pulled(asking: Asker, cast: Cast, **asked: Any) -> list[dict[str, Any]]:
    """Return the prompts of production."""
    found = asking.data(PULL, id=encode_id("Space", cast.production.pk), **asked)["node"]["prompts"]
    return nodes(found)


def test_what_is_pushed_is_pulled(cast: Cast) -> None:
    asking = asker(cast.bob)

    made = asking.data(CREATE, input=wanted(cast))["createPrompt"]["prompt"]

    (row,) = Prompt.objects.all()
    (found,) = pulled(asker(cast.charlie), cast)
    assert made == {"id": row.wire_id, "name": "greeting"}
    assert found == {
        "id": row.wire_id,
        "name": "greeting",
        "description": "Says hello",
        "tags": ["a", "b"],
        "commitMessage": "first",
        "messages": [{"role": "system", "content": "Be kind.\n"}, {"role": "user", "content": "Greet {name} 👋"}],
        "inputVariableFormat": "F_STRING",
        "toolChoice": None,
        "toolCalls": None,
        "llmParameters": {"temperature": 0.5, "maxTokens": 7, "stop": ["."]},
        "provider": "openAI",
        "modelName": "GPT_4o",
        "versionId": row.versions.get().wire_id,
        "versionNumber": 1,
    }


def test_tools_and_what_a_provider_wants_come_back(cast: Cast) -> None:
    asking = asker(cast.bob)
    invocation = {"toolConfig": {"tools": [TOOL], "toolChoice": {"choice": "auto"}}}
    provider = {"region": "eu", "customProviderParams": {"customModelEndpoint": {"url": "https://llm.example.com"}}}
    by_name = {"toolConfig": {"tools": [TOOL], "toolChoice": {"tool": TOOL}}}

    asking.data(CREATE, input=wanted(cast, "word", invocationParams=invocation, providerParams=provider))
    asking.data(CREATE, input=wanted(cast, "tool", invocationParams=by_name))

    tool, word = pulled(asking, cast)
    assert (word["toolChoice"], word["toolCalls"]) == ({"choice": "auto"}, [TOOL])
    assert word["llmParameters"] == {"region": "eu", "customModelEndpoint": {"url": "https://llm.example.com"}}
    assert tool["toolChoice"] == {"tool": TOOL}


def test_versions_follow_one_another_and_each_is_found(cast: Cast) -> None:
    asking = asker(cast.bob)
    asking.data(CREATE, input=wanted(cast, "other"))
    prompt = asking.data(CREATE, input=wanted(cast))["createPrompt"]["prompt"]["id"]

    added = asking.data(
        ADD, input=wanted(cast, None, promptId=prompt, commitMessage="second", provider="vertexAI", model=None)
    )["createPromptVersion"]

    first, second = PromptVersion.objects.filter(prompt__name="greeting").order_by("number")
    assert added == {"promptVersion": {"id": second.wire_id, "number": 2}, "prompt": {"commitMessage": "second"}}
    assert [one["commitMessage"] for one in pulled(asking, cast)] == ["second", "first"]
    for asked, found in (
        ({"name": "greeting"}, [("greeting", 2)]),
        ({"name": "greet"}, []),
        ({"search": "GREET"}, [("greeting", 2)]),
        ({"search": "says"}, [("greeting", 2), ("other", 1)]),
        ({"versionId": first.wire_id}, [("greeting", 1)]),
        ({"versionId": encode_id("PromptVersion", 999_999)}, []),
        ({"name": "greeting", "versionLabel": "1"}, [("greeting", 1)]),
        ({"name": "other", "versionLabel": "2"}, []),
        ({"name": "greeting", "versionLabel": "production"}, []),
        ({"first": 1}, [("greeting", 2)]),
    ):
        assert [(one["name"], one["versionNumber"]) for one in pulled(asking, cast, **asked)] == found, asked
    node = "query ($id: ID!) { node(id: $id) { ... on Prompt { versionNumber createdAt updatedAt } } }"
    assert asking.data(node, id=prompt)["node"]["versionNumber"] == 2


def test_making_and_adding_are_in_the_audit_log(cast: Cast) -> None:
    asking = asker(cast.bob)
    prompt = asking.data(CREATE, input=wanted(cast))["createPrompt"]["prompt"]["id"]
    asking.data(ADD, input=wanted(cast, None, promptId=prompt))

    made, added = AuditEvent.objects.filter(tag__startswith="prompt:").order_by("pk")

    assert (made.tag, made.operation_name, made.target_label) == (Tag.PROMPT_CREATED, "createPrompt", "greeting")
    assert (added.tag, added.operation_name) == (Tag.PROMPT_VERSION_CREATED, "createPromptVersion")
    assert (made.details, added.details) == ({"space": "production"}, {"space": "production", "version": 2})


@pytest.mark.parametrize(
    ("permissions", "create", "add"),
    [
        ((), ["forbidden"], ["forbidden"]),
        (("PROMPT_READ",), ["forbidden"], ["forbidden"]),
        (("PROMPT_CREATE",), [], ["forbidden"]),
        (("PROMPT_UPDATE",), ["forbidden"], ["forbidden"]),
        (("PROMPT_READ", "PROMPT_UPDATE"), ["forbidden"], []),
    ],
    ids=" ".join,
)
def test_each_takes_its_own_permission(
    cast: Cast, permissions: tuple[str, ...], create: list[str], add: list[str]
) -> None:
    prompt = asker(cast.bob).data(CREATE, input=wanted(cast))["createPrompt"]["prompt"]["id"]
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    bind(person, cast.production, custom_role(cast.account, "editor", "SPACE_READ", *permissions))
    asking, before = asker(person), PromptVersion.objects.count()

    assert asking.codes(CREATE, input=wanted(cast, "another")) == create
    assert asking.codes(ADD, input=wanted(cast, None, promptId=prompt)) == add
    assert PromptVersion.objects.count() == before + (not create) + (not add)
    # Who may not read prompts hears the same of one that is not there.
    nothing = wanted(cast, None, promptId=encode_id("Prompt", 999_999))
    assert asking.codes(ADD, input=nothing) == (["not_found"] if "PROMPT_READ" in permissions else ["forbidden"])


def test_to_strangers_there_is_neither_space_nor_prompt(cast: Cast) -> None:
    prompt = asker(cast.bob).data(CREATE, input=wanted(cast))["createPrompt"]["prompt"]["id"]
    stranger = asker(cast.mallory)
    own = {"spaceId": encode_id("Space", cast.elsewhere.pk)}

    assert stranger.codes(CREATE, input=wanted(cast, "another")) == ["not_found"]
    assert stranger.codes(ADD, input=wanted(cast, None, promptId=prompt)) == ["not_found"]
    assert stranger.codes(ADD, input=wanted(cast, None, promptId=prompt) | own) == ["not_found"]
    assert Prompt.objects.count() == PromptVersion.objects.count() == 1


def test_what_cannot_be_kept_is_refused_and_nothing_is_stored(cast: Cast) -> None:
    asking = asker(cast.bob)
    secret = asking.key.plaintext

    def message(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text}]

    deep: Any = {}
    for _ in range(200):
        deep = {"in": deep}
    for changed in (
        {"name": ""},
        {"name": "two\nlines"},
        {"messages": message("\x00")},
        {"messages": message("\ud800")},
        {"messages": message(f"use {secret}")},
        {"messages": message("x" * MAX_CONTENT)},
        {"tags": ["x" * 256]},
        {"tags": ["x"] * 51},
        {"commitMessage": "x" * 1001},
        {"description": "\x00"},
        {"providerParams": {"azureParams": deep}},
    ):
        answer = asking.answer(CREATE, input=wanted(cast, **changed))
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["invalid"], changed
        assert secret not in json.dumps(answer)
    assert not Prompt.objects.exists()


def test_a_number_that_is_none_is_refused(cast: Cast) -> None:
    text = CREATE.replace("$input: CreatePromptMutationInput!", "$spaceId: ID!").replace(
        "input: $input",
        """input: {spaceId: $spaceId, name: "x", commitMessage: "", inputVariableFormat: F_STRING, provider: custom,
            messages: [], invocationParams: {}, providerParams: {azureParams: {x: 1e999}}}""",
    )

    assert asker(cast.bob).codes(text, spaceId=encode_id("Space", cast.production.pk)) == ["invalid"]


def test_a_name_is_taken_once(cast: Cast) -> None:
    asking = asker(cast.bob)
    asking.data(CREATE, input=wanted(cast))

    assert asking.codes(CREATE, input=wanted(cast)) == ["conflict"]
    assert asking.codes(CREATE, input=wanted(cast) | {"spaceId": encode_id("Space", cast.staging.pk)}) == []
    assert names(asking.data(PULL, id=encode_id("Space", cast.production.pk))["node"]["prompts"]) == ["greeting"]
