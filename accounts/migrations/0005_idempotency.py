"""Answers kept for a day, so that a request sent twice is carried out once."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_invitations")]

    operations = [
        migrations.CreateModel(
            name="IdempotentAnswer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="The header Idempotency-Key.", max_length=255)),
                ("fingerprint", models.BinaryField(help_text="SHA-256 of what was asked for.", max_length=32)),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("body", models.JSONField(null=True)),
                (
                    "secret_of",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The ID of what a secret was shown of, this once.",
                        max_length=200,
                    ),
                ),
                ("created_at", models.DateTimeField()),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "verbose_name": "idempotent answer",
                "constraints": [models.UniqueConstraint(fields=("user", "name"), name="one_answer_per_name")],
            },
        ),
    ]
