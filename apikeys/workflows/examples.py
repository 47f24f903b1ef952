"""The examples of a dataset, one by one: read in pages, added, changed, removed and annotated.

Tables never change, so each of these writes the version's next table and puts it in the place of the one before; where
somebody else did the same meanwhile, it begins anew with theirs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.errors import Invalid, NotFound
from accounts.models import Space
from accounts.permissions import require
from accounts.vocabulary import Permission
from apikeys.workflows import datasets, edits, rows, tables
from apikeys.workflows.editing import (
    ATTEMPTS,
    Edit,
    Value,
    annotated,
    identified,
    ids_among,
    milliseconds,
    others_were_faster,
    require_editable,
    require_room,
    require_usable,
    stamped,
)
from apikeys.workflows.edits import CREATED_AT, ID, UPDATED_AT, Row
from apikeys.workflows.errors import StorageFailed
from apikeys.workflows.models import Dataset, DatasetKind, DatasetVersion, Table
from apikeys.workflows.rows import Slice
from apikeys.workflows.writing import writing

_INSTEAD = "Upload a new version instead."
_OURS = (CREATED_AT, UPDATED_AT, "annotations")


@dataclass(frozen=True)
class Edited:
    """Which examples were written, and in which version they are."""

    version: DatasetVersion
    ids: tuple[str, ...]


def create(actor: Actor, space: Space, *, name: str, examples: Sequence[Row], at: datetime) -> DatasetVersion:
    """Make a dataset of examples.

    Raises:
        Invalid: the name or an example is not what it should be.
        NotFound, Forbidden, Conflict, TooLarge, StorageFailed: as ``datasets.create_dataset``.
    """
    name = datasets.may_create_dataset(actor, space, name)
    require_usable(examples, reserved=(ID, *_OURS), field="examples")
    stream = edits.of_rows(stamped(examples, at=at))
    require_room(None, stream, len(examples))
    return datasets.create_dataset(actor, space, name=name, kind=DatasetKind.GENERATIVE, stream=stream, at=at)


def read(
    actor: Actor,
    dataset: Dataset,
    *,
    version: int | None = None,
    condition: str | None = None,
    cursor: str | None = None,
    limit: int,
) -> Slice:
    """Return a page of a version's examples, in the order in which they came; of the latest where none is named.

    Raises:
        NotFound, Forbidden: they are not the actor's to read, or there is no such version.
        Invalid: the cursor is none of ours, or the condition empty.
        NotAllowed: the condition cannot be read.
        StorageFailed: they cannot be read at the moment.
    """
    require(actor, Permission.DATASET_EXAMPLE_READ, dataset.space)
    found = datasets.find_version(actor, dataset, number=version)
    after = rows.place_of(cursor)
    stream, start = identified(found.table, after=after)
    return rows.page(stream, start=start, after=after, limit=limit, condition=condition)


def append(
    actor: Actor, dataset: Dataset, *, version: int | None = None, examples: Sequence[Row], at: datetime
) -> Edited:
    """Add examples to a version, the latest where none is named.

    Raises:
        NotFound, Forbidden: the dataset is not the actor's to see, or to add to; or there is no such version.
        Invalid, TooLarge: an example is not what it should be, or there are too many.
        Conflict: others change the same version all the time.
        StorageFailed: there is no room.
    """
    _require(actor, dataset, Permission.DATASET_EXAMPLE_CREATE)
    require_usable(examples, reserved=(ID, *_OURS), field="examples")
    new = stamped(examples, at=at)

    def edit(table: Table) -> Edit:
        stream, _ = identified(table)
        return Edit(edits.appended(stream, new), [row[ID] for row in new], added=len(new))

    return _in_place(actor, dataset, version, edit, Permission.DATASET_EXAMPLE_CREATE, Tag.DATASET_CHANGED, at, "added")


def update(
    actor: Actor,
    dataset: Dataset,
    *,
    version: int | None = None,
    examples: Sequence[Row],
    new_version: str | None = None,
    at: datetime,
) -> Edited:
    """Change examples by their ids, in place or as a new version. Ids that there are none of are passed over.

    Raises:
        NotFound, Forbidden, Invalid, TooLarge, Conflict, StorageFailed: as ``append``, and as
            ``datasets.add_version`` where a new version is wanted.
    """
    _require(actor, dataset, Permission.DATASET_EXAMPLE_UPDATE)
    require_usable(examples, reserved=_OURS, field="examples")
    changes = _by_id(examples, at)

    def edit(table: Table) -> Edit | None:
        ids = ids_among(table, changes)
        if not ids and not new_version:
            return None
        stream, _ = identified(table)
        return Edit(edits.patched(stream, {one: changes[one] for one in ids}), ids)

    if not new_version:
        needed = Permission.DATASET_EXAMPLE_UPDATE
        return _in_place(actor, dataset, version, edit, needed, Tag.DATASET_CHANGED, at, "changed")
    for _ in range(ATTEMPTS):
        before = datasets.find_version(actor, dataset, number=version).table
        with contextlib.suppress(_Overtaken), _made_of(before, dataset, version) as check:
            require_editable(before, instead=_INSTEAD)
            wanted = edit(before)
            if wanted is None:
                raise NotFound("There is no such version.")
            require_room(before, wanted.stream, 0)
            added = datasets.add_version(actor, dataset, stream=wanted.stream, at=at, name=new_version, check=check)
            return Edited(added, tuple(wanted.ids))
    raise others_were_faster()


def delete(actor: Actor, dataset: Dataset, *, version: int, ids: Sequence[str], at: datetime) -> tuple[str, ...]:
    """Remove examples from a version, in place; return the ids of those that were there.

    Raises:
        NotFound, Forbidden, TooLarge, Conflict, StorageFailed: as ``append``.
    """
    _require(actor, dataset, Permission.DATASET_EXAMPLE_DELETE)
    wanted = frozenset(ids)

    def edit(table: Table) -> Edit | None:
        there = ids_among(table, wanted)
        stream, _ = identified(table)
        return Edit(edits.without(stream, wanted), there) if there else None

    needed = Permission.DATASET_EXAMPLE_DELETE
    return _in_place(actor, dataset, version, edit, needed, Tag.DATASET_CHANGED, at, "removed").ids


def annotate(actor: Actor, dataset: Dataset, values: Mapping[str, Sequence[Value]], *, at: datetime) -> Edited:
    """Say something of examples of the latest version, by their ids. Ids that there are none of are passed over.

    Raises:
        NotFound, Forbidden, TooLarge, Conflict, StorageFailed: as ``append``.
    """
    needed = Permission.DATASET_EXAMPLE_ANNOTATE
    require(actor, needed, dataset.space)
    changes = annotated(values, actor, at=at)

    def edit(table: Table) -> Edit | None:
        there = ids_among(table, changes)
        stream, _ = identified(table)
        return Edit(edits.patched(stream, {one: changes[one] for one in there}), there) if there else None

    return _in_place(actor, dataset, None, edit, needed, Tag.DATASET_ANNOTATED, at, "annotated")


def _require(actor: Actor, dataset: Dataset, permission: Permission) -> None:
    require(actor, Permission.DATASET_UPDATE, dataset.space)
    require(actor, permission, dataset.space)


def _by_id(examples: Sequence[Row], at: datetime) -> dict[str, Row]:
    changes: dict[str, Row] = {}
    for number, example in enumerate(examples):
        one = example.get(ID)
        if not isinstance(one, str) or not one:
            raise Invalid(f"Number {number} has no “id”: a text that says which example it is.", field="examples")
        if one in changes:
            raise Invalid(f"Number {number} has the same “id” as one before it.", field="examples")
        changes[one] = {**example, UPDATED_AT: milliseconds(at)}
    return changes


def _in_place(
    actor: Actor,
    dataset: Dataset,
    number: int | None,
    edit: Callable[[Table], Edit | None],
    needed: Permission,
    tag: Tag,
    at: datetime,
    word: str,
) -> Edited:
    """Put the table that ``edit`` makes of a version's in its place."""
    for _ in range(ATTEMPTS):
        version = _version(dataset, number)
        before = version.table
        with contextlib.suppress(_Overtaken), _made_of(before, dataset, number) as check:
            require_editable(before, instead=_INSTEAD)
            edited = edit(before)
            if edited is None:
                return Edited(version, ())
            require_room(before, edited.stream, edited.added)
            with tables.drafted(edited.stream) as draft, writing(actor, tag):
                require(actor, needed, dataset.space)
                if tag is not Tag.DATASET_ANNOTATED:
                    require(actor, Permission.DATASET_UPDATE, dataset.space)
                locked = datasets.lock_dataset(dataset)
                check(locked)
                datasets.touch(actor, locked, at=at)
                version.table, version.updated_at = draft.keep(actor, locked.space, at=at), locked.updated_at
                version.save(update_fields=["table", "updated_at"])
                before.delete()
                told: dict[str, Any] = {word: len(edited.ids)}
                record(actor, tag, locked, at=at, version=version.name, **told)
                version.dataset = locked
                return Edited(version, tuple(edited.ids))
    raise others_were_faster()


class _Overtaken(Exception):
    """Somebody else was faster: the rows that a change was made of are not those of the version any more."""


@contextlib.contextmanager
def _made_of(table: Table, dataset: Dataset, number: int | None) -> Iterator[Callable[[Dataset], None]]:
    """Change the rows of a table, and give what raises :exc:`_Overtaken` where a version, or the latest, has another.

    So does what cannot be read of the table then: the file of one that was replaced is gone.
    """

    def check(dataset: Dataset) -> None:
        if _version(dataset, number).table_id != table.pk:
            raise _Overtaken

    try:
        yield check
    except StorageFailed:
        check(dataset)
        raise


def _version(dataset: Dataset, number: int | None) -> DatasetVersion:
    versions: QuerySet[DatasetVersion] = dataset.versions.select_related("table").order_by("-number")
    version = versions.first() if number is None else versions.filter(pk=number).first()
    if version is None:
        raise NotFound(f"“{dataset}” has no such version.")
    return version
