"""Reading the audit trail: who may see which events, narrowing them down, and telling them in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.db.models import Q, QuerySet, TextChoices

from accounts.actors import Actor
from accounts.audit import Tag, door_label, history
from accounts.errors import Forbidden
from accounts.models import AuditEvent, User, UserKind
from accounts.roles import PREDEFINED
from accounts.signals import own_targets
from accounts.standing import standing_of
from accounts.wire import encode_id

KEY_TYPE = "ApiKey"
# How far back programs see where they do not say (contract rest-v2 §11), and the first moment there is to look at.
_USUAL_RANGE = timedelta(days=30)
_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)
_ROLE_LABELS = {(row.level.value, row.name.value): row.label for row in PREDEFINED}
_GROUPS = {
    "key": "Keys",
    "person": "People",
    "role": "Roles",
    "developer": "Developer access",
    "account": "Account",
    "organization": "Organizations",
    "space": "Spaces",
    "project": "Projects",
    "dataset": "Datasets",
    "experiment": "Experiments",
    "prompt": "Prompts",
    "session": "Sign-in",
    "password": "Passwords",
    "audit": "Audit log",
    "access": "Refused access",
}
_WORDS = {
    "account_role": "Account role",
    "acted_by": "Done by",
    "because": "Because",
    "bot": "Bot user",
    "developer_access_locked": "Developer access lock",
    "email": "E-mail",
    "expires_at": "Expires",
    "grace_seconds": "Old secret works for",
    "is_private": "Private",
    "is_staff": "Operator",
    "is_superuser": "Superuser",
    "kind": "Kind",
    "max_key_lifetime_days": "Longest life of a key",
    "max_keys_per_hour": "Keys per hour",
    "max_live_keys": "Live keys",
    "redacted_key": "Key now reads",
    "said": "Answer",
    "times": "How often",
    "where": "Seen in",
}
_REASONS = {
    "locked": "Too many wrong passwords before",
    "unknown": "Nobody has this address",
    "inactive": "The person is deactivated",
    "invited": "The invitation was not accepted yet",
    "password": "Wrong password",
}
_KINDS = {"USER": "User key", "SERVICE": "Service key"}
_FEW = 200
_ROLES_TOLD = 20  # the rest of those that went with a scope is in exports
_SWITCHES = frozenset({"developer_access_locked"})
# Tags of what changes nothing but the trail itself.
_READING = (Tag.AUDIT_EXPORTED.value, Tag.KEYS_EXPORTED.value)


class OperationType(TextChoices):
    """The kinds of operation, as clients know them (contract rest-v2 §11)."""

    QUERY = "QUERY", "Reading"
    MUTATION = "MUTATION", "Writing"
    SUBSCRIPTION = "SUBSCRIPTION", "Subscription"


@dataclass(frozen=True)
class Filter:
    """What a reading of the trail is narrowed to. Both ends of the time range are inclusive."""

    person: str = ""
    user_id: int | None = None  # who did it
    action: str = ""  # a tag, or the subject of many
    outcome: str = ""
    door: str = ""
    operation_type: str = ""
    operation_names: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    key_id: int | None = None

    def apply(self, events: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        """Return the events that match."""
        if self.person:
            people = _named(self.person)
            events = events.filter(Q(actor_id__in=people) | Q(target_type="User", target_id__in=people))
        if self.user_id is not None:
            events = events.filter(actor_id=self.user_id)
        if self.door:
            events = events.filter(door=self.door)
        if self.operation_type:
            events = events.filter(_of_type(self.operation_type))
        if self.operation_names:
            names = Q(operation_name__in=self.operation_names)
            events = events.filter(names | Q(operation_name="", tag__in=self.operation_names))
        if self.action in Tag.values:
            events = events.filter(tag=self.action)
        elif self.action:
            events = events.filter(tag__startswith=f"{self.action}:")
        if self.outcome:
            events = events.filter(outcome=self.outcome)
        if self.since:
            events = events.filter(at__gte=self.since)
        if self.until:
            events = events.filter(at__lte=self.until)
        if self.key_id is not None:
            events = events.filter(Q(target_type=KEY_TYPE, target_id=self.key_id) | Q(key_id=self.key_id))
        return events

    def described(self) -> dict[str, str]:
        """Return the filter in words, for the event that records an export."""
        said = {
            "person": self.person,
            "user": encode_id("User", self.user_id) if self.user_id else "",
            "action": self.action,
            "outcome": self.outcome,
            "door": self.door,
            "operation_type": self.operation_type,
            "operation_names": ", ".join(self.operation_names),
            "since": self.since.isoformat() if self.since else "",
            "until": self.until.isoformat() if self.until else "",
            "key": encode_id(KEY_TYPE, self.key_id) if self.key_id else "",
        }
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True)
class Told:
    """One event as a page shows it."""

    event: AuditEvent
    ip: str | None
    name: str
    email: str
    action: str
    target: str  # "" where somebody did it to themselves
    gist: str  # what would otherwise stand alone behind "Details"
    door: str
    facts: list[tuple[str, str]]
    actor: str
    key: str
    target_key: str

    @property
    def refused(self) -> bool:
        """Whether somebody was told no."""
        return self.event.outcome == "REFUSED"


def sees_everything(actor: Actor) -> bool:
    """Whether the actor reads the whole account's trail: its admins, and operators."""
    return standing_of(actor).is_account_admin


def usual_start(end: datetime) -> datetime:
    """Return where a list of events up to ``end`` starts when nobody says."""
    return end - min(_USUAL_RANGE, end - _FIRST_MOMENT)


def all_events(actor: Actor) -> QuerySet[AuditEvent]:
    """Return every event of the account.

    Raises:
        Forbidden: the actor is neither an account admin nor an operator.
    """
    if not sees_everything(actor):
        raise Forbidden("Only account admins read the audit log of the account.")
    return history(actor.require_account())


def visible_events(actor: Actor) -> QuerySet[AuditEvent]:
    """Return the events the actor may read: all of the account's for its admins.

    Everybody else reads what they did, what was done to them, and what was done to keys that are theirs.
    """
    account = actor.require_account()
    events = history(account)
    if sees_everything(actor):
        return events
    if actor.user is None:
        return events.none()
    mine = Q(actor_id=actor.user.pk) | Q(target_type="User", target_id=actor.user.pk)
    for _, answer in own_targets.send(sender=User, user=actor.user, account=account):
        type_name, numbers = cast(tuple[str, QuerySet[Any]], answer)  # the stubs take every answer for a string
        mine |= Q(target_type=type_name, target_id__in=numbers)
    return events.filter(mine)


def addresses_for(actor: Actor) -> Callable[[AuditEvent], str | None]:
    """Return what tells the address an event came from: all of them to account admins, to others only their own."""
    everything, me = sees_everything(actor), actor.user.pk if actor.user else None
    return lambda event: event.ip if everything or (me is not None and event.actor_id == me) else None


def operation_type(event: AuditEvent) -> str:
    """Return what kind of operation an event was. What came through no API is told by its tag, here and in filters."""
    return event.operation_type or (OperationType.QUERY if event.tag in _READING else OperationType.MUTATION).value


def operation_name(event: AuditEvent) -> str:
    """Return the operation an event was part of: a REST endpoint, a GraphQL operation, or else its tag."""
    return event.operation_name or event.tag


def actions() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the actions there are, by subject, for a list to choose from."""
    found: dict[str, list[tuple[str, str]]] = {}
    for tag in Tag:
        subject = tag.value.split(":")[0]
        if subject in _GROUPS:
            found.setdefault(subject, []).append((tag.value, str(tag.label)))
    return [
        (_GROUPS[subject], [(subject, f"Everything: {_GROUPS[subject].lower()}"), *tags] if len(tags) > 1 else tags)
        for subject, tags in found.items()
    ]


def action_label(tag: str) -> str:
    """Return the name pages give an action."""
    return str(Tag(tag).label) if tag in Tag.values else tag


def tell(event: AuditEvent, *, ip: str | None) -> Told:
    """Dress an event in words, with the address its reader may know."""
    name, _, email = event.actor_label.partition(" <")
    told = list(facts(event))
    gist = _gist(event, dict(told))
    return Told(
        event=event,
        ip=ip,
        name=name,
        email=email.rstrip(">"),
        action=action_label(event.tag),
        target="" if event.target_label == event.actor_label else event.target_label,
        gist=gist,
        door=door_label(event.door),
        facts=[] if gist else told,
        actor=encode_id("User", event.actor_id) if event.actor_id else "",
        key=encode_id(KEY_TYPE, event.key_id) if event.key_id else "",
        target_key=encode_id(KEY_TYPE, event.target_id) if event.target_type == KEY_TYPE and event.target_id else "",
    )


def _of_type(kind: str) -> Q:
    untold = Q(operation_type="")
    if kind == OperationType.QUERY:
        return Q(operation_type=kind) | (untold & Q(tag__in=_READING))
    if kind == OperationType.MUTATION:
        return Q(operation_type=kind) | (untold & ~Q(tag__in=_READING))
    return Q(operation_type=kind)


def _named(text: str) -> list[int] | QuerySet[User, Any]:
    """Return who has the text in name or address: as numbers while they are few, so that the index by actor is used.

    Bots can be a million, so of them the whole name is wanted.
    """
    people = Q(email__icontains=text) | Q(name__icontains=text)
    matches = Q(kind=UserKind.PERSON) & people | Q(kind=UserKind.BOT, name=text)
    found = User.objects.filter(matches).values_list("pk", flat=True)
    numbers = list(found[: _FEW + 1])
    return numbers if len(numbers) <= _FEW else found


def _gist(event: AuditEvent, told: dict[str, str]) -> str:
    """Say roles and refusals in one line; everything else is told as facts."""
    if event.outcome == "REFUSED":
        return told["Refused"] if set(told) == {"Refused"} else ""
    scope = next((value for name, value in told.items() if name in ("Account", "Organization", "Space", "Project")), "")
    if "Role" in told and len(told) == (2 if scope else 1):
        return f"{told['Role']} in “{scope}”" if scope else told["Role"]
    return told["Changed"] if set(told) == {"Changed"} else ""


def facts(event: AuditEvent) -> Iterator[tuple[str, str]]:
    """Yield what the event's details say, as a name and a value each, changes as "before → after"."""
    details: dict[str, Any] = dict(event.details)
    if "acted_by" in details:
        yield _word("acted_by"), f"{details.pop('acted_by')}, on behalf of {event.actor_label}"
    level = str(details.pop("level", ""))
    if event.outcome == "REFUSED":
        reason = str(details.pop("reason", ""))
        yield "Refused", str(details.pop("said", "")) or _REASONS.get(reason, reason)
    if "scope" in details:
        scope = str(details.pop("scope"))
        details.pop("scope_id", None)
        yield level.title() or "Where", scope
    if "role" in details:
        role, before = _role(level or "ACCOUNT", details.pop("role")), details.pop("before", None)
        yield "Role", f"{_role(level, before)} → {role}" if before else role
    before, after = details.pop("before", None), details.pop("after", None)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in after:
            if before.get(name) != after[name]:
                yield _word(name), f"{_value(name, before.get(name))} → {_value(name, after[name])}"
    elif after is not None:
        yield "Changed", f"{_onoff(before)} → {_onoff(after)}"
    yield from _withdrawn(details.pop("withdrawn", None), details.pop("withdrawn_beyond", 0))
    yield from _places(details.pop("organizations", None))
    details.pop("bot", None)
    for name, value in details.items():
        if value not in ("", None, [], {}) or name == "expires_at":
            yield _word(name), _value(name, value)


def _places(organizations: Any) -> Iterator[tuple[str, str]]:
    for organization in organizations or ():
        yield "Organization", f"{organization['name']}: {_role('ORGANIZATION', organization['role'])}"
        for space in organization.get("spaces", ()):
            yield "Space", f"{space['name']}: {_role('SPACE', space['role'])}"


def _withdrawn(roles: Any, beyond: int) -> Iterator[tuple[str, str]]:
    roles = roles or []
    for one in roles[:_ROLES_TOLD]:
        yield "Role withdrawn", f"{one['user']}: {_role(one['level'], one['role'])} in “{one['scope']}”"
    more = len(roles) - _ROLES_TOLD + beyond if len(roles) > _ROLES_TOLD else beyond
    if more:
        yield "Roles withdrawn", f"and {more} more"


def _role(level: str, name: Any) -> str:
    # Roles in projects are those of spaces.
    return _ROLE_LABELS.get(("SPACE" if level == "PROJECT" else level, str(name)), str(name))


def _word(name: str) -> str:
    return _WORDS.get(name, name.replace("_", " ").capitalize())


def _onoff(value: Any) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _value(name: str, value: Any) -> str:
    if name == "kind":
        return _KINDS.get(str(value), str(value))
    if name == "account_role":
        return _role("ACCOUNT", value)
    if name == "grace_seconds":
        return f"{value} seconds" if value else "not at all"
    if name == "max_key_lifetime_days":
        return f"{value} days" if value else "unlimited"
    if value is None or value == "":
        return "never" if name == "expires_at" else "nothing"
    if name == "expires_at":
        return _moment(str(value))
    if isinstance(value, bool):
        return _onoff(value) if name in _SWITCHES else ("yes" if value else "no")
    if isinstance(value, Mapping) and set(value) == {"before", "after"}:
        return f"{_value(name, value['before'])} → {_value(name, value['after'])}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_word(str(part)).lower()} {_value(str(part), item)}" for part, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value)


def _moment(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%-d %B %Y, %H:%M} UTC"
    except ValueError:
        return text
