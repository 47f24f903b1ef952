"""When an invitation was made, which so far was read out of the log, and passwords that somebody else knows."""

from django.db import migrations, models

FILL = """
UPDATE accounts_user SET invited_at = COALESCE(
    (SELECT max(at) FROM accounts_auditevent
     WHERE tag = 'person:invite' AND outcome = 'SUCCEEDED' AND target_type = 'User' AND target_id = accounts_user.id),
    created_at
)
WHERE kind = 'PERSON' AND joined_at IS NULL;
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_audit_chain")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="invited_at",
            field=models.DateTimeField(
                blank=True, editable=False, help_text="When the invitation that counts was made.", null=True
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="password_is_temporary",
            field=models.BooleanField(
                default=False,
                editable=False,
                help_text="Somebody else knows the password; it has to be changed at sign-in.",
            ),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
    ]
