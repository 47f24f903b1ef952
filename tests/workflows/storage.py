"""Places for tables that cannot take any."""

from __future__ import annotations

import contextlib
import random
import resource
from collections.abc import Iterator
from pathlib import Path

BROKEN = ("in the way", "full")
# Bytes that a file may have: logs of what went wrong have room, and rows with the long text have none.
_ROOM = 100_000
LONG = random.Random(0).randbytes(200_000).hex()  # noqa: S311 -- nobody is to be surprised


@contextlib.contextmanager
def broken(folder: Path, how: str) -> Iterator[None]:
    """Let something lie where the folder would be, or let files have little room."""
    if how == "in the way":
        folder.write_text("in the way of the folder")
        try:
            yield
        finally:
            folder.unlink()
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
