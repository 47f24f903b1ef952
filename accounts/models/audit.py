"""What happened: one row per change, appended in the transaction that made it and never touched again."""

from __future__ import annotations

from django.db import models
from django.db.models import Value
from django.utils.translation import gettext_lazy as _


class AuditEvent(models.Model):
    """Who did what to what, through which door, with which outcome.

    Ids are plain numbers and names are copies, so that an event outlives everything it speaks of. Triggers in the
    database refuse every update and delete, and chain the events of each account: whatever is given here as position,
    previous, hash or id, they overwrite.
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
    # Defaults in the database, so that Django leaves the columns alone and reads back what the trigger put there.
    position = models.BigIntegerField(
        db_default=0, editable=False, help_text=_("1, 2, 3, … within the account, without gaps.")
    )
    previous = models.BinaryField(db_default=Value(b""), help_text=_("The hash of the event before it."))
    hash = models.BinaryField(db_default=Value(b""), help_text=_("SHA-256 of all the other columns."))

    class Meta:
        verbose_name = _("audit event")
        constraints = (
            # A chain cannot fork, whatever the trigger does. Also what a chain is walked by.
            models.UniqueConstraint(
                fields=["account_id", "position"], name="audit_chain_unforked", nulls_distinct=False
            ),
        )
        indexes = (
            models.Index(fields=["account_id", "-id"], name="audit_by_account"),
            models.Index(fields=["account_id", "actor_id", "-id"], name="audit_by_actor"),
            models.Index(fields=["account_id", "tag", "-id"], name="audit_by_tag"),
            models.Index(fields=["target_type", "target_id", "-id"], name="audit_by_target"),
            models.Index(fields=["account_id", "at"], name="audit_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_label} {self.tag} {self.target_label}"


class AuditChain(models.Model):
    """The end of one account's chain, where its next event is fastened. The trigger alone writes it."""

    chain = models.BigIntegerField(
        primary_key=True, help_text=_("The account's number; 0 for what concerns the installation alone.")
    )
    position = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        verbose_name = _("end of an audit chain")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.position}:{bytes(self.hash).hex()}"
