"""What is done with projects: who holds which role in a single one, and which are restricted."""

from __future__ import annotations

from typing import Any

from accounts.audit import Tag
from accounts.bindings import (
    bind_new,
    change_binding,
    delete_binding,
    find_binding,
    predefined,
    project_bindings_readable_by,
)
from accounts.models import Project, Role
from accounts.restrictions import restrict_project, restricted_projects, unrestrict_project
from accounts.roles import Level, RoleName
from tests.matrix.doors.desk import desk
from tests.matrix.doors.graphql import node
from tests.matrix.doors.rest import rest
from tests.matrix.doors.verbs import given, question, verb
from tests.matrix.doors.ways import Of, Way, wire
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.operations.roles import HIDDEN, HIDDEN_BY, NOWHERE, NOWHERE_BY
from tests.matrix.scene import Scene


def _reader(scene: Scene) -> Role:
    return predefined(Level.SPACE, RoleName.READ_ONLY)


def _binding(role: Of[Role], project: Of[Project]) -> list[Way]:
    """Return the ways of giving Frank a role in a project."""

    def wanted(scene: Scene) -> dict[str, Any]:
        return {
            "role_id": wire(role(scene)),
            "user_id": wire(scene.frank),
            "resource_type": "PROJECT",
            "resource_id": wire(project(scene)),
        }

    return [
        verb(bind_new, lambda scene: given(user=scene.frank, role=role(scene), scope=project(scene))),
        rest("POST /v2/role-bindings", body=wanted, differs=NOWHERE, because=NOWHERE_BY),
        desk(
            "accounts_projectbinding_add",
            fields=lambda scene: {
                "user": scene.frank.pk,
                "content_object": project(scene).pk,
                "role": role(scene).pk,
            },
        ),
    ]


PROJECTS: dict[str, Operation] = {
    "list who holds which role in a project": operation(
        question(project_bindings_readable_by, lambda scene: given(), holds=lambda scene: scene.in_project),
        rest(
            "GET /v2/role-bindings",
            query=lambda scene: {"resource_type": "PROJECT"},
            shows=lambda scene: wire(scene.in_project),
        ),
    ),
    "read who holds a role in a project": operation(
        question(find_binding, lambda scene: given(scene.in_project.pk)),
        rest("GET /v2/role-bindings/{binding_id}", lambda scene: [scene.in_project]),
        node("RoleBinding", lambda scene: scene.in_project),
    ),
    "read who holds a role in a restricted project": operation(
        question(find_binding, lambda scene: given(scene.in_restricted.pk)),
        rest("GET /v2/role-bindings/{binding_id}", lambda scene: [scene.in_restricted]),
        node("RoleBinding", lambda scene: scene.in_restricted),
    ),
    "give somebody a predefined role in a project": operation(
        *_binding(_reader, lambda scene: scene.project),
        changes="ProjectBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "give somebody a predefined role in a restricted one": operation(
        *_binding(_reader, lambda scene: scene.restricted),
        changes="ProjectBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "give somebody a custom role in a project": operation(
        *_binding(lambda scene: scene.exporter, lambda scene: scene.project),
        changes="ProjectBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "give somebody a custom role above one's own in it": operation(
        *_binding(lambda scene: scene.deleter, lambda scene: scene.project),
        changes="ProjectBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "put another custom role into a project's binding": operation(
        verb(change_binding, lambda scene: given(scene.in_project, role=scene.exporter)),
        rest(
            "PATCH /v2/role-bindings/{binding_id}",
            lambda scene: [scene.in_project],
            body=lambda scene: {"role_id": wire(scene.exporter)},
            differs=HIDDEN,
            because=HIDDEN_BY,
        ),
        desk(
            "accounts_projectbinding_change",
            lambda scene: [scene.in_project],
            lambda scene: {"role": scene.exporter.pk},
        ),
        changes="ProjectBinding",
        event=Tag.ROLE_CHANGED,
    ),
    "withdraw a custom role in a project": operation(
        verb(delete_binding, lambda scene: given(scene.in_project)),
        rest(
            "DELETE /v2/role-bindings/{binding_id}",
            lambda scene: [scene.in_project],
            differs=HIDDEN,
            because=HIDDEN_BY,
        ),
        desk("accounts_projectbinding_delete", lambda scene: [scene.in_project], lambda scene: {"post": "yes"}),
        changes="ProjectBinding",
        event=Tag.ROLE_WITHDRAWN,
    ),
    "list the restrictions that one may lift": operation(
        question(restricted_projects, lambda scene: given(), holds=lambda scene: scene.restricted),
        rest("GET /v2/resource-restrictions", shows=lambda scene: wire(scene.restricted)),
    ),
    "restrict a project": operation(
        verb(restrict_project, lambda scene: given(scene.project)),
        rest("POST /v2/resource-restrictions", body=lambda scene: {"resource_id": wire(scene.project)}),
        desk("accounts_project_changelist restrict", lambda scene: [scene.project], lambda scene: {}),
        changes="Project",
        event=Tag.PROJECT_RESTRICTED,
    ),
    "lift a restriction": operation(
        verb(unrestrict_project, lambda scene: given(scene.restricted)),
        rest("DELETE /v2/resource-restrictions/{resource_id}", lambda scene: [scene.restricted]),
        desk("accounts_project_changelist unrestrict", lambda scene: [scene.restricted], lambda scene: {}),
        changes="Project",
        event=Tag.PROJECT_UNRESTRICTED,
    ),
}
