"""Invitations: the link that lets an invited person set a first password, and how far one has come.

The link works once, for seven days from the invitation, and only for what was true when it was made: setting a
password, sending the invitation again, joining or leaving an account all make it void. Of one invitation it is always
the same link.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.signing import BadSignature, TimestampSigner, b62_encode
from django.db.models import Q, TextChoices
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.actors import Actor, accounts_of
from accounts.audit import Tag, record
from accounts.errors import Forbidden, NotAllowed
from accounts.models import AccountBinding, OrganizationBinding, ProjectBinding, SpaceBinding, User
from accounts.models.users import INVITATION_LIFETIME
from accounts.roles import RoleName
from accounts.standing import standing_of
from accounts.verbs import verb

LIFETIME = INVITATION_LIFETIME
# As what a member may invite somebody (contract rest-v2 §6).
INVITED_BY_MEMBERS = frozenset({RoleName.MEMBER, RoleName.ANNOTATOR})


class InviteMode(TextChoices):
    """How somebody comes in (contract rest-v2 §6)."""

    EMAIL_LINK = "EMAIL_LINK", "A link by mail"
    TEMPORARY_PASSWORD = "TEMPORARY_PASSWORD", "A temporary password"
    NONE = "NONE", "At once, without an invitation"


class Status(TextChoices):
    """How far somebody has come."""

    ACTIVE = "ACTIVE", "Active"
    INVITED = "INVITED", "Invited"
    EXPIRED = "EXPIRED", "Invitation expired"


class _Signer(TimestampSigner):
    """Dates what it signs from a given moment instead of now."""

    def __init__(self, at: datetime | None, **options: Any) -> None:
        super().__init__(**options)
        self._at = at

    def timestamp(self) -> str:
        """Return the moment, as Django writes it."""
        return super().timestamp() if self._at is None else b62_encode(int(self._at.timestamp()))


class InvitationTokens(PasswordResetTokenGenerator):
    """Tokens like Django's for resetting passwords, with a life and a salt of their own."""

    key_salt = "accounts.invitations"

    def make_token(self, user: Any) -> str:
        """Return a token for an invited person."""
        return self._signer(user).sign(self._state(user))

    def check_token(self, user: Any, token: str | None) -> bool:
        """Whether the token is this person's, recent, unused and still true."""
        if not isinstance(user, User) or not token or not user.is_pending:
            return False
        try:
            state = self._signer(user).unsign(token, max_age=LIFETIME)
        except BadSignature:
            return False
        return constant_time_compare(state, self._state(user))

    def _signer(self, user: User) -> TimestampSigner:
        # A link looked at later must not live longer than the one that was mailed.
        return _Signer(user.invited_at, sep=".", salt=self.key_salt)

    def _state(self, user: User) -> str:
        # The accounts are in it since the link may be shown to an admin of one: it must not open another.
        accounts = ",".join(str(account.pk) for account in accounts_of(user))
        facts = (
            f"{user.pk}|{user.email}|{user.password}|{user.joined_at}|{user.is_staff}|{user.is_superuser}|{accounts}"
        )
        return salted_hmac(self.key_salt, facts, algorithm="sha256").hexdigest()[:32]


tokens = InvitationTokens()


def status_of(user: User, at: datetime) -> Status:
    """Return how far a person has come."""
    if not user.is_pending:
        return Status.ACTIVE
    return Status.EXPIRED if user.invited_at is not None and user.invited_at < at - LIFETIME else Status.INVITED


def with_status(status: Status, at: datetime, prefix: str = "") -> Q:
    """Return what selects the people of a status: the twin of ``status_of`` for many."""
    pending = Q(**{f"{prefix}joined_at__isnull": True, f"{prefix}is_active": True})
    expired = Q(**{f"{prefix}invited_at__lt": at - LIFETIME})
    if status is Status.ACTIVE:
        return ~pending
    return pending & expired if status is Status.EXPIRED else pending & (~expired | Q(**{f"{prefix}invited_at": None}))


def link(user: User, base_url: str) -> str:
    """Return the address at which the invited person sets a password. It is a credential: mail it, never log it."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("accounts:invite-accept", kwargs={"uidb64": uid, "token": tokens.make_token(user)})
    return urljoin(base_url, path)


def may_be_shown(actor: Actor, user: User) -> bool:
    """Whether the actor may hold the person's link in their own hands.

    Whoever has it can become that person. So only those who can do anything in the account anyway see it, and only
    for somebody who is nowhere else.
    """
    account = actor.require_account()
    if user.is_staff or user.is_superuser or not user.is_pending:
        return False
    return standing_of(actor).is_account_admin and accounts_of(user) == [account]


def may_be_replaced(actor: Actor, user: User) -> bool:
    """Whether the actor may put an invitation of their own, name and role in place of the one the person had.

    Whoever may hold the link may; and whoever may invite, for somebody who is no more than they could make them: a
    person to whom others have given roles meanwhile is not theirs to hand a password to, or to rename.
    """
    if actor.is_operator or may_be_shown(actor, user):
        return True
    if user.is_staff or user.is_superuser or accounts_of(user) != [actor.require_account()]:
        return False
    role = AccountBinding.objects.select_related("permission__role").get(user=user).role
    further = (
        table.objects.filter(user=user).exists() for table in (OrganizationBinding, SpaceBinding, ProjectBinding)
    )
    return role.name in INVITED_BY_MEMBERS and not any(further)


@verb(Tag.INVITATION_SHOWN)
def show_link(actor: Actor, *, user: User, base_url: str, at: datetime) -> str:
    """Return the link of an open invitation to whoever may hold it in their own hands, and record that.

    Raises:
        Forbidden: the actor may not.
        NotAllowed: the invitation was accepted, has run out, or goes by a temporary password.
    """
    user = User.objects.get(pk=user.pk)
    if status_of(user, at) is not Status.INVITED or user.password_is_temporary:
        raise NotAllowed(f"{user.name} has no invitation with a link that works. Send it again instead.")
    if not may_be_shown(actor, user):
        raise Forbidden("Only an account admin sees the link, and only of somebody who is in no other account.")
    record(actor, Tag.INVITATION_SHOWN, user, at=at)
    return link(user, base_url)
