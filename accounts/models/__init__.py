"""Who, where, what they may do, and what they did."""

from accounts.models.audit import AuditChain, AuditEvent
from accounts.models.bindings import AccountBinding, Binding, OrganizationBinding, ProjectBinding, Role, SpaceBinding
from accounts.models.idempotency import IdempotentAnswer
from accounts.models.tenancy import Account, Organization, Project, ProjectKind, Space
from accounts.models.users import User, UserKind

__all__ = [
    "Account",
    "AccountBinding",
    "AuditChain",
    "AuditEvent",
    "Binding",
    "IdempotentAnswer",
    "Organization",
    "OrganizationBinding",
    "Project",
    "ProjectBinding",
    "ProjectKind",
    "Role",
    "Space",
    "SpaceBinding",
    "User",
    "UserKind",
]
