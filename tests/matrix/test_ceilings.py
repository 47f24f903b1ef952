"""Nobody hands out more than they have: which roles a service key may be given by whom, through every door.

Security 15: refused as "above" exactly when the role asked for exceeds the caller's own at that level.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from accounts.bindings import predefined
from accounts.models import User
from accounts.roles import Level, RoleName
from apikeys.lifecycle import create_service_key
from apikeys.models import ApiKey, KeyKind
from apikeys.policy import bindings_of
from tests.factories import PASSWORD, grants
from tests.matrix.doors.browser import form
from tests.matrix.doors.command import behalf, command
from tests.matrix.doors.desk import desk
from tests.matrix.doors.graphql import mutation
from tests.matrix.doors.rest import rest
from tests.matrix.doors.verbs import given, verb
from tests.matrix.doors.ways import Way, wire
from tests.matrix.fates import Fate
from tests.matrix.scene import ROLES, Scene, build, session_of

pytestmark = pytest.mark.django_db

MADE, ABOVE, FORBIDDEN, ABSENT = Fate.MADE, Fate.ABOVE, Fate.FORBIDDEN, Fate.ABSENT

# Which role a service key shall have: at one level the role named, at the others as little as possible.
ASKED = ["space:ADMIN", "space:MEMBER", "space:READ_ONLY", "organization:ADMIN", "organization:MEMBER", "account:ADMIN"]

SERVICE_KEYS: dict[str, list[Fate]] = {
    #                          space:ADMIN space:MEMBER space:READ_ONLY org:ADMIN  org:MEMBER account:ADMIN
    "account:ADMIN":          [MADE,       MADE,        MADE,           MADE,      MADE,      MADE],
    "account:MEMBER":         [ABSENT,     ABSENT,      ABSENT,         ABSENT,    ABSENT,    ABSENT],
    "account:MEMBER_UI_ONLY": [FORBIDDEN,  FORBIDDEN,   FORBIDDEN,      FORBIDDEN, FORBIDDEN, FORBIDDEN],
    "account:ANNOTATOR":      [FORBIDDEN,  FORBIDDEN,   FORBIDDEN,      FORBIDDEN, FORBIDDEN, FORBIDDEN],
    "organization:ADMIN":     [MADE,       MADE,        MADE,           MADE,      MADE,      ABOVE],
    "organization:MEMBER":    [ABOVE,      MADE,        MADE,           ABOVE,     MADE,      ABOVE],
    "organization:READ_ONLY": [FORBIDDEN,  FORBIDDEN,   FORBIDDEN,      FORBIDDEN, FORBIDDEN, FORBIDDEN],
    "organization:ANNOTATOR": [FORBIDDEN,  FORBIDDEN,   FORBIDDEN,      FORBIDDEN, FORBIDDEN, FORBIDDEN],
    "space:ADMIN":            [MADE,       MADE,        MADE,           ABOVE,     ABOVE,     ABOVE],
    "space:MEMBER":           [ABOVE,      MADE,        MADE,           ABOVE,     ABOVE,     ABOVE],
    "space:READ_ONLY":        [FORBIDDEN,  FORBIDDEN,   FORBIDDEN,      FORBIDDEN, FORBIDDEN, FORBIDDEN],
    "space:ANNOTATOR":        [FORBIDDEN,  FORBIDDEN,   FORBIDDEN,      FORBIDDEN, FORBIDDEN, FORBIDDEN],
}  # fmt: skip

# Of the other doors these refuse in words, or look for the space first: there, only whether a key was made counts.
EXACT = ("verb", "REST")
WORDS = {RoleName.ADMIN: "admin", RoleName.MEMBER: "member", RoleName.READ_ONLY: "readOnly"}


def _roles(asked: str) -> dict[str, RoleName]:
    """Return the three roles of a request: the one asked for, and the least there is at the other levels."""
    level, role = asked.split(":")
    least = {"account": RoleName.MEMBER, "organization": RoleName.READ_ONLY, "space": RoleName.READ_ONLY}
    return least | {level: RoleName(role)}


def _way(door: str, asked: str) -> Way:
    """Return how a door is asked for a key with these roles."""
    role = _roles(asked)
    rows = {level: predefined(Level(level.upper()), name) for level, name in role.items()}
    ways = {
        "verb": verb(
            create_service_key,
            lambda scene: given(
                name="asked for",
                account_role=rows["account"],
                organizations=grants(scene.space, role=role["space"], organization_role=role["organization"]),
            ),
        ),
        "REST": rest("POST /v2/api-keys", body=lambda scene: _body(scene, role)),
        "GraphQL": mutation(
            "createServiceApiKey",
            lambda scene: {
                "name": "asked for",
                "spaceId": wire(scene.space),
                "spaceRole": WORDS[role["space"]],
                "accountOrganizationRole": WORDS[role["organization"]],
                "accountRole": WORDS[role["account"]],
            },
        ),
        "browser": form(
            "apikeys:new",
            fields=lambda scene: {
                "step": "create",
                "key_type": KeyKind.SERVICE,
                "name": "asked for",
                "expires": "never",
                "space": scene.space.pk,
                "space_role": role["space"],
                "account_role": role["account"],
                f"org_role-{scene.organization.pk}": role["organization"],
            },
            asked_first=True,
            shows=lambda scene: "ak-",
        ),
        "Django admin": desk(
            "apikeys_apikey_issue",
            fields=lambda scene: {
                "kind": KeyKind.SERVICE,
                "person": scene.me.pk,
                "name": "asked for",
                "spaces": [scene.space.pk],
                **{f"{level}_role": row.pk for level, row in rows.items()},
            },
            shows=lambda scene: "ak-",
        ),
        "command": command(
            "issuekey",
            lambda scene: [
                *behalf(scene),
                *("--service", "--name", "asked for", "--account", scene.account.name),
                *("--account-role", role["account"]),
                *("--org", f"{scene.organization.name}={role['organization']}"),
                *("--space", f"{scene.space.name}={role['space']}"),
            ],
            for_people=True,
        ),
    }
    return ways[door]


def _body(scene: Scene, role: dict[str, RoleName]) -> dict[str, Any]:
    roles = {level: {"type": "PREDEFINED", "name": name} for level, name in role.items()}
    space = {"space_id": wire(scene.space), "role": roles["space"]}
    organization = {"org_id": wire(scene.organization), "role": roles["organization"], "spaces": [space]}
    body = {"key_type": "SERVICE", "name": "asked for", "account_role": roles["account"]}
    return body | {"organizations": [organization]}


@pytest.mark.parametrize("who", ROLES)
@pytest.mark.parametrize("door", ["verb", "REST", "GraphQL", "browser", "Django admin", "command"])
def test_service_keys(who: str, door: str) -> None:  # security 15
    scene, expected = build(who), SERVICE_KEYS[who]
    if door == "Django admin":  # where an operator acts on the caller's behalf
        operator = User.objects.create_superuser("olga@example.com", PASSWORD, name="Olga Operator")
        scene = replace(scene, session=session_of(operator))

    came = [_way(door, asked).ask(scene) for asked in ASKED]

    made = [fate == MADE for fate in expected]
    assert came == expected if door in EXACT else [fate == MADE for fate in came] == made
    assert not [one for one in came if not isinstance(one, Fate)]
    wanted = [_roles(asked) for asked, fate in zip(ASKED, expected, strict=True) if fate == MADE]
    assert [_held(key) for key in ApiKey.objects.filter(name="asked for").order_by("pk")] == wanted


def _held(key: ApiKey) -> dict[str, str]:
    held = bindings_of([key])[key.pk]
    assert held.account_role is not None
    return {
        "account": held.account_role.name,
        "organization": held.organizations[0][1].name,
        "space": held.spaces[0][1].name,
    }


def test_table_names_every_caller_once() -> None:
    assert list(SERVICE_KEYS) == list(ROLES)
