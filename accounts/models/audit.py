"""What happened: one row per change, appended in the transaction that made it and never touched again."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class AuditEvent(models.Model):
    """Who did what to what, through which door, with which outcome.

    Ids are plain numbers and names are copies, so that an event outlives everything it speaks of. A trigger in the
    database refuses every update and delete.
    """

    account_id = models.BigIntegerField(null=True, help_text=_("Empty for what concerns the installation alone."))
    at = models.DateTimeField()
    tag = models.CharField(max_length=64, help_text=_("subject:action"))
    outcome = models.CharField(max_length=9, choices=[("SUCCEEDED", _("Succeeded")), ("REFUSED", _("Refused"))])
    door = models.CharField(max_length=16)
    actor_id = models.BigIntegerField(null=True)
    actor_label = models.CharField(max_length=600)
    key_id = models.BigIntegerField(null=True, help_text=_("The API key that was used, if one was."))
    ip = models.GenericIPAddressField(null=True, unpack_ipv4=True)
    target_type = models.CharField(max_length=32, blank=True, default="")
    target_id = models.BigIntegerField(null=True)
    target_label = models.CharField(max_length=600, blank=True, default="")
    operation_type = models.CharField(max_length=12, blank=True, default="")
    operation_name = models.CharField(max_length=255, blank=True, default="")
    operation_text = models.TextField(blank=True, default="")
    variables = models.JSONField(default=dict)
    details = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("audit event")
        indexes = (
            models.Index(fields=["account_id", "-id"], name="audit_by_account"),
            models.Index(fields=["account_id", "actor_id", "-id"], name="audit_by_actor"),
            models.Index(fields=["account_id", "tag", "-id"], name="audit_by_tag"),
            models.Index(fields=["target_type", "target_id", "-id"], name="audit_by_target"),
            models.Index(fields=["account_id", "at"], name="audit_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_label} {self.tag} {self.target_label}"
