"""People and bots: invited, corrected, made operators, deactivated through verbs, and never deleted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm
from django.contrib.auth.models import Permission as AuthPermission
from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet
from django.db.models.functions import JSONObject
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts import mail
from accounts.actors import Actor, accounts_of
from accounts.admin.base import NOTHING, PickOne, VerbAdmin, VerbForm, bounded_count, counted, keys, linked, listed
from accounts.audit import Tag, record
from accounts.models import (
    Account,
    AccountBinding,
    AuditEvent,
    OrganizationBinding,
    ProjectBinding,
    Role,
    SpaceBinding,
    User,
    UserKind,
)
from accounts.people import (
    accept_invitation,
    change_operator,
    change_person,
    deactivate_person,
    invite_person,
    reactivate_person,
    resend_invitation,
)
from accounts.roles import Level

# More accounts than this are counted rather than named.
_NAMED_ACCOUNTS = 3
# Whose models staff may be allowed to look at.
_OURS = ("accounts", "apikeys")


class ViewPermissions(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # takes no parameter at run time
    """Django's "view" permissions: all that staff without superuser powers can be given."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self) -> None:
        super().__init__(
            AuthPermission.objects.filter(codename__startswith="view_", content_type__app_label__in=_OURS)
            .select_related("content_type")
            .order_by("content_type__app_label", "codename"),
            required=False,
            label="May look at",
            help_text="For operators who only look. Superusers may look at everything.",
        )

    def label_from_instance(self, permission: AuthPermission) -> str:
        """Name what may be looked at."""
        model = permission.content_type.model_class()
        return str(model._meta.verbose_name_plural if model else permission.name)


class NewPersonForm(VerbForm[User]):
    """Somebody who is invited to an account. (Bots are made together with their service key.)"""

    account = forms.ModelChoiceField(
        Account.objects.all(),
        widget=PickOne(AccountBinding._meta.get_field("content_object"), admin.site),
    )
    role = forms.ModelChoiceField(
        Role.objects.filter(level=Level.ACCOUNT, account__isnull=True).order_by("rank"), label="Account role"
    )

    class Meta:
        model = User
        fields = ("account", "email", "name", "role")

    def account_acted_in(self) -> Account:
        """The account chosen."""
        account: Account = self.cleaned_data["account"]
        return account

    def carry_out(self, actor: Actor) -> User:
        """Invite the person."""
        chosen = self.cleaned_data
        return invite_person(
            actor, email=chosen["email"], name=chosen["name"], role=chosen["role"], at=timezone.now()
        ).user


class PersonForm(VerbForm[User]):
    """A person's name and address, whether they may sign in, and whether they operate the installation."""

    may_view = ViewPermissions()

    class Meta:
        model = User
        fields = ("name", "email", "is_active", "is_staff", "is_superuser", "may_view")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["may_view"] = self.instance.user_permissions.all()

    def account_acted_in(self) -> Account | None:
        """The person's account, the first of several: a refusal is recorded there, a change in each of them."""
        return next(iter(accounts_of(self.before)), None)

    def carry_out(self, actor: Actor) -> User:
        """Call a verb for each thing that changed."""
        at, chosen, person = timezone.now(), self.cleaned_data, self.before
        if {"name", "email"} & set(self.changed_data):
            change_person(actor, user=person, name=chosen["name"], email=chosen["email"], at=at)
        if "is_active" in self.changed_data:
            (reactivate_person if chosen["is_active"] else deactivate_person)(actor, user=person, at=at)
        if {"is_staff", "is_superuser", "may_view"} & set(self.changed_data):
            change_operator(
                actor,
                user=person,
                is_staff=chosen["is_staff"],
                is_superuser=chosen["is_superuser"],
                may_view=chosen["may_view"],
                at=at,
            )
        return User.objects.get(pk=person.pk)


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]  # takes no parameter at run time
    """Django's form, which would write the whole row as it was when the page was asked for."""

    def save(self, commit: bool = True) -> User:
        """Write the password and nothing else."""
        user: User = super().save(commit=False)
        if commit:
            user.save(update_fields=["password"])
        return user


class Standing(admin.SimpleListFilter):
    """Filters by how far somebody has come."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Offer the states."""
        return [("joined", "Joined"), ("invited", "Invited, no password yet"), ("inactive", "Deactivated or removed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        """Keep one of them."""
        person = Q(kind=UserKind.PERSON)
        conditions = {
            "joined": person & Q(is_active=True, joined_at__isnull=False),
            "invited": person & Q(is_active=True, joined_at__isnull=True),
            "inactive": Q(is_active=False),
        }
        return queryset.filter(conditions.get(self.value() or "", Q()))


@admin.register(User)
class UserAdmin(VerbAdmin[User]):
    """Everybody: people, and the bots of service keys."""

    add_form = NewPersonForm
    change_form = PersonForm
    change_password_form = PasswordForm
    change_user_password_template = None
    change_form_template = "admin/accounts/user/change_form.html"
    list_display = ("__str__", "kind", "is_active", "accounts", "own_keys", "keys_made", "is_staff", "last_login")
    list_filter = ("kind", Standing, "is_staff", "is_superuser")
    search_fields = ("email", "name")
    search_help_text = "Part of a name or an address."
    ordering = ("-pk",)
    shown = (
        "name",
        "email",
        "kind",
        "is_active",
        "is_staff",
        "is_superuser",
        "may_view",
        "password_state",
        "accounts",
        "memberships",
        "own_keys",
        "keys_made",
        "created_at",
        "joined_at",
        "last_login",
        "trail",
        "deeds",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Count keys and name accounts beside each user."""
        me = OuterRef("pk")
        named = AccountBinding.objects.filter(user=me).order_by("content_object")
        pair = JSONObject(id="content_object_id", name="content_object__name")
        return (
            super()
            .get_queryset(request)
            .annotate(
                owned=bounded_count(keys().filter(owner=me)),
                made=bounded_count(keys().filter(created_by=me, kind="SERVICE")),
                own_accounts=ArraySubquery(named.values(pair=pair)[: _NAMED_ACCOUNTS + 1]),
            )
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        """Search; where somebody is chosen for a form, among people only, since no form gives bots anything."""
        if request.path == reverse("admin:autocomplete"):
            queryset = queryset.filter(kind=UserKind.PERSON)
        return super().get_search_results(request, queryset, search_term)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let superusers change people; a bot is what its key made it."""
        return super().has_change_permission(request, obj) and not (obj is not None and obj.is_bot)

    def get_urls(self) -> list[URLPattern]:
        """Add the pages for a password and for sending the invitation again."""
        view = self.admin_site.admin_view
        return [
            path("<id>/password/", view(self.password_view), name="auth_user_password_change"),
            path("<id>/invite/", view(self.invite_view), name="accounts_user_invite"),
            *super().get_urls(),
        ]

    def password_view(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Show Django's own form for somebody's password. Bots have none."""
        person = self._person(request, id)
        if proof := self.recently(request):
            return proof
        with transaction.atomic():
            # Django's view asks nothing of its class that this one does not have.
            response: HttpResponse = DjangoUserAdmin.user_change_password(self, request, id, form_url)  # type: ignore[arg-type]
            before = person.password
            person.refresh_from_db()
            if changed := person.password != before:
                actor = Actor.from_admin(request, None)
                for inside in actor.in_each_account_of(person):
                    record(inside, Tag.PASSWORD_CHANGED, person)
                if person.has_usable_password():
                    accept_invitation(person, door=actor.door, ip=actor.ip, at=timezone.now())
        if changed and person.is_active:
            mail.send_password_changed(person)
        return response

    def invite_view(self, request: HttpRequest, id: str) -> HttpResponse:
        """Mail an invited person the link to a first password again; the one sent before stops working."""
        person = self._person(request, id)
        account = next(iter(accounts_of(person)), None)
        if request.method == "POST" and person.is_pending and account is not None:
            if proof := self.recently(request):
                return proof
            person = resend_invitation(Actor.from_admin(request, account), user=person, at=timezone.now())
            self._send_invitation(request, person)
        return HttpResponseRedirect(reverse("admin:accounts_user_change", args=[person.pk]))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Invite, and mail the invitation once that is committed: a mail server may take its time."""
        response = super().add_view(request, form_url, extra_context)
        person: User | None = getattr(request, "_invited", None)
        if person is not None and person.is_pending:
            self._send_invitation(request, person)
        return response

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Remember who was invited."""
        if not change:
            request._invited = obj  # type: ignore[attr-defined]  # add_view, above, reads it

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """Say whether the person still waits for an invitation."""
        person = kwargs.get("obj")
        context["is_pending"] = isinstance(person, User) and self.operates(request) and person.is_pending
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="accounts")
    def accounts(self, user: Any) -> SafeString | str:
        """Link to the accounts."""
        found = user.own_accounts
        links = [linked(Account(pk=one["id"]), one["name"]) for one in found[:_NAMED_ACCOUNTS]]
        if len(found) > _NAMED_ACCOUNTS:
            links.append(listed("more", AccountBinding, user__exact=user.pk))
        return format_html_join(", ", "{}", ((link,) for link in links)) or NOTHING

    @admin.display(description="roles")
    def memberships(self, user: User) -> SafeString:
        """Link to everything the user is bound to."""
        tables = {
            "in accounts": AccountBinding,
            "in organizations": OrganizationBinding,
            "in spaces": SpaceBinding,
            "in projects": ProjectBinding,
        }
        return format_html_join(
            " · ", "{}", ((listed(text, table, user__exact=user.pk),) for text, table in tables.items())
        )

    @admin.display(description="keys")
    def own_keys(self, user: Any) -> SafeString | str:
        """Link to the user's own keys: a person's user keys, a bot's one service key."""
        return counted(user.owned, keys().model, owner__exact=user.pk)

    @admin.display(description="service keys made")
    def keys_made(self, user: Any) -> SafeString | str:
        """Link to the service keys a person made."""
        return counted(user.made, keys().model, created_by__exact=user.pk, kind__exact="SERVICE")

    @admin.display(description="may look at")
    def may_view(self, user: User) -> str:
        """Name the view permissions somebody has."""
        return ", ".join(user.user_permissions.values_list("codename", flat=True)) or NOTHING

    @admin.display(description="password")
    def password_state(self, user: User) -> SafeString | str:
        """Say whether there is one, and link to the form; the hash itself is shown nowhere."""
        if user.is_bot:
            return "none: a bot never signs in"
        state = "set" if user.has_usable_password() else "not set"
        address = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html('{} · <a href="{}">set another</a>', state, address)

    @admin.display(description="their own deeds")
    def deeds(self, user: User) -> SafeString:
        """Link to what the user did."""
        return listed("What they did", AuditEvent, actor_id=user.pk)

    def _person(self, request: HttpRequest, id: str) -> User:
        user = self.get_object(request, unquote(id))
        if user is None or not self.has_change_permission(request, user):
            raise Http404
        return user

    def _send_invitation(self, request: HttpRequest, person: User) -> None:
        account = next(iter(accounts_of(person)), None)
        if account is None:
            return
        delivery = mail.send_invitation(
            Actor.from_admin(request, account), person, base_url=request.build_absolute_uri("/")
        )
        said = f"{person.name} is invited. {delivery.value}"
        if not delivery.arrived:
            said += " Set a password on the person's page, or mail the link once mail is set up."
        self.message_user(request, said, messages.SUCCESS if delivery.arrived else messages.WARNING)
