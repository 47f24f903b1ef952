"""``/v2/api-keys`` through HTTP, to the letter of contract rest-v2 §5."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.audit import Tag
from accounts.bindings import unbind_role
from accounts.models import Account, AccountBinding, AuditEvent, Role, User
from accounts.people import remove_person
from accounts.roles import Level, RoleName
from accounts.wire import encode_id
from apikeys.lifecycle import NewKey, revoke_key
from apikeys.models import ApiKey
from apikeys.usage import uses
from tests.cast import Cast
from tests.factories import OrganizationFactory, SpaceFactory, bind, custom_role, later, service_key, user_key

pytestmark = pytest.mark.django_db

LIST = "/v2/api-keys"


@dataclass
class Caller:
    """Somebody with a key, calling."""

    client: Client
    key: NewKey

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key.plaintext}"}

    def listed(self, **parameters: Any) -> tuple[int, Any]:
        response = self.client.get(LIST, parameters, headers=self._headers())
        return response.status_code, response.json()

    def names(self, **parameters: Any) -> list[str]:
        status, body = self.listed(**parameters)
        assert status == 200, body
        return [item["name"] for item in body["api_keys"]]

    def create(self, **body: Any) -> tuple[int, Any]:
        response = self.client.post(LIST, body, content_type="application/json", headers=self._headers())
        assert response["Cache-Control"] == "no-store"
        return response.status_code, response.json()

    def refresh(self, key: ApiKey, /, **body: Any) -> tuple[int, Any]:
        place = f"{LIST}/{key.wire_id}/refresh"
        response = self.client.post(place, body, content_type="application/json", headers=self._headers())
        assert response["Cache-Control"] == "no-store"
        return response.status_code, response.json()

    def revoke(self, key: ApiKey) -> int:
        response = self.client.put(f"{LIST}/{key.wire_id}/revoke", headers=self._headers())
        assert response["Cache-Control"] == "no-store"
        assert response.status_code != 204 or response.content == b""
        return response.status_code

    def works(self) -> bool:
        return self.listed()[0] == 200


As = Callable[[User], Caller]


@pytest.fixture
def by(cast: Cast, client: Client) -> As:
    """Return a caller with a user key named "mine"; everybody has developer access while it is made."""

    def caller(user: User) -> Caller:
        membership = AccountBinding.objects.get(user=user)
        AccountBinding.objects.filter(pk=membership.pk).update(is_developer=True)
        key = user_key(user, membership.content_object, name="mine")
        AccountBinding.objects.filter(pk=membership.pk).update(is_developer=membership.is_developer)
        return Caller(client, key)

    return caller


def _role(name: str) -> dict[str, str]:
    return {"type": "PREDEFINED", "name": name}


def _scopes(cast: Cast, space_role: Any = None, org_role: Any = None) -> list[dict[str, Any]]:
    space = {"space_id": encode_id("Space", cast.production.pk)} | ({"role": space_role} if space_role else {})
    organization = {"org_id": encode_id("Organization", cast.fraud.pk), "spaces": [space]}
    return [organization | ({"role": org_role} if org_role else {})]


# Creating


def test_user_key_is_answered_to_the_letter(cast: Cast, by: As) -> None:
    status, body = by(cast.bob).create(key_type="USER", name="laptop", description="on the desk")

    key = ApiKey.objects.get(name="laptop")
    assert status == 201
    assert body == {
        "id": key.wire_id,
        "name": "laptop",
        "description": "on the desk",
        "key_type": "USER",
        "status": "ACTIVE",
        "redacted_key": f"{body['key'][:6]}...{body['key'][-3:]}",
        "created_at": key.created_at.isoformat().replace("+00:00", "Z"),
        "created_by_user_id": encode_id("User", cast.bob.pk),
        "key": body["key"],
    }
    assert key.owner == cast.bob


def test_service_key_is_answered_to_the_letter(cast: Cast, by: As) -> None:
    status, body = by(cast.bob).create(
        key_type="SERVICE", name="svc", expires_at="2031-01-02T03:04:05Z", organizations=_scopes(cast)
    )

    key = ApiKey.objects.get(name="svc")
    assert status == 201
    assert body == {
        "id": key.wire_id,
        "name": "svc",
        "key_type": "SERVICE",
        "status": "ACTIVE",
        "redacted_key": key.redacted_key,
        "created_at": key.created_at.isoformat().replace("+00:00", "Z"),
        "expires_at": "2031-01-02T03:04:05Z",
        "created_by_user_id": encode_id("User", cast.bob.pk),
        "bot_user": {
            "id": encode_id("User", key.owner_id),
            "name": "svc",
            "account_role": _role("MEMBER"),
            "organizations": [
                {
                    "org_id": encode_id("Organization", cast.fraud.pk),
                    "role": _role("READ_ONLY"),
                    "spaces": [{"space_id": encode_id("Space", cast.production.pk), "role": _role("MEMBER")}],
                }
            ],
        },
        "key": body["key"],
    }


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2031-01-01T00:00:00+00:00", datetime(2031, 1, 1, tzinfo=UTC)),
        ("2031-01-01T00:00:00Z", datetime(2031, 1, 1, tzinfo=UTC)),
        ("2031-01-01T02:00:00+02:00", datetime(2031, 1, 1, tzinfo=UTC)),
        ("2031-01-01T02:00:00+0200", datetime(2031, 1, 1, tzinfo=UTC)),
        ("2031-01-01 00:00:00Z", datetime(2031, 1, 1, tzinfo=UTC)),
        ("2031-01-01T01:02:03.000456", datetime(2031, 1, 1, 1, 2, 3, 456, tzinfo=UTC)),
        ("2031-01-01T00:00:00.123456789Z", datetime(2031, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_expiry_is_read_as_clients_write_it(cast: Cast, by: As, text: str, moment: datetime) -> None:
    status, _ = by(cast.bob).create(key_type="USER", name="n", expires_at=text)

    assert status == 201
    assert ApiKey.objects.get(name="n").expires_at == moment


@pytest.mark.parametrize(
    "text",
    [
        "2031-01-01",
        "tomorrow",
        "2031-02-30T00:00:00Z",
        "2031-01-01T24:30:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2031-01-01T00:00:00+99:00",
        "２０３１-01-01T00:00:00Z",
        "",
        1_900_000_000,
        None,
        True,
        ["2031-01-01T00:00:00Z"],
    ],
)
def test_expiry_that_is_none_is_refused(cast: Cast, by: As, text: Any) -> None:
    status, body = by(cast.bob).create(key_type="USER", name="n", expires_at=text)

    assert (status, body["errors"][0]["pointer"]) == (400, "#/expires_at")


def test_expiry_in_the_past_is_against_the_rules(cast: Cast, by: As) -> None:
    status, body = by(cast.bob).create(key_type="USER", name="n", expires_at="2020-01-01T00:00:00Z")

    assert (status, body["error_code"]) == (422, "bad_lifetime")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"key_type": None}, "#/key_type"),
        ({"key_type": "user"}, "#/key_type"),
        ({"key_type": ["USER"]}, "#/key_type"),
        ({"key_type": {}}, "#/key_type"),
        ({"name": None}, "#/name"),
        ({"name": 5}, "#/name"),
        ({"name": True}, "#/name"),
        ({"name": ""}, "#/name"),
        ({"name": "   "}, "#/name"),
        ({"name": "x" * 257}, "#/name"),
        ({"name": "a\x00b"}, "#/name"),
        ({"name": "a\nb"}, "#/name"),
        ({"name": "a\x1bb"}, "#/name"),
        ({"name": "a\x85b"}, "#/name"),
        ({"name": "a\ud800b"}, "#/name"),
        ({"description": None}, "#/description"),
        ({"description": 1}, "#/description"),
        ({"description": "x" * 1001}, "#/description"),
        ({"description": "a\x00b"}, "#/description"),
        ({"description": "a\x07b"}, "#/description"),
        ({"status": "ACTIVE"}, "#/status"),
        ({"key": "ak-mine"}, "#/key"),
        ({"id": "x"}, "#/id"),
        ({"user_id": "x"}, "#/user_id"),
        ({"organizations": []}, "#/organizations"),
        ({"account_role": {"type": "PREDEFINED", "name": "ADMIN"}}, "#/account_role"),
    ],
)
def test_user_key_of_another_shape_is_refused(cast: Cast, by: As, change: dict[str, Any], pointer: str) -> None:
    """Security 2 and 17: nobody brings a secret, an owner or a status of their own."""
    status, body = by(cast.bob).create(**({"key_type": "USER", "name": "n"} | change))

    assert (status, body["error_code"]) == (400, "invalid")
    assert [fault["pointer"] for fault in body["errors"]] == [pointer]
    assert not ApiKey.objects.exclude(name="mine").exists()


def test_key_type_and_name_are_required(cast: Cast, by: As) -> None:
    assert by(cast.bob).create(name="n")[1]["errors"][0]["pointer"] == "#/key_type"
    assert by(cast.bob).create(key_type="USER")[1]["errors"][0]["pointer"] == "#/name"


@pytest.mark.parametrize("name", ["x", "x" * 256, "💣" * 256, "a‮b", "<script>alert(1)</script>", "=cmd()", "名前"])
def test_names_of_every_kind_come_back_as_they_went(cast: Cast, by: As, name: str) -> None:  # security 39
    assert by(cast.bob).create(key_type="USER", name=name)[1]["name"] == name


def test_names_need_not_differ(cast: Cast, by: As) -> None:
    bob = by(cast.bob)

    assert [bob.create(key_type="USER", name="same")[0] for _ in range(2)] == [201, 201]


def _at(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of a body with one place set, such as ``organizations.0.spaces``; DROP takes it away."""
    changed = copy.deepcopy(body)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    inner: Any = changed
    for step in steps:
        inner = inner[step]
    if value is DROP:
        del inner[last]
    else:
        inner[last] = value
    return changed


DROP = object()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("organizations", DROP),
        ("organizations", []),
        ("organizations", {}),
        ("organizations", None),
        ("organizations", "x"),
        ("organizations.0", "x"),
        ("organizations.0.org_id", DROP),
        ("organizations.0.org_id", 5),
        ("organizations.0.org_id", "x"),
        ("organizations.0.org_id", encode_id("Space", 1)),
        ("organizations.0.spaces", DROP),
        ("organizations.0.spaces", []),
        ("organizations.0.spaces.0.space_id", DROP),
        ("organizations.0.spaces.0.space_id", None),
        ("organizations.0.spaces.0.space_id", encode_id("Organization", 1)),
        ("organizations.0.spaces.0.extra", 1),
        ("organizations.0.extra", 1),
        ("organizations.0.role", "MEMBER"),
        ("organizations.0.role", None),
        ("organizations.0.role", {}),
        ("organizations.0.role", {"type": "PREDEFINED"}),
        ("organizations.0.role", {"type": "PREDEFINED", "name": "member"}),
        ("organizations.0.role", {"type": "PREDEFINED", "name": "MEMBER_UI_ONLY"}),
        ("organizations.0.role", {"type": "PREDEFINED", "name": "MEMBER", "id": encode_id("Role", 1)}),
        ("organizations.0.spaces.0.role", {"type": "CUSTOM"}),
        ("organizations.0.spaces.0.role", {"type": "CUSTOM", "id": 1}),
        ("organizations.0.spaces.0.role", {"type": "CUSTOM", "id": encode_id("Role", 1), "name": "x"}),
        ("organizations.0.spaces.0.role", {"type": "custom", "id": encode_id("Role", 1)}),
        ("organizations.0.spaces.0.role", {"name": "MEMBER"}),
        ("account_role", {"type": "PREDEFINED", "name": "READ_ONLY"}),
        ("account_role", []),
        ("space_id", encode_id("Space", 1)),
        ("roles", {"space_role": "member"}),
    ],
)
def test_service_key_of_another_shape_is_refused(cast: Cast, by: As, path: str, value: Any) -> None:
    body = {"key_type": "SERVICE", "name": "n", "organizations": _scopes(cast)}

    status, answer = by(cast.bob).create(**_at(body, path, value))

    assert (status, answer["error_code"]) == (400, "invalid")
    assert answer["errors"][0]["pointer"].startswith("#/" + path.replace(".", "/"))


def test_at_most_a_hundred_of_each(cast: Cast, by: As) -> None:
    one = _scopes(cast)[0]
    many_spaces = [one | {"spaces": one["spaces"] * 101}]

    assert by(cast.bob).create(key_type="SERVICE", name="n", organizations=[one] * 101)[0] == 400
    assert by(cast.bob).create(key_type="SERVICE", name="n", organizations=many_spaces)[0] == 400


@pytest.mark.parametrize("name", ["ANNOTATOR", "MEMBER_UI_ONLY"])
def test_account_roles_that_no_key_has_are_bad_requests(cast: Cast, by: As, name: str) -> None:
    """Contract rest-v2 §12.3."""
    body = {"key_type": "SERVICE", "name": "n", "account_role": _role(name), "organizations": _scopes(cast)}

    assert by(cast.alice).create(**body)[0] == 400


@pytest.mark.parametrize("level", ["space", "org"])
def test_annotator_roles_are_against_the_rules(cast: Cast, by: As, level: str) -> None:
    """Contract rest-v2 §12.3."""
    scopes = _scopes(cast, **{f"{level}_role": _role("ANNOTATOR")})

    assert by(cast.alice).create(key_type="SERVICE", name="n", organizations=scopes)[0] == 422


@pytest.mark.parametrize("number", [0, 10**9])
def test_custom_roles_are_for_spaces(cast: Cast, by: As, number: int) -> None:
    """Contract rest-v2 §5.1: reserved elsewhere, whether there is such a role or not."""
    role = {"type": "CUSTOM", "id": encode_id("Role", number or custom_role(cast.account, "r", "DATASET_READ").pk)}
    alice = by(cast.alice)

    in_account = alice.create(key_type="SERVICE", name="n", account_role=role, organizations=_scopes(cast))
    in_organization = alice.create(key_type="SERVICE", name="n", organizations=_scopes(cast, org_role=role))
    in_space = alice.create(key_type="SERVICE", name="n", organizations=_scopes(cast, space_role=role))

    assert [in_account[0], in_organization[0], in_space[0]] == [422, 422, 404 if number else 201]


def test_custom_roles_of_other_accounts_are_not_there(cast: Cast, by: As) -> None:  # security 19
    foreign = custom_role(cast.elsewhere.organization.account, "r", "DATASET_READ")
    gone = custom_role(cast.account, "gone", "DATASET_READ")
    Role.objects.filter(pk=gone.pk).update(deleted_at=timezone.now())

    for role in (foreign, gone):
        scopes = _scopes(cast, space_role={"type": "CUSTOM", "id": encode_id("Role", role.pk)})
        assert by(cast.alice).create(key_type="SERVICE", name="n", organizations=scopes)[0] == 404


def test_predefined_roles_have_no_id_to_go_by(cast: Cast, by: As) -> None:
    admin = Role.objects.get(account=None, level=Level.SPACE, name=RoleName.ADMIN)
    scopes = _scopes(cast, space_role={"type": "CUSTOM", "id": encode_id("Role", admin.pk)})

    assert by(cast.bob).create(key_type="SERVICE", name="n", organizations=scopes)[0] == 404


@pytest.mark.parametrize(
    ("who", "account_role", "org_role", "space_role", "status"),
    [
        ("alice", "ADMIN", "ADMIN", "ADMIN", 201),
        ("bob", "MEMBER", "MEMBER", "MEMBER", 201),
        ("bob", "MEMBER", "READ_ONLY", "READ_ONLY", 201),
        ("bob", "ADMIN", "READ_ONLY", "MEMBER", 422),
        ("bob", "MEMBER", "ADMIN", "MEMBER", 422),
        ("bob", "MEMBER", "READ_ONLY", "ADMIN", 422),
        ("charlie", "MEMBER", "READ_ONLY", "READ_ONLY", 403),
        ("charlie", "MEMBER", "READ_ONLY", "ADMIN", 403),
        ("dana", "MEMBER", "READ_ONLY", "READ_ONLY", 403),
        ("erin", "MEMBER", "READ_ONLY", "MEMBER", 404),
        ("mallory", "MEMBER", "READ_ONLY", "MEMBER", 404),
    ],
)
def test_ceiling_at_each_level(
    cast: Cast, by: As, who: str, account_role: str, org_role: str, space_role: str, status: int
) -> None:
    """Security 15, through this door."""
    body = {
        "key_type": "SERVICE",
        "name": "n",
        "account_role": _role(account_role),
        "organizations": _scopes(cast, _role(space_role), _role(org_role)),
    }

    answer = by(getattr(cast, who)).create(**body)

    assert answer[0] == status, answer
    assert ApiKey.objects.filter(name="n").exists() == (status == 201)


def test_a_key_of_a_bot_stays_below_the_bot(cast: Cast, client: Client) -> None:  # security 17
    bot = Caller(client, service_key(cast.alice, cast.production))
    reader = Caller(client, service_key(cast.alice, cast.production, role=RoleName.READ_ONLY))

    above = bot.create(key_type="SERVICE", name="n", organizations=_scopes(cast, _role("ADMIN")))
    equal = bot.create(key_type="SERVICE", name="n", organizations=_scopes(cast, _role("MEMBER")))

    assert [above[0], equal[0]] == [422, 201]
    assert reader.create(key_type="SERVICE", name="n", organizations=_scopes(cast))[0] == 403
    assert bot.create(key_type="USER", name="n")[0] == 403


def test_a_bot_cannot_renew_or_widen_itself(cast: Cast, client: Client) -> None:  # security 17
    bot = Caller(client, service_key(cast.alice, cast.production))

    assert bot.refresh(bot.key.key)[0] == 403
    assert bot.revoke(bot.key.key) == 403


def test_private_space_is_not_named_to_those_outside(cast: Cast, by: As) -> None:
    """Under the wrong organization, twice, or in the right place: it is not there."""
    space = {"space_id": encode_id("Space", cast.vision_lab.pk)}
    fraud, research = (encode_id("Organization", one.pk) for one in (cast.fraud, cast.research))

    for organizations in (
        [{"org_id": fraud, "spaces": [space]}],
        [{"org_id": fraud, "spaces": [space, space]}],
        [{"org_id": research, "spaces": [space]}],
        [{"org_id": research, "spaces": [space]}] * 2,
    ):
        status, body = by(cast.bob).create(key_type="SERVICE", name="n", organizations=organizations)

        assert status == 404
        assert "vision-lab" not in str(body)
        assert "Research" not in str(body)


def test_space_under_another_organization_is_against_the_rules(cast: Cast, by: As) -> None:
    scopes = _at({"o": _scopes(cast)}, "o.0.org_id", encode_id("Organization", cast.research.pk))["o"]

    assert by(cast.alice).create(key_type="SERVICE", name="n", organizations=scopes)[0] == 422


def test_scopes_given_twice_are_bad_requests(cast: Cast, by: As) -> None:
    (one,) = _scopes(cast)

    assert by(cast.alice).create(key_type="SERVICE", name="n", organizations=[one, one])[0] == 400
    twice = [one | {"spaces": one["spaces"] * 2}]
    assert by(cast.alice).create(key_type="SERVICE", name="n", organizations=twice)[0] == 400


def test_hourly_cap_says_when_to_come_back(cast: Cast, by: As, client: Client) -> None:  # security 28 and 48
    bob = by(cast.bob)
    Account.objects.filter(pk=cast.account.pk).update(max_keys_per_hour=1)
    headers = {"authorization": f"Bearer {bob.key.plaintext}"}

    response = client.post(LIST, {"key_type": "USER", "name": "n"}, content_type="application/json", headers=headers)

    assert (response.status_code, response.json()["error_code"]) == (429, "too_many_keys_this_hour")
    assert 1 <= int(response["Retry-After"]) <= 60


def test_secret_is_in_the_two_answers_that_may_have_it_and_nowhere_else(cast: Cast, by: As) -> None:
    """Contract rest-v2 §16.7."""
    bob = by(cast.bob)
    made = bob.create(key_type="USER", name="n")[1]
    fresh = bob.refresh(ApiKey.objects.get(name="n"))[1]

    listed = str(bob.listed())
    audited = str(list(AuditEvent.objects.values()))
    for secret in (made["key"], fresh["key"]):
        assert secret not in listed
        assert secret not in audited


# Listing


def test_own_live_user_keys_are_the_default(cast: Cast, by: As) -> None:
    bob = by(cast.bob)
    user_key(cast.alice, cast.account, name="alice's")
    service_key(cast.bob, cast.production, name="a service key")
    revoke_key(cast.actor(cast.bob), user_key(cast.bob, cast.account, name="gone").key, at=timezone.now())
    user_key(cast.bob, cast.account, name="newest")

    assert bob.names() == ["newest", "mine"]
    assert bob.names(key_type="USER", status="ACTIVE") == ["newest", "mine"]
    assert bob.names(status="REVOKED") == ["gone"]


def test_items_are_as_created_but_for_the_secret(cast: Cast, by: As) -> None:
    bob = by(cast.bob)
    user = bob.create(key_type="USER", name="u", description="d", expires_at="2031-01-01T00:00:00Z")[1]
    service = bob.create(key_type="SERVICE", name="s", organizations=_scopes(cast))[1]
    del user["key"], service["key"]

    assert bob.listed()[1]["api_keys"][0] == user
    assert bob.listed(key_type="SERVICE")[1]["api_keys"] == [service]


def test_last_use_is_told_once_there_was_one(cast: Cast, by: As) -> None:
    bob = by(cast.bob)
    user_key(cast.bob, cast.account, name="unused")

    bob.listed()
    uses.flush()

    unused, mine = bob.listed()[1]["api_keys"]

    assert "last_used_at" not in unused
    assert timezone.now() - datetime.fromisoformat(mine["last_used_at"]) < timedelta(minutes=1)


def test_revoked_keys_say_so(cast: Cast, by: As) -> None:
    bob = by(cast.bob)
    gone = user_key(cast.bob, cast.account, name="gone").key
    bob.revoke(gone)

    assert [item["status"] for item in bob.listed(status="REVOKED")[1]["api_keys"]] == ["REVOKED"]


def test_expired_keys_are_in_no_list(cast: Cast, by: As) -> None:
    """Contract rest-v2 §12.11: not valid for use, and nobody revoked them."""
    bob = by(cast.bob)
    key = user_key(cast.bob, cast.account, name="expired", expires_at=later(days=1)).key
    past = timezone.now() - timedelta(seconds=1)
    ApiKey.objects.filter(pk=key.pk).update(created_at=past - timedelta(days=1), expires_at=past)

    assert bob.names() == ["mine"]
    assert bob.names(status="REVOKED") == []


def test_another_persons_user_keys_are_for_account_admins(cast: Cast, by: As) -> None:
    bob, alice = by(cast.bob), by(cast.alice)
    her, him = encode_id("User", cast.alice.pk), encode_id("User", cast.bob.pk)

    assert alice.names(user_id=him) == ["mine"]
    assert bob.names(user_id=him) == ["mine"]
    assert bob.listed(user_id=her)[0] == 403
    assert bob.listed(user_id=encode_id("User", 10**9))[0] == 403  # as much as about somebody who is there
    assert alice.listed(user_id=encode_id("User", 10**9))[0] == 404
    assert alice.listed(user_id=encode_id("User", cast.mallory.pk))[0] == 404
    assert alice.names(user_id=encode_id("User", cast.erin.pk)) == []


def test_keys_of_somebody_who_left_are_still_there_for_admins(cast: Cast, by: As) -> None:
    alice = by(cast.alice)
    by(cast.bob)
    remove_person(cast.actor(cast.alice), user=cast.bob, at=timezone.now())

    assert alice.names(user_id=encode_id("User", cast.bob.pk), status="REVOKED") == ["mine"]


def test_service_keys_alone_are_those_one_made(cast: Cast, by: As) -> None:
    service_key(cast.bob, cast.production, name="bob's")
    service_key(cast.alice, cast.production, cast.vision_lab, name="alice's")
    him = encode_id("User", cast.bob.pk)

    assert by(cast.bob).names(key_type="SERVICE") == ["bob's"]
    assert by(cast.alice).names(key_type="SERVICE") == ["alice's"]
    assert by(cast.alice).names(key_type="SERVICE", user_id=him) == ["bob's"]
    assert by(cast.bob).listed(key_type="SERVICE", user_id=encode_id("User", cast.alice.pk))[0] == 403


def test_service_keys_of_a_space(cast: Cast, by: As) -> None:
    """Contract rest-v2 §5.2: with ``space_id`` the bindings are never told."""
    bob, space = by(cast.bob), encode_id("Space", cast.production.pk)
    service_key(cast.bob, cast.production, name="bob's")
    service_key(cast.alice, cast.production, cast.vision_lab, name="alice's", account_role=RoleName.ADMIN)
    service_key(cast.alice, cast.staging, name="in staging")

    assert bob.names(space_id=space) == ["alice's", "bob's"]
    assert bob.names(space_id=space, key_type="SERVICE") == ["alice's", "bob's"]
    assert bob.names(space_id=space, user_id=encode_id("User", cast.alice.pk)) == ["alice's"]
    assert bob.names(space_id=space, user_id=encode_id("User", 10**9)) == []
    bots = [item["bot_user"] for item in bob.listed(space_id=space)[1]["api_keys"]]
    assert [bot["organizations"] for bot in bots] == [[], []]
    assert [bot["account_role"]["name"] for bot in bots] == ["ADMIN", "MEMBER"]
    status, body = bob.listed(space_id=space, key_type="USER")
    assert (status, body["errors"][0]["parameter"]) == (400, "space_id")


@pytest.mark.parametrize(
    ("who", "space", "status"),
    [
        ("alice", "production", 200),
        ("alice", "vision_lab", 200),
        ("bob", "production", 200),
        ("bob", "vision_lab", 404),
        ("charlie", "production", 403),
        ("dana", "production", 403),
        ("erin", "vision_lab", 200),
        ("erin", "production", 404),
        ("mallory", "production", 404),
        ("alice", "elsewhere", 404),
    ],
)
def test_who_may_list_the_keys_of_a_space(cast: Cast, by: As, who: str, space: str, status: int) -> None:
    answer = by(getattr(cast, who)).listed(space_id=encode_id("Space", getattr(cast, space).pk))

    assert answer[0] == status


def test_bot_that_is_nobody_any_more_is_a_placeholder(cast: Cast, by: As) -> None:
    """Contract rest-v2 §5.2."""
    bob = by(cast.bob)
    key = service_key(cast.bob, cast.production).key
    AccountBinding.objects.filter(user=key.owner).delete()

    (item,) = bob.listed(key_type="SERVICE")[1]["api_keys"]

    assert item["bot_user"] == {
        "id": encode_id("User", key.owner_id),
        "name": "",
        "account_role": _role("MEMBER"),
        "organizations": [],
    }


def test_bot_out_of_a_space_is_told_without_it(cast: Cast, by: As) -> None:
    bob = by(cast.bob)
    key = service_key(cast.bob, cast.production, cast.staging).key
    unbind_role(cast.actor(cast.alice), user=key.owner, scope=cast.staging, at=timezone.now())

    (item,) = bob.listed(key_type="SERVICE")[1]["api_keys"]

    (organization,) = item["bot_user"]["organizations"]
    assert [space["space_id"] for space in organization["spaces"]] == [encode_id("Space", cast.production.pk)]


def test_pages_are_newest_first_and_skip_nothing(cast: Cast, by: As) -> None:
    bob = by(cast.bob)
    for number in range(6):
        user_key(cast.bob, cast.account, name=str(number))

    status, first = bob.listed(limit=3)
    user_key(cast.bob, cast.account, name="meanwhile")
    second = bob.listed(limit=3, cursor=first["pagination"]["next_cursor"])[1]
    third = bob.listed(limit=3, cursor=second["pagination"]["next_cursor"])[1]

    pages = [[item["name"] for item in page["api_keys"]] for page in (first, second, third)]
    assert status == 200
    assert pages == [["5", "4", "3"], ["2", "1", "0"], ["mine"]]
    assert third["pagination"] == {"has_more": False}


@pytest.mark.parametrize(
    "parameters",
    [
        {"key_type": "user"},
        {"key_type": ""},
        {"status": "active"},
        {"status": "EXPIRED"},
        {"status": ""},
        {"space_id": ""},
        {"space_id": "production"},
        {"user_id": encode_id("Space", 1)},
        {"limit": "0"},
        {"limit": "101"},
        {"cursor": "x"},
        {"space": "production"},
        {"format": "json"},
    ],
)
def test_queries_of_another_shape_are_refused(cast: Cast, by: As, parameters: dict[str, str]) -> None:
    assert by(cast.bob).listed(**parameters)[0] == 400


@pytest.mark.parametrize("question", [{}, {"key_type": "SERVICE"}, {"space_id": "production"}])
def test_lists_cost_the_same_for_one_row_and_for_many(cast: Cast, by: As, question: dict[str, str]) -> None:
    bob = by(cast.bob)
    if "space_id" in question:
        question = {"space_id": encode_id("Space", cast.production.pk)}
    service_key(cast.bob, cast.production)
    bob.listed()
    costs = []
    for more in (0, 2, 27):
        for number in range(more):
            organization = OrganizationFactory.create(account=cast.account)
            bind(cast.bob, organization, RoleName.MEMBER)
            user_key(cast.bob, cast.account, name=f"u{number}")
            service_key(cast.bob, cast.production, SpaceFactory.create(organization=organization), name=f"s{number}")
        with CaptureQueriesContext(connection) as queries:
            rows = len(bob.listed(**question)[1]["api_keys"])
        costs.append(len(queries))

    assert rows == 30
    assert costs[0] == costs[1] == costs[2] <= 7


def test_creating_costs_the_same_for_one_space_and_for_many(cast: Cast, by: As) -> None:
    """All but writing the bindings themselves: ids and roles are looked up together."""
    alice = by(cast.alice)
    alice.listed()
    costs = []
    for spaces in (1, 21):
        (one,) = _scopes(cast)
        created = SpaceFactory.create_batch(spaces, organization=cast.fraud)
        more = [{"space_id": encode_id("Space", space.pk)} for space in created]
        with CaptureQueriesContext(connection) as queries:
            assert alice.create(key_type="SERVICE", name="n", organizations=[one | {"spaces": more}])[0] == 201
        costs.append(len(queries) - spaces)

    assert costs[0] == costs[1]


# Refreshing


def test_refresh_is_answered_to_the_letter(cast: Cast, by: As) -> None:
    """Contract rest-v2 §5.3: no bot, also for service keys."""
    bob = by(cast.bob)
    old = service_key(cast.bob, cast.production, name="svc", description="d")

    status, body = bob.refresh(old.key)

    assert status == 200
    assert body == {
        "id": old.key.wire_id,
        "name": "svc",
        "description": "d",
        "key_type": "SERVICE",
        "status": "ACTIVE",
        "redacted_key": f"{body['key'][:6]}...{body['key'][-3:]}",
        "created_at": old.key.created_at.isoformat().replace("+00:00", "Z"),
        "created_by_user_id": encode_id("User", cast.bob.pk),
        "key": body["key"],
    }


def test_refresh_without_a_body_counts_as_an_empty_one(cast: Cast, by: As, client: Client) -> None:
    bob = by(cast.bob)
    place = f"{LIST}/{user_key(cast.bob, cast.account).key.wire_id}/refresh"
    headers = {"authorization": f"Bearer {bob.key.plaintext}"}

    assert client.generic("POST", place, b"", content_type="", headers=headers).status_code == 200


def test_refresh_with_grace_keeps_the_old_secret_for_a_while(cast: Cast, by: As, client: Client) -> None:
    bob, old = by(cast.bob), user_key(cast.bob, cast.account)

    status, body = bob.refresh(old.key, grace_period_seconds=86400)

    assert status == 200
    assert Caller(client, old).works()
    assert Caller(client, NewKey(old.key, body["key"])).works()


@pytest.mark.parametrize("grace", [{}, {"grace_period_seconds": 0}])
def test_refresh_without_grace_ends_the_old_secret_at_once(
    cast: Cast, by: As, client: Client, grace: dict[str, int]
) -> None:
    bob, old = by(cast.bob), user_key(cast.bob, cast.account)

    bob.refresh(old.key, **grace)

    assert not Caller(client, old).works()


@pytest.mark.parametrize(
    "body",
    [
        {"grace_period_seconds": -1},
        {"grace_period_seconds": 86401},
        {"grace_period_seconds": "60"},
        {"grace_period_seconds": 60.5},
        {"grace_period_seconds": True},
        {"grace_period_seconds": None},
        {"grace_period_seconds": 10**30},
        {"expires_at": None},
        {"expires_at": 5},
        {"name": "new"},
        {"key": "x"},
    ],
)
def test_refresh_of_another_shape_is_refused(cast: Cast, by: As, client: Client, body: dict[str, Any]) -> None:
    bob, old = by(cast.bob), user_key(cast.bob, cast.account)

    assert bob.refresh(old.key, **body)[0] == 400
    assert Caller(client, old).works()


def test_an_integer_may_have_a_point(cast: Cast, by: As) -> None:
    """To JSON Schema 60.0 is an integer, and some languages write no other."""
    old = user_key(cast.bob, cast.account)

    assert by(cast.bob).refresh(old.key, grace_period_seconds=60.0)[0] == 200


def test_refresh_of_a_bounded_key_needs_an_end_no_later(cast: Cast, by: As) -> None:
    """Contract rest-v2 §12.2."""
    bob = by(cast.bob)
    key = user_key(cast.bob, cast.account, expires_at=later(days=2)).key

    assert bob.refresh(key)[0] == 422
    assert bob.refresh(key, expires_at=later(days=3).isoformat())[0] == 422
    assert bob.refresh(key, expires_at=later(days=-1).isoformat())[0] == 422
    assert bob.refresh(key, expires_at=later(days=1).isoformat())[0] == 200


def test_refresh_of_a_revoked_key_is_against_the_rules(cast: Cast, by: As) -> None:
    bob = by(cast.bob)
    key = user_key(cast.bob, cast.account).key
    bob.revoke(key)

    assert bob.refresh(key)[0] == 422


@pytest.mark.parametrize(
    ("who", "whose", "status"),
    [
        ("alice", "a user key of bob", 200),
        ("bob", "a user key of bob", 200),
        ("charlie", "a user key of bob", 404),
        ("mallory", "a user key of bob", 404),
        ("alice", "a service key of bob", 200),
        ("bob", "a service key of bob", 200),
        ("bob", "a service key of alice", 403),
        ("charlie", "a service key of bob", 404),
        ("erin", "a service key of bob", 404),
        ("mallory", "a service key of bob", 404),
    ],
)
def test_who_may_refresh_and_revoke(cast: Cast, by: As, who: str, whose: str, status: int) -> None:
    """Security 26: to whoever may not read a key it is not there."""
    key = {
        "a user key of bob": lambda: user_key(cast.bob, cast.account),
        "a service key of bob": lambda: service_key(cast.bob, cast.production),
        "a service key of alice": lambda: service_key(cast.alice, cast.production),
    }[whose]().key
    caller = by(getattr(cast, who))

    assert caller.refresh(key)[0] == status
    assert caller.revoke(key) == (204 if status == 200 else status)


def test_developer_access_is_asked_for(cast: Cast, by: As) -> None:
    """Contract rest-v2 §12.6. Revoking is always possible: it only ever takes away."""
    bob, key = by(cast.bob), user_key(cast.bob, cast.account).key
    AccountBinding.objects.filter(user=cast.bob).update(is_developer=False)

    refusals = [
        bob.create(key_type="USER", name="n"),
        bob.create(key_type="SERVICE", name="n", organizations=_scopes(cast)),
        bob.refresh(key),
    ]

    assert {(status, body["error_code"]) for status, body in refusals} == {(403, "developer_access_off")}
    assert bob.works()
    assert bob.revoke(key) == 204


def test_lock_stops_user_keys_at_the_door(cast: Cast, by: As, client: Client) -> None:
    """Contract rest-v2 §14.3."""
    alice, bot = by(cast.alice), Caller(client, service_key(cast.alice, cast.production, account_role=RoleName.ADMIN))
    Account.objects.filter(pk=cast.account.pk).update(developer_access_locked=True)

    assert alice.listed()[0] == 403
    assert bot.works()
    assert bot.create(key_type="SERVICE", name="n", organizations=_scopes(cast))[0] == 403
    assert bot.refresh(bot.key.key)[0] == 403


# Revoking


def test_revoking_is_final_immediate_and_repeatable(cast: Cast, by: As, client: Client) -> None:  # security 26
    bob, new = by(cast.bob), service_key(cast.bob, cast.production)
    assert Caller(client, new).works()

    assert bob.revoke(new.key) == 204
    assert not Caller(client, new).works()
    assert bob.revoke(new.key) == 204
    assert AuditEvent.objects.filter(tag="key:revoke", target_id=new.key.pk).count() == 1


def test_key_may_revoke_itself(cast: Cast, by: As) -> None:
    bob = by(cast.bob)

    assert bob.revoke(bob.key.key) == 204
    assert not bob.works()


def test_scope_of_a_refusal_is_named(cast: Cast, by: As, client: Client) -> None:  # security 23
    headers = {"authorization": f"Bearer {by(cast.charlie).key.plaintext}"}
    body = {"key_type": "SERVICE", "name": "n", "organizations": _scopes(cast)}

    response = client.post(LIST, body, content_type="application/json", headers=headers)

    assert response["WWW-Authenticate"] == (
        'Bearer realm="arizekeys", error="insufficient_scope", scope="SERVICE_KEY_CREATE"'
    )


def test_key_that_is_gone_and_key_that_never_was_look_the_same(cast: Cast, by: As) -> None:  # security 26
    bob = by(cast.bob)
    hidden = service_key(cast.erin, cast.vision_lab).key

    there, nowhere = (bob.refresh(key)[1] for key in (hidden, ApiKey(pk=10**12)))

    assert there.pop("instance") != nowhere.pop("instance")
    assert there == nowhere


# Explaining, which the vendor's API has not


def test_explanation_says_what_decided(cast: Cast, client: Client) -> None:
    caller = Caller(client, user_key(cast.alice, cast.account))
    new = service_key(cast.alice, cast.production, role=RoleName.READ_ONLY)
    place = f"{LIST}/{new.key.wire_id}/explain"
    asked = {"space_id": encode_id("Space", cast.production.pk), "permission": "DATASET_CREATE"}

    response = client.get(place, asked, headers=caller._headers())

    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    told = response.json()
    facts = told.pop("facts")
    assert told == {
        "api_key_id": new.key.wire_id,
        **asked,
        "allowed": False,
        "outcome": "FORBIDDEN",
        "status": 403,
        "says": "The key may not DATASET_CREATE in production.",
    }
    assert [fact["fact"] for fact in facts if fact["decided"]] == ["PERMISSION"]
    assert facts[-2] == {
        "fact": "SPACE_ROLE",
        "verdict": "SILENT",
        "decided": False,
        "says": "Read-Only Member in production, which does not permit DATASET_CREATE.",
        "role": {"type": "PREDEFINED", "name": "READ_ONLY"},
    }
    assert not AuditEvent.objects.filter(actor_id=cast.alice.pk, tag=Tag.ACCESS_REFUSED).exists()


def test_explanation_of_the_secret_before_and_of_an_organization(cast: Cast, client: Client) -> None:
    caller = Caller(client, user_key(cast.alice, cast.account))
    new = user_key(cast.bob, cast.account)
    place = f"{LIST}/{new.key.wire_id}/explain"

    def ask(**asked: str) -> tuple[int, Any]:
        response = client.get(place, asked, headers=caller._headers())
        return response.status_code, response.json()

    assert ask(secret="PREVIOUS")[0] == 404
    caller.refresh(new.key)

    assert ask()[1]["outcome"] == "ALLOWED"
    assert ask(secret="PREVIOUS")[1]["outcome"] == "REFUSED"
    organization = encode_id("Organization", cast.fraud.pk)
    assert ask(organization_id=organization)[1]["organization_id"] == organization
    both = ask(organization_id=organization, space_id=encode_id("Space", cast.production.pk))
    assert (both[0], both[1]["error_code"]) == (400, "incompatible")
    assert ask(permission="FLY")[0] == 400
