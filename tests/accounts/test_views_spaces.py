"""Spaces and organizations: who sees and runs which, who gets in, and what is said before anything goes."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.audit import Tag
from accounts.models import (
    AuditEvent,
    Organization,
    OrganizationBinding,
    Space,
    SpaceBinding,
    User,
)
from accounts.recent import AUTHENTICATED_AT
from accounts.roles import RoleName
from accounts.roster import value_of
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.factories import (
    AccountFactory,
    OrganizationFactory,
    PersonFactory,
    SpaceFactory,
    bind,
    custom_role,
    service_key,
)

pytestmark = pytest.mark.django_db

SPACES = "/settings/spaces/"
NEW = "/settings/spaces/new/"
NEW_ORGANIZATION = "/settings/organizations/new/"


def body(response: Any) -> str:
    return str(response.content.decode())


def wire(row: Any) -> str:
    return encode_id(type(row).__name__, row.pk)


def page_of(scope: Organization | Space, rest: str = "") -> str:
    kind = "spaces" if isinstance(scope, Space) else "organizations"
    return f"/settings/{kind}/{wire(scope)}/{rest}"


def dialog(scope: Organization | Space, user: User) -> str:
    return page_of(scope, f"members/{wire(user)}/")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def listed(response: Any) -> dict[str, list[str]]:
    return {
        section.organization.scope.name: [line.scope.name for line in section.spaces]
        for section in response.context["sections"]
    }


def people(response: Any) -> dict[str, list[tuple[str, str]]]:
    return {
        row["member"].user.name.split()[0]: [(line.role.label, line.source) for line in row["member"].here]
        for row in response.context["rows"]
    }


def held(user: User, scope: Organization | Space) -> set[str]:
    table = SpaceBinding if isinstance(scope, Space) else OrganizationBinding
    return {row.role.name for row in table._default_manager.filter(user=user, content_object=scope)}


def long_ago(client: Client) -> None:
    session = client.session
    session[AUTHENTICATED_AT] = int(time.time()) - 80 * 60
    session.save()


# ---- All of them


def test_everybody_sees_their_organizations_with_the_spaces_they_may_see(cast: Cast) -> None:
    SpaceFactory.create(organization=cast.fraud, name="secret", is_private=True)
    SpaceFactory.create(organization=cast.research, name="open")

    seen = {name: listed(signed_in(getattr(cast, name)).get(SPACES)) for name in ("alice", "bob", "dana", "erin")}

    assert seen == {
        "alice": {"Fraud & Risk": ["production", "secret", "staging"], "Research": ["open", "vision-lab"]},
        "bob": {"Fraud & Risk": ["production", "staging"]},
        "dana": {"Fraud & Risk": ["production", "staging"]},
        "erin": {"Research": ["open", "vision-lab"]},
    }


def test_each_line_says_who_gets_in_how_many_have_a_role_and_what_one_is(cast: Cast) -> None:
    page = signed_in(cast.erin).get(SPACES)

    (section,) = page.context["sections"]
    (line,) = section.spaces
    assert (line.people, [(one.role.label, one.source) for one in line.access]) == (1, [("Member", "")])
    assert (section.organization.people, section.may_create) == (1, False)
    assert "Private" in body(page)
    assert "1 person" in body(page)


def test_annotators_are_not_told_how_many_others_there_are(cast: Cast) -> None:
    page = body(signed_in(cast.dana).get(SPACES))

    assert "production" in page
    assert "people" not in page.split('id="content"')[1]


def test_search_finds_spaces_and_organizations_and_nothing_hidden(cast: Cast) -> None:
    assert listed(signed_in(cast.alice).get(SPACES, {"q": "PROD"})) == {"Fraud & Risk": ["production"]}
    assert listed(signed_in(cast.alice).get(SPACES, {"q": "resea"})) == {"Research": ["vision-lab"]}
    assert listed(signed_in(cast.bob).get(SPACES, {"q": "vision"})) == {}
    assert "No space matches" in body(signed_in(cast.bob).get(SPACES, {"q": "vision"}))


def test_many_spaces_and_organizations_turn_pages(cast: Cast) -> None:
    SpaceFactory.create_batch(9, organization=cast.research)
    OrganizationFactory.create_batch(9, account=cast.account)
    client = signed_in(cast.alice)

    first = client.get(SPACES)
    second = client.get(f"{SPACES}{first.context['older_url']}")

    assert [len(page.context["sections"]) for page in (first, second)] == [10, 1]
    research = first.context["sections"][1]
    assert (len(research.spaces), research.has_more) == (8, True)
    assert client.get(SPACES, {"after": "rubbish"})["Location"] == SPACES


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_page_costs_the_same_for_one_and_thirty(cast: Cast, who: str) -> None:
    client = signed_in(getattr(cast, who))
    counts: dict[str, set[int]] = {"all": set(), "organization": set(), "members": set(), "space": set()}
    for extra in (1, 2, 27):
        for number in range(extra):
            organization = OrganizationFactory.create(account=cast.account)
            bind(cast.bob, organization, RoleName.MEMBER)
            SpaceFactory.create(organization=organization)
            SpaceFactory.create(organization=cast.fraud)
            person = PersonFactory.create(name=f"P{number}")
            for scope in (cast.account, cast.fraud, cast.production):
                bind(person, scope, RoleName.MEMBER)
        for name, path in (
            ("all", f"{SPACES}?q=o"),
            ("organization", page_of(cast.fraud)),
            ("members", page_of(cast.fraud, "members/")),
            ("space", page_of(cast.production)),
        ):
            with CaptureQueriesContext(connection) as queries:
                assert client.get(path).status_code == 200
            counts[name].add(len(queries))

    assert [len(numbers) for numbers in counts.values()] == [1, 1, 1, 1], counts


def test_whoever_is_in_no_organization_is_told_whom_to_ask(cast: Cast) -> None:
    newcomer = PersonFactory.create()
    bind(newcomer, cast.account, RoleName.MEMBER)

    page = body(signed_in(newcomer).get(SPACES))

    assert "No space that you see" in page
    assert "alice@example.com" in page
    assert "New Space" not in page


def test_an_account_without_organizations_starts_with_one() -> None:
    admin, account = PersonFactory.create(), AccountFactory.create()
    bind(admin, account, RoleName.ADMIN)

    page = body(signed_in(admin).get(SPACES))

    assert "No organization yet" in page
    assert "New Space" not in page
    assert NEW_ORGANIZATION in page


# ---- One of them


def test_a_space_shows_who_gets_in_and_how(cast: Cast) -> None:
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    client = signed_in(cast.alice)

    assert people(client.get(page_of(cast.production))) == {
        "Erin": [("Read-Only Member", "from the organization")],
        "Dana": [("Annotator", "")],
        "Charlie": [("Read-Only Member", "")],
        "Bob": [("Member", "")],
        "Alice": [("Admin", "from the account")],
    }
    assert set(people(client.get(page_of(cast.production), {"show": "own"}))) == {"Dana", "Charlie", "Bob"}
    assert set(people(client.get(page_of(cast.production), {"show": "inherited"}))) == {"Erin", "Alice"}
    assert set(people(client.get(page_of(cast.production), {"q": "char"}))) == {"Charlie"}
    assert set(people(client.get(page_of(cast.vision_lab)))) == {"Erin", "Alice"}


def test_bots_of_keys_one_may_know_of_are_listed_apart(cast: Cast) -> None:
    service_key(cast.alice, cast.production, name="nightly")

    assert set(people(signed_in(cast.bob).get(page_of(cast.production), {"show": "bots"}))) == {"nightly"}
    assert people(signed_in(cast.charlie).get(page_of(cast.production), {"show": "bots"})) == {}


def test_an_organization_shows_its_spaces_and_its_people(cast: Cast) -> None:
    client = signed_in(cast.bob)

    page = client.get(page_of(cast.fraud))
    members = client.get(page_of(cast.fraud, "members/"))

    assert [line.scope.name for line in page.context["lines"]] == ["staging", "production"]
    assert people(members)["Bob"] == [("Member", "")]
    assert people(members)["Alice"] == [("Admin", "from the account")]
    assert set(people(client.get(page_of(cast.fraud, "members/"), {"show": "inherited"}))) == {"Alice"}


def test_ids_are_there_to_be_copied(cast: Cast) -> None:
    client = signed_in(cast.charlie)

    for scope, label in ((cast.production, "Space ID"), (cast.fraud, "Organization ID")):
        page = body(client.get(page_of(scope)))
        assert label in page
        assert f'<code class="secret" id="wire-id" translate="no">{wire(scope)}</code>' in page


def test_service_keys_of_a_space_are_a_link_away(cast: Cast) -> None:
    service_key(cast.alice, cast.production, name="nightly")
    service_key(cast.alice, cast.staging, name="weekly")
    address = f"/settings/api-keys/service/?space={wire(cast.production)}"
    client = signed_in(cast.bob)

    assert f'href="/settings/api-keys/service/?space={quote(wire(cast.production))}"' in body(
        client.get(page_of(cast.production))
    )
    listed_keys = [row.name for row in client.get(address).context["rows"]]
    assert listed_keys == ["nightly"]
    assert client.get(f"/settings/api-keys/service/?space={wire(cast.vision_lab)}").status_code == 404
    assert client.get("/settings/api-keys/service/?space=nonsense").status_code == 404
    assert "Service keys" not in body(signed_in(cast.charlie).get(page_of(cast.production)))


def test_what_one_may_not_see_does_not_exist(cast: Cast) -> None:
    """Security.md 19."""
    bob, rests = signed_in(cast.bob), ("", "settings/", "delete/", "add/", f"members/{wire(cast.erin)}/")

    for scope in (cast.vision_lab, cast.elsewhere, cast.research, cast.elsewhere.organization):
        for rest in rests:
            assert bob.get(page_of(scope, rest)).status_code == 404, (scope, rest)
            if rest:
                assert bob.post(page_of(scope, rest), {"name": scope.name}).status_code in (404, 405), (scope, rest)
    for path in (f"{SPACES}nonsense/", "/settings/organizations/nonsense/", f"{SPACES}{wire(cast.fraud)}/"):
        assert bob.get(path).status_code == 404


def test_strangers_are_sent_to_sign_in(client: Client, cast: Cast) -> None:
    for path in (SPACES, NEW, NEW_ORGANIZATION, page_of(cast.production), page_of(cast.fraud, "members/")):
        assert client.get(path)["Location"].startswith("/sign-in/?next=")


def test_annotators_see_no_members(cast: Cast) -> None:
    page = body(signed_in(cast.dana).get(page_of(cast.production)))

    assert "Your role does not show members" in page
    assert "Bob Baker" not in page


@pytest.mark.parametrize("who", ["bob", "charlie"])
def test_who_runs_nothing_is_offered_nothing_and_refused(cast: Cast, who: str) -> None:
    client = signed_in(getattr(cast, who))

    page = body(client.get(page_of(cast.production)))

    for part in ("Add a member", "Change roles", "/remove/", "/settings/spaces/new"):
        assert part not in page
    assert "You see who is here and cannot change it" in page
    for rest in ("delete/", "add/", f"members/{wire(cast.charlie)}/"):
        assert client.get(page_of(cast.production, rest)).status_code == 403
    assert client.post(dialog(cast.production, cast.charlie), {"role": "ADMIN"}).status_code == 403
    assert client.post(page_of(cast.production, "settings/"), {"name": "mine"}).status_code == 403
    assert client.post(page_of(cast.production, "delete/"), {"name": "production"}).status_code == 403
    assert client.get(NEW_ORGANIZATION).status_code == 403
    assert client.post(NEW_ORGANIZATION, {"name": "mine"}).status_code == 403
    assert Space.objects.get(pk=cast.production.pk).name == "production"


def test_names_are_inert(cast: Cast) -> None:
    """Security.md 39."""
    hostile = "<script>alert(1)</script>\u202e"
    for scope in (cast.production, cast.fraud):
        type(scope)._default_manager.filter(pk=scope.pk).update(name=hostile, description=hostile)
    client = signed_in(cast.alice)

    for path in (
        SPACES,
        NEW,
        *(
            page_of(scope, rest)
            for scope in (cast.production, cast.fraud)
            for rest in ("", "settings/", "delete/", "add/")
        ),
        dialog(cast.production, cast.bob),
    ):
        assert "<script>alert" not in body(client.get(path)), path


# ---- Making them


def test_an_account_admin_creates_an_organization_and_a_space_in_it(cast: Cast) -> None:
    client = signed_in(cast.alice)

    client.post(NEW_ORGANIZATION, {"name": "Support", "description": "Answers"})
    support = Organization.objects.get(name="Support")
    answer = client.post(
        NEW, {"organization": wire(support), "name": "inbox", "description": "d", "visibility": "private"}
    )

    inbox = support.spaces.get()
    assert answer["Location"] == page_of(inbox)
    assert (support.account, support.description) == (cast.account, "Answers")
    assert (inbox.name, inbox.description, inbox.is_private) == ("inbox", "d", True)


def test_a_member_of_an_organization_creates_a_space_and_becomes_its_admin(cast: Cast) -> None:
    client = signed_in(cast.bob)

    page = client.get(NEW)
    client.post(NEW, {"organization": wire(cast.fraud), "name": "sandbox", "visibility": "public"})

    assert list(page.context["form"].organizations.values()) == [cast.fraud]
    assert held(cast.bob, Space.objects.get(name="sandbox")) == {"ADMIN"}


@pytest.mark.parametrize("who", ["charlie", "dana", "erin"])
def test_readers_create_no_spaces(cast: Cast, who: str) -> None:
    client = signed_in(getattr(cast, who))

    assert client.get(NEW).status_code == 403
    assert client.post(NEW, {"organization": wire(cast.fraud), "name": "x", "visibility": "public"}).status_code == 403
    assert "New Space" not in body(client.get(SPACES))


def test_an_organization_one_may_not_add_to_is_not_offered_and_not_taken(cast: Cast) -> None:
    answer = signed_in(cast.bob).post(NEW, {"organization": wire(cast.research), "name": "x", "visibility": "public"})

    assert answer.status_code == 422
    assert "Choose one of the organizations" in body(answer)
    assert not Space.objects.filter(name="x").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": ""}, "Enter a name"),
        ({"name": "production"}, "already has a space “production”"),
        ({"visibility": "secret"}, "secret is not one of the available choices"),
        ({"organization": ""}, "Choose the organization"),
        ({"description": "x" * 1001}, "at most 1000 characters"),
    ],
)
def test_mistakes_are_told_and_nothing_typed_is_lost(cast: Cast, changed: dict[str, str], said: str) -> None:
    form = {"organization": wire(cast.fraud), "name": "sandbox", "description": "kept", "visibility": "private"}

    answer = signed_in(cast.alice).post(NEW, form | changed)

    assert answer.status_code == 422
    assert said in body(answer)
    assert Space.objects.count() == 4


def test_the_chosen_organization_is_filled_in(cast: Cast) -> None:
    client = signed_in(cast.alice)
    client.post("/settings/scope/", {"organization": wire(cast.research), "next": SPACES})

    chosen, linked = client.get(NEW), client.get(NEW, {"organization": wire(cast.fraud)})

    assert chosen.context["form"]["organization"].value() == wire(cast.research)
    assert linked.context["form"]["organization"].value() == wire(cast.fraud)
    assert linked.context["close_url"] == page_of(cast.fraud)


# ---- Changing them


def settings(space: Space, **changed: str) -> dict[str, str]:
    visibility = "private" if space.is_private else "public"
    return {"name": space.name, "description": space.description, "visibility": visibility} | changed


def test_renaming_takes_effect_at_once(cast: Cast) -> None:
    client = signed_in(cast.alice)

    client.post(page_of(cast.production, "settings/"), settings(cast.production, name="live", description="now"))
    client.post(page_of(cast.fraud, "settings/"), {"name": "Fraud", "description": ""})

    assert Space.objects.get(pk=cast.production.pk).name == "live"
    assert Organization.objects.get(pk=cast.fraud.pk).name == "Fraud"
    assert AuditEvent.objects.filter(tag__in=(Tag.SPACE_CHANGED, Tag.ORGANIZATION_CHANGED)).count() == 2


def test_a_space_becomes_private_after_it_is_said_who_loses_it(cast: Cast) -> None:
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    service_key(cast.alice, cast.staging, name="nightly", organization_role=RoleName.READ_ONLY)
    client, address = signed_in(cast.alice), page_of(cast.production, "settings/")

    asked = client.post(address, settings(cast.production, name="live", visibility="private"))

    assert "Make <bdi>production</bdi> private?" in body(asked)
    assert asked.context["people"] == [cast.erin]
    assert asked.context["bots_count"] == 1
    assert Space.objects.get(pk=cast.production.pk).name == "production"

    reader = signed_in(cast.erin)
    assert reader.get(page_of(cast.production)).status_code == 200
    client.post(address, settings(cast.production, name="live", visibility="private") | {"confirmed": "1"})

    now = Space.objects.get(pk=cast.production.pk)
    assert (now.name, now.is_private) == ("live", True)
    assert reader.get(page_of(cast.production)).status_code == 404
    assert signed_in(cast.bob).get(page_of(cast.production)).status_code == 200


def test_a_space_becomes_public_after_it_is_said_who_gets_in(cast: Cast) -> None:
    bind(cast.bob, cast.research, RoleName.MEMBER)
    client, address = signed_in(cast.alice), page_of(cast.vision_lab, "settings/")

    asked = client.post(address, settings(cast.vision_lab, visibility="public"))
    client.post(address, settings(cast.vision_lab, visibility="public") | {"confirmed": "1"})

    assert asked.context["people"] == [cast.bob]
    assert signed_in(cast.bob).get(page_of(cast.vision_lab)).status_code == 200


def test_nobody_losing_access_is_said_too(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.charlie, content_object=cast.staging).delete()
    bind(cast.charlie, cast.staging, RoleName.READ_ONLY)
    OrganizationBinding.objects.filter(user=cast.dana).delete()

    asked = signed_in(cast.alice).post(page_of(cast.staging, "settings/"), settings(cast.staging, visibility="private"))

    assert "Nobody loses access" in body(asked)


def test_whoever_would_lock_themselves_out_is_warned(cast: Cast) -> None:
    keeper = custom_role(cast.account, "Keeper", "SPACE_UPDATE", "SPACE_READ")
    bind(cast.erin, cast.fraud, RoleName.MEMBER)
    bind(cast.erin, cast.production, keeper)
    client, address = signed_in(cast.erin), page_of(cast.production, "settings/")

    asked = client.post(address, settings(cast.production, visibility="private"))

    # The custom role keeps her in.
    assert asked.context["is_you"] is False
    assert "You are among them" not in body(asked)


def test_an_organization_admin_runs_it_but_does_not_delete_it(cast: Cast) -> None:
    bind(cast.bob, cast.research, RoleName.ADMIN)
    client = signed_in(cast.bob)

    page = body(client.get(page_of(cast.research, "settings/")))

    assert "Only account admins delete organizations" in page
    assert client.get(page_of(cast.research, "delete/")).status_code == 403
    assert client.post(page_of(cast.research, "settings/"), {"name": "Science"}).status_code == 302


# ---- Members


def test_a_member_is_added_from_the_organization(cast: Cast) -> None:
    bind(cast.erin, cast.fraud, RoleName.READ_ONLY)
    client = signed_in(cast.alice)

    offered = [row["member"].user for row in client.get(page_of(cast.staging, "add/")).context["rows"]]
    page = client.get(dialog(cast.staging, cast.erin))
    answer = client.post(dialog(cast.staging, cast.erin), {"role": "MEMBER", "custom": ""})

    assert offered == [cast.erin, cast.dana, cast.alice]  # whoever has a role there is not offered
    assert page.context["chosen"] == {"role": "MEMBER", "custom": ""}
    assert answer["Location"] == page_of(cast.staging)
    assert held(cast.erin, cast.staging) == {"MEMBER"}


def test_whom_to_add_is_searched_and_paged(cast: Cast) -> None:
    for number in range(14):
        person = PersonFactory.create(name=f"find-me {number}")
        bind(person, cast.account, RoleName.MEMBER)
        bind(person, cast.fraud, RoleName.MEMBER)
    bind(PersonFactory.create(name="find-me elsewhere"), cast.account, RoleName.MEMBER)
    client = signed_in(cast.alice)

    first = client.get(page_of(cast.staging, "add/"), {"q": "find-me"})
    second = client.get(page_of(cast.staging, "add/") + first.context["older_url"])

    assert [len(page.context["rows"]) for page in (first, second)] == [12, 2]
    assert len(client.get(page_of(cast.research, "add/"), {"q": "elsewhere"}).context["rows"]) == 1


def test_somebody_outside_the_organization_is_refused_with_the_reason(cast: Cast) -> None:
    answer = signed_in(cast.alice).post(dialog(cast.production, cast.erin), {"role": "MEMBER", "custom": ""})

    assert answer.status_code == 422
    assert "not a member of “Fraud &amp; Risk”" in body(answer)


def test_a_role_is_changed_and_a_custom_one_added_and_taken(cast: Cast) -> None:
    lead = custom_role(cast.account, "Label lead", "QUEUE_CREATE")
    client, address = signed_in(cast.alice), dialog(cast.production, cast.bob)

    client.post(address, {"role": "READ_ONLY", "custom": value_of(lead)})
    assert held(cast.bob, cast.production) == {"READ_ONLY", "Label lead"}
    client.post(address, {"role": "", "custom": value_of(lead)})
    assert held(cast.bob, cast.production) == {"Label lead"}
    client.post(address, {"role": "ADMIN", "custom": ""})
    assert held(cast.bob, cast.production) == {"ADMIN"}


def test_taking_every_role_away_is_asked(cast: Cast) -> None:
    address = dialog(cast.production, cast.bob)
    client = signed_in(cast.alice)

    asked = client.post(address, {"role": "", "custom": ""})
    page = client.get(asked["Location"])
    done = client.post(asked["Location"])

    assert "Access remains" in body(page)
    assert page.context["close_url"] == done["Location"] == page_of(cast.production)
    assert held(cast.bob, cast.production) == set()


def test_nothing_changed_records_nothing(cast: Cast) -> None:
    answer = signed_in(cast.alice).post(dialog(cast.production, cast.bob), {"role": "MEMBER", "custom": ""})

    assert answer["Location"] == page_of(cast.production)
    assert not AuditEvent.objects.filter(tag__startswith="role:").exists()


def test_organization_roles_are_given_the_same_way(cast: Cast) -> None:
    client = signed_in(cast.alice)

    client.post(dialog(cast.research, cast.bob), {"role": "ADMIN"})
    client.post(dialog(cast.fraud, cast.bob), {"role": "READ_ONLY"})

    assert (held(cast.bob, cast.research), held(cast.bob, cast.fraud)) == ({"ADMIN"}, {"READ_ONLY"})


def test_roles_out_of_reach_are_shown_with_the_reason_and_refused(cast: Cast) -> None:
    client = signed_in(cast.alice)

    page = client.get(dialog(cast.production, cast.dana))
    answer = client.post(dialog(cast.production, cast.dana), {"role": "ADMIN", "custom": ""})

    reasons = {choice.role.name: choice.reason for choice in page.context["roles"]}
    assert reasons["ADMIN"] == "annotators of the account are only that"
    assert reasons["ANNOTATOR"] == ""
    assert answer.status_code == 422
    assert "Annotator goes together" in body(answer)


def test_a_space_admin_gives_up_their_own_role_only_after_being_asked(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).delete()
    bind(cast.bob, cast.production, RoleName.ADMIN)
    client, address = signed_in(cast.bob), dialog(cast.production, cast.bob)

    asked = client.post(address, {"role": "READ_ONLY", "custom": ""})

    assert "You give up rights of your own" in body(asked)
    assert held(cast.bob, cast.production) == {"ADMIN"}
    client.post(address, {"role": "READ_ONLY", "custom": "", "confirmed": "1"})
    assert held(cast.bob, cast.production) == {"READ_ONLY"}


def test_a_space_admin_runs_that_space_alone(cast: Cast) -> None:
    SpaceBinding.objects.filter(user=cast.bob, content_object=cast.production).delete()
    bind(cast.bob, cast.production, RoleName.ADMIN)
    client = signed_in(cast.bob)

    assert "Add a member" in body(client.get(page_of(cast.production)))
    assert client.post(dialog(cast.production, cast.charlie), {"role": "MEMBER", "custom": ""}).status_code == 302
    assert client.post(dialog(cast.staging, cast.charlie), {"role": "MEMBER", "custom": ""}).status_code == 403
    assert client.post(dialog(cast.fraud, cast.charlie), {"role": "MEMBER"}).status_code == 403
    assert client.get(page_of(cast.fraud, "add/")).status_code == 403


def test_bots_keep_what_their_key_was_given(cast: Cast) -> None:
    bot = service_key(cast.alice, cast.production, name="nightly").key.owner

    answer = signed_in(cast.alice).post(dialog(cast.production, bot), {"role": "ADMIN", "custom": ""})

    assert answer.status_code == 403
    assert held(bot, cast.production) == {"MEMBER"}


def test_next_leads_only_to_our_own_pages(cast: Cast) -> None:
    address = dialog(cast.production, cast.bob)
    client = signed_in(cast.alice)

    away = client.post(address, {"role": "ADMIN", "custom": "", "next": "https://example.org/"})
    back = client.post(address, {"role": "MEMBER", "custom": "", "next": "/settings/members/"})

    assert (away["Location"], back["Location"]) == (page_of(cast.production), "/settings/members/")


# ---- Deleting


def test_deleting_a_space_names_its_keys_and_wants_its_name(cast: Cast) -> None:
    stops = service_key(cast.alice, cast.production, name="nightly export").key
    goes_on = service_key(cast.alice, cast.production, cast.staging, name="evaluation").key
    client, address = signed_in(cast.alice), page_of(cast.production, "delete/")

    page = client.get(address)
    wrong = client.post(address, {"name": "Production"})
    empty = client.post(address, {"name": ""})

    assert page.context["consequences"].stops == (f"nightly export ({stops.redacted_key})",)
    assert page.context["consequences"].goes_on == (f"evaluation ({goes_on.redacted_key})",)
    assert (wrong.status_code, empty.status_code) == (422, 422)
    assert "This is not its name" in body(wrong)
    assert Space.objects.filter(pk=cast.production.pk).exists()

    done = client.post(address, {"name": "production"})

    assert done["Location"] == page_of(cast.fraud)
    assert not Space.objects.filter(pk=cast.production.pk).exists()
    assert ApiKey.objects.get(pk=stops.pk).revoked_at is not None
    assert ApiKey.objects.get(pk=goes_on.pk).revoked_at is None


def test_deleting_an_organization_names_its_spaces(cast: Cast) -> None:
    client, address = signed_in(cast.alice), page_of(cast.fraud, "delete/")

    page = body(client.get(address))
    done = client.post(address, {"name": "Fraud & Risk"})

    assert all(name in page for name in ("production", "staging"))
    assert done["Location"] == SPACES
    assert set(Space.objects.values_list("name", flat=True)) == {"vision-lab", "production"}
    assert Space.objects.get(name="production") == cast.elsewhere


def test_keys_one_may_not_know_of_are_not_named(cast: Cast) -> None:
    service_key(cast.alice, cast.production, name="nightly export")
    janitor = custom_role(cast.account, "Janitor", "SPACE_DELETE", "SPACE_READ")
    bind(cast.charlie, cast.production, janitor)
    client, address = signed_in(cast.charlie), page_of(cast.production, "delete/")

    page = body(client.get(address))

    assert "nightly export" not in page
    assert "Your role does not show which" in page
    assert client.post(address, {"name": "production"}).status_code == 302


def test_an_old_sign_in_is_confirmed_before_anything_is_given_or_deleted(cast: Cast) -> None:
    """Security.md 38."""
    client = signed_in(cast.alice)
    long_ago(client)

    assert client.get(page_of(cast.production)).status_code == 200
    for path in (
        NEW,
        NEW_ORGANIZATION,
        page_of(cast.production, "settings/"),
        page_of(cast.production, "delete/"),
        page_of(cast.fraud, "delete/"),
        page_of(cast.production, "add/"),
        dialog(cast.production, cast.bob),
    ):
        assert client.get(path)["Location"].startswith("/confirm/"), path
    client.post(page_of(cast.production, "delete/"), {"name": "production"})
    client.post(dialog(cast.production, cast.bob), {"role": "ADMIN"})
    assert held(cast.bob, cast.production) == {"MEMBER"}
