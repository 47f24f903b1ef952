"""What it takes to answer from memory: every change that could make an answer wrong says so, when it commits."""

from django.db import migrations, models

# Who is told what: the things that answers depend on (apikeys/forward_auth.py: _things), by the names used there.
FORWARD = """
CREATE SEQUENCE apikeys_fence;
-- Drawing a number is no secret; the application's role, which owns nothing, has to be able to.
GRANT USAGE, SELECT ON SEQUENCE apikeys_fence TO PUBLIC;

CREATE FUNCTION apikeys_tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kind text := TG_ARGV[0];
    old_row jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    new_row jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    IF TG_NARGS = 1 THEN
        PERFORM pg_notify('arizekeys_changes', kind);
    ELSE
        IF old_row IS NOT NULL THEN
            PERFORM pg_notify('arizekeys_changes', kind || ':' || (old_row ->> TG_ARGV[1]));
        END IF;
        IF new_row IS NOT NULL AND old_row ->> TG_ARGV[1] IS DISTINCT FROM new_row ->> TG_ARGV[1] THEN
            PERFORM pg_notify('arizekeys_changes', kind || ':' || (new_row ->> TG_ARGV[1]));
        END IF;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER apikeys_tell AFTER UPDATE OR DELETE ON apikeys_apikey
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('key', 'id');
CREATE TRIGGER apikeys_tell AFTER UPDATE OF ends_at, key_id, public_id OR DELETE ON apikeys_keysecret
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('key', 'key_id');
CREATE TRIGGER apikeys_tell AFTER UPDATE OF is_active, kind OR DELETE ON accounts_user
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('user', 'id');
CREATE TRIGGER apikeys_tell AFTER UPDATE OF developer_access_locked OR DELETE ON accounts_account
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('account', 'id');
CREATE TRIGGER apikeys_tell AFTER INSERT OR UPDATE OR DELETE ON accounts_accountbinding
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('user', 'user_id');
CREATE TRIGGER apikeys_tell AFTER INSERT OR UPDATE OR DELETE ON accounts_organizationbinding
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('user', 'user_id');
CREATE TRIGGER apikeys_tell AFTER INSERT OR UPDATE OR DELETE ON accounts_spacebinding
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('user', 'user_id');
CREATE TRIGGER apikeys_tell AFTER INSERT OR UPDATE OF is_private, organization_id OR DELETE ON accounts_space
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('space', 'id');
-- Rare, and each concerns everybody who holds the role, or is below the organization.
CREATE TRIGGER apikeys_tell AFTER UPDATE OR DELETE ON accounts_role
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('everything');
CREATE TRIGGER apikeys_tell AFTER UPDATE OF account_id ON accounts_organization
    FOR EACH ROW EXECUTE FUNCTION apikeys_tell('everything');
"""
TABLES = (
    "apikeys_apikey",
    "apikeys_keysecret",
    "accounts_user",
    "accounts_account",
    "accounts_accountbinding",
    "accounts_organizationbinding",
    "accounts_spacebinding",
    "accounts_space",
    "accounts_role",
    "accounts_organization",
)
BACKWARD = (
    "".join(f"DROP TRIGGER apikeys_tell ON {table};\n" for table in TABLES)
    + "DROP FUNCTION apikeys_tell();\nDROP SEQUENCE apikeys_fence;\n"
)


class Migration(migrations.Migration):
    dependencies = [("apikeys", "0002_stored_name_words"), ("accounts", "0005_idempotency")]

    operations = [
        migrations.AddField(
            model_name="keyuse",
            name="uses",
            field=models.BigIntegerField(default=0, help_text="How often, as far as it was counted."),
        ),
        migrations.CreateModel(
            name="Verifier",
            fields=[
                ("name", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("acknowledged", models.BigIntegerField()),
                ("lease_until", models.DateTimeField()),
            ],
            options={"verbose_name": "verifier"},
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
