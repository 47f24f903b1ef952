"""Where a real installation begins: an account and its first admin, with a password that no argument ever holds."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from django.test import Client

from accounts.audit import Tag
from accounts.models import Account, AccountBinding, AuditEvent, Organization, User
from accounts.roles import RoleName
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import AccountFactory, bind, service_key

pytestmark = pytest.mark.django_db

PASSWORD = "a password nobody guesses"
ADA = ("--name", "Globex", "--admin-email", "Ada@Example.com", "--admin-name", "Ada Admin")


def _create(*args: str) -> str:
    out = io.StringIO()
    call_command("createaccount", *(args or ADA), stdout=out)
    return out.getvalue()


def _refused(*args: str) -> str:
    with pytest.raises(CommandError) as refusal:
        _create(*args)
    assert refusal.value.returncode == 1
    return str(refusal.value)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _at_terminal(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    answers = iter(typed)
    monkeypatch.setattr(sys, "stdin", _Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))


def test_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARIZEKEYS_ADMIN_PASSWORD", PASSWORD)

    printed = json.loads(_create(*ADA, "--json"))

    account, ada = Account.objects.get(), User.objects.get()
    assert printed == {
        "account": {"id": encode_id("Account", account.pk), "name": "Globex"},
        "admin": {"id": encode_id("User", ada.pk), "email": "ada@example.com", "name": "Ada Admin"},
    }
    assert AccountBinding.objects.get(user=ada).role.name == RoleName.ADMIN
    assert ada.check_password(PASSWORD)
    assert ada.joined_at is not None
    assert (ada.is_staff, ada.is_superuser) == (False, False)
    assert not Organization.objects.exists()
    event = AuditEvent.objects.get(tag=Tag.ACCOUNT_CREATED)
    assert (event.door, event.account_id) == ("command", account.pk)


def test_password_comes_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("ARIZEKEYS_ADMIN_PASSWORD_FILE", str(file))

    _create()

    assert User.objects.get().check_password(PASSWORD)


def test_password_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARIZEKEYS_ADMIN_PASSWORD_FILE", str(tmp_path / "missing"))
    assert "cannot be read" in _refused()

    monkeypatch.setenv("ARIZEKEYS_ADMIN_PASSWORD", PASSWORD)
    assert "both set" in _refused()


def test_password_is_asked_for_twice_until_it_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    _at_terminal(monkeypatch, "short", PASSWORD, "something else", PASSWORD, PASSWORD)

    assert "signs in with the password just set" in _create()

    assert User.objects.get().check_password(PASSWORD)


def test_three_failures_create_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _at_terminal(monkeypatch, "short", "short", "short")

    assert "no account was created" in _refused()
    assert not Account.objects.exists()


@pytest.mark.parametrize("password", ["2short2", "password1234", "ada@example.com"])
def test_weak_password_is_refused_as_on_the_pages(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("ARIZEKEYS_ADMIN_PASSWORD", password)

    said = _refused()

    assert "cannot be taken" in said
    assert password not in said
    assert not Account.objects.exists()


def test_without_a_terminal_it_says_where_a_password_can_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    assert "ARIZEKEYS_ADMIN_PASSWORD" in _refused()


def test_invited_admin_chooses_a_password_alone(client: Client) -> None:
    printed = json.loads(_create(*ADA, "--invite", "--url", "https://keys.example.com", "--json"))

    assert not User.objects.get().has_usable_password()
    link = printed["invitation"]["link"]
    assert link.startswith("https://keys.example.com/")
    assert [letter.to for letter in mail.outbox] == [["ada@example.com"]]
    assert client.get(link.removeprefix("https://keys.example.com"), follow=True).status_code == 200


def test_link_is_printed_where_no_mail_is_sent(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

    printed = _create(*ADA, "--invite", "--url", "https://keys.example.com")

    assert "https://keys.example.com/" in printed


def test_name_taken_is_a_sentence(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARIZEKEYS_ADMIN_PASSWORD", PASSWORD)

    assert _refused("--name", "Acme AI", *ADA[2:]) == "There is already an account “Acme AI”."


def test_somebody_who_is_here_already_keeps_their_password(cast: Cast) -> None:
    hashed = cast.bob.password

    printed = _create("--name", "Globex", "--admin-email", "bob@example.com", "--admin-name", "Bob")

    assert "signs in with the password they have" in printed
    cast.bob.refresh_from_db()
    assert cast.bob.password == hashed
    assert AccountBinding.objects.filter(user=cast.bob, content_object__name="Globex").exists()


def test_somebody_invited_before_gets_the_password_given_now(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = User.objects.create_user("ada@example.com", name="Ada Admin")
    bind(ada, cast.account, RoleName.MEMBER)
    monkeypatch.setenv("ARIZEKEYS_ADMIN_PASSWORD", PASSWORD)

    assert "signs in with the password just set" in _create()

    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)
    assert ada.joined_at is not None
    told = AuditEvent.objects.filter(account_id=cast.account.pk, target_id=ada.pk)
    assert {Tag.PERSON_JOINED, Tag.PASSWORD_CHANGED} <= {event.tag for event in told}


def test_bot_is_no_admin(cast: Cast) -> None:
    bot = service_key(cast.bob, cast.production).key.owner

    said = _refused("--name", "Globex", "--admin-email", bot.email, "--admin-name", "Bot", "--invite")

    assert "Nobody can receive mail" in said


def test_refusal_is_json_on_request(cast: Cast) -> None:
    errors = io.StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("createaccount", "--name", "Acme AI", *ADA[2:], "--invite", "--json", stderr=errors)

    assert ended.value.code == 1
    assert json.loads(errors.getvalue())["error"]["code"] == "conflict"


def test_operator_made_with_djangos_command_gets_in_and_awaits_no_invitation(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    call_command("createsuperuser", "--noinput", "--email", "Olga@example.com", "--name", "Olga", verbosity=0)

    olga = User.objects.get()
    assert olga.email == "olga@example.com"
    assert not olga.is_pending
    client.force_login(olga)
    assert client.get("/admin/").status_code == 200


def test_operator_made_with_djangos_command_is_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)

    call_command("createsuperuser", "--noinput", "--email", "olga@example.com", "--name", "Olga", verbosity=0)

    event = AuditEvent.objects.get(tag=Tag.OPERATOR_CHANGED)
    assert (event.account_id, event.target_id, event.door) == (None, User.objects.get().pk, "command")
    assert event.details["after"] == {"is_staff": True, "is_superuser": True}
    assert PASSWORD not in str(vars(event))


def test_operator_that_cannot_be_recorded_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(AuditEvent.objects, "create", fail)

    with pytest.raises(OperationalError):
        call_command("createsuperuser", "--noinput", "--email", "olga@example.com", "--name", "Olga", verbosity=0)

    assert not User.objects.exists()


def test_password_changed_with_djangos_command_is_in_the_logs_and_mailed(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = AccountFactory.create()
    bind(cast.bob, other, "MEMBER")
    monkeypatch.setattr("getpass.getpass", lambda **_: "a password of the operator's")

    call_command("changepassword", "bob@example.com", stdout=io.StringIO())

    assert User.objects.get(pk=cast.bob.pk).check_password("a password of the operator's")
    events = AuditEvent.objects.filter(tag=Tag.PASSWORD_CHANGED).order_by("pk")
    assert [(event.account_id, event.target_id, event.door) for event in events] == [
        (cast.account.pk, cast.bob.pk, "command"),
        (other.pk, cast.bob.pk, "command"),
    ]
    assert [message.to for message in mail.outbox] == [["bob@example.com"]]


def test_password_is_no_argument() -> None:
    with pytest.raises(CommandError):
        _create(*ADA, "--password", PASSWORD)
