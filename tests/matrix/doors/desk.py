"""Django admin, the operator's desk: its pages, the forms on them, and the actions on its lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model
from django.test import RequestFactory
from django.urls import reverse

from accounts.actors import Door as Threshold
from accounts.models import User
from tests.addresses import places
from tests.matrix.doors.ways import Door, Instead, Of, Way, nothing
from tests.matrix.fates import Fate
from tests.matrix.scene import BOT, CALLERS, OPERATOR, Scene

DESK = Door(
    "Django admin",
    Threshold.ADMIN,
    instead=dict.fromkeys((one for one in CALLERS if one != OPERATOR), Fate.UNAUTHORIZED)
    | {BOT: None, Fate.ABOVE: Fate.TOLD, Fate.AGAINST: Fate.TOLD},
    because="Only operators get in here, whatever somebody is in an account: all others are sent to sign in as one. "
    "A bot never signs in (security 21).",
)


@dataclass(frozen=True, kw_only=True)
class DeskWay(Way):
    """A page asked for, or a form sent. ``shows`` is what the answer must hold for the form to have worked."""

    door = DESK
    at: Of[Sequence[Model | str]]
    query: Mapping[str, str]
    fields: Of[Mapping[str, Any]] | None
    shows: Of[str] | None

    def ask(self, scene: Scene) -> Fate | str:
        """Ask for the page, or send the form."""
        client = scene.client()
        page, _, action = self.name.partition(" ")
        address = reverse(
            f"admin:{page}", args=[one.pk if isinstance(one, Model) else one for one in self._parts(action, scene)]
        )
        if self.fields is None:
            answer = client.get(address, self.query)
        else:
            fields = dict(self.fields(scene))
            if action:
                chosen = [one.pk for one in self.at(scene) if isinstance(one, Model)]
                fields |= {"action": action, ACTION_CHECKBOX_NAME: chosen}
            if page.endswith("_issue"):
                context = client.get(address).context
                fields["nonce"] = context["nonce"] if context and "nonce" in context else ""
            answer = client.post(address, fields)
        return self._read(answer, scene)

    def _parts(self, action: str, scene: Scene) -> Sequence[Model | str]:
        # An action stands on a list, and what it is done to goes along as fields.
        return () if action else self.at(scene)

    def _read(self, answer: Any, scene: Scene) -> Fate | str:
        if answer.status_code == 302 and _leads_in(answer["Location"], self.name):
            return Fate.UNAUTHORIZED
        if answer.status_code in (403, 404):
            return Fate.FORBIDDEN if answer.status_code == 403 else Fate.ABSENT
        if answer.status_code == 302:
            return Fate.MADE
        if answer.status_code != 200:
            return f"{answer.status_code}: {answer.getvalue().decode()[:500]}"
        if self.shows is not None:
            return Fate.MADE if self.shows(scene) in answer.getvalue().decode() else Fate.TOLD
        return Fate.MADE if self.fields is None else Fate.TOLD


def desk(
    name: str,
    at: Of[Sequence[Model | str]] = nothing,
    fields: Of[Mapping[str, Any]] | None = None,
    *,
    query: Mapping[str, str] | None = None,
    looks: bool | None = None,
    shows: Of[str] | None = None,
    differs: Instead | None = None,
    because: str = "",
) -> Way:
    """Look at a page of Django admin, or send its form; ``page action`` is an action on a list."""
    return DeskWay(
        name=name,
        looks=fields is None if looks is None else looks,
        at=at,
        query=query or {},
        fields=fields,
        shows=shows,
        differs=differs or {},
        because=because,
    )


def offered() -> set[str]:
    """Return every page, and every action on a list that a superuser is offered."""
    request = RequestFactory().get("/admin/")
    request.user = User(is_active=True, is_staff=True, is_superuser=True)
    pages = {place.name.removeprefix("admin:") for place in places() if place.name.startswith("admin:")}
    actions = {
        f"{model._meta.app_label}_{model._meta.model_name}_changelist {action}"
        for model, model_admin in admin.site._registry.items()
        for action in model_admin.get_actions(request)
    }
    return {page for page in pages if page} | actions


def _leads_in(address: str, page: str) -> bool:
    """Whether somebody is sent to where operators sign in; what others hear there is one answer for all pages."""
    if page == "logout":  # whoever may not see the admin is not signed out of it: they are sent to its first page
        return address == reverse("admin:index")
    return address.startswith((reverse("admin:login"), f"{reverse('accounts:login')}?next="))
