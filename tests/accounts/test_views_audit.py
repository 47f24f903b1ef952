"""The audit log page: who sees what, narrowing it down, telling it in words, and the export."""

from __future__ import annotations

import csv
import io
import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actors import Door, Operation
from accounts.audit import Tag, record
from accounts.bindings import bind_role, predefined, unbind_role
from accounts.models import AuditEvent, User
from accounts.recent import AUTHENTICATED_AT
from accounts.roles import Level, RoleName
from accounts.tenancy import change_account
from accounts.trail import actions, facts, tell
from accounts.wire import encode_id
from apikeys.lifecycle import revoke_key
from tests.cast import Cast
from tests.factories import PersonFactory, bind, service_key, user_key

pytestmark = pytest.mark.django_db

AUDIT = "/settings/audit/"
EXPORT = "/settings/audit/export/"


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def told(response: Any) -> list[tuple[str, str]]:
    return [(row.action, row.name) for row in response.context["rows"]]


def body(response: Any) -> str:
    return str(response.content.decode())


def exported(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def test_admins_read_the_whole_accounts_log(cast: Cast) -> None:
    user_key(cast.bob, cast.account)
    record(cast.actor(cast.mallory), Tag.KEY_CREATED, account=cast.elsewhere.organization.account)

    page = signed_in(cast.alice).get(AUDIT)

    assert told(page) == [("Signed in", "Alice Archer"), ("Created a key", "Bob Baker")]


def test_others_read_what_they_did_and_what_was_done_to_them_and_their_keys(cast: Cast) -> None:
    mine, made = user_key(cast.bob, cast.account), service_key(cast.bob, cast.production)
    user_key(cast.charlie, cast.account)
    alice = cast.actor(cast.alice)
    revoke_key(alice, mine.key, at=timezone.now())
    revoke_key(alice, made.key, at=timezone.now())
    unbind_role(alice, user=cast.bob, scope=cast.staging, at=timezone.now())
    unbind_role(alice, user=cast.charlie, scope=cast.staging, at=timezone.now())

    page = signed_in(cast.bob).get(AUDIT)

    assert told(page) == [
        ("Signed in", "Bob Baker"),
        ("Withdrew a role", "Alice Archer"),
        ("Revoked a key", "Alice Archer"),
        ("Revoked a key", "Alice Archer"),
        ("Created a key", "Bob Baker"),
        ("Created a key", "Bob Baker"),
    ]
    assert "Account admins see everybody’s" in body(page)


def test_an_annotator_reads_their_own(cast: Cast) -> None:
    user_key(cast.bob, cast.account)

    assert told(signed_in(cast.dana).get(AUDIT)) == [("Signed in", "Dana Diaz")]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"person": "BOB@example.com"}, ["Withdrew a role", "Created a key"]),
        ({"person": "bob baker"}, ["Withdrew a role", "Created a key"]),
        ({"action": "key:create"}, ["Created a key"]),
        ({"action": "role"}, ["Withdrew a role"]),
        ({"outcome": "REFUSED"}, []),
        ({"person": "bob", "action": "key"}, ["Created a key"]),
        ({"since": "2999-01-01"}, []),
        ({"until": "2001-01-01"}, []),
        ({"person": "nobody of that name"}, []),
    ],
)
def test_filters_narrow_by_person_action_outcome_and_time(
    cast: Cast, asked: dict[str, str], expected: list[str]
) -> None:
    user_key(cast.bob, cast.account)
    unbind_role(cast.actor(cast.alice), user=cast.bob, scope=cast.staging, at=timezone.now())
    client = signed_in(cast.alice)

    page = client.get(AUDIT, asked)

    assert [action for action, _ in told(page) if action != "Signed in"] == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"door": "rest"}, ["Created a space"]),
        ({"operation_type": "QUERY"}, ["Exported the audit log"]),
        ({"operation_name": "POST /v2/spaces"}, ["Created a space"]),
        ({"operation_name": "audit:export, POST /v2/spaces ,"}, ["Created a space", "Exported the audit log"]),
        ({"operation_name": "post /v2/spaces"}, []),
        ({"door": "rest", "operation_type": "QUERY"}, []),
    ],
)
def test_more_filters_narrow_by_door_and_operation(cast: Cast, asked: dict[str, str], expected: list[str]) -> None:
    """What can be filtered by over REST can be here, and means the same."""
    operation = Operation("MUTATION", "POST /v2/spaces", "{}")
    record(cast.actor(cast.bob), Tag.AUDIT_EXPORTED)
    record(replace(cast.actor(cast.bob, Door.REST), operation=operation), Tag.SPACE_CREATED, cast.production)
    client = signed_in(cast.alice)

    page = client.get(AUDIT, asked)

    assert [action for action, _ in told(page) if action != "Signed in"] == expected
    assert '<details class="disclosure filter-bar__more" open>' in body(page)
    assert '<details class="disclosure filter-bar__more">' in body(client.get(AUDIT, {"action": "space"}))


def test_one_persons_doings_leave_out_what_was_done_to_them(cast: Cast) -> None:
    unbind_role(cast.actor(cast.alice), user=cast.bob, scope=cast.staging, at=timezone.now())
    user_key(cast.bob, cast.account)
    client = signed_in(cast.alice)
    address = f"?user={encode_id('User', cast.bob.pk).replace('=', '%3D')}"
    assert address in body(client.get(AUDIT))

    page = client.get(f"{AUDIT}{address}")

    assert told(page) == [("Created a key", "Bob Baker")]
    assert "Only what <strong><bdi>Bob Baker</bdi></strong> did" in body(page)


def test_an_operation_links_to_all_there_was_of_it(cast: Cast) -> None:
    operation = Operation("MUTATION", "POST /v2/spaces", "{}")
    record(replace(cast.actor(cast.bob, Door.REST), operation=operation), Tag.SPACE_CREATED, cast.production)

    assert '<a href="?operation_name=POST%20/v2/spaces" class="mono">POST /v2/spaces</a>' in body(
        signed_in(cast.alice).get(AUDIT)
    )


def test_both_days_of_a_range_are_included(cast: Cast) -> None:
    client = signed_in(cast.alice)
    today = timezone.now().date().isoformat()

    assert told(client.get(AUDIT, {"since": today, "until": today})) == [("Signed in", "Alice Archer")]


def test_one_keys_history_includes_what_was_done_with_it(cast: Cast) -> None:
    key, other = user_key(cast.bob, cast.account, "laptop").key, user_key(cast.bob, cast.account, "other").key
    with_it = cast.actor(cast.bob)
    object.__setattr__(with_it, "key_id", key.pk)
    user_key(cast.bob, cast.account, "third")
    record(with_it, Tag.KEYS_EXPORTED)

    page = signed_in(cast.alice).get(AUDIT, {"key": encode_id("ApiKey", key.pk)})

    assert [action for action, _ in told(page)] == ["Exported keys", "Created a key"]
    assert "Only events of the key" in body(page)
    assert encode_id("ApiKey", other.pk) not in body(page)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"since": "2027-02-01", "until": "2027-01-01"}, "lies before the first one"),
        ({"since": "yesterday"}, "Enter a valid date"),
        ({"key": "rubbish"}, "not the ID of an api key"),
        ({"user": encode_id("Space", 1)}, "not the ID of a user"),
        ({"door": "window"}, "Select a valid choice"),
        ({"action": "nothing:known"}, "Select a valid choice"),
    ],
)
def test_a_filter_without_sense_shows_nothing_and_says_why(cast: Cast, asked: dict[str, str], said: str) -> None:
    page = signed_in(cast.alice).get(AUDIT, asked)

    assert told(page) == []
    assert said in body(page)


def test_pages_turn_by_cursor_and_keep_the_filter(cast: Cast) -> None:
    for number in range(70):
        record(cast.actor(cast.bob), Tag.KEY_CREATED, reason=number)
    client = signed_in(cast.alice)
    seen, address, pages = 0, f"{AUDIT}?action=key:create", 0
    while address:
        page = client.get(address)
        seen, pages = seen + len(told(page)), pages + 1
        address = f"{AUDIT}{page.context['older_url']}" if page.context["older_url"] else ""

    assert (seen, pages) == (70, 3)
    assert client.get(AUDIT, {"after": "rubbish"})["Location"] == AUDIT


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_page_costs_the_same_for_one_and_thirty_events(cast: Cast, who: str) -> None:
    user = getattr(cast, who)
    client, counts = signed_in(user), []
    for extra in (1, 2, 27):
        for _ in range(extra):
            record(cast.actor(user), Tag.KEY_CREATED, user, level="SPACE", scope="production", role="MEMBER")
        with CaptureQueriesContext(connection) as queries:
            client.get(AUDIT, {"action": "key:create"})
        counts.append(len(queries))

    assert len(set(counts)) == 1, counts


def test_changes_are_told_in_words(cast: Cast) -> None:
    alice, at = cast.actor(cast.alice), timezone.now()
    bind_role(alice, user=cast.bob, role=predefined(Level.SPACE, RoleName.ADMIN), scope=cast.production, at=at)
    change_account(alice, developer_access_locked=True, max_key_lifetime_days=90, at=at)

    role, account = (tell(event, ip=None) for event in AuditEvent.objects.order_by("pk"))

    assert (role.action, role.gist) == ("Changed a role", "Member → Admin in “production”")
    assert set(account.facts) == {
        ("Developer access lock", "off → on"),
        ("Longest life of a key", "unlimited → 90 days"),
    }


def test_a_service_keys_roles_are_told_by_place(cast: Cast) -> None:
    service_key(cast.bob, cast.production, name="nightly")

    found = list(facts(AuditEvent.objects.get(tag=Tag.KEY_CREATED)))

    assert ("Organization", "Fraud & Risk: Read-Only Member") in found
    assert ("Space", "production: Member") in found
    assert ("Kind", "Service key") in found
    assert ("Expires", "never") in found


def test_every_tag_can_be_chosen(cast: Cast) -> None:
    """A new kind of event that nobody put into a group would be missing from the filter."""
    chosen = {value for _, tags in actions() for value, _ in tags}

    installation = {tag.value for tag in Tag if tag.value.split(":")[0] in ("operator", "secret")}
    assert set(Tag.values) - chosen == installation


# ---- Export


def test_ndjson_holds_every_event_and_the_export_is_one(cast: Cast) -> None:
    client = signed_in(cast.alice)
    user_key(cast.bob, cast.account)

    response = client.post(EXPORT, {"format": "ndjson"})
    lines = [json.loads(line) for line in exported(response).splitlines()]

    assert response["Content-Type"] == "application/x-ndjson"
    assert response["Content-Disposition"].startswith('attachment; filename="audit-')
    assert [line["action"] for line in lines] == ["key:create", "session:start"]
    assert lines[0]["actor"] == "Bob Baker <bob@example.com>"
    event = AuditEvent.objects.get(tag=Tag.AUDIT_EXPORTED)
    assert (event.actor_id, event.account_id, event.details["format"]) == (cast.alice.pk, cast.account.pk, "NDJSON")


def test_no_cell_of_the_csv_is_a_formula(cast: Cast) -> None:
    """Security.md 39."""
    client = signed_in(cast.alice)
    for name in ("=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "\uff1dcmd()", ' "quoted", with commas', "  =spaced()"):
        User.objects.filter(pk=cast.bob.pk).update(name=name)
        record(cast.actor(User.objects.get(pk=cast.bob.pk)), Tag.KEY_CREATED)

    response = client.post(EXPORT, {"format": "csv", "action": "key:create"})
    rows = list(csv.DictReader(io.StringIO(exported(response))))

    assert len(rows) == 8
    for row in rows:
        for value in row.values():
            assert not value.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d")), value
    assert rows[-1]["actor"] == "'=cmd() <bob@example.com>"


def test_an_export_keeps_to_the_filter_and_to_what_one_may_read(cast: Cast) -> None:
    user_key(cast.bob, cast.account)
    user_key(cast.charlie, cast.account)

    mine = exported(signed_in(cast.bob).post(EXPORT, {"format": "ndjson", "action": "key:create"}))

    assert [json.loads(line)["actor"] for line in mine.splitlines()] == ["Bob Baker <bob@example.com>"]
    assert AuditEvent.objects.get(tag=Tag.AUDIT_EXPORTED).details["narrowed"] == {"action": "key:create"}


def test_an_export_wants_a_post_a_token_and_a_recent_sign_in(cast: Cast) -> None:
    """Security.md 36 and 38."""
    client = signed_in(cast.alice)
    assert client.get(EXPORT).status_code == 405
    session = client.session
    session[AUTHENTICATED_AT] = int(time.time()) - 80 * 60
    session.save()
    assert client.post(EXPORT, {"format": "csv"})["Location"].startswith("/confirm/")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast.alice)
    assert strict.post(EXPORT, {"format": "csv"}).status_code == 403
    assert not AuditEvent.objects.filter(tag=Tag.AUDIT_EXPORTED).exists()


def test_an_export_takes_every_filter_of_the_page(cast: Cast) -> None:
    record(cast.actor(cast.bob, Door.REST), Tag.SPACE_CREATED, cast.production)
    record(cast.actor(cast.charlie, Door.REST), Tag.SPACE_CHANGED, cast.production)
    wanted = {"user": encode_id("User", cast.bob.pk), "door": "rest", "operation_name": "space:create"}

    text = exported(signed_in(cast.alice).post(EXPORT, {"format": "ndjson", **wanted}))

    assert [json.loads(line)["action"] for line in text.splitlines()] == ["space:create"]
    assert AuditEvent.objects.get(tag=Tag.AUDIT_EXPORTED).details["narrowed"] == {
        "user": wanted["user"],
        "door": "rest",
        "operation_names": "space:create",
    }


def test_the_command_takes_every_filter_too(cast: Cast) -> None:
    operation = Operation("MUTATION", "POST /v2/spaces", "{}")
    key = user_key(cast.bob, cast.account).key
    record(replace(cast.actor(cast.bob, Door.REST), operation=operation), Tag.SPACE_CREATED, cast.production)
    record(replace(cast.actor(cast.bob, Door.REST), key_id=key.pk), Tag.SPACE_CHANGED, refused=True)

    def actions_of(*options: str) -> list[str]:
        out = io.StringIO()
        call_command("exportaudit", "--account", "Acme AI", *options, stdout=out)
        return [json.loads(line)["action"] for line in out.getvalue().splitlines()]

    both = ["space:change", "space:create"]
    assert actions_of("--user", "bob@example.com", "--door", "rest") == both
    assert (
        actions_of("--user", encode_id("User", cast.bob.pk), "--operation-type", "MUTATION", "--door", "rest") == both
    )
    assert actions_of("--operation", "POST /v2/spaces", "--operation", "space:change") == both
    assert actions_of("--outcome", "REFUSED") == ["space:change"]
    assert actions_of("--key", key.wire_id) == ["space:change", "key:create"]
    with pytest.raises(CommandError, match="not the ID of an api key"):
        actions_of("--key", "laptop")


def test_hashes_are_for_those_who_may_know_every_address(cast: Cast) -> None:
    """Whoever has a hash and everything else of an event could try all addresses until one fits."""
    event = record(replace(cast.actor(cast.alice), ip="192.0.2.1"), Tag.ROLE_CHANGED, cast.bob, role="MEMBER")
    asked = {"format": "ndjson", "action": "role:change"}

    (alices,), (bobs,) = (
        [json.loads(line) for line in exported(signed_in(who).post(EXPORT, asked)).splitlines()]
        for who in (cast.alice, cast.bob)
    )

    assert (alices["hash"], alices["previous"]) == (bytes(event.hash).hex(), bytes(event.previous).hex())
    assert (bobs["ip"], bobs["hash"], bobs["previous"]) == (None, None, None)


def test_an_unknown_format_exports_nothing(cast: Cast) -> None:
    response = signed_in(cast.alice).post(EXPORT, {"format": "xlsx"}, follow=True)

    assert "Nothing was exported" in body(response)
    assert not AuditEvent.objects.filter(tag=Tag.AUDIT_EXPORTED).exists()


def test_a_long_log_is_read_in_batches(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.audit_export._BATCH", 10)
    for _ in range(25):
        record(cast.actor(cast.bob), Tag.KEY_CREATED)

    text = exported(signed_in(cast.alice).post(EXPORT, {"format": "ndjson", "action": "key:create"}))

    assert len({json.loads(line)["id"] for line in text.splitlines()}) == 25


def test_the_command_writes_the_same_file(cast: Cast, tmp_path: Any) -> None:
    user_key(cast.bob, cast.account)
    out, path = io.StringIO(), tmp_path / "audit.csv"

    call_command("exportaudit", account="Acme AI", stdout=out)
    call_command("exportaudit", "--account", "Acme AI", "--format", "csv", "--output", str(path), stderr=io.StringIO())

    assert json.loads(out.getvalue())["action"] == "key:create"
    assert path.read_text().startswith('"id","at","action"')
    event = AuditEvent.objects.filter(tag=Tag.AUDIT_EXPORTED).latest("pk")
    assert (event.door, event.actor_label) == ("command", "operator (command line)")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"account": "Nobody"}, "There is no account"),
        ({"account": "Acme AI", "action": "dance"}, "There is no action dance"),
        ({"account": "Acme AI", "output": "/proc/nowhere/audit"}, "cannot be written"),
    ],
)
def test_the_command_says_what_is_wrong(cast: Cast, options: dict[str, Any], said: str) -> None:
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]

    with pytest.raises(CommandError, match=said):
        call_command("exportaudit", *arguments)

    assert not AuditEvent.objects.filter(tag=Tag.AUDIT_EXPORTED).exists()


def test_the_command_takes_an_id_or_the_only_account_and_is_short_for_ndjson(cast: Cast) -> None:
    user_key(cast.bob, cast.account)
    out = io.StringIO()
    call_command("exportaudit", "--account", encode_id("Account", cast.account.pk), "--json", stdout=out)
    assert json.loads(out.getvalue())["action"] == "key:create"

    with pytest.raises(CommandError, match="Which account"):
        call_command("exportaudit")


def test_the_command_tells_of_a_database_that_fails(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(AuditEvent.objects, "create", fail)
    errors = io.StringIO()

    with pytest.raises(CommandError, match="The database does not answer"):
        call_command("exportaudit", "--account", "Acme AI")
    with pytest.raises(SystemExit) as ended:
        call_command("exportaudit", "--account", "Acme AI", "--json", stderr=errors)

    assert ended.value.code == 1
    assert json.loads(errors.getvalue())["error"]["code"] == "database"


def test_the_command_keeps_to_days_and_people(cast: Cast) -> None:
    long_ago = timezone.now() - timedelta(days=40)
    record(cast.actor(cast.bob), Tag.KEY_CREATED, at=long_ago)
    other = PersonFactory.create(name="Nora")
    bind(other, cast.account, RoleName.MEMBER)
    record(cast.actor(other), Tag.KEY_CREATED)
    out = io.StringIO()

    call_command("exportaudit", "--account", "Acme AI", "--until", long_ago.date().isoformat(), stdout=out)

    assert [json.loads(line)["actor"] for line in out.getvalue().splitlines()] == ["Bob Baker <bob@example.com>"]


def test_others_addresses_are_for_account_admins(client: Client, cast: Cast) -> None:
    for who, ip in ((cast.alice, "192.0.2.1"), (cast.bob, "192.0.2.2")):
        record(replace(cast.actor(who), ip=ip), Tag.ROLE_CHANGED, cast.bob, at=timezone.now(), role="MEMBER")

    for who, seen in ((cast.alice, {"192.0.2.1", "192.0.2.2"}), (cast.bob, {"192.0.2.2"})):
        client.force_login(who)
        page = client.get("/settings/audit/").content.decode()
        answer = client.post("/settings/audit/export/", {"format": "ndjson"})
        exported = b"".join(answer).decode()
        for text in (page, exported):
            assert {ip for ip in ("192.0.2.1", "192.0.2.2") if ip in text} == seen
