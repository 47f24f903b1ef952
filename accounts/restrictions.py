"""Restricting projects: in a restricted one, only roles given in the project itself count (contract rest-v2 §10)."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q, QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.errors import Forbidden, NotFound
from accounts.models import Project, Space
from accounts.permissions import may, may_see, permitted, seen_by
from accounts.verbs import verb
from accounts.vocabulary import Permission


def restricted_projects(actor: Actor) -> QuerySet[Project]:
    """Return the restricted projects whose restriction the actor may lift."""
    return _manageable(actor).filter(restricted_at__isnull=False)


def find_restrictable(actor: Actor, number: int) -> Project:
    """Return a project that the actor may know of: they see it, or are somebody who may restrict it.

    Raises:
        NotFound: there is none, or the actor may not know.
    """
    known = Q(pk__in=seen_by(actor, Project)) | Q(pk__in=_manageable(actor))
    project = Project.objects.filter(known, pk=number).select_related("space__organization").first()
    if project is None:
        raise NotFound("There is no such project, or you have no access to it.")
    return project


@verb(Tag.PROJECT_RESTRICTED)
def restrict_project(actor: Actor, project: Project, *, at: datetime) -> Project:
    """Let only roles given in the project itself count there from now on, whoever it is. Idempotent.

    Raises:
        NotFound: the project is gone, or not the actor's to see.
        Forbidden: the actor may not.
    """
    project = _locked(actor, project)
    if project.restricted_at is None:
        project.restricted_at = at
        project.save(update_fields=["restricted_at"])
        record(actor, Tag.PROJECT_RESTRICTED, project, at=at, space=project.space.name)
    return project


@verb(Tag.PROJECT_UNRESTRICTED)
def unrestrict_project(actor: Actor, project: Project, *, at: datetime) -> Project:
    """Let roles from above count in the project again.

    Raises:
        NotFound: it is not restricted, is gone, or is not the actor's to see.
        Forbidden: the actor may not.
    """
    project = _locked(actor, project)
    if project.restricted_at is None:
        raise NotFound(f"“{project}” is not restricted.")
    project.restricted_at = None
    project.save(update_fields=["restricted_at"])
    record(actor, Tag.PROJECT_UNRESTRICTED, project, at=at, space=project.space.name)
    return project


def _manageable(actor: Actor) -> QuerySet[Project]:
    """Return the projects that the actor may restrict: in their spaces, or where they themselves hold the permission.

    Those who run the space can lift a restriction that keeps themselves out.
    """
    rows = Project.objects.filter(space__organization__account=actor.require_account())
    if actor.is_operator:
        return rows
    if actor.user is None:
        return rows.none()
    of_space = permitted(actor.user, Permission.PROJECT_RESTRICT, Space)
    return rows.filter(Q(space__in=of_space) | Q(pk__in=permitted(actor.user, Permission.PROJECT_RESTRICT, Project)))


def _locked(actor: Actor, project: Project) -> Project:
    """Return the row as it is now that nobody else changes it.

    The account's lock is held, so what is asked of roles stays true; the row's own is for who writes to the project.
    """
    rows = Project.objects.select_for_update(of=("self",)).select_related("space__organization")
    found = rows.filter(pk=project.pk).first()
    wanted = Permission.PROJECT_RESTRICT
    if found is not None and (may(actor, wanted, found.space) or may(actor, wanted, found)):
        return found
    if found is None or not may_see(actor, found):
        raise NotFound("There is no such project, or you have no access to it.")
    raise Forbidden(f"You need the permission {wanted} in “{found.space}”. Ask one of its admins.", permission=wanted)
