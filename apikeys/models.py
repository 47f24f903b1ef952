"""A key has a name, an owner and a life; a secret is one string that opens it. A refreshed key has two for a while."""

from __future__ import annotations

import re
from datetime import datetime
from typing import ClassVar, Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVector, SearchVectorField
from django.db import models
from django.db.models import F, Func, Q, Value
from django.utils.translation import gettext_lazy as _

from accounts.models import Account
from accounts.wire import encode_id


class KeyKind(models.TextChoices):
    """Whose permissions a key carries (contract rest-v2 §14.1)."""

    USER = "USER", _("User key")
    SERVICE = "SERVICE", _("Service key")


class KeyStatus(models.TextChoices):
    """What pages show; the wire knows ACTIVE and REVOKED only."""

    ACTIVE = "ACTIVE", _("Active")
    EXPIRED = "EXPIRED", _("Expired")
    REVOKED = "REVOKED", _("Revoked")


# The words of a name: what search looks through. Everything that is no letter or digit separates. Stored, since working
# it out again for each row of a long list is what would take the time.
_NAME_WORDS = SearchVector(
    Func(F("name"), Value(r"[^[:alnum:]]+"), Value(" "), Value("g"), function="regexp_replace"), config="simple"
)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    """Phrases in which the rest of the house asks for keys."""

    def active(self, *, at: datetime) -> Self:
        """Return keys that are valid for use: not revoked, not expired."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=at), revoked_at__isnull=True)

    def expired(self, *, at: datetime) -> Self:
        """Return keys whose time ran out before anybody revoked them."""
        return self.filter(revoked_at__isnull=True, expires_at__lte=at)

    def revoked(self) -> Self:
        """Return keys somebody ended."""
        return self.filter(revoked_at__isnull=False)

    def with_status(self, status: KeyStatus, *, at: datetime) -> Self:
        """Return the keys that pages show under one status."""
        if status == KeyStatus.ACTIVE:
            return self.active(at=at)
        return self.revoked() if status == KeyStatus.REVOKED else self.expired(at=at)

    def named_like(self, text: str) -> Self:
        """Return keys whose name has words that start with the words of ``text``; answered from an index."""
        words = re.findall(r"[^\W_]+", text)
        if not words:
            return self
        query = SearchQuery(" & ".join(f"{word}:*" for word in words), config="simple", search_type="raw")
        return self.filter(name_words=query)


class ApiKey(models.Model):
    """The identity of a key. Refreshing keeps it; revoking keeps the row."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="keys")
    kind = models.CharField(max_length=7, choices=KeyKind.choices)
    name = models.CharField(max_length=256)
    description = models.CharField(max_length=1000, blank=True, default="")
    # A person, or the bot made for a service key. Permissions are the owner's, always.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="keys")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="keys_created"
    )
    created_by_name = models.CharField(max_length=600, help_text=_("Kept when the creator is gone."))
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    refreshed_at = models.DateTimeField(null=True, blank=True)
    redacted_key = models.CharField(max_length=12, help_text=_("Of the current secret."))
    exposed_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When the key was seen in an address or another place that gets logged.")
    )

    name_words = models.GeneratedField(
        expression=_NAME_WORDS, output_field=SearchVectorField(), db_persist=True, editable=False
    )

    objects: ClassVar[models.Manager[ApiKey]] = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        constraints = (
            models.UniqueConstraint(
                fields=["owner"], name="service_key_has_a_bot_of_its_own", condition=Q(kind="SERVICE")
            ),
            models.CheckConstraint(name="key_has_a_name", condition=~Q(name="")),
            models.CheckConstraint(
                name="key_expires_after_creation",
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("created_at")),
            ),
        )
        indexes = (
            models.Index(fields=["account", "kind", "-id"], name="key_by_account"),
            models.Index(fields=["owner", "-id"], name="key_by_owner"),
            models.Index(fields=["created_by", "kind", "-id"], name="key_by_creator"),
            models.Index(fields=["account", "created_at"], name="key_by_time"),
            GinIndex(fields=["name_words"], name="key_name_words"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def wire_id(self) -> str:
        """The id that clients and page addresses use."""
        return encode_id("ApiKey", self.pk)

    @property
    def is_service_key(self) -> bool:
        """Whether a bot owns the key."""
        return self.kind == KeyKind.SERVICE

    def status(self, *, at: datetime) -> KeyStatus:
        """Return what the key is at a moment."""
        if self.revoked_at is not None:
            return KeyStatus.REVOKED
        if self.expires_at is not None and self.expires_at <= at:
            return KeyStatus.EXPIRED
        return KeyStatus.ACTIVE


class KeySecret(models.Model):
    """What opens a key: the digest of one secret, found by the public part of the key text."""

    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="secrets")
    public_id = models.CharField(max_length=12, unique=True)
    digest = models.BinaryField(max_length=32, editable=False)
    pepper_id = models.PositiveSmallIntegerField(editable=False)
    created_at = models.DateTimeField()
    # Set when a newer secret took over: from then on this one opens the key only until ``ends_at``.
    superseded_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("secret")
        constraints = (
            models.UniqueConstraint(
                fields=["key"], name="one_current_secret_per_key", condition=Q(superseded_at__isnull=True)
            ),
            models.CheckConstraint(
                name="superseded_secret_ends",
                condition=Q(superseded_at__isnull=True, ends_at__isnull=True)
                | Q(superseded_at__isnull=False, ends_at__isnull=False),
            ),
        )
        indexes = (models.Index(fields=["pepper_id"], name="secret_by_pepper"),)

    def __str__(self) -> str:
        return f"ak-{self.public_id}…"


# Wide enough to say little of who it was, and narrow enough to recognise one's own.
_NETWORK = Func(
    F("ip"),
    template="text(network(set_masklen(%(expressions)s, CASE family(%(expressions)s) WHEN 4 THEN 24 ELSE 48 END)))",
)


class KeyUse(models.Model):
    """When and from where a key was last used: its own table, so that the key's row is never touched by reading."""

    key = models.OneToOneField(ApiKey, on_delete=models.CASCADE, primary_key=True, related_name="use")
    first_used_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    # The address is for whoever runs the installation; pages, which colleagues look at, show the network.
    ip = models.GenericIPAddressField(null=True, unpack_ipv4=True)
    network = models.GeneratedField(
        expression=_NETWORK, output_field=models.CharField(max_length=43), db_persist=True, null=True, editable=False
    )
    client = models.CharField(max_length=120, blank=True, default="", help_text=_("As the client names itself."))
    # With a default of the database's own: processes of the release before go on writing while this one comes.
    client_family = models.CharField(
        max_length=40, blank=True, default="", db_default="", help_text=_("What kind of client that is.")
    )
    uses = models.BigIntegerField(default=0, help_text=_("How often, as far as it was counted."))

    class Meta:
        verbose_name = _("key use")

    def __str__(self) -> str:
        return f"{self.key_id} {self.last_used_at:%Y-%m-%d %H:%M}"


class Verifier(models.Model):
    """A host that answers from memory: up to which fence it has heard, and whether its lease was taken away.

    One row for each time a host begins to follow (docs/freshness.md).
    """

    name = models.CharField(max_length=32, primary_key=True)
    acknowledged = models.BigIntegerField()
    barred = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("verifier")

    def __str__(self) -> str:
        return self.name
