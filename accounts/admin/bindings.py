"""Who has which role where, granted and withdrawn through the verbs of ``accounts.bindings``, and the roles."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.db.models import F, OuterRef, Q, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponseRedirect
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts.actors import Actor
from accounts.admin.base import FewRelated, OneOf, OperatorAdmin, VerbAdmin, VerbForm, bounded_count, counted, linked
from accounts.bindings import bind_role, bindings_within, set_developer_access, unbind_role
from accounts.errors import DomainError, NotAllowed
from accounts.models import (
    Account,
    AccountBinding,
    Organization,
    OrganizationBinding,
    Project,
    ProjectBinding,
    Role,
    Space,
    SpaceBinding,
)
from accounts.models.bindings import Binding
from accounts.people import consequences_of_removal, remove_person
from accounts.permissions import account_of
from accounts.roles import Level, RoleName

B = TypeVar("B", bound=Binding)
Scope = Account | Organization | Space | Project

_TABLES: dict[Level, type[Binding]] = {
    Level.ACCOUNT: AccountBinding,
    Level.ORGANIZATION: OrganizationBinding,
    Level.SPACE: SpaceBinding,
}


class RoleField(ModelChoiceField):  # type: ignore[type-arg]  # takes no parameter at run time
    """A choice of roles, lowest first, custom ones behind with the account they belong to."""

    def __init__(self, level: Level) -> None:
        roles = Role.objects.filter(level=level, deleted_at__isnull=True).select_related("account")
        super().__init__(roles.order_by(F("rank").asc(nulls_last=True), "name", "pk"))

    def label_from_instance(self, role: Role) -> str:
        """Name the role so that two of the same name are told apart."""
        return role.label if role.account is None else f"{role.label} ({role.account})"


class NewBindingForm(VerbForm[B]):
    """A role for somebody at a scope."""

    def account_acted_in(self) -> Account:
        """The account of the scope chosen."""
        return Account.objects.get(pk=account_of(self.cleaned_data["content_object"]))

    def carry_out(self, actor: Actor) -> Any:
        """Grant the role."""
        user, role, scope = (self.cleaned_data[name] for name in ("user", "role", "content_object"))
        if user.is_bot:
            raise NotAllowed("A bot gets its roles together with its key.", field="user")
        return bind_role(actor, user=user, role=role, scope=scope, at=timezone.now())


class BindingForm(VerbForm[B]):
    """Another role for somebody who has one at the scope."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        now = self.instance.role
        field = self.fields.get("role")
        if isinstance(field, ModelChoiceField) and field.queryset is not None:
            # One replaces the other only within its kind: in a space, predefined and custom roles stand side by side.
            own = Q(account__isnull=True) if now.is_predefined else Q(account=now.account_id)
            field.queryset = field.queryset.filter(own)
            self.initial["role"] = now.pk

    def account_acted_in(self) -> Account:
        """The account of the scope."""
        return Account.objects.get(pk=account_of(self.before.content_object))

    def carry_out(self, actor: Actor) -> Any:
        """Grant the other role in place of this one."""
        now = self.before
        return bind_role(
            actor, user=now.user, role=self.cleaned_data["role"], scope=now.content_object, at=timezone.now()
        )


class NewAccountBindingForm(NewBindingForm[AccountBinding]):
    """Somebody who is known to the installation becomes a member of one more account."""

    role = RoleField(Level.ACCOUNT)

    class Meta:
        model = AccountBinding
        fields = ("user", "content_object", "role")


class AccountBindingForm(BindingForm[AccountBinding]):
    """A member's account role and developer access."""

    role = RoleField(Level.ACCOUNT)

    class Meta:
        model = AccountBinding
        fields = ("role", "is_developer")

    def carry_out(self, actor: Actor) -> AccountBinding:
        """Change the role; developer access follows it, unless it was set here too."""
        binding: AccountBinding = super().carry_out(actor)
        if "is_developer" in self.changed_data:
            allowed: bool = self.cleaned_data["is_developer"]
            set_developer_access(actor, user=self.before.user, allowed=allowed, at=timezone.now())
            binding.is_developer = allowed
        return binding


class NewOrganizationBindingForm(NewBindingForm[OrganizationBinding]):
    """A role in an organization."""

    role = RoleField(Level.ORGANIZATION)

    class Meta:
        model = OrganizationBinding
        fields = ("user", "content_object", "role")


class OrganizationBindingForm(BindingForm[OrganizationBinding]):
    """Another role in an organization."""

    role = RoleField(Level.ORGANIZATION)

    class Meta:
        model = OrganizationBinding
        fields = ("role",)


class NewSpaceBindingForm(NewBindingForm[SpaceBinding]):
    """A role in a space."""

    role = RoleField(Level.SPACE)

    class Meta:
        model = SpaceBinding
        fields = ("user", "content_object", "role")


class SpaceBindingForm(BindingForm[SpaceBinding]):
    """Another role in a space."""

    role = RoleField(Level.SPACE)

    class Meta:
        model = SpaceBinding
        fields = ("role",)


class NewProjectBindingForm(NewBindingForm[ProjectBinding]):
    """A role in a project."""

    role = RoleField(Level.SPACE)

    class Meta:
        model = ProjectBinding
        fields = ("user", "content_object", "role")


class ProjectBindingForm(BindingForm[ProjectBinding]):
    """Another role in a project."""

    role = RoleField(Level.SPACE)

    class Meta:
        model = ProjectBinding
        fields = ("role",)


class PredefinedRole(OneOf):
    """Filters bindings by what they grant."""

    title = "role"
    parameter_name = "permission__role__name"
    values = tuple((name.value, name.value.replace("_", " ").capitalize()) for name in reversed(RoleName))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep predefined roles of the name chosen, not custom ones that happen to bear it."""
        kept = super().queryset(request, queryset)
        return kept.filter(permission__role__account__isnull=True) if self.chosen else kept


class BindingAdmin(VerbAdmin[B]):
    """One table of bindings. Bots' roles come with their key and are only ever taken away here."""

    list_select_related: ClassVar[tuple[str, ...]] = ("user", "permission__role", "content_object")
    autocomplete_fields = ("user", "content_object")
    search_fields = ("user__name", "user__email", "content_object__name")
    search_help_text = "Part of a name, an address, or of where the role applies."
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[B]:
        """Fetch what every line names."""
        return super().get_queryset(request).select_related(*self.list_select_related)

    def has_change_permission(self, request: HttpRequest, obj: B | None = None) -> bool:
        """Let superusers change people's roles."""
        return super().has_change_permission(request, obj) and not (obj is not None and obj.user.is_bot)

    def has_delete_permission(self, request: HttpRequest, obj: B | None = None) -> bool:
        """Let superusers withdraw roles."""
        return self.operates(request)

    def get_actions(self, request: HttpRequest) -> Any:
        """Leave out deleting many at once: each withdrawal has consequences of its own to look at."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        """Withdraw the role, or say why not."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except DomainError as refusal:
            self.message_user(request, refusal.detail, messages.ERROR)
            return HttpResponseRedirect("../change/")

    def delete_model(self, request: HttpRequest, obj: B) -> None:
        """Call the verb that withdraws."""
        account = Account.objects.get(pk=account_of(obj.content_object))
        self.withdraw(Actor.from_admin(request, account), obj)

    def withdraw(self, actor: Actor, binding: B) -> None:
        """Take the role away, and those below it."""
        unbind_role(actor, user=binding.user, scope=binding.content_object, at=timezone.now())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Say what goes: by the rules of the verb, which are not those of foreign keys."""
        lines: list[Any] = []
        for binding in objs:
            lines += [str(binding), self.also_gone(binding)]
        return lines, {self.opts.verbose_name_plural: len(objs)}, set(), []

    def also_gone(self, binding: B) -> list[str]:
        """Name the roles that go together with this one."""
        scope: Scope = binding.content_object
        gone = [one for rows in bindings_within(scope) for one in rows.filter(user=binding.user)]
        return [str(one) for one in gone if one != binding]

    @admin.display(description="who")
    def who(self, binding: B) -> SafeString | str:
        """Link to the person or bot."""
        return linked(binding.user)

    @admin.display(description="role")
    def role_link(self, binding: B) -> SafeString | str:
        """Link to the role."""
        return linked(binding.role)

    @admin.display(description="where")
    def where(self, binding: B) -> SafeString | str:
        """Link to the scope."""
        return linked(binding.content_object)


@admin.register(AccountBinding)
class AccountBindingAdmin(BindingAdmin[AccountBinding]):
    """Members of accounts."""

    add_form = NewAccountBindingForm
    change_form = AccountBindingForm
    list_display = ("__str__", "who", "role_link", "where", "is_developer", "updated_at")
    list_filter = (PredefinedRole, "is_developer", "user__kind", ("content_object", FewRelated))
    shown = ("who", "role_link", "where", "is_developer", "created_at", "updated_at")

    def has_delete_permission(self, request: HttpRequest, obj: AccountBinding | None = None) -> bool:
        """Let superusers remove people; a bot goes with its key."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.user.is_bot)

    def withdraw(self, actor: Actor, binding: AccountBinding) -> None:
        """Remove the person from the account, with everything that brings about."""
        remove_person(actor, user=binding.user, at=timezone.now())

    def also_gone(self, binding: AccountBinding) -> list[str]:
        """Name what stops with the person, and what goes on."""
        user, account = binding.user, binding.content_object
        follows = consequences_of_removal(user, account, at=timezone.now())
        return [
            *super().also_gone(binding),
            *(f"User key {name}: stops working" for name in follows.stops),
            *(f"Service key {name}: goes on working" for name in follows.goes_on),
        ]


@admin.register(OrganizationBinding)
class OrganizationBindingAdmin(BindingAdmin[OrganizationBinding]):
    """Members of organizations."""

    add_form = NewOrganizationBindingForm
    change_form = OrganizationBindingForm
    list_display = ("__str__", "who", "role_link", "where", "account_link", "updated_at")
    list_filter = (
        PredefinedRole,
        "user__kind",
        ("content_object__account", FewRelated),
        ("content_object", FewRelated),
    )
    list_select_related = ("user", "permission__role", "content_object__account")
    shown = ("who", "role_link", "where", "account_link", "created_at", "updated_at")

    @admin.display(description="account")
    def account_link(self, binding: OrganizationBinding) -> SafeString | str:
        """Link to the account."""
        return linked(binding.content_object.account)


@admin.register(SpaceBinding)
class SpaceBindingAdmin(BindingAdmin[SpaceBinding]):
    """Roles in spaces."""

    add_form = NewSpaceBindingForm
    change_form = SpaceBindingForm
    list_display = ("__str__", "who", "role_link", "where", "organization_link", "account_link", "updated_at")
    list_filter = (
        PredefinedRole,
        "user__kind",
        ("content_object__organization__account", FewRelated),
        ("content_object__organization", FewRelated),
        ("content_object", FewRelated),
    )
    list_select_related = ("user", "permission__role", "content_object__organization__account")
    shown = ("who", "role_link", "where", "organization_link", "account_link", "created_at", "updated_at")

    @admin.display(description="organization")
    def organization_link(self, binding: SpaceBinding) -> SafeString | str:
        """Link to the organization."""
        return linked(binding.content_object.organization)

    @admin.display(description="account")
    def account_link(self, binding: SpaceBinding) -> SafeString | str:
        """Link to the account."""
        return linked(binding.content_object.organization.account)


@admin.register(ProjectBinding)
class ProjectBindingAdmin(BindingAdmin[ProjectBinding]):
    """Roles in single projects."""

    add_form = NewProjectBindingForm
    change_form = ProjectBindingForm
    list_display = ("__str__", "who", "role_link", "where", "space_link", "account_link", "updated_at")
    list_filter = (
        PredefinedRole,
        "user__kind",
        ("content_object__space__organization__account", FewRelated),
        ("content_object__space", FewRelated),
    )
    list_select_related = ("user", "permission__role", "content_object__space__organization__account")
    shown = ("who", "role_link", "where", "space_link", "account_link", "created_at", "updated_at")

    @admin.display(description="space")
    def space_link(self, binding: ProjectBinding) -> SafeString | str:
        """Link to the space."""
        return linked(binding.content_object.space)

    @admin.display(description="account")
    def account_link(self, binding: ProjectBinding) -> SafeString | str:
        """Link to the account."""
        return linked(binding.content_object.space.organization.account)


class Origin(admin.SimpleListFilter):
    """Filters roles by whose they are."""

    title = "origin"
    parameter_name = "origin"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer both."""
        return [("predefined", "Predefined"), ("custom", "Custom")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Role]) -> QuerySet[Role]:
        """Keep one of them."""
        conditions = {"predefined": Q(account__isnull=True), "custom": Q(account__isnull=False)}
        return queryset.filter(conditions.get(self.value() or "", Q()))


@admin.register(Role)
class RoleAdmin(OperatorAdmin[Role]):
    """What each role permits. Predefined roles come with the product; custom ones belong to their account."""

    list_display = ("label", "level", "rank", "account_link", "permission_count", "holders", "deleted_at")
    list_filter = ("level", Origin, ("account", FewRelated))
    list_select_related = ("account",)
    search_fields = ("name", "label")
    search_help_text = "Part of the name."
    ordering = ("level", "rank", "name", "pk")
    shown = (
        "label",
        "name",
        "level",
        "rank",
        "description",
        "account_link",
        "holders",
        "project_holders",
        "permission_list",
        "created_at",
        "updated_at",
        "deleted_at",
        "trail",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Role]:
        """Count who holds each role; it is bound at its own level only, so most of the counts are nothing."""
        held = {"permission": OuterRef("permission")}
        counts = [bounded_count(table._default_manager.filter(**held)) for table in _TABLES.values()]
        projects = bounded_count(ProjectBinding.objects.filter(**held))
        holders = {"holder_count": counts[0] + counts[1] + counts[2], "project_holder_count": projects}
        return super().get_queryset(request).annotate(**holders)

    @admin.display(description="account")
    def account_link(self, role: Role) -> SafeString | str:
        """Link to the account of a custom role."""
        return linked(role.account)

    @admin.display(description="permissions")
    def permission_count(self, role: Role) -> int:
        """How many permissions the role names."""
        return len(role.permissions)

    @admin.display(description="held by")
    def holders(self, role: Any) -> SafeString | str:
        """Link to who holds the role."""
        return counted(role.holder_count, _TABLES[Level(role.level)], permission__exact=role.permission_id)

    @admin.display(description="held in projects by")
    def project_holders(self, role: Any) -> SafeString | str:
        """Link to who holds the role in a single project."""
        return counted(role.project_holder_count, ProjectBinding, permission__exact=role.permission_id)

    @admin.display(description="permissions")
    def permission_list(self, role: Role) -> str:
        """Name all the permissions."""
        return ", ".join(role.permissions) or "none"
