"""Roles in several spaces for several people at once: all of them, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from accounts.actors import Actor
from accounts.audit import Tag
from accounts.bindings import bind_role
from accounts.models import Role, Space, SpaceBinding, User
from accounts.verbs import verb


@dataclass(frozen=True)
class Enrolment:
    """A role that somebody shall have in a space."""

    user: User
    space: Space
    role: Role


@verb(Tag.ROLE_GRANTED)
def enrol(actor: Actor, *, wanted: Sequence[Enrolment], at: datetime) -> list[SpaceBinding]:
    """Give each user their role in a space, in place of the one of the same kind held there before.

    Raises:
        What ``bind_role`` raises for the first that is refused; then nobody has got anything.
    """
    return [
        cast(SpaceBinding, bind_role(actor, user=one.user, role=one.role, scope=one.space, at=at)) for one in wanted
    ]
