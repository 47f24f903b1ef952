"""The forms of the API Keys pages: they check shape and offer what may be chosen; the verbs in lifecycle decide."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import zip_longest
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.functional import cached_property

from accounts.actors import Actor
from accounts.categories import CATEGORIES
from accounts.errors import DomainError
from accounts.models import Account, Organization, Role, Space
from accounts.permissions import visible
from accounts.roles import Level, RoleName
from accounts.scope import ChosenScope
from accounts.standing import Standing
from accounts.wire import encode_id
from apikeys import policy
from apikeys.lifecycle import MAX_DESCRIPTION, MAX_GRACE, MAX_NAME, MAX_SCOPES, OrganizationGrant, SpaceGrant
from apikeys.models import ApiKey, KeyKind

_PRESET_DAYS = (30, 90, 365)
_PRESET_GRACES = ((0, "Stops at once"), (3600, "Works for 1 more hour"), (86400, "Works for 24 more hours"))
_MAX_GRACE_SECONDS = int(MAX_GRACE.total_seconds())
# A list one still finds something in. Keys for spaces beyond it are made over REST or the command line.
MAX_LISTED_SPACES = 500


class ExpiryForm(forms.Form):
    """When a key shall end: a preset, or a day. Nothing beyond the account's limit or the old key's end is offered."""

    expires = forms.ChoiceField(label="Expiration")
    expires_on = forms.DateField(
        label="Last day",
        required=False,
        help_text="The key works until the end of this day, UTC.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": "Write the day as year-month-day, for example 2027-01-31."},
    )

    def __init__(
        self, *args: Any, account: Account, at: datetime, current: datetime | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        limit = account.max_key_lifetime_days
        self.at = at
        self.latest = min(
            (end for end in (current, at + timedelta(days=limit) if limit else None) if end), default=None
        )
        expires = self.fields["expires"]
        assert isinstance(expires, forms.ChoiceField)  # noqa: S101 -- tells the type checker what stands above
        expires.choices = [
            self._longest(limit, current),
            *(
                (str(days), f"In {days} days")
                for days in _PRESET_DAYS
                if self.latest is None or at + timedelta(days=days) < self.latest
            ),
            ("custom", "On a date…"),
        ]
        if limit:
            expires.help_text = f"Keys of this account live at most {limit} days."
        self.fields["expires_on"].widget.attrs |= {"min": at.date().isoformat()} | (
            {"max": self.latest.date().isoformat()} if self.latest else {}
        )

    def clean(self) -> dict[str, Any]:
        """Check the day of a custom expiry against what is possible."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("expires") != "custom" or "expires_on" in self.errors:
            return cleaned
        day: date | None = cleaned.get("expires_on")
        if day is None:
            self.add_error("expires_on", "Choose the last day on which the key shall work.")
        elif day < self.at.date():
            self.add_error("expires_on", "This day is over; choose today or a later one.")
        elif self.latest is not None and day > self.latest.date():
            self.add_error("expires_on", f"The latest day possible is {self.latest:%-d %B %Y}.")
        return cleaned

    @property
    def expires_at(self) -> datetime | None:
        """The moment chosen, of a valid form; ``None`` is never."""
        chosen: str = self.cleaned_data["expires"]
        if chosen == "custom":
            end = datetime.combine(self.cleaned_data["expires_on"], time(23, 59, 59), tzinfo=UTC)
            return min(end, self.latest) if self.latest else end
        return (
            self.latest if chosen == "longest" else self.at + timedelta(days=int(chosen)) if chosen.isdigit() else None
        )

    def _longest(self, limit: int | None, current: datetime | None) -> tuple[str, str]:
        if self.latest is None:
            return ("never", "Never")
        if self.latest == current:
            return ("longest", f"As before: {current:%-d %B %Y}")
        return ("longest", f"In {limit} days, the longest possible")


class CreateKeyForm(ExpiryForm):
    """What both kinds of key need."""

    key_type = forms.ChoiceField(label="Key Type", choices=KeyKind.choices)
    name = forms.CharField(
        label="Key Name",
        max_length=MAX_NAME,
        widget=forms.TextInput(attrs={"autofocus": True, "autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Give the key a name by which you will know it again."},
    )
    description = forms.CharField(
        label="Description",
        max_length=MAX_DESCRIPTION,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    field_order = ("key_type", "name", "description", "expires", "expires_on")

    @property
    def kind(self) -> str:
        """The kind chosen so far."""
        value = self["key_type"].value()
        return KeyKind.SERVICE if value == KeyKind.SERVICE else KeyKind.USER


class RefreshForm(ExpiryForm):
    """How long the old secret goes on, and when the key ends."""

    grace = forms.TypedChoiceField(
        label="Old secret",
        choices=[*((str(seconds), label) for seconds, label in _PRESET_GRACES), ("custom", "Works for…")],
        help_text="Time to put the new secret wherever the old one is.",
    )
    grace_seconds = forms.IntegerField(
        label="Seconds",
        required=False,
        min_value=0,
        max_value=_MAX_GRACE_SECONDS,
        help_text=f"At most {_MAX_GRACE_SECONDS}, which is one day.",
    )

    field_order = ("grace", "grace_seconds", "expires", "expires_on")

    def __init__(self, *args: Any, key: ApiKey, at: datetime, **kwargs: Any) -> None:
        super().__init__(*args, account=key.account, at=at, current=key.expires_at, **kwargs)

    def clean(self) -> dict[str, Any]:
        """Ask for the seconds where a custom grace was chosen."""
        cleaned = super().clean()
        if cleaned.get("grace") == "custom" and cleaned.get("grace_seconds") is None and not self.errors:
            self.add_error("grace_seconds", "Say for how many seconds the old secret shall go on.")
        return cleaned

    @property
    def grace_period(self) -> timedelta:
        """The grace chosen, of a valid form."""
        chosen: str = self.cleaned_data["grace"]
        return timedelta(seconds=self.cleaned_data["grace_seconds"] if chosen == "custom" else int(chosen))


@dataclass(frozen=True)
class Choice:
    """One option of a select; a disabled one says why."""

    value: str
    label: str
    selected: bool = False
    reason: str = ""

    @property
    def disabled(self) -> bool:
        """Whether it can only be read."""
        return bool(self.reason)


@dataclass
class GrantRow:
    """One space and the role in it."""

    number: int
    space: Space
    role: Role | None
    roles: list[Choice]
    groups: list[dict[str, Any]]
    note: str = ""
    error: str = ""


@dataclass
class OrganizationRow:
    """The one Org Role of an organization that has chosen spaces."""

    organization: Organization
    role: Role | None
    roles: list[Choice]
    error: str = ""

    @property
    def number(self) -> int:
        """The organization's number, for names and ids in the form."""
        return self.organization.pk

    @property
    def name(self) -> str:
        """What the label shows."""
        return self.organization.name


@dataclass
class ServiceGrants:
    """The part of the form that says what a service key may do: spaces with roles, Org Roles, an Account Role.

    Without a script the page is sent for review and comes back with the lists that fit; so reading is forgiving
    (``strict=False`` falls back to a role one may give). A form sent to create is taken at its word: whether its roles
    and spaces may be given is the verb's to say, and to record.
    """

    actor: Actor
    standing: Standing
    data: QueryDict
    preferred: ChosenScope
    strict: bool = False
    step: str = ""
    error: str = ""
    account_error: str = ""
    rows: list[GrantRow] = field(init=False)
    organizations: list[OrganizationRow] = field(init=False)
    account_role: Role | None = field(init=False)
    account_roles: list[Choice] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [self._row(number, space, role) for number, (space, role) in enumerate(self._chosen(), start=1)]
        self.organizations = [self._organization_row(organization) for organization in self._chosen_organizations()]
        account_roles = [role for role in self._roles(Level.ACCOUNT) if role.name in policy.SERVICE_ACCOUNT_ROLES]
        self.account_role, self.account_roles = self._choose(
            account_roles, self.data.get("account_role"), Level.ACCOUNT, self.standing.account
        )
        if self.strict:
            self._check()

    @cached_property
    def spaces(self) -> dict[str, Space]:
        """The spaces where this person may make service keys, by number, in the order of the list."""
        return {str(space.pk): space for space in policy.spaces_for_service_keys(self.actor)[:MAX_LISTED_SPACES]}

    @property
    def listed(self) -> int:
        """How many spaces are offered, where these are not all of them; otherwise 0."""
        return MAX_LISTED_SPACES if len(self.spaces) == MAX_LISTED_SPACES else 0

    @property
    def is_valid(self) -> bool:
        """Whether everything chosen can be asked of the verb."""
        parts: list[GrantRow | OrganizationRow] = [*self.rows, *self.organizations]
        whole = bool(self.rows) and self.account_role is not None and all(part.role for part in parts)
        return whole and not self.error and not self.account_error and not any(part.error for part in parts)

    @property
    def is_advanced(self) -> bool:
        """Whether the part under Advanced differs from its defaults and should be open."""
        defaults = policy.DEFAULT_ROLE
        changed = any(
            row.error or not row.role or row.role.name != defaults[Level.ORGANIZATION] for row in self.organizations
        )
        account = self.account_error or not self.account_role or self.account_role.name != defaults[Level.ACCOUNT]
        return bool(self.rows) and bool(changed or account)

    @property
    def may_add(self) -> bool:
        """Whether a space is left that could be added."""
        return len(self.rows) < min(len(self.spaces), MAX_SCOPES)

    def grants(self) -> list[OrganizationGrant]:
        """Return what was chosen in the shape the verb takes; only of a valid choice."""
        return [
            OrganizationGrant(
                organization=row.organization,
                role=_given(row.role),
                spaces=tuple(
                    SpaceGrant(one.space, _given(one.role))
                    for one in self.rows
                    if one.space.organization_id == row.organization.pk
                ),
            )
            for row in self.organizations
        ]

    def _chosen(self) -> Sequence[tuple[Space, str | None]]:
        asked = self.data.getlist("space")[:MAX_SCOPES]
        spaces = self.spaces | (self._visible(asked) if self.strict else {})
        pairs = [
            (spaces[space], role)
            for space, role in zip_longest(asked, self.data.getlist("space_role"))
            if space in spaces
        ]
        if self.strict and len(pairs) < len(asked):
            self.error = "One of the spaces is gone, or you have no access to it any more. Check the list."
        if self.step.startswith("remove-") and len(pairs) > 1:
            number = self.step.removeprefix("remove-")
            pairs = [pair for position, pair in enumerate(pairs, start=1) if str(position) != number]
        taken = {space.pk for space, _ in pairs}
        free = next((space for space in self._preferred_first() if space.pk not in taken), None)
        if free and (not pairs or self.step == "add"):
            pairs.append((free, None))
        return pairs

    def _visible(self, asked: list[str]) -> dict[str, Space]:
        """Return spaces that were asked for and not offered: the verb refuses them, and its refusal is recorded."""
        numbers = [int(value) for value in asked if value.isdecimal() and len(value) < 19 and value not in self.spaces]
        if not numbers or self.actor.user is None:
            return {}
        found = visible(self.actor.user, Space).filter(organization__account=self.standing.account, pk__in=numbers)
        return {str(space.pk): space for space in found.select_related("organization")}

    def _preferred_first(self) -> list[Space]:
        organization, space = self.preferred.organization, self.preferred.space
        return sorted(self.spaces.values(), key=lambda one: (one != space, one.organization != organization))

    def _chosen_organizations(self) -> Iterable[Organization]:
        return {row.space.organization_id: row.space.organization for row in self.rows}.values()

    def _row(self, number: int, space: Space, wanted: str | None) -> GrantRow:
        roles = [role for role in self._roles(Level.SPACE) if role.name != RoleName.ANNOTATOR or not role.is_predefined]
        role, choices = self._choose(roles, wanted, Level.SPACE, space)
        highest = next((one for one in roles if one.is_predefined and self.standing.covers(one, space)), None)
        # The organization is named, since two may have a space of the same name.
        note = f"In {space.organization}."
        if highest and any(choice.disabled for choice in choices):
            mine = f"{_article(highest.label)} {highest.label}"
            note = f"In {space.organization}, where you are {mine}: that is the highest role you can give."
        return GrantRow(number, space, role, choices, self._groups(space), note)

    def _organization_row(self, organization: Organization) -> OrganizationRow:
        roles = [role for role in self._roles(Level.ORGANIZATION) if role.name != RoleName.ANNOTATOR]
        role, choices = self._choose(
            roles, self.data.get(f"org_role-{organization.pk}"), Level.ORGANIZATION, organization
        )
        error = (
            "" if role else f"You have no role in {organization} that a service key could get. Ask one of its admins."
        )
        return OrganizationRow(organization, role, choices, error)

    def _choose(
        self, roles: Sequence[Role], wanted: str | None, level: Level, scope: Account | Organization | Space
    ) -> tuple[Role | None, list[Choice]]:
        """Return the role that counts and the options; the wanted one, or the default, or the next one below."""
        allowed = [role for role in roles if self.standing.covers(role, scope)]
        named = {_value(role): role for role in roles}
        role = named.get(wanted or "") or named.get(policy.DEFAULT_ROLE[level].value)
        if role not in allowed and not (self.strict and wanted in named):
            role = next((one for one in allowed if one.is_predefined), None)
        return role, [
            Choice(_value(one), one.label, one == role, "" if one in allowed else "above your own role here")
            for one in roles
        ]

    def _roles(self, level: Level) -> list[Role]:
        return [role for role in self._all_roles if role.level == level]

    @cached_property
    def _all_roles(self) -> list[Role]:
        roles = Role.objects.filter(deleted_at__isnull=True)
        own = [
            role for role in roles.filter(account=self.standing.account).order_by("name") if role.level == Level.SPACE
        ]
        return [*roles.filter(account__isnull=True).order_by("-rank"), *own]

    def _groups(self, selected: Space) -> list[dict[str, Any]]:
        groups: dict[int, dict[str, Any]] = {}
        for value, space in self.spaces.items():
            group = groups.setdefault(space.organization_id, {"name": space.organization.name, "spaces": []})
            group["spaces"].append(
                {"value": value, "name": space.name, "is_private": space.is_private, "selected": space == selected}
            )
        return list(groups.values())

    def _check(self) -> None:
        seen: set[int] = set()
        for row in self.rows:
            if row.space.pk in seen:
                row.error = f"“{row.space}” is chosen twice; one space has one role."
            elif row.role is None:
                row.error = f"You have no role in “{row.space}” that a service key could get. Ask one of its admins."
            seen.add(row.space.pk)
        if self.account_role is None:
            self.account_error = "You have no role in the account that a service key could get. Ask an account admin."


def show_refusal(refusal: DomainError, form: forms.Form, grants: ServiceGrants | None = None) -> None:
    """Put a verb's refusal beside the field it speaks of."""
    if refusal.field == "organizations" and grants is not None:
        grants.error = refusal.detail
    elif refusal.field == "account_role" and grants is not None:
        grants.account_error = refusal.detail
    else:
        places = {"expires_at": "expires", "grace_period_seconds": "grace"}
        place = places.get(refusal.field or "", refusal.field)
        form.add_error(place if place in form.fields else None, refusal.detail)


def _value(role: Role) -> str:
    return role.name if role.is_predefined else str(role.pk)


def _given(role: Role | None) -> Role:
    if role is None:
        raise ValueError("Ask for grants only of a valid choice.")
    return role


def _article(word: str) -> str:
    return "an" if word[:1] in "AEIO" else "a"


class QuestionForm(forms.Form):
    """What a key is asked about. Whether there is such a space, and one may know of it, is not asked here."""

    space = forms.CharField(label="Where", required=False, widget=forms.Select)
    permission = forms.ChoiceField(label="What", required=False)
    secret = forms.ChoiceField(
        label="Secret",
        required=False,
        choices=[("", "The present one"), ("previous", "The one before the last refresh")],
    )

    def __init__(self, *args: Any, actor: Actor, key: ApiKey, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places: dict[str, list[tuple[str, str]]] = {}
        for space in policy.spaces_known_of(actor, key)[:MAX_LISTED_SPACES]:
            places.setdefault(space.organization.name, []).append((encode_id("Space", space.pk), space.name))
        self.has_spaces = bool(places)
        self.fields["space"].widget = forms.Select(choices=[("", f"The account {key.account}"), *places.items()])
        what = self.fields["permission"]
        assert isinstance(what, forms.ChoiceField)  # noqa: S101 -- as declared above
        what.choices = [
            ("", "Get in at all"),
            *((category.label, [(one.value, one.value) for one in category.permissions]) for category in CATEGORIES),
        ]
        if key.refreshed_at is None:
            del self.fields["secret"]
