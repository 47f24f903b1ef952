"""``/v2/users``: inviting, changing and removing people (contract rest-v2 §6). Bots are nobody here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import mail, roster
from accounts.errors import Forbidden, Incompatible, NotAllowed, NotFound
from accounts.invitations import InviteMode, Status, status_of, with_status
from accounts.models import AccountBinding, User
from accounts.paging import paginate
from accounts.people import (
    change_member,
    ensure_invited,
    find_person,
    offer_password_reset,
    remove_person,
    resend_invitation,
    was_removed,
)
from accounts.permissions import require
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint, paged, path_id
from accounts.rest.examples import INVITED, MEMBER, USER, page_of
from accounts.rest.role_objects import RoleFinder
from accounts.rest.serializers import ChangeUser, CreatedUser, CreateUser, UserOut, UserPage, UserQuery
from accounts.roles import Level
from accounts.standing import standing_of
from accounts.vocabulary import Permission

_TAG = "Users"
_PATH = {"user_id": "User"}


class UserList(Endpoint):
    """The account's people, and where new ones come from."""

    access = {
        "GET": "USER_READ in the account: all members but Annotators.",
        "POST": "USER_CREATE in the account: its Members and Admins. Members give the roles MEMBER and ANNOTATOR only.",
    }

    @operation(
        id="list_users",
        tag=_TAG,
        summary="List users",
        text="Oldest first, without bots and without those who were removed or deactivated.",
        query=UserQuery,
        success=(200, answer(UserPage, {"The first of several": page_of("users", USER)})),
        problems=(400, 401, 403, 429),
    )
    def get(self, request: Request) -> Response:
        """List people."""
        query = self.query(UserQuery)
        rows = _people(roster.members(self.actor, standing_of(self.actor), roster.Wanted()), query)
        page = paginate(rows, cursor=query["cursor"], limit=query["limit"], newest_first=False)
        return paged("users", page, [_dressed(row) for row in page.items])

    @operation(
        id="create_user",
        tag=_TAG,
        summary="Invite a user",
        text="`EMAIL_LINK` mails a link to a first password, which works once and for seven days. "
        "`TEMPORARY_PASSWORD` answers with a password that has to be changed at the first sign-in, shown here and "
        "never again. `NONE` makes the person active at once; they set a password through *Forgot password*. Asking "
        "again while an invitation is open answers 200 with the user as they are, and sends nothing.",
        request=CreateUser,
        success=(
            201,
            answer(
                CreatedUser,
                {
                    "By mail": INVITED | {"invite_mode": "EMAIL_LINK"},
                    "With a temporary password": INVITED
                    | {"invite_mode": "TEMPORARY_PASSWORD", "temporary_password": "Kx7mPq4RtZ2w"},
                },
            ),
        ),
        also={
            200: answer(UserOut, {"Invited before": INVITED}, "A person whose invitation is open; nothing was sent.")
        },
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "By mail",
                value={
                    "name": "Ann Archer",
                    "email": "ann@example.com",
                    "role": MEMBER,
                    "invite_mode": "EMAIL_LINK",
                },
                request_only=True,
            )
        ],
    )
    @method_decorator(sensitive_variables())
    def post(self, request: Request) -> Response:
        """Invite somebody."""
        body = self.body(CreateUser)
        mode = InviteMode(body["invite_mode"])
        role = RoleFinder(self.actor, []).find(Level.ACCOUNT, body["role"])
        invitation = ensure_invited(
            self.actor, email=body["email"], name=body["name"], role=role, mode=mode, at=timezone.now()
        )
        answer = _dressed(_membership(self.actor.require_account().pk, invitation.user))
        if not invitation.is_new:
            return Response(answer)
        if mode is InviteMode.EMAIL_LINK and invitation.needs_password:
            _send_invitation(self, invitation.user)
        answer["invite_mode"] = mode.value
        response = Response(answer, status=201)
        if invitation.temporary_password is not None:
            # Put in last, and beside the serializer: its data may end up in a log or a report.
            response = self.with_secret(response, "temporary_password", invitation.temporary_password, answer["id"])
        return response


class UserDetail(Endpoint):
    """One person."""

    access = {
        "GET": "USER_READ in the account, or oneself; 404 otherwise.",
        "PATCH": "The name: USER_UPDATE in the account. Developer access: account admins.",
        "DELETE": "USER_DELETE in the account: its admins, and nobody themselves.",
    }

    @operation(
        id="get_user",
        tag=_TAG,
        summary="Get a user",
        path=_PATH,
        success=(200, answer(UserOut, {"A person": USER})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, user_id: str) -> Response:
        """Return a person."""
        user = find_person(self.actor, path_id(user_id, "User"))
        return Response(_dressed(_membership(self.actor.require_account().pk, user)))

    @operation(
        id="update_user",
        tag=_TAG,
        summary="Rename a user, or switch their developer access",
        text="Give at least one property; both are changed, or neither.",
        path=_PATH,
        request=ChangeUser,
        success=(200, answer(UserOut, {"As they are now": USER | {"is_developer": False}})),
        problems=(400, 401, 403, 404, 422, 429),
        examples=[OpenApiExample("No developer access", value={"is_developer": False}, request_only=True)],
    )
    def patch(self, request: Request, user_id: str) -> Response:
        """Change a person."""
        user = find_person(self.actor, path_id(user_id, "User"))
        user = change_member(self.actor, user=user, **self.body(ChangeUser), at=timezone.now())
        return Response(_dressed(_membership(self.actor.require_account().pk, user)))

    @operation(
        id="delete_user",
        tag=_TAG,
        summary="Remove a user",
        text="Memberships, roles and user keys go at once; service keys they made stay. It is final: nobody of that "
        "address can be invited again. Removing somebody twice changes nothing. No body.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, user_id: str) -> Response:
        """Remove a person."""
        number = path_id(user_id, "User")
        try:
            user = find_person(self.actor, number)
        except NotFound:
            if not was_removed(self.actor, number):
                raise
            require(self.actor, Permission.USER_DELETE, self.actor.require_account())
            return Response(status=204)
        try:
            remove_person(self.actor, user=user, at=timezone.now())
        except NotAllowed as refusal:  # oneself, the last admin: the contract has 403 for it, and no 422
            raise Forbidden(refusal.detail) from refusal
        return Response(status=204)


class InvitationResend(Endpoint):
    """An invitation, once more."""

    access = {"POST": "USER_CREATE in the account: its Members and Admins."}

    @operation(
        id="resend_user_invitation",
        tag=_TAG,
        summary="Send an invitation again",
        text="By mail, with a new link; the link or the temporary password given before stops working. 400 when there "
        "is nothing to accept any more. No body, neither way.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def post(self, request: Request, user_id: str) -> Response:
        """Send the invitation again."""
        user = find_person(self.actor, path_id(user_id, "User"))
        if status_of(user, timezone.now()) is Status.EXPIRED:  # contract rest-v2 §6: only INVITED
            raise Incompatible(f"The invitation of {user.name} has run out. Invite them anew: POST /v2/users.")
        try:
            user = resend_invitation(self.actor, user=user, at=timezone.now())
        except NotAllowed as refusal:  # contract rest-v2 §6: 400
            raise Incompatible(refusal.detail) from refusal
        _send_invitation(self, user)
        return Response(status=204)


class PasswordReset(Endpoint):
    """A way to a new password."""

    access = {"POST": "USER_UPDATE in the account: its admins."}

    @operation(
        id="reset_user_password",
        tag=_TAG,
        summary="Mail a link to a new password",
        text="It works once and for 30 minutes; the old password goes on until then. 400 for somebody who has not "
        "accepted the invitation yet. No body, neither way.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def post(self, request: Request, user_id: str) -> Response:
        """Mail the link."""
        user = find_person(self.actor, path_id(user_id, "User"))
        try:
            user = offer_password_reset(self.actor, user=user, at=timezone.now())
        except NotAllowed as refusal:  # contract rest-v2 §6: 400
            raise Incompatible(refusal.detail) from refusal
        base_url = request.build_absolute_uri("/")
        _after_commit(lambda: mail.send_reset(user, base_url=base_url))
        return Response(status=204)


def _send_invitation(endpoint: Endpoint, user: User) -> None:
    actor, base_url = endpoint.actor, endpoint.request.build_absolute_uri("/")
    _after_commit(lambda: mail.send_invitation(actor, user, base_url=base_url))


def _after_commit(send: Callable[[], object]) -> None:
    """Mail once nothing is held any more: under an Idempotency-Key the request is one transaction, and with it the
    account waits. Without one that is now. A mail that fails changes no answer: what it is about has happened.
    """
    transaction.on_commit(send, robust=True)


def _people(rows: QuerySet[AccountBinding], query: dict[str, Any]) -> QuerySet[AccountBinding]:
    rows = rows.filter(user__is_active=True)
    if query.get("email"):
        rows = rows.filter(user__email__icontains=query["email"])
    if "status" in query:
        now, wanted = timezone.now(), Q()
        for status in query["status"]:
            wanted |= with_status(Status(status), now, prefix="user__")
        rows = rows.filter(wanted)
    return rows


def _membership(account: int, user: User) -> AccountBinding:
    rows = AccountBinding.objects.select_related("user", "permission__role")
    membership: AccountBinding = rows.get(user=user, content_object=account)
    return membership


def _dressed(membership: AccountBinding) -> dict[str, Any]:
    return dict(UserOut(membership, context={"at": timezone.now()}).data)
