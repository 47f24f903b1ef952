"""Registers the ground floor with Django."""

from __future__ import annotations

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Accounts, organizations, spaces, people and bots."""

    name = "accounts"
    verbose_name = "Accounts"
