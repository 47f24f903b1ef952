"""Data and prompts over GraphQL: fields under a space, what their ids find, and what is done with prompts."""

from __future__ import annotations

from apikeys.workflows.schema import data, hub

FINDERS = {**data.FINDERS, **hub.FINDERS}
WorkflowMutations = hub.PromptMutations
