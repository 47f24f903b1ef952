"""What addresses and forms name: rows by their ids, as far as whoever asks may know of them, and roles."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest

from accounts.actors import Actor
from accounts.bindings import predefined
from accounts.custom_roles import find_role
from accounts.errors import Invalid, NotFound
from accounts.models import Organization, Role, Space
from accounts.permissions import find_seen
from accounts.roles import Level
from accounts.wire import decode_id

MAX_SEARCH = 256


def number_of(wire_id: str, type_name: str = "User") -> int:
    """Return the number in an address; one that is no id leads nowhere.

    Raises:
        NotFound: the id is none of ours.
    """
    try:
        return decode_id(wire_id, type_name)
    except Invalid as refusal:
        raise NotFound(refusal.detail) from refusal


def organization_at(actor: Actor, wire_id: str) -> Organization:
    """Return the organization an address names.

    Raises:
        NotFound: there is none, or the actor may not know of it.
    """
    return find_seen(actor, Organization, number_of(wire_id, "Organization"))


def space_at(actor: Actor, wire_id: str) -> Space:
    """Return the space an address names.

    Raises:
        NotFound: there is none, or the actor may not know of it.
    """
    return find_seen(actor, Space, number_of(wire_id, "Space"))


def place_at(actor: Actor, wire_id: str) -> Organization | Space:
    """Return the organization or space an address names.

    Raises:
        NotFound: there is neither, or the actor may not know of it.
    """
    try:
        number = number_of(wire_id, "Organization")
    except NotFound:
        return space_at(actor, wire_id)
    return find_seen(actor, Organization, number)


def role_named(actor: Actor, level: Level, value: str) -> Role:
    """Return the role a form names, as ``roster.value_of`` writes them.

    Raises:
        Forbidden: a role of the account's own, and the actor may not read roles.
        NotFound: there is no such role at the level.
    """
    try:
        number = decode_id(value, "Role")
    except Invalid:
        return predefined(level, value)
    role = find_role(actor, number)
    if role.level != level:
        raise NotFound(f"There is no such role at the level {level}.", field="role")
    return role


def searched(request: HttpRequest) -> str:
    """Return what was typed into the page's search."""
    return request.GET.get("q", "").replace("\x00", "").strip()[:MAX_SEARCH]


def link(kept: dict[str, str], **changed: str) -> str:
    """Return the query of an address on the same page: what is kept of it, and what changes."""
    return f"?{urlencode({name: value for name, value in (kept | changed).items() if value})}"
