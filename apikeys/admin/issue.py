"""Making a key for somebody from Django admin: the same verbs and ceilings, and the same one look at the secret."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import AdminForm
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from accounts.actors import Actor, accounts_of
from accounts.admin.base import OperatorAdmin, PickOne, PickSome, full_name
from accounts.admin.bindings import RoleField
from accounts.bindings import predefined
from accounts.errors import DomainError
from accounts.models import Account, AccountBinding, Organization, Role, Space, SpaceBinding, User
from accounts.roles import Level
from apikeys import nonces
from apikeys.lifecycle import (
    MAX_DESCRIPTION,
    MAX_NAME,
    NewKey,
    OrganizationGrant,
    SpaceGrant,
    create_service_key,
    create_user_key,
)
from apikeys.models import ApiKey, KeyKind
from apikeys.nonces import NonceState
from apikeys.policy import DEFAULT_ROLE

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

_SERVICE_FIELDS = ("spaces", "space_role", "organization_role", "account_role")


class SpacesField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]  # takes no parameter at run time
    """Spaces, named in full."""

    def label_from_instance(self, space: Space) -> str:
        """Tell spaces of equal names apart."""
        return full_name(space)


class IssueForm(forms.Form):
    """What the key shall be. One role for all spaces: for more than that there is ``manage.py issuekey``."""

    kind = forms.ChoiceField(choices=KeyKind.choices, initial=KeyKind.USER, widget=forms.RadioSelect)
    person = forms.ModelChoiceField(
        User.objects.filter(kind="PERSON", is_active=True),
        required=False,
        widget=PickOne(AccountBinding._meta.get_field("user"), admin.site),
        help_text="Whose user key it is, or on whose behalf the service key is made: that person's roles are its "
        "limit. Without a person, you make the service key yourself, and there is no limit.",
    )
    account = forms.ModelChoiceField(
        Account.objects.all(),
        required=False,
        widget=PickOne(AccountBinding._meta.get_field("content_object"), admin.site),
        help_text="Only needed for somebody who is in several.",
    )
    name = forms.CharField(max_length=MAX_NAME)
    description = forms.CharField(max_length=MAX_DESCRIPTION, required=False)
    expires_in = forms.IntegerField(
        label="Expires in", min_value=1, max_value=36_500, required=False, help_text="Days. Empty: never."
    )
    spaces = SpacesField(
        Space.objects.select_related("organization__account"),
        required=False,
        widget=PickSome(SpaceBinding._meta.get_field("content_object"), admin.site),
    )
    space_role = RoleField(Level.SPACE)
    organization_role = RoleField(Level.ORGANIZATION)
    account_role = RoleField(Level.ACCOUNT)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for level in Level:
            field = self.fields[f"{level.value.lower()}_role"]
            field.required = False
            field.initial = predefined(level, DEFAULT_ROLE[level])

    def clean(self) -> dict[str, Any]:
        """Say what each kind of key needs."""
        chosen: dict[str, Any] = super().clean() or self.cleaned_data
        if chosen.get("kind") == KeyKind.SERVICE:
            if "spaces" not in self.errors and not chosen.get("spaces"):
                self.add_error("spaces", "A service key opens spaces: choose at least one.")
        elif "person" not in self.errors and not chosen.get("person"):
            self.add_error("person", "A user key belongs to somebody: say to whom.")
        return chosen

    def account_meant(self) -> Account | None:
        """Return the account the key is for: the one chosen, the spaces', or the person's only one."""
        chosen = self.cleaned_data
        if chosen["account"]:
            account: Account = chosen["account"]
            return account
        found = {space.organization.account for space in chosen["spaces"]} if chosen["kind"] == KeyKind.SERVICE else ()
        accounts = list(found or (accounts_of(chosen["person"]) if chosen["person"] else ()))
        return accounts[0] if len(accounts) == 1 else None

    def make(self, actor: Actor, *, at: datetime) -> NewKey:
        """Call the verb."""
        chosen = self.cleaned_data
        days: int | None = chosen["expires_in"]
        common: dict[str, Any] = {
            "name": chosen["name"],
            "description": chosen["description"],
            "expires_at": at + timedelta(days=days) if days else None,
            "at": at,
        }
        if chosen["kind"] == KeyKind.USER:
            return create_user_key(actor, **common)
        roles: dict[Level, Role] = {
            level: chosen[f"{level.value.lower()}_role"] or predefined(level, DEFAULT_ROLE[level]) for level in Level
        }
        inside: dict[Organization, list[SpaceGrant]] = {}
        for space in chosen["spaces"]:
            inside.setdefault(space.organization, []).append(SpaceGrant(space, roles[Level.SPACE]))
        return create_service_key(
            actor,
            account_role=roles[Level.ACCOUNT],
            organizations=[
                OrganizationGrant(organization, roles[Level.ORGANIZATION], tuple(grants))
                for organization, grants in inside.items()
            ],
            **common,
        )


@sensitive_variables("new")
def issue_view(desk: OperatorAdmin[ApiKey], request: HttpRequest) -> HttpResponse:
    """Show the form, or make the key and show its secret this one time."""
    if not desk.operates(request):
        raise PermissionDenied
    if proof := desk.recently(request):
        return proof
    form = IssueForm(request.POST or None, initial={"person": request.GET.get("person", "")})
    new = _issue(request, form) if request.method == "POST" and form.is_valid() else None
    return _show(desk, request, form) if new is None else _reveal(desk, request, new)


@sensitive_variables()
def _issue(request: HttpRequest, form: IssueForm) -> NewKey | None:
    account, nonce = form.account_meant(), request.POST.get("nonce", "")
    if account is None:
        form.add_error("account", "Choose the account: it does not follow from the rest.")
        return None
    actor = Actor.from_admin(request, account)
    person: User | None = form.cleaned_data["person"]
    if person is not None:
        actor = actor.on_behalf_of(person)
    with transaction.atomic():
        if nonces.hold(request.session, nonce) is not NonceState.OPEN:
            form.add_error(None, "This form was sent before, or waited for too long. A key it made is in the list.")
            return None
        # Caught in here, so that leaving the block commits: the verb has recorded its refusal in this transaction.
        try:
            new = form.make(actor, at=timezone.now())
        except DomainError as refusal:
            form.add_error(refusal.field if refusal.field in form.fields else None, refusal.detail)
            return None
        nonces.spend(request.session, nonce)
    return new


def _show(desk: OperatorAdmin[ApiKey], request: HttpRequest, form: IssueForm) -> HttpResponse:
    parts: list[tuple[_StrOrPromise | None, Any]] = [
        (None, {"fields": ("kind", "person", "account", "name", "description", "expires_in")}),
        ("Service key", {"fields": _SERVICE_FIELDS, "description": "What its bot may do. For user keys, leave it."}),
    ]
    nonce = request.POST.get("nonce", "")
    keep = nonces.peek(request.session, nonce) is NonceState.OPEN
    context = {
        **desk.admin_site.each_context(request),
        "title": "Issue a key",
        "opts": desk.opts,
        "form": form,
        "adminform": AdminForm(form, parts, {}, model_admin=desk),  # type: ignore[arg-type]  # any form will do
        "media": desk.media + form.media,
        "nonce": nonce if keep else nonces.issue(request.session),
    }
    return TemplateResponse(request, "admin/apikeys/apikey/issue.html", context)


@sensitive_variables()
def _reveal(desk: OperatorAdmin[ApiKey], request: HttpRequest, new: NewKey) -> HttpResponse:
    desk.log_addition(request, new.key, [{"added": {}}])
    context = {
        **desk.admin_site.each_context(request),
        "title": "Key issued",
        "opts": desk.opts,
        "key": new.key,
        "plaintext": new.plaintext,
    }
    # Rendered here and not by whatever comes behind: the secret exists in this function's context only. Django admin
    # answers every page with no-store already.
    response = TemplateResponse(request, "admin/apikeys/apikey/issued.html", context).render()
    response["Referrer-Policy"] = "no-referrer"
    return response
