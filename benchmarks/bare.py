"""What ``/verify`` is measured against: a callable that does nothing, and one that does one prepared query by hand.

Loaded by an application server. The statement and the database are named in the environment; the statement is the very
one that ``/verify`` asks when it does not remember.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import psycopg

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


def nothing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer without looking."""
    start_response("204 No Content", [])
    return [b""]


class ByHand:
    """Asks the database on every request, as one would write it down with psycopg, and compares nothing."""

    def __init__(self) -> None:
        statement = Path(os.environ["BENCHMARK_STATEMENT"]).read_text()
        self._statement = re.sub(r"\$(\d)", r"%(p\1)s", statement)
        self._connection: psycopg.Connection[Any] | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Look the key up."""
        connection = self._connection
        if connection is None:
            connection = self._connection = psycopg.connect(os.environ["BENCHMARK_DATABASE"], autocommit=True)
        asked = dict(parse_qsl(environ["QUERY_STRING"]))
        parameters = {
            "p1": environ["HTTP_AUTHORIZATION"][10:22],
            "p2": int(base64.b64decode(asked["space"]).split(b":")[1]),
            "p3": asked["permission"],
        }
        row = connection.execute(self._statement, parameters, prepare=True).fetchone()
        start_response("204 No Content" if row else "401 Unauthorized", [])
        return [b""]


by_hand = ByHand() if "BENCHMARK_STATEMENT" in os.environ else nothing
