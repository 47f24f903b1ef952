"""Two roles: the one that serves can add to the audit log and read it, and nothing else (security 46)."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from psycopg import sql

from accounts.audit import Tag
from accounts.bindings import bind_role, predefined
from accounts.chain import chains, check
from accounts.errors import Forbidden
from accounts.grants import excess, grant_application, lacks
from accounts.models import AuditEvent, Space
from accounts.people import remove_person
from accounts.roles import Level, RoleName
from accounts.tenancy import change_space
from arizekeys import local
from tests.cast import Cast, assemble
from tests.factories import ProjectFactory, service_key, user_key

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def application(django_db_setup: None, django_db_blocker: Any) -> Iterator[tuple[str, str]]:
    """The name and password of a role that was granted what the application needs."""
    if settings.LOCAL:
        yield local.APPLICATION, ""
        return
    name, password = f"arizekeys_test_{secrets.token_hex(4)}", secrets.token_hex(16)
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        try:
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), password))
        except DatabaseError as error:
            pytest.skip(f"the tests' own role may not make another: {error}")
        grant_application(name)
        yield name, password
        cursor.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


@pytest.fixture
def cast_served(transactional_db: None, application: tuple[str, str]) -> Iterator[Cast]:
    """The cast, put in place by the owner; from then on everything is done by the application's role."""
    cast = assemble()
    user_key(cast.bob, cast.account)
    before = connection.settings_dict
    connection.close()
    connection.settings_dict = before | {"USER": application[0], "PASSWORD": application[1] or before["PASSWORD"]}
    yield cast
    connection.close()
    connection.settings_dict = before


def attempt(statement: str) -> str:
    """Run a statement as whoever is connected, and return the database's answer."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError as error:
        return type(error.__cause__).__name__
    return "done"


ATTEMPTS = [
    "UPDATE accounts_auditevent SET actor_label = 'nobody'",
    "UPDATE accounts_auditevent SET hash = hash",
    "DELETE FROM accounts_auditevent",
    "TRUNCATE accounts_auditevent",
    "INSERT INTO accounts_auditevent SELECT * FROM accounts_auditevent ON CONFLICT (id) DO UPDATE SET tag = 'x'",
    "MERGE INTO accounts_auditevent e USING (SELECT 1) one ON true WHEN MATCHED THEN DELETE",
    "ALTER TABLE accounts_auditevent DISABLE TRIGGER ALL",
    "ALTER TABLE accounts_auditevent DISABLE TRIGGER accounts_auditevent_append_only",
    "DROP TRIGGER accounts_auditevent_fasten ON accounts_auditevent",
    "CREATE TRIGGER mine BEFORE INSERT ON accounts_auditevent FOR EACH ROW"
    " EXECUTE FUNCTION accounts_auditevent_refuse()",
    "CREATE RULE mine AS ON INSERT TO accounts_auditevent DO INSTEAD NOTHING",
    "DROP TABLE accounts_auditevent",
    "ALTER TABLE accounts_auditevent OWNER TO CURRENT_USER",
    "LOCK TABLE accounts_auditevent IN ACCESS EXCLUSIVE MODE",
    "INSERT INTO accounts_auditchain (chain, position, hash) VALUES (999999, 1, '')",
    "UPDATE accounts_auditchain SET position = 0",
    "DELETE FROM accounts_auditchain",
    "TRUNCATE accounts_auditchain",
    "SELECT * FROM accounts_auditchain FOR UPDATE",
    "SET session_replication_role = replica",
    "CREATE OR REPLACE FUNCTION accounts_auditevent_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE FUNCTION sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
    "CREATE TABLE here (is_mine boolean)",
    "CREATE TEMP TABLE mine (LIKE accounts_auditevent);"
    "CREATE TRIGGER mine BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION accounts_auditevent_fasten()",
    "SELECT setval('accounts_auditevent_id_seq', 1)",
    "DELETE FROM django_migrations",
]


def test_the_application_cannot_touch_what_was_written(cast_served: Cast) -> None:  # security 46
    before = list(AuditEvent.objects.order_by("pk").values())
    assert before

    assert {statement: attempt(statement) for statement in ATTEMPTS} == dict.fromkeys(ATTEMPTS, "InsufficientPrivilege")

    assert list(AuditEvent.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE accounts_auditevent SET actor_label = 'nobody'", "InsufficientPrivilege"),
        ("DELETE FROM accounts_auditevent", "InsufficientPrivilege"),
        (
            "INSERT INTO accounts_auditevent SELECT * FROM accounts_auditevent"
            " ON CONFLICT (id) DO UPDATE SET tag = 'x'",
            "done",
        ),
    ],
)
def test_not_even_the_owner_changes_an_event_by_mistake(transactional_db: None, statement: str, said: str) -> None:
    """The triggers refuse whoever asks. The last one only adds: a place in the chain is always a new one."""
    user_key((cast := assemble()).bob, cast.account)
    before = list(AuditEvent.objects.values_list("hash", flat=True))

    assert attempt(statement) == said

    assert set(before) <= set(AuditEvent.objects.values_list("hash", flat=True))


def test_nobody_truncates_events_by_mistake(transactional_db: None) -> None:
    """Not even the owner; the tests alone switch that trigger off, for Django empties tables like this between them."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditevent ENABLE TRIGGER accounts_auditevent_no_truncate")

        assert attempt("TRUNCATE accounts_auditevent") == "InsufficientPrivilege"

        transaction.set_rollback(True)


def test_ordinary_work_goes_on_under_that_role(cast_served: Cast) -> None:
    cast, at = cast_served, timezone.now()
    alice = cast.actor(cast.alice)

    new = service_key(cast.bob, cast.production, name="nightly")
    bind_role(alice, user=cast.bob, role=predefined(Level.SPACE, RoleName.ADMIN), scope=cast.production, at=at)
    # Its number comes from another table's sequence.
    project = ProjectFactory.create(space=cast.production)
    bind_role(alice, user=cast.bob, role=predefined(Level.SPACE, RoleName.ADMIN), scope=project, at=at)
    change_space(alice, cast.production, name="live", at=at)
    with pytest.raises(Forbidden):
        change_space(cast.actor(cast.charlie), cast.production, name="mine", at=at)
    remove_person(alice, user=cast.erin, at=at)

    assert Space.objects.get(pk=cast.production.pk).name == "live"
    tags = set(AuditEvent.objects.filter(account_id=cast.account.pk).values_list("tag", "outcome"))
    assert tags >= {
        (Tag.KEY_CREATED, "SUCCEEDED"),
        (Tag.ROLE_CHANGED, "SUCCEEDED"),
        (Tag.ROLE_GRANTED, "SUCCEEDED"),
        (Tag.SPACE_CHANGED, "SUCCEEDED"),
        (Tag.SPACE_CHANGED, "REFUSED"),
        (Tag.PERSON_REMOVED, "SUCCEEDED"),
    }
    assert new.key.pk
    assert [check(number).fault for number in chains()] == [None] * len(chains())
    out = StringIO()
    call_command("verifyaudit", "--account", cast.account.name, stdout=out)
    assert "unbroken" in out.getvalue()


def test_pages_and_api_work_under_that_role(cast_served: Cast, client: Any) -> None:
    key = user_key(cast_served.alice, cast_served.account).plaintext
    client.force_login(cast_served.alice)

    assert client.get("/settings/audit/").status_code == 200
    assert client.get("/settings/api-keys/").status_code == 200
    assert client.get("/v2/audit-logs", headers={"authorization": f"Bearer {key}"}).status_code == 200
    assert client.get("/healthz").status_code == 200


# The check of it


def warnings() -> list[tuple[str | None, str]]:
    """Return what `check --deploy --database default` says of the audit log."""
    found = run_checks(include_deployment_checks=True, databases=["default"])
    return [(one.id, one.msg) for one in found if (one.id or "").startswith("accounts.")]


def test_the_check_is_content_with_the_application_s_role(cast_served: Cast) -> None:
    assert warnings() == []


def test_the_check_warns_of_an_owner(transactional_db: None) -> None:
    ((number, said),) = warnings()

    assert number == "accounts.W001"
    assert said.endswith("could change the audit log: it owns the tables.") or said.endswith("it is a superuser.")


def test_the_check_names_a_right_too_many(
    cast_served: Cast, application: tuple[str, str], owner: Callable[..., None]
) -> None:
    role = sql.Identifier(application[0])
    owner(sql.SQL("GRANT UPDATE (tag), TRUNCATE ON accounts_auditevent TO {}").format(role))
    owner(sql.SQL("GRANT DELETE ON accounts_auditchain TO {}").format(role))

    ((number, said),) = warnings()

    assert number == "accounts.W001"
    assert said == (
        f"The database role “{application[0]}” could change the audit log: "
        "it has DELETE on accounts_auditchain, it has UPDATE on accounts_auditevent, "
        "it has TRUNCATE on accounts_auditevent."
    )


def test_the_check_names_a_right_too_few(
    cast_served: Cast, application: tuple[str, str], owner: Callable[..., None]
) -> None:
    owner(sql.SQL("REVOKE UPDATE, DELETE ON accounts_space FROM {}").format(sql.Identifier(application[0])))

    ((number, said),) = warnings()

    assert (number, said) == (
        "accounts.W002",
        f"The database role “{application[0]}” lacks UPDATE, DELETE on accounts_space.",
    )


def test_the_check_asks_no_database_unless_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(connection, "cursor", refuse)

    assert [one for one in run_checks(include_deployment_checks=True) if (one.id or "").startswith("accounts.")] == []


def test_the_check_leaves_a_database_that_is_gone_to_others(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DatabaseError("connection refused")

    monkeypatch.setattr(connection, "cursor", refuse)

    assert warnings() == []


# The command


@pytest.fixture
def owner(application: tuple[str, str]) -> Iterator[Callable[..., None]]:
    """Run statements as the owner of the tables, on a connection of its own; the grants are put right in the end."""
    settings_dict = settings.DATABASES["default"] | {"NAME": connection.settings_dict["NAME"]}

    def run(statement: sql.SQL | sql.Composed) -> None:
        parameters = {"dbname": settings_dict["NAME"], "user": settings_dict["USER"], "host": settings_dict["HOST"]}
        parameters |= {"password": settings_dict.get("PASSWORD") or None, "port": settings_dict.get("PORT") or None}
        with psycopg.connect(**parameters) as own:
            own.execute(statement)

    yield run
    before = connection.settings_dict
    connection.close()
    connection.settings_dict = before | settings_dict
    grant_application(application[0])
    connection.close()
    connection.settings_dict = before


def test_granting_again_takes_back_what_is_too_much_and_gives_what_is_missing(
    transactional_db: None, application: tuple[str, str], owner: Callable[..., None]
) -> None:
    role = sql.Identifier(application[0])
    owner(sql.SQL("GRANT ALL ON accounts_auditevent, accounts_auditchain TO {}").format(role))
    owner(sql.SQL("GRANT UPDATE ON accounts_auditevent TO PUBLIC"))
    owner(sql.SQL("REVOKE ALL ON accounts_space FROM {}").format(role))
    out = StringIO()

    call_command("grantapp", application[0], stdout=out)
    call_command("grantapp", application[0], "--json", stdout=(again := StringIO()))

    assert out.getvalue().endswith("the audit log it may read and add to.\n")
    assert json.loads(again.getvalue())["role"] == application[0]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT has_table_privilege(%(role)s, %(events)s, 'SELECT, INSERT'),"
            " has_any_column_privilege(%(role)s, %(events)s, 'UPDATE'),"
            " has_table_privilege(%(role)s, %(events)s, 'DELETE'),"
            " has_any_column_privilege(%(role)s, %(ends)s, 'INSERT'),"
            " has_table_privilege(%(role)s, 'accounts_space', 'DELETE')",
            {"role": application[0], "events": "accounts_auditevent", "ends": "accounts_auditchain"},
        )
        assert cursor.fetchone() == (True, False, False, False, True)


def test_every_table_is_granted(cast_served: Cast) -> None:
    assert lacks()[1] == []
    assert excess()[1] == []


@pytest.mark.parametrize("role", ["nobody_of_that_name", 'quo"ted; DROP TABLE accounts_space'])
def test_a_role_that_is_not_there_is_refused(transactional_db: None, role: str) -> None:
    with pytest.raises(CommandError, match="The database has no role"):
        call_command("grantapp", role)


def test_the_owner_itself_is_refused(transactional_db: None) -> None:
    with pytest.raises(CommandError, match="it may do everything, whatever is granted"):
        call_command("grantapp", connection.settings_dict["USER"])


def test_the_application_cannot_grant_itself_more(cast_served: Cast, application: tuple[str, str]) -> None:
    with pytest.raises(CommandError):
        call_command("grantapp", application[0])

    assert excess()[1] == []
