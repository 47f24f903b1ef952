"""``/v2/organizations`` and ``/v2/spaces``: what a key can see. Clients resolve names to ids through these lists."""

from __future__ import annotations

from typing import TypeVar

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import Actor
from accounts.errors import NotFound
from accounts.models import Organization, Space
from accounts.paging import paginate
from accounts.permissions import seen_by
from accounts.rest.describe import operation
from accounts.rest.endpoint import Endpoint, paged, path_id
from accounts.rest.serializers import (
    OrganizationOut,
    OrganizationPage,
    OrganizationQuery,
    SpaceOut,
    SpacePage,
    SpaceQuery,
)

S = TypeVar("S", Organization, Space)


class NoSuchAddress(Endpoint):
    """Whatever else is asked for below ``/v2``: nothing, and only for those with a key."""

    access = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), "Any valid key, to learn that nothing is here.")
    schema = None  # type: ignore[assignment]  # how DRF is told to leave it out of the document

    def _refuse(self, request: Request) -> Response:
        raise NotFound("There is nothing at this address. Addresses do not end in a slash.")

    get = post = put = patch = delete = _refuse


class OrganizationList(Endpoint):
    """The organizations the caller can see."""

    access = {"GET": "Any valid key. The list holds the organizations its user may read."}

    @operation(
        id="list_organizations",
        tag="Organizations",
        summary="List organizations",
        text="Oldest first.",
        query=OrganizationQuery,
        success=(200, OrganizationPage),
        problems=(400, 401, 403, 429),
    )
    def get(self, request: Request) -> Response:
        """List organizations."""
        query = self.query(OrganizationQuery)
        organizations = _named_like(seen_by(self.actor, Organization), query.get("name"))
        page = paginate(organizations, cursor=query["cursor"], limit=query["limit"], newest_first=False)
        return paged("organizations", page, OrganizationOut(page.items, many=True).data)


class OrganizationDetail(Endpoint):
    """One organization."""

    access = {"GET": "ORGANIZATION_READ in the organization; 404 otherwise."}

    @operation(
        id="get_organization",
        tag="Organizations",
        summary="Get an organization",
        path={"organization_id": "The organization's ID."},
        success=(200, OrganizationOut),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, organization_id: str) -> Response:
        """Return an organization."""
        return Response(OrganizationOut(_find(self.actor, Organization, organization_id)).data)


class SpaceList(Endpoint):
    """The spaces the caller can see."""

    access = {"GET": "Any valid key. The list holds the spaces its user may read; 404 for an unreadable `org_id`."}

    @operation(
        id="list_spaces",
        tag="Spaces",
        summary="List spaces",
        text="Oldest first. Spaces of equal name in different organizations are all listed.",
        query=SpaceQuery,
        success=(200, SpacePage),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request) -> Response:
        """List spaces."""
        query = self.query(SpaceQuery)
        spaces = _named_like(seen_by(self.actor, Space), query.get("name"))
        if "org_id" in query:
            spaces = spaces.filter(organization=_find_row(self.actor, Organization, query["org_id"]))
        page = paginate(spaces, cursor=query["cursor"], limit=query["limit"], newest_first=False)
        return paged("spaces", page, SpaceOut(page.items, many=True).data)


class SpaceDetail(Endpoint):
    """One space."""

    access = {"GET": "SPACE_READ in the space; 404 otherwise."}

    @operation(
        id="get_space",
        tag="Spaces",
        summary="Get a space",
        path={"space_id": "The space's ID."},
        success=(200, SpaceOut),
        problems=(400, 401, 403, 404, 429),
    )
    def get(self, request: Request, space_id: str) -> Response:
        """Return a space."""
        return Response(SpaceOut(_find(self.actor, Space, space_id)).data)


def _named_like(scopes: QuerySet[S], part: str | None) -> QuerySet[S]:
    return scopes.filter(name__icontains=part) if part else scopes


def _find(actor: Actor, model: type[S], text: str) -> S:
    return _find_row(actor, model, path_id(text, model.__name__))


def _find_row(actor: Actor, model: type[S], number: int) -> S:
    row = seen_by(actor, model).filter(pk=number).first()
    if row is None:
        raise NotFound(f"There is no such {model._meta.verbose_name}, or you have no access to it.")
    return row
