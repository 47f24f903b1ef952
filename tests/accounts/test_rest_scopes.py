"""Administering organizations, spaces, roles and role bindings through HTTP (contract rest-v2 §7 to §9)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organization, OrganizationBinding, Role, Space, SpaceBinding, User
from accounts.wire import encode_id
from tests.accounts.rest import Api, predefined
from tests.cast import Cast
from tests.factories import bind, custom_role, service_key

pytestmark = pytest.mark.django_db
ORGANIZATIONS, SPACES, ROLES, BINDINGS = "/v2/organizations", "/v2/spaces", "/v2/roles", "/v2/role-bindings"
EXPORTER = {"name": "Exporter", "permissions": ["DATASET_READ", "SPACE_READ"]}


@pytest.fixture
def api(cast: Cast) -> Api:
    """Ask as one of the cast."""
    return Api(cast)


def _of(row: Organization | Space | User | Role) -> str:
    return encode_id(type(row).__name__, row.pk)


# Organizations


def test_an_organization_from_beginning_to_end(cast: Cast, api: Api) -> None:
    status, made = api(cast.alice, "POST", ORGANIZATIONS, {"name": " Sales ", "description": "d"})
    place = f"{ORGANIZATIONS}/{made['id']}"

    assert (status, made["name"], made["description"], sorted(made)) == (
        201,
        "Sales",
        "d",
        ["created_at", "description", "id", "name"],
    )
    assert api(cast.alice, "PATCH", place, {"description": None})[1]["description"] == ""
    assert api(cast.alice, "PATCH", place, {"name": "Sales & more"})[1]["name"] == "Sales & more"
    assert api(cast.alice, "DELETE", place) == (204, {})
    assert api(cast.alice, "DELETE", place)[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": ""}, 400),
        ({"name": 5}, 400),
        ({"name": "x" * 256}, 400),
        ({"name": "n", "description": "x" * 1001}, 400),
        ({"name": "n", "id": "x"}, 400),
        ({"name": "n", "created_at": "2026-01-01T00:00:00Z"}, 400),
        ({"name": "Research"}, 409),
    ],
)
def test_organizations_that_cannot_be(cast: Cast, api: Api, body: dict[str, Any], status: int) -> None:
    assert api(cast.alice, "POST", ORGANIZATIONS, body)[0] == status
    assert Organization.objects.filter(account=cast.account).count() == 2


def test_who_changes_organizations(cast: Cast, api: Api) -> None:
    place = f"{ORGANIZATIONS}/{_of(cast.fraud)}"

    assert api(cast.bob, "POST", ORGANIZATIONS, {"name": "n"})[0] == 403
    assert [api(cast.bob, method, place, {"name": "n"})[0] for method in ("PATCH", "DELETE")] == [403, 403]
    assert [api(cast.erin, method, place, {"name": "n"})[0] for method in ("PATCH", "DELETE")] == [404, 404]
    assert api(cast.alice, "PATCH", place, {"name": "Research"})[0] == 409
    assert api(cast.alice, "PATCH", place, {})[0] == 400


def test_deleting_an_organization_ends_its_keys(cast: Cast, api: Api) -> None:
    key = service_key(cast.alice, cast.production)
    api.keys[key.key.owner_id] = key.plaintext
    assert api(key.key.owner, "GET", SPACES)[0] == 200

    assert api(cast.alice, "DELETE", f"{ORGANIZATIONS}/{_of(cast.fraud)}")[0] == 204

    assert api(key.key.owner, "GET", SPACES)[0] == 401


def test_members_of_an_organization(cast: Cast, api: Api) -> None:
    place = f"{ORGANIZATIONS}/{_of(cast.fraud)}/users"
    erin = {"user_id": _of(cast.erin), "role": predefined("MEMBER")}

    status, body = api(cast.alice, "POST", place, erin)
    assert (status, body.pop("id") != "") == (200, True)
    assert body == erin | {"organization_id": _of(cast.fraud)}
    assert api(cast.alice, "POST", place, erin | {"role": predefined("READ_ONLY")})[0] == 200
    (binding,) = OrganizationBinding.objects.filter(user=cast.erin, content_object=cast.fraud)
    assert binding.role.name == "READ_ONLY"
    assert api(cast.alice, "DELETE", f"{place}/{_of(cast.erin)}") == (204, {})
    assert api(cast.alice, "DELETE", f"{place}/{_of(cast.erin)}")[0] == 404
    assert api(cast.erin, "GET", f"{ORGANIZATIONS}/{_of(cast.fraud)}")[0] == 404


@pytest.mark.parametrize(
    ("who", "whom", "role", "status"),
    [
        ("alice", "erin", predefined("ANNOTATOR"), 400),
        ("alice", "dana", predefined("MEMBER"), 400),
        ("alice", "erin", {"type": "CUSTOM", "id": encode_id("Role", 1)}, 422),
        ("alice", "mallory", predefined("MEMBER"), 404),
        ("bob", "erin", predefined("READ_ONLY"), 403),
        ("erin", "bob", predefined("READ_ONLY"), 404),
    ],
)
def test_members_that_cannot_be(cast: Cast, api: Api, who: str, whom: str, role: dict[str, str], status: int) -> None:
    body = {"user_id": _of(getattr(cast, whom)), "role": role}

    assert api(getattr(cast, who), "POST", f"{ORGANIZATIONS}/{_of(cast.fraud)}/users", body)[0] == status


# Spaces


def test_a_space_from_beginning_to_end(cast: Cast, api: Api) -> None:
    body = {"name": "lab", "organization_id": _of(cast.fraud), "description": "d", "is_private": True}

    status, made = api(cast.bob, "POST", SPACES, body)
    place = f"{SPACES}/{made['id']}"

    assert (status, made["is_private"], made["organization_id"]) == (201, True, _of(cast.fraud))
    assert api(cast.charlie, "GET", place)[0] == 404
    changed = {
        "name": "lab 2",
        "is_private": False,
        "ml_models_enabled": False,
        "gradient_start_color": "#112233",
        "gradient_end_color": "#445566",
    }
    assert api(cast.bob, "PATCH", place, changed | {"description": None, "default_agent_runtime": None}) == (
        200,
        made | changed | {"description": ""},
    )
    assert api(cast.charlie, "GET", place)[0] == 200
    assert api(cast.bob, "DELETE", place) == (204, {})
    assert api(cast.bob, "GET", place)[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"description": ""}, 400),
        ({"is_private": "yes"}, 400),
        ({"is_private": None}, 400),
        ({"organization_id": encode_id("Organization", 1)}, 400),
        ({"default_llm_integration": {"integration_id": "x"}}, 400),
        ({"default_llm_integration": {"integration_id": "x", "model_name": "m"}}, 404),
        ({"name": "staging"}, 409),
    ],
)
def test_changes_to_a_space_that_cannot_be(cast: Cast, api: Api, body: dict[str, Any], status: int) -> None:
    assert api(cast.alice, "PATCH", f"{SPACES}/{_of(cast.production)}", body)[0] == status


def test_who_creates_and_changes_spaces(cast: Cast, api: Api) -> None:
    body = {"name": "lab", "organization_id": _of(cast.fraud)}
    place = f"{SPACES}/{_of(cast.production)}"

    assert [api(who, "POST", SPACES, body)[0] for who in (cast.charlie, cast.erin)] == [403, 404]
    assert api(cast.alice, "POST", SPACES, body | {"name": "production"})[0] == 409
    assert [api(cast.bob, method, place, {"name": "n"})[0] for method in ("PATCH", "DELETE")] == [403, 403]
    assert [api(cast.erin, method, place, {"name": "n"})[0] for method in ("PATCH", "DELETE")] == [404, 404]


def test_members_of_a_space(cast: Cast, api: Api) -> None:
    place, role = f"{SPACES}/{_of(cast.production)}/users", custom_role(cast.account, "exporter", "DATASET_READ")
    custom = {"type": "CUSTOM", "id": _of(role)}

    status, body = api(cast.alice, "POST", place, {"user_id": _of(cast.charlie), "role": custom})

    assert (status, body["role"]) == (200, custom | {"name": "exporter"})
    assert api(cast.alice, "POST", place, {"user_id": _of(cast.charlie), "role": predefined("MEMBER")})[0] == 200
    held = SpaceBinding.objects.filter(user=cast.charlie, content_object=cast.production)
    assert {row.role.name for row in held} == {"exporter", "MEMBER"}
    assert api(cast.alice, "DELETE", f"{place}/{_of(cast.charlie)}") == (204, {})
    assert not held.all().exists()
    assert api(cast.alice, "DELETE", f"{place}/{_of(cast.charlie)}")[0] == 404


@pytest.mark.parametrize(
    ("who", "whom", "role", "status"),
    [
        ("alice", "erin", predefined("MEMBER"), 400),
        ("alice", "dana", predefined("MEMBER"), 400),
        ("alice", "charlie", predefined("ANNOTATOR"), 400),
        ("alice", "charlie", {"type": "CUSTOM", "id": encode_id("Role", 1)}, 404),
        ("alice", "charlie", "MEMBER", 400),
        ("bob", "charlie", predefined("READ_ONLY"), 403),
        ("erin", "charlie", predefined("READ_ONLY"), 404),
    ],
)
def test_members_of_a_space_that_cannot_be(
    cast: Cast, api: Api, who: str, whom: str, role: object, status: int
) -> None:
    body = {"user_id": _of(getattr(cast, whom)), "role": role}

    assert api(getattr(cast, who), "POST", f"{SPACES}/{_of(cast.production)}/users", body)[0] == status


# Roles


def test_a_role_from_beginning_to_end(cast: Cast, api: Api) -> None:
    status, made = api(cast.alice, "POST", ROLES, EXPORTER)
    place = f"{ROLES}/{made['id']}"

    assert (status, made["is_predefined"], made["permissions"]) == (201, False, EXPORTER["permissions"])
    assert "description" not in made
    status, changed = api(cast.alice, "PATCH", place, {"permissions": ["DATASET_CREATE"], "description": "d"})
    assert (status, changed["name"], changed["permissions"], changed["description"]) == (
        200,
        "Exporter",
        ["DATASET_CREATE"],
        "d",
    )
    assert "description" not in api(cast.alice, "PATCH", place, {"description": None})[1]
    assert api(cast.alice, "DELETE", place) == (204, {})
    assert api(cast.alice, "GET", place)[0] == 404


def test_names_of_roles_tell_them_apart(cast: Cast, api: Api) -> None:
    api(cast.alice, "POST", ROLES, EXPORTER)

    names = [role["name"] for role in api(cast.bob, "GET", f"{ROLES}?limit=100")[1]["roles"]]

    assert len(names) == len(set(names)) == 13
    assert {"Account Admin", "Organization Admin", "Space Admin", "Exporter"} <= set(names)
    assert [len(api(cast.bob, "GET", f"{ROLES}?is_predefined={one}")[1]["roles"]) for one in ("true", "false")] == [
        12,
        1,
    ]
    assert api(cast.bob, "GET", f"{ROLES}?is_predefined=maybe")[0] == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (EXPORTER | {"permissions": []}, 400),
        (EXPORTER | {"permissions": ["FLY"]}, 400),
        (EXPORTER | {"permissions": "DATASET_READ"}, 400),
        (EXPORTER | {"name": "Prüfer"}, 400),
        (EXPORTER | {"level": "ACCOUNT"}, 400),
        (EXPORTER | {"name": "Space Admin"}, 409),
        (EXPORTER | {"name": "taken"}, 409),
    ],
)
def test_roles_that_cannot_be(cast: Cast, api: Api, body: dict[str, Any], status: int) -> None:
    custom_role(cast.account, "taken", "DATASET_READ")

    assert api(cast.alice, "POST", ROLES, body)[0] == status


def test_who_manages_roles(cast: Cast, api: Api) -> None:
    role = custom_role(cast.account, "exporter", "DATASET_READ")
    place = f"{ROLES}/{_of(role)}"

    assert api(cast.bob, "GET", place)[0] == 200
    assert api(cast.dana, "GET", ROLES)[0] == 403
    assert [api(cast.bob, method, place, {"name": "n"})[0] for method in ("PATCH", "DELETE")] == [403, 403]
    assert api(cast.bob, "POST", ROLES, EXPORTER)[0] == 403
    admin = _of(Role.objects.get(account=None, level="SPACE", name="ADMIN"))
    assert [api(cast.alice, method, f"{ROLES}/{admin}", {"name": "n"})[0] for method in ("PATCH", "DELETE")] == [
        403,
        403,
    ]
    bind(cast.charlie, cast.production, role)
    assert api(cast.alice, "DELETE", place)[0] == 409


# Role bindings


def test_a_binding_from_beginning_to_end(cast: Cast, api: Api) -> None:
    role, other = (custom_role(cast.account, name, "DATASET_READ") for name in ("exporter", "other"))
    key = service_key(cast.alice, cast.production, role="READ_ONLY")  # type: ignore[arg-type]  # a name does
    bot = {
        "role_id": _of(role),
        "user_id": _of(key.key.owner),
        "resource_type": "SPACE",
        "resource_id": _of(cast.production),
    }

    status, made = api(cast.alice, "POST", BINDINGS, bot)
    place = f"{BINDINGS}/{made['id']}"

    assert status == 201
    assert {name: made[name] for name in bot} == bot
    assert api(cast.alice, "POST", BINDINGS, bot)[0] == 409
    assert api(cast.alice, "PATCH", place, {"role_id": _of(other)})[1]["role_id"] == _of(other)
    assert api(cast.alice, "GET", place)[1]["role_id"] == _of(other)
    assert api(cast.alice, "DELETE", place) == (204, {})
    assert api(cast.alice, "GET", place)[0] == 404


def test_bindings_are_listed_where_one_may_read_them(cast: Cast, api: Api) -> None:
    def places(who: User, more: str = "") -> set[str]:
        status, body = api(who, "GET", f"{BINDINGS}?resource_type=SPACE{more}")
        assert status == 200
        return {row["resource_id"] for row in body["role_bindings"]}

    assert places(cast.alice) == {_of(cast.production), _of(cast.staging), _of(cast.vision_lab)}
    assert places(cast.charlie) == {_of(cast.production), _of(cast.staging)}
    assert places(cast.dana) == set()
    assert places(cast.alice, f"&user_id={_of(cast.erin)}") == {_of(cast.vision_lab)}
    assert api(cast.alice, "GET", f"{BINDINGS}?resource_type=PROJECT")[1]["role_bindings"] == []
    assert api(cast.alice, "GET", BINDINGS)[0] == 400
    assert api(cast.alice, "GET", f"{BINDINGS}?resource_type=SPACE&user_id={_of(cast.mallory)}")[0] == 404


@pytest.mark.parametrize(
    ("who", "change", "status"),
    [
        ("bob", {}, 403),
        ("erin", {}, 403),
        ("alice", {"resource_id": encode_id("Space", 10**9)}, 403),
        ("alice", {"resource_id": encode_id("Organization", 1)}, 400),
        ("alice", {"resource_type": "PROJECT"}, 400),
        ("alice", {"resource_type": "PROJECT", "resource_id": encode_id("Model", 1)}, 403),
        ("alice", {"user_id": encode_id("User", 10**9)}, 404),
        ("alice", {"role_id": encode_id("Role", 10**9)}, 404),
        ("alice", {"note": "x"}, 400),
    ],
)
def test_bindings_that_cannot_be(cast: Cast, api: Api, who: str, change: dict[str, str], status: int) -> None:
    role = custom_role(cast.account, "exporter", "DATASET_READ")
    body = {
        "role_id": _of(role),
        "user_id": _of(cast.charlie),
        "resource_type": "SPACE",
        "resource_id": _of(cast.production),
    }

    assert api(getattr(cast, who), "POST", BINDINGS, body | change)[0] == status
    assert not SpaceBinding.objects.filter(permission=role.permission).exists()


def test_the_wrong_level_of_role_is_no_role_for_a_space(cast: Cast, api: Api) -> None:
    body = {
        "role_id": _of(Role.objects.get(account=None, level="ORGANIZATION", name="MEMBER")),
        "user_id": _of(cast.erin),
        "resource_type": "SPACE",
        "resource_id": _of(cast.vision_lab),
    }
    SpaceBinding.objects.filter(user=cast.erin).delete()

    assert api(cast.alice, "POST", BINDINGS, body)[0] == 422


def test_whoever_may_read_a_binding_and_not_change_it_is_told_there_is_none(cast: Cast, api: Api) -> None:
    """Contract rest-v2 §9.2."""
    row = SpaceBinding.objects.get(user=cast.charlie, content_object=cast.production)
    place = f"{BINDINGS}/{encode_id('RoleBinding', row.pk)}"

    assert api(cast.bob, "GET", place)[0] == 200
    assert api(cast.bob, "PATCH", place, {"role_id": encode_id("Role", row.role.pk)})[0] == 404
    assert api(cast.bob, "DELETE", place)[0] == 404


@pytest.mark.parametrize("place", [ROLES, f"{BINDINGS}?resource_type=SPACE", ORGANIZATIONS, SPACES])
def test_lists_cost_the_same_for_one_row_and_for_many(cast: Cast, api: Api, place: str) -> None:
    api(cast.alice, "GET", place)
    costs = []
    for more in (0, 2, 27):
        for _ in range(more):
            number = Organization.objects.count()
            organization = Organization.objects.create(account=cast.account, name=f"o{number}")
            space = Space.objects.create(organization=organization, name="s")
            bind(cast.bob, space, custom_role(cast.account, f"r{number}", "DATASET_READ"))
        with CaptureQueriesContext(connection) as queries:
            api(cast.alice, "GET", place)
        costs.append(len(queries))

    assert costs[0] == costs[1] == costs[2]


def test_bots_one_may_not_know_of_and_whoever_was_deactivated_are_not_there_to_be_given_a_role(
    cast: Cast, api: Api
) -> None:
    """Whoever could add them would learn their key's name, and see the key itself from then on."""
    OrganizationBinding.objects.filter(user=cast.erin).delete()
    bind(cast.erin, cast.research, "ADMIN")
    bot = service_key(cast.alice, cast.production, name="secret project").key.owner
    mine = service_key(cast.alice, cast.vision_lab).key.owner
    bind(cast.charlie, cast.research, "READ_ONLY")
    User.objects.filter(pk=cast.charlie.pk).update(is_active=False)
    exporter = custom_role(cast.account, "exporter", "DATASET_READ")

    def tried(user: User) -> list[int]:
        binding = {"resource_type": "SPACE", "resource_id": _of(cast.vision_lab), "role_id": _of(exporter)}
        given = {"user_id": _of(user), "role": predefined("READ_ONLY")}
        return [
            api(cast.erin, "POST", f"{ORGANIZATIONS}/{_of(cast.research)}/users", given)[0],
            api(cast.erin, "POST", f"{SPACES}/{_of(cast.vision_lab)}/users", given)[0],
            api(cast.erin, "POST", BINDINGS, binding | {"user_id": _of(user)})[0],
        ]

    assert (tried(bot), tried(cast.charlie)) == ([404, 404, 404], [404, 404, 404])
    assert tried(mine) == [200, 200, 201]
