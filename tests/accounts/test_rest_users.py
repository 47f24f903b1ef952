"""``/v2/users`` through HTTP (contract rest-v2 §6)."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client, TestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.bindings import predefined as role
from accounts.invitations import LIFETIME
from accounts.models import AccountBinding, User
from accounts.people import deactivate_person
from accounts.roles import Level, RoleName
from accounts.wire import encode_id
from apikeys.models import ApiKey
from tests.accounts.rest import Api, predefined
from tests.cast import Cast
from tests.factories import PASSWORD, PersonFactory, acting, bind, later, service_key

pytestmark = pytest.mark.django_db
USERS = "/v2/users"
ANN = {"name": "Ann", "email": "ann@example.com", "role": predefined("MEMBER"), "invite_mode": "EMAIL_LINK"}


class Committing(Api):
    """Do what waits for the commit as well, mailing above all: within a test nothing commits."""

    def __call__(
        self, user: User, method: str, address: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Ask, and commit as it were."""
        self.key_of(user)  # that a key was made is mailed too
        with TestCase.captureOnCommitCallbacks(execute=True):
            return super().__call__(user, method, address, body, **headers)


@pytest.fixture
def api(cast: Cast) -> Api:
    """Ask as one of the cast."""
    return Committing(cast)


def _at(user: User, *more: str) -> str:
    return "/".join((USERS, encode_id("User", user.pk), *more))


def _emails(answer: tuple[int, dict[str, Any]]) -> list[str]:
    assert answer[0] == 200, answer
    return [one["email"].split("@")[0] for one in answer[1]["users"]]


def test_list_is_oldest_first_and_without_bots_and_the_deactivated(cast: Cast, api: Api) -> None:
    service_key(cast.alice, cast.production)
    deactivate_person(acting(cast.alice, cast.account).__class__.from_command(None), user=cast.erin, at=timezone.now())

    assert _emails(api(cast.bob, "GET", USERS)) == ["alice", "bob", "charlie", "dana"]
    assert api(cast.dana, "GET", USERS)[0] == 403


def test_list_is_narrowed_down(cast: Cast, api: Api) -> None:
    api(cast.alice, "POST", USERS, ANN)
    api(cast.alice, "POST", USERS, ANN | {"email": "late@example.com"})
    User.objects.filter(email="late@example.com").update(invited_at=timezone.now() - LIFETIME - timedelta(hours=1))

    assert _emails(api(cast.alice, "GET", f"{USERS}?email=A@EXAMPLE")) == ["dana"]
    assert _emails(api(cast.alice, "GET", f"{USERS}?status=INVITED")) == ["ann"]
    assert _emails(api(cast.alice, "GET", f"{USERS}?status=EXPIRED&status=INVITED")) == ["ann", "late"]
    assert len(_emails(api(cast.alice, "GET", f"{USERS}?status=ACTIVE"))) == 5
    assert api(cast.alice, "GET", f"{USERS}?status=REMOVED")[0] == 400
    assert api(cast.alice, "GET", f"{USERS}?status=ACTIVE&status=ACTIVE&status=ACTIVE&status=ACTIVE")[0] == 400


def test_list_costs_the_same_for_one_person_and_for_many(cast: Cast, api: Api) -> None:
    api(cast.alice, "GET", USERS)
    costs = []
    for more in (0, 2, 27):
        for _ in range(more):
            bind(PersonFactory.create(), cast.account, RoleName.MEMBER)
        with CaptureQueriesContext(connection) as queries:
            api(cast.alice, "GET", f"{USERS}?limit=100")
        costs.append(len(queries))

    assert costs[0] == costs[1] == costs[2]


def test_pages_are_stable_while_people_come_and_go(cast: Cast, api: Api) -> None:
    first = api(cast.alice, "GET", f"{USERS}?limit=2")[1]
    bind(PersonFactory.create(email="new@example.com"), cast.account, RoleName.MEMBER)
    api(cast.alice, "DELETE", _at(cast.bob))

    second = api(cast.alice, "GET", f"{USERS}?limit=100&cursor={first['pagination']['next_cursor']}")

    assert [one["email"].split("@")[0] for one in first["users"]] == ["alice", "bob"]
    assert _emails(second) == ["charlie", "dana", "erin", "new"]


def test_a_person_is_told_whole(cast: Cast, api: Api) -> None:
    status, body = api(cast.bob, "GET", _at(cast.alice))

    assert status == 200
    assert body.pop("created_at")
    assert body == {
        "id": encode_id("User", cast.alice.pk),
        "name": "Alice Archer",
        "email": "alice@example.com",
        "status": "ACTIVE",
        "role": predefined("ADMIN"),
        "is_developer": True,
    }


def test_who_may_not_read_people_is_told_there_are_none(cast: Cast, api: Api) -> None:
    bot = service_key(cast.alice, cast.production).key.owner

    assert [api(cast.dana, "GET", _at(one))[0] for one in (cast.dana, cast.alice)] == [200, 404]
    assert [api(cast.alice, "GET", _at(one))[0] for one in (bot, cast.mallory)] == [404, 404]


def test_invitation_by_mail_leads_in(cast: Cast, api: Api, client: Client) -> None:
    status, body = api(cast.alice, "POST", USERS, ANN)

    assert (status, body["status"], body["invite_mode"], body["role"]) == (
        201,
        "INVITED",
        "EMAIL_LINK",
        predefined("MEMBER"),
    )
    assert "temporary_password" not in body
    (sent,) = mail.outbox
    assert sent.to == ["ann@example.com"]
    link = re.search(r"http://testserver(\S+)", str(sent.body))
    assert link is not None
    page = client.get(link[1], follow=True)
    said = {"new_password1": "a brand new phrase", "new_password2": "a brand new phrase"}
    client.post(page.redirect_chain[-1][0], said)
    assert api(cast.alice, "GET", f"{USERS}/{body['id']}")[1]["status"] == "ACTIVE"
    assert client.get(link[1], follow=True).context["validlink"] is False


def test_temporary_password_is_told_once_and_mailed_to_nobody(cast: Cast, api: Api) -> None:
    asked = ANN | {"invite_mode": "TEMPORARY_PASSWORD"}

    status, body = api(cast.alice, "POST", USERS, asked)
    again, second = api(cast.alice, "POST", USERS, asked)

    assert (status, body["status"]) == (201, "INVITED")
    person = User.objects.get(email="ann@example.com")
    assert person.check_password(body["temporary_password"])
    assert person.password_is_temporary
    assert (again, second.keys() & {"temporary_password", "invite_mode"}) == (200, set())
    assert mail.outbox == []


def test_nobody_waits_without_an_invitation(cast: Cast, api: Api) -> None:
    status, body = api(cast.alice, "POST", USERS, ANN | {"invite_mode": "NONE"})

    assert (status, body["status"], mail.outbox) == (201, "ACTIVE", [])
    assert api(cast.alice, "POST", USERS, ANN | {"invite_mode": "NONE"})[0] == 409


def test_inviting_twice_is_inviting_once(cast: Cast, api: Api) -> None:
    first = api(cast.alice, "POST", USERS, ANN)
    second = api(cast.alice, "POST", USERS, ANN | {"email": "ANN@example.com", "name": "Other"})

    assert (first[0], second[0]) == (201, 200)
    assert second[1]["id"] == first[1]["id"]
    assert second[1]["name"] == "Ann"
    assert len(mail.outbox) == 1


def test_malformed_address_is_told_before_any_rule(cast: Cast, api: Api) -> None:
    """Whether or not the caller may give the role."""
    wrong = ANN | {"email": "no address", "role": predefined("ADMIN")}

    status, body = api(cast.bob, "POST", USERS, wrong)

    assert (status, body["errors"][0]["pointer"]) == (400, "#/email")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"email": "bob@example.com"}, 409),
        ({"email": "mallory@example.com"}, 409),
        ({"email": "no address"}, 400),
        ({"email": "x@bot.invalid"}, 400),
        ({"name": ""}, 400),
        ({"name": "x" * 256}, 400),
        ({"invite_mode": "PIGEON"}, 400),
        ({"role": predefined("READ_ONLY")}, 400),
        ({"role": {"type": "CUSTOM", "id": encode_id("Role", 1)}}, 422),
        ({"is_developer": True}, 400),
    ],
)
def test_invitations_that_cannot_be(cast: Cast, api: Api, change: dict[str, Any], status: int) -> None:
    assert api(cast.alice, "POST", USERS, ANN | change)[0] == status
    assert not User.objects.filter(email="ann@example.com").exists()
    assert mail.outbox == []


def test_members_invite_up_to_member(cast: Cast, api: Api) -> None:
    assert api(cast.bob, "POST", USERS, ANN)[0] == 201
    assert api(cast.bob, "POST", USERS, ANN | {"email": "b@example.com", "role": predefined("ANNOTATOR")})[0] == 201
    assert api(cast.bob, "POST", USERS, ANN | {"email": "c@example.com", "role": predefined("ADMIN")})[0] == 422
    assert api(cast.dana, "POST", USERS, ANN | {"email": "d@example.com"})[0] == 403


def test_changing_name_and_developer_access(cast: Cast, api: Api) -> None:
    status, body = api(cast.alice, "PATCH", _at(cast.bob), {"name": " Robert ", "is_developer": False})

    assert (status, body["name"], body["is_developer"]) == (200, "Robert", False)
    assert api(cast.alice, "PATCH", _at(cast.bob), {})[0] == 400
    assert api(cast.alice, "PATCH", _at(cast.bob), {"name": "  "})[0] == 400
    assert api(cast.alice, "PATCH", _at(cast.bob), {"name": None})[0] == 400
    assert api(cast.alice, "PATCH", _at(cast.bob), {"email": "r@example.com"})[0] == 400
    assert api(cast.bob, "PATCH", _at(cast.bob), {"is_developer": True})[0] == 403
    assert api(cast.bob, "PATCH", _at(cast.charlie), {"name": "C"})[0] == 403


def test_removal_ends_what_is_theirs_and_leaves_what_they_made(cast: Cast, api: Api) -> None:
    made = service_key(cast.bob, cast.production)
    assert api(cast.bob, "GET", USERS)[0] == 200

    assert api(cast.alice, "DELETE", _at(cast.bob))[0] == 204

    assert api(cast.bob, "GET", USERS)[0] == 401
    assert not AccountBinding.objects.filter(user=cast.bob).exists()
    assert ApiKey.objects.get(pk=made.key.pk).revoked_at is None
    assert api(cast.alice, "GET", _at(cast.bob))[0] == 404
    assert api(cast.alice, "DELETE", _at(cast.bob))[0] == 204
    assert api(cast.alice, "POST", USERS, ANN | {"email": "bob@example.com"})[0] == 409


def test_whom_one_cannot_remove(cast: Cast, api: Api) -> None:
    bot = service_key(cast.alice, cast.production).key.owner

    assert api(cast.alice, "DELETE", _at(cast.alice))[0] == 403
    assert api(cast.bob, "DELETE", _at(cast.charlie))[0] == 403
    assert api(cast.dana, "DELETE", _at(cast.charlie))[0] == 404
    assert [api(cast.alice, "DELETE", _at(one))[0] for one in (bot, cast.mallory)] == [404, 404]
    api(cast.alice, "DELETE", _at(cast.charlie))
    assert [api(one, "DELETE", _at(cast.charlie))[0] for one in (cast.bob, cast.mallory)] == [403, 404]


def test_sending_again_is_for_those_who_were_invited(cast: Cast, api: Api) -> None:
    ann = api(cast.alice, "POST", USERS, ANN)[1]["id"]

    assert api(cast.bob, "POST", f"{USERS}/{ann}/resend-invitation") == (204, {})
    assert len(mail.outbox) == 2
    assert mail.outbox[0].body != mail.outbox[1].body
    assert api(cast.alice, "POST", _at(cast.bob, "resend-invitation"))[0] == 400
    User.objects.filter(email="ann@example.com").update(invited_at=later(days=-8))  # contract §6: only INVITED
    assert api(cast.alice, "POST", f"{USERS}/{ann}/resend-invitation")[0] == 400
    assert len(mail.outbox) == 2
    assert api(cast.dana, "POST", f"{USERS}/{ann}/resend-invitation")[0] == 404


def test_reset_mails_a_link_and_changes_nothing_yet(cast: Cast, api: Api) -> None:
    ann = api(cast.alice, "POST", USERS, ANN)[1]["id"]
    mail.outbox.clear()

    assert api(cast.alice, "POST", _at(cast.bob, "reset-password")) == (204, {})
    assert [one.to for one in mail.outbox] == [["bob@example.com"]]
    cast.bob.refresh_from_db()
    assert cast.bob.check_password(PASSWORD)
    assert api(cast.alice, "POST", f"{USERS}/{ann}/reset-password")[0] == 400
    assert api(cast.bob, "POST", _at(cast.charlie, "reset-password"))[0] == 403


def test_a_demotion_bites_on_the_next_call(cast: Cast, api: Api) -> None:
    assert api(cast.bob, "POST", USERS, ANN)[0] == 201

    membership = AccountBinding.objects.get(user=cast.bob)
    membership.permission = role(Level.ACCOUNT, RoleName.MEMBER_UI_ONLY).permission
    membership.save()

    assert api(cast.bob, "POST", USERS, ANN | {"email": "b@example.com"})[0] == 403
