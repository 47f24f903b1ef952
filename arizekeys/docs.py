"""The API's documentation: the OpenAPI document, a page to read and try it, and a page about errors."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

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

from accounts.rest.problems import KINDS
from accounts.rest.shapes import AtLeastOne
from apikeys.authentication import ApiKeyAuthentication


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
    return document
