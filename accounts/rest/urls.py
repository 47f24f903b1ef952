"""Addresses below ``/v2`` that the ground floor answers. None ends in a slash (contract rest-v2 §4.5)."""

from __future__ import annotations

from django.urls import path

from accounts.rest import views

app_name = "accounts_rest"

urlpatterns = [
    path("organizations", views.OrganizationList.as_view(), name="organizations"),
    path("organizations/<str:organization_id>", views.OrganizationDetail.as_view(), name="organization"),
    path("spaces", views.SpaceList.as_view(), name="spaces"),
    path("spaces/<str:space_id>", views.SpaceDetail.as_view(), name="space"),
]
