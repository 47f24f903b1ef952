"""Every API Keys page as people see it: wide and narrow, light and dark, readable, reachable, nothing off the edge.

Each page is also left as a picture in test-results/screenshots, to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import User
from apikeys.models import ApiKey
from tests.browser.conftest import SHOTS, Browse
from tests.cast import Cast
from tests.factories import later, service_key, used, user_key

LIST = "/settings/api-keys/"
NEW = "/settings/api-keys/new/"

HEIGHT = 800


def furnish(cast: Cast) -> None:
    """Give Bob and Alice keys of every sort, hostile names among them."""
    now = timezone.now()
    user_key(cast.bob, cast.account, "workshop", at=now - timedelta(days=40), expires_at=now - timedelta(days=9))
    user_key(cast.bob, cast.account, "<script>alert(1)</script> \u202egnp.yek " + "🔑" * 200)
    user_key(cast.bob, cast.account, "w" * 256)
    soon = user_key(
        cast.bob,
        cast.account,
        "nightly export",
        description="Exports yesterday’s traces to the warehouse, every night at two",
        at=now - timedelta(days=27),
        expires_at=later(days=3),
    )
    laptop = user_key(cast.bob, cast.account, "laptop notebook", at=now - timedelta(days=3))
    used(laptop.key, ip="192.0.2.17", client="python-requests/2.32", at=now - timedelta(minutes=4))
    used(soon.key, ip="2001:db8:85a3:1:2:8a2e:370:7334", client="", at=now - timedelta(hours=9))
    everywhere = (cast.production, cast.staging, cast.vision_lab)
    pipeline = service_key(cast.alice, *everywhere, name="evaluation pipeline", at=now - timedelta(days=80))
    service_key(cast.bob, cast.production, name="drift monitor", expires_at=later(days=80))
    used(pipeline.key, ip="192.0.2.40", client="arize/8.61.0", at=now - timedelta(seconds=20))


def visit(url: str) -> Callable[[Page], None]:
    """Go to an address."""

    def go(page: Page) -> None:
        page.goto(url)

    return go


def of_key(name: str, verb: str) -> Callable[[Page], None]:
    """Go to a dialog about a key."""

    def go(page: Page) -> None:
        page.goto(f"{LIST}{ApiKey.objects.get(name=name).wire_id}/{verb}/")

    return go


def fill_service(page: Page) -> None:
    """Fill the service form as far as it goes."""
    page.goto(f"{NEW}?type=service")
    page.get_by_label("Key Name").fill("nightly export")
    page.get_by_role("button", name="Add another space").click()
    page.locator("#space-2").wait_for()
    page.get_by_text("Advanced").click()


def ask_why(name: str, space: str, permission: str) -> Callable[[Page], None]:
    """Ask what a key may do in a space, as somebody does who chooses."""

    def go(page: Page) -> None:
        of_key(name, "why")(page)
        page.get_by_label("Where", exact=True).select_option(label=space)
        page.get_by_label("What", exact=True).select_option(permission)
        page.get_by_role("button", name="Explain").click()
        page.get_by_role("heading", level=2).wait_for()

    return go


def refuse(page: Page) -> None:
    """Send a form with mistakes."""
    page.goto(NEW)
    page.get_by_label("Expiration").select_option("custom")
    page.get_by_role("button", name="Create Key").click()


def reveal(page: Page) -> None:
    """Create a key and look at it."""
    page.goto(NEW)
    page.get_by_label("Key Name").fill("laptop")
    page.get_by_role("button", name="Create Key").click()
    page.get_by_role("button", name="Copy", exact=True).wait_for()


# Name of the picture, who looks, how they get there, whether there are keys, what the page is headed.
PAGES: list[tuple[str, str, Callable[[Page], None], bool, str]] = [
    ("user-keys", "bob", visit(f"{LIST}?status=all"), True, "API Keys"),
    ("service-keys", "alice", visit(f"{LIST}service/"), True, "API Keys"),
    ("everyones-keys", "alice", visit(f"{LIST}?whose=everyone"), True, "API Keys"),
    ("user-keys-empty", "bob", visit(LIST), False, "API Keys"),
    ("service-keys-empty", "bob", visit(f"{LIST}service/"), False, "API Keys"),
    ("service-keys-refused", "charlie", visit(f"{LIST}service/"), False, "API Keys"),
    ("nothing-found", "bob", visit(f"{LIST}?q=zebra"), True, "API Keys"),
    ("new-user-key", "bob", visit(NEW), False, "New API Key"),
    ("new-user-key-mistakes", "bob", refuse, False, "New API Key"),
    ("new-service-key", "bob", fill_service, False, "New API Key"),
    ("new-key-read-only", "charlie", visit(NEW), False, "New API Key"),
    ("new-key-no-developer", "dana", visit(NEW), False, "New API Key"),
    ("created", "bob", reveal, False, "Key created"),
    ("refresh", "bob", of_key("nightly export", "refresh"), True, "Refresh ‘nightly export’?"),
    ("revoke", "alice", of_key("evaluation pipeline", "revoke"), True, "Revoke ‘evaluation pipeline’?"),
    ("why", "bob", of_key("nightly export", "why"), True, "What may ‘nightly export’ do?"),
    (
        "why-allowed",
        "alice",
        ask_why("evaluation pipeline", "vision-lab", "DATASET_CREATE"),
        True,
        "What may ‘evaluation pipeline’ do?",
    ),
    (
        "why-forbidden",
        "bob",
        ask_why("drift monitor", "production", "SPACE_DELETE"),
        True,
        "What may ‘drift monitor’ do?",
    ),
    ("why-refused", "bob", ask_why("workshop", "production", ""), True, "What may ‘workshop’ do?"),
    ("not-found", "bob", visit(f"{LIST}nothing/refresh/"), False, "Nothing here"),
    ("forbidden", "bob", of_key("evaluation pipeline", "revoke"), True, "Not yours to open"),
]


@pytest.mark.parametrize(("name", "person", "go", "with_keys", "heading"), PAGES, ids=[page[0] for page in PAGES])
def test_page_is_readable_and_fits(
    browse: Browse,
    cast: Cast,
    name: str,
    person: str,
    go: Callable[[Page], None],
    with_keys: bool,
    heading: str,
) -> None:
    if with_keys:
        furnish(cast)
    user: User = getattr(cast, person)
    page = browse(user, viewport={"width": 1280, "height": HEIGHT})
    go(page)
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)

    for width in (1280, 768, 375, 320):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width} px"
        if width in (1280, 375):
            check_and_picture(page, f"{name}-{width}")


def check_and_picture(page: Page, name: str) -> None:
    """Look for barriers in both themes, and leave a picture of each."""
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        results = Axe().run(page)
        assert results.violations_count == 0, f"{scheme}: {results.generate_report()}"
        # As high as its contents, so that what sticks to the window's edge stands where it would at the end.
        window = page.viewport_size or {"width": 1280, "height": HEIGHT}
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": window["width"], "height": max(height, HEIGHT)})
        page.screenshot(path=SHOTS / f"{name}-{scheme}.png")
        page.set_viewport_size(window)
