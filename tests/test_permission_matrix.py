"""The whole matrix in one table: who (a role at a level) × what (an action, a role asked for) × through which door.

Each row says what is to come of it; each door has to agree. The doors know nothing of the rule: what they answer is
compared with the table, and with what is in the database afterwards.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts.bindings import predefined
from accounts.errors import Escalation, Forbidden, NotFound
from accounts.models import AccountBinding, Space, User
from accounts.roles import Level, RoleName
from accounts.wire import encode_id
from apikeys import policy
from apikeys.lifecycle import NewKey, create_service_key, create_user_key, refresh_key, revoke_key
from apikeys.models import ApiKey
from apikeys.policy import bindings_of
from tests.cast import Cast, assemble
from tests.factories import PersonFactory, bind, grants, later, service_key, user_key

pytestmark = pytest.mark.django_db

# What comes of it.
MADE, ABOVE, FORBIDDEN, ABSENT = "made", "above one's own", "forbidden", "absent"

# Who asks: the one role that matters, with what membership needs around it.
CALLERS = [
    "account:ADMIN",
    "account:MEMBER",
    "account:MEMBER_UI_ONLY",
    "account:ANNOTATOR",
    "organization:ADMIN",
    "organization:MEMBER",
    "organization:READ_ONLY",
    "organization:ANNOTATOR",
    "space:ADMIN",
    "space:MEMBER",
    "space:READ_ONLY",
    "space:ANNOTATOR",
]

# Which role a service key shall have: at one level the role named, at the others as little as possible.
ASKED = ["space:ADMIN", "space:MEMBER", "space:READ_ONLY", "organization:ADMIN", "organization:MEMBER", "account:ADMIN"]

# security 15: refused as "above" exactly when the role asked for exceeds the caller's own at that level.
SERVICE_KEYS: dict[str, list[str]] = {
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

# Everything else one does with keys. The keys are Alice's: a service key, Member in production, and a user key.
ACTIONS = [
    "make a user key",
    "list the space's keys",
    "refresh a service key",
    "revoke a service key",
    "refresh another's user key",
    "revoke another's user key",
]
OTHERS: dict[str, list[str]] = {
    #                          make user  list       refresh svc revoke svc refresh usr revoke usr
    "account:ADMIN":          [MADE,      MADE,      MADE,      MADE,      MADE,       MADE],
    "account:MEMBER":         [MADE,      ABSENT,    ABSENT,    ABSENT,    ABSENT,     ABSENT],
    "account:MEMBER_UI_ONLY": [FORBIDDEN, ABSENT,    ABSENT,    ABSENT,    ABSENT,     ABSENT],
    "account:ANNOTATOR":      [FORBIDDEN, ABSENT,    ABSENT,    ABSENT,    ABSENT,     ABSENT],
    "organization:ADMIN":     [MADE,      MADE,      MADE,      MADE,      ABSENT,     ABSENT],
    "organization:MEMBER":    [MADE,      MADE,      FORBIDDEN, FORBIDDEN, ABSENT,     ABSENT],
    "organization:READ_ONLY": [MADE,      FORBIDDEN, ABSENT,    ABSENT,    ABSENT,     ABSENT],
    "organization:ANNOTATOR": [FORBIDDEN, FORBIDDEN, ABSENT,    ABSENT,    ABSENT,     ABSENT],
    "space:ADMIN":            [MADE,      MADE,      MADE,      MADE,      ABSENT,     ABSENT],
    "space:MEMBER":           [MADE,      MADE,      FORBIDDEN, FORBIDDEN, ABSENT,     ABSENT],
    "space:READ_ONLY":        [MADE,      FORBIDDEN, ABSENT,    ABSENT,    ABSENT,     ABSENT],
    "space:ANNOTATOR":        [FORBIDDEN, FORBIDDEN, ABSENT,    ABSENT,    ABSENT,     ABSENT],
}  # fmt: skip


@dataclass
class Scene:
    """One caller, in place, with somebody else's keys to try things on."""

    cast: Cast
    caller: User
    others_service_key: NewKey
    others_user_key: NewKey
    own_key: NewKey

    @property
    def space(self) -> Space:
        """Where everything happens: a public space."""
        return self.cast.production


def _scene(who: str) -> Scene:
    cast = assemble()
    level, role = who.split(":")
    caller = PersonFactory.create(name="Caller", email="caller@example.com")
    annotates = role == RoleName.ANNOTATOR
    around = RoleName.ANNOTATOR if annotates else RoleName.MEMBER
    account = bind(caller, cast.account, RoleName(role) if level == "account" else around)
    if level != "account":
        below = RoleName.ANNOTATOR if annotates else RoleName.READ_ONLY
        bind(caller, cast.fraud, RoleName(role) if level == "organization" else below)
    if level == "space":
        bind(caller, cast.production, RoleName(role))
    # The key the caller comes with was made while developer access was on; it goes on without.
    was = AccountBinding.objects.get(pk=account.pk).is_developer
    AccountBinding.objects.filter(pk=account.pk).update(is_developer=True)
    own = user_key(caller, cast.account, "own", at=later(minutes=-1))
    AccountBinding.objects.filter(pk=account.pk).update(is_developer=was)
    return Scene(
        cast=cast,
        caller=caller,
        others_service_key=service_key(cast.alice, cast.production, name="others service", at=later(minutes=-1)),
        others_user_key=user_key(cast.alice, cast.account, "others user", at=later(minutes=-1)),
        own_key=own,
    )


def _roles(asked: str) -> dict[str, RoleName]:
    """Return the three roles of a request: the one asked for, and the least there is at the other levels."""
    level, role = asked.split(":")
    least = {"account": RoleName.MEMBER, "organization": RoleName.READ_ONLY, "space": RoleName.READ_ONLY}
    return least | {level: RoleName(role)}


# Through the verb


def _by_verb(do: Callable[[], object]) -> str:
    try:
        do()
    except Escalation:
        return ABOVE
    except NotFound:
        return ABSENT
    except Forbidden:
        return FORBIDDEN
    return MADE


def _service_by_verb(scene: Scene, asked: str) -> str:
    roles = _roles(asked)
    return _by_verb(
        lambda: create_service_key(
            scene.cast.actor(scene.caller),
            name="asked for",
            account_role=predefined(Level.ACCOUNT, roles["account"]),
            organizations=grants(scene.space, role=roles["space"], organization_role=roles["organization"]),
            at=timezone.now(),
        )
    )


def _other_by_verb(scene: Scene, action: str) -> str:
    actor, now = scene.cast.actor(scene.caller), timezone.now()
    return _by_verb(
        {
            "make a user key": lambda: create_user_key(actor, name="asked for", at=now),
            "list the space's keys": lambda: list(policy.service_keys_of(actor, scene.space)),
            "refresh a service key": lambda: refresh_key(actor, scene.others_service_key.key, at=now),
            "revoke a service key": lambda: revoke_key(actor, scene.others_service_key.key, at=now),
            "refresh another's user key": lambda: refresh_key(actor, scene.others_user_key.key, at=now),
            "revoke another's user key": lambda: revoke_key(actor, scene.others_user_key.key, at=now),
        }[action]
    )


# Through REST

_STATUS = {200: MADE, 201: MADE, 204: MADE, 403: FORBIDDEN, 404: ABSENT, 422: ABOVE}


def _by_rest(scene: Scene, method: str, path: str, body: Mapping[str, object] | None = None) -> str:
    response = Client().generic(
        method,
        path,
        data=json.dumps(body) if body is not None else "",
        content_type="application/json",
        headers={"Authorization": f"Bearer {scene.own_key.plaintext}"},
    )
    return _STATUS.get(response.status_code, f"{response.status_code}: {response.content[:200]!r}")


def _service_by_rest(scene: Scene, asked: str) -> str:
    roles = {level: {"type": "PREDEFINED", "name": role.value} for level, role in _roles(asked).items()}
    space = {"space_id": encode_id("Space", scene.space.pk), "role": roles["space"]}
    organization = {
        "org_id": encode_id("Organization", scene.space.organization_id),
        "role": roles["organization"],
        "spaces": [space],
    }
    body = {
        "key_type": "SERVICE",
        "name": "asked for",
        "account_role": roles["account"],
        "organizations": [organization],
    }
    return _by_rest(scene, "POST", "/v2/api-keys", body)


def _other_by_rest(scene: Scene, action: str) -> str:
    service, user = scene.others_service_key.key.wire_id, scene.others_user_key.key.wire_id
    requests: dict[str, tuple[str, str, dict[str, object] | None]] = {
        "make a user key": ("POST", "/v2/api-keys", {"key_type": "USER", "name": "asked for"}),
        "list the space's keys": ("GET", f"/v2/api-keys?space_id={encode_id('Space', scene.space.pk)}", None),
        "refresh a service key": ("POST", f"/v2/api-keys/{service}/refresh", {}),
        "revoke a service key": ("PUT", f"/v2/api-keys/{service}/revoke", None),
        "refresh another's user key": ("POST", f"/v2/api-keys/{user}/refresh", {}),
        "revoke another's user key": ("PUT", f"/v2/api-keys/{user}/revoke", None),
    }
    return _by_rest(scene, *requests[action])


# Through the browser


def _signed_in(scene: Scene) -> Client:
    client = Client()
    client.force_login(scene.caller, "django.contrib.auth.backends.ModelBackend")
    return client


def _by_form(client: Client, path: str, **fields: object) -> str:
    page = client.get(path)
    nonce = re.search(r'name="nonce" value="([^"]+)"', page.content.decode())
    if page.status_code in (403, 404):
        answer = client.post(path, fields)  # the form is not offered; whoever sends it all the same hears the same
        assert answer.status_code == page.status_code
        return _STATUS[page.status_code]
    response = client.post(path, fields | {"nonce": nonce[1] if nonce else "", "expires": "never"})
    if response.status_code in (200, 302) and (b"ak-" in response.content or response.status_code == 302):
        return MADE
    return _STATUS.get(response.status_code, FORBIDDEN)


def _service_by_browser(scene: Scene, asked: str) -> str:
    roles = _roles(asked)
    return _by_form(
        _signed_in(scene),
        "/settings/api-keys/new/",
        step="create",
        key_type="SERVICE",
        name="asked for",
        space=scene.space.pk,
        space_role=roles["space"].value,
        account_role=roles["account"].value,
        **{f"org_role-{scene.space.organization_id}": roles["organization"].value},
    )


def _other_by_browser(scene: Scene, action: str) -> str:
    client = _signed_in(scene)
    service, user = scene.others_service_key.key.wire_id, scene.others_user_key.key.wire_id
    if action == "make a user key":
        return _by_form(client, "/settings/api-keys/new/", step="create", key_type="USER", name="asked for")
    if action == "list the space's keys":
        return MADE if b"others service" in client.get("/settings/api-keys/service/").content else ABSENT
    verb, whose = action.split()[0], service if "service" in action else user
    return _by_form(client, f"/settings/api-keys/{whose}/{verb}/", grace="0")


# Through the command line, on behalf of the caller


def _by_command(*arguments: str) -> str:
    try:
        call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
    except (CommandError, SystemExit):
        return "refused"
    return MADE


def _service_by_command(scene: Scene, asked: str) -> str:
    roles = _roles(asked)
    return _by_command(
        "issuekey",
        *("--user", scene.caller.email, "--name", "asked for", "--service", "--json"),
        *("--account", scene.cast.account.name, "--account-role", roles["account"].value),
        *("--org", f"{scene.space.organization.name}={roles['organization'].value}"),
        *("--space", f"{scene.space.name}={roles['space'].value}"),
    )


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("door", ["verb", "REST", "browser", "command"])
def test_service_keys(who: str, door: str) -> None:  # security 15
    scene = _scene(who)
    ask = {
        "verb": _service_by_verb,
        "REST": _service_by_rest,
        "browser": _service_by_browser,
        "command": _service_by_command,
    }[door]
    expected = SERVICE_KEYS[who]

    came = [ask(scene, asked) for asked in ASKED]

    # Pages and commands refuse in words, and do not offer what is absent: there, only whether a key was made counts.
    coarse = door in ("browser", "command")
    assert _as_seen(came, coarse=coarse) == _as_seen(expected, coarse=coarse)
    keys = list(ApiKey.objects.filter(name="asked for").order_by("pk"))
    wanted = [_roles(asked) for asked, fate in zip(ASKED, expected, strict=True) if fate == MADE]
    assert [_held(key) for key in keys] == wanted


@pytest.mark.parametrize("who", CALLERS)
@pytest.mark.parametrize("door", ["verb", "REST", "browser"])
def test_other_actions(who: str, door: str) -> None:
    scene = _scene(who)
    do = {"verb": _other_by_verb, "REST": _other_by_rest, "browser": _other_by_browser}[door]
    expected = OTHERS[who]

    came = [do(scene, action) for action in ACTIONS]

    coarse = door == "browser"
    assert _as_seen(came, coarse=coarse) == _as_seen(expected, coarse=coarse)
    for key, fate in ((scene.others_service_key.key, expected[3]), (scene.others_user_key.key, expected[5])):
        assert (ApiKey.objects.get(pk=key.pk).revoked_at is not None) == (fate == MADE)


def _as_seen(fates: list[str], *, coarse: bool) -> list[str]:
    return [("made" if fate == MADE else "refused") if coarse else fate for fate in fates]


def _held(key: ApiKey) -> dict[str, str]:
    held = bindings_of([key])[key.pk]
    assert held.account_role is not None
    return {
        "account": held.account_role.name,
        "organization": held.organizations[0][1].name,
        "space": held.spaces[0][1].name,
    }


@pytest.mark.parametrize("who", CALLERS)
def test_user_keys_by_command(who: str) -> None:
    scene = _scene(who)
    # The other actions an operator at the command line does as the operator, on nobody's behalf.
    expected = OTHERS[who][0]

    came = _by_command(
        "issuekey",
        *("--user", scene.caller.email, "--name", "asked for", "--json", "--account", scene.cast.account.name),
    )

    assert (came == MADE) == (expected == MADE)


@pytest.mark.parametrize("who", CALLERS)
def test_django_admin_is_the_operator_s_alone(who: str) -> None:
    response = _signed_in(_scene(who)).get("/admin/apikeys/apikey/")

    assert response.status_code in (302, 403)


def test_table_names_every_caller_once() -> None:
    assert list(SERVICE_KEYS) == list(OTHERS) == CALLERS
