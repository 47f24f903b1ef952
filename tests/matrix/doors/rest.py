"""REST: a request with the caller's key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model

from accounts.actors import Door as Threshold
from tests.addresses import NAMED
from tests.matrix.doors.ways import Door, Instead, Of, Way, nothing, wire
from tests.matrix.fates import Fate
from tests.matrix.scene import OPERATOR, Scene

REST = Door(
    "REST",
    Threshold.REST,
    instead={OPERATOR: Fate.UNAUTHORIZED},
    because="An operator has no key, and a session opens nothing here (security 14).",
)
_FATES = {
    200: Fate.MADE,
    201: Fate.MADE,
    202: Fate.MADE,
    204: Fate.MADE,
    401: Fate.UNAUTHORIZED,
    403: Fate.FORBIDDEN,
    404: Fate.ABSENT,
    422: Fate.AGAINST,
}


@dataclass(frozen=True, kw_only=True)
class RestWay(Way):
    """One request. ``shows`` is what a list must hold for its reader to have been let in."""

    door = REST
    at: Of[Sequence[Model]]
    query: Of[Mapping[str, Any]] | None
    body: Of[Mapping[str, Any]] | None
    form: Of[Mapping[str, Any]] | None
    shows: Of[str] | None

    def ask(self, scene: Scene) -> Fate | str:
        """Send it."""
        response = self.asking(scene)()
        content = response.getvalue().decode()
        fate = _FATES.get(response.status_code)
        if fate is Fate.AGAINST and response.json()["error_code"] == "role_above_own":
            return Fate.ABOVE
        if fate is Fate.MADE and self.shows is not None and self.shows(scene) not in content:
            return Fate.ABSENT
        return fate or f"{response.status_code}: {content}"

    def asking(self, scene: Scene) -> Callable[[], Any]:
        """Return the request, to be sent later."""
        client, method, address = scene.client(), self.name.partition(" ")[0], self._address(scene)
        sent = urlencode(self.form(scene)) if self.form else json.dumps(self.body(scene)) if self.body else ""
        more: dict[str, Any] = {
            "content_type": "application/x-www-form-urlencoded" if self.form else "application/json",
            "headers": {"authorization": f"Bearer {scene.key}"} if scene.key else {},
            "query_params": dict(self.query(scene)) if self.query else {},
        }
        return lambda: client.generic(method, address, sent, **more)

    def _address(self, scene: Scene) -> str:
        rows = iter(self.at(scene))
        return re.sub(r"{\w+}", lambda _: wire(next(rows)), self.name.partition(" ")[2])


def rest(
    name: str,
    at: Of[Sequence[Model]] = nothing,
    *,
    body: Of[Mapping[str, Any]] | None = None,
    form: Of[Mapping[str, Any]] | None = None,
    query: Of[Mapping[str, Any]] | None = None,
    shows: Of[str] | None = None,
    differs: Instead | None = None,
    because: str = "",
) -> Way:
    """Do or read something with a request such as ``PATCH /v2/spaces/{space_id}`` at the rows given, in order."""
    return RestWay(
        name=name,
        looks=name.startswith("GET ") or name.endswith("/search"),
        at=at,
        body=body,
        form=form,
        query=query,
        shows=shows,
        differs=differs or {},
        because=because,
    )


def offered() -> set[str]:
    """Return every method of every route."""
    return {f"{method} {one.template}" for one in NAMED for method in one.methods}
