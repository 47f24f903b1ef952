"""Projects: what spans and predictions are logged to. Uploads name them, and the first one makes them."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.changes import change, clean_name, save_new
from accounts.errors import Conflict, NotFound
from accounts.models import Project, ProjectKind, Space
from accounts.permissions import find_seen, may_see, require, seen_by
from accounts.tenancy import withdrawn_with
from accounts.verbs import verb
from accounts.vocabulary import Permission
from apikeys.workflows.leaving import hold
from apikeys.workflows.models import Experiment, Table

# What it takes to make, change and delete a project of each kind; reading one is PROJECT_READ for both.
_CREATE = {ProjectKind.TRACING: Permission.PROJECT_CREATE, ProjectKind.ML_MODEL: Permission.ML_MODEL_CREATE}
_UPDATE = {ProjectKind.TRACING: Permission.PROJECT_UPDATE, ProjectKind.ML_MODEL: Permission.ML_MODEL_UPDATE}
_DELETE = {ProjectKind.TRACING: Permission.PROJECT_DELETE, ProjectKind.ML_MODEL: Permission.ML_MODEL_DELETE}


def list_projects(actor: Actor, space: Space | None = None) -> QuerySet[Project]:
    """Return the projects that the actor may know of, of one space or of all."""
    projects = seen_by(actor, Project)
    return projects if space is None else projects.filter(space=space)


def find_project(actor: Actor, *, number: int) -> Project:
    """Return a project.

    Raises:
        NotFound: there is none, or the actor may not know of it.
    """
    return find_seen(actor, Project, number)


def find_named(actor: Actor, space: Space, *, name: str) -> Project:
    """Return the project of that name.

    Raises:
        Invalid: that is no name.
        NotFound: there is none, or the actor may not know of it.
    """
    project = _of_name(space, clean_name(name))
    if project is None or not may_see(actor, project):
        raise _no_such()
    return project


def find_for_upload(actor: Actor, space: Space, *, name: str, kind: ProjectKind | str) -> Project | None:
    """Return the project that an upload names, or ``None`` where the upload would make it and the actor may.

    What may be written to it is for the upload to ask. Whoever may make no projects learns nothing of those that they
    may not see.

    Raises:
        Invalid: that is no name.
        NotFound, Forbidden: the actor may not see the space, or make a project of that kind in it.
        Conflict: the name is that of a project of another kind.
    """
    kind, name = ProjectKind(kind), clean_name(name)
    project = _of_name(space, name)
    if project is None:
        require(actor, _CREATE[kind], space)
        return None
    if not may_see(actor, project):
        require(actor, _CREATE[kind], space)
        raise _no_such()
    if project.kind != kind:
        raise Conflict(
            f"“{project}” is the name of {_with_article(project)} in this space; choose another.", field="name"
        )
    return project


def find_or_create(actor: Actor, space: Space, *, name: str, kind: ProjectKind | str, at: datetime) -> Project:
    """Return the project that an upload names; the first upload makes it.

    Several that come first at the same moment get the same one.

    Raises:
        What :func:`find_for_upload` raises.
    """
    found = find_for_upload(actor, space, name=name, kind=kind)
    if found is not None:
        return found
    try:
        return create_project(actor, space, name=name, kind=kind, at=at)
    except Conflict:  # somebody else was first
        found = find_for_upload(actor, space, name=name, kind=kind)
        if found is None:
            raise
        return found


@verb(Tag.PROJECT_CREATED)
def create_project(
    actor: Actor, space: Space, *, name: str, kind: ProjectKind | str = ProjectKind.TRACING, at: datetime
) -> Project:
    """Create a project in a space.

    Raises:
        Invalid: that is no name.
        NotFound, Forbidden: the space is not the actor's to see, or to add to.
        Conflict: the name is taken in the space.
    """
    kind = ProjectKind(kind)
    require(actor, _CREATE[kind], space)
    project = Project(space=space, name=clean_name(name), kind=kind, updated_at=at, last_writer=actor.label)
    save_new(project, _taken(space, project.name))
    record(actor, Tag.PROJECT_CREATED, project, at=at, space=space.name, kind=kind.label)
    return project


@verb(Tag.PROJECT_CHANGED)
def rename_project(actor: Actor, project: Project, *, name: str, at: datetime) -> Project:
    """Give a project another name. Uploads that go on using the old one make a new project.

    Raises:
        Invalid: that is no name.
        NotFound, Forbidden: it is not the actor's to see, or to change.
        Conflict: the name is taken in the space.
    """
    require(actor, _UPDATE[ProjectKind(project.kind)], project)
    project = Project.objects.select_for_update(of=("self",)).select_related("space__organization").get(pk=project.pk)
    name = clean_name(name)
    return change(actor, Tag.PROJECT_CHANGED, project, _taken(project.space, name), at, name=name)


@verb(Tag.PROJECT_DELETED)
def delete_project(actor: Actor, project: Project, *, at: datetime) -> None:
    """Delete a project with everything logged to it and everybody's roles in it.

    Raises:
        NotFound, Forbidden: it is not the actor's to see, or to delete; or it was deleted meanwhile.
    """
    require(actor, _DELETE[ProjectKind(project.kind)], project)
    hold(Project.objects.filter(pk=project.pk))
    require(actor, _DELETE[ProjectKind(project.kind)], project)
    hold(Experiment.objects.filter(project=project))
    tables = list(Table.objects.filter(segment__project=project).values_list("pk", flat=True))
    record(actor, Tag.PROJECT_DELETED, project, at=at, space=project.space.name, **withdrawn_with(project))
    project.delete()
    Table.objects.filter(pk__in=tables).delete()


def _of_name(space: Space, name: str) -> Project | None:
    return Project.objects.filter(space=space, name=name).select_related("space__organization").first()


def _no_such() -> NotFound:
    return NotFound("There is no such project, or you have no access to it.")


def _taken(space: Space, name: str) -> str:
    return f"“{space}” already has a project “{name}”."


def _with_article(project: Project) -> str:
    return "an ML model" if project.kind == ProjectKind.ML_MODEL else "a tracing project"
