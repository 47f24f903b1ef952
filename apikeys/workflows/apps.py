"""Registers the client workflows with Django."""

from __future__ import annotations

from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    """Projects, datasets, experiments and their data."""

    name = "apikeys.workflows"
    label = "workflows"
    verbose_name = "Workflows"
