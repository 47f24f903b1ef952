"""Who is in an account, with which roles where: the questions behind the Members pages.

A page of people costs the same few queries as one person, and shows nobody a scope they may not know of.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from accounts import invitations
from accounts.actors import Actor
from accounts.audit import Tag, history
from accounts.bindings import bindings_readable_by, project_bindings_readable_by
from accounts.errors import NotFound
from accounts.models import (
    Account,
    AccountBinding,
    Organization,
    OrganizationBinding,
    ProjectBinding,
    Role,
    Space,
    SpaceBinding,
    User,
    UserKind,
)
from accounts.people import visible_bots
from accounts.permissions import may, require, visible
from accounts.roles import Level, RoleName
from accounts.standing import Standing
from accounts.vocabulary import Permission
from accounts.wire import encode_id

Scope = Account | Organization | Space

_ROLE = "permission__role"
# How many spaces one page lists for one person. Whoever has more is better looked for from the space's side.
MAX_PLACES = 200


@dataclass(frozen=True)
class Held:
    """A role somebody has at a scope of their own."""

    scope: Organization | Space
    role: Role


@dataclass(frozen=True)
class Access:
    """What somebody may do at a scope, and what that comes from."""

    role: Role
    source: str  # "" for a role of its own at this very scope


@dataclass(frozen=True)
class Member:
    """One row of the list."""

    user: User
    standing: Standing
    role: Role
    is_developer: bool
    since: datetime
    organizations: tuple[Held, ...] = ()
    spaces: tuple[Held, ...] = ()
    here: tuple[Access, ...] = ()

    @property
    def wire_id(self) -> str:
        """The id in the address of the person's page."""
        return encode_id("User", self.user.pk)

    @property
    def is_pending(self) -> bool:
        """Whether the invitation was not accepted yet."""
        return self.user.is_pending

    def is_expired(self, at: datetime) -> bool:
        """Whether the invitation's link has run out."""
        return invitations.status_of(self.user, at) is invitations.Status.EXPIRED


@dataclass(frozen=True)
class Giving:
    """Which kinds of role somebody gives at a scope: predefined ones, and an account's own."""

    predefined: bool
    custom: bool

    def __bool__(self) -> bool:
        return self.predefined or self.custom


@dataclass(frozen=True)
class Place:
    """One scope on a person's page."""

    scope: Scope
    level: Level
    own: tuple[Role, ...] = ()
    access: tuple[Access, ...] = ()
    gives: Giving = Giving(False, False)

    @property
    def may_manage(self) -> bool:
        """Whether whoever looks runs the scope."""
        return self.gives.predefined

    @property
    def wire_id(self) -> str:
        """The id that forms send."""
        return encode_id(type(self.scope).__name__, self.scope.pk)

    @property
    def predefined(self) -> Role | None:
        """The person's own predefined role here."""
        return next((role for role in self.own if role.is_predefined), None)

    @property
    def custom(self) -> tuple[Role, ...]:
        """The person's own custom roles here."""
        return tuple(role for role in self.own if not role.is_predefined)


@dataclass(frozen=True)
class RoleChoice:
    """One role in a list to choose from; ``reason`` says why it is disabled."""

    role: Role
    reason: str = ""
    selected: bool = False

    @property
    def value(self) -> str:
        """What forms send for it."""
        return value_of(self.role)


class Reach(Enum):
    """How somebody comes to be in an organization or a space."""

    OWN = "own"
    INHERITED = "inherited"


@dataclass(frozen=True)
class Wanted:
    """What a list of members is narrowed to; ``reach`` to how they come to be in the organization or space."""

    kind: UserKind = UserKind.PERSON
    query: str = ""
    status: str = ""
    organization: Organization | None = None
    space: Space | None = field(default=None)
    reach: Reach | None = None


def value_of(role: Role) -> str:
    """Return what forms send for a role: the name of a predefined one, the id of an account's own."""
    return role.name if role.is_predefined else encode_id("Role", role.pk)


def giving(mine: Standing, scope: Scope) -> Giving:
    """Return which kinds of role one gives at a scope: predefined ones as its admin, others with the permission."""
    runs = mine.unlimited or any(role.is_admin for role in mine.roles_at(scope))
    return Giving(runs, isinstance(scope, Space) and mine.holds(Permission.ROLE_BINDING_CREATE, scope))


def may_read(actor: Actor) -> bool:
    """Whether the actor may see who is in the account."""
    return may(actor, Permission.USER_READ, actor.require_account())


def members(actor: Actor, mine: Standing, wanted: Wanted) -> QuerySet[AccountBinding]:
    """Return the memberships of people, or of bots, that the actor may see.

    Raises:
        Forbidden: the actor may not see members at all.
    """
    account = actor.require_account()
    require(actor, Permission.USER_READ, account)
    rows = AccountBinding.objects.filter(content_object=account, user__kind=wanted.kind)
    if wanted.kind == UserKind.BOT:
        rows = rows.filter(visible_bots(actor, mine))
    if wanted.query:
        named = Q(user__name__icontains=wanted.query)
        if wanted.kind == UserKind.PERSON:
            named |= Q(user__email__icontains=wanted.query)
        rows = rows.filter(named)
    if wanted.status == "invited":
        rows = rows.filter(user__joined_at__isnull=True, user__is_active=True)
    elif wanted.status == "active":
        rows = rows.filter(user__is_active=True).exclude(user__kind=UserKind.PERSON, user__joined_at__isnull=True)
    if wanted.space is not None:
        rows = rows.filter(
            _gets_into(wanted.space, wanted.space.is_private), _by(wanted.reach, _bound(SpaceBinding, wanted.space))
        )
    elif wanted.organization is not None:
        own = _bound(OrganizationBinding, wanted.organization)
        rows = rows.filter(own | _is_admin(), _by(wanted.reach, own))
    return rows.select_related("user", _ROLE)


def dress(
    actor: Actor,
    mine: Standing,
    bindings: Iterable[AccountBinding],
    *,
    scope: Organization | Space | None = None,
) -> list[Member]:
    """Return the rows of a page of memberships, with everything a page shows of each, and what they are at a scope."""
    account = actor.require_account()
    bindings = list(bindings)
    users = [binding.user for binding in bindings]
    organizations: dict[int, list[Held]] = defaultdict(list)
    spaces: dict[int, list[Held]] = defaultdict(list)
    # All of a person's roles decide what they may do in a space; only those the actor may know of are listed.
    all_organizations: dict[int, dict[int, Role]] = defaultdict(dict)
    all_spaces: dict[int, dict[int, tuple[Role, ...]]] = defaultdict(lambda: defaultdict(tuple))
    seen_organizations, seen_spaces = _visible_numbers(actor, mine, users)
    for row in _organization_rows(account, users):
        all_organizations[row.user_id][row.content_object_id] = row.role
        if seen_organizations is None or row.content_object_id in seen_organizations:
            organizations[row.user_id].append(Held(row.content_object, row.role))
    for line in _space_rows(account, users):
        if line.role.deleted_at is None:
            held = all_spaces[line.user_id]
            held[line.content_object_id] = (*held[line.content_object_id], line.role)
            if seen_spaces is None or line.content_object_id in seen_spaces:
                spaces[line.user_id].append(Held(line.content_object, line.role))
    rows = []
    for binding in bindings:
        user = binding.user
        standing = Standing(
            account=account,
            account_role=binding.role,
            is_developer=binding.is_developer,
            organizations=all_organizations[user.pk],
            spaces=dict(all_spaces[user.pk]),
        )
        member = Member(
            user=user,
            standing=standing,
            role=binding.role,
            is_developer=binding.is_developer,
            since=binding.created_at,
            organizations=tuple(organizations[user.pk]),
            spaces=tuple(spaces[user.pk]),
        )
        rows.append(replace(member, here=access(standing, scope)) if scope else member)
    return rows


def find(actor: Actor, mine: Standing, number: int) -> Member:
    """Return one member with their roles. Everybody may look at themselves.

    Raises:
        NotFound: there is no such member, or the actor may not know.
    """
    account = actor.require_account()
    is_self = actor.user is not None and actor.user.pk == number
    rows = AccountBinding.objects.filter(content_object=account, user_id=number).select_related("user", _ROLE)
    binding = rows.first() if is_self or may_read(actor) else None
    if binding is None or (binding.user.is_bot and not rows.filter(visible_bots(actor, mine)).exists()):
        raise NotFound("There is no such person in this account.")
    (member,) = dress(actor, mine, [binding])
    return member


def access(standing: Standing, scope: Organization | Space) -> tuple[Access, ...]:
    """Return what counts for somebody at a scope, and where each role comes from, the scope's own first."""
    organization_id = scope.organization_id if isinstance(scope, Space) else scope.pk
    of_organization = standing.organizations.get(organization_id)
    own = (
        standing.spaces.get(scope.pk, ())
        if isinstance(scope, Space)
        else ((of_organization,) if of_organization else ())
    )
    lines = []
    for role in standing.roles_at(scope):
        if role in own:
            lines.append(Access(role, ""))
        elif role is of_organization:
            lines.append(Access(role, "from the organization"))
        elif role.is_admin:
            lines.append(Access(role, "from the account"))
    return tuple(sorted(lines, key=lambda line: line.source != ""))


def candidates(actor: Actor, mine: Standing, scope: Organization | Space, query: str) -> QuerySet[AccountBinding]:
    """Return who could be given a first role at a scope: of the account, and for a space of its organization.

    Raises:
        Forbidden: the actor may not see members at all.
    """
    inside = scope.organization if isinstance(scope, Space) else None
    rows = members(actor, mine, Wanted(query=query, organization=inside)).filter(user__is_active=True)
    return rows.filter(~_bound(SpaceBinding if isinstance(scope, Space) else OrganizationBinding, scope))


def only_while_public(actor: Actor, space: Space) -> QuerySet[AccountBinding]:
    """Return the people and bots whom nothing but their organization role lets into a public space."""
    rows = AccountBinding.objects.filter(content_object=actor.require_account(), user__is_active=True)
    return rows.filter(_gets_into(space, False) & ~_gets_into(space, True)).select_related("user")


def places(actor: Actor, mine: Standing, member: Member) -> list[Place]:
    """Return the scopes below the account where a member has access, organizations each followed by their spaces."""
    account = actor.require_account()
    organizations: QuerySet[Organization] = Organization.objects.filter(account=account)
    spaces: QuerySet[Space] = Space.objects.filter(organization__account=account)
    if not mine.is_account_admin and actor.user is not None:
        organizations = visible(actor.user, Organization).filter(account=account)
        spaces = visible(actor.user, Space).filter(organization__account=account)
    in_organizations, in_spaces = list(member.standing.organizations), list(member.standing.spaces)
    organizations = organizations.filter(Q(pk__in=in_organizations) | Q(spaces__in=in_spaces)).distinct()
    spaces = spaces.filter(Q(organization__in=in_organizations) | Q(pk__in=in_spaces)).select_related("organization")
    below: dict[int, list[Place]] = defaultdict(list)
    for space in spaces.order_by("name", "pk")[:MAX_PLACES]:
        reach = access(member.standing, space)
        if reach:
            own = member.standing.spaces.get(space.pk, ())
            below[space.organization_id].append(Place(space, Level.SPACE, own, reach, giving(mine, space)))
    found = []
    for organization in organizations.order_by("name", "pk"):
        role = member.standing.organizations.get(organization.pk)
        own = (role,) if role else ()
        reach = access(member.standing, organization)
        found.append(Place(organization, Level.ORGANIZATION, own, reach, giving(mine, organization)))
        found.extend(below[organization.pk])
    return found


def addable_organizations(actor: Actor, mine: Standing, member: Member | None = None) -> list[Organization]:
    """Return the organizations the actor runs and the member is not in yet."""
    rows = Organization.objects.filter(account=actor.require_account()).order_by("name", "pk")
    if not mine.is_account_admin:
        rows = rows.filter(pk__in=[pk for pk, role in mine.organizations.items() if role.is_admin])
    return list(rows.exclude(pk__in=list(member.standing.organizations) if member else [])[:MAX_PLACES])


def addable_spaces(actor: Actor, mine: Standing, member: Member | None = None) -> list[Space]:
    """Return the spaces where the actor gives roles, and the member has none of their own yet and could have one."""
    rows = Space.objects.filter(organization__account=actor.require_account()).select_related("organization")
    if not mine.is_account_admin:
        admin_of = [pk for pk, role in mine.organizations.items() if role.is_admin]
        able = Permission.ROLE_BINDING_CREATE  # which every admin of a space holds
        own = [pk for pk, roles in mine.spaces.items() if any(role.allows(able) for role in roles)]
        rows = rows.filter(Q(organization__in=admin_of) | Q(pk__in=own))
    if member is not None:
        rows = rows.exclude(pk__in=list(member.standing.spaces))
        if not member.role.is_admin:
            rows = rows.filter(organization__in=list(member.standing.organizations))
    return list(rows.order_by("organization__name", "name", "pk")[:MAX_PLACES])


def roles_by_level(account: Account) -> dict[Level, list[Role]]:
    """Return the roles of each level, predefined ones first and highest first, then the account's own: one query."""
    found: dict[Level, list[Role]] = {level: [] for level in Level}
    rows = Role.objects.filter(Q(account__isnull=True) | Q(account=account), deleted_at__isnull=True)
    for role in sorted(rows, key=lambda role: (not role.is_predefined, -(role.rank or 0), role.name)):
        found[Level(role.level)].append(role)
    return found


def with_holders(roles: QuerySet[Role]) -> QuerySet[Role]:
    """Add to roles of spaces, as ``holders``, how often each is held there and in projects."""
    return roles.annotate(holders=_times(SpaceBinding) + _times(ProjectBinding))


def holders(actor: Actor, role: Role) -> QuerySet[SpaceBinding]:
    """Return who holds a role in which space, as far as the actor may read that."""
    rows = bindings_readable_by(actor).filter(permission=role.permission_id)
    return rows.select_related("user", "content_object__organization")


def project_holders(actor: Actor, role: Role) -> QuerySet[ProjectBinding]:
    """Return who holds a role in which single project, newest first, as far as the actor may read that."""
    rows = project_bindings_readable_by(actor).filter(permission=role.permission_id)
    return rows.select_related("user", "content_object__space").order_by("-pk")


def choices(
    roles: list[Role], scope: Scope, mine: Standing, *, member: Member | None, current: Role | None
) -> list[RoleChoice]:
    """Return the roles one may choose from at a scope, those out of reach disabled with the reason."""
    return [
        RoleChoice(role, "" if role == current else _why_not(role, scope, mine, member), role == current)
        for role in roles
    ]


def invitable(roles: list[Role], mine: Standing) -> list[RoleChoice]:
    """Return the account roles one may invite somebody with (contract rest-v2 §6)."""
    allowed = {RoleName.MEMBER.value, RoleName.ANNOTATOR.value}
    found = []
    for role in roles:
        reason = "" if mine.is_account_admin or role.name in allowed else "only account admins give it"
        found.append(RoleChoice(role, reason, role.name == RoleName.MEMBER))
    return found


def admins(actor: Actor) -> list[User]:
    """Return a few account admins, for sentences that say whom to ask."""
    rows = User.objects.filter(
        accountbinding__content_object=actor.require_account(),
        accountbinding__permission__role__account__isnull=True,
        accountbinding__permission__role__name=RoleName.ADMIN,
        kind=UserKind.PERSON,
        is_active=True,
        joined_at__isnull=False,
    )
    return list(rows.order_by("pk")[:3])


def inviters(account: Account, users: Iterable[User]) -> dict[int, str]:
    """Return who invited each of some people last, by the person's number: one query."""
    numbers = [user.pk for user in users]
    events = history(account).filter(
        tag=Tag.PERSON_INVITED, outcome="SUCCEEDED", target_type="User", target_id__in=numbers
    )
    last = events.order_by("target_id", "-pk").distinct("target_id").values_list("target_id", "actor_label")
    return {number: label.partition(" <")[0] for number, label in last if number is not None}


def _times(table: type[SpaceBinding] | type[ProjectBinding]) -> Coalesce:
    held = table._default_manager.filter(permission=OuterRef("permission")).order_by().values("permission")
    return Coalesce(Subquery(held.annotate(count=Count("pk")).values("count")), 0)


def _why_not(role: Role, scope: Scope, mine: Standing, member: Member | None) -> str:
    gives = giving(mine, scope)
    if not (gives.predefined if role.is_predefined else gives.custom):
        return "only its admins give this" if role.is_predefined else "you lack ROLE_BINDING_CREATE there"
    if not mine.covers(role, scope):
        return "above your own role"
    if member is None or not role.is_predefined:
        return ""
    if isinstance(scope, Account):
        below = member.standing.organizations.values()
        if role.name == RoleName.ANNOTATOR and any(one.name != RoleName.ANNOTATOR for one in below):
            return "first take them out of their organizations"
        if role.name != RoleName.ANNOTATOR and any(one.name == RoleName.ANNOTATOR for one in below):
            return "first take them out of their organizations"
        return ""
    annotates = member.role.name == RoleName.ANNOTATOR
    if annotates != (role.name == RoleName.ANNOTATOR):
        return "annotators of the account are only that" if annotates else "only for annotators of the account"
    return ""


def _visible_numbers(actor: Actor, mine: Standing, users: list[User]) -> tuple[set[int] | None, set[int] | None]:
    """Return which of the users' scopes the actor may know of; ``None`` for all."""
    if actor.user is None or mine.is_account_admin:
        return None, None
    account = actor.require_account()
    organizations = visible(actor.user, Organization).filter(account=account, bindings__user__in=users)
    spaces = visible(actor.user, Space).filter(organization__account=account, bindings__user__in=users)
    return set(organizations.values_list("pk", flat=True)), set(spaces.values_list("pk", flat=True))


def _organization_rows(account: Account, users: list[User]) -> QuerySet[OrganizationBinding]:
    rows = OrganizationBinding.objects.filter(user__in=users, content_object__account=account)
    return rows.select_related(_ROLE, "content_object").order_by("content_object__name", "pk")


def _space_rows(account: Account, users: list[User]) -> QuerySet[SpaceBinding]:
    rows = SpaceBinding.objects.filter(user__in=users, content_object__organization__account=account)
    return rows.select_related(_ROLE, "content_object__organization").order_by("content_object__name", "pk")


def _gets_into(space: Space, is_private: bool) -> Q:
    """Match everybody with access to a space, were it private or public: the other side of ``permitted``."""
    of_organization = OrganizationBinding.objects.filter(user=OuterRef("user"), content_object_id=space.organization_id)
    if is_private:
        of_organization = of_organization.filter(
            permission__role__account__isnull=True, permission__role__name=RoleName.ADMIN
        )
    return _is_admin() | Q(Exists(of_organization)) | _bound(SpaceBinding, space)


def _by(reach: Reach | None, own: Q) -> Q:
    """Match those who come in by a role of their own, or without one, or everybody."""
    return Q() if reach is None else own if reach is Reach.OWN else ~own


def _bound(table: type[OrganizationBinding] | type[SpaceBinding], scope: Organization | Space) -> Q:
    return Q(Exists(table._default_manager.filter(user=OuterRef("user"), content_object_id=scope.pk)))


def _is_admin() -> Q:
    return Q(permission__role__account__isnull=True, permission__role__name=RoleName.ADMIN)
