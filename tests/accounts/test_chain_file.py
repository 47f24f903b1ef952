"""An exported log checked on its own: what was written verifies, what somebody edited does not."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.actors import Actor, Door, Operation
from accounts.audit import Tag, record
from accounts.audit_export import Format, export_events
from accounts.chain import COLUMNS, check, fingerprint
from accounts.chain_file import _texts, check_lines
from accounts.errors import Invalid
from accounts.models import User
from accounts.trail import Filter
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import service_key

pytestmark = pytest.mark.django_db

Rows = list[dict[str, Any]]
ODD: dict[str, Any] = {
    "bb": [1, -2, 1.5, -0.0, 1e-7, 1e16, 1.5e300, 123456789.123456789, 10**30, True, None],
    "a": {"ü": "höhle", "zz": [], "z": {}, "": ""},
    "text": 'quo"te \\ / \b\f\n\r\t \x01\x1f\x7f \u2028 💣',
    "empty": {},
}


@pytest.fixture
def rows(cast: Cast) -> Rows:
    """An export of a few odd events and a few ordinary ones, newest first."""
    service_key(cast.bob, cast.production, name="nightly")
    for ip in ("192.0.2.7", "2001:db8::1", None):
        operation = Operation("MUTATION", "POST /v2/spaces", '{"name":\n "=höhle"}', ODD)
        actor = replace(cast.actor(cast.bob, Door.REST), ip=ip, key_id=7, operation=operation)
        record(actor, Tag.SPACE_CREATED, cast.production, **ODD)
        record(actor, Tag.ORGANIZATION_CREATED, cast.fraud, at=timezone.now().replace(microsecond=0))
        record(actor, Tag.SPACE_CHANGED, User(pk=2**62, name="\u202eevil"), at=timezone.now().replace(microsecond=120))
    return exported(cast)


def exported(cast: Cast, narrowed: Filter | None = None) -> Rows:
    actor = Actor.from_command(cast.account)
    lines = export_events(actor, narrowed=narrowed or Filter(), form=Format.NDJSON, at=timezone.now())
    return [json.loads(line) for line in lines]


def written(folder: Path, rows: Rows) -> str:
    path = folder / "audit.ndjson"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def verify(*arguments: str) -> tuple[int, str]:
    """Return the exit code and what the command says."""
    out = StringIO()
    try:
        call_command("verifyaudit", *arguments, stdout=out)
    except CommandError as error:
        return 1, f"{out.getvalue()}{error}"
    return 0, out.getvalue()


def test_an_export_verifies_without_its_database(
    cast: Cast, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, head = written(tmp_path, rows), check(cast.account.pk).good
    first = f"{rows[0]['position']}:{rows[0]['hash']}"
    assert head.position == len(rows) + 1  # the export itself

    def refuse(*_: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", refuse)

    assert verify("--file", path, "--expect", first) == (
        0,
        f"{path}: {len(rows)} events, unbroken from position 1 to {len(rows)}. Head {first}\n",
    )


def test_the_file_s_head_is_found_in_the_database(rows: Rows) -> None:
    head = f"{rows[2]['position']}:{rows[2]['hash']}"

    assert verify("--account", "Acme AI", "--expect", head)[0] == 0


def test_everything_hashed_is_in_the_file(rows: Rows) -> None:
    assert len(_texts(rows[0])) == len(COLUMNS)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "id": lambda _: encode_id("AuditEvent", 1),
    "at": lambda at: at.replace("2", "3", 1),
    "action": lambda _: "space:delete",
    "outcome": lambda _: "REFUSED",
    "door": lambda _: "browser",
    "actor": lambda label: label + " ",
    "actor_id": lambda _: None,
    "key_id": lambda _: encode_id("ApiKey", 8),
    "ip": lambda _: "192.0.2.8",
    "target_type": lambda _: "Space",
    "target": lambda label: label + "!",
    "target_id": lambda _: encode_id("Space", 8),
    "operation_type": lambda _: "QUERY",
    "operation_name": lambda _: "",
    "operation_text": lambda _: "",
    "variables": lambda _: {},
    "details": lambda details: details | {"more": None},
    "account_id": lambda _: encode_id("Account", 10**9),
    "position": lambda position: position + 1,
    "previous": lambda _: "00" * 32,
    "hash": lambda _: "00" * 32,
}


@pytest.mark.parametrize("column", CHANGES)
def test_a_change_of_any_column_is_named(rows: Rows, tmp_path: Path, column: str) -> None:
    changed = [dict(row) for row in rows]
    changed[3][column] = CHANGES[column](changed[3][column])

    code, said = verify("--file", written(tmp_path, changed))

    assert code == 1
    assert "broken after 3 events." in said
    assert ": its content was changed." in said


def test_there_is_a_change_for_every_column(rows: Rows) -> None:
    assert set(CHANGES) == set(rows[0])


def test_a_change_that_comes_with_its_hash_is_named(rows: Rows, tmp_path: Path) -> None:
    rows[3]["actor"] = "somebody else"
    exact = json.loads(json.dumps(rows[3]), parse_float=Decimal)
    rows[3]["hash"] = fingerprint(_texts(exact)).hex()

    code, said = verify("--file", written(tmp_path, rows))

    assert (code, "the event after it was fastened to another one" in said) == (1, True)
    assert f"at position {rows[3]['position']}" in said


@pytest.mark.parametrize("order", [(1, 0), (0, 0)])
def test_swapped_and_repeated_lines_are_named(rows: Rows, tmp_path: Path, order: tuple[int, int]) -> None:
    code, said = verify("--file", written(tmp_path, [rows[place] for place in order]))

    assert (code, "it stands in the wrong place" in said) == (1, True)


def test_a_narrowed_export_has_gaps_and_verifies(cast: Cast, rows: Rows, tmp_path: Path) -> None:
    kept = exported(cast, Filter(action="space"))

    code, said = verify("--file", written(tmp_path, kept))

    assert code == 0
    assert f"{len(kept)} events, each as it was written, with 3 gaps between them, as a filter leaves." in said


def test_json_says_the_same(rows: Rows, tmp_path: Path) -> None:
    path, out = written(tmp_path, rows), StringIO()
    call_command("verifyaudit", "--file", path, "--json", stdout=out)
    assert json.loads(out.getvalue()) == {
        "file": path,
        "events": len(rows),
        "head": f"{rows[0]['position']}:{rows[0]['hash']}",
        "gaps": 0,
        "fault": None,
        "expected": [],
    }

    rows[1]["door"] = "admin"
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("verifyaudit", "--file", written(tmp_path, rows), "--json", stdout=out)
    assert json.loads(out.getvalue())["fault"]["event"] == rows[1]["id"]


def test_an_empty_export_is_no_fault(tmp_path: Path) -> None:
    path = written(tmp_path, [])

    assert verify("--file", path) == (0, f"{path}: no event.\n")


@pytest.mark.parametrize("line", ["", "[]", "{}", '"x"', "null", '{"hash": "zz", "position": 1}', '"id","at"'])
def test_what_is_no_export_is_refused(line: str) -> None:
    with pytest.raises(Invalid, match="Line 1 is none of an NDJSON export"):
        check_lines([line])


def test_a_file_without_hashes_is_refused_in_words(cast: Cast, rows: Rows, tmp_path: Path) -> None:
    lines = export_events(cast.actor(cast.bob), narrowed=Filter(), form=Format.NDJSON, at=timezone.now())

    code, said = verify("--file", written(tmp_path, [json.loads(line) for line in lines]))

    assert (code, said.startswith("This file has no hashes")) == (1, True)


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    assert verify("--file", str(tmp_path / "nowhere")) == (
        1,
        f"{tmp_path / 'nowhere'} cannot be read: No such file or directory.",
    )
    assert verify("--file", str(tmp_path / "binary"))[1].endswith("cannot be read: it is not text in UTF-8.")
