"""What is done with people."""

from __future__ import annotations

from typing import Any

from accounts.audit import Tag
from accounts.bindings import bind_role, predefined, set_developer_access
from accounts.invitations import InviteMode, show_link
from accounts.models import User
from accounts.people import (
    change_member,
    change_operator,
    change_person,
    deactivate_person,
    ensure_invited,
    find_person,
    invite_person,
    offer_password_reset,
    reactivate_person,
    remove_person,
    resend_invitation,
)
from accounts.roles import Level, RoleName
from tests.matrix.doors.browser import form, page
from tests.matrix.doors.command import command
from tests.matrix.doors.desk import desk
from tests.matrix.doors.graphql import node, query
from tests.matrix.doors.rest import rest
from tests.matrix.doors.verbs import given, question, verb
from tests.matrix.doors.ways import Instead, wire
from tests.matrix.fates import Fate
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.scene import BOT, OPERATOR, STRANGER, Scene

NEW_PASSWORD = "a first battery for the new horse"
_NEW = "Nina Novak"
_JOINS = "User AccountBinding"
# What a verb makes of a person whom doors would not have found for this caller.
HANDED: Instead = {Fate.ABSENT: Fate.FORBIDDEN, STRANGER: Fate.ABSENT}
HANDED_OVER = "The verb is handed the person. Doors look first, and whom they may not show is not there (rest-v2 §4.4)."
# Pages find a member first, and annotators see none.
UNSEEN: Instead = dict.fromkeys(("organization:ANNOTATOR", "space:ANNOTATOR"), Fate.ABSENT)
UNSEEN_BY = "Annotators see no members, so whom the address of a page names is not there for them (rest-v2 §6)."
_GONE_ALREADY = "Whoever is not in the account is removed from it already (rest-v2 §6: idempotent)."
_IN_USE = "Elsewhere it is an address in use: a conflict, of which accounts/test_people.py tells."


def _person_form(person: User, **changed: Any) -> dict[str, Any]:
    """Return what Django admin's form about a person holds."""
    fields: dict[str, Any] = {"name": person.name, "email": person.email}
    fields |= {name: "on" for name in ("is_active", "is_staff", "is_superuser") if getattr(person, name)}
    return {name: value for name, value in (fields | changed).items() if value is not None}


def _invited(role: RoleName) -> dict[str, Any]:
    return {"email": "nina@example.com", "name": _NEW, "role": predefined(Level.ACCOUNT, role)}


def _invitation(role: str) -> dict[str, Any]:
    body = {"email": "nina@example.com", "name": _NEW, "role": {"type": "PREDEFINED", "name": role}}
    return body | {"invite_mode": "EMAIL_LINK"}


def _typed(role: str) -> dict[str, Any]:
    return {"email": "nina@example.com", "name": _NEW, "role": role}


def _invited_by_operator(scene: Scene, role: RoleName) -> dict[str, Any]:
    return _invited(role) | {"account": scene.account.pk, "role": predefined(Level.ACCOUNT, role).pk}


def _is_invited(scene: Scene) -> str:
    return f"<bdi>{_NEW}</bdi> is invited"


PEOPLE: dict[str, Operation] = {
    "list the members": operation(
        rest("GET /v2/users", shows=lambda scene: "bob@example.com"),
        query(
            "Account.users", "{ account { users { edges { node { email } } } } }", shows=lambda scene: scene.bob.email
        ),
        page("accounts:members", shows=lambda scene: "Bob Baker"),
    ),
    "read about a member": operation(
        question(find_person, lambda scene: given(scene.bob.pk)),
        rest("GET /v2/users/{user_id}", lambda scene: [scene.bob]),
        node("User", lambda scene: scene.bob),
        page("accounts:member", lambda scene: [scene.bob]),
    ),
    "read about oneself": operation(
        question(find_person, lambda scene: given(scene.me.pk)),
        rest("GET /v2/users/{user_id}", lambda scene: [scene.me]),
        query(
            "Query.viewer",
            "{ viewer { user { id } } }",
            shows=lambda scene: wire(scene.me),
            differs={BOT: Fate.MADE},
            because="The viewer of a service key is its bot; in lists of people there are none.",
        ),
        page("accounts:member", lambda scene: [scene.me]),
    ),
    "list the bots": operation(page("accounts:bots", shows=lambda scene: "alice-nightly")),
    "invite a member": operation(
        verb(invite_person, lambda scene: given(**_invited(RoleName.MEMBER))),
        verb(ensure_invited, lambda scene: given(**_invited(RoleName.MEMBER), mode=InviteMode.EMAIL_LINK)),
        rest("POST /v2/users", body=lambda scene: _invitation("MEMBER")),
        page("accounts:invite"),
        form("accounts:invite", fields=lambda scene: _typed("MEMBER"), shows=_is_invited),
        desk("accounts_user_add", fields=lambda scene: _invited_by_operator(scene, RoleName.MEMBER)),
        changes=_JOINS,
        event=Tag.PERSON_INVITED,
    ),
    "invite an account admin": operation(
        verb(invite_person, lambda scene: given(**_invited(RoleName.ADMIN))),
        verb(ensure_invited, lambda scene: given(**_invited(RoleName.ADMIN), mode=InviteMode.EMAIL_LINK)),
        rest("POST /v2/users", body=lambda scene: _invitation("ADMIN")),
        form("accounts:invite", fields=lambda scene: _typed("ADMIN"), shows=_is_invited),
        desk("accounts_user_add", fields=lambda scene: _invited_by_operator(scene, RoleName.ADMIN)),
        changes=_JOINS,
        event=Tag.PERSON_INVITED,
    ),
    "invite a member into a space": operation(
        verb(
            invite_person,
            lambda scene: given(
                **_invited(RoleName.MEMBER),
                places=[
                    (scene.organization, predefined(Level.ORGANIZATION, RoleName.READ_ONLY)),
                    (scene.space, predefined(Level.SPACE, RoleName.READ_ONLY)),
                ],
            ),
        ),
        changes=f"{_JOINS} OrganizationBinding SpaceBinding",
        event=Tag.PERSON_INVITED,
    ),
    "invite anew somebody with more than one could give": operation(
        verb(
            ensure_invited,
            lambda scene: given(
                **_invited(RoleName.MEMBER) | {"email": scene.oskar.email}, mode=InviteMode.TEMPORARY_PASSWORD
            ),
            differs={STRANGER: None},
            because=_IN_USE,
        ),
        rest(
            "POST /v2/users",
            body=lambda scene: (
                _invitation("MEMBER") | {"email": scene.oskar.email, "invite_mode": "TEMPORARY_PASSWORD"}
            ),
            differs={STRANGER: None},
            because=_IN_USE,
        ),
        changes="User",
        event=Tag.PERSON_INVITED,
    ),
    "send an invitation again": operation(
        verb(
            resend_invitation,
            lambda scene: given(user=scene.petra),
            differs=HANDED,
            because=HANDED_OVER,
        ),
        rest("POST /v2/users/{user_id}/resend-invitation", lambda scene: [scene.petra]),
        form("accounts:member-resend", lambda scene: [scene.petra], shows=lambda scene: "is invited again"),
        desk("accounts_user_invite", lambda scene: [scene.petra], lambda scene: {}),
        changes="User",
        event=Tag.PERSON_INVITED,
    ),
    "list the invitations that are pending": operation(
        page("accounts:invitations", shows=lambda scene: "Petra Pohl"),
    ),
    "look at an invitation's link": operation(
        verb(
            show_link,
            lambda scene: given(user=scene.petra, base_url="http://testserver/"),
            differs={Fate.ABSENT: Fate.FORBIDDEN},
            because=HANDED_OVER,
        ),
        form("accounts:invitation-link", lambda scene: [scene.petra], shows=lambda scene: "/invitation/"),
        event=Tag.INVITATION_SHOWN,
    ),
    "withdraw an invitation": operation(
        verb(
            remove_person,
            lambda scene: given(user=scene.petra),
            differs={Fate.ABSENT: Fate.FORBIDDEN, STRANGER: Fate.ELSEWHERE},
            because=f"{HANDED_OVER} {_GONE_ALREADY}",
        ),
        page("accounts:invitation-withdraw", lambda scene: [scene.petra]),
        form("accounts:invitation-withdraw", lambda scene: [scene.petra]),
        changes=_JOINS,
        event=Tag.PERSON_REMOVED,
    ),
    "have a link to a new password sent": operation(
        verb(
            offer_password_reset,
            lambda scene: given(user=scene.bob),
            differs=HANDED,
            because=HANDED_OVER,
        ),
        rest("POST /v2/users/{user_id}/reset-password", lambda scene: [scene.bob]),
        form("accounts:member-reset", lambda scene: [scene.bob]),
        event=Tag.PASSWORD_RESET_OFFERED,
    ),
    "rename a person": operation(
        verb(
            change_member,
            lambda scene: given(user=scene.bob, name="Robert"),
            differs=HANDED,
            because=HANDED_OVER,
        ),
        rest("PATCH /v2/users/{user_id}", lambda scene: [scene.bob], body=lambda scene: {"name": "Robert"}),
        changes="User",
        event=Tag.PERSON_CHANGED,
    ),
    "change developer access": operation(
        verb(
            set_developer_access,
            lambda scene: given(user=scene.bob, allowed=False),
            differs=HANDED,
            because=HANDED_OVER,
        ),
        verb(
            change_member,
            lambda scene: given(user=scene.bob, is_developer=False),
            differs=HANDED,
            because=HANDED_OVER,
        ),
        rest("PATCH /v2/users/{user_id}", lambda scene: [scene.bob], body=lambda scene: {"is_developer": False}),
        form("accounts:member-developer", lambda scene: [scene.bob], fields=lambda scene: {"allowed": "no"}),
        desk(
            "accounts_accountbinding_change",
            lambda scene: [scene.account_membership],
            lambda scene: {"role": predefined(Level.ACCOUNT, RoleName.MEMBER).pk},
        ),
        changes="AccountBinding",
        event=Tag.DEVELOPER_CHANGED,
    ),
    "change somebody's account role": operation(
        verb(
            bind_role,
            lambda scene: given(
                user=scene.bob, role=predefined(Level.ACCOUNT, RoleName.MEMBER_UI_ONLY), scope=scene.account
            ),
            differs=HANDED,
            because=HANDED_OVER,
        ),
        form(
            "accounts:member-role",
            lambda scene: [scene.bob],
            fields=lambda scene: {"level": "account", "role": "MEMBER_UI_ONLY"},
        ),
        desk(
            "accounts_accountbinding_change",
            lambda scene: [scene.account_membership],
            lambda scene: {"role": predefined(Level.ACCOUNT, RoleName.MEMBER_UI_ONLY).pk},
        ),
        changes="AccountBinding",
        event=Tag.ROLE_CHANGED,
    ),
    "make oneself an account admin": operation(
        verb(
            bind_role,
            lambda scene: given(user=scene.me, role=predefined(Level.ACCOUNT, RoleName.ADMIN), scope=scene.account),
            differs={"account:ADMIN": Fate.ELSEWHERE},
            because="This caller is one already.",
        ),
        form(
            "accounts:member-role",
            lambda scene: [scene.me],
            fields=lambda scene: {"level": "account", "role": "ADMIN"},
            differs={"account:ADMIN": Fate.ELSEWHERE, STRANGER: Fate.ELSEWHERE},
            because="This caller is one already; the stranger in the account of their own, where the page acts.",
        ),
        changes="AccountBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "bring somebody known elsewhere into the account": operation(
        verb(
            bind_role,
            lambda scene: given(
                user=scene.cast.mallory, role=predefined(Level.ACCOUNT, RoleName.MEMBER), scope=scene.account
            ),
        ),
        desk(
            "accounts_accountbinding_add",
            fields=lambda scene: {
                "user": scene.cast.mallory.pk,
                "content_object": scene.account.pk,
                "role": predefined(Level.ACCOUNT, RoleName.MEMBER).pk,
            },
        ),
        changes=_JOINS,
        event=Tag.ROLE_GRANTED,
    ),
    "remove a person": operation(
        verb(
            remove_person,
            lambda scene: given(user=scene.bob),
            differs={Fate.ABSENT: Fate.FORBIDDEN, STRANGER: Fate.ELSEWHERE},
            because=f"{HANDED_OVER} {_GONE_ALREADY}",
        ),
        rest("DELETE /v2/users/{user_id}", lambda scene: [scene.bob]),
        page("accounts:member-remove", lambda scene: [scene.bob]),
        form("accounts:member-remove", lambda scene: [scene.bob]),
        desk(
            "accounts_accountbinding_delete",
            lambda scene: [scene.account_membership],
            lambda scene: {"post": "yes"},
        ),
        changes=f"{_JOINS} OrganizationBinding SpaceBinding ApiKey",
        event=Tag.PERSON_REMOVED,
    ),
    "remove oneself": operation(
        verb(
            remove_person,
            lambda scene: given(user=scene.me),
            differs={OPERATOR: Fate.ELSEWHERE},
            because=f"An operator is in no account. {_GONE_ALREADY}",
        ),
        rest(
            "DELETE /v2/users/{user_id}",
            lambda scene: [scene.me],
            differs={Fate.AGAINST: Fate.FORBIDDEN, BOT: Fate.ABSENT},
            because="rest-v2 §6 knows no 422 here, and a bot is nobody there.",
        ),
        form("accounts:member-remove", lambda scene: [scene.me]),
    ),
    "correct a person's name and address": operation(
        verb(change_person, lambda scene: given(user=scene.bob, name="Robert", email="robert@example.com")),
        desk(
            "accounts_user_change",
            lambda scene: [scene.bob],
            lambda scene: _person_form(scene.bob, name="Robert", email="robert@example.com"),
        ),
        changes="User",
        event=Tag.PERSON_CHANGED,
    ),
    "deactivate a person": operation(
        verb(deactivate_person, lambda scene: given(user=scene.bob)),
        desk("accounts_user_change", lambda scene: [scene.bob], lambda scene: _person_form(scene.bob, is_active=None)),
        changes="User",
        event=Tag.PERSON_DEACTIVATED,
    ),
    "reactivate a person": operation(
        verb(reactivate_person, lambda scene: given(user=scene.ines)),
        desk(
            "accounts_user_change", lambda scene: [scene.ines], lambda scene: _person_form(scene.ines, is_active="on")
        ),
        changes="User",
        event=Tag.PERSON_REACTIVATED,
    ),
    "make somebody an operator": operation(
        verb(change_operator, lambda scene: given(user=scene.bob, is_staff=True, is_superuser=True)),
        desk(
            "accounts_user_change",
            lambda scene: [scene.bob],
            lambda scene: _person_form(scene.bob, is_staff="on", is_superuser="on"),
        ),
        changes="User",
        event=Tag.OPERATOR_CHANGED,
    ),
    "make an operator of somebody new": operation(
        command(
            "createsuperuser",
            lambda scene: ["--noinput", "--email", "otto@example.com", "--name", "Otto Operator"],
            typed="",
        ),
        changes="User",
        event=Tag.OPERATOR_CHANGED,
    ),
    "set somebody's password": operation(
        command("changepassword", lambda scene: [scene.bob.email], typed=NEW_PASSWORD),
        desk(
            "auth_user_password_change",
            lambda scene: [scene.bob],
            lambda scene: {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, "usable_password": "true"},
        ),
        changes="User",
        event=Tag.PASSWORD_CHANGED,
    ),
}
