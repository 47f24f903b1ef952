"""Refusals about data that clients send, beside those that any verb may raise."""

from __future__ import annotations

from accounts.errors import Invalid


class TooLarge(Invalid):
    """More rows, columns or bytes than are kept."""

    code = "too_large"


class Unreadable(Invalid):
    """It claims to be a stream of rows, or a message, and cannot be read as one."""

    code = "unreadable"
