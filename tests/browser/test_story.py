"""The main job from end to end: a person's two keys, made in the browser by the documented steps and used with the
vendor's client, until the person is removed.
"""

from __future__ import annotations

import re

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.wire import encode_id
from apikeys.models import KeySecret
from tests.browser.conftest import Browse
from tests.cast import Cast
from tests.clients.conftest import sdk, sdk_process  # noqa: F401 -- fixtures
from tests.clients.libraries import Call
from tests.factories import PASSWORD

SETTINGS = re.compile("/settings/api-keys/$")


def _sign_in(page: Page, email: str) -> None:
    page.goto("/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(SETTINGS)


def _copied(page: Page) -> str:
    """Copy the key as a person does, and leave by Done."""
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("The key is copied.")
    key: str = page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("link", name="Done").click()
    return key


def _make_user_key(page: Page) -> str:
    page.get_by_role("link", name="+ New API Key").first.click()
    expect(page.get_by_role("radio", name="User Key")).to_be_checked()
    page.get_by_label("Key Name").fill("bob's laptop")
    page.get_by_role("button", name="Create Key").click()
    return _copied(page)


def _make_service_key(page: Page) -> str:
    page.get_by_role("link", name="Service Keys").click()
    page.get_by_role("link", name="New Service Key").first.click()
    page.get_by_label("Key Name").fill("nightly export")
    page.get_by_label("Space Role").select_option("Member")
    page.get_by_text("Advanced").click()
    expect(page.get_by_label(re.compile("Org Role"))).to_have_value("READ_ONLY")
    expect(page.get_by_label("Account Role")).to_have_value("MEMBER")
    page.get_by_role("button", name="Create Key").click()
    return _copied(page)


@pytest.mark.clients
def test_two_keys_from_creation_to_the_removal_of_their_maker(browse: Browse, cast: Cast, sdk: Call) -> None:  # noqa: F811 -- the fixture
    page = browse()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    _sign_in(page, cast.bob.email)

    # Create both and use each.
    user_key, service_key = _make_user_key(page), _make_service_key(page)
    names = {one["name"] for one in sdk(user_key, "api_keys.list").result["api_keys"]}
    assert names == {"bob's laptop"}
    assert sdk(service_key, "api_keys.list").result["api_keys"] == []
    in_space = sdk(service_key, "api_keys.list", key_type="SERVICE", space="production").result["api_keys"]
    assert [one["name"] for one in in_space] == ["nightly export"]

    # Refresh the service key with grace: both secrets work, then the old one stops.
    page.get_by_role("row", name="nightly export").get_by_role("link", name="Refresh").click()
    page.get_by_label("Old secret").select_option("custom")
    page.get_by_label("Seconds").fill("3600")
    page.get_by_role("button", name="Refresh Key").click()
    refreshed = _copied(page)
    assert sdk(service_key, "api_keys.list").kind == ""
    assert sdk(refreshed, "api_keys.list").kind == ""
    old = KeySecret.objects.filter(key__name="nightly export", superseded_at__isnull=False)
    old.update(ends_at=timezone.now())  # the hour is over
    assert sdk(service_key, "api_keys.list").kind == "UnauthorizedException"
    assert sdk(refreshed, "api_keys.list").kind == ""

    # Revoke a second user key: refused on the very next call.
    page.goto("/settings/api-keys/")
    page.get_by_role("link", name="+ New API Key").first.click()
    page.get_by_label("Key Name").fill("old notebook")
    page.get_by_role("button", name="Create Key").click()
    doomed = _copied(page)
    assert sdk(doomed, "api_keys.list").kind == ""
    page.get_by_role("row", name="old notebook").get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke Key").click()
    expect(page.get_by_role("status")).to_contain_text("Revoked ‘old notebook’")
    assert sdk(doomed, "api_keys.list").kind == "UnauthorizedException"

    # Remove the person who made them: the user key stops at once, the service key goes on.
    admin = browse()
    _sign_in(admin, cast.alice.email)
    admin.goto(f"/settings/members/{encode_id('User', cast.bob.pk)}/remove/")
    dialog = admin.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="Stop at once")).to_contain_text("bob's laptop")
    expect(dialog.get_by_role("region", name="Go on working")).to_contain_text("nightly export")
    assert sdk(user_key, "api_keys.list").kind == ""
    admin.get_by_role("button", name="Remove Bob").click()
    expect(admin.get_by_role("status")).to_contain_text("Bob Baker")
    refused = sdk(user_key, "api_keys.list")
    assert (refused.kind, refused.status) == ("UnauthorizedException", 401)
    assert sdk(refreshed, "spaces.list").result["spaces"][0]["name"] == "production"
