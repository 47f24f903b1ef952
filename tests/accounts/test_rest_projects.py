"""Roles in projects, and restricting projects, through HTTP (contract rest-v2 §9.2 and §10)."""

from __future__ import annotations

import pytest
from django.db.models import Model
from django.utils import timezone

from accounts.models import AuditEvent, Project, ProjectBinding, Role, SpaceBinding, User
from accounts.wire import encode_id
from tests.accounts.rest import Api
from tests.cast import Cast
from tests.factories import ProjectFactory, bind, custom_role, service_key

pytestmark = pytest.mark.django_db

BINDINGS, RESTRICTIONS = "/v2/role-bindings", "/v2/resource-restrictions"


@pytest.fixture
def api(cast: Cast) -> Api:
    """Ask as one of the cast."""
    return Api(cast)


@pytest.fixture
def project(cast: Cast) -> Project:
    """One in production, which nothing restricts."""
    return ProjectFactory.create(space=cast.production, name="fraud-model")


def _of(row: Model) -> str:
    return encode_id(type(row).__name__, row.pk)


def _wanted(role: Role, user: User, project: Project) -> dict[str, str]:
    return {
        "role_id": _of(role),
        "user_id": _of(user),
        "resource_type": "PROJECT",
        "resource_id": encode_id("Model", project.pk),
    }


def test_a_binding_on_a_project_from_beginning_to_end(cast: Cast, api: Api, project: Project) -> None:
    role, other = (custom_role(cast.account, name, "PROJECT_READ") for name in ("reader", "other"))
    bot = service_key(cast.alice, cast.production).key.owner
    wanted = _wanted(role, bot, project)

    status, made = api(cast.alice, "POST", BINDINGS, wanted)
    place = f"{BINDINGS}/{made['id']}"

    assert status == 201
    assert {name: made[name] for name in wanted} == wanted
    assert set(made) == {*wanted, "id", "created_at", "updated_at"}
    assert made["id"] == encode_id("RoleBinding", ProjectBinding.objects.get().pk)
    assert api(cast.alice, "POST", BINDINGS, wanted)[0] == 409
    assert api(cast.alice, "PATCH", place, {"role_id": _of(other)})[1] == made | {
        "role_id": _of(other),
        "updated_at": api(cast.alice, "GET", place)[1]["updated_at"],
    }
    assert api(cast.alice, "GET", f"{BINDINGS}?resource_type=PROJECT&user_id={_of(bot)}")[1]["role_bindings"] == [
        api(cast.alice, "GET", place)[1]
    ]
    assert api(cast.alice, "DELETE", place) == (204, {})
    assert api(cast.alice, "GET", place)[0] == 404


def test_bindings_on_spaces_and_on_projects_are_two_lists(cast: Cast, api: Api, project: Project) -> None:
    bind(cast.bob, project, "MEMBER")

    spaces, projects = (
        api(cast.alice, "GET", f"{BINDINGS}?resource_type={kind}&user_id={_of(cast.bob)}")[1]["role_bindings"]
        for kind in ("SPACE", "PROJECT")
    )

    assert {row["resource_id"] for row in spaces} == {_of(cast.production), _of(cast.staging)}
    assert [(row["resource_type"], row["resource_id"]) for row in projects] == [("PROJECT", _of(project))]
    assert api(cast.dana, "GET", f"{BINDINGS}?resource_type=PROJECT")[1]["role_bindings"] == []


@pytest.mark.parametrize(
    ("who", "change", "status"),
    [
        ("bob", {}, 403),  # works there, and gives no roles
        ("erin", {}, 403),  # is not there at all
        ("alice", {"resource_id": encode_id("Model", 10**9)}, 403),
        ("alice", {"resource_id": encode_id("Space", 1)}, 400),
        ("alice", {"resource_type": "SPACE"}, 400),
        ("alice", {"user_id": encode_id("User", 10**9)}, 404),
    ],
)
def test_bindings_on_projects_that_cannot_be(
    cast: Cast, api: Api, project: Project, who: str, change: dict[str, str], status: int
) -> None:
    role = custom_role(cast.account, "reader", "PROJECT_READ")
    before = SpaceBinding.objects.count()

    assert api(getattr(cast, who), "POST", BINDINGS, _wanted(role, cast.charlie, project) | change)[0] == status
    assert not ProjectBinding.objects.exists()
    assert SpaceBinding.objects.count() == before


def test_whether_a_project_is_there_is_not_told_by_the_refusal_of_a_binding(
    cast: Cast, api: Api, project: Project
) -> None:
    role, private = custom_role(cast.account, "reader", "PROJECT_READ"), ProjectFactory.create(space=cast.vision_lab)
    wanted = _wanted(role, cast.charlie, project)

    answers = [
        api(cast.bob, "POST", BINDINGS, wanted | {"resource_id": encode_id("Model", number)})
        for number in (private.pk, 10**9)
    ]

    assert answers[0] == answers[1]


def test_a_binding_that_one_may_read_and_not_change_is_not_there_to_change(
    cast: Cast, api: Api, project: Project
) -> None:
    place = f"{BINDINGS}/{encode_id('RoleBinding', bind(cast.charlie, project, 'MEMBER').pk)}"

    assert api(cast.bob, "GET", place)[0] == 200
    assert api(cast.bob, "DELETE", place)[0] == 404
    assert api(cast.erin, "GET", place)[0] == 404
    assert ProjectBinding.objects.exists()


def test_removing_from_a_space_takes_a_role_in_a_project_alone_away(cast: Cast, api: Api, project: Project) -> None:
    bind(cast.erin, cast.fraud, "READ_ONLY")
    bind(cast.erin, project, "MEMBER")
    place = f"/v2/spaces/{_of(cast.production)}/users/{_of(cast.erin)}"

    assert api(cast.alice, "DELETE", place)[0] == 204
    assert not ProjectBinding.objects.exists()
    assert api(cast.alice, "DELETE", place)[0] == 404


# Restrictions


def test_a_restriction_from_beginning_to_end(cast: Cast, api: Api, project: Project) -> None:
    wanted = {"resource_id": encode_id("Model", project.pk)}
    place = f"{RESTRICTIONS}/{wanted['resource_id']}"
    assert api(cast.alice, "DELETE", place)[0] == 404

    status, made = api(cast.alice, "POST", RESTRICTIONS, wanted)

    assert status == 200
    assert made == wanted | {"resource_type": "PROJECT", "created_at": made["created_at"]}
    assert made["created_at"].endswith("Z")
    assert api(cast.alice, "POST", RESTRICTIONS, wanted) == (200, made)
    assert api(cast.alice, "GET", RESTRICTIONS)[1] == {
        "resource_restrictions": [made],
        "pagination": {"has_more": False},
    }
    assert api(cast.alice, "DELETE", place) == (204, {})
    assert api(cast.alice, "DELETE", place)[0] == 404
    assert api(cast.alice, "GET", RESTRICTIONS)[1]["resource_restrictions"] == []
    told = AuditEvent.objects.filter(tag__startswith="project:", outcome="SUCCEEDED").order_by("pk")
    assert [(one.tag, one.operation_name) for one in told] == [
        ("project:restrict", f"POST {RESTRICTIONS}"),
        ("project:unrestrict", f"DELETE {RESTRICTIONS}/{{resource_id}}"),
    ]


def test_restrictions_are_listed_by_kind_and_page_by_page(cast: Cast, api: Api) -> None:
    projects = ProjectFactory.create_batch(3, space=cast.production, restricted_at=timezone.now())

    first = api(cast.alice, "GET", f"{RESTRICTIONS}?resource_type=PROJECT&limit=2")[1]
    rest = api(cast.alice, "GET", f"{RESTRICTIONS}?limit=2&cursor={first['pagination']['next_cursor']}")[1]

    listed = [row["resource_id"] for row in first["resource_restrictions"] + rest["resource_restrictions"]]
    assert listed == [_of(project) for project in projects]
    assert not rest["pagination"]["has_more"]
    for kind in ("DASHBOARD", "PROMPT"):
        assert api(cast.alice, "GET", f"{RESTRICTIONS}?resource_type={kind}")[1]["resource_restrictions"] == []
    assert api(cast.alice, "GET", f"{RESTRICTIONS}?resource_type=SPACE")[0] == 400
    assert api(cast.bob, "GET", RESTRICTIONS)[1]["resource_restrictions"] == []


@pytest.mark.parametrize(
    ("who", "wanted", "status"),
    [
        ("bob", None, 403),
        ("erin", None, 404),
        ("mallory", None, 404),
        ("alice", encode_id("Model", 10**9), 404),
        ("alice", encode_id("Space", 1), 400),
        ("alice", "fraud-model", 400),
        ("alice", encode_id("Prompt", 1), 422),
        ("alice", encode_id("Dashboard", 1), 422),
        ("alice", 7, 400),
    ],
)
def test_restrictions_that_cannot_be(
    cast: Cast, api: Api, project: Project, who: str, wanted: object, status: int
) -> None:
    body = {"resource_id": wanted or _of(project)}

    assert api(getattr(cast, who), "POST", RESTRICTIONS, body)[0] == status
    assert not Project.objects.exclude(restricted_at=None).exists()


@pytest.mark.parametrize(
    ("who", "named", "status"),
    [
        ("bob", None, 404),  # whom the restriction keeps out
        ("charlie", None, 403),  # who is in it
        ("erin", None, 404),
        ("alice", encode_id("Model", 10**9), 404),
        ("alice", encode_id("Prompt", 1), 404),
        ("alice", "fraud-model", 400),
    ],
)
def test_restrictions_that_cannot_be_lifted(
    cast: Cast, api: Api, project: Project, who: str, named: str | None, status: int
) -> None:
    Project.objects.update(restricted_at=timezone.now())
    bind(cast.charlie, project, "MEMBER")

    assert api(getattr(cast, who), "DELETE", f"{RESTRICTIONS}/{named or _of(project)}")[0] == status
    assert Project.objects.exclude(restricted_at=None).exists()
