"""What verbs that write named rows have in common: clean names, and changes recorded with what was there before."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.errors import Conflict, Forbidden, Invalid
from accounts.models import Account, Organization, Project, Role, Space, User
from accounts.redaction import KEY_PATTERN

MAX_NAME = 255
R = TypeVar("R", bound=Model)


def clean_name(name: str) -> str:
    """Return a name without blanks around it.

    Raises:
        Invalid: empty, too long, or an API key by mistake.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME or "\x00" in name:
        raise Invalid(f"A name has 1 to {MAX_NAME} characters.", field="name")
    if KEY_PATTERN.search(name):
        raise Invalid("This looks like an API key; names are shown to others.", field="name")
    return name


def given(**values: Any) -> dict[str, Any]:
    """Return the values that were given at all: ``None`` stands for "leave it"."""
    return {name: value for name, value in values.items() if value is not None}


def change(actor: Actor, tag: Tag, row: R, taken: str, at: datetime, **values: Any) -> R:
    """Write the values that differ, and record them with those before; nothing for nothing.

    Raises:
        Invalid: a value does not fit its column.
        Conflict: the name is taken; ``taken`` says so to people.
    """
    before = {name: getattr(row, name) for name, value in values.items() if getattr(row, name) != value}
    if not before:
        return row
    for name in before:
        setattr(row, name, values[name])
    try:
        row.clean_fields(exclude=[field.name for field in row._meta.fields if field.name not in before])
    except ValidationError as error:
        field, said = next(iter(error.message_dict.items()))
        raise Invalid(" ".join(said), field=field) from error
    save_renamed(row, list(before), taken)
    after = {name: values[name] for name in before}
    for each in actor.in_each_account_of(row) if isinstance(row, User) else [actor]:
        record(each, tag, row, at=at, before=before, after=after)
    return row


def save_new(row: Account | Organization | Role | Space | Project, taken: str) -> None:
    """Insert a row whose name must not be taken.

    Raises:
        Conflict: it is; ``taken`` says so to people.
    """
    _save(row, taken, force_insert=True)


def save_renamed(row: Model, fields: list[str], taken: str) -> None:
    """Write some columns of a row whose name must not be taken.

    Raises:
        Conflict: it is; ``taken`` says so to people.
    """
    _save(row, taken, update_fields=fields)


def require_operator(actor: Actor) -> None:
    """Refuse whoever does not run the installation.

    Raises:
        Forbidden: the actor is not an operator.
    """
    if not actor.is_operator:
        raise Forbidden("Only the operator of the installation does this.")


def _save(row: Model, taken: str, **how: Any) -> None:
    try:
        with transaction.atomic():
            row.save(**how)
    except IntegrityError as error:
        raise Conflict(taken, field="email" if isinstance(row, User) else "name") from error
