"""GraphQL asked as clients ask it: through HTTP, with a key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.test import Client

from accounts.models import AccountBinding, User
from apikeys.lifecycle import NewKey
from tests.factories import user_key

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

GRAPHQL = "/graphql"


@dataclass
class Asker:
    """Somebody with a key, asking."""

    key: NewKey
    client: Client = field(default_factory=Client)

    def post(self, text: str, /, **variables: Any) -> Answer:
        """Return the answer as HTTP has it."""
        body = {"query": text, "variables": variables}
        return self.client.post(
            GRAPHQL, body, content_type="application/json", headers={"x-api-key": self.key.plaintext}
        )

    def answer(self, text: str, /, **variables: Any) -> dict[str, Any]:
        """Return data and errors."""
        response = self.post(text, **variables)
        assert response.status_code == 200, response.content
        assert response["Cache-Control"] == "no-store"
        body: dict[str, Any] = response.json()
        return body

    def data(self, text: str, /, **variables: Any) -> Any:
        """Return the data of an answer without errors."""
        body = self.answer(text, **variables)
        assert "errors" not in body, body
        return body["data"]

    def codes(self, text: str, /, **variables: Any) -> list[str]:
        """Return the codes of what was refused."""
        return [error["extensions"]["code"] for error in self.answer(text, **variables).get("errors", [])]


def asker(user: User) -> Asker:
    """Return somebody asking with a user key, which was made while they had developer access."""
    membership = AccountBinding.objects.get(user=user)
    AccountBinding.objects.filter(pk=membership.pk).update(is_developer=True)
    key = user_key(user, membership.content_object, name="mine")
    AccountBinding.objects.filter(pk=membership.pk).update(is_developer=membership.is_developer)
    return Asker(key)


def nodes(connection: dict[str, Any] | None) -> list[Any]:
    """Return what is on a page."""
    assert connection is not None
    return [edge["node"] for edge in connection["edges"]]


def names(connection: dict[str, Any] | None) -> list[str]:
    """Return the names of what is on a page."""
    return [node["name"] for node in nodes(connection)]
