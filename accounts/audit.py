"""The audit trail: recording events, and reading them back."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet, TextChoices
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.errors import DomainError
from accounts.models import Account, AuditEvent
from accounts.redaction import redact, redact_text
from accounts.repeats import Repeats


class Tag(TextChoices):
    """Every kind of event there is, as ``subject:action``."""

    KEY_CREATED = "key:create", "Created a key"
    KEY_REFRESHED = "key:refresh", "Refreshed a key"
    KEY_REVOKED = "key:revoke", "Revoked a key"
    KEY_EXPOSED = "key:expose", "Key seen in an unsafe place"
    KEY_REFUSED = "key:refuse", "Key turned away"
    KEYS_EXPORTED = "key:export", "Exported keys"
    SECRETS_PRUNED = "secret:prune", "Deleted secrets that open nothing any more"
    PERSON_INVITED = "person:invite", "Invited a person"
    INVITATION_SHOWN = "person:link", "Looked at an invitation's link"
    PERSON_JOINED = "person:join", "Accepted an invitation"
    PASSWORD_RESET_ASKED = "password:ask", "Asked for a link to a new password"
    PASSWORD_RESET_OFFERED = "password:offer", "Had a link to a new password sent"
    PERSON_REMOVED = "person:remove", "Removed a person from the account"
    PERSON_DEACTIVATED = "person:deactivate", "Deactivated a person"
    PERSON_REACTIVATED = "person:reactivate", "Reactivated a person"
    PERSON_CHANGED = "person:change", "Changed a person's name or address"
    OPERATOR_CHANGED = "operator:change", "Changed who operates the installation"
    ROLE_GRANTED = "role:grant", "Granted a role"
    ROLE_CHANGED = "role:change", "Changed a role"
    ROLE_WITHDRAWN = "role:withdraw", "Withdrew a role"
    ROLE_DEFINED = "role:define", "Created a custom role"
    ROLE_REDEFINED = "role:redefine", "Changed a custom role"
    ROLE_DELETED = "role:delete", "Deleted a custom role"
    DEVELOPER_CHANGED = "developer:change", "Changed developer access"
    ACCOUNT_CREATED = "account:create", "Created an account"
    ACCOUNT_CHANGED = "account:change", "Changed account settings"
    ORGANIZATION_CREATED = "organization:create", "Created an organization"
    ORGANIZATION_CHANGED = "organization:change", "Changed an organization"
    ORGANIZATION_DELETED = "organization:delete", "Deleted an organization"
    SPACE_CREATED = "space:create", "Created a space"
    SPACE_CHANGED = "space:change", "Changed a space"
    SPACE_DELETED = "space:delete", "Deleted a space"
    PROJECT_CREATED = "project:create", "Created a project"
    PROJECT_CHANGED = "project:change", "Changed a project"
    PROJECT_DELETED = "project:delete", "Deleted a project"
    DATASET_CREATED = "dataset:create", "Created a dataset"
    DATASET_VERSION_ADDED = "dataset:version", "Added a version to a dataset"
    DATASET_CHANGED = "dataset:change", "Changed a dataset"
    DATASET_ANNOTATED = "dataset:annotate", "Annotated examples of a dataset"
    DATASET_DELETED = "dataset:delete", "Deleted a dataset"
    EXPERIMENT_CREATED = "experiment:create", "Created an experiment"
    EXPERIMENT_CHANGED = "experiment:change", "Changed an experiment"
    EXPERIMENT_ANNOTATED = "experiment:annotate", "Annotated runs of an experiment"
    EXPERIMENT_DELETED = "experiment:delete", "Deleted an experiment"
    PROJECT_EXPIRED = "project:expire", "Dropped what was logged to a project long ago"
    PROJECT_WRITTEN = "project:write", "Wrote to a project"
    PROMPT_CREATED = "prompt:create", "Created a prompt"
    PROMPT_VERSION_CREATED = "prompt:version", "Saved a version of a prompt"
    PROJECT_RESTRICTED = "project:restrict", "Restricted a project"
    PROJECT_UNRESTRICTED = "project:unrestrict", "Lifted a project's restriction"
    SIGNED_IN = "session:start", "Signed in"
    SIGNED_OUT = "session:end", "Signed out"
    SIGN_IN_FAILED = "session:fail", "Failed to sign in"
    PASSWORD_CHANGED = "password:change", "Changed a password"
    AUDIT_EXPORTED = "audit:export", "Exported the audit log"
    ACCESS_REFUSED = "access:refuse", "Asked for what they may not have"


_refusals = Repeats(seconds=60)


def record(
    actor: Actor,
    tag: Tag,
    target: Model | None = None,
    *,
    account: Account | None = None,
    refused: bool = False,
    at: datetime | None = None,
    **details: Any,
) -> AuditEvent:
    """Append one event in the current transaction. Key text in any part is taken out first, and what cannot be stored.

    The database fastens it to the account's event before it, and until the transaction ends whoever records in the same
    account waits. So lock what has to be locked, people and keys above all, before the first event: somebody may hold
    such a row and be on the way here without the account's lock, like a person who changes their password. Events in
    several accounts are recorded in the order of the accounts' numbers.
    """
    scope = account or actor.account
    if actor.acted_by:
        details["acted_by"] = actor.acted_by
    return AuditEvent.objects.create(
        account_id=scope.pk if scope else None,
        at=at or timezone.now(),
        tag=tag,
        outcome="REFUSED" if refused else "SUCCEEDED",
        door=actor.door,
        actor_id=actor.user.pk if actor.user else None,
        actor_label=redact_text(actor.label)[:600],
        key_id=actor.key_id,
        ip=actor.ip,
        # Not type(): what Django lazily makes of a request's user says with its class whom it stands for.
        target_type=target.__class__.__name__ if target is not None else "",
        target_id=target.pk if target is not None else None,
        target_label=redact_text(str(target))[:600] if target is not None else "",
        operation_type=actor.operation.kind,
        operation_name=redact_text(actor.operation.name)[:255],
        operation_text=redact_text(actor.operation.text),
        variables=redact(actor.operation.variables),
        details=redact(details),
    )


def record_refusal(actor: Actor, tag: Tag, refusal: DomainError, **details: Any) -> None:
    """Append that the actor was refused something. The very same refusal is told once a minute, with its number.

    Without that, whoever may call at all could fill the log by repeating what they may not. One that could not be
    recorded counts as not told.
    """
    refusal.noted = True
    account, user = (row.pk if row else None for row in (actor.account, actor.user))
    what = (tag, account, user, actor.key_id, actor.door, refusal.code, refusal.detail)
    times = unsaid(*what)
    if times > 1:
        details["times"] = times
    if times:
        try:
            record(actor, tag, refused=True, reason=refusal.code, said=refusal.detail, **details)
        except Exception:
            _refusals.take_back(what, times)
            raise


def unsaid(tag: Tag, *what: Hashable) -> int:
    """Count a refusal; return how many of the same kind are to be told of now: none within a minute of the last."""
    return _refusals.times((tag, *what))


def forget_refusals() -> None:
    """Tell of every refusal anew: for tests, which share one process."""
    _refusals.forget()


def history(account: Account) -> QuerySet[AuditEvent]:
    """Return an account's events."""
    return AuditEvent.objects.filter(account_id=account.pk)


def door_label(door: str) -> str:
    """Return the name pages give a door."""
    return Door(door).label if door in Door.values else door
