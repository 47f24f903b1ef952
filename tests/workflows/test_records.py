"""Predictions and actuals: who may log them, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from accounts.errors import Conflict, Forbidden, Invalid, NotFound
from accounts.models import Project, ProjectKind
from apikeys.workflows import projects, records, tables
from apikeys.workflows.models import Segment, Table
from apikeys.workflows.single_records import read_record
from apikeys.workflows.streams import Stream
from apikeys.workflows.uploads import Environment, Kind
from tests.cast import Cast
from tests.factories import bind, custom_role
from tests.workflows.logging import START, predict

ROWS = {"predictionID": ["1", "2"], "categoricalPredictionLabel": ["yes", "no"]}


def test_records_make_their_model_and_are_kept(cast: Cast) -> None:
    bob = cast.actor(cast.bob)

    segment = predict(bob, cast.production, ROWS, environment=Environment.VALIDATION, version="v", batch="b")

    model = Project.objects.get()
    assert (model.name, model.kind, segment.project) == ("fraud", ProjectKind.ML_MODEL, model)
    assert (segment.environment, segment.model_version, segment.batch_id) == ("VALIDATION", "v", "b")
    assert (segment.first_at, segment.last_at) == (START, START)
    assert tables.read(segment.table).table().select(list(ROWS)).to_pydict() == ROWS


def test_actuals_are_kept_as_such(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    predict(bob, cast.production, ROWS)

    actuals = predict(bob, cast.production, {"predictionID": ["1"], "scoreActualLabel": [1.0]}, kind=Kind.ACTUALS)

    assert actuals.kind == "ACTUALS"
    assert Project.objects.count() == 1


def test_a_single_record_is_kept_as_it_was_read(cast: Cast) -> None:
    upload, row = read_record(
        {"model_id": "fraud", "prediction_id": "1", "prediction": {"prediction_label": {"numeric": 2}}}, at=START
    )

    segment = records.log_records(
        cast.actor(cast.bob), cast.production, upload=upload, stream=Stream(row.schema, iter([row])), at=START
    )

    assert tables.read(segment.table).table().equals(pa.Table.from_batches([row]))


@pytest.mark.parametrize("is_there", [False, True])
def test_nobody_else_logs_records(cast: Cast, tables_folder: Path, is_there: bool) -> None:
    if is_there:
        bob = cast.actor(cast.bob)
        projects.create_project(bob, cast.production, name="fraud", kind=ProjectKind.ML_MODEL, at=START)
    strangers = [(cast.charlie, Forbidden), (cast.dana, Forbidden), (cast.erin, NotFound), (cast.mallory, NotFound)]

    for who, refusal in strangers:
        with pytest.raises(refusal):
            predict(cast.actor(who), cast.production, ROWS)

    assert (Table.objects.count(), Project.objects.count()) == (0, int(is_there))
    assert not [path for path in tables_folder.rglob("*") if path.is_file()]


def test_whoever_only_makes_models_adds_to_none(cast: Cast) -> None:
    role = custom_role(cast.account, "makes", "SPACE_READ", "PROJECT_READ", "ML_MODEL_CREATE")
    bind(cast.erin, cast.production, role)

    predict(cast.actor(cast.erin), cast.production, ROWS)
    with pytest.raises(Forbidden, match="ML_MODEL_UPDATE"):
        predict(cast.actor(cast.erin), cast.production, ROWS)

    assert Segment.objects.count() == 1


def test_a_model_that_somebody_else_made_during_the_upload_is_not_added_to(cast: Cast, tables_folder: Path) -> None:
    role = custom_role(cast.account, "makes", "SPACE_READ", "PROJECT_READ", "ML_MODEL_CREATE")
    bind(cast.erin, cast.production, role)
    upload, row = read_record(
        {"model_id": "fraud", "prediction_id": "1", "prediction": {"prediction_label": {"numeric": 2}}}, at=START
    )

    def batches() -> Iterator[pa.RecordBatch]:
        yield row
        projects.create_project(
            cast.actor(cast.bob), cast.production, name="fraud", kind=ProjectKind.ML_MODEL, at=START
        )

    with pytest.raises(Forbidden, match="ML_MODEL_UPDATE"):
        records.log_records(
            cast.actor(cast.erin), cast.production, upload=upload, stream=Stream(row.schema, batches()), at=START
        )

    assert (Project.objects.count(), Segment.objects.count()) == (1, 0)
    assert not [path for path in tables_folder.rglob("*") if path.is_file()]


def test_a_tracing_project_is_no_model(cast: Cast) -> None:
    bob = cast.actor(cast.bob)
    projects.create_project(bob, cast.production, name="fraud", at=START)

    with pytest.raises(Conflict):
        predict(bob, cast.production, ROWS)


def test_columns_that_do_not_fit_leave_nothing(cast: Cast) -> None:
    with pytest.raises(Invalid, match="times of the upload"):
        predict(cast.actor(cast.bob), cast.production, {"time": ["x"]})

    assert not Project.objects.exists()
    assert not Segment.objects.exists()
