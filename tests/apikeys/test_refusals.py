"""Keys that were turned away: in the log of their account, soon, and however many there were."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import DataError, OperationalError
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts import audit, repeats
from accounts.actors import Actor, Door
from accounts.audit import Tag
from accounts.models import AuditEvent, User
from accounts.people import remove_person
from accounts.tenancy import change_account
from accounts.trail import tell, visible_events
from apikeys import refusals, tokens
from apikeys.epochs import Epochs
from apikeys.errors import InvalidKey, Reason
from apikeys.forward_auth import ForwardAuth
from apikeys.lifecycle import NewKey, refresh_key, revoke_key
from apikeys.limits import Limiter
from apikeys.usage import Uses
from apikeys.verification import verify
from tests.cast import Cast
from tests.factories import user_key

pytestmark = pytest.mark.django_db

LIST = "/v2/api-keys"


def present(client: Client, plaintext: str) -> int:
    return client.get(LIST, headers={"authorization": f"Bearer {plaintext}"}).status_code


def told() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(tag=Tag.KEY_REFUSED).order_by("pk"))


def wrong(new: NewKey) -> str:
    """The key's public id with another secret."""
    return tokens.KeyText(tokens.parse(new.plaintext).public_id, tokens.mint().secret).plaintext


def test_a_revoked_key_that_is_still_used_is_in_the_log(cast: Cast, client: Client) -> None:
    new = user_key(cast.bob, cast.account, "laptop")
    revoke_key(cast.actor(cast.alice), new.key, at=timezone.now())

    assert present(client, new.plaintext) == 401

    (event,) = told()
    assert (event.account_id, event.outcome, event.door, event.ip) == (cast.account.pk, "REFUSED", "rest", "127.0.0.1")
    assert (event.target_type, event.target_id, event.target_label) == ("ApiKey", new.key.pk, str(new.key))
    assert (event.key_id, event.actor_id, event.actor_label) == (new.key.pk, None, "whoever has the key")
    assert event.operation_name == "GET /v2/api-keys"
    assert event.details == {"reason": "revoked", "said": "The key is revoked.", "times": 1}
    row = tell(event, ip=event.ip)
    assert (row.action, row.facts) == ("Key turned away", [("Refused", "The key is revoked."), ("How often", "1")])


def test_a_wrong_secret_is_nobody_s_who_has_the_key(cast: Cast, client: Client) -> None:
    new = user_key(cast.bob, cast.account)

    assert present(client, wrong(new)) == 401

    (event,) = told()
    assert (event.key_id, event.target_id, event.actor_label) == (None, new.key.pk, "somebody unknown")
    assert event.details["reason"] == "wrong secret"


def test_every_reason_there_is_has_its_words() -> None:
    assert set(refusals._SAID) == set(Reason) - {Reason.MALFORMED, Reason.UNKNOWN}


def test_other_reasons_are_told_apart(cast: Cast, client: Client) -> None:
    at = timezone.now()
    refreshed = user_key(cast.bob, cast.account)
    refresh_key(cast.actor(cast.bob), refreshed.key, at=at)
    expired = user_key(cast.bob, cast.account, at=at - timedelta(days=2), expires_at=at - timedelta(days=1))
    inactive = user_key(cast.charlie, cast.account)
    User.objects.filter(pk=cast.charlie.pk).update(is_active=False)
    removed = user_key(cast.erin, cast.account)
    remove_person(cast.actor(cast.alice), user=cast.erin, at=at)

    for new in (refreshed, expired, inactive, removed):
        assert present(client, new.plaintext) == 401

    assert [event.details["reason"] for event in told()] == [
        "secret replaced by a refresh",
        "expired",
        "owner deactivated",
        "revoked",
    ]


def test_its_owner_sees_it_and_others_do_not(cast: Cast, client: Client) -> None:
    new = user_key(cast.bob, cast.account)

    present(client, wrong(new))

    for who, number in ((cast.bob, 1), (cast.alice, 1), (cast.charlie, 0)):
        assert visible_events(cast.actor(who)).filter(tag=Tag.KEY_REFUSED).count() == number


@pytest.mark.parametrize("presented", ["ak-short", "rubbish", "ak-" + "a" * 61])
def test_what_is_no_key_of_anybody_s_fills_no_log(cast: Cast, client: Client, presented: str) -> None:
    assert present(client, presented) == 401
    assert present(client, tokens.mint().plaintext) == 401

    assert told() == []


def test_a_flood_is_one_event_and_then_its_number(cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    new, now = user_key(cast.bob, cast.account), 1000.0
    monkeypatch.setattr(repeats, "monotonic", lambda: now)

    for _ in range(50):
        present(client, wrong(new))
    now += refusals.INTERVAL_SECONDS
    present(client, wrong(new))

    assert [event.details["times"] for event in told()] == [1, 50]


def test_nothing_is_written_before_the_answer_is_out(cast: Cast, client: Client) -> None:
    """Security 8: a key that is there must not take longer than one that is not."""
    new = user_key(cast.bob, cast.account)
    presented = tokens.parse(wrong(new))
    with pytest.raises(InvalidKey) as refusal:
        verify(presented.plaintext, at=timezone.now())
    assert refusals.note_refusal(refusal.value, door=Door.REST, ip=None, at=timezone.now())
    assert told() == []

    refusals.flush()

    assert len(told()) == 1


def test_what_cannot_be_written_is_kept(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    new = user_key(cast.bob, cast.account)
    refusals.note_refusal(
        InvalidKey(Reason.REVOKED, key_id=new.key.pk), door=Door.VERIFY, ip="192.0.2.7", at=timezone.now()
    )

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as broken:
        broken.setattr(refusals, "record", fail)
        refusals.flush()
    assert told() == []
    refusals.flush()

    assert [(event.door, event.ip) for event in told()] == [("verify", "192.0.2.7")]


def test_a_body_that_cannot_be_stored_hides_nothing(cast: Cast, client: Client) -> None:
    new = user_key(cast.bob, cast.account)
    revoke_key(cast.actor(cast.alice), new.key, at=timezone.now())
    headers = {"authorization": f"Bearer {new.plaintext}"}

    answer = client.post(LIST, r'{"a\u0000": "\ud800"}', content_type="application/json", headers=headers)

    assert answer.status_code == 401
    assert [event.operation_text for event in told()] == ['{"a\\u0000": "\ufffd"}']


@pytest.mark.parametrize("error", [DataError("no such value"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no")])
def test_one_that_nobody_could_write_stops_nothing_behind_it(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for kind in (Door.REST, Door.VERIFY):
        new = user_key(cast.bob, cast.account)
        refusals.note_refusal(InvalidKey(Reason.REVOKED, key_id=new.key.pk), door=kind, ip=None, at=timezone.now())

    def record(bearer: Actor, *what: Any, **more: Any) -> None:
        if bearer.door is Door.REST:
            raise error
        audit.record(bearer, *what, **more)

    monkeypatch.setattr(refusals, "record", record)
    refusals.flush()

    assert [event.door for event in told()] == ["verify"]


def test_the_answer_gives_nothing_of_it_away(cast: Cast, client: Client) -> None:
    new = user_key(cast.bob, cast.account)
    headers = {"authorization": f"Bearer {wrong(new)}"}
    unknown = {"authorization": f"Bearer {tokens.mint().plaintext}"}

    one, other = client.get(LIST, headers=headers), client.get(LIST, headers=unknown)

    assert one.content == other.content
    assert dict(one.headers) == dict(other.headers)


def test_a_key_behind_the_developer_lock_is_in_the_log_with_its_person(cast: Cast, client: Client) -> None:
    new = user_key(cast.bob, cast.account)
    change_account(cast.actor(cast.alice), developer_access_locked=True, max_key_lifetime_days=None, at=timezone.now())

    for _ in range(3):
        assert present(client, new.plaintext) == 403

    (event,) = AuditEvent.objects.filter(outcome="REFUSED")
    assert (event.tag, event.actor_id, event.key_id) == (Tag.ACCESS_REFUSED, cast.bob.pk, new.key.pk)
    assert event.details["reason"] == "developer_access_locked"


def test_the_fast_door_waits_for_no_log(cast: Cast, tmp_path: Path, rf: RequestFactory) -> None:
    """It only remembers; a thread of the process writes, which here is called by hand."""
    new = user_key(cast.bob, cast.account)
    revoke_key(cast.actor(cast.alice), new.key, at=timezone.now())
    door = ForwardAuth(Epochs(tmp_path / "epochs"), Limiter(tmp_path / "limits"), Uses())
    environ = rf.get("/verify", headers={"authorization": f"Bearer {new.plaintext}"}).environ
    statuses: list[str] = []

    for _ in range(3):
        door(environ, lambda status, headers: statuses.append(status))
    assert statuses == ["401 Unauthorized"] * 3
    assert told() == []
    refusals.flush()

    assert [(event.door, event.details["reason"], event.ip) for event in told()] == [("verify", "revoked", "127.0.0.1")]
