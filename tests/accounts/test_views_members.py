"""Members: who is shown to whom, what each of the cast may change, and what is asked before it happens."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core import mail as outbox
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.audit import Tag
from accounts.models import AccountBinding, AuditEvent, OrganizationBinding, Space, SpaceBinding, User
from accounts.permissions import permitted
from accounts.roles import RoleName
from accounts.roster import Wanted, members
from accounts.standing import standing_of
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.factories import PersonFactory, SpaceFactory, bind, custom_role, service_key, user_key

pytestmark = pytest.mark.django_db

MEMBERS = "/settings/members/"
BOTS = "/settings/members/bots/"


def body(response: Any) -> str:
    return str(response.content.decode())


def page_of(user: User) -> str:
    return f"{MEMBERS}{encode_id('User', user.pk)}/"


def wire(scope: Any) -> str:
    return encode_id(type(scope).__name__, scope.pk)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def give(client: Client, user: User, level: str, scope: Any, role: str, **extra: str) -> Any:
    return client.post(f"{page_of(user)}role/", {"level": level, "scope": wire(scope), "role": role, **extra})


def names(response: Any) -> list[str]:
    return [row["member"].user.name.split()[0] for row in response.context["rows"]]


# ---- The list


def test_everybody_is_listed_newest_first(cast: Cast) -> None:
    assert names(signed_in(cast.bob).get(MEMBERS)) == ["Erin", "Dana", "Charlie", "Bob", "Alice"]


@pytest.mark.parametrize("query", ["baker", "BOB@EXAMPLE", "ob Bak"])
def test_search_finds_names_and_addresses(cast: Cast, query: str) -> None:
    assert names(signed_in(cast.alice).get(MEMBERS, {"q": query})) == ["Bob"]


def test_nobody_else_is_found_by_a_bots_address(cast: Cast) -> None:
    bot = service_key(cast.bob, cast.production, name="nightly").key.owner
    client = signed_in(cast.alice)

    assert names(client.get(BOTS, {"q": "night"})) == ["nightly"]
    assert names(client.get(BOTS, {"q": bot.email[:8]})) == []


def test_a_space_lists_whoever_gets_in_and_says_how(cast: Cast) -> None:
    """The list agrees with the permission question, for each space and each of the cast."""
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    bind(cast.bob, cast.research, RoleName.MEMBER)  # which does not open a private space
    bind(cast.charlie, cast.research, RoleName.ADMIN)  # which does
    actor = cast.actor(cast.alice)
    for space in Space.objects.select_related("organization"):
        listed = {row.user_id for row in members(actor, standing_of(actor), Wanted(space=space))}
        people = (cast.alice, cast.bob, cast.charlie, cast.dana, cast.erin)
        let_in = {user.pk for user in people if permitted(user, Permission.SPACE_READ, Space).filter(pk=space.pk)}
        if space.organization.account_id == cast.account.pk:
            assert listed == let_in, space

    page = signed_in(cast.alice).get(MEMBERS, {"space": wire(cast.production)})
    assert names(page) == ["Erin", "Dana", "Charlie", "Bob", "Alice"]
    assert "from the organization" in body(page)
    assert "from the account" in body(page)


def test_a_private_space_is_not_there_for_others(cast: Cast) -> None:
    client = signed_in(cast.bob)

    assert client.get(MEMBERS, {"space": wire(cast.vision_lab)}).status_code == 404
    assert "vision-lab" not in body(client.get(MEMBERS))
    assert "vision-lab" not in body(client.get(page_of(cast.erin)))
    assert "vision-lab" in body(signed_in(cast.erin).get(MEMBERS))


def test_bots_are_shown_to_those_who_may_know_of_their_keys(cast: Cast) -> None:
    service_key(cast.alice, cast.vision_lab, name="label-sync")
    bot = service_key(cast.bob, cast.production, name="nightly").key.owner

    assert names(signed_in(cast.alice).get(BOTS)) == ["nightly", "label-sync"]
    assert names(signed_in(cast.bob).get(BOTS)) == ["nightly"]
    assert names(signed_in(cast.charlie).get(BOTS)) == []
    assert signed_in(cast.charlie).get(page_of(bot)).status_code == 404


def test_an_annotator_is_told_that_the_role_shows_no_members(cast: Cast) -> None:
    response = signed_in(cast.dana).get(MEMBERS)

    assert response.status_code == 403
    assert "Your role does not show members" in body(response)
    assert "Bob Baker" not in body(response)


def test_an_annotator_sees_themselves_and_nobody_else(cast: Cast) -> None:
    client = signed_in(cast.dana)

    assert client.get(page_of(cast.dana)).status_code == 200
    assert client.get(page_of(cast.bob)).status_code == 404


def test_the_menu_leads_to_ones_own_roles(cast: Cast) -> None:
    client = signed_in(cast.bob)

    assert f'href="{page_of(cast.bob)}"' in body(client.get("/settings/account/"))
    assert client.get(page_of(cast.bob)).status_code == 200


@pytest.mark.parametrize("place", ["fraud", "production"])
def test_whoever_may_not_take_roles_away_is_not_asked_about_it(cast: Cast, place: str) -> None:
    address = f"{page_of(cast.charlie)}remove/{wire(getattr(cast, place))}/"

    assert signed_in(cast.alice).get(address).status_code == 200
    assert signed_in(cast.bob).get(address).status_code == 403


def test_people_of_other_accounts_do_not_exist(cast: Cast) -> None:
    client = signed_in(cast.alice)

    assert client.get(page_of(cast.mallory)).status_code == 404
    assert client.get(MEMBERS, {"space": wire(cast.elsewhere)}).status_code == 404
    assert client.get(f"{MEMBERS}nonsense/").status_code == 404
    assert give(client, cast.bob, "space", cast.elsewhere, "ADMIN").status_code == 404
    assert give(client, cast.mallory, "account", cast.account, "ADMIN").status_code == 404


def test_strangers_are_sent_to_sign_in(client: Client, cast: Cast) -> None:
    for path in (MEMBERS, BOTS, page_of(cast.bob), f"{page_of(cast.bob)}remove/"):
        assert client.get(path)["Location"].startswith("/sign-in/?next=")


def test_pages_turn_by_cursor(cast: Cast) -> None:
    for number in range(30):
        bind(PersonFactory.create(name=f"P{number:02}"), cast.account, RoleName.MEMBER)
    client = signed_in(cast.alice)

    first = client.get(MEMBERS)
    second = client.get(f"{MEMBERS}{first.context['older_url']}")

    assert len(names(first)) == 25
    assert names(first)[0] == "P29"
    assert names(second) == [
        *(f"P{number:02}" for number in range(4, -1, -1)),
        "Erin",
        "Dana",
        "Charlie",
        "Bob",
        "Alice",
    ]
    assert client.get(MEMBERS, {"after": "rubbish"})["Location"] == MEMBERS


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_page_of_people_costs_the_same_for_one_and_thirty(cast: Cast, who: str) -> None:
    client = signed_in(getattr(cast, who))
    counts = []
    for extra in (1, 2, 22):
        for number in range(extra):
            person = PersonFactory.create(name=f"find-me {number}")
            bind(person, cast.account, RoleName.MEMBER)
            bind(person, cast.fraud, RoleName.MEMBER)
            bind(person, cast.production, RoleName.READ_ONLY)
        with CaptureQueriesContext(connection) as queries:
            assert len(names(client.get(MEMBERS, {"q": "find-me"}))) >= extra
        counts.append(len(queries))

    assert len(set(counts)) == 1, counts


def test_a_members_page_costs_the_same_for_one_and_thirty_spaces(cast: Cast) -> None:
    client = signed_in(cast.alice)
    counts = []
    for extra in (1, 2, 27):
        for space in SpaceFactory.create_batch(extra, organization=cast.fraud):
            bind(cast.bob, space, RoleName.MEMBER)
        with CaptureQueriesContext(connection) as queries:
            client.get(page_of(cast.bob))
        counts.append(len(queries))

    assert len(set(counts)) == 1, counts


def test_names_are_inert(cast: Cast) -> None:
    """Security.md 39."""
    User.objects.filter(pk=cast.bob.pk).update(name="<script>alert(1)</script>\u202e =cmd()")

    for path in (MEMBERS, page_of(cast.bob), f"{page_of(cast.bob)}remove/", "/settings/audit/"):
        page = body(signed_in(cast.alice).get(path))
        assert "<script>alert" not in page
        if path != "/settings/audit/":
            assert "<bdi" in page


# ---- Roles


def test_a_members_page_says_where_each_role_comes_from(cast: Cast) -> None:
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)

    page = signed_in(cast.alice).get(page_of(cast.erin))

    told = {
        str(row["place"].scope): [(line.role.label, line.source) for line in row["place"].access]
        for row in page.context["rows"]
    }
    assert told == {
        "Fraud & Risk": [("Read-Only Member", "")],
        "production": [("Read-Only Member", "from the organization")],
        "staging": [("Read-Only Member", "from the organization")],
        "Research": [("Read-Only Member", "")],
        "vision-lab": [("Member", "")],
    }


def test_an_admin_changes_roles_at_every_level(cast: Cast) -> None:
    client = signed_in(cast.alice)

    give(client, cast.bob, "account", cast.account, "MEMBER_UI_ONLY")
    give(client, cast.bob, "organization", cast.fraud, "ADMIN")
    response = give(client, cast.bob, "space", cast.production, "READ_ONLY")

    assert response["Location"] == page_of(cast.bob)
    assert AccountBinding.objects.get(user=cast.bob).role.name == "MEMBER_UI_ONLY"
    assert OrganizationBinding.objects.get(user=cast.bob).role.name == "ADMIN"
    assert SpaceBinding.objects.get(user=cast.bob, content_object=cast.production).role.name == "READ_ONLY"
    assert AuditEvent.objects.filter(tag=Tag.ROLE_CHANGED, actor_id=cast.alice.pk, ip="127.0.0.1").count() == 3


@pytest.mark.parametrize("who", ["bob", "charlie", "erin"])
def test_who_runs_nothing_changes_nothing(cast: Cast, who: str) -> None:
    client = signed_in(getattr(cast, who))

    page = body(client.get(page_of(cast.charlie)))

    assert f"{page_of(cast.charlie)}role/" not in page
    assert give(client, cast.charlie, "account", cast.account, "ADMIN").status_code == 403
    expected = 404 if who == "erin" else 403
    assert give(client, cast.charlie, "space", cast.production, "ADMIN").status_code == expected
    assert client.post(f"{page_of(cast.charlie)}developer/", {"allowed": "no"}).status_code == 403
    assert client.get(f"{page_of(cast.charlie)}remove/").status_code == 403
    assert client.post(f"{page_of(cast.charlie)}remove/").status_code == 403
    assert SpaceBinding.objects.get(user=cast.charlie, content_object=cast.production).role.name == "READ_ONLY"


def test_a_reader_is_told_whom_to_ask(cast: Cast) -> None:
    page = body(signed_in(cast.charlie).get(page_of(cast.bob)))

    assert "You see these roles and cannot change them" in page
    assert 'href="mailto:alice@example.com"' in page


def test_a_space_admin_runs_that_space_alone(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).delete()
    bind(cast.bob, cast.production, RoleName.ADMIN)
    client = signed_in(cast.bob)

    assert give(client, cast.charlie, "space", cast.production, "ADMIN").status_code == 302
    assert give(client, cast.charlie, "space", cast.staging, "ADMIN").status_code == 403
    page = body(client.get(page_of(cast.charlie)))
    assert f'id="role-{wire(cast.production)}"' in page
    assert f'id="role-{wire(cast.staging)}"' not in page
    assert SpaceBinding.objects.get(user=cast.charlie, content_object=cast.production).role.name == "ADMIN"


def test_roles_that_do_not_fit_are_disabled_with_the_reason(cast: Cast) -> None:
    client = signed_in(cast.alice)

    bob, dana = body(client.get(page_of(cast.bob))), body(client.get(page_of(cast.dana)))

    assert re.search(r'value="ANNOTATOR" disabled>Annotator — only for annotators of the account', bob)
    assert re.search(r'value="ADMIN" disabled>Admin — annotators of the account are only that', dana)
    assert re.search(r'value="ANNOTATOR" disabled>Annotator — first take them out of their organizations', bob)


def test_a_refused_change_says_why_on_the_page(cast: Cast) -> None:
    response = give(signed_in(cast.alice), cast.bob, "account", cast.account, "ANNOTATOR")

    assert response.status_code == 422
    assert "Annotator goes together" in body(response)
    assert "Nothing was changed" in body(response)


def test_custom_roles_are_shown_beside_the_predefined_one(cast: Cast) -> None:
    bind(cast.bob, cast.production, custom_role(cast.account, "Label lead", "QUEUE_CREATE"))

    page = signed_in(cast.alice).get(page_of(cast.bob))

    (row,) = [row for row in page.context["rows"] if row["place"].scope == cast.production]
    assert [line.role.label for line in row["place"].access] == ["Member", "Label lead"]
    assert "Label lead" in body(page)


def test_adding_to_a_place(cast: Cast) -> None:
    client = signed_in(cast.alice)
    form = {"level": "organization", "scope": wire(cast.research), "role": "READ_ONLY"}

    response = client.post(f"{page_of(cast.bob)}add/", form)

    assert response["Location"] == page_of(cast.bob)
    assert OrganizationBinding.objects.get(user=cast.bob, content_object=cast.research).role.name == "READ_ONLY"


def test_developer_access_is_switched_by_account_admins(cast: Cast) -> None:
    client = signed_in(cast.alice)

    client.post(f"{page_of(cast.bob)}developer/", {"allowed": "no"})

    assert not AccountBinding.objects.get(user=cast.bob).is_developer
    assert "Developer access off" in body(client.get(MEMBERS))


# ---- Oneself, and the last admin


def test_the_last_admin_is_neither_demoted_nor_removed(cast: Cast) -> None:
    client = signed_in(cast.alice)

    demoted = give(client, cast.alice, "account", cast.account, "MEMBER", confirmed="1")
    removed = client.post(f"{page_of(cast.alice)}remove/")

    assert "is the last admin" in body(demoted)
    assert "Nobody removes themselves" in body(removed)
    assert AccountBinding.objects.get(user=cast.alice).role.is_admin


def test_lowering_ones_own_role_asks_first(cast: Cast) -> None:
    bind(PersonFactory.create(), cast.account, RoleName.ADMIN)
    client = signed_in(cast.alice)

    asked = give(client, cast.alice, "account", cast.account, "MEMBER")
    assert "Lower your own role?" in body(asked)
    assert AccountBinding.objects.get(user=cast.alice).role.is_admin
    done = give(client, cast.alice, "account", cast.account, "MEMBER", confirmed="1")

    assert done.status_code == 302
    assert not AccountBinding.objects.get(user=cast.alice).role.is_admin
    assert client.get(done["Location"]).status_code == 200


# ---- Leaving


def test_leaving_a_space_says_what_remains(cast: Cast) -> None:
    client = signed_in(cast.alice)
    address = f"{page_of(cast.bob)}remove/{wire(cast.production)}/"

    asked = body(client.get(address))
    assert "Access remains" in asked
    assert "from the organization" in asked
    client.post(address)

    assert not SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).exists()
    assert OrganizationBinding.objects.filter(user=cast.bob, content_object=cast.fraud).exists()


def test_leaving_an_organization_names_the_spaces_that_go_too(cast: Cast) -> None:
    client = signed_in(cast.alice)
    address = f"{page_of(cast.bob)}remove/{wire(cast.fraud)}/"

    asked = body(client.get(address))
    assert "production" in asked
    assert "staging" in asked
    client.post(address)

    assert not SpaceBinding.objects.filter(user=cast.bob).exists()
    assert AccountBinding.objects.filter(user=cast.bob).exists()
    assert client.get(address).status_code == 404


def test_a_space_admin_takes_a_bot_out_of_the_space(cast: Cast) -> None:
    bot = service_key(cast.bob, cast.production, cast.staging, name="nightly").key.owner
    client = signed_in(cast.alice)

    assert "Access remains" in body(client.get(f"{page_of(bot)}remove/{wire(cast.staging)}/"))
    client.post(f"{page_of(bot)}remove/{wire(cast.staging)}/")

    assert [row.content_object for row in SpaceBinding.objects.filter(user=bot)] == [cast.production]


def test_removing_a_person_says_which_keys_stop_and_which_go_on(cast: Cast) -> None:
    mine = user_key(cast.bob, cast.account, "laptop").key
    theirs = service_key(cast.bob, cast.production, name="nightly export").key
    client = signed_in(cast.alice)
    address = f"{page_of(cast.bob)}remove/"

    asked = body(client.get(address))
    stops, goes_on = asked.split("Go on working")
    assert "Remove <bdi>Bob Baker</bdi>" in asked
    assert f"laptop ({mine.redacted_key})" in stops
    assert f"nightly export ({theirs.redacted_key})" in goes_on
    done = client.post(address, follow=True)

    assert "Bob Baker is no longer in “Acme AI”" in body(done)
    assert ApiKey.objects.get(pk=mine.pk).revoked_at is not None
    assert ApiKey.objects.get(pk=theirs.pk).revoked_at is None
    (message,) = outbox.outbox
    assert message.to == ["bob@example.com"]
    assert "laptop" in message.body


def test_looking_changes_nothing(cast: Cast) -> None:
    """Security.md 36."""
    client = signed_in(cast.alice)
    before = AuditEvent.objects.count()

    for path in ("role/", "add/", "developer/", "resend/", "reset/"):
        assert client.get(f"{page_of(cast.bob)}{path}").status_code == 405
    client.get(f"{page_of(cast.bob)}remove/")

    assert AuditEvent.objects.count() == before
    assert AccountBinding.objects.filter(user=cast.bob).exists()


def test_forms_from_elsewhere_are_refused(cast: Cast) -> None:
    """Security.md 36."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.alice)

    response = client.post(f"{page_of(cast.bob)}remove/")

    assert response.status_code == 403
    assert "This form has expired" in body(response)
    assert AccountBinding.objects.filter(user=cast.bob).exists()


def test_a_removed_person_is_out_with_the_next_request(cast: Cast) -> None:
    """Security.md 18."""
    bob = signed_in(cast.bob)
    assert bob.get(MEMBERS).status_code == 200

    signed_in(cast.alice).post(f"{page_of(cast.bob)}remove/")

    assert bob.get(MEMBERS)["Location"].startswith("/sign-in/")


@pytest.mark.parametrize("path", [MEMBERS, BOTS, "/settings/audit/", "/settings/account/", "/sign-in/", "/confirm/"])
def test_pages_are_kept_by_no_cache_and_hold_no_inline_code(cast: Cast, path: str) -> None:
    """Security.md 33, 34, 35."""
    client = Client() if path == "/sign-in/" else signed_in(cast.alice)

    response = client.get(path)

    assert "no-store" in response["Cache-Control"]
    assert response["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]
    assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*\ssrc=)", body(response))


def test_a_bot_is_given_nothing_that_its_page_does_not_offer(client: Client, cast: Cast) -> None:
    bot = service_key(cast.bob, cast.production).key.owner
    page = f"/settings/members/{encode_id('User', bot.pk)}/"
    space = {"level": "space", "scope": encode_id("Space", cast.production.pk), "role": "ADMIN"}
    client.force_login(cast.alice)

    answers = [
        client.post(f"{page}{address}", form).status_code
        for address, form in (("role/", space), ("add/", space), ("developer/", {"allowed": "yes"}))
    ]

    assert answers == [403, 403, 403]
    assert not AuditEvent.objects.filter(tag__in=(Tag.ROLE_CHANGED, Tag.DEVELOPER_CHANGED)).exists()


def test_reset_link_that_an_admin_has_sent_is_in_the_audit_log(client: Client, cast: Cast) -> None:  # security 45
    client.force_login(cast.alice)

    client.post(f"/settings/members/{encode_id('User', cast.bob.pk)}/reset/")

    event = AuditEvent.objects.latest("pk")
    assert (event.tag, event.actor_id, event.target_id) == ("password:offer", cast.alice.pk, cast.bob.pk)
    client.force_login(cast.bob)
    assert client.post(f"/settings/members/{encode_id('User', cast.charlie.pk)}/reset/").status_code == 403
    assert AuditEvent.objects.filter(tag="password:offer").count() == 1
