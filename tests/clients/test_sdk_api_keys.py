"""The vendor's client 8.61.0, unmodified, against our server: contract rest-v2 §5 as its user lives it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.bindings import unbind_role
from accounts.models import Account, AccountBinding, Organization, Space
from accounts.wire import encode_id
from apikeys.lifecycle import revoke_key
from apikeys.models import ApiKey, KeySecret
from tests.cast import Cast
from tests.clients.libraries import Call, Outcome
from tests.factories import SpaceFactory, custom_role, later, service_key, user_key

pytestmark = pytest.mark.django_db(transaction=True)


def _org(organization: Organization, *spaces: dict[str, Any], role: Any = None) -> dict[str, Any]:
    kwargs: dict[str, Any] = {"org_id": encode_id("Organization", organization.pk), "spaces": list(spaces)}
    return {"$class": "OrgBinding", "kwargs": kwargs | ({"role": role} if role else {})}


def _space(space: str | Space, role: Any = None) -> dict[str, Any]:
    name = space if isinstance(space, str) else encode_id("Space", space.pk)
    return {"$class": "SpaceBinding", "kwargs": {"space": name} | ({"role": role} if role else {})}


def _one_of(wrapper: str, inner: str, **kwargs: str) -> dict[str, Any]:
    return {"$class": wrapper, "args": [{"$class": inner, "kwargs": kwargs}]}


def _space_role(name: str) -> dict[str, Any]:
    return _one_of("SpaceRoleAssignmentRequest", "PredefinedRoleAssignmentRequest", type="PREDEFINED", name=name)


def _custom_space_role(number: int) -> dict[str, Any]:
    return _one_of(
        "SpaceRoleAssignmentRequest", "CustomRoleAssignmentRequest", type="CUSTOM", id=encode_id("Role", number)
    )


def _org_role(name: str) -> dict[str, Any]:
    return _one_of(
        "OrganizationRoleAssignmentRequest",
        "OrganizationPredefinedRoleAssignmentRequest",
        type="PREDEFINED",
        name=name,
    )


def _account_role(name: str) -> dict[str, Any]:
    return _one_of("UserRoleAssignmentRequest", "PredefinedUserRoleAssignmentRequest", type="PREDEFINED", name=name)


def _moment(moment: datetime) -> dict[str, Any]:
    return {"$class": "datetime", "args": [moment.isoformat()]}


def _names(outcome: Outcome) -> list[str]:
    assert not outcome.error, outcome.text
    return [(item.get("actual_instance") or item)["name"] for item in outcome.result["api_keys"]]


def _same_moment(text: str, moment: datetime) -> bool:
    return datetime.fromisoformat(text) == moment


def test_creates_a_user_key_that_works(cast: Cast, sdk: Call, bobs: str) -> None:
    made = sdk(bobs, "api_keys.create", name="laptop")

    assert made.result == {
        "id": made.result["id"],
        "name": "laptop",
        "key_type": "USER",
        "status": "ACTIVE",
        "redacted_key": f"{made.result['key'][:6]}...{made.result['key'][-3:]}",
        "created_at": made.result["created_at"],
        "created_by_user_id": encode_id("User", cast.bob.pk),
        "key": made.result["key"],
    }
    assert _names(sdk(made.result["key"], "api_keys.list")) == ["laptop", "first"]


def test_creates_a_user_key_with_everything_given(sdk: Call, bobs: str) -> None:
    expiry = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)

    made = sdk(bobs, "api_keys.create", name="n", description="Zeile 1\nZeile 2 ✓", expires_at=_moment(expiry))

    assert made.result["description"] == "Zeile 1\nZeile 2 ✓"
    assert _same_moment(made.result["expires_at"], expiry)


def test_naive_expiry_is_utc(sdk: Call, bobs: str) -> None:
    made = sdk(bobs, "api_keys.create", name="n", expires_at=_moment(datetime(2031, 1, 2, 3, 4, 5, 456)))  # noqa: DTZ001

    assert _same_moment(made.result["expires_at"], datetime(2031, 1, 2, 3, 4, 5, 456, tzinfo=UTC))


@pytest.mark.parametrize("by", ["name", "id"])
def test_creates_a_service_key_that_works(cast: Cast, sdk: Call, bobs: str, by: str) -> None:
    space = _space("staging" if by == "name" else cast.staging)

    made = sdk(bobs, "api_keys.create_service_key", name="nightly", orgs=[_org(cast.fraud, space)])

    key = ApiKey.objects.get(name="nightly")
    assert made.result["bot_user"] == {
        "id": encode_id("User", key.owner_id),
        "name": "nightly",
        "account_role": {"type": "PREDEFINED", "name": "MEMBER"},
        "organizations": [
            {
                "org_id": encode_id("Organization", cast.fraud.pk),
                "role": {"type": "PREDEFINED", "name": "READ_ONLY"},
                "spaces": [
                    {
                        "space_id": encode_id("Space", cast.staging.pk),
                        "role": {"type": "PREDEFINED", "name": "MEMBER"},
                    }
                ],
            }
        ],
    }
    assert made.result["created_by_user_id"] == encode_id("User", cast.bob.pk)
    listed = sdk(made.result["key"], "spaces.list")
    assert [space["name"] for space in listed.result["spaces"]] == ["production", "staging"]


def test_creates_a_service_key_across_organizations_with_every_option(cast: Cast, sdk: Call, alices: str) -> None:
    reviewer = custom_role(cast.account, "reviewer", "DATASET_READ")
    expiry = later(days=30)

    made = sdk(
        alices,
        "api_keys.create_service_key",
        name="all",
        description="d",
        expires_at=_moment(expiry),
        account_role=_account_role("ADMIN"),
        orgs=[
            _org(
                cast.fraud,
                _space(cast.production, _space_role("ADMIN")),
                _space("staging", _custom_space_role(reviewer.pk)),
                role=_org_role("MEMBER"),
            ),
            _org(cast.research, _space("vision-lab")),
        ],
    )

    assert not made.error, made.text
    bot = made.result["bot_user"]
    assert bot["account_role"] == {"type": "PREDEFINED", "name": "ADMIN"}
    assert [(one["org_id"], one["role"]["name"]) for one in bot["organizations"]] == [
        (encode_id("Organization", cast.fraud.pk), "MEMBER"),
        (encode_id("Organization", cast.research.pk), "READ_ONLY"),
    ]
    assert [one["role"] for one in bot["organizations"][0]["spaces"]] == [
        {"type": "PREDEFINED", "name": "ADMIN"},
        {"type": "CUSTOM", "id": encode_id("Role", reviewer.pk)},
    ]
    assert _same_moment(made.result["expires_at"], expiry)


def test_lists_own_keys_newest_first_page_by_page(cast: Cast, sdk: Call, bobs: str) -> None:
    for number in range(4):
        user_key(cast.bob, cast.account, name=f"key {number}")
    user_key(cast.charlie, cast.account, name="somebody else's")

    first = sdk(bobs, "api_keys.list", limit=3)
    second = sdk(bobs, "api_keys.list", limit=3, cursor=first.result["pagination"]["next_cursor"])

    assert _names(first) == ["key 3", "key 2", "key 1"]
    assert _names(second) == ["key 0", "first"]
    assert second.result["pagination"] == {"has_more": False}


def test_lists_by_kind_status_space_and_person(cast: Cast, sdk: Call, bobs: str, alices: str) -> None:
    revoke_key(cast.actor(cast.bob), user_key(cast.bob, cast.account, name="gone").key, at=timezone.now())
    service_key(cast.bob, cast.production, name="by bob")
    service_key(cast.alice, cast.production, cast.vision_lab, name="by alice")
    service_key(cast.alice, cast.vision_lab, name="elsewhere")
    bob = encode_id("User", cast.bob.pk)

    assert _names(sdk(bobs, "api_keys.list", key_type="USER")) == ["first"]
    assert _names(sdk(bobs, "api_keys.list", status="REVOKED")) == ["gone"]
    assert _names(sdk(bobs, "api_keys.list", key_type="SERVICE")) == ["by bob"]
    assert _names(sdk(bobs, "api_keys.list", space="production")) == ["by alice", "by bob"]
    assert _names(sdk(bobs, "api_keys.list", space="production", user_id=bob)) == ["by bob"]
    assert _names(sdk(bobs, "api_keys.list", key_type="SERVICE", space="production", status="REVOKED")) == []
    assert _names(sdk(alices, "api_keys.list", user_id=bob)) == ["first"]
    in_space = sdk(bobs, "api_keys.list", space=encode_id("Space", cast.production.pk))
    assert [_instance(item)["bot_user"]["organizations"] for item in in_space.result["api_keys"]] == [[], []]
    own = sdk(bobs, "api_keys.list", key_type="SERVICE").result["api_keys"][0]
    assert len(_instance(own)["bot_user"]["organizations"]) == 1
    refused = sdk(bobs, "api_keys.list", user_id=encode_id("User", cast.alice.pk))
    assert (refused.kind, refused.status) == ("ForbiddenException", 403)


def _instance(item: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = item.get("actual_instance") or item
    return found


def test_refresh_kills_the_old_secret_at_once(sdk: Call, bobs: str) -> None:
    made = sdk(bobs, "api_keys.create", name="rotating").result

    fresh = sdk(bobs, "api_keys.refresh", api_key_id=made["id"])

    assert {name: fresh.result[name] for name in ("id", "name", "key_type", "status")} == {
        "id": made["id"],
        "name": "rotating",
        "key_type": "USER",
        "status": "ACTIVE",
    }
    assert fresh.result["key"] != made["key"]
    assert sdk(made["key"], "api_keys.list").kind == "UnauthorizedException"
    assert _names(sdk(fresh.result["key"], "api_keys.list")) == ["rotating", "first"]


def test_refresh_with_grace_keeps_both_for_a_while(cast: Cast, sdk: Call, bobs: str) -> None:
    made = sdk(bobs, "api_keys.create_service_key", name="s", orgs=[_org(cast.fraud, _space("production"))]).result

    fresh = sdk(bobs, "api_keys.refresh", api_key_id=made["id"], grace_period_seconds=3600)

    assert "bot_user" not in fresh.result
    assert not sdk(made["key"], "spaces.list").error
    assert not sdk(fresh.result["key"], "spaces.list").error
    old = KeySecret.objects.filter(key__name="s", superseded_at__isnull=False)
    old.update(ends_at=timezone.now())  # the hour is over
    assert sdk(made["key"], "spaces.list").kind == "UnauthorizedException"
    assert not sdk(fresh.result["key"], "spaces.list").error


def test_refresh_never_lengthens_a_life(sdk: Call, bobs: str) -> None:
    expiry = later(days=3)
    made = sdk(bobs, "api_keys.create", name="bounded", expires_at=_moment(expiry)).result

    absent = sdk(bobs, "api_keys.refresh", api_key_id=made["id"])
    beyond = sdk(bobs, "api_keys.refresh", api_key_id=made["id"], expires_at=_moment(expiry + timedelta(days=1)))
    within = sdk(bobs, "api_keys.refresh", api_key_id=made["id"], expires_at=_moment(expiry - timedelta(days=1)))

    assert [absent.kind, beyond.kind] == ["UnprocessableEntityException"] * 2
    assert _same_moment(within.result["expires_at"], expiry - timedelta(days=1))


def test_revoked_key_is_dead_when_the_call_returns(sdk: Call, bobs: str) -> None:  # security 26
    made = sdk(bobs, "api_keys.create", name="short-lived").result
    assert not sdk(made["key"], "api_keys.list").error

    first = sdk(bobs, "api_keys.revoke", api_key_id=made["id"])
    dead = sdk(made["key"], "api_keys.list")
    again = sdk(bobs, "api_keys.revoke", api_key_id=made["id"])

    assert [first.error, again.error] == [(), ()]
    assert dead.kind == "UnauthorizedException"


def _refused(outcome: Outcome, kind: str, status: int, title: str, code: str) -> None:
    """Check an exception in full: its class, and the problem document the client parsed out of it."""
    assert (outcome.kind, outcome.status) == (kind, status), outcome.text
    assert "ApiException" in outcome.error
    assert outcome.problem is not None
    assert (outcome.problem["title"], outcome.problem["status"]) == (title, status)
    assert set(outcome.problem) == {"title", "status", "type", "detail", "instance"}
    assert f'"error_code":"{code}"' in (outcome.body or "")


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("api_keys.list", {}),
        ("api_keys.create", {"name": "n"}),
        ("api_keys.refresh", {"api_key_id": encode_id("ApiKey", 1)}),
        ("api_keys.revoke", {"api_key_id": encode_id("ApiKey", 1)}),
        ("spaces.list", {}),
        ("organizations.list", {}),
    ],
)
def test_unknown_key_is_unauthorized_everywhere(cast: Cast, sdk: Call, call: str, arguments: dict[str, Any]) -> None:
    refused = sdk("ak-admin-secret", call, **arguments)

    _refused(refused, "UnauthorizedException", 401, "Authentication required", "invalid_token")
    assert (refused.headers or {})["WWW-Authenticate"] == 'Bearer realm="arizekeys", error="invalid_token"'


def test_malformed_id_is_a_bad_request(cast: Cast, sdk: Call, bobs: str) -> None:
    for outcome in (
        sdk(bobs, "api_keys.revoke", api_key_id="nonsense"),
        sdk(bobs, "api_keys.refresh", api_key_id=encode_id("Space", 1)),
        sdk(bobs, "api_keys.list", user_id=encode_id("ApiKey", 1)),
        sdk(bobs, "api_keys.list", cursor="a b+c/="),
    ):
        _refused(outcome, "BadRequestException", 400, "Invalid request parameters", "invalid")


def test_member_asking_for_an_admin_key_is_told_it_is_above_them(cast: Cast, sdk: Call, bobs: str) -> None:
    refused = sdk(
        bobs,
        "api_keys.create_service_key",
        name="too much",
        orgs=[_org(cast.fraud, _space("production", _space_role("ADMIN")))],
    )

    _refused(refused, "UnprocessableEntityException", 422, "Request not allowed", "role_above_own")


def test_read_only_member_makes_no_service_key(cast: Cast, sdk: Call) -> None:
    charlies = user_key(cast.charlie, cast.account).plaintext

    refused = sdk(charlies, "api_keys.create_service_key", name="n", orgs=[_org(cast.fraud, _space("production"))])

    _refused(refused, "ForbiddenException", 403, "Access forbidden", "forbidden")


def test_annotator_has_no_service_keys_either(cast: Cast, sdk: Call, bobs: str) -> None:
    as_annotator = sdk(
        bobs,
        "api_keys.create_service_key",
        name="n",
        orgs=[_org(cast.fraud, _space("production", _space_role("ANNOTATOR")))],
    )

    _refused(as_annotator, "UnprocessableEntityException", 422, "Request not allowed", "not_allowed")


def test_what_cannot_be_read_is_not_there(cast: Cast, sdk: Call, bobs: str) -> None:
    erins = service_key(cast.erin, cast.vision_lab).key.wire_id
    hidden = _org(cast.research, _space(cast.vision_lab))

    for outcome, code in (
        (sdk(bobs, "api_keys.revoke", api_key_id=erins), "key_not_found"),
        (sdk(bobs, "api_keys.refresh", api_key_id=erins), "key_not_found"),
        (sdk(bobs, "api_keys.list", space=encode_id("Space", cast.vision_lab.pk)), "not_found"),
        (sdk(bobs, "api_keys.create_service_key", name="n", orgs=[hidden]), "not_found"),
        (sdk(bobs, "spaces.get", space=encode_id("Space", cast.vision_lab.pk)), "not_found"),
        (sdk(bobs, "organizations.get", organization=encode_id("Organization", cast.research.pk)), "not_found"),
    ):
        _refused(outcome, "NotFoundException", 404, "Resource not found", code)


def test_reading_a_spaces_keys_takes_more_than_reading_the_space(cast: Cast, sdk: Call) -> None:
    charlies = user_key(cast.charlie, cast.account).plaintext

    refused = sdk(charlies, "api_keys.list", space="production")

    _refused(refused, "ForbiddenException", 403, "Access forbidden", "forbidden")
    assert (refused.headers or {})["WWW-Authenticate"] == (
        'Bearer realm="arizekeys", error="insufficient_scope", scope="SERVICE_KEY_READ"'
    )


def test_space_name_in_two_organizations_is_ambiguous(cast: Cast, sdk: Call, alices: str) -> None:
    SpaceFactory.create(organization=cast.research, name="production")

    refused = sdk(alices, "api_keys.list", space="production")

    assert refused.kind == "AmbiguousNameError"


def test_space_names_resolve_exactly(cast: Cast, sdk: Call, bobs: str) -> None:
    SpaceFactory.create(organization=cast.fraud, name="Production")
    SpaceFactory.create(organization=cast.fraud, name="production-2")

    assert sdk(bobs, "spaces.get", space="production").result["id"] == encode_id("Space", cast.production.pk)
    assert sdk(bobs, "spaces.get", space="product").kind == "NotFoundError"
    assert sdk(bobs, "organizations.get", organization="Fraud & Risk").result["name"] == "Fraud & Risk"


def test_resolution_reads_every_page(cast: Cast, sdk: Call, bobs: str) -> None:
    SpaceFactory.create_batch(101, organization=cast.fraud)
    last = SpaceFactory.create(organization=cast.fraud, name="space-last")

    assert sdk(bobs, "spaces.get", space="space-last").result["id"] == encode_id("Space", last.pk)


def test_spaces_and_organizations_arrive_whole(cast: Cast, sdk: Call, bobs: str) -> None:
    listed = sdk(bobs, "spaces.list", organization_id=encode_id("Organization", cast.fraud.pk), name="PROD", limit=1)

    (space,) = listed.result["spaces"]
    assert {name: space[name] for name in ("organization_id", "name", "description", "is_private")} == {
        "organization_id": encode_id("Organization", cast.fraud.pk),
        "name": "production",
        "description": "",
        "is_private": False,
    }
    assert [one["name"] for one in sdk(bobs, "organizations.list").result["organizations"]] == ["Fraud & Risk"]


def test_hourly_cap_is_a_plain_api_exception(cast: Cast, sdk: Call, bobs: str) -> None:
    Account.objects.filter(pk=cast.account.pk).update(max_keys_per_hour=1)

    refused = sdk(bobs, "api_keys.create", name="one too many")

    assert (refused.kind, refused.status) == ("ApiException", 429)
    assert refused.problem is not None
    assert refused.problem["title"] == "Rate limit exceeded"
    assert 1 <= int((refused.headers or {})["Retry-After"]) <= 60


def test_lock_stops_user_keys_and_leaves_service_keys_alone(cast: Cast, sdk: Call, bobs: str) -> None:
    bots = service_key(cast.bob, cast.production).plaintext
    Account.objects.filter(pk=cast.account.pk).update(developer_access_locked=True)

    _refused(sdk(bobs, "api_keys.list"), "ForbiddenException", 403, "Access forbidden", "developer_access_locked")
    assert not sdk(bots, "spaces.list").error
    _refused(
        sdk(bots, "api_keys.create_service_key", name="n", orgs=[_org(cast.fraud, _space("production"))]),
        "ForbiddenException",
        403,
        "Access forbidden",
        "developer_access_locked",
    )


def test_without_developer_access_no_keys(cast: Cast, sdk: Call, bobs: str) -> None:
    AccountBinding.objects.filter(user=cast.bob).update(is_developer=False)

    refused = sdk(bobs, "api_keys.create", name="n")

    _refused(refused, "ForbiddenException", 403, "Access forbidden", "developer_access_off")


def test_lifetime_limit_of_the_account(cast: Cast, sdk: Call, bobs: str) -> None:
    Account.objects.filter(pk=cast.account.pk).update(max_key_lifetime_days=7)

    unbounded = sdk(bobs, "api_keys.create", name="n")
    beyond = sdk(bobs, "api_keys.create", name="n", expires_at=_moment(later(days=8)))

    assert datetime.fromisoformat(unbounded.result["expires_at"]) - datetime.fromisoformat(
        unbounded.result["created_at"]
    ) == timedelta(days=7)
    _refused(beyond, "UnprocessableEntityException", 422, "Request not allowed", "bad_lifetime")


def test_user_key_follows_its_user_and_service_key_does_not(cast: Cast, sdk: Call, bobs: str) -> None:  # security 18
    bots = service_key(cast.bob, cast.staging).plaintext
    assert not sdk(bobs, "spaces.get", space="staging").error

    unbind_role(cast.actor(cast.alice), user=cast.bob, scope=cast.fraud, at=timezone.now())

    assert sdk(bobs, "spaces.get", space="staging").kind == "NotFoundError"
    assert not sdk(bots, "spaces.get", space="staging").error
