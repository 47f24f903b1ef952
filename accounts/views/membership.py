"""One person in one organization or space: choosing whom to add, and which roles they have there."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods, require_safe

from accounts import roster
from accounts.actors import Actor
from accounts.bindings import bind_role, delete_binding, level_of
from accounts.errors import DomainError, Forbidden, Invalid, NotFound
from accounts.models import Organization, Role, Space, SpaceBinding
from accounts.pages import settings_page
from accounts.paging import paginate
from accounts.permissions import may
from accounts.recent import recent_login_required
from accounts.roles import RoleName
from accounts.roster import Giving, Member, RoleChoice, value_of
from accounts.standing import Standing, standing_of
from accounts.views.naming import link, number_of, place_at, role_named, searched
from accounts.views.sign_in import safe_next
from accounts.vocabulary import Permission
from accounts.wire import encode_id

_PAGE_SIZE = 12


@require_safe
@settings_page
@recent_login_required
def add(request: HttpRequest, actor: Actor, wire_id: str) -> HttpResponse:
    """Show who could be added, to choose one."""
    scope, mine, query = place_at(actor, wire_id), standing_of(actor), searched(request)
    _require_giving(mine, scope)
    try:
        rows = roster.candidates(actor, mine, scope, query)
        page = paginate(rows, cursor=request.GET.get("after"), limit=_PAGE_SIZE)
    except Invalid:
        return HttpResponseRedirect(request.path)
    inside = scope.organization if isinstance(scope, Space) else None
    kept = {"q": query}
    context = {
        "section": "spaces",
        "scope": scope,
        "inside": inside,
        "inside_id": encode_id("Organization", inside.pk) if inside else "",
        "runs_inside": inside is not None and bool(roster.giving(mine, inside)),
        "may_invite": may(actor, Permission.USER_CREATE, actor.require_account()),
        "rows": [
            {"member": member, "url": _url(scope, member)}
            for member in roster.dress(actor, mine, page.items, scope=inside)
        ],
        "query": query,
        "older_url": link(kept, after=page.next_cursor) if page.next_cursor else "",
        "first_url": link(kept) if request.GET.get("after") else "",
        "close_url": home_of(scope),
    }
    return render(request, "accounts/membership_add.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@settings_page
@recent_login_required
def change(request: HttpRequest, actor: Actor, wire_id: str, user_id: str) -> HttpResponse:
    """Show which roles somebody could have there, or give them what was chosen."""
    scope, mine = place_at(actor, wire_id), standing_of(actor)
    member = roster.find(actor, mine, number_of(user_id))
    page = _Membership.of(request, actor, mine, scope, member)
    return page.save() if request.method == "POST" else page.show()


def home_of(scope: Organization | Space) -> str:
    """Return the address where the members of a scope are listed."""
    name = "space" if isinstance(scope, Space) else "organization-members"
    return reverse(f"accounts:{name}", kwargs={"wire_id": encode_id(type(scope).__name__, scope.pk)})


@dataclass
class _Membership:
    """The dialog about one person at one scope."""

    request: HttpRequest
    actor: Actor
    scope: Organization | Space
    member: Member
    gives: Giving
    roles: list[RoleChoice]
    custom: list[RoleChoice]
    held: dict[bool, Role]  # by whether it is predefined: at most one of each

    @classmethod
    def of(
        cls, request: HttpRequest, actor: Actor, mine: Standing, scope: Organization | Space, member: Member
    ) -> _Membership:
        gives = _require_giving(mine, scope)
        if member.user.is_bot:
            raise Forbidden("What a bot may do was chosen with its key. Its roles can only be taken away.")
        own = (
            member.standing.spaces.get(scope.pk, ())
            if isinstance(scope, Space)
            else [role for pk, role in member.standing.organizations.items() if pk == scope.pk]
        )
        held = {role.is_predefined: role for role in own}
        offered = roster.roles_by_level(actor.require_account())[level_of(scope)]

        def choices(predefined: bool) -> list[RoleChoice]:
            some = [role for role in offered if role.is_predefined == predefined]
            return roster.choices(some, scope, mine, member=member, current=held.get(predefined))

        return cls(request, actor, scope, member, gives, choices(True), choices(False), held)

    def show(self, *, error: str = "", ask: dict[str, str] | None = None) -> HttpResponse:
        """Render the dialog; ``ask`` holds what was chosen where it has to be confirmed."""
        values = {predefined: value_of(role) for predefined, role in self.held.items()}
        chosen = ask or {"role": values.get(True, "" if values else self._default()), "custom": values.get(False, "")}
        context = {
            "section": "spaces",
            "scope": self.scope,
            "is_space": isinstance(self.scope, Space),
            "member": self.member,
            "is_new": not self.held,
            "is_you": self.member.user == self.actor.user,
            "gives": self.gives,
            "roles": self.roles,
            "custom": self.custom,
            "chosen": chosen,
            "access": roster.access(self.member.standing, self.scope),
            "inherited": [line for line in roster.access(self.member.standing, self.scope) if line.source],
            "fallback": self._fallback(),
            "error": error,
            "asks": ask is not None,
            "next": self._next,
            "close_url": self._next,
            "leave_url": self._leave_url if self.held and self.gives.predefined else "",
        }
        status = 422 if error else 200
        return render(self.request, "accounts/membership.html", context, status=status)

    def save(self) -> HttpResponse:
        """Call a verb for each kind of role that is to change, and stop at the first refusal."""
        sent = self.request.POST
        wanted = {True: sent.get("role", ""), False: sent.get("custom", "")}
        kinds = {True: self.gives.predefined, False: self.gives.custom}
        now = {kind: value_of(role) for kind, role in self.held.items()}
        steps = [kind for kind, allowed in kinds.items() if allowed and wanted[kind] != now.get(kind, "")]
        if not steps:
            return HttpResponseRedirect(self._next)
        left = {kind: value for kind, value in (now | {kind: wanted[kind] for kind in steps}).items() if value}
        if not left:
            return HttpResponseRedirect(self._leave_url)
        if self.member.user == self.actor.user and "confirmed" not in sent and self._gives_up(wanted, steps):
            return self.show(ask={"role": wanted[True], "custom": wanted[False]})
        try:
            for kind in steps:
                self._carry_out(kind, wanted[kind])
        except (Forbidden, NotFound):
            raise
        except DomainError as refusal:
            return self.show(error=refusal.detail)
        named = [role_named(self.actor, level_of(self.scope), value).label for value in left.values()]
        messages.success(self.request, f"{self.member.user.name} is now {' and '.join(named)} in “{self.scope}”.")
        return HttpResponseRedirect(self._next)

    def _carry_out(self, predefined: bool, value: str) -> None:
        at = timezone.now()
        if value:
            role = role_named(self.actor, level_of(self.scope), value)
            if role.is_predefined != predefined:
                raise NotFound("There is no such role.")
            bind_role(self.actor, user=self.member.user, role=role, scope=self.scope, at=at)
            return
        row = SpaceBinding.objects.filter(
            user=self.member.user, content_object=self.scope.pk, permission__role=self.held[predefined]
        ).first()
        if row is not None:
            delete_binding(self.actor, row, at=at)

    def _gives_up(self, wanted: dict[bool, str], steps: list[bool]) -> bool:
        """Whether somebody would take something from themselves that others have to give back."""
        ranks = {choice.value: choice.role.rank or 0 for choice in self.roles}
        before = self.held.get(True)
        lowers = before is not None and ranks.get(wanted[True], 0) < (before.rank or 0)
        return (True in steps and lowers) or (False in steps and False in self.held)

    def _default(self) -> str:
        """Return the role that is chosen before anybody chooses: as far as possible Member, or what they are above."""
        free = [choice.value for choice in self.roles if not choice.reason]
        wanted = RoleName.MEMBER if isinstance(self.scope, Space) else RoleName.READ_ONLY
        return wanted.value if wanted.value in free else next(iter(free), "")

    def _fallback(self) -> str:
        """Say what somebody is at a space without a role of their own."""
        if not isinstance(self.scope, Space):
            return ""
        above = self.member.standing.organizations.get(self.scope.organization_id)
        if self.member.role.is_admin or (above and above.is_admin):
            return "Admin, from above."
        if self.scope.is_private or above is None:
            return "No access, unless by a custom role."
        return f"{above.label}, from the organization."

    @property
    def _next(self) -> str:
        return safe_next(self.request, default=home_of(self.scope))

    @property
    def _leave_url(self) -> str:
        scope_id = encode_id(type(self.scope).__name__, self.scope.pk)
        address = reverse("accounts:member-leave", kwargs={"wire_id": self.member.wire_id, "scope_id": scope_id})
        return f"{address}?{urlencode({'next': self._next})}"


def _require_giving(mine: Standing, scope: Organization | Space) -> Giving:
    gives = roster.giving(mine, scope)
    if not gives:
        raise Forbidden(f"Only an admin of “{scope}” changes its members.")
    return gives


def _url(scope: Organization | Space, member: Member) -> str:
    name = "space-member" if isinstance(scope, Space) else "organization-member"
    wire_id = encode_id(type(scope).__name__, scope.pk)
    return reverse(f"accounts:{name}", kwargs={"wire_id": wire_id, "user_id": member.wire_id})
