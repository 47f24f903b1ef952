"""``/v2/organizations``: what a key can see, and everything an admin does with it (contract rest-v2 §7)."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.bindings import bind_role, unbind_role
from accounts.errors import NotFound
from accounts.models import Organization, OrganizationBinding
from accounts.paging import paginate
from accounts.people import find_bindable, find_member
from accounts.permissions import find_seen, seen_by
from accounts.rest.describe import answer, operation
from accounts.rest.endpoint import Endpoint, named_like, paged, path_id
from accounts.rest.examples import IDS, MEMBER, ORGANIZATION, ORGANIZATION_MEMBER, page_of
from accounts.rest.role_objects import RoleFinder
from accounts.rest.serializers import (
    AddOrganizationMember,
    ChangeOrganization,
    CreateOrganization,
    OrganizationMemberOut,
    OrganizationOut,
    OrganizationPage,
    OrganizationQuery,
)
from accounts.roles import Level
from accounts.tenancy import change_organization, create_organization, delete_organization

_TAG = "Organizations"
_PATH = {"organization_id": "Organization"}


class OrganizationList(Endpoint):
    """The organizations the caller can see, and where new ones come from."""

    access = {
        "GET": "Any valid key. The list holds the organizations its user may read.",
        "POST": "ORGANIZATION_CREATE in the account: its admins.",
    }

    @operation(
        id="list_organizations",
        tag=_TAG,
        summary="List organizations",
        text="Oldest first.",
        query=OrganizationQuery,
        success=(200, answer(OrganizationPage, {"The first of several": page_of("organizations", ORGANIZATION)})),
        problems=(400, 401, 403, 429),
    )
    def get(self, request: Request) -> Response:
        """List organizations."""
        query = self.query(OrganizationQuery)
        organizations = named_like(seen_by(self.actor, Organization), query.get("name"))
        page = paginate(organizations, cursor=query["cursor"], limit=query["limit"], newest_first=False)
        return paged("organizations", page, OrganizationOut(page.items, many=True).data)

    @operation(
        id="create_organization",
        tag=_TAG,
        summary="Create an organization",
        text="Names are unique in the account.",
        request=CreateOrganization,
        success=(201, answer(OrganizationOut, {"A new organization": ORGANIZATION})),
        problems=(400, 401, 403, 409, 422, 429),
        examples=[
            OpenApiExample(
                "An organization", value={"name": "Payments", "description": "Card payments."}, request_only=True
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Create an organization."""
        organization = create_organization(self.actor, **self.body(CreateOrganization), at=timezone.now())
        return Response(OrganizationOut(organization).data, status=201)


class OrganizationDetail(Endpoint):
    """One organization."""

    access = {
        "GET": "ORGANIZATION_READ in the organization; 404 otherwise.",
        "PATCH": "ORGANIZATION_UPDATE in the organization: its admins.",
        "DELETE": "ORGANIZATION_DELETE: account admins.",
    }

    @operation(
        id="get_organization",
        tag=_TAG,
        summary="Get an organization",
        path=_PATH,
        success=(200, answer(OrganizationOut, {"An organization": ORGANIZATION})),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """Return an organization."""
        return Response(OrganizationOut(self._organization(organization_id)).data)

    @operation(
        id="update_organization",
        tag=_TAG,
        summary="Rename or describe an organization",
        text="Give at least one property; `null` clears the description.",
        path=_PATH,
        request=ChangeOrganization,
        success=(200, answer(OrganizationOut, {"As it is now": ORGANIZATION | {"name": "Fraud"}})),
        problems=(400, 401, 403, 404, 409, 422, 429),
        examples=[OpenApiExample("A new name", value={"name": "Fraud"}, request_only=True)],
    )
    def patch(self, request: Request, organization_id: str) -> Response:
        """Change an organization."""
        organization, body = self._organization(organization_id), self.body(ChangeOrganization)
        return Response(OrganizationOut(change_organization(self.actor, organization, **body, at=timezone.now())).data)

    @operation(
        id="delete_organization",
        tag=_TAG,
        summary="Delete an organization",
        text="With all its spaces and everybody's roles in them. Service keys that have no space elsewhere are "
        "revoked; the others lose these spaces. There is no way back. No body.",
        path=_PATH,
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, organization_id: str) -> Response:
        """Delete an organization."""
        delete_organization(self.actor, self._organization(organization_id), at=timezone.now())
        return Response(status=204)

    def _organization(self, text: str) -> Organization:
        return find_seen(self.actor, Organization, path_id(text, "Organization"))


class OrganizationMembers(Endpoint):
    """Who is in an organization."""

    access = {"POST": "Admins of the organization and of the account; no role above one's own."}

    @operation(
        id="add_organization_user",
        tag=_TAG,
        summary="Add somebody to an organization, or change their role in it",
        text="The user is a member of the account already. An Annotator of the account can only be Annotator here, and "
        "nobody else can.",
        path=_PATH,
        request=AddOrganizationMember,
        success=(200, answer(OrganizationMemberOut, {"A member": ORGANIZATION_MEMBER})),
        problems=(400, 401, 403, 404, 422, 429),
        examples=[OpenApiExample("A member", value={"user_id": IDS["User"], "role": MEMBER}, request_only=True)],
    )
    def post(self, request: Request, organization_id: str) -> Response:
        """Give a user a role in the organization."""
        organization = find_seen(self.actor, Organization, path_id(organization_id, "Organization"))
        body = self.body(AddOrganizationMember)
        role = RoleFinder(self.actor, [body["role"]]).find(Level.ORGANIZATION, body["role"])
        user = find_bindable(self.actor, body["user_id"])
        binding = bind_role(self.actor, user=user, role=role, scope=organization, at=timezone.now())
        return Response(OrganizationMemberOut(binding).data)


class OrganizationMember(Endpoint):
    """One member of an organization."""

    access = {"DELETE": "Admins of the organization and of the account; not somebody whose role is above one's own."}

    @operation(
        id="remove_organization_user",
        tag=_TAG,
        summary="Remove somebody from an organization",
        text="And from all of its spaces. No body.",
        path=_PATH | {"user_id": "User"},
        success=(204, None),
        problems=(400, 401, 403, 404, 429),
    )
    def delete(self, request: Request, organization_id: str, user_id: str) -> Response:
        """Take a user's roles in the organization away."""
        number = path_id(user_id, "User")
        organization = find_seen(self.actor, Organization, path_id(organization_id, "Organization"))
        user = find_member(self.actor, number)
        is_member = OrganizationBinding.objects.filter(user=user, content_object=organization).exists()
        unbind_role(self.actor, user=user, scope=organization, at=timezone.now())
        if not is_member:
            raise NotFound("This user is not a member of the organization.")
        return Response(status=204)
