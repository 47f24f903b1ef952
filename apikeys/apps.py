"""Registers the keys with Django."""

from __future__ import annotations

from django.apps import AppConfig


class ApikeysConfig(AppConfig):
    """API keys and their secrets."""

    name = "apikeys"
    verbose_name = "API keys"
