"""Registers the client workflows with Django."""

from __future__ import annotations

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    """Projects, datasets, experiments and their data."""

    name = "apikeys.workflows"
    label = "workflows"
    verbose_name = "Workflows"

    def ready(self) -> None:
        """Remove files with their rows, whatever took those away."""
        from django.db.models.signals import post_delete  # -- app ready

        from apikeys.workflows import tables  # -- app ready

        post_delete.connect(
            tables.on_deleted, sender=self.get_model("Table"), dispatch_uid="workflows.remove_table_file"
        )
