"""Why a key may or may not: told exactly as it is decided, and told to nobody whose business it is not."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actors import Actor
from accounts.errors import Incompatible, NotFound
from accounts.models import (
    Account,
    AccountBinding,
    Organization,
    OrganizationBinding,
    Role,
    Space,
    SpaceBinding,
    User,
)
from accounts.permissions import may
from accounts.roles import Level, RoleName
from accounts.vocabulary import Permission
from apikeys.decisions import Question, decide
from apikeys.errors import InvalidKey, KeyNotFound
from apikeys.explanation import Explanation, Outcome, Step, Verdict, explain
from apikeys.lifecycle import NewKey, refresh_key, revoke_key
from apikeys.models import ApiKey, KeySecret
from apikeys.verification import verify
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

HOUSES = 60
# What becomes of a key before it is asked about; half of them are left alone.
FATES = (
    *[""] * 9,
    "revoked",
    "expired",
    "superseded",
    "in grace",
    "deactivated",
    "removed",
    "unbound",
    "locked",
    "no pepper",
)


@dataclass
class House:
    """One key of one owner in one space, drawn by lot."""

    new: NewKey
    space: Space
    fate: str

    @property
    def owner(self) -> User:
        """Whose key it is."""
        return self.new.key.owner


def _operator(account: Account) -> Actor:
    return Actor.from_command(account)


def _build(lot: random.Random, cast: Cast, roles: dict[Level, list[Role]], customs: list[Role]) -> House:
    organization = lot.choice([cast.fraud, cast.research, OrganizationFactory.create(account=cast.account)])
    space = SpaceFactory.create(organization=organization, is_private=lot.random() < 0.4)
    fate = lot.choice(FATES)
    if fate == "unbound" or lot.random() < 0.3:
        new = service_key(cast.alice, space, expires_at=later(days=1) if fate == "expired" else None)
        OrganizationBinding.objects.filter(user=new.key.owner).delete()
        SpaceBinding.objects.filter(user=new.key.owner).delete()
        bind(new.key.owner, cast.staging, RoleName.ANNOTATOR)  # a bot without any space is refused: that is a fate
    else:
        person = PersonFactory.create()
        bind(person, cast.account, lot.choice(roles[Level.ACCOUNT]))
        AccountBinding.objects.filter(user=person).update(is_developer=True)
        new = user_key(person, cast.account, expires_at=later(days=1) if fate == "expired" else None)
    owner = new.key.owner
    if lot.random() < 0.7:
        bind(owner, organization, lot.choice(roles[Level.ORGANIZATION]))
    if lot.random() < 0.5:
        bind(owner, space, lot.choice(roles[Level.SPACE]))
    if lot.random() < 0.4:
        bind(owner, space, lot.choice(customs))
    _befall(new, fate, cast)
    return House(new, space, fate)


def _befall(new: NewKey, fate: str, cast: Cast) -> None:
    operator, key = _operator(cast.account), ApiKey.objects.get(pk=new.key.pk)
    if fate == "revoked":
        revoke_key(operator, key, at=timezone.now())
    elif fate in ("superseded", "in grace"):
        refresh_key(operator, key, grace=timedelta(hours=24 if fate == "in grace" else 0), at=timezone.now())
    elif fate == "deactivated":
        User.objects.filter(pk=key.owner_id).update(is_active=False)
    elif fate == "removed":
        AccountBinding.objects.filter(user=key.owner_id).delete()
    elif fate == "unbound":
        SpaceBinding.objects.filter(user=key.owner_id).delete()
    elif fate == "locked":
        Account.objects.filter(pk=cast.account.pk).update(developer_access_locked=True)
    elif fate == "no pepper":
        KeySecret.objects.filter(key=key).update(pepper_id=99)


def _fast(house: House, question: Question, at: datetime) -> Outcome:
    """Return what ``/verify`` comes to."""
    try:
        decision = decide(house.new.plaintext, question, at=at)
    except InvalidKey:
        return Outcome.REFUSED
    if decision.locked:
        return Outcome.LOCKED
    return Outcome.ALLOWED if decision.allowed else Outcome.FORBIDDEN


def _slow(house: House, permission: Permission, scope: Account | Organization | Space, at: datetime) -> Outcome:
    """Return what REST and GraphQL come to: who it is, and then whether they may."""
    try:
        key = verify(house.new.plaintext, at=at)
    except InvalidKey:
        return Outcome.REFUSED
    if key.is_locked_out:
        return Outcome.LOCKED
    return Outcome.ALLOWED if may(acting(key.user, key.account), permission, scope) else Outcome.FORBIDDEN


def _checked(told: Explanation) -> Outcome:
    """Return the outcome, having looked at whether the facts lead to it."""
    (decisive,) = [fact for fact in told.facts if fact.decided]
    assert (decisive.verdict is Verdict.PERMITS) == told.allowed
    if decisive.verdict is Verdict.REFUSES:
        assert decisive is told.facts[-1]
    order = list(Step)
    assert [fact.step for fact in told.facts] == sorted((fact.step for fact in told.facts), key=order.index)
    return told.outcome


def test_is_what_is_enforced_in_houses_of_every_shape(cast: Cast) -> None:
    """Five questions about each of them."""
    lot = random.Random(7)  # noqa: S311 -- the same houses every time
    customs = [custom_role(cast.account, f"r{n}", *lot.sample(sorted(Permission), 40)) for n in range(4)]
    roles = {level: list(Role.objects.filter(account=None, level=level)) for level in Level}
    decisive = [Permission.DATASET_READ, Permission.DATASET_CREATE, Permission.SPACE_DELETE]
    met: set[Outcome] = set()
    decided: set[Step] = set()
    for number in range(HOUSES):
        house = _build(lot, cast, roles, customs)
        at = later(days=2) if house.fate == "expired" else timezone.now()
        previous, operator = house.fate in ("superseded", "in grace"), _operator(cast.account)
        permissions = (lot.choice(decisive), lot.choice(list(Permission)), None)
        for permission in permissions:
            told = explain(
                operator,
                house.new.key.pk,
                space_id=house.space.pk,
                permission=permission,
                previous=previous,
                at=at,
            )
            case = (number, house.fate, permission, [fact.says for fact in told.facts])
            asked = permission or Permission.SPACE_READ
            assert _checked(told) == _fast(house, Question(house.space.pk, permission), at), case
            assert told.outcome == _slow(house, asked, house.space, at), case
            met.add(told.outcome)
            decided |= {fact.step for fact in told.facts if fact.decided}
        wide = explain(operator, house.new.key.pk, permission=permissions[1], previous=previous, at=at)
        assert _checked(wide) == _fast(house, Question(None, permissions[1]), at)
        who = explain(operator, house.new.key.pk, previous=previous, at=at)
        assert _checked(who) == _fast(house, Question(), at)
        above = house.space.organization
        inside = explain(
            operator,
            house.new.key.pk,
            organization_id=above.pk,
            permission=permissions[1],
            previous=previous,
            at=at,
        )
        assert _checked(inside) == _slow(house, permissions[1] or Permission.ORGANIZATION_READ, above, at)
        if house.fate == "locked":
            Account.objects.filter(pk=cast.account.pk).update(developer_access_locked=False)
    assert met == set(Outcome)
    assert decided >= set(Step) - {Step.PLACE, Step.ACCOUNT_ROLE}


def _says(told: Explanation) -> str:
    return " ".join([told.says, *(fact.says for fact in told.facts)])


def test_what_is_told_of_a_service_key(cast: Cast) -> None:
    new = service_key(cast.alice, cast.production, role=RoleName.READ_ONLY)

    told = explain(
        cast.actor(cast.alice),
        new.key.pk,
        space_id=cast.production.pk,
        permission=Permission.DATASET_CREATE,
        at=timezone.now(),
    )

    assert (told.outcome, told.status) == (Outcome.FORBIDDEN, 403)
    assert told.says == "The key may not DATASET_CREATE in production."
    assert [fact.says for fact in told.facts] == [
        "The server can check its secret.",
        "Nobody has revoked it.",
        "It never expires.",
        "Its present secret is asked about.",
        "Its bot user is active.",
        "Its bot user is a member of the account Acme AI.",
        "Its bot user has a role in a space.",
        "The account's developer access lock is off.",
        "production is a public space: a role in the organization Fraud & Risk can count in it.",
        "Member in the account Acme AI, which does not permit DATASET_CREATE.",
        "Read-Only Member in the organization Fraud & Risk, which does not count: a predefined role in the space takes "
        "its place.",
        "Read-Only Member in production, which does not permit DATASET_CREATE.",
        "No role that counts here permits DATASET_CREATE.",
    ]
    assert new.plaintext not in _says(told)


def test_ends_with_what_refuses(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account)
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)

    told = explain(cast.actor(cast.alice), new.key.pk, space_id=cast.production.pk, at=timezone.now())

    assert (told.outcome, told.status) == (Outcome.REFUSED, 401)
    assert (told.facts[-1].says, told.facts[-1].decided) == ("Bob Baker is deactivated.", True)


def test_the_secret_before_a_refresh(cast: Cast) -> None:
    new, alice = user_key(cast.bob, cast.account), cast.actor(cast.alice)
    with pytest.raises(NotFound):
        explain(alice, new.key.pk, previous=True, at=timezone.now())
    refresh_key(alice, ApiKey.objects.get(pk=new.key.pk), at=timezone.now())

    before, now = (explain(alice, new.key.pk, previous=previous, at=timezone.now()) for previous in (True, False))

    assert (before.outcome, now.outcome) == (Outcome.REFUSED, Outcome.ALLOWED)
    assert before.facts[-1].step is Step.SECRET


def test_one_place_at_a_time(cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key

    with pytest.raises(Incompatible):
        explain(
            cast.actor(cast.bob),
            key.pk,
            space_id=cast.production.pk,
            organization_id=cast.fraud.pk,
            at=timezone.now(),
        )


def test_costs_the_same_in_a_large_account(cast: Cast) -> None:
    key = service_key(cast.alice, cast.production).key

    def ask() -> int:
        with CaptureQueriesContext(connection) as queries:
            explain(cast.actor(cast.alice), key.pk, space_id=cast.production.pk, at=timezone.now())
        return len(queries)

    before = ask()
    for _ in range(3):
        bind(key.owner, SpaceFactory.create(organization=cast.fraud), RoleName.MEMBER)

    assert ask() == before


def test_a_key_is_its_owners_business_and_an_account_admins(cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key

    for person in (cast.bob, cast.alice):
        assert explain(cast.actor(person), key.pk, space_id=cast.production.pk, at=timezone.now()).allowed
    for person in (cast.charlie, cast.dana, cast.erin, cast.mallory):
        with pytest.raises(KeyNotFound):
            explain(cast.actor(person), key.pk, at=timezone.now())
    assert ApiKey.objects.filter(pk=key.pk).exists()


def test_nothing_is_told_of_a_space_one_does_not_see(cast: Cast) -> None:
    mine = user_key(cast.bob, cast.account).key

    for space in (cast.vision_lab, cast.elsewhere):
        with pytest.raises(NotFound):
            explain(cast.actor(cast.bob), mine.pk, space_id=space.pk, at=timezone.now())


def test_a_creator_who_lost_sight_of_the_space(cast: Cast) -> None:
    key = service_key(cast.erin, cast.vision_lab).key
    erin = cast.actor(cast.erin)
    assert explain(erin, key.pk, space_id=cast.vision_lab.pk, at=timezone.now()).allowed
    assert explain(erin, key.pk, organization_id=cast.research.pk, at=timezone.now()).allowed

    SpaceBinding.objects.filter(user=cast.erin).delete()

    with pytest.raises(NotFound):
        explain(erin, key.pk, space_id=cast.vision_lab.pk, at=timezone.now())


def test_whoever_reads_the_keys_of_a_space_hears_of_that_space_alone(cast: Cast) -> None:
    key = service_key(cast.alice, cast.production, cast.vision_lab).key
    bob = cast.actor(cast.bob)

    assert explain(bob, key.pk, space_id=cast.production.pk, at=timezone.now()).allowed
    assert explain(bob, key.pk, at=timezone.now()).allowed
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.staging).delete()
    bind(cast.bob, cast.staging, RoleName.READ_ONLY)
    for space in (cast.vision_lab, cast.staging):  # he does not see the one, and of the other not its keys
        with pytest.raises(NotFound):
            explain(bob, key.pk, space_id=space.pk, at=timezone.now())
    with pytest.raises(NotFound):
        explain(bob, key.pk, organization_id=cast.fraud.pk, at=timezone.now())


def test_roles_that_one_may_not_see_are_not_named(cast: Cast) -> None:
    secret = custom_role(cast.account, "secret-role", "DATASET_READ")
    reader = custom_role(cast.account, "reader", "SPACE_READ", "SERVICE_KEY_READ")
    key = service_key(cast.alice, cast.production, role=secret, organization_role=RoleName.MEMBER).key
    guest = PersonFactory.create(name="Gwen Guest")
    bind(guest, cast.account, RoleName.ANNOTATOR)
    bind(guest, cast.production, reader)

    told, known = (
        explain(actor, key.pk, space_id=cast.production.pk, permission=Permission.DATASET_READ, at=timezone.now())
        for actor in (cast.actor(guest), cast.actor(cast.alice))
    )

    assert told.outcome == known.outcome == Outcome.ALLOWED
    assert "secret-role in production" in _says(known)
    assert "secret-role" not in _says(told)
    assert {fact.step for fact in told.facts if fact.role} == {Step.ACCOUNT_ROLE}
    assert "A role that you may not see in its organization" in _says(told)
    assert cast.fraud.name in _says(known)
    assert cast.fraud.name not in _says(told)


def test_a_bot_may_ask_about_its_own_key(cast: Cast) -> None:
    new = service_key(cast.alice, cast.production, role=custom_role(cast.account, "loader", "SPACE_READ"))
    bot = acting(new.key.owner, cast.account)

    assert "loader in production" in _says(explain(bot, new.key.pk, space_id=cast.production.pk, at=timezone.now()))
    with pytest.raises(KeyNotFound):
        explain(bot, user_key(cast.alice, cast.account).key.pk, at=timezone.now())
