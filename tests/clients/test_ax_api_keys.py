"""``ax api-keys``, run for real: contract rest-v2 §5."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.models import OrganizationBinding, SpaceBinding
from accounts.roles import RoleName
from accounts.wire import encode_id
from apikeys.models import ApiKey, KeySecret
from tests.cast import Cast
from tests.clients.commands import Ax, Said
from tests.factories import custom_role, later

pytestmark = pytest.mark.django_db(transaction=True)

KEY = re.compile(r"ak-[0-9A-Za-z]{61}")


def _names(said: Said) -> list[str]:
    return [one["actual_instance"]["name"] for one in said.json["api_keys"]]


def test_every_command(cast: Cast, ax: Ax, alices: str, bobs: str, tmp_path: Path) -> None:
    fraud = encode_id("Organization", cast.fraud.pk)
    expiry = later(days=30).replace(microsecond=0)
    role = custom_role(cast.account, "Exporter", "SPACE_READ")
    assignments = [
        {
            "org_id": fraud,
            "role": "MEMBER",
            "spaces": [
                {"space": "production", "role": "READ_ONLY"},
                {
                    "space": encode_id("Space", cast.staging.pk),
                    "role": {"type": "CUSTOM", "id": encode_id("Role", role.pk)},
                },
            ],
        }
    ]
    (tmp_path / "assignments.json").write_text(json.dumps(assignments), encoding="utf-8")

    plain = json.dumps([{"org_id": fraud, "spaces": [{"space": "staging"}]}])
    until = ("--description", "d", "--expires-at", f"{expiry:%Y-%m-%dT%H:%M:%S}")

    nightly = ax(bobs, "api-keys", "create-service-key", "-n", "nightly", "-a", plain, "--account-role", "MEMBER")
    both = ax(
        *(alices, "api-keys", "create-service-key", "-n", "both", "-a", str(tmp_path / "assignments.json"), *until),
        *("--env-file", str(tmp_path / ".env")),
    )
    filed = ax(
        *(bobs, "api-keys", "create", "-n", "laptop", *until),
        *("--env-file", str(tmp_path / ".envrc"), "--output", str(tmp_path / "laptop.json")),
    )

    assert KEY.fullmatch(nightly.json["key"])
    assert "Save this API key now" in nightly.err
    assert ax(nightly.json["key"], "spaces", "get", "staging").json["name"] == "staging"
    written = (tmp_path / ".env").read_text(encoding="utf-8")
    assert (both.code, both.out, KEY.findall(written)) == (0, "", [written.removeprefix("ARIZE_API_KEY=").strip()])
    bot = ApiKey.objects.get(name="both").owner
    assert OrganizationBinding.objects.get(user=bot).role.name == RoleName.MEMBER
    held = SpaceBinding.objects.filter(user=bot).order_by("pk")
    assert [(binding.content_object, binding.role.name) for binding in held] == [
        (cast.production, RoleName.READ_ONLY),
        (cast.staging, "Exporter"),
    ]
    mine = json.loads((tmp_path / "laptop.json").read_text(encoding="utf-8"))
    assert (filed.code, filed.out, datetime.fromisoformat(mine["expires_at"])) == (0, "", expiry)
    assert (tmp_path / ".envrc").read_text(encoding="utf-8") == f"export ARIZE_API_KEY='{mine['key']}'\n"
    page = ax(bobs, "api-keys", "list", "--limit", "1")
    rest = ax(bobs, "api-keys", "list", "--cursor", page.json["pagination"]["next_cursor"])
    assert (_names(page), _names(rest)) == (["laptop"], ["first"])
    assert _names(ax(bobs, "api-keys", "list", "--key-type", "SERVICE")) == ["nightly"]

    fresh = ax(bobs, "api-keys", "refresh", nightly.json["id"], "--grace-period-seconds", "600")
    bounded = ax(bobs, "api-keys", "refresh", mine["id"], "--expires-at", f"{expiry:%Y-%m-%dT%H:%M:%SZ}")

    assert (fresh.json["id"], bounded.json["id"]) == (nightly.json["id"], mine["id"])
    assert ax(nightly.json["key"], "spaces", "list").code == 0
    KeySecret.objects.filter(superseded_at__isnull=False).update(ends_at=timezone.now())
    assert ax(nightly.json["key"], "spaces", "list").code == 4

    kept = ax(bobs, "api-keys", "revoke", mine["id"], typed="n\n")
    revoked = ax(bobs, "api-keys", "revoke", mine["id"], typed="y\n")

    assert ("API key not revoked" in kept.err, "revoked successfully" in revoked.err) == (True, True)
    assert ApiKey.objects.get(name="laptop").revoked_at is not None
    assert _names(ax(bobs, "api-keys", "list", "--status", "REVOKED")) == ["laptop"]
    assert ax.left_out("api-keys") == {}
