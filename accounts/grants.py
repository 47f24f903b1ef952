"""What the application's database role may do: everything with its data, and with the audit log only add and read.

The tables belong to another role, which migrates. So whoever takes over the application, or the connection it has, can
neither change an event nor switch off the triggers that would refuse it.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from accounts.errors import NotAllowed, NotFound
from accounts.models import AuditChain, AuditEvent

_ORDINARY = ("SELECT", "INSERT", "UPDATE", "DELETE")
# Events are added and read; their chains are written by the database itself, and migrations by their owner.
_SPECIAL: dict[str, tuple[str, ...]] = {
    AuditEvent._meta.db_table: ("SELECT", "INSERT"),
    AuditChain._meta.db_table: ("SELECT",),
    MigrationRecorder.Migration._meta.db_table: ("SELECT",),
}
_SEALED = (AuditEvent._meta.db_table, AuditChain._meta.db_table)

_EXCESS = """
    SELECT pg_class.relname, pg_roles.rolsuper, pg_has_role(pg_class.relowner, 'MEMBER'),
           array_remove(ARRAY[
               CASE WHEN has_any_column_privilege(pg_class.oid, 'INSERT') THEN 'INSERT' END,
               CASE WHEN has_any_column_privilege(pg_class.oid, 'UPDATE') THEN 'UPDATE' END,
               CASE WHEN has_table_privilege(pg_class.oid, 'DELETE') THEN 'DELETE' END,
               CASE WHEN has_table_privilege(pg_class.oid, 'TRUNCATE') THEN 'TRUNCATE' END,
               CASE WHEN has_table_privilege(pg_class.oid, 'TRIGGER') THEN 'TRIGGER' END
           ], NULL)
    FROM pg_class, pg_roles
    WHERE pg_roles.rolname = current_user AND pg_class.oid = ANY(%s::regclass[])
"""


def grant_application(role: str) -> int:
    """Give a role what the application needs in the database, and nothing else; return for how many tables.

    To be done as the owner of the tables, and again after every migration, which may have made new ones.

    Raises:
        NotFound: there is no such role.
        NotAllowed: the role has all rights anyway, being the owner or a superuser.
    """
    _require_limited(role)
    tables = _wanted()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = sql.Identifier(*cursor.fetchone() or ("public",))
        # Whoever may make things beside ours could have them stand in for ours.
        for statement in ("REVOKE CREATE ON SCHEMA {} FROM PUBLIC, {}", "GRANT USAGE ON SCHEMA {} TO {}"):
            cursor.execute(sql.SQL(statement).format(schema, sql.Identifier(role)))
        for table, privileges in tables.items():
            _set(role, table, privileges)
    return len(tables)


def excess() -> tuple[str, list[str]]:
    """Return the connected role, and by what it could change the audit log: nothing, as it should be."""
    with connection.cursor() as cursor:
        cursor.execute(_EXCESS, [list(_SEALED)])
        rows = cursor.fetchall()
    if any(superuser for _, superuser, *_ in rows):
        return _role(), ["it is a superuser"]
    if any(owner for _, _, owner, _ in rows):
        return _role(), ["it owns the tables"]
    found = [
        f"it has {privilege} on {table}"
        for table, _, _, privileges in sorted(rows)
        for privilege in privileges
        if privilege not in _SPECIAL[table]
    ]
    return _role(), found


def lacks() -> tuple[str, list[str]]:
    """Return the connected role, and what it would need and does not have."""
    found = []
    with connection.cursor() as cursor:
        for table, privileges in _wanted().items():
            cursor.execute(
                "SELECT needed FROM unnest(%s::text[]) needed WHERE NOT has_table_privilege(%s, needed)",
                [list(privileges), table],
            )
            if missing := [needed for (needed,) in cursor.fetchall()]:
                found.append(f"{', '.join(missing)} on {table}")
    return _role(), found


def _wanted() -> dict[str, tuple[str, ...]]:
    tables = {*connection.introspection.django_table_names(only_existing=True, include_views=False)}
    tables |= {*connection.introspection.table_names()} & set(_SPECIAL)
    return {table: _SPECIAL.get(table, _ORDINARY) for table in sorted(tables)}


def _set(role: str, table: str, privileges: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        names = {"table": sql.Identifier(table), "role": sql.Identifier(role)}
        cursor.execute(sql.SQL("REVOKE ALL ON TABLE {table} FROM {role}").format(**names))
        if table in _SEALED:
            cursor.execute(sql.SQL("REVOKE ALL ON TABLE {table} FROM PUBLIC").format(**names))
        listed = sql.SQL(", ".join(privileges))
        cursor.execute(sql.SQL("GRANT {listed} ON TABLE {table} TO {role}").format(listed=listed, **names))


def _require_limited(role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, pg_has_role(rolname, current_user, 'MEMBER') FROM pg_roles WHERE rolname = %s", [role]
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound(
            f"The database has no role “{role}”. Create it first: CREATE ROLE … LOGIN PASSWORD …", field="role"
        )
    if any(row):
        why = "a superuser" if row[0] else "the role that owns the tables, or a member of it"
        raise NotAllowed(f"“{role}” is {why}: it may do everything, whatever is granted.", field="role")


def _role() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        row = cursor.fetchone()
    return str(row[0]) if row else ""
