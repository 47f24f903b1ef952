"""The API Keys pages. Each view builds an Actor, cleans the input with a form, calls one verb and dresses the result.

A new secret is rendered in the answer to the POST that made it and nowhere else: no redirect, no session, no message.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from accounts.actors import Actor
from accounts.errors import DomainError, Forbidden, Invalid, NotFound
from accounts.models import Space, SpaceBinding
from accounts.pages import settings_page
from accounts.paging import paginate
from accounts.permissions import find_seen
from accounts.recent import recent_login_required
from accounts.scope import ChosenScope, chosen_scope
from accounts.standing import Standing, standing_of
from accounts.vocabulary import Permission
from accounts.wire import decode_id, encode_id
from apikeys import abilities, dressing, nonces, policy
from apikeys.explanation import explain
from apikeys.forms import CreateKeyForm, ExpiryForm, QuestionForm, RefreshForm, ServiceGrants, show_refusal
from apikeys.lifecycle import NewKey, create_service_key, create_user_key, refresh_key, revoke_key
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyKind, KeyStatus
from apikeys.nonces import NonceState

_PAGE_SIZE = 25
_STATUSES = {"active": KeyStatus.ACTIVE, "expired": KeyStatus.EXPIRED, "revoked": KeyStatus.REVOKED, "all": None}
_STALE = "This form was open for too long, so nothing was done. Look over it and send it once more."


@require_safe
@settings_page
def user_keys(request: HttpRequest, actor: Actor) -> HttpResponse:
    """List the person's user keys; account admins may look at everybody's."""
    standing = standing_of(actor)
    assert actor.user is not None  # noqa: S101 -- a browser's actor is somebody
    everyone = request.GET.get("whose") == "everyone" and standing.is_account_admin
    keys = policy.all_user_keys(actor) if everyone else policy.user_keys(actor, actor.user)
    refusal = abilities.why_no_user_key(actor, standing)
    extra = {
        "tab_title": "User Keys",
        "refusal": refusal,
        "new_url": "" if refusal else reverse("apikeys:new"),
        "whose": "everyone" if everyone else "",
        "may_see_everyone": standing.is_account_admin,
    }
    return _list(request, actor, standing, keys, extra)


@require_safe
@settings_page
def service_keys(request: HttpRequest, actor: Actor) -> HttpResponse:
    """List the service keys the person may know of."""
    standing = standing_of(actor)
    refusal = abilities.why_no_service_key(actor, standing)
    asked = _asked_space(request, actor)
    scope = asked or chosen_scope(request, actor)
    extra = {
        "tab_title": "Service Keys",
        "is_service": True,
        "space": asked.space if asked else None,
        "space_id": request.GET.get("space", ""),
        "is_narrowed": scope.organization is not None,
        "refusal": refusal,
        "new_url": "" if refusal else f"{reverse('apikeys:new')}?type=service",
    }
    return _list(request, actor, standing, _within(policy.service_keys(actor), scope), extra)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """Show the form of a new key, or create the key and show its secret this one time."""
    page = _NewKeyPage.of(request, actor)
    if request.method != "POST" or request.POST.get("step", "create") != "create":
        return page.show()
    return _create(page)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def refresh(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Ask for grace and expiry, or refresh the key and show its new secret this one time."""
    key, standing, at = _find(actor, wire_id), standing_of(actor), timezone.now()
    policy.require_developer(standing)
    refusal = policy.why_not_refresh(actor, standing, key, policy.bindings_of([key]).get(key.pk, policy.KeyBindings()))
    if refusal:
        raise Forbidden(refusal)
    if request.method == "POST" and nonces.peek(request.session, request.POST.get("nonce", "")) is NonceState.SPENT:
        return _already(request, key.kind, "This key was already refreshed; its secret is shown only once")
    if key.status(at=at) != KeyStatus.ACTIVE:
        messages.error(request, f"‘{key.name}’ is {key.status(at=at).label.lower()}, so it cannot be refreshed.")
        return redirect(_list_url(key.kind))
    form = RefreshForm(request.POST or None, key=key, at=at)
    if request.method == "POST" and form.is_valid():
        return _refresh(request, actor, standing, key, form, at)
    return _show_refresh(request, actor, standing, key, form, at)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
def revoke(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Ask by name, or revoke. No recent sign-in is asked for: stopping a leak must not wait for a password."""
    key, standing, at = _find(actor, wire_id), standing_of(actor), timezone.now()
    if request.method == "POST":
        revoke_key(actor, key, at=at)
        messages.success(request, f"Revoked ‘{key.name}’. It is refused from now on.")
        return redirect(_list_url(key.kind))
    refusal = policy.why_not_revoke(actor, standing, key, policy.bindings_of([key]).get(key.pk, policy.KeyBindings()))
    if refusal:
        raise Forbidden(refusal)
    if key.revoked_at is not None:
        messages.error(request, f"‘{key.name}’ is revoked already.")
        return redirect(_list_url(key.kind))
    (row,) = dressing.rows(actor, standing, [key], at=at)
    return render(request, "apikeys/revoke.html", _dialog(key.kind) | {"row": row})


@require_safe
@settings_page
def why(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Ask what a key may do where, and show what decides it."""
    key, at = _find(actor, wire_id), timezone.now()
    scope = chosen_scope(request, actor)
    preferred = encode_id("Space", scope.space.pk) if scope.space else ""
    form = QuestionForm(request.GET or None, initial={"space": preferred}, actor=actor, key=key)
    told = None
    if form.is_valid():
        asked = form.cleaned_data
        told = explain(
            actor,
            key.pk,
            space_id=_number(asked["space"], "Space") if asked["space"] else None,
            permission=Permission(asked["permission"]) if asked["permission"] else None,
            previous=asked.get("secret") == "previous",
            at=at,
        )
    (row,) = dressing.rows(actor, standing_of(actor), [key], at=at)
    context = {"section": "api-keys", "form": form, "told": told, "row": row, "list_url": _list_url(key.kind)}
    return render(request, "apikeys/why.html", context)


def _list(
    request: HttpRequest, actor: Actor, standing: Standing, keys: ApiKeyQuerySet, extra: dict[str, Any]
) -> HttpResponse:
    at = timezone.now()
    status = request.GET.get("status", "")
    status = status if status in _STATUSES else "active"
    query = request.GET.get("q", "").replace("\x00", "").strip()[:256]
    wanted = _STATUSES[status]
    found = (keys.with_status(wanted, at=at) if wanted else keys).named_like(query)
    found = found.select_related("owner", "created_by", "use")
    try:
        page = paginate(found, cursor=request.GET.get("after"), limit=_PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(request.path)
    kept = {"status": status, "q": query, "whose": extra.get("whose", ""), "space": extra.get("space_id", "")}
    context = extra | {
        "section": "api-keys",
        "rows": dressing.rows(actor, standing, page.items, at=at),
        "status": status,
        "query": query,
        "is_filtered": bool(query or extra.get("is_narrowed"))
        or status != "active"
        or (not page.items and keys.exists()),
        "statuses": [
            {"label": name.title(), "url": _link(kept, status=name), "current": name == status} for name in _STATUSES
        ],
        "owners": [
            {"label": label, "url": _link(kept, whose=value), "current": value == kept["whose"]}
            for value, label in (("", "Mine"), ("everyone", "Everyone’s"))
        ],
        "older_url": _link(kept, after=page.next_cursor) if page.next_cursor else "",
        "first_url": _link(kept) if request.GET.get("after") else "",
    }
    return render(request, "apikeys/list.html", context)


@dataclass
class _NewKeyPage:
    """The create form in one of its states: opened, sent for review, or sent to create."""

    request: HttpRequest
    actor: Actor
    standing: Standing
    at: datetime
    refusal: abilities.Refusal | None
    service_refusal: abilities.Refusal | None
    form: CreateKeyForm
    grants: ServiceGrants

    @classmethod
    def of(cls, request: HttpRequest, actor: Actor) -> _NewKeyPage:
        standing, at = standing_of(actor), timezone.now()
        step = request.POST.get("step", "create")
        creates = request.method == "POST" and step == "create"
        is_service = request.GET.get("type") == "service" and request.method != "POST"
        service_refusal = abilities.why_no_service_key(actor, standing)
        opened_on = KeyKind.SERVICE if is_service and not service_refusal else KeyKind.USER
        # A form that is only looked over comes back with what was typed and without complaints about the rest.
        initial = {"key_type": opened_on} | request.POST.dict()
        account = actor.require_account()
        return cls(
            request=request,
            actor=actor,
            standing=standing,
            at=at,
            refusal=abilities.why_no_user_key(actor, standing),
            service_refusal=service_refusal,
            form=CreateKeyForm(request.POST if creates else None, initial=initial, account=account, at=at),
            grants=ServiceGrants(
                actor,
                standing,
                request.POST if request.method == "POST" else QueryDict(),
                preferred=chosen_scope(request, actor),
                strict=creates and request.POST.get("key_type") == KeyKind.SERVICE,
                step=step,
            ),
        )

    @property
    def nonce(self) -> str:
        """The number the form came with, or none."""
        return self.request.POST.get("nonce", "")

    def show(self, *, status: int = 200) -> HttpResponse:
        """Render the form, with the number it came with where that is still good."""
        session = self.request.session
        keep = nonces.peek(session, self.nonce) is NonceState.OPEN
        context = _dialog(self.form.kind) | {
            "user_refusal": self.refusal,
            "service_refusal": self.service_refusal,
            "form": self.form,
            "grants": self.grants,
            "nonce": self.nonce if keep else nonces.issue(session),
            "summary": {
                "user": abilities.of_user_key(self.actor, self.standing),
                "service": abilities.of_service_key(
                    [(row.space, row.role) for row in self.grants.rows],
                    [(row.organization, row.role) for row in self.grants.organizations],
                    self.grants.account_role,
                    self.standing.account,
                ),
            },
        }
        return render(self.request, "apikeys/create.html", context, status=status)

    def make(self) -> NewKey:
        """Call the verb for the kind chosen."""
        chosen = self.form.cleaned_data
        name, description, expires_at = chosen["name"], chosen["description"], self.form.expires_at
        if self.form.kind == KeyKind.USER:
            return create_user_key(self.actor, name=name, description=description, expires_at=expires_at, at=self.at)
        if self.grants.account_role is None:
            raise Invalid("Choose an account role.", field="account_role")
        return create_service_key(
            self.actor,
            name=name,
            description=description,
            expires_at=expires_at,
            account_role=self.grants.account_role,
            organizations=self.grants.grants(),
            at=self.at,
        )


@sensitive_variables("made")
def _create(page: _NewKeyPage) -> HttpResponse:
    request = page.request
    is_service = page.form.kind == KeyKind.SERVICE
    if nonces.peek(request.session, page.nonce) is NonceState.SPENT:
        return _already(request, page.form.kind, "This key was already created; its secret is shown only once")
    if not page.form.is_valid() or (is_service and not page.grants.is_valid):
        return page.show(status=422)
    with transaction.atomic():
        state = nonces.hold(request.session, page.nonce)
        if state is NonceState.SPENT:
            return _already(request, page.form.kind, "This key was already created; its secret is shown only once")
        if state is NonceState.UNKNOWN:
            page.form.add_error(None, _STALE)
            return page.show(status=409)
        # Caught in here, so that leaving the block commits: the verb has recorded its refusal in this transaction.
        made = refusal = None
        try:
            made = page.make()
            nonces.spend(request.session, page.nonce)
        except DomainError as error:
            refusal = error
    if refusal is not None or made is None:
        _show_or_raise(refusal, page.form, page.grants)
        return page.show(status=422)
    return _reveal(request, made, heading="Key created")


@sensitive_variables("made")
def _refresh(
    request: HttpRequest, actor: Actor, standing: Standing, key: ApiKey, form: RefreshForm, at: datetime
) -> HttpResponse:
    nonce = request.POST.get("nonce", "")
    with transaction.atomic():
        state = nonces.hold(request.session, nonce)
        if state is NonceState.SPENT:
            return _already(request, key.kind, "This key was already refreshed; its secret is shown only once")
        if state is NonceState.UNKNOWN:
            form.add_error(None, _STALE)
            return _show_refresh(request, actor, standing, key, form, at)
        made = refusal = None
        try:
            made = refresh_key(actor, key, expires_at=form.expires_at, grace=form.grace_period, at=at)
            nonces.spend(request.session, nonce)
        except DomainError as error:
            refusal = error
    if refusal is not None or made is None:
        _show_or_raise(refusal, form)
        return _show_refresh(request, actor, standing, key, form, at)
    return _reveal(request, made, heading="Key refreshed", old_until=_old_until(form.grace_period, key.expires_at, at))


def _show_or_raise(refusal: DomainError | None, form: ExpiryForm, grants: ServiceGrants | None = None) -> None:
    if isinstance(refusal, NotFound | Forbidden):
        raise refusal
    if refusal is not None:
        show_refusal(refusal, form, grants)


def _show_refresh(
    request: HttpRequest, actor: Actor, standing: Standing, key: ApiKey, form: RefreshForm, at: datetime
) -> HttpResponse:
    nonce = request.POST.get("nonce", "")
    keep = nonces.peek(request.session, nonce) is NonceState.OPEN
    (row,) = dressing.rows(actor, standing, [key], at=at)
    context = _dialog(key.kind) | {
        "form": form,
        "row": row,
        "nonce": nonce if keep else nonces.issue(request.session),
    }
    return render(request, "apikeys/refresh.html", context, status=422 if form.errors else 200)


@sensitive_variables("made", "context", "snippets")
def _reveal(request: HttpRequest, made: NewKey, *, heading: str, old_until: str = "") -> HttpResponse:
    """Show a secret, in this answer only."""
    context = _dialog(made.key.kind) | {
        "heading": heading,
        "key": made.key,
        "plaintext": made.plaintext,
        "expires_at": made.key.expires_at,
        "old_until": old_until,
        "snippets": _snippets(request, made.plaintext),
        "done_url": _list_url(made.key.kind),
    }
    response = render(request, "apikeys/created.html", context)
    # The page's address and contents go nowhere with the links on it; settings_page forbids storing it.
    response["Referrer-Policy"] = "no-referrer"
    return response


def _already(request: HttpRequest, kind: str, heading: str) -> HttpResponse:
    return render(request, "apikeys/already.html", _dialog(kind) | {"heading": heading}, status=409)


@sensitive_variables()
def _snippets(request: HttpRequest, plaintext: str) -> list[dict[str, str]]:
    host, scheme = request.get_host(), request.scheme
    sdk = [
        "from arize import ArizeClient",
        "",
        "client = ArizeClient(",
        f'    api_key="{plaintext}",',
        f'    api_host="{host}",',
        *([f'    api_scheme="{scheme}",'] if scheme != "https" else []),
        ")",
        "print(client.spaces.list())",
    ]
    return [
        {"id": "snippet-environment", "title": "Environment", "text": f"export ARIZE_API_KEY={plaintext}"},
        {
            "id": "snippet-curl",
            "title": "curl",
            "text": f'curl -H "Authorization: Bearer {plaintext}" \\\n  {scheme}://{host}/v2/spaces',
        },
        {"id": "snippet-sdk", "title": "Python SDK", "text": "\n".join(sdk)},
    ]


def _old_until(grace: timedelta, expired_at: datetime | None, at: datetime) -> str:
    if not grace:
        return "The old secret stopped working just now."
    until = min(at + grace, expired_at or at + grace)
    return f"The old secret goes on working until {until:%-d %B, %H:%M} UTC, and stops by itself."


def _find(actor: Actor, wire_id: str) -> ApiKey:
    return policy.find_key(actor, _number(wire_id, "ApiKey"))


def _number(wire_id: str, type_name: str) -> int:
    try:
        return decode_id(wire_id, type_name)
    except Invalid as error:
        raise Http404 from error


def _dialog(kind: str) -> dict[str, Any]:
    return {"section": "api-keys", "close_url": _list_url(kind)}


def _list_url(kind: str) -> str:
    return reverse("apikeys:service" if kind == KeyKind.SERVICE else "apikeys:list")


def _asked_space(request: HttpRequest, actor: Actor) -> ChosenScope | None:
    """Return the space that the address names, as links on a space's page do, in place of what is chosen above."""
    if "space" not in request.GET:
        return None
    space = find_seen(actor, Space, _number(request.GET["space"], "Space"))
    return ChosenScope(actor.require_account(), space.organization, space)


def _within(keys: ApiKeyQuerySet, scope: ChosenScope) -> ApiKeyQuerySet:
    """Narrow service keys to those bound in the organization or space chosen at the top of the page."""
    if scope.organization is None:
        return keys
    bound = SpaceBinding.objects.filter(user=OuterRef("owner"), content_object__organization=scope.organization)
    if scope.space is not None:
        bound = bound.filter(content_object=scope.space)
    return keys.filter(Exists(bound))


def _link(kept: dict[str, str], **changed: str) -> str:
    return "?" + urlencode({name: value for name, value in (kept | changed).items() if value})
