"""What is noted of the use of a key."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from apikeys.workflows import uses
from apikeys.workflows.models import WorkflowUse
from apikeys.workflows.uses import Workflow
from tests.cast import Cast
from tests.factories import user_key


def test_a_key_whose_clients_have_ever_new_names_fills_no_table(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "_MOST", 3)
    actors = [
        replace(cast.actor(person), key_id=user_key(person, cast.account).key.pk) for person in (cast.bob, cast.charlie)
    ]
    at = timezone.now()

    for actor in actors:
        for number in (0, 1, 2, 3, 4, 1):
            uses.note(actor, Workflow.SPAN_LOG, client=f"client {number}", space=cast.production, at=at)

    for actor in actors:
        noted = WorkflowUse.objects.filter(key=actor.key_id).order_by("client").values_list("client", "uses")
        assert list(noted) == [("client 0", 1), ("client 1", 2), ("client 2", 1)]
