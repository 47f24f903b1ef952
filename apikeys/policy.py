"""Who may see, create, refresh and revoke which key (contract rest-v2 §5 and §14.2).

Each rule has two shapes: a queryset of many keys, and a question about one. The questions take a ``Standing`` and the
key's bindings, both read once, so that a page of keys costs no more queries than one key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.actors import Actor
from accounts.errors import Forbidden, NotFound
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
from accounts.permissions import may, may_see, permitted, require, seen_by
from accounts.roles import Level, RoleName
from accounts.standing import Standing, standing_of
from accounts.vocabulary import Permission
from apikeys.errors import DeveloperAccessLocked, DeveloperAccessOff, KeyNotFound
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyKind

# Account roles a service key may have at all (contract rest-v2 §5.1).
SERVICE_ACCOUNT_ROLES = frozenset({RoleName.MEMBER, RoleName.ADMIN})
# Defaults where the caller leaves a role out (contract rest-v2 §14.2).
DEFAULT_ROLE = {
    Level.ACCOUNT: RoleName.MEMBER,
    Level.ORGANIZATION: RoleName.READ_ONLY,
    Level.SPACE: RoleName.MEMBER,
}


@dataclass(frozen=True)
class KeyBindings:
    """What a key's owner holds where: for a service key, what was chosen for its bot."""

    account_role: Role | None = None
    organizations: tuple[tuple[Organization, Role], ...] = ()
    spaces: tuple[tuple[Space, Role], ...] = field(default=())


def bindings_of(keys: Iterable[ApiKey]) -> dict[int, KeyBindings]:
    """Return the bindings of each service key's bot by key number: three queries for any number of keys."""
    bots = {key.owner_id: key for key in keys if key.is_service_key}
    organizations: dict[int, list[tuple[Organization, Role]]] = defaultdict(list)
    spaces: dict[int, list[tuple[Space, Role]]] = defaultdict(list)
    accounts: dict[int, Role] = {}
    if not bots:
        return {}
    for account_row in AccountBinding.objects.filter(user__in=bots).select_related("permission__role"):
        if account_row.content_object_id == bots[account_row.user_id].account_id:
            accounts[account_row.user_id] = account_row.role
    for organization_row in (
        OrganizationBinding.objects.filter(user__in=bots)
        .select_related("permission__role", "content_object")
        .order_by("content_object__name", "pk")
    ):
        organizations[organization_row.user_id].append((organization_row.content_object, organization_row.role))
    for space_row in (
        SpaceBinding.objects.filter(user__in=bots)
        .select_related("permission__role", "content_object__organization")
        .order_by("content_object__organization__name", "content_object__name", "pk")
    ):
        spaces[space_row.user_id].append((space_row.content_object, space_row.role))
    return {
        key.pk: KeyBindings(accounts.get(bot), tuple(organizations[bot]), tuple(spaces[bot]))
        for bot, key in bots.items()
    }


def visible_to(actor: Actor) -> ApiKeyQuerySet:
    """Return the keys whose existence the actor may know of."""
    account = actor.require_account()
    keys = _keys().filter(account=account)
    if standing_of(actor).is_account_admin:
        return keys
    if actor.user is None:
        return keys.none()
    return keys.filter(
        Q(owner=actor.user) | Q(kind=KeyKind.SERVICE, created_by=actor.user) | Q(_in_readable_space(actor.user))
    )


def service_keys(actor: Actor) -> ApiKeyQuerySet:
    """Return the service keys the actor may know of: made by them, or bound to a space where they may read keys."""
    return visible_to(actor).filter(kind=KeyKind.SERVICE)


def user_keys(actor: Actor, owner: User) -> ApiKeyQuerySet:
    """Return a person's user keys.

    Raises:
        Forbidden: another person's keys, and the actor is not an account admin.
    """
    own = actor.user is not None and actor.user.pk == owner.pk
    if not own and not standing_of(actor).is_account_admin:
        raise Forbidden("Only an account admin sees another person's user keys.")
    return _keys().filter(account=actor.require_account(), kind=KeyKind.USER, owner=owner)


def all_user_keys(actor: Actor) -> ApiKeyQuerySet:
    """Return everybody's user keys in the account.

    Raises:
        Forbidden: the actor is not an account admin.
    """
    if not standing_of(actor).is_account_admin:
        raise Forbidden("Only an account admin sees other people's user keys.")
    return _keys().filter(account=actor.require_account(), kind=KeyKind.USER)


def service_keys_created_by(actor: Actor, creator: User) -> ApiKeyQuerySet:
    """Return the service keys somebody made.

    Raises:
        Forbidden: somebody else's, and the actor is not an account admin.
    """
    own = actor.user is not None and actor.user.pk == creator.pk
    if not own and not standing_of(actor).is_account_admin:
        raise Forbidden("Only an account admin lists the service keys that another person made.")
    return _keys().filter(account=actor.require_account(), kind=KeyKind.SERVICE, created_by=creator)


def service_keys_of(actor: Actor, space: Space) -> ApiKeyQuerySet:
    """Return the service keys bound to a space.

    Raises:
        NotFound, Forbidden: the actor may not read the space, or not its keys.
    """
    require(actor, Permission.SERVICE_KEY_READ, space)
    bound = SpaceBinding.objects.filter(user=OuterRef("owner"), content_object=space)
    return _keys().filter(Exists(bound), account=actor.require_account(), kind=KeyKind.SERVICE)


def bound_at(scope: Organization | Space) -> ApiKeyQuerySet:
    """Return the service keys with a role in a space, or in one of an organization's spaces, whoever asks."""
    return _keys().filter(Exists(_bot_bindings().filter(**_within(scope))), kind=KeyKind.SERVICE)


def bound_only_at(scope: Organization | Space) -> ApiKeyQuerySet:
    """Return those of them with no space anywhere else: without this one they open nothing."""
    return bound_at(scope).exclude(Exists(_bot_bindings().exclude(**_within(scope))))


def require_introspection(actor: Actor) -> None:
    """Refuse to say what a presented key is to those who may read no keys anywhere in the account.

    Raises:
        Forbidden: the actor has SERVICE_KEY_READ nowhere.
    """
    if may(actor, Permission.SERVICE_KEY_READ, actor.require_account()):
        return
    spaces = Space.objects.none() if actor.user is None else permitted(actor.user, Permission.SERVICE_KEY_READ, Space)
    if not spaces.filter(organization__account=actor.require_account()).exists():
        raise Forbidden(
            f"You need the permission {Permission.SERVICE_KEY_READ} in a space to ask what a key is.",
            permission=Permission.SERVICE_KEY_READ,
        )


def find_key(actor: Actor, number: int) -> ApiKey:
    """Return a key the actor may know of.

    Raises:
        KeyNotFound: there is none, or it is none of the actor's business.
    """
    key = visible_to(actor).select_related("owner", "created_by", "account").filter(pk=number).first()
    if key is None:
        raise KeyNotFound("There is no such API key, or you have no access to it.")
    return key


def require_known_at(actor: Actor, key: ApiKey, scope: Account | Organization | Space) -> None:
    """Refuse to tell what a key may at a scope, unless that is the actor's to know.

    Its owner, whoever made it and account admins know it wherever they see the scope. Whoever sees a service key since
    it is in a space of theirs knows it in the spaces whose keys they may read; and of the account, since every list of
    keys names the role there.

    Raises:
        NotFound: there is no such scope, or no such key there, as far as the actor may know.
    """
    if not may_see(actor, scope):
        raise NotFound(f"There is no such {scope._meta.verbose_name}, or you have no access to it.")
    if isinstance(scope, Account) or _owns(actor, key) or _made(actor, key) or standing_of(actor).is_account_admin:
        return
    if isinstance(scope, Organization) or not may(actor, Permission.SERVICE_KEY_READ, scope):
        raise KeyNotFound("There is no such API key there, or you may not know of it.")


def spaces_known_of(actor: Actor, key: ApiKey) -> QuerySet[Space]:
    """Return the spaces of which the actor may know what a key is there: the twin of ``require_known_at``."""
    seen = seen_by(actor, Space).select_related("organization").order_by("organization__name", "name", "pk")
    if _owns(actor, key) or _made(actor, key) or standing_of(actor).is_account_admin:
        return seen
    return seen.none() if actor.user is None else seen & permitted(actor.user, Permission.SERVICE_KEY_READ, Space)


def require_developer(standing: Standing) -> None:
    """Refuse to make or refresh keys without developer access.

    Raises:
        DeveloperAccessLocked: the account's lock is on; nobody may, account admins included.
        DeveloperAccessOff: the person has none.
    """
    if standing.account.developer_access_locked:
        raise DeveloperAccessLocked(
            "The account's developer access lock is on: no keys can be created or refreshed. "
            "An account admin can lift it under Account Settings → Security."
        )
    if not standing.is_developer:
        raise DeveloperAccessOff(
            "You have no developer access, so you cannot create or refresh keys. Ask an account admin to switch it on."
        )


def may_create_user_key(actor: Actor, standing: Standing) -> bool:
    """Whether the actor may make a user key for themselves: any person with developer access."""
    person = actor.is_operator or (actor.user is not None and not actor.user.is_bot)
    return person and standing.is_developer and not standing.account.developer_access_locked


def spaces_for_service_keys(actor: Actor) -> QuerySet[Space]:
    """Return the spaces where the actor may make service keys, by organization and name."""
    account = actor.require_account()
    spaces = Space.objects.none() if actor.user is None else permitted(actor.user, Permission.SERVICE_KEY_CREATE, Space)
    if actor.is_operator:
        spaces = Space.objects.all()
    mine = spaces.filter(organization__account=account).select_related("organization")
    return mine.order_by("organization__name", "name", "pk")


def why_not_refresh(actor: Actor, standing: Standing, key: ApiKey, bindings: KeyBindings) -> str | None:
    """Return why the actor may not refresh a key they can see, or ``None``.

    Whoever refreshes a key gets a secret that opens all of it. So beside the contract's rule the key must be at or
    below the actor everywhere: an admin of one of its spaces is not enough.
    """
    if standing.is_account_admin:
        return None
    if not key.is_service_key:
        return None if _owns(actor, key) else "Only its owner or an account admin refreshes a user key."
    runs_all = _runs_every_space(standing, bindings)
    made_it = _made(actor, key) and _everywhere(standing, Permission.SERVICE_KEY_CREATE, bindings)
    if not runs_all and not made_it:
        return "Only admins of all its spaces refresh a service key, or its creator while they may create keys there."
    if not _covers(standing, bindings):
        return "The key can do more than you can, so you cannot be given its secret. Ask an account admin."
    return None


def why_not_revoke(actor: Actor, standing: Standing, key: ApiKey, bindings: KeyBindings) -> str | None:
    """Return why the actor may not revoke a key they can see, or ``None`` (contract rest-v2 §5.4)."""
    if standing.is_account_admin:
        return None
    if not key.is_service_key:
        return None if _owns(actor, key) else "Only its owner or an account admin revokes a user key."
    if _runs_every_space(standing, bindings):
        return None
    if _made(actor, key) and _everywhere(standing, Permission.SERVICE_KEY_REVOKE, bindings):
        return None
    return "Only admins of all its spaces revoke a service key, or its creator while they may revoke keys there."


def _keys() -> ApiKeyQuerySet:
    return ApiKeyQuerySet(ApiKey)


def _bot_bindings() -> QuerySet[SpaceBinding]:
    return SpaceBinding.objects.filter(user=OuterRef("owner"))


def _within(scope: Organization | Space) -> dict[str, object]:
    return {"content_object": scope} if isinstance(scope, Space) else {"content_object__organization": scope}


def _in_readable_space(user: User) -> Exists:
    readable = permitted(user, Permission.SERVICE_KEY_READ, Space)
    return Exists(SpaceBinding.objects.filter(user=OuterRef("owner"), user__kind="BOT", content_object__in=readable))


def _owns(actor: Actor, key: ApiKey) -> bool:
    return actor.user is not None and key.owner_id == actor.user.pk


def _made(actor: Actor, key: ApiKey) -> bool:
    return actor.user is not None and key.created_by_id == actor.user.pk


def _runs_every_space(standing: Standing, bindings: KeyBindings) -> bool:
    # A key without spaces is run by no space's admin: "all of none" must not open anything.
    return bool(bindings.spaces) and all(
        any(role.is_admin for role in standing.roles_at(space)) for space, _ in bindings.spaces
    )


def _everywhere(standing: Standing, permission: Permission, bindings: KeyBindings) -> bool:
    return bool(bindings.spaces) and all(standing.holds(permission, space) for space, _ in bindings.spaces)


def _covers(standing: Standing, bindings: KeyBindings) -> bool:
    return (
        (bindings.account_role is None or standing.covers(bindings.account_role, standing.account))
        and all(standing.covers(role, organization) for organization, role in bindings.organizations)
        and all(standing.covers(role, space) for space, role in bindings.spaces)
    )
