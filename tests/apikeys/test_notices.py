from __future__ import annotations

import pytest
from django.core import mail as outbox
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from accounts import mail
from accounts.actors import Actor, Door
from accounts.models import User
from accounts.people import remove_person
from apikeys.lifecycle import flag_exposed, refresh_key, revoke_key
from tests.cast import Cast
from tests.factories import service_key, user_key

pytestmark = pytest.mark.django_db
NOBODY = Actor(user=None, account=None, door=Door.REST, ip="198.51.100.7")


def _sent() -> list[tuple[str, list[str]]]:
    mail._postman.submit(lambda: None).result()  # one postman: whatever was posted before is delivered now
    return [(str(message.subject), list(message.to)) for message in outbox.outbox]


def test_new_user_key_is_told_to_its_person(
    cast: Cast, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:  # security 47
    with django_capture_on_commit_callbacks(execute=True):
        made = user_key(cast.bob, cast.account, "laptop \u202eevil")

    assert _sent() == [("A user key was created for you: laptop evil", ["bob@example.com"])]
    body = str(outbox.outbox[0].body)
    assert made.key.redacted_key in body
    assert made.plaintext not in body


def test_what_others_do_with_ones_key_is_told_and_what_one_does_oneself_is_not(
    cast: Cast, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:  # security 47
    own, made = user_key(cast.bob, cast.account, "laptop"), service_key(cast.bob, cast.production, name="nightly")

    for who in (cast.bob, cast.alice):
        with django_capture_on_commit_callbacks(execute=True):
            refresh_key(cast.actor(who), own.key, at=timezone.now())
            refresh_key(cast.actor(who), made.key, at=timezone.now())
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            revoke_key(cast.actor(cast.alice), made.key, at=timezone.now())

    assert _sent() == [
        ("Somebody refreshed a key of yours: laptop", ["bob@example.com"]),
        ("Somebody refreshed a key of yours: nightly", ["bob@example.com"]),
        ("Somebody revoked a key of yours: nightly", ["bob@example.com"]),
    ]


def test_exposed_key_is_told_once(
    cast: Cast, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:  # security 27 and 47
    own = user_key(cast.bob, cast.account, "laptop")

    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            flag_exposed(NOBODY, own.plaintext, where="query string", at=timezone.now())

    assert _sent() == [("A key of yours was seen in an unsafe place: laptop", ["bob@example.com"])]
    assert "198.51.100.7" in str(outbox.outbox[0].body)


@pytest.mark.parametrize("state", [{"is_active": False}, {"joined_at": None}])
def test_nobody_is_told_who_could_not_sign_in(
    cast: Cast, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks, state: dict[str, object]
) -> None:
    made = service_key(cast.bob, cast.production)
    User.objects.filter(pk=cast.bob.pk).update(**state)

    with django_capture_on_commit_callbacks(execute=True):
        revoke_key(cast.actor(cast.alice), made.key, at=timezone.now())

    assert _sent() == []


def test_removal_tells_of_keys_in_its_own_mail(
    cast: Cast, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    user_key(cast.bob, cast.account)

    with django_capture_on_commit_callbacks(execute=True):
        remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())

    assert _sent() == []  # the removal's own mail, which the page sends, names the keys
