"""``ax roles``, ``role-bindings`` and ``resource-restrictions``, run for real: contract rest-v2 §9 and §10."""

from __future__ import annotations

import pytest

from accounts.models import Project, Role, SpaceBinding
from accounts.roles import Level
from accounts.wire import encode_id
from tests.cast import Cast
from tests.clients.commands import Ax
from tests.factories import ProjectFactory, SpaceFactory

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_command_of_roles(cast: Cast, ax: Ax, alices: str) -> None:
    made = ax(
        *(alices, "roles", "create", "--name", "Exporter", "--description", "takes away"),
        *("--permissions", "SPACE_READ, DATASET_READ"),
    )

    role = Role.objects.get(name="Exporter")
    assert (made.json["id"], made.json["is_predefined"]) == (encode_id("Role", role.pk), False)
    assert sorted(made.json["permissions"]) == role.permissions == ["DATASET_READ", "SPACE_READ"]
    page = ax(alices, "roles", "list", "--is-predefined", "--limit", "5").json
    rest = ax(alices, "roles", "list", "--is-predefined", "--cursor", page["pagination"]["next_cursor"]).json
    predefined = page["roles"] + rest["roles"]
    assert {one["is_predefined"] for one in predefined} == {True}
    assert len(predefined) == Role.objects.filter(account=None).count()
    assert [one["name"] for one in ax(alices, "roles", "list", "--is-custom").json["roles"]] == ["Exporter"]
    assert ax(alices, "roles", "get", "Exporter").json == made.json

    replaced = ax(
        *(alices, "roles", "update", "Exporter", "--name", "Reader", "--description", "looks"),
        *("--permissions", "SPACE_READ"),
    ).json

    assert (replaced["name"], replaced["description"], replaced["permissions"]) == ("Reader", "looks", ["SPACE_READ"])
    assert Role.objects.get(pk=role.pk).permissions == ["SPACE_READ"]

    kept = ax(alices, "roles", "delete", "Reader", typed="\n")
    deleted = ax(alices, "roles", "delete", "Reader", "--force")

    assert ("Role not deleted" in kept.err, "deleted successfully" in deleted.err) == (True, True)
    assert Role.objects.get(pk=role.pk).deleted_at is not None
    assert ax.left_out("roles") == {}


def test_every_command_of_role_bindings(cast: Cast, ax: Ax, alices: str, bobs: str) -> None:
    vault = SpaceFactory.create(organization=cast.fraud, name="vault", is_private=True)
    bob, place = encode_id("User", cast.bob.pk), encode_id("Space", vault.pk)
    reads, writes = (
        encode_id("Role", Role.objects.get(level=Level.SPACE, account=None, name=name).pk)
        for name in ("READ_ONLY", "MEMBER")
    )
    wanted = ("--user-id", bob, "--resource-type", "SPACE", "--resource-id", place)
    assert ax(bobs, "spaces", "get", place).code == 4

    made = ax(alices, "role-bindings", "create", "--role-id", reads, *wanted)
    again = ax(alices, "role-bindings", "create", "--role-id", writes, *wanted)

    binding = SpaceBinding.objects.get(user=cast.bob, content_object=vault)
    assert {name: made.json[name] for name in ("id", "role_id", "user_id", "resource_type", "resource_id")} == {
        "id": encode_id("RoleBinding", binding.pk),
        "role_id": reads,
        "user_id": bob,
        "resource_type": "SPACE",
        "resource_id": place,
    }
    assert (again.code, "409 Conflict" in again.err) == (4, True)
    assert ax(bobs, "spaces", "get", place).json["name"] == "vault"
    bobs_own = ("--resource-type", "SPACE", "--user-id", bob)
    page = ax(alices, "role-bindings", "list", *bobs_own, "--limit", "2").json
    rest = ax(alices, "role-bindings", "list", *bobs_own, "--cursor", page["pagination"]["next_cursor"]).json
    assert (len(page["role_bindings"]), rest["role_bindings"]) == (2, [made.json])
    assert ax(alices, "role-bindings", "get", made.json["id"]).json == made.json

    changed = ax(alices, "role-bindings", "update", made.json["id"], "--role-id", writes)

    assert (changed.json["id"], changed.json["role_id"]) == (made.json["id"], writes)

    kept = ax(alices, "role-bindings", "delete", made.json["id"], typed="n\n")
    deleted = ax(alices, "role-bindings", "delete", made.json["id"], typed="y\n")

    assert ("Role binding not deleted" in kept.err, "deleted successfully" in deleted.err) == (True, True)
    assert ax(bobs, "spaces", "get", place).code == 4
    assert ax.left_out("role-bindings") == {}


def test_every_command_of_resource_restrictions(cast: Cast, ax: Ax, alices: str, bobs: str) -> None:
    ids = [encode_id("Project", ProjectFactory.create(space=cast.production).pk) for _ in range(2)]
    assert "403 Forbidden" in ax(bobs, "resource-restrictions", "restrict", "--resource-id", ids[0]).err

    made = [ax(alices, "resource-restrictions", "restrict", "--resource-id", one).json for one in ids]

    assert [(one["resource_type"], one["resource_id"]) for one in made] == [("PROJECT", one) for one in ids]
    page = ax(alices, "resource-restrictions", "list", "--resource-type", "PROJECT", "--limit", "1").json
    rest = ax(alices, "resource-restrictions", "list", "--cursor", page["pagination"]["next_cursor"]).json
    assert page["resource_restrictions"] + rest["resource_restrictions"] == made

    kept = ax(alices, "resource-restrictions", "unrestrict", "--resource-id", ids[0], typed="n\n")
    freed = ax(alices, "resource-restrictions", "unrestrict", "--resource-id", ids[0], "--force")

    assert ("Resource not unrestricted" in kept.err, "unrestricted successfully" in freed.err) == (True, True)
    assert Project.objects.filter(restricted_at=None).count() == 1
    assert ax.left_out("resource-restrictions") == {}
