"""Roles, and the bindings that say a user has one at a scope.

A binding *is* guardian's object-permission row (direct foreign-key tables): each role owns one ``auth.Permission``,
so "holds role R on S" is a guardian permission and nothing has to be kept in step. What a role permits is the
roles table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.models import Permission as AuthPermission
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _
from guardian.models import UserObjectPermissionBase

from accounts.models.tenancy import Account, Organization, Project, Space
from accounts.roles import Level, RoleName
from accounts.vocabulary import Permission

if TYPE_CHECKING:
    from accounts.models.users import User


class Role(models.Model):
    """A named set of permissions at one level: predefined (no account), or an account's own."""

    account = models.ForeignKey(
        Account, on_delete=models.CASCADE, null=True, blank=True, related_name="roles", editable=False
    )
    level = models.CharField(max_length=12, choices=[(level.value, level.value.title()) for level in Level])
    name = models.CharField(max_length=255)
    label = models.CharField(max_length=255, help_text=_("What pages call it."))
    description = models.CharField(max_length=1000, blank=True, default="")
    rank = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text=_("Order of predefined roles within a level; custom roles have none.")
    )
    permissions = ArrayField(models.CharField(max_length=64), help_text=_("Names from the product's vocabulary."))
    permission = models.OneToOneField(AuthPermission, on_delete=models.PROTECT, related_name="role", editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("role")
        constraints = (
            models.UniqueConstraint(
                fields=["level", "name"], name="predefined_role_unique", condition=models.Q(account__isnull=True)
            ),
            models.UniqueConstraint(
                fields=["account", "name"],
                name="custom_role_name_unique",
                condition=models.Q(account__isnull=False, deleted_at__isnull=True),
            ),
            models.CheckConstraint(
                name="only_predefined_roles_have_a_rank",
                condition=models.Q(account__isnull=True, rank__isnull=False)
                | models.Q(account__isnull=False, rank__isnull=True),
            ),
        )
        indexes = (GinIndex(fields=["permissions"], name="role_permissions"),)

    def __str__(self) -> str:
        return self.label

    @property
    def is_predefined(self) -> bool:
        """Whether the role ships with the product."""
        return self.account_id is None

    @property
    def is_admin(self) -> bool:
        """Whether the role runs its scope and everything below it."""
        return self.is_predefined and self.name == RoleName.ADMIN

    def allows(self, permission: Permission) -> bool:
        """Whether the role names this permission."""
        return permission.value in self.permissions


class Binding(UserObjectPermissionBase):
    """One user, one role, one scope."""

    # The scope a subclass binds at; set there as a foreign key named as guardian requires.
    content_object: Any
    content_object_id: int

    user_id: int
    permission_id: int
    level: ClassVar[Level]

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(UserObjectPermissionBase.Meta):
        abstract = True

    def __str__(self) -> str:
        return f"{self.user} · {self.role} · {self.content_object}"

    @property
    def role(self) -> Role:
        """The role this row grants."""
        return self.permission.role

    if TYPE_CHECKING:
        user: models.ForeignKey[User, User]


class AccountBinding(Binding):
    """Membership of an account: without this row, nothing below it counts."""

    level = Level.ACCOUNT
    content_object = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="bindings")
    is_developer = models.BooleanField(
        _("developer access"), default=False, help_text=_("May make and refresh API keys.")
    )

    class Meta(Binding.Meta):
        verbose_name = _("account member")
        unique_together: ClassVar[list[Sequence[str]]] = []
        constraints = (models.UniqueConstraint(fields=["user", "content_object"], name="one_account_role_per_user"),)


class OrganizationBinding(Binding):
    """Membership of an organization."""

    level = Level.ORGANIZATION
    content_object = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="bindings")

    class Meta(Binding.Meta):
        verbose_name = _("organization member")
        unique_together: ClassVar[list[Sequence[str]]] = []
        constraints = (
            models.UniqueConstraint(fields=["user", "content_object"], name="one_organization_role_per_user"),
        )


class SpaceBinding(Binding):
    """A role in a space: at most one predefined and one custom per user, together they add up."""

    level = Level.SPACE
    content_object = models.ForeignKey(Space, on_delete=models.CASCADE, related_name="bindings")

    class Meta(Binding.Meta):
        verbose_name = _("space member")
        unique_together: ClassVar[list[Sequence[str]]] = []
        constraints = (
            models.UniqueConstraint(fields=["user", "permission", "content_object"], name="one_space_binding_per_role"),
        )


class ProjectBinding(Binding):
    """A role in one project alone: one of a space's roles, predefined or custom, as in a space."""

    level = Level.SPACE
    content_object = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="bindings")

    class Meta(Binding.Meta):
        verbose_name = _("project member")
        unique_together: ClassVar[list[Sequence[str]]] = []
        constraints = (
            models.UniqueConstraint(
                fields=["user", "permission", "content_object"], name="one_project_binding_per_role"
            ),
        )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save the row, past guardian's check: the permission of a role for spaces is one of spaces, not projects."""
        models.Model.save(self, *args, **kwargs)
