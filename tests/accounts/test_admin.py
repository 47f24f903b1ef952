"""The operator's pages about accounts, people and roles: forms call the verbs, and say what those refuse."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Group
from django.contrib.auth.models import Permission as AuthPermission
from django.core import mail
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.admin.people import PasswordForm
from accounts.audit import Tag
from accounts.bindings import predefined
from accounts.invitations import tokens
from accounts.models import (
    Account,
    AccountBinding,
    AuditEvent,
    Organization,
    OrganizationBinding,
    Project,
    ProjectBinding,
    Role,
    Space,
    SpaceBinding,
    User,
)
from accounts.roles import Level, RoleName
from apikeys.models import ApiKey
from tests.cast import Cast
from tests.factories import PASSWORD, PersonFactory, ProjectFactory, bind, custom_role, service_key, user_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> User:
    """Whoever runs the installation."""
    return User.objects.create_superuser("olga@example.com", PASSWORD, name="Olga Operator")


@pytest.fixture
def desk(operator: User) -> Client:
    """A browser in which the operator is signed in."""
    client = Client(REMOTE_ADDR="203.0.113.9")
    client.force_login(operator)
    return client


def _page(model: type[Model], name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def _send(desk: Client, address: str, **data: Any) -> None:
    """Send a form that is expected to be carried out."""
    answer = desk.post(address, data)
    errors = answer.context["adminform"].form.errors if answer.status_code == 200 else {}
    assert (answer.status_code, errors) == (302, {})


def _refused(desk: Client, address: str, **data: Any) -> str:
    """Send a form that is expected to come back, and return what it says."""
    answer = desk.post(address, data)
    assert answer.status_code == 200
    return str(answer.context["adminform"].form.errors.as_text())


def _latest(tag: Tag) -> AuditEvent:
    event = AuditEvent.objects.filter(tag=tag).latest("pk")
    assert (event.door, event.ip, event.outcome) == ("admin", "203.0.113.9", "SUCCEEDED")
    assert event.actor_label == "Olga Operator <olga@example.com>"
    return event


def _role(level: Level, name: RoleName) -> int:
    return predefined(level, name).pk


# Getting in


def test_sign_in_is_the_products_own(client: Client) -> None:
    answer = client.get("/admin/apikeys/apikey/")
    assert answer.status_code == 302
    answer = client.get(answer["Location"])
    assert answer.status_code == 302
    assert answer["Location"] == f"{reverse('accounts:login')}?next=/admin/apikeys/apikey/"


def test_sign_in_leads_nowhere_else(desk: Client, client: Client) -> None:
    address = "/admin/login/?next=https://elsewhere.example/"
    assert desk.get(address)["Location"] == "/admin/"
    assert client.get(address)["Location"].endswith("?next=/admin/")


@pytest.mark.parametrize("name", ["password_change", "password_change_done"])
def test_ones_own_password_is_changed_on_the_products_own_page(desk: Client, name: str) -> None:
    """Django's own would neither count wrong guesses nor record the change (security 45)."""
    for answer in (desk.get(reverse(f"admin:{name}")), desk.post(reverse(f"admin:{name}"))):
        assert answer["Location"] == reverse("accounts:password")


def test_people_who_do_not_operate_are_refused(client: Client, cast: Cast) -> None:
    client.force_login(cast.alice)

    assert client.get("/admin/", follow=True).status_code == 403


def test_groups_and_generic_permissions_are_not_offered(desk: Client) -> None:
    labels = {model._meta.label for model in admin.site._registry}
    assert Group._meta.label not in labels
    assert not {label for label in labels if label.startswith("guardian.")}


# Accounts, organizations, spaces


def test_account_is_created_with_its_first_admin(desk: Client) -> None:
    _send(desk, _page(Account, "add"), name="Globex", admin_email="Gil@Example.com", admin_name="Gil Globe")

    account = Account.objects.get(name="Globex")
    binding = AccountBinding.objects.get(content_object=account)
    assert (binding.user.email, binding.role.name) == ("gil@example.com", RoleName.ADMIN)
    assert _latest(Tag.ACCOUNT_CREATED).account_id == account.pk


def test_account_name_taken_is_said_in_the_form(desk: Client, cast: Cast) -> None:
    said = _refused(desk, _page(Account, "add"), name="Acme AI", admin_email="gil@example.com", admin_name="Gil")

    assert "There is already an account “Acme AI”." in said


def test_account_without_a_usable_first_admin_is_refused(desk: Client, cast: Cast) -> None:
    bot = service_key(cast.bob, cast.production).key.owner
    address = _page(Account, "add")

    assert "Nobody can receive mail" in _refused(desk, address, name="Globex", admin_email=bot.email, admin_name="Gil")
    User.objects.filter(pk=cast.charlie.pk).update(is_active=False)
    assert "cannot sign in" in _refused(desk, address, name="Globex", admin_email=cast.charlie.email, admin_name="C")
    assert not Account.objects.filter(name="Globex").exists()


def test_account_policy_caps_and_name_are_changed_and_recorded(desk: Client, cast: Cast) -> None:
    address = _page(Account, "change", cast.account.pk)
    form = {"name": "Acme", "max_key_lifetime_days": 90, "max_live_keys": 5, "max_keys_per_hour": 4}

    _send(desk, address, developer_access_locked="on", **form)

    cast.account.refresh_from_db()
    assert cast.account.developer_access_locked
    assert (cast.account.name, cast.account.max_key_lifetime_days) == ("Acme", 90)
    limits, policy = AuditEvent.objects.filter(tag=Tag.ACCOUNT_CHANGED).order_by("pk")
    assert limits.details["after"] == {"name": "Acme", "max_live_keys": 5, "max_keys_per_hour": 4}
    assert policy.details["before"] == {"developer_access_locked": False, "max_key_lifetime_days": None}


def test_nothing_of_an_account_is_changed_when_a_part_is_refused(desk: Client, cast: Cast) -> None:
    address = _page(Account, "change", cast.account.pk)

    said = _refused(desk, address, name="Acme", max_key_lifetime_days=0, max_live_keys=5, max_keys_per_hour=4)

    assert "greater than or equal to 1" in said
    assert Account.objects.get(pk=cast.account.pk).name == "Acme AI"
    assert not AuditEvent.objects.filter(tag=Tag.ACCOUNT_CHANGED).exists()


def test_organization_and_space_are_created_changed_and_recorded(desk: Client, cast: Cast) -> None:
    _send(desk, _page(Organization, "add"), account=cast.account.pk, name="Risk", description="")
    organization = Organization.objects.get(name="Risk")
    assert _latest(Tag.ORGANIZATION_CREATED).target_id == organization.pk

    _send(desk, _page(Organization, "change", organization.pk), name="Risks", description="all of them")
    assert _latest(Tag.ORGANIZATION_CHANGED).details["after"] == {"name": "Risks", "description": "all of them"}

    _send(desk, _page(Space, "add"), organization=organization.pk, name="lab", description="", is_private="on")
    space = Space.objects.get(name="lab")
    assert space.is_private
    assert _latest(Tag.SPACE_CREATED).account_id == cast.account.pk

    _send(desk, _page(Space, "change", space.pk), name="lab", description="")
    assert not Space.objects.get(pk=space.pk).is_private
    assert _latest(Tag.SPACE_CHANGED).details == {"before": {"is_private": True}, "after": {"is_private": False}}


def test_names_taken_are_said_in_the_form(desk: Client, cast: Cast) -> None:
    address = _page(Organization, "add")
    assert "already has" in _refused(desk, address, account=cast.account.pk, name="Research", description="")
    address = _page(Organization, "change", cast.fraud.pk)
    assert "already has" in _refused(desk, address, name="Research", description="")
    address = _page(Space, "add")
    assert "already has" in _refused(desk, address, organization=cast.fraud.pk, name="staging", description="")
    address = _page(Space, "change", cast.production.pk)
    assert "already has" in _refused(desk, address, name="staging", description="")
    assert set(Space.objects.filter(organization=cast.fraud).values_list("name", flat=True)) == {
        "production",
        "staging",
    }


@pytest.mark.parametrize("model", [Account, Organization, Space, User])
def test_nothing_that_keys_hang_on_is_deleted(desk: Client, cast: Cast, model: type[Model]) -> None:
    row = model._default_manager.order_by("pk").first()
    assert row is not None
    assert desk.post(_page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    desk.post(_page(model, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert model._default_manager.filter(pk=row.pk).exists()


# People


def test_person_is_invited_and_mailed(desk: Client, cast: Cast) -> None:
    _send(
        desk,
        _page(User, "add"),
        account=cast.account.pk,
        email="Gil@example.com",
        name="Gil Globe",
        role=_role(Level.ACCOUNT, RoleName.MEMBER),
    )

    gil = User.objects.get(email="gil@example.com")
    assert gil.joined_at is None
    assert not gil.has_usable_password()
    assert _latest(Tag.PERSON_INVITED).target_id == gil.pk
    (letter,) = mail.outbox
    assert letter.to == ["gil@example.com"]


def test_inviting_a_member_again_is_said_in_the_form(desk: Client, cast: Cast) -> None:
    said = _refused(
        desk,
        _page(User, "add"),
        account=cast.account.pk,
        email="bob@example.com",
        name="Bob",
        role=_role(Level.ACCOUNT, RoleName.MEMBER),
    )

    assert "bob@example.com" in said
    assert mail.outbox == []


def test_invitation_is_mailed_again(desk: Client, cast: Cast) -> None:
    gil = User.objects.create_user("gil@example.com", name="Gil")
    bind(gil, cast.account, RoleName.MEMBER)
    assert "Mail the invitation" in desk.get(_page(User, "change", gil.pk)).content.decode()

    desk.post(reverse("admin:accounts_user_invite", args=[gil.pk]))
    desk.get(reverse("admin:accounts_user_invite", args=[gil.pk]))
    desk.post(reverse("admin:accounts_user_invite", args=[cast.bob.pk]))

    assert [letter.to for letter in mail.outbox] == [["gil@example.com"]]
    assert _latest(Tag.PERSON_INVITED).details == {"again": True}


def test_invitation_sent_again_makes_the_link_before_it_void(desk: Client, cast: Cast) -> None:
    gil = User.objects.create_user("gil@example.com", name="Gil")
    bind(gil, cast.account, RoleName.MEMBER)
    before = tokens.make_token(gil)

    desk.post(reverse("admin:accounts_user_invite", args=[gil.pk]))

    assert not tokens.check_token(User.objects.get(pk=gil.pk), before)


def _form_of(person: User, **changed: Any) -> dict[str, Any]:
    form: dict[str, Any] = {"name": person.name, "email": person.email}
    form |= {name: "on" for name in ("is_active", "is_staff", "is_superuser") if getattr(person, name)}
    form |= changed
    return {name: value for name, value in form.items() if value is not None}


def test_person_is_deactivated_and_reactivated(desk: Client, cast: Cast) -> None:
    address = _page(User, "change", cast.bob.pk)

    _send(desk, address, **_form_of(cast.bob, is_active=None))
    cast.bob.refresh_from_db()
    assert not cast.bob.is_active
    assert _latest(Tag.PERSON_DEACTIVATED).account_id == cast.account.pk

    _send(desk, address, **_form_of(cast.bob, is_active="on"))
    assert User.objects.get(pk=cast.bob.pk).is_active
    assert _latest(Tag.PERSON_REACTIVATED).target_id == cast.bob.pk


def test_what_is_done_to_a_person_stands_in_the_log_of_every_account_they_are_in(desk: Client, cast: Cast) -> None:
    elsewhere = cast.elsewhere.organization.account
    bind(cast.bob, elsewhere, RoleName.MEMBER)
    address, new = _page(User, "change", cast.bob.pk), "a password nobody guesses"

    _send(desk, address, **_form_of(cast.bob, name="Robert Baker", is_active=None, is_staff="on"))
    cast.bob.refresh_from_db()
    _send(desk, address, **_form_of(cast.bob, is_active="on"))
    desk.post(
        reverse("admin:auth_user_password_change", args=[cast.bob.pk]),
        {"password1": new, "password2": new, "usable_password": "true"},
    )

    tags = {
        Tag.PERSON_CHANGED,
        Tag.PERSON_DEACTIVATED,
        Tag.PERSON_REACTIVATED,
        Tag.OPERATOR_CHANGED,
        Tag.PASSWORD_CHANGED,
    }
    for account in (cast.account, elsewhere):
        events = AuditEvent.objects.filter(account_id=account.pk, target_id=cast.bob.pk, tag__in=tags)
        assert sorted(event.tag for event in events) == sorted(tags)


def test_person_in_no_account_is_told_of_in_the_installations_log(desk: Client) -> None:
    gil = User.objects.create_user("gil@example.com", name="Gil")

    _send(desk, _page(User, "change", gil.pk), **_form_of(gil, is_active=None))

    assert _latest(Tag.PERSON_DEACTIVATED).account_id is None


def test_last_admin_is_not_deactivated(desk: Client, cast: Cast) -> None:
    said = _refused(desk, _page(User, "change", cast.alice.pk), **_form_of(cast.alice, is_active=None))

    assert "last admin of “Acme AI”" in said
    assert User.objects.get(pk=cast.alice.pk).is_active


def test_nothing_of_a_person_is_changed_when_a_part_is_refused(desk: Client, cast: Cast) -> None:
    _refused(desk, _page(User, "change", cast.alice.pk), **_form_of(cast.alice, name="Alicia", is_active=None))

    assert User.objects.get(pk=cast.alice.pk).name == "Alice Archer"
    assert not AuditEvent.objects.filter(tag=Tag.PERSON_CHANGED).exists()


def test_last_operator_stays(desk: Client, operator: User) -> None:
    address = _page(User, "change", operator.pk)
    for part in ("is_active", "is_staff", "is_superuser"):
        assert "last operator" in _refused(desk, address, **_form_of(operator, **{part: None}))

    operator.refresh_from_db()
    assert (operator.is_active, operator.is_staff, operator.is_superuser) == (True, True, True)


def test_name_and_address_are_corrected(desk: Client, cast: Cast) -> None:
    address = _page(User, "change", cast.bob.pk)

    _send(desk, address, **_form_of(cast.bob, name="Robert Baker", email="Robert@Example.com"))

    cast.bob.refresh_from_db()
    assert (cast.bob.name, cast.bob.email) == ("Robert Baker", "robert@example.com")
    assert _latest(Tag.PERSON_CHANGED).details["before"] == {"name": "Bob Baker", "email": "bob@example.com"}
    assert "Somebody else has the address" in _refused(desk, address, **_form_of(cast.bob, email="alice@example.com"))


def test_somebody_is_made_an_operator_who_looks(desk: Client, cast: Cast) -> None:
    permission = AuthPermission.objects.get(codename="view_apikey")

    _send(desk, _page(User, "change", cast.bob.pk), **_form_of(cast.bob, is_staff="on", may_view=[permission.pk]))

    cast.bob.refresh_from_db()
    assert cast.bob.is_staff
    assert list(cast.bob.user_permissions.all()) == [permission]
    before = [event.details["after"] for event in AuditEvent.objects.filter(tag=Tag.OPERATOR_CHANGED).order_by("pk")]
    assert before == [{"may_view": ["view_apikey"]}, {"is_staff": True}]


def test_only_view_permissions_can_be_given(desk: Client, cast: Cast) -> None:
    permission = AuthPermission.objects.get(codename="delete_apikey")

    said = _refused(desk, _page(User, "change", cast.bob.pk), **_form_of(cast.bob, may_view=[permission.pk]))

    assert "may_view" in said


def test_password_is_set_through_djangos_form(desk: Client, cast: Cast) -> None:
    gil = User.objects.create_user("gil@example.com", name="Gil")
    bind(gil, cast.account, RoleName.MEMBER)
    address = reverse("admin:auth_user_password_change", args=[gil.pk])
    assert desk.get(address).status_code == 200

    assert (
        desk.post(address, {"password1": "short", "password2": "short", "usable_password": "true"}).status_code == 200
    )
    assert not User.objects.get(pk=gil.pk).has_usable_password()

    new = "a password nobody guesses"
    desk.post(address, {"password1": new, "password2": new, "usable_password": "true"})

    gil.refresh_from_db()
    assert gil.check_password(new)
    assert gil.joined_at is not None
    assert _latest(Tag.PASSWORD_CHANGED).account_id == cast.account.pk
    assert new not in str(list(AuditEvent.objects.values()))


def test_setting_a_password_writes_nothing_else(desk: Client, cast: Cast) -> None:
    form = PasswordForm(
        User.objects.get(pk=cast.bob.pk),
        {"password1": "a password nobody guesses", "password2": "a password nobody guesses", "usable_password": "true"},
    )
    assert form.is_valid()
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)

    form.save()

    cast.bob.refresh_from_db()
    assert cast.bob.check_password("a password nobody guesses")
    assert not cast.bob.is_active


def test_bot_has_no_password_form_and_nothing_to_change(desk: Client, cast: Cast) -> None:
    bot = service_key(cast.bob, cast.production).key.owner
    address = reverse("admin:auth_user_password_change", args=[bot.pk])

    assert desk.get(address).status_code == 404
    new = "a password nobody guesses"
    assert desk.post(address, {"password1": new, "password2": new, "usable_password": "true"}).status_code == 404
    assert desk.post(_page(User, "change", bot.pk), _form_of(bot, is_staff="on")).status_code == 403
    assert not User.objects.get(pk=bot.pk).has_usable_password()


def test_people_only_are_offered_for_roles(desk: Client, cast: Cast) -> None:
    service_key(cast.bob, cast.production, name="Bob's bot")

    answer = desk.get(
        reverse("admin:autocomplete"),
        {"term": "bob", "app_label": "accounts", "model_name": "spacebinding", "field_name": "user"},
    )

    assert [row["text"] for row in answer.json()["results"]] == ["Bob Baker <bob@example.com>"]


def test_spaces_of_equal_names_are_told_apart_while_one_types(desk: Client, cast: Cast) -> None:
    answer = desk.get(
        reverse("admin:autocomplete"),
        {"term": "production", "app_label": "accounts", "model_name": "spacebinding", "field_name": "content_object"},
    )

    other = cast.elsewhere.organization
    assert {row["text"] for row in answer.json()["results"]} == {
        "Fraud & Risk / production (Acme AI)",
        f"{other} / production ({other.account})",
    }


# Bindings


def test_role_is_granted_changed_and_withdrawn(desk: Client, cast: Cast) -> None:
    role = _role(Level.SPACE, RoleName.MEMBER)
    _send(
        desk,
        _page(OrganizationBinding, "add"),
        user=cast.bob.pk,
        content_object=cast.research.pk,
        role=_role(Level.ORGANIZATION, RoleName.MEMBER),
    )
    _send(desk, _page(SpaceBinding, "add"), user=cast.bob.pk, content_object=cast.vision_lab.pk, role=role)
    assert _latest(Tag.ROLE_GRANTED).details["scope"] == "vision-lab"

    binding = SpaceBinding.objects.get(user=cast.bob, content_object=cast.vision_lab)
    _send(desk, _page(SpaceBinding, "change", binding.pk), role=_role(Level.SPACE, RoleName.ADMIN))
    assert _latest(Tag.ROLE_CHANGED).details["role"] == "ADMIN"

    asked = desk.get(_page(SpaceBinding, "delete", binding.pk))
    assert "Bob Baker &lt;bob@example.com&gt; · Admin · vision-lab" in asked.content.decode()
    _send(desk, _page(SpaceBinding, "delete", binding.pk), post="yes")
    assert not SpaceBinding.objects.filter(user=cast.bob, content_object=cast.vision_lab).exists()
    assert _latest(Tag.ROLE_WITHDRAWN).details["scope"] == "vision-lab"


def test_role_in_a_project_is_granted_changed_and_withdrawn(desk: Client, cast: Cast) -> None:
    project = ProjectFactory.create(space=cast.production, name="payroll", restricted_at=timezone.now())
    _send(
        desk,
        _page(ProjectBinding, "add"),
        user=cast.bob.pk,
        content_object=project.pk,
        role=_role(Level.SPACE, RoleName.READ_ONLY),
    )
    assert _latest(Tag.ROLE_GRANTED).details["scope"] == "payroll"

    binding = ProjectBinding.objects.get(user=cast.bob, content_object=project)
    _send(desk, _page(ProjectBinding, "change", binding.pk), role=_role(Level.SPACE, RoleName.MEMBER))
    assert ProjectBinding.objects.get(pk=binding.pk).role.name == "MEMBER"
    assert "payroll" in desk.get(_page(ProjectBinding, "changelist"), {"q": "pay"}).content.decode()

    _send(desk, _page(ProjectBinding, "delete", binding.pk), post="yes")
    assert not ProjectBinding.objects.exists()
    assert _latest(Tag.ROLE_WITHDRAWN).details["scope"] == "payroll"


def test_projects_are_restricted_and_freed_from_their_list_and_each_is_answered(desk: Client, cast: Cast) -> None:
    projects = ProjectFactory.create_batch(2, space=cast.production)
    chosen = {ACTION_CHECKBOX_NAME: [project.pk for project in projects]}
    listed = _page(Project, "changelist")

    said = desk.post(listed, {"action": "restrict"} | chosen, follow=True).content.decode()

    assert said.count("is restricted: only roles given in the project itself count") == 2
    assert not Project.objects.filter(restricted_at=None).exists()
    assert _latest(Tag.PROJECT_RESTRICTED).target_id in chosen[ACTION_CHECKBOX_NAME]
    Project.objects.filter(pk=projects[0].pk).update(restricted_at=None)
    said = desk.post(listed, {"action": "unrestrict"} | chosen, follow=True).content.decode()
    assert (said.count("is not restricted."), said.count("no longer restricted")) == (1, 1)
    assert not Project.objects.exclude(restricted_at=None).exists()
    assert "Restricted a project" in desk.get(_page(AuditEvent, "changelist")).content.decode()


def test_grant_against_the_rules_is_said_in_the_form(desk: Client, cast: Cast) -> None:
    said = _refused(
        desk,
        _page(SpaceBinding, "add"),
        user=cast.bob.pk,
        content_object=cast.vision_lab.pk,
        role=_role(Level.SPACE, RoleName.MEMBER),
    )

    assert "not a member of “Research”" in said


def test_withdrawing_from_an_organization_names_the_spaces_below(desk: Client, cast: Cast) -> None:
    binding = OrganizationBinding.objects.get(user=cast.bob, content_object=cast.fraud)
    bind(cast.bob, ProjectFactory.create(space=cast.staging, name="churn"), RoleName.READ_ONLY)
    address = _page(OrganizationBinding, "delete", binding.pk)

    text = desk.get(address).content.decode()
    assert "Member · production" in text
    assert "Member · staging" in text
    assert "Read-Only Member · churn" in text

    _send(desk, address, post="yes")
    assert not SpaceBinding.objects.filter(user=cast.bob).exists()


def test_removing_somebody_from_an_account_says_which_keys_stop(desk: Client, cast: Cast) -> None:
    user_key(cast.bob, cast.account, "notebook")
    nightly = service_key(cast.bob, cast.production, name="nightly").key
    binding = AccountBinding.objects.get(user=cast.bob)
    address = _page(AccountBinding, "delete", binding.pk)

    text = desk.get(address).content.decode()
    assert "User key notebook" in text
    assert "Service key nightly" in text

    _send(desk, address, post="yes")
    assert not ApiKey.objects.filter(owner=cast.bob, revoked_at__isnull=True).exists()
    assert ApiKey.objects.filter(pk=nightly.pk, revoked_at__isnull=True).exists()
    assert _latest(Tag.PERSON_REMOVED).target_id == cast.bob.pk


def test_last_admin_is_not_removed_and_the_page_says_why(desk: Client, cast: Cast) -> None:
    binding = AccountBinding.objects.get(user=cast.alice)

    answer = desk.post(_page(AccountBinding, "delete", binding.pk), {"post": "yes"}, follow=True)

    assert "last admin of “Acme AI”" in answer.content.decode()
    assert AccountBinding.objects.filter(pk=binding.pk).exists()


def test_developer_access_follows_the_role_unless_set_with_it(desk: Client, cast: Cast) -> None:
    binding = AccountBinding.objects.get(user=cast.erin)
    address = _page(AccountBinding, "change", binding.pk)

    _send(desk, address, role=_role(Level.ACCOUNT, RoleName.MEMBER_UI_ONLY), is_developer="on")
    binding.refresh_from_db()
    assert not binding.is_developer

    _send(desk, address, role=_role(Level.ACCOUNT, RoleName.MEMBER_UI_ONLY), is_developer="on")
    binding.refresh_from_db()
    assert binding.is_developer
    assert _latest(Tag.DEVELOPER_CHANGED).details == {"before": False, "after": True}


def test_a_bots_roles_are_not_raised_here(desk: Client, cast: Cast) -> None:
    bot = service_key(cast.bob, cast.production).key.owner
    binding = SpaceBinding.objects.get(user=bot)

    address = _page(SpaceBinding, "change", binding.pk)
    assert desk.post(address, {"role": _role(Level.SPACE, RoleName.ADMIN)}).status_code == 403
    other = cast.elsewhere.organization.account
    said = _refused(
        desk,
        _page(AccountBinding, "add"),
        user=bot.pk,
        content_object=other.pk,
        role=_role(Level.ACCOUNT, RoleName.MEMBER),
    )
    assert "bot" in said.lower()
    assert not AccountBinding.objects.filter(user=bot, content_object=other).exists()


def test_custom_role_of_another_account_is_refused(desk: Client, cast: Cast) -> None:
    foreign = custom_role(cast.elsewhere.organization.account, "uploader", "DATASET_CREATE")

    said = _refused(
        desk, _page(SpaceBinding, "add"), user=cast.bob.pk, content_object=cast.production.pk, role=foreign.pk
    )

    assert "There is no such role." in said


def test_audit_trail_names_and_links_what_it_speaks_of(desk: Client, cast: Cast, operator: User) -> None:
    _send(desk, _page(Space, "change", cast.production.pk), name="prod", description="", is_private="on")
    event = AuditEvent.objects.latest("pk")

    text = desk.get(_page(AuditEvent, "changelist")).content.decode()
    assert f'href="{_page(Space, "change", cast.production.pk)}"' in text
    assert f'href="{_page(User, "change", operator.pk)}"' in text
    assert f'href="{_page(Account, "change", cast.account.pk)}"' in text
    assert "&quot;is_private&quot;: true" in desk.get(_page(AuditEvent, "change", event.pk)).content.decode()
    trail = desk.get(_page(AuditEvent, "changelist"), {"target_type": "Space", "target_id": str(cast.production.pk)})
    assert trail.context["cl"].result_count == 1


def test_a_stranger_is_not_let_in_by_being_in_no_account(client: Client) -> None:
    client.force_login(PersonFactory.create())

    assert client.get("/admin/accounts/user/", follow=True).status_code == 403


# What no page offers


@pytest.mark.parametrize("typed", ["abc", "\x00", "9" * 40, "-1"])
def test_odd_choices_are_errors_of_the_form(desk: Client, cast: Cast, typed: str) -> None:
    address = _page(AccountBinding, "add")

    assert desk.get(_page(User, "add"), {"account": typed}).status_code == 200
    assert desk.get(address, {"user": typed, "content_object": typed}).status_code == 200
    said = _refused(desk, address, user=typed, content_object=typed)
    assert ("Null characters" if typed == "\x00" else "valid choice") in said


@pytest.mark.parametrize("parameter", ["term", "app_label", "model_name", "field_name"])
def test_nul_is_refused_while_one_types(desk: Client, parameter: str) -> None:
    asked = {"app_label": "accounts", "model_name": "accountbinding", "field_name": "user", "term": "b"}

    assert desk.get(reverse("admin:autocomplete"), asked).status_code == 200
    assert desk.get(reverse("admin:autocomplete"), asked | {parameter: "\x00"}).status_code == 400


def test_filters_pass_over_what_they_do_not_offer(desk: Client, cast: Cast) -> None:
    _send(desk, _page(User, "change", cast.bob.pk), **_form_of(cast.bob, name="Robert Baker"))
    for model, parameter in (
        (AuditEvent, "tag"),
        (AuditEvent, "door"),
        (SpaceBinding, "permission__role__name"),
        (Role, "origin"),
    ):
        address = _page(model, "changelist")

        listed, narrowed = desk.get(address), desk.get(address, {parameter: "nothing of the kind"})

        assert narrowed.status_code == 200
        assert narrowed.context["cl"].result_count == listed.context["cl"].result_count > 0
