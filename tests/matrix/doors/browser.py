"""The product's own pages: what the caller's browser asks for, and the forms it sends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.actors import Door as Threshold
from accounts.models import User
from tests.addresses import Place, places
from tests.factories import PersonFactory
from tests.matrix.doors.ways import Door, Instead, Of, Way, nothing, wire
from tests.matrix.fates import Fate
from tests.matrix.scene import BOT, OPERATOR, Scene, session_of

BROWSER = Door(
    "browser",
    Threshold.BROWSER,
    instead={BOT: None, OPERATOR: Fate.FORBIDDEN, Fate.ABOVE: Fate.TOLD, Fate.AGAINST: Fate.TOLD},
    because="A bot never signs in (security 21). An operator is in no account, so there are no Settings for them. "
    "What is not allowed is said on the page.",
)
_OTHER_DOORS = re.compile(r"\^?(v[12[]|admin/|(introspect|graphql)$)")
# They only lead on to pages that are named.
_SIGNPOSTS = frozenset({"home"})
_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class PageWay(Way):
    """A page asked for, or a form sent: its ``fields``, from the page it stands on if that is to be opened first.

    ``shows`` is what the answer must hold for the caller to have been let in, or for the form to have worked. ``anew``
    is for a browser in which nobody is signed in.
    """

    door = BROWSER
    at: Of[Sequence[Model | str]]
    query: Of[Mapping[str, Any]] | None
    fields: Of[Mapping[str, Any]] | None
    shows: Of[str] | None
    asked_first: bool
    anew: bool

    def ask(self, scene: Scene) -> Fate | str:
        """Ask for the page, or send the form."""
        client, address = Client() if self.anew else scene.client(), self._address(scene)
        if self.fields is None:
            return self._read(self._opened(client, address, dict(self.query(scene)) if self.query else {}), scene)
        fields = dict(self.fields(scene))
        if self.asked_first:
            # Whoever is not shown the form and sends it all the same hears the same.
            opened = self._opened(client, address, {})
            # The number is there even where the page shows no form with it.
            fields |= {"nonce": (opened.context or {}).get("nonce", "")}
            address = opened.request["PATH_INFO"] if opened.status_code == 200 else address
        return self._read(client.post(address, fields), scene)

    def _opened(self, client: Client, address: str, query: dict[str, Any]) -> Any:
        """Return the page, or the one of ours that it leads on to: as a link that is a credential does."""
        answer = client.get(address, query)
        for _ in range(_STEPS):
            if answer.status_code != 302 or answer["Location"].startswith(_asking_who()):
                break
            answer = client.get(answer["Location"])
        return answer

    def _address(self, scene: Scene) -> str:
        parts = [part if isinstance(part, str) else wire(part) for part in self.at(scene)]
        return reverse(self.name.partition(" ")[2], args=parts)

    def _read(self, answer: Any, scene: Scene) -> Fate | str:
        if answer.status_code == 302 and answer["Location"].startswith(_asking_who()[0]):
            return Fate.UNAUTHORIZED
        if answer.status_code in (401, 403, 404):
            return {401: Fate.UNAUTHORIZED, 403: Fate.FORBIDDEN, 404: Fate.ABSENT}[answer.status_code]
        shown = self.shows is None or self.shows(scene) in answer.getvalue().decode()
        if self.fields is None:
            return (Fate.MADE if shown else Fate.ABSENT) if answer.status_code == 200 else _other(answer)
        if answer.status_code in (200, 409, 422):
            return Fate.MADE if self.shows and shown else Fate.TOLD
        return Fate.MADE if answer.status_code == 302 and self.shows is None else _other(answer)


def page(
    name: str,
    at: Of[Sequence[Model | str]] = nothing,
    *,
    query: Of[Mapping[str, Any]] | None = None,
    shows: Of[str] | None = None,
    anew: bool = False,
    prepared: Callable[[Scene], None] | None = None,
    differs: Instead | None = None,
    because: str = "",
) -> Way:
    """Look at a page."""
    return PageWay(
        name=f"GET {name}",
        looks=True,
        at=at,
        query=query,
        fields=None,
        shows=shows,
        asked_first=False,
        anew=anew,
        prepared=prepared,
        differs=differs or {},
        because=because,
    )


def form(
    name: str,
    at: Of[Sequence[Model | str]] = nothing,
    *,
    fields: Of[Mapping[str, Any]] = lambda scene: {},
    asked_first: bool = False,
    anew: bool = False,
    prepared: Callable[[Scene], None] | None = None,
    shows: Of[str] | None = None,
    differs: Instead | None = None,
    because: str = "",
) -> Way:
    """Send a form. Without ``shows`` it has worked when the answer leads on."""
    return PageWay(
        name=f"POST {name}",
        at=at,
        query=None,
        fields=fields,
        asked_first=asked_first,
        anew=anew,
        prepared=prepared,
        shows=shows,
        differs=differs or {},
        because=because,
    )


def offered() -> set[str]:
    """Return every page and form, found by asking: which methods a view takes, its decorators keep to themselves."""
    person, methods = PersonFactory.create(), ("GET", "POST")
    return {f"{method} {place.name}" for place in pages() for method in methods if _takes(method, place, person)}


def pages() -> Iterator[Place]:
    """Yield each address that belongs to no other door."""
    for place in places():
        if not _OTHER_DOORS.match(place.route) and place.name not in _SIGNPOSTS:
            yield place


def _asking_who() -> tuple[str, str]:
    """Return how the addresses begin at which one signs in, and proves once more who one is, before going on."""
    return f"{reverse('accounts:login')}?next=", reverse("accounts:confirm")


def _takes(method: str, place: Place, person: User) -> bool:
    client, address = Client(), reverse(place.name, args=["x"] * len(place.parameters))
    client.cookies[settings.SESSION_COOKIE_NAME] = session_of(person)
    return client.generic(method, address).status_code != 405


def _other(answer: Any) -> str:
    return f"{answer.status_code} {answer.get('Location', '')}: {answer.getvalue().decode()[:500]}"
