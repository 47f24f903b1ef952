"""What travels about projects, datasets and experiments (contract client-workflows §10 and §11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.changes import MAX_NAME
from accounts.models import Project, ProjectKind
from accounts.rest.shapes import (
    MAX_CURSOR,
    Cursor,
    IdOut,
    Many,
    Name,
    PageQuery,
    Pagination,
    QueryWhole,
    Shape,
    Text,
    Whole,
    WireId,
)
from apikeys.workflows.editing import MOST_ROWS

MAX_ROWS_PER_PAGE = 500
_DEFAULT_ROWS_PER_PAGE = 50
_MAX_ROW_ID = 1_000
_MAX_PROPERTY = 1_000
_MAX_FILTER = 50_000
_MAX_SAID = 100_000
# What is set for examples, and for runs.
_OF_EXAMPLES = ("id", "created_at", "updated_at", "annotations")
_OF_RUNS = ("id", "annotations")


def _properties(reserved: tuple[str, ...]) -> dict[str, Any]:
    return {"minLength": 1, "maxLength": _MAX_PROPERTY, "not": {"enum": list(reserved)}}


class Row(serializers.Field[Any, Any, Any, Any]):
    """An object with whatever properties its sender likes, but for some."""

    default_error_messages = {
        "object": "This must be an object.",
        "empty": "This must have at least one property.",
        "reserved": "“{name}” is set for it, and cannot be given.",
        "missing": "“{name}” must be there, as a text that is not empty.",
        "blank": "“{name}” must be a text that is not empty, or be left out.",
        "not_text": "“{name}” must be a text.",
        "property": "The name of a property has 1 to {most} characters.",
    }
    reserved: tuple[str, ...] = ()
    required_texts: tuple[str, ...] = ()
    optional_texts: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def to_internal_value(self, data: Any) -> Any:
        """Return the object as it came."""
        if not isinstance(data, Mapping):
            self.fail("object")
        if not data:
            self.fail("empty")
        for name in self.reserved:
            if name in data:
                self.fail("reserved", name=name)
        for name in self.required_texts:
            if not isinstance(data.get(name), str) or not data[name]:
                self.fail("missing", name=name)
        for name in self.optional_texts:
            if data.get(name) is not None and (not isinstance(data[name], str) or not data[name]):
                self.fail("blank", name=name)
        for name in self.texts:
            if not isinstance(data.get(name), str):
                self.fail("not_text", name=name)
        if any(not 1 <= len(name) <= _MAX_PROPERTY for name in data):
            self.fail("property", most=_MAX_PROPERTY)
        return data


@extend_schema_field(
    {"type": "object", "minProperties": 1, "propertyNames": _properties(_OF_EXAMPLES), "additionalProperties": True}
)
class NewExample(Row):
    """An example that is new."""

    reserved = _OF_EXAMPLES


@extend_schema_field(
    {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "minLength": 1, "maxLength": _MAX_ROW_ID}},
        "propertyNames": _properties(_OF_EXAMPLES[1:]),
        "additionalProperties": True,
    }
)
class ChangedExample(Row):
    """What shall be different about an example."""

    reserved = _OF_EXAMPLES[1:]
    required_texts = ("id",)


@extend_schema_field(
    {
        "type": "object",
        "required": ["output"],
        "properties": {"example_id": {"type": ["string", "null"], "minLength": 1}, "output": {"type": "string"}},
        "propertyNames": _properties(_OF_RUNS),
        "additionalProperties": True,
    }
)
class NewRun(Row):
    """A run that is new."""

    reserved = _OF_RUNS
    optional_texts = ("example_id",)
    texts = ("output",)


class Number(serializers.FloatField):
    """A JSON number: no string, no boolean."""

    default_error_messages = {"invalid": "This must be a number."}

    def to_internal_value(self, data: Any) -> float:
        """Return it as it came."""
        if type(data) not in (int, float):
            self.fail("invalid")
        return float(data)


class MaybeId(WireId):
    """An ID that may be left out, or be empty, which means the same."""

    def __init__(self, type_name: str, **kwargs: Any) -> None:
        super().__init__(type_name, allow_blank=True, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Check the text, unless there is none."""
        return None if data == "" else super().run_validation(data)


class RowCursor(Cursor):
    """Where the rows of a table go on, as an earlier page said; empty for their beginning."""

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return {"format": "row-cursor"}


class InSpaces(PageQuery):
    """How a list of what spaces hold is narrowed down."""

    space_id = WireId("Space", required=False, help_text="What is in this space only.")
    space_name = Text(
        required=False,
        allow_blank=True,
        max_length=MAX_NAME,
        help_text="Part of the name of the space; case does not count.",
    )
    name = Text(
        required=False, allow_blank=True, max_length=MAX_NAME, help_text="Part of the name; case does not count."
    )


class ExperimentQuery(PageQuery):
    """How a list of experiments is narrowed down."""

    dataset_id = WireId("Dataset", required=False, help_text="Experiments on this dataset only.")
    space_id = WireId("Space", required=False, help_text="Experiments in this space only. Not together with a dataset.")
    name = Text(
        required=False, allow_blank=True, max_length=MAX_NAME, help_text="Part of the name; case does not count."
    )


class RowQuery(Shape):
    """Which of many rows."""

    limit = QueryWhole(
        min_value=1, max_value=MAX_ROWS_PER_PAGE, default=_DEFAULT_ROWS_PER_PAGE, help_text="How many to return."
    )
    cursor = RowCursor(
        max_length=MAX_CURSOR, allow_blank=True, default="", help_text="`next_cursor` of the page before."
    )


class VersionQuery(Shape):
    """Which version of a dataset."""

    dataset_version_id = MaybeId("DatasetVersion", required=False, help_text="The version; left out, the latest.")


class ExampleQuery(RowQuery, VersionQuery):
    """Which of many examples."""


class SearchRuns(Shape):
    """Which runs to find."""

    filter = Name(
        required=False,
        max_length=_MAX_FILTER,
        multiline=True,
        help_text="A condition over the columns: `topic = 'math' and annotation.correct.label = 'yes'`.",
    )
    limit = Whole(
        min_value=1, max_value=MAX_ROWS_PER_PAGE, default=_DEFAULT_ROWS_PER_PAGE, help_text="How many to return."
    )
    cursor = RowCursor(
        max_length=MAX_CURSOR,
        allow_blank=True,
        default="",
        help_text="`next_cursor` of the page before. Keep the filter the same from page to page.",
    )


class SearchExamples(SearchRuns):
    """Which examples to find."""

    dataset_version_id = MaybeId("DatasetVersion", required=False, help_text="The version; left out, the latest.")


class CreateProject(Shape):
    """A new project."""

    name = Name(max_length=MAX_NAME, help_text="Unique in the space. Blanks around it are taken off.")
    space_id = WireId("Space", help_text="The space it shall be in.")


class Rename(Shape):
    """What something shall be called."""

    name = Name(max_length=MAX_NAME, help_text="Unique in the space. Blanks around it are taken off.")


class CreateDataset(Shape):
    """A new dataset."""

    name = Name(max_length=MAX_NAME, help_text="Unique in the space. Blanks around it are taken off.")
    space_id = WireId("Space", help_text="The space it shall be in.")
    examples = Many(NewExample(), max_length=MOST_ROWS, help_text="Its examples, each with properties of your own.")


class AddExamples(Shape):
    """Further examples."""

    examples = Many(NewExample(), max_length=MOST_ROWS, help_text="The new examples.")


class ChangeExamples(Shape):
    """What shall be different about some examples."""

    examples = Many(
        ChangedExample(),
        max_length=MOST_ROWS,
        help_text="By their `id`. What is left out stays as it is.",
    )
    new_version = Text(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=MAX_NAME,
        help_text="A name for a new version that has the changes. Left out: they are made in place.",
    )


class DeleteExamples(Shape):
    """Which examples shall go."""

    dataset_version_id = WireId("DatasetVersion", help_text="The version they shall be removed from.")
    example_ids = Many(Text(max_length=_MAX_ROW_ID), max_length=MOST_ROWS, help_text="The examples, each named once.")


class AnnotationIn(Shape):
    """What is said of a row, under a name. What is left out stays as it was."""

    name = Name(max_length=MAX_NAME, help_text="What it is about.")
    score = Number(required=False, allow_null=True, help_text="As a number.")
    label = Text(  # type: ignore[assignment]  # a field, which is taken off the class before it hides anything
        required=False, allow_null=True, allow_blank=True, max_length=_MAX_SAID, help_text="As one word."
    )
    text = Text(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=_MAX_SAID,
        multiline=True,
        help_text="In so many words.",
    )


class RowAnnotations(Shape):
    """What is said of one row."""

    record_id = Text(max_length=_MAX_ROW_ID, help_text="The row's ID. One that there is none of is passed over.")
    values = Many(AnnotationIn(), max_length=100, help_text="Under one name or several.")


class Annotate(Shape):
    """What is said of rows."""

    annotations = Many(RowAnnotations(), max_length=MOST_ROWS, help_text="Row by row.")


class CreateExperiment(Shape):
    """A new experiment."""

    name = Name(
        max_length=MAX_NAME,
        help_text="Unique on the dataset, or in the space among those without one. Blanks around it are taken off.",
    )
    dataset_id = WireId("Dataset", required=False, help_text="The dataset it was made on. This or `space_id`.")
    space_id = WireId("Space", required=False, help_text="The space of an experiment without a dataset.")
    experiment_runs = Many(NewRun(), max_length=MOST_ROWS, help_text="What came out, example by example.")


class AddRuns(Shape):
    """Further runs."""

    experiment_runs = Many(NewRun(), max_length=MOST_ROWS, help_text="The new runs.")


class ProjectOut(serializers.Serializer[Any]):
    """What spans or predictions are logged to."""

    id = IdOut("Project", source="pk")
    name = serializers.CharField(help_text="Its name, unique in the space.")
    space_id = IdOut("Space")
    created_at = serializers.DateTimeField(help_text="When it was made.")
    project_type = serializers.SerializerMethodField(help_text="APPLICATION for traces; null for an ML model.")

    @extend_schema_field({"enum": ["APPLICATION", None]})
    def get_project_type(self, project: Project) -> str | None:
        """Return what kind of project it is, in the words of clients."""
        return "APPLICATION" if project.kind == ProjectKind.TRACING else None


class ProjectPage(serializers.Serializer[Any]):
    """A page of a list of projects."""

    projects = ProjectOut(many=True, help_text="The projects.")
    pagination = Pagination(help_text="Whether there is more.")


class DatasetVersionOut(serializers.Serializer[Any]):
    """The examples of a dataset as they are under one name."""

    id = IdOut("DatasetVersion", source="pk")
    name = serializers.CharField(help_text="Its name, unique in the dataset.")
    dataset_id = IdOut("Dataset")
    created_at = serializers.DateTimeField(help_text="When it was made.")
    updated_at = serializers.DateTimeField(help_text="When its examples were changed last.")


class DatasetInListOut(serializers.Serializer[Any]):
    """A dataset, without its versions."""

    id = IdOut("Dataset", source="pk")
    name = serializers.CharField(help_text="Its name, unique in the space.")
    space_id = IdOut("Space")
    created_at = serializers.DateTimeField(help_text="When it was made.")
    updated_at = serializers.DateTimeField(help_text="When something about it was changed last.")


class DatasetOut(DatasetInListOut):
    """A dataset."""

    versions = serializers.SerializerMethodField(help_text="Newest first.")

    @extend_schema_field(DatasetVersionOut(many=True))
    def get_versions(self, dataset: Any) -> list[dict[str, Any]]:
        """Return the versions, newest first."""
        return list(DatasetVersionOut(dataset.versions.order_by("-number"), many=True).data)


class DatasetPage(serializers.Serializer[Any]):
    """A page of a list of datasets."""

    datasets = DatasetInListOut(many=True, help_text="The datasets.")
    pagination = Pagination(help_text="Whether there is more.")


class WrittenExamples(DatasetInListOut):
    """A dataset whose examples were written."""

    dataset_version_id = serializers.CharField(help_text="The version they were written to.")
    example_ids = serializers.ListField(
        child=serializers.CharField(), help_text="The examples that were written; added ones in the order given."
    )


class DeletedExamples(serializers.Serializer[Any]):
    """Which examples are gone."""

    completed = serializers.BooleanField(help_text="Always true: it is done at once, or not at all.")
    deleted_example_ids = serializers.ListField(child=serializers.CharField(), help_text="Those that were there.")
    not_deleted_example_ids = serializers.ListField(child=serializers.CharField(), help_text="Those that were not.")


class AnnotatorOut(serializers.Serializer[Any]):
    """Who said it."""

    email = serializers.CharField(help_text="The address of a person, or the name of a bot.")


class AnnotationOut(serializers.Serializer[Any]):
    """What was said of a row, under a name."""

    name = serializers.CharField(help_text="What it is about.")
    label = serializers.CharField(  # type: ignore[assignment]  # as above
        required=False, help_text="As one word."
    )
    score = serializers.FloatField(required=False, help_text="As a number.")
    text = serializers.CharField(required=False, help_text="In so many words.")
    updated_at = serializers.DateTimeField(required=False, help_text="When it was said.")
    annotator = AnnotatorOut(required=False, help_text="Who said it.")


class ExampleOut(serializers.Serializer[Any]):
    """An example: what is set for it, and beside that the properties it was sent with."""

    id = serializers.CharField(help_text="What it is named by, in its dataset.")
    created_at = serializers.DateTimeField(allow_null=True, help_text="When it was made.")
    updated_at = serializers.DateTimeField(allow_null=True, help_text="When it was changed last.")
    annotations = AnnotationOut(many=True, required=False, help_text="What people said of it.")


class ExamplePage(serializers.Serializer[Any]):
    """A page of a dataset's examples, in the order in which they came."""

    examples = ExampleOut(many=True, help_text="The examples.")
    pagination = Pagination(help_text="Whether there is more.")


class ExperimentOut(serializers.Serializer[Any]):
    """What a task made, of a dataset's examples as a rule."""

    id = IdOut("Experiment", source="pk")
    name = serializers.CharField(help_text="Its name, unique on the dataset, or in the space among those without one.")
    space_id = IdOut("Space")
    dataset_id = IdOut("Dataset", allow_null=True, help_text="The dataset it was made on, if any.")
    dataset_version_id = IdOut(
        "DatasetVersion", source="version_id", allow_null=True, help_text="The version it was made on, if any."
    )
    created_at = serializers.DateTimeField(help_text="When it was begun.")
    updated_at = serializers.DateTimeField(help_text="When something about it was changed last.")
    experiment_traces_project_id = IdOut(
        "Project",
        source="project_id",
        allow_null=True,
        help_text="The project its traces go to, where it has one that the caller may see.",
    )

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Dress an experiment; ``projects_seen`` in the context says which projects the caller may know of."""
        shown: dict[str, Any] = super().to_representation(instance)
        if instance.project_id not in self.context["projects_seen"]:
            shown["experiment_traces_project_id"] = None
        return shown


class ExperimentPage(serializers.Serializer[Any]):
    """A page of a list of experiments."""

    experiments = ExperimentOut(many=True, help_text="The experiments.")
    pagination = Pagination(help_text="Whether there is more.")


class WrittenRuns(ExperimentOut):
    """An experiment that runs were added to."""

    run_ids = serializers.ListField(child=serializers.CharField(), help_text="The new runs, in the order given.")


class RunOut(serializers.Serializer[Any]):
    """A run: what is known of each, and beside that the properties it was sent with."""

    id = serializers.CharField(help_text="What it is named by, in its experiment.")
    example_id = serializers.CharField(allow_null=True, help_text="The example it was made of, if any.")
    output = serializers.CharField(allow_null=True, help_text="What came out; also there as `result`.")
    error = serializers.CharField(allow_null=True, help_text="What went wrong, if something did.")
    annotations = AnnotationOut(many=True, required=False, help_text="What people said of it.")


class RunPage(serializers.Serializer[Any]):
    """A page of an experiment's runs, in the order in which they came."""

    experiment_runs = RunOut(many=True, help_text="The runs.")
    pagination = Pagination(help_text="Whether there is more.")
