"""Accounts contain organizations, which contain spaces, which contain projects."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Account(models.Model):
    """A customer of this installation: the widest scope there is."""

    name = models.CharField(max_length=255, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    developer_access_locked = models.BooleanField(
        default=False,
        help_text=_("While on: nobody makes or refreshes keys, user keys are refused by the API, service keys go on."),
    )
    max_key_lifetime_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(36_500)],
        help_text=_("No key lives longer than this many days. Empty: keys may live for ever."),
    )
    max_live_keys = models.PositiveIntegerField(
        default=10_000, help_text=_("How many keys that are neither revoked nor expired the account may hold.")
    )
    max_keys_per_hour = models.PositiveIntegerField(
        default=5_000, help_text=_("How many keys may be made in one hour; a runaway script stops here.")
    )

    class Meta:
        verbose_name = _("account")

    def __str__(self) -> str:
        return self.name


class Organization(models.Model):
    """A part of an account: a department, a product."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="organizations")
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=1000, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("organization")
        constraints = (models.UniqueConstraint(fields=["account", "name"], name="organization_name_unique_in_account"),)

    def __str__(self) -> str:
        return self.name


class Space(models.Model):
    """Where work happens. Private: only its members and the admins above it get in."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="spaces")
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=1000, blank=True, default="")
    is_private = models.BooleanField(
        _("private"), default=False, help_text=_("Only members, and the admins above, get in.")
    )
    created_at = models.DateTimeField(auto_now_add=True)
    # Settings of the product that clients read and write through the API (contract rest-v2 §8).
    ml_models_enabled = models.BooleanField(default=True)
    gradient_start_color = models.CharField(max_length=32, blank=True, default="")
    gradient_end_color = models.CharField(max_length=32, blank=True, default="")

    class Meta:
        verbose_name = _("space")
        constraints = (
            models.UniqueConstraint(fields=["organization", "name"], name="space_name_unique_in_organization"),
        )

    def __str__(self) -> str:
        return self.name


class ProjectKind(models.TextChoices):
    """What a project holds."""

    TRACING = "TRACING", _("Tracing project")
    ML_MODEL = "ML_MODEL", _("ML model")


class Project(models.Model):
    """What spans or predictions are logged to: the narrowest scope. Restricted: only roles bound to it count."""

    space = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=255)
    kind = models.CharField(max_length=8, choices=ProjectKind.choices, default=ProjectKind.TRACING)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(default=timezone.now, help_text=_("When something was last written to it."))
    last_writer = models.CharField(max_length=600, blank=True, default="")
    restricted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("project")
        constraints = (models.UniqueConstraint(fields=["space", "name"], name="project_name_unique_in_space"),)
        indexes = (models.Index(fields=["space", "-id"], name="project_by_space"),)

    def __str__(self) -> str:
        return self.name

    @property
    def is_restricted(self) -> bool:
        """Whether roles from above do not count here."""
        return self.restricted_at is not None
