"""``/v2/roles``: predefined roles to read, and the account's own (contract rest-v2 §9.1)."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.custom_roles import change_role, create_role, delete_role, find_role, roles_of
from accounts.models import Role
from accounts.paging import paginate
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint, paged, path_id
from accounts.rest.examples import ROLE, page_of
from accounts.rest.serializers import ChangeRole, CreateRole, RolePage, RoleQuery, RoleRowOut

_TAG = "Roles"
_PATH = {"role_id": "Role"}
_READER = {
    "name": "Reader",
    "description": "Reads datasets and nothing else.",
    "permissions": ["DATASET_EXAMPLE_READ", "DATASET_READ", "SPACE_READ"],
}


class RoleList(Endpoint):
    """The roles there are, and where an account's own come from."""

    access = {
        "GET": "ROLE_READ in the account: all members but Annotators.",
        "POST": "ROLE_CREATE in the account: its admins.",
    }

    @operation(
        id="list_roles",
        tag=_TAG,
        summary="List roles",
        text="Oldest first: the predefined roles of every level, then the account's own, which can be given in spaces.",
        query=RoleQuery,
        success=(200, answer(RolePage, {"The first of several": page_of("roles", ROLE)})),
        problems=(400, 401, 403, 429),
    )
    def get(self, request: Request) -> Response:
        """List roles."""
        query = self.query(RoleQuery)
        roles = roles_of(self.actor)
        if "is_predefined" in query:
            roles = roles.filter(account__isnull=query["is_predefined"])
        page = paginate(roles, cursor=query["cursor"], limit=query["limit"], newest_first=False)
        return paged("roles", page, RoleRowOut(page.items, many=True).data)

    @operation(
        id="create_role",
        tag=_TAG,
        summary="Create a custom role",
        text="Names are unique in the account. The role can then be given to people and bots in spaces.",
        request=CreateRole,
        success=(201, answer(RoleRowOut, {"A new role": ROLE | _READER})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("Reads datasets", value=_READER, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Create a role."""
        role = create_role(self.actor, **self.body(CreateRole), at=timezone.now())
        return Response(RoleRowOut(role).data, status=201)


class RoleDetail(Endpoint):
    """One role."""

    access = {
        "GET": "ROLE_READ in the account: all members but Annotators.",
        "PATCH": "ROLE_UPDATE in the account: its admins. Predefined roles: nobody.",
        "DELETE": "ROLE_DELETE in the account: its admins. Predefined roles: nobody.",
    }

    @operation(
        id="get_role",
        tag=_TAG,
        summary="Get a role",
        path=_PATH,
        success=(200, answer(RoleRowOut, {"A custom role": ROLE})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, role_id: str) -> Response:
        """Return a role."""
        return Response(RoleRowOut(self._role(role_id)).data)

    @operation(
        id="update_role",
        tag=_TAG,
        summary="Change a custom role",
        text="Give at least one property. `permissions` replaces all of them, for everybody who holds the role, from "
        "their next request on. `null` clears the description.",
        path=_PATH,
        request=ChangeRole,
        success=(200, answer(RoleRowOut, {"As it is now": ROLE | {"name": "Auditor"}})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("Another name", value={"name": "Auditor"}, request_only=True)],
    )
    def patch(self, request: Request, role_id: str) -> Response:
        """Change a role."""
        role = self._role(role_id)
        return Response(RoleRowOut(change_role(self.actor, role, **self.body(ChangeRole), at=timezone.now())).data)

    @operation(
        id="delete_role",
        tag=_TAG,
        summary="Delete a custom role",
        text="409 while anybody holds it. No body.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 409, 429),
    )
    def delete(self, request: Request, role_id: str) -> Response:
        """Delete a role."""
        delete_role(self.actor, self._role(role_id), at=timezone.now())
        return Response(status=204)

    def _role(self, text: str) -> Role:
        return find_role(self.actor, path_id(text, "Role"))
