"""Where from and with what a key was last used, in general: the network, and the family of the client."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("apikeys", "0003_freshness"),
    ]

    operations = [
        migrations.AddField(
            model_name="keyuse",
            name="client_family",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="What kind of client that is.", max_length=40
            ),
        ),
        migrations.AddField(
            model_name="keyuse",
            name="network",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Func(
                    models.F("ip"),
                    template="text(network(set_masklen(%(expressions)s, CASE family(%(expressions)s) WHEN 4 THEN 24 ELSE 48 END)))",
                ),
                null=True,
                output_field=models.CharField(max_length=43),
            ),
        ),
    ]
