"""The family of a client, from what clients really send."""

from __future__ import annotations

import pytest

from apikeys.clients import LONGEST, family


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("arize 8.61.0", "arize python sdk 8"),
        ("arize-ax-cli 0.39.0", "ax 0"),
        ("arize_toolkit/2.1", "arize_toolkit 2"),
        ("curl/8.5.0", "curl 8"),
        ("python-requests/2.32.3", "python-requests 2"),
        ("Python/3.11 aiohttp/3.9.1", "aiohttp 3"),
        ("gql/4.0 Python/3.11", "gql 4"),
        ("Go-http-client/1.1", "go-http-client 1"),
        ("OpenAPI-Generator/1.0.0/python", "openapi-generator 1"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "browser"),
        ("node", "node"),
        ("wget v1", "wget 1"),
        ("", ""),
        ("<script>alert(1)</script>", ""),
        ("🔑/1", ""),
        ("x" * 500, "x" * 30),
        ("x" * 500 + "/7", "x" * 30 + " 7"),
        (f"curl/{'9' * 100}", f"curl {'9' * (LONGEST - 5)}"),
    ],
)
def test_family(client: str, expected: str) -> None:
    assert family(client) == expected
