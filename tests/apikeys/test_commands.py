"""Keys from the command line: made under the same ceilings as everywhere, ended, counted, exported, and shown once."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from accounts.audit import Tag
from accounts.models import AuditEvent, SpaceBinding
from accounts.roles import RoleName
from accounts.wire import decode_id, encode_id
from apikeys.errors import InvalidKey
from apikeys.lifecycle import refresh_key, revoke_key
from apikeys.models import ApiKey, KeySecret
from apikeys.verification import verify
from tests.cast import Cast
from tests.factories import SpaceFactory, bind, custom_role, service_key, user_key

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]


def _run(command: str, *args: str, **options: Any) -> str:
    out = io.StringIO()
    call_command(command, *args, stdout=out, **options)
    return out.getvalue()


def _issue(*args: str) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(_run("issuekey", *args, "--json"))
    return printed


def _refused(command: str, *args: str) -> str:
    with pytest.raises(CommandError) as refusal:
        _run(command, *args)
    assert refusal.value.returncode == 1
    return str(refusal.value)


# issuekey


def test_user_key_is_printed_once_as_json_and_opens(cast: Cast) -> None:
    printed = _issue("--user", "Bob@Example.com", "--name", "notebook", "--description", "on the train")

    verified = verify(printed["key"], at=timezone.now())
    assert verified.user == cast.bob
    assert decode_id(printed["id"], "ApiKey") == verified.key_id
    assert (printed["name"], printed["key_type"], printed["status"]) == ("notebook", "USER", "ACTIVE")
    assert printed["redacted_key"] == f"{printed['key'][:6]}...{printed['key'][-3:]}"
    assert printed["expires_at"] is None
    assert "bot_user" not in printed
    event = AuditEvent.objects.get(tag=Tag.KEY_CREATED)
    assert (event.door, event.actor_id, event.account_id) == ("command", cast.bob.pk, cast.account.pk)
    assert event.details["acted_by"] == "operator (command line)"


def test_user_key_is_printed_for_people_with_what_to_do_next(cast: Cast) -> None:
    printed = _run("issuekey", "--user", "bob@example.com", "--name", "notebook")

    key = ApiKey.objects.get()
    assert f"manage.py revokekey {key.wire_id}" in printed
    (line,) = [line.strip() for line in printed.splitlines() if line.strip().startswith("ak-")]
    assert verify(line, at=timezone.now()).key_id == key.pk
    assert printed.count(line) == 1


def test_key_appears_in_no_row(cast: Cast) -> None:
    printed = _issue("--user", "bob@example.com", "--name", "notebook")

    rows = str([list(model.objects.values()) for model in (ApiKey, KeySecret, AuditEvent)])
    assert printed["key"][15:] not in rows


@pytest.mark.parametrize(
    ("length", "lives"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_life_is_given_as_a_length(cast: Cast, length: str, lives: timedelta) -> None:
    printed = _issue("--user", "bob@example.com", "--name", "notebook", "--expires-in", length)

    key = ApiKey.objects.get()
    assert key.expires_at == key.created_at + lives
    assert datetime.fromisoformat(printed["expires_at"]) == key.expires_at


@pytest.mark.parametrize(
    ("moment", "meant"),
    [
        ("2099-01-31", datetime(2099, 1, 31, tzinfo=UTC)),
        ("2099-01-31T12:00:00Z", datetime(2099, 1, 31, 12, tzinfo=UTC)),
        ("2099-01-31T12:00:00+02:00", datetime(2099, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_life_is_given_as_an_end(cast: Cast, moment: str, meant: datetime) -> None:
    _issue("--user", "bob@example.com", "--name", "notebook", "--expires-at", moment)

    assert ApiKey.objects.get().expires_at == meant


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--expires-in", "soon"], "--expires-in takes a number"),
        (["--expires-in", "999999w"], "No calendar reaches that far"),
        (["--expires-at", "9999-12-31T23:59:59-12:00"], "--expires-at takes a time"),
        (["--expires-at", "0001-01-01"], "must lie in the future"),
        (["--expires-at", "tomorrow"], "--expires-at takes a time"),
        (["--expires-at", "2001-01-01"], "must lie in the future"),
        (["--org", "Research"], "need --service"),
    ],
)
def test_unusable_wishes_are_refused(cast: Cast, args: list[str], said: str) -> None:
    assert said in _refused("issuekey", "--user", "bob@example.com", "--name", "notebook", *args)
    assert not ApiKey.objects.exists()


def test_service_key_gets_exactly_the_roles_given(cast: Cast) -> None:
    printed = _issue(
        *("--service", "--name", "nightly", "--org", "Fraud & Risk=MEMBER", "--org", "Research"),
        *("--space", "production=ADMIN", "--space", "vision-lab=read-only", *_acme()),
    )

    assert printed["key_type"] == "SERVICE"
    bot = printed["bot_user"]
    assert bot["account_role"] == {"type": "PREDEFINED", "name": "MEMBER"}
    assert [(one["name"], one["role"]["name"]) for one in bot["organizations"]] == [
        ("Fraud & Risk", "MEMBER"),
        ("Research", "READ_ONLY"),
    ]
    held = {row.content_object.name: row.role.name for row in SpaceBinding.objects.filter(user__name="nightly")}
    assert held == {"production": "ADMIN", "vision-lab": "READ_ONLY"}
    event = AuditEvent.objects.get(tag=Tag.KEY_CREATED)
    assert (event.actor_id, event.actor_label) == (None, "operator (command line)")


def test_service_key_for_people_says_what_it_may_do(cast: Cast) -> None:
    printed = _run("issuekey", "--service", "--name", "nightly", "--space", "vision-lab=READ_ONLY")

    assert "Read-Only Member in Research / vision-lab" in printed


@pytest.mark.parametrize("role", ["ADMIN", "Admin", "admin"])
def test_roles_are_understood_in_any_spelling(cast: Cast, role: str) -> None:
    _issue("--service", "--name", "nightly", "--space", f"vision-lab={role}")

    assert SpaceBinding.objects.get(user__name="nightly").role.name == RoleName.ADMIN


@pytest.mark.parametrize("role", ["READ_ONLY", "read-only", "Read-Only Member", "read only"])
def test_read_only_is_understood_in_any_spelling(cast: Cast, role: str) -> None:
    _issue("--service", "--name", "nightly", "--space", f"vision-lab={role}")

    assert SpaceBinding.objects.get(user__name="nightly").role.name == RoleName.READ_ONLY


@pytest.mark.parametrize("number", [12_345, 1_234, 123_456], ids=["no padding", "one =", "two ="])
def test_custom_role_is_given_by_name_or_id(cast: Cast, number: int) -> None:
    """An ID may end with the very sign that stands before the role."""
    role = custom_role(cast.account, "uploader", "DATASET_CREATE", number=number)

    _issue("--service", "--name", "one", "--space", "vision-lab=uploader")
    printed = _issue("--service", "--name", "two", "--space", f"vision-lab={encode_id('Role', role.pk)}")

    assert {row.role for row in SpaceBinding.objects.filter(user__kind="BOT")} == {role}
    (organization,) = printed["bot_user"]["organizations"]
    assert organization["spaces"][0]["role"] == {
        "type": "CUSTOM",
        "id": encode_id("Role", role.pk),
        "name": "uploader",
    }


def test_scopes_are_given_by_id(cast: Cast) -> None:
    organization, space = encode_id("Organization", cast.fraud.pk), encode_id("Space", cast.production.pk)

    _issue("--service", "--name", "one", "--org", organization, "--space", space)
    _issue("--service", "--name", "two", "--org", f"{organization}=MEMBER", "--space", f"{space}=ADMIN")

    roles = [row.role.name for row in SpaceBinding.objects.filter(user__kind="BOT").order_by("pk")]
    assert roles == ["MEMBER", "ADMIN"]


def test_space_name_with_an_equals_sign_is_a_name(cast: Cast) -> None:
    SpaceFactory.create(organization=cast.fraud, name="a=b")

    _issue("--service", "--name", "one", "--space", "a=b")
    _issue("--service", "--name", "two", "--space", "a=b=ADMIN")

    roles = [row.role.name for row in SpaceBinding.objects.filter(user__kind="BOT").order_by("pk")]
    assert roles == ["MEMBER", "ADMIN"]


def test_space_name_in_two_organizations_is_refused_with_the_candidates(cast: Cast) -> None:
    twin = SpaceFactory.create(organization=cast.research, name="staging")

    said = _refused("issuekey", "--service", "--name", "nightly", "--space", "staging=MEMBER")

    assert "“Fraud & Risk/staging”" in said
    assert f"“Research/staging” ({encode_id('Space', twin.pk)})" in said
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("args", [["--org", "Research", "--space", "staging"], ["--space", "Research/staging"]])
def test_organization_decides_between_two_spaces_of_one_name(cast: Cast, args: list[str]) -> None:
    twin = SpaceFactory.create(organization=cast.research, name="staging")

    _issue("--service", "--name", "nightly", *args)

    assert SpaceBinding.objects.get(user__kind="BOT").content_object == twin


def test_names_that_lead_nowhere_say_what_is_near(cast: Cast) -> None:
    service = ("issuekey", "--service", "--name", "nightly")
    assert "Did you mean bob@example.com" in _refused("issuekey", "--user", "bbo@example.com", "--name", "n")
    assert "Did you mean Fraud & Risk/production" in _refused(*service, "--space", "prodction=MEMBER", *_acme())
    assert "Did you mean Research?" in _refused(*service, "--org", "Reserch", "--space", "vision-lab", *_acme())
    assert "it is in Research" in _refused(*service, "--org", "Fraud & Risk", "--space", "vision-lab", *_acme())
    assert "Did you mean Acme AI?" in _refused(*service, "--space", "staging", "--account", "Acme")
    assert "there are Admin, Member" in _refused(*service, "--space", "staging=BOSS", *_acme())


def _acme() -> tuple[str, str]:
    return "--account", "Acme AI"


def test_account_follows_from_names_that_only_one_has(cast: Cast) -> None:
    assert _issue("--service", "--name", "one", "--space", "staging")["account"]["name"] == "Acme AI"
    args = ("--org", "Fraud & Risk=MEMBER", "--space", "production=ADMIN")
    assert _issue("--service", "--name", "two", *args)["account"]["name"] == "Acme AI"


def test_account_is_asked_for_where_there_are_several(cast: Cast) -> None:
    said = _refused("issuekey", "--service", "--name", "nightly", "--space", "production")
    assert "--account" in said
    assert "Acme AI" in said

    bind(cast.bob, cast.elsewhere.organization.account, RoleName.MEMBER)
    assert "--account" in _refused("issuekey", "--user", "bob@example.com", "--name", "notebook")
    printed = _issue("--user", "bob@example.com", "--name", "notebook", *_acme())
    assert printed["account"]["name"] == "Acme AI"


def test_person_of_another_account_is_not_found_there(cast: Cast) -> None:
    said = _refused("issuekey", "--user", "mallory@example.com", "--name", "notebook", *_acme())

    assert "There is no account “Acme AI” that mallory@example.com is in" in said


# Ceilings (security 15): the command is one more door to the same verb


def test_member_cannot_have_an_admin_service_key(cast: Cast) -> None:
    args = ("--service", "--user", "bob@example.com", "--name", "nightly", "--space", "production=ADMIN")

    assert "above your own" in _refused("issuekey", *args)

    assert not ApiKey.objects.exists()
    refusal = AuditEvent.objects.get(tag=Tag.KEY_CREATED)
    assert (refusal.outcome, refusal.actor_id, refusal.door) == ("REFUSED", cast.bob.pk, "command")


def test_member_has_a_member_service_key_and_made_it(cast: Cast) -> None:
    printed = _issue("--service", "--user", "bob@example.com", "--name", "nightly", "--space", "production=MEMBER")

    assert decode_id(printed["created_by_user_id"], "User") == cast.bob.pk


@pytest.mark.parametrize(
    ("person", "args", "said"),
    [
        ("charlie", ["--space", "production=READ_ONLY"], "may not create service keys"),
        ("dana", ["--space", "production=READ_ONLY"], "developer access"),
        ("bob", ["--space", "vision-lab"], "There is no space “vision-lab”"),
        ("bob", ["--space", "production", "--account-role", "ADMIN"], "above your own"),
        ("bob", ["--org", "Fraud & Risk=ADMIN", "--space", "production"], "above your own"),
        ("bob", [], "name at least one with --space"),
    ],
)
def test_nobody_gets_more_than_they_have(cast: Cast, person: str, args: list[str], said: str) -> None:
    answer = _refused("issuekey", "--service", "--user", f"{person}@example.com", "--name", "nightly", *args)

    assert said in answer
    assert not ApiKey.objects.exists()


def test_deactivated_person_gets_no_key(cast: Cast) -> None:
    type(cast.bob).objects.filter(pk=cast.bob.pk).update(is_active=False)

    assert "deactivated" in _refused("issuekey", "--user", "bob@example.com", "--name", "notebook")


def test_whose_key_it_is_has_to_be_said(cast: Cast) -> None:
    assert "--user EMAIL" in _refused("issuekey", "--name", "notebook")


def test_refusal_is_json_on_request(cast: Cast) -> None:
    errors, out = io.StringIO(), io.StringIO()
    args = ("--service", "--user", "bob@example.com", "--name", "nightly", "--space", "production=ADMIN", "--json")

    with pytest.raises(SystemExit) as ended:
        call_command("issuekey", *args, stdout=out, stderr=errors)

    assert ended.value.code == 1
    assert out.getvalue() == ""
    error = json.loads(errors.getvalue())["error"]
    assert (error["code"], error["field"]) == ("role_above_own", "organizations")


# revokekey


@pytest.mark.parametrize(
    "form",
    [lambda key: key.wire_id, lambda key: key.redacted_key, lambda key: key.name],
    ids=["id", "redacted", "name"],
)
def test_key_is_revoked_by_any_form_of_it(cast: Cast, form: Callable[[ApiKey], str]) -> None:
    user_key(cast.alice, cast.account, "another")
    new = service_key(cast.bob, cast.production, name="nightly export")

    printed = json.loads(_run("revokekey", form(new.key), "--yes", "--json"))

    assert printed["revoked"] == [
        {
            "id": new.key.wire_id,
            "name": "nightly export",
            "redacted_key": new.key.redacted_key,
            "status": "REVOKED",
            "already_revoked": False,
        }
    ]
    with pytest.raises(InvalidKey):
        verify(new.plaintext, at=timezone.now())
    event = AuditEvent.objects.get(tag=Tag.KEY_REVOKED)
    assert (event.door, event.target_id, event.account_id) == ("command", new.key.pk, cast.account.pk)


def test_revoking_again_succeeds_and_changes_nothing(cast: Cast) -> None:
    key = user_key(cast.bob, cast.account, "notebook").key

    assert "Revoked “notebook”" in _run("revokekey", key.wire_id, "--yes")
    assert "Was revoked already: “notebook”" in _run("revokekey", key.wire_id)

    assert AuditEvent.objects.filter(tag=Tag.KEY_REVOKED).count() == 1


def test_name_of_several_keys_is_refused_with_their_ids(cast: Cast) -> None:
    keys = [user_key(person, cast.account, "notebook").key for person in (cast.bob, cast.alice)]

    said = _refused("revokekey", "notebook", "--yes")

    assert all(key.wire_id in said and key.redacted_key in said for key in keys)
    assert not ApiKey.objects.filter(revoked_at__isnull=False).exists()

    _run("revokekey", "notebook", "--user", "bob@example.com", "--yes")
    assert list(ApiKey.objects.filter(revoked_at__isnull=False)) == [keys[0]]


def test_living_key_comes_before_revoked_ones_of_its_name(cast: Cast) -> None:
    old, new = (user_key(cast.bob, cast.account, "notebook").key for _ in range(2))
    revoke_key(cast.actor(cast.bob), old, at=timezone.now())

    _run("revokekey", "notebook", "--yes")

    new.refresh_from_db()
    assert new.revoked_at is not None


def test_whole_key_is_refused_and_not_repeated(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account)

    said = _refused("revokekey", new.plaintext, "--yes")

    assert new.key.redacted_key in said
    assert new.plaintext[15:] not in said


def test_unknown_key_says_what_is_near(cast: Cast) -> None:
    user_key(cast.bob, cast.account, "nightly export")

    assert "Did you mean “nightly export”?" in _refused("revokekey", "night", "--yes")


def test_nothing_is_revoked_when_one_of_several_is_unknown(cast: Cast) -> None:
    key = user_key(cast.bob, cast.account, "notebook").key

    _refused("revokekey", key.wire_id, "unheard of", "--yes")

    assert ApiKey.objects.get(pk=key.pk).revoked_at is None


def test_without_a_terminal_a_yes_is_needed(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    key = user_key(cast.bob, cast.account, "notebook").key

    assert "--yes" in _refused("revokekey", key.wire_id)
    assert ApiKey.objects.get(pk=key.pk).revoked_at is None


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "ended"), [("yes", True), ("no", False), ("", False)])
def test_at_a_terminal_it_asks_by_name(cast: Cast, monkeypatch: pytest.MonkeyPatch, answer: str, ended: bool) -> None:
    monkeypatch.setattr(sys, "stdin", _Terminal(f"{answer}\n"))
    key = user_key(cast.bob, cast.account, "notebook").key
    asked = io.StringIO()

    if ended:
        call_command("revokekey", key.wire_id, stdout=io.StringIO(), stderr=asked)
    else:
        with pytest.raises(CommandError, match="Nothing was revoked"):
            call_command("revokekey", key.wire_id, stdout=io.StringIO(), stderr=asked)

    assert "notebook" in asked.getvalue()
    assert "Bob Baker" in asked.getvalue()
    assert (ApiKey.objects.get(pk=key.pk).revoked_at is not None) == ended


# prunesecrets


def _pruned(*args: str) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(_run("prunesecrets", *args, "--json"))
    return printed


def test_only_secrets_that_open_nothing_are_pruned_and_keys_stay(cast: Cast) -> None:
    now = timezone.now()
    living = user_key(cast.bob, cast.account, "living")
    refreshed = user_key(cast.bob, cast.account, "refreshed")
    after = refresh_key(cast.actor(cast.bob), refreshed.key, at=now)
    in_grace = user_key(cast.bob, cast.account, "in grace")
    refresh_key(cast.actor(cast.bob), in_grace.key, grace=timedelta(hours=1), at=now)
    long_gone = user_key(cast.bob, cast.account, "long gone", at=now - timedelta(days=60))
    revoke_key(cast.actor(cast.bob), long_gone.key, at=now - timedelta(days=31))
    just_gone = user_key(cast.bob, cast.account, "just gone")
    revoke_key(cast.actor(cast.bob), just_gone.key, at=now)
    user_key(cast.bob, cast.account, "expired", at=now - timedelta(days=60), expires_at=now - timedelta(days=31))
    numbers = set(ApiKey.objects.values_list("pk", flat=True))

    assert _pruned("--dry-run")["prunable"] == 3
    assert KeySecret.objects.count() == 8
    assert _pruned()["pruned"] == 3

    assert set(ApiKey.objects.values_list("pk", flat=True)) == numbers
    kept = sorted(KeySecret.objects.values_list("key__name", flat=True))
    assert kept == ["in grace", "in grace", "just gone", "living", "refreshed"]
    for opens in (living, after, in_grace):
        verify(opens.plaintext, at=timezone.now())
    event = AuditEvent.objects.get(tag=Tag.SECRETS_PRUNED)
    assert event.details == {"secrets": 3, "kept_days": 30}

    assert _pruned("--older-than", "0")["pruned"] == 1


def test_pruning_goes_on_over_many_batches(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apikeys.pruning._BATCH", 2)
    for number in range(5):
        revoke_key(cast.actor(cast.bob), user_key(cast.bob, cast.account, f"key {number}").key, at=timezone.now())

    assert _pruned("--older-than", "0")["pruned"] == 5


def test_pruning_says_which_pepper_can_go(cast: Cast, settings: Any) -> None:
    settings.API_KEY_PEPPERS = {1: b"a" * 32}
    old = user_key(cast.bob, cast.account, "old")
    settings.API_KEY_PEPPERS = {1: b"a" * 32, 2: b"b" * 32}
    user_key(cast.bob, cast.account, "new")
    assert _pruned()["unused_peppers"] == []

    revoke_key(cast.actor(cast.bob), old.key, at=timezone.now())

    assert "Pepper 1: 0 secrets, can be removed" in _run("prunesecrets", "--older-than", "0")
    assert _pruned()["unused_peppers"] == [1]


# exportkeys


def test_export_narrows_and_holds_no_secret(cast: Cast, tmp_path: Path) -> None:
    new = user_key(cast.bob, cast.account, "=cmd()")
    gone = user_key(cast.bob, cast.account, "gone")
    revoke_key(cast.actor(cast.bob), gone.key, at=timezone.now())
    user_key(cast.mallory, cast.elsewhere.organization.account, "elsewhere")

    (line,) = _run("exportkeys", "--account", "Acme AI", "--status", "ACTIVE", "--json").splitlines()
    assert json.loads(line)["id"] == new.key.wire_id

    text = _run("exportkeys", "--user", "bob@example.com")
    assert '"\'=cmd()"' in text
    assert "elsewhere" not in text
    for one in (new, gone):
        assert one.plaintext[15:] not in text
    assert bytes(new.key.secrets.get().digest).hex() not in text

    path = tmp_path / "keys.ndjson"
    _run("exportkeys", "--format", "ndjson", "--output", str(path))
    assert len(path.read_text().splitlines()) == 3
    assert "cannot be written" in _refused("exportkeys", "--output", str(path))
    assert AuditEvent.objects.filter(tag=Tag.KEYS_EXPORTED).count() == 4


# From the outside


@pytest.mark.parametrize("command", ["issuekey", "revokekey", "prunesecrets", "exportkeys", "createaccount"])
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command(command, "--help")

    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert f"manage.py {command}" in text
    assert "--json" in text
    assert "examples:\n  " in text


@pytest.mark.django_db(transaction=True)
def test_as_a_process_a_refusal_is_one_sentence_and_code_1() -> None:
    """The database of the tests is not the one a process finds, so that what it says is that there is nobody."""
    environment = dict(os.environ)
    ended = subprocess.run(
        [sys.executable, "manage.py", "issuekey", "--user", "nobody@example.com", "--name", "x", "--expires-in", "1d"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


# explainkey


def test_explanation_marks_what_decided(cast: Cast) -> None:
    service_key(cast.alice, cast.production, name="nightly", role=RoleName.READ_ONLY)

    printed = _run("explainkey", "nightly", "--space", "production", "--permission", "dataset_create")

    assert "The key may not DATASET_CREATE in production." in printed
    (decisive,) = [line for line in printed.splitlines() if line.startswith(">")]
    assert decisive == "> refuses No role that counts here permits DATASET_CREATE."


def test_explanation_as_json(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account, "notebook")

    told = json.loads(_run("explainkey", new.key.wire_id, "--org", "Fraud & Risk", "--json"))

    assert (told["allowed"], told["outcome"], told["space_id"]) == (True, "ALLOWED", None)
    assert [fact["fact"] for fact in told["facts"] if fact["decided"]] == ["ORGANIZATION_ROLE"]


def test_explanation_of_what_there_is_not(cast: Cast) -> None:
    new = user_key(cast.bob, cast.account, "notebook")

    assert "DATASET_READ" in _refused("explainkey", "notebook", "--permission", "FLY")
    assert "Did you mean" in _refused("explainkey", "notebook", "--space", "prodction")
    assert "whole key" in _refused("explainkey", new.plaintext)
    assert "not refreshed" in _refused("explainkey", "notebook", "--previous")
