"""Roles in single projects: given in the name of the space around, and gone with whatever is around."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.actors import Actor
from accounts.audit import Tag
from accounts.bindings import (
    bind_new,
    bind_role,
    change_binding,
    delete_binding,
    find_binding,
    find_membership,
    is_bound_within,
    predefined,
    project_bindings_readable_by,
    unbind_role,
)
from accounts.custom_roles import delete_role, uses
from accounts.errors import Conflict, Escalation, Forbidden, Incompatible, NotAllowed, NotFound
from accounts.models import AuditEvent, OrganizationBinding, Project, ProjectBinding, Role, Space, SpaceBinding, User
from accounts.people import remove_person
from accounts.roles import Level, RoleName
from accounts.roster import with_holders
from accounts.tenancy import delete_organization, delete_space
from accounts.trail import tell
from tests.cast import Cast
from tests.factories import ProjectFactory, bind, custom_role, service_key

pytestmark = pytest.mark.django_db

READS = ("PROJECT_READ", "PROJECT_SPAN_READ")


@pytest.fixture
def project(cast: Cast) -> Project:
    """One in production, which nothing restricts."""
    return ProjectFactory.create(space=cast.production, name="fraud-model")


def _runs(user: User, space: Space) -> None:
    SpaceBinding.objects.filter(user=user, content_object=space).update(
        permission=predefined(Level.SPACE, RoleName.ADMIN).permission
    )


def _restrict(project: Project) -> None:
    Project.objects.filter(pk=project.pk).update(restricted_at=timezone.now())
    project.refresh_from_db()


def _role(name: RoleName) -> Role:
    return predefined(Level.SPACE, name)


def _held(user: User) -> set[tuple[str, str]]:
    return {(row.role.name, str(row.content_object)) for row in ProjectBinding.objects.filter(user=user)}


def test_a_role_in_a_project_is_given_changed_and_withdrawn_and_each_is_told(cast: Cast, project: Project) -> None:
    alice = cast.actor(cast.alice)

    made = bind_new(alice, user=cast.charlie, role=_role(RoleName.MEMBER), scope=project, at=timezone.now())
    changed = change_binding(alice, made, role=_role(RoleName.READ_ONLY), at=timezone.now())
    delete_binding(alice, changed, at=timezone.now())

    assert made.pk == changed.pk
    assert _held(cast.charlie) == set()
    events = AuditEvent.objects.order_by("pk")
    assert [(event.tag, event.details["level"], event.details["scope"]) for event in events] == [
        (tag, "PROJECT", "fraud-model") for tag in (Tag.ROLE_GRANTED, Tag.ROLE_CHANGED, Tag.ROLE_WITHDRAWN)
    ]
    assert [tell(event, ip=None).gist for event in events] == [
        "Member in “fraud-model”",
        "Member → Read-Only Member in “fraud-model”",
        "Read-Only Member in “fraud-model”",
    ]


def test_a_predefined_and_a_custom_role_stand_side_by_side_in_a_project(cast: Cast, project: Project) -> None:
    alice, custom = cast.actor(cast.alice), custom_role(cast.account, "uploader", "PROJECT_SPAN_CREATE")

    for role in (_role(RoleName.READ_ONLY), custom):
        bind_new(alice, user=cast.charlie, role=role, scope=project, at=timezone.now())

    assert _held(cast.charlie) == {("READ_ONLY", "fraud-model"), ("uploader", "fraud-model")}
    with pytest.raises(Conflict):
        bind_new(alice, user=cast.charlie, role=_role(RoleName.MEMBER), scope=project, at=timezone.now())
    with pytest.raises(Conflict):
        change_binding(
            alice,
            ProjectBinding.objects.get(user=cast.charlie, permission=custom.permission),
            role=_role(RoleName.MEMBER),
            at=timezone.now(),
        )
    bind_role(alice, user=cast.charlie, role=_role(RoleName.MEMBER), scope=project, at=timezone.now())
    assert _held(cast.charlie) == {("MEMBER", "fraud-model"), ("uploader", "fraud-model")}


def test_whoever_runs_the_space_gives_roles_in_a_restricted_project_that_keeps_them_out(
    cast: Cast, project: Project
) -> None:
    _runs(cast.bob, cast.production)
    _restrict(project)

    made = bind_new(
        cast.actor(cast.bob), user=cast.charlie, role=_role(RoleName.ADMIN), scope=project, at=timezone.now()
    )

    assert cast.charlie.has_perm("accounts.project_read", project)
    assert not cast.bob.has_perm("accounts.project_read", project)
    assert find_binding(cast.actor(cast.bob), made.pk) == made


def test_to_run_a_project_is_not_to_run_its_members(cast: Cast, project: Project) -> None:
    bind(cast.charlie, project, RoleName.ADMIN)
    charlie, custom = cast.actor(cast.charlie), custom_role(cast.account, "reader", *READS)

    for role in (_role(RoleName.READ_ONLY), custom):
        with pytest.raises(Forbidden):
            bind_new(charlie, user=cast.bob, role=role, scope=project, at=timezone.now())
    with pytest.raises(Forbidden):
        delete_binding(charlie, ProjectBinding.objects.get(), at=timezone.now())
    with pytest.raises(Forbidden):
        unbind_role(charlie, user=cast.charlie, scope=project, at=timezone.now())


def test_holding_the_permissions_in_the_space_is_enough_for_custom_roles(cast: Cast, project: Project) -> None:
    bind(
        cast.charlie, cast.production, custom_role(cast.account, "binder", "ROLE_BINDING_CREATE", "ROLE_BINDING_DELETE")
    )
    charlie = cast.actor(cast.charlie)
    reader, other = (custom_role(cast.account, name, *READS) for name in ("reader", "other"))

    made = bind_new(charlie, user=cast.bob, role=reader, scope=project, at=timezone.now())
    changed = change_binding(charlie, made, role=other, at=timezone.now())
    delete_binding(charlie, changed, at=timezone.now())

    with pytest.raises(Forbidden):
        bind_new(charlie, user=cast.bob, role=_role(RoleName.READ_ONLY), scope=project, at=timezone.now())


def test_nobody_gives_a_role_in_a_project_above_their_own_in_the_space(cast: Cast, project: Project) -> None:
    _runs(cast.bob, cast.production)
    bob, beyond = cast.actor(cast.bob), custom_role(cast.account, "beyond", "USER_DELETE")
    within = bind_new(bob, user=cast.charlie, role=_role(RoleName.ADMIN), scope=project, at=timezone.now())

    with pytest.raises(Escalation):
        bind_new(bob, user=cast.charlie, role=beyond, scope=project, at=timezone.now())
    bind(cast.charlie, project, beyond)
    above = ProjectBinding.objects.get(permission=beyond.permission)
    with pytest.raises(Escalation):
        change_binding(bob, above, role=custom_role(cast.account, "reader", *READS), at=timezone.now())
    with pytest.raises(Forbidden):
        delete_binding(bob, above, at=timezone.now())
    with pytest.raises(Forbidden):
        unbind_role(bob, user=cast.charlie, scope=project, at=timezone.now())
    delete_binding(bob, within, at=timezone.now())


def test_a_role_in_the_project_itself_raises_nobodys_ceiling(cast: Cast, project: Project) -> None:
    bind(cast.charlie, cast.production, custom_role(cast.account, "binder", "ROLE_BINDING_CREATE", *READS))
    bind(cast.charlie, project, RoleName.ADMIN)
    writer = custom_role(cast.account, "writer", "PROJECT_SPAN_CREATE")

    with pytest.raises(Escalation):
        bind_new(cast.actor(cast.charlie), user=cast.bob, role=writer, scope=project, at=timezone.now())


def test_only_members_of_the_organization_are_given_roles_in_its_projects(cast: Cast, project: Project) -> None:
    alice, reader = cast.actor(cast.alice), _role(RoleName.READ_ONLY)
    private = ProjectFactory.create(space=cast.vision_lab)

    with pytest.raises(Incompatible, match="not a member of “Research”"):
        bind_new(alice, user=cast.bob, role=reader, scope=private, at=timezone.now())
    with pytest.raises(NotAllowed, match="invite them first"):
        bind_new(alice, user=cast.mallory, role=reader, scope=project, at=timezone.now())
    bind(cast.bob, cast.research, RoleName.READ_ONLY)

    bind_new(alice, user=cast.bob, role=reader, scope=private, at=timezone.now())

    assert _held(cast.bob) == {("READ_ONLY", private.name)}


def test_annotator_goes_together_with_roles_in_projects_too(cast: Cast, project: Project) -> None:
    alice = cast.actor(cast.alice)
    with pytest.raises(Incompatible, match="Annotator goes together"):
        bind_new(alice, user=cast.dana, role=_role(RoleName.READ_ONLY), scope=project, at=timezone.now())
    bind(cast.erin, project, RoleName.READ_ONLY)
    OrganizationBinding.objects.filter(user=cast.erin).delete()
    SpaceBinding.objects.filter(user=cast.erin).delete()

    with pytest.raises(NotAllowed, match="Annotator goes together"):
        bind_role(
            alice,
            user=cast.erin,
            role=predefined(Level.ACCOUNT, RoleName.ANNOTATOR),
            scope=cast.account,
            at=timezone.now(),
        )


def test_roles_of_other_levels_and_accounts_are_none_for_a_project(cast: Cast, project: Project) -> None:
    alice = cast.actor(cast.alice)
    foreign = custom_role(cast.elsewhere.organization.account, "theirs", *READS)

    with pytest.raises(NotAllowed, match="not a role for"):
        bind_new(
            alice,
            user=cast.bob,
            role=predefined(Level.ORGANIZATION, RoleName.MEMBER),
            scope=project,
            at=timezone.now(),
        )
    with pytest.raises(NotFound):
        bind_new(alice, user=cast.bob, role=foreign, scope=project, at=timezone.now())


def test_a_project_of_a_space_that_one_may_not_see_is_not_found(cast: Cast) -> None:
    for space in (cast.vision_lab, cast.elsewhere):
        project = ProjectFactory.create(space=space)

        with pytest.raises(NotFound, match="no such project"):
            bind_new(
                cast.actor(cast.bob), user=cast.bob, role=_role(RoleName.READ_ONLY), scope=project, at=timezone.now()
            )


def test_a_service_key_s_bot_can_be_given_a_project(cast: Cast, project: Project) -> None:
    bot = service_key(cast.alice, cast.staging).key.owner
    _restrict(project)

    bind_new(cast.actor(cast.alice), user=bot, role=_role(RoleName.MEMBER), scope=project, at=timezone.now())

    assert bot.has_perm("accounts.project_span_create", project)
    assert not bot.has_perm("accounts.project_span_create", ProjectFactory.create(space=cast.production))


@pytest.mark.parametrize(
    ("around", "told"),
    [
        ("production", [("PROJECT", "fraud-model"), ("SPACE", "production")]),
        (
            "fraud",
            [
                ("PROJECT", "fraud-model"),
                ("PROJECT", "churn"),
                ("SPACE", "production"),
                ("SPACE", "staging"),
                ("ORGANIZATION", "Fraud & Risk"),
            ],
        ),
    ],
)
def test_leaving_what_is_around_takes_the_roles_in_projects_along(
    cast: Cast, project: Project, around: str, told: list[tuple[str, str]]
) -> None:
    beside = ProjectFactory.create(space=cast.staging, name="churn")
    for one in (project, beside):
        bind(cast.bob, one, RoleName.MEMBER)
    bind(cast.charlie, project, RoleName.MEMBER)

    unbind_role(cast.actor(cast.alice), user=cast.bob, scope=getattr(cast, around), at=timezone.now())

    events = AuditEvent.objects.filter(tag=Tag.ROLE_WITHDRAWN).order_by("pk")
    assert [(event.details["level"], event.details["scope"]) for event in events] == told
    assert _held(cast.bob) == ({("MEMBER", "churn")} if around == "production" else set())
    assert _held(cast.charlie) == {("MEMBER", "fraud-model")}


def test_who_has_nothing_but_a_role_in_a_project_of_a_space_can_be_taken_out_of_it(
    cast: Cast, project: Project
) -> None:
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    bind(cast.erin, project, RoleName.MEMBER)
    assert is_bound_within(cast.erin, cast.production)

    unbind_role(cast.actor(cast.alice), user=cast.erin, scope=cast.production, at=timezone.now())

    assert not is_bound_within(cast.erin, cast.production)
    assert is_bound_within(cast.erin, cast.fraud)


def test_withdrawing_a_role_in_the_space_leaves_the_one_in_the_project(cast: Cast, project: Project) -> None:
    bind(cast.charlie, project, RoleName.MEMBER)

    delete_binding(
        cast.actor(cast.alice),
        SpaceBinding.objects.get(user=cast.charlie, content_object=cast.production),
        at=timezone.now(),
    )

    assert _held(cast.charlie) == {("MEMBER", "fraud-model")}


def test_a_removed_person_s_roles_in_projects_go_and_are_told(cast: Cast, project: Project) -> None:
    bind(cast.bob, project, RoleName.MEMBER)

    remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())

    assert _held(cast.bob) == set()
    assert AuditEvent.objects.filter(tag=Tag.ROLE_WITHDRAWN, details__level="PROJECT").count() == 1


@pytest.mark.parametrize("around", ["production", "fraud"])
def test_a_deletion_names_the_roles_in_projects_that_go_with_it(cast: Cast, project: Project, around: str) -> None:
    bind(cast.bob, project, RoleName.MEMBER)
    alice, scope = cast.actor(cast.alice), getattr(cast, around)

    if around == "fraud":
        delete_organization(alice, scope, at=timezone.now())
    else:
        delete_space(alice, scope, at=timezone.now())

    assert not Project.objects.exists()
    withdrawn = AuditEvent.objects.get(tag__endswith=":delete").details["withdrawn"]
    assert [one for one in withdrawn if one["level"] == "PROJECT"] == [
        {
            "user": str(cast.bob),
            "user_id": cast.bob.pk,
            "role": "MEMBER",
            "level": "PROJECT",
            "scope": "fraud-model",
            "scope_id": project.pk,
        }
    ]


def test_a_role_that_is_held_in_a_project_alone_is_in_use(cast: Cast, project: Project) -> None:
    role = custom_role(cast.account, "reader", *READS)
    bind(cast.bob, project, role)
    bind(cast.charlie, cast.production, role)

    assert uses(role) == 2
    assert vars(with_holders(Role.objects.all()).get(pk=role.pk))["holders"] == 2
    SpaceBinding.objects.filter(permission=role.permission).delete()
    with pytest.raises(Conflict, match="held once"):
        delete_role(cast.actor(cast.alice), role, at=timezone.now())


def test_bindings_in_projects_are_read_where_one_may_read_them(cast: Cast, project: Project) -> None:
    bind(cast.bob, project, RoleName.MEMBER)
    bind(service_key(cast.alice, cast.production).key.owner, project, RoleName.READ_ONLY)
    bind(cast.erin, ProjectFactory.create(space=cast.vision_lab), RoleName.READ_ONLY)

    def read(user: User) -> set[str]:
        return {row.user.name for row in project_bindings_readable_by(cast.actor(user))}

    assert read(cast.alice) == {"Bob Baker", "a service key", "Erin Evans"}
    assert read(cast.bob) == {"Bob Baker", "a service key"}
    assert read(cast.charlie) == {"Bob Baker"}  # who may not know of service keys
    assert read(cast.dana) == set()
    assert read(cast.mallory) == set()
    assert project_bindings_readable_by(Actor.from_command(cast.account)).count() == 3


def test_who_may_not_know_of_a_restricted_project_does_not_learn_of_it_by_its_bindings(
    cast: Cast, project: Project
) -> None:
    _restrict(project)
    bind(cast.charlie, project, RoleName.READ_ONLY)
    number = ProjectBinding.objects.get().pk

    assert find_binding(cast.actor(cast.charlie), number).pk == number
    assert find_binding(cast.actor(cast.alice), number).pk == number  # she gives roles there
    with pytest.raises(NotFound):
        find_binding(cast.actor(cast.bob), number)


def test_the_numbers_of_bindings_in_spaces_and_in_projects_never_meet(cast: Cast, project: Project) -> None:
    numbers = set()
    for user in (cast.bob, cast.charlie, cast.erin):
        numbers.add(bind(user, project, RoleName.READ_ONLY).pk)
        numbers.add(bind(user, cast.production, custom_role(cast.account, f"for-{user.pk}", *READS)).pk)

    assert len(numbers) == 6
    assert not {*SpaceBinding.objects.values_list("pk", flat=True)} & {
        *ProjectBinding.objects.values_list("pk", flat=True)
    }
    alice = cast.actor(cast.alice)
    assert {find_binding(alice, number).pk for number in numbers} == numbers
    with pytest.raises(NotFound):
        find_membership(alice, ProjectBinding.objects.latest("pk").pk)


def test_a_binding_in_a_project_takes_its_number_from_the_sequence_of_those_in_spaces(
    cast: Cast, project: Project
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('accounts_spacebinding_id_seq')")
        (drawn,) = cursor.fetchone() or (0,)

    assert bind(cast.bob, project, RoleName.READ_ONLY).pk == drawn + 1


@pytest.mark.parametrize("bindings", [1, 3])
def test_a_list_of_bindings_in_projects_is_one_query(
    cast: Cast, bindings: int, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for _ in range(bindings):
        bind(cast.bob, ProjectFactory.create(space=cast.production), RoleName.READ_ONLY)

    with django_assert_num_queries(1):
        assert len([row.role.name for row in project_bindings_readable_by(cast.actor(cast.charlie))]) == bindings
