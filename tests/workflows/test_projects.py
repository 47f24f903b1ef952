"""Projects: made by whoever may, found by uploads, and unknown to those who may not see them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.utils import timezone

from accounts.audit import Tag
from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from accounts.models import AuditEvent, Project, ProjectKind
from apikeys.workflows import projects
from apikeys.workflows.models import Segment, Table
from apikeys.workflows.writing import writing
from tests.factories import bind, custom_role

if TYPE_CHECKING:
    from tests.cast import Cast

NOW = timezone.now()


def _tags() -> list[str]:
    return list(AuditEvent.objects.filter(tag__startswith="project:").order_by("pk").values_list("tag", flat=True))


def test_member_creates_project_and_it_is_recorded(cast: Cast) -> None:
    project = projects.create_project(cast.actor(cast.bob), cast.production, name=" chat ", at=NOW)

    assert (project.name, project.kind, project.last_writer) == ("chat", "TRACING", "Bob Baker <bob@example.com>")
    assert _tags() == [Tag.PROJECT_CREATED.value]
    event = AuditEvent.objects.get(tag=Tag.PROJECT_CREATED)
    assert (event.target_type, event.target_id, event.details["space"]) == ("Project", project.pk, "production")


@pytest.mark.parametrize(("person", "refusal"), [("charlie", Forbidden), ("dana", Forbidden), ("erin", NotFound)])
def test_nobody_else_creates_one(cast: Cast, person: str, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        projects.create_project(cast.actor(getattr(cast, person)), cast.production, name="chat", at=NOW)

    assert not Project.objects.exists()


def test_name_is_unique_in_its_space_only(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    projects.create_project(bob, cast.production, name="chat", at=NOW)
    projects.create_project(bob, cast.staging, name="chat", at=NOW)

    with pytest.raises(Conflict):
        projects.create_project(bob, cast.production, name="chat ", at=NOW)
    with pytest.raises(Invalid):
        projects.create_project(bob, cast.production, name=" ", at=NOW)


def test_upload_finds_the_project_it_names_or_makes_it(cast: Cast) -> None:
    bob = cast.actor(cast.bob)

    assert projects.find_for_upload(bob, cast.production, name="chat", kind=ProjectKind.TRACING) is None
    made = projects.find_or_create(bob, cast.production, name="chat", kind=ProjectKind.TRACING, at=NOW)
    found = projects.find_or_create(bob, cast.production, name="chat", kind=ProjectKind.TRACING, at=NOW)

    assert found == made
    assert projects.find_for_upload(bob, cast.production, name="chat", kind=ProjectKind.TRACING) == made
    assert _tags() == [Tag.PROJECT_CREATED.value]


def test_upload_of_spans_does_not_go_into_a_model(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    projects.find_or_create(bob, cast.production, name="fraud", kind=ProjectKind.ML_MODEL, at=NOW)

    with pytest.raises(Conflict, match="an ML model"):
        projects.find_or_create(bob, cast.production, name="fraud", kind=ProjectKind.TRACING, at=NOW)


def test_whoever_may_make_none_learns_nothing_of_hidden_ones(cast: Cast) -> None:
    projects.create_project(cast.actor(cast.bob), cast.production, name="open", at=NOW)
    projects.create_project(cast.actor(cast.bob), cast.production, name="secret", at=NOW)
    Project.objects.filter(name="secret").update(restricted_at=NOW)
    charlie = cast.actor(cast.charlie)

    said = set()
    for name in ("secret", "nowhere"):
        with pytest.raises(Forbidden) as refused:
            projects.find_for_upload(charlie, cast.production, name=name, kind=ProjectKind.TRACING)
        said.add(refused.value.detail)

    assert len(said) == 1
    assert projects.find_for_upload(charlie, cast.production, name="open", kind=ProjectKind.TRACING) is not None
    assert [project.name for project in projects.list_projects(charlie, cast.production)] == ["open"]
    with pytest.raises(NotFound):
        projects.find_named(charlie, cast.production, name="secret")
    with pytest.raises(NotFound):
        projects.find_or_create(cast.actor(cast.bob), cast.production, name="secret", kind="TRACING", at=NOW)


def test_renaming_keeps_names_unique(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    project = projects.create_project(bob, cast.production, name="chat", at=NOW)
    projects.create_project(bob, cast.production, name="taken", at=NOW)

    with pytest.raises(Conflict):
        projects.rename_project(bob, project, name="taken", at=NOW)
    with pytest.raises(Forbidden):
        projects.rename_project(cast.actor(cast.charlie), project, name="other", at=NOW)
    projects.rename_project(bob, project, name="dialogue", at=NOW)

    assert projects.find_project(bob, number=project.pk).name == "dialogue"
    assert AuditEvent.objects.get(tag=Tag.PROJECT_CHANGED, outcome="SUCCEEDED").details["before"] == {"name": "chat"}


def test_deleting_takes_what_was_logged_along(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    project = projects.create_project(bob, cast.production, name="chat", at=NOW)
    for number in range(2):
        table = Table.objects.create(
            space=cast.production, file=f"{number}.parquet", rows=1, bytes=1, column_count=1, writer="Bob"
        )
        Segment.objects.create(project=project, table=table, environment="TRACING")

    bind(cast.dana, project, custom_role(cast.account, "writes", "PROJECT_READ"))
    with pytest.raises(Forbidden):
        projects.delete_project(cast.actor(cast.charlie), project, at=NOW)
    projects.delete_project(bob, project, at=NOW)

    assert (Project.objects.count(), Segment.objects.count(), Table.objects.count()) == (0, 0, 0)
    assert _tags()[-1] == Tag.PROJECT_DELETED.value
    event = AuditEvent.objects.get(tag=Tag.PROJECT_DELETED, outcome="SUCCEEDED")
    assert [(one["user_id"], one["role"]) for one in event.details["withdrawn"]] == [(cast.dana.pk, "writes")]


def test_refusal_within_an_upload_is_recorded_once_the_upload_is_undone(cast: Cast) -> None:
    charlie = cast.actor(cast.charlie)

    with pytest.raises(Forbidden, match="PROJECT_CREATE"), writing(charlie, Tag.PROJECT_WRITTEN):
        projects.create_project(charlie, cast.production, name="chat", at=NOW)

    assert [event.tag for event in AuditEvent.objects.filter(outcome="REFUSED")] == [Tag.PROJECT_WRITTEN]


@pytest.mark.django_db(transaction=True)
def test_those_who_come_first_together_get_the_same_project(cast: Cast) -> None:
    def upload(_: int) -> int:
        try:
            bob = cast.actor(cast.bob)
            return projects.find_or_create(bob, cast.production, name="chat", kind=ProjectKind.TRACING, at=NOW).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(upload, range(4)))

    assert len(found) == 1
    assert Project.objects.count() == 1
