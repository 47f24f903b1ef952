"""Default deny: a view says who may call it, or nobody may (security 20)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.actors import Actor

if TYPE_CHECKING:
    from rest_framework.views import APIView


class DeclaredAccess(BasePermission):
    """Let in whoever has a key, and only to what says who may call it: a view without a rule is closed to everybody."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether there is an Actor, and the view names its rule for this method."""
        if not isinstance(request.auth, Actor):
            return False
        method = "GET" if request.method == "HEAD" else str(request.method)
        access: Mapping[str, str] = getattr(view, "access", {})
        # A method the view does not have falls through to its 405.
        return bool(access.get(method)) or method not in view.allowed_methods
