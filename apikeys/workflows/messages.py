"""Protobuf messages declared as tables of fields, so that neither a compiler nor generated code is kept beside them.

Each table is one message of a contract, as the contract writes it: a name, and for every field its number and its type.

    flight = declare(
        "example.flight",
        {
            "ListedDataset": {
                "id": (1, "string"),
                "kind": (3, "Kind"),
                "created": (4, "google.protobuf.Timestamp"),
            },
            "ListDatasets": {"datasets": (1, "repeated ListedDataset")},
            "Schema.Embedding": {"vector": (1, "string")},  # nested: its name is Embedding, inside of Schema
            "Schema": {"embeddings": (17, "map<string, Schema.Embedding>"), "note": (18, "optional string")},
            "Identifier": {"id": (1, "string", "which"), "name": (2, "string", "which")},  # one of them, called which
        },
        enums={"Kind": ("UNKNOWN", "GENERATIVE", "INFERENCES")},  # numbered from 0
    )
    answer = flight.ListDatasets(datasets=[flight.ListedDataset(id="1", kind="GENERATIVE")])
    answer.datasets[0].created.FromDatetime(at)
    answer.SerializeToString()

Types: protobuf's scalars, the names of the same declaration, and what google.protobuf keeps in timestamp, duration,
wrappers, struct, any and empty. ``repeated T``, ``optional T`` (``HasField`` tells whether it came) and ``map<K, V>``
as in a .proto file, whose third edition is what everything follows. Classes work with ``google.protobuf.json_format``.
Every declaration is a world of its own (a descriptor pool), so equal names elsewhere in the process do no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace

from google.protobuf import (
    any_pb2,
    duration_pb2,
    empty_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

# A field: its number, its type, and the name of the choice that it is one of.
Field = tuple[int, str] | tuple[int, str, str]

_WELL_KNOWN = (any_pb2, duration_pb2, empty_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
_MESSAGE = FieldDescriptorProto.TYPE_MESSAGE
_SCALARS = frozenset(
    [
        "double",
        "float",
        "int64",
        "uint64",
        "int32",
        "fixed64",
        "fixed32",
        "bool",
        "string",
        "bytes",
        "uint32",
        "sfixed32",
        "sfixed64",
        "sint32",
        "sint64",
    ]
)
_VARINT, _BYTES = 0, 2  # the wire types of numbers, and of what has a length
_FIXED = {1: 8, 5: 4}  # and the sizes of those that have one of their own
_MAP = re.compile(r"map<\s*(\w+)\s*,\s*([\w.]+)\s*>")


def declare(
    package: str,
    messages: Mapping[str, Mapping[str, Field]],
    *,
    enums: Mapping[str, Sequence[str]] | None = None,
) -> SimpleNamespace:
    """Make a class for every message of ``messages``; those whose name has a dot hang on the class that they are in.

    Raises:
        ValueError: a field has a type that nothing declares.
        TypeError: protobuf itself will not have it: a number given twice, and the like.
    """
    pool = DescriptorPool()
    file = FileDescriptorProto(name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3")
    types = {
        f"google.protobuf.{name}": _MESSAGE for known in _WELL_KNOWN for name in known.DESCRIPTOR.message_types_by_name
    }
    for known in _WELL_KNOWN:
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        file.dependency.append(known.DESCRIPTOR.name)
    names = {kind: f".{kind}" for kind in types}
    for name, values in (enums or {}).items():
        # The values of an enum stand beside it, not in it, so that each needs a place where it is alone.
        enum = file.message_type.add(name=f"{name}Values").enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
        types[name] = FieldDescriptorProto.TYPE_ENUM
        names[name] = f".{package}.{name}Values.{name}"
    made: dict[str, DescriptorProto] = {}
    for name in sorted(messages, key=lambda name: name.count(".")):  # those that others are in come first
        outer, _, inner = name.rpartition(".")
        made[name] = made[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=inner)
        types[name] = _MESSAGE
        names[name] = f".{package}.{name}"
    kinds = _Kinds(types, names)
    for name, fields in messages.items():
        for field, (number, kind, *choice) in fields.items():
            _add_field(made[name], names[name], kinds, field, number, kind, choice)
        _choose_optionals(made[name])
    pool.AddSerializedFile(file.SerializeToString())
    outermost = [name for name in messages if "." not in name]
    return SimpleNamespace(
        **{name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in outermost}
    )


class _Kinds:
    """What the types of one declaration may be called, what each is, and its name in full."""

    def __init__(self, types: Mapping[str, FieldDescriptorProto.Type.ValueType], names: Mapping[str, str]) -> None:
        self._types = types
        self._names = names

    def settle(self, field: FieldDescriptorProto, kind: str) -> None:
        if kind in _SCALARS:
            field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
        elif kind in self._types:
            field.type = self._types[kind]
            field.type_name = self._names[kind]
        else:
            raise ValueError(f"{field.name}: nothing declares the type “{kind}”.")


def _add_field(
    message: DescriptorProto, full_name: str, kinds: _Kinds, name: str, number: int, kind: str, choice: Sequence[str]
) -> None:
    field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if mapped := _MAP.fullmatch(kind):
        # On the wire a map is a list of pairs (protobuf encoding, "Maps").
        pair = message.nested_type.add(name="".join(word.capitalize() for word in name.split("_")) + "Entry")
        pair.options.map_entry = True
        for position, (part, of) in enumerate(zip(("key", "value"), mapped.groups(), strict=True), start=1):
            kinds.settle(pair.field.add(name=part, number=position, label=FieldDescriptorProto.LABEL_OPTIONAL), of)
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type = _MESSAGE
        field.type_name = f"{full_name}.{pair.name}"
        return
    how, _, plain = kind.rpartition(" ")
    if how not in ("", "repeated", "optional"):
        raise ValueError(f"{name}: a field is repeated or optional, not “{how}”.")
    if how == "repeated":
        field.label = FieldDescriptorProto.LABEL_REPEATED
    field.proto3_optional = how == "optional"
    kinds.settle(field, plain)
    if choice:
        declared = [one.name for one in message.oneof_decl]
        if choice[0] not in declared:
            message.oneof_decl.add(name=choice[0])
            declared.append(choice[0])
        field.oneof_index = declared.index(choice[0])


def _choose_optionals(message: DescriptorProto) -> None:
    """Say of every optional field that it is the one of its own choice: that is how protobuf tells it from others."""
    for field in message.field:
        if field.proto3_optional:
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")


def read_fields(view: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Return the fields of a message as they lie on the wire: their number, and uncopied what has a length.

    Raises:
        DecodeError: it is no message.
    """
    at = 0
    while at < len(view):
        tag, at = _read_varint(view, at)
        number, kind = tag >> 3, tag & 7
        part = None
        if kind == _BYTES:
            size, at = _read_varint(view, at)
            if at + size > len(view):
                raise DecodeError
            part = view[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _read_varint(view, at)
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise DecodeError
        yield number, part


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    if at < len(view) and view[at] < 0x80:  # as most are
        return view[at], at + 1
    value = 0
    for place in range(10):
        if at >= len(view):
            break
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at
    raise DecodeError
