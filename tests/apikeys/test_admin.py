"""The operator's pages about keys, and what all operator pages have in common: each opens, and none shows a secret."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission as AuthPermission
from django.contrib.sessions.models import Session
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from pytest_django import DjangoAssertNumQueries

from accounts.audit import Tag
from accounts.models import Account, AuditEvent, Role, User
from accounts.roles import RoleName
from accounts.trail import facts
from accounts.wire import encode_id
from apikeys.lifecycle import NewKey, refresh_key, revoke_key
from apikeys.models import ApiKey, KeySecret, KeyUse
from apikeys.verification import verify
from tests.cast import Cast
from tests.factories import PersonFactory, custom_role, service_key, user_key

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def operator() -> User:
    """Whoever runs the installation."""
    return User.objects.create_superuser("olga@example.com", "a long enough secret", name="Olga Operator")


@pytest.fixture
def desk(operator: User) -> Client:
    """A browser in which the operator is signed in."""
    client = Client(REMOTE_ADDR="203.0.113.9")
    client.force_login(operator)
    return client


@pytest.fixture
def furnished(cast: Cast) -> list[NewKey]:
    """Keys in every state, used and unused, in two accounts."""
    used = user_key(cast.bob, cast.account, "notebook")
    made = verify(used.plaintext, at=timezone.now())
    KeyUse.objects.create(
        key_id=made.key_id, first_used_at=timezone.now(), last_used_at=timezone.now(), ip="203.0.113.5", client="curl"
    )
    nightly = service_key(cast.alice, cast.production, cast.vision_lab, name="nightly")
    fresh = refresh_key(cast.actor(cast.alice), nightly.key, grace=timedelta(hours=1), at=timezone.now())
    gone = user_key(cast.alice, cast.account, "gone")
    revoke_key(cast.actor(cast.alice), gone.key, at=timezone.now())
    other = user_key(cast.mallory, cast.elsewhere.organization.account, "elsewhere")
    custom_role(cast.account, "uploader", "DATASET_CREATE")
    return [used, nightly, fresh, gone, other]


def _page(model: type[Model], name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


KEYS = _page(ApiKey, "changelist")


def _texts(desk: Client) -> Iterator[tuple[str, str]]:
    """Open every list, form and row of every model."""
    for model in MODELS:
        address = _page(model, "changelist")
        yield address, desk.get(address).content.decode()
        for number in model._default_manager.order_by("pk").values_list("pk", flat=True)[:200]:
            for page in ("change", "history"):
                address = _page(model, page, number)
                yield address, desk.get(address).content.decode()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_page_opens(desk: Client, furnished: list[NewKey], model: type[Model]) -> None:
    lists = desk.get(_page(model, "changelist"))
    assert lists.status_code == 200
    assert desk.get(_page(model, "changelist"), {"q": "a"}).status_code == 200

    add = desk.get(_page(model, "add"))
    assert add.status_code == (200 if lists.context["has_add_permission"] else 403)

    row = model._default_manager.order_by("-pk").first()
    if row is not None:
        assert desk.get(_page(model, "change", row.pk)).status_code == 200
        assert desk.get(_page(model, "history", row.pk)).status_code == 200


def test_every_filter_of_every_list_works(desk: Client, furnished: list[NewKey]) -> None:
    followed = 0
    for model in MODELS:
        address = _page(model, "changelist")
        for one in desk.get(address).context["cl"].filter_specs:
            for choice in one.choices(desk.get(address).context["cl"]):
                answer = desk.get(address + choice["query_string"])
                assert answer.status_code == 200, address + choice["query_string"]
                followed += 1
    assert followed > 100


def test_nul_is_refused_in_every_filter_of_every_list(desk: Client, furnished: list[NewKey]) -> None:
    followed = 0
    for model in MODELS:
        address = _page(model, "changelist")
        parameters = {
            name for one in desk.get(address).context["cl"].filter_specs for name in one.expected_parameters()
        }
        for name in parameters | {"q", "p", "o"}:
            assert desk.get(address, {name: "\x00"}).status_code == 400, (address, name)
            followed += 1
    assert followed > 50


def test_no_page_shows_a_secret_a_digest_or_a_password_hash(desk: Client, furnished: list[NewKey]) -> None:
    hidden = {new.plaintext for new in furnished} | {new.plaintext[15:] for new in furnished}
    for secret in KeySecret.objects.all():
        digest = bytes(secret.digest)
        hidden |= {digest.hex(), base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()}
        hidden |= {escape(repr(digest)), escape(str(memoryview(digest)))}
    for password in User.objects.values_list("password", flat=True):
        hidden |= {password, password.split("$")[-1]}

    pages = list(_texts(desk))

    assert len(pages) > 50
    shown = [(address, one) for address, text in pages for one in hidden if one in text]
    assert shown == []


@pytest.mark.parametrize("lookup", ["secrets__digest__startswith", "owner__password__startswith"])
def test_nothing_is_filtered_by_a_digest_or_a_password(desk: Client, furnished: list[NewKey], lookup: str) -> None:
    assert desk.get(KEYS, {lookup: "a"}).status_code == 400


def test_nothing_is_filtered_by_a_password_or_a_digest_at_home(desk: Client, furnished: list[NewKey]) -> None:
    assert desk.get(_page(User, "changelist"), {"password__startswith": "md5"}).status_code == 400
    assert desk.get(_page(KeySecret, "changelist"), {"digest__isnull": "0"}).status_code == 400


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("model", [ApiKey, User, KeySecret, KeyUse], ids=lambda model: model.__name__)
def test_lists_cost_the_same_for_one_row_and_three(
    desk: Client,
    cast: Cast,
    operator: User,
    django_assert_num_queries: DjangoAssertNumQueries,
    model: type[Model],
    rows: int,
) -> None:
    # The people of the cast are rows of the list of users already; it is asked for bots only.
    for number in range(rows):
        key = service_key(cast.bob, cast.production, cast.staging, name=f"key {number}").key
        now = timezone.now()
        KeyUse.objects.create(key=key, first_used_at=now, last_used_at=now)
    where = {"kind__exact": "BOT"} if model is User else {}
    desk.get(_page(model, "changelist"), where)

    # The session, the operator, the count, the rows; and the accounts to filter by.
    with django_assert_num_queries(5 if model is ApiKey else 4):
        answer = desk.get(_page(model, "changelist"), where)

    assert answer.context["cl"].result_count == rows


def test_counting_stops(desk: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.admin.base._COUNTED", 2)
    for name in ("one", "two", "three"):
        user_key(cast.bob, cast.account, name)

    answer = desk.get(KEYS)

    assert answer.context["cl"].result_count == 2
    assert "More than 2 API keys" in answer.content.decode()


def test_revoking_asks_by_name_then_calls_the_verb(desk: Client, cast: Cast, operator: User) -> None:
    first, second = user_key(cast.bob, cast.account, "first"), service_key(cast.bob, cast.production, name="second")
    other = user_key(cast.mallory, cast.elsewhere.organization.account, "third")
    chosen = {"action": "revoke", "_selected_action": [first.key.pk, second.key.pk, other.key.pk]}

    asked = desk.post(KEYS, chosen)

    assert asked.status_code == 200
    assert [key.name for key, *_ in asked.context["keys"]] == ["third", "second", "first"]
    assert not ApiKey.objects.filter(revoked_at__isnull=False).exists()

    done = desk.post(KEYS, chosen | {"confirmed": "yes"}, follow=True)

    assert "3 keys revoked" in done.content.decode()
    assert not ApiKey.objects.filter(revoked_at__isnull=True).exists()
    assert not User.objects.get(pk=second.key.owner_id).is_active
    events = AuditEvent.objects.filter(tag=Tag.KEY_REVOKED).order_by("pk")
    assert [(event.door, event.actor_id, event.ip) for event in events] == [("admin", operator.pk, "203.0.113.9")] * 3
    assert {event.account_id for event in events} == {cast.account.pk, cast.elsewhere.organization.account_id}


def test_revoking_again_changes_nothing(desk: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key
    for _ in range(2):
        desk.post(KEYS, {"action": "revoke", "_selected_action": [key.pk], "confirmed": "yes"})

    assert AuditEvent.objects.filter(tag=Tag.KEY_REVOKED).count() == 1


def test_revoking_is_offered_on_the_keys_own_page(desk: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key
    assert "Revoke…" in desk.get(_page(ApiKey, "change", key.pk)).content.decode()

    revoke_key(cast.actor(cast.bob), key, at=timezone.now())

    assert "Revoke…" not in desk.get(_page(ApiKey, "change", key.pk)).content.decode()


def _exported(desk: Client, action: str, *keys: NewKey) -> str:
    answer: Any = desk.post(KEYS, {"action": action, "_selected_action": [new.key.pk for new in keys]})
    assert answer.status_code == 200
    assert "attachment" in answer["Content-Disposition"]
    return b"".join(answer.streaming_content).decode()


def test_export_as_ndjson_says_all_but_what_opens_the_key(desk: Client, furnished: list[NewKey]) -> None:
    _, nightly, *_ = furnished

    (line,) = _exported(desk, "export_ndjson", nightly).splitlines()

    row = json.loads(line)
    assert row["id"] == nightly.key.wire_id
    assert row["owner"] == "nightly"
    assert row["created_by"] == "Alice Archer <alice@example.com>"
    assert row["account_role"] == "MEMBER"
    assert row["organizations"] == [
        {"name": "Fraud & Risk", "role": "READ_ONLY", "spaces": [{"name": "production", "role": "MEMBER"}]},
        {"name": "Research", "role": "READ_ONLY", "spaces": [{"name": "vision-lab", "role": "MEMBER"}]},
    ]
    assert not set(row) & {"key", "secret", "digest", "public_id"}


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1"])
def test_export_as_csv_holds_no_formula(desk: Client, cast: Cast, name: str) -> None:
    new = user_key(cast.bob, cast.account, "plain", description=name)

    text = _exported(desk, "export_csv", new)

    assert f'"\'{name.strip()}"' in text
    assert f'"{name.strip()}"' not in text


def test_export_is_recorded_in_each_account_before_anything_leaves(
    desk: Client, cast: Cast, furnished: list[NewKey]
) -> None:
    used, _, _, gone, other = furnished
    desk.post(KEYS, {"action": "export_csv", "_selected_action": [used.key.pk, gone.key.pk, other.key.pk]})

    events = AuditEvent.objects.filter(tag=Tag.KEYS_EXPORTED).order_by("account_id")
    assert [(event.account_id, event.details["keys"]) for event in events] == [
        (cast.account.pk, 2),
        (cast.elsewhere.organization.account_id, 1),
    ]


def test_export_reads_in_portions(desk: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apikeys.key_export._BATCH", 2)
    keys = [user_key(cast.bob, cast.account, f"key {number}") for number in range(5)]

    lines = _exported(desk, "export_ndjson", *keys).splitlines()

    assert [json.loads(line)["name"] for line in lines] == [f"key {number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "form",
    [
        lambda key: "night",
        lambda key: key.wire_id,
        lambda key: key.redacted_key,
        lambda key: f"ak-{key.secrets.get().public_id}",
        lambda key: f"ak-{key.secrets.get().public_id}…",
        lambda key: "Bob@Example.com",
    ],
    ids=["name", "id", "redacted", "public id", "as logged", "address"],
)
def test_search_finds_a_key_by_any_form_of_it(desk: Client, cast: Cast, form: Callable[[ApiKey], str]) -> None:
    user_key(cast.alice, cast.account, "another")
    key = service_key(cast.bob, cast.production, name="nightly export").key

    answer = desk.get(KEYS, {"q": form(key)})

    assert [found.pk for found in answer.context["cl"].result_list] == [key.pk]


def test_a_whole_key_typed_into_a_search_is_taken_out_of_the_address(desk: Client, cast: Cast) -> None:
    new = user_key(cast.bob, cast.account)

    for model in MODELS:
        answer = desk.get(_page(model, "changelist"), {"q": f" {new.plaintext}"})
        assert (answer.status_code, answer["Location"]) == (302, _page(model, "changelist"))

    assert "Refresh or revoke it" in desk.get(KEYS).content.decode()


def test_a_name_full_of_markup_stays_text(desk: Client, cast: Cast) -> None:
    nasty = "<script>alert(1)</script>\u202e"
    key = service_key(cast.bob, cast.production, name=nasty).key

    for address in (KEYS, _page(ApiKey, "change", key.pk), _page(User, "change", key.owner_id)):
        text = desk.get(address).content.decode()
        assert escape(nasty) in text
        assert "<script>alert" not in text


@pytest.fixture
def onlooker(furnished: list[NewKey]) -> Client:
    """A browser of somebody who may look at everything and is no superuser."""
    person = PersonFactory.create(is_staff=True)
    person.user_permissions.set(AuthPermission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(person)
    return client


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_staff_without_superuser_powers_look_and_cannot_act(onlooker: Client, model: type[Model]) -> None:
    row: Any = model._default_manager.order_by("pk").first()
    lists = onlooker.get(_page(model, "changelist"))
    assert lists.status_code == 200
    assert dict(lists.context["cl"].model_admin.get_actions(lists.wsgi_request)) == {}
    assert onlooker.get(_page(model, "add")).status_code == 403
    if row is None:
        return
    assert onlooker.get(_page(model, "change", row.pk)).status_code == 200
    assert onlooker.post(_page(model, "change", row.pk), {}).status_code == 403
    assert onlooker.post(_page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert model._default_manager.filter(pk=row.pk).exists()


def test_staff_without_superuser_powers_cannot_revoke_or_export(onlooker: Client) -> None:
    numbers = list(ApiKey.objects.active(at=timezone.now()).values_list("pk", flat=True))
    before = AuditEvent.objects.count()

    for action in ("revoke", "export_csv", "export_ndjson", "delete_selected"):
        onlooker.post(KEYS, {"action": action, "_selected_action": numbers, "confirmed": "yes", "post": "yes"})

    assert ApiKey.objects.filter(pk__in=numbers, revoked_at__isnull=True).count() == len(numbers)
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize("model", [ApiKey, KeySecret, KeyUse, AuditEvent, Role], ids=lambda model: model.__name__)
def test_what_is_read_only_is_so_for_the_operator(desk: Client, furnished: list[NewKey], model: type[Model]) -> None:
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    assert desk.get(_page(model, "add")).status_code == 403
    assert desk.post(_page(model, "change", row.pk), {"name": "x"}).status_code == 403
    assert desk.post(_page(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_a_service_keys_page_links_to_everything_around_it(desk: Client, cast: Cast) -> None:
    key = service_key(cast.bob, cast.production, name="nightly").key

    text = desk.get(_page(ApiKey, "change", key.pk)).content.decode()

    assert encode_id("ApiKey", key.pk) in text
    for row in (key.owner, cast.bob, cast.account, cast.fraud, cast.production):
        assert f'href="{_page(type(row), "change", row.pk)}"' in text


def test_links_from_the_lists_lead_to_what_was_counted(desk: Client, cast: Cast) -> None:
    for number in range(2):
        service_key(cast.bob, cast.production, name=f"key {number}")

    spaces = desk.get(_page(type(cast.production), "changelist"), {"q": "production"}).content.decode()
    assert f"content_object__id__exact={cast.production.pk}&amp;user__kind__exact=BOT" in spaces

    made = desk.get(KEYS, {"created_by__exact": str(cast.bob.pk), "kind__exact": "SERVICE"})
    assert made.context["cl"].result_count == 2
    owned = desk.get(KEYS, {"account__id__exact": Account.objects.get(name="Acme AI").pk})
    assert owned.context["cl"].result_count == 2


def test_role_of_a_service_key_is_named(desk: Client, cast: Cast) -> None:
    key = service_key(cast.alice, cast.production, role=RoleName.ADMIN).key

    assert "production</a>: Admin" in desk.get(_page(ApiKey, "change", key.pk)).content.decode()


# Issuing

ISSUE = "/admin/apikeys/apikey/issue/"


def _issue(desk: Client, **data: Any) -> Any:
    nonce = desk.get(ISSUE).context["nonce"]
    return desk.post(ISSUE, {"nonce": nonce, "kind": "USER", "name": "by hand"} | data)


def test_user_key_is_issued_for_somebody_and_shown_once(desk: Client, cast: Cast) -> None:
    answer = _issue(desk, person=cast.bob.pk, expires_in=30)

    plaintext = answer.context["plaintext"]
    verified = verify(plaintext, at=timezone.now())
    assert verified.user == cast.bob
    assert verified.expires_at is not None
    assert answer.content.decode().count(plaintext) == 1
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "no-referrer"
    event = AuditEvent.objects.get(tag=Tag.KEY_CREATED)
    assert (event.door, event.actor_id, event.ip) == ("admin", cast.bob.pk, "203.0.113.9")
    assert event.details["acted_by"] == "Olga Operator <olga@example.com>"
    done_by = dict(facts(event))["Done by"]
    assert done_by == "Olga Operator <olga@example.com>, on behalf of Bob Baker <bob@example.com>"
    assert all(plaintext[15:] not in text for _, text in _texts(desk))
    assert plaintext[15:] not in str([session.get_decoded() for session in Session.objects.all()])


def test_form_sent_twice_issues_one_key(desk: Client, cast: Cast) -> None:
    form = {"nonce": desk.get(ISSUE).context["nonce"], "kind": "USER", "name": "by hand", "person": cast.bob.pk}

    assert "plaintext" in desk.post(ISSUE, form).context
    assert "sent before" in desk.post(ISSUE, form).content.decode()

    assert ApiKey.objects.count() == 1


def test_service_key_is_issued_by_the_operator_without_a_ceiling(desk: Client, cast: Cast, operator: User) -> None:
    admin_role = Role.objects.get(level="SPACE", name=RoleName.ADMIN)

    _issue(desk, kind="SERVICE", spaces=[cast.production.pk, cast.vision_lab.pk], space_role=admin_role.pk)

    key = ApiKey.objects.get()
    assert key.created_by == operator
    (row,) = [json.loads(line) for line in _exported(desk, "export_ndjson", NewKey(key, "")).splitlines()]
    assert [(one["name"], one["role"], one["spaces"][0]["role"]) for one in row["organizations"]] == [
        ("Fraud & Risk", "READ_ONLY", "ADMIN"),
        ("Research", "READ_ONLY", "ADMIN"),
    ]


def test_service_key_on_somebodys_behalf_is_under_their_ceiling(desk: Client, cast: Cast) -> None:
    admin_role = Role.objects.get(level="SPACE", name=RoleName.ADMIN)

    answer = _issue(desk, kind="SERVICE", person=cast.bob.pk, spaces=[cast.production.pk], space_role=admin_role.pk)

    assert "above your own" in answer.content.decode()
    assert not ApiKey.objects.exists()
    refusal = AuditEvent.objects.get(tag=Tag.KEY_CREATED)
    assert (refusal.outcome, refusal.actor_id) == ("REFUSED", cast.bob.pk)
    assert refusal.details["acted_by"] == "Olga Operator <olga@example.com>"


def test_what_is_missing_is_said_in_the_form(desk: Client, cast: Cast) -> None:
    assert "say to whom" in _issue(desk).content.decode()
    assert "choose at least one" in _issue(desk, kind="SERVICE").content.decode()
    across = [cast.production.pk, cast.elsewhere.pk]
    assert "does not follow" in _issue(desk, kind="SERVICE", spaces=across).content.decode()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("typed", ["abc", "\x00", "9" * 40])
def test_odd_choices_are_errors_of_the_form(desk: Client, cast: Cast, typed: str) -> None:
    assert desk.get(ISSUE, {"person": typed}).status_code == 200
    answer = _issue(desk, person=typed, account=typed, spaces=[typed], space_role=typed)

    assert answer.status_code == 200
    assert {"person", "account", "spaces", "space_role"} <= set(answer.context["form"].errors)


def test_issuing_is_for_superusers(onlooker: Client) -> None:
    assert onlooker.get(ISSUE).status_code == 403
    assert onlooker.post(ISSUE, {"kind": "USER", "name": "x"}).status_code == 403


# A password newer than an hour (security 38)


@pytest.fixture
def stale(desk: Client) -> Client:
    """The operator's browser, signed in yesterday."""
    session = desk.session
    session["authenticated_at"] -= 24 * 60 * 60
    session.save()
    return desk


def test_changing_and_taking_along_want_a_recent_sign_in(stale: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key
    confirm = reverse("accounts:confirm")
    add, change = _page(Account, "add"), _page(Account, "change", cast.account.pk)

    for answer in (
        stale.get(ISSUE),
        stale.post(ISSUE, {"kind": "USER", "name": "x", "person": cast.bob.pk}),
        stale.get(add),
        stale.post(add, {"name": "Globex"}),
        stale.post(change, {"name": "Globex"}),
        stale.get(reverse("admin:auth_user_password_change", args=[cast.bob.pk])),
        stale.post(KEYS, {"action": "export_csv", "_selected_action": [key.pk]}),
    ):
        assert answer.status_code == 302
        assert answer["Location"].startswith(confirm)
    assert not AuditEvent.objects.filter(tag=Tag.KEYS_EXPORTED).exists()
    assert stale.get(change).status_code == 200


def test_stopping_a_leak_does_not_wait_for_a_password(stale: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key

    stale.post(KEYS, {"action": "revoke", "_selected_action": [key.pk], "confirmed": "yes"})

    assert ApiKey.objects.get(pk=key.pk).revoked_at is not None
