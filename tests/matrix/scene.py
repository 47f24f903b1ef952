"""Where everything in the matrix is tried: the usual cast, one caller, and what there is to try things on.

Everything happens in the account Acme AI, the organization Fraud & Risk and its public space production. A scene is
built once for a caller; each case gets a copy of it, and what the case does to the database is taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from axes.models import AccessAttempt
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.audit import Tag
from accounts.models import (
    Account,
    AccountBinding,
    AuditEvent,
    Organization,
    OrganizationBinding,
    Project,
    ProjectBinding,
    Role,
    Space,
    SpaceBinding,
    User,
)
from accounts.roles import RoleName
from apikeys.lifecycle import NewKey, revoke_key
from apikeys.models import ApiKey, KeySecret, KeyUse
from apikeys.workflows.models import Dataset, DatasetVersion, Experiment, Prompt
from tests.cast import Cast, assemble
from tests.factories import PASSWORD, PersonFactory, ProjectFactory, bind, custom_role, later, service_key, user_key
from tests.matrix.belongings import furnish
from tests.workflows import rows

# Who asks. A role at a level is the one role that matters, with what membership needs around it.
ROLES = (
    "account:ADMIN",
    "account:MEMBER",
    "account:MEMBER_UI_ONLY",
    "account:ANNOTATOR",
    "organization:ADMIN",
    "organization:MEMBER",
    "organization:READ_ONLY",
    "organization:ANNOTATOR",
    "space:ADMIN",
    "space:MEMBER",
    "space:READ_ONLY",
    "space:ANNOTATOR",
)
# Read-Only in the organization, and in the space a custom role of these permissions besides.
CUSTOM = {"binder": ("ROLE_BINDING_CREATE", "ROLE_BINDING_READ"), "editor": ("SPACE_UPDATE",)}
BOT, STRANGER, OPERATOR, NOBODY = "bot", "stranger", "operator", "nobody"
CALLERS = (*ROLES, *CUSTOM, BOT, STRANGER, OPERATOR, NOBODY)


@dataclass(frozen=True)
class Scene:
    """One caller, in place, and what there is to try things on."""

    who: str
    cast: Cast
    caller: User | None
    home: Account  # the account the caller acts in
    key: str  # what the caller sends to the API, or nothing
    session: str  # what the caller's browser sends, or nothing

    frank: User  # reads in the organization, and has no role of his own in the space
    petra: User  # was invited, and has not come yet
    oskar: User  # was invited to run the organization, and let it run out
    ines: User  # is deactivated
    exporter: Role  # a custom role that nobody holds
    deleter: Role  # another, which permits what only those who run the space may do
    auditor: Role  # a custom role that Bob holds in the space
    membership: SpaceBinding  # Bob's role in the space
    extra: SpaceBinding  # Bob's custom role there
    project: Project  # in the space
    restricted: Project  # there too
    in_project: ProjectBinding  # the custom role that Paula, of the organization, holds in the one
    in_restricted: ProjectBinding  # and in the other
    service: ApiKey  # a service key of Alice's, Member in the space
    service_secret: str  # what opens it
    user_key: ApiKey  # Alice's
    exposed: str  # the secret of another one
    own: ApiKey | None  # the key the caller sends
    own_service: ApiKey  # like Alice's service key, and made by the caller while they might

    @property
    def account(self) -> Account:
        """Acme AI."""
        return self.cast.account

    @property
    def organization(self) -> Organization:
        """A part of it."""
        return self.cast.fraud

    @property
    def space(self) -> Space:
        """A public space in that."""
        return self.cast.production

    @property
    def private(self) -> Space:
        """A private space in another organization."""
        return self.cast.vision_lab

    @property
    def bob(self) -> User:
        """A Member of account, organization and space."""
        return self.cast.bob

    @property
    def account_membership(self) -> AccountBinding:
        """Bob's role in the account."""
        found: AccountBinding = AccountBinding.objects.get(user=self.bob, content_object=self.account)
        return found

    @property
    def organization_membership(self) -> OrganizationBinding:
        """Bob's role in the organization."""
        found: OrganizationBinding = OrganizationBinding.objects.get(user=self.bob, content_object=self.organization)
        return found

    @property
    def secret(self) -> KeySecret:
        """What opens Alice's service key."""
        return KeySecret.objects.get(key=self.service)

    @property
    def use(self) -> KeyUse:
        """When Alice's service key was used."""
        return KeyUse.objects.get(key=self.service)

    @property
    def attempt(self) -> AccessAttempt:
        """A wrong password that somebody typed."""
        return AccessAttempt.objects.get()

    @property
    def event_of_alice(self) -> AuditEvent:
        """How Alice made her service key."""
        return AuditEvent.objects.get(tag=Tag.KEY_CREATED, target_id=self.service.pk)

    @property
    def sign_in_of_alice(self) -> AuditEvent:
        """How Alice came in."""
        return AuditEvent.objects.get(tag=Tag.SIGNED_IN, actor_id=self.cast.alice.pk)

    @property
    def event_of_mine(self) -> AuditEvent:
        """How the caller's key was made, or Alice's where the caller has none."""
        return AuditEvent.objects.get(tag=Tag.KEY_CREATED, target_id=(self.own or self.service).pk)

    @property
    def dataset(self) -> Dataset:
        """A dataset in the space."""
        return Dataset.objects.get(space=self.space, name="golden-set")

    @property
    def dataset_version(self) -> DatasetVersion:
        """Its only version."""
        return DatasetVersion.objects.get(dataset=self.dataset)

    @property
    def experiment(self) -> Experiment:
        """An experiment on it."""
        return Experiment.objects.get(dataset=self.dataset)

    @property
    def prompt(self) -> Prompt:
        """A prompt in the space."""
        return Prompt.objects.get(space=self.space, name="greeting-prompt")

    @property
    def me(self) -> User:
        """The caller, or Bob where there is none: whoever asks about themselves has to be somebody."""
        return self.caller or self.bob

    def actor(self, door: Door) -> Actor:
        """Return the caller as an actor."""
        operates = self.who == OPERATOR
        return Actor(user=None if operates else self.caller, account=self.home, door=door, is_operator=operates)

    def client(self) -> Client:
        """Return the caller's browser."""
        client = Client()
        if self.session:
            client.cookies[settings.SESSION_COOKIE_NAME] = self.session
        return client


def build(who: str) -> Scene:
    """Put everybody in place for one caller."""
    cast = assemble()
    frank = _person("Frank Fischer", cast.account, {cast.fraud: RoleName.READ_ONLY})
    petra = PersonFactory.create(name="Petra Pohl", email="petra@example.com", joined_at=None, password=None)
    bind(petra, cast.account, RoleName.MEMBER)
    User.objects.filter(pk=petra.pk).update(invited_at=timezone.now())
    petra.refresh_from_db()
    oskar = PersonFactory.create(name="Oskar Orth", email="oskar@example.com", joined_at=None, password=None)
    bind(oskar, cast.account, RoleName.MEMBER)
    bind(oskar, cast.fraud, RoleName.ADMIN)
    User.objects.filter(pk=oskar.pk).update(invited_at=later(days=-8))
    ines = _person("Ines Ide", cast.account, {})
    User.objects.filter(pk=ines.pk).update(is_active=False)
    ines.refresh_from_db()
    reads = ("DATASET_READ", "SPACE_READ")
    exporter, auditor = (custom_role(cast.account, name, *reads) for name in ("exporter", "auditor"))
    deleter = custom_role(cast.account, "deleter", *reads, "SPACE_DELETE")
    extra = bind(cast.bob, cast.production, auditor)
    paula = _person("Paula Pine", cast.account, {cast.fraud: RoleName.READ_ONLY})
    project = rows.project(cast.production, "fraud-model")
    restricted = ProjectFactory.create(space=cast.production, name="payroll", restricted_at=timezone.now())
    in_project, in_restricted = (bind(paula, one, auditor).pk for one in (project, restricted))
    before = later(minutes=-1)
    service, own_service = (
        service_key(cast.alice, cast.production, name=name, at=before) for name in ("alice-nightly", "made-by-caller")
    )
    others = user_key(cast.alice, cast.account, "alice-laptop", at=before)
    user_key(cast.bob, cast.account, "bob-laptop", at=before)
    exposed = user_key(cast.alice, cast.account, "exposed", at=before)
    dead = user_key(cast.alice, cast.account, "dead", at=before)
    revoke_key(cast.actor(cast.alice), dead.key, at=before)
    session_of(cast.alice)
    furnish(cast.actor(cast.alice), cast.production)
    KeyUse.objects.create(key=service.key, first_used_at=before, last_used_at=before)
    AccessAttempt.objects.create(username="bob@example.com", ip_address="203.0.113.5", failures_since_start=5)
    rows.experiment(rows.dataset(cast.production, "golden-set"), "baseline-run", project=project)
    rows.prompt(cast.production, "greeting-prompt")
    caller, home, own = caller_in(who, cast)
    ApiKey.objects.filter(pk=own_service.key.pk).update(created_by=caller)
    return Scene(
        who=who,
        cast=cast,
        caller=caller,
        home=home,
        key=own.plaintext if own else "",
        session=session_of(caller) if caller is not None and not caller.is_bot else "",
        frank=frank,
        petra=petra,
        oskar=oskar,
        ines=ines,
        exporter=exporter,
        deleter=deleter,
        auditor=auditor,
        membership=SpaceBinding.objects.get(
            user=cast.bob, content_object=cast.production, permission__role__account=None
        ),
        extra=SpaceBinding.objects.get(pk=extra.pk),
        project=project,
        restricted=restricted,
        in_project=ProjectBinding.objects.get(pk=in_project),
        in_restricted=ProjectBinding.objects.get(pk=in_restricted),
        service=service.key,
        service_secret=service.plaintext,
        user_key=others.key,
        exposed=exposed.plaintext,
        own=own.key if own else None,
        own_service=ApiKey.objects.get(pk=own_service.key.pk),
    )


def caller_in(who: str, cast: Cast) -> tuple[User | None, Account, NewKey | None]:
    """Put one caller in place; return them, the account they act in, and the key they come with."""
    if who == NOBODY:
        return None, cast.account, None
    if who == OPERATOR:
        return User.objects.create_superuser("olga@example.com", PASSWORD, name="Olga Operator"), cast.account, None
    if who == STRANGER:
        home = cast.elsewhere.organization.account
        return cast.mallory, home, user_key(cast.mallory, home, "caller-key", at=later(minutes=-1))
    if who == BOT:
        new = service_key(cast.alice, cast.production, name="caller-key", at=later(minutes=-1))
        return new.key.owner, cast.account, new
    caller = _custom(who, cast) if who in CUSTOM else _with_role(who, cast)
    return caller, cast.account, _own_key(caller, cast.account)


def _with_role(who: str, cast: Cast) -> User:
    level, _, name = who.partition(":")
    role = RoleName(name)
    annotates = role == RoleName.ANNOTATOR
    least = RoleName.ANNOTATOR if annotates else RoleName.READ_ONLY
    around = RoleName.ANNOTATOR if annotates else RoleName.MEMBER
    roles: dict[Organization | Space, RoleName] = {}
    if level != "account":
        roles[cast.fraud] = role if level == "organization" else least
    if level == "space":
        roles[cast.production] = role
    return _person("Caller", cast.account, roles, role if level == "account" else around)


def _custom(who: str, cast: Cast) -> User:
    caller = _person("Caller", cast.account, {cast.fraud: RoleName.READ_ONLY})
    bind(caller, cast.production, custom_role(cast.account, who, *CUSTOM[who]))
    return caller


def _person(
    name: str,
    account: Account,
    roles: Mapping[Organization | Space, RoleName],
    account_role: RoleName = RoleName.MEMBER,
) -> User:
    person = PersonFactory.create(name=name, email=f"{name.split()[0].lower()}@example.com")
    bind(person, account, account_role)
    for scope, role in roles.items():
        bind(person, scope, role)
    return person


def _own_key(caller: User, account: Account) -> NewKey:
    """Make the key the caller comes with, as if while developer access was on; it goes on without."""
    membership = AccountBinding.objects.get(user=caller, content_object=account)
    AccountBinding.objects.filter(pk=membership.pk).update(is_developer=True)
    own = user_key(caller, account, "caller-key", at=later(minutes=-1))
    AccountBinding.objects.filter(pk=membership.pk).update(is_developer=membership.is_developer)
    return own


def session_of(caller: User) -> str:
    """Return what a browser sends in which somebody is signed in."""
    client = Client()
    client.force_login(caller, "django.contrib.auth.backends.ModelBackend")
    return client.cookies[settings.SESSION_COOKIE_NAME].value
