"""``/v2/spaces``: what a key can see, and everything an admin does with it (contract rest-v2 §8)."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bindings import bind_role, is_bound_within, unbind_role
from accounts.errors import NotFound
from accounts.models import Organization, Space
from accounts.paging import paginate
from accounts.people import find_bindable, find_member
from accounts.permissions import find_seen, seen_by
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint, named_like, paged, path_id
from accounts.rest.examples import IDS, MEMBER, SPACE, SPACE_MEMBER, page_of
from accounts.rest.role_objects import RoleFinder
from accounts.rest.serializers import (
    AddSpaceMember,
    ChangeSpace,
    CreateSpace,
    SpaceMemberOut,
    SpaceOut,
    SpacePage,
    SpaceQuery,
)
from accounts.roles import Level
from accounts.tenancy import change_space, create_space, delete_space

_TAG = "Spaces"
_PATH = {"space_id": "Space"}


class SpaceList(Endpoint):
    """The spaces the caller can see, and where new ones come from."""

    access = {
        "GET": "Any valid key. The list holds the spaces its user may read; 404 for an unreadable `org_id`.",
        "POST": "SPACE_CREATE in the organization: its members and admins.",
    }

    @operation(
        id="list_spaces",
        tag=_TAG,
        summary="List spaces",
        text="Oldest first. Spaces of equal name in different organizations are all listed.",
        query=SpaceQuery,
        success=(200, answer(SpacePage, {"The first of several": page_of("spaces", SPACE)})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request) -> Response:
        """List spaces."""
        query = self.query(SpaceQuery)
        spaces = named_like(seen_by(self.actor, Space), query.get("name"))
        if "org_id" in query:
            spaces = spaces.filter(organization=find_seen(self.actor, Organization, query["org_id"]))
        page = paginate(spaces, cursor=query["cursor"], limit=query["limit"], newest_first=False)
        return paged("spaces", page, SpaceOut(page.items, many=True).data)

    @operation(
        id="create_space",
        tag=_TAG,
        summary="Create a space",
        text="Names are unique in the organization. Whoever creates it as less than an admin above becomes its admin.",
        request=CreateSpace,
        success=(201, answer(SpaceOut, {"A new space": SPACE | {"name": "sandbox", "is_private": True}})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[
            OpenApiExample(
                "A private space",
                value={"name": "sandbox", "organization_id": IDS["Organization"], "is_private": True},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Create a space."""
        body = self.body(CreateSpace)
        organization = find_seen(self.actor, Organization, body.pop("organization_id"))
        space = create_space(self.actor, organization=organization, **body, at=timezone.now())
        return Response(SpaceOut(space).data, status=201)


class SpaceDetail(Endpoint):
    """One space."""

    access = {
        "GET": "SPACE_READ in the space; 404 otherwise.",
        "PATCH": "SPACE_UPDATE in the space: its admins.",
        "DELETE": "SPACE_DELETE in the space: its admins.",
    }

    @operation(
        id="get_space",
        tag=_TAG,
        summary="Get a space",
        path=_PATH,
        success=(200, answer(SpaceOut, {"A space": SPACE})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, space_id: str) -> Response:
        """Return a space."""
        return Response(SpaceOut(self._space(space_id)).data)

    @operation(
        id="update_space",
        tag=_TAG,
        summary="Change a space",
        text="Give at least one property. `null` clears the description, the integration and the runtime. Making a "
        "space private takes access from those who have no role of their own in it.",
        path=_PATH,
        request=ChangeSpace,
        success=(200, answer(SpaceOut, {"As it is now": SPACE | {"is_private": True}})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("Private from now on", value={"is_private": True}, request_only=True)],
    )
    def patch(self, request: Request, space_id: str) -> Response:
        """Change a space."""
        space, body = self._space(space_id), self.body(ChangeSpace)
        for name in ("default_llm_integration", "default_agent_runtime"):
            if body.pop(name, None) is not None:
                raise NotFound("There is no such integration; this installation has none.", field=name)
        return Response(SpaceOut(change_space(self.actor, space, **body, at=timezone.now())).data)

    @operation(
        id="delete_space",
        tag=_TAG,
        summary="Delete a space",
        text="With everybody's roles in it. Service keys that have no other space are revoked. There is no way back. "
        "No body.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, space_id: str) -> Response:
        """Delete a space."""
        delete_space(self.actor, self._space(space_id), at=timezone.now())
        return Response(status=204)

    def _space(self, text: str) -> Space:
        return find_seen(self.actor, Space, path_id(text, "Space"))


class SpaceMembers(Endpoint):
    """Who has a role of their own in a space."""

    access = {
        "POST": "A predefined role: admins of the space and those above. A custom role: ROLE_BINDING_CREATE in the "
        "space. No role above one's own."
    }

    @operation(
        id="add_space_user",
        tag=_TAG,
        summary="Add somebody to a space, or change their role in it",
        text="The user is a member of the organization already. A predefined role takes the place of the predefined "
        "role held before, a custom one that of the custom role; the two add up.",
        path=_PATH,
        request=AddSpaceMember,
        success=(200, answer(SpaceMemberOut, {"A member": SPACE_MEMBER})),
        problems=(400, 401, 403, 404, 422, 429),
        examples=[
            OpenApiExample("A member", value={"user_id": IDS["User"], "role": MEMBER}, request_only=True),
            OpenApiExample(
                "A custom role",
                value={"user_id": IDS["User"], "role": {"type": "CUSTOM", "id": IDS["Role"]}},
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request, space_id: str) -> Response:
        """Give a user a role in the space."""
        space, body = find_seen(self.actor, Space, path_id(space_id, "Space")), self.body(AddSpaceMember)
        role = RoleFinder(self.actor, [body["role"]]).find(Level.SPACE, body["role"])
        user = find_bindable(self.actor, body["user_id"])
        return Response(
            SpaceMemberOut(bind_role(self.actor, user=user, role=role, scope=space, at=timezone.now())).data
        )


class SpaceMember(Endpoint):
    """One member of a space."""

    access = {"DELETE": "Admins of the space and those above; not somebody whose role is above one's own."}

    @operation(
        id="remove_space_user",
        tag=_TAG,
        summary="Remove somebody from a space",
        text="Predefined and custom roles both go, and those in the space's projects. In a public space the role in "
        "the organization still counts. No body.",
        path=_PATH | {"user_id": "User"},
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, space_id: str, user_id: str) -> Response:
        """Take a user's roles in the space away."""
        number = path_id(user_id, "User")
        space = find_seen(self.actor, Space, path_id(space_id, "Space"))
        user = find_member(self.actor, number)
        is_member = is_bound_within(user, space)
        unbind_role(self.actor, user=user, scope=space, at=timezone.now())
        if not is_member:
            raise NotFound("This user has no role of their own in the space.")
        return Response(status=204)
