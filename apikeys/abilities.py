"""What a key will be able to do, in words, before it is made; and why somebody cannot make one, and whom to ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from accounts.actors import Actor
from accounts.models import Account, AccountBinding, Organization, Role, Space, SpaceBinding, User, UserKind
from accounts.permissions import permitted
from accounts.roles import Level, RoleName
from accounts.roster import admins
from accounts.standing import Standing
from accounts.vocabulary import Permission
from apikeys import policy

# Spaces named one by one; whoever is in more knows that without a list.
_NAMED_SPACES = 5
# People to ask: a few, so that somebody answers.
_NAMED_PEOPLE = 3


@dataclass(frozen=True)
class Line:
    """One sentence; ``cannot`` marks a limit rather than an ability."""

    text: str
    place: str = ""
    cannot: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why no key can be made here, and who could change that."""

    title: str
    text: str
    people: Sequence[User] = ()
    tone: str = "info"


def of_user_key(actor: Actor, standing: Standing) -> list[Line]:
    """Say what a user key of this person opens."""
    lines: list[Line] = []
    if standing.is_account_admin:
        lines.append(
            Line(f"Everything, in every organization and space of {standing.account}: you are an account admin.")
        )
    elif actor.user is not None:
        spaces = list(
            permitted(actor.user, Permission.SPACE_READ, Space)
            .filter(organization__account=standing.account)
            .select_related("organization")
            .order_by("organization__name", "name", "pk")[: _NAMED_SPACES + 1]
        )
        lines = [Line(_says(_highest(standing, space)), _place(space)) for space in spaces[:_NAMED_SPACES]]
        if len(spaces) > _NAMED_SPACES:
            lines.append(Line("The same as you in every other space you can open."))
        if not spaces:
            lines.append(Line("Nothing yet: you are in no space. It will follow you into the spaces you are added to."))
    lines.append(Line("It follows you: when your roles change, so does what the key may do.", cannot=True))
    lines.append(Line("It stops working when you leave the account.", cannot=True))
    return lines


def of_service_key(
    spaces: Sequence[tuple[Space, Role | None]],
    organizations: Sequence[tuple[Organization, Role | None]],
    account_role: Role | None,
    account: Account,
) -> list[Line]:
    """Say what a service key with these roles opens."""
    if account_role is not None and account_role.is_admin:
        lines = [Line(f"Everything, in every organization and space of {account}: its Account Role is Admin.")]
    else:
        lines = [Line(_says([role]), _place(space)) for space, role in spaces if role is not None]
        lines += [_through_organization(organization, role) for organization, role in organizations if role is not None]
        if account_role is not None:
            lines.append(Line(f"{_says([account_role])} This is its Account Role.", f"the account {account}"))
        lines.append(Line("Nothing anywhere else.", cannot=True))
    lines.append(Line("It acts as a bot user of its own, and goes on working when you leave.", cannot=True))
    return lines


def why_no_user_key(actor: Actor, standing: Standing) -> Refusal | None:
    """Return why this person cannot make any key right now, or ``None``."""
    if policy.may_create_user_key(actor, standing):
        return None
    if standing.account.developer_access_locked:
        return Refusal(
            "Keys are locked for this account",
            "The developer access lock is on: nobody can create or refresh keys, account admins included. "
            "Service keys that exist keep working; user keys are refused until it is lifted.",
            admins(actor),
            "warn",
        )
    return Refusal(
        "You have no developer access",
        "Creating and refreshing API keys takes developer access, which an account admin gives to each person.",
        admins(actor),
    )


def why_no_service_key(actor: Actor, standing: Standing) -> Refusal | None:
    """Return why this person cannot make a service key right now, or ``None``."""
    refusal = why_no_user_key(actor, standing)
    if refusal is not None or policy.spaces_for_service_keys(actor).exists():
        return refusal
    return Refusal(
        "You cannot make service keys",
        "A service key takes the role Member or Admin in its space. "
        "You are a Read-Only Member, an Annotator or not yet a member in every space you can open.",
        _space_admins(actor, standing) or admins(actor),
    )


def _through_organization(organization: Organization, role: Role) -> Line:
    if role.is_admin:
        return Line(f"Everything in {organization}, private spaces too: its Org Role is Admin.")
    return Line(f"{_says([role])} This is its Org Role.", f"{organization}, other public spaces")


def _highest(standing: Standing, space: Space) -> list[Role]:
    roles = [role for role in standing.roles_at(space) if role is not standing.account_role]
    predefined = sorted((role for role in roles if role.is_predefined), key=lambda role: role.rank or 0)
    return [*predefined[-1:], *(role for role in roles if not role.is_predefined)]


def _says(roles: Sequence[Role]) -> str:
    return " ".join(f"{role.label}. {role.description}".strip() for role in roles)


def _place(space: Space) -> str:
    return f"{space.organization} / {space}"


def _space_admins(actor: Actor, standing: Standing) -> list[User]:
    if actor.user is None:
        return []
    readable = permitted(actor.user, Permission.SPACE_READ, Space).filter(organization__account=standing.account)
    admin = SpaceBinding.objects.filter(
        user=OuterRef("pk"),
        content_object__in=readable,
        permission__role__level=Level.SPACE,
        permission__role__name=RoleName.ADMIN,
        permission__role__account__isnull=True,
    )
    member = AccountBinding.objects.filter(user=OuterRef("pk"), content_object=standing.account)
    people = User.objects.filter(
        Exists(admin), Exists(member), kind=UserKind.PERSON, is_active=True, joined_at__isnull=False
    )
    return list(people.order_by("pk")[:_NAMED_PEOPLE])
