"""Flight's exports: asked about first, and then had with a ticket that is nothing but the question (§9)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from accounts.errors import Invalid, NotAllowed
from accounts.models import Space
from apikeys.workflows import exports
from apikeys.workflows.exports import Export, ExportQuery
from apikeys.workflows.grpc.threshold import Visitor
from apikeys.workflows.models import Environment
from apikeys.workflows.streams import Stream
from apikeys.workflows.uses import Workflow

# As they are numbered in the command.
_ENVIRONMENTS = dict(
    enumerate((Environment.TRAINING, Environment.VALIDATION, Environment.PRODUCTION, Environment.TRACING), start=1)
)


def prepare(visitor: Visitor, asked: Any) -> Export:
    """Look up what an export would give."""
    return _prepared(visitor, visitor.space(asked.space_id), asked)


def read(visitor: Visitor, asked: Any) -> Stream:
    """Give the rows of an export; whether the caller may have them is asked again."""
    space = visitor.space(asked.space_id)
    export = _prepared(visitor, space, asked)
    is_traced = export.query.environment == Environment.TRACING
    visitor.note(Workflow.SPAN_EXPORT if is_traced else Workflow.MODEL_EXPORT, space)
    return export.stream()


def _prepared(visitor: Visitor, space: Space, asked: Any) -> Export:
    if asked.HasField("similarity_search_params"):
        raise NotAllowed("Similarity search is left out here. Export the embeddings, and search in them.")
    environment = _ENVIRONMENTS.get(asked.environment)
    if environment is None:
        raise Invalid("Name the environment: TRAINING, VALIDATION, PRODUCTION or TRACING.", field="environment")
    query = ExportQuery(
        project=asked.model_id,
        environment=environment,
        start=_moment(asked.start_time),
        end=_moment(asked.end_time),
        model_version=asked.model_version,
        batch_id=asked.batch_id,
        include_actuals=asked.include_actuals,
        filter=asked.filter_expression,
        columns=tuple(asked.projected_columns),
        chunk=asked.stream_chunk_size.value if asked.HasField("stream_chunk_size") else None,
        sample_rate=asked.sample_rate.value if asked.HasField("sample_rate") else None,
    )
    return exports.prepare(visitor.actor, space, query)


def _moment(timestamp: Any) -> datetime:
    try:
        moment: datetime = timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid("This is no time that an export could begin or end at.") from None
    return moment
