"""Addresses of signing in, Members, the audit log and the account's settings."""

from __future__ import annotations

from django.urls import path

from accounts.views import account, audit, invite, member, members, passwords, scope, sign_in

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
    path("settings/members/<str:wire_id>/add/", member.add, name="member-add"),
    path("settings/members/<str:wire_id>/developer/", member.developer, name="member-developer"),
    path("settings/members/<str:wire_id>/resend/", invite.resend, name="member-resend"),
    path("settings/members/<str:wire_id>/reset/", member.reset, name="member-reset"),
    path("settings/members/<str:wire_id>/remove/", member.remove, name="member-remove"),
    path("settings/members/<str:wire_id>/remove/<str:scope_id>/", member.leave, name="member-leave"),
    path("settings/audit/", audit.trail, name="audit"),
    path("settings/audit/export/", audit.export, name="audit-export"),
    path("settings/account/", account.settings, name="account"),
]
