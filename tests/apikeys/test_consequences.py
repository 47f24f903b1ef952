"""What deleting a space or an organization does to keys: those with nowhere left to go end, others go on."""

from __future__ import annotations

import pytest
from django.utils import timezone

from accounts import tenancy
from accounts.audit import Tag
from accounts.errors import Forbidden, NotFound
from accounts.models import AuditEvent, Organization, OrganizationBinding, Space, SpaceBinding
from accounts.tenancy import consequences_of_deletion, delete_organization, delete_space
from accounts.trail import tell
from apikeys.errors import InvalidKey
from apikeys.lifecycle import NewKey
from apikeys.models import ApiKey
from apikeys.verification import verify
from tests.cast import Cast
from tests.factories import acting, service_key, user_key

pytestmark = pytest.mark.django_db


def _opens(new: NewKey) -> bool:
    try:
        verify(new.plaintext, at=timezone.now())
    except InvalidKey:
        return False
    return True


def test_deleting_a_space_ends_the_keys_that_were_for_it_alone(cast: Cast) -> None:
    alone = service_key(cast.alice, cast.production, name="alone")
    wide = service_key(cast.alice, cast.production, cast.staging, name="wide")
    bobs = user_key(cast.bob, cast.account)
    told = consequences_of_deletion(cast.production, at=timezone.now())

    delete_space(cast.actor(cast.alice), cast.production, at=timezone.now())

    assert [_opens(key) for key in (alone, wide, bobs)] == [False, True, True]
    assert ([line.split(" (")[0] for line in told.stops], [line.split(" (")[0] for line in told.goes_on]) == (
        ["alone"],
        ["wide"],
    )
    assert ApiKey.objects.get(pk=alone.key.pk).revoked_at is not None
    assert not SpaceBinding.objects.filter(content_object_id=cast.production.pk).exists()


def test_deleting_an_organization_takes_its_spaces_and_keys_and_the_log_names_them(cast: Cast) -> None:
    both = service_key(cast.alice, cast.production, cast.staging, name="both")
    elsewhere = service_key(cast.alice, cast.vision_lab, name="elsewhere")
    organization, number = cast.fraud, cast.fraud.pk

    delete_organization(cast.actor(cast.alice), organization, at=timezone.now())

    assert [_opens(both), _opens(elsewhere)] == [False, True]
    assert not Organization.objects.filter(pk=number).exists()
    assert not Space.objects.filter(organization_id=number).exists()
    event = AuditEvent.objects.get(tag=Tag.ORGANIZATION_DELETED)
    assert (event.target_label, event.target_id) == ("Fraud & Risk", number)
    assert event.details["spaces"] == ["production", "staging"]
    revoked = AuditEvent.objects.get(tag=Tag.KEY_REVOKED)
    assert revoked.details["because"] == "the organization it was for was deleted"


def test_who_may_delete(cast: Cast) -> None:
    for person in (cast.bob, cast.charlie):
        with pytest.raises(Forbidden):
            delete_space(cast.actor(person), cast.production, at=timezone.now())
        with pytest.raises(Forbidden):
            delete_organization(cast.actor(person), cast.fraud, at=timezone.now())
    for person in (cast.erin, cast.mallory):
        actor = cast.actor(person) if person == cast.erin else acting(person, cast.elsewhere.organization.account)
        with pytest.raises(NotFound):
            delete_space(actor, cast.production, at=timezone.now())
        with pytest.raises(NotFound):
            delete_organization(actor, cast.fraud, at=timezone.now())
    assert Space.objects.filter(pk=cast.production.pk).exists()


def test_the_log_names_every_role_that_went_and_every_key_that_lost_one(cast: Cast) -> None:
    alone = service_key(cast.alice, cast.production, name="alone")
    wide = service_key(cast.alice, cast.production, cast.staging, name="wide")
    service_key(cast.alice, cast.staging, name="untouched")
    held = SpaceBinding.objects.filter(content_object=cast.production)
    expected = {(binding.user_id, binding.role.name, "production") for binding in held}
    assert len(expected) > 3

    delete_space(cast.actor(cast.alice), cast.production, at=timezone.now())

    event = AuditEvent.objects.get(tag=Tag.SPACE_DELETED)
    assert {(one["user_id"], one["role"], one["scope"]) for one in event.details["withdrawn"]} == expected
    assert "withdrawn_beyond" not in event.details
    told = [value for name, value in tell(event, ip=None).facts if name == "Role withdrawn"]
    assert len(told) == len(expected)
    assert f"{cast.charlie}: Read-Only Member in “production”" in told
    (lost,) = AuditEvent.objects.filter(tag=Tag.ROLE_WITHDRAWN)
    assert (lost.target_type, lost.target_id) == ("ApiKey", wide.key.pk)
    assert [(one["user_id"], one["scope"]) for one in lost.details["withdrawn"]] == [(wide.key.owner_id, "production")]
    assert AuditEvent.objects.get(tag=Tag.KEY_REVOKED).target_id == alone.key.pk


def test_roles_beyond_a_number_are_counted(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenancy, "_ROLES_NAMED", 3)
    wide = service_key(cast.alice, cast.production, cast.vision_lab, name="wide")
    members = OrganizationBinding.objects.filter(content_object=cast.fraud).count()
    spaces = SpaceBinding.objects.filter(content_object__organization=cast.fraud).count()

    delete_organization(cast.actor(cast.alice), cast.fraud, at=timezone.now())

    event = AuditEvent.objects.get(tag=Tag.ORGANIZATION_DELETED)
    assert len(event.details["withdrawn"]) == 3
    assert event.details["withdrawn_beyond"] == members + spaces - 3
    assert ("Roles withdrawn", f"and {members + spaces - 3} more") in tell(event, ip=None).facts
    (lost,) = AuditEvent.objects.filter(tag=Tag.ROLE_WITHDRAWN)
    assert lost.target_id == wide.key.pk
    assert {one["level"] for one in lost.details["withdrawn"]} == {"ORGANIZATION", "SPACE"}
