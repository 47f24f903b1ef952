"""Confirming, changing, resetting passwords: recent sign-in (security.md 38), one-time links, no telling who exists."""

from __future__ import annotations

import re
import time
from datetime import datetime

import pytest
from axes.models import AccessAttempt
from django.core import mail as outbox
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory

from accounts import mail
from accounts.audit import Tag
from accounts.forms import ChangePasswordForm, NewPasswordForm
from accounts.models import AuditEvent, User
from accounts.recent import AUTHENTICATED_AT
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import PASSWORD, service_key

pytestmark = pytest.mark.django_db

NEW = "a new battery for the old horse"
FORGOT = "/password/forgot/"


@pytest.fixture(autouse=True)
def _no_pauses() -> None:
    cache.clear()


def mails() -> list[str]:
    """Wait for what is sent behind the page's back, and return the bodies of all mails."""
    mail._postman.submit(lambda: None).result()
    return [str(message.body) for message in outbox.outbox]


def link_in(body: str) -> str:
    found = re.search(r"http://testserver(/\S+)", body)
    assert found
    return found[1]


def minutes_ago(client: Client, minutes: int) -> None:
    session = client.session
    session[AUTHENTICATED_AT] = int(time.time()) - minutes * 60
    session.save()


def test_an_old_sign_in_is_confirmed_and_leads_on(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    minutes_ago(client, 61)

    asked = client.get("/settings/members/invite/")
    assert asked["Location"] == "/confirm/?next=%2Fsettings%2Fmembers%2Finvite%2F"
    wrong = client.post("/confirm/", {"password": "wrong", "next": "/settings/members/invite/"})
    assert "This is not your password" in wrong.content.decode()
    right = client.post("/confirm/", {"password": PASSWORD, "next": "/settings/members/invite/"})

    assert right["Location"] == "/settings/members/invite/"
    assert client.get("/settings/members/invite/").status_code == 200


def test_a_form_filled_in_slowly_still_goes_through_and_a_very_old_one_says_nothing_was_done(
    client: Client, cast: Cast
) -> None:
    """Security.md 38: the page is judged at N minutes, what is sent from it at N + 15."""
    client.force_login(cast.alice)
    form = {"email": "new@example.com", "name": "New", "role": "MEMBER"}
    minutes_ago(client, 74)

    assert client.get("/settings/members/invite/").status_code == 302
    assert client.post("/settings/members/invite/", form).status_code == 200
    minutes_ago(client, 76)
    late = client.post("/settings/members/invite/", form | {"email": "late@example.com"})

    assert late["Location"].endswith("&sent=1")
    assert "Nothing was changed yet" in client.get(late["Location"]).content.decode()
    assert not User.objects.filter(email="late@example.com").exists()


def test_confirming_counts_wrong_passwords_like_signing_in(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)

    for _ in range(11):
        response = client.post("/confirm/", {"password": "wrong"})

    assert response.status_code == 429
    event = AuditEvent.objects.filter(tag=Tag.SIGN_IN_FAILED).latest("pk")
    assert (event.actor_id, event.account_id) == (cast.alice.pk, cast.account.pk)


def test_confirming_leads_nowhere_else(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)

    response = client.post("/confirm/", {"password": PASSWORD, "next": "https://evil.example/"})

    assert response["Location"] == "/settings/api-keys/"


def test_changing_the_password_ends_other_sessions_and_is_mailed_and_recorded(client: Client, cast: Cast) -> None:
    elsewhere = Client()
    elsewhere.force_login(cast.bob)
    client.force_login(cast.bob)

    form = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
    response = client.post("/password/", form)

    assert response.status_code == 302
    assert client.get("/settings/audit/").status_code == 200
    assert elsewhere.get("/settings/audit/").status_code == 302
    assert [message.to for message in outbox.outbox] == [["bob@example.com"]]
    assert AuditEvent.objects.get(tag=Tag.PASSWORD_CHANGED).actor_id == cast.bob.pk


@pytest.mark.parametrize("old_password", [PASSWORD, None])
def test_a_new_password_undoes_nothing_that_happened_while_it_was_hashed(
    cast: Cast, rf: RequestFactory, old_password: str | None
) -> None:
    new = {"new_password1": NEW, "new_password2": NEW}
    form = (
        ChangePasswordForm(cast.bob, new | {"old_password": old_password}, request=rf.post("/password/"))
        if old_password
        else NewPasswordForm(cast.bob, new)
    )
    assert form.is_valid()

    User.objects.filter(pk=cast.bob.pk).update(name="Robert Baker")
    form.save()
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)
    with pytest.raises(PermissionDenied):
        form.save()

    bob = User.objects.get(pk=cast.bob.pk)
    assert (bob.name, bob.is_active, bob.check_password(NEW)) == ("Robert Baker", False, True)


def test_a_weak_new_password_is_refused_at_its_field(client: Client, cast: Cast) -> None:
    client.force_login(cast.bob)

    response = client.post("/password/", {"old_password": PASSWORD, "new_password1": "bob", "new_password2": "bob"})

    assert "too short" in response.content.decode()
    assert User.objects.get(pk=cast.bob.pk).check_password(PASSWORD)


def test_resetting_works_once_and_forgets_wrong_guesses(client: Client, cast: Cast) -> None:
    for _ in range(11):
        client.post("/sign-in/", {"username": "bob@example.com", "password": "wrong"})
    client.post(FORGOT, {"email": " BOB@example.com"})
    (body,) = mails()
    link = link_in(body)

    page = client.get(link, follow=True)
    assert "token" not in page.request["PATH_INFO"]
    assert link not in page.request["PATH_INFO"]
    done = client.post(page.request["PATH_INFO"], {"new_password1": NEW, "new_password2": NEW})

    assert done["Location"] == "/sign-in/"
    assert "_auth_user_id" not in client.session
    assert not AccessAttempt.objects.exists()
    assert client.post("/sign-in/", {"username": "bob@example.com", "password": NEW}).status_code == 302
    again = Client().get(link, follow=True)
    assert "This link has run out" in again.content.decode()


def test_a_link_runs_out_after_half_an_hour(client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client.post(FORGOT, {"email": "bob@example.com"})
    (body,) = mails()

    monkeypatch.setattr("accounts.mail.ResetTokens._num_seconds", lambda self, moment: _seconds(moment) + 31 * 60)

    assert "This link has run out" in client.get(link_in(body), follow=True).content.decode()


def test_asking_for_a_reset_tells_nobody_who_exists(client: Client, cast: Cast) -> None:
    known = client.post(FORGOT, {"email": "bob@example.com"}, follow=True)
    unknown = client.post(FORGOT, {"email": "nobody@example.com"}, follow=True)

    assert known.content == unknown.content
    assert known.redirect_chain == unknown.redirect_chain
    assert len(mails()) == 1


def test_asking_for_a_reset_is_recorded_as_what_it_is(client: Client, cast: Cast) -> None:
    """Anybody can ask in a person's name: the event says for whom, and not that it was they."""
    client.post(FORGOT, {"email": "bob@example.com"})
    client.post(FORGOT, {"email": "bob@example.com"})
    client.post(FORGOT, {"email": "nobody@example.com"})

    (event,) = AuditEvent.objects.filter(tag=Tag.PASSWORD_RESET_ASKED)
    assert (event.account_id, event.actor_id, event.target_id) == (cast.account.pk, None, cast.bob.pk)
    assert (event.actor_label, event.ip, event.door) == ("bob@example.com", "127.0.0.1", "browser")


def test_no_reset_for_bots_the_invited_and_the_removed(client: Client, cast: Cast) -> None:
    """Security.md 21."""
    bot = service_key(cast.bob, cast.production).key.owner
    User.objects.filter(pk=cast.erin.pk).update(is_active=False)
    User.objects.filter(pk=cast.dana.pk).update(joined_at=None)

    for email in (bot.email, "erin@example.com", "dana@example.com"):
        client.post(FORGOT, {"email": email})

    assert mails() == []


def test_a_person_is_not_flooded_with_mail(client: Client, cast: Cast) -> None:
    for _ in range(3):
        client.post(FORGOT, {"email": "bob@example.com"})

    assert len(mails()) == 1


def test_a_host_that_is_not_ours_gets_no_link(client: Client, cast: Cast) -> None:
    response = client.post(FORGOT, {"email": "bob@example.com"}, headers={"host": "evil.example"})

    assert response.status_code == 400
    assert mails() == []


def test_an_admin_has_a_link_mailed_and_never_sees_it(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    page = f"/settings/members/{_wire(cast.bob)}/"

    response = client.post(f"{page}reset/", follow=True)

    (body,) = mails()
    assert link_in(body) not in response.content.decode()
    client.force_login(cast.charlie)
    assert client.post(f"{page}reset/").status_code == 403


def _seconds(moment: datetime) -> int:
    return int((moment - datetime(2001, 1, 1)).total_seconds())


def _wire(user: User) -> str:
    return encode_id("User", user.pk)


def test_guesses_of_the_current_password_are_counted_and_locked_out(client: Client, cast: Cast) -> None:
    client.force_login(cast.bob)
    new = {"new_password1": "another long pass phrase", "new_password2": "another long pass phrase"}

    answers = [client.post("/password/", {"old_password": f"guess {n}"} | new).status_code for n in range(11)]
    client.post("/password/", {"old_password": "correct horse battery staple"} | new)

    assert answers[0] == 200
    assert answers[-1] in (403, 429)
    cast.bob.refresh_from_db()
    assert cast.bob.check_password("correct horse battery staple")
