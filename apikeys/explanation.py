"""Why a key may, or may not, do something somewhere: the facts that decide it, in the order in which they are asked.

Nothing is decided anew here. What keeps a key from opening stands in ``verification``, what becomes of a role in a
space in ``standing``; a fact is one of those answers in words. The facts end with the one behind which nothing is asked
any more, but roles are all told: any of them would do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from accounts.actors import Actor
from accounts.errors import Incompatible, NotFound
from accounts.models import Account, Organization, Role, Space
from accounts.permissions import find_seen, may, may_see
from accounts.standing import Inheritance, Standing, inheritance
from accounts.vocabulary import Permission
from apikeys.errors import Reason
from apikeys.models import ApiKey, KeySecret
from apikeys.policy import find_key, require_known_at
from apikeys.verification import OBSTACLES, is_locked_out, look_up, pepper_of

Scope = Account | Organization | Space


class Step(StrEnum):
    """What is asked, in this order."""

    PEPPER = "PEPPER"
    REVOCATION = "REVOCATION"
    EXPIRY = "EXPIRY"
    SECRET = "SECRET"  # noqa: S105 -- a word
    OWNER = "OWNER"
    MEMBERSHIP = "MEMBERSHIP"
    BINDING = "BINDING"
    LOCK = "LOCK"
    PLACE = "PLACE"
    ACCOUNT_ROLE = "ACCOUNT_ROLE"
    ORGANIZATION_ROLE = "ORGANIZATION_ROLE"
    SPACE_ROLE = "SPACE_ROLE"
    PERMISSION = "PERMISSION"


class Verdict(StrEnum):
    """What a fact comes to."""

    PASSES = "PASSES"  # it is no obstacle
    REFUSES = "REFUSES"  # nothing further is asked
    PERMITS = "PERMITS"  # a role that counts names the permission
    SILENT = "SILENT"  # no role, or one that does not count, or does not name it


class Outcome(StrEnum):
    """What a request with the key comes to, through any door."""

    ALLOWED = "ALLOWED"
    FORBIDDEN = "FORBIDDEN"  # the key opens, and may not do this there: 403
    LOCKED = "LOCKED"  # the key opens, and the account's lock keeps it out: 403
    REFUSED = "REFUSED"  # the key opens nothing: 401


@dataclass(frozen=True)
class Fact:
    """One thing that was asked, and what the answer was. ``decided`` marks the one fact that the outcome rests on.

    ``role`` is there where it is about one, and the reader may know which.
    """

    step: Step
    verdict: Verdict
    says: str
    role: Role | None = None
    decided: bool = False


@dataclass(frozen=True)
class Explanation:
    """Why a key may, or may not. Without a permission it was asked whether it gets in."""

    key: ApiKey
    scope: Scope
    permission: Permission | None
    outcome: Outcome
    facts: tuple[Fact, ...]
    says: str = field(default="")

    @property
    def allowed(self) -> bool:
        """Whether it may."""
        return self.outcome is Outcome.ALLOWED

    @property
    def space_id(self) -> int | None:
        """The space it is about, if it is about one."""
        return self.scope.pk if isinstance(self.scope, Space) else None

    @property
    def organization_id(self) -> int | None:
        """The organization it is about, if it is about one."""
        return self.scope.pk if isinstance(self.scope, Organization) else None

    @property
    def status(self) -> int:
        """How ``/verify`` answers the same question."""
        return {Outcome.ALLOWED: 204, Outcome.REFUSED: 401}.get(self.outcome, 403)


def explain(
    actor: Actor,
    key_id: int,
    *,
    space_id: int | None = None,
    organization_id: int | None = None,
    permission: Permission | None = None,
    previous: bool = False,
    at: datetime,
) -> Explanation:
    """Say why a key may do something in a space, in an organization or, without either, in the account.

    ``previous`` asks about the secret before the last refresh: what whoever missed the refresh still sends.

    Raises:
        KeyNotFound, NotFound: there is no such key or scope, or what it may there is none of the actor's business.
        Incompatible: both a space and an organization.
    """
    key = find_key(actor, key_id)
    scope = _scope(actor, key, space_id, organization_id)
    require_known_at(actor, key, scope)
    return _Inquiry(actor, key, scope, permission, at).answer(_secret(key, previous=previous))


def _scope(actor: Actor, key: ApiKey, space_id: int | None, organization_id: int | None) -> Scope:
    if space_id is not None and organization_id is not None:
        raise Incompatible("Ask about a space or about an organization, not about both.", field="organization_id")
    if space_id is not None:
        return find_seen(actor, Space, space_id)
    return key.account if organization_id is None else find_seen(actor, Organization, organization_id)


def _secret(key: ApiKey, *, previous: bool) -> KeySecret:
    secrets = KeySecret.objects.filter(key=key, superseded_at__isnull=not previous).order_by("-superseded_at", "-pk")
    secret = secrets.first()
    if secret is None:
        raise NotFound("There is no secret before the present one: the key was not refreshed, or that one was deleted.")
    return secret


@dataclass(frozen=True)
class _Inquiry:
    """One question, asked on behalf of somebody."""

    actor: Actor
    key: ApiKey
    scope: Scope
    permission: Permission | None
    at: datetime

    def answer(self, secret: KeySecret) -> Explanation:
        """Ask one thing after another until one decides."""
        row = look_up(secret.public_id)
        if row is None:
            raise NotFound("The secret was deleted just now.")
        facts: list[Fact] = []
        for fact in self._obstacles(row):
            facts.append(fact)
            if fact.verdict is Verdict.REFUSES:
                break
        else:
            facts += self._rights()
        facts = _with_decision(facts)
        outcome = _outcome(facts)
        return Explanation(self.key, self.scope, self.permission, outcome, tuple(facts), self._conclusion(outcome))

    def _obstacles(self, row: Mapping[str, Any]) -> Iterator[Fact]:
        """Yield what would keep the key from opening, as it is or as it is not."""
        missing = pepper_of(row) is None
        checks = "has no pepper for its secret any more, so it cannot" if missing else "can"
        yield _gate(Step.PEPPER, missing, f"The server {checks} check its secret.")
        for reason, is_so in OBSTACLES:
            if reason is Reason.UNBOUND and not self.key.is_service_key:
                continue
            refuses = is_so(row, self.at)
            yield _gate(_STEPS[reason], refuses, self._says(reason, row, refuses=refuses))
        on = row["key__account__developer_access_locked"]
        locked = is_locked_out(self.key.kind, on)
        says = "The account's developer access lock is off."
        if on:
            says = "The account's developer access lock is on: it keeps user keys out"
            says += "." if locked else ", and this is a service key."
        yield _gate(Step.LOCK, locked, says)

    def _says(self, reason: Reason, row: Mapping[str, Any], *, refuses: bool) -> str:
        owner = "Its bot user" if self.key.is_service_key else self.key.owner.name
        expires_at, ends_at = row["key__expires_at"], row["ends_at"]
        if reason is Reason.REVOKED:
            return f"It was revoked on {_moment(row['key__revoked_at'])}." if refuses else "Nobody has revoked it."
        if reason is Reason.EXPIRED:
            if expires_at is None:
                return "It never expires."
            return f"It {'expired' if refuses else 'expires'} on {_moment(expires_at)}."
        if reason is Reason.SUPERSEDED:
            if ends_at is None:
                return "Its present secret is asked about."
            return f"A refresh replaced this secret; it {'ended on' if refuses else 'ends on'} {_moment(ends_at)}."
        if reason is Reason.OWNER_INACTIVE:
            return f"{owner} is {'deactivated' if refuses else 'active'}."
        if reason is Reason.OWNER_REMOVED:
            return f"{owner} is {'no longer in' if refuses else 'a member of'} the account {self.key.account}."
        return f"Its bot user has {'no role in any space any more' if refuses else 'a role in a space'}."

    def _rights(self) -> list[Fact]:
        """Return what the owner's roles come to, where the key opens."""
        if self.permission is None and isinstance(self.scope, Account):
            return [Fact(Step.PERMISSION, Verdict.PERMITS, "Nothing more is asked than whether it opens.")]
        standing = Standing.of(self.key.owner, self.key.account)
        facts = [self._place(), self._account_role(standing)]
        if isinstance(self.scope, Organization):
            facts.append(self._organization_role(standing.organizations.get(self.scope.pk), self.scope, None))
        if isinstance(self.scope, Space):
            above, own = self.scope.organization, standing.spaces.get(self.scope.pk, ())
            role = standing.organizations.get(above.pk)
            becomes = inheritance(role, own, is_private=self.scope.is_private) if role else None
            facts.append(self._organization_role(role, above, becomes))
            facts += [self._role(Step.SPACE_ROLE, one, f"in {self.scope}") for one in own]
            if not own:
                facts.append(Fact(Step.SPACE_ROLE, Verdict.SILENT, f"No role of its own in {self.scope}."))
        if not any(fact.verdict is Verdict.PERMITS for fact in facts):
            says = f"No role that counts here permits {self._asked}."
            facts.append(Fact(Step.PERMISSION, Verdict.REFUSES, says))
        return facts

    @property
    def _asked(self) -> Permission:
        """The permission that decides: without one it is asked whether the key gets in."""
        gets_in = Permission.SPACE_READ if isinstance(self.scope, Space) else Permission.ORGANIZATION_READ
        return self.permission or gets_in

    def _place(self) -> Fact:
        says = f"It is asked of the account {self.scope}, where only the role in the account counts."
        if isinstance(self.scope, Organization):
            says = f"It is asked of the organization {self.scope}."
        if isinstance(self.scope, Space):
            above = self._organization(self.scope.organization)
            says = f"{self.scope} is a public space: a role in {above} can count in it."
            if self.scope.is_private:
                says = f"{self.scope} is a private space: only roles in it count, and those of admins above it."
        return Fact(Step.PLACE, Verdict.PASSES, says)

    def _organization(self, organization: Organization) -> str:
        """Name an organization to whoever may see it."""
        return f"the organization {organization}" if may_see(self.actor, organization) else "its organization"

    def _account_role(self, standing: Standing) -> Fact:
        if standing.account_role is None:
            return Fact(Step.ACCOUNT_ROLE, Verdict.SILENT, "No role in the account any more.")
        return self._role(Step.ACCOUNT_ROLE, standing.account_role, f"in the account {self.key.account}")

    def _organization_role(self, role: Role | None, place: Organization, becomes: Inheritance | None) -> Fact:
        if role is None:
            return Fact(Step.ORGANIZATION_ROLE, Verdict.SILENT, f"No role in {self._organization(place)}.")
        where = f"in {self._organization(place)}"
        if becomes is None or becomes.counts:
            because = _INHERITED[becomes] if becomes else ""
            return self._role(Step.ORGANIZATION_ROLE, role, where, place=place, because=because)
        told = self._told(role, place)
        says = f"{_named(told, role)} {where}, which does not count: {_INHERITED[becomes]}."
        return Fact(Step.ORGANIZATION_ROLE, Verdict.SILENT, says, told)

    def _role(self, step: Step, role: Role, where: str, *, place: Scope | None = None, because: str = "") -> Fact:
        permits = role.allows(self._asked)
        told = self._told(role, place or self.scope)
        says = f"{_named(told, role)} {where}{f' ({because})' if because else ''}, which "
        says += f"permits {self._asked}." if permits else f"does not permit {self._asked}."
        return Fact(step, Verdict.PERMITS if permits else Verdict.SILENT, says, told)

    def _told(self, role: Role, place: Scope) -> Role | None:
        """Return the role, if the actor may know it by name: what one has oneself, one knows."""
        if self.actor.user is not None and self.actor.user.pk == self.key.owner_id:
            return role
        if not role.is_predefined:
            return role if may(self.actor, Permission.ROLE_READ, self.key.account) else None
        above = isinstance(place, Organization) and place != self.scope
        return role if not above or may_see(self.actor, place) else None

    def _conclusion(self, outcome: Outcome) -> str:
        what = self.permission or "get in"
        asked = self.permission is not None or not isinstance(self.scope, Account)
        if outcome is Outcome.REFUSED:
            return "The key opens nothing."
        if outcome is Outcome.LOCKED:
            return "The key is kept out, as every user key of the account."
        may_or_not = "may" if outcome is Outcome.ALLOWED else "may not"
        return f"The key {may_or_not} {what} in {self.scope}." if asked else "The key opens."


_STEPS = {
    Reason.REVOKED: Step.REVOCATION,
    Reason.EXPIRED: Step.EXPIRY,
    Reason.SUPERSEDED: Step.SECRET,
    Reason.OWNER_INACTIVE: Step.OWNER,
    Reason.OWNER_REMOVED: Step.MEMBERSHIP,
    Reason.UNBOUND: Step.BINDING,
}
_INHERITED = {
    Inheritance.ADMIN: "which counts in all its spaces",
    Inheritance.PUBLIC: "which counts, since the space is public",
    Inheritance.PRIVATE: "the space is private",
    Inheritance.REPLACED: "a predefined role in the space takes its place",
}


def _gate(step: Step, refuses: bool, says: str) -> Fact:
    return Fact(step, Verdict.REFUSES if refuses else Verdict.PASSES, says)


def _with_decision(facts: list[Fact]) -> list[Fact]:
    """Mark the fact that decides: what refuses, or else the first role that permits."""
    refusing = [fact for fact in facts if fact.verdict is Verdict.REFUSES]
    decisive = (refusing or [fact for fact in facts if fact.verdict is Verdict.PERMITS])[0]
    return [Fact(fact.step, fact.verdict, fact.says, fact.role, decided=fact is decisive) for fact in facts]


def _outcome(facts: list[Fact]) -> Outcome:
    decisive = next(fact for fact in facts if fact.decided)
    if decisive.verdict is Verdict.PERMITS:
        return Outcome.ALLOWED
    return {Step.LOCK: Outcome.LOCKED, Step.PERMISSION: Outcome.FORBIDDEN}.get(decisive.step, Outcome.REFUSED)


def _named(told: Role | None, role: Role) -> str:
    if told is not None:
        return told.label
    return "A role that you may not see" if role.is_predefined else "A custom role that you may not see"


def _moment(moment: datetime) -> str:
    return f"{moment:%-d %B %Y, %H:%M} UTC"
