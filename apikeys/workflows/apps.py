"""Registers the client workflows with Django."""

from __future__ import annotations

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    """Projects, datasets, experiments and their data."""

    name = "apikeys.workflows"
    label = "workflows"
    verbose_name = "Workflows"

    def ready(self) -> None:
        """Remove files with their rows, whatever took those away, and hold what is about to go with a scope."""
        from django.db.models.signals import post_delete  # -- app ready

        from accounts.signals import scope_locking  # -- app ready
        from apikeys.workflows import leaving, tables  # -- app ready

        post_delete.connect(
            tables.on_deleted, sender=self.get_model("Table"), dispatch_uid="workflows.remove_table_file"
        )
        scope_locking.connect(leaving.on_scope_locking, dispatch_uid="workflows.on_scope_locking")
