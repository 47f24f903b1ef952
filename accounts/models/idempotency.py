"""What was answered to a request that named itself, so that asking again does nothing again."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models.users import User


class IdempotentAnswer(models.Model):
    """One answer, kept for a day under the name its caller gave the request. Never with a secret in it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=255, help_text=_("The header Idempotency-Key."))
    fingerprint = models.BinaryField(max_length=32, help_text=_("SHA-256 of what was asked for."))
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    secret_of = models.CharField(
        max_length=200, blank=True, default="", help_text=_("The ID of what a secret was shown of, this once.")
    )
    created_at = models.DateTimeField()

    class Meta:
        verbose_name = _("idempotent answer")
        constraints = (models.UniqueConstraint(fields=["user", "name"], name="one_answer_per_name"),)

    def __str__(self) -> str:
        return f"{self.user} {self.name}"
