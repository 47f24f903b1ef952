"""Where Django looks for the engine named in settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db.backends.postgresql import base

from arizekeys import local


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's PostgreSQL engine, attached to the server in the data folder."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, after making sure that there is something to connect to."""
        local.attach(settings.DATA_FOLDER)
        return super().get_new_connection(conn_params)

    @contextlib.contextmanager
    def as_owner(self) -> Iterator[None]:
        """Connect as the owner of the tables for a while: the application's role may not change them."""
        before = self.settings_dict["USER"]
        if before == local.OWNER:
            yield
            return
        self.close()
        self.settings_dict["USER"] = local.OWNER
        try:
            yield
        finally:
            self.close()
            self.settings_dict["USER"] = before
