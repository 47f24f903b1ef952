"""Keys as they look on the wire: the examples in the OpenAPI document."""

from __future__ import annotations

from accounts.rest.examples import EXPORTER, IDS, MEMBER
from accounts.wire import encode_id

_SECRET = {"key": "ak-3fTq…"}  # as much as it takes to recognize one

CREATE_USER_KEY = {"key_type": "USER", "name": "laptop", "expires_at": "2030-01-31T12:00:00Z"}
CREATE_SERVICE_KEY = {
    "key_type": "SERVICE",
    "name": "nightly export",
    "description": "Runs at two in the morning.",
    "account_role": MEMBER,
    "organizations": [
        {
            "org_id": IDS["Organization"],
            "role": {"type": "PREDEFINED", "name": "READ_ONLY"},
            "spaces": [
                {"space_id": IDS["Space"], "role": MEMBER},
                {"space_id": encode_id("Space", 2), "role": {"type": "CUSTOM", "id": IDS["Role"]}},
            ],
        }
    ],
}

USER_KEY = {
    "id": IDS["ApiKey"],
    "name": "laptop",
    "key_type": "USER",
    "status": "ACTIVE",
    "redacted_key": "ak-3fT...x9Q",
    "created_at": "2027-01-31T12:00:00Z",
    "expires_at": "2030-01-31T12:00:00Z",
    "created_by_user_id": IDS["User"],
}
SERVICE_KEY = {
    "id": encode_id("ApiKey", 3),
    "name": "nightly export",
    "description": "Runs at two in the morning.",
    "key_type": "SERVICE",
    "status": "ACTIVE",
    "redacted_key": "ak-8Zk...m2B",
    "created_at": "2027-01-31T12:00:00Z",
    "created_by_user_id": IDS["User"],
    "last_used_at": "2027-02-01T02:00:00Z",
    "bot_user": {
        "id": encode_id("User", 43),
        "name": "nightly export",
        "account_role": MEMBER,
        "organizations": [
            {
                "org_id": IDS["Organization"],
                "role": {"type": "PREDEFINED", "name": "READ_ONLY"},
                "spaces": [
                    {"space_id": IDS["Space"], "role": MEMBER},
                    {"space_id": encode_id("Space", 2), "role": EXPORTER},
                ],
            }
        ],
    },
}
NEW_USER_KEY = USER_KEY | _SECRET
NEW_SERVICE_KEY = {name: value for name, value in SERVICE_KEY.items() if name != "last_used_at"} | _SECRET
REFRESHED_KEY = {name: value for name, value in SERVICE_KEY.items() if name != "bot_user"} | _SECRET
