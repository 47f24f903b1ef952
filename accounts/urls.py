"""Addresses of signing in, Members, the audit log and the account's settings."""

from __future__ import annotations

from django.urls import path

from accounts.views import (
    account,
    audit,
    invite,
    member,
    members,
    membership,
    organizations,
    passwords,
    roles,
    scope,
    sign_in,
    spaces,
)

app_name = "accounts"

urlpatterns = [
    path("sign-in/", sign_in.SignIn.as_view(), name="login"),
    path("sign-out/", sign_in.SignOut.as_view(), name="logout"),
    path("confirm/", sign_in.confirm, name="confirm"),
    path("password/", passwords.Change.as_view(), name="password"),
    path("password/forgot/", passwords.forgot, name="password-forgot"),
    path("password/forgot/sent/", passwords.forgot_sent, name="password-forgot-sent"),
    path("password/new/<uidb64>/<token>/", passwords.New.as_view(), name="password-new"),
    path("invitation/<uidb64>/<token>/", invite.Accept.as_view(), name="invite-accept"),
    path("settings/scope/", scope.scope, name="scope"),
    path("settings/members/", members.people, name="members"),
    path("settings/members/bots/", members.bots, name="bots"),
    path("settings/members/invite/", invite.invite, name="invite"),
    path("settings/members/<str:wire_id>/", member.show, name="member"),
    path("settings/members/<str:wire_id>/role/", member.role, name="member-role"),
    path("settings/members/<str:wire_id>/add/", member.role, name="member-add"),
    path("settings/members/<str:wire_id>/withdraw/", member.withdraw, name="member-withdraw"),
    path("settings/members/<str:wire_id>/developer/", member.developer, name="member-developer"),
    path("settings/members/<str:wire_id>/resend/", invite.resend, name="member-resend"),
    path("settings/members/<str:wire_id>/reset/", member.reset, name="member-reset"),
    path("settings/members/<str:wire_id>/remove/", member.remove, name="member-remove"),
    path("settings/members/<str:wire_id>/remove/<str:scope_id>/", member.leave, name="member-leave"),
    path("settings/spaces/", spaces.index, name="spaces"),
    path("settings/spaces/new/", spaces.new, name="space-new"),
    path("settings/spaces/<str:wire_id>/", spaces.show, name="space"),
    path("settings/spaces/<str:wire_id>/settings/", spaces.settings, name="space-settings"),
    path("settings/spaces/<str:wire_id>/delete/", spaces.delete, name="space-delete"),
    path("settings/spaces/<str:wire_id>/add/", membership.add, name="space-add"),
    path("settings/spaces/<str:wire_id>/members/<str:user_id>/", membership.change, name="space-member"),
    path("settings/organizations/new/", organizations.new, name="organization-new"),
    path("settings/organizations/<str:wire_id>/", organizations.show, name="organization"),
    path("settings/organizations/<str:wire_id>/members/", organizations.members, name="organization-members"),
    path("settings/organizations/<str:wire_id>/settings/", organizations.settings, name="organization-settings"),
    path("settings/organizations/<str:wire_id>/delete/", organizations.delete, name="organization-delete"),
    path("settings/organizations/<str:wire_id>/add/", membership.add, name="organization-add"),
    path("settings/organizations/<str:wire_id>/members/<str:user_id>/", membership.change, name="organization-member"),
    path("settings/roles/", roles.own, name="roles"),
    path("settings/roles/predefined/", roles.predefined, name="roles-predefined"),
    path("settings/roles/new/", roles.new, name="role-new"),
    path("settings/roles/<str:wire_id>/", roles.show, name="role"),
    path("settings/roles/<str:wire_id>/edit/", roles.edit, name="role-edit"),
    path("settings/roles/<str:wire_id>/delete/", roles.delete, name="role-delete"),
    path("settings/audit/", audit.trail, name="audit"),
    path("settings/audit/export/", audit.export, name="audit-export"),
    path("settings/account/", account.settings, name="account"),
]
