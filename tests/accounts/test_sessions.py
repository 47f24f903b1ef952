"""Signing in and out, and failing to: who gets in, who is locked out, what the audit log keeps (security.md 21, 45)."""

from __future__ import annotations

import pytest
from axes.models import AccessAttempt
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.audit import Tag
from accounts.models import AuditEvent, User
from accounts.sessions import attempted_name
from apikeys.tokens import mint
from tests.cast import Cast
from tests.factories import PASSWORD, AccountFactory, PersonFactory, bind, service_key

pytestmark = pytest.mark.django_db

SIGN_IN = "/sign-in/"


def sign_in(client: Client, email: str, password: str = PASSWORD, **extra: str) -> int:
    return client.post(SIGN_IN, {"username": email, "password": password, **extra}).status_code


def events(tag: Tag) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(tag=tag).order_by("pk"))


def test_signing_in_leads_to_the_keys_and_is_recorded(client: Client, cast: Cast) -> None:
    response = client.post(SIGN_IN, {"username": "bob@example.com", "password": PASSWORD})

    assert (response.status_code, response["Location"]) == (302, reverse("apikeys:list"))
    (event,) = events(Tag.SIGNED_IN)
    assert (event.actor_id, event.account_id, event.ip) == (cast.bob.pk, cast.account.pk, "127.0.0.1")
    assert (event.door, event.outcome) == ("browser", "SUCCEEDED")


def test_an_account_that_merely_added_a_person_learns_nothing_of_their_sign_ins(client: Client, cast: Cast) -> None:
    bind(cast.bob, AccountFactory.create(name="Other"), "MEMBER")

    sign_in(client, "bob@example.com", "wrong")
    sign_in(client, "bob@example.com")
    client.post("/sign-out/")

    told = AuditEvent.objects.filter(tag__startswith="session:").values_list("tag", "account_id").order_by("pk")
    assert list(told) == [(tag, cast.account.pk) for tag in (Tag.SIGN_IN_FAILED, Tag.SIGNED_IN, Tag.SIGNED_OUT)]


def test_signing_out_is_a_post_and_is_recorded(client: Client, cast: Cast) -> None:
    client.force_login(cast.bob)

    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/")["Location"] == SIGN_IN

    assert client.get("/settings/audit/").status_code == 302
    assert [event.actor_id for event in events(Tag.SIGNED_OUT)] == [cast.bob.pk]


@pytest.mark.parametrize(
    "asked", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_next_never_leads_elsewhere(client: Client, cast: Cast, asked: str) -> None:
    response = client.post(SIGN_IN, {"username": "bob@example.com", "password": PASSWORD, "next": asked})

    assert response["Location"] == reverse("apikeys:list")


def test_next_leads_to_our_own_pages(client: Client, cast: Cast) -> None:
    asked = "/settings/audit/?person=bob"

    response = client.post(SIGN_IN, {"username": "bob@example.com", "password": PASSWORD, "next": asked})

    assert response["Location"] == asked


def test_a_wrong_password_is_refused_and_recorded_without_it(client: Client, cast: Cast) -> None:
    response = client.post(SIGN_IN, {"username": "Bob@Example.com", "password": "wrong-but-secret"})

    assert response.status_code == 200
    assert "do not belong together" in response.content.decode()
    (event,) = events(Tag.SIGN_IN_FAILED)
    assert (event.actor_id, event.actor_label, event.target_id) == (None, "bob@example.com", cast.bob.pk)
    assert (event.account_id, event.outcome, event.details) == (cast.account.pk, "REFUSED", {"reason": "password"})


def test_an_unknown_address_sounds_the_same_and_stays_out_of_every_account(client: Client, cast: Cast) -> None:
    known = client.post(SIGN_IN, {"username": "bob@example.com", "password": "wrong"}).content.decode()
    unknown = client.post(SIGN_IN, {"username": "nobody@example.com", "password": "wrong"}).content.decode()

    assert _without_varying(known) == _without_varying(unknown)
    event = events(Tag.SIGN_IN_FAILED)[-1]
    assert (event.account_id, event.target_id, event.actor_label) == (None, None, "nobody@example.com")


def test_a_password_typed_into_the_name_is_not_kept(client: Client, cast: Cast) -> None:
    sign_in(client, "hunter2-typed-one-field-too-early", "x")

    (event,) = events(Tag.SIGN_IN_FAILED)
    assert event.actor_label == "somebody unknown"
    (attempt,) = AccessAttempt.objects.values()
    assert attempt["username"] == "(not an address)"
    assert "hunter2" not in str(attempt)


def test_a_password_with_an_at_sign_in_it_is_not_kept_either(client: Client, cast: Cast) -> None:
    sign_in(client, "P@ssw0rd! of mine", "x")

    assert "ssw0rd" not in str(list(AccessAttempt.objects.values())).lower()


def test_what_is_no_address_is_counted_and_locks_no_person(client: Client, cast: Cast) -> None:
    for number in range(10):
        client.post(SIGN_IN, {"username": f"typed wrongly {number}", "password": "wrong"})

    assert sign_in(client, "typed wrongly again") == 429
    assert sign_in(client, "bob@example.com") == 302


@pytest.mark.parametrize("field", ["username", "password"])
def test_a_key_signs_nobody_in_and_is_kept_nowhere(client: Client, cast: Cast, field: str) -> None:
    """Security.md 14: no page turns a key into a session."""
    key = mint().plaintext
    form = {"username": "bob@example.com", "password": PASSWORD} | {field: key}

    response = client.post(SIGN_IN, form)

    assert "That is an API key" in response.content.decode()
    assert key not in response.content.decode()
    assert not AuditEvent.objects.filter(tag=Tag.SIGN_IN_FAILED).exists()
    assert not AccessAttempt.objects.exists()


def test_a_bot_never_signs_in(client: Client, cast: Cast) -> None:
    """Security.md 21."""
    bot = service_key(cast.bob, cast.production).key.owner

    assert sign_in(client, bot.email, "") == 200
    assert sign_in(client, bot.email, "!") == 200
    assert "_auth_user_id" not in client.session
    client.post("/password/forgot/", {"email": bot.email})
    assert User.objects.get(pk=bot.pk).password.startswith("!")


def test_a_removed_person_is_refused(client: Client, cast: Cast) -> None:
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)

    assert sign_in(client, "bob@example.com") == 200

    assert events(Tag.SIGN_IN_FAILED)[0].details == {"reason": "inactive"}


def test_ten_wrong_passwords_lock_the_name_whatever_its_spelling(client: Client, cast: Cast) -> None:
    for spelling in ("bob@example.com", "BOB@example.com", " Bob@Example.COM ") * 4:
        response = client.post(SIGN_IN, {"username": spelling, "password": "wrong"})

    assert response.status_code == 429
    assert "Too many wrong passwords" in response.content.decode()
    assert sign_in(client, "bob@example.com") == 429
    assert sign_in(client, "charlie@example.com") == 302
    assert events(Tag.SIGN_IN_FAILED)[-1].details == {"reason": "locked"}


def test_failures_are_counted_under_one_spelling_whichever_form_was_used(rf: RequestFactory) -> None:
    request = rf.post("/", {"username": " Eve@Example.com"})
    key = mint().plaintext

    assert attempted_name(request, None) == "eve@example.com"
    assert attempted_name(request, {"username": "BOB@example.com "}) == "bob@example.com"
    assert key.lower() not in attempted_name(request, {"username": key}).lower()


def test_an_operator_in_no_account_leaves_an_event_of_the_installation_and_is_told_where_to_go(client: Client) -> None:
    operator = PersonFactory.create(is_staff=True, is_superuser=True)

    response = client.post(SIGN_IN, {"username": operator.email, "password": PASSWORD}, follow=True)

    assert response.status_code == 403
    assert 'href="/admin/"' in response.content.decode()
    (event,) = events(Tag.SIGNED_IN)
    assert (event.account_id, event.actor_id) == (None, operator.pk)


def _without_varying(page: str) -> str:
    lines = page.replace("nobody@example.com", "bob@example.com").splitlines()
    return "\n".join(line for line in lines if "csrfmiddlewaretoken" not in line)
