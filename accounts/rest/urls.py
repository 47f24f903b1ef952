"""Addresses below ``/v2`` that the ground floor answers. None ends in a slash (contract rest-v2 §4.5)."""

from __future__ import annotations

from django.urls import path

from accounts.rest import audit, organizations, restrictions, role_bindings, roles, spaces, users

app_name = "accounts_rest"

urlpatterns = [
    path("audit-logs", audit.AuditLogList.as_view(), name="audit-logs"),
    path("audit-logs/export", audit.AuditLogExport.as_view(), name="audit-export"),
    path("users", users.UserList.as_view(), name="users"),
    path("users/<str:user_id>", users.UserDetail.as_view(), name="user"),
    path("users/<str:user_id>/resend-invitation", users.InvitationResend.as_view(), name="resend-invitation"),
    path("users/<str:user_id>/reset-password", users.PasswordReset.as_view(), name="reset-password"),
    path("organizations", organizations.OrganizationList.as_view(), name="organizations"),
    path("organizations/<str:organization_id>", organizations.OrganizationDetail.as_view(), name="organization"),
    path(
        "organizations/<str:organization_id>/users",
        organizations.OrganizationMembers.as_view(),
        name="organization-members",
    ),
    path(
        "organizations/<str:organization_id>/users/<str:user_id>",
        organizations.OrganizationMember.as_view(),
        name="organization-member",
    ),
    path("spaces", spaces.SpaceList.as_view(), name="spaces"),
    path("spaces/<str:space_id>", spaces.SpaceDetail.as_view(), name="space"),
    path("spaces/<str:space_id>/users", spaces.SpaceMembers.as_view(), name="space-members"),
    path("spaces/<str:space_id>/users/<str:user_id>", spaces.SpaceMember.as_view(), name="space-member"),
    path("roles", roles.RoleList.as_view(), name="roles"),
    path("roles/<str:role_id>", roles.RoleDetail.as_view(), name="role"),
    path("role-bindings", role_bindings.RoleBindingList.as_view(), name="role-bindings"),
    path("role-bindings/<str:binding_id>", role_bindings.RoleBindingDetail.as_view(), name="role-binding"),
    path("resource-restrictions", restrictions.RestrictionList.as_view(), name="resource-restrictions"),
    path(
        "resource-restrictions/<str:resource_id>",
        restrictions.RestrictionDetail.as_view(),
        name="resource-restriction",
    ),
]
