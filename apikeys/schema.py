"""Keys over GraphQL: the caller's and a space's, and what is done with them (contract rest-v2 §14.9).

A secret is in the answer of the mutation that made it, and in no other.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

import strawberry
from django.db.models import Exists, OuterRef
from strawberry import Parent, Private

from accounts.bindings import bindings_readable_by, predefined
from accounts.errors import Forbidden
from accounts.models import Role, SpaceBinding
from accounts.models import Space as SpaceRow
from accounts.paging import Page, paginate, paginate_each
from accounts.permissions import find_seen, permitted
from accounts.roles import Level
from accounts.schema.inquiry import Info, Inquiry, Peers
from accounts.schema.mutations import one_line
from accounts.schema.queries import Finder
from accounts.schema.relay import DEFAULT_FIRST, Connection, Node, Slice, connection, extend, told
from accounts.schema.types import Space, SpaceMembership, User, Viewer, members_of, users_of
from accounts.schema.words import AccountOrganizationRole, AccountRole, SpaceMemberRole
from accounts.vocabulary import Permission
from accounts.wire import decode_id, encode_id
from apikeys.lifecycle import (
    NewKey,
    OrganizationGrant,
    SpaceGrant,
    create_service_key,
    create_user_key,
    refresh_key,
    revoke_key,
)
from apikeys.models import ApiKey as KeyRow
from apikeys.models import ApiKeyQuerySet, KeyKind, KeyStatus
from apikeys.policy import DEFAULT_ROLE, find_key, service_keys_created_by, user_keys

_SERVICE = "Developer access, SERVICE_KEY_CREATE in the space, and no role above one's own."
_REFRESH = (
    "Developer access. A user key: its owner. A service key: admins of all its spaces, or whoever made it with "
    "SERVICE_KEY_CREATE in all of them, and only while the key can do no more than they. Account admins: any."
)
_REVOKE = (
    "A user key: its owner. A service key: admins of all its spaces, or whoever made it with SERVICE_KEY_REVOKE in all "
    "of them. Account admins: any."
)


@strawberry.enum(description="Whose permissions a key carries: a person's, or those of a bot made for it.")
class ApiKeyType(Enum):
    """The kinds of key."""

    user = KeyKind.USER
    service = KeyKind.SERVICE


@strawberry.enum(description="What a key is right now.")
class ApiKeyStatus(Enum):
    """How a key stands."""

    active = KeyStatus.ACTIVE
    expired = KeyStatus.EXPIRED
    revoked = KeyStatus.REVOKED


@strawberry.type(description="An API key, without its secret.")
class ApiKey(Node):
    """A key that the caller may know of."""

    row: Private[KeyRow]
    peers: Private[Peers[KeyRow]]

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return self.row.wire_id

    @told("The name.")
    def name(self) -> str:
        """Return the name."""
        return self.row.name

    @told("What it is for.")
    def description(self) -> str:
        """Return the description."""
        return self.row.description

    @told("A person's key, or a service key.")
    def key_type(self) -> ApiKeyType:
        """Return the kind."""
        return ApiKeyType(KeyKind(self.row.kind))

    @told("Whether it opens anything.")
    def status(self, info: Info) -> ApiKeyStatus:
        """Say how it stands."""
        return ApiKeyStatus(self.row.status(at=info.context.at))

    @told("First six characters, three dots, last three.")
    def redacted_key(self) -> str:
        """Return what of the secret may be shown."""
        return self.row.redacted_key

    @told("When it was created.")
    def created_at(self) -> datetime:
        """Return the moment."""
        return self.row.created_at

    @told("When it ends by itself. Null: never.")
    def expires_at(self) -> datetime | None:
        """Return the moment."""
        return self.row.expires_at

    @told("When it was last used, approximately. Null: never.")
    def last_used_at(self) -> datetime | None:
        """Return the moment."""
        use = getattr(self.row, "use", None)
        return use.last_used_at if use else None

    @told("Who made it.")
    def created_by_user_id(self) -> strawberry.ID | None:
        """Return the id of whoever made it."""
        number = self.row.created_by_id
        return None if number is None else strawberry.ID(encode_id("User", number))

    @told("Who made it.", access="USER_READ in the account; null otherwise, and when they have left.")
    def created_by(self, info: Info) -> User | None:
        """Return whoever made it."""
        inquiry = info.context
        makers = self.peers.ask("makers", lambda keys: users_of(inquiry, [key.created_by_id for key in keys]))
        return makers.get(self.row.created_by_id or 0)

    @told("Whom it stands for: its person, or its bot. Null once they have left, or the key was revoked.")
    def user(self, info: Info) -> User | None:
        """Return the owner. Whoever may know of a key may know whose it is."""
        inquiry = info.context
        owners = self.peers.ask("owners", lambda keys: members_of(inquiry, [key.owner_id for key in keys]))
        return owners.get(self.row.owner_id)

    @told(
        "The roles that were given to its bot in spaces. Empty for a user key.",
        access="ROLE_BINDING_READ and SERVICE_KEY_READ in each space.",
    )
    def space_memberships(
        self, info: Info, first: int | None = DEFAULT_FIRST, after: str | None = None
    ) -> Connection[SpaceMembership] | None:
        """Return what its bot may do where."""
        inquiry, which = info.context, Slice.of(first, after)
        found = self.peers.ask(("memberships", which), lambda keys: _memberships_of(inquiry, keys, which))
        return found[self.row.pk]


@strawberry.input(description="A key of the caller's own.")
class CreateUserApiKeyInput:
    """A person's new key."""

    name: str
    description: str | None = None
    expires_at: datetime | None = None
    client_mutation_id: str | None = None


@strawberry.input(
    description="A service key for one space. Roles left out: member in space and account, else readOnly."
)
class CreateServiceApiKeyInput:
    """A new service key."""

    name: str
    space_id: strawberry.ID
    space_role: SpaceMemberRole | None = None
    account_organization_role: AccountOrganizationRole | None = None
    account_role: AccountRole | None = None
    description: str | None = None
    expires_at: datetime | None = None
    client_mutation_id: str | None = None


@strawberry.input(description="Which key gets a new secret, and how long the old one goes on.")
class RefreshApiKeyInput:
    """What a refresh needs to know."""

    api_key_id: strawberry.ID
    expires_at: datetime | None = None
    grace_period_seconds: int | None = 0
    client_mutation_id: str | None = None


@strawberry.input(description="Which key ends.")
class RevokeApiKeyInput:
    """What a revocation needs to know."""

    api_key_id: strawberry.ID
    client_mutation_id: str | None = None


@strawberry.interface(description="A key with the secret that was just made.")
class NewSecret:
    """What a creation and a refresh answer with. Printed, it shows no secret."""

    new: Private[NewKey]
    client_mutation_id: str | None

    @told("The full key. Shown here and never again.")
    def api_key(self) -> str:
        """Return the secret."""
        return self.new.plaintext

    @told("The key.")
    def key_info(self) -> ApiKey:
        """Return the key."""
        return _alone(self.new.key)


@strawberry.type(description="The new key.")
class CreateUserApiKeyPayload(NewSecret):
    """A person's new key."""


@strawberry.type(description="The new key.")
class CreateServiceApiKeyPayload(NewSecret):
    """A new service key."""


@strawberry.type(description="The key with its new secret.")
class RefreshApiKeyPayload(NewSecret):
    """A key that goes on."""


@strawberry.type(description="The key, which is revoked.")
class RevokeApiKeyPayload:
    """A key that is over."""

    key_info: ApiKey
    client_mutation_id: str | None


@strawberry.type
class KeyMutations:
    """What is done with keys."""

    @told(
        "Create a key that is you: it may always do what you may do.",
        access="Developer access; people only, for themselves.",
    )
    def create_user_api_key(self, info: Info, input: CreateUserApiKeyInput) -> CreateUserApiKeyPayload | None:
        """Create a user key."""
        new = create_user_key(
            info.context.acting(info),
            name=one_line(input.name, "name"),
            description=input.description or "",
            expires_at=input.expires_at,
            at=info.context.at,
        )
        return CreateUserApiKeyPayload(new=new, client_mutation_id=input.client_mutation_id)

    @told("Create a key with a bot user of its own, which goes on when you leave.", access=_SERVICE)
    def create_service_api_key(self, info: Info, input: CreateServiceApiKeyInput) -> CreateServiceApiKeyPayload | None:
        """Create a service key for a space."""
        actor = info.context.acting(info)
        space = find_seen(actor, SpaceRow, decode_id(input.space_id, "Space", field="spaceId"))
        in_organization = OrganizationGrant(
            organization=space.organization,
            role=_role(Level.ORGANIZATION, input.account_organization_role),
            spaces=(SpaceGrant(space, _role(Level.SPACE, input.space_role)),),
        )
        new = create_service_key(
            actor,
            name=one_line(input.name, "name"),
            description=input.description or "",
            expires_at=input.expires_at,
            account_role=_role(Level.ACCOUNT, input.account_role),
            organizations=[in_organization],
            at=info.context.at,
        )
        return CreateServiceApiKeyPayload(new=new, client_mutation_id=input.client_mutation_id)

    @told(
        "Give a key a new secret. The old one dies at once, or after the grace period, and never later than it would "
        "have. A key that expires needs `expiresAt`, no later than before.",
        access=_REFRESH,
    )
    def refresh_api_key(self, info: Info, input: RefreshApiKeyInput) -> RefreshApiKeyPayload | None:
        """Give a key a new secret."""
        actor = info.context.acting(info)
        new = refresh_key(
            actor,
            find_key(actor, decode_id(input.api_key_id, "ApiKey", field="apiKeyId")),
            expires_at=input.expires_at,
            grace=timedelta(seconds=input.grace_period_seconds or 0),
            at=info.context.at,
        )
        return RefreshApiKeyPayload(new=new, client_mutation_id=input.client_mutation_id)

    @told("End a key at once and for good. Revoking again changes nothing.", access=_REVOKE)
    def revoke_api_key(self, info: Info, input: RevokeApiKeyInput) -> RevokeApiKeyPayload | None:
        """End a key."""
        actor = info.context.acting(info)
        number = decode_id(input.api_key_id, "ApiKey", field="apiKeyId")
        revoke_key(actor, find_key(actor, number), at=info.context.at)
        return RevokeApiKeyPayload(
            key_info=_alone(find_key(actor, number)), client_mutation_id=input.client_mutation_id
        )


@told(
    "The caller's own keys, newest first: user keys, or the service keys they made.",
    access="Any valid key, its user's.",
)
def _keys_of_viewer(
    root: Parent[Viewer],
    info: Info,
    first: int | None = DEFAULT_FIRST,
    after: str | None = None,
    key_type: ApiKeyType | None = ApiKeyType.user,
    status: ApiKeyStatus | None = ApiKeyStatus.active,
) -> Connection[ApiKey] | None:
    """Return the caller's own keys (contract rest-v2 §5.2)."""
    inquiry, which = info.context, Slice.of(first, after)
    asked = service_keys_created_by if key_type is ApiKeyType.service else user_keys
    keys = _standing_as(asked(inquiry.actor, inquiry.me), status, inquiry)
    page = paginate(keys.select_related("use"), cursor=which.cursor, limit=which.limit)
    return _dressed(page, which, Peers(page.items))


@told("The service keys that open the space, newest first.", access="SERVICE_KEY_READ in the space.")
def _keys_of_space(
    root: Parent[Space],
    info: Info,
    first: int | None = DEFAULT_FIRST,
    after: str | None = None,
    status: ApiKeyStatus | None = ApiKeyStatus.active,
) -> Connection[ApiKey] | None:
    """Return the keys bound to a space."""
    inquiry, which = info.context, Slice.of(first, after)
    found = root.peers.ask(("keys", status, which), lambda spaces: _keys_of_each(inquiry, spaces, status, which))
    if root.row.pk not in found:
        permission = Permission.SERVICE_KEY_READ
        raise Forbidden(
            f"You need the permission {permission} in “{root.row}”. Ask one of its admins.", permission=permission
        )
    return found[root.row.pk]


extend(Viewer, api_keys=_keys_of_viewer)
extend(Space, api_keys=_keys_of_space)

FINDERS: dict[str, Finder] = {"ApiKey": lambda inquiry, number: _alone(find_key(inquiry.actor, number))}


def _keys_of_each(
    inquiry: Inquiry, spaces: list[SpaceRow], status: ApiKeyStatus | None, which: Slice
) -> dict[int, Connection[ApiKey]]:
    """Return a page of the keys of each space where the caller may read them: ``policy.service_keys_of`` for many."""
    account = inquiry.actor.require_account()
    readable = permitted(inquiry.me, Permission.SERVICE_KEY_READ, SpaceRow).filter(organization__account=account)
    bound = SpaceBinding.objects.filter(user=OuterRef("owner"), content_object=OuterRef(OuterRef("pk")))
    keys = ApiKeyQuerySet(KeyRow).filter(Exists(bound), account=account, kind=KeyKind.SERVICE)
    pages = paginate_each(
        readable.filter(pk__in=[space.pk for space in spaces]),
        _standing_as(keys, status, inquiry),
        rows=KeyRow.objects.select_related("use"),
        cursor=which.cursor,
        limit=which.limit,
    )
    peers = Peers([key for page in pages.values() for key in page.items])
    return {number: _dressed(page, which, peers) for number, page in pages.items()}


def _memberships_of(inquiry: Inquiry, keys: list[KeyRow], which: Slice) -> dict[int, Connection[SpaceMembership]]:
    own = SpaceBinding.objects.select_related("permission__role")
    pages = paginate_each(
        KeyRow.objects.filter(pk__in=[key.pk for key in keys]),
        bindings_readable_by(inquiry.actor).filter(user=OuterRef("owner"), user__kind="BOT"),
        rows=own,
        cursor=which.cursor,
        limit=which.limit,
        newest_first=False,
    )
    peers = Peers([row for page in pages.values() for row in page.items])
    return {
        number: connection(page, lambda row: SpaceMembership(row=row, peers=peers), which)
        for number, page in pages.items()
    }


def _standing_as(keys: ApiKeyQuerySet, status: ApiKeyStatus | None, inquiry: Inquiry) -> ApiKeyQuerySet:
    return keys.with_status(status.value if status else KeyStatus.ACTIVE, at=inquiry.at)


def _dressed(page: Page[KeyRow], which: Slice, peers: Peers[KeyRow]) -> Connection[ApiKey]:
    return connection(page, lambda row: ApiKey(row=row, peers=peers), which)


def _alone(row: KeyRow) -> ApiKey:
    return ApiKey(row=row, peers=Peers([row]))


def _role(level: Level, word: SpaceMemberRole | AccountOrganizationRole | AccountRole | None) -> Role:
    return predefined(level, word.value if word else DEFAULT_ROLE[level])
