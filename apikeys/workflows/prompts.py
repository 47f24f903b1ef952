"""Prompts: named texts for models, kept in versions of which none is ever changed (contract client-workflows §14)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.changes import clean_name
from accounts.errors import Conflict, Invalid, NotFound
from accounts.models import Space
from accounts.permissions import require
from accounts.redaction import KEY_PATTERN, is_storable
from accounts.verbs import verb
from accounts.vocabulary import Permission
from apikeys.workflows.models import Prompt, PromptVersion

MAX_DESCRIPTION = 1000
MAX_TAGS = 50
MAX_TAG = 255
# In characters, as JSON: some hundred pages. What a model would read in one piece is far less.
MAX_CONTENT = 500_000
_DEEPEST = 50


@verb(Tag.PROMPT_CREATED)
def create_prompt(
    actor: Actor,
    space: Space,
    *,
    name: str,
    description: str = "",
    tags: Sequence[str] = (),
    commit_message: str = "",
    content: Mapping[str, Any],
    at: datetime,
) -> PromptVersion:
    """Create a prompt with its first version.

    Raises:
        NotFound, Forbidden: the space is not the actor's to see, or to add prompts to.
        Invalid: something in it cannot be kept, or is too long.
        Conflict: the name is taken in the space.
    """
    require(actor, Permission.PROMPT_CREATE, space)
    prompt = Prompt(
        space=space,
        name=clean_name(name),
        description=_text(description, MAX_DESCRIPTION, "description"),
        tags=_tags(tags),
        created_at=at,
        updated_at=at,
        last_writer=actor.label[:600],
    )
    try:
        with transaction.atomic():
            prompt.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(
            f"“{space}” already has a prompt “{prompt.name}”. Add a version to that one.", field="name"
        ) from error
    version = _add(actor, prompt, 1, commit_message, content, at)
    record(actor, Tag.PROMPT_CREATED, prompt, at=at, space=space.name)
    return version


@verb(Tag.PROMPT_VERSION_CREATED)
def create_version(
    actor: Actor, space: Space, number: int, *, commit_message: str = "", content: Mapping[str, Any], at: datetime
) -> PromptVersion:
    """Give the prompt of that number a new version, which is the one that is read from now on.

    Raises:
        NotFound, Forbidden: the space is not the actor's to see, or its prompts are not theirs to read, or to change.
        NotFound: the space has no such prompt.
        Invalid: something in it cannot be kept, or is too long.
    """
    # Whoever may not read prompts hears the same whether or not there is this one.
    require(actor, Permission.PROMPT_READ, space)
    prompt = Prompt.objects.select_for_update().filter(space=space, pk=number).first()
    if prompt is None:
        raise NotFound("There is no such prompt in this space.", field="promptId")
    require(actor, Permission.PROMPT_UPDATE, space)
    last = prompt.versions.order_by("-number").values_list("number", flat=True)[0]
    version = _add(actor, prompt, last + 1, commit_message, content, at)
    prompt.updated_at, prompt.last_writer = at, actor.label[:600]
    prompt.save(update_fields=["updated_at", "last_writer"])
    record(actor, Tag.PROMPT_VERSION_CREATED, prompt, at=at, space=space.name, version=version.number)
    return version


def _add(
    actor: Actor, prompt: Prompt, number: int, message: str, content: Mapping[str, Any], at: datetime
) -> PromptVersion:
    return PromptVersion.objects.create(
        prompt=prompt,
        number=number,
        commit_message=_text(message, MAX_DESCRIPTION, "commitMessage"),
        content=_kept(content),
        created_at=at,
        created_by_name=actor.label[:600],
    )


def _tags(tags: Sequence[str]) -> list[str]:
    if len(tags) > MAX_TAGS:
        raise Invalid(f"A prompt has at most {MAX_TAGS} tags.", field="tags")
    return [_text(tag, MAX_TAG, "tags") for tag in tags]


def _text(text: str, limit: int, field: str) -> str:
    if len(text) > limit:
        raise Invalid(f"This may have at most {limit} characters.", field=field)
    _require_storable(text, field)
    return text


def _kept(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a version says, after a look at every part of it: anything at all may be in a JSON value."""
    for value in _leaves(content):
        if isinstance(value, str):
            _require_storable(value, "messages")
        elif isinstance(value, float) and not math.isfinite(value):
            raise Invalid("A number has to be finite.", field="messages")
    if len(json.dumps(content)) > MAX_CONTENT:
        raise Invalid(f"A prompt has at most {MAX_CONTENT} characters in all.", field="messages")
    return dict(content)


def _require_storable(text: str, field: str) -> None:
    """Refuse what PostgreSQL cannot keep, and keys: prompts are shown to everybody in the space."""
    if not is_storable(text):
        raise Invalid("A NUL or half a character cannot be kept.", field=field)
    if KEY_PATTERN.search(text):
        raise Invalid("There is an API key in this; prompts are shown to others. Take it out.", field=field)


def _leaves(value: Any) -> Iterator[Any]:
    """Yield all values and names in a value of JSON.

    Raises:
        Invalid: it is nested too deeply to be written down again.
    """
    level = [value]
    for _ in range(_DEEPEST):
        inside: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                inside += [*one.keys(), *one.values()]
            elif isinstance(one, list):
                inside += one
            else:
                yield one
        if not inside:
            return
        level = inside
    raise Invalid(f"A prompt has at most {_DEEPEST} levels.", field="messages")
