"""The fast door and the slow ones: every caller with a key, every permission there is, every kind of scope.

The fast door decides each question. What the slow doors go by is asked in its shape for many scopes, in the very SQL of
``permitted``, once for all permissions. And about each permission in each scope, of the callers in turn, all of them
are asked as they are every day: ``/verify`` as a proxy asks it, ``may`` for REST and GraphQL, ``has_perm`` for Django.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import RequestFactory
from django.utils import timezone
from pytest_django import Settings

from accounts.actors import Door
from accounts.backends import LineageBackend
from accounts.models import Account, Space, User
from accounts.permissions import may, permitted
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from apikeys.decisions import Question, decide
from apikeys.epochs import Epochs
from apikeys.forward_auth import ForwardAuth
from apikeys.limits import Limiter
from apikeys.usage import Uses
from tests.cast import Cast
from tests.factories import SpaceFactory, acting
from tests.matrix.scene import CALLERS, NOBODY, OPERATOR, caller_in

pytestmark = pytest.mark.django_db

Scope = Account | Space
Permitted = set[tuple[Permission, Scope]]
KEYLESS = (OPERATOR, NOBODY)
# Stands for the permission in a query that is asked about all of them.
_ANY = Permission.ALYX_RUN


@pytest.fixture
def door(tmp_path: Path, settings: Settings) -> Iterator[ForwardAuth]:
    """The fast door of a host without a lease: it asks the database every time."""
    settings.VERIFY_GUESSES = 0
    epochs, limiter = Epochs(tmp_path / "epochs"), Limiter(tmp_path / "limits")
    yield ForwardAuth(epochs, limiter, Uses())
    limiter.close()
    epochs.close()


def test_fast_and_slow_doors_agree_on_everything(cast: Cast, door: ForwardAuth) -> None:
    asking = RequestFactory().get("/verify").environ
    told: set[tuple[bool, type[Scope]]] = set()
    # In the organization that the callers have roles in: what they are there does not count in it.
    vault = SpaceFactory.create(organization=cast.fraud, name="vault", is_private=True)
    callers = [who for who in CALLERS if who not in KEYLESS]
    for turn, who in enumerate(callers):
        user, home, key = caller_in(who, cast)
        assert user is not None
        assert key is not None
        # All of the matrix's callers are called the same; here they meet.
        User.objects.filter(pk=user.pk, email="caller@example.com").update(email=f"caller{turn}@example.com")
        scopes = (home, cast.production, vault, cast.elsewhere)
        slow = _permitted(user, home, scopes)

        fast = {
            (permission, scope)
            for scope in scopes
            for permission in Permission
            if decide(key.plaintext, _question(permission, scope), at=timezone.now()).allowed
        }

        assert fast == slow, who
        actor, backend = acting(user, home, Door.REST), LineageBackend()
        for number, permission in enumerate(Permission):
            if number % len(callers) != turn:
                continue
            for scope in scopes:
                expected = (permission, scope) in slow
                assert (_status(door, asking, key.plaintext, permission, scope) == 204) == expected
                assert may(actor, permission, scope) == expected, (who, permission, scope)
                assert backend.has_perm(user, f"accounts.{permission.lower()}", scope) == expected
        told |= {((permission, scope) in slow, type(scope)) for permission in Permission for scope in scopes}
    assert told == {(allowed, kind) for allowed in (True, False) for kind in (Account, Space)}


def test_without_a_key_there_is_nothing_to_agree_on(cast: Cast, door: ForwardAuth) -> None:
    environ = RequestFactory().get("/verify").environ

    assert {caller_in(who, cast)[2] for who in KEYLESS} == {None}
    assert _status(door, environ, "", Permission.SPACE_READ, cast.production) == 401


def _permitted(user: User, home: Account, scopes: tuple[Scope, ...]) -> Permitted:
    """Return what the user may where, as the slow doors have it; one query for each kind of scope."""
    found: Permitted = set()
    # A key opens the account it was made in, and no other.
    for rows in (
        permitted(user, _ANY, Account).filter(pk=home.pk),
        permitted(user, _ANY, Space).filter(organization__account=home),
    ):
        kin: dict[int, Scope] = {scope.pk: scope for scope in scopes if isinstance(scope, rows.model)}
        sql, parameters = rows.filter(pk__in=kin).values("pk").query.sql_with_params()
        parts = sql.split("%s")
        pieces = [parts[0]]
        for value, part in zip(parameters, parts[1:], strict=True):
            pieces.append(("asked.name" if value == _ANY else "%s") + part)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT asked.name, scope.* FROM unnest(%s::text[]) asked (name), LATERAL ({''.join(pieces)}) scope",  # noqa: S608 -- Django's own SQL
                [[str(permission) for permission in Permission], *(value for value in parameters if value != _ANY)],
            )
            found |= {(Permission(name), kin[number]) for name, number in cursor.fetchall()}
    return found


def _question(permission: Permission, scope: Scope) -> Question:
    return Question(scope.pk if isinstance(scope, Space) else None, permission)


def _status(door: ForwardAuth, asking: dict[str, Any], key: str, permission: Permission, scope: Scope) -> int:
    space = f"space={encode_id('Space', scope.pk)}&" if isinstance(scope, Space) else ""
    environ = {**asking, "QUERY_STRING": f"{space}permission={permission}"}
    if key:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    said: list[str] = []
    door(environ, lambda status, headers: said.append(status))
    return int(said[0].split()[0])
