"""Asking ``/v2`` as one of the cast, with a key of theirs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.test import Client

from accounts.models import AccountBinding, User
from tests.cast import Cast
from tests.factories import user_key


@dataclass
class Api:
    """``api(bob, "POST", "/v2/spaces", {...})`` returns status and body."""

    cast: Cast
    keys: dict[int, str] = field(default_factory=dict)
    raises: bool = True  # what failed with us, instead of answering it

    def __call__(
        self, user: User, method: str, address: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        content = b"" if body is None else json.dumps(body).encode()
        response = Client(raise_request_exception=self.raises).generic(
            method,
            address,
            content,
            content_type="application/json",
            headers={"authorization": f"Bearer {self.key_of(user)}", **headers},
        )
        return response.status_code, response.json() if response.content else {}

    def key_of(self, user: User) -> str:
        """Return a key of somebody's, made when they had developer access."""
        if user.pk not in self.keys:
            membership = AccountBinding.objects.filter(user=user).order_by("pk")[0]
            was = membership.is_developer
            AccountBinding.objects.filter(pk=membership.pk).update(is_developer=True)
            self.keys[user.pk] = user_key(user, membership.content_object).plaintext
            AccountBinding.objects.filter(pk=membership.pk).update(is_developer=was)
        return self.keys[user.pk]


def predefined(name: str) -> dict[str, str]:
    """Return a role object."""
    return {"type": "PREDEFINED", "name": name}
