"""Keys that are good for what the proxies ask, and keys that are not."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.utils import timezone

from accounts.roles import RoleName
from apikeys.lifecycle import NewKey, revoke_key
from tests.factories import custom_role, later, service_key, user_key
from tests.proxies.conftest import House

CHALLENGE = 'Bearer realm="arizekeys"'
INVALID = f'{CHALLENGE}, error="invalid_token"'
INSUFFICIENT = f'{CHALLENGE}, error="insufficient_scope", scope="DATASET_READ"'


def good_key(house: House) -> NewKey:
    """A key that is good for what the proxies ask. Each has its own limit."""
    return service_key(house.cast.alice, house.cast.vision_lab, role=RoleName.READ_ONLY)


def _unknown(house: House) -> str:
    new = good_key(house)
    new.key.delete()
    return new.plaintext


def _revoked(house: House) -> str:
    new = good_key(house)
    revoke_key(house.cast.actor(house.cast.alice), new.key, at=timezone.now())
    return new.plaintext


def _expired(house: House) -> str:
    made, ended = later(days=-2), later(days=-1)
    return service_key(house.cast.alice, house.cast.vision_lab, at=made, expires_at=ended).plaintext


def _of_somebody_without_that_space(house: House) -> str:
    return user_key(house.cast.bob, house.cast.account).plaintext


def _without_that_permission(house: House) -> str:
    name = f"looks {time.monotonic_ns()}"
    role = custom_role(house.cast.account, name, "SPACE_READ")
    return service_key(house.cast.alice, house.cast.vision_lab, role=role).plaintext


def _of_another_account(house: House) -> str:
    return user_key(house.cast.mallory, house.cast.elsewhere.organization.account).plaintext


BAD: dict[str, tuple[Callable[[House], str], int, str]] = {
    "malformed": (lambda _: "ak-nonsense", 401, INVALID),
    "unknown": (_unknown, 401, INVALID),
    "revoked": (_revoked, 401, INVALID),
    "expired": (_expired, 401, INVALID),
    "wrong space": (_of_somebody_without_that_space, 403, INSUFFICIENT),
    "another account": (_of_another_account, 403, INSUFFICIENT),
    "missing permission": (_without_that_permission, 403, INSUFFICIENT),
}
