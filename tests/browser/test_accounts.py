"""Signing in, Members and the audit log in a real browser: the flows, the keyboard, both themes, narrow and wide."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from accounts.models import AccountBinding, SpaceBinding, User
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.browser.conftest import SHOTS, Browse
from tests.cast import Cast
from tests.factories import PASSWORD, service_key, user_key

MEMBERS = "/settings/members/"
AUDIT = "/settings/audit/"


def sign_in(page: Page, email: str, password: str = PASSWORD) -> None:
    page.goto("/sign-in/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/settings/api-keys/")


def address_of(user: User) -> str:
    return f"{MEMBERS}{encode_id('User', user.pk)}/"


def test_signing_in_and_out_by_keyboard_alone(browse: Browse, cast: Cast) -> None:
    page = browse()
    page.goto(AUDIT)

    expect(page.get_by_label("E-mail")).to_be_focused()
    page.keyboard.type("bob@example.com")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"^[^?]*{AUDIT}$"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()

    summary = page.locator(".topbar__end summary")
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Your roles")).to_be_focused()
    page.keyboard.press("Escape")
    expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in/")


def test_a_wrong_password_is_told_and_the_address_kept(browse: Browse, cast: Cast) -> None:
    page = browse()
    page.goto("/sign-in/")
    page.get_by_label("E-mail").fill("bob@example.com")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    expect(page.get_by_label("E-mail")).to_have_value("bob@example.com")


@pytest.mark.parametrize("scripts", [True, False])
def test_invite_accept_and_sign_in(browse: Browse, cast: Cast, scripts: bool) -> None:
    """Also without a script: the link is there to be selected."""
    admin = browse(cast.alice, java_script_enabled=scripts)
    admin.goto(MEMBERS)
    admin.get_by_role("link", name="Invite a person").click()
    admin.get_by_label("E-mail").fill("nina@example.com")
    admin.get_by_label("Name", exact=True).fill("Nina Novak")
    admin.get_by_role("radio", name=re.compile("^Member Sees")).check()
    admin.get_by_label("Space", exact=True).select_option(label="production")
    admin.get_by_role("button", name="Invite", exact=True).click()
    link = admin.locator("#link").inner_text().strip()
    admin.get_by_role("link", name="Done").click()
    expect(admin.get_by_role("region", name="Invitation")).to_contain_text("Invited, not joined yet")

    newcomer = browse(java_script_enabled=scripts)
    newcomer.goto(link)
    assert "set-password" in newcomer.url
    newcomer.get_by_label("New password", exact=True).fill("nine lives of a patient cat")
    newcomer.get_by_label("New password again").fill("nine lives of a patient cat")
    newcomer.get_by_role("button", name="Accept and sign in").click()
    newcomer.wait_for_url("**/settings/api-keys/")
    expect(newcomer.get_by_role("status").first).to_contain_text("Welcome, Nina")

    elsewhere = browse()
    sign_in(elsewhere, "nina@example.com", "nine lives of a patient cat")
    elsewhere.goto(link)
    expect(elsewhere.get_by_role("heading", level=1)).to_have_text("This invitation has run out")
    assert SpaceBinding.objects.get(user__email="nina@example.com").content_object == cast.production


def test_an_admin_changes_a_role_and_a_reader_cannot(browse: Browse, cast: Cast) -> None:
    page = browse(cast.alice)
    page.goto(MEMBERS)
    page.get_by_role("link", name="Bob Baker").click()
    page.get_by_label("Role in production").select_option(label="Admin")
    page.get_by_role("button", name="Save role in production").click()

    expect(page.get_by_role("status").first).to_have_text(re.compile("Bob Baker is now Admin in “production”"))
    row = page.get_by_role("row", name=re.compile("production"))
    expect(row.get_by_role("cell").nth(0)).to_have_text("Admin")

    reader = browse(cast.charlie)
    reader.goto(address_of(cast.bob))
    expect(reader.get_by_text("You see these roles and cannot change them")).to_be_visible()
    expect(reader.locator("#content select")).to_have_count(0)


def test_lowering_ones_own_role_is_asked(browse: Browse, cast: Cast) -> None:
    binding = AccountBinding.objects.get(user=cast.bob)
    binding.permission = AccountBinding.objects.get(user=cast.alice).permission
    binding.save()
    page = browse(cast.bob)
    page.goto(address_of(cast.bob))
    page.get_by_label("Role in Acme AI").select_option(label="Member")
    page.get_by_role("button", name="Save role in Acme AI").click()

    expect(page.get_by_role("dialog")).to_contain_text("You cannot undo this yourself")
    expect(page.get_by_role("link", name="Keep my role")).to_be_focused()
    page.keyboard.press("Escape")

    page.wait_for_url(f"**{address_of(cast.bob)}")
    assert AccountBinding.objects.get(user=cast.bob).role.is_admin


def test_removing_a_person_names_what_stops_and_what_goes_on(browse: Browse, cast: Cast) -> None:
    stops = user_key(cast.bob, cast.account, "laptop").key
    goes_on = service_key(cast.bob, cast.production, name="nightly export").key
    theirs = browse(cast.bob)
    theirs.goto(MEMBERS)
    page = browse(cast.alice)
    page.goto(address_of(cast.bob))
    page.get_by_role("link", name="Remove…").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Remove Bob Baker from Acme AI?")
    expect(page.get_by_role("region", name="Stop at once")).to_contain_text(f"laptop ({stops.redacted_key})")
    expect(page.get_by_role("region", name="Go on working")).to_contain_text(f"nightly export ({goes_on.redacted_key})")
    page.get_by_role("button", name="Remove Bob").click()
    page.wait_for_url(f"**{MEMBERS}")

    expect(page.get_by_role("link", name="Bob Baker")).to_have_count(0)
    assert ApiKey.objects.get(pk=stops.pk).revoked_at is not None
    assert ApiKey.objects.get(pk=goes_on.pk).revoked_at is None
    theirs.reload()
    theirs.wait_for_url("**/sign-in/**")


def test_the_switch_narrows_members_by_keyboard(browse: Browse, cast: Cast) -> None:
    page = browse(cast.alice)
    page.goto(MEMBERS)
    space = page.locator(".scope summary").last
    space.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="vision-lab").focus()
    page.keyboard.press("Enter")

    expect(page.locator(".here")).to_contain_text("Who gets into vision-lab")
    expect(page.get_by_role("link", name="Erin Evans")).to_be_visible()
    expect(page.get_by_role("link", name="Bob Baker")).to_have_count(0)


def test_the_audit_log_is_filtered_told_and_taken_along(browse: Browse, cast: Cast) -> None:
    service_key(cast.bob, cast.production, name="nightly export")
    user_key(cast.charlie, cast.account, "notebook")
    page = browse(cast.alice)
    page.goto(AUDIT)
    page.get_by_label("Person").fill("bob@example.com")
    page.get_by_label("Action").select_option(label="Created a key")
    page.get_by_role("button", name="Show").click()

    rows = page.get_by_role("row").filter(has=page.get_by_role("rowheader"))
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("nightly export")
    details = page.locator("details", has_text="Details of Created a key")
    details.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(details).to_contain_text("production: Member")

    page.get_by_text("More filters").focus()
    page.keyboard.press("Enter")
    page.get_by_label("From where").select_option(label="Browser")
    page.get_by_role("button", name="Show").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_label("From where")).to_be_visible()  # what is filtered by stays in sight

    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    text = download.value.path().read_text()
    assert (text.count("key:create"), "notebook" in text) == (1, False)


PAGES = (
    "sign-in",
    "forgot",
    "confirm",
    "password",
    "members",
    "bots",
    "annotator",
    "member",
    "own",
    "remove",
    "leave",
    "invite",
    "audit",
    "audit-fine",
    "account",
    "scope",
)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_fit(browse: Browse, cast: Cast, name: str, scheme: Literal["light", "dark"]) -> None:
    """Axe finds nothing in either theme, and nothing runs off the edge at 320 px."""
    User.objects.filter(pk=cast.charlie.pk).update(name="C" * 200)
    user_key(cast.bob, cast.account, "laptop")
    service_key(cast.bob, cast.production, name="nightly export")
    bob = address_of(cast.bob)
    who, address = {
        "sign-in": (None, "/sign-in/"),
        "forgot": (None, "/password/forgot/"),
        "confirm": (cast.alice, "/confirm/?sent=1"),
        "password": (cast.alice, "/password/"),
        "members": (cast.alice, MEMBERS),
        "bots": (cast.bob, f"{MEMBERS}bots/"),
        "annotator": (cast.dana, MEMBERS),
        "member": (cast.alice, bob),
        "own": (cast.charlie, address_of(cast.charlie)),
        "remove": (cast.alice, f"{bob}remove/"),
        "leave": (cast.alice, f"{bob}remove/{encode_id('Space', cast.production.pk)}/"),
        "invite": (cast.bob, f"{MEMBERS}invite/"),
        "audit": (cast.alice, AUDIT),
        "audit-fine": (cast.alice, f"{AUDIT}?door=browser&user={encode_id('User', cast.bob.pk).replace('=', '%3D')}"),
        "account": (cast.alice, "/settings/account/"),
        "scope": (cast.alice, "/settings/scope/"),
    }[name]
    page = browse(who, color_scheme=scheme, viewport={"width": 1280, "height": 800})
    page.goto(address)

    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
    SHOTS.mkdir(parents=True, exist_ok=True)
    for width in (1280, 375, 320):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        if width != 320:
            page.screenshot(path=SHOTS / f"accounts-{name}-{width}-{scheme}.png", full_page=True)


def test_the_answer_to_an_invitation_fits_and_is_accessible(browse: Browse, cast: Cast) -> None:
    page = browse(cast.alice, viewport={"width": 320, "height": 800})
    page.goto(f"{MEMBERS}invite/")
    page.get_by_label("E-mail").fill(f"{'long' * 15}@{'example' * 8}.com")
    page.get_by_label("Name", exact=True).fill("N" * 255)
    page.get_by_role("button", name="Invite", exact=True).click()

    expect(page.locator("#link")).to_contain_text("/invitation/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert Axe().run(page).response["violations"] == []
