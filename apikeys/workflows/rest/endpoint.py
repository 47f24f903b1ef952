"""What the addresses of the workflows have in common: larger bodies, and that their use is counted."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import Model, QuerySet
from django.utils import timezone

from accounts.models import Space
from accounts.rest.endpoint import Endpoint
from apikeys.authentication import client_name
from apikeys.workflows import uses
from apikeys.workflows.uses import Workflow

# Clients send up to 8 MB of rows in one body (contract client-workflows §10), and a little around them.
ROWS_BYTES = 9 * 2**20
M = TypeVar("M", bound=Model)


class WorkflowEndpoint(Endpoint):
    """One address of a workflow."""

    def note(self, workflow: Workflow, space: Space | None) -> None:
        """Count that a workflow was used, now that it is done."""
        uses.note(self.actor, workflow, client=client_name(self.request.META), space=space, at=timezone.now())


def in_spaces_named(rows: QuerySet[M], query: dict[str, str], *, space: str = "space") -> QuerySet[M]:
    """Narrow rows to those with a text in their names, and to those in spaces with one in theirs."""
    if query.get("space_name"):
        rows = rows.filter(**{f"{space}__name__icontains": query["space_name"]})
    return rows.filter(name__icontains=query["name"]) if query.get("name") else rows
