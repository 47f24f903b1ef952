"""Data through the web server as it is run: what is half there is not kept, and what was acknowledged is."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from django.conf import settings
from django.shortcuts import resolve_url
from django.test import Client

from accounts.models import Project
from accounts.wire import encode_id
from apikeys.workflows import tables
from apikeys.workflows.models import Dataset, Table
from tests.asides import wait_for
from tests.cast import Cast
from tests.factories import user_key
from tests.proxies.surroundings import LOOPBACK, PATIENCE, served
from tests.workflows.logging import asked, exported, spans_of
from tests.workflows.test_ingest import RECORD, described, traced


@dataclass
class Web:
    """The web server, and somebody who asks it."""

    port: int
    process: subprocess.Popen[Any]
    headers: dict[str, str]

    def post(self, address: str, body: bytes, kind: str, *, in_chunks: bool = False, **more: str) -> int:
        """Send something; return the status."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=PATIENCE)
        sent = iter((body[:9], body[9:])) if in_chunks else body
        with contextlib.closing(connection):
            connection.request("POST", address, sent, self.headers | {"Content-Type": kind} | more)
            return connection.getresponse().status

    def ask(self, address: str, length: str, kind: str, *more: str, body: bytes = b"") -> tuple[int, str]:
        """Send a request, and nothing behind it where that is not all of it; return status and code."""
        with self.begin(address, length, kind, *more) as wire:
            wire.sendall(body)
            if not body.endswith(LAST_CHUNK):
                wire.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(wire)
            response.begin()
            said = json.loads(response.read())
        # GraphQL has a shape of its own.
        code = said.get("error_code") or said["errors"][0]["extensions"]["code"]
        return response.status, code

    def begin(self, address: str, length: str, kind: str, *more: str) -> socket.socket:
        """Send the head of a request."""
        lines = [f"POST {address} HTTP/1.1", f"Host: {LOOPBACK}", f"Content-Type: {kind}", length, *more]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        wire = socket.create_connection((LOOPBACK, self.port), timeout=PATIENCE)
        wire.sendall("\r\n".join([*lines, "", ""]).encode())
        return wire


@pytest.fixture
def web(transactional_db: None, cast: Cast, tables_folder: Path, tmp_path: Path) -> Iterator[Web]:
    """Bob, asking the web server."""
    key = user_key(cast.bob, cast.account).plaintext
    headers = {"authorization": key, "arize-space-id": encode_id("Space", cast.production.pk)}
    given: dict[str, Any] = {"ARIZEKEYS_TABLES": str(tables_folder), "ARIZEKEYS_TRUSTED_PROXIES": "0"}
    with served(tmp_path, **given) as (port, process):
        yield Web(port, process, headers)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


LAST_CHUNK = b"0\r\n\r\n"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


def test_a_web_server_keeps_what_it_acknowledged_and_nothing_of_what_broke_off(
    cast: Cast, web: Web, tables_folder: Path
) -> None:
    example = {"name": "golden", "space_id": web.headers["arize-space-id"], "examples": [{"n": 1}]}
    whole = json.dumps(example).encode()
    large = described(spans_of(*map(str, range(200_000))))
    with web.begin("/v1/pandas_arrow", f"Content-Length: {len(large)}", "") as wire:
        wire.sendall(large[: len(large) // 2])
        wait_for(lambda: files(tables_folder) != [])  # it is being read
    wait_for(lambda: files(tables_folder) == [])
    for address, kind, body, more in [  # each would do by itself
        ("/v1/log", JSON, json.dumps(RECORD).encode(), []),
        ("/v1/traces", PROTOBUF, traced("a"), []),
        ("/v1/traces", PROTOBUF, gzip.compress(traced("a")), ["Content-Encoding: gzip"]),
        ("/v2/datasets", JSON, whole, []),
        ("/graphql", JSON, json.dumps({"query": "{ __typename }"}).encode(), []),
    ]:
        broken_off = web.ask(address, f"Content-Length: {len(body) + 9}", kind, *more, body=body)
        assert (address, broken_off) == (address, (400, "unreadable"))
    for address in ("/v2/datasets", "/graphql"):
        for chunk, code in ((b"2\r\n{}\r\n", "length_required"), (b"", "invalid")):  # the second is empty in truth
            said = web.ask(address, "Transfer-Encoding: chunked", JSON, body=chunk + LAST_CHUNK)
            assert (address, *said) == (address, 400, code)
    with grpc.insecure_channel(f"{LOOPBACK}:{web.port}") as channel:
        call: Any = channel.unary_unary("/v2/datasets")
        with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            call(b"by HTTP/2, where a body that breaks off keeps a thread busy for ever", timeout=PATIENCE)
    cut = b"3e8\r\n" + gzip.compress(traced("a"))
    in_chunks = ["Transfer-Encoding: chunked", PROTOBUF, "Content-Encoding: gzip"]
    assert web.ask("/v1/traces", *in_chunks, body=cut[:50]) == (400, "unreadable")
    found = [*Project.objects.values_list("name", flat=True), *Dataset.objects.values_list("name", flat=True)]
    assert (found, Table.objects.count(), files(tables_folder)) == ([], 0, [])

    assert web.post("/v1/pandas_arrow", described(spans_of("a")), "") == 200
    assert web.post("/v1/pandas_arrow", described(spans_of("b")), "", in_chunks=True) == 200
    assert web.post("/v1/log", json.dumps(RECORD).encode(), JSON, in_chunks=True) == 200
    assert web.post("/v1/traces", traced("c"), PROTOBUF, in_chunks=True) == 200
    packed = {"Content-Encoding": "gzip"}
    assert web.post("/v1/traces", gzip.compress(traced("d")), PROTOBUF, in_chunks=True, **packed) == 200
    assert web.post("/v2/datasets", whole, JSON) == 201
    os.killpg(web.process.pid, signal.SIGKILL)
    web.process.wait(PATIENCE)
    tables.sweep(grace=-1)

    rows = exported(cast.actor(cast.bob), cast.production, asked())
    assert sorted(rows["name"].to_pylist()) == ["c", "d", "name a", "name b"]
    table = tables.read(Dataset.objects.get().versions.get().table).table()
    assert table["n"].to_pylist() == [1]
    assert (len(files(tables_folder)), Table.objects.count(), Project.objects.count()) == (6, 6, 2)


@pytest.mark.django_db
def test_a_form_in_chunks_is_no_empty_form(client: Client) -> None:
    answer = client.post(
        resolve_url(settings.LOGIN_URL), {"email": "bob@example.com"}, headers={"Transfer-Encoding": "chunked"}
    )

    assert (answer.status_code, answer["Content-Type"]) == (411, "text/plain")
    assert "Content-Length" in answer.content.decode()
