"""The gRPC server itself: its ports, its limits, and how every call is surrounded."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from grpc_health.v1 import health, health_pb2

from accounts.actors import Actor
from accounts.audit import Tag, record_refusal
from accounts.errors import DomainError
from apikeys.workflows.errors import TooManyCalls
from apikeys.workflows.grpc.patience import IDLE, LONGEST, Lease, Patience
from apikeys.workflows.grpc.statuses import status_of

T = TypeVar("T")

# What a method is asked with and answers: messages as bytes, read when it asks for them.
Method = Callable[["Call"], Iterator[bytes]]

# So many calls at once; whoever comes then is told to come again. Each takes a thread and holds a message or two.
CALLS = 32
# And so many of one key, so that it leaves places to others.
CALLS_OF_KEY = 8
# A span update of the older clients comes as one message, however large (contract client-workflows §5).
LARGEST_MESSAGE = 512 * 2**20
_CONNECTIONS = 1_000
# Seconds after which calls that still run are cut off when the server ends.
GRACE = 20.0
# After the last message it turns out within so many looks, each so many seconds long, that the client did not finish
# but died. They are many and short: where much is done beside them each takes longer, and whoever tells comes to run.
_LOOKS, _APART = 10, 0.005

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", -1),
    # No guessing how much a fast client could send ahead: what came and was not read yet is memory.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 * 2**20),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, and not shared
    ("grpc.max_concurrent_streams", CALLS),
    ("grpc.max_allowed_incoming_connections", _CONNECTIONS),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # A connection over which nothing is called is closed; clients open another without anybody noticing.
    ("grpc.max_connection_idle_ms", 10 * 60_000),
    # Whoever has vanished without a word is found out within a minute and a half.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


class ClientGone(Exception):
    """The client's connection ended before its answer."""


class PortTaken(Exception):
    """The port cannot be listened on; the text says which."""


class Call:
    """One call: what it asks with, how long it may take, and whose it is once that is known."""

    def __init__(
        self, method: str, context: grpc.ServicerContext, requests: Iterator[bytes], lease: Lease, places: Places
    ) -> None:
        self.method = method
        self.context = context
        self.actor: Actor | None = None
        self._requests = requests
        self._lease = lease
        self._places = places

    def belongs_to(self, actor: Actor) -> None:
        """Say whose it is, once that is known.

        Raises:
            TooManyCalls: their key has no place left.
        """
        self.actor = actor
        self._places.take(actor.key_id, self)

    def read(self) -> bytes | None:
        """Return the next message, or ``None`` where the client has said that there is none."""
        with self._lease.waiting():
            message = next(self._requests, None)
        if message is None:
            self._require_client()
        return message

    def _require_client(self) -> None:
        """Tell a client that has finished from one that was killed: both look like the end of its messages.

        Of the latter gRPC says so right after, in a thread of its own; measured, it takes a quarter of a millisecond.

        Raises:
            ClientGone: nobody waits for an answer, and what came may be half of it.
        """
        gone = threading.Event()
        if not self.context.add_callback(gone.set) or any(gone.wait(_APART) for _ in range(_LOOKS)):
            raise ClientGone


class Places:
    """How many calls each key has open, of as many as one may have."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._key_of: dict[Call, int | None] = {}

    def take(self, key: int | None, call: Call) -> None:
        """Give a call one of its key's places.

        Raises:
            TooManyCalls: there is none left.
        """
        with self._lock:
            if list(self._key_of.values()).count(key) >= self._most:
                raise TooManyCalls(self._most)
            self._key_of[call] = key

    def leave(self, call: Call) -> None:
        """Take the place back, if it had one."""
        with self._lock:
            self._key_of.pop(call, None)


class Threads(ThreadPoolExecutor):
    """Threads that surround a call as Django surrounds a request: connections that broke or grew old are given up."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run one call."""
        return super().submit(_surrounded, fn, *args, **kwargs)


def _surrounded(fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    # Outermost, so that what is done afterwards is done when the answer is out.
    request_started.send(sender=Threads)
    try:
        return fn(*args, **kwargs)
    finally:
        request_finished.send(sender=Threads)
        close_old_connections()  # what was done afterwards may have made another


class Server:
    """Services on a plaintext port, a TLS port, or both."""

    def __init__(
        self,
        services: Mapping[str, Mapping[str, Method]],
        *,
        calls: int = CALLS,
        calls_of_key: int = CALLS_OF_KEY,
        idle: float = IDLE,
        longest: float = LONGEST,
    ) -> None:
        """``services`` are methods by the name of their service and their own."""
        self._patience = Patience(idle=idle, longest=longest)
        self._places = Places(calls_of_key)
        self._health = health_pb2.HealthCheckResponse.SERVING
        self._threads = Threads(calls, thread_name_prefix="call")
        self._server = grpc.server(self._threads, options=_OPTIONS, maximum_concurrent_rpcs=calls)
        for service, methods in services.items():
            # As streams, all of them: of a stream's messages none is read before the key was looked at.
            handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
                name: grpc.stream_stream_rpc_method_handler(self._handler(name, method))
                for name, method in methods.items()
            }
            self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
        # Without the standing calls of its other method: whoever has no key could take every place with those.
        check: grpc.RpcMethodHandler[bytes, health_pb2.HealthCheckResponse] = grpc.stream_unary_rpc_method_handler(
            self._check, response_serializer=health_pb2.HealthCheckResponse.SerializeToString
        )
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(health.SERVICE_NAME, {"Check": check})]
        )

    def listen(self, address: str, *, certificate: tuple[bytes, bytes] | None = None) -> int:
        """Listen on ``host:port``, with TLS where there is a certificate with its key; return the port.

        Raises:
            PortTaken: it is another program's.
        """
        try:
            if certificate is None:
                return self._server.add_insecure_port(address)
            chain, key = certificate
            return self._server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
        except RuntimeError as error:
            raise PortTaken(address) from error

    def start(self) -> None:
        """Begin to answer."""
        self._patience.start()
        self._server.start()

    @property
    def calls(self) -> int:
        """How many calls run."""
        return self._patience.calls

    def stop(self, grace: float = GRACE) -> None:
        """Take no more calls, let those that run finish within so many seconds, and end."""
        self._health = health_pb2.HealthCheckResponse.NOT_SERVING
        self._server.stop(grace).wait()
        self._threads.shutdown()
        self._patience.end()

    def _check(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> health_pb2.HealthCheckResponse:
        """Say how the server is, of whichever service that is asked.

        The question is not read, and nobody waits until the answer is: whoever has no key could take every place with
        a question that does not come, or with an answer that they do not take.
        """
        return health_pb2.HealthCheckResponse(status=self._health)

    def _handler(self, name: str, method: Method) -> Callable[..., Iterator[bytes]]:
        def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
            with self._patience.lease(context) as lease:
                call = Call(name, context, requests, lease, self._places)
                try:
                    yield from _answers(method, call, lease)
                finally:
                    self._places.leave(call)

        return answer


def _answers(method: Method, call: Call, lease: Lease) -> Iterator[bytes]:
    with contextlib.closing(_generator(method, call)) as messages:
        while True:
            try:
                message = next(messages)
            except StopIteration:
                return
            except (grpc.RpcError, ClientGone):
                return  # the client is gone, and hears nothing any more
            except Exception as error:
                status, text = status_of(_recorded(error, call.actor), call.method)
                call.context.abort(status, text)
            with lease.waiting():
                yield message


def _recorded(error: Exception, actor: Actor | None) -> Exception:
    """Tell the account of a refusal that matters, unless that was done; return what the call failed of by then.

    One that cannot be recorded is a failure and no refusal, as at the other doors.
    """
    if actor is None or not isinstance(error, DomainError) or not error.recorded or error.noted:
        return error
    try:
        record_refusal(actor, Tag.ACCESS_REFUSED, error)
    except Exception as failure:  # whatever it is, it has a status; what escapes, gRPC would tell the client by itself
        return failure
    return error


def _generator(method: Method, call: Call) -> Any:
    # That a method may raise before it yields makes no difference.
    yield from method(call)
