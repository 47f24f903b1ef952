"""Keys as a file, for the operator: everything about them but what opens them.

Exporting is an event itself, recorded in every account whose keys are taken along, before the first row leaves.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Count, TextChoices

from accounts.actors import Actor
from accounts.audit import Tag, record, verb
from accounts.errors import Forbidden
from accounts.models import Account
from accounts.wire import encode_id
from apikeys.models import ApiKey, ApiKeyQuerySet
from apikeys.policy import KeyBindings, bindings_of

# Read in portions, so that a million keys neither fill memory nor hold a transaction open.
_BATCH = 500
COLUMNS = (
    "id",
    "name",
    "description",
    "key_type",
    "status",
    "redacted_key",
    "account",
    "owner",
    "owner_id",
    "created_by",
    "created_by_id",
    "created_at",
    "expires_at",
    "refreshed_at",
    "revoked_at",
    "exposed_at",
    "last_used_at",
    "last_used_ip",
    "account_role",
    "organizations",
)
# A spreadsheet takes a cell that begins with one of these for a formula (security.md 39); full-width forms count too.
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


class Format(TextChoices):
    """How rows are written."""

    CSV = "csv", "CSV"
    NDJSON = "ndjson", "NDJSON"

    @property
    def content_type(self) -> str:
        """The media type of the file."""
        return "application/x-ndjson" if self is Format.NDJSON else "text/csv; charset=utf-8"


@verb(Tag.KEYS_EXPORTED)
def export_keys(actor: Actor, keys: ApiKeyQuerySet, *, form: Format, at: datetime) -> Iterator[str]:
    """Record the export and return its lines, newest key first. Operators only.

    Raises:
        Forbidden: the actor is not an operator.
    """
    if not actor.is_operator:
        raise Forbidden("Only the operator of the installation exports keys.")
    counts = dict(keys.order_by().values_list("account").annotate(Count("pk")))
    for account in Account.objects.filter(pk__in=counts).order_by("pk"):
        record(actor, Tag.KEYS_EXPORTED, account, account=account, at=at, format=form.label, keys=counts[account.pk])
    return _WRITERS[form](rows(keys, at=at))


def rows(keys: ApiKeyQuerySet, *, at: datetime) -> Iterator[dict[str, Any]]:
    """Yield each key as a flat row, newest first. No secret and no digest is read for it."""
    keys = keys.select_related("account", "owner", "created_by", "use").order_by("-pk")
    batch = list(keys[:_BATCH])
    while batch:
        bindings = bindings_of(batch)
        yield from (_row(key, bindings.get(key.pk, KeyBindings()), at) for key in batch)
        batch = list(keys.filter(pk__lt=batch[-1].pk)[:_BATCH])


def as_ndjson(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield one JSON object a line."""
    for row in found:
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


def as_csv(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield CSV lines (RFC 4180) in which no cell is a formula."""
    writer = csv.writer(_Line(), quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    yield str(writer.writerow(COLUMNS))
    for row in found:
        yield str(writer.writerow([_cell(row[name]) for name in COLUMNS]))


_WRITERS: dict[Format, Callable[[Iterable[dict[str, Any]]], Iterator[str]]] = {
    Format.CSV: as_csv,
    Format.NDJSON: as_ndjson,
}


class _Line:
    """What ``csv.writer`` writes to; ``writerow`` returns what this returns."""

    def write(self, text: str) -> str:
        return text


def _row(key: ApiKey, bindings: KeyBindings, at: datetime) -> dict[str, Any]:
    use = getattr(key, "use", None)
    return {
        "id": key.wire_id,
        "name": key.name,
        "description": key.description,
        "key_type": key.kind,
        "status": key.status(at=at).value,
        "redacted_key": key.redacted_key,
        "account": key.account.name,
        "owner": str(key.owner),
        "owner_id": encode_id("User", key.owner_id),
        "created_by": str(key.created_by) if key.created_by else key.created_by_name,
        "created_by_id": encode_id("User", key.created_by_id) if key.created_by_id else None,
        "created_at": _moment(key.created_at),
        "expires_at": _moment(key.expires_at),
        "refreshed_at": _moment(key.refreshed_at),
        "revoked_at": _moment(key.revoked_at),
        "exposed_at": _moment(key.exposed_at),
        "last_used_at": _moment(use.last_used_at) if use else None,
        "last_used_ip": use.ip if use else None,
        "account_role": bindings.account_role.name if bindings.account_role else None,
        "organizations": [
            {
                "name": organization.name,
                "role": role.name,
                "spaces": [
                    {"name": space.name, "role": held.name}
                    for space, held in bindings.spaces
                    if space.organization_id == organization.pk
                ],
            }
            for organization, role in bindings.organizations
        ],
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False) if value else ""
    text = str(value)
    # The apostrophe tells a spreadsheet that what follows is text; a space before the sign would not stop it.
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
