"""What is done with organizations and spaces, and with who is in them."""

from __future__ import annotations

from typing import Any

from accounts.audit import Tag
from accounts.bindings import bind_role, predefined, unbind_role
from accounts.enrolment import Enrolment, enrol
from accounts.models import Organization, Role, Space, User
from accounts.permissions import find_seen
from accounts.roles import Level, RoleName
from accounts.tenancy import (
    change_organization,
    change_space,
    create_organization,
    create_space,
    delete_organization,
    delete_space,
)
from accounts.vocabulary import Permission
from tests.matrix.doors.browser import form, page
from tests.matrix.doors.desk import desk
from tests.matrix.doors.graphql import mutation, node, query
from tests.matrix.doors.rest import rest
from tests.matrix.doors.verbs import given, question, verb
from tests.matrix.doors.verify import verified
from tests.matrix.doors.ways import wire
from tests.matrix.fates import Fate
from tests.matrix.operations.operation import Operation, operation
from tests.matrix.operations.people import UNSEEN, UNSEEN_BY
from tests.matrix.scene import STRANGER

_GONE = "SpaceBinding ApiKey User Project Table Segment Dataset DatasetVersion Experiment Prompt PromptVersion"
_NOT_READ = "What the page does not offer to this caller it does not read: the form leads on, and nothing is different."
_CLOSED = "The page is about the place, too; where its members would stand it says that they are not shown."
_ANYWHERE = (
    "The page asks first whether somebody may create spaces anywhere, and offers only organizations where they may."
)


def _role(name: str) -> dict[str, str]:
    return {"type": "PREDEFINED", "name": name}


def _custom(role: Role) -> dict[str, str]:
    return {"type": "CUSTOM", "id": wire(role)}


def _memberships(user: User, space: Space, role: dict[str, str]) -> dict[str, Any]:
    return {"spaceMemberships": [{"userId": wire(user), "spaceId": wire(space), **role}]}


def _into(scope: Organization | Space, role: Role | str) -> dict[str, Any]:
    """Return what the form on a member's page says."""
    level = type(scope).__name__.lower()
    return {"level": level, "scope": wire(scope), "role": role if isinstance(role, str) else wire(role)}


ORGANIZATIONS: dict[str, Operation] = {
    "list organizations": operation(
        rest("GET /v2/organizations", shows=lambda scene: wire(scene.organization)),
        query(
            "Viewer.organizations",
            "{ viewer { organizations { edges { node { id } } } } }",
            shows=lambda scene: wire(scene.organization),
        ),
        query(
            "Account.organizations",
            "{ account { organizations { edges { node { id } } } } }",
            shows=lambda scene: wire(scene.organization),
        ),
        page("accounts:spaces", shows=lambda scene: wire(scene.organization)),
        page(
            "accounts:scope", query=lambda scene: {"kind": "organization"}, shows=lambda scene: wire(scene.organization)
        ),
    ),
    "read an organization": operation(
        question(find_seen, lambda scene: given(Organization, scene.organization.pk)),
        rest("GET /v2/organizations/{organization_id}", lambda scene: [scene.organization]),
        node("AccountOrganization", lambda scene: scene.organization),
        page("accounts:organization", lambda scene: [scene.organization]),
        page("accounts:organization-settings", lambda scene: [scene.organization]),
    ),
    "create an organization": operation(
        verb(create_organization, lambda scene: given(name="new")),
        rest("POST /v2/organizations", body=lambda scene: {"name": "new"}),
        mutation("createOrganization", lambda scene: {"name": "new"}),
        page("accounts:organization-new"),
        form("accounts:organization-new", fields=lambda scene: {"name": "new"}),
        desk(
            "accounts_organization_add",
            fields=lambda scene: {"account": scene.account.pk, "name": "new", "description": ""},
        ),
        changes="Organization",
        event=Tag.ORGANIZATION_CREATED,
    ),
    "rename an organization": operation(
        verb(change_organization, lambda scene: given(scene.organization, name="renamed")),
        rest(
            "PATCH /v2/organizations/{organization_id}",
            lambda scene: [scene.organization],
            body=lambda scene: {"name": "renamed"},
        ),
        form(
            "accounts:organization-settings",
            lambda scene: [scene.organization],
            fields=lambda scene: {"name": "renamed"},
        ),
        desk(
            "accounts_organization_change",
            lambda scene: [scene.organization],
            lambda scene: {"name": "renamed", "description": ""},
        ),
        changes="Organization",
        event=Tag.ORGANIZATION_CHANGED,
    ),
    "delete an organization": operation(
        verb(delete_organization, lambda scene: given(scene.organization)),
        rest("DELETE /v2/organizations/{organization_id}", lambda scene: [scene.organization]),
        page("accounts:organization-delete", lambda scene: [scene.organization]),
        form(
            "accounts:organization-delete",
            lambda scene: [scene.organization],
            fields=lambda scene: {"name": scene.organization.name},
        ),
        changes=f"Organization OrganizationBinding Space Project ProjectBinding {_GONE}",
        event=Tag.ORGANIZATION_DELETED,
    ),
    "list who is in an organization": operation(
        node(
            "AccountOrganization",
            lambda scene: scene.organization,
            "accountOrganizationUsers { edges { node { user { email } } } }",
            name="AccountOrganization.accountOrganizationUsers",
            shows=lambda scene: scene.bob.email,
        ),
        page(
            "accounts:organization-members",
            lambda scene: [scene.organization],
            shows=lambda scene: "Bob Baker",
            differs={Fate.FORBIDDEN: Fate.ABSENT},
            because=_CLOSED,
        ),
    ),
    "read what somebody is in an organization": operation(
        node("OrganizationMembership", lambda scene: scene.organization_membership),
    ),
    "add somebody to an organization": operation(
        verb(
            bind_role,
            lambda scene: given(
                user=scene.cast.erin, role=predefined(Level.ORGANIZATION, RoleName.READ_ONLY), scope=scene.organization
            ),
        ),
        rest(
            "POST /v2/organizations/{organization_id}/users",
            lambda scene: [scene.organization],
            body=lambda scene: {"user_id": wire(scene.cast.erin), "role": _role("READ_ONLY")},
        ),
        page("accounts:organization-add", lambda scene: [scene.organization]),
        page(
            "accounts:organization-member",
            lambda scene: [scene.organization, scene.cast.erin],
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        form(
            "accounts:organization-member",
            lambda scene: [scene.organization, scene.cast.erin],
            fields=lambda scene: {"role": "READ_ONLY"},
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        form(
            "accounts:member-add",
            lambda scene: [scene.cast.erin],
            fields=lambda scene: _into(scene.organization, "READ_ONLY"),
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        desk(
            "accounts_organizationbinding_add",
            fields=lambda scene: {
                "user": scene.cast.erin.pk,
                "content_object": scene.organization.pk,
                "role": predefined(Level.ORGANIZATION, RoleName.READ_ONLY).pk,
            },
        ),
        changes="OrganizationBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "change a role in an organization": operation(
        verb(
            bind_role,
            lambda scene: given(
                user=scene.bob, role=predefined(Level.ORGANIZATION, RoleName.READ_ONLY), scope=scene.organization
            ),
        ),
        rest(
            "POST /v2/organizations/{organization_id}/users",
            lambda scene: [scene.organization],
            body=lambda scene: {"user_id": wire(scene.bob), "role": _role("READ_ONLY")},
        ),
        form(
            "accounts:organization-member",
            lambda scene: [scene.organization, scene.bob],
            fields=lambda scene: {"role": "READ_ONLY"},
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        form(
            "accounts:member-role",
            lambda scene: [scene.bob],
            fields=lambda scene: _into(scene.organization, "READ_ONLY"),
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        desk(
            "accounts_organizationbinding_change",
            lambda scene: [scene.organization_membership],
            lambda scene: {"role": predefined(Level.ORGANIZATION, RoleName.READ_ONLY).pk},
        ),
        changes="OrganizationBinding",
        event=Tag.ROLE_CHANGED,
    ),
    "remove somebody from an organization": operation(
        verb(unbind_role, lambda scene: given(user=scene.bob, scope=scene.organization)),
        rest(
            "DELETE /v2/organizations/{organization_id}/users/{user_id}", lambda scene: [scene.organization, scene.bob]
        ),
        page("accounts:member-leave", lambda scene: [scene.bob, scene.organization], differs=UNSEEN, because=UNSEEN_BY),
        form("accounts:member-leave", lambda scene: [scene.bob, scene.organization], differs=UNSEEN, because=UNSEEN_BY),
        desk(
            "accounts_organizationbinding_delete",
            lambda scene: [scene.organization_membership],
            lambda scene: {"post": "yes"},
        ),
        changes="OrganizationBinding SpaceBinding",
        event=Tag.ROLE_WITHDRAWN,
    ),
}

SPACES: dict[str, Operation] = {
    "list spaces": operation(
        rest("GET /v2/spaces", shows=lambda scene: wire(scene.space)),
        query(
            "Viewer.spaces", "{ viewer { spaces { edges { node { id } } } } }", shows=lambda scene: wire(scene.space)
        ),
        node(
            "AccountOrganization",
            lambda scene: scene.organization,
            "spaces { edges { node { id } } }",
            name="AccountOrganization.spaces",
            shows=lambda scene: wire(scene.space),
        ),
        page("accounts:spaces", shows=lambda scene: wire(scene.space)),
        page("accounts:scope", shows=lambda scene: wire(scene.space)),
        page("workflows:data", shows=lambda scene: wire(scene.space)),
    ),
    "read a space": operation(
        question(find_seen, lambda scene: given(Space, scene.space.pk)),
        rest("GET /v2/spaces/{space_id}", lambda scene: [scene.space]),
        verified(Permission.SPACE_READ),
        node("Space", lambda scene: scene.space),
        page("accounts:space", lambda scene: [scene.space]),
        page("accounts:space-settings", lambda scene: [scene.space]),
        page("workflows:space-data", lambda scene: [scene.space]),
    ),
    "read a private space of others": operation(
        question(find_seen, lambda scene: given(Space, scene.private.pk)),
        rest("GET /v2/spaces/{space_id}", lambda scene: [scene.private]),
        verified(Permission.SPACE_READ, lambda scene: scene.private),
        node("Space", lambda scene: scene.private),
        page("accounts:space", lambda scene: [scene.private]),
        page("accounts:scope", shows=lambda scene: wire(scene.private)),
    ),
    "create a space": operation(
        verb(create_space, lambda scene: given(organization=scene.organization, name="new")),
        rest("POST /v2/spaces", body=lambda scene: {"name": "new", "organization_id": wire(scene.organization)}),
        mutation("createSpace", lambda scene: {"name": "new", "accountOrganizationId": wire(scene.organization)}),
        page(
            "accounts:space-new",
            differs={Fate.ABSENT: Fate.FORBIDDEN, STRANGER: Fate.ELSEWHERE},
            because=_ANYWHERE,
        ),
        form(
            "accounts:space-new",
            fields=lambda scene: {"organization": wire(scene.organization), "name": "new", "visibility": "public"},
            differs={Fate.ABSENT: Fate.FORBIDDEN, STRANGER: Fate.TOLD},
            because=_ANYWHERE,
        ),
        desk(
            "accounts_space_add",
            fields=lambda scene: {"organization": scene.organization.pk, "name": "new", "description": ""},
        ),
        changes="Space SpaceBinding?",  # whoever is less than an admin above becomes its admin
        event=Tag.SPACE_CREATED,
    ),
    "rename a space": operation(
        verb(change_space, lambda scene: given(scene.space, name="renamed")),
        verified(Permission.SPACE_UPDATE),
        rest("PATCH /v2/spaces/{space_id}", lambda scene: [scene.space], body=lambda scene: {"name": "renamed"}),
        mutation("updateSpace", lambda scene: {"spaceId": wire(scene.space), "name": "renamed"}),
        form(
            "accounts:space-settings",
            lambda scene: [scene.space],
            fields=lambda scene: {"name": "renamed", "visibility": "public"},
        ),
        desk(
            "accounts_space_change", lambda scene: [scene.space], lambda scene: {"name": "renamed", "description": ""}
        ),
        changes="Space",
        event=Tag.SPACE_CHANGED,
    ),
    "make a space private": operation(
        verb(change_space, lambda scene: given(scene.space, is_private=True)),
        rest("PATCH /v2/spaces/{space_id}", lambda scene: [scene.space], body=lambda scene: {"is_private": True}),
        mutation("updateSpace", lambda scene: {"spaceId": wire(scene.space), "private": True}),
        form(
            "accounts:space-settings",
            lambda scene: [scene.space],
            fields=lambda scene: {"name": scene.space.name, "visibility": "private", "confirmed": "yes"},
        ),
        desk(
            "accounts_space_change",
            lambda scene: [scene.space],
            lambda scene: {"name": scene.space.name, "description": "", "is_private": "on"},
        ),
        changes="Space",
        event=Tag.SPACE_CHANGED,
    ),
    "delete a space": operation(
        verb(delete_space, lambda scene: given(scene.space)),
        verified(Permission.SPACE_DELETE),
        rest("DELETE /v2/spaces/{space_id}", lambda scene: [scene.space]),
        page("accounts:space-delete", lambda scene: [scene.space]),
        form("accounts:space-delete", lambda scene: [scene.space], fields=lambda scene: {"name": scene.space.name}),
        changes=f"Space Project ProjectBinding {_GONE}",
        event=Tag.SPACE_DELETED,
    ),
    "list who gets into a space": operation(
        node(
            "Space",
            lambda scene: scene.space,
            "spaceUsers { edges { node { user { email } } } }",
            name="Space.spaceUsers",
            shows=lambda scene: scene.bob.email,
        ),
        page(
            "accounts:space",
            lambda scene: [scene.space],
            shows=lambda scene: "Bob Baker",
            differs={Fate.FORBIDDEN: Fate.ABSENT},
            because=_CLOSED,
        ),
    ),
    "add somebody to a space": operation(
        verb(
            bind_role,
            lambda scene: given(user=scene.frank, role=predefined(Level.SPACE, RoleName.READ_ONLY), scope=scene.space),
        ),
        verb(
            enrol,
            lambda scene: given(
                wanted=[Enrolment(scene.frank, scene.space, predefined(Level.SPACE, RoleName.READ_ONLY))]
            ),
        ),
        rest(
            "POST /v2/spaces/{space_id}/users",
            lambda scene: [scene.space],
            body=lambda scene: {"user_id": wire(scene.frank), "role": _role("READ_ONLY")},
        ),
        mutation(
            "assignSpaceMembership",
            lambda scene: _memberships(scene.frank, scene.space, {"role": "readOnly"}),
        ),
        form(
            "accounts:space-member",
            lambda scene: [scene.space, scene.frank],
            fields=lambda scene: {"role": "READ_ONLY"},
            differs={**UNSEEN, "binder": Fate.ELSEWHERE},
            because=f"{UNSEEN_BY} {_NOT_READ}",
        ),
        form(
            "accounts:member-add",
            lambda scene: [scene.frank],
            fields=lambda scene: _into(scene.space, "READ_ONLY"),
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        desk(
            "accounts_spacebinding_add",
            fields=lambda scene: {
                "user": scene.frank.pk,
                "content_object": scene.space.pk,
                "role": predefined(Level.SPACE, RoleName.READ_ONLY).pk,
            },
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "make somebody admin of a space": operation(
        verb(
            bind_role,
            lambda scene: given(user=scene.bob, role=predefined(Level.SPACE, RoleName.ADMIN), scope=scene.space),
        ),
        rest(
            "POST /v2/spaces/{space_id}/users",
            lambda scene: [scene.space],
            body=lambda scene: {"user_id": wire(scene.bob), "role": _role("ADMIN")},
        ),
        mutation("assignSpaceMembership", lambda scene: _memberships(scene.bob, scene.space, {"role": "admin"})),
        form(
            "accounts:space-member",
            lambda scene: [scene.space, scene.bob],
            fields=lambda scene: {"role": "ADMIN", "custom": wire(scene.auditor)},
            differs={**UNSEEN, "binder": Fate.ELSEWHERE},
            because=f"{UNSEEN_BY} {_NOT_READ}",
        ),
        form(
            "accounts:member-role",
            lambda scene: [scene.bob],
            fields=lambda scene: _into(scene.space, "ADMIN"),
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        desk(
            "accounts_spacebinding_change",
            lambda scene: [scene.membership],
            lambda scene: {"role": predefined(Level.SPACE, RoleName.ADMIN).pk},
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_CHANGED,
    ),
    "give somebody a custom role in a space": operation(
        verb(bind_role, lambda scene: given(user=scene.frank, role=scene.exporter, scope=scene.space)),
        rest(
            "POST /v2/spaces/{space_id}/users",
            lambda scene: [scene.space],
            body=lambda scene: {"user_id": wire(scene.frank), "role": _custom(scene.exporter)},
        ),
        mutation(
            "assignSpaceMembership",
            lambda scene: _memberships(scene.frank, scene.space, {"customRoleId": wire(scene.exporter)}),
        ),
        page("accounts:space-add", lambda scene: [scene.space]),
        page("accounts:space-member", lambda scene: [scene.space, scene.frank], differs=UNSEEN, because=UNSEEN_BY),
        form(
            "accounts:space-member",
            lambda scene: [scene.space, scene.frank],
            fields=lambda scene: {"custom": wire(scene.exporter)},
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        form(
            "accounts:member-add",
            lambda scene: [scene.frank],
            fields=lambda scene: _into(scene.space, scene.exporter),
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        desk(
            "accounts_spacebinding_add",
            fields=lambda scene: {
                "user": scene.frank.pk,
                "content_object": scene.space.pk,
                "role": scene.exporter.pk,
            },
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "give somebody a custom role above one's own": operation(
        verb(bind_role, lambda scene: given(user=scene.frank, role=scene.deleter, scope=scene.space)),
        rest(
            "POST /v2/spaces/{space_id}/users",
            lambda scene: [scene.space],
            body=lambda scene: {"user_id": wire(scene.frank), "role": _custom(scene.deleter)},
        ),
        mutation(
            "assignSpaceMembership",
            lambda scene: _memberships(scene.frank, scene.space, {"customRoleId": wire(scene.deleter)}),
        ),
        form(
            "accounts:space-member",
            lambda scene: [scene.space, scene.frank],
            fields=lambda scene: {"custom": wire(scene.deleter)},
            differs=UNSEEN,
            because=UNSEEN_BY,
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_GRANTED,
    ),
    "put a custom role in place of another": operation(
        verb(bind_role, lambda scene: given(user=scene.bob, role=scene.exporter, scope=scene.space)),
        rest(
            "POST /v2/spaces/{space_id}/users",
            lambda scene: [scene.space],
            body=lambda scene: {"user_id": wire(scene.bob), "role": _custom(scene.exporter)},
        ),
        mutation(
            "assignSpaceMembership",
            lambda scene: _memberships(scene.bob, scene.space, {"customRoleId": wire(scene.exporter)}),
        ),
        changes="SpaceBinding",
        event=Tag.ROLE_CHANGED,
    ),
    "remove somebody from a space": operation(
        verb(unbind_role, lambda scene: given(user=scene.bob, scope=scene.space)),
        rest("DELETE /v2/spaces/{space_id}/users/{user_id}", lambda scene: [scene.space, scene.bob]),
        mutation("removeSpaceMember", lambda scene: {"spaceId": wire(scene.space), "userId": wire(scene.bob)}),
        page("accounts:member-leave", lambda scene: [scene.bob, scene.space], differs=UNSEEN, because=UNSEEN_BY),
        form("accounts:member-leave", lambda scene: [scene.bob, scene.space], differs=UNSEEN, because=UNSEEN_BY),
        desk("accounts_spacebinding_delete", lambda scene: [scene.membership], lambda scene: {"post": "yes"}),
        changes="SpaceBinding",
        event=Tag.ROLE_WITHDRAWN,
    ),
}
