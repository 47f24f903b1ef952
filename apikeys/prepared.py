"""One statement, prepared once on each connection and asked past all cursors, with an end to the wait for its answer.

A cursor costs three times what the question itself costs the one who asks, and waits for an answer as long as the
server is silent. Here a server that says nothing is given up after a while, so that whoever asks can say so.
"""

from __future__ import annotations

import hashlib
import select
import threading
import time
from collections.abc import Callable, Sequence

import psycopg
from django.db import connection
from psycopg import pq

# Of a pooler's, or after DISCARD ALL: somebody else's connection than the one it was prepared on.
_UNKNOWN_STATEMENT, _KNOWN_ALREADY = "26000", "42P05"
_MILLISECONDS = 1000

Row = list[bytes | None]


class Silence(psycopg.OperationalError):
    """The server did not answer in time."""


class Prepared:
    """A statement with numbered parameters (``$1``). Values go and come as text, as the server writes them."""

    def __init__(self, statement: str, *, patience: Callable[[], float]) -> None:
        """Nothing is sent yet; ``patience`` says how many seconds an answer is waited for."""
        self._statement = statement.encode()
        # Named after what it says: behind a pooler two releases may share a connection.
        self._name = b"arizekeys_" + hashlib.sha256(self._statement).hexdigest()[:16].encode()
        self._patience = patience
        self._local = threading.local()  # Django's connection is the thread's own, too

    def row(self, values: Sequence[bytes | None]) -> Row | None:
        """Return the one row that answers, or ``None`` where there is none.

        A connection that turns out to be gone is replaced once, unless a transaction is lost with it.

        Raises:
            django.db.DatabaseError: the database cannot be asked, or was silent for too long.
        """
        with connection.wrap_database_errors:
            try:
                return self._ask(values)
            except Silence:
                connection.close()
                raise
            except psycopg.OperationalError:
                if connection.in_atomic_block:
                    raise
                connection.close()
                return self._ask(values)

    def _ask(self, values: Sequence[bytes | None]) -> Row | None:
        raw = connection.connection
        if raw is None or raw is not getattr(self._local, "raw", None):
            raw = self._prepare()
        result = self._execute(raw.pgconn, values)
        if result.status != pq.ExecStatus.TUPLES_OK and _code(result) == _UNKNOWN_STATEMENT:
            result = self._execute(self._prepare().pgconn, values)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise _error(result)
        return [result.get_value(0, column) for column in range(result.nfields)] if result.ntuples else None

    def _prepare(self) -> psycopg.Connection[object]:
        connection.ensure_connection()
        raw: psycopg.Connection[object] = connection.connection
        self._local.raw = None  # until it is done
        self._local.poll = select.poll()
        self._local.poll.register(raw.pgconn.socket, select.POLLIN)
        raw.pgconn.send_prepare(self._name, self._statement)
        result = self._result(raw.pgconn)
        if result.status != pq.ExecStatus.COMMAND_OK and _code(result) != _KNOWN_ALREADY:
            raise _error(result)
        self._local.raw = raw
        return raw

    def _execute(self, server: pq.abc.PGconn, values: Sequence[bytes | None]) -> pq.abc.PGresult:
        server.send_query_prepared(self._name, values)
        return self._result(server)

    def _result(self, server: pq.abc.PGconn) -> pq.abc.PGresult:
        """Wait for what the server says to what was just sent."""
        if server.flush():
            raise Silence("The question does not get through.")
        deadline = time.monotonic() + self._patience()
        while server.is_busy():
            left = deadline - time.monotonic()
            if left <= 0 or not self._local.poll.poll(left * _MILLISECONDS):
                raise Silence("The database does not answer.")
            server.consume_input()
        result = server.get_result()
        while server.get_result() is not None:  # until it says that this was all
            pass
        if result is None:
            raise psycopg.OperationalError("The server gave no answer.")
        return result


def _code(result: pq.abc.PGresult) -> str:
    return (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()


def _error(result: pq.abc.PGresult) -> psycopg.Error:
    # Without a code it is the connection that is gone.
    kind = psycopg.errors.lookup(_code(result)) if _code(result) else psycopg.OperationalError
    return kind(result.error_message.decode(errors="replace"))
