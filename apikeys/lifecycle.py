"""The life of a key: created, refreshed, revoked. Every door calls these verbs and nothing else changes a key.

A secret leaves here once, in the ``NewKey`` that the creating or refreshing call returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.bindings import freshen, furnish_bot
from accounts.errors import Escalation, Forbidden, Incompatible, Invalid, NotAllowed, NotFound
from accounts.models import Account, Organization, Role, Space, User
from accounts.redaction import KEY_PATTERN
from accounts.roles import Level, RoleName
from accounts.standing import Standing, standing_of
from accounts.verbs import verb
from accounts.vocabulary import Permission
from apikeys import notices, peppers, policy, tokens
from apikeys.errors import BadLifetime, TooFast, TooManyKeys
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyKind, KeySecret

MAX_NAME = 256
MAX_DESCRIPTION = 1000
MAX_GRACE = timedelta(days=1)  # contract rest-v2 §5.3
MAX_SCOPES = 100  # organizations per key, and spaces per organization (contract rest-v2 §5.1)
_HOUR = timedelta(hours=1)
_FURTHEST = timedelta(days=36_525)  # a hundred years; what means "never" is no expiry


@dataclass(frozen=True)
class NewKey:
    """A key and its secret, which exists here only and is to be shown once."""

    key: ApiKey
    plaintext: str = field(repr=False)


@dataclass(frozen=True)
class SpaceGrant:
    """A role a service key shall have in a space."""

    space: Space
    role: Role


@dataclass(frozen=True)
class OrganizationGrant:
    """A role a service key shall have in an organization, and in which of its spaces."""

    organization: Organization
    role: Role
    spaces: tuple[SpaceGrant, ...]


@verb(Tag.KEY_CREATED)
def create_user_key(
    actor: Actor, *, name: str, description: str = "", expires_at: datetime | None = None, at: datetime
) -> NewKey:
    """Make a key that is its owner: the acting person, with whatever that person may do at any moment.

    Raises:
        Invalid: the name or the description is unusable.
        Forbidden: a bot asks, developer access is off, or the account's lock is on.
        BadLifetime: the expiry lies in the past or beyond the account's limit.
        TooManyKeys, TooFast: the account's caps.
    """
    account = _account(actor)
    if actor.user is None or actor.user.is_bot:
        raise Forbidden("A user key belongs to a person; only people make them, for themselves.")
    standing = standing_of(actor, lock=True)
    policy.require_developer(standing)
    return _issue(actor, account, KeyKind.USER, actor.user, name, description, expires_at, at, {})


@verb(Tag.KEY_CREATED)
def create_service_key(
    actor: Actor,
    *,
    name: str,
    description: str = "",
    expires_at: datetime | None = None,
    account_role: Role,
    organizations: Sequence[OrganizationGrant],
    at: datetime,
) -> NewKey:
    """Make a key with a bot user of its own, holding the roles given and no others.

    The ceiling is checked against the actor's bindings, which stay locked until the key is committed.

    Raises:
        Invalid: no organization, no space in one, something twice, a role that no key can have.
        NotFound: a scope the actor may not read.
        Forbidden: the actor may not make service keys in one of the spaces, or has no developer access.
        Escalation: a role above the actor's own at that scope.
        BadLifetime, TooManyKeys, TooFast: as for user keys.
    """
    account = _account(actor)
    standing = standing_of(actor, lock=True)
    _lock_scopes(organizations)
    freshen(one.role for grant in organizations for one in grant.spaces)
    policy.require_developer(standing)
    for grant in organizations:
        _require_creatable(standing, grant)
    # After that, since these refusals name what they speak of.
    _require_whole(organizations)
    _require_service_role(account_role, account, standing)
    for grant in organizations:
        _require_service_role(grant.role, grant.organization, standing)
        for space_grant in grant.spaces:
            _require_service_role(space_grant.role, space_grant.space, standing)
    bot = User.objects.create_bot(_clean_name(name)[:255])
    furnish_bot(
        bot,
        account=account,
        account_role=account_role,
        organizations=[(grant.organization, grant.role) for grant in organizations],
        spaces=[(one.space, one.role) for grant in organizations for one in grant.spaces],
    )
    roles = {
        "bot": bot.pk,
        "account_role": account_role.name,
        "organizations": [
            {
                "name": grant.organization.name,
                "id": grant.organization.pk,
                "role": grant.role.name,
                "spaces": [{"name": one.space.name, "id": one.space.pk, "role": one.role.name} for one in grant.spaces],
            }
            for grant in organizations
        ],
    }
    return _issue(actor, account, KeyKind.SERVICE, bot, name, description, expires_at, at, roles)


@verb(Tag.KEY_REFRESHED)
def refresh_key(
    actor: Actor, key: ApiKey, *, expires_at: datetime | None = None, grace: timedelta = timedelta(0), at: datetime
) -> NewKey:
    """Give a key a new secret. The old one dies at once, or after ``grace``, never later than it would have anyway.

    The key keeps its identity: name, owner, roles, history. Its life never gets longer (contract rest-v2 §5.3).

    Raises:
        KeyNotFound: not the actor's to see.
        Forbidden: not the actor's to refresh, or developer access is off.
        Invalid: a grace period out of bounds.
        NotAllowed: the key is revoked or expired.
        BadLifetime: an expiry later than the old one, missing where the old key has one, past, or beyond the limit.
    """
    account = _account(actor)
    standing = standing_of(actor, lock=True)
    key = _locked(actor, key)
    refusal = policy.why_not_refresh(actor, standing, key, policy.bindings_of([key]).get(key.pk, policy.KeyBindings()))
    if refusal:
        raise Forbidden(refusal)
    policy.require_developer(standing)
    if not timedelta(0) <= grace <= MAX_GRACE:
        raise Invalid("The grace period is between 0 and 86400 seconds.", field="grace_period_seconds")
    _require_alive(key, at)
    before = key.expires_at
    if before is not None and expires_at is None:
        raise BadLifetime(
            f"The key expires at {before:%Y-%m-%d %H:%M} UTC; say when the new one shall, no later than that.",
            field="expires_at",
        )
    if before is not None and expires_at is not None and expires_at > before:
        raise BadLifetime(
            f"Refreshing cannot lengthen a key's life: it ends at {before:%Y-%m-%d %H:%M} UTC.", field="expires_at"
        )
    expires_at = _lifetime(account, expires_at, at)
    _retire_secrets(key, until=min(at + grace, before or at + grace), at=at)
    text = tokens.mint()
    _store(key, text, at)
    key.expires_at, key.redacted_key, key.refreshed_at = expires_at, tokens.redacted(text.plaintext), at
    key.exposed_at = None
    key.save(update_fields=["expires_at", "redacted_key", "refreshed_at", "exposed_at"])
    record(
        actor,
        Tag.KEY_REFRESHED,
        key,
        at=at,
        kind=key.kind,
        grace_seconds=int(grace.total_seconds()),
        expires_at=_text(expires_at),
        before=_text(before),
        redacted_key=key.redacted_key,
    )
    notices.tell(actor, key, notices.Notice.REFRESHED, at=at)
    return NewKey(key=key, plaintext=text.plaintext)


@verb(Tag.KEY_REVOKED)
def revoke_key(actor: Actor, key: ApiKey, *, at: datetime) -> None:
    """End a key at once and for good. Revoking again changes nothing.

    Raises:
        KeyNotFound: not the actor's to see.
        Forbidden: not the actor's to revoke.
    """
    standing = standing_of(actor, lock=True)
    key = _locked(actor, key)
    refusal = policy.why_not_revoke(actor, standing, key, policy.bindings_of([key]).get(key.pk, policy.KeyBindings()))
    if refusal:
        raise Forbidden(refusal)
    if key.revoked_at is None:
        notices.tell(actor, key, notices.Notice.REVOKED, at=at)
    _revoke(actor, key, at, because="")


def revoke_keys_of(actor: Actor, owner: User, account: Account, *, at: datetime, because: str) -> int:
    """Revoke all of a leaving person's user keys, inside the caller's transaction; return how many."""
    return revoke_keys(
        actor, ApiKeyQuerySet(ApiKey).filter(account=account, owner=owner, kind=KeyKind.USER), at=at, because=because
    )


def revoke_keys(actor: Actor, keys: ApiKeyQuerySet, *, at: datetime, because: str) -> int:
    """Revoke what is live of some keys, inside the transaction of what made them pointless; return how many."""
    live = list(keys.filter(revoked_at__isnull=True).select_for_update(of=("self",)).order_by("pk"))
    for key in live:
        _revoke(actor, key, at, because=because)
    return len(live)


@verb(Tag.KEY_EXPOSED)
def flag_exposed(actor: Actor, presented: str, *, where: str, at: datetime) -> bool:
    """Mark a key that was seen in an address, a cookie or a form: such places get logged; return whether there is one.

    Unknown keys are ignored. Only the right secret counts, so nobody can mark another's key by knowing its public part.
    """
    key_text = tokens.parse(presented)
    secret = KeySecret.objects.select_related("key__account").filter(public_id=key_text.public_id).first()
    pepper = peppers.ring().get(secret.pepper_id) if secret else None
    if secret is None or pepper is None or not tokens.matches(key_text, pepper, bytes(secret.digest)):
        return False
    if ApiKey.objects.filter(pk=secret.key_id, exposed_at__isnull=True).update(exposed_at=at):
        record(actor, Tag.KEY_EXPOSED, secret.key, account=secret.key.account, at=at, where=where)
        notices.tell(actor, secret.key, notices.Notice.EXPOSED, at=at)
    return True


def _account(actor: Actor) -> Account:
    """Read the account's policy afresh: locked by the verb, its caps, limits and developer lock hold until commit."""
    account = actor.require_account()
    account.refresh_from_db()
    return account


def _locked(actor: Actor, key: ApiKey) -> ApiKey:
    policy.find_key(actor, key.pk)
    return ApiKey.objects.select_for_update(of=("self",)).select_related("account", "owner").get(pk=key.pk)


def _lock_scopes(organizations: Sequence[OrganizationGrant]) -> None:
    # A space that turns private takes the fallback role away, and it must not do so between check and commit.
    spaces = [one.space.pk for grant in organizations for one in grant.spaces]
    fresh = {
        space.pk: space
        for space in Space.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=spaces).order_by("pk")
    }
    for grant in organizations:
        for one in grant.spaces:
            if one.space.pk not in fresh:
                raise NotFound("There is no such space, or you have no access to it.", field="organizations")
            one.space.is_private = fresh[one.space.pk].is_private


def _require_whole(organizations: Sequence[OrganizationGrant]) -> None:
    if not 1 <= len(organizations) <= MAX_SCOPES:
        raise Invalid(f"A service key has 1 to {MAX_SCOPES} organizations.", field="organizations")
    seen: set[int] = set()
    for grant in organizations:
        if grant.organization.pk in seen:
            raise Incompatible(f"The organization “{grant.organization}” is given twice.", field="organizations")
        seen.add(grant.organization.pk)
        if not 1 <= len(grant.spaces) <= MAX_SCOPES:
            raise Invalid(f"Give 1 to {MAX_SCOPES} spaces of “{grant.organization}”.", field="organizations")
        spaces: set[int] = set()
        for one in grant.spaces:
            if one.space.organization_id != grant.organization.pk:
                raise NotAllowed(f"“{one.space}” is not a space of “{grant.organization}”.", field="organizations")
            if one.space.pk in spaces:
                raise Incompatible(f"The space “{one.space}” is given twice.", field="organizations")
            spaces.add(one.space.pk)


def _require_creatable(standing: Standing, grant: OrganizationGrant) -> None:
    scopes: list[Organization | Space] = [grant.organization, *(one.space for one in grant.spaces)]
    for scope in scopes:
        organization = scope.organization if isinstance(scope, Space) else scope
        read = Permission.SPACE_READ if isinstance(scope, Space) else Permission.ORGANIZATION_READ
        if organization.account_id != standing.account.pk or not standing.holds(read, scope):
            raise NotFound(
                f"There is no such {scope._meta.verbose_name}, or you have no access to it.", field="organizations"
            )
        if isinstance(scope, Space) and not standing.holds(Permission.SERVICE_KEY_CREATE, scope):
            raise Forbidden(
                f"You may not create service keys in “{scope}”: that takes the role Member or Admin there. "
                "Ask an admin of the space.",
                permission=Permission.SERVICE_KEY_CREATE,
            )


def _require_service_role(role: Role, scope: Account | Organization | Space, standing: Standing) -> None:
    field_name = "account_role" if isinstance(scope, Account) else "organizations"
    level = {Account: Level.ACCOUNT, Organization: Level.ORGANIZATION, Space: Level.SPACE}[type(scope)]
    if role.deleted_at is not None or role.account_id not in (None, standing.account.pk):
        raise NotFound("There is no such role.", field=field_name)
    if role.level != level:
        raise NotAllowed(f"{role} is not a role at the level {level}.", field=field_name)
    if not role.is_predefined and level != Level.SPACE:
        raise NotAllowed("Custom roles can be given in spaces only.", field=field_name)
    if level == Level.ACCOUNT and role.name not in policy.SERVICE_ACCOUNT_ROLES:
        raise Invalid(f"A service key cannot have the account role {role.name}.", field=field_name)
    if role.is_predefined and role.name == RoleName.ANNOTATOR:
        raise NotAllowed("A service key cannot be an Annotator.", field=field_name)
    if not standing.covers(role, scope):
        raise Escalation(f"You cannot give the role {role} in “{scope}”: it is above your own there.", field=field_name)


def _issue(
    actor: Actor,
    account: Account,
    kind: KeyKind,
    owner: User,
    name: str,
    description: str,
    expires_at: datetime | None,
    at: datetime,
    roles: dict[str, Any],
) -> NewKey:
    if len(description) > MAX_DESCRIPTION or "\x00" in description:
        raise Invalid(f"A description has at most {MAX_DESCRIPTION} characters.", field="description")
    _refuse_key_text(description, "description")
    name = _clean_name(name)
    expires_at = _lifetime(account, expires_at, at)
    _require_room(account, at)
    text = tokens.mint()
    key = ApiKey.objects.create(
        account=account,
        kind=kind,
        name=name,
        description=description.strip(),
        owner=owner,
        created_by=actor.user,
        created_by_name=actor.label,
        created_at=at,
        expires_at=expires_at,
        redacted_key=tokens.redacted(text.plaintext),
    )
    _store(key, text, at)
    record(
        actor,
        Tag.KEY_CREATED,
        key,
        at=at,
        kind=kind.value,
        expires_at=_text(expires_at),
        redacted_key=key.redacted_key,
        **roles,
    )
    if kind == KeyKind.USER:
        notices.tell(actor, key, notices.Notice.CREATED, at=at)
    return NewKey(key=key, plaintext=text.plaintext)


def _lifetime(account: Account, expires_at: datetime | None, at: datetime) -> datetime | None:
    """Return when a key made now ends, under the account's limit."""
    if expires_at is not None and expires_at <= at:
        raise BadLifetime("The expiry must lie in the future.", field="expires_at")
    if expires_at is not None and expires_at > at + _FURTHEST:
        raise BadLifetime(
            "The expiry lies more than a hundred years ahead; leave it out for a key that never expires.",
            field="expires_at",
        )
    if account.max_key_lifetime_days is None:
        return expires_at
    latest = at + timedelta(days=account.max_key_lifetime_days)
    if expires_at is None:
        return latest
    if expires_at > latest:
        raise BadLifetime(
            f"Keys of this account live at most {account.max_key_lifetime_days} days: "
            f"choose an expiry up to {latest:%Y-%m-%d %H:%M} UTC.",
            field="expires_at",
        )
    return expires_at


def _require_room(account: Account, at: datetime) -> None:
    # Both questions look at the cap's own row only, so neither gets slow with the size of the account's history.
    recent = ApiKey.objects.filter(account=account, created_at__gt=at - _HOUR).order_by("-created_at")
    if _reaches(recent, account.max_keys_per_hour):
        oldest = recent.values_list("created_at", flat=True).last() or at
        raise TooFast(
            f"This account made {account.max_keys_per_hour} keys within the hour, which is its limit. Try again later.",
            retry_after=max(1, int((oldest + _HOUR - at).total_seconds())),
        )
    live = ApiKeyQuerySet(ApiKey).filter(account=account).active(at=at).order_by("pk")
    if _reaches(live, account.max_live_keys):
        raise TooManyKeys(
            f"This account already holds {account.max_live_keys} live keys, which is its limit. "
            "Revoke keys that are no longer used."
        )


def _reaches(rows: QuerySet[ApiKey], cap: int) -> bool:
    return cap == 0 or bool(rows.values_list("pk", flat=True)[cap - 1 : cap])


def _require_alive(key: ApiKey, at: datetime) -> None:
    if key.revoked_at is not None:
        raise NotAllowed("The key is revoked; create a new one instead.")
    if key.expires_at is not None and key.expires_at <= at:
        raise NotAllowed("The key has expired; create a new one instead.")


def _retire_secrets(key: ApiKey, *, until: datetime, at: datetime) -> None:
    # Older secrets still in their own grace end with this one's at the latest: "no grace" means that only the new
    # secret opens the key.
    KeySecret.objects.filter(key=key, superseded_at__isnull=False, ends_at__gt=until).update(ends_at=until)
    KeySecret.objects.filter(key=key, superseded_at__isnull=True).update(superseded_at=at, ends_at=until)


def _store(key: ApiKey, text: tokens.KeyText, at: datetime) -> None:
    number, pepper = peppers.newest()
    KeySecret.objects.create(
        key=key, public_id=text.public_id, digest=tokens.digest(text, pepper), pepper_id=number, created_at=at
    )


def _revoke(actor: Actor, key: ApiKey, at: datetime, *, because: str) -> None:
    if key.revoked_at is not None:
        return
    key.revoked_at = at
    key.save(update_fields=["revoked_at"])
    if key.is_service_key:
        User.objects.filter(pk=key.owner_id, kind="BOT").update(is_active=False)
    record(actor, Tag.KEY_REVOKED, key, account=key.account, at=at, kind=key.kind, because=because)


def _clean_name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        raise Invalid(f"A key name has 1 to {MAX_NAME} printable characters.", field="name")
    _refuse_key_text(name, "name")
    return name


def _refuse_key_text(text: str, field_name: str) -> None:
    # Somebody pasted into the wrong field: it would be stored, and shown to everybody who sees the key.
    if KEY_PATTERN.search(text):
        raise Invalid(f"The {field_name} contains an API key; it would be shown to others.", field=field_name)


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
