"""Things as they look on the wire: the examples in the OpenAPI document, all of the same people and places."""

from __future__ import annotations

from typing import Any

from accounts.wire import encode_id

_NUMBERS = {
    "ApiKey": 2,
    "AuditEvent": 4711,
    "Organization": 1,
    "OrganizationMembership": 2,
    "Project": 1,
    "Role": 13,
    "RoleBinding": 2,
    "Space": 1,
    "SpaceMembership": 2,
    "User": 3,
}
IDS = {type_name: encode_id(type_name, number) for type_name, number in _NUMBERS.items()}

MEMBER = {"type": "PREDEFINED", "name": "MEMBER"}
EXPORTER = {"type": "CUSTOM", "id": IDS["Role"], "name": "Exporter"}

USER = {
    "id": IDS["User"],
    "name": "Charlie Chen",
    "email": "charlie@example.com",
    "created_at": "2027-01-11T09:30:00Z",
    "status": "ACTIVE",
    "role": MEMBER,
    "is_developer": True,
}
INVITED = {
    **USER,
    "id": encode_id("User", 42),
    "name": "Ann Archer",
    "email": "ann@example.com",
    "status": "INVITED",
}
ORGANIZATION = {
    "id": IDS["Organization"],
    "name": "Fraud & Risk",
    "description": "Card payments, Europe.",
    "created_at": "2027-01-04T08:00:00Z",
}
ORGANIZATION_MEMBER = {
    "id": IDS["OrganizationMembership"],
    "user_id": IDS["User"],
    "organization_id": IDS["Organization"],
    "role": MEMBER,
}
SPACE = {
    "id": IDS["Space"],
    "organization_id": IDS["Organization"],
    "name": "production",
    "description": "",
    "created_at": "2027-01-04T08:05:00Z",
    "is_private": False,
    "ml_models_enabled": True,
    "gradient_start_color": "#0b7285",
    "gradient_end_color": "#66d9e8",
    "default_llm_integration": None,
    "default_agent_runtime": None,
}
SPACE_MEMBER = {
    "id": IDS["SpaceMembership"],
    "user_id": IDS["User"],
    "space_id": IDS["Space"],
    "role": MEMBER,
}
ROLE = {
    "id": IDS["Role"],
    "name": "Exporter",
    "description": "Reads datasets and nothing else.",
    "permissions": ["DATASET_EXAMPLE_READ", "DATASET_READ", "SPACE_READ"],
    "is_predefined": False,
    "created_at": "2027-01-12T10:00:00Z",
    "updated_at": "2027-01-12T10:00:00Z",
}
ROLE_BINDING = {
    "id": IDS["RoleBinding"],
    "role_id": IDS["Role"],
    "user_id": IDS["User"],
    "resource_type": "SPACE",
    "resource_id": IDS["Space"],
    "created_at": "2027-01-12T10:15:00Z",
    "updated_at": "2027-01-12T10:15:00Z",
}
RESTRICTION = {
    "resource_type": "PROJECT",
    "resource_id": IDS["Project"],
    "created_at": "2027-01-12T10:30:00Z",
}


EVENT = {
    "id": IDS["AuditEvent"],
    "user_id": IDS["User"],
    "ip": "192.0.2.7",
    "operation_type": "MUTATION",
    "operation_name": "POST /v2/api-keys",
    "operation_text": '{"key_type": "USER", "name": "laptop"}',
    "variables": "{}",
    "created_at": "2027-01-31T12:00:00Z",
    "action": "key:create",
    "outcome": "SUCCEEDED",
    "door": "rest",
    "user": "Charlie Chen <charlie@example.com>",
    "key_id": IDS["ApiKey"],
    "target_type": "ApiKey",
    "target_id": encode_id("ApiKey", 8),
    "target": "laptop",
    "details": {"kind": "USER", "expires_at": None, "redacted_key": "ak-3fT...x9Q"},
    "position": 1204,
    "hash": "5ae0" * 16,
}
# The same in an exported file, whose columns have names of their own.
EXPORTED = {name: value for name, value in EVENT.items() if name not in ("user_id", "created_at", "user")} | {
    "at": EVENT["created_at"],
    "actor": EVENT["user"],
    "actor_id": EVENT["user_id"],
    "variables": {},
    "account_id": encode_id("Account", 1),
    "previous": "09c3" * 16,
}


def page_of(name: str, *items: Any) -> dict[str, Any]:
    """Return a page of a list that goes on."""
    return {name: list(items), "pagination": {"has_more": True, "next_cursor": "YWZ0ZXI6MQ"}}
