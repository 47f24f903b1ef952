"""Accounts, organizations, spaces and projects, created and changed through verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts.actors import Actor
from accounts.admin.base import FewRelated, OperatorAdmin, VerbAdmin, VerbForm, bounded_count, counted, keys, linked
from accounts.errors import DomainError
from accounts.models import (
    Account,
    AccountBinding,
    Organization,
    OrganizationBinding,
    Project,
    ProjectBinding,
    Space,
    SpaceBinding,
)
from accounts.restrictions import restrict_project, unrestrict_project
from accounts.tenancy import (
    change_account,
    change_account_limits,
    change_organization,
    change_space,
    create_account,
    create_organization,
    create_space,
)


class NewAccountForm(VerbForm[Account]):
    """An account and its first admin, who is invited."""

    admin_email = forms.EmailField(label="First admin's e-mail", max_length=255)
    admin_name = forms.CharField(
        label="First admin's name",
        max_length=255,
        help_text="The person is invited: set a password on their page, or send them a link from there.",
    )

    class Meta:
        model = Account
        fields = ("name", "admin_email", "admin_name")

    def account_acted_in(self) -> None:
        """There is none yet."""

    def carry_out(self, actor: Actor) -> Account:
        """Create the account."""
        account, _ = create_account(actor, password=None, at=timezone.now(), **self.cleaned_data)
        return account


class AccountForm(VerbForm[Account]):
    """An account's name, its caps and its key policy."""

    class Meta:
        model = Account
        fields = (
            "name",
            "developer_access_locked",
            "max_key_lifetime_days",
            "max_live_keys",
            "max_keys_per_hour",
        )

    def account_acted_in(self) -> Account:
        """The account itself."""
        return self.before

    def carry_out(self, actor: Actor) -> Account:
        """Change what the operator decides, then what account admins decide too."""
        at, chosen = timezone.now(), self.cleaned_data
        change_account_limits(
            actor,
            name=chosen["name"],
            max_live_keys=chosen["max_live_keys"],
            max_keys_per_hour=chosen["max_keys_per_hour"],
            at=at,
        )
        policy = ("developer_access_locked", "max_key_lifetime_days")
        if not any(name in self.changed_data for name in policy):
            return Account.objects.get(pk=self.before.pk)
        return change_account(actor, **{name: chosen[name] for name in policy}, at=at)


@admin.register(Account)
class AccountAdmin(VerbAdmin[Account]):
    """Customers of this installation."""

    add_form = NewAccountForm
    change_form = AccountForm
    list_display = (
        "name",
        "members",
        "organization_count",
        "key_links",
        "developer_access_locked",
        "max_key_lifetime_days",
        "created_at",
    )
    list_filter = ("developer_access_locked",)
    search_fields = ("name",)
    search_help_text = "Part of the name."
    date_hierarchy = "created_at"  # accounts are few
    ordering = ("name",)
    sortable_by = ("name", "created_at")
    shown = (
        "name",
        "developer_access_locked",
        "max_key_lifetime_days",
        "max_live_keys",
        "max_keys_per_hour",
        "members",
        "organization_count",
        "key_links",
        "created_at",
        "trail",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Account]:
        """Count members, organizations and keys beside each account."""
        here = OuterRef("pk")
        return (
            super()
            .get_queryset(request)
            .annotate(
                member_count=bounded_count(AccountBinding.objects.filter(content_object=here, user__kind="PERSON")),
                organization_total=bounded_count(Organization.objects.filter(account=here)),
                key_count=bounded_count(keys().filter(account=here)),
            )
        )

    @admin.display(description="people")
    def members(self, account: Any) -> SafeString | str:
        """Link to the people of the account."""
        return counted(
            account.member_count,
            AccountBinding,
            content_object__id__exact=account.pk,
            user__kind__exact="PERSON",
        )

    @admin.display(description="organizations")
    def organization_count(self, account: Any) -> SafeString | str:
        """Link to its organizations."""
        return counted(account.organization_total, Organization, account__id__exact=account.pk)

    @admin.display(description="keys")
    def key_links(self, account: Any) -> SafeString | str:
        """Link to its keys."""
        return counted(account.key_count, keys().model, account__id__exact=account.pk)


class NewOrganizationForm(VerbForm[Organization]):
    """A new organization."""

    class Meta:
        model = Organization
        fields = ("account", "name", "description")

    def account_acted_in(self) -> Account:
        """The account chosen."""
        account: Account = self.cleaned_data["account"]
        return account

    def carry_out(self, actor: Actor) -> Organization:
        """Create it."""
        return create_organization(
            actor, name=self.cleaned_data["name"], description=self.cleaned_data["description"], at=timezone.now()
        )


class OrganizationForm(VerbForm[Organization]):
    """An organization's name and description."""

    class Meta:
        model = Organization
        fields = ("name", "description")

    def account_acted_in(self) -> Account:
        """Its account."""
        return self.before.account

    def carry_out(self, actor: Actor) -> Organization:
        """Change it."""
        return change_organization(actor, self.before, at=timezone.now(), **self.cleaned_data)


@admin.register(Organization)
class OrganizationAdmin(VerbAdmin[Organization]):
    """Parts of accounts."""

    add_form = NewOrganizationForm
    change_form = OrganizationForm
    list_display = ("name", "account_link", "space_count", "members", "created_at")
    list_filter = (("account", FewRelated),)
    list_select_related = ("account",)
    autocomplete_fields = ("account",)
    search_fields = ("name", "account__name")
    search_help_text = "Part of the organization's or the account's name."
    ordering = ("name", "pk")
    sortable_by = ("name", "created_at")
    shown = ("name", "description", "account_link", "space_count", "members", "created_at", "trail")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        """Count spaces and members beside each organization."""
        here = OuterRef("pk")
        return (
            super()
            .get_queryset(request)
            .select_related("account")
            .annotate(
                space_total=bounded_count(Space.objects.filter(organization=here)),
                member_count=bounded_count(OrganizationBinding.objects.filter(content_object=here)),
            )
        )

    @admin.display(description="account")
    def account_link(self, organization: Organization) -> SafeString | str:
        """Link to the account."""
        return linked(organization.account)

    @admin.display(description="spaces")
    def space_count(self, organization: Any) -> SafeString | str:
        """Link to its spaces."""
        return counted(organization.space_total, Space, organization__id__exact=organization.pk)

    @admin.display(description="members")
    def members(self, organization: Any) -> SafeString | str:
        """Link to its members, people and bots."""
        return counted(organization.member_count, OrganizationBinding, content_object__id__exact=organization.pk)


class NewSpaceForm(VerbForm[Space]):
    """A new space."""

    class Meta:
        model = Space
        fields = ("organization", "name", "description", "is_private")

    def account_acted_in(self) -> Account:
        """The account of the organization chosen."""
        organization: Organization = self.cleaned_data["organization"]
        return organization.account

    def carry_out(self, actor: Actor) -> Space:
        """Create it."""
        return create_space(actor, at=timezone.now(), **self.cleaned_data)


class SpaceForm(VerbForm[Space]):
    """A space's name, description and privacy."""

    class Meta:
        model = Space
        fields = ("name", "description", "is_private")

    def account_acted_in(self) -> Account:
        """Its account."""
        return self.before.organization.account

    def carry_out(self, actor: Actor) -> Space:
        """Change it."""
        return change_space(actor, self.before, at=timezone.now(), **self.cleaned_data)


@admin.register(Space)
class SpaceAdmin(VerbAdmin[Space]):
    """Where keys open something."""

    add_form = NewSpaceForm
    change_form = SpaceForm
    list_display = (
        "name",
        "organization_link",
        "account_link",
        "is_private",
        "people",
        "service_keys",
        "projects",
        "created_at",
    )
    list_filter = ("is_private", ("organization__account", FewRelated), ("organization", FewRelated))
    list_select_related = ("organization__account",)
    autocomplete_fields = ("organization",)
    search_fields = ("name", "organization__name")
    search_help_text = "Part of the space's or the organization's name."
    ordering = ("name", "pk")
    sortable_by = ("name", "created_at")
    shown = (
        "name",
        "description",
        "is_private",
        "organization_link",
        "account_link",
        "people",
        "service_keys",
        "projects",
        "created_at",
        "trail",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Space]:
        """Count people, bots and projects beside each space."""
        bound = SpaceBinding.objects.filter(content_object=OuterRef("pk"))
        return (
            super()
            .get_queryset(request)
            .select_related("organization__account")
            .annotate(
                person_count=bounded_count(bound.filter(user__kind="PERSON")),
                bot_count=bounded_count(bound.filter(user__kind="BOT")),
                project_count=bounded_count(Project.objects.filter(space=OuterRef("pk"))),
            )
        )

    @admin.display(description="organization")
    def organization_link(self, space: Space) -> SafeString | str:
        """Link to the organization."""
        return linked(space.organization)

    @admin.display(description="account")
    def account_link(self, space: Space) -> SafeString | str:
        """Link to the account."""
        return linked(space.organization.account)

    @admin.display(description="people with a role")
    def people(self, space: Any) -> SafeString | str:
        """Link to the people bound to the space."""
        return counted(space.person_count, SpaceBinding, content_object__id__exact=space.pk, user__kind__exact="PERSON")

    @admin.display(description="service keys")
    def service_keys(self, space: Any) -> SafeString | str:
        """Link to the bots bound to the space: one per service key."""
        return counted(space.bot_count, SpaceBinding, content_object__id__exact=space.pk, user__kind__exact="BOT")

    @admin.display(description="projects")
    def projects(self, space: Any) -> SafeString | str:
        """Link to its projects."""
        return counted(space.project_count, Project, space__id__exact=space.pk)


@admin.register(Project)
class ProjectAdmin(OperatorAdmin[Project]):
    """What data is logged to. Projects come with their first data; here they are looked at and restricted."""

    list_display = ("name", "kind", "space_link", "account_link", "restricted_at", "people", "updated_at")
    list_filter = ("kind", ("space__organization__account", FewRelated), ("space", FewRelated))
    search_fields = ("name", "space__name")
    search_help_text = "Part of the project's or the space's name."
    ordering = ("name", "pk")
    actions = ("restrict", "unrestrict")
    shown = (
        "name",
        "kind",
        "space_link",
        "account_link",
        "restricted_at",
        "people",
        "last_writer",
        "created_at",
        "updated_at",
        "trail",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        """Count who is bound to each project itself."""
        bound = ProjectBinding.objects.filter(content_object=OuterRef("pk"))
        rows = super().get_queryset(request).select_related("space__organization__account")
        return rows.annotate(bound_count=bounded_count(bound))

    @admin.action(description="Restrict selected projects", permissions=["operate"])
    def restrict(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        """Let only roles given in the projects themselves count there."""
        self._each(request, queryset, restrict_project, "restricted: only roles given in the project itself count")

    @admin.action(description="Lift the restriction of selected projects", permissions=["operate"])
    def unrestrict(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        """Let roles from above count again."""
        self._each(request, queryset, unrestrict_project, "no longer restricted: roles from above count again")

    def _each(self, request: HttpRequest, projects: QuerySet[Project], verb: Callable[..., Project], done: str) -> None:
        for project in projects.select_related("space__organization__account"):
            actor = Actor.from_admin(request, project.space.organization.account)
            try:
                verb(actor, project, at=timezone.now())
                self.message_user(request, f"{project} is {done}.", messages.SUCCESS)
            except DomainError as refusal:
                self.message_user(request, refusal.detail, messages.ERROR)

    @admin.display(description="space")
    def space_link(self, project: Project) -> SafeString | str:
        """Link to the space."""
        return linked(project.space)

    @admin.display(description="account")
    def account_link(self, project: Project) -> SafeString | str:
        """Link to the account."""
        return linked(project.space.organization.account)

    @admin.display(description="roles given in it")
    def people(self, project: Any) -> SafeString | str:
        """Link to who is bound to the project itself."""
        return counted(project.bound_count, ProjectBinding, content_object__id__exact=project.pk)
