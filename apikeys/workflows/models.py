"""What is known of uploaded data: where it is, whose it is, who wrote it. The data itself lies in files.

A row about a file is written only when the file is whole and on disk, and in the same transaction as everything that
leads to it: what can be found can be read.
"""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Project, Space
from accounts.wire import encode_id
from apikeys.models import ApiKey


class Table(models.Model):
    """One immutable file of rows."""

    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="tables")
    file = models.CharField(max_length=64, unique=True, help_text=_("Its name in the folder of tables."))
    rows = models.BigIntegerField()
    bytes = models.BigIntegerField(help_text=_("As it lies on the disk, compressed."))
    column_count = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    writer = models.CharField(max_length=600, help_text=_("Kept when whoever wrote it is gone."))

    class Meta:
        verbose_name = _("table")
        constraints = (models.CheckConstraint(name="table_is_measured", condition=Q(rows__gte=0, bytes__gt=0)),)

    def __str__(self) -> str:
        return self.file


class DatasetKind(models.TextChoices):
    """What a dataset's examples are (contract client-workflows §5)."""

    UNKNOWN = "UNKNOWN", _("Not said")
    GENERATIVE = "GENERATIVE", _("Generative")
    INFERENCES = "INFERENCES", _("Inferences")


class Dataset(models.Model):
    """Named examples in versions that follow one another."""

    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=10, choices=DatasetKind.choices, default=DatasetKind.UNKNOWN)
    created_at = models.DateTimeField(default=timezone.now)
    # Differs between any two states, in whole seconds too: clients keep downloads under it.
    updated_at = models.DateTimeField(default=timezone.now)
    created_by_name = models.CharField(max_length=600)
    last_writer = models.CharField(max_length=600)

    class Meta:
        verbose_name = _("dataset")
        constraints = (models.UniqueConstraint(fields=["space", "name"], name="dataset_name_unique_in_space"),)
        indexes = (models.Index(fields=["space", "-id"], name="dataset_by_space"),)

    def __str__(self) -> str:
        return self.name

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("Dataset", self.pk)


class DatasetVersion(models.Model):
    """A dataset's examples as they are under one name. Its table is replaced where examples are edited in place."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=255)
    table = models.OneToOneField(Table, on_delete=models.RESTRICT, related_name="dataset_version")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("dataset version")
        constraints = (
            models.UniqueConstraint(fields=["dataset", "number"], name="dataset_versions_are_linear"),
            models.UniqueConstraint(fields=["dataset", "name"], name="dataset_version_name_unique"),
        )

    def __str__(self) -> str:
        return f"{self.dataset} {self.name}"

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("DatasetVersion", self.pk)


class Experiment(models.Model):
    """What a task made, of a dataset's examples as a rule. Begun by name, it has no table until its runs are posted."""

    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="experiments")
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, null=True, blank=True, related_name="experiments")
    version = models.ForeignKey(
        DatasetVersion, on_delete=models.CASCADE, null=True, blank=True, related_name="experiments"
    )
    name = models.CharField(max_length=255)
    table = models.OneToOneField(Table, on_delete=models.RESTRICT, null=True, blank=True, related_name="experiment")
    project = models.ForeignKey(
        Project,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="experiments",
        help_text=_("Where its traces go."),
    )
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    last_writer = models.CharField(max_length=600)

    class Meta:
        verbose_name = _("experiment")
        constraints = (
            models.UniqueConstraint(fields=["dataset", "name"], name="experiment_name_unique_in_dataset"),
            models.UniqueConstraint(
                fields=["space", "name"],
                condition=Q(dataset__isnull=True),
                name="experiment_name_unique_in_space_without_dataset",
            ),
            models.CheckConstraint(
                name="experiment_has_a_dataset_with_a_version",
                condition=Q(dataset=None, version=None) | Q(dataset__isnull=False, version__isnull=False),
            ),
        )
        indexes = (models.Index(fields=["space", "-id"], name="experiment_by_space"),)

    def __str__(self) -> str:
        return self.name

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("Experiment", self.pk)


class SegmentKind(models.TextChoices):
    """What a project's table is: rows of their own, or something laid over them."""

    ROWS = "ROWS", _("Rows")
    EVALUATIONS = "EVALUATIONS", _("Evaluations")
    ANNOTATIONS = "ANNOTATIONS", _("Annotations")
    METADATA = "METADATA", _("Metadata")
    ACTUALS = "ACTUALS", _("Actuals")


class Environment(models.TextChoices):
    """Where rows come from (contract client-workflows §6)."""

    TRAINING = "TRAINING", _("Training")
    VALIDATION = "VALIDATION", _("Validation")
    PRODUCTION = "PRODUCTION", _("Production")
    TRACING = "TRACING", _("Tracing")


class Segment(models.Model):
    """One upload to a project. Later ones are laid over earlier ones, in the order of their numbers."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="segments")
    table = models.OneToOneField(Table, on_delete=models.RESTRICT, related_name="segment")
    kind = models.CharField(max_length=11, choices=SegmentKind.choices, default=SegmentKind.ROWS)
    environment = models.CharField(max_length=10, choices=Environment.choices)
    model_version = models.CharField(max_length=255, blank=True, default="")
    batch_id = models.CharField(max_length=255, blank=True, default="")
    # Of the rows' own times, both inclusive: an export looks only into tables that can hold something it wants.
    first_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("segment")
        constraints = (
            models.CheckConstraint(
                name="segment_begins_before_it_ends", condition=Q(first_at__isnull=True) | Q(first_at__lte=F("last_at"))
            ),
        )
        indexes = (models.Index(fields=["project", "environment", "kind", "id"], name="segment_by_project"),)

    def __str__(self) -> str:
        return f"{self.project} {self.get_kind_display().lower()} {self.created_at:%Y-%m-%d %H:%M}"


class WorkflowUse(models.Model):
    """Which workflow a key was used for, by which client, and when: shown, and never trusted."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="workflow_uses")
    workflow = models.CharField(max_length=40)
    client = models.CharField(max_length=120, blank=True, default="", help_text=_("As the client names itself."))
    space = models.ForeignKey(Space, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    first_used_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    uses = models.BigIntegerField(default=1)

    class Meta:
        verbose_name = _("workflow use")
        constraints: ClassVar = (
            models.UniqueConstraint(fields=["key", "workflow", "client"], name="one_use_per_workflow_and_client"),
        )

    def __str__(self) -> str:
        return f"{self.key_id} {self.workflow} {self.last_used_at:%Y-%m-%d %H:%M}"


class Prompt(models.Model):
    """A named prompt of a space, in versions."""

    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="prompts")
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=1000, blank=True, default="")
    tags = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    last_writer = models.CharField(max_length=600)

    class Meta:
        verbose_name = _("prompt")
        constraints = (models.UniqueConstraint(fields=["space", "name"], name="prompt_name_unique_in_space"),)

    def __str__(self) -> str:
        return self.name

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("Prompt", self.pk)


class PromptVersion(models.Model):
    """What a prompt says as of one commit; never changed."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    commit_message = models.CharField(max_length=1000, blank=True, default="")
    content = models.JSONField(help_text=_("Messages, parameters, provider and model, as the client sent them."))
    created_at = models.DateTimeField(default=timezone.now)
    created_by_name = models.CharField(max_length=600)

    class Meta:
        verbose_name = _("prompt version")
        constraints = (models.UniqueConstraint(fields=["prompt", "number"], name="prompt_versions_are_linear"),)

    def __str__(self) -> str:
        return f"{self.prompt} {self.number}"

    @property
    def wire_id(self) -> str:
        """The id that clients know."""
        return encode_id("PromptVersion", self.pk)
