"""Invitations pending: who sees what of them, looking at a link, withdrawing, and passwords that are temporary."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as outbox
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import invitations
from accounts.audit import Tag
from accounts.bindings import predefined
from accounts.invitations import InviteMode
from accounts.models import AccountBinding, AuditEvent, User
from accounts.people import invite_person
from accounts.recent import AUTHENTICATED_AT
from accounts.roles import Level, RoleName
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import AccountFactory, bind, user_key

pytestmark = pytest.mark.django_db

INVITATIONS = "/settings/members/invitations/"
INVITE = "/settings/members/invite/"
FIRST = "/password/first/"
NINA = {"email": "nina@example.com", "name": "Nina Novak", "role": "MEMBER"}
OWN = "nine lives of a patient cat"


def body(response: Any) -> str:
    return str(response.content.decode())


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(user: User, rest: str = "") -> str:
    return f"/settings/members/{encode_id('User', user.pk)}/{rest}"


def invited(cast: Cast, name: str = "nina", *, days_ago: int = 0, by: User | None = None, **options: Any) -> User:
    return invite_person(
        cast.actor(by or cast.alice),
        email=f"{name}@example.com",
        name=name.title(),
        role=predefined(Level.ACCOUNT, RoleName.MEMBER),
        at=timezone.now() - timedelta(days=days_ago),
        **options,
    ).user


def rows(response: Any) -> dict[str, dict[str, Any]]:
    return {row["member"].user.name: row for row in response.context["rows"]}


def with_temporary_password(cast: Cast) -> tuple[User, str]:
    answer = signed_in(cast.alice).post(INVITE, NINA | {"mode": "TEMPORARY_PASSWORD"})
    return User.objects.get(email="nina@example.com"), str(answer.context["password"])


def sign_in(password: str, **extra: str) -> tuple[Client, Any]:
    client = Client()
    answer = client.post("/sign-in/", {"username": "nina@example.com", "password": password} | extra)
    return client, answer


# ---- The list


def test_whoever_has_not_come_is_listed_with_who_invited_them_and_until_when(cast: Cast) -> None:
    invited(cast, "nina", days_ago=2, by=cast.bob, places=())
    invited(cast, "old", days_ago=8)
    invited(cast, "told", mode=InviteMode.TEMPORARY_PASSWORD)

    page = signed_in(cast.alice).get(INVITATIONS)

    told = {name: (row["by"], row["expired"], row["by_password"]) for name, row in rows(page).items()}
    assert told == {
        "Nina": ("Bob Baker", False, False),
        "Old": ("Alice Archer", True, False),
        "Told": ("Alice Archer", False, True),
    }
    nina = rows(page)["Nina"]
    assert nina["until"] - nina["sent"] == timedelta(days=7)
    assert "in 5 days" in body(page)
    assert "Expired" in body(page)


def test_narrowing_by_status_and_name(cast: Cast) -> None:
    invited(cast, "nina")
    invited(cast, "old", days_ago=8)
    client = signed_in(cast.alice)

    assert set(rows(client.get(INVITATIONS, {"status": "invited"}))) == {"Nina"}
    assert set(rows(client.get(INVITATIONS, {"status": "expired"}))) == {"Old"}
    assert set(rows(client.get(INVITATIONS, {"q": "OLD@"}))) == {"Old"}
    assert "No invitation matches" in body(client.get(INVITATIONS, {"q": "zebra"}))
    assert client.get(INVITATIONS, {"after": "rubbish"})["Location"] == INVITATIONS


def test_nobody_waiting_is_said(cast: Cast) -> None:
    page = body(signed_in(cast.alice).get(INVITATIONS))

    assert "Nobody is waiting" in page
    assert "Bob Baker" not in page


def test_members_may_send_again_and_admins_do_the_rest(cast: Cast) -> None:
    user = invited(cast)
    admin, member = body(signed_in(cast.alice).get(INVITATIONS)), body(signed_in(cast.bob).get(INVITATIONS))

    assert all(page_of(user, part) in admin for part in ("resend/", "invitation/", "invitation/withdraw/"))
    assert page_of(user, "resend/") in member
    assert page_of(user, "invitation/") not in member
    assert signed_in(cast.bob).post(page_of(user, "invitation/")).status_code == 403
    for method in ("get", "post"):
        assert getattr(signed_in(cast.bob), method)(page_of(user, "invitation/withdraw/")).status_code == 403
    assert signed_in(cast.dana).get(INVITATIONS, follow=True).status_code == 403
    assert AccountBinding.objects.filter(user=user).exists()


def test_people_of_other_accounts_do_not_exist(cast: Cast) -> None:
    user = invited(cast)
    client = signed_in(cast.mallory)

    assert "Nina" not in body(client.get(INVITATIONS))
    assert client.post(page_of(user, "invitation/")).status_code == 404
    assert client.post(page_of(user, "invitation/withdraw/")).status_code == 404


def test_a_page_costs_the_same_for_one_and_thirty(cast: Cast) -> None:
    client, counts = signed_in(cast.alice), []
    for extra in (1, 2, 27):
        for number in range(extra):
            bind(invited(cast, f"n{extra}x{number}"), cast.fraud, RoleName.MEMBER)
        with CaptureQueriesContext(connection) as queries:
            client.get(INVITATIONS)
        counts.append(len(queries))

    assert len(set(counts)) == 1, counts


# ---- The link


def test_the_link_shown_later_is_the_one_that_was_mailed_and_looking_is_recorded(cast: Cast) -> None:
    client = signed_in(cast.alice)
    client.post(INVITE, NINA)
    mailed = re.search(r"http://testserver/invitation/\S+", str(outbox.outbox[-1].body))
    user = User.objects.get(email="nina@example.com")

    shown = client.post(page_of(user, "invitation/"))

    assert mailed is not None
    assert shown.context["link"] == mailed[0]
    assert shown["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    assert shown["Referrer-Policy"] == "no-referrer"
    assert len(outbox.outbox) == 1
    event = AuditEvent.objects.get(tag=Tag.INVITATION_SHOWN)
    assert (event.actor_id, event.target_id) == (cast.alice.pk, user.pk)
    assert mailed[0].rsplit("/", 2)[1] not in str(vars(event))
    assert client.get(page_of(user, "invitation/")).status_code == 405


def test_looking_at_a_link_does_not_lengthen_its_life(cast: Cast) -> None:
    user = invited(cast, days_ago=6)
    link = invitations.link(user, "http://testserver/")

    assert "Welcome" in body(Client().get(link, follow=True))
    User.objects.filter(pk=user.pk).update(invited_at=timezone.now() - timedelta(days=8))
    user.refresh_from_db()

    assert "This invitation has run out" in body(
        Client().get(invitations.link(user, "http://testserver/"), follow=True)
    )


def test_a_link_that_no_longer_works_is_not_shown(cast: Cast) -> None:
    old, told = invited(cast, "old", days_ago=8), invited(cast, "told", mode=InviteMode.TEMPORARY_PASSWORD)
    client = signed_in(cast.alice)

    for user in (old, told, cast.bob):
        answer = client.post(page_of(user, "invitation/"), follow=True)
        assert "has no invitation with a link that works" in body(answer)
        assert "/invitation/" not in re.sub(r"/settings/members/[^\"]*", "", body(answer))
    assert not AuditEvent.objects.filter(tag=Tag.INVITATION_SHOWN, outcome="SUCCEEDED").exists()


def test_whose_link_opens_another_account_too_is_shown_to_nobody(cast: Cast) -> None:
    user = invited(cast)
    bind(user, AccountFactory.create(), RoleName.MEMBER)

    assert signed_in(cast.alice).post(page_of(user, "invitation/")).status_code == 403


# ---- Withdrawing


def test_withdrawing_asks_ends_the_link_and_leaves_the_list(cast: Cast) -> None:
    user = invited(cast)
    link, client = invitations.link(user, "http://testserver/"), signed_in(cast.alice)

    asked = body(client.get(page_of(user, "invitation/withdraw/")))
    done = client.post(page_of(user, "invitation/withdraw/"))

    assert "cannot be invited again from here" in asked
    assert done["Location"] == INVITATIONS
    assert "Nina" not in body(client.get(INVITATIONS)).split("<table")[-1].replace("invitation of Nina", "")
    assert "This invitation has run out" in body(Client().get(link, follow=True))
    assert not AccountBinding.objects.filter(user=user).exists()
    assert AuditEvent.objects.filter(tag=Tag.PERSON_REMOVED, target_id=user.pk).count() == 1


def test_whoever_joined_meanwhile_is_not_thrown_out_by_a_withdrawal(cast: Cast) -> None:
    answer = signed_in(cast.alice).post(page_of(cast.bob, "invitation/withdraw/"))

    assert answer["Location"] == page_of(cast.bob)
    assert AccountBinding.objects.filter(user=cast.bob).exists()


def test_an_old_sign_in_is_confirmed_first(cast: Cast) -> None:
    """Security.md 38."""
    user, client = invited(cast), signed_in(cast.alice)
    session = client.session
    session[AUTHENTICATED_AT] = int(time.time()) - 80 * 60
    session.save()

    assert client.get(INVITATIONS).status_code == 200
    for rest in ("invitation/", "invitation/withdraw/", "resend/"):
        assert client.post(page_of(user, rest))["Location"].startswith("/confirm/"), rest
    assert AccountBinding.objects.filter(user=user).exists()


def test_names_are_inert(cast: Cast) -> None:
    """Security.md 39."""
    user = invited(cast)
    User.objects.filter(pk=user.pk).update(name="<script>alert(1)</script>\u202e")
    client = signed_in(cast.alice)

    for path in (INVITATIONS, page_of(user), page_of(user, "invitation/withdraw/")):
        assert "<script>alert" not in body(client.get(path))
    assert "<script>alert" not in body(client.post(page_of(user, "invitation/")))


# ---- Temporary passwords


def test_a_temporary_password_is_shown_once_to_whoever_invites(cast: Cast) -> None:
    """Security.md 32, 33."""
    client = signed_in(cast.alice)

    shown = client.post(INVITE, NINA | {"mode": "TEMPORARY_PASSWORD"})

    user, password = User.objects.get(email="nina@example.com"), shown.context["password"]
    assert body(shown).count(password) == 1
    assert shown["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    assert shown["Referrer-Policy"] == "no-referrer"
    assert outbox.outbox == []
    assert "/invitation/" not in body(shown).replace("/settings/members/invitations/", "")
    assert password not in str(dict(client.session.items()))
    assert not any(password in str(vars(event)) for event in AuditEvent.objects.all())
    assert password not in body(client.get(page_of(user))) + body(client.get(INVITATIONS))
    assert "already a member" in body(client.post(INVITE, NINA | {"mode": "TEMPORARY_PASSWORD"}))


def test_only_account_admins_hand_out_passwords(cast: Cast) -> None:
    client = signed_in(cast.bob)

    assert "TEMPORARY_PASSWORD" not in body(client.get(INVITE))
    answer = client.post(INVITE, NINA | {"mode": "TEMPORARY_PASSWORD"})

    assert "Only account admins hand out temporary passwords" in body(answer)
    assert not User.objects.filter(email="nina@example.com").exists()


def test_with_a_temporary_password_every_page_is_the_one_to_replace_it(cast: Cast) -> None:
    user, password = with_temporary_password(cast)
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)

    client, answer = sign_in(password)

    assert client.get(answer["Location"])["Location"] == f"{FIRST}?next=%2Fsettings%2Fapi-keys%2F"
    for path in ("/", "/settings/members/", "/settings/account/", "/admin/", "/docs/api", "/password/", "/confirm/"):
        assert client.get(path)["Location"].startswith(FIRST), path
    for path in ("/settings/api-keys/new/", "/settings/scope/", "/password/", "/admin/accounts/user/add/"):
        assert client.post(path, {"key_type": "USER", "name": "early"})["Location"] == FIRST, path
    assert "Choose a password of your own" in body(client.get(FIRST))


def test_the_page_for_it_is_no_page_for_others(client: Client, cast: Cast) -> None:
    assert client.get(FIRST)["Location"].startswith("/sign-in/")
    assert signed_in(cast.bob).get(FIRST)["Location"] == "/settings/api-keys/"
    assert signed_in(cast.bob).post(FIRST, {"new_password1": OWN, "new_password2": OWN}).status_code == 302
    assert not User.objects.get(pk=cast.bob.pk).check_password(OWN)


def test_choosing_a_password_of_ones_own_opens_the_account(cast: Cast) -> None:
    user, password = with_temporary_password(cast)
    client, _ = sign_in(password)
    other, _ = sign_in(password)

    page = client.get(f"{FIRST}?next=/settings/members/")
    done = client.post(FIRST, {"new_password1": OWN, "new_password2": OWN, "next": "/settings/members/"})

    assert page["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    assert done["Location"] == "/settings/members/"
    assert client.get("/settings/members/").status_code == 200
    user.refresh_from_db()
    assert (user.password_is_temporary, user.joined_at is not None, user.check_password(OWN)) == (False, True, True)
    tags = AuditEvent.objects.filter(target_id=user.pk, target_type="User").values_list("tag", flat=True)
    assert {Tag.PERSON_JOINED, Tag.PASSWORD_CHANGED} <= set(tags)
    # Whoever else signed in with the temporary one is out, and it opens nothing any more.
    assert other.get("/settings/members/")["Location"].startswith("/sign-in/")
    assert "do not belong together" in body(sign_in(password)[1])
    assert sign_in(OWN)[1]["Location"] == "/settings/api-keys/"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (None, None, "This is the temporary password"),
        ("short", "short", "too short"),
        (OWN, f"{OWN}!", "didn’t match"),
        ("nina@example.com", "nina@example.com", "too similar"),
    ],
)
def test_a_password_that_will_not_do_is_told(cast: Cast, first: str | None, second: str | None, said: str) -> None:
    user, password = with_temporary_password(cast)
    client, _ = sign_in(password)

    answer = client.post(FIRST, {"new_password1": first or password, "new_password2": second or password})

    assert answer.status_code == 422
    assert said in body(answer)
    user.refresh_from_db()
    assert user.password_is_temporary


def test_a_temporary_password_runs_out_like_a_link(cast: Cast) -> None:
    user, password = with_temporary_password(cast)
    User.objects.filter(pk=user.pk).update(invited_at=timezone.now() - timedelta(days=8))

    client, answer = sign_in(password)

    assert "do not belong together" in body(answer)
    assert client.get("/settings/members/")["Location"].startswith("/sign-in/")


def test_a_withdrawn_person_with_the_page_open_gets_no_further(cast: Cast) -> None:
    user, password = with_temporary_password(cast)
    client, _ = sign_in(password)
    signed_in(cast.alice).post(page_of(user, "invitation/withdraw/"))

    answer = client.post(FIRST, {"new_password1": OWN, "new_password2": OWN})

    assert answer["Location"].startswith("/sign-in/")
    user.refresh_from_db()
    assert (user.joined_at, user.check_password(OWN)) == (None, False)


def test_a_link_replaces_a_password_that_was_told(cast: Cast) -> None:
    user, password = with_temporary_password(cast)
    inside, _ = sign_in(password)

    signed_in(cast.alice).post(page_of(user, "resend/"))

    user.refresh_from_db()
    assert not user.password_is_temporary
    assert inside.get(FIRST)["Location"].startswith("/sign-in/")
    assert "do not belong together" in body(sign_in(password)[1])


def test_leaving_and_links_from_mails_stay_open_meanwhile(cast: Cast) -> None:
    _, password = with_temporary_password(cast)
    other = invited(cast, "other")
    client, _ = sign_in(password)

    assert "Welcome" in body(client.get(invitations.link(other, "http://testserver/"), follow=True))
    assert client.post("/sign-out/")["Location"] == "/sign-in/"


def test_programs_are_not_sent_anywhere(cast: Cast) -> None:
    """A key is no session: the address answers its caller, whoever's cookie comes along."""
    _, password = with_temporary_password(cast)
    client, _ = sign_in(password)
    key = user_key(cast.bob, cast.account).plaintext

    assert client.get("/v2/spaces", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert client.get("/v2/spaces").status_code == 401
