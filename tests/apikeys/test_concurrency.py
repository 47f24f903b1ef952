"""What two callers do to each other, on two real connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.actors import Actor
from accounts.bindings import bind_role, predefined, set_developer_access
from accounts.custom_roles import delete_role
from accounts.errors import Conflict, DomainError, Escalation, Forbidden, NotAllowed, NotFound
from accounts.models import AccountBinding, Space, SpaceBinding
from accounts.people import deactivate_person, invite_person, remove_person
from accounts.roles import Level, RoleName
from accounts.tenancy import change_account, change_space, delete_organization, delete_space
from apikeys.errors import DeveloperAccessOff, TooManyKeys
from apikeys.lifecycle import refresh_key
from apikeys.models import ApiKey, KeySecret
from tests.asides import Aside, wait_until_somebody_waits_for_a_lock
from tests.cast import Cast, assemble
from tests.factories import bind, custom_role, service_key, user_key

pytestmark = pytest.mark.django_db(transaction=True)


def _make_admin_key(cast: Cast) -> Callable[[], Any]:
    return lambda: service_key(cast.bob, cast.production, role=RoleName.ADMIN)


def _give_bob_admin(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).update(
        permission=predefined(Level.SPACE, RoleName.ADMIN).permission
    )


def test_demotion_that_comes_first_is_seen_by_the_creation_behind_it() -> None:  # security 16
    cast = assemble()
    _give_bob_admin(cast)

    with transaction.atomic():
        bind_role(
            cast.actor(cast.alice),
            user=cast.bob,
            role=predefined(Level.SPACE, RoleName.MEMBER),
            scope=cast.production,
            at=timezone.now(),
        )
        creation = Aside(_make_admin_key(cast))
        creation.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(creation.finish(), Escalation)
    assert not ApiKey.objects.exists()


def test_raw_demotion_of_the_row_is_seen_too() -> None:  # security 16: whoever changes the row, verb or not
    cast = assemble()
    _give_bob_admin(cast)

    with transaction.atomic():
        _binding = SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production)
        _binding.update(permission=predefined(Level.SPACE, RoleName.MEMBER).permission)
        creation = Aside(_make_admin_key(cast))
        creation.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(creation.finish(), Escalation)


def test_demotion_that_comes_second_waits_for_the_key() -> None:  # security 16
    cast = assemble()
    _give_bob_admin(cast)

    with transaction.atomic():
        service_key(cast.bob, cast.production, role=RoleName.ADMIN)
        demotion = Aside(
            lambda: SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).update(
                permission=predefined(Level.SPACE, RoleName.MEMBER).permission
            )
        )
        demotion.start()
        wait_until_somebody_waits_for_a_lock()
        assert ApiKey.objects.count() == 1

    assert demotion.finish() == 1


def test_removal_that_comes_first_leaves_no_key_behind() -> None:
    cast = assemble()

    with transaction.atomic():
        remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())
        creation = Aside(lambda: user_key(cast.bob, cast.account))
        creation.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(creation.finish(), DeveloperAccessOff)
    assert not ApiKey.objects.exists()


def test_deactivation_that_comes_first_leaves_no_service_key_behind() -> None:
    cast = assemble()

    with transaction.atomic():
        deactivate_person(Actor.from_command(None), user=cast.bob, at=timezone.now())
        creation = Aside(lambda: service_key(cast.bob, cast.production))
        creation.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(creation.finish(), DeveloperAccessOff)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("deed", ["invite", "remove", "policy", "grant", "developer"])
def test_admin_who_is_being_removed_does_nothing_any_more(deed: str) -> None:
    cast = assemble()
    AccountBinding.objects.filter(user=cast.bob).update(permission=predefined(Level.ACCOUNT, RoleName.ADMIN).permission)
    actor, now = cast.actor(cast.bob), timezone.now()
    member = predefined(Level.ACCOUNT, RoleName.MEMBER)
    deeds: dict[str, Callable[[], Any]] = {
        "invite": lambda: invite_person(actor, email="n@example.com", name="N", role=member, at=now),
        "remove": lambda: remove_person(actor, user=cast.charlie, at=now),
        "policy": lambda: change_account(actor, developer_access_locked=True, max_key_lifetime_days=None, at=now),
        "grant": lambda: bind_role(actor, user=cast.charlie, role=member, scope=cast.account, at=now),
        "developer": lambda: set_developer_access(actor, user=cast.charlie, allowed=False, at=now),
    }

    with transaction.atomic():
        remove_person(cast.actor(cast.alice), user=cast.bob, at=now)
        aside = Aside(deeds[deed])
        aside.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(aside.finish(), Forbidden | NotFound)


def test_removal_that_comes_second_revokes_the_new_key_as_well() -> None:
    cast = assemble()

    with transaction.atomic():
        user_key(cast.bob, cast.account)
        removal = Aside(lambda: remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now()))
        removal.start()
        wait_until_somebody_waits_for_a_lock()

    removal.finish()
    assert ApiKey.objects.get().revoked_at is not None


def test_space_turned_private_takes_the_fallback_before_the_key() -> None:
    cast = assemble()
    SpaceBinding.objects.filter(user=cast.bob).delete()  # Bob is in production through the organization alone

    with transaction.atomic():
        change_space(cast.actor(cast.alice), cast.production, is_private=True, at=timezone.now())
        creation = Aside(lambda: service_key(cast.bob, cast.production))
        creation.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(creation.finish(), NotFound)


def test_space_deleted_first_gets_no_key_and_deleted_second_takes_it_along() -> None:
    cast = assemble()
    as_it_was = Space.objects.select_related("organization__account").get(pk=cast.production.pk)

    with transaction.atomic():
        delete_space(cast.actor(cast.alice), cast.production, at=timezone.now())
        creation = Aside(lambda: service_key(cast.bob, as_it_was))
        creation.start()
        wait_until_somebody_waits_for_a_lock()
    with transaction.atomic():
        second = service_key(cast.bob, cast.staging).key
        deletion = Aside(lambda: delete_organization(cast.actor(cast.alice), cast.fraud, at=timezone.now()))
        deletion.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(creation.finish(), NotFound)
    assert deletion.finish() is None
    assert ApiKey.objects.get(pk=second.pk).revoked_at is not None


def test_role_is_either_deleted_or_held() -> None:
    cast = assemble()
    alice, role = cast.actor(cast.alice), custom_role(cast.account, "exporter", "DATASET_READ")
    other = custom_role(cast.account, "other", "DATASET_READ")

    with transaction.atomic():
        delete_role(alice, role, at=timezone.now())
        late = Aside(lambda: bind_role(alice, user=cast.bob, role=role, scope=cast.production, at=timezone.now()))
        late.start()
        wait_until_somebody_waits_for_a_lock()
    with transaction.atomic():
        bind_role(alice, user=cast.bob, role=other, scope=cast.production, at=timezone.now())
        deletion = Aside(lambda: delete_role(alice, other, at=timezone.now()))
        deletion.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(late.finish(), NotFound)
    assert isinstance(deletion.finish(), Conflict)


def test_two_admins_cannot_demote_each_other_out_of_the_account() -> None:
    cast = assemble()
    AccountBinding.objects.filter(user=cast.bob).update(permission=predefined(Level.ACCOUNT, RoleName.ADMIN).permission)

    def demote(by: Any, whom: Any) -> Callable[[], Any]:
        return lambda: bind_role(
            cast.actor(by),
            user=whom,
            role=predefined(Level.ACCOUNT, RoleName.MEMBER),
            scope=cast.account,
            at=timezone.now(),
        )

    with transaction.atomic():
        demote(cast.alice, cast.bob)()
        other = Aside(demote(cast.bob, cast.alice))
        other.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(other.finish(), DomainError)
    admins = AccountBinding.objects.filter(permission__role__name=RoleName.ADMIN, content_object=cast.account)
    assert [row.user for row in admins] == [cast.alice]


def test_two_refreshes_leave_one_current_secret() -> None:
    cast = assemble()
    key = user_key(cast.bob, cast.account).key

    with transaction.atomic():
        refresh_key(cast.actor(cast.bob), key, at=timezone.now())
        other = Aside(lambda: refresh_key(cast.actor(cast.bob), key, at=timezone.now()))
        other.start()
        wait_until_somebody_waits_for_a_lock()

    other.finish()
    assert KeySecret.objects.filter(key=key).count() == 3
    assert KeySecret.objects.filter(key=key, superseded_at__isnull=True).count() == 1


def test_cap_holds_when_two_make_the_last_key() -> None:
    cast = assemble()
    cast.account.max_live_keys = 1
    cast.account.save()

    with transaction.atomic():
        user_key(cast.bob, cast.account)
        other = Aside(lambda: user_key(cast.charlie, cast.account))
        other.start()
        wait_until_somebody_waits_for_a_lock()

    assert isinstance(other.finish(), TooManyKeys)
    assert isinstance(other.outcome, NotAllowed)


def test_many_at_once_all_get_their_own_key() -> None:
    cast = assemble()
    bind(cast.mallory, cast.account, RoleName.MEMBER)
    people = [cast.alice, cast.bob, cast.charlie, cast.erin, cast.mallory] * 2

    def make(person: Any) -> Callable[[], Any]:
        return lambda: user_key(person, cast.account)

    threads = [Aside(make(person)) for person in people]

    for thread in threads:
        thread.start()

    assert len({thread.finish().plaintext for thread in threads}) == len(people)
