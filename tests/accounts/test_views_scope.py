"""The switch of account, organization and space, and the account's settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.audit import Tag
from accounts.models import Account, AuditEvent, SpaceBinding, User
from accounts.roles import RoleName
from accounts.scope import SESSION_ORGANIZATION, SESSION_SPACE
from accounts.wire import encode_id
from tests.cast import Cast
from tests.factories import AccountFactory, PersonFactory, SpaceFactory, bind

pytestmark = pytest.mark.django_db

SCOPE = "/settings/scope/"
MEMBERS = "/settings/members/"
ACCOUNT = "/settings/account/"


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def wire(scope: Any) -> str:
    return encode_id(type(scope).__name__, scope.pk)


def body(response: Any) -> str:
    return str(response.content.decode())


def steps(client: Client) -> list[tuple[str, list[str]]]:
    found = client.get(MEMBERS).context["scope_steps"]
    return [(step["name"], [option["name"] for option in step["options"]]) for step in found]


def test_the_switch_offers_what_one_may_see(cast: Cast) -> None:
    assert steps(signed_in(cast.alice)) == [
        ("Acme AI", ["Acme AI"]),
        ("All organizations", ["All organizations", "Fraud & Risk", "Research"]),
        (
            "All spaces",
            ["All spaces", "production · Fraud & Risk", "staging · Fraud & Risk", "vision-lab · Research"],
        ),
    ]
    assert steps(signed_in(cast.bob)) == [
        ("Acme AI", ["Acme AI"]),
        ("Fraud & Risk", ["Fraud & Risk"]),
        ("All spaces", ["All spaces", "production", "staging"]),
    ]
    assert steps(signed_in(cast.erin))[2] == ("vision-lab", ["vision-lab"])


def test_choosing_a_space_narrows_members_and_brings_its_organization(cast: Cast) -> None:
    client = signed_in(cast.alice)

    response = client.post(SCOPE, {"space": wire(cast.production), "next": f"{MEMBERS}?q=b&after=x&space=all"})

    assert response["Location"] == f"{MEMBERS}?q=b"
    assert [name for name, _ in steps(client)] == ["Acme AI", "Fraud & Risk", "production"]
    page = client.get(MEMBERS)
    assert page.context["space"] == cast.production
    assert "Erin Evans" not in body(page)
    client.post(SCOPE, {"organization": "", "next": MEMBERS})
    assert client.get(MEMBERS).context["space"] is None


def test_choosing_an_organization_narrows_members(cast: Cast) -> None:
    client = signed_in(cast.alice)

    client.post(SCOPE, {"organization": wire(cast.research), "next": MEMBERS})

    names = [row["member"].user.name for row in client.get(MEMBERS).context["rows"]]
    assert names == ["Erin Evans", "Alice Archer"]


def test_what_one_may_not_see_cannot_be_chosen(cast: Cast) -> None:
    client = signed_in(cast.bob)

    for form in (
        {"space": wire(cast.vision_lab)},
        {"organization": wire(cast.research)},
        {"account": wire(cast.elsewhere.organization.account)},
        {"space": "rubbish"},
        {},
    ):
        assert client.post(SCOPE, form).status_code == 404
    assert SESSION_SPACE not in client.session


def test_a_choice_is_forgotten_when_access_ends(cast: Cast) -> None:
    client = signed_in(cast.erin)
    client.post(SCOPE, {"space": wire(cast.vision_lab)})
    SpaceBinding.objects.filter(user=cast.erin).delete()

    page = client.get(MEMBERS)

    assert page.status_code == 200
    assert page.context["space"] is None
    assert "vision-lab" not in body(page)


def test_switching_accounts_leaves_the_old_choice_behind(cast: Cast) -> None:
    other = AccountFactory.create(name="Beta Bank")
    bind(cast.bob, other, RoleName.ADMIN)
    client = signed_in(cast.bob)
    client.post(SCOPE, {"space": wire(cast.production)})

    response = client.post(SCOPE, {"account": wire(other), "next": f"{MEMBERS}{encode_id('User', cast.alice.pk)}/"})

    assert response["Location"] == "/settings/api-keys/"
    assert SESSION_SPACE not in client.session
    assert SESSION_ORGANIZATION not in client.session
    assert steps(client)[0] == ("Beta Bank", ["Acme AI", "Beta Bank"])
    assert "Alice Archer" not in body(client.get(MEMBERS))


def test_with_many_spaces_the_menu_leads_to_a_search(cast: Cast) -> None:
    SpaceFactory.create_batch(60, organization=cast.fraud)
    far = SpaceFactory.create(organization=cast.fraud, name="zanzibar")
    client = signed_in(cast.alice)
    assert steps(client)[2][1][-1] == "Find another space…"

    found = client.post(SCOPE, {"space": "find", "next": MEMBERS})
    first = client.get(found["Location"])
    assert (len(first.context["rows"]), bool(first.context["older_url"])) == (50, True)
    hit = client.get(SCOPE, {"kind": "space", "q": "zanz", "next": MEMBERS})

    assert [row.name for row in hit.context["rows"]] == ["zanzibar"]
    assert f'value="{wire(far)}"' in body(hit)
    client.post(SCOPE, {"space": wire(far), "next": MEMBERS})
    assert steps(client)[2][0] == "zanzibar"


def test_next_never_leads_elsewhere(cast: Cast) -> None:
    response = signed_in(cast.alice).post(SCOPE, {"space": "", "next": "https://evil.example/"})

    assert response["Location"] == "/settings/api-keys/"


def test_the_switch_costs_the_same_whatever_there_is(cast: Cast) -> None:
    client, counts = signed_in(cast.alice), []
    for extra in (1, 30):
        SpaceFactory.create_batch(extra, organization=cast.fraud)
        with CaptureQueriesContext(connection) as queries:
            client.get(ACCOUNT)
        counts.append(len(queries))

    assert len(set(counts)) == 1, counts


def test_somebody_in_no_account_is_told_whom_to_ask() -> None:
    lonely = PersonFactory.create()

    response = signed_in(lonely).get(MEMBERS)

    assert response.status_code == 403
    assert "Ask an account admin to invite you" in body(response)
    assert "/admin/" not in body(response)


# ---- Account settings


def test_admins_change_the_key_policy(cast: Cast) -> None:
    client = signed_in(cast.alice)

    response = client.post(ACCOUNT, {"developer_access_locked": "on", "max_key_lifetime_days": "90"}, follow=True)

    account = Account.objects.get(pk=cast.account.pk)
    assert (account.developer_access_locked, account.max_key_lifetime_days) == (True, 90)
    assert "Account settings saved" in body(response)
    assert AuditEvent.objects.get(tag=Tag.ACCOUNT_CHANGED).details["before"]["developer_access_locked"] is False
    client.post(ACCOUNT, {"max_key_lifetime_days": ""})
    account.refresh_from_db()
    assert (account.developer_access_locked, account.max_key_lifetime_days) == (False, None)


@pytest.mark.parametrize("days", ["0", "-1", "36501", "soon", "1.5"])
def test_a_lifetime_without_sense_is_refused_at_its_field(cast: Cast, days: str) -> None:
    response = signed_in(cast.alice).post(ACCOUNT, {"developer_access_locked": "on", "max_key_lifetime_days": days})

    assert response.status_code == 200
    assert response.context["form"].errors.keys() == {"max_key_lifetime_days"}
    assert f'value="{days}"' in body(response)
    assert not Account.objects.get(pk=cast.account.pk).developer_access_locked


@pytest.mark.parametrize("who", ["bob", "charlie", "dana", "erin"])
def test_everybody_else_reads_it(cast: Cast, who: str) -> None:
    client = signed_in(getattr(cast, who))

    page = body(client.get(ACCOUNT))
    response = client.post(ACCOUNT, {"developer_access_locked": "on"})

    assert "Only account admins change these settings" in page
    assert "<form" not in page.split('id="content"')[1]
    assert response.status_code == 403
    assert not Account.objects.get(pk=cast.account.pk).developer_access_locked
