"""``ax users``, run for real: contract rest-v2 §6 as somebody at a terminal lives it."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client

from accounts.models import AccountBinding, User
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.clients.commands import Ax, Said
from tests.factories import service_key

pytestmark = pytest.mark.django_db(transaction=True)


def _create(ax: Ax, key: str, name: str, *, role: str = "MEMBER", mode: str = "EMAIL_LINK") -> Said:
    email = f"{name.split()[0].lower()}@example.com"
    return ax(key, "users", "create", "-n", name, "-e", email, "-r", role, "--invite-mode", mode)


def _names(said: Said) -> list[str]:
    return [user["name"] for user in said.json["users"]]


def _letters(user: str, about: str) -> list[str]:
    return [str(letter.body) for letter in mail.outbox if letter.to == [user] and about in letter.subject]


def _opens(link: str) -> bool:
    page = Client().get(urlsplit(link).path, follow=True)
    return bool(page.context["validlink"])


def test_every_command(cast: Cast, ax: Ax, alices: str, bobs: str) -> None:
    bob = encode_id("User", cast.bob.pk)
    service_key(cast.bob, cast.production, name="nightly")

    ann = _create(ax, alices, "Ann Archer")
    again = _create(ax, alices, "Ann Archer")
    ted = _create(ax, alices, "Ted Temp", role="ANNOTATOR", mode="TEMPORARY_PASSWORD")
    nina = _create(ax, alices, "Nina None", role="ADMIN", mode="NONE")

    invited = User.objects.get(email="ann@example.com")
    assert (ann.json["id"], ann.json["status"]) == (encode_id("User", invited.pk), "INVITED")
    assert again.json == ann.json
    assert "✓ User created successfully" in again.err
    assert User.objects.get(email="ted@example.com").check_password(ted.json["temporary_password"])
    assert (nina.json["status"], nina.json["role"]) == ("ACTIVE", {"type": "PREDEFINED", "name": "ADMIN"})
    (letter,) = _letters("ann@example.com", "Alice Archer invited you to Acme AI")
    (link,) = re.findall(r"http://\S+", letter)
    assert _opens(link)

    first = ax(alices, "users", "list", "--limit", "5")
    rest = ax(alices, "users", "list", "--cursor", first.json["pagination"]["next_cursor"])
    waiting = ax(alices, "users", "list", "--email", "T", "--status", "INVITED")
    nobody = ax(alices, "users", "list", "-e", "bob", "-s", "INVITED", "-s", "EXPIRED")

    assert _names(first) == ["Alice Archer", "Bob Baker", "Charlie Chen", "Dana Diaz", "Erin Evans"]
    assert _names(rest) == ["Ann Archer", "Ted Temp", "Nina None"]
    assert _names(waiting) == ["Ted Temp"]
    assert _names(nobody) == []
    assert ax(alices, "users", "get", bob).json["email"] == "bob@example.com"
    assert ax(alices, "users", "get", "BOB@example.com").json["id"] == bob

    changed = ax(alices, "users", "update", bob, "--full-name", "Bob B. Baker", "--is-not-developer")

    assert (changed.json["name"], changed.json["is_developer"]) == ("Bob B. Baker", False)
    assert User.objects.get(pk=cast.bob.pk).name == "Bob B. Baker"
    assert not AccountBinding.objects.get(user=cast.bob).is_developer

    resent = ax(alices, "users", "resend-invitation", ann.json["id"])
    reset = ax(alices, "users", "reset-password", bob)

    assert (resent.code, resent.out, reset.code, reset.out) == (0, "", 0, "")
    assert len(_letters("ann@example.com", "invited you")) == 2
    assert len(_letters("bob@example.com", "A new password")) == 1
    assert not _opens(link)  # void since it was sent again

    gone = ax(alices, "users", "delete", "--id", bob, "--email", "ann@example.com,nobody@example.com", "--force")

    assert [(row.get("email"), row["status"]) for row in gone.json["results"]] == [
        ("nobody@example.com", "not_found"),
        (None, "deleted"),
        ("ann@example.com", "deleted"),
    ]
    assert not AccountBinding.objects.filter(user__in=(cast.bob, invited)).exists()
    assert ApiKey.objects.get(name="nightly").revoked_at is None
    assert ax(bobs, "spaces", "list").code == 4
    assert ax.left_out("users") == {}


def test_bulk_removal_goes_through_all_and_tells_each_outcome(cast: Cast, ax: Ax, alices: str) -> None:
    declined = ax(alices, "users", "delete", "-e", "bob@example.com", typed="n\n")
    done = ax(alices, "users", "delete", "-e", "alice@example.com", "-e", "bob@example.com", typed="y\n")

    assert (declined.code, "Users not deleted" in declined.err) == (0, True)
    assert (done.code, "1 deleted, 1 failed" in done.err) == (0, True)
    outcome = {row["email"]: row for row in json.loads(done.out.removeprefix("Are you sure? [y/N]: "))["results"]}
    assert outcome["bob@example.com"]["status"] == "deleted"
    assert "(403)" in outcome["alice@example.com"]["error"]  # nobody removes themselves
    assert list(AccountBinding.objects.filter(user__in=(cast.alice, cast.bob)).values_list("user")) == [
        (cast.alice.pk,)
    ]


def test_asks_for_what_is_missing(ax: Ax, alices: str) -> None:
    said = ax(alices, "users", "create", typed="Ann Archer\nann@example.com\nMEMBER\nNONE\n")

    assert said.code == 0
    assert User.objects.get(email="ann@example.com").name == "Ann Archer"
