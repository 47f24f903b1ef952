"""What is done with what lies in a space: projects, datasets, experiments and prompts."""

from __future__ import annotations

from typing import Any

from accounts.audit import Tag
from accounts.models import Project
from accounts.permissions import find_seen, seen_by
from apikeys.workflows.inventory import find_known, known
from apikeys.workflows.models import Dataset, Experiment, Prompt
from apikeys.workflows.prompts import create_prompt, create_version
from tests.matrix.doors.browser import page
from tests.matrix.doors.graphql import mutation, node
from tests.matrix.doors.verbs import given, question, verb
from tests.matrix.doors.ways import Of, Way, wire
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.scene import Scene
from tests.workflows.rows import CONTENT


def _listed(field: str, name: Of[str]) -> Way:
    """Return how GraphQL lists something of the space."""
    return node(
        "Space",
        lambda scene: scene.space,
        f"{field} {{ edges {{ node {{ name }} }} }}",
        name=f"Space.{field}",
        shows=name,
    )


def _shown(show: str, name: Of[str]) -> Way:
    """Return how the space's Data page lists it."""
    return page("workflows:space-data", lambda scene: [scene.space], query=lambda scene: {"show": show}, shows=name)


def _version(scene: Scene) -> dict[str, Any]:
    return {"spaceId": wire(scene.space), "commitMessage": "new", **CONTENT}


DATA: dict[str, Operation] = {
    "list the projects of a space": operation(
        question(seen_by, lambda scene: given(Project), holds=lambda scene: scene.project),
        _listed("projects", lambda scene: scene.project.name),
        _listed("models", lambda scene: scene.project.name),
        _shown("projects", lambda scene: scene.project.name),
    ),
    "read about a project": operation(
        question(find_seen, lambda scene: given(Project, scene.project.pk)),
        node("Model", lambda scene: scene.project),
    ),
    "list the datasets of a space": operation(
        question(known, lambda scene: given(Dataset), holds=lambda scene: scene.dataset),
        _listed("datasets", lambda scene: scene.dataset.name),
        _shown("datasets", lambda scene: scene.dataset.name),
    ),
    "read about a dataset": operation(
        question(find_known, lambda scene: given(Dataset, scene.dataset.pk)),
        node("Dataset", lambda scene: scene.dataset),
        node("DatasetVersion", lambda scene: scene.dataset_version),
        node(
            "Dataset",
            lambda scene: scene.dataset,
            "versions { edges { node { id } } }",
            name="Dataset.versions",
            shows=lambda scene: scene.dataset_version.wire_id,
        ),
    ),
    "list the experiments of a space": operation(
        question(known, lambda scene: given(Experiment), holds=lambda scene: scene.experiment),
        _listed("experiments", lambda scene: scene.experiment.name),
        node(
            "Dataset",
            lambda scene: scene.dataset,
            "experiments { edges { node { name } } }",
            name="Dataset.experiments",
            shows=lambda scene: scene.experiment.name,
        ),
        _shown("experiments", lambda scene: scene.experiment.name),
    ),
    "read about an experiment": operation(
        question(find_known, lambda scene: given(Experiment, scene.experiment.pk)),
        node("Experiment", lambda scene: scene.experiment),
    ),
    "list the prompts of a space": operation(_listed("prompts", lambda scene: scene.prompt.name)),
    "read a prompt": operation(
        question(find_known, lambda scene: given(Prompt, scene.prompt.pk)),
        node("Prompt", lambda scene: scene.prompt),
    ),
    "create a prompt": operation(
        verb(create_prompt, lambda scene: given(scene.space, name="new", content=CONTENT)),
        mutation("createPrompt", lambda scene: {**_version(scene), "name": "new"}),
        changes="Prompt PromptVersion",
        event=Tag.PROMPT_CREATED,
    ),
    "add a version to a prompt": operation(
        verb(create_version, lambda scene: given(scene.space, scene.prompt.pk, content=CONTENT)),
        mutation("createPromptVersion", lambda scene: {**_version(scene), "promptId": wire(scene.prompt)}),
        changes="Prompt PromptVersion",
        event=Tag.PROMPT_VERSION_CREATED,
    ),
}
