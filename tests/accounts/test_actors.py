from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import RequestFactory

from accounts.actors import SESSION_ACCOUNT, Actor, Door
from accounts.errors import NotFound
from accounts.models import User
from accounts.roles import RoleName
from tests.cast import Cast
from tests.factories import PersonFactory, bind

pytestmark = pytest.mark.django_db


def _request(user: User, chosen: int | None = None) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    request.session = SessionStore()
    if chosen is not None:
        request.session[SESSION_ACCOUNT] = chosen
    return request


def test_browser_acts_in_the_oldest_account_until_another_is_chosen(cast: Cast) -> None:
    other = cast.elsewhere.organization.account
    bind(cast.bob, other, RoleName.MEMBER)

    assert Actor.from_request(_request(cast.bob)).account == cast.account
    assert Actor.from_request(_request(cast.bob, other.pk)).account == other


def test_choice_of_a_foreign_account_counts_for_nothing(cast: Cast) -> None:
    assert Actor.from_request(_request(cast.bob, cast.elsewhere.organization.account_id)).account == cast.account


def test_person_in_no_account_is_told_so() -> None:
    actor = Actor.from_request(_request(PersonFactory.create()))

    assert actor.account is None
    with pytest.raises(NotFound, match="not a member of any account"):
        actor.require_account()


def test_nobody_has_no_actor() -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()

    with pytest.raises(TypeError):
        Actor.from_request(request)


def test_superuser_is_an_operator_in_django_admin_only(cast: Cast) -> None:
    operator = PersonFactory.create(is_staff=True, is_superuser=True)

    assert Actor.from_admin(_request(operator), cast.account).is_operator
    assert not Actor.from_request(_request(operator)).is_operator
    assert not Actor.from_admin(_request(cast.alice), cast.account).is_operator


def test_command_on_a_persons_behalf_is_no_operator(cast: Cast) -> None:
    actor = Actor.from_command(cast.account, on_behalf_of=cast.bob)

    assert (actor.is_operator, actor.door, actor.label) == (False, Door.COMMAND, "Bob Baker <bob@example.com>")
    assert Actor.from_command(cast.account).label == "operator (command line)"
