"""The Data pages and what a key has done, as people see them: wide and narrow, light and dark, without a script too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.wire import encode_id
from apikeys.workflows.models import WorkflowUse
from apikeys.workflows.uses import Workflow
from tests.browser.conftest import Browse
from tests.browser.test_looks import check_and_picture
from tests.cast import Cast
from tests.factories import custom_role, service_key
from tests.workflows.rows import dataset, experiment, project, written

WIDTHS = (1280, 768, 375, 320)


def furnish(cast: Cast) -> None:
    """Let things of every size have arrived, hostile names among them."""
    now = timezone.now()
    golden = dataset(cast.production, "golden questions", versions=12, rows=4_180, size=812_004)
    hostile = "<script>alert(1)</script> \u202egnp.yek " + "🔑" * 60
    for minutes, thing in (
        (2, golden),
        (700, dataset(cast.production, "W" * 255, rows=1_000_000, size=104_857_600, kind="UNKNOWN")),
        (9_000, dataset(cast.production, hostile, kind="INFERENCES", last_writer="evaluation pipeline")),
        (1, experiment(golden, "baseline gpt-4o", rows=4_191)),
        (3, experiment(golden, "baseline haiku", posted=False)),
        (30, project(cast.production, "support chat", uploads=31, rows=9_400, last_writer="evaluation pipeline")),
        (90, project(cast.production, "fraud-detector", kind="ML_MODEL", rows=88_000)),
        (20_000, project(cast.production, "payroll", restricted=True)),
    ):
        written(thing, now - timedelta(minutes=minutes))
    for number in range(6):
        written(project(cast.production, f"canary-{number}", uploads=0), now - timedelta(days=40 + number))
    key = service_key(cast.alice, cast.production, name="evaluation pipeline").key
    for workflow, client, minutes, times in (
        (Workflow.EXPERIMENT_WRITE, "arize 8.61.0", 1, 41),
        (Workflow.SPAN_LOG, "arize-otel 0.11 with a name that goes on and on and on", 30, 1_204_000),
        (Workflow.DATASET_READ, "", 60 * 24 * 3, 7),
    ):
        WorkflowUse.objects.create(
            key=key,
            workflow=workflow,
            client=client,
            space=cast.production,
            first_used_at=now - timedelta(days=60),
            last_used_at=now - timedelta(minutes=minutes),
            uses=times,
        )


def data(query: str = "") -> Callable[[Cast], str]:
    """Return where the data of production is shown."""
    return lambda cast: reverse("workflows:space-data", args=[encode_id("Space", cast.production.pk)]) + query


def used(cast: Cast) -> str:
    """Return where it is shown what a key has done."""
    key = service_key(cast.alice, cast.production, name="unused").key if not WorkflowUse.objects.exists() else None
    return reverse("workflows:key-uses", args=[(key or WorkflowUse.objects.all()[0].key).wire_id])


# Name of the picture, who looks, where, and whether anything has arrived.
PAGES: list[tuple[str, str, Callable[[Cast], str], bool]] = [
    ("data", "bob", data(), True),
    ("data-projects", "bob", data("?show=projects"), True),
    ("data-empty", "bob", data(), False),
    ("data-choose", "bob", lambda cast: reverse("workflows:data"), True),
    ("key-uses", "alice", used, True),
    ("key-uses-none", "alice", used, False),
]


@pytest.mark.parametrize(("name", "person", "where", "furnished"), PAGES, ids=[page[0] for page in PAGES])
def test_page_is_readable_and_fits(
    browse: Browse, cast: Cast, name: str, person: str, where: Callable[[Cast], str], furnished: bool
) -> None:
    if furnished:
        furnish(cast)
    page = browse(getattr(cast, person), viewport={"width": 1280, "height": 800})
    page.goto(where(cast))

    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width} px"
        if width in (1280, 375):
            check_and_picture(page, f"{name}-{width}")


def test_partly_empty_and_opened(browse: Browse, cast: Cast) -> None:
    dataset(cast.production, "golden questions")
    page = browse(cast.bob, viewport={"width": 1280, "height": 800})
    page.goto(data()(cast))
    for summary in page.get_by_text("How to send the first").all():
        summary.click()

    for width in (1280, 375):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        check_and_picture(page, f"data-partly-{width}")


def test_a_role_that_shows_no_data_says_so(browse: Browse, cast: Cast) -> None:
    from tests.factories import PersonFactory, bind

    person = PersonFactory.create(name="Nina Nowhere")
    bind(person, cast.account, "MEMBER")
    bind(person, cast.production, custom_role(cast.account, "visitor", "SPACE_READ"))
    page = browse(person, viewport={"width": 1280, "height": 800})
    page.goto(data()(cast))

    expect(page.get_by_role("heading", name="Your role does not show data")).to_be_visible()
    for width in (1280, 375):
        page.set_viewport_size({"width": width, "height": 800})
        check_and_picture(page, f"data-closed-{width}")


def test_without_a_script_everything_is_reached_from_settings(browse: Browse, cast: Cast) -> None:
    furnish(cast)
    page: Page = browse(cast.bob, java_script_enabled=False)
    page.goto("/settings/api-keys/")

    page.get_by_role("navigation", name="Settings").get_by_role("link", name="Data").click()
    page.get_by_role("link", name="production").click()
    here = page.get_by_role("navigation", name="Space").locator("[aria-current=page]")
    expect(here).to_have_text("Data")
    page.get_by_role("link", name="All projects").click()
    expect(page.get_by_role("row", name="canary-5")).to_be_visible()

    page.goto("/settings/api-keys/service/")
    page.get_by_title("What may it do, and why?").first.click()
    page.get_by_role("link", name="What it has done").click()
    expect(page.get_by_role("row", name="Writing experiments")).to_contain_text("arize 8.61.0")
