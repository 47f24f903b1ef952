"""Ports for servers that begin to listen a while after theirs was chosen.

Asked for any port at all, the system gives one of those that it gives everybody, and the next one who connects or
listens may get the same before it is used. Those below are got only by whoever names them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

_FIRST, _BEYOND = 20_000, 32_768  # where Linux begins to give them to everybody


def _ours() -> Iterator[int]:
    """Go round those of this worker, from where hardly another run has begun."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ours = range(_FIRST + worker, _BEYOND, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    begin = os.getpid() % len(ours)
    return itertools.cycle([*ours[begin:], *ours[:begin]])


_numbers = _ours()


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on.

    Raises:
        OSError: there is none.
    """
    for number in itertools.islice(_numbers, _BEYOND - _FIRST):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((address, number))
            return number
    raise OSError(f"Every port of {address} is taken.")
