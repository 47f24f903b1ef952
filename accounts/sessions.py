"""Puts every sign-in, sign-out and failure into the audit log, whichever page it came through (security.md 45).

Django announces all of them by signal, for our pages and for Django admin alike. A person who is in
several accounts leaves the event in the oldest alone: an account that merely added them is not told when and from where
they sign in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.dispatch import receiver
from django.http import HttpRequest
from django.urls import reverse

from accounts.actors import Actor, Door, accounts_of
from accounts.audit import Tag, record, unsaid
from accounts.models import Account, User, UserKind
from accounts.models.users import normalize_email
from accounts.origin import client_ip
from accounts.redaction import redact_text

NO_ADDRESS = "(not an address)"


@dataclass(frozen=True)
class Stranger(Actor):
    """Whoever typed a name and failed to prove it: known by what they typed, and by nothing else."""

    claims: str = ""

    @property
    def label(self) -> str:
        """How the audit trail names them."""
        return self.claims or "somebody unknown"


def record_session(request: HttpRequest, tag: Tag, user: User, **details: Any) -> None:
    """Record an event of a person's session, or of their password, in the person's first account."""
    record(_actor(request, user, _first_account(user)), tag, user, **details)


def record_reset_asked(request: HttpRequest, person: User) -> None:
    """Record that somebody asked for a link to a person's new password; whether it was the person nobody knows."""
    asker = Stranger(
        user=None, account=_first_account(person), door=_door(request), ip=client_ip(request), claims=person.email
    )
    record(asker, Tag.PASSWORD_RESET_ASKED, person)


def attempted_name(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """Return the one spelling under which failures are counted: axes would count Alice@ and alice@ apart.

    What is no address may be a password or a key, typed one field too early. It is not kept, and since nobody signs in
    with it, all of it counts as one.
    """
    typed = (credentials or {}).get("username") or request.POST.get("username") or ""
    return _address(redact_text(normalize_email(str(typed)))[:255]) or NO_ADDRESS


@receiver(user_logged_in)
def _signed_in(sender: object, request: HttpRequest, user: User, **_: Any) -> None:
    record_session(request, Tag.SIGNED_IN, user)


@receiver(user_logged_out)
def _signed_out(sender: object, request: HttpRequest, user: User | None, **_: Any) -> None:
    if user is not None:
        record_session(request, Tag.SIGNED_OUT, user)


@receiver(user_login_failed)
def _failed(sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    if request is None:
        return
    name = attempted_name(request, credentials)
    person = User.objects.filter(kind=UserKind.PERSON, email=name).first()
    why = "locked" if getattr(request, "axes_locked_out", False) else _why(person)
    claimant = _claimant(request, name, _first_account(person))
    # Knocking at a closed door costs nothing, no password is even looked at: so it is not told every time.
    times = unsaid(Tag.SIGN_IN_FAILED, name, claimant.ip) if why == "locked" else 1
    if times:
        details: dict[str, Any] = {"times": times} if times > 1 else {}
        record(claimant, Tag.SIGN_IN_FAILED, person, refused=True, reason=why, **details)


def _why(person: User | None) -> str:
    if person is None:
        return "unknown"
    if not person.is_active:
        return "inactive"
    return "invited" if not person.has_usable_password() else "password"


def _claimant(request: HttpRequest, name: str, account: Account | None) -> Actor:
    # A page that asks a signed-in person for the password again knows who failed.
    if isinstance(getattr(request, "user", None), User):
        return _actor(request, request.user, account)
    return Stranger(user=None, account=account, door=_door(request), ip=client_ip(request), claims=_address(name))


def _address(name: str) -> str:
    try:
        validate_email(name)
    except ValidationError:
        return ""
    return name


def _actor(request: HttpRequest, user: User | Any, account: Account | None) -> Actor:
    return Actor(user=user, account=account, door=_door(request), ip=client_ip(request))


def _first_account(user: User | None) -> Account | None:
    return next(iter(accounts_of(user)), None) if user else None


def _door(request: HttpRequest) -> Door:
    return Door.ADMIN if request.path.startswith(reverse("admin:index")) else Door.BROWSER
