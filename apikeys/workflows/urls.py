"""Addresses of what a key opens: the Data pages of spaces, and what a key has done."""

from __future__ import annotations

from django.urls import path

from apikeys.workflows import views

app_name = "workflows"

urlpatterns = [
    path("settings/data/", views.choose, name="data"),
    path("settings/spaces/<str:wire_id>/data/", views.show, name="space-data"),
    path("settings/api-keys/<str:wire_id>/uses/", views.key_uses, name="key-uses"),
]
