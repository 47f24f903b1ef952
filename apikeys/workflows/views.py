"""The Data pages: what lies in a space and who wrote it last, so that a person sees that an upload arrived; and which
workflows a key was used for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.actors import Actor
from accounts.errors import Forbidden, Invalid, NotFound
from accounts.models import Space
from accounts.pages import settings_page, space_head
from accounts.paging import paginate
from accounts.permissions import find_seen, seen_by
from accounts.scope import chosen_scope
from accounts.standing import standing_of
from accounts.vocabulary import Permission
from accounts.wire import decode_id, encode_id
from apikeys import dressing, policy
from apikeys.models import KeyKind
from apikeys.workflows import stock
from apikeys.workflows.models import WorkflowUse
from apikeys.workflows.uses import Workflow

_PAGE_SIZE = 25
# So much of each kind stands beside the others; its own page has all.
_LISTED = 5
# A key has a row for each workflow and client: more than a page full is a client that gives itself ever new names.
_MOST_USES = 100
_TITLES = {stock.Sort.PROJECTS: "Projects", stock.Sort.DATASETS: "Datasets", stock.Sort.EXPERIMENTS: "Experiments"}
_SORTS = {sort.value: sort for sort in stock.Sort}
_READ = {
    stock.Sort.PROJECTS: Permission.PROJECT_READ,
    stock.Sort.DATASETS: Permission.DATASET_READ,
    stock.Sort.EXPERIMENTS: Permission.EXPERIMENT_READ,
}


@require_safe
@settings_page
def choose(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Go to the data of the space chosen at the top of the page, or of the only one; or let one be chosen."""
    chosen = chosen_scope(request, actor)
    spaces = seen_by(actor, Space).select_related("organization")
    if chosen.organization is not None:
        spaces = spaces.filter(organization=chosen.organization)
    try:
        page = paginate(spaces, cursor=request.GET.get("after"), limit=_PAGE_SIZE, newest_first=False)
    except Invalid:
        return HttpResponseRedirect(request.path)
    only = page.items[0] if len(page.items) == 1 and not page.has_more and "after" not in request.GET else None
    space = chosen.space or only
    if space is not None:
        return redirect("workflows:space-data", wire_id=encode_id("Space", space.pk))
    context = {
        "section": "data",
        "spaces": page.items,
        "older_url": f"?after={page.next_cursor}" if page.next_cursor else "",
        "first_url": request.path if request.GET.get("after") else "",
    }
    return render(request, "workflows/choose.html", context)


@require_safe
@settings_page
def show(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Show what lies in a space: the latest of each kind that the person may see, or all of one kind."""
    space, mine = find_seen(actor, Space, _number(wire_id, "Space")), standing_of(actor)
    sorts = [sort for sort in stock.Sort if mine.holds(_READ[sort], space)]
    # Somebody may have a role in one project and none in the space around it that shows projects.
    if stock.Sort.PROJECTS not in sorts and stock.rows(actor, space, stock.Sort.PROJECTS).exists():
        sorts.insert(0, stock.Sort.PROJECTS)
    asked = request.GET.get("show", "")
    context = space_head(mine, space, "data") | {"section": "data", "connect": _connect(request, space)}
    sort = _SORTS.get(asked)
    if sort is None:
        sections = [_Section.latest(actor, space, sort) for sort in sorts]
        context |= {
            "sections": sections,
            "is_empty": not any(section.lines for section in sections),
            "is_closed": not sorts,
            "shows": _shows(sorts, ""),
        }
        return render(request, "workflows/space.html", context)
    if sort not in sorts:
        raise Forbidden(f"Your role in “{space}” does not show its {asked}.", permission=_READ[sort])
    try:
        page = paginate(stock.rows(actor, space, sort), cursor=request.GET.get("after"), limit=_PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(f"{request.path}?show={asked}")
    section = _Section(sort, stock.lines(actor, space, sort, page.items), has_more=False)
    context |= {
        "sections": [section],
        "is_whole": True,
        "shows": _shows(sorts, asked),
        "older_url": f"?show={asked}&after={page.next_cursor}" if page.next_cursor else "",
        "first_url": f"?show={asked}" if request.GET.get("after") else "",
    }
    return render(request, "workflows/space.html", context)


@require_safe
@settings_page
def key_uses(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Show which workflows a key was used for, when, and with which client: what a client says of itself."""
    key = policy.find_key(actor, _number(wire_id, "ApiKey"))
    found = list(WorkflowUse.objects.filter(key=key).order_by("-last_used_at", "-pk")[:_MOST_USES])
    # The key may have been used in places whose very names are none of the reader's business.
    spaces = seen_by(actor, Space).in_bulk({use.space_id for use in found if use.space_id is not None})
    (row,) = dressing.rows(actor, standing_of(actor), [key], at=timezone.now())
    context = {
        "section": "api-keys",
        "row": row,
        "uses": [
            {
                "use": use,
                "name": Workflow(use.workflow).label if use.workflow in Workflow.values else use.workflow,
                "times": f"{use.uses:,}",
                "space": spaces.get(use.space_id or 0),
            }
            for use in found
        ],
        "list_url": reverse("apikeys:service" if key.kind == KeyKind.SERVICE else "apikeys:list"),
    }
    return render(request, "workflows/key_uses.html", context)


@dataclass(frozen=True)
class _Section:
    """One kind of thing on the page."""

    sort: stock.Sort
    lines: list[stock.Line]
    has_more: bool

    @classmethod
    def latest(cls, actor: Actor, space: Space, sort: stock.Sort) -> _Section:
        """Return what was written to last."""
        found = list(stock.rows(actor, space, sort).order_by("-updated_at", "-pk")[: _LISTED + 1])
        return cls(sort, stock.lines(actor, space, sort, found[:_LISTED]), len(found) > _LISTED)

    @property
    def title(self) -> str:
        """What the things are called."""
        return _TITLES[self.sort]

    @property
    def pieces(self) -> str:
        """What the numbers of their parts count."""
        return stock.PIECES[self.sort]


def _shows(sorts: list[stock.Sort], asked: str) -> list[dict[str, Any]]:
    choices = [("", "Latest"), *((sort.value, _TITLES[sort]) for sort in sorts)]
    return [
        {"label": label, "url": f"?show={value}" if value else "?", "current": value == asked}
        for value, label in choices
    ]


def _connect(request: HttpRequest, space: Space) -> dict[str, str]:
    """Return the lines that point a client at this installation: as the person's browser reached it, without a key."""
    here = urlsplit(f"//{request.get_host()}")
    host, port = here.hostname, here.port
    space_id = encode_id("Space", space.pk)
    if request.is_secure():
        where = [f'    single_host="{host}",', f"    single_port={port or 443},"]
    else:
        flight = settings.GRPC_PORT
        where = [
            line
            for part, scheme, at in (("api", "http", port or 80), ("flight", "grpc", flight), ("otlp", "http", flight))
            for line in (f'    {part}_scheme="{scheme}",', f'    {part}_host="{host}",', f"    {part}_port={at},")
        ]
    client = "\n".join(["from arize import ArizeClient", "", "client = ArizeClient(", '    api_key="…",', *where, ")"])
    return {
        "client": client,
        "projects": _call("spans.log", space_id=f'"{space_id}"', project_name='"first"', dataframe="spans"),
        "datasets": _call(
            "datasets.create", space=f'"{space_id}"', name='"first"', examples='[{"sum": "2 + 2", "is": "4"}]'
        ),
        "experiments": _call(
            "experiments.run",
            space=f'"{space_id}"',
            dataset='"first"',
            name='"baseline"',
            task='lambda dataset_row: "4"',
        ),
    }


def _call(method: str, /, **arguments: str) -> str:
    """Return a call of the client, with short lines for narrow screens."""
    return "\n".join([f"client.{method}(", *(f"    {each}={value}," for each, value in arguments.items()), ")"])


def _number(wire_id: str, type_name: str) -> int:
    try:
        return decode_id(wire_id, type_name)
    except Invalid as refusal:
        raise NotFound(refusal.detail) from refusal
