"""Flight's commands about spans that are there (contract client-workflows §8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apikeys.workflows import spans
from apikeys.workflows.grpc.commands import answers
from apikeys.workflows.grpc.threshold import Visitor
from apikeys.workflows.models import SegmentKind
from apikeys.workflows.spans import Updated
from apikeys.workflows.streams import Stream
from apikeys.workflows.uses import Workflow

_NO_SPAN = "There is no span of this ID in the project."


def evaluate(visitor: Visitor, asked: Any) -> Callable[[Stream], Any]:
    """Refuse, or return what lays evaluations over spans."""
    return _updating(visitor, asked, SegmentKind.EVALUATIONS, _counted)


def annotate(visitor: Visitor, asked: Any) -> Callable[[Stream], Any]:
    """Refuse, or return what lays annotations over spans."""
    return _updating(visitor, asked, SegmentKind.ANNOTATIONS, _counted)


def patch(visitor: Visitor, asked: Any) -> Callable[[Stream], Any]:
    """Refuse, or return what patches the metadata of spans."""
    return _updating(visitor, asked, SegmentKind.METADATA, _told_one_by_one)


def _updating(
    visitor: Visitor, asked: Any, kind: SegmentKind, answer: Callable[[Updated], Any]
) -> Callable[[Stream], Any]:
    space = visitor.space(asked.space_id)
    name: str = asked.external_model_id
    spans.may_update(visitor.actor, space, name, kind)

    def keep(stream: Stream) -> Any:
        updated = spans.update_spans(
            visitor.actor, space, project_name=name, kind=kind, stream=stream, at=visitor.caller.at
        )
        visitor.note(Workflow.SPAN_UPDATE, space)
        return answer(updated)

    return keep


def _counted(updated: Updated) -> Any:
    return answers.SpansUpdated(records_updated=updated.updated, unmatched_ids=updated.unmatched)


def _told_one_by_one(updated: Updated) -> Any:
    wrong = [*updated.failed, *((span, _NO_SPAN) for span in updated.unmatched)]
    return answers.MetadataUpdated(
        spans_processed=updated.processed,
        spans_updated=updated.updated,
        spans_failed=updated.processed - updated.updated,
        errors=[answers.SpanError(span_id=span, error_message=error) for span, error in wrong],
    )
