"""``/v2/resource-restrictions``: projects in which only roles given in the project itself count (contract rest-v2 §10).

Clients know of restricted dashboards and prompts too. Neither can be restricted here, so none of them ever is.
"""

from __future__ import annotations

from contextlib import suppress

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import Invalid, NotAllowed, NotFound
from accounts.paging import paginate
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint, paged, path_id
from accounts.rest.examples import IDS, RESTRICTION, page_of
from accounts.rest.serializers import RestrictionOut, RestrictionPage, RestrictionQuery, RestrictResource
from accounts.restrictions import find_restrictable, restrict_project, restricted_projects, unrestrict_project
from accounts.wire import decode_id

_TAG = "Resource restrictions"
_MAY = "PROJECT_RESTRICT in the space of the project, as its admins have it, or in the project itself"


class RestrictionList(Endpoint):
    """What is restricted, and where that is done."""

    access = {
        "GET": f"Any valid key. The list holds the restrictions that its user may lift: {_MAY}.",
        "POST": f"{_MAY}.",
    }

    @operation(
        id="list_resource_restrictions",
        tag=_TAG,
        summary="List restrictions",
        text="In the order in which the projects were made.",
        query=RestrictionQuery,
        success=(200, answer(RestrictionPage, {"The first of several": page_of("resource_restrictions", RESTRICTION)})),
        problems=(400, 401, 403, 429),
    )
    def get(self, request: Request) -> Response:
        """List restrictions."""
        query = self.query(RestrictionQuery)
        projects = restricted_projects(self.actor)
        if query.get("resource_type", "PROJECT") != "PROJECT":
            projects = projects.none()
        page = paginate(projects, cursor=query["cursor"], limit=query["limit"], newest_first=False)
        return paged("resource_restrictions", page, RestrictionOut(page.items, many=True).data)

    @operation(
        id="create_resource_restriction",
        tag=_TAG,
        summary="Restrict a project",
        text="From the next request on only roles given in the project itself count there: none from the space, the "
        "organization or the account, whoever it is. Admins of the space can still give roles in it. Restricting what "
        "is restricted changes nothing.",
        request=RestrictResource,
        success=(200, answer(RestrictionOut, {"A restriction": RESTRICTION})),
        problems=(400, 401, 403, 404, 422, 429),
        examples=[OpenApiExample("A project", value={"resource_id": IDS["Project"]}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Restrict a project."""
        wanted = self.body(RestrictResource)["resource_id"]
        if _is_never_restricted(wanted):
            raise NotAllowed("Only projects can be restricted.", field="resource_id")
        project = find_restrictable(self.actor, decode_id(wanted, "Project", field="resource_id"))
        return Response(RestrictionOut(restrict_project(self.actor, project, at=timezone.now())).data)


class RestrictionDetail(Endpoint):
    """One restriction."""

    access = {"DELETE": f"{_MAY}."}

    @operation(
        id="delete_resource_restriction",
        tag=_TAG,
        summary="Lift a restriction",
        text="Roles from above count again. 404 when the project is not restricted. No body.",
        path={"resource_id": "Project"},
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, resource_id: str) -> Response:
        """Lift a restriction."""
        if _is_never_restricted(resource_id):
            raise NotFound("This is not restricted.")
        project = find_restrictable(self.actor, path_id(resource_id, "Project"))
        unrestrict_project(self.actor, project, at=timezone.now())
        return Response(status=204)


def _is_never_restricted(wire_id: str) -> bool:
    for kind in ("Dashboard", "Prompt"):
        with suppress(Invalid):
            return decode_id(wire_id, kind) > 0
    return False
