"""Accounts, organizations, spaces and people over GraphQL: what is shown to whom, and what is changed by whom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from typing import cast as cast_to

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.bindings import bind_role, predefined
from accounts.models import (
    AuditEvent,
    Organization,
    OrganizationBinding,
    Role,
    Space,
    SpaceBinding,
    User,
)
from accounts.roles import Level, RoleName
from accounts.schema.inquiry import Info, Inquiry
from accounts.wire import encode_id
from tests.asking import Asker, asker, names, nodes
from tests.cast import Cast
from tests.factories import (
    PASSWORD,
    OrganizationFactory,
    PersonFactory,
    ProjectFactory,
    SpaceFactory,
    bind,
    custom_role,
    service_key,
)

pytestmark = pytest.mark.django_db

EVERYBODY = ["alice", "bob", "charlie", "dana", "erin", "mallory"]


@pytest.fixture
def crowd(cast: Cast) -> Cast:
    """Add a service key, a custom role, and people who are invited or gone."""
    service_key(cast.alice, cast.production, name="nightly")
    service_key(cast.erin, cast.vision_lab, name="lab bot")
    bind(cast.charlie, cast.staging, custom_role(cast.account, "labels", "DATASET_READ"))
    invited = PersonFactory.create(name="Iris Invited", email="iris@example.com", joined_at=None)
    bind(invited, cast.account, RoleName.MEMBER)
    gone = PersonFactory.create(name="Greg Gone", email="greg@example.com", is_active=False)
    bind(gone, cast.account, RoleName.MEMBER)
    return cast


def _rest(who: Asker, path: str, name: str) -> Any:
    response = Client().get(path, headers={"Authorization": f"Bearer {who.key.plaintext}"})
    return response.json()[name] if response.status_code == 200 else response.json()["error_code"]


def _shown(who: Asker, text: str, *path: str) -> Any:
    """Return what is on the page at the end of a path, or the code of the refusal."""
    body = who.answer(text)
    found = body["data"]
    for step in path:
        found = found[step]
    if found is not None:
        return nodes(found)
    (error,) = body["errors"]
    assert error["path"] == list(path)
    return error["extensions"]["code"]


# What is shown


@pytest.mark.parametrize("name", EVERYBODY)
@pytest.mark.parametrize("root", ["viewer", "account"])
def test_organizations_are_those_of_rest(crowd: Cast, name: str, root: str) -> None:
    who = asker(getattr(crowd, name))

    shown = _shown(
        who,
        f"{{ {root} {{ organizations {{ edges {{ node {{ id name description createdAt }} }} }} }} }}",
        root,
        "organizations",
    )

    assert [
        {"id": one["id"], "name": one["name"], "description": one["description"], "created_at": one["createdAt"]}
        for one in shown
    ] == _rest(who, "/v2/organizations", "organizations")


@pytest.mark.parametrize("name", EVERYBODY)
def test_spaces_are_those_of_rest(crowd: Cast, name: str) -> None:
    who = asker(getattr(crowd, name))
    fields = "id name description createdAt private mlModelsEnabled gradientStartColor gradientEndColor"

    shown = _shown(
        who,
        f"{{ viewer {{ spaces {{ edges {{ node {{ {fields} organization {{ id }} }} }} }} }} }}",
        "viewer",
        "spaces",
    )

    assert [
        {
            "id": one["id"],
            "organization_id": one["organization"]["id"],
            "name": one["name"],
            "description": one["description"],
            "created_at": one["createdAt"],
            "is_private": one["private"],
            "ml_models_enabled": one["mlModelsEnabled"],
            "gradient_start_color": one["gradientStartColor"],
            "gradient_end_color": one["gradientEndColor"],
            "default_llm_integration": None,
            "default_agent_runtime": None,
        }
        for one in shown
    ] == _rest(who, "/v2/spaces", "spaces")


@pytest.mark.parametrize("name", EVERYBODY)
def test_spaces_of_each_organization_are_those_of_rest(crowd: Cast, name: str) -> None:
    who = asker(getattr(crowd, name))
    text = """{ account { organizations(first: 10) { edges { node { id
      spaces(first: 10) { edges { node { id } } } } } } } }"""

    shown = {one["id"]: nodes(one["spaces"]) for one in _shown(who, text, "account", "organizations")}

    assert {number: [one["id"] for one in spaces] for number, spaces in shown.items()} == {
        number: [one["id"] for one in _rest(who, f"/v2/spaces?org_id={number}", "spaces")] for number in shown
    }


@pytest.mark.parametrize("name", EVERYBODY)
def test_people_are_those_of_rest(crowd: Cast, name: str) -> None:
    who = asker(getattr(crowd, name))

    shown = _shown(
        who,
        "{ account { users { edges { node { id name email createdAt status isDeveloper } } } } }",
        "account",
        "users",
    )
    listed = _rest(who, "/v2/users", "users")

    if isinstance(shown, str):
        assert shown == listed == "forbidden"
    else:
        assert [(one["id"], one["name"], one["email"], one["isDeveloper"], one["status"]) for one in shown] == [
            (
                one["id"],
                one["name"],
                one["email"],
                one["is_developer"],
                "active" if one["status"] == "ACTIVE" else "inactive",
            )
            for one in listed
        ]


@pytest.mark.parametrize("name", EVERYBODY)
def test_roles_are_those_of_rest(crowd: Cast, name: str) -> None:
    who = asker(getattr(crowd, name))

    shown = _shown(
        who, "{ account { roles { edges { node { id name isPredefined permissions } } } } }", "account", "roles"
    )
    listed = _rest(who, "/v2/roles", "roles")

    if isinstance(shown, str):
        assert shown == listed == "forbidden"
    else:
        assert {one["id"]: (one["name"], one["isPredefined"], one["permissions"]) for one in shown} == {
            one["id"]: (one["name"], one["is_predefined"], sorted(one["permissions"])) for one in listed
        }


def _every_id() -> list[tuple[str, str, str]]:
    """Return every id there is, as GraphQL's type, the id, and where REST shows it."""
    found = []
    for type_name, model, place in (
        ("AccountOrganization", Organization, "/v2/organizations/"),
        ("Space", Space, "/v2/spaces/"),
        ("User", User, "/v2/users/"),
        ("Role", Role, "/v2/roles/"),
        ("RoleBinding", SpaceBinding, "/v2/role-bindings/"),
    ):
        for number in model._default_manager.values_list("pk", flat=True):
            name = "Organization" if model is Organization else type_name
            found.append((type_name, encode_id(name, number), place))
    return found


@pytest.mark.parametrize("name", EVERYBODY)
def test_ids_lead_where_they_lead_over_rest(crowd: Cast, name: str) -> None:  # security 19
    who = asker(getattr(crowd, name))

    for type_name, wire_id, place in _every_id():
        body = who.answer("query($id: ID!) { node(id: $id) { id __typename } }", id=wire_id)
        status = Client().get(place + wire_id, headers={"x-api-key": who.key.plaintext}).status_code
        codes = [error["extensions"]["status"] for error in body.get("errors", [])]
        if status == 200:
            assert body == {"data": {"node": {"id": wire_id, "__typename": type_name}}}
        else:
            assert body["data"] == {"node": None}
            assert codes == ([] if status == 404 else [status])


def test_other_ids_lead_to_what_the_caller_may_read(crowd: Cast) -> None:
    in_production = SpaceBinding.objects.get(user=crowd.bob, content_object=crowd.production)
    in_fraud = OrganizationBinding.objects.get(user=crowd.bob, content_object=crowd.fraud)
    text = """query($account: ID!, $space: ID!, $organization: ID!) {
      account: node(id: $account) { ... on Account { name } }
      space: node(id: $space) { ... on SpaceMembership { role customRole { name } user { name } space { name } } }
      organization: node(id: $organization) {
        ... on OrganizationMembership { role user { name } organization { name } } }
    }"""
    ids = {
        "account": encode_id("Account", crowd.account.pk),
        "space": encode_id("SpaceMembership", in_production.pk),
        "organization": encode_id("OrganizationMembership", in_fraud.pk),
    }

    assert asker(crowd.charlie).data(text, **ids) == {
        "account": {"name": "Acme AI"},
        "space": {
            "role": "member",
            "customRole": None,
            "user": {"name": "Bob Baker"},
            "space": {"name": "production"},
        },
        "organization": {"role": "member", "user": {"name": "Bob Baker"}, "organization": {"name": "Fraud & Risk"}},
    }
    for stranger in (crowd.dana, crowd.erin, crowd.mallory):
        found = asker(stranger).data(text, **ids)
        assert (found["space"], found["organization"]) == (None, None)
    assert asker(crowd.mallory).data(text, **ids)["account"] is None


def test_a_role_in_a_project_says_where_it_is_and_is_no_membership_of_the_space(crowd: Cast) -> None:
    project = ProjectFactory.create(space=crowd.production)
    number = bind(crowd.bob, project, RoleName.READ_ONLY).pk
    in_space = SpaceBinding.objects.get(user=crowd.bob, content_object=crowd.production).pk
    text = """query($id: ID!) { node(id: $id) {
      ... on RoleBinding { resourceType resourceId role { name } user { name } space { name } } } }"""
    who = asker(crowd.charlie)

    found, beside = (who.data(text, id=encode_id("RoleBinding", one))["node"] for one in (number, in_space))

    assert found == {
        "resourceType": "project",
        "resourceId": encode_id("Model", project.pk),
        "role": {"name": "Space Read-Only Member"},
        "user": {"name": "Bob Baker"},
        "space": {"name": "production"},
    }
    assert (beside["resourceType"], beside["resourceId"]) == ("space", encode_id("Space", crowd.production.pk))
    assert who.data(text, id=encode_id("SpaceMembership", number))["node"] is None
    assert asker(crowd.erin).data(text, id=encode_id("RoleBinding", number))["node"] is None


@pytest.mark.parametrize(
    "wire_id", ["x", "", "U3BhY2U6MTpBQUFB", "Space:1", "💣", "A" * 10_000, encode_id("Dashboard", 1)]
)
def test_what_is_no_id_is_said_to_be_none(cast: Cast, wire_id: str) -> None:
    assert asker(cast.bob).codes("query($id: ID!) { node(id: $id) { id } }", id=wire_id) == ["invalid"]


# Who is in a space

USERS = """query($id: ID!, $search: String, $kind: UserType, $first: Int, $after: String) { node(id: $id) {
  ... on Space { spaceUsers(first: $first, after: $after, search: $search, userType: $kind) {
    totalCount pageInfo { hasNextPage endCursor }
    edges { node { role effectiveRole membership customRole { name } user { name email userType } } } } } } }"""


def _users(who: Asker, space: Space, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = who.data(USERS, id=encode_id("Space", space.pk), **variables)["node"]["spaceUsers"]
    return found


def test_space_users_are_all_who_get_in(crowd: Cast) -> None:
    """Contract rest-v2 §14.5: also admins whom nobody added."""
    found = _users(asker(crowd.alice), crowd.staging)

    assert found["totalCount"] == 5
    assert nodes(found) == [
        {
            "role": role,
            "effectiveRole": effective,
            "membership": membership,
            "customRole": custom,
            "user": {"name": name, "email": email, "userType": kind},
        }
        for role, effective, membership, custom, name, email, kind in (
            (None, "admin", "ACCOUNT_ADMIN", None, "Alice Archer", "alice@example.com", "human"),
            ("member", "member", "EXPLICIT_MEMBERSHIP", None, "Bob Baker", "bob@example.com", "human"),
            (
                "readOnly",
                "readOnly",
                "EXPLICIT_MEMBERSHIP",
                {"name": "labels"},
                "Charlie Chen",
                "charlie@example.com",
                "human",
            ),
            (None, "annotator", "PUBLIC_MEMBERSHIP", None, "Dana Diaz", "dana@example.com", "human"),
            (None, "readOnly", "PUBLIC_MEMBERSHIP", None, "nightly", None, "bot"),
        )
    ]


def test_bots_are_shown_to_those_who_may_know_of_their_keys(crowd: Cast) -> None:
    def bots(who: User, space: Space) -> tuple[int, list[str]]:
        found = _users(asker(who), space, kind="bot")
        return found["totalCount"], [one["user"]["name"] for one in nodes(found)]

    assert bots(crowd.bob, crowd.production) == (1, ["nightly"])
    assert bots(crowd.charlie, crowd.production) == (0, [])
    assert bots(crowd.alice, crowd.vision_lab) == (1, ["lab bot"])


def test_space_users_are_narrowed_and_paged(crowd: Cast) -> None:
    bob = asker(crowd.bob)

    first = _users(bob, crowd.production, first=2)
    second = _users(bob, crowd.production, first=2, after=first["pageInfo"]["endCursor"])
    third = _users(bob, crowd.production, first=2, after=second["pageInfo"]["endCursor"])

    pages = [[one["user"]["name"] for one in nodes(page)] for page in (first, second, third)]
    assert pages == [["Alice Archer", "Bob Baker"], ["Charlie Chen", "Dana Diaz"], ["nightly"]]
    assert [page["pageInfo"]["hasNextPage"] for page in (first, second, third)] == [True, True, False]
    assert [page["totalCount"] for page in (first, second, third)] == [5, 5, 5]
    assert [one["user"]["name"] for one in nodes(_users(bob, crowd.production, search="CH"))] == [
        "Alice Archer",
        "Charlie Chen",
    ]
    assert _users(bob, crowd.production, search="bot.invalid")["totalCount"] == 0
    assert _users(bob, crowd.production, kind="human")["totalCount"] == 4


def test_annotators_see_no_members_and_the_rest_all_the_same(crowd: Cast) -> None:
    body = asker(crowd.dana).answer(
        "{ viewer { spaces(first: 3) { edges { node { name spaceUsers(first: 1) { totalCount } } } } } }"
    )

    assert nodes(body["data"]["viewer"]["spaces"]) == [
        {"name": "production", "spaceUsers": None},
        {"name": "staging", "spaceUsers": None},
    ]
    assert {error["extensions"]["code"] for error in body["errors"]} == {"forbidden"}


def test_members_of_an_organization(crowd: Cast) -> None:
    text = """query($id: ID!) { node(id: $id) { ... on AccountOrganization { accountOrganizationUsers {
      edges { node { role effectiveRole membership user { name } } } } } } }"""

    found = asker(crowd.bob).data(text, id=encode_id("Organization", crowd.research.pk))["node"]
    mine = asker(crowd.erin).data(text, id=encode_id("Organization", crowd.research.pk))["node"]
    alices = asker(crowd.alice).data(text, id=encode_id("Organization", crowd.research.pk))["node"]

    assert found is None
    assert alices == mine
    assert [
        (one["user"]["name"], one["role"], one["effectiveRole"], one["membership"])
        for one in nodes(mine["accountOrganizationUsers"])
    ] == [
        ("Alice Archer", None, "admin", "ACCOUNT_ADMIN"),
        ("Erin Evans", "readOnly", "readOnly", "EXPLICIT_MEMBERSHIP"),
        ("lab bot", "readOnly", "readOnly", "EXPLICIT_MEMBERSHIP"),
    ]


# Lists


def test_whole_name_comes_first_however_many_contain_it(cast: Cast) -> None:
    """Clients look among the first ten."""
    for number in range(12):
        SpaceFactory.create(organization=cast.fraud, name=f"production-{number}")
        OrganizationFactory.create(account=cast.account, name=f"Research {number}")
        person = PersonFactory.create(name=f"Erin Evans {number}", email=f"erin{number}@example.com")
        bind(person, cast.account, RoleName.MEMBER)
    late = SpaceFactory.create(organization=cast.fraud, name="PRODUCTION")
    alice = asker(cast.alice)

    text = """query($space: String!, $organization: String!, $user: String!) { account {
      organizations(search: $organization, first: 10) { edges { node { name } } }
      users(search: $user, first: 10) { edges { node { name } } } }
      viewer { spaces(search: $space, first: 10) { edges { node { name } } } } }"""
    found = alice.data(text, space="PRODUCTION", organization="Research", user="Erin Evans")

    assert names(found["viewer"]["spaces"])[:2] == [late.name, "production"]
    assert names(found["account"]["organizations"])[:2] == ["Research", "Research 0"]
    assert names(found["account"]["users"])[:2] == ["Erin Evans", "Erin Evans 0"]
    assert names(alice.data(text, space="x", organization="x", user="erin7@example.com")["account"]["users"]) == [
        "Erin Evans 7"
    ]


def test_lists_within_lists_go_on_from_their_own_cursor(cast: Cast) -> None:
    for number in range(3):
        SpaceFactory.create(organization=cast.fraud, name=f"fraud-{number}")
    alice = asker(cast.alice)
    text = """query($id: ID!, $after: String, $search: String) { node(id: $id) { ... on AccountOrganization {
      spaces(first: 2, after: $after, search: $search) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      edges { cursor node { name } } } } } }"""

    for search, expected in (
        (None, [["production", "staging"], ["fraud-0", "fraud-1"], ["fraud-2"]]),
        ("fraud", [["fraud-0", "fraud-1"], ["fraud-2"]]),
    ):
        after, pages = None, []
        while True:
            page = alice.data(text, id=encode_id("Organization", cast.fraud.pk), after=after, search=search)["node"][
                "spaces"
            ]
            pages.append(names(page))
            info = page["pageInfo"]
            assert info["startCursor"] == page["edges"][0]["cursor"]
            assert info["endCursor"] == page["edges"][-1]["cursor"]
            assert info["hasPreviousPage"] == (after is not None)
            after = info["endCursor"]
            if not info["hasNextPage"]:
                break
        assert pages == expected


def test_empty_lists_are_pages(cast: Cast) -> None:
    found = asker(cast.alice).data(
        """{ account { organizations(search: "nothing") { edges { node { name } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""
    )

    assert found["account"]["organizations"] == {
        "edges": [],
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "startCursor": None, "endCursor": None},
    }


# As many queries for many rows as for one

LISTS = {
    "spaces": """{ viewer { spaces(first: 30) { edges { node { name organization { name
        spaces(first: 1) { edges { node { name } } } } } } } } }""",
    "members of spaces": """{ viewer { spaces(first: 30) { edges { node { spaceUsers(first: 3) { totalCount edges {
        node { role effectiveRole membership customRole { name } user { name role { name } } } } } } } } } }""",
    "spaces of organizations and their members": """{ account { organizations(first: 30) { edges { node { name
        spaces(first: 2) { edges { node { name spaceUsers(first: 2) { edges { node { user { name } } } } } } }
        accountOrganizationUsers(first: 2) { edges { node { effectiveRole user { name } } } } } } } } }""",
    "found spaces": """{ account { organizations(first: 30, search: "o") { edges { node {
        spaces(first: 2, search: "s") { edges { node { spaceUsers(first: 2, search: "e") {
        totalCount } } } } } } } } }""",
    "people": "{ account { users(first: 100) { edges { node { name role { name permissions } accountRole } } } } }",
}


@pytest.mark.parametrize("name", ["alice", "bob"])
@pytest.mark.parametrize("what", LISTS)
def test_queries_do_not_grow_with_the_rows(cast: Cast, what: str, name: str) -> None:
    caller = getattr(cast, name)
    who = asker(caller)
    who.data(LISTS[what])
    counts = []
    for rows in (1, 3, 30):
        while Space.objects.filter(organization__account=cast.account).count() < rows + 3:
            organization = OrganizationFactory.create(account=cast.account)
            bind(cast.bob, organization, RoleName.MEMBER)
            space = SpaceFactory.create(organization=organization)
            person = PersonFactory.create()
            bind(person, cast.account, RoleName.MEMBER)
            bind(person, organization, RoleName.READ_ONLY)
            bind(person, space, RoleName.MEMBER)
        with CaptureQueriesContext(connection) as queries:
            who.data(LISTS[what])
        counts.append(len(queries))

    assert counts[0] == counts[1] == counts[2] <= 20


# What is changed


def test_organization_is_created(cast: Cast) -> None:
    found = asker(cast.alice).data(
        """mutation { createOrganization(input: {name: " Legal ", description: "law", clientMutationId: "7"}) {
        organization { id name description } clientMutationId } }"""
    )["createOrganization"]

    organization = Organization.objects.get(name="Legal")
    assert found == {
        "organization": {
            "id": encode_id("Organization", organization.pk),
            "name": "Legal",
            "description": "law",
        },
        "clientMutationId": "7",
    }
    assert organization.account == cast.account


CREATE_SPACE = """mutation($input: CreateSpaceMutationInput!) { createSpace(input: $input) {
  space { name private description organization { name } spaceUsers(first: 5, userType: human) { edges { node {
  role user { name } } } } } clientMutationId } }"""


def test_space_is_created_and_its_maker_runs_it(cast: Cast) -> None:
    given = {"accountOrganizationId": encode_id("Organization", cast.fraud.pk), "name": "lab", "private": True}

    found = asker(cast.bob).data(CREATE_SPACE, input=given)["createSpace"]

    assert found == {
        "space": {
            "name": "lab",
            "private": True,
            "description": "",
            "organization": {"name": "Fraud & Risk"},
            "spaceUsers": {
                "edges": [
                    {"node": {"role": None, "user": {"name": "Alice Archer"}}},
                    {"node": {"role": "admin", "user": {"name": "Bob Baker"}}},
                ]
            },
        },
        "clientMutationId": None,
    }


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("charlie", {}, "forbidden"),
        ("erin", {}, "not_found"),
        ("mallory", {}, "not_found"),
        ("bob", {"name": "production"}, "conflict"),
        ("bob", {"name": " "}, "invalid"),
        ("bob", {"name": "x" * 256}, "invalid"),
        ("bob", {"name": "a\nb"}, "invalid"),
        ("bob", {"description": "x" * 1001}, "invalid"),
        ("bob", {"accountOrganizationId": encode_id("Space", 1)}, "invalid"),
        ("bob", {"accountOrganizationId": encode_id("Organization", 2**62)}, "not_found"),
    ],
)
def test_space_that_may_not_be_is_refused(cast: Cast, name: str, change: dict[str, Any], code: str) -> None:
    given = {"accountOrganizationId": encode_id("Organization", cast.fraud.pk), "name": "lab"} | change

    assert asker(getattr(cast, name)).codes(CREATE_SPACE, input=given) == [code]
    assert not Space.objects.filter(organization=cast.fraud).exclude(name__in=["production", "staging"]).exists()


def test_space_is_changed_in_what_was_given(cast: Cast) -> None:
    text = """mutation($input: UpdateSpaceMutationInput!) { updateSpace(input: $input) { space {
      name description private mlModelsEnabled gradientStartColor gradientEndColor } clientMutationId } }"""
    number = encode_id("Space", cast.production.pk)

    found = asker(cast.alice).data(
        text, input={"spaceId": number, "private": True, "gradientEndColor": "#123", "clientMutationId": "c"}
    )

    assert found["updateSpace"] == {
        "space": {
            "name": "production",
            "description": "",
            "private": True,
            "mlModelsEnabled": True,
            "gradientStartColor": "",
            "gradientEndColor": "#123",
        },
        "clientMutationId": "c",
    }
    assert asker(cast.bob).codes(text, input={"spaceId": number, "name": "mine"}) == ["forbidden"]
    assert asker(cast.erin).codes(text, input={"spaceId": number, "name": "mine"}) == ["not_found"]
    for color in ("gradientStartColor", "gradientEndColor"):
        for wrong in ("x" * 33, "#12\n3"):
            assert asker(cast.alice).codes(text, input={"spaceId": number, color: wrong}) == ["invalid"]
    assert asker(cast.alice).codes(text, input={"spaceId": number, "name": "staging"}) == ["conflict"]


ASSIGN = """mutation($wanted: [SpaceMembershipInput!]!) { assignSpaceMembership(input: {spaceMemberships: $wanted}) {
  spaceMemberships { id role customRole { name } user { id name email } space { name } } clientMutationId } }"""


def _wanted(user: User, space: Space, **role: str) -> dict[str, str]:
    return {"userId": encode_id("User", user.pk), "spaceId": encode_id("Space", space.pk)} | role


def test_memberships_are_assigned_in_one_go(cast: Cast) -> None:
    labels = custom_role(cast.account, "labels", "DATASET_READ", "DATASET_UPDATE")

    found = asker(cast.alice).data(
        ASSIGN,
        wanted=[
            _wanted(cast.bob, cast.staging, role="readOnly"),
            _wanted(cast.charlie, cast.staging, customRoleId=encode_id("Role", labels.pk)),
        ],
    )["assignSpaceMembership"]["spaceMemberships"]

    held = SpaceBinding.objects.get(user=cast.bob, content_object=cast.staging)
    custom = SpaceBinding.objects.get(user=cast.charlie, content_object=cast.staging, permission__role=labels)
    assert held.role.name == RoleName.READ_ONLY
    assert found == [
        {
            "id": encode_id("SpaceMembership", held.pk),
            "role": "readOnly",
            "customRole": None,
            "user": {"id": encode_id("User", cast.bob.pk), "name": "Bob Baker", "email": "bob@example.com"},
            "space": {"name": "staging"},
        },
        {
            "id": encode_id("SpaceMembership", custom.pk),
            "role": "member",  # the lowest that permits as much
            "customRole": {"name": "labels"},
            "user": {"id": encode_id("User", cast.charlie.pk), "name": "Charlie Chen", "email": "charlie@example.com"},
            "space": {"name": "staging"},
        },
    ]


def test_one_membership_that_is_refused_refuses_all(cast: Cast) -> None:
    wanted = [_wanted(cast.bob, cast.staging, role="admin"), _wanted(cast.erin, cast.staging, role="admin")]

    assert asker(cast.alice).codes(ASSIGN, wanted=wanted) == ["incompatible"]
    assert SpaceBinding.objects.get(user=cast.bob, content_object=cast.staging).role.name == RoleName.MEMBER


def test_memberships_that_may_not_be_are_refused(cast: Cast) -> None:
    foreign = custom_role(cast.elsewhere.organization.account, "theirs", "DATASET_READ")
    alice, bob = asker(cast.alice), asker(cast.bob)

    def codes(who: Asker, *wanted: dict[str, str]) -> list[str]:
        return who.codes(ASSIGN, wanted=list(wanted))

    assert codes(bob, _wanted(cast.charlie, cast.production, role="member")) == ["forbidden"]
    assert codes(bob, _wanted(cast.charlie, cast.vision_lab, role="member")) == ["not_found"]
    assert codes(alice, _wanted(cast.mallory, cast.production, role="member")) == ["not_found"]
    assert codes(alice, _wanted(cast.bob, cast.elsewhere, role="member")) == ["not_found"]
    assert codes(alice, _wanted(cast.bob, cast.production, customRoleId=encode_id("Role", foreign.pk))) == ["not_found"]
    assert codes(alice, _wanted(cast.bob, cast.production)) == ["invalid"]
    both = _wanted(cast.bob, cast.production, role="member", customRoleId=encode_id("Role", 1))
    assert codes(alice, both) == ["invalid"]
    assert codes(alice) == ["invalid"]
    assert codes(alice, *[_wanted(cast.bob, cast.production, role="member")] * 101) == ["invalid"]
    assert codes(alice, _wanted(cast.bob, cast.production, role="annotator")) == ["incompatible"]


REMOVE = """mutation($space: ID!, $user: ID!) { removeSpaceMember(input: {spaceId: $space, userId: $user}) {
  space { id name } clientMutationId } }"""


def _leaving(user: User, space: Space) -> dict[str, str]:
    return {"space": encode_id("Space", space.pk), "user": encode_id("User", user.pk)}


def test_member_is_taken_out_with_all_roles(cast: Cast) -> None:
    bind(cast.charlie, cast.staging, custom_role(cast.account, "labels", "DATASET_READ"))
    alice = asker(cast.alice)

    found = alice.data(REMOVE, **_leaving(cast.charlie, cast.staging))["removeSpaceMember"]

    assert found == {
        "space": {"id": encode_id("Space", cast.staging.pk), "name": "staging"},
        "clientMutationId": None,
    }
    assert not SpaceBinding.objects.filter(user=cast.charlie, content_object=cast.staging).exists()
    assert alice.codes(REMOVE, **_leaving(cast.charlie, cast.staging)) == ["not_found"]
    assert asker(cast.bob).codes(REMOVE, **_leaving(cast.dana, cast.production)) == ["forbidden"]
    assert asker(cast.bob).codes(REMOVE, **_leaving(cast.erin, cast.vision_lab)) == ["not_found"]


def test_whoever_takes_themselves_out_sees_no_more_of_it_in_the_very_answer(cast: Cast) -> None:
    """What was known of permissions before a mutation is not believed after it (security 18 and 22)."""
    bind(cast.charlie, cast.vision_lab.organization, RoleName.READ_ONLY)
    bind(cast.charlie, cast.vision_lab, RoleName.ADMIN)
    text = """mutation($space: ID!, $user: ID!) {
      removeSpaceMember(input: {spaceId: $space, userId: $user}) { space { name } }
      createServiceApiKey(input: {spaceId: $space, name: "late"}) { apiKey } }"""

    body = asker(cast.charlie).answer(text, **_leaving(cast.charlie, cast.vision_lab))

    assert body["data"] == {"removeSpaceMember": {"space": None}, "createServiceApiKey": None}
    assert [error["extensions"]["code"] for error in body["errors"]] == ["not_found"]


def test_standing_is_read_anew_after_a_mutation(cast: Cast) -> None:  # security 22
    inquiry = Inquiry(cast.actor(cast.bob), timezone.now())
    before = inquiry.standing.spaces[cast.production.pk]

    inquiry.acting(cast_to(Info, SimpleNamespace(field_name="assignSpaceMembership")))
    bind_role(
        cast.actor(cast.alice),
        user=cast.bob,
        role=predefined(Level.SPACE, RoleName.ADMIN),
        scope=cast.production,
        at=timezone.now(),
    )

    after = inquiry.standing.spaces[cast.production.pk]
    assert [role.name for role in (*before, *after)] == ["MEMBER", "ADMIN"]


def test_mutations_of_one_document_stand_each_for_itself(cast: Cast) -> None:
    body = asker(cast.alice).answer(
        """mutation { a: createOrganization(input: {name: "A"}) { clientMutationId }
        b: createOrganization(input: {name: "Research"}) { clientMutationId }
        c: createOrganization(input: {name: "C"}) { clientMutationId } }"""
    )

    assert [name for name, found in body["data"].items() if found is None] == ["b"]
    assert Organization.objects.filter(name__in=["A", "C"]).count() == 2
    assert AuditEvent.objects.filter(tag="organization:create").count() == 2


def test_membership_of_another_account_counts_for_nothing(cast: Cast) -> None:
    """A key opens the account it was made in, even where its person belongs to several."""
    bob = asker(cast.bob)
    bind(cast.bob, cast.elsewhere.organization.account, RoleName.ADMIN)

    assert names(bob.data("{ viewer { spaces { edges { node { name } } } } }")["viewer"]["spaces"]) == [
        "production",
        "staging",
    ]
    assert bob.data("query($id: ID!) { node(id: $id) { id } }", id=encode_id("Space", cast.elsewhere.pk)) == {
        "node": None
    }


# The audit log

SIGN_INS = """query($after: String, $start: DateTime, $end: DateTime) { account {
  unauthenticatedAuditLogs(first: 2, after: $after, startTime: $start, endTime: $end) {
    pageInfo { hasNextPage endCursor }
    edges { node { id user { email } ip success mutationName loggedAt } } } } }"""


def test_sign_ins_are_told_as_the_vendor_tells_them(cast: Cast) -> None:
    """Contract rest-v2 §14.10."""
    for email, password in (("bob@example.com", "wrong"), ("nobody@example.com", "x"), ("bob@example.com", PASSWORD)):
        Client().post("/sign-in/", {"username": email, "password": password})
    alice = asker(cast.alice)

    first = alice.data(SIGN_INS)["account"]["unauthenticatedAuditLogs"]
    second = alice.data(SIGN_INS, after=first["pageInfo"]["endCursor"])["account"]["unauthenticatedAuditLogs"]

    told = [
        (one["user"]["email"], one["success"], one["mutationName"], one["ip"])
        for one in (*nodes(first), *nodes(second))
    ]
    assert told == [
        ("bob@example.com", True, "session:start", "127.0.0.1"),
        ("bob@example.com", False, "session:fail", "127.0.0.1"),
    ]
    assert not first["pageInfo"]["hasNextPage"]


def test_audit_log_is_that_of_rest(crowd: Cast) -> None:
    alice = asker(crowd.alice)
    alice.data('mutation { createOrganization(input: {name: "Logged"}) { clientMutationId } }')
    text = """{ account { auditLogs(first: 50) { edges { node { id user { id } ip operationType operationName
      operationText variables loggedAt action success target } } } } }"""

    shown = nodes(alice.data(text)["account"]["auditLogs"])

    assert shown[0]["operationName"] == "createOrganization"
    assert [
        {
            "id": one["id"],
            "user_id": one["user"]["id"],
            "ip": one["ip"],
            "operation_type": one["operationType"],
            "operation_name": one["operationName"],
            "operation_text": one["operationText"],
            "variables": one["variables"],
            "created_at": one["loggedAt"],
            "action": one["action"],
            "target": one["target"],
        }
        for one in shown
    ] == [
        {name: one[name] for name in one if name in FIELDS_OF_LOGS}
        for one in _rest(alice, "/v2/audit-logs?limit=50", "logs")
    ]


FIELDS_OF_LOGS = {
    "id",
    "user_id",
    "ip",
    "operation_type",
    "operation_name",
    "operation_text",
    "variables",
    "created_at",
    "action",
    "target",
}


@pytest.mark.parametrize("name", ["bob", "charlie", "dana"])
@pytest.mark.parametrize("field", ["auditLogs", "unauthenticatedAuditLogs"])
def test_audit_log_is_for_account_admins(cast: Cast, name: str, field: str) -> None:
    text = f"{{ account {{ name {field}(first: 1) {{ edges {{ cursor }} }} }} }}"

    body = asker(getattr(cast, name)).answer(text)

    assert body["data"] == {"account": {"name": "Acme AI", field: None}}
    assert [error["extensions"]["code"] for error in body["errors"]] == ["forbidden"]


def test_audit_log_has_a_time_range(cast: Cast) -> None:
    alice = asker(cast.alice)

    def found(**times: str) -> list[Any]:
        text = """query($start: DateTime, $end: DateTime) { account { auditLogs(startTime: $start, endTime: $end) {
          edges { cursor } } } }"""
        connection: dict[str, Any] = alice.data(text, **times)["account"]["auditLogs"]
        return list(connection["edges"])

    assert len(found()) == len(found(start="2020-01-01T00:00:00Z")) > 0
    assert found(end="2020-01-01T00:00:00Z") == []
    assert found(start="2090-01-01T00:00:00Z", end="2091-01-01T00:00:00Z") == []
    assert alice.data('{ account { auditLogs(endTime: "0001-01-02T00:00:00Z") { edges { cursor } } } }')
    assert alice.codes('{ account { auditLogs(startTime: "2090-01-01T00:00:00Z") { edges { cursor } } } }') == [
        "invalid"
    ]
