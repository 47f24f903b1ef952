"""The vendor's SDK 8.61.0, unmodified, administers an installation: every method with every argument, and what it did.

Contract rest-v2 §5 to §9 and §11.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import (
    AccountBinding,
    AuditEvent,
    Organization,
    OrganizationBinding,
    Project,
    ProjectBinding,
    Role,
    Space,
    SpaceBinding,
    User,
)
from accounts.roles import Level, RoleName
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.clients.libraries import Call, Outcome
from tests.factories import ProjectFactory, SpaceFactory, bind, custom_role, later, service_key, user_key

pytestmark = pytest.mark.django_db(transaction=True)

Row = User | Organization | Space | Project | Role


def _id(row: Row) -> str:
    return encode_id(type(row).__name__, row.pk)


def _predefined(kind: str, name: str) -> dict[str, Any]:
    return {"$class": f"Predefined{kind}Role", "kwargs": {"name": name}}


def _custom(kind: str, role: Role) -> dict[str, Any]:
    return {"$class": f"Custom{kind}Role", "kwargs": {"id": _id(role)}}


def _moment(moment: datetime) -> dict[str, Any]:
    return {"$class": "datetime", "args": [moment.isoformat()]}


def _space_role(name: RoleName) -> Role:
    return Role.objects.get(level=Level.SPACE, account=None, name=name)


def _letters(user: User, about: str) -> int:
    return sum(letter.to == [user.email] and about in letter.subject for letter in mail.outbox)


def _everything(sdk: Call, key: str, method: str, **arguments: Any) -> list[dict[str, Any]]:
    """Return all that a method lists, read in pages of one."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = sdk(key, method, limit=1, **cursor, **arguments).ok()
        (rows,) = (rows for name, rows in page.items() if name != "pagination")
        found += rows
        if not page["pagination"]["has_more"]:
            return found
        cursor = {"cursor": page["pagination"]["next_cursor"]}


def _names(rows: list[dict[str, Any]]) -> list[str]:
    return [(row.get("actual_instance") or row)["name"] for row in rows]


def test_every_resource_has_its_test_here(sdk: Call) -> None:
    resources = {name.split(".")[0] for name in sdk("unused", "methods").ok()}

    assert {f"test_every_method_of_{resource}" for resource in resources} <= set(globals())


def test_every_method_of_users(cast: Cast, sdk: Call, alices: str, bobs: str) -> None:
    def create(name: str, role: str = "MEMBER", mode: str = "EMAIL_LINK") -> Outcome:
        email = f"{name}@example.com".lower()
        return sdk(*(alices, "users.create"), name=name, email=email, role=_predefined("User", role), invite_mode=mode)

    ann, again = create("Ann"), create("Ann", mode="TEMPORARY_PASSWORD")
    ted = create("Ted", "ANNOTATOR", "TEMPORARY_PASSWORD")
    nina = create("Nina", "ADMIN", "NONE")

    people = {person.name: person for person in User.objects.filter(name__in=("Ann", "Ted", "Nina"))}
    assert ann.ok() == {
        "id": _id(people["Ann"]),
        "name": "Ann",
        "email": "ann@example.com",
        "created_at": ann.ok()["created_at"],
        "status": "INVITED",
        "role": {"type": "PREDEFINED", "name": "MEMBER"},
        "is_developer": True,
        "invite_mode": "EMAIL_LINK",
        "temporary_password": None,
    }
    assert (again.ok()["id"], again.ok()["temporary_password"]) == (ann.ok()["id"], None)
    assert people["Ted"].check_password(ted.ok()["temporary_password"])
    assert (nina.ok()["status"], nina.ok()["is_developer"]) == ("ACTIVE", True)
    assert _letters(people["Ann"], "invited you") == 1

    assert _names(_everything(sdk, alices, "users.list", status=["INVITED", "EXPIRED"])) == ["Ann", "Ted"]
    assert _names(_everything(sdk, alices, "users.list", email="N@EXAMPLE")) == ["Erin Evans", "Ann"]
    assert sdk(alices, "users.get", user=_id(cast.bob)).ok()["name"] == "Bob Baker"
    assert sdk(alices, "users.get", user="Bob@Example.com").ok()["id"] == _id(cast.bob)
    assert sdk(alices, "users.get", user="nobody@example.com").ok() is None

    changed = sdk(alices, "users.update", user_id=_id(cast.bob), name="Robert", is_developer=False).ok()

    assert (changed["name"], changed["is_developer"]) == ("Robert", False)
    assert User.objects.get(pk=cast.bob.pk).name == "Robert"
    assert sdk(bobs, "api_keys.create", name="n").kind == "ForbiddenException"

    assert sdk(alices, "users.resend_invitation", user_id=ann.ok()["id"]).ok() is None
    assert sdk(alices, "users.reset_password", user_id=_id(cast.bob)).ok() is None
    assert (_letters(people["Ann"], "invited you"), _letters(cast.bob, "A new password")) == (2, 1)

    for _ in range(2):
        assert sdk(alices, "users.delete", user_id=_id(cast.bob)).ok() is None
    removed = sdk(alices, "users.bulk_delete", user_ids=[_id(cast.charlie)], emails=["ann@example.com", "x@y.example"])

    assert [(row["email"], row["status"]) for row in removed.ok()] == [
        ("x@y.example", "not_found"),
        (None, "deleted"),
        ("ann@example.com", "deleted"),
    ]
    gone = (cast.bob, cast.charlie, people["Ann"])
    assert not AccountBinding.objects.filter(user__in=gone).exists()
    assert not SpaceBinding.objects.filter(user__in=gone).exists()
    assert sdk(bobs, "spaces.list").kind == "UnauthorizedException"
    assert create("Ann").kind == "ConflictException"
    assert sdk.left_out(r"users\..*") == {}


def test_every_method_of_organizations(cast: Cast, sdk: Call, alices: str, bobs: str) -> None:
    made = sdk(alices, "organizations.create", name="Growth", description="and more").ok()

    growth = Organization.objects.get(name="Growth")
    assert made == {
        "id": _id(growth),
        "name": "Growth",
        "description": "and more",
        "created_at": made["created_at"],
    }
    assert _names(_everything(sdk, alices, "organizations.list")) == ["Fraud & Risk", "Research", "Growth"]
    assert _names(_everything(sdk, alices, "organizations.list", name="R")) == ["Fraud & Risk", "Research", "Growth"]
    assert sdk(alices, "organizations.get", organization="Growth").ok() == made
    assert sdk(bobs, "organizations.get", organization=made["id"]).kind == "NotFoundException"

    for name in ("READ_ONLY", "ADMIN"):
        member = sdk(
            alices,
            "organizations.add_user",
            organization="Growth",
            user_id=_id(cast.bob),
            role=_predefined("Org", name),
        )
        assert {one: member.ok()[one] for one in ("user_id", "organization_id", "role")} == {
            "user_id": _id(cast.bob),
            "organization_id": made["id"],
            "role": {"type": "PREDEFINED", "name": name},
        }
    renamed = sdk(bobs, "organizations.update", organization="Growth", name="Reach").ok()
    cleared = sdk(bobs, "organizations.update", organization=made["id"], description=None).ok()
    assert (renamed["name"], renamed["description"]) == ("Reach", "and more")
    assert (cleared["name"], cleared["description"]) == ("Reach", "")

    inside = SpaceFactory.create(organization=growth)
    bind(cast.bob, inside, RoleName.MEMBER)
    removed = sdk(alices, "organizations.remove_user", organization="Reach", user_id=_id(cast.bob))
    again = sdk(alices, "organizations.remove_user", organization="Reach", user_id=_id(cast.bob))

    assert (removed.ok(), again.kind) == (None, "NotFoundException")
    assert not OrganizationBinding.objects.filter(user=cast.bob, content_object=growth).exists()
    assert not SpaceBinding.objects.filter(user=cast.bob, content_object=inside).exists()

    assert sdk(alices, "organizations.delete", organization="Reach").ok() is None
    assert not Organization.objects.filter(pk=growth.pk).exists()
    assert not Space.objects.filter(pk=inside.pk).exists()
    assert sdk.left_out(r"organizations\..*") == {}


def test_every_method_of_spaces(cast: Cast, sdk: Call, alices: str, bobs: str) -> None:
    made = sdk(
        bobs, "spaces.create", name="vault", organization_id=_id(cast.fraud), description="closed", is_private=True
    ).ok()

    vault = Space.objects.get(name="vault")
    assert made == {
        "id": _id(vault),
        "organization_id": _id(cast.fraud),
        "name": "vault",
        "description": "closed",
        "created_at": made["created_at"],
        "is_private": True,
        "default_llm_integration": None,
        "default_agent_runtime": None,
        "ml_models_enabled": True,
        "gradient_start_color": made["gradient_start_color"],
        "gradient_end_color": made["gradient_end_color"],
    }
    everywhere = ["production", "staging", "vision-lab", "vault"]
    assert _names(_everything(sdk, alices, "spaces.list")) == everywhere
    assert _names(_everything(sdk, alices, "spaces.list", organization_id=_id(cast.fraud), name="V")) == ["vault"]
    assert sdk(bobs, "spaces.get", space="vault").ok() == made

    changed = sdk(
        bobs,
        "spaces.update",
        space="vault",
        name="attic",
        description=None,
        is_private=False,
        ml_models_enabled=False,
        gradient_start_color="#112233",
        gradient_end_color="#445566",
        default_llm_integration=None,
        default_agent_runtime=None,
    ).ok()

    assert changed == made | {
        "name": "attic",
        "description": "",
        "is_private": False,
        "ml_models_enabled": False,
        "gradient_start_color": "#112233",
        "gradient_end_color": "#445566",
    }
    assert sdk(alices, "spaces.get", space=made["id"]).ok() == changed

    reader = custom_role(cast.account, "Reader", "SPACE_READ", "SERVICE_KEY_READ")
    for role, said in (
        (_predefined("Space", "READ_ONLY"), {"type": "PREDEFINED", "name": "READ_ONLY"}),
        (_custom("Space", reader), {"type": "CUSTOM", "id": _id(reader), "name": "Reader"}),
    ):
        member = sdk(bobs, "spaces.add_user", space="attic", user_id=_id(cast.charlie), role=role).ok()
        assert {one: member[one] for one in ("user_id", "space_id", "role")} == {
            "user_id": _id(cast.charlie),
            "space_id": made["id"],
            "role": said,
        }
    assert SpaceBinding.objects.filter(user=cast.charlie, content_object=vault).count() == 2

    assert sdk(bobs, "spaces.remove_user", space="attic", user_id=_id(cast.charlie)).ok() is None
    assert not SpaceBinding.objects.filter(user=cast.charlie, content_object=vault).exists()

    assert sdk(bobs, "spaces.delete", space="attic").ok() is None
    assert sdk(bobs, "spaces.get", space=made["id"]).kind == "NotFoundException"
    assert not Space.objects.filter(pk=vault.pk).exists()
    assert sdk.left_out(r"spaces\..*") == {}


def test_every_method_of_roles(cast: Cast, sdk: Call, alices: str) -> None:
    made = sdk(
        alices, "roles.create", name="Exporter", permissions=["SPACE_READ", "DATASET_READ"], description="takes away"
    ).ok()

    role = Role.objects.get(name="Exporter")
    assert made | {"permissions": sorted(made["permissions"])} == {
        "id": _id(role),
        "name": "Exporter",
        "description": "takes away",
        "permissions": ["DATASET_READ", "SPACE_READ"],
        "is_predefined": False,
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
    }
    assert _everything(sdk, alices, "roles.list", is_predefined=False) == [made]
    predefined = _everything(sdk, alices, "roles.list", is_predefined=True)
    assert len(predefined) == Role.objects.filter(account=None).count()
    assert len(_everything(sdk, alices, "roles.list")) == len(predefined) + 1
    assert sdk(alices, "roles.get", role="Exporter").ok() == made

    changed = sdk(
        alices, "roles.update", role="Exporter", name="Reader", description=None, permissions=["SPACE_READ"]
    ).ok()

    assert (changed["name"], changed.get("description"), changed["permissions"]) == ("Reader", None, ["SPACE_READ"])
    assert Role.objects.get(pk=role.pk).permissions == ["SPACE_READ"]

    assert sdk(alices, "roles.delete", role="Reader").ok() is None
    assert sdk(alices, "roles.get", role=made["id"]).kind == "NotFoundException"
    assert sdk.left_out(r"roles\..*") == {}


def test_every_method_of_role_bindings(cast: Cast, sdk: Call, alices: str) -> None:
    bot = service_key(cast.alice, cast.staging, name="nightly").key.owner
    reader = custom_role(cast.account, "Reader", "SPACE_READ")
    writer = custom_role(cast.account, "Writer", "SPACE_READ", "DATASET_UPDATE")
    wanted = {"user_id": _id(bot), "resource_type": "SPACE", "resource_id": _id(cast.staging)}

    made = sdk(alices, "role_bindings.create", role_id=_id(reader), **wanted).ok()
    again = sdk(alices, "role_bindings.create", role_id=_id(writer), **wanted)

    binding = SpaceBinding.objects.get(user=bot, permission=reader.permission)
    assert made == wanted | {
        "id": encode_id("RoleBinding", binding.pk),
        "role_id": _id(reader),
        "created_at": made["created_at"],
        "updated_at": made["updated_at"],
    }
    assert again.kind == "ConflictException"
    listed = _everything(sdk, alices, "role_bindings.list", resource_type="SPACE", user_id=_id(bot))
    assert [row["role_id"] for row in listed] == [_id(_space_role(RoleName.MEMBER)), _id(reader)]
    assert len(_everything(sdk, alices, "role_bindings.list", resource_type="SPACE")) == SpaceBinding.objects.count()
    assert _everything(sdk, alices, "role_bindings.list", resource_type="PROJECT") == []
    assert sdk(alices, "role_bindings.get", binding_id=made["id"]).ok() == made

    changed = sdk(alices, "role_bindings.update", binding_id=made["id"], role_id=_id(writer)).ok()

    assert (changed["id"], changed["role_id"]) == (made["id"], _id(writer))
    assert SpaceBinding.objects.filter(user=bot, permission=writer.permission).exists()

    assert sdk(alices, "role_bindings.delete", binding_id=made["id"]).ok() is None
    assert sdk(alices, "role_bindings.get", binding_id=made["id"]).kind == "NotFoundException"
    assert not SpaceBinding.objects.filter(user=bot).exclude(permission__role__account=None).exists()
    assert sdk.left_out(r"role_bindings\..*") == {}


def test_role_bindings_on_a_project(cast: Cast, sdk: Call, alices: str, bobs: str) -> None:
    project = ProjectFactory.create(space=cast.production, restricted_at=timezone.now())
    reader, writer = (custom_role(cast.account, name, "PROJECT_READ") for name in ("Reader", "Writer"))
    wanted = {"user_id": _id(cast.bob), "resource_type": "PROJECT", "resource_id": _id(project)}
    assert sdk(bobs, "role_bindings.create", role_id=_id(reader), **wanted).kind == "ForbiddenException"

    made = sdk(alices, "role_bindings.create", role_id=_id(reader), **wanted).ok()

    binding = ProjectBinding.objects.get(user=cast.bob, content_object=project)
    assert made["id"] == encode_id("RoleBinding", binding.pk)
    assert {name: made[name] for name in wanted} == wanted
    assert sdk(alices, "role_bindings.create", role_id=_id(writer), **wanted).kind == "ConflictException"
    assert _everything(sdk, alices, "role_bindings.list", resource_type="PROJECT") == [made]
    assert _everything(sdk, bobs, "role_bindings.list", resource_type="PROJECT") == []  # he reads the project, no more
    assert sdk(alices, "role_bindings.get", binding_id=made["id"]).ok() == made
    changed = sdk(alices, "role_bindings.update", binding_id=made["id"], role_id=_id(writer)).ok()
    assert (changed["id"], changed["role_id"]) == (made["id"], _id(writer))
    assert sdk(alices, "role_bindings.delete", binding_id=made["id"]).ok() is None
    assert not ProjectBinding.objects.exists()


def test_every_method_of_resource_restrictions(cast: Cast, sdk: Call, alices: str, bobs: str) -> None:
    one, other = (ProjectFactory.create(space=cast.production) for _ in range(2))
    assert sdk(alices, "resource_restrictions.unrestrict", resource_id=_id(one)).kind == "NotFoundException"
    assert sdk(bobs, "resource_restrictions.restrict", resource_id=_id(one)).kind == "ForbiddenException"
    dashboard = sdk(alices, "resource_restrictions.restrict", resource_id=encode_id("Dashboard", 1))
    assert dashboard.kind == "UnprocessableEntityException"

    made = sdk(alices, "resource_restrictions.restrict", resource_id=_id(one)).ok()
    sdk(alices, "resource_restrictions.restrict", resource_id=_id(other)).ok()

    assert (made["resource_type"], made["resource_id"]) == ("PROJECT", _id(one))
    assert sdk(alices, "resource_restrictions.restrict", resource_id=_id(one)).ok() == made  # nothing new
    assert not cast.alice.has_perm("accounts.project_read", Project.objects.get(pk=one.pk))
    listed = _everything(sdk, alices, "resource_restrictions.list")
    assert [row["resource_id"] for row in listed] == [_id(one), _id(other)]
    for kind, expected in (("PROJECT", listed), ("DASHBOARD", []), ("PROMPT", [])):
        of_kind = {"$class": "ResourceRestrictionType", "args": [kind]}
        assert _everything(sdk, alices, "resource_restrictions.list", resource_type=of_kind) == expected
    assert _everything(sdk, bobs, "resource_restrictions.list") == []

    assert sdk(alices, "resource_restrictions.unrestrict", resource_id=_id(one)).ok() is None

    assert cast.alice.has_perm("accounts.project_read", Project.objects.get(pk=one.pk))
    assert sdk.left_out(r"resource_restrictions\..*") == {}


def test_every_method_of_api_keys(cast: Cast, sdk: Call, alices: str, bobs: str) -> None:
    expiry = later(days=30)
    space = {"$class": "SpaceBinding", "kwargs": {"space": "production"}}
    there = {"$class": "OrgBinding", "kwargs": {"org_id": _id(cast.fraud), "spaces": [space]}}
    member = {"$class": "PredefinedUserRoleAssignmentRequest", "kwargs": {"type": "PREDEFINED", "name": "MEMBER"}}
    life = {"description": "d", "expires_at": _moment(expiry)}

    mine = sdk(bobs, "api_keys.create", name="laptop", **life).ok()
    nightly = sdk(
        bobs,
        "api_keys.create_service_key",
        name="nightly",
        orgs=[there],
        account_role={"$class": "UserRoleAssignmentRequest", "args": [member]},
        **life,
    ).ok()

    assert sdk(mine["key"], "spaces.list").ok()["spaces"] == sdk(bobs, "spaces.list").ok()["spaces"]
    assert _names(sdk(nightly["key"], "spaces.list").ok()["spaces"]) == ["production", "staging"]
    listed = _everything(
        *(sdk, alices, "api_keys.list"),
        key_type="SERVICE",
        status="ACTIVE",
        space="production",
        user_id=_id(cast.bob),
    )
    assert _names(listed) == ["nightly"]
    assert _names(_everything(sdk, bobs, "api_keys.list")) == ["laptop", "first"]

    fresh = sdk(
        *(bobs, "api_keys.refresh"),
        api_key_id=mine["id"],
        expires_at=_moment(later(days=3)),
        grace_period_seconds=0,
    ).ok()

    assert sdk(mine["key"], "spaces.list").kind == "UnauthorizedException"
    assert sdk(fresh["key"], "spaces.list").kind == ""
    assert sdk(bobs, "api_keys.revoke", api_key_id=nightly["id"]).ok() is None
    assert ApiKey.objects.get(name="nightly").revoked_at is not None
    assert sdk(nightly["key"], "spaces.list").kind == "UnauthorizedException"
    assert sdk.left_out(r"api_keys\..*") == {}


def test_every_method_of_audit_logs(cast: Cast, sdk: Call, alices: str, bobs: str) -> None:
    before = timezone.now()
    made = sdk(bobs, "api_keys.create", name="laptop").ok()
    sdk(bobs, "spaces.create", name="shadow", organization_id=_id(cast.fraud))
    after = timezone.now()
    sdk(bobs, "api_keys.revoke", api_key_id=made["id"])

    every = _everything(sdk, alices, "audit_logs.list", user_id=_id(cast.bob))
    (entry,) = _everything(
        *(sdk, alices, "audit_logs.list"),
        start_time=_moment(before),
        end_time=_moment(after),
        user_id=_id(cast.bob),
        operation_type="MUTATION",
        operation_names=["POST /v2/api-keys", "POST /v2/users"],
    )

    moments = [datetime.fromisoformat(one["created_at"]) for one in every]
    assert moments == sorted(moments, reverse=True)
    assert [one["id"] for one in every] == [
        encode_id("AuditEvent", event.pk) for event in AuditEvent.objects.filter(actor_id=cast.bob.pk).order_by("-pk")
    ]
    assert (entry["user_id"], entry["ip"], entry["operation_type"]) == (_id(cast.bob), "127.0.0.1", "MUTATION")
    assert entry["operation_name"] == "POST /v2/api-keys"
    assert json.loads(entry["operation_text"]) == {"key_type": "USER", "name": "laptop"}
    assert json.loads(entry["variables"]) == {}
    assert made["key"] not in json.dumps(every)
    assert sdk(bobs, "audit_logs.list").kind == "ForbiddenException"
    assert sdk.left_out(r"audit_logs\..*") == {}


# What follows from it, on the very next call.


@pytest.mark.parametrize(
    ("one", "name", "kind"), [("space", "production", "Space"), ("organization", "Fraud & Risk", "Org")]
)
def test_demoted_persons_key_is_refused_on_the_next_call(
    cast: Cast, sdk: Call, alices: str, bobs: str, one: str, name: str, kind: str
) -> None:
    place: dict[str, Any] = {one: name}
    bob = place | {"user_id": _id(cast.bob)}

    sdk(alices, f"{one}s.add_user", **bob, role=_predefined(kind, "ADMIN")).ok()
    assert sdk(bobs, f"{one}s.update", **place, description="mine").ok()["description"] == "mine"

    sdk(alices, f"{one}s.add_user", **bob, role=_predefined(kind, "READ_ONLY")).ok()
    refused = sdk(bobs, f"{one}s.update", **place, description="still mine")
    assert (refused.kind, refused.status) == ("ForbiddenException", 403)


def test_custom_roles_change_bites_on_the_next_call(cast: Cast, sdk: Call, alices: str) -> None:
    vault = SpaceFactory.create(organization=cast.fraud, name="vault", is_private=True)
    charlies = user_key(cast.charlie, cast.account).plaintext
    role = sdk(alices, "roles.create", name="Keeper", permissions=["SPACE_READ", "SERVICE_KEY_READ"]).ok()["id"]
    sdk(
        *(alices, "role_bindings.create"),
        **{"user_id": _id(cast.charlie), "role_id": role, "resource_type": "SPACE", "resource_id": _id(vault)},
    ).ok()
    reading = {"space": _id(vault)}

    assert sdk(charlies, "api_keys.list", **reading).ok()["api_keys"] == []
    sdk(alices, "roles.update", role="Keeper", permissions=["SPACE_READ"]).ok()
    assert sdk(charlies, "api_keys.list", **reading).kind == "ForbiddenException"
    assert sdk(charlies, "spaces.get", **reading).ok()["name"] == "vault"
    sdk(alices, "roles.update", role="Keeper", permissions=["DATASET_READ"]).ok()
    assert sdk(charlies, "spaces.get", **reading).kind == "NotFoundException"
    sdk(alices, "roles.update", role="Keeper", permissions=["SERVICE_KEY_READ", "SPACE_READ"]).ok()
    assert sdk(charlies, "api_keys.list", **reading).ok()["api_keys"] == []


def test_deleted_organizations_key_is_unauthorized(cast: Cast, sdk: Call, alices: str) -> None:
    doomed = service_key(cast.alice, cast.production, cast.staging).plaintext
    wider = service_key(cast.alice, cast.production, cast.vision_lab).plaintext

    sdk(alices, "organizations.delete", organization="Fraud & Risk").ok()

    refused = sdk(doomed, "spaces.list")
    assert (refused.kind, refused.status) == ("UnauthorizedException", 401)
    assert _names(sdk(wider, "spaces.list").ok()["spaces"]) == ["vision-lab"]
    assert sdk(alices, "spaces.get", space="production").kind == "NotFoundError"


def test_removed_persons_service_keys_go_on(cast: Cast, sdk: Call, alices: str, bobs: str) -> None:
    nightly = service_key(cast.bob, cast.production).plaintext

    sdk(alices, "users.delete", user_id=_id(cast.bob)).ok()

    assert sdk(bobs, "spaces.list").kind == "UnauthorizedException"
    assert sdk(nightly, "spaces.get", space="production").ok()["name"] == "production"
