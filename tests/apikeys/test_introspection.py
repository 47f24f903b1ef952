"""``/introspect`` (RFC 7662): what a key is, for those who may know of it, and one and the same answer for all else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from accounts.audit import Tag
from accounts.models import Account, AccountBinding, AuditEvent, SpaceBinding, User
from accounts.roles import RoleName
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from apikeys.lifecycle import NewKey, refresh_key, revoke_key
from apikeys.models import ApiKey, KeySecret, KeyUse
from tests.cast import Cast
from tests.factories import custom_role, later, service_key, user_key
from tests.test_secrets import everything_stored

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.django_db

PLACE = "/introspect"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def gateway(cast: Cast) -> NewKey:
    """The key of a service in production and nowhere else."""
    return service_key(cast.alice, cast.production, name="gateway")


def _send(fields: Any, headers: dict[str, str], *, kind: str = FORM, place: str = PLACE) -> Answer:
    return Client().post(place, urlencode(fields), content_type=kind, headers=headers)


def _bearer(new: NewKey) -> dict[str, str]:
    return {"authorization": f"Bearer {new.plaintext}"}


def _ask(asker: NewKey, token: str, **fields: str) -> Any:
    answer = _send({"token": token, **fields}, _bearer(asker))
    assert answer.status_code == 200, answer.content
    assert answer["Cache-Control"] == "no-store"
    return answer.json()


def test_what_a_service_key_is(cast: Cast, gateway: NewKey) -> None:
    role = custom_role(cast.account, "reads", "SPACE_READ", "DATASET_READ")
    new = service_key(cast.alice, cast.production, name="export", role=role, expires_at=later(days=3))
    SpaceBinding.objects.filter(user=new.key.owner).exclude(permission__role=role).delete()
    secret = KeySecret.objects.get(key=new.key)
    ends = ApiKey.objects.get(pk=new.key.pk).expires_at
    assert ends is not None

    told = _ask(gateway, new.plaintext, space_id=encode_id("Space", cast.production.pk), token_type_hint="whatever")

    scope = told.pop("scope").split(" ")
    assert {"SPACE_READ", "DATASET_READ"} <= set(scope) <= set(Permission)
    assert scope == sorted(set(scope))
    assert "DATASET_CREATE" not in scope
    assert told == {
        "active": True,
        "client_id": new.key.wire_id,
        "username": new.key.owner.name,
        "token_type": "Bearer",
        "exp": int(ends.timestamp()),
        "iat": int(secret.created_at.timestamp()),
        "sub": encode_id("User", new.key.owner_id),
        "iss": "http://testserver",
        "key_type": "SERVICE",
        "account_id": encode_id("Account", cast.account.pk),
        "space_id": encode_id("Space", cast.production.pk),
    }


def test_a_user_key_is_known_to_its_owner_and_to_account_admins(cast: Cast, gateway: NewKey) -> None:
    new = user_key(cast.bob, cast.account)

    for asker in (new, user_key(cast.alice, cast.account)):
        told = _ask(asker, new.plaintext)
        assert (told["active"], told["username"], told["key_type"]) == (True, "bob@example.com", "USER")
        assert told["scope"] == "ROLE_READ USER_CREATE USER_READ"  # what he may in the account
        assert {"exp", "space_id"}.isdisjoint(told)
    assert _ask(gateway, new.plaintext) == {"active": False}


def test_the_end_of_grace_is_the_end(cast: Cast, gateway: NewKey) -> None:
    new = service_key(cast.alice, cast.production)
    refresh_key(cast.actor(cast.alice), new.key, grace=timedelta(hours=1), at=timezone.now())

    told = _ask(gateway, new.plaintext)

    ends = KeySecret.objects.get(key=new.key, superseded_at__isnull=False).ends_at
    assert ends is not None
    assert told["exp"] == int(ends.timestamp())


def _revoked(cast: Cast, new: NewKey) -> str:
    revoke_key(cast.actor(cast.alice), new.key, at=timezone.now())
    return new.plaintext


def _expired(cast: Cast, new: NewKey) -> str:
    ApiKey.objects.filter(pk=new.key.pk).update(created_at=later(days=-2), expires_at=later(days=-1))
    return new.plaintext


def _superseded(cast: Cast, new: NewKey) -> str:
    refresh_key(cast.actor(cast.alice), new.key, at=timezone.now())
    return new.plaintext


def _inactive(cast: Cast, new: NewKey) -> str:
    User.objects.filter(pk=new.key.owner_id).update(is_active=False)
    return new.plaintext


def _unbound(cast: Cast, new: NewKey) -> str:
    SpaceBinding.objects.filter(user=new.key.owner_id).delete()
    return new.plaintext


def _removed(cast: Cast, new: NewKey) -> str:
    AccountBinding.objects.filter(user=new.key.owner_id).delete()
    return new.plaintext


NOT_ACTIVE: dict[str, Callable[[Cast, NewKey], str]] = {
    "unknown": lambda cast, new: new.plaintext[:3] + "0" * 61,
    "malformed": lambda cast, new: "no key at all",
    "truncated": lambda cast, new: new.plaintext[:-1],
    "padded": lambda cast, new: f" {new.plaintext}",
    "no text": lambda cast, new: f"{new.plaintext}\x00",
    "revoked": _revoked,
    "expired": _expired,
    "superseded": _superseded,
    "inactive": _inactive,
    "unbound": _unbound,
    "removed": _removed,
    "another person's": lambda cast, new: user_key(cast.bob, cast.account).plaintext,
    "of a space it cannot see": lambda cast, new: service_key(cast.erin, cast.vision_lab).plaintext,
    "of another account": lambda cast, new: service_key(cast.mallory, cast.elsewhere).plaintext,
}


def test_everything_else_is_one_answer(cast: Cast, gateway: NewKey) -> None:  # security 9 and 25
    answers = []
    for why, made in NOT_ACTIVE.items():
        token = made(cast, service_key(cast.alice, cast.production, name=why))
        answer = _send({"token": token}, _bearer(gateway))
        answers.append((answer.status_code, answer.content, tuple(sorted(answer.headers.items()))))

    assert set(answers) == {answers[0]}
    assert answers[0][:2] == (200, b'{"active":false}')


def test_a_user_key_is_not_active_while_the_lock_is_on(cast: Cast) -> None:
    admin = service_key(cast.alice, cast.production, account_role=RoleName.ADMIN)
    new = user_key(cast.bob, cast.account)
    assert _ask(admin, new.plaintext)["active"]

    Account.objects.filter(pk=cast.account.pk).update(developer_access_locked=True)

    assert _ask(admin, new.plaintext) == {"active": False}
    assert _ask(admin, admin.plaintext)["active"]


def test_of_a_space_where_the_key_does_not_get_in(cast: Cast) -> None:
    """RFC 7662 §4: what cannot be used where it is asked about is not active there."""
    asker, new = user_key(cast.alice, cast.account), service_key(cast.alice, cast.production)

    def active(place: str) -> bool:
        return bool(_ask(asker, new.plaintext, space_id=place)["active"])

    assert active(encode_id("Space", cast.production.pk))
    assert active(encode_id("Space", cast.staging.pk))  # public, and its bot is in the organization
    assert not active(encode_id("Space", cast.vision_lab.pk))
    assert not active(encode_id("Space", cast.elsewhere.pk))
    assert not active(encode_id("Space", 10**9))


def test_the_asker_says_who_it_is(cast: Cast, gateway: NewKey) -> None:  # security 23 and 25
    token = {"token": service_key(cast.alice, cast.production).plaintext}

    nobody, rubbish = _send(token, {}), _send(token, {"authorization": "Bearer ak-nonsense"})

    assert (nobody.status_code, nobody["WWW-Authenticate"]) == (401, 'Bearer realm="arizekeys"')
    assert (rubbish.status_code, rubbish["WWW-Authenticate"]) == (
        401,
        'Bearer realm="arizekeys", error="invalid_token"',
    )
    reader = _send(token, _bearer(user_key(cast.charlie, cast.account)))
    assert reader.status_code == 403
    assert reader["WWW-Authenticate"] == (
        'Bearer realm="arizekeys", error="insufficient_scope", scope="SERVICE_KEY_READ"'
    )


def test_forms_only(cast: Cast, gateway: NewKey) -> None:  # security 25
    headers, token = _bearer(gateway), service_key(cast.alice, cast.production).plaintext

    assert Client().get(PLACE, headers=headers).status_code == 405
    json_body = Client().post(PLACE, {"token": token}, content_type="application/json", headers=headers)
    assert json_body.status_code == 400
    assert FORM in json_body.json()["detail"]
    for fields in ({}, {"token": ""}, [("token", "a"), ("token", "b")], {"token": token, "space_id": "x"}):
        assert _send(fields, headers).status_code == 400
    assert _send({"token": token, "client_secret": "x", "space_id": ""}, headers).json()["active"]


def test_a_key_elsewhere_in_the_request_is_refused_and_marked(cast: Cast, gateway: NewKey) -> None:  # security 27
    for number, place in enumerate(("query", "other field", "second token", "parts", "cookie")):
        new = service_key(cast.alice, cast.production, name=f"key {number}")
        headers, key = _bearer(gateway), new.plaintext
        answer = {
            "query": lambda h=headers, k=key: _send({"token": "x"}, h, place=f"{PLACE}?token={k}"),
            "other field": lambda h=headers, k=key: _send({"token": "x", "key": k}, h),
            "second token": lambda h=headers, k=key: _send([("token", "x"), ("token", k)], h),
            "parts": lambda h=headers, k=key: Client().post(PLACE, {"token": k}, headers=h),
            "cookie": lambda h=headers, k=key: _send({"token": "x"}, {**h, "cookie": f"token={k}"}),
        }[place]()

        assert (place, answer.status_code) == (place, 400)
        assert ApiKey.objects.get(pk=new.key.pk).exposed_at is not None, place


def test_asking_is_no_use_of_the_key(cast: Cast, gateway: NewKey) -> None:
    new = service_key(cast.alice, cast.production)

    assert _ask(gateway, new.plaintext)["active"]

    assert not KeyUse.objects.filter(key=new.key).exists()
    assert KeyUse.objects.filter(key=gateway.key).exists()
    assert ApiKey.objects.get(pk=new.key.pk).exposed_at is None


def test_the_form_is_written_nowhere(
    cast: Cast, gateway: NewKey, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:  # security 3, 41 and 45
    caplog.set_level(logging.DEBUG)
    living, dead = (service_key(cast.alice, cast.production, name=name) for name in ("living", "dead"))
    revoke_key(cast.actor(cast.alice), dead.key, at=timezone.now())

    for new in (living, dead):
        for asker in (gateway, user_key(cast.charlie, cast.account)):
            _send({"token": new.plaintext}, _bearer(asker))

    stored = everything_stored()
    assert not [new for new in (living, dead) for part in (new.plaintext, new.plaintext[15:58]) if part in stored]
    assert not [new for new in (living, dead) if new.plaintext[15:58] in caplog.text]
    told = AuditEvent.objects.get(tag=Tag.KEY_REFUSED)
    assert (told.target_id, told.operation_name, told.operation_text) == (dead.key.pk, f"POST {PLACE}", "")
