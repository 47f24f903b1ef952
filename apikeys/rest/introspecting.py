"""``POST /introspect``: what a presented key is (RFC 7662)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.afterwards import afterwards
from accounts.errors import Invalid
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint
from accounts.rest.examples import IDS
from accounts.rest.shapes import Absent, IdOut, Text, WireId, cleaned
from accounts.wire import encode_id
from apikeys.authentication import FORM
from apikeys.introspection import ActiveKey, introspect
from apikeys.models import KeyKind
from apikeys.refusals import flush

INACTIVE = {"active": False}


class Presented(Text):
    """Any text at all: what cannot be a key is simply not active."""

    @property
    def keywords(self) -> dict[str, Any]:
        """What the OpenAPI document says of it besides."""
        return {}

    def to_internal_value(self, data: Any) -> str:
        """Return it as it came."""
        return str(data)

    def run_validators(self, value: Any) -> None:
        """Ask nothing of it."""


class PresentedToken(serializers.Serializer[Any]):
    """The key that was presented. What else OAuth clients send is not looked at."""

    token = Presented(help_text="The key.")
    token_type_hint = Presented(
        required=False, allow_blank=True, help_text="Not looked at: there is one kind of token."
    )
    space_id = WireId(
        "Space",
        required=False,
        help_text="The space the service works in: `scope` is what the key may do there, and a key that does not get "
        "in is not active. Left out: what it may do in the account. An addition of ours.",
    )


class IntrospectionOut(Absent):
    """What a key is. Of one that is not active, nothing but that."""

    active = serializers.BooleanField(help_text="Whether it opens, and you may know of it.")
    scope = serializers.CharField(required=False, help_text="The names of its permissions, with a blank in between.")
    client_id = IdOut("ApiKey", required=False)
    username = serializers.CharField(required=False, help_text="A person's e-mail address, or a bot's name.")
    token_type = serializers.CharField(required=False, help_text="Bearer.")
    exp = serializers.IntegerField(required=False, help_text="When it ends. Absent: never by itself.")
    iat = serializers.IntegerField(required=False, help_text="When this secret was made.")
    sub = IdOut("User", required=False)
    iss = serializers.CharField(required=False, help_text="This server.")
    key_type = serializers.ChoiceField(KeyKind.values, required=False, help_text="Whether a person's or a bot's.")
    account_id = serializers.CharField(required=False, help_text="The account's ID.")
    space_id = IdOut("Space", required=False)


_ACTIVE = {
    "active": True,
    "scope": "DATASET_READ SPACE_READ",
    "client_id": IDS["ApiKey"],
    "username": "nightly export",
    "token_type": "Bearer",
    "exp": 1896091200,
    "iat": 1801396800,
    "sub": IDS["User"],
    "iss": "https://keys.example.com",
    "key_type": "SERVICE",
    "account_id": encode_id("Account", 1),
    "space_id": IDS["Space"],
}


class Introspection(Endpoint):
    """What a presented key is."""

    access = {
        "POST": "SERVICE_KEY_READ in at least one space. Keys that you may not know of are not active for you: user "
        "keys are known to their owner and to account admins, service keys also to those who may read the keys of one "
        "of their spaces."
    }
    token_field = "token"  # noqa: S105 -- a name
    parser_classes = [FormParser]
    post_only_reads = True

    @method_decorator(sensitive_post_parameters("token"))
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, and keep the form out of reports."""
        return super().dispatch(request, *args, **kwargs)

    @operation(
        id="introspect_token",
        tag="API keys",
        summary="Say what a presented key is",
        text="RFC 7662, for services that were handed a key: a form with `token`, and the caller's own key in the "
        'header. Unknown, revoked and expired keys, and those you may not know of, all get `{"active": false}`. Asking '
        "is no use of the key. Not part of the vendor's API.",
        request=PresentedToken,
        success=(200, answer(IntrospectionOut, {"A service key": _ACTIVE, "Any other": INACTIVE})),
        problems=(400, 401, 403, 429),
        examples=[OpenApiExample("A key", value={"token": "ak-3fTq…"}, request_only=True, media_type=FORM)],
    )
    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        """Say it."""
        asked = _asked(request._request)
        active = introspect(self.actor, asked["token"], space_id=asked.get("space_id"), at=timezone.now())
        if active is None:
            afterwards(flush)
            return Response(INACTIVE)
        issuer = f"{request.scheme}://{request.get_host()}"
        return Response(_dressed(active, issuer))


@sensitive_variables()
def _asked(request: HttpRequest) -> dict[str, Any]:
    """Return the form, checked. What is empty counts as left out (RFC 6749 §3.2).

    Raises:
        Invalid: it is none, or a field came twice.
    """
    if request.content_type != FORM:
        raise Invalid(f"Send the token as a form, with Content-Type: {FORM}.")
    form = QueryDict(request.body)
    known = {name: values for name, values in form.lists() if name in PresentedToken().fields and any(values)}
    if any(len(values) > 1 for values in known.values()):
        raise Invalid("A field of the form came twice.")
    return cleaned(PresentedToken, {name: values[0] for name, values in known.items()})


def _dressed(active: ActiveKey, issuer: str) -> dict[str, Any]:
    key = active.key
    told = {
        "active": True,
        "scope": " ".join(active.permissions),
        "client_id": key.key_id,
        "username": key.user.email if key.is_user_key else key.user.name,
        "token_type": "Bearer",
        "exp": int(key.ends_at.timestamp()) if key.ends_at else None,
        "iat": int(key.issued_at.timestamp()),
        "sub": key.user.pk,
        "iss": issuer,
        "key_type": key.kind,
        "account_id": encode_id("Account", key.account.pk),
        "space_id": active.space.pk if active.space else None,
    }
    return dict(IntrospectionOut(told).data)
