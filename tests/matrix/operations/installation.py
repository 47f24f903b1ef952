"""What is done with the account as a whole, with its audit log, and with the installation."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

from accounts.audit import Tag
from accounts.audit_export import Format, export_events
from accounts.models import Account
from accounts.tenancy import change_account, change_account_limits, create_account
from accounts.trail import Filter, all_events, visible_events
from tests.matrix.doors.browser import form, page
from tests.matrix.doors.command import command
from tests.matrix.doors.desk import desk
from tests.matrix.doors.graphql import node, query
from tests.matrix.doors.rest import rest
from tests.matrix.doors.verbs import given, question, verb
from tests.matrix.doors.ways import Of, Way, wire
from tests.matrix.fates import Fate
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.scene import NOBODY, OPERATOR, Scene


def _account_form(scene: Scene, **changed: Any) -> dict[str, Any]:
    fields = {"name": scene.account.name, "max_live_keys": 10_000, "max_keys_per_hour": 5_000}
    return fields | {"max_key_lifetime_days": ""} | changed


ACCOUNT: dict[str, Operation] = {
    "read the account's key policy": operation(page("accounts:account")),
    "read about the account": operation(
        query("Query.account", "{ account { name } }", shows=lambda scene: scene.account.name),
        node("Account", lambda scene: scene.account),
    ),
    "change the account's key policy": operation(
        verb(change_account, lambda scene: given(developer_access_locked=False, max_key_lifetime_days=90)),
        form("accounts:account", fields=lambda scene: {"max_key_lifetime_days": 90}),
        desk(
            "accounts_account_change",
            lambda scene: [scene.account],
            lambda scene: _account_form(scene, max_key_lifetime_days=90),
        ),
        changes="Account",
        event=Tag.ACCOUNT_CHANGED,
    ),
    "change the account's name and caps": operation(
        verb(change_account_limits, lambda scene: given(name="Acme", max_live_keys=5, max_keys_per_hour=5)),
        desk("accounts_account_change", lambda scene: [scene.account], lambda scene: _account_form(scene, name="Acme")),
        changes="Account",
        event=Tag.ACCOUNT_CHANGED,
    ),
    "create an account": operation(
        verb(
            create_account,
            lambda scene: given(name="Globex", admin_email="gil@example.com", admin_name="Gil", password=None),
        ),
        desk(
            "accounts_account_add",
            fields=lambda scene: {"name": "Globex", "admin_email": "gil@example.com", "admin_name": "Gil"},
        ),
        command(
            "createaccount",
            lambda scene: ["--name", "Globex", "--admin-email", "gil@example.com", "--admin-name", "Gil", "--invite"],
        ),
        changes="Account",
        event=Tag.ACCOUNT_CREATED,
    ),
}

AUDIT: dict[str, Operation] = {
    "read what one did and what was done to one": operation(
        question(visible_events, lambda scene: given(), holds=lambda scene: scene.event_of_mine),
        page("accounts:audit", shows=lambda scene: "caller-key"),
    ),
    "read the account's audit log": operation(
        question(all_events, lambda scene: given(), holds=lambda scene: scene.event_of_alice),
        rest("GET /v2/audit-logs", shows=lambda scene: "alice-nightly"),
        query(
            "Account.auditLogs",
            "{ account { auditLogs { edges { node { id } } } } }",
            shows=lambda scene: wire(scene.event_of_alice),
        ),
        query(
            "Account.unauthenticatedAuditLogs",
            "{ account { unauthenticatedAuditLogs { edges { node { id } } } } }",
            shows=lambda scene: wire(scene.sign_in_of_alice),
        ),
        page(
            "accounts:audit",
            shows=lambda scene: "alice-nightly",
            differs={Fate.FORBIDDEN: Fate.ABSENT},
            because="The page is everybody's, and shows each their own. REST has the whole log or none (rest-v2 §11).",
        ),
    ),
    "export what one may read of the audit log": operation(
        verb(
            export_events,
            lambda scene: given(narrowed=Filter(), form=Format.CSV),
            differs={NOBODY: Fate.MADE},
            because="What nobody may read is an empty file. No door exports for nobody.",
        ),
        form("accounts:audit-export", fields=lambda scene: {"format": "csv"}, shows=lambda scene: "position"),
        command("exportaudit", lambda scene: ["--account", scene.account.name]),
        event=Tag.AUDIT_EXPORTED,
    ),
    "export the account's audit log": operation(
        rest("POST /v2/audit-logs/export", body=lambda scene: {"format": "CSV"}),
        event=Tag.AUDIT_EXPORTED,
    ),
    "check that the audit log is what was written": operation(
        command("verifyaudit", lambda scene: ["--account", scene.account.name], looks=True),
    ),
}


def _looked_at(model: str, row: Of[Model]) -> list[Way]:
    """Return the pages that show a model's rows, and one of them."""
    return [
        desk(f"{model}_changelist"),
        desk(f"{model}_change", lambda scene: [row(scene)]),
        desk(f"{model}_history", lambda scene: [row(scene)]),
    ]


def _edited(model: str, row: Of[Model], *what: str) -> list[Way]:
    """Return the forms that Django admin would have for a model if nobody kept it from it."""
    return [
        desk(
            f"{model}_{one}",
            (lambda scene: []) if one == "add" else (lambda scene: [row(scene)]),
            lambda scene: {"post": "yes"},
        )
        for one in what
    ]


INSTALLATION: dict[str, Operation] = {
    "look at everything on this installation": operation(
        desk("index"),
        desk("app_list", lambda scene: ["accounts"]),
        desk("jsi18n"),
        desk(
            "autocomplete",
            query={"app_label": "accounts", "model_name": "spacebinding", "field_name": "user", "term": "Bob"},
        ),
        *_looked_at("accounts_account", lambda scene: scene.account),
        *_looked_at("accounts_organization", lambda scene: scene.organization),
        *_looked_at("accounts_space", lambda scene: scene.space),
        *_looked_at("accounts_user", lambda scene: scene.bob),
        *_looked_at("accounts_role", lambda scene: scene.exporter),
        *_looked_at("accounts_accountbinding", lambda scene: scene.account_membership),
        *_looked_at("accounts_organizationbinding", lambda scene: scene.organization_membership),
        *_looked_at("accounts_spacebinding", lambda scene: scene.membership),
        *_looked_at("accounts_project", lambda scene: scene.project),
        *_looked_at("accounts_projectbinding", lambda scene: scene.in_project),
        *_looked_at("accounts_auditevent", lambda scene: scene.event_of_alice),
        *_looked_at("apikeys_apikey", lambda scene: scene.service),
        *_looked_at("apikeys_keysecret", lambda scene: scene.secret),
        *_looked_at("apikeys_keyuse", lambda scene: scene.use),
        *_looked_at("axes_accessattempt", lambda scene: scene.attempt),
        # Nothing has a page of its own on a site.
        desk(
            "view_on_site",
            lambda scene: [str(ContentType.objects.get_for_model(Account).pk), str(scene.account.pk)],
            differs={OPERATOR: Fate.ABSENT},
            because="Django admin would lead on to a page on the site, and no row has one.",
        ),
    ),
    "edit by hand what verbs alone may write": operation(
        *_edited("accounts_account", lambda scene: scene.account, "delete"),
        *_edited("accounts_organization", lambda scene: scene.organization, "delete"),
        *_edited("accounts_space", lambda scene: scene.space, "delete"),
        *_edited("accounts_project", lambda scene: scene.project, "add", "change", "delete"),
        *_edited("accounts_user", lambda scene: scene.bob, "delete"),
        *_edited("accounts_role", lambda scene: scene.exporter, "add", "change", "delete"),
        *_edited("accounts_auditevent", lambda scene: scene.event_of_alice, "add", "change", "delete"),
        *_edited("apikeys_apikey", lambda scene: scene.service, "add", "change", "delete"),
        *_edited("apikeys_keysecret", lambda scene: scene.secret, "add", "change", "delete"),
        *_edited("apikeys_keyuse", lambda scene: scene.use, "add", "change", "delete"),
        *_edited("axes_accessattempt", lambda scene: scene.attempt, "add", "change"),
    ),
    "open a door that wrong passwords closed": operation(
        desk("axes_accessattempt_delete", lambda scene: [scene.attempt], lambda scene: {"post": "yes"}),
        desk(
            "axes_accessattempt_changelist delete_selected",
            lambda scene: [scene.attempt],
            lambda scene: {"post": "yes"},
        ),
        changes="AccessAttempt",
    ),
}
