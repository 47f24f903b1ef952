"""What is done with keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from accounts.audit import Tag
from accounts.audit_export import Format
from accounts.bindings import predefined
from accounts.roles import Level, RoleName
from accounts.vocabulary import Permission
from apikeys import policy
from apikeys.explanation import explain
from apikeys.introspection import introspect
from apikeys.key_export import export_keys
from apikeys.lifecycle import create_service_key, create_user_key, flag_exposed, refresh_key, revoke_key
from apikeys.models import ApiKey, ApiKeyQuerySet, KeyKind
from tests.factories import grants
from tests.matrix.doors.browser import form, page
from tests.matrix.doors.command import behalf, command
from tests.matrix.doors.desk import desk
from tests.matrix.doors.graphql import mutation, node, query
from tests.matrix.doors.rest import rest
from tests.matrix.doors.verbs import given, question, verb
from tests.matrix.doors.ways import Of, Way, wire
from tests.matrix.fates import Fate
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.scene import OPERATOR, STRANGER, Scene

_LEAST = {"type": "PREDEFINED", "name": "READ_ONLY"}
_MADE = "KeySecret ApiKey"
_BOT_MADE = f"{_MADE} User AccountBinding OrganizationBinding SpaceBinding"


_PAGE_LISTS = "The page is everybody's, and lists what each may know of."
# They have no developer access, and see no space either.
_OUT_OF_SIGHT = ("account:MEMBER_UI_ONLY", "account:ANNOTATOR")
_SPACE_FIRST = "The space is looked for before developer access is asked about."


def _service_body(scene: Scene) -> dict[str, Any]:
    space = {"space_id": wire(scene.space), "role": _LEAST}
    organization = {"org_id": wire(scene.organization), "role": _LEAST, "spaces": [space]}
    return {"key_type": "SERVICE", "name": "new", "organizations": [organization]}


def _changing(what: str, key: Of[ApiKey], *, own: bool = False) -> list[Way]:
    """Return how one key is refreshed or revoked, whichever it is."""
    verbs: dict[str, Callable[..., Any]] = {"refresh": refresh_key, "revoke": revoke_key}
    method = {"refresh": "POST", "revoke": "PUT"}[what]
    return [
        verb(
            verbs[what],
            lambda scene: given(key(scene)),
            differs={OPERATOR: None} if own else {},
            because="An operator has no key." if own else "",
        ),
        rest(
            f"{method} /v2/api-keys/{{api_key_id}}/{what}",
            lambda scene: [key(scene)],
            body=(lambda scene: {}) if what == "refresh" else None,
        ),
        mutation(f"{what}ApiKey", lambda scene: {"apiKeyId": wire(key(scene))}),
        page(f"apikeys:{what}", lambda scene: [key(scene)]),
        form(
            f"apikeys:{what}",
            lambda scene: [key(scene)],
            fields=lambda scene: {"grace": "0", "expires": "never"},
            asked_first=what == "refresh",
            shows=(lambda scene: "ak-") if what == "refresh" else None,
        ),
    ]


KEYS: dict[str, Operation] = {
    "make a user key": operation(
        verb(create_user_key, lambda scene: given(name="new")),
        rest("POST /v2/api-keys", body=lambda scene: {"key_type": "USER", "name": "new"}),
        mutation("createUserApiKey", lambda scene: {"name": "new"}),
        page(
            "apikeys:new",
            shows=lambda scene: "Key Name",
            differs={Fate.FORBIDDEN: Fate.ABSENT},
            because="The page stays, without the form: it says why no key can be made, and whom to ask.",
        ),
        form(
            "apikeys:new",
            fields=lambda scene: {"step": "create", "key_type": "USER", "name": "new", "expires": "never"},
            asked_first=True,
            shows=lambda scene: "ak-",
        ),
        command(
            "issuekey",
            lambda scene: [*behalf(scene), "--name", "new", "--account", scene.account.name],
            for_people=True,
            differs={STRANGER: Fate.ABSENT, OPERATOR: None},
            because="The command names the account; and an operator has none, so it is for people only.",
        ),
        changes=_MADE,
        event=Tag.KEY_CREATED,
    ),
    "make a service key": operation(
        verb(
            create_service_key,
            lambda scene: given(
                name="new",
                account_role=predefined(Level.ACCOUNT, RoleName.MEMBER),
                organizations=grants(scene.space, role=RoleName.READ_ONLY),
            ),
        ),
        rest("POST /v2/api-keys", body=_service_body),
        mutation(
            "createServiceApiKey",
            lambda scene: {"name": "new", "spaceId": wire(scene.space), "spaceRole": "readOnly"},
            differs=dict.fromkeys(_OUT_OF_SIGHT, Fate.ABSENT),
            because=_SPACE_FIRST,
        ),
        form(
            "apikeys:new",
            fields=lambda scene: {
                "step": "create",
                "key_type": "SERVICE",
                "name": "new",
                "expires": "never",
                "space": scene.space.pk,
                "space_role": "READ_ONLY",
                "account_role": "MEMBER",
                f"org_role-{scene.organization.pk}": "READ_ONLY",
            },
            asked_first=True,
            shows=lambda scene: "ak-",
            differs={Fate.ABSENT: Fate.TOLD, **dict.fromkeys(_OUT_OF_SIGHT, Fate.TOLD)},
            because=f"{_SPACE_FIRST} The page says so beside its field.",
        ),
        desk(
            "apikeys_apikey_issue",
            fields=lambda scene: {
                "kind": KeyKind.SERVICE,
                "name": "new",
                "spaces": [scene.space.pk],
                "space_role": predefined(Level.SPACE, RoleName.READ_ONLY).pk,
                "organization_role": predefined(Level.ORGANIZATION, RoleName.READ_ONLY).pk,
                "account_role": predefined(Level.ACCOUNT, RoleName.MEMBER).pk,
            },
            shows=lambda scene: "ak-",
        ),
        command(
            "issuekey",
            lambda scene: [
                *behalf(scene),
                *("--service", "--name", "new", "--account", scene.account.name),
                *("--space", f"{wire(scene.space)}=READ_ONLY"),
            ],
            for_people=True,
            differs=dict.fromkeys(_OUT_OF_SIGHT, Fate.ABSENT),
            because=_SPACE_FIRST,
        ),
        changes=_BOT_MADE,
        event=Tag.KEY_CREATED,
    ),
    "make a user key for somebody else": operation(
        desk(
            "apikeys_apikey_issue",
            fields=lambda scene: {"kind": KeyKind.USER, "name": "new", "person": scene.bob.pk},
            shows=lambda scene: "ak-",
        ),
        command("issuekey", lambda scene: ["--user", scene.bob.email, "--name", "new"]),
        changes=_MADE,
        event=Tag.KEY_CREATED,
    ),
    "list one's own user keys": operation(
        rest("GET /v2/api-keys", shows=lambda scene: "caller-key"),
        query("Viewer.apiKeys", "{ viewer { apiKeys { edges { node { name } } } } }", shows=lambda scene: "caller-key"),
        page("apikeys:list", shows=lambda scene: "caller-key"),
    ),
    "list another person's user keys": operation(
        question(policy.user_keys, lambda scene: given(scene.cast.alice), holds=lambda scene: scene.user_key),
        rest(
            "GET /v2/api-keys",
            query=lambda scene: {"user_id": wire(scene.cast.alice)},
            shows=lambda scene: "alice-laptop",
        ),
        page(
            "apikeys:list",
            query=lambda scene: {"whose": "everyone"},
            shows=lambda scene: "alice-laptop",
            differs={Fate.FORBIDDEN: Fate.ABSENT},
            because=_PAGE_LISTS,
        ),
    ),
    "list the service keys of a space": operation(
        question(policy.service_keys_of, lambda scene: given(scene.space), holds=lambda scene: scene.service),
        rest(
            "GET /v2/api-keys", query=lambda scene: {"space_id": wire(scene.space)}, shows=lambda scene: "alice-nightly"
        ),
        node(
            "Space",
            lambda scene: scene.space,
            "apiKeys { edges { node { name } } }",
            name="Space.apiKeys",
            shows=lambda scene: "alice-nightly",
        ),
        page(
            "apikeys:service",
            shows=lambda scene: "alice-nightly",
            differs={Fate.FORBIDDEN: Fate.ABSENT},
            because=_PAGE_LISTS,
        ),
    ),
    "read about a service key": operation(
        question(policy.find_key, lambda scene: given(scene.service.pk)),
        node("ApiKey", lambda scene: scene.service),
        page("workflows:key-uses", lambda scene: [scene.service]),
        node(
            "ApiKey",
            lambda scene: scene.service,
            "spaceMemberships { edges { node { space { name } } } }",
            name="ApiKey.spaceMemberships",
            shows=lambda scene: scene.space.name,
        ),
    ),
    "ask why a service key may do something": operation(
        question(
            explain,
            lambda scene: given(scene.service.pk, space_id=scene.space.pk, permission=Permission.DATASET_READ),
        ),
        rest(
            "GET /v2/api-keys/{api_key_id}/explain",
            lambda scene: [scene.service],
            query=lambda scene: {"space_id": wire(scene.space), "permission": "DATASET_READ"},
            shows=lambda scene: "Member in production, which permits DATASET_READ.",
        ),
        page(
            "apikeys:why",
            lambda scene: [scene.service],
            query=lambda scene: {"space": wire(scene.space), "permission": "DATASET_READ"},
            shows=lambda scene: "Member in production, which permits DATASET_READ.",
        ),
        command("explainkey", lambda scene: [wire(scene.service), "--space", wire(scene.space)], looks=True),
    ),
    "ask why one's own key may do something": operation(
        question(
            explain,
            lambda scene: given(_own(scene).pk),
            differs={OPERATOR: None},
            because="An operator has no key.",
        ),
        rest(
            "GET /v2/api-keys/{api_key_id}/explain",
            lambda scene: [_own(scene)],
            shows=lambda scene: "Nothing more is asked than whether it opens.",
        ),
        page(
            "apikeys:why",
            lambda scene: [_own(scene)],
            query=lambda scene: {"space": ""},
            shows=lambda scene: "Nothing more is asked than whether it opens.",
        ),
    ),
    "ask what a presented service key is": operation(
        question(
            introspect,
            lambda scene: given(scene.service_secret, space_id=scene.space.pk),
            says=lambda told: told is not None,
            differs={OPERATOR: Fate.MADE},
            because="It is asked with a key, and an operator has none.",
        ),
        rest(
            "POST /introspect",
            form=lambda scene: {"token": scene.service_secret, "space_id": wire(scene.space)},
            shows=lambda scene: wire(scene.service),
        ),
    ),
    "list the service keys one has made": operation(
        rest("GET /v2/api-keys", query=lambda scene: {"key_type": "SERVICE"}, shows=lambda scene: "made-by-caller"),
        query(
            "Viewer.apiKeys",
            "{ viewer { apiKeys(keyType: service) { edges { node { name } } } } }",
            shows=lambda scene: "made-by-caller",
        ),
        page("apikeys:service", shows=lambda scene: "made-by-caller"),
    ),
    "list the service keys another person has made": operation(
        question(
            policy.service_keys_created_by,
            lambda scene: given(scene.cast.alice),
            holds=lambda scene: scene.service,
        ),
        rest(
            "GET /v2/api-keys",
            query=lambda scene: {"key_type": "SERVICE", "user_id": wire(scene.cast.alice)},
            shows=lambda scene: "alice-nightly",
        ),
    ),
    "refresh one's own key": operation(
        *_changing("refresh", lambda scene: _own(scene), own=True), changes=_MADE, event=Tag.KEY_REFRESHED
    ),
    "revoke one's own key": operation(
        *_changing("revoke", lambda scene: _own(scene), own=True), changes="ApiKey", event=Tag.KEY_REVOKED
    ),
    "refresh another person's user key": operation(
        *_changing("refresh", lambda scene: scene.user_key), changes=_MADE, event=Tag.KEY_REFRESHED
    ),
    "revoke another person's user key": operation(
        *_changing("revoke", lambda scene: scene.user_key),
        desk(
            "apikeys_apikey_changelist revoke",
            lambda scene: [scene.user_key],
            lambda scene: {"confirmed": "yes"},
        ),
        command("revokekey", lambda scene: [wire(scene.user_key), "--yes"]),
        changes="ApiKey",
        event=Tag.KEY_REVOKED,
    ),
    "refresh a service key": operation(
        *_changing("refresh", lambda scene: scene.service), changes=_MADE, event=Tag.KEY_REFRESHED
    ),
    "revoke a service key": operation(
        *_changing("revoke", lambda scene: scene.service),
        desk("apikeys_apikey_changelist revoke", lambda scene: [scene.service], lambda scene: {"confirmed": "yes"}),
        command("revokekey", lambda scene: [wire(scene.service), "--yes"]),
        changes="ApiKey User",
        event=Tag.KEY_REVOKED,
    ),
    "refresh a service key one has made": operation(
        *_changing("refresh", lambda scene: scene.own_service), changes=_MADE, event=Tag.KEY_REFRESHED
    ),
    "revoke a service key one has made": operation(
        *_changing("revoke", lambda scene: scene.own_service), changes="ApiKey User", event=Tag.KEY_REVOKED
    ),
    "mark a key as seen where keys get logged": operation(
        verb(flag_exposed, lambda scene: given(scene.exposed, where="a cookie")),
        changes="ApiKey",
        event=Tag.KEY_EXPOSED,
    ),
    "export keys": operation(
        verb(
            export_keys,
            lambda scene: given(ApiKeyQuerySet(ApiKey).filter(account=scene.account), form=Format.CSV),
        ),
        desk(
            "apikeys_apikey_changelist export_csv",
            lambda scene: [scene.service],
            lambda scene: {},
            shows=lambda scene: "alice-nightly",
        ),
        desk(
            "apikeys_apikey_changelist export_ndjson",
            lambda scene: [scene.service],
            lambda scene: {},
            shows=lambda scene: "alice-nightly",
        ),
        command("exportkeys", lambda scene: ["--account", scene.account.name]),
        event=Tag.KEYS_EXPORTED,
    ),
    "delete secrets that open nothing any more": operation(
        command("prunesecrets", lambda scene: ["--older-than", "0"]),
        changes="KeySecret",
        event=Tag.SECRETS_PRUNED,
    ),
}


def _own(scene: Scene) -> ApiKey:
    """Return the caller's user key; Alice's for those who have none."""
    return scene.own if scene.own is not None else scene.user_key
