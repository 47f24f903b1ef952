"""The API Keys pages in a real browser: every flow, with the mouse, with the keyboard, and without scripts."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone
from playwright.sync_api import Dialog, Page, expect
from playwright.sync_api import Error as PlaywrightError

from accounts.models import OrganizationBinding, SpaceBinding
from apikeys.errors import InvalidKey
from apikeys.models import ApiKey
from apikeys.verification import verify
from tests.browser.conftest import Browse
from tests.cast import Cast
from tests.factories import service_key, user_key

LIST = "/settings/api-keys/"
NEW = "/settings/api-keys/new/"
KEY_TEXT = re.compile(r"ak-[0-9A-Za-z]{61}")


def shown(page: Page) -> str:
    """The secret on the page."""
    text = page.locator("#secret").inner_text()
    assert KEY_TEXT.fullmatch(text)
    return text


def opens(text: str) -> ApiKey | None:
    """The key that a secret opens right now."""
    try:
        return ApiKey.objects.get(pk=verify(text, at=timezone.now()).key_id)
    except InvalidKey:
        return None


def leave(page: Page) -> None:
    """Copy, so that leaving asks nothing, and press Done."""
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_text("The key is copied.")).to_be_visible()
    page.get_by_role("link", name="Done").click()


def create(page: Page, name: str) -> str:
    """Create a user key by the documented steps."""
    page.goto(LIST)
    page.get_by_role("link", name="+ New API Key").first.click()
    page.get_by_label("Key Name").fill(name)
    page.get_by_role("button", name="Create Key").click()
    return shown(page)


@pytest.fixture
def bob(browse: Browse, cast: Cast) -> Page:
    """Bob's browser, allowed to use the clipboard."""
    page = browse(cast.bob)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return page


def test_create_a_user_key_and_copy_it(bob: Page) -> None:
    text = create(bob, "laptop notebook")

    assert opens(text)
    assert text not in bob.url
    assert text not in bob.title()
    bob.get_by_role("button", name="Copy", exact=True).click()
    status = bob.get_by_role("status")
    expect(status).to_have_text("The key is copied.")
    assert bob.evaluate("navigator.clipboard.readText()") == text
    bob.get_by_role("link", name="Done").click()
    expect(bob).to_have_url(re.compile(f"{LIST}$"))
    row = bob.get_by_role("row", name="laptop notebook")
    expect(row).to_contain_text("Active")
    expect(row).to_contain_text("by you")


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Environment", "export ARIZE_API_KEY={key}"),
        ("curl", 'curl -H "Authorization: Bearer {key}" \\\n  {url}/v2/spaces'),
        (
            "Python SDK",
            "from arize import ArizeClient\n\nclient = ArizeClient(\n"
            '    api_key="{key}",\n    api_host="{host}",\n    api_scheme="http",\n)\nprint(client.spaces.list())',
        ),
    ],
)
def test_snippets_copy_with_the_key_filled_in(bob: Page, live_server: object, title: str, expected: str) -> None:
    text = create(bob, "laptop")
    url = str(live_server)

    bob.get_by_role("button", name=f"Copy {title}").click()

    expect(bob.get_by_role("status")).to_have_text(f"{title}: copied.")
    copied = bob.evaluate("navigator.clipboard.readText()")
    assert copied == expected.format(key=text, url=url, host=url.removeprefix("http://"))


def test_one_click_selects_the_whole_key(bob: Page) -> None:
    text = create(bob, "laptop")

    bob.locator("#secret").click()

    assert bob.evaluate("getSelection().toString()") == text


def test_create_a_service_key_with_two_spaces_across_organizations(browse: Browse, cast: Cast) -> None:
    page = browse(cast.alice)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(LIST)
    page.get_by_role("link", name="+ New API Key").first.click()
    page.get_by_label("Key Name").fill("nightly export")
    page.get_by_label("Service Key").check()
    page.get_by_label("Space", exact=True).select_option(label="production")
    page.get_by_label("Space Role", exact=True).select_option("READ_ONLY")

    page.get_by_role("button", name="Add another space").click()
    page.get_by_label("Space 2", exact=True).select_option(label="vision-lab (private)")
    summary = page.locator(".summary")
    expect(summary).to_contain_text("In Research / vision-lab: Member.")
    page.get_by_label("Space Role 2", exact=True).select_option("ADMIN")
    expect(summary).to_contain_text("In Research / vision-lab: Admin.")
    expect(summary).to_contain_text("In Fraud & Risk / production: Read-Only Member.")
    page.get_by_text("Advanced").click()
    page.get_by_label("Org Role Research").select_option("MEMBER")
    expect(summary).to_contain_text("In Research, other public spaces: Member.")
    expect(page.get_by_label("Key Name")).to_have_value("nightly export")
    page.get_by_role("button", name="Create Key").click()

    key = opens(shown(page))
    assert key
    assert key.name == "nightly export"
    spaces = {row.content_object: row.role.name for row in SpaceBinding.objects.filter(user=key.owner)}
    assert spaces == {cast.production: "READ_ONLY", cast.vision_lab: "ADMIN"}
    organizations = {row.content_object: row.role.name for row in OrganizationBinding.objects.filter(user=key.owner)}
    assert organizations == {cast.fraud: "READ_ONLY", cast.research: "MEMBER"}
    leave(page)
    expect(page).to_have_url(re.compile("/service/$"))
    expect(page.get_by_role("row", name="nightly export")).to_contain_text("vision-lab")


def test_roles_above_ones_own_follow_the_space(browse: Browse, cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.staging).delete()
    from tests.factories import bind  # -- beside the change it completes

    bind(cast.bob, cast.staging, "ADMIN")
    page = browse(cast.bob)
    page.goto(f"{NEW}?type=service")
    admin = page.locator("#role-1 option[value=ADMIN]")

    expect(admin).to_be_disabled()
    expect(admin).to_have_text("Admin — above your own role here")
    page.get_by_label("Space", exact=True).select_option(label="staging")
    expect(admin).to_be_enabled()


def test_new_service_key_opens_on_the_service_form(bob: Page) -> None:
    bob.goto("/settings/api-keys/service/")

    bob.get_by_role("link", name="New Service Key").first.click()

    expect(bob.get_by_label("Service Key")).to_be_checked()
    expect(bob.get_by_label("Space Role", exact=True)).to_be_visible()


def test_user_key_form_hides_what_is_for_services(bob: Page) -> None:
    bob.goto(NEW)

    expect(bob.get_by_label("User Key")).to_be_checked()
    expect(bob.get_by_label("Space Role", exact=True)).to_be_hidden()
    expect(bob.get_by_label("Last day")).to_be_hidden()
    bob.get_by_label("Expiration").select_option("custom")
    expect(bob.get_by_label("Last day")).to_be_visible()


def test_create_with_the_keyboard_alone(bob: Page) -> None:
    bob.goto(NEW)  # the focus is in Key Name
    bob.keyboard.type("by keyboard")
    bob.keyboard.press("Shift+Tab")
    expect(bob.get_by_label("User Key")).to_be_focused()
    bob.keyboard.press("ArrowRight")
    expect(bob.get_by_label("Service Key")).to_be_checked()
    for _ in range(3):  # name, description, expiration
        bob.keyboard.press("Tab")
    bob.keyboard.press("Tab")
    expect(bob.get_by_label("Space", exact=True)).to_be_focused()
    bob.keyboard.press("Tab")
    bob.keyboard.type("Read")
    expect(bob.locator(".summary")).to_contain_text("production: Read-Only Member.")
    create_button = bob.get_by_role("button", name="Create Key")
    for _ in range(8):
        bob.keyboard.press("Tab")
        if create_button.evaluate("button => button === document.activeElement"):
            break
    bob.keyboard.press("Enter")

    key = opens(shown(bob))
    assert key
    assert key.name == "by keyboard"
    assert SpaceBinding.objects.get(user=key.owner).role.name == "READ_ONLY"


def test_enter_in_a_field_creates(bob: Page) -> None:
    bob.goto(NEW)

    bob.get_by_label("Key Name").fill("entered")
    bob.keyboard.press("Enter")

    assert opens(shown(bob))


def test_escape_closes_a_dialog(bob: Page) -> None:
    bob.goto(NEW)

    bob.keyboard.press("Escape")

    expect(bob).to_have_url(re.compile(f"{LIST}$"))


def test_the_focus_stays_in_the_dialog(bob: Page) -> None:
    bob.goto(NEW)

    for _ in range(20):
        bob.keyboard.press("Tab")
        assert bob.evaluate("!document.activeElement.closest('.behind')")


def test_create_without_scripts(browse: Browse, cast: Cast) -> None:
    """security.md 40."""
    page = browse(cast.alice, java_script_enabled=False)
    page.goto(LIST)
    page.get_by_role("link", name="+ New API Key").first.click()
    page.get_by_label("Service Key").check()
    page.get_by_label("Key Name").fill("no scripts")
    page.get_by_label("Space Role", exact=True).select_option("READ_ONLY")
    page.get_by_role("button", name="Add another space").click()
    page.get_by_label("Space 2", exact=True).select_option(label="vision-lab (private)")
    page.get_by_role("button", name="Review").click()
    expect(page.locator(".summary")).to_contain_text("Research / vision-lab: Member.")
    page.get_by_role("button", name="Create Key").click()

    key = opens(shown(page))
    assert key
    assert {row.content_object: row.role.name for row in SpaceBinding.objects.filter(user=key.owner)} == {
        cast.production: "READ_ONLY",
        cast.vision_lab: "MEMBER",
    }
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)
    expect(page.locator("#secret")).to_have_css("user-select", "all")
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("row", name="no scripts")).to_be_visible()


def test_reload_never_shows_the_secret_again(bob: Page) -> None:
    text = create(bob, "laptop")
    bob.get_by_role("button", name="Copy", exact=True).click()
    expect(bob.get_by_text("The key is copied.")).to_be_visible()

    bob.reload()

    assert text not in bob.content()
    assert ApiKey.objects.count() == 1


def test_reload_without_scripts_says_it_is_done(browse: Browse, cast: Cast) -> None:
    page = browse(cast.bob, java_script_enabled=False)
    text = create(page, "laptop")

    page.reload()

    assert text not in page.content()
    expect(page.get_by_role("heading", level=1)).to_contain_text("already created")
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_back_never_shows_the_secret_again(browse: Browse, cast: Cast, scripts: bool) -> None:
    page = browse(cast.bob, java_script_enabled=scripts, permissions=["clipboard-read", "clipboard-write"])
    text = create(page, "laptop")
    if scripts:
        leave(page)
    else:
        page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("row", name="laptop")).to_be_visible()

    try:
        page.go_back()
    except PlaywrightError as error:
        # The browser kept no copy, and would ask before it sends the form again.
        assert "ERR_CACHE_MISS" in error.message  # noqa: PT017 -- not the error is tested, but what is seen after it

    page.wait_for_load_state()
    # Asked of the page as it settles: reading it whole fails while the browser is still putting its own page there.
    expect(page.locator("html")).not_to_contain_text(text)
    assert ApiKey.objects.count() == 1


def test_back_to_the_form_and_sending_it_again_makes_no_second_key(bob: Page) -> None:
    text = create(bob, "laptop")
    leave(bob)
    bob.goto(NEW)
    bob.evaluate("document.querySelector('[name=nonce]').value = ''")
    bob.get_by_label("Key Name").fill("again")
    bob.get_by_role("button", name="Create Key").click()

    expect(bob.get_by_role("alert")).to_contain_text("nothing was done")
    assert text not in bob.content()
    assert ApiKey.objects.count() == 1


def test_leaving_without_copying_asks_first(bob: Page) -> None:
    text = create(bob, "laptop")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    bob.once("dialog", stay)
    with bob.expect_event("dialog"):
        bob.get_by_role("link", name="Done").click(no_wait_after=True)
    expect(bob.locator("#secret")).to_have_text(text)
    assert asked == ["beforeunload"]

    bob.get_by_role("button", name="Copy", exact=True).click()
    expect(bob.get_by_text("The key is copied.")).to_be_visible()
    bob.get_by_role("link", name="Done").click()
    expect(bob.get_by_role("row", name="laptop")).to_be_visible()
    assert asked == ["beforeunload"]


def test_refresh_with_grace(bob: Page, cast: Cast) -> None:
    old = user_key(cast.bob, cast.account, "ci")
    bob.goto(LIST)

    bob.get_by_role("row", name="ci").get_by_role("link", name="Refresh").click()
    expect(bob.get_by_role("dialog", name="Refresh ‘ci’?")).to_be_visible()
    bob.get_by_label("Old secret").select_option("custom")
    bob.get_by_label("Seconds").fill("600")
    bob.get_by_role("button", name="Refresh Key").click()

    text = shown(bob)
    assert text != old.plaintext
    assert opens(text) == opens(old.plaintext) == old.key
    expect(bob.get_by_text("The old secret goes on working until")).to_be_visible()
    leave(bob)
    expect(bob.get_by_role("row", name="ci")).to_contain_text("old secret ends in 10 minutes")


def test_refresh_without_grace_ends_the_old_secret(bob: Page, cast: Cast) -> None:
    old = user_key(cast.bob, cast.account, "ci")
    bob.goto(f"{LIST}{old.key.wire_id}/refresh/")

    bob.get_by_role("button", name="Refresh Key").click()

    assert opens(shown(bob)) == old.key
    assert opens(old.plaintext) is None


def test_revoke_asks_by_name(bob: Page, cast: Cast) -> None:
    made = service_key(cast.bob, cast.production, name="nightly export")
    bob.goto("/settings/api-keys/service/")

    bob.get_by_role("row", name="nightly export").get_by_role("link", name="Revoke").click()
    expect(bob.get_by_role("dialog", name="Revoke ‘nightly export’?")).to_be_visible()
    expect(bob.get_by_role("link", name="Keep it")).to_be_focused()
    assert opens(made.plaintext)
    bob.get_by_role("button", name="Revoke Key").click()

    expect(bob.get_by_role("status")).to_contain_text("Revoked ‘nightly export’")
    assert opens(made.plaintext) is None


def test_search_and_status(bob: Page, cast: Cast) -> None:
    user_key(cast.bob, cast.account, "laptop")
    user_key(cast.bob, cast.account, "workshop")
    bob.goto(LIST)

    bob.get_by_role("searchbox", name="Search keys by name").fill("work")
    bob.keyboard.press("Enter")
    expect(bob.locator("tbody tr")).to_have_count(1)
    bob.get_by_role("link", name="Revoked", exact=True).click()
    expect(bob.get_by_role("heading", name="No key matches")).to_be_visible()
    expect(bob.get_by_role("searchbox")).to_have_value("work")


def test_a_read_only_member_is_told_whom_to_ask(browse: Browse, cast: Cast) -> None:
    page = browse(cast.charlie)
    page.goto("/settings/api-keys/service/")

    expect(page.get_by_text("You cannot make service keys")).to_be_visible()
    expect(page.get_by_text("alice@example.com")).to_be_visible()
    expect(page.get_by_role("link", name="New Service Key")).to_have_count(0)
    page.goto(NEW)
    expect(page.get_by_label("Service Key")).to_be_disabled()
