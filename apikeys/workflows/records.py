"""Predictions of ML models, and the actuals that come to them later."""

from __future__ import annotations

from datetime import datetime

from accounts.actors import Actor
from accounts.audit import Tag
from accounts.models import Project, ProjectKind, Space
from accounts.permissions import require
from accounts.vocabulary import Permission
from apikeys.workflows import projects, segments, tables
from apikeys.workflows.models import Environment, Segment, SegmentKind
from apikeys.workflows.streams import Stream
from apikeys.workflows.uploads import Upload
from apikeys.workflows.writing import writing


def log_records(
    actor: Actor, space: Space, *, upload: Upload, stream: Stream, at: datetime, streamed: bool = False
) -> Segment:
    """Add records to a model, which the first upload makes; ``upload`` says what they are.

    ``streamed`` is for those that come one by one: the audit log does not tell each of them.

    Raises:
        NotFound, Forbidden: the space or the model is not the actor's to see, or to add to.
        Conflict: the name is that of a tracing project.
        Invalid, TooLarge: the rows are not what the upload says, or too many.
        StorageFailed: there is no room.
    """
    model = may_log(actor, space, upload.model_id)
    tables.require_columns(len(stream.schema))
    times = segments.Times()
    stored = Stream(
        upload.schema(stream.schema, at=at),
        times.through(upload.stored(batch, at=at) for batch in stream.batches),
    )
    with tables.drafted(stored) as draft, writing(actor, Tag.PROJECT_WRITTEN, alone=model is None):
        kind = ProjectKind.ML_MODEL
        kept, is_new = segments.project_for(actor, space, model, name=upload.model_id, kind=kind, at=at)
        if not is_new:  # be it that somebody else made it meanwhile
            require(actor, Permission.ML_MODEL_UPDATE, kept)
        return segments.keep(
            actor,
            kept,
            draft,
            kind=SegmentKind(upload.kind),
            environment=Environment(upload.environment),
            times=times,
            model_version=upload.model_version,
            batch_id=upload.batch_id,
            streamed=streamed,
            at=at,
        )


def may_log(actor: Actor, space: Space, name: str) -> Project | None:
    """Return the model that records go to, or ``None`` where they would make it, before any data is read.

    Raises:
        NotFound, Forbidden, Conflict, Invalid: as ``log_records``.
    """
    model = projects.find_for_upload(actor, space, name=name, kind=ProjectKind.ML_MODEL)
    if model is not None:
        require(actor, Permission.ML_MODEL_UPDATE, model)
    return model
