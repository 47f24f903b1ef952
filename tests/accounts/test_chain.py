"""The chain of audit events: fastened by the database, and whatever is done behind its back is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from accounts.actors import Actor, Door, Operation
from accounts.audit import Tag, record
from accounts.chain import BEGINNING, COLUMNS, Head, chains, check, walk
from accounts.models import Account, AuditChain, AuditEvent, User
from accounts.tenancy import create_account
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import AccountFactory


def write(account: Account | None, times: int = 1, **details: Any) -> AuditEvent:
    """Record some events, with something in every column, and return the last."""
    operation = Operation("MUTATION", "POST /v2/spaces", '{"name": "höhle\\n"}', {"a": 1.5, "bb": [None, "ü"]})
    actor = Actor(
        user=User(pk=7, email="bob@example.com", name="Bob"),
        account=account,
        door=Door.REST,
        key_id=8,
        ip="2001:db8::1",
        operation=operation,
    )
    return [record(actor, Tag.SPACE_CREATED, User(pk=9, name="Ülf"), **details) for _ in range(times)][-1]


@pytest.fixture
def tamper(db: None) -> Callable[..., None]:
    """Do something to the tables as their owner may who has switched every trigger off."""

    def do(statement: str, *values: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER USER")
            cursor.execute(statement, values)
            cursor.execute("ALTER TABLE accounts_auditevent ENABLE TRIGGER USER")
            cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER accounts_auditevent_no_truncate")

    return do


def verify(*arguments: str) -> str:
    """Return what the command says when all is well."""
    out = StringIO()
    call_command("verifyaudit", *arguments, stdout=out)
    return out.getvalue()


def complaint(*arguments: str) -> str:
    """Return what the command says when something is wrong."""
    out = StringIO()
    with pytest.raises(CommandError, match=r"^The audit log is not what was written\.$"):
        call_command("verifyaudit", *arguments, stdout=out)
    return out.getvalue()


FORGED = """
    INSERT INTO accounts_auditevent (account_id, at, tag, outcome, door, actor_label, target_type, target_label,
        operation_type, operation_name, operation_text, variables, details, position, previous, hash)
    VALUES ({number}, now(), 'space:create', 'SUCCEEDED', 'rest', 'forged', '', '', '', '', '', '{{}}', '{{}}',
        {position}, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'))
"""


# What the database makes


def test_events_are_fastened_to_each_other_account_by_account(db: None) -> None:
    one, other = AccountFactory.create_batch(2)

    events = [write(account) for account in (one, other, None, one, None, one)]

    assert [event.position for event in events] == [1, 1, 1, 2, 2, 3]
    assert [bytes(event.previous) for event in events] == [
        BEGINNING,
        BEGINNING,
        BEGINNING,
        bytes(events[0].hash),
        bytes(events[2].hash),
        bytes(events[3].hash),
    ]
    assert len({bytes(event.hash) for event in events}) == 6
    ends = {None: events[4], one.pk: events[5], other.pk: events[1]}
    assert {
        row.chain or None: (row.position, bytes(row.hash)) for row in AuditChain.objects.filter(chain__in=[0, *ends])
    } == {number: (event.position, bytes(event.hash)) for number, event in ends.items()}


def test_what_recording_returns_is_the_row_as_it_stands(db: None) -> None:
    event = write(AccountFactory.create(), 3)

    assert (
        vars(AuditEvent.objects.get(pk=event.pk)).items()
        >= {
            **{name: value for name, value in vars(event).items() if name != "_state"},
        }.items()
    )
    assert event.position == 3


def test_nobody_chooses_place_or_hash(db: None) -> None:
    account = AccountFactory.create()
    first = write(account)

    AuditEvent.objects.create(
        pk=first.pk + 1000,
        account_id=account.pk,
        at=timezone.now(),
        tag="key:create",
        position=99,
        previous=b"x",
        hash=b"y",
    )

    second = AuditEvent.objects.filter(account_id=account.pk).latest("pk")
    assert (second.position, bytes(second.previous)) == (2, bytes(first.hash))
    assert second.pk != first.pk + 1000
    assert check(account.pk).fault is None


def test_numbers_grow_in_the_order_of_the_chain(db: None) -> None:
    account = AccountFactory.create()
    write(account, 5)

    rows = list(AuditEvent.objects.filter(account_id=account.pk).order_by("position").values_list("pk", flat=True))

    assert rows == sorted(rows)


def test_the_hash_covers_every_column(db: None) -> None:
    """A column added later has to be taken into the hash, here and in the database."""
    columns = {field.column for field in AuditEvent._meta.concrete_fields}

    assert set(COLUMNS) == columns - {"hash"}


def test_the_hash_does_not_depend_on_a_session(db: None) -> None:
    account = AccountFactory.create()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL DateStyle = 'German'")
        cursor.execute("SET LOCAL TimeZone = 'Asia/Kathmandu'")
        cursor.execute("SET LOCAL bytea_output = 'escape'")
        cursor.execute(FORGED.format(number=account.pk, position=0))  # as psql would
        assert check(account.pk).good.position == 1
        cursor.execute("SET LOCAL TimeZone = 'UTC'")
        cursor.execute("SET LOCAL DateStyle = 'ISO'")

    assert check(account.pk) == check(account.pk)
    assert check(account.pk).fault is None


@pytest.mark.parametrize("at", ["infinity", "-infinity", "4711-01-01 BC", "12027-01-01", "2027-01-31 12:00:00.000001"])
def test_any_moment_the_database_knows_can_be_checked(db: None, tamper: Callable[..., None], at: str) -> None:
    account = AccountFactory.create()
    write(account)

    tamper("UPDATE accounts_auditevent SET at = %s WHERE account_id = %s", at, account.pk)

    assert at.split()[0] in complaint() or "12027" in at


def test_those_written_before_there_was_a_chain_are_chained(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 3)
    write(None, 2)
    tamper("ALTER TABLE accounts_auditevent DROP CONSTRAINT audit_chain_unforked")
    tamper("UPDATE accounts_auditevent SET position = 0, previous = '', hash = ''")
    tamper("DELETE FROM accounts_auditchain")

    with connection.cursor() as cursor:
        cursor.execute(import_module("accounts.migrations.0003_audit_chain").CHAIN_WHAT_IS_THERE)
    write(cast.account)
    write(None)

    assert [(check(number).good.position, check(number).fault) for number in (cast.account.pk, None)] == [
        (4, None),
        (3, None),
    ]


# What checking finds


def test_an_untouched_log_verifies(cast: Cast) -> None:
    other = cast.elsewhere.organization.account
    write(cast.account, 3)
    head = write(cast.account)
    own = write(None)
    first = write(other)

    assert verify() == (
        f"the installation: 1 event, unbroken. Head 1:{bytes(own.hash).hex()}\n"
        f"Acme AI: 4 events, unbroken. Head 4:{bytes(head.hash).hex()}\n"
        f"{other.name}: 1 event, unbroken. Head 1:{bytes(first.hash).hex()}\n"
    )
    assert verify("--account", "Acme AI") == f"Acme AI: 4 events, unbroken. Head 4:{bytes(head.hash).hex()}\n"


CHANGES: dict[str, Any] = {
    "previous": "decode(repeat('ab', 32), 'hex')",
    "position": "position + 100",
    "id": "id + 100000",
    "account_id": "NULL",
    "at": "at + interval '1 microsecond'",
    "tag": "'space:Create'",
    "outcome": "'REFUSED'",
    "door": "'browser'",
    "actor_id": "70",
    "actor_label": "actor_label || ' '",
    "key_id": "NULL",
    "ip": "set_masklen(ip, 64)",
    "target_type": "''",
    "target_id": "NULL",
    "target_label": "'Ulf'",
    "operation_type": "'QUERY'",
    "operation_name": "''",
    "operation_text": "operation_text || E'\\n'",
    "variables": '\'{"a": 1.50, "bb": [null, "ü"]}\'',
    "details": "'{\"x\": null}'",
}


def test_there_is_a_change_for_every_column() -> None:
    assert set(CHANGES) == set(COLUMNS)


@pytest.mark.parametrize("column", CHANGES)
def test_a_change_of_any_column_is_named(cast: Cast, tamper: Callable[..., None], column: str) -> None:
    write(cast.account, 2)
    event = write(cast.account)
    write(cast.account, 2)
    assert check(cast.account.pk).fault is None

    change = f"UPDATE accounts_auditevent SET {column} = {CHANGES[column]} WHERE id = %s"  # noqa: S608 -- ours, above
    tamper(change, event.pk)

    report = check(cast.account.pk)
    assert report.good.position == 2
    assert report.fault is not None
    if column in ("position", "account_id"):  # it is gone from where it was
        assert (report.fault.position, report.fault.what) == (4, "1 event is missing before it")
    else:
        assert (report.fault.position, report.fault.what) == (3, "its content was changed")
        assert report.fault.number == event.pk + (100000 if column == "id" else 0)


def test_the_command_names_a_changed_event(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 2)
    event = write(cast.account)
    write(cast.account, 2)
    tamper("UPDATE accounts_auditevent SET actor_label = 'somebody else' WHERE id = %s", event.pk)

    said = complaint()

    assert "Acme AI: broken after 2 events. Head up to there 2:" in said
    wire_id = encode_id("AuditEvent", event.pk)
    assert f"\n  Event {wire_id} at position 3, {event.at:%Y-%m-%d %H:%M:%S}" in said
    assert " UTC: its content was changed.\n" in said


def test_a_change_that_comes_with_its_hash_is_named_at_the_next_event(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 2)
    event = write(cast.account)
    write(cast.account, 2)

    tamper("UPDATE accounts_auditevent SET actor_label = 'somebody else' WHERE id = %s", event.pk)
    tamper("UPDATE accounts_auditevent e SET hash = accounts_auditevent_hash(e) WHERE id = %s", event.pk)

    assert found(cast) == (4, "the event before it is not the one it was fastened to")


def test_an_event_deleted_in_the_middle_is_missed(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 5)

    tamper("DELETE FROM accounts_auditevent WHERE account_id = %s AND position IN (2, 3)", cast.account.pk)

    assert found(cast) == (4, "2 events are missing before it")


def test_the_first_events_deleted_are_missed(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 3)

    tamper("DELETE FROM accounts_auditevent WHERE account_id = %s AND position = 1", cast.account.pk)

    assert found(cast) == (2, "1 event is missing before it")


def test_the_last_events_deleted_are_missed(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 5)

    tamper("DELETE FROM accounts_auditevent WHERE account_id = %s AND position >= 4", cast.account.pk)

    assert found(cast) == (4, "the end is cut off: 2 events are missing")
    assert "Position 4: the end is cut off: 2 events are missing." in complaint()


def test_all_events_deleted_are_missed(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 2)

    tamper("DELETE FROM accounts_auditevent WHERE account_id = %s", cast.account.pk)

    assert found(cast) == (1, "the end is cut off: 2 events are missing")


def test_a_log_gone_together_with_its_end_is_missed(db: None, tamper: Callable[..., None]) -> None:
    """Every account has at least the event that made it."""
    made: dict[str, Any] = {
        "admin_email": "ann@example.com",
        "admin_name": "Ann",
        "password": None,
        "at": timezone.now(),
    }
    account, _ = create_account(Actor.from_command(None), name="Acme AI", **made)
    assert "Acme AI: 2 events, unbroken" in verify()

    tamper("DELETE FROM accounts_auditevent WHERE account_id = %s", account.pk)
    tamper("DELETE FROM accounts_auditchain WHERE chain = %s", account.pk)

    for arguments in ((), ("--account", "Acme AI")):
        said = complaint(*arguments)
        assert "Acme AI: broken after 0 events." in said
        assert "Position 1: the whole log of this account is missing, and where it ended." in said


def test_no_account_no_log(db: None) -> None:
    assert [*walk()] == []
    assert "unbroken" not in verify()


def test_two_events_swapped_are_named(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 5)

    tamper("ALTER TABLE accounts_auditevent DROP CONSTRAINT audit_chain_unforked")
    tamper(
        "UPDATE accounts_auditevent SET position = 5 - position WHERE account_id = %s AND position IN (2, 3)",
        cast.account.pk,
    )

    assert found(cast) == (2, "its content was changed")


def test_an_event_put_in_later_is_named(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 5)

    tamper("ALTER TABLE accounts_auditevent DROP CONSTRAINT audit_chain_unforked")
    tamper(FORGED.format(number=cast.account.pk, position=3))

    assert found(cast) == (3, "its position is taken: it was put in later")


def test_an_event_put_behind_the_end_is_named(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 5)

    tamper(FORGED.format(number=cast.account.pk, position=6))

    assert found(cast) == (6, "it lies behind the end of the chain: it was put in later")
    assert "Event " in complaint()


def test_an_event_put_before_the_beginning_is_named(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 5)

    tamper(FORGED.format(number=cast.account.pk, position=0))

    assert found(cast) == (0, "its position is taken: it was put in later")


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM accounts_auditchain WHERE chain = %s", (3, "the record of where the chain ends is missing")),
        (
            "UPDATE accounts_auditchain SET hash = decode(repeat('00', 32), 'hex') WHERE chain = %s",
            (3, "the record of the chain's end names another event"),
        ),
        (
            "UPDATE accounts_auditchain SET position = 9 WHERE chain = %s",
            (4, "the end is cut off: 6 events are missing"),
        ),
    ],
)
def test_a_changed_record_of_the_end_is_named(
    cast: Cast, tamper: Callable[..., None], statement: str, fault: tuple[int, str]
) -> None:
    write(cast.account, 3)

    tamper(statement, cast.account.pk)

    assert found(cast) == fault


def test_a_chain_rewritten_whole_is_found_by_its_noted_head(cast: Cast, tamper: Callable[..., None]) -> None:
    """Whoever may do everything to the database can make another chain that fits. What was noted elsewhere tells."""
    write(cast.account, 2)
    noted = Head(3, bytes(write(cast.account).hash))
    write(cast.account)
    assert f"Head {check(cast.account.pk).good}" in verify("--account", "Acme AI", "--expect", str(noted))

    tamper("DELETE FROM accounts_auditevent WHERE account_id = %s AND position >= 3", cast.account.pk)
    tamper(
        "UPDATE accounts_auditchain c SET position = e.position, hash = e.hash FROM accounts_auditevent e"
        " WHERE c.chain = %s AND e.account_id = c.chain AND e.position = 2",
        cast.account.pk,
    )
    write(cast.account, 5)

    assert check(cast.account.pk).fault is None
    assert f"Not found: {noted}. " in complaint("--account", "Acme AI", "--expect", str(noted))


def test_a_noted_head_of_another_account_does_not_count(cast: Cast) -> None:
    noted = Head(1, bytes(write(None).hash))
    write(cast.account)

    assert "Not found" in complaint("--account", "Acme AI", "--expect", str(noted))


@pytest.mark.parametrize("text", ["", "3", "x:" + "0" * 64, "3:" + "0" * 63, "3:" + "x" * 64, "٣:" + "0" * 64])
def test_a_head_that_is_none_is_refused(cast: Cast, text: str) -> None:
    with pytest.raises(CommandError, match="is no head"):
        call_command("verifyaudit", "--expect", text, stdout=StringIO())


def test_json_says_the_same(cast: Cast, tamper: Callable[..., None]) -> None:
    write(cast.account, 2)
    event = write(cast.account)
    noted = Head(1, bytes(AuditEvent.objects.get(account_id=cast.account.pk, position=1).hash))
    tamper("UPDATE accounts_auditevent SET door = 'admin' WHERE id = %s", event.pk)

    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verifyaudit", "--json", "--account", "Acme AI", "--expect", str(noted), stdout=out)

    assert ended.value.code == 1
    assert json.loads(out.getvalue()) == {
        "chains": [
            {
                "account": "Acme AI",
                "account_id": encode_id("Account", cast.account.pk),
                "events": 2,
                "head": str(Head(2, bytes(AuditEvent.objects.get(account_id=cast.account.pk, position=2).hash))),
                "fault": {
                    "event": encode_id("AuditEvent", event.pk),
                    "position": 3,
                    "at": event.at.isoformat().replace("+00:00", "").rstrip("0") + "Z",
                    "what": "its content was changed",
                },
            }
        ],
        "expected": [{"head": str(noted), "found": True}],
    }


def test_a_long_chain_is_read_in_portions(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.chain._BATCH", 3)
    write(cast.account, 10)

    assert check(cast.account.pk).good.position == 10


def found(cast: Cast) -> tuple[int, str] | None:
    """Return the first fault of Acme AI's chain, and see to it that the other chains are not blamed."""
    fault = check(cast.account.pk).fault
    assert [number for number in chains() if number != cast.account.pk and check(number).fault] == []
    return (fault.position, fault.what) if fault else None
