from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.bindings import bind_role, predefined, unbind_role
from accounts.errors import Forbidden, NotFound
from accounts.models import Account, AccountBinding, Organization, Project, Space, User
from accounts.permissions import find_seen, may, may_see, permitted, require, seen_by, visible
from accounts.roles import PREDEFINED, Level, RoleName
from accounts.standing import Standing
from accounts.tenancy import change_space
from accounts.vocabulary import Permission
from tests.cast import Cast
from tests.factories import PersonFactory, ProjectFactory, SpaceFactory, bind, custom_role, service_key

pytestmark = pytest.mark.django_db

# One permission for each set of roles that has it: the others behave as these do.
KINDS = {
    frozenset((role.level, role.name) for role in PREDEFINED if permission in role.permissions): permission
    for permission in [*Permission, Permission.SERVICE_KEY_READ, Permission.SPACE_DELETE]
}

# What a reader of projects, a writer to them and whoever runs their space hold.
IN_PROJECTS = (Permission.PROJECT_READ, Permission.PROJECT_SPAN_CREATE, Permission.PROJECT_RESTRICT)


def _spaces(user: User, permission: Permission = Permission.SPACE_READ) -> set[str]:
    return {f"{space.organization.name}/{space.name}" for space in permitted(user, permission, Space)}


def test_account_admin_is_admin_everywhere_in_the_account(cast: Cast) -> None:
    assert _spaces(cast.alice, Permission.SPACE_DELETE) == {
        "Fraud & Risk/production",
        "Fraud & Risk/staging",
        "Research/vision-lab",
    }


def test_members_see_what_they_are_in(cast: Cast) -> None:
    assert _spaces(cast.bob) == {"Fraud & Risk/production", "Fraud & Risk/staging"}
    assert _spaces(cast.erin) == {"Research/vision-lab"}


def test_public_space_falls_back_to_the_organization_role(cast: Cast) -> None:
    # Dana has a space role in production only, and the organization role Annotator.
    assert _spaces(cast.dana) == {"Fraud & Risk/production", "Fraud & Risk/staging"}
    assert _spaces(cast.dana, Permission.QUEUE_RECORD_ANNOTATE) == _spaces(cast.dana)


def test_space_role_decides_where_there_is_one(cast: Cast) -> None:
    newcomer = PersonFactory.create()
    bind(newcomer, cast.account, RoleName.MEMBER)
    bind(newcomer, cast.fraud, RoleName.MEMBER)
    bind(newcomer, cast.production, RoleName.READ_ONLY)

    assert _spaces(newcomer, Permission.DATASET_CREATE) == {"Fraud & Risk/staging"}


def test_admin_in_one_space_and_reader_in_another(cast: Cast) -> None:
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    bind(person, cast.fraud, RoleName.READ_ONLY)
    bind(person, cast.production, RoleName.ADMIN)

    assert _spaces(person, Permission.SPACE_UPDATE) == {"Fraud & Risk/production"}
    assert _spaces(person, Permission.DATASET_READ) == {"Fraud & Risk/production", "Fraud & Risk/staging"}


def test_organization_admin_enters_private_spaces(cast: Cast) -> None:
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    bind(person, cast.research, RoleName.ADMIN)

    assert _spaces(person, Permission.SPACE_UPDATE) == {"Research/vision-lab"}


def test_organization_member_does_not_enter_private_spaces(cast: Cast) -> None:
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    bind(person, cast.research, RoleName.MEMBER)

    assert _spaces(person) == set()
    assert list(visible(person, Organization)) == [cast.research]


def test_space_turned_private_is_gone_for_who_was_there_by_fallback(cast: Cast) -> None:
    assert "Fraud & Risk/staging" in _spaces(cast.dana)

    change_space(cast.actor(cast.alice), cast.staging, is_private=True, at=timezone.now())

    assert _spaces(cast.dana) == {"Fraud & Risk/production"}
    assert "Fraud & Risk/staging" in _spaces(cast.bob)


def test_custom_role_adds_to_the_fallback(cast: Cast) -> None:
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    bind(person, cast.fraud, RoleName.READ_ONLY)
    bind(person, cast.staging, custom_role(cast.account, "uploader", "DATASET_CREATE"))

    assert _spaces(person, Permission.DATASET_CREATE) == {"Fraud & Risk/staging"}
    assert _spaces(person, Permission.DATASET_READ) == {"Fraud & Risk/production", "Fraud & Risk/staging"}


def test_deleted_custom_role_permits_nothing(cast: Cast) -> None:
    person = PersonFactory.create()
    role = custom_role(cast.account, "uploader", "DATASET_CREATE", "SPACE_READ")
    bind(person, cast.account, RoleName.MEMBER)
    bind(person, cast.research, RoleName.READ_ONLY)
    bind(person, cast.vision_lab, role)
    assert _spaces(person) == {"Research/vision-lab"}

    role.deleted_at = timezone.now()
    role.save()

    assert _spaces(person) == set()


def test_user_in_no_space_sees_nothing(cast: Cast) -> None:
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)

    assert _spaces(person) == set()
    assert list(visible(person, Organization)) == []
    assert list(visible(person, Account)) == [cast.account]


def test_without_the_account_nothing_below_counts(cast: Cast) -> None:  # security 12
    AccountBinding.objects.filter(user=cast.bob).delete()

    assert _spaces(cast.bob) == set()
    assert list(visible(cast.bob, Organization)) == []


def test_inactive_user_holds_nothing(cast: Cast) -> None:  # security 18
    cast.alice.is_active = False
    cast.alice.save()

    assert _spaces(cast.alice) == set()
    assert not cast.alice.has_perm("accounts.space_read", cast.production)


def test_other_account_does_not_exist(cast: Cast) -> None:  # security 19
    with pytest.raises(NotFound):
        require(cast.actor(cast.alice), Permission.SPACE_READ, cast.elsewhere)


def test_actor_is_held_to_the_account_acted_in(cast: Cast) -> None:
    bind(cast.mallory, cast.account, RoleName.MEMBER)

    assert not may(cast.actor(cast.mallory), Permission.SPACE_READ, cast.elsewhere)
    assert may(
        Actor(user=cast.mallory, account=cast.elsewhere.organization.account, door=Door.REST),
        Permission.SPACE_READ,
        cast.elsewhere,
    )


def test_reader_is_told_403_and_stranger_404(cast: Cast) -> None:
    with pytest.raises(Forbidden):
        require(cast.actor(cast.charlie), Permission.DATASET_CREATE, cast.production)
    with pytest.raises(NotFound):
        require(cast.actor(cast.charlie), Permission.DATASET_CREATE, cast.vision_lab)


def test_has_perm_reads_the_same_rows(cast: Cast) -> None:
    assert cast.bob.has_perm("accounts.dataset_create", cast.production)
    assert not cast.charlie.has_perm("accounts.dataset_create", cast.production)
    assert not cast.bob.has_perm("accounts.dataset_create")
    assert not cast.bob.has_perm("accounts.no_such_thing", cast.production)
    assert not cast.bob.has_perm("auth.dataset_create", cast.production)


@pytest.mark.parametrize("scope", ["account", "fraud", "production", "open", "restricted"])
def test_a_question_is_one_query(cast: Cast, scope: str, django_assert_num_queries: Callable[[int], Any]) -> None:
    place = getattr(cast, scope, None) or _project(cast, restricted=scope == "restricted")

    with django_assert_num_queries(1):
        may(cast.actor(cast.bob), Permission.DATASET_READ, place)


@pytest.mark.parametrize("spaces", [1, 3])
def test_many_spaces_are_one_query(cast: Cast, spaces: int, django_assert_num_queries: Callable[[int], Any]) -> None:
    SpaceFactory.create_batch(spaces, organization=cast.fraud)

    with django_assert_num_queries(1):
        assert len(permitted(cast.bob, Permission.DATASET_READ, Space)) == spaces + 2


def test_what_holds_in_a_space_holds_in_its_projects(cast: Cast) -> None:
    project = _project(cast)

    for user in (cast.alice, cast.bob, cast.charlie, cast.dana, cast.erin, cast.mallory):
        for permission in IN_PROJECTS:
            expected = permitted(user, permission, Space).filter(pk=cast.production.pk).exists()
            assert permitted(user, permission, Project).filter(pk=project.pk).exists() == expected


def test_a_role_in_a_project_adds_to_those_from_above_and_reaches_no_further(cast: Cast) -> None:
    project, beside = _project(cast), _project(cast)

    bind(cast.charlie, project, custom_role(cast.account, "writer", "PROJECT_SPAN_CREATE"))

    assert list(permitted(cast.charlie, Permission.PROJECT_SPAN_CREATE, Project)) == [project]
    assert set(permitted(cast.charlie, Permission.PROJECT_SPAN_READ, Project)) == {project, beside}
    assert not permitted(cast.charlie, Permission.PROJECT_SPAN_CREATE, Space).exists()


def test_in_a_restricted_project_only_roles_given_there_count_whoever_it_is(cast: Cast) -> None:
    project = _project(cast, restricted=True)
    bind(cast.dana, project, RoleName.ANNOTATOR)
    bind(cast.charlie, project, RoleName.MEMBER)
    operator = Actor.from_command(cast.account)

    assert not may(cast.actor(cast.alice), Permission.PROJECT_READ, project)
    assert not may(cast.actor(cast.bob), Permission.PROJECT_READ, project)
    assert may(cast.actor(cast.dana), Permission.PROJECT_SPAN_ANNOTATE, project)
    assert not may(cast.actor(cast.dana), Permission.PROJECT_SPAN_CREATE, project)
    assert may(cast.actor(cast.charlie), Permission.PROJECT_SPAN_CREATE, project)
    assert may(operator, Permission.PROJECT_SPAN_CREATE, project)
    assert list(seen_by(cast.actor(cast.alice), Project)) == []


def test_a_role_in_a_project_of_a_private_space_opens_the_project_and_not_the_space(cast: Cast) -> None:
    project = _project(cast, cast.vision_lab)
    bind(cast.bob, cast.research, RoleName.READ_ONLY)
    bind(cast.bob, project, RoleName.READ_ONLY)

    assert list(seen_by(cast.actor(cast.bob), Project)) == [project]
    assert not may_see(cast.actor(cast.bob), cast.vision_lab)


def test_a_role_in_a_project_counts_for_nobody_who_left_the_account(cast: Cast) -> None:
    project = _project(cast, restricted=True)
    bind(cast.bob, project, RoleName.ADMIN)
    assert may(cast.actor(cast.bob), Permission.PROJECT_READ, project)

    AccountBinding.objects.filter(user=cast.bob).delete()

    assert not may(cast.actor(cast.bob), Permission.PROJECT_READ, project)


def test_a_deleted_custom_role_permits_nothing_in_a_project(cast: Cast) -> None:
    role, project = custom_role(cast.account, "reader", "PROJECT_READ"), _project(cast, restricted=True)
    bind(cast.bob, project, role)
    assert list(permitted(cast.bob, Permission.PROJECT_READ, Project)) == [project]

    role.deleted_at = timezone.now()
    role.save()

    assert not permitted(cast.bob, Permission.PROJECT_READ, Project).exists()


def test_a_project_that_one_may_not_see_is_answered_as_one_that_is_not_there(cast: Cast) -> None:
    restricted, foreign = _project(cast, restricted=True), _project(cast, cast.elsewhere)
    actor = cast.actor(cast.bob)

    said = set()
    for project in (restricted, foreign):
        with pytest.raises(NotFound) as refusal:
            require(actor, Permission.PROJECT_SPAN_READ, project)
        said.add(refusal.value.detail)
        with pytest.raises(NotFound) as refusal:
            find_seen(actor, Project, project.pk)
        said.add(refusal.value.detail)
    with pytest.raises(NotFound) as refusal:
        find_seen(actor, Project, 10**9)

    assert said == {refusal.value.detail}


def test_a_project_found_brings_what_is_asked_of_it_next(
    cast: Cast, django_assert_num_queries: Callable[[int], Any]
) -> None:
    project, actor = _project(cast), cast.actor(cast.bob)

    with django_assert_num_queries(2):
        require(actor, Permission.PROJECT_SPAN_CREATE, find_seen(actor, Project, project.pk))


@pytest.mark.parametrize("projects", [1, 3])
def test_many_projects_are_one_query(
    cast: Cast, projects: int, django_assert_num_queries: Callable[[int], Any]
) -> None:
    ProjectFactory.create_batch(projects, space=cast.production)
    _project(cast, restricted=True)

    with django_assert_num_queries(1):
        assert len(permitted(cast.bob, Permission.PROJECT_SPAN_READ, Project)) == projects


def test_the_twins_and_has_perm_agree_about_projects_for_everybody(cast: Cast) -> None:
    """In projects of public and private spaces, restricted ones too, with roles of every kind."""
    projects = [
        _project(cast, space, restricted=restricted)
        for space in (cast.production, cast.vision_lab, cast.elsewhere)
        for restricted in (False, True)
    ]
    insider = PersonFactory.create()
    bind(insider, cast.account, RoleName.MEMBER)
    bind(insider, cast.fraud, RoleName.MEMBER)
    bind(insider, cast.research, RoleName.READ_ONLY)
    bind(insider, projects[1], RoleName.ADMIN)
    bind(insider, projects[2], custom_role(cast.account, "auditor", "PROJECT_RESTRICT", "PROJECT_READ"))
    bot = service_key(cast.alice, cast.staging).key.owner
    bind(bot, projects[3], RoleName.READ_ONLY)
    told = set()

    for user in (cast.alice, cast.erin, insider, bot, cast.mallory):
        actor = cast.actor(user)
        seen = set(seen_by(actor, Project))
        assert seen == {project for project in projects if may_see(actor, project)}
        for permission in IN_PROJECTS:
            allowed = set(permitted(user, permission, Project))
            for project in projects:
                expected = project in allowed
                assert user.has_perm(f"accounts.{permission.lower()}", project) == expected, (user, permission, project)
                inside = project.space != cast.elsewhere
                assert may(actor, permission, project) == (expected and inside), (user, permission, project)
                told.add((expected, project.is_restricted))
    assert len(told) == 4


def test_standing_agrees_with_the_twins_for_everybody_and_every_kind_of_permission(cast: Cast) -> None:
    person = PersonFactory.create()
    bind(person, cast.account, RoleName.MEMBER)
    bind(person, cast.fraud, RoleName.MEMBER)
    bind(person, cast.staging, custom_role(cast.account, "auditor", "SERVICE_KEY_READ", "SPACE_DELETE"))
    everybody = [cast.alice, cast.bob, cast.charlie, cast.dana, cast.erin, person, cast.mallory]

    for user in everybody:
        standing = Standing.of(user, cast.account)
        for permission in KINDS.values():
            model: Any
            for model in (Account, Organization, Space):
                own = {scope.pk for scope in permitted(user, permission, model)} - _foreign(cast, model)
                held = {scope.pk for scope in _all(cast, model) if standing.holds(permission, scope)}
                assert own == held, (user, permission, model)


def test_withdrawing_a_role_takes_it_away_at_once(cast: Cast) -> None:
    unbind_role(cast.actor(cast.alice), user=cast.bob, scope=cast.fraud, at=timezone.now())

    assert _spaces(cast.bob) == set()


def test_changing_a_role_changes_what_it_permits_at_once(cast: Cast) -> None:
    bind_role(
        cast.actor(cast.alice),
        user=cast.charlie,
        role=predefined(Level.SPACE, RoleName.MEMBER),
        scope=cast.production,
        at=timezone.now(),
    )

    assert _spaces(cast.charlie, Permission.DATASET_CREATE) == {"Fraud & Risk/production"}


def _project(cast: Cast, space: Space | None = None, *, restricted: bool = False) -> Project:
    return ProjectFactory.create(space=space or cast.production, restricted_at=timezone.now() if restricted else None)


def _all(cast: Cast, model: type[Any]) -> list[Any]:
    everything: dict[type[Any], list[Any]] = {
        Account: [cast.account],
        Organization: [cast.fraud, cast.research],
        Space: [cast.production, cast.staging, cast.vision_lab],
    }
    return everything[model]


def _foreign(cast: Cast, model: type[Any]) -> set[int]:
    there = cast.elsewhere
    return {{Account: there.organization.account_id, Organization: there.organization_id, Space: there.pk}[model]}
