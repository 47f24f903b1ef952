"""What everybody does for themselves: signing in and out, passwords, choosing what to look at, reading up."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts import invitations, mail
from accounts.audit import Tag
from accounts.models import User
from tests.factories import PASSWORD
from tests.matrix.doors.browser import form, page
from tests.matrix.doors.desk import desk
from tests.matrix.doors.ways import Instead, wire
from tests.matrix.fates import Fate
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.scene import BOT, CUSTOM, NOBODY, OPERATOR, ROLES, STRANGER, Scene

_NEW = "a first battery for the new horse"
_CHOSEN = {"new_password1": _NEW, "new_password2": _NEW}
ANYBODY: Instead = {OPERATOR: Fate.MADE}
NO_ACCOUNT = "This is about the person, and asks for no account."


def _link(user: User, token: str) -> Sequence[str]:
    return [urlsafe_base64_encode(force_bytes(user.pk)), token]


def _invitation(scene: Scene) -> Sequence[str]:
    return _link(scene.petra, invitations.tokens.make_token(scene.petra))


def _reset(scene: Scene) -> Sequence[str]:
    return _link(scene.bob, mail.reset_tokens.make_token(scene.bob))


def _with_temporary_password(scene: Scene) -> None:
    if scene.caller is not None:
        User.objects.filter(pk=scene.caller.pk).update(password_is_temporary=True, joined_at=None)


ONESELF: dict[str, Operation] = {
    "sign in": operation(
        page("accounts:login", anew=True, differs=ANYBODY, because=NO_ACCOUNT),
        form(
            "accounts:login",
            fields=lambda scene: {"username": scene.me.email, "password": PASSWORD},
            anew=True,
            differs={**ANYBODY, BOT: Fate.TOLD},
            because=f"{NO_ACCOUNT} A bot has no password that could be right (security 21).",
        ),
        desk(
            "login",
            differs=dict.fromkeys((*ROLES, *CUSTOM, STRANGER), Fate.FORBIDDEN),
            because="This is where every page of Django admin sends them, to hear that only operators get in.",
        ),
        changes="User",
        event=Tag.SIGNED_IN,
    ),
    "sign out": operation(
        form("accounts:logout", differs={**ANYBODY, NOBODY: None}, because=f"{NO_ACCOUNT} Nobody is out already."),
        desk(
            "logout",
            fields=lambda scene: {},
            shows=lambda scene: "Logged out",
            differs={NOBODY: None},
            because="Nobody is out already.",
        ),
        event=Tag.SIGNED_OUT,
    ),
    "prove once more who one is": operation(
        page("accounts:confirm", differs=ANYBODY, because=NO_ACCOUNT),
        form("accounts:confirm", fields=lambda scene: {"password": PASSWORD}, differs=ANYBODY, because=NO_ACCOUNT),
        event=Tag.SIGNED_IN,
    ),
    "change one's own password": operation(
        page("accounts:password", differs=ANYBODY, because=NO_ACCOUNT),
        form(
            "accounts:password",
            fields=lambda scene: {"old_password": PASSWORD, **_CHOSEN},
            differs=ANYBODY,
            because=NO_ACCOUNT,
        ),
        desk("password_change", fields=lambda scene: {}, looks=True),
        desk("password_change_done", fields=lambda scene: {}, looks=True),
        changes="User",
        event=Tag.PASSWORD_CHANGED,
    ),
    "replace a temporary password": operation(
        page(
            "accounts:password-first",
            shows=lambda scene: "new_password1",
            prepared=_with_temporary_password,
            differs=ANYBODY,
            because=NO_ACCOUNT,
        ),
        form(
            "accounts:password-first",
            fields=lambda scene: _CHOSEN,
            prepared=_with_temporary_password,
            differs=ANYBODY,
            because=NO_ACCOUNT,
        ),
        changes="User",
        event=Tag.PASSWORD_CHANGED,
    ),
    "ask for a link to a new password": operation(
        page("accounts:password-forgot", differs=ANYBODY, because=NO_ACCOUNT),
        form(
            "accounts:password-forgot",
            fields=lambda scene: {"email": scene.bob.email},
            differs=ANYBODY,
            because=NO_ACCOUNT,
        ),
        page("accounts:password-forgot-sent", differs=ANYBODY, because=NO_ACCOUNT),
    ),
    "choose a new password by a link": operation(
        page("accounts:password-new", _reset, shows=lambda scene: scene.bob.email, differs=ANYBODY, because=NO_ACCOUNT),
        form(
            "accounts:password-new",
            _reset,
            fields=lambda scene: _CHOSEN,
            asked_first=True,
            differs=ANYBODY,
            because=NO_ACCOUNT,
        ),
        changes="User AccessAttempt",
        event=Tag.PASSWORD_CHANGED,
    ),
    "accept an invitation by its link": operation(
        page("accounts:invite-accept", _invitation, shows=lambda scene: "Welcome", differs=ANYBODY, because=NO_ACCOUNT),
        form(
            "accounts:invite-accept",
            _invitation,
            fields=lambda scene: _CHOSEN,
            asked_first=True,
            differs=ANYBODY,
            because=NO_ACCOUNT,
        ),
        changes="User",
        event=Tag.PERSON_JOINED,
    ),
    "choose a space to look at": operation(
        form("accounts:scope", fields=lambda scene: {"space": wire(scene.space)}),
    ),
    "read the API's documentation": operation(
        page("openapi", differs=ANYBODY, because=NO_ACCOUNT),
        page("api-reference", differs=ANYBODY, because=NO_ACCOUNT),
    ),
    "read about errors, and ask for the server's health": operation(
        page("errors", differs=ANYBODY, because=NO_ACCOUNT),
        page("healthz", differs=ANYBODY, because=NO_ACCOUNT),
    ),
}
