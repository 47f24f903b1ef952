"""Whatever else is asked for below ``/v2``."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import NotFound
from accounts.rest.endpoint import Endpoint


class NoSuchAddress(Endpoint):
    """Whatever else is asked for below ``/v2``: nothing, and only for those with a key."""

    access = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), "Any valid key, to learn that nothing is here.")
    schema = None  # type: ignore[assignment]  # how DRF is told to leave it out of the document

    def _refuse(self, request: Request) -> Response:
        raise NotFound("There is nothing at this address. Addresses do not end in a slash.")

    get = post = put = patch = delete = _refuse
