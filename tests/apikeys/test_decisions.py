"""The one-query answer against the house's own rule, for every member of the cast, every permission and every space."""

from __future__ import annotations

import itertools
import random

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AccountBinding, Organization, Role, Space, User
from accounts.permissions import may
from accounts.roles import Level, RoleName
from accounts.vocabulary import Permission
from apikeys.decisions import Question, decide
from apikeys.errors import InvalidKey
from apikeys.lifecycle import NewKey, revoke_key
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.factories import (
    OrganizationFactory,
    PersonFactory,
    SpaceFactory,
    acting,
    bind,
    custom_role,
    later,
    service_key,
    user_key,
)

pytestmark = pytest.mark.django_db
CASES = 120


def _key(user: User, cast: Cast) -> NewKey:
    AccountBinding.objects.filter(user=user).update(is_developer=True)
    return user_key(user, cast.account)


def _asks(space: Space | None) -> list[Question]:
    number = space.pk if space else None
    return [Question(space=number, permission=permission) for permission in Permission]


@pytest.mark.parametrize("who", ["alice", "bob", "charlie", "dana", "erin"])
def test_agrees_with_the_rule_for_every_permission(cast: Cast, who: str) -> None:
    person = getattr(cast, who)
    key, actor = _key(person, cast).plaintext, cast.actor(person)

    for space in (cast.production, cast.vision_lab, cast.elsewhere):
        for question in _asks(space):
            assert question.permission is not None
            allowed = decide(key, question, at=timezone.now()).allowed
            assert allowed == may(actor, question.permission, space), (question, space)
    for question in _asks(None):
        assert question.permission is not None
        assert decide(key, question, at=timezone.now()).allowed == may(actor, question.permission, cast.account)


def test_agrees_with_the_rule_for_houses_of_every_shape(cast: Cast) -> None:
    """Roles at each level drawn by lot, custom ones among them, in public and private spaces."""
    lot = random.Random(5)  # noqa: S311 -- the same houses every time
    customs = [custom_role(cast.account, f"r{n}", *lot.sample(sorted(Permission), 40)) for n in range(4)]
    levels = {level: list(Role.objects.filter(account=None, level=level)) for level in Level}
    decisive = [Permission.SPACE_READ, Permission.DATASET_CREATE, Permission.SPACE_DELETE, Permission.SERVICE_KEY_READ]
    outcomes = set()
    for number in range(CASES):
        person = PersonFactory.create()
        organization = lot.choice([cast.fraud, cast.research, OrganizationFactory.create(account=cast.account)])
        space = SpaceFactory.create(organization=organization, is_private=lot.random() < 0.4)
        bind(person, cast.account, lot.choice(levels[Level.ACCOUNT]))
        key = _key(person, cast).plaintext
        if lot.random() < 0.7:
            bind(person, organization, lot.choice(levels[Level.ORGANIZATION]))
        if lot.random() < 0.5:
            bind(person, space, lot.choice(levels[Level.SPACE]))
        if lot.random() < 0.4:
            bind(person, space, lot.choice(customs))
        for permission in (*decisive, lot.choice(list(Permission))):
            expected = may(acting(person, cast.account), permission, space)
            answer = decide(key, Question(space=space.pk, permission=permission), at=timezone.now())
            assert answer.allowed == expected, (number, permission)
            outcomes.add((permission, expected))
    assert set(itertools.product(decisive, (True, False))) <= outcomes


def test_one_query_whatever_is_asked_and_none_for_rubbish(cast: Cast) -> None:
    key = service_key(cast.alice, cast.production).plaintext

    for question in (Question(), Question(cast.production.pk), Question(cast.production.pk, Permission.DATASET_READ)):
        with CaptureQueriesContext(connection) as queries:
            assert decide(key, question, at=timezone.now()).allowed
        assert len(queries) == 0  # it goes past Django's count, so the server is asked
    for rubbish in ("", "ak-", key[:-1], key + "x", f" {key}"):
        with pytest.raises(InvalidKey):
            decide(rubbish, Question(), at=timezone.now())


def test_the_question_is_prepared_once(cast: Cast) -> None:
    key = service_key(cast.alice, cast.production).plaintext

    for _ in range(3):
        decide(key, Question(cast.production.pk), at=timezone.now())

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %s", ["%apikeys_keysecret%"])
        assert cursor.fetchone() == (1,)


def test_what_an_answer_says(cast: Cast) -> None:
    new = service_key(cast.alice, cast.production, role=RoleName.READ_ONLY, expires_at=later(days=3))

    answer = decide(new.plaintext, Question(cast.production.pk, Permission.DATASET_CREATE), at=timezone.now())

    assert not answer.allowed
    assert (answer.key_id, answer.kind, answer.user_id, answer.user_kind) == (
        new.key.pk,
        "SERVICE",
        new.key.owner_id,
        "BOT",
    )
    assert (answer.account_id, answer.space_id, answer.role) == (cast.account.pk, cast.production.pk, "READ_ONLY")
    assert answer.ends_at == new.key.expires_at


@pytest.mark.parametrize(
    ("who", "role"),
    [("alice", "ADMIN"), ("bob", "MEMBER"), ("charlie", "READ_ONLY"), ("dana", "ANNOTATOR"), ("erin", "MEMBER")],
)
def test_the_role_told_is_the_one_that_says_most(cast: Cast, who: str, role: str) -> None:
    key = _key(getattr(cast, who), cast).plaintext
    space = cast.vision_lab if who == "erin" else cast.staging

    assert decide(key, Question(space.pk), at=timezone.now()).role == role


def test_a_dead_key_is_refused_for_its_reason(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account)
    revoke_key(cast.actor(cast.bob), ApiKey.objects.get(pk=new.key.pk), at=timezone.now())

    with pytest.raises(InvalidKey) as refused:
        decide(new.plaintext, Question(), at=timezone.now())
    assert refused.value.reason == "revoked"


def test_spaces_of_other_accounts_do_not_exist(cast: Cast) -> None:
    key = user_key(cast.alice, cast.account).plaintext
    assert Organization.objects.filter(pk=cast.elsewhere.organization_id).exists()

    for number in (cast.elsewhere.pk, 2**62):
        answer = decide(key, Question(number, Permission.SPACE_READ), at=timezone.now())
        assert (answer.allowed, answer.space_id) == (False, None)
