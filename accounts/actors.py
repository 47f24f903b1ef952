"""Who is acting: asked once at each door, and then handed down instead of the request."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from django.db.models import TextChoices
from django.http import HttpRequest

from accounts.errors import NotFound
from accounts.models import Account, User
from accounts.origin import client_ip

SESSION_ACCOUNT = "account_id"


class Door(TextChoices):
    """Through which a caller came in."""

    BROWSER = "browser", "Browser"
    ADMIN = "admin", "Django admin"
    REST = "rest", "REST"
    GRAPHQL = "graphql", "GraphQL"
    INGEST = "ingest", "HTTP ingest"
    FLIGHT = "flight", "Arrow Flight"
    OTLP = "otlp", "OpenTelemetry"
    VERIFY = "verify", "Verification"
    COMMAND = "command", "Command line"
    SYSTEM = "system", "System"


@dataclass(frozen=True)
class Operation:
    """What the caller's request was, for the audit trail (contract rest-v2 §11). Never decides anything."""

    kind: str = ""  # QUERY, MUTATION or SUBSCRIPTION
    name: str = ""
    text: str = ""
    variables: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Actor:
    """One caller at one door, acting in one account.

    ``is_operator`` marks whoever runs the installation (a superuser in Django admin, the command line): rules about
    roles do not bind them, rules about data do.
    """

    user: User | None
    account: Account | None
    door: Door
    key_id: int | None = None
    secret_id: int | None = None  # which of the key's secrets was presented
    ip: str | None = None
    operation: Operation = field(default_factory=Operation)
    is_operator: bool = False
    acted_by: str = ""  # whose hand it was, where an operator acts on somebody's behalf

    @property
    def label(self) -> str:
        """How the audit trail names the caller."""
        if self.user is not None:
            return str(self.user)
        return f"operator ({self.door.label.lower()})"

    def require_account(self) -> Account:
        """Return the account acted in.

        Raises:
            NotFound: the person belongs to no account.
        """
        if self.account is None:
            raise NotFound("You are not a member of any account. Ask an account admin to invite you.")
        return self.account

    def on_behalf_of(self, person: User) -> Self:
        """Return the actor who acts as somebody else: that person's roles are the limit, and both are recorded."""
        return replace(self, user=person, is_operator=False, acted_by=self.label)

    def in_each_account_of(self, person: User) -> list[Self]:
        """Return the actor once for every account a person is in, since each keeps its own log; or else as it is."""
        return [replace(self, account=account) for account in accounts_of(person)] or [self]

    @classmethod
    def from_request(cls, request: HttpRequest) -> Self:
        """Build the actor of a signed-in browser request, in the account chosen in the session."""
        if not isinstance(request.user, User):
            raise TypeError("Only a signed-in request has an actor.")
        accounts = accounts_of(request.user)
        chosen = request.session.get(SESSION_ACCOUNT)
        account = next((account for account in accounts if account.pk == chosen), accounts[0] if accounts else None)
        return cls(user=request.user, account=account, door=Door.BROWSER, ip=client_ip(request))

    @classmethod
    def from_key(
        cls,
        user: User,
        account: Account,
        *,
        key_id: int,
        secret_id: int,
        door: Door,
        ip: str | None,
        operation: Operation,
    ) -> Self:
        """Build the actor of a request that an API key opened."""
        return cls(
            user=user, account=account, door=door, key_id=key_id, secret_id=secret_id, ip=ip, operation=operation
        )

    @classmethod
    def from_admin(cls, request: HttpRequest, account: Account | None) -> Self:
        """Build the actor of a Django admin action on something of ``account``."""
        if not isinstance(request.user, User):
            raise TypeError("Only a signed-in request has an actor.")
        return cls(
            user=request.user,
            account=account,
            door=Door.ADMIN,
            ip=client_ip(request),
            is_operator=request.user.is_superuser,
        )

    @classmethod
    def from_command(cls, account: Account | None, *, on_behalf_of: User | None = None) -> Self:
        """Build the actor of a management command.

        On behalf of a person, that person's roles are the limit; otherwise the operator has none.
        """
        operator = cls(user=None, account=account, door=Door.COMMAND, is_operator=True)
        return operator.on_behalf_of(on_behalf_of) if on_behalf_of else operator


def accounts_of(user: User) -> list[Account]:
    """Return the accounts the user is a member of, oldest first."""
    return list(Account.objects.filter(bindings__user=user).order_by("pk"))
