"""What is the same for all commands of ``ax``: the profile that README shows, output, refusals and exit codes."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest

from accounts.models import Account, Organization, OrganizationBinding, Space, User
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.clients.commands import Ax
from tests.clients.conftest import README

pytestmark = pytest.mark.django_db(transaction=True)


def test_readmes_commands_by_the_letter(cast: Cast, ax: Ax, ax_home: Path, alices: str) -> None:
    shown = re.search(r"^```bash\n(ax .*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert shown is not None
    first, invite, *others = shown[1].splitlines()

    assert first == "ax profiles create arizekeys --from-file arizekeys.toml"  # which the fixture ran
    assert (ax_home / ".arize" / ".active_profile").read_text("utf-8") == "arizekeys"
    ann = ax(alices, *_options(invite)).json["id"]
    for line in others:
        assert ax(alices, *_options(line.replace("$ANN", ann))).code == 0
    assert OrganizationBinding.objects.filter(user__email="ann@example.com", content_object=cast.fraud).exists()


def _options(line: str) -> list[str]:
    program, *options = shlex.split(line, comments=True)
    assert program == "ax"
    return options


def test_refusals_exit_with_four_and_say_why(cast: Cast, ax: Ax, alices: str, bobs: str) -> None:
    bob, charlie = encode_id("User", cast.bob.pk), encode_id("User", cast.charlie.pk)
    fraud, lab = encode_id("Organization", cast.fraud.pk), encode_id("Space", cast.vision_lab.pk)
    Account.objects.filter(pk=cast.account.pk).update(max_keys_per_hour=2)  # as many as they have

    for said, told in (
        (ax(alices, "users", "resend-invitation", bob), "400 Bad Request; Bob Baker needs no invitation"),
        (ax("ak-nonsense", "role-bindings", "list", "--resource-type", "SPACE"), "401 Unauthorized; The API key is"),
        (ax(bobs, "users", "update", charlie, "-n", "C"), "403 Forbidden; "),
        (ax(bobs, "spaces", "delete", lab, "-f"), "404 Not Found; "),
        (ax(bobs, "spaces", "delete", "vision-lab", "-f"), "Failed to delete space: space 'vision-lab' not found"),
        (ax(alices, "organizations", "create", "-n", "Research"), "409 Conflict; "),
        (ax(alices, "spaces", "create", "-n", "staging", "--organization-id", fraud), "409 Conflict; "),
        (
            ax(bobs, "users", "create", "-n", "A", "-e", "a@example.com", "-r", "ADMIN", "--invite-mode", "NONE"),
            "422 Unprocessable Entity; Only an account admin",
        ),
        (ax(bobs, "api-keys", "create", "-n", "one too many"), "429 Too Many Requests; "),
    ):
        assert (said.code, said.out) == (4, "")
        assert f"✗ Error: {told}" in said.err
    assert User.objects.get(pk=cast.charlie.pk).name == "Charlie Chen"
    assert Space.objects.filter(pk=cast.vision_lab.pk).exists()
    assert Organization.objects.filter(name="Research").count() == 1
    assert not User.objects.filter(email="a@example.com").exists()


def test_verbose_shows_the_problem_document(ax: Ax, alices: str) -> None:
    said = ax(alices, "roles", "get", encode_id("Role", 999_999), "--verbose")

    assert said.code == 4
    assert re.search(
        r"Status: 404 Not Found.*Title: Resource not found.*Type: http\S+#resource-not-found", said.err, re.S
    )
    assert re.search(r"Instance: /v2/roles/.*\"error_code\":\"not_found\"", said.err, re.S)


def test_answers_as_a_table_and_into_files(cast: Cast, ax: Ax, alices: str, tmp_path: Path) -> None:
    table = ax(alices, "spaces", "list", "-o", "table")
    rows = ax(alices, "organizations", "list", "-o", str(tmp_path / "all.csv"))
    parquet = ax(alices, "users", "list", "-o", str(tmp_path / "all.parquet"))
    no_such_folder = ax(alices, "roles", "list", "-o", str(tmp_path / "none" / "all.json"))

    assert "vision-lab" in table.out
    with (tmp_path / "all.csv").open(encoding="utf-8") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["Fraud & Risk", "Research"]
    assert (rows.code, parquet.code, (tmp_path / "all.parquet").stat().st_size > 0) == (0, 0, True)
    assert no_such_folder.code == 5


def test_revokes_a_key_that_it_cannot_write_down(ax: Ax, bobs: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff")  # no text, which it finds out when the key is there already

    said = ax(bobs, "api-keys", "create", "-n", "lost", "--env-file", str(tmp_path / ".env"))

    assert (said.code, "was revoked" in said.err) == (5, True)
    assert ApiKey.objects.get(name="lost").revoked_at is not None
