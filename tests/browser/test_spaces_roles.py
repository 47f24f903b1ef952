"""Spaces, roles and invitations in a real browser: the flows, with and without scripts, by keyboard, and as people see
them: wide and narrow, light and dark, readable, nothing off the edge.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.bindings import predefined
from accounts.custom_roles import create_role
from accounts.invitations import InviteMode
from accounts.models import Organization, Role, Space, SpaceBinding, User
from accounts.people import invite_person
from accounts.permissions import has_permission
from accounts.roles import Level, RoleName
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.browser.conftest import Browse
from tests.browser.test_looks import check_and_picture
from tests.cast import Cast
from tests.factories import OrganizationFactory, SpaceFactory, bind, custom_role, service_key

ROLES = "/settings/roles/"
SPACES = "/settings/spaces/"
INVITATIONS = "/settings/members/invitations/"
OWN = "nine lives of a patient cat"


def wire(row: Role | Space | Organization | User) -> str:
    return encode_id(type(row).__name__, row.pk)


def in_spaces(name: RoleName) -> Role:
    return Role.objects.get(account=None, level=Level.SPACE, name=name)


# ---- Roles


def test_a_role_is_made_from_member_minus_something_and_given(browse: Browse, cast: Cast) -> None:
    page = browse(cast.alice)
    page.goto(ROLES)
    page.get_by_role("link", name="Create Role").first.click()
    page.get_by_label("Role name").fill("Label lead")
    page.get_by_label("Start from a copy of").select_option(label="Space Member")
    page.get_by_role("button", name="Copy", exact=True).click()

    # The search narrows while typing, and what is ticked meanwhile is what is shown.
    page.get_by_label("Search permissions").fill("monitors")
    expect(page.get_by_role("group", name="Monitors")).to_be_visible()
    expect(page.get_by_role("group", name="Datasets", exact=True)).to_be_hidden()
    page.get_by_role("button", name="None of Models and monitoring").click()
    page.get_by_label("Search permissions").fill("")
    page.get_by_role("group", name="Spaces").get_by_label("Update").check()

    differs = page.get_by_role("region", name="What differs")
    expect(differs).to_contain_text("Monitors read, create, update, delete, trigger")
    expect(differs).to_contain_text("Spaces update")
    expect(differs).not_to_contain_text("ML models")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Label lead")

    role, member = Role.objects.get(name="Label lead"), in_spaces(RoleName.MEMBER)
    gone = {name for name in member.permissions if name.startswith("MONITOR_")}
    assert set(role.permissions) == set(member.permissions) - gone | {"SPACE_UPDATE"}

    page.goto(f"{SPACES}{wire(cast.production)}/")
    page.get_by_role("link", name="Change roles of Charlie Chen").click()
    page.get_by_label("Custom role").select_option(label="Label lead")
    page.get_by_role("button", name="Save").click()

    row = page.get_by_role("row", name=re.compile("Charlie Chen"))
    expect(row).to_contain_text("Label lead")
    expect(page.get_by_role("status").first).to_contain_text("Read-Only Member and Label lead in “production”")
    assert has_permission(cast.charlie, Permission.SPACE_UPDATE, cast.production)


def test_a_role_is_made_and_changed_without_scripts(browse: Browse, cast: Cast) -> None:
    page = browse(cast.alice, java_script_enabled=False)
    page.goto(f"{ROLES}new/")
    page.get_by_label("Role name").fill("Reader")
    page.get_by_label("Start from a copy of").select_option(label="Space Read-Only Member")
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_label("Search permissions").fill("dataset")
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.get_by_role("group", name="Monitors")).to_be_hidden()
    page.get_by_role("button", name="Select all of Datasets").click()
    expect(page.get_by_label("Role name")).to_have_value("Reader")
    expect(page.get_by_role("region", name="What differs")).to_contain_text("Datasets create, update, delete")
    page.get_by_role("button", name="Create", exact=True).click()

    page.get_by_role("link", name="Edit").click()
    page.get_by_role("button", name="None of Datasets").click()
    expect(page.get_by_label("What differs from")).to_have_value("before")
    page.get_by_role("button", name="Save").click()

    names = Role.objects.get(name="Reader").permissions
    assert "PROJECT_READ" in names
    assert not [name for name in names if name.startswith("DATASET")]


def test_enter_looks_a_role_over_and_makes_none(browse: Browse, cast: Cast) -> None:
    page = browse(cast.alice)
    page.goto(f"{ROLES}new/")
    page.get_by_label("Search permissions").press("Enter")
    page.get_by_role("group", name="Spaces").get_by_label("Read").check()
    page.get_by_label("Role name").fill("Reader")
    page.get_by_label("Role name").press("Enter")

    expect(page.get_by_text("1 of 151 permissions")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Role")
    assert not Role.objects.filter(account=cast.account).exists()


def test_a_role_in_use_names_its_holders_in_place_of_going(browse: Browse, cast: Cast) -> None:
    role = custom_role(cast.account, "Label lead", "QUEUE_CREATE")
    bind(cast.bob, cast.production, role)
    page = browse(cast.alice)
    page.goto(f"{ROLES}{wire(role)}/")
    page.get_by_role("link", name="Delete…").click()

    dialog = page.get_by_role("dialog", name="Label lead is in use")
    expect(dialog.get_by_role("button")).to_have_count(0)
    dialog.get_by_role("link", name="Bob Baker").click()
    page.get_by_role("button", name="Withdraw Label lead in production").click()
    expect(page.get_by_role("status").first).to_contain_text("no longer holds Label lead in “production”")
    page.goto(f"{ROLES}{wire(role)}/delete/")
    page.get_by_role("button", name="Delete Role").click()
    expect(page.get_by_role("status").first).to_contain_text("The role “Label lead” is deleted")


# ---- Spaces


@pytest.mark.parametrize("scripts", [True, False])
def test_a_private_space_is_made_and_a_member_added(browse: Browse, cast: Cast, scripts: bool) -> None:
    page = browse(cast.bob, java_script_enabled=scripts)
    page.goto(SPACES)
    page.get_by_role("link", name="New Space in Fraud & Risk").click()
    page.get_by_label("Name", exact=True).fill("skunkworks")
    page.get_by_text("Private", exact=True).click()
    page.get_by_role("button", name="Create space").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("skunkworks")
    space = Space.objects.get(name="skunkworks")
    assert space.is_private

    reader = browse(cast.charlie)
    reader.goto(f"{SPACES}{wire(space)}/")
    expect(reader.get_by_role("heading", level=1)).to_have_text("Nothing here")

    page.get_by_role("link", name="Add a member").click()
    page.get_by_label("Search by name or e-mail").fill("charlie")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name=re.compile("Charlie Chen")).click()
    expect(page.get_by_role("radio", name=re.compile("^Member"))).to_be_checked()
    page.get_by_role("radio", name=re.compile("^Read-Only Member")).check()
    page.get_by_role("button", name="Add", exact=True).click()

    expect(page.get_by_role("row", name=re.compile("Charlie Chen"))).to_contain_text("Read-Only Member")
    reader.reload()
    expect(reader.get_by_role("heading", level=1)).to_have_text("skunkworks")
    expect(reader.get_by_role("link", name="Add a member")).to_have_count(0)


def test_making_a_space_private_says_first_who_loses_it(browse: Browse, cast: Cast) -> None:
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    page = browse(cast.alice)
    page.goto(f"{SPACES}{wire(cast.production)}/settings/")
    page.get_by_role("radio", name=re.compile("^Private")).check()
    page.get_by_role("button", name="Save").click()

    dialog = page.get_by_role("dialog", name="Make production private?")
    expect(dialog).to_contain_text("Erin Evans")
    expect(dialog).not_to_contain_text("Bob Baker")
    expect(dialog.get_by_role("link", name="Leave it public")).to_be_focused()
    page.keyboard.press("Escape")
    page.wait_for_url("**/settings/")
    assert not Space.objects.get(pk=cast.production.pk).is_private

    page.get_by_role("radio", name=re.compile("^Private")).check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Make it private").click()
    expect(page.get_by_role("status").first).to_contain_text("The space “production” is saved")
    assert Space.objects.get(pk=cast.production.pk).is_private


def test_deleting_a_space_names_its_keys_and_wants_its_name(browse: Browse, cast: Cast) -> None:
    stops = service_key(cast.alice, cast.production, name="nightly export").key
    goes_on = service_key(cast.alice, cast.production, cast.staging, name="evaluation").key
    page = browse(cast.alice)
    page.goto(f"{SPACES}{wire(cast.production)}/settings/")
    page.get_by_role("link", name="Delete…").click()

    expect(page.get_by_role("region", name="Stop at once")).to_contain_text(f"nightly export ({stops.redacted_key})")
    expect(page.get_by_role("region", name="Go on elsewhere")).to_contain_text(f"evaluation ({goes_on.redacted_key})")
    expect(page.get_by_role("link", name="Keep it")).to_be_focused()
    page.get_by_role("button", name="Delete Space").click()
    expect(page.get_by_text("Type the name")).to_be_visible()
    page.get_by_label("To confirm, type production").fill("production")
    page.get_by_role("button", name="Delete Space").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Fraud & Risk")
    expect(page.get_by_role("status").first).to_contain_text("The space “production” is deleted")
    assert ApiKey.objects.get(pk=stops.pk).revoked_at is not None
    assert ApiKey.objects.get(pk=goes_on.pk).revoked_at is None


def test_the_id_of_a_space_is_copied(browse: Browse, cast: Cast) -> None:
    page = browse(cast.charlie)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{SPACES}{wire(cast.production)}/")
    page.get_by_role("button", name="Copy Space ID").click()

    expect(page.locator("[data-copy-status]")).to_have_text("Space ID copied.")
    assert page.evaluate("navigator.clipboard.readText()") == wire(cast.production)


def test_a_member_is_added_by_keyboard_alone(browse: Browse, cast: Cast) -> None:
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    custom_role(cast.account, "Label lead", "QUEUE_CREATE")
    page = browse(cast.alice)
    page.goto(f"{SPACES}{wire(cast.staging)}/")
    page.get_by_role("link", name="Add a member").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Search by name or e-mail")).to_be_focused()
    page.keyboard.type("erin")
    page.keyboard.press("Enter")
    page.wait_for_url("**?q=erin")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name=re.compile("Erin Evans"))).to_be_focused()
    page.keyboard.press("Enter")

    member = page.get_by_role("radio", name=re.compile("^Member"))
    expect(member).to_be_checked()
    member.focus()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("radio", name=re.compile("^Admin"))).to_be_checked()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Custom role")).to_be_focused()
    page.keyboard.type("Label")
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Add", exact=True)).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.get_by_role("status").first).to_contain_text("Erin Evans is now Admin and Label lead")
    assert SpaceBinding.objects.filter(user=cast.erin, content_object=cast.staging).count() == 2


def test_the_navigation_starts_at_the_current_page_where_it_is_too_long(browse: Browse, cast: Cast) -> None:
    page = browse(cast.alice, viewport={"width": 375, "height": 800})
    page.goto("/settings/account/")

    place = page.locator(".sidenav [aria-current]").bounding_box()
    assert place is not None
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= 375


# ---- Invitations


def test_a_temporary_password_is_told_used_once_and_replaced(browse: Browse, cast: Cast) -> None:
    admin = browse(cast.alice)
    admin.goto(f"{INVITATIONS}../invite/")
    admin.get_by_label("E-mail").fill("nina@example.com")
    admin.get_by_label("Name", exact=True).fill("Nina Novak")
    admin.get_by_role("radio", name=re.compile("^A temporary password")).check()
    admin.get_by_role("button", name="Invite", exact=True).click()
    admin.get_by_role("button", name="Copy", exact=True).click()
    password = admin.locator("#password").inner_text().strip()
    admin.get_by_role("link", name="Done").click()
    expect(admin.get_by_role("region", name="Invitation")).to_contain_text("The temporary password was made")
    admin.go_back()
    expect(admin.get_by_text(password)).to_have_count(0)

    newcomer = browse()
    newcomer.goto(SPACES)
    newcomer.get_by_label("E-mail").fill("nina@example.com")
    newcomer.get_by_label("Password").fill(password)
    newcomer.get_by_role("button", name="Sign in").click()
    expect(newcomer.get_by_role("heading", level=1)).to_have_text("Choose a password of your own")
    newcomer.goto("/settings/members/")
    expect(newcomer.get_by_role("heading", level=1)).to_have_text("Choose a password of your own")
    newcomer.get_by_label("New password", exact=True).fill(OWN)
    newcomer.get_by_label("New password again").fill(OWN)
    newcomer.get_by_role("button", name="Set password and go on").click()

    newcomer.wait_for_url("**/settings/members/")
    expect(newcomer.get_by_role("status").first).to_contain_text("Welcome, Nina")
    admin.goto(INVITATIONS)
    expect(admin.get_by_role("heading", name="Nobody is waiting")).to_be_visible()


def test_an_invitation_is_looked_at_and_withdrawn(browse: Browse, cast: Cast) -> None:
    invite(cast, "Nina", 2)
    page = browse(cast.alice)
    page.goto(INVITATIONS)
    row = page.get_by_role("row", name=re.compile("Nina"))
    expect(row).to_contain_text("in 5 days")
    row.get_by_role("button", name="Link… of Nina").click()
    expect(page.locator("#link")).to_contain_text("/invitation/")
    page.get_by_role("link", name="Done").click()
    page.get_by_role("link", name="Withdraw… Nina").click()
    expect(page.get_by_role("link", name="Keep it")).to_be_focused()
    page.get_by_role("button", name="Withdraw invitation").click()

    expect(page.get_by_role("status").first).to_contain_text("The invitation of Nina Novak is withdrawn")
    assert not User.objects.get(email="nina@example.com").is_active


# ---- Every page, looked at


def invite(cast: Cast, name: str, days_ago: int, **options: object) -> User:
    """Invite somebody, some days ago."""
    return invite_person(
        cast.actor(cast.alice),
        email=f"{name.lower()}@example.com",
        name=f"{name} Novak",
        role=predefined(Level.ACCOUNT, RoleName.MEMBER),
        at=timezone.now() - timedelta(days=days_ago),
        **options,  # type: ignore[arg-type]  # passed on as they are
    ).user


def furnish(cast: Cast) -> None:
    """Give everybody something to look at, hostile and endless names among it."""
    member = set(in_spaces(RoleName.MEMBER).permissions)
    lead = custom_role(
        cast.account, "Label lead", *(name for name in member if not name.startswith("MONITOR")), "SPACE_UPDATE"
    )
    Role.objects.filter(pk=lead.pk).update(
        description="Runs the labeling queues of a space, and leaves its monitors alone"
    )
    create_role(cast.actor(cast.alice), name="W" * 120, permissions=["SPACE_READ"], at=timezone.now())
    for person in (cast.bob, cast.charlie):
        bind(person, cast.production, lead)
    Space.objects.filter(pk=cast.production.pk).update(
        description="What answers customers: every trace of it, and the datasets cut from them"
    )
    for number in range(10):
        SpaceFactory.create(organization=cast.research, name=f"experiment-{number:02}", is_private=number % 3 == 0)
    OrganizationFactory.create(account=cast.account, name="O" * 90)
    SpaceFactory.create(organization=cast.fraud, name="<script>alert(1)</script> \u202e" + "🔑" * 90)
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    service_key(cast.alice, cast.production, name="nightly export")
    service_key(cast.alice, cast.production, cast.vision_lab, name="evaluation pipeline")
    invite(cast, "Oleg", 9)
    invite(cast, "Tanja", 3, places=[(cast.fraud, predefined(Level.ORGANIZATION, RoleName.MEMBER))])
    invite(cast, "Paula", 1, mode=InviteMode.TEMPORARY_PASSWORD)


Go = Callable[[Page, Cast], object]


def to(address: str | Callable[[Cast], str]) -> Go:
    """Go to an address."""
    return lambda page, cast: page.goto(address if isinstance(address, str) else address(cast))


def to_space(rest: str = "", name: str = "production") -> Go:
    """Go to a page of a space."""
    return to(lambda cast: f"{SPACES}{wire(Space.objects.get(name=name, organization__account=cast.account))}/{rest}")


def to_organization(rest: str = "", name: str = "Fraud & Risk") -> Go:
    """Go to a page of an organization."""
    return to(lambda cast: f"/settings/organizations/{wire(Organization.objects.get(name=name))}/{rest}")


def to_role(rest: str = "", name: str = "Label lead") -> Go:
    """Go to a page of a role of the account's own."""
    return to(lambda cast: f"{ROLES}{wire(Role.objects.get(name=name))}/{rest}")


def fill_role(page: Page, cast: Cast) -> None:
    """Put a role together."""
    page.goto(f"{ROLES}new/?from={wire(in_spaces(RoleName.MEMBER))}")
    page.get_by_role("button", name="None of Models and monitoring").click()
    expect(page.get_by_role("region", name="What differs")).to_contain_text("Dashboards")


def refuse_role(page: Page, cast: Cast) -> None:
    """Send a role with mistakes."""
    page.goto(f"{ROLES}new/")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("Choose at least one permission")).to_be_visible()


def ask_privacy(page: Page, cast: Cast) -> None:
    """Ask to make a space private."""
    to_space("settings/")(page, cast)
    page.get_by_role("radio", name=re.compile("^Private")).check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").wait_for()


def refuse_deletion(page: Page, cast: Cast) -> None:
    """Type another name than the one asked for."""
    to_space("delete/")(page, cast)
    page.get_by_label(re.compile("To confirm")).fill("staging")
    page.get_by_role("button", name="Delete Space").click()
    expect(page.get_by_text("This is not its name")).to_be_visible()


def show_password(page: Page, cast: Cast) -> None:
    """Invite somebody with a temporary password."""
    page.goto("/settings/members/invite/")
    page.get_by_label("E-mail").fill("zoe@example.com")
    page.get_by_label("Name", exact=True).fill("Zoe Zeller")
    page.get_by_role("radio", name=re.compile("^A temporary password")).check()
    page.get_by_role("button", name="Invite", exact=True).click()
    page.get_by_role("button", name="Copy", exact=True).click()


def show_link(page: Page, cast: Cast) -> None:
    """Look at the link of an invitation."""
    page.goto(INVITATIONS)
    page.get_by_role("button", name="Link… of Tanja").click()
    page.locator("#link").wait_for()


def replace_password(page: Page, cast: Cast) -> None:
    """Have a temporary password of one's own."""
    User.objects.filter(pk=cast.erin.pk).update(password_is_temporary=True)
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Choose a password of your own")


# Name of the picture, who looks, how they get there.
PAGES: list[tuple[str, str, Go]] = [
    ("spaces", "alice", to(SPACES)),
    ("spaces-member", "bob", to(SPACES)),
    ("spaces-nothing-found", "bob", to(f"{SPACES}?q=zebra")),
    ("space-new", "alice", to(f"{SPACES}new/")),
    ("space", "alice", to_space()),
    ("space-bots", "alice", to_space("?show=bots")),
    ("space-reader", "charlie", to_space()),
    ("space-annotator", "dana", to_space()),
    ("space-settings", "alice", to_space("settings/")),
    ("space-private", "alice", ask_privacy),
    ("space-delete", "alice", refuse_deletion),
    ("space-add", "alice", to_space("add/", "staging")),
    ("space-member", "alice", to(lambda cast: f"{SPACES}{wire(cast.production)}/members/{wire(cast.bob)}/")),
    ("space-keys", "alice", to(lambda cast: f"/settings/api-keys/service/?space={wire(cast.production)}")),
    ("organization", "alice", to_organization(name="Research")),
    ("organization-members", "alice", to_organization("members/")),
    ("organization-settings", "alice", to_organization("settings/")),
    ("organization-delete", "alice", to_organization("delete/")),
    ("organization-new", "alice", to("/settings/organizations/new/")),
    ("roles", "alice", to(ROLES)),
    ("roles-closed", "dana", to(ROLES)),
    ("roles-predefined", "bob", to(f"{ROLES}predefined/")),
    ("role", "alice", to_role()),
    ("role-new", "alice", fill_role),
    ("role-new-mistakes", "alice", refuse_role),
    ("role-edit", "alice", to_role("edit/")),
    ("role-in-use", "alice", to_role("delete/")),
    ("role-delete", "alice", to_role("delete/", "W" * 120)),
    ("member-custom", "alice", to(lambda cast: f"/settings/members/{wire(cast.bob)}/")),
    ("invite-admin", "alice", to("/settings/members/invite/")),
    ("invitations", "alice", to(INVITATIONS)),
    ("invitations-member", "bob", to(INVITATIONS)),
    ("invitation-link", "alice", show_link),
    ("invitation-password", "alice", show_password),
    (
        "invitation-withdraw",
        "alice",
        to(lambda _: f"/settings/members/{wire(User.objects.get(name='Oleg Novak'))}/invitation/withdraw/"),
    ),
    ("password-first", "erin", replace_password),
]


@pytest.mark.parametrize(("name", "person", "go"), PAGES, ids=[page[0] for page in PAGES])
def test_page_is_readable_and_fits(browse: Browse, cast: Cast, name: str, person: str, go: Go) -> None:
    furnish(cast)
    page = browse(getattr(cast, person), viewport={"width": 1280, "height": 800})
    go(page, cast)
    page.wait_for_load_state()

    for width in (1280, 768, 375, 320):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width} px"
        if width in (1280, 375):
            check_and_picture(page, f"{name}-{width}")
