"""The steps of SDK 7: the pandas logger, single records, exports, datasets, experiments, and the prompt hub."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from arize.api import Client as RecordClient
from arize.experimental.datasets import ArizeDatasetsClient
from arize.experimental.datasets.experiments.types import (
    EvaluationResult,
    EvaluationResultColumnNames,
    ExperimentTaskResultColumnNames,
)
from arize.exporter import ArizeExportClient
from arize.exporter.utils.schema_parser import get_arize_schema
from arize.pandas.logger import Client
from arize.utils.types import Embedding, EmbeddingColumnNames, Environments, ModelTypes, Schema
from arize.version import __version__

from tests.clients.workflows import comparing, recipes, traces
from tests.clients.workflows.answering import Differs, Facts, Place, Steps, answer, beside

STEPS = Steps()
EARLY = __version__ < "7.5"  # 7.40: Flight of the logger is always TLS, and datasets keep times


# --- clients, made anew for each step


def _logger(place: Place) -> Client:
    who = {"api_key": place.key, "space_id": place.space} if place.key else {}
    if place.certificate:
        return Client(**who, **_by_web(place), host=place.web_host, port=place.web_port)
    if EARLY:  # over TLS always, and host name localhost, exactly, switches certificate checks off
        return Client(**who, **_by_web(place), host="localhost", port=place.tls_port)
    return Client(**who, **_by_web(place), host=place.host, port=place.port, scheme="grpc")


def _exporter(place: Place) -> ArizeExportClient:
    who = {"api_key": place.key} if place.key else {}
    if place.certificate:
        return ArizeExportClient(**who, host=place.web_host, port=place.web_port)
    return ArizeExportClient(**who, host=place.host, port=place.port, scheme="grpc")


def _datasets(place: Place) -> ArizeDatasetsClient:
    if place.certificate:
        return ArizeDatasetsClient(api_key=place.key, host=place.web_host, port=place.web_port, otlp_endpoint=place.web)
    plain = {} if EARLY else {"insecure": True}
    return ArizeDatasetsClient(
        api_key=place.key, host=place.host, port=place.port, scheme="grpc", otlp_endpoint=place.grpc, **plain
    )


def _records(place: Place) -> RecordClient:
    return RecordClient(api_key=place.key, space_id=place.space, **_by_web(place))


def _by_web(place: Place) -> dict[str, str]:
    trusted = {"request_verify": place.certificate} if place.certificate else {}
    return {"uri": f"{place.web}/v1", **trusted}


def _answered(response: Any) -> Facts:
    return {"status": response.status_code, "text": response.text}


# --- models


@STEPS.step
def log(
    place: Place, *, model: str, recipe: str, environment: str, version: str | None = None, batch: str | None = None
) -> Facts:
    """Log a model's rows."""
    upload = recipes.model(recipe, place.at)
    response = _logger(place).log(
        dataframe=upload.frame.copy(),
        schema=_schema(upload),
        environment=Environments[environment],
        model_id=model,
        model_type=ModelTypes[upload.kind],
        model_version=version,
        batch_id=batch,
        sync=True,
    )
    return _answered(response)


def _schema(upload: recipes.Upload) -> Schema:
    roles = dict(upload.roles)
    if "embedding_feature_column_names" in roles:
        roles["embedding_feature_column_names"] = {
            name: EmbeddingColumnNames(*columns) for name, columns in roles["embedding_feature_column_names"].items()
        }
    return Schema(**roles)


@STEPS.step
def record(place: Place, *, model: str, prediction: str, environment: str = "PRODUCTION") -> Facts:
    """Log one record by itself."""
    future = _records(place).log(
        model_id=model,
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
def record_actual(place: Place, *, model: str, prediction: str) -> Facts:
    """Log what came true of a record, by itself."""
    future = _records(place).log(
        model_id=model,
        model_type=ModelTypes.SCORE_CATEGORICAL,
        environment=Environments.PRODUCTION,
        prediction_id=prediction,
        actual_label=("fine", 0.25),
    )
    return _answered(future.result(timeout=30))


def _export(place: Place, model: str, environment: str, to: str | None = None, **options: Any) -> pd.DataFrame:
    start = datetime.fromtimestamp(place.at, UTC) - timedelta(hours=1)
    which = {
        "space_id": place.space,
        "model_id": model,
        "environment": Environments[environment],
        "start_time": start,
        "end_time": start + timedelta(days=2),
        **options,
    }
    exporter = _exporter(place)
    if to:
        return exporter.export_model_to_parquet(path=to, **which)
    return exporter.export_model_to_df(**which)


@STEPS.step
def export_model_to_df(place: Place, *, model: str, environment: str, **options: Any) -> Facts:
    """Export whatever there is into a frame."""
    frame = _export(place, model, environment, **options)
    return {"rows": len(frame), "columns": sorted(frame.columns), "ids": comparing.ids(frame)}


@STEPS.step
def export_model_to_parquet(place: Place, *, model: str, environment: str, **options: Any) -> Facts:
    """Export whatever there is into a file."""
    table = comparing.into_file(lambda to: _export(place, model, environment, to, **options))
    return {"rows": 0, "columns": []} if table is None else {"rows": len(table), "columns": sorted(table.column_names)}


@STEPS.step
def expect_model(
    place: Place, *, model: str, recipe: str, environment: str, actuals: str = "", weights: bool = False, **options: Any
) -> Facts:
    """Export a model both ways, compare, and have the SDK's own parser find everything in the export."""
    upload = recipes.model(recipe, place.at)
    if actuals:
        options["include_actuals"] = True
    frame, facts = comparing.compare_model(
        lambda to: _export(place, model, environment, to, **options),
        upload,
        recipes.model(actuals, place.at) if actuals else None,
        recipes.weights(place.at) if weights else None,
    )
    parsed = get_arize_schema(frame)
    tags = sorted(f"{name}__tag" for name in upload.roles.get("tag_column_names", []))
    if sorted(parsed.tag_column_names) != tags:
        raise Differs(f"The SDK reads tags {parsed.tag_column_names}")
    if set(parsed.embedding_feature_column_names) != set(upload.roles.get("embedding_feature_column_names", {})):
        raise Differs(f"The SDK reads embeddings {parsed.embedding_feature_column_names}")
    return facts


@STEPS.step
def expect_record(place: Place, *, model: str, prediction: str, actual: bool = False) -> Facts:
    """Export a single record, and compare."""
    frame = _export(place, model, "PRODUCTION", include_actuals=actual)
    return comparing.compare_record(frame, prediction, place.at, actual=actual)


# --- spans


@STEPS.step
def log_spans(place: Place, *, project: str, evaluated: bool = False) -> Facts:
    """Log spans, with evaluations in the same upload or without."""
    options = {"evals_dataframe": recipes.evaluations("first")} if evaluated else {}
    response = _logger(place).log_spans(dataframe=recipes.spans(place.at), project_name=project, **options)
    return _answered(response)


@STEPS.step
def log_evaluations(place: Place, *, project: str, recipe: str = "first") -> Facts:
    """Evaluate spans over HTTP."""
    return _answered(_logger(place).log_evaluations(dataframe=recipes.evaluations(recipe), project_name=project))


@STEPS.step
def log_evaluations_sync(place: Place, *, project: str, recipe: str = "first") -> Facts:
    """Evaluate spans over Flight."""
    said = _logger(place).log_evaluations_sync(dataframe=recipes.evaluations(recipe), project_name=project)
    return _updated(said)


@STEPS.step
def log_annotations(place: Place, *, project: str) -> Facts:
    """Annotate spans."""
    return _updated(_logger(place).log_annotations(dataframe=recipes.annotation_rows(place.at), project_name=project))


@STEPS.step
def log_metadata(place: Place, *, project: str) -> Facts:
    """Change spans' metadata."""
    return dict(_logger(place).log_metadata(dataframe=recipes.patches(), project_name=project))


def _updated(said: Any) -> Facts:
    if said is None:
        return {"answered": None}
    return {"answered": True, "updated": said.records_updated, "unmatched": list(getattr(said, "unmatched_ids", []))}


@STEPS.step
def expect_spans(place: Place, *, project: str, layers: list[str]) -> Facts:
    """Export spans both ways, and compare with what was logged and laid over it."""
    return comparing.compare_spans(lambda to: _export(place, project, "TRACING", to), place.at, layers, 7)


# --- datasets


def _examples(place: Place, recipe: str) -> pd.DataFrame:
    frame = recipes.rich(place.at)
    return frame if recipe == "first" else frame.iloc[1:3].reset_index(drop=True).assign(question=["new", None])


def _as_sent(frame: pd.DataFrame, *, created: bool) -> pd.DataFrame:
    """Return what the SDK makes of a frame before it uploads it, as it comes out of Arrow again."""
    frame = frame.copy()
    if created and not EARLY:
        for name in ("naive", "universal", "berlin"):
            frame[name] = frame[name].astype("int64") // 10**6
    frame["metadata"] = [json.dumps(one) if isinstance(one, dict) else one for one in frame["metadata"]]
    frame["flag"] = frame["flag"].astype("string")
    return recipes.table_of(frame).to_pandas()


@STEPS.step
def create_dataset(place: Place, *, name: str, recipe: str = "first") -> Facts:
    """Create a dataset."""
    kind = 1  # generative
    made = _datasets(place).create_dataset(
        space_id=place.space, dataset_name=name, dataset_type=kind, data=_examples(place, recipe)
    )
    return {"id": made}


@STEPS.step
def update_dataset(place: Place, *, recipe: str = "second", **which: str) -> Facts:
    """Give a dataset a new version."""
    return {"id": _datasets(place).update_dataset(space_id=place.space, data=_examples(place, recipe), **which)}


@STEPS.step
def get_dataset(place: Place, *, recipe: str = "", created: bool = True, **which: str) -> Facts:
    """Download a dataset, and compare it with what a recipe says."""
    frame = _datasets(place).get_dataset(space_id=place.space, convert_json_str_to_dict=False, **which)
    if recipe:
        recipes.expect_same(frame, _as_sent(_examples(place, recipe), created=created))
    return {"rows": len(frame), "columns": list(frame.columns)}


@STEPS.step
def get_dataset_versions(place: Place, **which: str) -> Facts:
    """List a dataset's versions."""
    frame = _datasets(place).get_dataset_versions(space_id=place.space, **which)
    return {"versions": list(frame["dataset_version"]), "columns": sorted(frame.columns)}


@STEPS.step
def list_datasets(place: Place) -> Facts:
    """List the space's datasets."""
    frame = _datasets(place).list_datasets(space_id=place.space)
    return {"datasets": frame.to_dict(orient="records")}


@STEPS.step
def delete_dataset(place: Place, **which: str) -> Facts:
    """Delete a dataset."""
    return {"deleted": _datasets(place).delete_dataset(space_id=place.space, **which)}


# --- experiments


def _task(dataset_row: dict[str, Any]) -> Any:
    if dataset_row["question"] is None:
        raise ValueError("There is no question.")
    return f"answer to {dataset_row['question']}"


def _length(output: Any) -> EvaluationResult:
    return EvaluationResult(score=float(len(output or "")), label="länge", explanation="☃", metadata={"of": "output"})


# What the last run of a name gave, to be compared with what comes back.
_RUNS: dict[str, pd.DataFrame] = {}


@STEPS.step
def run_experiment(place: Place, *, name: str, **which: str) -> Facts:
    """Run an experiment over a dataset."""
    client = _datasets(place)
    number, frame = beside(
        lambda: client.run_experiment(
            space_id=place.space, experiment_name=name, task=_task, evaluators=[_length], **which
        )
    )
    _RUNS[name] = frame
    return {"id": number, "rows": len(frame), "columns": list(frame.columns)}


@STEPS.step
def log_experiment(place: Place, *, name: str, **which: str) -> Facts:
    """Log an experiment that was run elsewhere."""
    frame = pd.DataFrame(
        {
            "example": ["e-1", "e-2", "e-3"],
            "said": ["ü", "", 'say "☃"'],
            "right": [1.0, 0.0, 0.5],
            "verdict": ["yes", "no", None],
            "why": ["because", None, ""],
        }
    )
    number = _datasets(place).log_experiment(
        space_id=place.space,
        experiment_name=name,
        experiment_df=frame,
        task_columns=ExperimentTaskResultColumnNames(example_id="example", result="said"),
        evaluator_columns={
            "Right": EvaluationResultColumnNames(score="right", label="verdict", explanation="why"),
        },
        **which,
    )
    _RUNS[name] = pd.DataFrame(
        {
            "id": ["0", "1", "2"],
            "example_id": frame["example"],
            "result": frame["said"],
            "eval.Right.score": frame["right"],
            "eval.Right.label": frame["verdict"],
            "eval.Right.explanation": frame["why"],
        }
    )
    return {"id": number, "rows": len(frame)}


@STEPS.step
def get_experiment(place: Place, *, name: str = "", compare: bool = False, **which: str) -> Facts:
    """Download an experiment, and compare it with what was uploaded."""
    by_name = {"experiment_name": name} if name and "experiment_id" not in which else {}
    frame = _datasets(place).get_experiment(space_id=place.space, **by_name, **which)
    if compare:
        wanted = recipes.table_of(_RUNS[name]).to_pandas()
        recipes.expect_same(frame[list(wanted.columns)], wanted)
    return {"rows": len(frame), "columns": list(frame.columns)}


@STEPS.step
def delete_experiment(place: Place, **which: str) -> Facts:
    """Delete an experiment."""
    done, number = _datasets(place).delete_experiment(space_id=place.space, **which)
    return {"deleted": done, "id": number}


# --- traces


@STEPS.step
def export_traces(place: Place, *, project: str, protocol: str) -> Facts:
    """Send two spans over OTLP, as the SDK's experiments do."""
    return traces.send_traces(place, {"model_id": project}, protocol, {"api_key": place.key, "space_id": place.space})


@STEPS.step
def expect_traces(place: Place, *, project: str, mark: str) -> Facts:
    """Export the spans that were sent over OTLP, and look whether they are all there."""
    return traces.compare_traces(_export(place, project, "TRACING"), mark)


@STEPS.step
def count_traces(place: Place, *, project: str) -> Facts:
    """Tell the names of all spans of a project, as often as they are there."""
    return traces.names_of(_export(place, project, "TRACING"))


# --- the prompt hub


@contextmanager
def _prompts(place: Place) -> Iterator[Any]:
    from arize.experimental.prompt_hub import ArizePromptClient

    # No more of this process than the prompt hub, which can be told in no other way, shall trust what is in there.
    if place.certificate:
        os.environ["REQUESTS_CA_BUNDLE"] = place.certificate
    try:
        yield ArizePromptClient(space_id=place.space, api_key=place.key, base_url=place.web)
    finally:
        os.environ.pop("REQUESTS_CA_BUNDLE", None)


def _prompt(name: str, said: str) -> Any:
    from arize.experimental.prompt_hub import Prompt
    from arize.experimental.prompt_hub.prompts import LLMProvider, PromptInputVariableFormat

    return Prompt(
        name=name,
        messages=[{"role": "system", "content": "Be kind ☃"}, {"role": "user", "content": said}],
        provider=LLMProvider.OPENAI,
        model_name="gpt-4o",
        description="a prompt",
        tags=["red", "blue"],
        commit_message="first",
        input_variable_format=PromptInputVariableFormat.MUSTACHE,
        llm_parameters={"temperature": 0.5},
    )


@STEPS.step
def push_prompt(place: Place, *, name: str, said: str = "{{question}}", number: str = "") -> Facts:
    """Push a prompt, or a further version of it."""
    prompt = _prompt(name, said)
    prompt.id = number or None
    with _prompts(place) as prompts:
        return {"id": prompts.push_prompt(prompt, **({"commit_message": "again"} if number else {})).id}


@STEPS.step
def pull_prompt(place: Place, *, name: str, said: str = "") -> Facts:
    """Pull a prompt, and compare."""
    with _prompts(place) as prompts:
        prompt = prompts.pull_prompt(name)
    if said:
        wanted = _prompt(name, said)
        messages = [{key: one[key] for key in ("role", "content")} for one in prompt.messages]
        recipes.expect_values(messages, wanted.messages, "messages")
        for field in ("name", "description", "tags", "provider", "model_name", "input_variable_format"):
            recipes.expect_values([getattr(prompt, field)], [getattr(wanted, field)], field)
        recipes.expect_values([prompt.llm_parameters["temperature"]], [0.5], "temperature")
    return {"id": prompt.id, "commit": prompt.commit_message}


@STEPS.step
def pull_prompts(place: Place) -> Facts:
    """Pull all prompts."""
    with _prompts(place) as prompts:
        return {"names": sorted(prompt.name for prompt in prompts.pull_prompts())}


if __name__ == "__main__":
    answer(STEPS)
