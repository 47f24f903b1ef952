"""The prompt hub of the vendor's SDK 7.54.0 (contract client-workflows §14).

Names and arguments are those of the SDK's documents: it reads the schema first and sends only what fits it.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

import strawberry
from django.db.models import OuterRef, Q
from strawberry import Parent, Private
from strawberry.scalars import JSON

from accounts.errors import NotFound
from accounts.models import Space as SpaceRow
from accounts.paging import paginate_each
from accounts.permissions import find_seen
from accounts.schema.inquiry import Info, Inquiry
from accounts.schema.mutations import one_line
from accounts.schema.queries import Finder
from accounts.schema.relay import DEFAULT_FIRST, Connection, Node, Slice, connection, extend, told
from accounts.schema.types import Space
from accounts.vocabulary import Permission
from accounts.wire import decode_id
from apikeys.workflows import models
from apikeys.workflows.inventory import find_known
from apikeys.workflows.prompts import create_prompt, create_version
from apikeys.workflows.schema.data import or_refused, readable
from apikeys.workflows.uses import Workflow, note


@strawberry.enum(description="How the places for values are written in a prompt: {so}, or {{so}}.")
class PromptVersionInputVariableFormatEnum(Enum):
    """How variables are written."""

    F_STRING = "F_STRING"
    MUSTACHE = "MUSTACHE"


@strawberry.enum(description="Whose model a prompt is for.")
class ExternalLLMProvider(Enum):
    """The providers that clients know."""

    openAI = "openAI"  # noqa: N815 -- as it is written on the wire
    azureOpenAI = "azureOpenAI"  # noqa: N815
    awsBedrock = "awsBedrock"  # noqa: N815
    vertexAI = "vertexAI"  # noqa: N815
    custom = "custom"


@strawberry.enum(description="Who says a message.")
class LLMMessageRole(Enum):
    """The roles in a conversation."""

    system = "system"
    user = "user"
    assistant = "assistant"
    tool = "tool"


@strawberry.type(description="One tool has to be used.")
class ToolChoiceTool:
    """A tool by itself."""

    tool: JSON


@strawberry.type(description="Whether tools may be used, or have to be: none, auto, required.")
class ToolChoiceChoice:
    """A word."""

    choice: str


ToolChoice = Annotated[ToolChoiceTool | ToolChoiceChoice, strawberry.union("ToolChoice")]


@strawberry.type(description="A prompt as of one of its versions: the last, unless another was asked for.")
class Prompt(Node):
    """A prompt that the caller may read."""

    row: Private[models.Prompt]
    version: Private[models.PromptVersion]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return self.row.wire_id

    @told("The name, unique in the space.")
    def name(self) -> str:
        """Return the name."""
        return self.row.name

    @told("What it is for.")
    def description(self) -> str:
        """Return the description."""
        return self.row.description

    @told("Words to find it by.")
    def tags(self) -> list[str]:
        """Return the tags."""
        return list(self.row.tags)

    @told("The version that is shown here.")
    def version_id(self) -> strawberry.ID:
        """Return the version's id."""
        return strawberry.ID(self.version.wire_id)

    @told("Its number: 1 for the first.")
    def version_number(self) -> int:
        """Return the version's number."""
        return self.version.number

    @told("Why the version was made.")
    def commit_message(self) -> str:
        """Return the message."""
        return self.version.commit_message

    @told("The messages, as they were sent.")
    def messages(self) -> JSON:
        """Return the messages."""
        return JSON(self.version.content["messages"])

    @told("How the places for values are written.")
    def input_variable_format(self) -> PromptVersionInputVariableFormatEnum:
        """Return the format."""
        return PromptVersionInputVariableFormatEnum(self.version.content["inputVariableFormat"])

    @told("Whether tools have to be used, and which. Null: not said.")
    def tool_choice(self) -> ToolChoice | None:
        """Return the choice."""
        chosen = self._tools.get("toolChoice") or {}
        if chosen.get("tool") is not None:
            return ToolChoiceTool(tool=chosen["tool"])
        return ToolChoiceChoice(choice=chosen["choice"]) if chosen.get("choice") is not None else None

    @told("The tools there are. Null: none.")
    def tool_calls(self) -> JSON | None:
        """Return the tools."""
        tools = self._tools.get("tools")
        return None if tools is None else JSON(tools)

    @told("Temperature and the like, and what the provider wants to know besides.")
    def llm_parameters(self) -> JSON:
        """Return the parameters under the names that the SDK sends them by."""
        content = self.version.content
        parameters = {name: value for name, value in content["invocationParams"].items() if name != "toolConfig"}
        provider = dict(content["providerParams"])
        return JSON(parameters | (provider.pop("customProviderParams", None) or {}) | provider)

    @told("Whose model it is for.")
    def provider(self) -> ExternalLLMProvider:
        """Return the provider."""
        return ExternalLLMProvider(self.version.content["provider"])

    @told("The model it is for.")
    def model_name(self) -> str | None:
        """Return the model's name."""
        name: str | None = self.version.content["model"]
        return name

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told("When its last version was made.")
    def updated_at(self) -> datetime:
        """Return the moment."""
        return self.row.updated_at

    @property
    def _tools(self) -> dict[str, Any]:
        return self.version.content["invocationParams"].get("toolConfig") or {}


@strawberry.type(description="What a prompt says as of one commit.")
class PromptVersion:
    """A version that was just made."""

    row: Private[models.PromptVersion]

    @told("The ID, by which `prompts(versionId:)` finds it.")
    def id(self) -> strawberry.ID:
        """Return the id."""
        return strawberry.ID(self.row.wire_id)

    @told("Its number: 1 for the first.")
    def number(self) -> int:
        """Return the number."""
        return self.row.number

    @told("Why it was made.")
    def commit_message(self) -> str:
        """Return the message."""
        return self.row.commit_message


@strawberry.input(description="One message of a prompt.")
class LLMMessageInput:
    """One message of a prompt."""

    role: LLMMessageRole
    content: str | None = None
    image_urls: list[str] | None = None
    tool_calls: list[JSON] | None = None
    tool_call_id: str | None = None


@strawberry.input(description="Whether tools may or have to be used, in a word or by the tool itself.")
class ToolChoiceInput:
    """Whether tools have to be used."""

    choice: str | None = None
    tool: JSON | None = None


@strawberry.input(description="The tools there are.")
class ToolConfigInput:
    """The tools there are."""

    tools: list[JSON] | None = None
    tool_choice: ToolChoiceInput | None = None


@strawberry.input(description="How a model is to be called.")
class InvocationParamsInput:
    """How a model is to be called."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_k: int | None = None
    tool_config: ToolConfigInput | None = None


@strawberry.input(description="What a provider wants to know besides. No credentials: everybody in the space reads it.")
class ProviderParamsInput:
    """What a provider wants to know besides."""

    azure_params: JSON | None = None
    anthropic_headers: JSON | None = None
    custom_provider_params: JSON | None = None
    anthropic_version: str | None = None
    region: str | None = None
    bedrock_options: JSON | None = None


@strawberry.input(description="A new prompt with its first version.")
class CreatePromptMutationInput:
    """A new prompt with its first version."""

    space_id: strawberry.ID
    name: str
    commit_message: str
    input_variable_format: PromptVersionInputVariableFormatEnum
    provider: ExternalLLMProvider
    messages: list[LLMMessageInput]
    invocation_params: InvocationParamsInput
    provider_params: ProviderParamsInput
    model: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    client_mutation_id: str | None = None


@strawberry.input(description="A new version of a prompt.")
class CreatePromptVersionMutationInput:
    """A new version of a prompt."""

    space_id: strawberry.ID
    prompt_id: strawberry.ID
    commit_message: str
    input_variable_format: PromptVersionInputVariableFormatEnum
    provider: ExternalLLMProvider
    messages: list[LLMMessageInput]
    invocation_params: InvocationParamsInput
    provider_params: ProviderParamsInput
    model: str | None = None
    client_mutation_id: str | None = None


@strawberry.type(description="The new prompt.")
class CreatePromptMutationPayload:
    """The new prompt."""

    prompt: Prompt
    client_mutation_id: str | None


@strawberry.type(description="The new version, and the prompt that has it.")
class CreatePromptVersionMutationPayload:
    """The new version."""

    prompt_version: PromptVersion
    prompt: Prompt
    client_mutation_id: str | None


@strawberry.type
class PromptMutations:
    """What is done with prompts."""

    @told("Create a prompt with its first version.", access="PROMPT_CREATE in the space.")
    def create_prompt(self, info: Info, input: CreatePromptMutationInput) -> CreatePromptMutationPayload | None:
        """Create a prompt."""
        actor = info.context.acting(info)
        version = create_prompt(
            actor,
            find_seen(actor, SpaceRow, decode_id(input.space_id, "Space", field="spaceId")),
            name=one_line(input.name, "name"),
            description=input.description or "",
            tags=input.tags or [],
            commit_message=input.commit_message,
            content=_content(input),
            at=info.context.at,
        )
        _note(info.context, Workflow.PROMPT_WRITE, version.prompt.space)
        prompt = Prompt(row=version.prompt, version=version)
        return CreatePromptMutationPayload(prompt=prompt, client_mutation_id=input.client_mutation_id)

    @told(
        "Give a prompt a new version, which is the one that is read from now on.",
        access="PROMPT_READ and PROMPT_UPDATE in the space.",
    )
    def create_prompt_version(
        self, info: Info, input: CreatePromptVersionMutationInput
    ) -> CreatePromptVersionMutationPayload | None:
        """Give a prompt a new version."""
        actor = info.context.acting(info)
        version = create_version(
            actor,
            find_seen(actor, SpaceRow, decode_id(input.space_id, "Space", field="spaceId")),
            decode_id(input.prompt_id, "Prompt", field="promptId"),
            commit_message=input.commit_message,
            content=_content(input),
            at=info.context.at,
        )
        _note(info.context, Workflow.PROMPT_WRITE, version.prompt.space)
        return CreatePromptVersionMutationPayload(
            prompt_version=PromptVersion(row=version),
            prompt=Prompt(row=version.prompt, version=version),
            client_mutation_id=input.client_mutation_id,
        )


@told(
    "Its prompts, newest first, each as of its last version. `name` is the whole name, `search` a part of name or "
    "description. `versionId` finds one version; `versionLabel` the version with that number of each prompt: labels of "
    "one's own are not kept.",
    access="PROMPT_READ in the space.",
)
def _prompts_of_space(
    root: Parent[Space],
    info: Info,
    first: int | None = DEFAULT_FIRST,
    after: str | None = None,
    search: str | None = None,
    version_id: strawberry.ID | None = None,
    name: str | None = None,
    version_label: str | None = None,
) -> Connection[Prompt] | None:
    """Return a space's prompts."""
    inquiry, which = info.context, Slice.of(first, after)
    version = None if version_id is None else decode_id(version_id, "PromptVersion", field="versionId")
    asked = (search or "", name, version, version_label)
    found = root.peers.ask(("prompts", asked, which), lambda rows: _prompts_in(inquiry, rows, asked, which))
    page = or_refused(found, root, Permission.PROMPT_READ)
    root.peers.ask("prompts were read", lambda rows: _note(inquiry, Workflow.PROMPT_READ, root.row))
    return page


extend(Space, prompts=_prompts_of_space)

FINDERS: dict[str, Finder] = {
    "Prompt": lambda inquiry, number: _latest(find_known(inquiry.actor, models.Prompt, number)),
}


def _note(inquiry: Inquiry, workflow: Workflow, space: SpaceRow) -> None:
    """Count that the caller's key was used for a workflow, once it is done."""
    note(inquiry.actor, workflow, client=inquiry.client, space=space, at=inquiry.at)


def _latest(row: models.Prompt) -> Prompt:
    version = row.versions.order_by("-number").first()
    if version is None:
        raise NotFound("There is no such prompt, or you have no access to it.")
    return Prompt(row=row, version=version)


def _prompts_in(
    inquiry: Inquiry, spaces: list[SpaceRow], asked: tuple[str, str | None, int | None, str | None], which: Slice
) -> dict[int, Connection[Prompt]]:
    search, name, version, label = asked
    every = models.Prompt.objects.all()
    wanted = every
    if search:
        wanted = wanted.filter(Q(name__icontains=search) | Q(description__icontains=search))
    if name is not None:
        wanted = wanted.filter(name=name)
    if version is not None:
        wanted = wanted.filter(versions=version)
    if label is not None:
        wanted = wanted.filter(versions__number=_number_in(label))
    pages = paginate_each(
        readable(inquiry, spaces, Permission.PROMPT_READ),
        wanted.filter(space=OuterRef("pk")),
        rows=every,
        cursor=which.cursor,
        limit=which.limit,
    )
    shown = _shown([row.pk for page in pages.values() for row in page.items], version, label)
    return {
        number: connection(page, lambda row: Prompt(row=row, version=shown[row.pk]), which)
        for number, page in pages.items()
    }


def _shown(prompts: list[int], version: int | None, label: str | None) -> dict[int, models.PromptVersion]:
    """Return the version of each prompt that is shown: the one asked for, or the last."""
    rows = models.PromptVersion.objects.filter(prompt__in=prompts)
    if version is not None:
        rows = rows.filter(pk=version)
    if label is not None:
        rows = rows.filter(number=_number_in(label))
    return {row.prompt_id: row for row in rows.order_by("prompt", "-number").distinct("prompt")}


def _number_in(label: str) -> int:
    """Return the number of a version that a label is, or 0, which no version has."""
    return int(label) if label.isascii() and label.isdecimal() and len(label) < 10 else 0


def _content(input: CreatePromptMutationInput | CreatePromptVersionMutationInput) -> dict[str, Any]:
    """Return what a version says as it was sent: by the names of the wire, and without what was left out."""
    return {
        "messages": [_sent(message) for message in input.messages],
        "inputVariableFormat": input.input_variable_format.value,
        "provider": input.provider.value,
        "model": input.model,
        "invocationParams": _sent(input.invocation_params),
        "providerParams": _sent(input.provider_params),
    }


def _sent(value: Any) -> Any:
    """Return an input as JSON has it. What is JSON already stays as it is."""
    if isinstance(value, Enum):
        return value.value
    if not is_dataclass(value):
        return value
    parts = {field.name: getattr(value, field.name) for field in fields(value)}
    return {_camel(name): _sent(part) for name, part in parts.items() if part is not None}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)
