"""Addresses below ``/v2`` that the first floor answers. None ends in a slash (contract rest-v2 §4.5)."""

from __future__ import annotations

from django.urls import path

from apikeys.rest import explaining, views

app_name = "apikeys_rest"

urlpatterns = [
    path("api-keys", views.KeyList.as_view(), name="keys"),
    path("api-keys/<str:api_key_id>/refresh", views.KeyRefresh.as_view(), name="refresh"),
    path("api-keys/<str:api_key_id>/revoke", views.KeyRevocation.as_view(), name="revoke"),
    path("api-keys/<str:api_key_id>/explain", explaining.KeyExplanation.as_view(), name="explain"),
]
