"""Rows about data for tests that look at nothing but rows: no file lies behind their tables."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

from django.utils import timezone

from accounts.models import Project, Space
from apikeys.workflows.models import (
    Dataset,
    DatasetVersion,
    Environment,
    Experiment,
    Prompt,
    PromptVersion,
    Segment,
    SegmentKind,
    Table,
)

_numbers = itertools.count(1)
WRITER = "Bob Baker <bob@example.com>"
CONTENT = {
    "messages": [{"role": "user", "content": "Greet {name}"}],
    "inputVariableFormat": "F_STRING",
    "provider": "openAI",
    "model": "gpt-4o",
    "invocationParams": {},
    "providerParams": {},
}


def table(space: Space, *, rows: int = 3, size: int = 2048) -> Table:
    """Return a table of so many rows and bytes."""
    file = f"test-{next(_numbers)}.parquet"
    return Table.objects.create(space=space, file=file, rows=rows, bytes=size, column_count=4, writer=WRITER)


def dataset(space: Space, name: str, *, versions: int = 1, rows: int = 3, size: int = 2048, **fields: Any) -> Dataset:
    """Return a dataset; each of its versions has a row more than the one before."""
    made = Dataset.objects.create(
        space=space, name=name, created_by_name=WRITER, **{"last_writer": WRITER, "kind": "GENERATIVE"} | fields
    )
    for number in range(1, versions + 1):
        own = table(space, rows=rows + number - 1, size=size)
        DatasetVersion.objects.create(dataset=made, number=number, name=f"v{number}", table=own)
    return made


def experiment(of: Dataset, name: str, *, posted: bool = True, rows: int = 3, **fields: Any) -> Experiment:
    """Return an experiment on the last version of a dataset."""
    version = of.versions.order_by("-number")[0]
    own = table(of.space, rows=rows) if posted else None
    return Experiment.objects.create(
        space=of.space, dataset=of, version=version, name=name, table=own, **{"last_writer": WRITER} | fields
    )


def project(
    space: Space, name: str, *, uploads: int = 1, rows: int = 3, restricted: bool = False, **fields: Any
) -> Project:
    """Return a project with some uploads, and evaluations over them."""
    made = Project.objects.create(
        space=space,
        name=name,
        restricted_at=timezone.now() if restricted else None,
        **{"last_writer": WRITER} | fields,
    )
    for _ in range(uploads):
        for kind in (SegmentKind.ROWS, SegmentKind.EVALUATIONS):
            own = table(space, rows=rows)
            Segment.objects.create(project=made, table=own, kind=kind, environment=Environment.TRACING)
    return made


def prompt(space: Space, name: str) -> Prompt:
    """Return a prompt with one version."""
    made = Prompt.objects.create(space=space, name=name, last_writer=WRITER)
    PromptVersion.objects.create(prompt=made, number=1, content=CONTENT, created_by_name=WRITER)
    return made


def written(row: Project | Dataset | Experiment, at: datetime) -> None:
    """Let something have been written to at a moment."""
    type(row)._default_manager.filter(pk=row.pk).update(updated_at=at)
