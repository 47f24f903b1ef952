"""Keys, their secrets and their use, for whoever runs the installation: looked at, revoked, exported, never edited."""

from __future__ import annotations

from apikeys.admin import keys

__all__ = ["keys"]
