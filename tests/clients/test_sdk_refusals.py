"""What the vendor's SDK 8.61.0 raises when administering is refused: the right class, and the problem parsed."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import SpaceBinding
from accounts.wire import encode_id
from tests.cast import Cast
from tests.clients.libraries import Call, Outcome
from tests.factories import ProjectFactory, bind, custom_role, user_key

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY, NOWHERE = encode_id("User", 999_999), encode_id("Space", 999_999)
MEMBER = {kind: {"$class": f"Predefined{kind}Role", "kwargs": {"name": "MEMBER"}} for kind in ("User", "Org", "Space")}
# What is not about anything that exists already.
NAMELESS = {
    *("api_keys.list", "users.list", "organizations.list", "spaces.list", "roles.list", "role_bindings.list"),
    "resource_restrictions.list",
    *(
        "api_keys.create",
        "users.create",
        "organizations.create",
        "roles.create",
        "users.bulk_delete",
        "audit_logs.list",
    ),
}
SERVICE = [
    {
        "$class": "OrgBinding",
        "kwargs": {
            "org_id": encode_id("Organization", 999_999),
            "spaces": [{"$class": "SpaceBinding", "kwargs": {"space": NOWHERE}}],
        },
    }
]


@pytest.fixture
def calls(cast: Cast) -> dict[str, dict[str, Any]]:
    """Each method once, with arguments that Alice could give."""
    bob, fraud, production = (encode_id(type(row).__name__, row.pk) for row in (cast.bob, cast.fraud, cast.production))
    role = encode_id("Role", custom_role(cast.account, "Exporter", "SPACE_READ").pk)
    binding = encode_id("RoleBinding", SpaceBinding.objects.get(user=cast.bob, content_object=cast.production).pk)
    project = encode_id("Project", ProjectFactory.create(space=cast.production).pk)
    key = {"api_key_id": encode_id("ApiKey", 999_999)}
    return {
        "api_keys.list": {},
        "api_keys.create": {"name": "n"},
        "api_keys.create_service_key": {"name": "n", "orgs": SERVICE},
        "api_keys.refresh": key,
        "api_keys.revoke": key,
        "users.list": {},
        "users.get": {"user": bob},
        "users.create": {"name": "n", "email": "n@example.com", "role": MEMBER["User"], "invite_mode": "NONE"},
        "users.update": {"user_id": bob, "name": "n"},
        "users.delete": {"user_id": bob},
        "users.bulk_delete": {"emails": ["bob@example.com"]},
        "users.resend_invitation": {"user_id": bob},
        "users.reset_password": {"user_id": bob},
        "organizations.list": {},
        "organizations.get": {"organization": fraud},
        "organizations.create": {"name": "n"},
        "organizations.update": {"organization": fraud, "name": "n"},
        "organizations.delete": {"organization": fraud},
        "organizations.add_user": {"organization": fraud, "user_id": bob, "role": MEMBER["Org"]},
        "organizations.remove_user": {"organization": fraud, "user_id": bob},
        "spaces.list": {},
        "spaces.get": {"space": production},
        "spaces.create": {"name": "n", "organization_id": fraud},
        "spaces.update": {"space": production, "name": "n"},
        "spaces.delete": {"space": production},
        "spaces.add_user": {"space": production, "user_id": bob, "role": MEMBER["Space"]},
        "spaces.remove_user": {"space": production, "user_id": bob},
        "roles.list": {},
        "roles.get": {"role": role},
        "roles.create": {"name": "n", "permissions": ["SPACE_READ"]},
        "roles.update": {"role": role, "name": "n"},
        "roles.delete": {"role": role},
        "role_bindings.list": {"resource_type": "SPACE"},
        "role_bindings.get": {"binding_id": binding},
        "role_bindings.create": {
            "user_id": bob,
            "role_id": role,
            "resource_type": "SPACE",
            "resource_id": production,
        },
        "role_bindings.update": {"binding_id": binding, "role_id": role},
        "role_bindings.delete": {"binding_id": binding},
        "resource_restrictions.list": {},
        "resource_restrictions.restrict": {"resource_id": project},
        "resource_restrictions.unrestrict": {"resource_id": project},
        "audit_logs.list": {},
    }


def _refused(outcome: Outcome, kind: str, status: int, title: str, code: str) -> None:
    """Check an exception in full: its class, and the problem document the client parsed out of it."""
    assert (outcome.kind, outcome.status) == (kind, status), outcome.text
    assert outcome.problem is not None
    assert (outcome.problem["title"], outcome.problem["status"]) == (title, status)
    assert f'"error_code":"{code}"' in (outcome.body or "")


def test_unknown_key_is_unauthorized_everywhere(sdk: Call, calls: dict[str, dict[str, Any]]) -> None:
    offered = set(sdk("unused", "methods").ok())

    assert set(calls) == offered
    for method, arguments in calls.items():
        refused = sdk("ak-nonsense", method, **arguments)
        _refused(refused, "UnauthorizedException", 401, "Authentication required", "invalid_token")


def test_another_accounts_key_finds_nothing(cast: Cast, sdk: Call, calls: dict[str, dict[str, Any]]) -> None:
    mallorys = user_key(cast.mallory, cast.elsewhere.organization.account).plaintext

    for method in sorted(set(calls) - NAMELESS):
        refused = sdk(mallorys, method, **calls[method])
        if method == "role_bindings.create":  # contract rest-v2 §9.2
            _refused(refused, "ForbiddenException", 403, "Access forbidden", "forbidden")
        else:
            assert (refused.kind, refused.status) == ("NotFoundException", 404), (method, refused.text)


def test_members_may_not_administer(cast: Cast, sdk: Call, calls: dict[str, dict[str, Any]], charlies: str) -> None:
    for method in (
        *("users.update", "users.delete", "users.reset_password", "audit_logs.list"),
        *(f"organizations.{verb}" for verb in ("create", "update", "delete", "add_user", "remove_user")),
        *(f"spaces.{verb}" for verb in ("create", "update", "delete", "add_user", "remove_user")),
        *("roles.create", "roles.update", "roles.delete", "role_bindings.create"),
        *("resource_restrictions.restrict", "resource_restrictions.unrestrict"),
    ):
        _refused(sdk(charlies, method, **calls[method]), "ForbiddenException", 403, "Access forbidden", "forbidden")
    for method in ("role_bindings.update", "role_bindings.delete"):  # what they may read and not change
        assert sdk(charlies, method, **calls[method]).kind == "NotFoundException"


def test_names_that_are_taken_conflict(cast: Cast, sdk: Call, calls: dict[str, dict[str, Any]], alices: str) -> None:
    for method, arguments in (
        ("users.create", {"name": "B", "email": "BOB@example.com", "role": MEMBER["User"], "invite_mode": "NONE"}),
        ("organizations.create", {"name": "Research"}),
        ("organizations.update", {"organization": "Research", "name": "Fraud & Risk"}),
        ("spaces.create", {"name": "staging", "organization_id": encode_id("Organization", cast.fraud.pk)}),
        ("spaces.update", {"space": "staging", "name": "production"}),
        ("roles.create", {"name": "Exporter", "permissions": ["SPACE_READ"]}),
    ):
        refused = sdk(alices, method, **arguments)
        _refused(refused, "ConflictException", 409, "Resource conflict", "conflict")

    role = custom_role(cast.account, "Reader", "SPACE_READ")
    bind(cast.bob, cast.production, role)
    refused = sdk(alices, "roles.delete", role="Reader")
    _refused(refused, "ConflictException", 409, "Resource conflict", "conflict")


def test_what_is_well_formed_and_against_a_rule(cast: Cast, sdk: Call, alices: str, bobs: str) -> None:
    role = {
        "$class": "CustomUserRole",
        "kwargs": {"id": encode_id("Role", custom_role(cast.account, "C", "SPACE_READ").pk)},
    }
    admin = {"$class": "PredefinedUserRole", "kwargs": {"name": "ADMIN"}}
    new = {"name": "n", "email": "n@example.com", "invite_mode": "NONE"}

    above = sdk(bobs, "users.create", role=admin, **new)
    custom = sdk(alices, "users.create", role=role, **new)

    _refused(above, "UnprocessableEntityException", 422, "Request not allowed", "role_above_own")
    _refused(custom, "UnprocessableEntityException", 422, "Request not allowed", "not_allowed")


def test_malformed_ids_and_what_does_not_go_together(cast: Cast, sdk: Call, alices: str) -> None:
    dana, erin = encode_id("User", cast.dana.pk), encode_id("User", cast.erin.pk)

    for outcome in (
        sdk(alices, "users.update", user_id="nonsense", name="n"),
        sdk(alices, "users.delete", user_id=NOWHERE),
        sdk(alices, "organizations.remove_user", organization="Research", user_id="nonsense"),
        sdk(alices, "spaces.list", organization_id=NOBODY),
        sdk(alices, "roles.get", role=NOBODY),
        sdk(alices, "role_bindings.get", binding_id=NOBODY),
        sdk(alices, "audit_logs.list", user_id=NOWHERE),
        sdk(alices, "audit_logs.list", cursor="a b+c/="),
    ):
        _refused(outcome, "BadRequestException", 400, "Invalid request parameters", "invalid")
    for outcome in (
        sdk(alices, "spaces.add_user", space="production", user_id=erin, role=MEMBER["Space"]),
        sdk(alices, "organizations.add_user", organization="Research", user_id=dana, role=MEMBER["Org"]),
    ):
        _refused(outcome, "BadRequestException", 400, "Invalid request parameters", "incompatible")


def test_nobody_removes_themselves(cast: Cast, sdk: Call, alices: str) -> None:
    alice = encode_id("User", cast.alice.pk)

    refused = sdk(alices, "users.delete", user_id=alice)
    (row,) = sdk(alices, "users.bulk_delete", user_ids=[alice]).ok()

    _refused(refused, "ForbiddenException", 403, "Access forbidden", "forbidden")
    assert (row["status"], "(403)" in row["error"]) == ("failed", True)
