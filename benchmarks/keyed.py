"""Databases full of keys for the benchmark of ``/verify``: as many as asked for, made once and kept.

Every account has 10 000 keys of 1 000 people, one organization and one space. The rows go straight into the real
tables. What opens is a sample, spread over all of them; every other digest is none of any secret.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import servers
import stage
from psycopg import sql

from accounts.roles import PREDEFINED, Level, RoleName
from accounts.wire import encode_id
from apikeys import tokens
from arizekeys import local

MOST_SAMPLES = 100_000
_KEYS_PER_ACCOUNT = 10_000
_KEYS_PER_PERSON = 10
_CHUNK = 1_000_000
# Odd, so that multiplying by it modulo 2**48 gives every number once: public ids lie scattered, as random ones do.
_SCATTER = 824_893_712_345
# What a member of a space may, asked for in turns, so that a few keys make many questions.
_PERMITTED = sorted(
    permission.value
    for role in PREDEFINED
    if (role.level, role.name) == (Level.SPACE, RoleName.MEMBER)
    for permission in role.permissions
)

_ACCOUNTS = """
INSERT INTO accounts_account (id, name, created_at, developer_access_locked, max_live_keys, max_keys_per_hour)
SELECT n, 'account ' || n, now(), false, 10000, 5000 FROM generate_series(1, %(accounts)s) n;
INSERT INTO accounts_organization (id, account_id, name, description, created_at)
SELECT n, n, 'organization', '', now() FROM generate_series(1, %(accounts)s) n;
INSERT INTO accounts_space (id, organization_id, name, description, is_private, created_at, ml_models_enabled,
                            gradient_start_color, gradient_end_color)
SELECT n, n, 'space', '', false, now(), true, '', '' FROM generate_series(1, %(accounts)s) n;
INSERT INTO accounts_user (id, kind, email, name, password, is_active, is_staff, is_superuser, created_at, joined_at,
                           password_is_temporary)
SELECT n, 'PERSON', 'person-' || n || '@example.com', 'Person ' || n, '!', true, false, false, now(), now(), false
  FROM generate_series(1, %(people)s) n;
"""
_BINDINGS = """
INSERT INTO accounts_{level}binding (user_id, content_object_id, permission_id, created_at, updated_at {columns})
SELECT n, (n - 1) / {per_account} + 1, role.permission_id, now(), now() {values}
  FROM generate_series(1, {people}) n, accounts_role role
 WHERE role.account_id IS NULL AND role.level = upper({level_name}) AND role.name = 'MEMBER'
"""
_KEYS = """
INSERT INTO apikeys_apikey (id, account_id, kind, name, description, owner_id, created_by_id, created_by_name,
                            created_at, redacted_key)
SELECT n, (n - 1) / %(per_account)s + 1, 'USER', 'notebook ' || n, '', (n - 1) / %(per_person)s + 1,
       (n - 1) / %(per_person)s + 1, 'Somebody', now(), 'ak-abc...xyz'
  FROM generate_series(%(first)s::bigint, %(last)s) n;
INSERT INTO apikeys_keysecret (id, key_id, public_id, digest, pepper_id, created_at)
SELECT n, n, lpad(to_hex(n * %(scatter)s %% (1::bigint << 48)), 12, '0'), sha256(n::text::bytea), 1, now()
  FROM generate_series(%(first)s::bigint, %(last)s) n;
"""
_FREE_INDEXES = """
SELECT index.indexrelid::regclass::text, pg_get_indexdef(index.indexrelid) FROM pg_index index
 WHERE index.indrelid IN ('accounts_user'::regclass, 'apikeys_apikey'::regclass, 'apikeys_keysecret'::regclass)
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = index.indexrelid)
"""


@dataclass(frozen=True)
class Database:
    """One database of keys: what a server needs to serve it, and questions that are answered with yes."""

    keys: int
    dsn: str
    environment: dict[str, str]
    samples: list[tuple[str, int]]  # a key, and its space

    def questions(self, many: int) -> Iterator[str]:
        """Yield what ``/verify`` is asked, no two alike, as the lines that wrk reads: the path, a tab, the header."""
        for number in range(many):
            key, space = self.samples[number % len(self.samples)]
            permission = _PERMITTED[number // len(self.samples) % len(_PERMITTED)]
            yield f"/verify?space={encode_id('Space', space)}&permission={permission}\tBearer {key}"

    def statement(self) -> str:
        """Return the statement that ``/verify`` asks."""
        script = "import django; django.setup(); from apikeys import decisions; print(decisions._QUESTION)"
        environment = self.environment | {"DJANGO_SETTINGS_MODULE": "arizekeys.settings"}
        command = [sys.executable, "-c", script]
        done = subprocess.run(  # noqa: S603 -- our own command
            command, cwd=stage.ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout


def filled(folder: Path, keys: int) -> Database:
    """Return a database of that many keys below a data folder whose server runs, filling it first if need be."""
    name, socket = f"verify_{keys}", local.socket_folder(folder)
    room = folder / name
    room.mkdir(mode=0o700, exist_ok=True)
    environment = _environment(room, socket, name)
    ready = room / "samples"
    if not ready.exists():
        with psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True) as server:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            server.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*map(sql.Identifier, (name, local.OWNER))))
    for command in (["migrate", "--verbosity", "0"], ["grantapp", local.APPLICATION]):
        _manage(command, environment | {"DATABASE_URL": _url(local.OWNER, socket, name)})
    if not ready.exists():
        pepper = environment["ARIZEKEYS_KEY_PEPPERS"].partition(":")[2].encode()
        with psycopg.connect(host=str(socket), user="postgres", dbname=name, autocommit=True) as connection:
            samples = _fill(connection, keys, pepper)
        draft = room / "samples.new"
        draft.touch(mode=0o600)
        draft.write_text("".join(f"{key} {space}\n" for key, space in samples))
        draft.rename(ready)
    samples = [(key, int(space)) for key, space in map(str.split, ready.read_text().splitlines())]
    dsn = f"host={socket} user={local.APPLICATION} dbname={name}"
    return Database(keys=keys, dsn=dsn, environment=environment, samples=samples)


def _environment(room: Path, socket: Path, name: str) -> dict[str, str]:
    """Return the environment of a real installation, as deploy/arizekeys.service has it."""
    return servers.clean_environment() | {
        "DATABASE_URL": _url(local.APPLICATION, socket, name),
        "ARIZEKEYS_DATA": str(room),
        "ARIZEKEYS_SECRET_KEY": local.own_secret(room, "secret_key"),
        "ARIZEKEYS_KEY_PEPPERS": local.own_secret(room, "peppers", "1:{}"),
        "ARIZEKEYS_ALLOWED_HOSTS": "127.0.0.1",
    }


def _url(role: str, socket: Path, name: str) -> str:
    return f"postgres://{role}@{quote(str(socket), safe='')}/{name}"


def _manage(arguments: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, str(stage.ROOT / "manage.py"), *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 -- our own command


def _fill(connection: psycopg.Connection, keys: int, pepper: bytes) -> list[tuple[str, int]]:
    accounts, people = -(-keys // _KEYS_PER_ACCOUNT), -(-keys // _KEYS_PER_PERSON)
    # Neither triggers nor foreign keys are looked at, row by row; and nobody is told.
    connection.execute("SET session_replication_role = replica")
    indexes = connection.execute(_FREE_INDEXES).fetchall()
    for index, _ in indexes:
        connection.execute(f"DROP INDEX {index}")
    client = psycopg.ClientCursor(connection)
    stage.say(f"filling a database with {keys:,} keys of {people:,} people in {accounts:,} accounts")
    client.execute(_ACCOUNTS, {"accounts": accounts, "people": people})
    for level, columns, values in (
        ("account", ", is_developer", ", true"),
        ("organization", "", ""),
        ("space", "", ""),
    ):
        per_account = _KEYS_PER_ACCOUNT // _KEYS_PER_PERSON
        statement = _BINDINGS.format(
            level=level,
            level_name=f"'{level}'",
            columns=columns,
            values=values,
            per_account=per_account,
            people=people,
        )
        connection.execute(statement)
    for first in range(1, keys + 1, _CHUNK):
        last = min(first + _CHUNK - 1, keys)
        numbers = {"first": first, "last": last, "per_account": _KEYS_PER_ACCOUNT, "per_person": _KEYS_PER_PERSON}
        client.execute(_KEYS, numbers | {"scatter": _SCATTER})
        stage.say(f"  {last:,} of {keys:,} keys")
    samples = _samples(connection, keys, pepper)
    stage.say("  indexes")
    connection.execute("SET maintenance_work_mem = '512MB'")
    for _, definition in indexes:
        connection.execute(definition)
    connection.execute("VACUUM ANALYZE")
    connection.execute("CHECKPOINT")
    return samples


def _samples(connection: psycopg.Connection, keys: int, pepper: bytes) -> list[tuple[str, int]]:
    """Give some of the keys a secret that is known; return those, with the space each is for."""
    many = min(keys, MOST_SAMPLES)
    found = []
    connection.execute("CREATE TEMPORARY TABLE sample (id bigint PRIMARY KEY, digest bytea)")
    with connection.cursor().copy("COPY sample FROM STDIN") as copy:
        for number in range(many):
            key_id = 1 + number * (keys // many)
            public_id = f"{key_id * _SCATTER % 2**48:012x}"
            key = tokens.KeyText(public_id, tokens.mint().secret)
            copy.write_row((key_id, tokens.digest(key, pepper)))
            found.append((key.plaintext, (key_id - 1) // _KEYS_PER_ACCOUNT + 1))
    connection.execute(
        "UPDATE apikeys_keysecret secret SET digest = sample.digest FROM sample WHERE sample.id = secret.id"
    )
    random.Random(5).shuffle(found)  # noqa: S311 -- only not in the order in which the rows lie
    return found
