"""Granting, changing and withdrawing roles: the guardian row and its audit event, together.

Who has which role in a project is decided in its space, with what one may do there: a project that is restricted can
still be given members, by those who run the space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar, cast

from django.db.models import Q, QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.errors import Conflict, Escalation, Forbidden, Incompatible, NotAllowed, NotFound
from accounts.models import (
    Account,
    AccountBinding,
    Organization,
    OrganizationBinding,
    Project,
    ProjectBinding,
    Role,
    Space,
    SpaceBinding,
    User,
    UserKind,
)
from accounts.models.bindings import Binding
from accounts.permissions import account_of, may_see, permitted, require, visible
from accounts.roles import DEVELOPER_BY_DEFAULT, Level, RoleName
from accounts.standing import Standing, standing_of
from accounts.verbs import verb
from accounts.vocabulary import Permission

Scope = Account | Organization | Space | Project
B = TypeVar("B", bound=SpaceBinding | ProjectBinding)
_TABLES: dict[type[Scope], type[Binding]] = {
    Account: AccountBinding,
    Organization: OrganizationBinding,
    Space: SpaceBinding,
    Project: ProjectBinding,
}
# How a binding leads to the scopes at and around its own, outermost table first.
_WAYS: dict[type[Binding], dict[type[Scope], str]] = {
    AccountBinding: {Account: "content_object"},
    OrganizationBinding: {Account: "content_object__account", Organization: "content_object"},
    SpaceBinding: {
        Account: "content_object__organization__account",
        Organization: "content_object__organization",
        Space: "content_object",
    },
    ProjectBinding: {
        Account: "content_object__space__organization__account",
        Organization: "content_object__space__organization",
        Space: "content_object__space",
        Project: "content_object",
    },
}


def predefined(level: Level, name: RoleName | str) -> Role:
    """Return a predefined role's row.

    Raises:
        NotFound: there is no such role at this level.
    """
    role = Role.objects.filter(account__isnull=True, level=level, name=name).first()
    if role is None:
        raise NotFound(f"There is no role {name} at the level {level}.", field="role")
    return role


def level_of(scope: Scope) -> Level:
    """Return the level at which roles apply to a scope."""
    return _TABLES[type(scope)].level


def ruling(scope: Scope) -> Account | Organization | Space:
    """Return the scope where it is decided who has which role at this one: of a project, its space."""
    return scope.space if isinstance(scope, Project) else scope


def freshen(roles: Iterable[Role]) -> None:
    """Bring custom roles up to date, now that the account is locked: at most one query.

    Since the caller read them, they may have come to permit more, or be deleted.
    """
    custom = [role for role in roles if not role.is_predefined]
    if not custom:
        return
    now = Role.objects.in_bulk({role.pk for role in custom})
    for role in custom:
        role.permissions, role.deleted_at = now[role.pk].permissions, now[role.pk].deleted_at


def may_manage_members(actor: Actor, scope: Scope) -> bool:
    """Whether the actor may grant and withdraw roles at a scope: its admins, and those above."""
    if actor.account is None or account_of(scope) != actor.account.pk:
        return False
    standing = standing_of(actor)
    return standing.unlimited or any(role.is_admin for role in standing.roles_at(ruling(scope)))


@verb(Tag.ROLE_GRANTED)
def bind_role(actor: Actor, *, user: User, role: Role, scope: Scope, at: datetime) -> Binding:
    """Give a user a role at a scope, in place of the one of the same kind held there before.

    Raises:
        NotFound: the scope is not the actor's to see.
        Forbidden: the actor does not run the scope, or for a custom role: lacks ROLE_BINDING_CREATE there, and to take
            another one away for it ROLE_BINDING_DELETE; or that one is above the actor's own.
        Escalation: the role is above the actor's own.
        Incompatible: it does not go with what the user is elsewhere.
        NotAllowed: wrong level, a bot or a person of another account, the last account admin, and the like.
    """
    freshen([role])
    _require_binder(actor, role, scope, Permission.ROLE_BINDING_CREATE)
    if isinstance(scope, Account) and not actor.is_operator and not _rows(AccountBinding, user, content_object=scope):
        raise NotFound(f"{user.name} is not a member of this account; invite them first.", field="user")
    standing = standing_of(actor, lock=True)
    if not standing.covers(role, ruling(scope)):
        raise Escalation(f"You cannot grant {role} in “{scope}”: it is above your own role there.", field="role")
    before = _same_kind(_TABLES[type(scope)], user, role, scope).first()
    if before is not None and before.permission_id != role.permission_id:
        _require_binder(actor, before.role, scope, Permission.ROLE_BINDING_DELETE)
        _require_at_or_below(standing, user, before.role, scope)
    return grant(actor, user=user, role=role, scope=scope, at=at)


@verb(Tag.ROLE_GRANTED)
def bind_new(
    actor: Actor, *, user: User, role: Role, scope: Space | Project, at: datetime
) -> SpaceBinding | ProjectBinding:
    """Give a user a role in a space or a project where they have none of its kind: predefined, or custom.

    Raises:
        Conflict: they have one.
        What ``bind_role`` raises.
    """
    _require_binder(actor, role, scope, Permission.ROLE_BINDING_CREATE)
    if _same_kind(_TABLES[type(scope)], user, role, scope).exists():
        kind = "predefined" if role.is_predefined else "custom"
        raise Conflict(f"{user.name} has a {kind} role in “{scope}” already: change that one.")
    return cast("SpaceBinding | ProjectBinding", bind_role(actor, user=user, role=role, scope=scope, at=at))


@verb(Tag.ROLE_CHANGED)
def change_binding(actor: Actor, binding: B, *, role: Role, at: datetime) -> B:
    """Put another role into a binding, which stays the same one.

    Raises:
        Forbidden: the actor may not withdraw the old role, or not give the new one.
        Escalation: one of the two is above the actor's own.
        Conflict: the user has another binding of the new role's kind in the same place.
        NotFound: the binding is gone.
    """
    freshen([role])
    binding = _locked(binding)
    scope, user, before = binding.content_object, binding.user, binding.role
    _require_binder(actor, before, scope, Permission.ROLE_BINDING_DELETE)
    _require_binder(actor, role, scope, Permission.ROLE_BINDING_CREATE)
    standing = standing_of(actor, lock=True)
    for one in (before, role):
        if not standing.covers(one, ruling(scope)):
            raise Escalation(f"{one} is above your own role in “{scope}”.", field="role_id")
    if _same_kind(type(binding), user, role, scope).exclude(pk=binding.pk).exists():
        raise Conflict(f"{user.name} has another binding of this kind in “{scope}”: change that one.")
    _require_sensible(user, role, scope)
    if before != role:
        binding.permission = role.permission
        binding.save(update_fields=["permission", "updated_at"])
        record(actor, Tag.ROLE_CHANGED, user, at=at, role=role.name, before=before.name, **_where(scope))
    return binding


@verb(Tag.ROLE_WITHDRAWN)
def delete_binding(actor: Actor, binding: SpaceBinding | ProjectBinding, *, at: datetime) -> None:
    """Withdraw one role in a space or a project; other roles the user has there, or below, stay.

    Raises:
        Forbidden: the actor may not, or the role is above their own.
        NotFound: the binding is gone.
    """
    binding = _locked(binding)
    scope, user, role = binding.content_object, binding.user, binding.role
    _require_binder(actor, role, scope, Permission.ROLE_BINDING_DELETE)
    _require_at_or_below(standing_of(actor, lock=True), user, role, scope)
    binding.delete()
    record(actor, Tag.ROLE_WITHDRAWN, user, at=at, role=role.name, **_where(scope))


def bindings_readable_by(actor: Actor) -> QuerySet[SpaceBinding]:
    """Return the bindings in spaces where the actor may read them; a bot's only where they may know of its key."""

    def may_read(user: User) -> Q:
        return Q(content_object__in=permitted(user, Permission.ROLE_BINDING_READ, Space))

    return _readable(actor, SpaceBinding, may_read)


def project_bindings_readable_by(actor: Actor) -> QuerySet[ProjectBinding]:
    """Return the bindings in projects where the actor may read them; a bot's only where they may know of its key.

    Whoever gives roles in the space reads those in its restricted projects too. To others in the space, who may not
    know of such a project, its bindings do not exist either.
    """

    def may_read(user: User) -> Q:
        giving = Q(content_object__space__in=permitted(user, Permission.ROLE_BINDING_CREATE, Space))
        return giving | Q(content_object__in=permitted(user, Permission.ROLE_BINDING_READ, Project))

    return _readable(actor, ProjectBinding, may_read)


def find_binding(actor: Actor, number: int) -> SpaceBinding | ProjectBinding:
    """Return a binding the actor may read, in a space or in a project: the numbers of the two never meet.

    Raises:
        NotFound: there is none, or the actor may not know of it.
    """
    in_space = bindings_readable_by(actor).filter(pk=number).first()
    return in_space or _found(project_bindings_readable_by(actor).filter(pk=number).first())


def find_membership(actor: Actor, number: int) -> SpaceBinding:
    """Return a binding in a space that the actor may read.

    Raises:
        NotFound: there is none, or the actor may not know of it.
    """
    return _found(bindings_readable_by(actor).filter(pk=number).first())


def grant(actor: Actor, *, user: User, role: Role, scope: Scope, at: datetime) -> Binding:
    """Write a binding whose rightfulness the calling verb has already decided, with its audit event.

    Raises:
        NotAllowed: the binding would make no sense.
    """
    _require_sensible(user, role, scope)
    if isinstance(scope, Account):
        _require_another_admin(user, scope, becoming=role)
    table = _TABLES[type(scope)]
    before = _same_kind(table, user, role, scope).first()
    if before is None:
        extra = {"is_developer": role.name in DEVELOPER_BY_DEFAULT} if table is AccountBinding else {}
        binding = table._default_manager.create(user=user, permission=role.permission, content_object=scope, **extra)
        record(actor, Tag.ROLE_GRANTED, user, at=at, role=role.name, **_where(scope))
        return cast(Binding, binding)  # the table is chosen at run time, out of its stubs' sight
    if before.permission_id == role.permission_id:
        return before
    was = before.role.name
    before.permission = role.permission
    fields = ["permission", "updated_at"]
    if isinstance(before, AccountBinding):
        was_developer = before.is_developer
        # A new account role brings its own default (contract rest-v2 §14.3); an admin may change it afterwards.
        before.is_developer = role.name in DEVELOPER_BY_DEFAULT
        fields.append("is_developer")
    before.save(update_fields=fields)
    record(actor, Tag.ROLE_CHANGED, user, at=at, role=role.name, before=was, **_where(scope))
    if isinstance(before, AccountBinding) and before.is_developer != was_developer:
        record(actor, Tag.DEVELOPER_CHANGED, user, at=at, before=was_developer, after=before.is_developer)
    return before


def furnish_bot(
    bot: User,
    *,
    account: Account,
    account_role: Role,
    organizations: Iterable[tuple[Organization, Role]],
    spaces: Iterable[tuple[Space, Role]],
) -> None:
    """Write the bindings a bot is born with. The event that records its key names them all."""
    AccountBinding.objects.create(
        user=bot, permission=account_role.permission, content_object=account, is_developer=True
    )
    for organization, role in organizations:
        OrganizationBinding.objects.create(user=bot, permission=role.permission, content_object=organization)
    for space, role in spaces:
        SpaceBinding.objects.create(user=bot, permission=role.permission, content_object=space)


@verb(Tag.ROLE_WITHDRAWN)
def unbind_role(actor: Actor, *, user: User, scope: Organization | Space | Project, at: datetime) -> None:
    """Take a user's roles at an organization, a space or a project away, with those below it. Idempotent.

    Leaving an account is more than that: see ``people.remove_person``.

    Raises:
        NotFound: the scope is not the actor's to see.
        Forbidden: the actor does not run it, or the user's role there is above the actor's own.
    """
    _require_manager(actor, scope)
    standing = standing_of(actor, lock=True)
    for binding in _rows(_TABLES[type(scope)], user, content_object=scope):
        _require_at_or_below(standing, user, binding.role, scope)
    withdraw(actor, user=user, scope=scope, at=at)


def withdraw(actor: Actor, *, user: User, scope: Scope, at: datetime) -> None:
    """Delete a user's bindings at a scope and everywhere below, with one audit event each."""
    for rows in reversed(bindings_within(scope)):
        for binding in rows.filter(user=user):
            record(actor, Tag.ROLE_WITHDRAWN, user, at=at, role=binding.role.name, **_where(binding.content_object))
            binding.delete()


def bindings_within(scope: Scope) -> list[QuerySet[Binding]]:
    """Return everybody's roles at a scope and below it, outermost first: what goes when the scope is deleted."""
    kind = type(scope)
    tables = [table._default_manager.filter(**{ways[kind]: scope}) for table, ways in _WAYS.items() if kind in ways]
    return [rows.select_related("user", "permission__role", "content_object").order_by("pk") for rows in tables]


def is_bound_within(user: User, scope: Organization | Space | Project) -> bool:
    """Whether a user has a role of their own at a scope or below it: something that leaving takes away."""
    return any(rows.filter(user=user).exists() for rows in bindings_within(scope))


def described(binding: Binding) -> dict[str, Any]:
    """Say for an event who held what where: the row itself may be about to go."""
    where = _where(binding.content_object)
    return {"user": str(binding.user), "user_id": binding.user_id, "role": binding.role.name, **where}


@verb(Tag.DEVELOPER_CHANGED)
def set_developer_access(actor: Actor, *, user: User, allowed: bool, at: datetime) -> None:
    """Switch a person's developer access. Account admins only (contract rest-v2 §6).

    Raises:
        NotFound: the person is not in the account.
        Forbidden: the actor is not an account admin.
    """
    account = actor.require_account()
    if not standing_of(actor).is_account_admin:
        raise Forbidden("Only an account admin changes developer access.")
    binding = AccountBinding.objects.select_for_update().filter(user=user, content_object=account).first()
    if binding is None:
        raise NotFound("There is no such person in this account.")
    if binding.is_developer != allowed:
        binding.is_developer = allowed
        binding.save(update_fields=["is_developer", "updated_at"])
        record(actor, Tag.DEVELOPER_CHANGED, user, at=at, before=not allowed, after=allowed)


def require_not_last_admin(user: User, account: Account) -> None:
    """Refuse to lose the last account admin who can still sign in.

    Raises:
        NotAllowed: the user is that admin.
    """
    _require_another_admin(user, account, becoming=None)


def _require_manager(actor: Actor, scope: Scope) -> None:
    if not may_see(actor, ruling(scope)):
        raise NotFound(f"There is no such {scope._meta.verbose_name}, or you have no access to it.")
    if not may_manage_members(actor, scope):
        raise Forbidden(f"Only an admin of “{ruling(scope)}” changes its members.")


def _require_binder(actor: Actor, role: Role, scope: Scope, permission: Permission) -> None:
    """Predefined roles are for those who run the scope, custom ones for whoever holds the permission there."""
    if isinstance(scope, Space | Project) and not role.is_predefined:
        require(actor, permission, ruling(scope))
    else:
        _require_manager(actor, scope)


def _require_at_or_below(standing: Standing, user: User, role: Role, scope: Scope) -> None:
    if not standing.covers(role, ruling(scope)):
        raise Forbidden(f"{user.name}'s role in “{scope}” is above your own; ask an admin above.")


def _readable(actor: Actor, table: type[B], may_read: Callable[[User], Q]) -> QuerySet[B]:
    ways, account = _WAYS[table], actor.require_account()
    rows = table._default_manager.filter(**{ways[Account]: account}).select_related("permission__role")
    if actor.is_operator:
        return rows
    if actor.user is None:
        return rows.none()
    keys = {f"{ways[Space]}__in": permitted(actor.user, Permission.SERVICE_KEY_READ, Space)}
    return rows.filter(may_read(actor.user)).exclude(~Q(**keys), user__kind=UserKind.BOT)


def _found(binding: B | None) -> B:
    if binding is None:
        raise NotFound("There is no such role binding, or you have no access to it.")
    return binding


def _locked(binding: B) -> B:
    table = type(binding)
    rows: QuerySet[B] = table._default_manager.select_for_update(of=("self",)).filter(pk=binding.pk)
    return _found(rows.select_related("permission__role", "user", _WAYS[table][Organization]).first())


def _require_sensible(user: User, role: Role, scope: Scope) -> None:
    if role.deleted_at is not None or role.account_id not in (None, account_of(scope)):
        raise NotFound("There is no such role.", field="role")
    if role.level != level_of(scope):
        raise NotAllowed(f"{role} is not a role for “{scope}”.", field="role")
    if isinstance(scope, Account):
        if user.is_bot:
            raise NotAllowed("A bot belongs to the account of its key, in the role the key was given.", field="user")
        _require_annotator_alone(user, role, scope)
        return
    # Membership goes from the outside in: nobody is in a space without being in its organization and account.
    account_binding = (
        AccountBinding.objects.filter(user=user, content_object_id=account_of(scope))
        .select_related("permission__role")
        .first()
    )
    if account_binding is None:
        raise NotAllowed(f"{user.name} is not a member of this account; invite them first.", field="user")
    annotator = account_binding.role.name == RoleName.ANNOTATOR
    if role.is_predefined and annotator != (role.name == RoleName.ANNOTATOR):
        raise Incompatible(
            "Annotator goes together: an Annotator of the account is an Annotator everywhere, and nobody else is.",
            field="role",
        )
    inside = ruling(scope)
    if isinstance(inside, Space) and not visible_organization(user, inside.organization):
        raise Incompatible(
            f"{user.name} is not a member of “{inside.organization}”; add them there first.", field="user"
        )


def _require_annotator_alone(user: User, role: Role, account: Account) -> None:
    below = bindings_within(account)[1:]
    held = [binding.role for rows in below for binding in rows.filter(user=user) if binding.role.is_predefined]
    becomes = role.name == RoleName.ANNOTATOR
    if any((below.name == RoleName.ANNOTATOR) != becomes for below in held):
        raise NotAllowed(
            f"Annotator goes together: first take {user.name} out of the organizations, then change the account role.",
            field="role",
        )


def visible_organization(user: User, organization: Organization) -> bool:
    """Whether a user may be given a role in a space of the organization: its members, and account admins."""
    return visible(user, Organization).filter(pk=organization.pk).exists()


def _require_another_admin(user: User, account: Account, *, becoming: Role | None) -> None:
    if becoming is not None and becoming.is_admin:
        return
    admins = AccountBinding.objects.filter(
        content_object=account, permission__role__account__isnull=True, permission__role__name=RoleName.ADMIN
    )
    if not admins.filter(user=user).exists():
        return
    others = admins.exclude(user=user).filter(user__is_active=True, user__kind="PERSON")
    # Django marks a password that nobody can type with a leading "!".
    others = others.exclude(user__password__startswith="!")  # noqa: S106 -- a mark
    if not others.filter(user__joined_at__isnull=False).exists():
        raise NotAllowed(
            f"{user.name} is the last admin of “{account}”. Make somebody else an account admin first.", field="role"
        )


def _same_kind(table: type[Binding], user: User, role: Role, scope: Scope) -> QuerySet[Binding]:
    """Find the binding that a new one replaces: below organizations, each kind has its own."""
    rows = _rows(table, user, content_object=scope)
    if table in (SpaceBinding, ProjectBinding):
        rows = rows.filter(permission__role__account__isnull=role.is_predefined)
    return rows


def _rows(table: type[Binding], user: User, **where: object) -> QuerySet[Binding]:
    return table._default_manager.filter(user=user, **where).select_related("permission__role", "content_object")


def _where(scope: Scope) -> dict[str, Any]:
    level = "PROJECT" if isinstance(scope, Project) else level_of(scope).value
    return {"level": level, "scope": str(scope), "scope_id": scope.pk}
