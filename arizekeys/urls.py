"""Mounts the doors of every app."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from accounts.rest.nowhere import NoSuchAddress
from apikeys.rest.introspecting import Introspection
from apikeys.workflows import ingest
from arizekeys import docs
from arizekeys.health import healthz
from arizekeys.schema import GraphQL

handler500 = "arizekeys.failures.handler500"

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="apikeys:list"), name="home"),
    path("settings/api-keys/", include("apikeys.urls")),
    path("", include("accounts.urls")),
    path("", include("apikeys.workflows.urls")),
    path("v2/", include("apikeys.rest.urls")),
    path("v2/", include("accounts.rest.urls")),
    path("v2/", include("apikeys.workflows.rest.urls")),
    path("introspect", Introspection.as_view(), name="introspect"),
    path("v1/pandas_arrow", ingest.PandasArrow.as_view(), name="pandas-arrow"),
    path("v1/log", ingest.SingleRecord.as_view(), name="single-record"),
    path("v1/traces", ingest.Traces.as_view(), name="traces"),
    re_path(r"^v[12](?:/|$)", NoSuchAddress.as_view(), name="no-such-address"),
    path("graphql", GraphQL.as_view(), name="graphql"),
    path("openapi.json", docs.Document.as_view(), name="openapi"),
    path("docs/api", docs.reference, name="api-reference"),
    path("docs/errors", docs.errors, name="errors"),
]
