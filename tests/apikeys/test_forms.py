"""The forms of the API Keys pages: what they offer, what they make of it, where a refusal is shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.http import QueryDict

from accounts.errors import DomainError
from accounts.models import Account
from accounts.scope import ChosenScope
from accounts.standing import Standing
from apikeys import policy
from apikeys.errors import BadLifetime
from apikeys.forms import CreateKeyForm, RefreshForm, ServiceGrants, show_refusal
from apikeys.models import ApiKey
from tests.cast import Cast

AT = datetime(2027, 1, 10, 12, 0, tzinfo=UTC)


def create_form(data: dict[str, str] | None = None, *, limit: int | None = None) -> CreateKeyForm:
    whole = {"key_type": "USER", "name": "laptop", "expires": "never"} | (data or {})
    return CreateKeyForm(whole, account=Account(max_key_lifetime_days=limit), at=AT)


def refresh_form(expires_at: datetime | None, data: dict[str, str], *, limit: int | None = None) -> RefreshForm:
    key = ApiKey(account=Account(max_key_lifetime_days=limit), expires_at=expires_at)
    return RefreshForm({"grace": "0"} | data, key=key, at=AT)


def offered(form: CreateKeyForm | RefreshForm) -> list[str]:
    return [value for value, _ in form.fields["expires"].choices]  # type: ignore[attr-defined]  # a choice field


@pytest.mark.parametrize(
    ("data", "end"),
    [
        ({"expires": "never"}, None),
        ({"expires": "30"}, AT + timedelta(days=30)),
        ({"expires": "custom", "expires_on": "2027-02-01"}, datetime(2027, 2, 1, 23, 59, 59, tzinfo=UTC)),
        ({"expires": "custom", "expires_on": "2027-01-10"}, datetime(2027, 1, 10, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_expiry_without_a_limit(data: dict[str, str], end: datetime | None) -> None:
    form = create_form(data)

    assert form.is_valid()
    assert form.expires_at == end


@pytest.mark.parametrize(
    ("limit", "choices"),
    [
        (None, ["never", "30", "90", "365", "custom"]),
        (400, ["longest", "30", "90", "365", "custom"]),
        (90, ["longest", "30", "custom"]),
        (7, ["longest", "custom"]),
    ],
)
def test_presets_stay_within_the_accounts_limit(limit: int | None, choices: list[str]) -> None:
    assert offered(create_form(limit=limit)) == choices


def test_the_last_possible_day_ends_when_the_limit_does() -> None:
    form = create_form({"expires": "custom", "expires_on": "2027-01-17"}, limit=7)

    assert form.is_valid()
    assert form.expires_at == AT + timedelta(days=7)


@pytest.mark.parametrize("day", ["2027-01-09", "2027-01-18", "", "soon", "0000-00-00"])
def test_days_out_of_bounds_are_refused(day: str) -> None:
    form = create_form({"expires": "custom", "expires_on": day}, limit=7)

    assert not form.is_valid()
    assert list(form.errors) == ["expires_on"]


@pytest.mark.parametrize(
    ("limit", "end"), [(None, AT + timedelta(days=50)), (400, AT + timedelta(days=50)), (20, AT + timedelta(days=20))]
)
def test_refresh_offers_the_old_end_or_the_limit_whichever_is_sooner(limit: int | None, end: datetime) -> None:
    form = refresh_form(AT + timedelta(days=50), {"expires": "longest"}, limit=limit)

    assert form.is_valid()
    assert form.expires_at == end
    assert "never" not in offered(form)


@pytest.mark.parametrize(
    ("data", "seconds"), [({"grace": "3600"}, 3600), ({"grace": "custom", "grace_seconds": "86400"}, 86400)]
)
def test_grace(data: dict[str, str], seconds: int) -> None:
    form = refresh_form(None, {"expires": "never"} | data)

    assert form.is_valid()
    assert form.grace_period == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("refusal", "place"),
    [
        (BadLifetime("no", field="expires_at"), "expires"),
        (DomainError("no", field="name"), "name"),
        (DomainError("no"), "__all__"),
    ],
)
def test_a_refusal_stands_beside_its_field(refusal: DomainError, place: str) -> None:
    form = create_form()
    assert form.is_valid()

    show_refusal(refusal, form)

    assert form.errors[place] == ["no"]


@pytest.mark.django_db
def test_looking_over_falls_back_to_a_role_one_may_give(cast: Cast) -> None:
    def grants(*, strict: bool) -> ServiceGrants:
        data = QueryDict(f"space={cast.production.pk}&space_role=ADMIN")
        standing = Standing.of(cast.bob, cast.account)
        return ServiceGrants(cast.actor(cast.bob), standing, data, ChosenScope(cast.account), strict=strict)

    assert [row.role.name for row in grants(strict=False).rows if row.role] == ["MEMBER"]
    assert [row.role.name for row in grants(strict=True).rows if row.role] == ["ADMIN"]


@pytest.mark.django_db
def test_options_agree_with_the_one_ceiling(cast: Cast) -> None:
    """security.md 15: the form offers exactly what the verb would allow."""
    for person in (cast.alice, cast.bob, cast.erin):
        standing = Standing.of(person, cast.account)
        grants = ServiceGrants(cast.actor(person), standing, QueryDict(), ChosenScope(cast.account))
        (row,) = grants.rows

        assert row.space in policy.spaces_for_service_keys(cast.actor(person))
        roles = {role.name: role for role in grants._all_roles if role.level == "SPACE" and role.is_predefined}
        for choice in row.roles:
            assert choice.disabled != standing.covers(roles[choice.value], row.space)
