"""Finding what a command line names: by name or ID, with the near misses said where there is nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TypeVar

from django.db.models import Q, QuerySet

from accounts.actors import Actor
from accounts.errors import Invalid, NotAllowed, NotFound
from accounts.models import Account, Organization, Role, Space, User, UserKind
from accounts.models.users import normalize_email
from accounts.permissions import seen_by
from accounts.roles import Level
from accounts.wire import decode_id, encode_id

# Near misses are looked for among so many names; who has more knows what theirs are called.
_CONSIDERED = 2_000
_NAMED = 5

S = TypeVar("S", Account, Organization, Space)


def find_account(text: str | None, *, of: User | None = None) -> Account:
    """Return the account named, or the only one there is for a person or on this installation.

    Raises:
        NotFound: there is no such account, or none at all.
        NotAllowed: none was named and there are several.
    """
    accounts = Account.objects.all() if of is None else Account.objects.filter(bindings__user=of)
    if text is not None:
        found = _by_name_or_id(accounts, text)
        if not found:
            raise NotFound(f"There is no account “{text}”{_whose(of)}.{_near(text, _names(accounts))}", field="account")
        return found[0]
    some = list(accounts.order_by("name")[: _NAMED + 1])
    if not some:
        missing = f"{of.name} is in no account." if of else "There is no account yet: `manage.py createaccount`."
        raise NotFound(missing, field="account")
    if len(some) > 1:
        raise NotAllowed(f"Which account? Say it with --account: {_listed(one.name for one in some)}.", field="account")
    return some[0]


def find_person(email: str, *, within: Account | None = None) -> User:
    """Return the person with an address.

    Raises:
        NotFound: there is no such person, or only a bot.
    """
    people = User.objects.filter(kind=UserKind.PERSON)
    person = people.filter(email=normalize_email(email)).first()
    if person is not None:
        return person
    near = people if within is None else people.filter(accountbinding__content_object=within)
    addresses = list(near.order_by("email").values_list("email", flat=True)[:_CONSIDERED])
    raise NotFound(f"There is no person {email}.{_near(normalize_email(email), addresses)}", field="user")


def find_member(email: str, account_text: str | None) -> tuple[User, Account]:
    """Return a person who can act, and the account they shall act in.

    Raises:
        NotFound, NotAllowed: as in ``find_person`` and ``find_account``, or the person is deactivated.
    """
    person = find_person(email)
    account = find_account(account_text, of=person)
    if not person.is_active:
        raise NotAllowed(f"{person.email} is deactivated and can do nothing.", field="user")
    return person, account


def find_role(text: str, level: Level, account: Account) -> Role:
    """Return the role named at a level: READ_ONLY, read-only, "Read-Only Member", a custom role's name, or an ID.

    Raises:
        NotFound: there is no such role in the account.
    """
    roles = list(
        Role.objects.filter(Q(account__isnull=True) | Q(account=account), level=level, deleted_at__isnull=True)
    )
    number = _number(text, Role)
    plain = _plain(text)
    for matches in (
        lambda role: role.pk == number,
        lambda role: role.name == text,
        lambda role: plain in (_plain(role.name), _plain(role.label)),
    ):
        found = [role for role in roles if matches(role)]
        if found:
            return min(found, key=lambda role: role.pk)
    known = _listed(role.label for role in sorted(roles, key=lambda role: (-(role.rank or 0), role.name)))
    raise NotFound(f"There is no role “{text}” at the level {level.value.lower()}: there are {known}.", field="role")


def find_organization(text: str, actor: Actor) -> Organization:
    """Return the organization named, among those the actor may know of.

    Raises:
        NotFound: there is none.
    """
    organizations = seen_by(actor, Organization)
    found = _by_name_or_id(organizations, text)
    if not found:
        raise NotFound(
            f"There is no organization “{text}” in {actor.require_account()}{_to(actor)}."
            f"{_near(text, _names(organizations))}",
            field="org",
        )
    return found[0]


def find_space(text: str, actor: Actor, *, among: Iterable[Organization] = ()) -> Space:
    """Return the space named: by ID, by name, or as ORGANIZATION/SPACE; only in the organizations given, if any are.

    Raises:
        NotFound: there is none.
        NotAllowed: there are several of that name.
    """
    visible = seen_by(actor, Space).select_related("organization")
    inside = [organization.pk for organization in among]
    spaces = visible.filter(organization__in=inside) if inside else visible
    found = _spaces(spaces, text)
    if len(found) > 1:
        candidates = _listed(f"“{_path(space)}” ({encode_id('Space', space.pk)})" for space in found)
        raise NotAllowed(f"There are several spaces “{text}”: {candidates}. Name one like that.", field="space")
    if found:
        return found[0]
    if inside and (elsewhere := _spaces(visible, text)):
        places = _listed(space.organization.name for space in elsewhere)
        raise NotFound(f"“{text}” is not in the organizations given; it is in {places}.", field="space")
    paths = [_path(space) for space in visible.order_by("pk")[:_CONSIDERED]]
    near = [path for path in paths if path.split("/")[-1] in difflib.get_close_matches(text, map(_last, paths))]
    raise NotFound(
        f"There is no space “{text}” in {actor.require_account()}{_to(actor)}."
        f"{f' Did you mean {_listed(near)}?' if near else ''}",
        field="space",
    )


def _spaces(spaces: QuerySet[Space], text: str) -> list[Space]:
    found = _by_name_or_id(spaces, text)
    if found or "/" not in text:
        return found
    # Names may hold slashes themselves, so every way to cut is tried.
    parts = text.split("/")
    cuts = Q(pk__in=[])
    for cut in range(1, len(parts)):
        cuts |= Q(organization__name="/".join(parts[:cut]).strip(), name="/".join(parts[cut:]).strip())
    return list(spaces.filter(cuts).order_by("pk")[: _NAMED + 1])


def _by_name_or_id(rows: QuerySet[S], text: str) -> list[S]:
    number = _number(text, rows.model)
    if number is not None:
        return list(rows.filter(pk=number))
    return list(rows.filter(name=text.strip()).order_by("pk")[: _NAMED + 1])


def _number(text: str, model: type[Account | Organization | Space | Role]) -> int | None:
    try:
        return decode_id(text, model.__name__)
    except Invalid:
        return None


def _names(rows: QuerySet[S]) -> list[str]:
    return list(rows.order_by("pk").values_list("name", flat=True)[:_CONSIDERED])


def _near(text: str, names: Iterable[str]) -> str:
    lower = {name.lower(): name for name in names}
    near = [lower[name] for name in difflib.get_close_matches(text.lower(), lower)]
    return f" Did you mean {_listed(near)}?" if near else ""


def _listed(names: Iterable[str]) -> str:
    some = list(names)
    return ", ".join(some[:_NAMED]) + (" and more" if len(some) > _NAMED else "")


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().lower()


def _path(space: Space) -> str:
    return f"{space.organization.name}/{space.name}"


def _last(path: str) -> str:
    return path.split("/")[-1]


def _whose(person: User | None) -> str:
    return f" that {person.email} is in" if person else ""


def _to(actor: Actor) -> str:
    return f" that {actor.user.email} may know of" if actor.user else ""
