"""Which workflows a key was used for, by which client and when: for the people whose key it is. Decides nothing."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from accounts.actors import Actor
from accounts.models import Space

logger = logging.getLogger("apikeys.workflows.uses")

_LONGEST_CLIENT = 120
# Rows per key. Clients name themselves as they like: whoever has a key could fill the table with names.
_MOST = 200

_UPSERT = """
    INSERT INTO workflows_workflowuse (key_id, workflow, client, space_id, first_used_at, last_used_at, uses)
    SELECT %(key)s, %(workflow)s, %(client)s, %(space)s, %(at)s, %(at)s, 1
    WHERE EXISTS (SELECT FROM apikeys_apikey WHERE id = %(key)s)
    AND (
        EXISTS (
            SELECT FROM workflows_workflowuse
            WHERE key_id = %(key)s AND workflow = %(workflow)s AND client = %(client)s
        )
        OR (SELECT count(*) FROM workflows_workflowuse WHERE key_id = %(key)s) < %(most)s
    )
    ON CONFLICT (key_id, workflow, client) DO UPDATE
    SET space_id = EXCLUDED.space_id, uses = workflows_workflowuse.uses + 1,
        last_used_at = greatest(workflows_workflowuse.last_used_at, EXCLUDED.last_used_at)
"""


class Workflow(TextChoices):
    """What people use a key for, in their words (contract client-workflows §1)."""

    MODEL_LOG = "model.log", _("Logging predictions")
    RECORD_LOG = "record.log", _("Logging single predictions")
    SPAN_LOG = "span.log", _("Logging spans")
    SPAN_UPDATE = "span.update", _("Evaluations and annotations of spans")
    TRACE_EXPORT = "trace.export", _("Traces by OpenTelemetry")
    MODEL_EXPORT = "model.export", _("Exporting predictions")
    SPAN_EXPORT = "span.export", _("Exporting spans")
    DATASET_READ = "dataset.read", _("Reading datasets")
    DATASET_WRITE = "dataset.write", _("Writing datasets")
    EXPERIMENT_READ = "experiment.read", _("Reading experiments")
    EXPERIMENT_WRITE = "experiment.write", _("Writing experiments")
    PROJECT_READ = "project.read", _("Reading projects")
    PROJECT_WRITE = "project.write", _("Changing projects")
    PROMPT_READ = "prompt.read", _("Reading prompts")
    PROMPT_WRITE = "prompt.write", _("Writing prompts")


def note(actor: Actor, workflow: Workflow, *, client: str, space: Space | None, at: datetime) -> None:
    """Count that the actor's key was used for a workflow, after it was done. ``client`` is what the caller says.

    A key with very many clients has those noted that came first.

    What was done stays done where that cannot be counted: whoever heard of a failure would do it once more.
    """
    if actor.key_id is None:
        return
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                _UPSERT,
                {
                    "key": actor.key_id,
                    "workflow": workflow.value,
                    "client": client[:_LONGEST_CLIENT],
                    "space": space.pk if space else None,
                    "at": at,
                    "most": _MOST,
                },
            )
    except (DatabaseError, InterfaceError):
        logger.exception("A use of %s could not be counted.", workflow)
