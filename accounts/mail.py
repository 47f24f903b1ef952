"""Mail to people: plain text, one template each, subject on the first line."""

from __future__ import annotations

import logging
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from email.utils import make_msgid, parseaddr
from enum import Enum
from typing import Any

from django.conf import settings
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts import invitations
from accounts.actors import Actor
from accounts.models import Account, User

logger = logging.getLogger(__name__)

# Carries out what must not make an answer slower for those it concerns than for others.
_postman = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")


class Delivery(Enum):
    """What became of a mail, and what to tell the person at the page."""

    SENT = "It was mailed."
    FILED = "This installation writes mail to its data folder instead of sending it."
    OFF = "This installation sends no mail."
    FAILED = "The mail could not be sent."

    @property
    def arrived(self) -> bool:
        """Whether the addressee can be expected to have it."""
        return self is Delivery.SENT


class ResetTokens(PasswordResetTokenGenerator):
    """Django's tokens for resetting a password, for people only."""

    key_salt = "accounts.reset"

    def check_token(self, user: Any, token: str | None) -> bool:
        """Whether the token is this person's, recent and unused."""
        return isinstance(user, User) and may_reset(user) and super().check_token(user, token)


reset_tokens = ResetTokens()


def may_reset(user: User) -> bool:
    """Whether a link to a new password may go to this user: never to a bot, nor to whoever has yet to accept."""
    return not user.is_bot and user.is_active and user.joined_at is not None


def send_invitation(actor: Actor, user: User, *, base_url: str) -> Delivery:
    """Mail an invited person the link to a first password."""
    days = invitations.LIFETIME.days
    return _send("invitation", user, _words(actor, user, link=invitations.link(user, base_url), days=days))


def send_welcome(actor: Actor, user: User, *, base_url: str) -> Delivery:
    """Tell somebody who already signs in here that they are in one more account."""
    return _send("welcome", user, _words(actor, user, link=f"{base_url.rstrip('/')}{reverse('accounts:login')}"))


def send_removal(actor: Actor, user: User, *, stopped: tuple[str, ...]) -> Delivery:
    """Tell a person that somebody took them out of an account, and which of their keys stopped."""
    return _send("removal", user, _words(actor, user, stopped=[plain(line) for line in stopped]))


def send_reset(user: User, *, base_url: str) -> Delivery:
    """Mail a link to a new password, while the caller waits."""
    return _send("reset", user, _reset_words(user, base_url))


def post_reset(user: User, *, base_url: str) -> None:
    """Mail a link to a new password behind the caller's back: how long it takes tells nobody who has an account."""
    _postman.submit(_send, "reset", user, _reset_words(user, base_url))


def send_password_changed(user: User) -> Delivery:
    """Tell a person that their password was changed: if it was not they, this is how they learn of it."""
    return _send("password_changed", user, {"person": plain(user.name)})


def post_notice(template: str, user: User, *, actor: Actor, account: Account, words: dict[str, Any]) -> None:
    """Mail a person what happened to something of theirs, without anybody waiting for the mail server."""
    by = plain(actor.user.name) if actor.user else "the operator" if actor.is_operator else "somebody without a name"
    known = {"person": plain(user.name), "account": plain(account.name), "by": by, "ip": actor.ip}
    _postman.submit(_send, template, user, known | words)


def plain(text: str) -> str:
    """Return somebody's words on one line, without characters that steer how text is shown (security.md 39)."""
    letters = (" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in text)
    shown = "".join(one for one in letters if unicodedata.category(one) != "Cf")
    return re.sub(r"\s+", " ", shown).strip()


def _words(actor: Actor, user: User, **more: Any) -> dict[str, Any]:
    account: Account = actor.require_account()
    by = plain(actor.user.name) if actor.user else "The operator"
    return {"person": plain(user.name), "by": by, "account": plain(account.name), **more}


def _reset_words(user: User, base_url: str) -> dict[str, Any]:
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("accounts:password-new", kwargs={"uidb64": uid, "token": reset_tokens.make_token(user)})
    minutes = settings.PASSWORD_RESET_TIMEOUT // 60
    return {"person": plain(user.name), "link": f"{base_url.rstrip('/')}{path}", "minutes": minutes}


def _headers() -> dict[str, str]:
    # Left to Django, the id would be made from this host's full name, and asking for that name can take half a minute
    # where no name server answers.
    domain = parseaddr(str(settings.DEFAULT_FROM_EMAIL))[1].rpartition("@")[2]
    return {"Message-ID": make_msgid(domain=domain or "localhost"), "Auto-Submitted": "auto-generated"}


def _send(template: str, user: User, words: dict[str, Any]) -> Delivery:
    if user.is_bot or user.email.endswith(".invalid"):
        raise ValueError("A bot receives no mail.")
    subject, _, body = render_to_string(f"mail/{template}.txt", words).partition("\n")
    message = EmailMessage(subject=subject.strip(), body=body.lstrip("\n"), to=[user.email], headers=_headers())
    try:
        message.send()
    except OSError:  # smtplib's own errors are OSErrors too
        logger.exception("A mail of the kind %s to user %s could not be sent.", template, user.pk)
        return Delivery.FAILED
    backend = str(settings.EMAIL_BACKEND)
    if "dummy" in backend:
        return Delivery.OFF
    return Delivery.FILED if "filebased" in backend else Delivery.SENT
