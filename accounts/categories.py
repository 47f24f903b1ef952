"""The permission names as people read them: by category, by what they are about, by what may be done to it.

A custom role is put together from these. What stands in which category is a matter of reading only; nothing is decided
by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from accounts.vocabulary import Permission

# In the order people think of them. Whatever else an action is called comes behind.
_ACTIONS = ("READ", "CREATE", "UPDATE", "DELETE", "ANNOTATE", "RUN", "TRIGGER", "RESTRICT", "REVOKE")


@dataclass(frozen=True)
class Resource:
    """What some permissions are about."""

    name: str
    label: str
    permissions: tuple[Permission, ...]

    @property
    def actions(self) -> str:
        """What there is to do with it, in one line."""
        return ", ".join(action_of(permission) for permission in self.permissions)


@dataclass(frozen=True)
class Category:
    """A part of the product, with what there is in it."""

    key: str
    label: str
    resources: tuple[Resource, ...]

    @property
    def permissions(self) -> tuple[Permission, ...]:
        """Everything that can be permitted in this part."""
        return tuple(permission for resource in self.resources for permission in resource.permissions)


@dataclass(frozen=True)
class Part:
    """Some of what can be done with one resource."""

    resource: Resource
    permissions: tuple[Permission, ...]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return len(self.permissions) == len(self.resource.permissions)

    @property
    def actions(self) -> str:
        """The actions in one line: "Read, create"."""
        return ", ".join(action_of(permission) for permission in self.permissions).capitalize()

    @property
    def shortly(self) -> str:
        """The same for where what there is stands beside it: "All", "All but restrict", "Read, create"."""
        if self.is_whole:
            return "All"
        missing = [permission for permission in self.resource.permissions if permission not in self.permissions]
        few = len(missing) == 1 and len(self.permissions) > 2
        return f"All but {action_of(missing[0])}" if few else self.actions


@dataclass(frozen=True)
class Difference:
    """What one set of permissions has beyond another, and what it lacks."""

    added: tuple[Part, ...]
    missing: tuple[Part, ...]

    @property
    def is_none(self) -> bool:
        """Whether the two permit the same."""
        return not self.added and not self.missing


def resource_name_of(permission: str) -> str:
    """Return what a permission is about: ``DATASET_EXAMPLE`` of ``DATASET_EXAMPLE_READ``."""
    return permission.rpartition("_")[0]


def action_of(permission: str) -> str:
    """Return what a permission lets one do, as a word."""
    return permission.rpartition("_")[2].lower()


def parts_of(permissions: Iterable[str], resources: Iterable[Resource] | None = None) -> tuple[Part, ...]:
    """Return some permissions by resource, in the order of the categories; names there are none of are left out."""
    wanted = set(permissions)
    parts = [
        Part(resource, tuple(permission for permission in resource.permissions if permission in wanted))
        for resource in (RESOURCES if resources is None else resources)
    ]
    return tuple(part for part in parts if part.permissions)


def difference(permissions: Iterable[str], base: Iterable[str]) -> Difference:
    """Return what sets some permissions apart from others."""
    these, those = set(permissions), set(base)
    return Difference(added=parts_of(these - those), missing=parts_of(those - these))


def _resource(name: str, label: str) -> Resource:
    own = [permission for permission in Permission if resource_name_of(permission) == name]
    return Resource(name, label, tuple(sorted(own, key=lambda one: _ACTIONS.index(action_of(one).upper()))))


def _category(key: str, label: str, **resources: str) -> Category:
    return Category(key, label, tuple(_resource(name, words) for name, words in resources.items()))


CATEGORIES: tuple[Category, ...] = (
    _category(
        "projects",
        "Projects and traces",
        PROJECT="Projects",
        PROJECT_SPAN="Spans",
        PROJECT_SPAN_EVAL_FEEDBACK="Feedback on evaluations of spans",
        TRACE_VIEW="Saved views of traces",
    ),
    _category(
        "datasets",
        "Datasets",
        DATASET="Datasets",
        DATASET_EXAMPLE="Examples in datasets",
        DATASET_VIEW="Saved views of datasets",
        FILE_IMPORT="File imports",
        DATA_FABRIC_CONNECTOR="Data Fabric connectors",
    ),
    _category(
        "experiments",
        "Experiments and evaluation",
        EXPERIMENT="Experiments",
        EXPERIMENT_RUN="Runs of experiments",
        EXPERIMENT_EVAL_TASK="Evaluation tasks on experiments",
        PROJECT_EVAL_TASK="Evaluation tasks on projects",
        EVALUATOR="Evaluators",
    ),
    _category(
        "prompts",
        "Prompts and playground",
        PROMPT="Prompts",
        PROMPT_OPTIMIZE_TASK="Prompt optimization tasks",
        PLAYGROUND="Playground",
        PLAYGROUND_VIEW="Saved views of the playground",
        ALYX="Alyx, the assistant",
    ),
    _category(
        "annotation",
        "Annotation",
        ANNOTATION_CONFIG="Annotation configurations",
        QUEUE="Labeling queues",
        QUEUE_RECORD="Records in queues",
    ),
    _category(
        "monitoring",
        "Models and monitoring",
        ML_MODEL="ML models",
        MONITOR="Monitors",
        CUSTOM_METRIC="Custom metrics",
        COST_CONFIG="Cost configurations",
        DASHBOARD="Dashboards",
        DASHBOARD_TEMPLATE="Dashboard templates",
    ),
    _category(
        "integrations",
        "Agents and integrations",
        AI_PROVIDER="AI providers",
        LLM_INTEGRATION="LLM integrations",
        REMOTE_ENDPOINT_INTEGRATION="Remote endpoints",
        MANAGED_AGENT="Managed agents",
        AGENT_ROLE="Agent roles",
    ),
    _category(
        "space",
        "The space itself",
        SPACE="Spaces",
        ROLE_BINDING="Custom roles of members",
        SERVICE_KEY="Service keys",
        TAG="Tags",
    ),
    _category(
        "account",
        "Account and organizations",
        ORGANIZATION="Organizations",
        USER="People",
        USER_PERMISSION="Permissions of people",
        ROLE="Custom roles",
    ),
)

RESOURCES: tuple[Resource, ...] = tuple(resource for category in CATEGORIES for resource in category.resources)

# Asked about the account or an organization, never about a space: held in a space, they open nothing.
WITHOUT_EFFECT_IN_SPACES: frozenset[Permission] = frozenset(CATEGORIES[-1].permissions) | {Permission.SPACE_CREATE}
