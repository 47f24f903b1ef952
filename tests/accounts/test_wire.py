from __future__ import annotations

import base64

import pytest

from accounts.errors import Invalid
from accounts.wire import decode_id, encode_id


@pytest.mark.parametrize("number", [1, 7, 62, 12345, 2**63 - 1])
@pytest.mark.parametrize("kind", ["Account", "Organization", "Space", "User", "ApiKey", "Role"])
def test_id_round_trips_and_is_what_clients_take_for_one(kind: str, number: int) -> None:
    text = encode_id(kind, number)

    assert decode_id(text, kind) == number
    assert ":" in base64.b64decode(text, validate=True).decode()
    assert "/" not in text
    assert "+" not in text


def test_organization_travels_under_the_name_clients_know() -> None:
    assert base64.b64decode(encode_id("Organization", 3)).decode().startswith("AccountOrganization:3:")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "prod",
        "U3BhY2U6Nw",
        base64.b64encode(b"Space:7:aaaa").decode(),
        base64.b64encode(b"Space:07:aaaa").decode(),
        base64.b64encode(b"Space:99999999999999999999:aaaa").decode(),
        "é",
        "\x00",
        encode_id("User", 7),
        encode_id("Space", 12).rstrip("="),
        encode_id("Space", 7) + "\n",
    ],
)
def test_what_is_no_space_id_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        decode_id(text, "Space")
