"""Answers ``user.has_perm("accounts.dataset_create", space)`` by reading bindings up the tree."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend

from accounts.models import Account, Organization, Project, Space, User
from accounts.permissions import has_permission
from accounts.vocabulary import Permission

_PREFIX = "accounts."


class LineageBackend(BaseBackend):
    """Object permissions with lineage: a role on a space, its organization or its account counts on the space.

    It counts in the space's projects too, but for restricted ones.
    """

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Whether the user holds a permission of the vocabulary at a scope; without a scope, never."""
        if not isinstance(user_obj, User) or not isinstance(obj, Account | Organization | Space | Project):
            return False
        if not user_obj.is_active or not perm.startswith(_PREFIX):
            return False
        try:
            permission = Permission(perm.removeprefix(_PREFIX).upper())
        except ValueError:
            return False
        return has_permission(user_obj, permission, obj)
