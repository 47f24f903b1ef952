"""Messages made of tables say on the wire what those of a compiler say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf import json_format

from apikeys.workflows.messages import declare

FLIGHT = declare(
    "tests.flight",
    {
        "Listed": {
            "id": (1, "string"),
            "kind": (3, "Kind"),
            "state": (4, "State"),
            "created": (5, "google.protobuf.Timestamp"),
            "version_name": (6, "google.protobuf.StringValue"),
        },
        "List": {"datasets": (2, "repeated Listed")},
        "Schema.Embedding": {"vector": (1, "string")},
        "Schema": {
            "embeddings": (17, "map<string, Schema.Embedding>"),
            "note": (18, "optional string"),
            "body": (1000, "bytes"),
        },
        "Identifier": {"id": (1, "string", "which"), "name": (2, "int64", "which")},
    },
    enums={"Kind": ("UNKNOWN", "GENERATIVE"), "State": ("UNKNOWN", "READY")},
)


def test_numbers_and_types_are_those_of_the_table() -> None:
    answer = FLIGHT.List(datasets=[FLIGHT.Listed(id="a", kind="GENERATIVE", state="READY")])

    # Field 2, seven bytes long: field 1 is "a", fields 3 and 4 are the number 1 (protobuf encoding).
    assert answer.SerializeToString() == bytes.fromhex("1207 0a0161 1801 2001")
    assert FLIGHT.List.FromString(answer.SerializeToString()) == answer


def test_a_map_is_a_list_of_pairs_and_numbers_may_be_large() -> None:
    schema = FLIGHT.Schema(embeddings={"e": FLIGHT.Schema.Embedding(vector="v")}, body=b"x")

    assert schema.SerializeToString() == bytes.fromhex("8a0108 0a0165 12030a0176 c23e0178")


def test_what_is_optional_tells_whether_it_came() -> None:
    assert not FLIGHT.Schema().HasField("note")
    assert FLIGHT.Schema.FromString(FLIGHT.Schema(note="").SerializeToString()).HasField("note")


def test_of_a_choice_the_last_counts() -> None:
    identifier = FLIGHT.Identifier(id="a")
    identifier.name = 3

    assert identifier.WhichOneof("which") == "name"
    assert identifier.id == ""


def test_json_is_read_and_written_as_protobuf_says() -> None:
    text = '{"id": "a", "created": "2026-01-02T03:04:05Z", "versionName": "v", "kind": "GENERATIVE", "later": 1}'

    listed = json_format.Parse(text, FLIGHT.Listed(), ignore_unknown_fields=True)

    assert listed.created.ToDatetime(UTC) == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert json_format.MessageToDict(listed) == {
        "id": "a",
        "kind": "GENERATIVE",
        "created": "2026-01-02T03:04:05Z",
        "versionName": "v",
    }


def test_equal_names_do_no_harm() -> None:
    other = declare("tests.flight", {"Listed": {"id": (1, "int64")}})

    assert other.Listed(id=1).SerializeToString() != FLIGHT.Listed(id="1").SerializeToString()


@pytest.mark.parametrize(
    ("kind", "words"), [("Nothing", "nothing declares the type “Nothing”"), ("packed string", "repeated or optional")]
)
def test_a_type_that_nothing_declares_is_refused(kind: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        declare("tests.wrong", {"Wrong": {"field": (1, kind)}})


def test_a_number_given_twice_is_refused() -> None:
    with pytest.raises(TypeError):
        declare("tests.wrong", {"Wrong": {"one": (1, "string"), "two": (1, "string")}})
