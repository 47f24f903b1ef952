"""Registers the first floor with Django."""

from __future__ import annotations

from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    """API keys: identity, secrets, life, verification."""

    name = "apikeys"
    verbose_name = "API keys"

    def ready(self) -> None:
        """Listen to the ground floor, and register the system checks."""
        from accounts.signals import (  # -- app ready
            committed,
            deletion_considered,
            key_misplaced,
            own_targets,
            person_leaving,
            removal_considered,
            scope_leaving,
        )
        from apikeys import checks, consequences, following  # -- app ready; importing checks registers them

        _ = checks
        committed.connect(following.on_commit, dispatch_uid="apikeys.on_commit")
        person_leaving.connect(consequences.on_leaving, dispatch_uid="apikeys.on_leaving")
        removal_considered.connect(consequences.on_considering, dispatch_uid="apikeys.on_considering")
        scope_leaving.connect(consequences.on_scope_leaving, dispatch_uid="apikeys.on_scope_leaving")
        deletion_considered.connect(consequences.on_considering_deletion, dispatch_uid="apikeys.on_deletion")
        key_misplaced.connect(consequences.on_misplaced, dispatch_uid="apikeys.on_misplaced")
        own_targets.connect(consequences.on_reading_own_history, dispatch_uid="apikeys.on_reading_own_history")
