"""Bodies that end before their length does: a server that lost the connection hands on what came, as if it were all.

What came may do by itself: JSON that lacks but white space, or the first of many spans.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Whole:
    """The body of a request (PEP 3333, ``wsgi.input``); reading it fails where it broke off."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._body = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH") or ""
        in_chunks = "HTTP_TRANSFER_ENCODING" in environ  # which a length does not measure, if one comes, too
        self._missing = int(length) if length.isdecimal() and not in_chunks else 0

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, fewer only at the end.

        Raises:
            OSError: that came too early. Django makes UnreadablePostError of it.
        """
        part: bytes = self._body.read(size)
        self._missing -= len(part)
        if len(part) < size and self._missing > 0:
            raise OSError("The body ends in the middle.")
        return part

    def readline(self, size: int, /) -> bytes:
        """Return a line, or so many bytes of it. Not the server's own: granian's gives lines without their ends.

        Raises:
            OSError: as above.
        """
        line = bytearray()
        while len(line) != size and (byte := self.read(1)):
            line += byte
            if byte == b"\n":
                break
        return bytes(line)
