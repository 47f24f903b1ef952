"""Roles: who looks and who changes, putting one together with and without a script, and giving it on pages."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.audit import Tag
from accounts.custom_roles import create_role
from accounts.models import AuditEvent, Role, SpaceBinding, User
from accounts.recent import AUTHENTICATED_AT
from accounts.roles import Level, RoleName
from accounts.roster import value_of
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import PersonFactory, ProjectFactory, SpaceFactory, bind, custom_role

pytestmark = pytest.mark.django_db

ROLES = "/settings/roles/"
PREDEFINED = "/settings/roles/predefined/"
NEW = "/settings/roles/new/"
READER = {"name": "Reader", "description": "Reads datasets", "permissions": ["DATASET_READ", "SPACE_READ"]}


def body(response: Any) -> str:
    return str(response.content.decode())


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(role: Role, rest: str = "") -> str:
    return f"{ROLES}{encode_id('Role', role.pk)}/{rest}"


def in_spaces(name: RoleName) -> Role:
    return Role.objects.get(account=None, level=Level.SPACE, name=name)


def send(client: Client, step: str = "save", address: str = NEW, **changed: Any) -> Any:
    return client.post(address, READER | {"step": step} | changed)


def ticked(response: Any) -> set[str]:
    return {
        box["value"]
        for group in response.context["categories"]
        for row in group["rows"]
        for box in row["boxes"]
        if box["checked"]
    }


def shown(response: Any) -> list[str]:
    return [
        row["resource"].name for group in response.context["categories"] for row in group["rows"] if not row["hidden"]
    ]


# ---- Looking


def test_everybody_but_annotators_looks_and_only_account_admins_are_offered_changes(cast: Cast) -> None:
    role = custom_role(cast.account, "Label lead", "QUEUE_CREATE")

    for person, offered in ((cast.alice, True), (cast.bob, False), (cast.erin, False)):
        client = signed_in(person)
        listed, page = body(client.get(ROLES)), body(client.get(page_of(role)))
        assert "Label lead" in listed
        assert ("Create Role" in listed) == offered
        assert all((part in page) == offered for part in ("/edit/", "/delete/", "Copy as a new role"))
        assert ("Ask <a" in listed) != offered

    closed = signed_in(cast.dana).get(ROLES)
    assert closed.status_code == 403
    assert "Your role does not show roles" in body(closed)
    assert signed_in(cast.dana).get(PREDEFINED).status_code == 403
    assert signed_in(cast.dana).get(page_of(role)).status_code == 403


def test_roles_of_other_accounts_do_not_exist(cast: Cast) -> None:
    theirs = custom_role(cast.elsewhere.organization.account, "Their role", "QUEUE_CREATE")
    client = signed_in(cast.alice)

    assert "Their role" not in body(client.get(ROLES))
    for rest in ("", "edit/", "delete/"):
        assert client.get(page_of(theirs, rest)).status_code == 404
    assert client.get(f"{ROLES}nonsense/").status_code == 404


def test_strangers_are_sent_to_sign_in(client: Client, cast: Cast) -> None:
    for path in (ROLES, PREDEFINED, NEW, page_of(in_spaces(RoleName.MEMBER), "edit/")):
        assert client.get(path)["Location"].startswith("/sign-in/?next=")


def test_the_list_says_how_often_each_role_is_held(cast: Cast) -> None:
    lead, idle = custom_role(cast.account, "Label lead", "QUEUE_CREATE"), custom_role(cast.account, "Idle", "TAG_READ")
    bind(cast.bob, cast.production, lead)
    bind(cast.bob, cast.staging, lead)

    rows = {row["role"]: row["role"].holders for row in signed_in(cast.bob).get(ROLES).context["rows"]}

    assert rows == {lead: 2, idle: 0}


def test_search_and_pages(cast: Cast) -> None:
    for number in range(27):
        custom_role(cast.account, f"role {number:02}", "TAG_READ")
    client = signed_in(cast.alice)

    first = client.get(ROLES)
    second = client.get(f"{ROLES}{first.context['older_url']}")

    assert [len(page.context["rows"]) for page in (first, second)] == [25, 2]
    assert [row["role"].name for row in client.get(ROLES, {"q": "E 07"}).context["rows"]] == ["role 07"]
    assert "No role matches" in body(client.get(ROLES, {"q": "zebra"}))
    assert client.get(ROLES, {"after": "rubbish"})["Location"] == ROLES


def test_lists_cost_the_same_for_one_and_thirty(cast: Cast) -> None:
    client, held = signed_in(cast.alice), custom_role(cast.account, "held", "TAG_READ")
    counts: dict[str, set[int]] = {"list": set(), "page": set()}
    for extra in (1, 2, 22):
        for number in range(extra):
            role = custom_role(cast.account, f"role {extra} {number}", "TAG_READ")
            bind(cast.bob, SpaceFactory.create(organization=cast.fraud), role)
            bind(cast.bob, SpaceFactory.create(organization=cast.fraud), held)
        for name, path in (("list", ROLES), ("page", page_of(held))):
            with CaptureQueriesContext(connection) as queries:
                client.get(path)
            counts[name].add(len(queries))

    assert [len(numbers) for numbers in counts.values()] == [1, 1], counts


@pytest.mark.parametrize(("level", "names"), [("space", 4), ("organization", 4), ("account", 4), ("nonsense", 4)])
def test_predefined_roles_stand_side_by_side(cast: Cast, level: str, names: int) -> None:
    page = signed_in(cast.bob).get(PREDEFINED, {"level": level})

    expected = level.upper() if level != "nonsense" else "SPACE"
    assert [row["role"].level for row in page.context["roles"]] == [expected] * names
    ranks = [row["role"].rank for row in page.context["roles"]]
    assert ranks == sorted(ranks, reverse=True)


def test_a_custom_role_is_compared_with_what_is_most_like_it_or_what_is_asked(cast: Cast) -> None:
    member = in_spaces(RoleName.MEMBER)
    near = custom_role(cast.account, "Near", *(set(member.permissions) - {"MONITOR_DELETE"}), "SPACE_UPDATE")
    client = signed_in(cast.bob)

    page = client.get(page_of(near))
    other = client.get(page_of(near), {"against": "ADMIN"})

    told = page.context["difference"]
    assert page.context["against"] == member
    assert [(part.resource.name, part.permissions) for part in told.added] == [("SPACE", (Permission.SPACE_UPDATE,))]
    assert [(part.resource.name, part.permissions) for part in told.missing] == [
        ("MONITOR", (Permission.MONITOR_DELETE,))
    ]
    assert other.context["against"].name == "ADMIN"
    assert other.context["difference"].added == ()


def test_holders_are_shown_to_those_who_may_read_them_there(cast: Cast) -> None:
    lead = custom_role(cast.account, "Label lead", "QUEUE_CREATE")
    bind(cast.charlie, cast.production, lead)
    bind(cast.erin, cast.vision_lab, lead)

    def holders(user: User) -> list[tuple[str, str]]:
        page = signed_in(user).get(page_of(lead))
        return [(held.user.name, held.content_object.name) for held in page.context["holders"]]

    assert holders(cast.alice) == [("Erin Evans", "vision-lab"), ("Charlie Chen", "production")]
    assert holders(cast.bob) == [("Charlie Chen", "production")]
    assert holders(cast.erin) == [("Erin Evans", "vision-lab")]
    assert "vision-lab" not in body(signed_in(cast.bob).get(page_of(lead)))


# ---- Putting one together


def test_an_admin_creates_a_role(cast: Cast) -> None:
    answer = send(signed_in(cast.alice))

    role = Role.objects.get(account=cast.account)
    assert answer["Location"] == page_of(role)
    assert (role.name, role.description, role.permissions) == (
        "Reader",
        "Reads datasets",
        ["DATASET_READ", "SPACE_READ"],
    )
    assert AuditEvent.objects.get(tag=Tag.ROLE_DEFINED).actor_id == cast.alice.pk


@pytest.mark.parametrize("who", ["bob", "charlie", "erin"])
def test_nobody_else_creates_changes_or_deletes_roles(cast: Cast, who: str) -> None:
    role = custom_role(cast.account, "Label lead", "QUEUE_CREATE")
    client = signed_in(getattr(cast, who))

    for path in (NEW, page_of(role, "edit/"), page_of(role, "delete/")):
        assert client.get(path).status_code == 403
        assert client.post(path, READER | {"step": "save"}).status_code == 403
    role.refresh_from_db()
    assert (role.name, role.deleted_at, Role.objects.filter(account=cast.account).count()) == ("Label lead", None, 1)


def test_predefined_roles_are_not_edited(cast: Cast) -> None:
    client = signed_in(cast.alice)

    for rest in ("edit/", "delete/"):
        assert client.get(page_of(in_spaces(RoleName.MEMBER), rest)).status_code == 403
        assert client.post(page_of(in_spaces(RoleName.MEMBER), rest), READER | {"step": "save"}).status_code == 403


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": ""}, "Give the role a name"),
        ({"name": "Prüfer"}, "letters and digits without accents"),
        ({"name": "Space Admin"}, "already has a role"),
        ({"permissions": []}, "Choose at least one permission"),
        ({"permissions": ["DATASET_FLY"]}, "DATASET_FLY is not one of the available choices"),
    ],
)
def test_mistakes_are_told_at_their_field_and_nothing_typed_is_lost(
    cast: Cast, changed: dict[str, Any], said: str
) -> None:
    answer = send(signed_in(cast.alice), **changed)

    assert answer.status_code == 422
    assert said in body(answer)
    assert "Reads datasets" in body(answer)
    assert not Role.objects.filter(account=cast.account).exists()


def test_a_copy_starts_with_what_the_other_permits(cast: Cast) -> None:
    member = in_spaces(RoleName.MEMBER)
    client = signed_in(cast.alice)

    opened = client.get(NEW, {"from": encode_id("Role", member.pk)})
    copied = send(client, "copy", source=encode_id("Role", member.pk))
    emptied = send(client, "copy", source="")

    assert ticked(opened) == ticked(copied) == set(member.permissions)
    assert ticked(emptied) == set()
    assert copied.context["difference"].is_none
    assert copied.context["against"] == member
    assert not Role.objects.filter(account=cast.account).exists()


def test_without_a_script_buttons_tick_search_and_compare(cast: Cast) -> None:
    """Each is a look at the form: nothing is saved, nothing typed is lost, and there are no complaints."""
    client = signed_in(cast.alice)

    ticks_all = send(client, "all-annotation", name="")
    ticks_none = send(client, "none-datasets")
    searched = send(client, "search", q="dataset delete")
    within = send(client, "all-datasets", q="saved_views")
    compared = send(client, "review", against="READ_ONLY")

    assert {name for name in ticked(ticks_all) if name.startswith("QUEUE_")} == {
        name for name in Permission if name.startswith("QUEUE_")
    }
    assert "Give the role a name" not in body(ticks_all)
    assert ticked(ticks_none) == {"SPACE_READ"}
    assert shown(searched) == ["DATASET", "DATASET_EXAMPLE", "DATASET_VIEW", "FILE_IMPORT", "DATA_FABRIC_CONNECTOR"]
    assert ticked(searched) == {"DATASET_READ", "SPACE_READ"}
    assert ticked(within) == {"SPACE_READ", "DATASET_READ", *(name for name in Permission if "DATASET_VIEW" in name)}
    assert compared.context["against"].name == "READ_ONLY"
    assert compared.context["difference"].added == ()
    assert not Role.objects.filter(account=cast.account).exists()


def test_a_changed_role_is_compared_with_what_it_was(cast: Cast) -> None:
    role = custom_role(cast.account, "Label lead", "QUEUE_CREATE", "QUEUE_READ")
    bind(cast.bob, cast.production, role)
    client = signed_in(cast.alice)

    opened = client.get(page_of(role, "edit/"))
    looked = send(client, "review", page_of(role, "edit/"), permissions=["QUEUE_READ", "TAG_READ"])
    saved = send(client, "save", page_of(role, "edit/"), permissions=["QUEUE_READ", "TAG_READ"])

    assert "It is held 1 time." in body(opened)
    assert opened.context["difference"].is_none
    told = looked.context["difference"]
    assert [[part.resource.name for part in parts] for parts in (told.added, told.missing)] == [["TAG"], ["QUEUE"]]
    assert saved["Location"] == page_of(role)
    role.refresh_from_db()
    assert (role.name, role.permissions) == ("Reader", ["QUEUE_READ", "TAG_READ"])


def test_deleting_asks_and_a_role_in_use_is_refused_with_its_holders(cast: Cast) -> None:
    used, idle = custom_role(cast.account, "Used", "TAG_READ"), custom_role(cast.account, "Idle", "TAG_READ")
    bind(cast.bob, cast.production, used)
    client = signed_in(cast.alice)

    asked = body(client.get(page_of(used, "delete/")))
    refused = client.post(page_of(used, "delete/"))
    gone = client.post(page_of(idle, "delete/"))

    assert "Used</bdi> is in use" in asked
    assert "Bob Baker" in asked
    assert "Delete Role" not in asked
    assert refused.status_code == 409
    assert "Withdraw it in every space and project first" in body(refused)
    assert gone["Location"] == ROLES
    assert {role.name for role in Role.objects.filter(account=cast.account, deleted_at=None)} == {"Used"}


def test_a_role_held_in_a_project_alone_is_in_use_and_its_pages_say_where(cast: Cast) -> None:
    role = custom_role(cast.account, "Used", "TAG_READ")
    bind(cast.bob, ProjectFactory.create(space=cast.production, name="fraud-model"), role)
    client = signed_in(cast.alice)

    shown, asked = body(client.get(page_of(role))), body(client.get(page_of(role, "delete/")))

    assert "In no space that you see, but in single projects" in shown
    assert "in the project <bdi>fraud-model</bdi> of <bdi>production</bdi>" in shown
    assert "in <bdi>fraud-model</bdi>" in asked
    assert client.post(page_of(role, "delete/")).status_code == 409
    assert "1 time" in body(client.get(ROLES))


def test_an_old_sign_in_is_confirmed_first(cast: Cast) -> None:
    """Security.md 38."""
    role, client = custom_role(cast.account, "Label lead", "QUEUE_CREATE"), signed_in(cast.alice)
    session = client.session
    session[AUTHENTICATED_AT] = int(time.time()) - 80 * 60
    session.save()

    assert client.get(ROLES).status_code == client.get(page_of(role)).status_code == 200
    for path in (NEW, page_of(role, "edit/"), page_of(role, "delete/")):
        assert client.get(path)["Location"].startswith("/confirm/")
        assert client.post(path, READER | {"step": "save"})["Location"].startswith("/confirm/")
    assert Role.objects.get(account=cast.account).name == "Label lead"


def test_names_are_inert(cast: Cast) -> None:
    """Security.md 39. The verb takes no such name; what stands in the table may be older."""
    role = custom_role(cast.account, "<script>alert(1)</script>\u202e", "TAG_READ")
    client = signed_in(cast.alice)

    for path in (ROLES, page_of(role), page_of(role, "edit/"), page_of(role, "delete/"), NEW):
        assert "<script>alert" not in body(client.get(path))


# ---- Giving them


def test_custom_roles_are_offered_wherever_a_space_role_is_chosen(cast: Cast) -> None:
    lead = custom_role(cast.account, "Label lead", "QUEUE_CREATE")
    client = signed_in(cast.alice)
    option = f'value="{value_of(lead)}"'

    person = f"/settings/members/{encode_id('User', cast.erin.pk)}/"
    space = f"/settings/spaces/{encode_id('Space', cast.production.pk)}/"
    for path in (
        "/settings/members/invite/",
        f"{space}members/{encode_id('User', cast.bob.pk)}/",
    ):
        assert option in body(client.get(path)), path
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    assert option in body(client.get(person))  # added to a space
    assert f'value="{lead.pk}"' in body(client.get("/settings/api-keys/new/?type=service"))


def test_inviting_with_a_custom_role(cast: Cast) -> None:
    lead = custom_role(cast.account, "Label lead", "QUEUE_CREATE")
    form = {"email": "nina@example.com", "name": "Nina", "role": "MEMBER"}
    place = {"space": encode_id("Space", cast.production.pk), "space_role": value_of(lead)}

    signed_in(cast.alice).post("/settings/members/invite/", form | place)

    assert SpaceBinding.objects.get(user__email="nina@example.com").role == lead


def test_a_custom_role_is_added_and_withdrawn_on_a_members_page(cast: Cast) -> None:
    lead, other = (custom_role(cast.account, name, "QUEUE_CREATE") for name in ("Label lead", "Other"))
    client, page = signed_in(cast.alice), f"/settings/members/{encode_id('User', cast.bob.pk)}/"
    place = {"level": "space", "scope": encode_id("Space", cast.production.pk)}

    client.post(f"{page}add/", place | {"role": value_of(lead)})
    assert "Withdraw Label lead in production" in body(client.get(page))
    client.post(f"{page}role/", place | {"role": value_of(other)})
    held = {binding.role.name for binding in SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production)}
    assert held == {"MEMBER", "Other"}

    assert client.post(f"{page}withdraw/", place | {"role": value_of(lead)}).status_code == 404
    assert client.post(f"{page}withdraw/", place | {"role": value_of(other)})["Location"] == page
    held = {binding.role.name for binding in SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production)}
    assert held == {"MEMBER"}


def test_who_may_not_give_custom_roles_neither_sees_nor_does_it(cast: Cast) -> None:
    lead = custom_role(cast.account, "Label lead", "QUEUE_CREATE")
    bind(cast.charlie, cast.production, lead)
    client, page = signed_in(cast.bob), f"/settings/members/{encode_id('User', cast.charlie.pk)}/"
    place = {"level": "space", "scope": encode_id("Space", cast.production.pk), "role": value_of(lead)}

    assert "Withdraw Label lead" not in body(client.get(page))
    assert client.post(f"{page}withdraw/", place).status_code == 403
    assert client.post(f"{page}role/", place).status_code == 403
    assert SpaceBinding.objects.filter(permission=lead.permission).count() == 1


def test_with_the_permission_alone_one_gives_custom_roles_below_ones_own(cast: Cast) -> None:
    """Contract rest-v2 §8: predefined roles are for the space's admins, custom ones take ROLE_BINDING_CREATE."""
    clerk = custom_role(cast.account, "Clerk", "ROLE_BINDING_CREATE", "ROLE_BINDING_DELETE", "QUEUE_CREATE")
    lead, above = custom_role(cast.account, "Lead", "QUEUE_CREATE"), custom_role(cast.account, "Above", "SPACE_DELETE")
    bind(cast.bob, cast.production, clerk)
    client = signed_in(cast.bob)
    dialog = f"/settings/spaces/{encode_id('Space', cast.production.pk)}/members/{encode_id('User', cast.charlie.pk)}/"

    page = client.get(dialog)
    client.post(dialog, {"role": "ADMIN", "custom": value_of(lead)})

    assert 'name="role"' not in body(page)
    assert {choice.role.name: choice.reason for choice in page.context["custom"]} == {
        "Above": "above your own role",
        "Clerk": "",
        "Lead": "",
    }
    rows = SpaceBinding.objects.filter(user=cast.charlie, content_object=cast.production)
    assert {binding.role.name for binding in rows} == {"READ_ONLY", "Lead"}
    assert above not in {binding.role for binding in rows}


def test_a_role_that_changes_changes_what_its_holders_are_offered(cast: Cast) -> None:
    role = create_role(cast.actor(cast.alice), name="Keeper", permissions=["SPACE_READ"], at=timezone.now())
    newcomer = PersonFactory.create()
    bind(newcomer, cast.account, RoleName.MEMBER)
    bind(newcomer, cast.fraud, RoleName.READ_ONLY)
    bind(newcomer, cast.production, role)
    settings = f"/settings/spaces/{encode_id('Space', cast.production.pk)}/settings/"
    client = signed_in(newcomer)

    assert client.post(settings, {"name": "x"}).status_code == 403
    send(signed_in(cast.alice), "save", page_of(role, "edit/"), permissions=["SPACE_READ", "SPACE_UPDATE"])

    assert client.post(settings, {"name": "renamed", "visibility": "public"}).status_code == 302
    cast.production.refresh_from_db()
    assert cast.production.name == "renamed"
