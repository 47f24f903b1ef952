"""What a command line says of a key that shall be made: when it ends, and with which role where."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from django.db.models import Q

from accounts.actors import Actor
from accounts.errors import Invalid, NotAllowed, NotFound
from accounts.management.naming import find_organization, find_role, find_space
from accounts.models import Account, Organization, Role, Space
from accounts.roles import Level
from accounts.wire import decode_id
from apikeys.lifecycle import OrganizationGrant, SpaceGrant
from apikeys.policy import DEFAULT_ROLE

T = TypeVar("T")

_LENGTH = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def ending(at_text: str | None, in_text: str | None, *, now: datetime) -> datetime | None:
    """Return when the key shall end; ``None`` is never. A time without a zone is UTC.

    Raises:
        Invalid: neither a moment nor a length of time.
    """
    if in_text is not None:
        found = _LENGTH.fullmatch(in_text.strip())
        if found is None:
            raise Invalid(
                f"--expires-in takes a number and m, h, d or w, such as 90d; not “{in_text}”.", field="expires_in"
            )
        try:
            return now + timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            raise Invalid("No calendar reaches that far.", field="expires_in") from None
    if at_text is None:
        return None
    try:
        moment = datetime.fromisoformat(at_text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(
            f"--expires-at takes a time such as 2027-01-31T12:00:00Z; not “{at_text}”.", field="expires_at"
        ) from None


def account_meant(organizations: Sequence[str], spaces: Sequence[str]) -> Account | None:
    """Return the one account in which all these names or IDs are found, if there is just one."""
    accounts = Account.objects.all()
    for text in organizations:
        accounts = accounts.filter(_holding("organizations", text))
    for text in spaces:
        accounts = accounts.filter(_holding("organizations__spaces", text))
    found = list(accounts.distinct().order_by("pk")[:2])
    return found[0] if len(found) == 1 else None


def grants(actor: Actor, organizations: Sequence[str], spaces: Sequence[str]) -> list[OrganizationGrant]:
    """Return the organizations and spaces wished for, each with its role or the default one.

    An organization that holds a space wished for need not be named, unless some are: then they say where to look.

    Raises:
        NotFound, NotAllowed: a name that leads nowhere, or to several places.
    """
    roles: dict[Organization, Role] = {}
    for text in organizations:
        organization, role_text = _with_role(text, lambda name: find_organization(name, actor))
        roles[organization] = _role(actor, Level.ORGANIZATION, role_text)
    named = list(roles)
    inside: dict[Organization, list[SpaceGrant]] = {organization: [] for organization in named}
    for text in spaces:
        space, role_text = _with_role(text, lambda name: find_space(name, actor, among=named))
        roles.setdefault(space.organization, _role(actor, Level.ORGANIZATION, None))
        inside.setdefault(space.organization, []).append(SpaceGrant(space, _role(actor, Level.SPACE, role_text)))
    return [OrganizationGrant(one, roles[one], tuple(held)) for one, held in inside.items()]


def account_role(actor: Actor, text: str | None) -> Role:
    """Return the account role wished for, or the default one."""
    return _role(actor, Level.ACCOUNT, text)


def _role(actor: Actor, level: Level, text: str | None) -> Role:
    return find_role(text or DEFAULT_ROLE[level].value, level, actor.require_account())


def _holding(path: str, text: str) -> Q:
    """Ask for accounts that hold what ``NAME``, ``NAME=ROLE``, ``ORGANIZATION/SPACE`` or an ID may mean."""
    found = Q()
    for name in {text, *(name for name, _ in _taken_apart(text))}:
        names = {name, *(name[cut + 1 :] for cut, letter in enumerate(name) if letter == "/")}
        found |= Q(**{f"{path}__name__in": names})
        model = Organization if path == "organizations" else Space
        with contextlib.suppress(Invalid):
            found |= Q(**{f"{path}__pk": decode_id(name, model.__name__)})
    return found


def _with_role(text: str, find: Callable[[str], T]) -> tuple[T, str | None]:
    """Take NAME=ROLE apart. Names may hold an equals sign, and IDs end with some: what is found says where to cut."""
    cuts: list[tuple[str, str | None]] = [(text, None), *_taken_apart(text)]
    for name, role in cuts[:-1]:
        with contextlib.suppress(NotFound, NotAllowed):
            return find(name), role
    name, role = cuts[-1]
    return find(name), role


def _taken_apart(text: str) -> list[tuple[str, str]]:
    """Return each way to read NAME=ROLE, the longest name first."""
    cuts = [cut for cut, letter in enumerate(text) if letter == "="]
    return [(text[:cut], text[cut + 1 :]) for cut in reversed(cuts) if text[:cut] and text[cut + 1 :].strip("=")]
