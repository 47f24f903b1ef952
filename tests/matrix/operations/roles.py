"""What is done with roles, and with who holds which in a space."""

from __future__ import annotations

from typing import Any

from accounts.audit import Tag
from accounts.bindings import (
    bind_new,
    bindings_readable_by,
    change_binding,
    delete_binding,
    find_binding,
    predefined,
)
from accounts.custom_roles import change_role, create_role, delete_role, find_role, roles_of
from accounts.models import Role
from accounts.roles import Level, RoleName
from tests.matrix.doors.browser import form, page
from tests.matrix.doors.graphql import node, query
from tests.matrix.doors.rest import rest
from tests.matrix.doors.verbs import given, question, verb
from tests.matrix.doors.ways import Instead, wire
from tests.matrix.fates import Fate
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.operations.people import UNSEEN, UNSEEN_BY
from tests.matrix.scene import STRANGER, Scene

_READS = ["DATASET_READ", "SPACE_READ"]


def _reader() -> Role:
    return predefined(Level.SPACE, RoleName.READ_ONLY)


ROLES: dict[str, Operation] = {
    "list roles": operation(
        question(roles_of, lambda scene: given(), holds=lambda scene: scene.exporter),
        rest("GET /v2/roles", shows=lambda scene: wire(scene.exporter)),
        query(
            "Account.roles", "{ account { roles { edges { node { id } } } } }", shows=lambda scene: wire(scene.exporter)
        ),
        page("accounts:roles", shows=lambda scene: "exporter"),
        page(
            "accounts:roles-predefined",
            differs={STRANGER: Fate.ELSEWHERE},
            because="Predefined roles are the same in every account.",
        ),
    ),
    "read a role": operation(
        question(find_role, lambda scene: given(scene.exporter.pk)),
        rest("GET /v2/roles/{role_id}", lambda scene: [scene.exporter]),
        node("Role", lambda scene: scene.exporter),
        page("accounts:role", lambda scene: [scene.exporter]),
    ),
    "define a role": operation(
        verb(create_role, lambda scene: given(name="new", permissions=_READS)),
        rest("POST /v2/roles", body=lambda scene: {"name": "new", "permissions": _READS}),
        page("accounts:role-new"),
        form("accounts:role-new", fields=lambda scene: {"step": "save", "name": "new", "permissions": _READS}),
        changes="Role",
        event=Tag.ROLE_DEFINED,
    ),
    "change a role": operation(
        verb(change_role, lambda scene: given(scene.auditor, permissions=["SPACE_READ"])),
        rest(
            "PATCH /v2/roles/{role_id}",
            lambda scene: [scene.auditor],
            body=lambda scene: {"permissions": ["SPACE_READ"]},
        ),
        page("accounts:role-edit", lambda scene: [scene.auditor]),
        form(
            "accounts:role-edit",
            lambda scene: [scene.auditor],
            fields=lambda scene: {"step": "save", "name": "auditor", "permissions": ["SPACE_READ"]},
        ),
        changes="Role",
        event=Tag.ROLE_REDEFINED,
    ),
    "change a predefined role": operation(
        verb(change_role, lambda scene: given(_reader(), permissions=["SPACE_DELETE"])),
        rest(
            "PATCH /v2/roles/{role_id}",
            lambda scene: [_reader()],
            body=lambda scene: {"permissions": ["SPACE_DELETE"]},
        ),
        form(
            "accounts:role-edit",
            lambda scene: [_reader()],
            fields=lambda scene: {"step": "save", "name": "reader", "permissions": ["SPACE_DELETE"]},
        ),
    ),
    "delete a role": operation(
        verb(delete_role, lambda scene: given(scene.exporter)),
        rest("DELETE /v2/roles/{role_id}", lambda scene: [scene.exporter]),
        page("accounts:role-delete", lambda scene: [scene.exporter]),
        form("accounts:role-delete", lambda scene: [scene.exporter]),
        changes="Role",
        event=Tag.ROLE_DELETED,
    ),
}

HIDDEN: Instead = {Fate.FORBIDDEN: Fate.ABSENT}
HIDDEN_BY = "rest-v2 §9.2: get, update and delete answer 404 when the permission is missing."
NOWHERE: Instead = {Fate.ABSENT: Fate.FORBIDDEN}
NOWHERE_BY = "rest-v2 §9.2: creating answers 403 for a resource that does not exist, too."


def _bound(scene: Scene, role: Role) -> dict[str, Any]:
    return {
        "role_id": wire(role),
        "user_id": wire(scene.frank),
        "resource_type": "SPACE",
        "resource_id": wire(scene.space),
    }


BINDINGS: dict[str, Operation] = {
    "list who holds which role": operation(
        question(bindings_readable_by, lambda scene: given(), holds=lambda scene: scene.extra),
        rest(
            "GET /v2/role-bindings",
            query=lambda scene: {"resource_type": "SPACE"},
            shows=lambda scene: wire(scene.extra),
        ),
    ),
    "read a role binding": operation(
        question(find_binding, lambda scene: given(scene.extra.pk)),
        rest("GET /v2/role-bindings/{binding_id}", lambda scene: [scene.extra]),
        node("RoleBinding", lambda scene: scene.extra),
        node("SpaceMembership", lambda scene: scene.extra),
    ),
    "bind a predefined role": operation(
        verb(bind_new, lambda scene: given(user=scene.frank, role=_reader(), scope=scene.space)),
        rest(
            "POST /v2/role-bindings",
            body=lambda scene: _bound(scene, _reader()),
            differs=NOWHERE,
            because=NOWHERE_BY,
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "bind a custom role": operation(
        verb(bind_new, lambda scene: given(user=scene.frank, role=scene.exporter, scope=scene.space)),
        rest(
            "POST /v2/role-bindings",
            body=lambda scene: _bound(scene, scene.exporter),
            differs=NOWHERE,
            because=NOWHERE_BY,
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "bind a custom role above one's own": operation(
        verb(bind_new, lambda scene: given(user=scene.frank, role=scene.deleter, scope=scene.space)),
        rest(
            "POST /v2/role-bindings",
            body=lambda scene: _bound(scene, scene.deleter),
            differs=NOWHERE,
            because=NOWHERE_BY,
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "put another predefined role into a binding": operation(
        verb(change_binding, lambda scene: given(scene.membership, role=_reader())),
        rest(
            "PATCH /v2/role-bindings/{binding_id}",
            lambda scene: [scene.membership],
            body=lambda scene: {"role_id": wire(_reader())},
            differs=HIDDEN,
            because=HIDDEN_BY,
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_CHANGED,
    ),
    "put another custom role into a binding": operation(
        verb(change_binding, lambda scene: given(scene.extra, role=scene.exporter)),
        rest(
            "PATCH /v2/role-bindings/{binding_id}",
            lambda scene: [scene.extra],
            body=lambda scene: {"role_id": wire(scene.exporter)},
            differs=HIDDEN,
            because=HIDDEN_BY,
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_CHANGED,
    ),
    "withdraw the binding of a predefined role": operation(
        verb(delete_binding, lambda scene: given(scene.membership)),
        rest(
            "DELETE /v2/role-bindings/{binding_id}",
            lambda scene: [scene.membership],
            differs=HIDDEN,
            because=HIDDEN_BY,
        ),
        form(
            "accounts:member-withdraw",
            lambda scene: [scene.bob],
            fields=lambda scene: {"scope": wire(scene.space), "role": "MEMBER"},
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_WITHDRAWN,
    ),
    "withdraw the binding of a custom role": operation(
        verb(delete_binding, lambda scene: given(scene.extra)),
        rest(
            "DELETE /v2/role-bindings/{binding_id}",
            lambda scene: [scene.extra],
            differs=HIDDEN,
            because=HIDDEN_BY,
        ),
        form(
            "accounts:member-withdraw",
            lambda scene: [scene.bob],
            fields=lambda scene: {"scope": wire(scene.space), "role": wire(scene.auditor)},
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_WITHDRAWN,
    ),
}
