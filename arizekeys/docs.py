"""The API's documentation: the OpenAPI document, a page to read and try it, and a page about errors."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.rest.problems import KINDS, PAGE
from accounts.rest.shapes import AtLeastOne
from apikeys.authentication import ApiKeyAuthentication

# What the reference says before its first operation.
_ABOUT = f"""\
Manages API keys, and the people, roles, organizations and spaces of an account.

**Keys.** Send an API key with every request: `Authorization: Bearer ak-…`. A user key may do what its person may do at
that moment, a service key what the roles it was given permit. Under **Access** each operation says who may call it.

**IDs** are strings to be kept and sent back as they came. Formats like `space-id` say what an ID is of. What you may
not see does not exist for you: 404.

**Bodies** are JSON objects. What is not described here is refused with 400: an unknown property or parameter as well
as a value of the wrong type. Moments are as in RFC 3339, and without an offset UTC.

**Lists** come in pages of `limit` things. While `pagination.has_more` is true, ask again with its `next_cursor` as
`cursor` and with the same filters. What comes and goes meanwhile shifts nothing.

**Errors** are problem documents (RFC 9457): `error_code` is for programs, `detail` for people, and `errors` points at
each value at fault. [Every kind is explained]({PAGE}), also those that any operation may answer with: 405, 500 and
503.

**Sending twice.** A POST with an `Idempotency-Key`, a name of your own for that one request, is carried out once. Sent
again within a day it gets the same answer; where that held a secret, 409 with the ID of what was made.

**Limits.** An account makes only so many keys in an hour and a key comes only so often in a second (429, and
`Retry-After` says how long to wait), and an account holds only so many keys (422).
Bodies are read up to {settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024:,} KiB, and up to 9 MiB
where they bring examples or runs (413).
"""
# In the order in which the reference shows them.
_TAGS = {
    "API keys": "What programs call with. A user key is a person; a service key is a bot user with roles of its own.",
    "Users": "The account's people: inviting, changing and removing them.",
    "Organizations": "What an account is divided into, and who is in them.",
    "Spaces": "Where work happens: in an organization, open to all of it or private.",
    "Roles": "Sets of permissions: the predefined ones, and the account's own, which can be given in spaces.",
    "Projects": "What spans and predictions are logged to.",
    "Spans": "What was logged to a project, span by span.",
    "Datasets": "Named examples in versions that follow one another.",
    "Experiments": "What tasks made, of datasets as a rule.",
    "Role bindings": "Which user has which role in which space or project.",
    "Resource restrictions": "Projects in which only roles given in the project itself count.",
    "Audit logs": "What happened in the account: who did what, when, from where, and with which outcome.",
}


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Says in the OpenAPI document how a key is sent."""

    target_class = "apikeys.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        """Return the scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "ak-…",
            "description": "An API key, made under Settings → API Keys: `Authorization: Bearer ak-…`.",
        }


class ClosedObjects(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Says in the OpenAPI document that what we do not know, we refuse."""

    target_class = "accounts.rest.shapes.Shape"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        """Return the schema of an object, closed."""
        found: dict[str, Any] = auto_schema._map_serializer(  # type: ignore[no-untyped-call]
            self.target, direction, bypass_extensions=True
        )
        least = {"minProperties": 1} if isinstance(self.target, AtLeastOne) else {}
        return {**found, **least, "additionalProperties": False}


class Document(APIView):
    """The OpenAPI document, for whoever has a key or is signed in: what there is to attack is not public."""

    authentication_classes = [ApiKeyAuthentication, SessionAuthentication]
    permission_classes = [IsAuthenticated]
    http_method_names = ["get", "head"]
    schema = None

    def get(self, request: Request) -> Response:
        """Return the document."""
        return Response(openapi(), headers={"Cache-Control": "private, max-age=300"})


@require_safe
@login_required
def reference(request: HttpRequest) -> HttpResponse:
    """Show the reference, made from the OpenAPI document in the browser."""
    return render(request, "docs/api.html")


@require_safe
def errors(request: HttpRequest) -> HttpResponse:
    """Explain each kind of error. Public, since that is where the ``type`` of every error leads."""
    return render(request, "docs/errors.html", {"kinds": KINDS})


@lru_cache(maxsize=1)
def openapi() -> dict[str, Any]:
    """Return the OpenAPI document. It depends on nothing but the code, so each process makes it once."""
    document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    about = {**document["info"], "description": _ABOUT}
    return {**document, "info": about, "tags": [{"name": name, "description": said} for name, said in _TAGS.items()]}
