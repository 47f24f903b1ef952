"""Keys as a file, for the operator: everything about them but what opens them.

Exporting is an event itself, recorded in every account whose keys are taken along, before the first row leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import Count

from accounts.actors import Actor
from accounts.audit import Tag, record
from accounts.audit_export import Format, as_csv, as_ndjson
from accounts.errors import Forbidden
from accounts.models import Account
from accounts.verbs import verb
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
    "first_used_at",
    "last_used_at",
    "last_used_ip",
    "last_used_network",
    "last_used_client",
    "last_used_client_family",
    "times_used",
    "account_role",
    "organizations",
)


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
    found = rows(keys, at=at)
    return as_csv(found, COLUMNS) if form is Format.CSV else as_ndjson(found)


def rows(keys: ApiKeyQuerySet, *, at: datetime) -> Iterator[dict[str, Any]]:
    """Yield each key as a flat row, newest first. No secret and no digest is read for it."""
    keys = keys.select_related("account", "owner", "created_by", "use").order_by("-pk")
    batch = list(keys[:_BATCH])
    while batch:
        bindings = bindings_of(batch)
        yield from (_row(key, bindings.get(key.pk, KeyBindings()), at) for key in batch)
        batch = list(keys.filter(pk__lt=batch[-1].pk)[:_BATCH])


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
        "first_used_at": _moment(use.first_used_at) if use else None,
        "last_used_at": _moment(use.last_used_at) if use else None,
        "last_used_ip": use.ip if use else None,
        "last_used_network": use.network if use else None,
        "last_used_client": use.client if use else None,
        "last_used_client_family": use.client_family if use else None,
        "times_used": use.uses if use else 0,
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
