"""Inviting and accepting: a link that works once, for a while, for one person, and is seen by few."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail as outbox
from django.test import Client
from django.utils import timezone

from accounts import invitations, mail
from accounts.audit import Tag
from accounts.bindings import predefined
from accounts.models import AccountBinding, AuditEvent, OrganizationBinding, SpaceBinding, User
from accounts.people import invite_person
from accounts.roles import Level, RoleName
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import AccountFactory, bind, service_key

pytestmark = pytest.mark.django_db

INVITE = "/settings/members/invite/"
NEW = "a first battery for the new horse"
FORM = {"email": "nina@example.com", "name": "Nina Novak", "role": "MEMBER"}


def body(response: Any) -> str:
    return str(response.content.decode())


def link_in(text: str) -> str:
    found = re.search(r"http://testserver(/invitation/[^\s<]+)", text)
    assert found, text
    return found[1]


def link_to(response: Any) -> str:
    return link_in(body(response))


def mailed() -> str:
    return link_in(str(outbox.outbox[-1].body))


def accept(link: str, client: Client | None = None, password: str = NEW) -> Any:
    client = client or Client()
    page = client.get(link, follow=True)
    return client.post(page.request["PATH_INFO"], {"new_password1": password, "new_password2": password})


def page_of(user: User) -> str:
    return f"/settings/members/{encode_id('User', user.pk)}/"


def test_an_invited_person_accepts_and_is_signed_in(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    shown = client.post(INVITE, FORM)
    newcomer = Client()

    done = accept(link_to(shown), newcomer)

    nina = User.objects.get(email="nina@example.com")
    assert done["Location"] == "/settings/api-keys/"
    assert newcomer.session["_auth_user_id"] == str(nina.pk)
    assert nina.joined_at is not None
    assert nina.check_password(NEW)
    tags = AuditEvent.objects.filter(target_id=nina.pk, target_type="User").order_by("pk").values_list("tag", flat=True)
    assert list(tags) == [Tag.PERSON_INVITED, Tag.ROLE_GRANTED, Tag.PERSON_JOINED, Tag.SIGNED_IN]


def test_the_link_is_shown_once_in_the_answer_to_the_post(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)

    shown = client.post(INVITE, FORM)

    link = link_to(shown)
    assert shown["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    assert shown["Referrer-Policy"] == "no-referrer"
    assert link == mailed()
    assert link not in str(dict(client.session.items()))
    assert link not in body(client.get(page_of(User.objects.get(email="nina@example.com"))))
    assert not any(link.rsplit("/", 2)[1] in str(vars(event)) for event in AuditEvent.objects.all())
    assert "already a member" in body(client.post(INVITE, FORM))


def test_the_link_works_once(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    link = link_to(client.post(INVITE, FORM))
    accept(link)

    again = Client().get(link, follow=True)

    assert "This invitation has run out" in body(again)


def test_two_who_opened_the_link_cannot_both_set_a_password(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    link = link_to(client.post(INVITE, FORM))
    first, second = Client(), Client()
    pages = [one.get(link, follow=True).request["PATH_INFO"] for one in (first, second)]

    first.post(pages[0], {"new_password1": NEW, "new_password2": NEW})
    late = second.post(pages[1], {"new_password1": "somebody else's words", "new_password2": "somebody else's words"})

    assert "This invitation has run out" in body(late)
    assert User.objects.get(email="nina@example.com").check_password(NEW)


def test_the_link_runs_out_after_a_week(client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    client.force_login(cast.alice)
    link = link_to(client.post(INVITE, FORM))

    monkeypatch.setattr(invitations, "LIFETIME", timedelta(seconds=-1))

    assert "This invitation has run out" in body(Client().get(link, follow=True))


def test_of_two_at_the_same_moment_one_joins(client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both found the link valid; the row decides."""
    client.force_login(cast.alice)
    link = link_to(client.post(INVITE, FORM))
    late = Client()
    page = late.get(link, follow=True).request["PATH_INFO"]
    accept(link)
    monkeypatch.setattr(invitations.InvitationTokens, "check_token", lambda *_: True)

    answer = late.post(page, {"new_password1": "somebody else's words", "new_password2": "somebody else's words"})

    assert "This invitation has run out" in body(answer)
    assert "_auth_user_id" not in late.session
    assert User.objects.get(email="nina@example.com").check_password(NEW)
    assert AuditEvent.objects.filter(tag=Tag.PERSON_JOINED).count() == 1


@pytest.mark.parametrize("change", ["x", "", "."])
def test_a_changed_link_opens_nothing(client: Client, cast: Cast, change: str) -> None:
    client.force_login(cast.alice)
    link = link_to(client.post(INVITE, FORM))
    head, token, _ = link.rsplit("/", 2)
    cut = token[:-1] + ("A" if token[-1] != "A" else "B") if change == "" else token + change

    assert "This invitation has run out" in body(Client().get(f"{head}/{cut}/", follow=True))


def test_sending_again_ends_the_earlier_link(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    first = link_to(client.post(INVITE, FORM))
    nina = User.objects.get(email="nina@example.com")

    second = link_to(client.post(f"{page_of(nina)}resend/"))

    assert "This invitation has run out" in body(Client().get(first, follow=True))
    assert accept(second).status_code == 302
    assert client.post(f"{page_of(nina)}resend/").status_code == 302
    assert "needs no invitation" in body(client.get(page_of(nina)))


def test_a_removed_person_cannot_accept(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    link = link_to(client.post(INVITE, FORM))
    nina = User.objects.get(email="nina@example.com")

    client.post(f"{page_of(nina)}remove/")

    assert "This invitation has run out" in body(Client().get(link, follow=True))


def test_only_account_admins_hold_a_link_in_their_hands(client: Client, cast: Cast) -> None:
    """Whoever holds the link becomes the person: a member could otherwise become the admin they send it to again."""
    boss = invite_person(
        cast.actor(cast.alice),
        email="boss@example.com",
        name="Boss",
        role=predefined(Level.ACCOUNT, RoleName.ADMIN),
        at=timezone.now(),
    ).user
    client.force_login(cast.bob)

    again = client.post(f"{page_of(boss)}resend/")
    own = client.post(INVITE, FORM)

    assert "/invitation/" not in body(again)
    assert "/invitation/" not in body(own)
    assert [message.to for message in outbox.outbox] == [["boss@example.com"], ["nina@example.com"]]


def test_a_link_shown_in_one_account_does_not_open_another(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    link = link_to(client.post(INVITE, FORM))
    other = AccountFactory.create()
    bind(User.objects.get(email="nina@example.com"), other, RoleName.ADMIN)

    assert "This invitation has run out" in body(Client().get(link, follow=True))
    again = client.post(f"{page_of(User.objects.get(email='nina@example.com'))}resend/")
    assert "/invitation/" not in body(again)


def test_accepting_signs_whoever_was_here_before_out(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    link = link_to(client.post(INVITE, FORM))
    client.get(link)

    accept(link, client)

    nina = User.objects.get(email="nina@example.com")
    assert client.session["_auth_user_id"] == str(nina.pk)
    assert "Nina Novak" in body(client.get("/settings/audit/"))


def test_places_come_along_or_nobody_is_invited(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    form = FORM | {
        "organization": encode_id("Organization", cast.fraud.pk),
        "organization_role": "MEMBER",
        "space": encode_id("Space", cast.production.pk),
        "space_role": "ADMIN",
    }

    client.post(INVITE, form)

    nina = User.objects.get(email="nina@example.com")
    assert OrganizationBinding.objects.get(user=nina).role.name == "MEMBER"
    assert SpaceBinding.objects.get(user=nina).role.name == "ADMIN"


def test_a_space_brings_its_organization_and_an_annotator_annotates_everywhere(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)

    client.post(INVITE, FORM | {"role": "ANNOTATOR", "space": encode_id("Space", cast.vision_lab.pk)})

    nina = User.objects.get(email="nina@example.com")
    held = [AccountBinding.objects.get(user=nina).role, OrganizationBinding.objects.get(user=nina).role]
    assert {role.name for role in held} == {"ANNOTATOR"}
    assert SpaceBinding.objects.get(user=nina).content_object == cast.vision_lab


def test_a_space_of_another_organization_is_refused_with_everything_typed_kept(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)
    form = FORM | {
        "organization": encode_id("Organization", cast.fraud.pk),
        "space": encode_id("Space", cast.vision_lab.pk),
        "space_role": "READ_ONLY",
    }

    response = client.post(INVITE, form)

    assert "is a space of “Research”" in body(response)
    assert 'value="nina@example.com"' in body(response)
    assert 'value="Nina Novak"' in body(response)
    assert not User.objects.filter(email="nina@example.com").exists()


def test_a_member_invites_members_and_annotators_only(client: Client, cast: Cast) -> None:
    client.force_login(cast.bob)

    page = body(client.get(INVITE))
    response = client.post(INVITE, FORM | {"role": "ADMIN"})

    assert page.count("only account admins give it") == 2
    assert "Only an account admin invites people with this role" in body(response)
    assert not User.objects.filter(email="nina@example.com").exists()
    assert AuditEvent.objects.get(tag=Tag.PERSON_INVITED).outcome == "REFUSED"


def test_a_member_gives_no_places_they_do_not_run(client: Client, cast: Cast) -> None:
    client.force_login(cast.bob)

    response = client.post(INVITE, FORM | {"organization": encode_id("Organization", cast.fraud.pk)})

    assert response.status_code == 200
    assert not User.objects.filter(email="nina@example.com").exists()


def test_annotators_and_strangers_invite_nobody(client: Client, cast: Cast) -> None:
    client.force_login(cast.dana)
    assert client.get(INVITE).status_code == 403
    assert client.post(INVITE, FORM).status_code == 403
    assert not User.objects.filter(email="nina@example.com").exists()


def test_somebody_of_another_account_is_left_to_the_operator_and_not_named(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)

    page = client.post(INVITE, FORM | {"email": "Mallory@example.com"}).content.decode()

    assert "already in use outside this account" in page
    assert "Mallory Moss" not in page
    assert not cast.account.bindings.filter(user=cast.mallory).exists()


def test_names_cannot_write_headers_or_turn_the_text(client: Client, cast: Cast) -> None:
    """Security.md 39."""
    User.objects.filter(pk=cast.alice.pk).update(name="Alice\r\nBcc: all@example.com \u202eevil")
    client.force_login(cast.alice)

    client.post(INVITE, FORM)

    subject = outbox.outbox[-1].subject
    assert subject == "Alice Bcc: all@example.com evil invited you to Acme AI on arizekeys"


def test_mail_never_asks_for_the_name_of_this_host(client: Client, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a name server that question takes half a minute, and the page waits for it."""
    monkeypatch.delattr("django.core.mail.message.make_msgid")
    client.force_login(cast.alice)

    client.post(INVITE, FORM)

    assert outbox.outbox[-1].message()["Message-ID"].endswith("@localhost>")


def test_no_mail_server_means_the_link_is_handed_over(client: Client, cast: Cast, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    client.force_login(cast.alice)

    response = client.post(INVITE, FORM)

    assert "This installation sends no mail" in body(response)
    assert accept(link_to(response)).status_code == 302


def test_a_mail_that_cannot_be_sent_loses_nothing(client: Client, cast: Cast, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    client.force_login(cast.alice)

    response = client.post(INVITE, FORM)

    assert "The mail could not be sent" in body(response)
    assert accept(link_to(response)).status_code == 302


def test_bot_gets_no_mail(cast: Cast) -> None:
    """Security.md 21."""
    bot = service_key(cast.bob, cast.production).key.owner

    with pytest.raises(ValueError, match="no mail"):
        mail.send_invitation(cast.actor(cast.alice), bot, base_url="http://testserver/")


def test_the_invitation_says_when_it_was_sent_and_when_it_ran_out(client: Client, cast: Cast) -> None:
    late = timezone.now() - timedelta(days=8)
    actor = cast.actor(cast.alice)
    role = predefined(Level.ACCOUNT, RoleName.MEMBER)
    nina = invite_person(actor, email="nina@example.com", name="Nina", role=role, at=late).user
    client.force_login(cast.alice)

    assert "Invitation ran out" in body(client.get("/settings/members/"))
    client.post(f"{page_of(nina)}resend/")
    assert "Invitation ran out" not in body(client.get("/settings/members/"))
