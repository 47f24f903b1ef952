"""Registers the ground floor with Django."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    """Accounts, organizations, spaces, people and bots."""

    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        """Fill the roles table after every migration, listen to sign-ins, and register the system checks."""
        from accounts import checks, recent, sessions  # -- app ready; importing connects their receivers

        _ = checks, recent, sessions
        post_migrate.connect(_fill, sender=self, dispatch_uid="accounts.fill_roles")


def _fill(**_: Any) -> None:
    from accounts.seeding import fill_roles  # -- app ready

    fill_roles()
