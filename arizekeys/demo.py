"""The small made-up company that a first quickstart creates, so that there is something to try keys on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.bindings import bind_role, predefined
from accounts.custom_roles import create_role
from accounts.models import Account, Organization, Space, User
from accounts.people import accept_invitation, invite_person
from accounts.roles import Level, RoleName
from accounts.tenancy import create_account, create_organization, create_space
from accounts.vocabulary import Permission

# Nothing in it is mistaken for something else when read aloud or copied by hand: 31 characters, 16 of them are 79 bits.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"

FRAUD, RESEARCH = "Fraud & Risk", "Research"
_SPACES = ((FRAUD, "production", False), (FRAUD, "staging", False), (RESEARCH, "vision-lab", True))


@dataclass(frozen=True)
class Person:
    """Somebody in the demo account, and what they hold where. Scopes are organizations, and spaces by their names."""

    email: str
    name: str
    says: str
    account: RoleName
    organizations: dict[str, RoleName] = field(default_factory=dict)
    spaces: dict[str, RoleName] = field(default_factory=dict)


ALICE = Person("alice@example.com", "Alice Archer", "account admin", RoleName.ADMIN)
BOB = Person(
    "bob@example.com",
    "Bob Baker",
    "member of Fraud & Risk",
    RoleName.MEMBER,
    {FRAUD: RoleName.MEMBER},
    {"production": RoleName.MEMBER, "staging": RoleName.MEMBER},
)
CHARLIE = Person(
    "charlie@example.com",
    "Charlie Chen",
    "read-only in Fraud & Risk, leads labeling in staging",
    RoleName.MEMBER,
    {FRAUD: RoleName.READ_ONLY},
    {"production": RoleName.READ_ONLY, "staging": RoleName.READ_ONLY},
)
DANA = Person(
    "dana@example.com",
    "Dana Diaz",
    "annotator in one space",
    RoleName.ANNOTATOR,
    {FRAUD: RoleName.ANNOTATOR},
    {"production": RoleName.ANNOTATOR},
)
ERIN = Person(
    "erin@example.com",
    "Erin Eriksen",
    "member of one private space",
    RoleName.MEMBER,
    {RESEARCH: RoleName.READ_ONLY},
    {"vision-lab": RoleName.MEMBER},
)
INVITED = (BOB, CHARLIE, DANA, ERIN)
# Somebody who was invited and has not come yet.
PENDING = Person("frida@example.com", "Frida Fischer", "", RoleName.MEMBER, {FRAUD: RoleName.READ_ONLY})

# A role of the account's own: what it takes to run labeling beside reading.
LABEL_LEAD = "Label lead"
_LEADS_LABELING = sorted(
    permission for permission in Permission if permission.startswith(("QUEUE_", "ANNOTATION_CONFIG_"))
) + [Permission.DATASET_EXAMPLE_ANNOTATE, Permission.EXPERIMENT_RUN_ANNOTATE, Permission.PROJECT_SPAN_ANNOTATE]


@dataclass(frozen=True)
class SignIn:
    """How one demo person signs in; the password exists nowhere else."""

    email: str
    says: str
    password: str = field(repr=False)


def is_wanted() -> bool:
    """Whether the database is empty: neither people nor accounts."""
    return not (User.objects.exists() or Account.objects.exists())


@transaction.atomic
def furnish() -> list[SignIn]:
    """Create the demo account and its people, all or nothing, and return how they sign in."""
    now = timezone.now()
    passwords = {email: _password() for email in (ALICE.email, *(person.email for person in INVITED))}
    account, alice = create_account(
        Actor.from_command(None),
        name="Acme AI",
        admin_email=ALICE.email,
        admin_name=ALICE.name,
        password=passwords[ALICE.email],
        at=now,
    )
    operator = Actor.from_command(account)
    organizations = {name: create_organization(operator, name=name, at=now) for name in (FRAUD, RESEARCH)}
    spaces = {
        name: create_space(operator, organization=organizations[inside], name=name, is_private=private, at=now)
        for inside, name, private in _SPACES
    }
    for person in INVITED:
        _settle(operator, person, passwords[person.email], organizations, spaces)
    _lead_labeling(operator.on_behalf_of(alice), User.objects.get(email=CHARLIE.email), spaces["staging"])
    invite_person(
        operator.on_behalf_of(alice),
        email=PENDING.email,
        name=PENDING.name,
        role=predefined(Level.ACCOUNT, PENDING.account),
        places=[
            (organizations[name], predefined(Level.ORGANIZATION, held)) for name, held in PENDING.organizations.items()
        ],
        at=now,
    )
    people = [SignIn(person.email, person.says, passwords[person.email]) for person in (ALICE, *INVITED)]
    master = SignIn("operator@example.com", "Django admin, at /admin/", _password())
    olga = User.objects.create_superuser(master.email, master.password, name="Olga Operator", joined_at=now)
    rights = ("is_staff", "is_superuser")
    record(
        Actor.from_command(None),
        Tag.OPERATOR_CHANGED,
        olga,
        at=now,
        before=dict.fromkeys(rights, False),
        after=dict.fromkeys(rights, True),
    )
    return [*people, master]


def _settle(
    operator: Actor, person: Person, password: str, organizations: dict[str, Organization], spaces: dict[str, Space]
) -> None:
    now = timezone.now()
    role = predefined(Level.ACCOUNT, person.account)
    user = invite_person(operator, email=person.email, name=person.name, role=role, at=now).user
    user.set_password(password)
    user.save(update_fields=["password"])
    accept_invitation(user, at=now)
    for name, held in person.organizations.items():
        bind_role(operator, user=user, role=predefined(Level.ORGANIZATION, held), scope=organizations[name], at=now)
    for name, held in person.spaces.items():
        bind_role(operator, user=user, role=predefined(Level.SPACE, held), scope=spaces[name], at=now)


def _lead_labeling(actor: Actor, user: User, space: Space) -> None:
    now = timezone.now()
    role = create_role(
        actor,
        name=LABEL_LEAD,
        description="Runs the labeling queues of a space, and annotates in it",
        permissions=_LEADS_LABELING,
        at=now,
    )
    bind_role(actor, user=user, role=role, scope=space, at=now)


def _password() -> str:
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))
