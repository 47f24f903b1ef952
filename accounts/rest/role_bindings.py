"""``/v2/role-bindings``: which user has which role in which space or project (contract rest-v2 §9.2).

A predefined role is a binding like a custom one. Who has which role in a project is decided in its space. Whoever may
not read a binding is told that there is none, and so is, by the contract, whoever may read it and not change it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import Actor
from accounts.bindings import (
    bind_new,
    bindings_readable_by,
    change_binding,
    delete_binding,
    find_binding,
    project_bindings_readable_by,
    ruling,
)
from accounts.errors import Forbidden, Incompatible, Invalid, NotFound
from accounts.models import Project, ProjectBinding, Role, Space, SpaceBinding
from accounts.paging import paginate
from accounts.people import find_bindable, find_member
from accounts.permissions import may, seen_by
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint, paged, path_id
from accounts.rest.examples import IDS, ROLE_BINDING, page_of
from accounts.rest.serializers import (
    ChangeRoleBinding,
    CreateRoleBinding,
    RoleBindingOut,
    RoleBindingPage,
    RoleBindingQuery,
)
from accounts.vocabulary import Permission
from accounts.wire import decode_id

_TAG = "Role bindings"
_PATH = {"binding_id": "RoleBinding"}
_MODELS: dict[str, type[Space] | type[Project]] = {"SPACE": Space, "PROJECT": Project}


class RoleBindingList(Endpoint):
    """The bindings the caller can see, and where new ones come from."""

    access = {
        "GET": "Any valid key. The list holds the bindings of spaces and projects where its user has "
        "ROLE_BINDING_READ; of restricted projects, also where they have ROLE_BINDING_CREATE in the space.",
        "POST": "A custom role: ROLE_BINDING_CREATE in the space, or in the space of the project. A predefined role: "
        "admins of the space and those above. No role above one's own.",
    }

    @operation(
        id="list_role_bindings",
        tag=_TAG,
        summary="List role bindings",
        text="Oldest first.",
        query=RoleBindingQuery,
        success=(200, answer(RoleBindingPage, {"The first of several": page_of("role_bindings", ROLE_BINDING)})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request) -> Response:
        """List bindings."""
        query = self.query(RoleBindingQuery)
        rows = _listed(self.actor, query)
        page = paginate(rows, cursor=query["cursor"], limit=query["limit"], newest_first=False)
        return paged("role_bindings", page, RoleBindingOut(page.items, many=True).data)

    @operation(
        id="create_role_binding",
        tag=_TAG,
        summary="Give a user a role in a space or a project",
        text="The user is a member of the organization already. 409 when they have a role of that kind, predefined or "
        "custom, there already. The user of a service key is its bot. A role in a project counts there alone, and in "
        "a restricted one no other does.",
        request=CreateRoleBinding,
        success=(201, answer(RoleBindingOut, {"A new binding": ROLE_BINDING})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "A custom role",
                value={
                    "role_id": IDS["Role"],
                    "user_id": IDS["User"],
                    "resource_type": "SPACE",
                    "resource_id": IDS["Space"],
                },
                request_only=True,
            ),
            OpenApiExample(
                "In a project",
                value={
                    "role_id": IDS["Role"],
                    "user_id": IDS["User"],
                    "resource_type": "PROJECT",
                    "resource_id": IDS["Project"],
                },
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        """Bind a role."""
        body = self.body(CreateRoleBinding)
        scope = _scope(self.actor, body)
        role, user = _role(self.actor, body["role_id"]), find_bindable(self.actor, body["user_id"])
        binding = bind_new(self.actor, user=user, role=role, scope=scope, at=timezone.now())
        return Response(RoleBindingOut(binding).data, status=201)


class RoleBindingDetail(Endpoint):
    """One binding."""

    access = {
        "GET": "ROLE_BINDING_READ in the space or project; of a restricted project, or ROLE_BINDING_CREATE in the "
        "space; 404 otherwise.",
        "PATCH": "ROLE_BINDING_CREATE and ROLE_BINDING_DELETE in the space, or in the space of the project; where one "
        "of the roles is predefined, admins of the space and those above; 404 otherwise. No role above one's own.",
        "DELETE": "ROLE_BINDING_DELETE in the space, or in the space of the project; of a predefined role, admins of "
        "the space and those above; 404 otherwise.",
    }

    @operation(
        id="get_role_binding",
        tag=_TAG,
        summary="Get a role binding",
        path=_PATH,
        success=(200, answer(RoleBindingOut, {"A binding": ROLE_BINDING})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, binding_id: str) -> Response:
        """Return a binding."""
        return Response(RoleBindingOut(self._binding(binding_id)).data)

    @operation(
        id="update_role_binding",
        tag=_TAG,
        summary="Put another role into a binding",
        path=_PATH,
        request=ChangeRoleBinding,
        success=(200, answer(RoleBindingOut, {"As it is now": ROLE_BINDING})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("Another role", value={"role_id": IDS["Role"]}, request_only=True)],
    )
    def patch(self, request: Request, binding_id: str) -> Response:
        """Change a binding's role."""
        binding, body = self._binding(binding_id), self.body(ChangeRoleBinding)
        role = _role(self.actor, body["role_id"])
        with _hidden():
            binding = change_binding(self.actor, binding, role=role, at=timezone.now())
        return Response(RoleBindingOut(binding).data)

    @operation(
        id="delete_role_binding",
        tag=_TAG,
        summary="Withdraw a role",
        text="Other roles that the user has there, or in projects below, stay. No body.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, binding_id: str) -> Response:
        """Delete a binding."""
        binding = self._binding(binding_id)
        with _hidden():
            delete_binding(self.actor, binding, at=timezone.now())
        return Response(status=204)

    def _binding(self, text: str) -> SpaceBinding | ProjectBinding:
        return find_binding(self.actor, path_id(text, "RoleBinding"))


def _listed(actor: Actor, query: dict[str, Any]) -> QuerySet[SpaceBinding] | QuerySet[ProjectBinding]:
    whose = {"user": find_member(actor, query["user_id"])} if "user_id" in query else {}
    if query["resource_type"] == "SPACE":
        return bindings_readable_by(actor).filter(**whose)
    return project_bindings_readable_by(actor).filter(**whose)


def _scope(actor: Actor, body: dict[str, Any]) -> Space | Project:
    """Return where the caller may bind roles; a resource that does not exist is refused with the same 403.

    A restricted project is there for whoever gives roles in its space, even if they do not get in themselves.
    """
    model = _MODELS[body["resource_type"]]
    try:
        number = decode_id(body["resource_id"], model.__name__, field="resource_id")
    except Invalid as error:
        raise Incompatible(error.detail, field="resource_id") from None
    spaces = seen_by(actor, Space).select_related("organization")
    scope: Space | Project | None
    if model is Space:
        scope = spaces.filter(pk=number).first()
    else:
        scope = Project.objects.filter(pk=number, space__in=spaces).select_related("space__organization").first()
    if scope is None or not may(actor, Permission.ROLE_BINDING_CREATE, ruling(scope)):
        raise Forbidden(
            "You may not bind roles there, or there is no such resource.", permission=Permission.ROLE_BINDING_CREATE
        )
    return scope


def _role(actor: Actor, number: int) -> Role:
    # Whoever may bind roles may name one, even if they may not list them all.
    rows = Role.objects.filter(Q(account__isnull=True) | Q(account=actor.require_account()), deleted_at__isnull=True)
    role = rows.filter(pk=number).first()
    if role is None:
        raise NotFound("There is no such role.", field="role_id")
    return role


@contextmanager
def _hidden() -> Iterator[None]:
    """Answer 404 where somebody may read a binding and not change it (contract rest-v2 §9.2)."""
    try:
        yield
    except Forbidden as refusal:
        raise NotFound("There is no such role binding, or you have no access to it.") from refusal
