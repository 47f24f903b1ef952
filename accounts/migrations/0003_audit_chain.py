"""Each account's audit events become a chain: position, the hash of the event before, and a hash over all of it.

The database itself fastens every new event, so that no door and no bug of ours can leave one out or put one in between.
What is hashed is said once more in accounts/chain.py, for whoever checks; both have to say the same.
"""

from django.db import migrations, models

HASH = """
-- Every column but the hash itself, as text, each with its length in front: no two different events read the same.
-- Whatever depends on a session's settings (time zone, style of dates) is written out plainly.
CREATE FUNCTION accounts_auditevent_hash(event accounts_auditevent) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
DECLARE
    part text;
    content text := '';
BEGIN
    FOREACH part IN ARRAY ARRAY[
        'arizekeys audit 1',
        encode(event.previous, 'hex'),
        event.position::text,
        event.id::text,
        event.account_id::text,
        to_jsonb(event.at AT TIME ZONE 'UTC') #>> '{}',
        event.tag,
        event.outcome,
        event.door,
        event.actor_id::text,
        event.actor_label,
        event.key_id::text,
        event.ip::text,
        event.target_type,
        event.target_id::text,
        event.target_label,
        event.operation_type,
        event.operation_name,
        event.operation_text,
        event.variables::text,
        event.details::text
    ] LOOP
        content := content || coalesce(octet_length(part)::text || ':' || part, '-') || ',';
    END LOOP;
    RETURN sha256(convert_to(content, 'UTF8'));
END
$$;
"""

# Events are refused an update by a trigger, which has to look away while those from before are chained.
CHAIN_WHAT_IS_THERE = """
ALTER TABLE accounts_auditevent DISABLE TRIGGER accounts_auditevent_append_only;
DO $$
DECLARE
    event accounts_auditevent;
    head accounts_auditchain;
BEGIN
    FOR event IN SELECT * FROM accounts_auditevent ORDER BY account_id, id LOOP
        IF head.chain IS DISTINCT FROM coalesce(event.account_id, 0) THEN
            head := ROW(coalesce(event.account_id, 0), 0, decode(repeat('00', 32), 'hex'));
        END IF;
        event.position := head.position + 1;
        event.previous := head.hash;
        event.hash := accounts_auditevent_hash(event);
        UPDATE accounts_auditevent SET position = event.position, previous = event.previous, hash = event.hash
            WHERE id = event.id;
        head.position := event.position;
        head.hash := event.hash;
    END LOOP;
    INSERT INTO accounts_auditchain (chain, position, hash)
        SELECT DISTINCT ON (account_id) coalesce(account_id, 0), position, hash
        FROM accounts_auditevent ORDER BY account_id, position DESC;
END
$$;
ALTER TABLE accounts_auditevent ENABLE TRIGGER accounts_auditevent_append_only;
"""

TRIGGERS = """
-- Locks one row, that account's end of the chain, until the transaction ends: writers of one account take turns, and
-- those of another go on. It runs as the owner of the tables, since the application may not write the ends itself.
--
-- Who takes which lock when: verbs lock the account first and fasten events later; a sign-in or a change of password
-- fastens one without locking an account. So whoever holds an end of a chain must not go on to wait for what such a
-- caller may hold: see accounts/audit.py, record. Several accounts are served in the order of their numbers.
CREATE FUNCTION accounts_auditevent_fasten() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    head accounts_auditchain;
    number bigint := coalesce(NEW.account_id, 0);
BEGIN
    LOOP
        SELECT * INTO head FROM accounts_auditchain WHERE chain = number FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        -- Of two first events at once, the second waits here for the first to commit, and then finds its row.
        INSERT INTO accounts_auditchain (chain, position, hash) VALUES (number, 0, decode(repeat('00', 32), 'hex'))
            ON CONFLICT DO NOTHING;
    END LOOP;
    -- Drawn once more under the lock: within an account, ids grow in the order of the chain and appear in that order,
    -- so nothing turns up later among what somebody has already read page by page.
    NEW.id := nextval('accounts_auditevent_id_seq');
    NEW.position := head.position + 1;
    NEW.previous := head.hash;
    NEW.hash := accounts_auditevent_hash(NEW);
    UPDATE accounts_auditchain SET position = NEW.position, hash = NEW.hash WHERE chain = number;
    RETURN NEW;
END
$$;
-- A function with its owner's rights looks for names where its tables are and nowhere else, and is lent to nobody: on a
-- table of one's own it would write whatever end of a chain one likes.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION accounts_auditevent_fasten() SET search_path = %I, pg_temp', current_schema());
END
$$;
REVOKE ALL ON FUNCTION accounts_auditevent_fasten() FROM PUBLIC;
CREATE TRIGGER accounts_auditevent_fasten
    BEFORE INSERT ON accounts_auditevent
    FOR EACH ROW EXECUTE FUNCTION accounts_auditevent_fasten();
CREATE TRIGGER accounts_auditevent_no_truncate
    BEFORE TRUNCATE ON accounts_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION accounts_auditevent_refuse();
"""

DROP_TRIGGERS = """
DROP TRIGGER accounts_auditevent_no_truncate ON accounts_auditevent;
DROP TRIGGER accounts_auditevent_fasten ON accounts_auditevent;
DROP FUNCTION accounts_auditevent_fasten();
"""
DROP_HASH = "DROP FUNCTION accounts_auditevent_hash(accounts_auditevent);"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_audit_append_only")]

    operations = [
        migrations.CreateModel(
            name="AuditChain",
            fields=[
                (
                    "chain",
                    models.BigIntegerField(
                        help_text="The account's number; 0 for what concerns the installation alone.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("position", models.BigIntegerField()),
                ("hash", models.BinaryField()),
            ],
            options={"verbose_name": "end of an audit chain", "default_permissions": ()},
        ),
        migrations.AddField(
            model_name="auditevent",
            name="position",
            field=models.BigIntegerField(
                db_default=0, editable=False, help_text="1, 2, 3, … within the account, without gaps."
            ),
        ),
        migrations.AddField(
            model_name="auditevent",
            name="previous",
            field=models.BinaryField(db_default=models.Value(b""), help_text="The hash of the event before it."),
        ),
        migrations.AddField(
            model_name="auditevent",
            name="hash",
            field=models.BinaryField(db_default=models.Value(b""), help_text="SHA-256 of all the other columns."),
        ),
        migrations.RunSQL(HASH, DROP_HASH),
        migrations.RunSQL(CHAIN_WHAT_IS_THERE, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="auditevent",
            constraint=models.UniqueConstraint(
                fields=("account_id", "position"), name="audit_chain_unforked", nulls_distinct=False
            ),
        ),
        migrations.RunSQL(TRIGGERS, DROP_TRIGGERS),
    ]
