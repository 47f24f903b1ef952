from __future__ import annotations

import pytest
from django.utils import timezone

from accounts.bindings import predefined
from accounts.enrolment import Enrolment, enrol
from accounts.errors import Escalation, Incompatible
from accounts.models import AuditEvent, SpaceBinding
from accounts.roles import Level, RoleName
from tests.cast import Cast
from tests.factories import bind, custom_role

pytestmark = pytest.mark.django_db


def test_everybody_gets_their_role(cast: Cast) -> None:
    annotator, member = (predefined(Level.SPACE, name) for name in (RoleName.READ_ONLY, RoleName.ADMIN))
    custom = custom_role(cast.account, "labels", "DATASET_READ")
    wanted = [
        Enrolment(cast.bob, cast.production, member),
        Enrolment(cast.bob, cast.staging, custom),
        Enrolment(cast.charlie, cast.staging, annotator),
    ]

    rows = enrol(cast.actor(cast.alice), wanted=wanted, at=timezone.now())

    assert [(row.user, row.content_object, row.role) for row in rows] == [
        (one.user, one.space, one.role) for one in wanted
    ]
    assert SpaceBinding.objects.filter(user=cast.bob, content_object=cast.staging).count() == 2


def test_one_that_is_refused_refuses_all(cast: Cast) -> None:
    before = list(SpaceBinding.objects.order_by("pk").values())
    admin = predefined(Level.SPACE, RoleName.ADMIN)

    with pytest.raises(Incompatible):
        enrol(
            cast.actor(cast.alice),
            wanted=[Enrolment(cast.bob, cast.production, admin), Enrolment(cast.erin, cast.production, admin)],
            at=timezone.now(),
        )

    assert list(SpaceBinding.objects.order_by("pk").values()) == before


def test_refusal_that_matters_is_recorded_once_although_nothing_else_is(cast: Cast) -> None:
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    runs_it = custom_role(cast.account, "binds", "SPACE_READ", "ROLE_BINDING_CREATE")
    bind(cast.erin, cast.production, runs_it)
    harmless = custom_role(cast.account, "reads", "SPACE_READ")
    beyond = custom_role(cast.account, "deletes", "SPACE_DELETE")

    with pytest.raises(Escalation):
        enrol(
            cast.actor(cast.erin),
            wanted=[Enrolment(cast.bob, cast.production, harmless), Enrolment(cast.bob, cast.production, beyond)],
            at=timezone.now(),
        )

    (event,) = AuditEvent.objects.filter(actor_id=cast.erin.pk)
    assert (event.tag, event.outcome) == ("role:grant", "REFUSED")
