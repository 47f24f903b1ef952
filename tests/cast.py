"""The people that tests speak of: always the same, in the same places.

Acme AI has the organization "Fraud & Risk" with the public spaces production and staging, and "Research" with the
private space vision-lab. Alice runs the account. Bob is a member of Fraud & Risk and its spaces, Charlie reads there,
Dana annotates in production. Erin is in vision-lab, and Mallory in another account altogether.
"""

from __future__ import annotations

from dataclasses import dataclass

from accounts.actors import Actor, Door
from accounts.models import Account, Organization, Space, User
from accounts.roles import RoleName
from tests.factories import AccountFactory, OrganizationFactory, PersonFactory, SpaceFactory, acting, bind


@dataclass(frozen=True)
class Cast:
    """Everybody, and where they are."""

    account: Account
    fraud: Organization
    research: Organization
    production: Space
    staging: Space
    vision_lab: Space
    alice: User
    bob: User
    charlie: User
    dana: User
    erin: User
    elsewhere: Space
    mallory: User

    def actor(self, user: User, door: Door = Door.BROWSER) -> Actor:
        """Return one of them, acting in Acme AI."""
        return acting(user, self.account, door)


def assemble() -> Cast:
    """Put everybody in place."""
    account = AccountFactory.create(name="Acme AI")
    fraud = OrganizationFactory.create(account=account, name="Fraud & Risk")
    research = OrganizationFactory.create(account=account, name="Research")
    production = SpaceFactory.create(organization=fraud, name="production")
    staging = SpaceFactory.create(organization=fraud, name="staging")
    vision_lab = SpaceFactory.create(organization=research, name="vision-lab", is_private=True)
    elsewhere = SpaceFactory.create(name="production")

    alice = _person("Alice Archer")
    bob = _person("Bob Baker")
    charlie = _person("Charlie Chen")
    dana = _person("Dana Diaz")
    erin = _person("Erin Evans")
    mallory = _person("Mallory Moss")

    bind(alice, account, RoleName.ADMIN)
    for person, account_role, role in (
        (bob, RoleName.MEMBER, RoleName.MEMBER),
        (charlie, RoleName.MEMBER, RoleName.READ_ONLY),
        (dana, RoleName.ANNOTATOR, RoleName.ANNOTATOR),
    ):
        bind(person, account, account_role)
        bind(person, fraud, role)
        bind(person, production, role)
    bind(bob, staging, RoleName.MEMBER)
    bind(charlie, staging, RoleName.READ_ONLY)
    bind(erin, account, RoleName.MEMBER)
    bind(erin, research, RoleName.READ_ONLY)
    bind(erin, vision_lab, RoleName.MEMBER)
    bind(mallory, elsewhere.organization.account, RoleName.ADMIN)

    return Cast(
        account=account,
        fraud=fraud,
        research=research,
        production=production,
        staging=staging,
        vision_lab=vision_lab,
        alice=alice,
        bob=bob,
        charlie=charlie,
        dana=dana,
        erin=erin,
        elsewhere=elsewhere,
        mallory=mallory,
    )


def _person(name: str) -> User:
    return PersonFactory.create(name=name, email=f"{name.split()[0].lower()}@example.com")
