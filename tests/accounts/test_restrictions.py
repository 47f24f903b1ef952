"""Restricting projects and lifting that: who may, what counts from then on, and what is told (contract rest-v2 §10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.audit import Tag
from accounts.errors import Forbidden, NotFound
from accounts.models import AuditEvent, Project, SpaceBinding, User
from accounts.restrictions import find_restrictable, restrict_project, restricted_projects, unrestrict_project
from accounts.roles import RoleName
from accounts.trail import actions, tell
from tests.cast import Cast
from tests.factories import ProjectFactory, acting, bind, custom_role, later

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(cast: Cast) -> Project:
    """One in production, which nothing restricts."""
    return ProjectFactory.create(space=cast.production, name="fraud-model")


def _restricted(project: Project) -> bool:
    return Project.objects.get(pk=project.pk).is_restricted


def _runs_space(cast: Cast, user: User) -> None:
    SpaceBinding.objects.filter(user=user, content_object=cast.production).delete()
    bind(user, cast.production, RoleName.ADMIN)


def test_from_then_on_only_roles_in_the_project_itself_count(cast: Cast, project: Project) -> None:
    bind(cast.dana, project, RoleName.ANNOTATOR)
    assert cast.bob.has_perm("accounts.project_span_create", project)

    restrict_project(cast.actor(cast.alice), project, at=timezone.now())

    for user in (cast.alice, cast.bob, cast.charlie):
        assert not user.has_perm("accounts.project_read", Project.objects.get())
    assert cast.dana.has_perm("accounts.project_span_annotate", Project.objects.get())

    unrestrict_project(cast.actor(cast.alice), project, at=timezone.now())

    assert cast.bob.has_perm("accounts.project_span_create", Project.objects.get())


def test_both_are_told_under_projects(cast: Cast, project: Project) -> None:
    at = later(seconds=-5)
    restrict_project(cast.actor(cast.alice, Door.REST), project, at=at)
    unrestrict_project(cast.actor(cast.alice), project, at=timezone.now())

    first, second = AuditEvent.objects.order_by("pk")
    assert (first.tag, first.at, first.door) == (Tag.PROJECT_RESTRICTED, at, "rest")
    assert (first.target_type, first.target_id, first.target_label) == ("Project", project.pk, "fraud-model")
    assert second.tag == Tag.PROJECT_UNRESTRICTED
    told = tell(first, ip=None)
    assert (told.action, told.target, told.facts) == ("Restricted a project", "fraud-model", [("Space", "production")])
    assert {"project", first.tag, second.tag} <= {tag for tag, _ in dict(actions())["Projects"]}


def test_restricting_twice_keeps_the_first_moment_and_tells_once(cast: Cast, project: Project) -> None:
    first = restrict_project(cast.actor(cast.alice), project, at=later(seconds=-5))

    again = restrict_project(cast.actor(cast.alice), project, at=timezone.now())

    assert again.restricted_at == first.restricted_at
    assert AuditEvent.objects.count() == 1


def test_what_is_not_restricted_cannot_be_freed(cast: Cast, project: Project) -> None:
    with pytest.raises(NotFound, match="is not restricted"):
        unrestrict_project(cast.actor(cast.alice), project, at=timezone.now())

    assert not AuditEvent.objects.filter(outcome="SUCCEEDED").exists()


def test_admins_of_the_space_may_and_free_what_keeps_themselves_out(cast: Cast, project: Project) -> None:
    _runs_space(cast, cast.bob)
    bob = cast.actor(cast.bob)

    restrict_project(bob, project, at=timezone.now())
    assert not cast.bob.has_perm("accounts.project_read", Project.objects.get())
    unrestrict_project(bob, project, at=timezone.now())

    assert not _restricted(project)


@pytest.mark.parametrize("where", ["production", "project"])
def test_whoever_holds_the_permission_in_the_space_or_in_the_project_may(
    cast: Cast, project: Project, where: str
) -> None:
    role = custom_role(cast.account, "restricter", "PROJECT_RESTRICT", "PROJECT_READ")
    bind(cast.charlie, project if where == "project" else cast.production, role)
    charlie = cast.actor(cast.charlie)

    restrict_project(charlie, project, at=timezone.now())
    assert list(restricted_projects(charlie)) == [project]
    unrestrict_project(charlie, project, at=timezone.now())

    beside = ProjectFactory.create(space=cast.production)
    if where == "project":
        with pytest.raises(Forbidden):
            restrict_project(charlie, beside, at=timezone.now())


def test_members_of_the_space_may_not_and_that_is_recorded(cast: Cast, project: Project) -> None:
    with pytest.raises(Forbidden, match="PROJECT_RESTRICT in “production”"):
        restrict_project(cast.actor(cast.bob), project, at=timezone.now())

    refusal = AuditEvent.objects.get()
    assert (refusal.tag, refusal.outcome) == (Tag.PROJECT_RESTRICTED, "REFUSED")
    assert not _restricted(project)


def test_whoever_is_in_a_restricted_project_without_running_it_may_not_free_it(cast: Cast, project: Project) -> None:
    bind(cast.charlie, project, RoleName.MEMBER)
    restrict_project(cast.actor(cast.alice), project, at=timezone.now())

    with pytest.raises(Forbidden):
        unrestrict_project(cast.actor(cast.charlie), project, at=timezone.now())
    with pytest.raises(NotFound):  # Bob may not even know of it
        unrestrict_project(cast.actor(cast.bob), project, at=timezone.now())

    assert _restricted(project)


def test_what_one_may_not_see_is_not_found_whether_or_not_it_is_there(cast: Cast, project: Project) -> None:
    restrict_project(cast.actor(cast.alice), project, at=timezone.now())
    private, foreign = (ProjectFactory.create(space=space) for space in (cast.vision_lab, cast.elsewhere))
    said = set()

    for number in (project.pk, private.pk, foreign.pk, 10**9):
        with pytest.raises(NotFound) as refusal:
            find_restrictable(cast.actor(cast.bob), number)
        said.add(refusal.value.detail)
    for one in (private, foreign):
        with pytest.raises(NotFound) as refusal:
            restrict_project(cast.actor(cast.bob), one, at=timezone.now())
        said.add(refusal.value.detail)

    assert len(said) == 1
    assert not _restricted(private)


def test_a_key_of_another_account_reaches_nothing(cast: Cast, project: Project) -> None:
    bind(cast.mallory, cast.account, RoleName.ADMIN)
    at_home = acting(cast.mallory, cast.elsewhere.organization.account)

    with pytest.raises(NotFound):
        restrict_project(at_home, project, at=timezone.now())
    restrict_project(cast.actor(cast.mallory), project, at=timezone.now())

    assert not restricted_projects(at_home).exists()


def test_a_project_that_went_meanwhile_is_not_found(cast: Cast, project: Project) -> None:
    Project.objects.all().delete()

    with pytest.raises(NotFound):
        restrict_project(cast.actor(cast.alice), project, at=timezone.now())


def test_the_list_holds_what_one_may_free(cast: Cast, project: Project) -> None:
    ProjectFactory.create(space=cast.production)
    private = ProjectFactory.create(space=cast.vision_lab, restricted_at=timezone.now())
    ProjectFactory.create(space=cast.elsewhere, restricted_at=timezone.now())
    restrict_project(cast.actor(cast.alice), project, at=timezone.now())
    bind(cast.charlie, project, RoleName.MEMBER)

    assert set(restricted_projects(cast.actor(cast.alice))) == {project, private}
    assert set(restricted_projects(Actor.from_command(cast.account))) == {project, private}
    for user in (cast.bob, cast.charlie, cast.erin):
        assert not restricted_projects(cast.actor(user)).exists()


@pytest.mark.parametrize("projects", [1, 3])
def test_the_list_is_one_query(cast: Cast, projects: int, django_assert_num_queries: Callable[[int], Any]) -> None:
    ProjectFactory.create_batch(projects, space=cast.production, restricted_at=timezone.now())

    with django_assert_num_queries(1):
        assert len(restricted_projects(cast.actor(cast.alice))) == projects
