"""What goes with a scope: held before it goes, in the order in which uploads hold it.

Whoever records holds the account's log until the end. An upload has its key, then the space that something new is put
into, or else its dataset, experiment or project, and then the log: a deletion that had the log first and waited for one
of those would wait for ever.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from accounts.models import Organization, Project, Space
from apikeys.policy import bound_only_at
from apikeys.workflows.models import Dataset, Experiment


def on_scope_locking(*, scope: Organization | Space, **_: Any) -> None:
    """Wait for uploads into a scope, and let no more begin to write."""
    spaces = scope.spaces.all() if isinstance(scope, Organization) else Space.objects.filter(pk=scope.pk)
    hold(bound_only_at(scope).filter(revoked_at__isnull=True))
    hold(spaces)  # whatever is new has been put into them by now, or finds them gone
    hold(Dataset.objects.filter(space__in=spaces))
    hold(Experiment.objects.filter(space__in=spaces))
    hold(Project.objects.filter(space__in=spaces))


def hold(rows: QuerySet[Any]) -> list[Any]:
    """Lock rows in the order of their numbers, and return these; whoever only refers to one need not wait."""
    return list(rows.order_by("pk").select_for_update(no_key=True, of=("self",)).values_list("pk", flat=True))
