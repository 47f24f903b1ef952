"""A lease is taken away by a mark, and not by a time: no two clocks have to agree on what time it is."""

from django.db import migrations, models

# Whoever holds a lease begins anew, under another name.
NOBODY = "DELETE FROM apikeys_verifier"


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0004_use_from_a_network")]

    operations = [
        migrations.RunSQL(NOBODY, migrations.RunSQL.noop),
        migrations.RemoveField(model_name="verifier", name="lease_until"),
        migrations.AddField(model_name="verifier", name="barred", field=models.BooleanField(default=False)),
        migrations.RunSQL(migrations.RunSQL.noop, NOBODY),
    ]
