"""The libraries that ``/verify`` is compared with, in an environment and a database of their own.

The requirements are made from ``django==5.2.19 django-rest-knox==5.1.0 djangorestframework-api-key==3.1.0
django-oauth-toolkit==3.4.1 djangorestframework==3.18.3 psycopg[binary]==3.3.9 granian==2.8.7``, one a line, the newest
releases that run on the Django that we run on, by ``uv pip compile - --universal --python-version 3.11
--generate-hashes --no-header --no-annotate``.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import servers
import stage
from psycopg import sql

from arizekeys import local

ROOM = Path(__file__).with_name("peer_project")
_REQUIREMENTS = ROOM / "requirements.txt"
_CHUNK = 250_000

# The n-th token of each kind, in SQL here and in Python below. That they can be guessed makes none of them faster.
_HEX = "md5(n::text) || md5('x' || n)"
_FILL = f"""
INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_superuser, is_staff, is_active,
                       date_joined)
SELECT n, 'person-' || n, '!', '', '', '', false, false, true, now() FROM generate_series(%(first)s::int, %(last)s) n;
INSERT INTO authtoken_token (key, user_id, created)
SELECT left({_HEX}, 40), n, now() FROM generate_series(%(first)s::int, %(last)s) n;
INSERT INTO knox_authtoken (digest, token_key, user_id, created, expiry)
SELECT encode(sha512(({_HEX})::bytea), 'hex'), left({_HEX}, 15), n, now(), now() + interval '1 year'
  FROM generate_series(%(first)s::int, %(last)s) n;
INSERT INTO rest_framework_api_key_apikey (id, prefix, hashed_key, created, name, revoked)
SELECT prefix || '.' || hashed, prefix, hashed, now(), 'key ' || n, false
  FROM generate_series(%(first)s::int, %(last)s) n
 CROSS JOIN LATERAL (SELECT lpad(to_hex(n), 8, '0') AS prefix) a
 CROSS JOIN LATERAL (
       SELECT 'sha512$$' || encode(sha512((prefix || '.' || md5(n::text))::bytea), 'hex') AS hashed
 ) b;
INSERT INTO oauth2_provider_accesstoken (token, token_checksum, expires, scope, resource, created, updated, user_id)
SELECT {_HEX}, encode(sha256(({_HEX})::bytea), 'hex'), now() + interval '1 year', 'introspection', '[]', now(), now(), n
  FROM generate_series(%(first)s::int, %(last)s) n;
"""  # noqa: S608 -- constants; numbers are parameters


@dataclass(frozen=True)
class Peers:
    """Where they are: their programs, what a server of theirs is given, and how many tokens each has."""

    programs: Path
    environment: dict[str, str]
    tokens: int


def ready(folder: Path, tokens: int) -> Peers:
    """Return the peers with that many tokens each, below a data folder whose server runs; made if need be."""
    programs, name, socket = _programs(folder), f"peers_{tokens}", local.socket_folder(folder)
    environment = servers.clean_environment() | {
        "BENCHMARK_HOST": str(socket),
        "BENCHMARK_USER": local.OWNER,
        "BENCHMARK_NAME": name,
    }
    finished = folder / name
    if not finished.exists():
        with psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True) as server:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            server.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*map(sql.Identifier, (name, local.OWNER))))
        _run([str(programs / "python"), str(ROOM / "project.py"), "migrate", "--verbosity", "0"], environment)
        stage.say(f"filling a database with {tokens:,} tokens of each peer")
        with psycopg.connect(host=str(socket), user="postgres", dbname=name, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")  # no foreign key is looked at row by row
            for first in range(1, tokens + 1, _CHUNK):
                last = min(first + _CHUNK - 1, tokens)
                psycopg.ClientCursor(connection).execute(_FILL, {"first": first, "last": last})
                stage.say(f"  {last:,} of {tokens:,}")
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
        finished.touch()
    return Peers(programs, environment, tokens)


def questions(path: str, peers: Peers, many: int) -> Iterator[str]:
    """Yield requests of a path with tokens spread over all there are, as the lines that wrk reads."""
    spread = max(1, peers.tokens // many)
    asker = _hex(1)
    presented: dict[str, Callable[[int], str]] = {
        "/empty": lambda n: f"/empty\tToken {_hex(n)}",
        "/token": lambda n: f"/token\tToken {_hex(n)[:40]}",
        "/knox": lambda n: f"/knox\tToken {_hex(n)}",
        "/api-key": lambda n: f"/api-key\tApi-Key {n:08x}.{_md5(str(n))}",
        "/introspect": lambda n: f"/introspect\tBearer {asker}\ttoken={_hex(n)}",
    }
    for number in range(many):
        yield presented[path](1 + number * spread % peers.tokens)


def _hex(number: int) -> str:
    return _md5(str(number)) + _md5(f"x{number}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _programs(folder: Path) -> Path:
    """Return the folder with the peers' interpreter and commands, made anew whenever the requirements change."""
    version = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    place = folder / f"peers-{version}"
    if not (place / "finished").exists():
        stage.say("installing the peers")
        shutil.rmtree(place, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(place)], None)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(_REQUIREMENTS)], None)
        (place / "finished").touch()
    return place / "bin"


def _run(command: list[str], environment: dict[str, str] | None) -> None:
    subprocess.run(command, env=environment, check=True)  # noqa: S603 -- our own commands
