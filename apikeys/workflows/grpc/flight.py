"""Arrow Flight: datasets, experiments, updates of spans and exports (contract client-workflows §5, §8 and §9).

Every call is let in by its metadata before anything of it is read, and refused by its command before any data is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from accounts.actors import Door
from accounts.errors import Invalid
from apikeys.workflows import tables
from apikeys.workflows.errors import TooLarge
from apikeys.workflows.grpc import datasets, experiments, exports, spans
from apikeys.workflows.grpc.commands import commands, read_command, read_export, write_ticket
from apikeys.workflows.grpc.framing import arriving, leaving
from apikeys.workflows.grpc.server import Call, Method
from apikeys.workflows.grpc.threshold import Visitor, asking, let_in
from apikeys.workflows.grpc.wire import flight, read_message, read_part
from apikeys.workflows.streams import Stream, open_stream
from apikeys.workflows.tables import Reading

T = TypeVar("T", bytes, memoryview)

SERVICE = "arrow.flight.protocol.FlightService"

# What comes first where no table follows it: a command, and a little around it.
_LARGEST_REQUEST = 2 * 2**20

# What is asked of an upload before its data, and what is done with that.
Upload = Callable[[Visitor, Any], Callable[[Stream], Any]]

_PUT: Mapping[str, Upload] = {
    "create_dataset": datasets.create,
    "update_dataset": datasets.add_version,
    "post_experiment_data": experiments.post_runs,
    "write_span_evaluation_request": spans.evaluate,
    "write_span_annotation_request": spans.annotate,
    "write_span_attributes_metadata_request": spans.patch,
}
_GET: Mapping[str, Callable[[Visitor, Any], Reading | Stream]] = {
    "get_dataset": datasets.read,
    "get_experiment": experiments.read,
    "export": exports.read,
}


@dataclass(frozen=True)
class _Action:
    """What an action type stands for: the member its command has, and what is done."""

    member: str
    act: Callable[[Visitor, Any], Any]
    writes: bool = True


_ACT: Mapping[str, _Action] = {
    "list_datasets": _Action("list_datasets", datasets.list_all, writes=False),
    "get_dataset_version": _Action("get_dataset_versions", datasets.list_versions, writes=False),
    "delete_dataset": _Action("delete_dataset", datasets.delete),
    "create_experiment_db_entry": _Action("create_experiment_db_entry", experiments.open_entry),
    "delete_experiment": _Action("delete_experiment", experiments.delete),
}


def do_put(call: Call) -> Iterator[bytes]:
    """Take in an upload; its answer is the one piece of metadata that comes back."""
    visitor = let_in(call, Door.FLIGHT)
    first = read_part(_first(call))
    command = read_message(flight.FlightDescriptor, bytes(_small(first.descriptor))).cmd
    member, asked = read_command(commands.Put, command)
    visitor = asking(visitor, call, kind="MUTATION", member=member, command=command)
    keep = _PUT[member](visitor, asked)
    answer = keep(open_stream(arriving(first, call), tables.limits()))
    yield flight.PutResult(app_metadata=answer.SerializeToString()).SerializeToString()


def do_get(call: Call) -> Iterator[bytes]:
    """Hand out a dataset, an experiment, or an export whose ticket was had before."""
    visitor = let_in(call, Door.FLIGHT)
    command = read_message(flight.Ticket, _request(call)).ticket
    member, asked = read_command(commands.Get, command)
    visitor = asking(visitor, call, kind="QUERY", member=member, command=command)
    reading = _GET[member](visitor, asked)
    yield from leaving(reading.schema, reading.batches)


def do_action(call: Call) -> Iterator[bytes]:
    """Do what takes and returns no table."""
    visitor = let_in(call, Door.FLIGHT)
    request = read_message(flight.Action, _request(call))
    action = _ACT.get(request.type)
    if action is None:
        raise Invalid(f"There is no such action. There are {', '.join(sorted(_ACT))}.")
    member, asked = read_command(commands.Act, request.body)
    if member != action.member:
        raise Invalid("The command is not that of the action.")
    kind = "MUTATION" if action.writes else "QUERY"
    visitor = asking(visitor, call, kind=kind, member=member, command=request.body)
    yield flight.Result(body=action.act(visitor, asked).SerializeToString()).SerializeToString()


def get_flight_info(call: Call) -> Iterator[bytes]:
    """Say how many rows an export has, and what to ask for to get them."""
    visitor = let_in(call, Door.FLIGHT)
    descriptor = read_message(flight.FlightDescriptor, _request(call))
    asked = read_export(descriptor.cmd)
    visitor = asking(visitor, call, kind="QUERY", member="export", command=descriptor.cmd)
    export = exports.prepare(visitor, asked)
    # Without a place: it is had over the same connection.
    endpoint = flight.FlightEndpoint(ticket=flight.Ticket(ticket=write_ticket(asked)))
    yield flight.FlightInfo(
        schema=export.schema.serialize().to_pybytes(),
        flight_descriptor=descriptor,
        endpoint=[endpoint],
        total_records=export.total,
        total_bytes=-1,
    ).SerializeToString()


METHODS: Mapping[str, Method] = {
    "DoPut": do_put,
    "DoGet": do_get,
    "DoAction": do_action,
    "GetFlightInfo": get_flight_info,
}


def _first(call: Call) -> bytes:
    message = call.read()
    if message is None:
        raise Invalid("The call ended without saying what it is for.")
    return message


def _request(call: Call) -> bytes:
    """The first message of a call that has but one."""
    return _small(_first(call))


def _small(request: T) -> T:
    """What is decoded before anybody's permission is asked.

    Raises:
        TooLarge: it is no such thing.
    """
    if len(request) > _LARGEST_REQUEST:
        raise TooLarge(f"A request may have {_LARGEST_REQUEST // 2**20} MB.")
    return request
