"""The steps of SDK 8: models, spans, datasets, experiments, projects, restrictions and traces."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from arize import ArizeClient
from arize._generated.api_client.models import AnnotateRecordInput, AnnotationInput, ExperimentRunInput
from arize.experiments.evaluators.types import EvaluationResult, EvaluationResultFieldNames
from arize.experiments.types import ExperimentTaskFieldNames
from arize.ml.types import Embedding, EmbeddingColumnNames, Environments, ModelTypes, Schema

from tests.clients.workflows import comparing, recipes, traces
from tests.clients.workflows.answering import Differs, Facts, Place, Steps, answer, beside

STEPS = Steps()
# More examples or runs than this go over Flight.
MANY = 1001


def _client(place: Place, *, caching: bool = False) -> ArizeClient:
    if not place.key:
        return ArizeClient()
    if place.certificate:
        return ArizeClient(
            api_key=place.key,
            single_host=place.web_host,
            single_port=place.web_port,
            ssl_ca_cert=place.certificate,
            enable_caching=caching,
        )
    return ArizeClient(
        api_key=place.key,
        api_scheme="http",
        api_host=place.web_host,
        api_port=place.web_port,
        flight_scheme="grpc",
        flight_host=place.host,
        flight_port=place.port,
        otlp_scheme="http",
        otlp_host=place.host,
        otlp_port=place.port,
        enable_caching=caching,
    )


def _answered(response: Any) -> Facts:
    return {"status": response.status_code, "text": response.text}


def _during(place: Place) -> dict[str, datetime]:
    start = datetime.fromtimestamp(place.at, UTC) - timedelta(hours=1)
    return {"start_time": start, "end_time": start + timedelta(days=2)}


# --- models


@STEPS.step
def ml_log(place: Place, *, model: str, recipe: str, environment: str, version: str = "v1", batch: str = "") -> Facts:
    """Log a model's rows."""
    upload = recipes.model(recipe, place.at)
    roles = dict(upload.roles)
    if "embedding_feature_column_names" in roles:
        roles["embedding_feature_column_names"] = {
            name: EmbeddingColumnNames(*columns) for name, columns in roles["embedding_feature_column_names"].items()
        }
    response = _client(place).ml.log(
        space_id=place.space,
        model_name=model,
        model_type=ModelTypes[upload.kind],
        dataframe=upload.frame.copy(),
        schema=Schema(**roles),
        environment=Environments[environment],
        model_version=version,
        batch_id=batch,
    )
    return _answered(response)


@STEPS.step
def ml_log_stream(place: Place, *, model: str, prediction: str, environment: str = "PRODUCTION") -> Facts:
    """Log one record by itself."""
    future = _client(place).ml.log_stream(
        space_id=place.space,
        model_name=model,
        model_type=ModelTypes.SCORE_CATEGORICAL,
        environment=Environments[environment],
        model_version="v1",
        prediction_id=prediction,
        prediction_timestamp=place.at,
        prediction_label=("fraud", 0.75),
        features=dict(recipes.RECORD_FEATURES),
        embedding_features={"words": Embedding(**recipes.RECORD_EMBEDDING)},
        tags=dict(recipes.RECORD_TAGS),
    )
    return _answered(future.result(timeout=30))


@STEPS.step
def ml_log_stream_actual(place: Place, *, model: str, prediction: str) -> Facts:
    """Log what came true of a record, by itself."""
    future = _client(place).ml.log_stream(
        space_id=place.space,
        model_name=model,
        model_type=ModelTypes.SCORE_CATEGORICAL,
        environment=Environments.PRODUCTION,
        prediction_id=prediction,
        actual_label=("fine", 0.25),
    )
    return _answered(future.result(timeout=30))


def _export_model(place: Place, model: str, environment: str, to: str | None, **options: Any) -> Any:
    which = {
        "space_id": place.space,
        "model_name": model,
        "environment": Environments[environment],
        **_during(place),
        **options,
    }
    models = _client(place).ml
    return models.export_to_parquet(path=to, **which) if to else models.export_to_df(**which)


@STEPS.step
def ml_export_to_df(place: Place, *, model: str, environment: str, **options: Any) -> Facts:
    """Export whatever there is into a frame."""
    frame = _export_model(place, model, environment, None, **options)
    return {"rows": len(frame), "columns": sorted(frame.columns), "ids": comparing.ids(frame)}


@STEPS.step
def ml_export_to_parquet(place: Place, *, model: str, environment: str, **options: Any) -> Facts:
    """Export whatever there is into a file."""
    table = comparing.into_file(lambda to: _export_model(place, model, environment, to, **options))
    return {"rows": 0, "columns": []} if table is None else {"rows": len(table), "columns": sorted(table.column_names)}


@STEPS.step
def expect_model(
    place: Place, *, model: str, recipe: str, environment: str, actuals: str = "", weights: bool = False, **options: Any
) -> Facts:
    """Export a model both ways, and compare."""
    if actuals:
        options["include_actuals"] = True
    _, facts = comparing.compare_model(
        lambda to: _export_model(place, model, environment, to, **options),
        recipes.model(recipe, place.at),
        recipes.model(actuals, place.at) if actuals else None,
        recipes.weights(place.at) if weights else None,
    )
    return facts


@STEPS.step
def expect_record(place: Place, *, model: str, prediction: str, actual: bool = False) -> Facts:
    """Export a single record, and compare."""
    frame = _export_model(place, model, "PRODUCTION", None, include_actuals=actual)
    return comparing.compare_record(frame, prediction, place.at, actual=actual)


# --- spans


@STEPS.step
def spans_log(place: Place, *, project: str, evaluated: bool = False) -> Facts:
    """Log spans, with evaluations in the same upload or without."""
    options = {"evals_dataframe": recipes.evaluations("first")} if evaluated else {}
    response = _client(place).spans.log(
        space_id=place.space, project_name=project, dataframe=recipes.spans(place.at), **options
    )
    return _answered(response)


@STEPS.step
def spans_update_evaluations(place: Place, *, project: str, recipe: str = "first", force_http: bool = False) -> Facts:
    """Evaluate spans over Flight, or over HTTP."""
    said = _client(place).spans.update_evaluations(
        space_id=place.space, project_name=project, dataframe=recipes.evaluations(recipe), force_http=force_http
    )
    return _answered(said) if force_http else dict(said)


@STEPS.step
def spans_update_annotations(place: Place, *, project: str) -> Facts:
    """Annotate spans."""
    said = _client(place).spans.update_annotations(
        space_id=place.space, project_name=project, dataframe=recipes.annotation_rows(place.at)
    )
    return dict(said)


@STEPS.step
def spans_update_metadata(place: Place, *, project: str) -> Facts:
    """Change spans' metadata."""
    said = _client(place).spans.update_metadata(space_id=place.space, project_name=project, dataframe=recipes.patches())
    return dict(said)


def _export_spans(place: Place, project: str, to: str | None = None, **options: Any) -> Any:
    which = {"space_id": place.space, "project_name": project, **_during(place), **options}
    spans = _client(place).spans
    return spans.export_to_parquet(path=to, **which) if to else spans.export_to_df(**which)


@STEPS.step
def spans_export_to_df(place: Place, *, project: str, **options: Any) -> Facts:
    """Export whatever there is into a frame."""
    frame = _export_spans(place, project, **options)
    return {"rows": len(frame), "columns": sorted(frame.columns), "ids": comparing.ids(frame)}


@STEPS.step
def spans_export_to_parquet(place: Place, *, project: str, **options: Any) -> Facts:
    """Export whatever there is into a file."""
    table = comparing.into_file(lambda to: _export_spans(place, project, to, **options))
    return {"rows": 0, "columns": []} if table is None else {"rows": len(table), "columns": sorted(table.column_names)}


@STEPS.step
def expect_spans(place: Place, *, project: str, layers: list[str]) -> Facts:
    """Export spans both ways, and compare with what was logged and laid over it."""
    return comparing.compare_spans(lambda to: _export_spans(place, project, to), place.at, layers, 8)


@STEPS.step
def spans_list(place: Place, *, project: str, **options: Any) -> Facts:
    """List spans over REST, page by page."""
    spans = _client(place).spans
    listed = _paged(lambda cursor: spans.list(project=project, cursor=cursor, **_during(place), **options), "spans")
    return {"spans": [span.to_dict() for span in listed]}


@STEPS.step
def spans_annotate(place: Place, *, project: str, span: str) -> Facts:
    """Annotate a span over REST."""
    _client(place).spans.annotate(project=project, annotations=[_annotation(span)], **_during(place))
    return {}


# --- datasets


def _upload(place: Place, way: str) -> Any:
    """Return examples by the way they travel: few as records or a frame, many as a frame, or a file's path."""
    if way == "records":
        return [dict(record) for record in recipes.RECORDS]
    frame = recipes.rich(place.at, rows=MANY if way == "many" else 5, binary=False)
    if way == "file":  # which has a type for everything, unlike an object that holds just anything
        frame["metadata"] = _as_json(frame["metadata"])
        frame.loc[2, "count"] = 2**53  # the SDK reads files through floats
    return frame


def _as_json(values: Any) -> list[Any]:
    return [json.dumps(one) if isinstance(one, dict) else one for one in values]


@STEPS.step
def datasets_create(place: Place, *, name: str, way: str = "records") -> Facts:
    """Create a dataset: from ``records``, from ``many`` rows, or from a ``file``."""
    examples = _upload(place, way)
    if way != "file":
        return _dataset(_client(place).datasets.create(name=name, space=place.space, examples=examples))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "examples.parquet"
        pq.write_table(recipes.table_of(examples), path)
        return _dataset(_client(place).datasets.create(name=name, space=place.space, examples=str(path)))


def _dataset(dataset: Any) -> Facts:
    versions = [version.id for version in dataset.versions or []]
    return {"id": dataset.id, "name": dataset.name, "space": dataset.space_id, "versions": versions} | _times(dataset)


def _times(of: Any) -> Facts:
    return {"created_at": of.created_at, "updated_at": of.updated_at}


@STEPS.step
def datasets_get(place: Place, **which: str) -> Facts:
    """Look a dataset up, by id or by name."""
    return _dataset(_client(place).datasets.get(**which))


@STEPS.step
def datasets_list(place: Place, **options: Any) -> Facts:
    """List datasets, page by page."""
    datasets = _client(place).datasets
    return {"names": _every(lambda cursor: datasets.list(cursor=cursor, **options), "datasets", "name")}


def _every(page: Any, of: str, field: str) -> list[str]:
    return [getattr(one, field) for one in _paged(page, of)]


def _paged(page: Any, of: str) -> list[Any]:
    found: list[Any] = []
    cursor = None
    while True:
        said = page(cursor)
        found += getattr(said, of)
        cursor = said.pagination.next_cursor
        if not cursor:
            return found


@STEPS.step
def datasets_update(place: Place, *, dataset: str, name: str) -> Facts:
    """Rename a dataset."""
    return _dataset(_client(place).datasets.update(dataset=dataset, name=name))


@STEPS.step
def datasets_delete(place: Place, *, dataset: str) -> Facts:
    """Delete a dataset."""
    _client(place).datasets.delete(dataset=dataset)
    return {}


@STEPS.step
def datasets_list_examples(place: Place, *, dataset: str, **options: Any) -> Facts:
    """Page through examples, or download all."""
    return {"examples": [_example(one) for one in _listed_examples(place, dataset, **options)]}


def _listed_examples(place: Place, dataset: str, *, caching: bool = False, **options: Any) -> list[Any]:
    datasets = _client(place, caching=caching).datasets
    if options.get("all"):
        return list(datasets.list_examples(dataset=dataset, **options).examples)
    return _paged(lambda cursor: datasets.list_examples(dataset=dataset, cursor=cursor, **options), "examples")


def _example(example: Any) -> Facts:
    return {
        "id": example.id,
        "fields": recipes.plain(example.additional_properties),
        "annotations": [one.to_dict() for one in example.annotations or []],
    }


@STEPS.step
def expect_records(place: Place, *, dataset: str, caching: bool = False, **options: Any) -> Facts:
    """Read the records back, paged or all at once, and compare."""
    found = _listed_examples(place, dataset, caching=caching, **options)
    fields = [
        {name: recipes.plain(one.additional_properties.get(name)) for name in recipes.RECORDS[0]} for one in found
    ]
    recipes.expect_values(fields, recipes.RECORDS, "examples")
    if len({one.id for one in found}) != len(found) or not all(one.created_at and one.updated_at for one in found):
        raise Differs("The examples are without ids or times of their own.")
    return {"ids": [one.id for one in found]}


@STEPS.step
def datasets_export_to_parquet(place: Place, *, dataset: str, **options: Any) -> Facts:
    """Download a dataset into a file."""
    table = _download(place, dataset, **options)
    return {"rows": len(table), "columns": table.column_names}


def _download(place: Place, dataset: str, **options: Any) -> Any:
    datasets = _client(place).datasets
    return comparing.into_file(lambda to: datasets.export_to_parquet(dataset=dataset, path=to, **options))


@STEPS.step
def expect_dataset(place: Place, *, dataset: str, way: str) -> Facts:
    """Download a dataset that went over Flight, and compare types, order, nulls and values with what was sent."""
    got = _download(place, dataset)
    wanted = _as_sent(_upload(place, way), from_file=way == "file")
    if got.column_names != wanted.column_names:
        raise Differs(f"The columns are {got.column_names}, not {wanted.column_names}")
    if got.schema.types != wanted.schema.types:
        differing = [name for name in got.column_names if got.schema.field(name).type != wanted.schema.field(name).type]
        raise Differs(f"The types of {differing} are {[got.schema.field(name).type for name in differing]}")
    for name in wanted.column_names:
        recipes.expect_values(got.column(name).to_pylist(), wanted.column(name).to_pylist(), name)
    if way != "file" and recipes.pandas_metadata(got) != recipes.pandas_metadata(wanted):
        raise Differs("What pandas noted in the schema is lost.")
    return {"rows": len(got), "columns": got.column_names}


def _as_sent(frame: pd.DataFrame, *, from_file: bool) -> Any:
    """Return the table that the SDK makes of a frame, or of a file with one in it."""
    frame = frame.copy()
    for name in ("naive", "universal", "berlin"):
        frame[name] = frame[name].astype("int64") // 10**6
    frame["metadata"] = _as_json(frame["metadata"])
    if not from_file:
        frame["flag"] = frame["flag"].astype("string")
        return recipes.table_of(frame)
    table = recipes.table_of(frame)
    for name in ("flag", "maybe"):
        table = table.set_column(table.column_names.index(name), name, pc.if_else(table.column(name), "True", "False"))
    nothing = table.column_names.index("nothing")
    return table.set_column(nothing, "nothing", pa.nulls(len(table), pa.string()))


@STEPS.step
def datasets_append_examples(place: Place, *, dataset: str, **options: Any) -> Facts:
    """Append an example."""
    said = _client(place).datasets.append_examples(
        dataset=dataset, examples=[recipes.RECORDS[0] | {"question": "appended ü"}], **options
    )
    return {"ids": said.example_ids, "version": said.dataset_version_id}


@STEPS.step
def datasets_update_examples(place: Place, *, dataset: str, example: str, **options: Any) -> Facts:
    """Change an example, in place or in a new version."""
    said = _client(place).datasets.update_examples(
        dataset=dataset, examples=[{"id": example, "question": "changed ☃"}], **options
    )
    return {"ids": said.example_ids, "version": said.dataset_version_id}


@STEPS.step
def datasets_delete_examples(place: Place, *, dataset: str, dataset_version_id: str, examples: list[str]) -> Facts:
    """Delete examples."""
    said = _client(place).datasets.delete_examples(
        dataset=dataset, dataset_version_id=dataset_version_id, examples=examples
    )
    return dict(said.to_dict())


@STEPS.step
def datasets_annotate_examples(place: Place, *, dataset: str, example: str) -> Facts:
    """Annotate an example."""
    _client(place).datasets.annotate_examples(dataset=dataset, annotations=[_annotation(example)])
    return {}


def _annotation(record: str) -> AnnotateRecordInput:
    return AnnotateRecordInput(record_id=record, values=[AnnotationInput(name="quality", label="gööd", score=0.5)])


# --- experiments


def _task(dataset_row: dict[str, Any]) -> Any:
    return f"answer to {dataset_row['question']}"


def _failing_task(dataset_row: dict[str, Any]) -> Any:
    if len(dataset_row["question"]) > 1000:
        raise ValueError("There is no answer.")
    return _task(dataset_row)


def _length(output: Any) -> EvaluationResult:
    return EvaluationResult(score=float(len(output or "")), label="länge", explanation="☃", metadata={"of": "output"})


# What the last run of a name gave, to be compared with what comes back.
_RUNS: dict[str, pd.DataFrame] = {}


@STEPS.step
def experiments_run(place: Place, *, name: str, dataset: str, force_http: bool = False) -> Facts:
    """Run an experiment over a dataset."""
    client = _client(place)
    task = _task if force_http else _failing_task  # what has no output cannot be uploaded over REST by this SDK
    experiment, frame = beside(
        lambda: client.experiments.run(
            name=name, dataset=dataset, task=task, evaluators=[_length], force_http=force_http
        )
    )
    _RUNS[name] = frame
    return _experiment(experiment) | {"rows": len(frame), "columns": list(frame.columns)}


def _experiment(experiment: Any) -> Facts:
    return {
        "id": experiment.id,
        "name": experiment.name,
        "space": experiment.space_id,
        "dataset": experiment.dataset_id,
        "version": experiment.dataset_version_id,
        "project": experiment.experiment_traces_project_id,
    } | _times(experiment)


@STEPS.step
def experiments_create(
    place: Place, *, name: str, examples: list[str | None] | None = None, many: bool = False, **where: str
) -> Facts:
    """Create an experiment of runs made elsewhere: few over REST, many over Flight; of no examples in a space alone."""
    rows = MANY if many else len(examples or "any")
    frame = pd.DataFrame(
        {
            "said": [("ü", "", 'say "☃"')[row % 3] for row in range(rows)],
            "right": [float(row) / 2 for row in range(rows)],
            "verdict": [("yes", "no", None)[row % 3] for row in range(rows)],
            "why": [("because", None, "")[row % 3] for row in range(rows)],
            "seconds": [0.25 * row for row in range(rows)],
        }
    )
    if examples:
        frame["example"] = [examples[row % len(examples)] for row in range(rows)]
    made = _client(place).experiments.create(
        name=name,
        experiment_runs=frame,
        task_fields=ExperimentTaskFieldNames(output="said", example_id="example" if examples else None),
        evaluator_columns={"Right": EvaluationResultFieldNames(score="right", label="verdict", explanation="why")},
        **where,
    )
    names = {
        "example": "example_id",
        "said": "output",
        "right": "eval.Right.score",
        "verdict": "eval.Right.label",
        "why": "eval.Right.explanation",
    }
    _RUNS[name] = frame.rename(columns=names)
    return _experiment(made)


@STEPS.step
def experiments_get(place: Place, **which: str) -> Facts:
    """Look an experiment up, by id or by name."""
    return _experiment(_client(place).experiments.get(**which))


@STEPS.step
def experiments_list(place: Place, **options: Any) -> Facts:
    """List experiments, page by page."""
    experiments = _client(place).experiments
    return {"names": _every(lambda cursor: experiments.list(cursor=cursor, **options), "experiments", "name")}


@STEPS.step
def experiments_list_runs(place: Place, *, experiment: str, **options: Any) -> Facts:
    """Page through runs, or download all."""
    return {"runs": [_run(one) for one in _listed_runs(place, experiment, **options)]}


def _run(run: Any) -> Facts:
    return {
        "id": run.id,
        "example": run.example_id,
        "output": run.output,
        "fields": recipes.plain(run.additional_properties),
        "annotations": [one.to_dict() for one in run.annotations or []],
    }


def _listed_runs(place: Place, experiment: str, **options: Any) -> list[Any]:
    experiments = _client(place).experiments
    if options.get("all"):
        return list(experiments.list_runs(experiment=experiment, **options).experiment_runs)
    return _paged(
        lambda cursor: experiments.list_runs(experiment=experiment, cursor=cursor, **options), "experiment_runs"
    )


@STEPS.step
def expect_runs(place: Place, *, name: str, experiment: str, rest: bool = True) -> Facts:
    """Read an experiment's runs in every way there is, and compare with what was uploaded."""
    wanted = {column: list(_RUNS[name][column]) for column in _RUNS[name].columns}
    experiments = _client(place).experiments
    table = comparing.into_file(lambda to: experiments.export_to_parquet(experiment=experiment, path=to))
    ids = table.column("id").to_pylist()
    if ids != sorted(ids) or len(set(ids)) != len(ids) or not all(isinstance(one, str) for one in ids):
        raise Differs(f"The ids are {ids[:5]}")
    _expect_columns({column: table.column(column).to_pylist() for column in table.column_names}, wanted, "the file")
    ways: list[dict[str, Any]] = [{"all": True}, {"limit": 2}] if rest else [{"all": True}]
    for way in ways:
        runs = [one.additional_properties | one.__dict__ for one in _listed_runs(place, experiment, **way)]
        had = {column: [run.get(column) for run in runs] for column in ("id", *wanted)}
        recipes.expect_values(had["id"], ids, f"id, {way}")
        _expect_columns(had, wanted, str(way))
    return {"rows": len(ids), "columns": table.column_names}


def _expect_columns(had: dict[str, list[Any]], wanted: dict[str, list[Any]], where: str) -> None:
    for column in wanted:
        if column not in had:
            raise Differs(f"{where} is without {column}; there are {sorted(had)}")
        recipes.expect_values(had[column], wanted[column], f"{column}, {where}")


@STEPS.step
def experiments_append_runs(place: Place, *, experiment: str, example: str) -> Facts:
    """Append a run."""
    said = _client(place).experiments.append_runs(
        experiment=experiment, experiment_runs=[ExperimentRunInput(example_id=example, output="appended ü")]
    )
    return {"ids": said.run_ids}


@STEPS.step
def experiments_annotate_runs(place: Place, *, experiment: str, run: str) -> Facts:
    """Annotate a run."""
    _client(place).experiments.annotate_runs(experiment=experiment, annotations=[_annotation(run)])
    return {}


@STEPS.step
def experiments_delete(place: Place, *, experiment: str) -> Facts:
    """Delete an experiment."""
    _client(place).experiments.delete(experiment=experiment)
    return {}


# --- projects and their restrictions


@STEPS.step
def projects_create(place: Place, *, name: str) -> Facts:
    """Create a project."""
    return dict(_client(place).projects.create(name=name, space=place.space).to_dict())


@STEPS.step
def projects_get(place: Place, **which: str) -> Facts:
    """Look a project up, by id or by name."""
    return dict(_client(place).projects.get(**which).to_dict())


@STEPS.step
def projects_list(place: Place, **options: Any) -> Facts:
    """List projects, page by page."""
    projects = _client(place).projects
    return {"names": _every(lambda cursor: projects.list(cursor=cursor, **options), "projects", "name")}


@STEPS.step
def projects_update(place: Place, *, project: str, name: str) -> Facts:
    """Rename a project."""
    return dict(_client(place).projects.update(project=project, name=name).to_dict())


@STEPS.step
def projects_delete(place: Place, *, project: str) -> Facts:
    """Delete a project."""
    _client(place).projects.delete(project=project)
    return {}


@STEPS.step
def restrict(place: Place, *, resource: str) -> Facts:
    """Restrict a project to those who are bound there."""
    return dict(_client(place).resource_restrictions.restrict(resource_id=resource).to_dict())


@STEPS.step
def unrestrict(place: Place, *, resource: str) -> Facts:
    """Take a restriction away."""
    _client(place).resource_restrictions.unrestrict(resource_id=resource)
    return {}


# --- one connection, kept

_KEPT: dict[str, Any] = {}


@STEPS.step
def connect(place: Place) -> Facts:
    """Open a connection to Flight, as a long-lived program has one."""
    from arize._flight.client import ArizeFlightClient

    _KEPT["flight"] = ArizeFlightClient(sdk_config=_client(place).sdk_config).__enter__()
    return {}


@STEPS.step
def ask_again(place: Place, *, dataset: str) -> Facts:
    """Read a dataset over the connection that is open."""
    frame = _KEPT["flight"].get_dataset_examples(space_id=place.space, dataset_id=dataset)
    return {"rows": len(frame)}


# --- traces


@STEPS.step
def export_traces(place: Place, *, project: str, protocol: str) -> Facts:
    """Send two spans over OTLP by an exporter of OpenTelemetry's."""
    return traces.send_traces(place, {"openinference.project.name": project}, protocol, {})


@STEPS.step
def register_and_trace(place: Place, *, project: str) -> Facts:
    """Send two spans through the vendor's ``arize-otel``, which over HTTP fails with OpenTelemetry as it is today."""
    from arize.otel import Transport, register

    provider = register(
        space_id=place.space,
        api_key=place.key,
        project_name=project,
        endpoint=place.grpc,
        transport=Transport.GRPC,
        batch=False,
        set_global_tracer_provider=False,
        verbose=False,
    )
    mark = traces.make_spans(provider.get_tracer("tests"))
    provider.shutdown()
    return {"mark": mark}


@STEPS.step
def expect_traces(place: Place, *, project: str, mark: str) -> Facts:
    """Export the spans that were sent over OTLP, and look whether they are all there."""
    return traces.compare_traces(_export_spans(place, project), mark)


@STEPS.step
def count_traces(place: Place, *, project: str) -> Facts:
    """Tell the names of all spans of a project, as often as they are there."""
    return traces.names_of(_export_spans(place, project))


if __name__ == "__main__":
    answer(STEPS)
