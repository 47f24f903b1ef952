"""What can be wrong with data that clients send, or with the place where it is kept."""

from __future__ import annotations

from accounts.errors import Invalid, Unavailable


class Unreadable(Invalid):
    """What came is not what it should be: no Arrow stream, or one that ends in the middle."""

    code = "unreadable"


class TooLarge(Invalid):
    """More rows, columns or bytes than are taken at once."""

    code = "too_large"


class StorageFailed(Unavailable):
    """The place for tables is full or cannot be reached; nothing was kept (503)."""

    code = "storage_unavailable"

    def __init__(self) -> None:
        super().__init__("The data cannot be stored at the moment, and nothing of it was kept. Try again later.")
