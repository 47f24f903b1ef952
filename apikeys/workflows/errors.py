"""What can be wrong with data that clients send, or with the place where it is kept."""

from __future__ import annotations

from accounts.errors import Invalid, TooMany, Unavailable


class Unreadable(Invalid):
    """What came is not what it should be: no Arrow stream, or one that ends in the middle."""

    code = "unreadable"


class TooLarge(Invalid):
    """More rows, columns or bytes than are taken at once."""

    code = "too_large"


class TooManyCalls(TooMany):
    """A key has as many calls open as one may have."""

    recorded = False  # a client of theirs that is in a hurry: nothing that an account has to know

    def __init__(self, most: int) -> None:
        super().__init__(f"This key has {most} calls open, and may have no more. Wait until one ends.", retry_after=1)


class StorageFailed(Unavailable):
    """The place for tables is full or cannot be reached; nothing was kept (503)."""

    code = "storage_unavailable"

    def __init__(self) -> None:
        super().__init__("The data cannot be stored at the moment, and nothing of it was kept. Try again later.")
