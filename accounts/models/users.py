"""People and bots. A bot is a user that can never sign in, made for one service key."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from guardian.mixins import GuardianUserMixin

# How long an invitation can be accepted, by its link or with the temporary password given out.
INVITATION_LIFETIME = timedelta(days=7)


class UserKind(models.TextChoices):
    """Who stands behind a user row."""

    PERSON = "PERSON", _("Person")
    BOT = "BOT", _("Bot")


class UserManager(BaseUserManager["User"]):
    """Creates people and bots; nothing else inserts users."""

    def create_user(self, email: str, password: str | None = None, *, name: str = "", **extra: Any) -> User:
        """Create a person. Without a password the person cannot sign in until one is set."""
        user = self.model(email=normalize_email(email), name=name or email.split("@")[0], **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> User:
        """Create an operator: a person with the run of Django admin, belonging to no account."""
        extra.setdefault("joined_at", timezone.now() if password else None)
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)

    def create_bot(self, name: str) -> User:
        """Create a bot user: no e-mail, no password, never staff."""
        # Django wants a unique, non-null natural key; a bot's says that nobody can receive mail there.
        bot = self.model(kind=UserKind.BOT, name=name, email=f"{uuid.uuid4().hex}@bot.invalid")
        bot.set_unusable_password()
        bot.save(using=self._db)
        return bot

    def get_by_natural_key(self, username: str | None) -> User:
        """Find who signs in. E-mail addresses compare without case; neither a bot nor a lapsed invitation is found."""
        lapsed = models.Q(password_is_temporary=True, invited_at__lt=timezone.now() - INVITATION_LIFETIME)
        return self.exclude(lapsed).get(kind=UserKind.PERSON, email=normalize_email(username or ""))


def normalize_email(email: str) -> str:
    """Return the one spelling under which an address is stored and looked up."""
    return email.strip().lower()


class User(GuardianUserMixin, AbstractBaseUser, PermissionsMixin):
    """A person, known by an e-mail address, or a bot."""

    kind = models.CharField(max_length=6, choices=UserKind.choices, default=UserKind.PERSON, editable=False)
    email = models.EmailField(_("e-mail"), max_length=255, unique=True)
    name = models.CharField(max_length=255)
    is_active = models.BooleanField(
        default=True, help_text=_("Untick instead of deleting: sign-in and keys stop at once, history stays.")
    )
    is_staff = models.BooleanField(_("operator"), default=False, help_text=_("May sign in to Django admin."))
    created_at = models.DateTimeField(auto_now_add=True)
    joined_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the person first set a password. Empty: still invited.")
    )

    invited_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text=_("When the invitation that counts was made.")
    )
    password_is_temporary = models.BooleanField(
        default=False, editable=False, help_text=_("Somebody else knows the password; it has to be changed at sign-in.")
    )

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        verbose_name = _("user")
        constraints = (
            models.UniqueConstraint(Lower("email"), name="user_email_unique_without_case"),
            models.CheckConstraint(
                name="bot_never_operates",
                condition=~models.Q(kind="BOT") | models.Q(is_staff=False, is_superuser=False),
                violation_error_message=_("A bot is never staff or superuser."),
            ),
            models.CheckConstraint(
                name="bot_never_signs_in",
                # Django marks an unusable password with a leading "!".
                condition=~models.Q(kind="BOT") | models.Q(password__startswith="!"),  # noqa: S106 -- a mark
                violation_error_message=_("A bot has no password."),
            ),
        )

    def __str__(self) -> str:
        return self.name if self.is_bot else f"{self.name} <{self.email}>"

    @property
    def is_bot(self) -> bool:
        """Whether this user was made for a service key."""
        return self.kind == UserKind.BOT

    @property
    def is_pending(self) -> bool:
        """Whether the person was invited and has not set a password of their own yet."""
        return not self.is_bot and self.is_active and self.joined_at is None

    def get_full_name(self) -> str:
        """Return the name that pages show."""
        return self.name

    def get_short_name(self) -> str:
        """Return the first word of the name."""
        return self.name.split(" ")[0]
