"""``ax organizations`` and ``ax spaces``, run for real: contract rest-v2 §7 and §8."""

from __future__ import annotations

import pytest

from accounts.models import Organization, OrganizationBinding, Space, SpaceBinding
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.clients.commands import Ax, Said
from tests.factories import service_key

pytestmark = pytest.mark.django_db(transaction=True)


def _names(said: Said, what: str) -> list[str]:
    return [one["name"] for one in said.json[what]]


def test_every_command_of_organizations(cast: Cast, ax: Ax, alices: str, bobs: str) -> None:
    bob = encode_id("User", cast.bob.pk)

    made = ax(alices, "organizations", "create", "--name", "Growth", "--description", "and more of it")

    growth = Organization.objects.get(name="Growth")
    assert made.json == {
        "id": encode_id("Organization", growth.pk),
        "name": "Growth",
        "description": "and more of it",
        "created_at": made.json["created_at"],
    }
    first = ax(alices, "organizations", "list", "--limit", "2")
    rest = ax(alices, "organizations", "list", "--cursor", first.json["pagination"]["next_cursor"])
    assert (_names(first, "organizations"), _names(rest, "organizations")) == (["Fraud & Risk", "Research"], ["Growth"])
    assert _names(ax(alices, "organizations", "list", "-n", "GROW"), "organizations") == ["Growth"]
    assert ax(alices, "organizations", "get", "Growth").json == made.json
    assert ax(bobs, "organizations", "get", made.json["id"]).code == 4

    member = ax(alices, "organizations", "add-user", "Growth", "--user-id", bob, "--role", "READ_ONLY")

    assert {name: member.json[name] for name in ("user_id", "organization_id", "role")} == {
        "user_id": bob,
        "organization_id": made.json["id"],
        "role": {"type": "PREDEFINED", "name": "READ_ONLY"},
    }
    assert ax(bobs, "organizations", "get", made.json["id"]).json["name"] == "Growth"

    # The command line clears the description when only the name is given.
    renamed = ax(alices, "organizations", "update", "Growth", "--name", "Reach")
    described = ax(alices, "organizations", "update", made.json["id"], "--description", "again")

    assert (renamed.json["name"], renamed.json["description"]) == ("Reach", "")
    assert (described.json["name"], described.json["description"]) == ("Reach", "again")

    removed = ax(alices, "organizations", "remove-user", "Reach", "--user-id", bob, "--force")

    assert (removed.code, removed.out) == (0, "")
    assert not OrganizationBinding.objects.filter(user=cast.bob, content_object=growth).exists()

    service_key(cast.alice, cast.production, name="nightly")
    kept = ax(alices, "organizations", "delete", "Fraud & Risk", typed="n\n")
    deleted = ax(alices, "organizations", "delete", "Fraud & Risk", typed="y\n")

    assert ("Organization not deleted" in kept.err, "deleted successfully" in deleted.err) == (True, True)
    assert not Organization.objects.filter(pk=cast.fraud.pk).exists()
    assert ApiKey.objects.get(name="nightly").revoked_at is not None
    assert ax.left_out("organizations") == {}


def test_every_command_of_spaces(cast: Cast, ax: Ax, alices: str, bobs: str) -> None:
    bob, fraud = encode_id("User", cast.bob.pk), encode_id("Organization", cast.fraud.pk)

    made = ax(bobs, "spaces", "create", "--name", "shadow", "--organization-id", fraud, "--description", "beside")

    shadow = Space.objects.get(name="shadow")
    assert (made.json["id"], made.json["organization_id"]) == (encode_id("Space", shadow.pk), fraud)
    assert (shadow.organization, shadow.description, shadow.is_private) == (cast.fraud, "beside", False)
    first = ax(alices, "spaces", "list", "--organization-id", fraud, "--limit", "2")
    rest = ax(alices, "spaces", "list", "--organization-id", fraud, "-c", first.json["pagination"]["next_cursor"])
    assert (_names(first, "spaces"), _names(rest, "spaces")) == (["production", "staging"], ["shadow"])
    assert ax(alices, "spaces", "get", "shadow").json == made.json
    assert ax(alices, "spaces", "get", made.json["id"]).json == made.json

    renamed = ax(bobs, "spaces", "update", "shadow", "--name", "mirror", "--description", "opposite")

    assert (renamed.json["name"], renamed.json["description"]) == ("mirror", "opposite")

    added = ax(alices, "spaces", "add-user", "production", "--user-id", bob, "--role", "READ_ONLY")

    assert added.json["role"] == {"type": "PREDEFINED", "name": "READ_ONLY"}
    assert ax(bobs, "spaces", "update", "production", "--description", "mine").code == 4

    removed = ax(alices, "spaces", "remove-user", "production", "--user-id", bob, typed="y\n")

    assert (removed.code, "User removed from space successfully" in removed.err) == (0, True)
    assert not SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).exists()

    kept = ax(bobs, "spaces", "delete", "mirror", typed="shadow\n")
    deleted = ax(bobs, "spaces", "delete", "mirror", typed="mirror\n")

    assert ("Space not deleted" in kept.err, "deleted successfully" in deleted.err) == (True, True)
    assert not Space.objects.filter(pk=shadow.pk).exists()
    assert ax.left_out("spaces") == {}
