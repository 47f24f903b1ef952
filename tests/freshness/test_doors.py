"""Whoever takes something away is answered after it holds everywhere: through every door, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from apikeys import following
from apikeys.epochs import Epochs
from apikeys.following import Follower, settle
from apikeys.forward_auth import ForwardAuth
from apikeys.lifecycle import NewKey, revoke_key
from apikeys.limits import Limiter
from apikeys.models import ApiKey, Verifier
from apikeys.usage import Uses
from tests.asking import Asker
from tests.cast import Cast, assemble
from tests.factories import user_key
from tests.freshness.hosts import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Ask = Callable[[NewKey], int]
BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def everybody() -> Cast:
    """The cast, committed."""
    return assemble()


@pytest.fixture
def verify(tmp_path: Path) -> Iterator[Ask]:
    """The door that remembers, with the thread that keeps it honest."""
    epochs = Epochs(tmp_path / "epochs")
    follower = Follower(epochs)
    follower.start()
    wait_until(lambda: epochs.holds(epochs.stamp(())))
    door = ForwardAuth(epochs, Limiter(tmp_path / "limits"), Uses())

    def ask(new: NewKey) -> int:
        said: list[str] = []
        environ = RequestFactory().get("/verify", headers={"x-api-key": new.plaintext}).environ
        door(environ, lambda status, headers: said.append(status))
        return int(said[0].split()[0])

    yield ask
    follower.end()
    follower.join(timeout=60)
    epochs.close()


def _rest(cast: Cast, new: NewKey) -> Any:
    key = user_key(cast.bob, cast.account).plaintext
    return Client(raise_request_exception=False).put(
        f"/v2/api-keys/{new.key.wire_id}/revoke", headers={"x-api-key": key}
    )


def _graphql(cast: Cast, new: NewKey) -> Any:
    text = "mutation ($id: ID!) { revokeApiKey(input: {apiKeyId: $id}) { clientMutationId } }"
    return Asker(user_key(cast.bob, cast.account), Client(raise_request_exception=False)).post(text, id=new.key.wire_id)


def _page(cast: Cast, new: NewKey) -> Any:
    client = Client(raise_request_exception=False)
    client.force_login(cast.bob, BACKEND)
    return client.post(f"/settings/api-keys/{new.key.wire_id}/revoke/")


def _admin(cast: Cast, new: NewKey) -> Any:
    operator = User.objects.create_superuser("operator@example.com", "correct horse battery staple", name="Olga")
    client = Client(raise_request_exception=False)
    client.force_login(operator, BACKEND)
    form = {"action": "revoke", "_selected_action": [new.key.pk], "confirmed": "yes"}
    return client.post("/admin/apikeys/apikey/", form)


DOORS = {"REST": (_rest, 204), "GraphQL": (_graphql, 200), "page": (_page, 302), "admin": (_admin, 302)}


@pytest.mark.parametrize("in_one_transaction", [False, True])
@pytest.mark.parametrize("door", DOORS)
def test_every_door_answers_after_it_holds_and_says_how_long_that_took(
    everybody: Cast, verify: Ask, door: str, in_one_transaction: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoke, status = DOORS[door]
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", in_one_transaction)
    new = user_key(everybody.bob, everybody.account)
    assert [verify(new) for _ in range(2)] == [204, 204]

    answer = revoke(everybody, new)

    assert answer.status_code == status, answer.content
    assert verify(new) == 401
    assert answer["Server-Timing"].startswith("settle;dur=")


def test_who_changes_nothing_is_told_of_no_waiting(everybody: Cast) -> None:
    key = user_key(everybody.bob, everybody.account).plaintext

    assert "Server-Timing" not in Client().get("/v2/api-keys", headers={"x-api-key": key})


@pytest.mark.parametrize("again", [False, True])
def test_the_command_ends_after_it_holds_also_for_what_was_revoked_before(
    everybody: Cast, verify: Ask, again: bool
) -> None:
    new = user_key(everybody.bob, everybody.account)
    assert [verify(new) for _ in range(2)] == [204, 204]
    if again:  # by somebody who did not wait for anybody
        ApiKey.objects.filter(pk=new.key.pk).update(revoked_at=timezone.now())

    call_command("revokekey", new.key.wire_id, "--yes", stdout=StringIO())

    assert verify(new) == 401


def test_verbs_in_one_transaction_settle_after_it(everybody: Cast, verify: Ask) -> None:
    keys = [user_key(everybody.bob, everybody.account) for _ in range(2)]
    for new in keys:
        assert [verify(new) for _ in range(2)] == [204, 204]

    with transaction.atomic(), following.watched() as spent:
        for new in keys:
            revoke_key(everybody.actor(everybody.bob), new.key, at=timezone.now())
        assert [verify(new) for new in keys] == [204, 204]
        assert spent == []

    assert [verify(new) for new in keys] == [401, 401]


def _gone(execute: Any, sql: str, *rest: Any) -> Any:
    """Lose the database after the commit."""
    if "apikeys_fence" in sql:
        raise OperationalError("server closed the connection unexpectedly")
    return execute(sql, *rest)


@pytest.mark.parametrize("door", DOORS)
def test_who_cannot_be_told_that_it_holds_is_told_so(
    everybody: Cast, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LONGEST", 0.0)
    new = user_key(everybody.bob, everybody.account)
    caller = user_key(everybody.bob, everybody.account)
    monkeypatch.setattr(f"{__name__}.user_key", lambda *_: caller)

    with connection.execute_wrapper(_gone):
        answer = DOORS[door][0](everybody, new)

    assert answer.status_code == 503
    assert "It was done" in answer.content.decode()
    assert int(answer["Retry-After"]) >= 3
    assert ApiKey.objects.get(pk=new.key.pk).revoked_at is not None


def test_the_command_says_so_too(everybody: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LONGEST", 0.0)
    new = user_key(everybody.bob, everybody.account)

    with connection.execute_wrapper(_gone), pytest.raises(CommandError, match="It was done"):
        call_command("revokekey", new.key.wire_id, "--yes")

    assert ApiKey.objects.get(pk=new.key.pk).revoked_at is not None


def test_a_connection_lost_after_the_commit_is_made_anew(everybody: Cast, verify: Ask) -> None:
    new = user_key(everybody.bob, everybody.account)
    assert [verify(new) for _ in range(2)] == [204, 204]
    lost: list[int] = []

    def lose(execute: Any, sql: str, *rest: Any) -> Any:
        if "apikeys_fence" in sql and not lost:
            lost.append(connection.connection.info.backend_pid)
            with psycopg.connect(**following._parameters(), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", lost)
        return execute(sql, *rest)

    with connection.execute_wrapper(lose):
        revoke_key(everybody.actor(everybody.bob), new.key, at=timezone.now())

    assert verify(new) == 401
    assert lost


def _statements_of_settling() -> list[str]:
    with CaptureQueriesContext(connection) as asked:
        settle()
    kinds = {"nextval": "raise", "acknowledged <": "look", "barred = true": "bar", "DELETE": "forget"}
    return [next(kind for part, kind in kinds.items() if part in query["sql"]) for query in asked]


def test_settling_costs_one_statement_when_nobody_remembers() -> None:
    assert not Verifier.objects.exists()

    assert _statements_of_settling() == ["raise"]


@pytest.mark.parametrize("hosts", [1, 50])
def test_settling_costs_two_statements_when_all_have_heard_by_then_however_many_they_are(hosts: int) -> None:
    Verifier.objects.bulk_create(Verifier(name=f"host {number}", acknowledged=0) for number in range(hosts))

    def hear(execute: Any, sql: str, *rest: Any) -> Any:
        """Acknowledge as the hosts would, before the first look."""
        if "acknowledged <" in sql:
            with psycopg.connect(**following._parameters(), autocommit=True) as other:
                other.execute("UPDATE apikeys_verifier SET acknowledged = (SELECT last_value FROM apikeys_fence)")
        return execute(sql, *rest)

    with connection.execute_wrapper(hear):
        assert _statements_of_settling() == ["raise", "look"]


def test_settling_with_a_host_that_follows_costs_a_statement_and_looks(
    verify: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE", 30.0)  # whoever is only slow is not given up
    raised, *others = _statements_of_settling()

    assert raised == "raise"
    assert set(others) == {"look"}


def test_a_host_that_never_answers_is_waited_for_once() -> None:
    Verifier.objects.create(name="gone", acknowledged=0)

    statements = _statements_of_settling()

    assert [kind for kind, _ in groupby(statements)] == ["raise", "look", "bar", "look", "forget"]
    assert (statements.count("bar"), statements.count("forget")) == (1, 1)
    assert not Verifier.objects.exists()
    assert _statements_of_settling() == ["raise"]


def test_the_first_fence_there_is_counts_as_heard_by_nobody() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER SEQUENCE apikeys_fence RESTART")
        cursor.execute(following._LAST_FENCE)
        before = cursor.fetchone()
        cursor.execute("SELECT nextval('apikeys_fence')")
        drawn = cursor.fetchone()
        cursor.execute(following._LAST_FENCE)

        assert (before, drawn, cursor.fetchone()) == ((0,), (1,), (1,))
