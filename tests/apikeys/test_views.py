"""The API Keys pages: what is shown to whom, what a form does once, and that a secret is shown once only."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries

from accounts.models import AccountBinding, AuditEvent, OrganizationBinding, SpaceBinding, User
from accounts.recent import AUTHENTICATED_AT
from accounts.roles import RoleName
from accounts.scope import SESSION_ORGANIZATION, SESSION_SPACE
from accounts.wire import encode_id
from apikeys.lifecycle import refresh_key
from apikeys.models import ApiKey, KeyKind, KeySecret
from apikeys.verification import verify
from tests.cast import Cast
from tests.factories import bind, custom_role, later, service_key, used, user_key

pytestmark = pytest.mark.django_db

NEW = "/settings/api-keys/new/"
LIST = "/settings/api-keys/"
SERVICE = "/settings/api-keys/service/"
KEY_TEXT = re.compile(r"ak-[0-9A-Za-z]{61}")


@pytest.fixture
def bob(client: Client, cast: Cast) -> Client:
    """A browser with Bob signed in."""
    client.force_login(cast.bob)
    return client


def body(response: Any) -> str:
    return response.content.decode()  # type: ignore[no-any-return]  # the test client's response is untyped


def nonce_of(response: Any) -> str:
    found = re.search(r'name="nonce" value="([^"]+)"', body(response))
    assert found
    return found[1]


def filled(client: Client, **changes: Any) -> dict[str, Any]:
    """What a browser sends for a user key, with a fresh nonce."""
    form = {"step": "create", "key_type": "USER", "name": "laptop", "description": "", "expires": "never"}
    return form | {"nonce": nonce_of(client.get(NEW))} | changes


def filled_service(client: Client, *grants: tuple[Any, str], **changes: Any) -> dict[str, Any]:
    """The same for a service key with a role in each of some spaces."""
    rows = {"space": [str(space.pk) for space, _ in grants], "space_role": [role for _, role in grants]}
    return filled(client, key_type="SERVICE", name="nightly export", **rows, **changes)


def secret_in(response: Any) -> str:
    found = set(KEY_TEXT.findall(body(response)))
    assert len(found) == 1
    return str(found.pop())


# ---- The list ----


@pytest.mark.parametrize("url", [LIST, SERVICE, NEW])
def test_pages_need_a_sign_in(client: Client, cast: Cast, url: str) -> None:
    response = client.get(url)

    assert response.status_code == 302
    assert response["Location"].startswith(reverse("accounts:login"))


@pytest.mark.parametrize("url", [LIST, SERVICE, NEW])
def test_a_key_opens_no_page(client: Client, cast: Cast, url: str) -> None:
    """security.md 14."""
    made = user_key(cast.bob, cast.account)

    response = client.get(url, headers={"Authorization": f"Bearer {made.plaintext}"})

    assert response.status_code == 302


def test_user_keys_are_ones_own(bob: Client, cast: Cast) -> None:
    user_key(cast.bob, cast.account, "mine")
    user_key(cast.alice, cast.account, "hers")

    page = body(bob.get(LIST))

    assert "mine" in page
    assert "hers" not in page
    assert "Whose keys" not in page


def test_an_account_admin_may_look_at_everybodys_user_keys(client: Client, cast: Cast) -> None:
    user_key(cast.bob, cast.account, "his laptop")
    client.force_login(cast.alice)

    assert "his laptop" not in body(client.get(LIST))
    assert "his laptop" in body(client.get(LIST, {"whose": "everyone"}))


def test_everyone_is_nothing_to_a_member(bob: Client, cast: Cast) -> None:
    user_key(cast.alice, cast.account, "hers")

    assert "hers" not in body(bob.get(LIST, {"whose": "everyone"}))


def test_service_tab_shows_bot_and_roles_by_space(bob: Client, cast: Cast) -> None:
    service_key(cast.alice, cast.production, cast.vision_lab, name="nightly export")

    page = body(bob.get(SERVICE))

    assert "nightly export" in page
    assert "Roles by space" in page
    assert "production" in page


def test_places_one_cannot_see_are_not_named(bob: Client, cast: Cast) -> None:  # security 19
    made = service_key(cast.alice, cast.production, cast.vision_lab, name="spanning")

    for address in (SERVICE, f"{SERVICE}?status=all"):
        page = body(bob.get(address))
        assert "production" in page
        assert "and spaces you cannot see" in page
        assert "vision-lab" not in page
        assert "Research" not in page
    SpaceBinding.objects.filter(user=made.key.owner, content_object=cast.production).delete()
    assert "spanning" not in body(bob.get(SERVICE))


def test_service_keys_of_unreadable_spaces_are_not_listed(bob: Client, cast: Cast) -> None:
    service_key(cast.alice, cast.vision_lab, name="vision only")

    assert "vision only" not in body(bob.get(SERVICE))


def test_status_filters_and_search(bob: Client, cast: Cast) -> None:
    user_key(cast.bob, cast.account, "laptop")
    user_key(cast.bob, cast.account, "workshop", at=later(days=-3), expires_at=later(days=-1))
    gone = user_key(cast.bob, cast.account, "old demo").key
    bob.post(f"{LIST}{gone.wire_id}/revoke/")
    bob.get(LIST)  # takes the message about the revocation

    def names(**query: str) -> list[str]:
        return re.findall(r'<bdi class="clamp">([^<]+)</bdi>', body(bob.get(LIST, query)))

    assert names() == ["laptop"]
    assert names(status="expired") == ["workshop"]
    assert names(status="revoked") == ["old demo"]
    assert names(status="all") == ["old demo", "workshop", "laptop"]
    assert names(status="all", q="work") == ["workshop"]
    assert names(q="nothing") == []
    assert names(status="nonsense") == ["laptop"]


def test_list_pages_by_keyset(bob: Client, cast: Cast) -> None:
    for number in range(27):
        user_key(cast.bob, cast.account, f"key {number:02}")

    first = body(bob.get(LIST))
    older = re.search(r'href="(\?[^"]+)" rel="next"', first)
    assert older
    second = body(bob.get(LIST + older[1].replace("&amp;", "&")))

    assert "key 26" in first
    assert "key 01" not in first
    assert "key 01" in second
    assert "First page" in second
    assert bob.get(LIST, {"after": "rubbish"})["Location"] == LIST


def test_empty_lists_say_what_keys_are_for_and_offer_the_button(bob: Client) -> None:
    assert "lets your own scripts, notebooks and tools act as you" in body(bob.get(LIST))
    page = body(bob.get(SERVICE))
    assert "for what runs without a person" in page
    assert f"{NEW}?type=service" in page


@pytest.mark.parametrize("url", [LIST, SERVICE])
def test_list_costs_the_same_for_one_row_and_three(
    bob: Client, cast: Cast, url: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    def add() -> None:
        if url == LIST:
            user_key(cast.bob, cast.account)
        else:
            service_key(cast.bob, cast.production, cast.staging)

    add()
    bob.get(url)
    with CaptureQueriesContext(connection) as for_one_row:
        bob.get(url)
    add()
    add()
    with django_assert_num_queries(len(for_one_row)):
        bob.get(url)


def test_looking_changes_nothing(bob: Client, cast: Cast) -> None:
    """security.md 36."""
    key = user_key(cast.bob, cast.account).key
    events, rows = AuditEvent.objects.count(), list(ApiKey.objects.values())

    for url in (LIST, SERVICE, NEW, f"{LIST}{key.wire_id}/refresh/", f"{LIST}{key.wire_id}/revoke/"):
        assert bob.get(url).status_code == 200
        assert bob.head(url).status_code == 200

    assert AuditEvent.objects.count() == events
    assert list(ApiKey.objects.values()) == rows


# ---- Hostile names ----


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "\u202egnp.yek", "🔑" * 256, '"><img src=x onerror=alert(1)>', "=cmd()"]
)
def test_hostile_names_render_inert(bob: Client, cast: Cast, name: str) -> None:
    """security.md 39."""
    key = user_key(cast.bob, cast.account, name).key

    for url in (LIST, f"{LIST}{key.wire_id}/refresh/", f"{LIST}{key.wire_id}/revoke/"):
        page = body(bob.get(url))
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert not re.search(r'\sstyle=|\son[a-z]+="', page)


# ---- Creating ----


def test_create_user_key_shows_the_secret_once(bob: Client, cast: Cast) -> None:
    response = bob.post(NEW, filled(bob, description="for trying out"))

    text = secret_in(response)
    assert response.status_code == 200
    key = ApiKey.objects.get()
    assert (key.name, key.description, key.kind, key.owner, key.expires_at) == (
        "laptop",
        "for trying out",
        KeyKind.USER,
        cast.bob,
        None,
    )
    assert verify(text, at=timezone.now()).key_id == key.pk
    assert text not in body(bob.get(LIST))


def test_the_answer_with_the_secret_is_kept_nowhere(bob: Client) -> None:
    """security.md 32 and 33."""
    response = bob.post(NEW, filled(bob))

    text = secret_in(response)
    directives = set(response["Cache-Control"].split(", "))
    assert {"no-store", "private", "no-cache"} <= directives
    assert response["Referrer-Policy"] == "no-referrer"
    title = re.search(r"<title>(.*?)</title>", body(response))
    assert title
    assert text not in title[1]
    assert "messages" not in response.cookies
    assert all(text not in str(row.get_decoded()) for row in Session.objects.all())
    assert text not in str(list(AuditEvent.objects.values()))
    assert "autocomplete" not in body(response)


def test_the_secret_is_in_each_snippet(bob: Client) -> None:
    response = bob.post(NEW, filled(bob))

    text, page = secret_in(response), body(response)
    assert f"export ARIZE_API_KEY={text}" in page
    assert f"Authorization: Bearer {text}" in page.replace("&quot;", '"')
    assert "http://testserver/v2/spaces" in page
    assert f'api_key="{text}"' in page.replace("&quot;", '"')
    assert 'api_host="testserver"' in page.replace("&quot;", '"')
    assert 'api_scheme="http"' in page.replace("&quot;", '"')


def test_sending_the_form_again_makes_no_second_key(bob: Client) -> None:
    """security.md 32: reload and Back show no secret."""
    form = filled(bob)
    bob.post(NEW, form)

    again = bob.post(NEW, form)

    assert again.status_code == 409
    assert "This key was already created; its secret is shown only once" in body(again)
    assert LIST in body(again)
    assert not KEY_TEXT.search(body(again))
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("nonce", ["", "made-up"])
def test_a_form_without_a_nonce_of_ours_does_nothing(bob: Client, nonce: str) -> None:
    response = bob.post(NEW, filled(bob, nonce=nonce))

    assert response.status_code == 409
    assert "nothing was done" in body(response)
    assert nonce_of(response) not in ("", "made-up")
    assert not ApiKey.objects.exists()


def test_a_nonce_is_good_in_its_own_session_only(bob: Client, cast: Cast) -> None:
    form = filled(bob)
    erin = Client()
    erin.force_login(cast.erin)

    assert erin.post(NEW, form).status_code == 409
    assert not ApiKey.objects.exists()


def test_a_refused_form_can_be_put_right_and_sent_again(bob: Client) -> None:
    form = filled(bob, name="  ")

    refused = bob.post(NEW, form)

    assert refused.status_code == 422
    assert "Give the key a name" in body(refused)
    assert secret_in(bob.post(NEW, form | {"name": "laptop", "nonce": nonce_of(refused)}))


def test_cross_site_posts_fail(cast: Cast) -> None:
    """security.md 36."""
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(cast.bob)

    assert strict.post(NEW, filled(strict)).status_code == 403
    assert not ApiKey.objects.exists()


def test_create_service_key_across_organizations(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    form = filled_service(
        client,
        (cast.production, "MEMBER"),
        (cast.vision_lab, "READ_ONLY"),
        account_role="MEMBER",
        **{f"org_role-{cast.fraud.pk}": "MEMBER"},
    )

    response = client.post(NEW, form)

    assert secret_in(response)
    key = ApiKey.objects.get()
    assert key.kind == KeyKind.SERVICE
    held = {row.content_object: row.role.name for row in SpaceBinding.objects.filter(user=key.owner)}
    assert held == {cast.production: "MEMBER", cast.vision_lab: "READ_ONLY"}
    organizations = {row.content_object: row.role.name for row in OrganizationBinding.objects.filter(user=key.owner)}
    assert organizations == {cast.fraud: "MEMBER", cast.research: "READ_ONLY"}


def test_a_role_above_ones_own_is_shown_disabled_with_the_reason(bob: Client) -> None:
    page = body(bob.get(NEW, {"type": "service"}))

    assert re.search(r'<option value="ADMIN" disabled>Admin — above your own role here</option>', page)
    assert "where you are a Member: that is the highest role you can give." in page


def test_a_role_above_ones_own_is_refused_when_sent_anyway(bob: Client, cast: Cast) -> None:
    """security.md 15."""
    response = bob.post(NEW, filled_service(bob, (cast.production, "ADMIN")))

    assert response.status_code == 422
    assert "it is above your own there" in body(response)
    assert not ApiKey.objects.exists()
    assert AuditEvent.objects.filter(tag="key:create", outcome="REFUSED", actor_id=cast.bob.pk).exists()


@pytest.mark.parametrize("above", [{"account_role": "ADMIN"}, {"org_role": "ADMIN"}])
def test_advanced_roles_above_ones_own_are_refused(bob: Client, cast: Cast, above: dict[str, str]) -> None:
    changes = {f"org_role-{cast.fraud.pk}" if name == "org_role" else name: role for name, role in above.items()}

    response = bob.post(NEW, filled_service(bob, (cast.production, "MEMBER"), **changes))

    assert response.status_code == 422
    assert "it is above your own there" in body(response)
    assert not ApiKey.objects.exists()


def test_a_custom_role_is_offered_where_it_is_covered(bob: Client, cast: Cast) -> None:
    role = custom_role(cast.account, "Exporter", "DATASET_READ")

    assert "Exporter" in body(bob.get(NEW, {"type": "service"}))
    response = bob.post(NEW, filled_service(bob, (cast.production, str(role.pk))))

    assert secret_in(response)
    assert SpaceBinding.objects.get(user=ApiKey.objects.get().owner).role == role


def test_a_space_twice_is_refused(bob: Client, cast: Cast) -> None:
    response = bob.post(NEW, filled_service(bob, (cast.production, "MEMBER"), (cast.production, "READ_ONLY")))

    assert response.status_code == 422
    assert "chosen twice" in body(response)


def test_a_space_out_of_reach_is_refused(bob: Client, cast: Cast) -> None:
    for space in (cast.vision_lab, cast.elsewhere):
        response = bob.post(NEW, filled_service(bob, (space, "MEMBER")))

        assert response.status_code == 422
        assert space.organization.name not in body(response)
    assert not ApiKey.objects.exists()


def test_add_remove_and_review_keep_what_was_typed(bob: Client, cast: Cast) -> None:
    form = filled_service(bob, (cast.production, "READ_ONLY"), description="every night")

    added = body(bob.post(NEW, form | {"step": "add"}))
    assert added.count('name="space_role"') == 2
    assert 'value="nightly export"' in added
    assert 'value="every night"' in added

    rows = {"space": [str(cast.production.pk), str(cast.staging.pk)], "space_role": ["READ_ONLY", "MEMBER"]}
    removed = body(bob.post(NEW, form | rows | {"step": "remove-1"}))
    assert removed.count('name="space_role"') == 1
    assert "Fraud &amp; Risk / staging" in removed

    assert not ApiKey.objects.exists()
    assert secret_in(bob.post(NEW, form))  # looking over the form has not used it up


def test_the_form_says_in_words_what_the_key_will_be_able_to_do(bob: Client, cast: Cast) -> None:
    form = filled_service(bob, (cast.production, "READ_ONLY"), step="review")

    page = body(bob.post(NEW, form))

    assert "What this key will be able to do" in page
    assert "<bdi>Fraud &amp; Risk / production</bdi></strong>: Read-Only Member. Reads, lists and exports" in page
    assert "It stops working when you leave the account." in page
    assert "goes on working when you leave" in page


@pytest.mark.parametrize("person", ["charlie", "dana"])
def test_who_may_not_make_service_keys_is_told_why_and_whom_to_ask(client: Client, cast: Cast, person: str) -> None:
    client.force_login(getattr(cast, person))

    page = body(client.get(SERVICE))

    assert f"{NEW}?type=service" not in page
    assert "alice@example.com" in page


def test_a_read_only_member_has_no_service_form(client: Client, cast: Cast) -> None:
    client.force_login(cast.charlie)

    page = body(client.get(NEW, {"type": "service"}))

    assert "You cannot make service keys" in page
    assert 'name="space_role"' not in page
    assert re.search(r'value="USER" checked', page)
    assert client.post(NEW, filled_service(client, (cast.production, "READ_ONLY"))).status_code == 403
    assert not ApiKey.objects.exists()
    assert AuditEvent.objects.filter(tag="key:create", outcome="REFUSED", actor_id=cast.charlie.pk).exists()


def test_a_space_admin_is_who_to_ask(client: Client, cast: Cast) -> None:
    bind(cast.erin, cast.production, RoleName.ADMIN)
    client.force_login(cast.charlie)

    assert "erin@example.com" in body(client.get(SERVICE))


def test_the_accounts_lock_is_explained(bob: Client, cast: Cast) -> None:
    form = filled(bob)
    cast.account.developer_access_locked = True
    cast.account.save()

    for url in (LIST, SERVICE, NEW):
        assert "developer access lock is on" in body(bob.get(url))
    assert bob.post(NEW, form).status_code == 403
    assert not ApiKey.objects.exists()
    assert AuditEvent.objects.filter(tag="key:create", outcome="REFUSED").exists()


def test_missing_developer_access_is_explained(bob: Client, cast: Cast) -> None:
    AccountBinding.objects.filter(user=cast.bob).update(is_developer=False)

    page = body(bob.get(NEW))

    assert "You have no developer access" in page
    assert "alice@example.com" in page
    assert "Create Key" not in page


def test_expiry_is_capped_by_the_accounts_limit(bob: Client, cast: Cast) -> None:
    cast.account.max_key_lifetime_days = 60
    cast.account.save()

    page = body(bob.get(NEW))
    assert "In 30 days" in page
    assert "In 90 days" not in page
    assert "Keys of this account live at most 60 days." in page

    too_late = {"expires": "custom", "expires_on": later(days=61).date().isoformat()}
    assert bob.post(NEW, filled(bob, **too_late)).status_code == 422
    bob.post(NEW, filled(bob, expires="longest"))
    expires_at = ApiKey.objects.get().expires_at
    assert expires_at
    assert abs(expires_at - later(days=60)) < timedelta(minutes=1)


def test_pages_hold_no_inline_style_script_or_handler(client: Client, cast: Cast) -> None:
    """security.md 34."""
    client.force_login(cast.alice)
    key = service_key(cast.alice, cast.production).key
    pages = [
        client.get(url) for url in (LIST, SERVICE, NEW, f"{LIST}{key.wire_id}/refresh/", f"{LIST}{key.wire_id}/revoke/")
    ]
    pages.append(client.post(NEW, filled(client)))

    for response in pages:
        page = body(response)
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
        assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []
        policy = response["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


# ---- Refreshing ----


def refresh_form(client: Client, key: ApiKey, **changes: str) -> dict[str, str]:
    page = client.get(f"{LIST}{key.wire_id}/refresh/")
    return {
        "nonce": nonce_of(page),
        "grace": "0",
        "expires": "never" if key.expires_at is None else "longest",
    } | changes


def test_refresh_with_grace_keeps_both_secrets_for_a_while(bob: Client, cast: Cast) -> None:
    made = user_key(cast.bob, cast.account)

    response = bob.post(f"{LIST}{made.key.wire_id}/refresh/", refresh_form(bob, made.key, grace="3600"))

    fresh = secret_in(response)
    assert fresh != made.plaintext
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]
    assert verify(made.plaintext, at=timezone.now()).key_id == made.key.pk
    old = KeySecret.objects.get(superseded_at__isnull=False)
    assert old.ends_at
    assert abs(old.ends_at - later(hours=1)) < timedelta(minutes=1)
    assert "old secret ends" in body(bob.get(LIST))


def test_refresh_again_with_the_same_form_does_nothing(bob: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key
    form, url = refresh_form(bob, key), f"{LIST}{key.wire_id}/refresh/"
    bob.post(url, form)

    again = bob.post(url, form)

    assert again.status_code == 409
    assert not KEY_TEXT.search(body(again))
    assert KeySecret.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"grace": "custom", "grace_seconds": "86401"}, "less than or equal to 86400"),
        ({"grace": "custom"}, "for how many seconds"),
        ({"grace": "5"}, "not one of the available choices"),
        ({"expires": "custom", "expires_on": "2020-01-01"}, "This day is over"),
        ({"expires": "custom"}, "Choose the last day"),
    ],
)
def test_refresh_explains_what_is_wrong(bob: Client, cast: Cast, changes: dict[str, str], said: str) -> None:
    key = user_key(cast.bob, cast.account).key

    response = bob.post(f"{LIST}{key.wire_id}/refresh/", refresh_form(bob, key, **changes))

    assert response.status_code == 422
    assert said in body(response)
    assert KeySecret.objects.count() == 1


def test_refresh_never_lengthens_a_life(bob: Client, cast: Cast) -> None:
    end = later(days=10)
    key = user_key(cast.bob, cast.account, expires_at=end).key
    url = f"{LIST}{key.wire_id}/refresh/"

    page = body(bob.get(url))
    assert "As before:" in page
    assert "Never</option>" not in page
    beyond = {"expires": "custom", "expires_on": later(days=12).date().isoformat()}
    assert bob.post(url, refresh_form(bob, key, **beyond)).status_code == 422

    assert secret_in(bob.post(url, refresh_form(bob, key)))
    key.refresh_from_db()
    assert key.expires_at == end


def test_a_revoked_key_cannot_be_refreshed(bob: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key
    bob.post(f"{LIST}{key.wire_id}/revoke/")

    response = bob.get(f"{LIST}{key.wire_id}/refresh/", follow=True)

    assert "is revoked, so it cannot be refreshed" in body(response)


# ---- Revoking ----


def test_revoke_asks_by_name_and_says_who_used_it_last(bob: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account, "nightly export").key
    used(key, ip="192.0.2.7", client="curl/8.5", at=timezone.now())

    page = body(bob.get(f"{LIST}{key.wire_id}/revoke/"))

    assert "Revoke ‘<bdi>nightly export</bdi>’?" in page
    assert "by <bdi>Bob Baker</bdi> from 192.0.2.0/24" in page
    assert "(<bdi>curl 8</bdi>)" in page
    assert "192.0.2.7" not in page  # colleagues look at it too
    assert "1 time since" in page
    assert "Something is using this key" in page


def test_revoke_ends_the_key_at_once(bob: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account, "nightly export").key

    response = bob.post(f"{LIST}{key.wire_id}/revoke/", follow=True)

    key.refresh_from_db()
    assert key.revoked_at is not None
    assert response.redirect_chain == [(LIST, 302)]
    assert "Revoked ‘nightly export’. It is refused from now on." in body(response)


def test_revoke_twice_is_harmless(bob: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key
    url = f"{LIST}{key.wire_id}/revoke/"
    bob.post(url)

    assert bob.post(url).status_code == 302
    assert AuditEvent.objects.filter(tag="key:revoke").count() == 1


# ---- 404 and 403 ----


@pytest.mark.parametrize("verb", ["refresh", "revoke"])
def test_what_one_may_not_see_does_not_exist(bob: Client, cast: Cast, verb: str) -> None:
    hers = user_key(cast.alice, cast.account).key
    vision = service_key(cast.alice, cast.vision_lab).key
    foreign = user_key(cast.mallory, cast.elsewhere.organization.account).key

    for key in (hers, vision, foreign):
        assert bob.get(f"{LIST}{key.wire_id}/{verb}/").status_code == 404
        assert bob.post(f"{LIST}{key.wire_id}/{verb}/").status_code == 404
    for rubbish in ("nonsense", "QXBpS2V5OjE6eHh4eA==", "%00"):
        assert bob.get(f"{LIST}{rubbish}/{verb}/").status_code == 404


@pytest.mark.parametrize("verb", ["refresh", "revoke"])
def test_what_one_sees_but_may_not_do_is_forbidden(bob: Client, cast: Cast, verb: str) -> None:
    key = service_key(cast.alice, cast.production).key

    response = bob.get(f"{LIST}{key.wire_id}/{verb}/")

    assert response.status_code == 403
    assert "admins of all its spaces" in body(response)
    assert f"{key.wire_id}/{verb}/" not in body(bob.get(SERVICE))


def test_a_forbidden_post_is_recorded(bob: Client, cast: Cast) -> None:
    """security.md 45."""
    key = service_key(cast.alice, cast.production).key

    assert bob.post(f"{LIST}{key.wire_id}/revoke/").status_code == 403

    assert AuditEvent.objects.filter(tag="key:revoke", outcome="REFUSED", actor_id=cast.bob.pk).exists()


def test_somebody_in_no_account_is_told(client: Client, cast: Cast) -> None:
    lone = User.objects.create_user("lone@example.com", "x", name="Lone")
    client.force_login(lone)

    response = client.get(LIST)

    assert response.status_code == 403
    assert "no account has you as a member" in body(response)


# ---- Recent sign-in ----


def age(client: Client, minutes: float) -> None:
    session = client.session
    session[AUTHENTICATED_AT] = int(time.time() - minutes * 60)
    session.save()


def test_creating_and_refreshing_want_a_recent_sign_in(bob: Client, cast: Cast) -> None:
    """security.md 38."""
    key = user_key(cast.bob, cast.account).key
    age(bob, 61)

    for url in (NEW, f"{LIST}{key.wire_id}/refresh/"):
        response = bob.get(url)
        assert response.status_code == 302
        assert response["Location"].startswith(reverse("accounts:confirm"))
    for url in (LIST, SERVICE, f"{LIST}{key.wire_id}/revoke/"):
        assert bob.get(url).status_code == 200


def test_a_filled_form_is_not_lost_to_the_clock(bob: Client) -> None:
    form = filled(bob)

    age(bob, 70)
    assert secret_in(bob.post(NEW, form))
    form = form | {"nonce": "any"}
    age(bob, 76)
    response: HttpResponse = bob.post(NEW, form)  # type: ignore[assignment]  # the test client's own response class
    assert response["Location"].startswith(f"{reverse('accounts:confirm')}?next=%2Fsettings%2Fapi-keys%2Fnew%2F")


def test_a_session_without_a_time_counts_as_old(bob: Client) -> None:
    session = bob.session
    del session[AUTHENTICATED_AT]
    session.save()

    assert bob.get(NEW).status_code == 302


# ---- The scope chosen at the top of the page ----


def test_the_chosen_space_narrows_the_list_and_comes_first_in_the_form(client: Client, cast: Cast) -> None:
    service_key(cast.alice, cast.production, name="for production")
    service_key(cast.alice, cast.vision_lab, name="for vision")
    client.force_login(cast.alice)
    session = client.session
    session[SESSION_ORGANIZATION], session[SESSION_SPACE] = cast.research.pk, cast.vision_lab.pk
    session.save()

    page, form = body(client.get(SERVICE)), body(client.get(f"{NEW}?type=service"))

    assert "for vision" in page
    assert "for production" not in page
    assert f'<option value="{cast.vision_lab.pk}" selected>' in form


@pytest.mark.parametrize(
    "address",
    [
        "/settings/api-keys/?q={}",
        "/settings/members/?q={}",
        "/settings/audit/?person=x%20{}",
        "/settings/api-keys/new/?{}",
    ],
)
def test_key_typed_into_a_search_leaves_the_address_and_is_marked(
    client: Client, cast: Cast, address: str
) -> None:  # security 27
    made = user_key(cast.bob, cast.account, "laptop")
    client.force_login(cast.alice)

    response = client.get(address.format(made.plaintext))

    assert response.status_code == 302
    assert response["Location"] == address.split("?")[0]
    page = body(client.get("/settings/api-keys/"))
    assert "does not belong in a search" in page
    assert made.plaintext not in page
    assert ApiKey.objects.get(pk=made.key.pk).exposed_at is not None
    client.force_login(cast.bob)
    assert "Exposed" in body(client.get(LIST))
    assert client.get("/settings/api-keys/?q=ak-laptop").status_code == 200


# Why


def _why(key: ApiKey) -> str:
    return reverse("apikeys:why", args=[key.wire_id])


def test_why_starts_with_a_question_and_helps(bob: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account, "mine").key

    page = body(bob.get(_why(key)))

    assert "Nothing asked yet" in page
    assert "production" in page
    assert "vision-lab" not in page  # which he does not see
    assert "The one before the last refresh" not in page
    assert _why(key) in body(bob.get(LIST))


def test_why_tells_the_ladder_and_what_decided(bob: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key
    space = encode_id("Space", cast.production.pk)

    may = body(bob.get(_why(key), {"space": space, "permission": "DATASET_CREATE"}))
    may_not = body(bob.get(_why(key), {"space": space, "permission": "SPACE_DELETE"}))

    assert "The key may DATASET_CREATE in production." in may
    assert may.count(">Decided<") == may_not.count(">Decided<") == 1
    assert "Member in production, which permits DATASET_CREATE." in may
    assert "No role that counts here permits SPACE_DELETE." in may_not


def test_why_of_the_secret_before_the_last_refresh(bob: Client, cast: Cast) -> None:
    key = user_key(cast.bob, cast.account).key
    refresh_key(cast.actor(cast.bob), key, at=timezone.now())

    assert "The key opens." in body(bob.get(_why(key), {"space": ""}))
    assert "The key opens nothing." in body(bob.get(_why(key), {"space": "", "secret": "previous"}))


def test_why_is_nobody_elses_business(bob: Client, cast: Cast) -> None:
    mine, hers = user_key(cast.bob, cast.account).key, user_key(cast.alice, cast.account).key

    assert bob.get(_why(hers)).status_code == 404
    for space in (cast.vision_lab, cast.elsewhere):
        assert bob.get(_why(mine), {"space": encode_id("Space", space.pk)}).status_code == 404
    assert bob.get(_why(mine), {"space": "nonsense"}).status_code == 404
    assert "Select a valid choice" in body(bob.get(_why(mine), {"space": "", "permission": "FLY"}))


def test_why_offers_the_spaces_whose_keys_one_may_read(bob: Client, cast: Cast) -> None:
    key = service_key(cast.alice, cast.production, cast.vision_lab).key
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.staging).delete()
    bind(cast.bob, cast.staging, RoleName.READ_ONLY)

    offered = re.findall(r'<option value="[^"]+">([\w-]+)</option>', body(bob.get(_why(key))))

    assert [name for name in offered if name in ("production", "staging", "vision-lab")] == ["production"]
