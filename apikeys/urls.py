"""Addresses of the API Keys pages, under /settings/api-keys/. No address ever holds a secret."""

from __future__ import annotations

from django.urls import path

from apikeys import views

app_name = "apikeys"

urlpatterns = [
    path("", views.user_keys, name="list"),
    path("service/", views.service_keys, name="service"),
    path("new/", views.new, name="new"),
    path("<str:wire_id>/refresh/", views.refresh, name="refresh"),
    path("<str:wire_id>/revoke/", views.revoke, name="revoke"),
    path("<str:wire_id>/why/", views.why, name="why"),
]
