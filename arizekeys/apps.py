"""Makes the roof a Django app, so that its static files and commands are found."""

from __future__ import annotations

from django.apps import AppConfig


class ArizekeysConfig(AppConfig):
    """The project itself."""

    name = "arizekeys"
    verbose_name = "arizekeys"
