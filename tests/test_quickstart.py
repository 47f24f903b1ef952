"""The first command of the README, run as a newcomer runs it: real processes, a real port, a folder of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from arizekeys import local, serving
from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60

pytestmark = pytest.mark.usefixtures("alone")


class Copy:
    """One `manage.py quickstart`, and what it says."""

    def __init__(self, folder: Path, port: int | None = None, grpc_port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.grpc_port = grpc_port or free_port()
        self.grpc_tls_port = free_port()
        self.log = folder.with_name(f"{folder.name}.{self.port}.log")
        with self.log.open("w", encoding="utf-8") as output:
            # As from a terminal: a process group of its own, which Ctrl-C goes to as a whole.
            self.process = psutil.Popen(
                command(
                    *("quickstart", "--port", str(self.port)),
                    *("--grpc-port", str(self.grpc_port), "--grpc-tls-port", str(self.grpc_tls_port)),
                ),
                cwd=ROOT,
                env=environment(folder),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Everything printed so far."""
        return self.log.read_text(encoding="utf-8")

    def wait_until_ready(self) -> Copy:
        """Wait for the line that says so; fail with the output when the process ends instead."""
        deadline = time.monotonic() + PATIENCE
        while "Serving at" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        return self

    def wait(self) -> int:
        """Wait for the end and return the exit code."""
        return int(self.process.wait(PATIENCE))

    def end(self) -> None:
        """End it where it still runs: the test that ends it may have run in another worker."""
        if self.process.poll() is None:
            self.process.terminate()
            self.wait()

    def press_ctrl_c(self) -> None:
        """Send what a terminal sends, to every process in the foreground."""
        os.killpg(self.process.pid, signal.SIGINT)

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Fetch a page."""
        # One worker has answered by now; the other may still be loading, and takes its time on a busy machine.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()


def environment(folder: Path) -> dict[str, str]:
    """The environment of a command that works on the folder."""
    ours = ("ARIZEKEYS_", "DATABASE_URL", "DJANGO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"ARIZEKEYS_DATA": str(folder)}


def command(*arguments: str) -> list[str]:
    """A management command as an argument list."""
    return [sys.executable, "manage.py", *arguments]


def leftovers(folder: Path) -> list[str]:
    """Living processes that work on the folder: servers by their arguments, our own by their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = str(folder) in " ".join(process.cmdline()) or process.environ().get("ARIZEKEYS_DATA") == str(folder)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def require_nothing_left(folder: Path) -> None:
    """Fail unless everything on the folder ends by itself."""
    deadline = time.monotonic() + PATIENCE
    while leftovers(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert leftovers(folder) == []


def kill_database(folder: Path) -> None:
    """End the embedded server as a crash or an impatient operator would."""
    psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().split()[0])).kill()


def people(folder: Path) -> str:
    """Every person with their password hash, to compare before and after."""
    dump = command("shell", "-v0", "-c", "from accounts.models import *; print(*User.objects.values_list(), sep='\\n')")
    return subprocess.run(dump, cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=True).stdout


def output_of(folder: Path, *arguments: str) -> str:
    """Run a command on the folder and return what it says."""
    result = subprocess.run(
        command(*arguments), cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def as_superuser(folder: Path, statements: str) -> str:
    """Do something to the embedded database that neither of its two roles may, and return the last answer."""
    script = f"""
import pathlib, psycopg
from arizekeys import local
folder = pathlib.Path({str(folder)!r})
local.attach(folder)
with psycopg.connect(host=str(local.socket_folder(folder)), user="postgres", dbname=local.DATABASE) as server:
    for statement in {statements!r}.split(";"):
        cursor = server.execute(statement)
    print(cursor.fetchall() if cursor.description else "")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """The first run in an empty folder, as far as its first answer."""
    copy = Copy(tmp_path_factory.mktemp("quickstart") / "data").wait_until_ready()
    yield copy
    if copy.process.poll() is None:
        copy.process.terminate()
        copy.wait()


def test_first_run_shows_who_may_sign_in_and_how_to_go_on(first: Copy) -> None:
    names = ("alice", "bob", "charlie", "dana", "erin", "operator")
    assert [match[0] for match in re.findall(r"(\w+)@example\.com +(\w{4}-\w{4}-\w{4}-\w{4}) ", first.said)] == [*names]
    assert f"http://127.0.0.1:{first.port}" in first.said
    assert re.search(r'^ *curl -s -H "Authorization: Bearer \$KEY" \S+/v2/spaces$', first.said, re.MULTILINE)
    assert first.get("/healthz") == (200, '{"status": "ok"}')


def test_the_printed_line_makes_a_key_that_opens_the_api(first: Copy) -> None:
    assignment = next(line for line in first.said.splitlines() if line.strip().startswith("KEY="))

    made = subprocess.run(
        ["/bin/sh", "-c", f'{assignment}; printf %s "$KEY"'],
        cwd=ROOT,
        env=environment(first.folder),
        capture_output=True,
        text=True,
        check=True,
    )
    status, body = first.get("/v2/spaces", Authorization=f"Bearer {made.stdout}")

    assert status == 200
    assert {space["name"] for space in json.loads(body)["spaces"]} == {"production", "staging", "vision-lab"}


def test_static_files_are_served_under_names_that_tell_their_content(first: Copy) -> None:
    sheets = re.findall(r'href="(/static/[^"]+\.[0-9a-f]{12}\.css)"', first.get("/sign-in/")[1])

    assert sheets
    assert [first.get(sheet)[0] for sheet in sheets] == [200] * len(sheets)


def test_only_loopback_is_listened_on(first: Copy) -> None:
    family = [first.process, *first.process.children(recursive=True)]

    found = {c.laddr for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    listening = {(ip.removeprefix("::ffff:"), port) for ip, port in found}  # gRPC's sockets know both families

    assert listening == {("127.0.0.1", port) for port in (first.port, first.grpc_port, first.grpc_tls_port)}


def test_a_second_copy_in_the_same_folder_is_refused(first: Copy) -> None:
    second = Copy(first.folder)

    assert second.wait() == 1
    assert second.said == (
        f"CommandError: arizekeys is already being served from {first.folder}: http://127.0.0.1:{first.port}, process "
        f"{first.process.pid}. Stop that copy first, or give this one a folder of its own with ARIZEKEYS_DATA.\n"
    )
    assert first.get("/healthz")[0] == 200


def test_a_taken_port_is_refused(first: Copy, tmp_path: Path) -> None:
    second = Copy(tmp_path / "data", first.port)

    assert second.wait() == 1
    assert second.said == (
        f"CommandError: port {first.port} is taken by another program. Choose another with --port or ARIZEKEYS_PORT.\n"
    )
    assert first.get("/healthz")[0] == 200


def test_a_taken_grpc_port_is_refused(first: Copy, tmp_path: Path) -> None:
    second = Copy(tmp_path / "data", grpc_port=first.grpc_tls_port)

    assert second.wait() == 1
    assert second.said == (
        f"CommandError: port {first.grpc_tls_port} is taken by another program. Choose another with --grpc-port or "
        "ARIZEKEYS_GRPC_PORT.\n"
    )


def grpc_is_healthy(copy: Copy, *, tls: bool) -> bool:
    """Ask the health service, as a balancer does."""
    if tls:
        pem = (copy.folder / "localhost.pem").read_bytes()
        trusted = grpc.ssl_channel_credentials(pem[pem.index(b"-----BEGIN CERTIFICATE-----") :])
        channel = grpc.secure_channel(f"localhost:{copy.grpc_tls_port}", trusted)
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{copy.grpc_port}")
    with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE, wait_for_ready=True)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def grpc_server_of(copy: Copy) -> psutil.Process:
    """The process that serves Flight."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for child in copy.process.children():
            with contextlib.suppress(psutil.Error):
                if "serveflight" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                    return child
        time.sleep(0.1)
    raise AssertionError(copy.said)


def test_grpc_is_served_in_plaintext_and_with_a_certificate_for_localhost(first: Copy) -> None:
    assert f"grpc://127.0.0.1:{first.grpc_port}," in first.said
    assert f"grpc+tls://localhost:{first.grpc_tls_port}\n" in first.said
    assert (first.folder / "localhost.pem").stat().st_mode & 0o777 == 0o600

    assert grpc_is_healthy(first, tls=False)
    assert grpc_is_healthy(first, tls=True)


def test_a_killed_grpc_server_is_started_again(first: Copy) -> None:
    served = grpc_server_of(first)
    time.sleep(max(0.0, served.create_time() + serving.SHORT_LIFE + 0.5 - time.time()))

    served.kill()

    assert grpc_is_healthy(first, tls=False)
    assert grpc_server_of(first).pid != served.pid
    assert first.get("/healthz")[0] == 200


def test_a_command_beside_it_uses_the_same_server_and_leaves_it_running(first: Copy) -> None:
    result = subprocess.run(command("migrate", "--check"), cwd=ROOT, env=environment(first.folder), check=False)

    assert result.returncode == 0
    assert first.get("/healthz")[0] == 200


WHO = "from django.db import connection as c; r = c.cursor(); r.execute('SELECT current_user'); print(r.fetchone()[0])"


def test_what_serves_cannot_change_the_audit_log(first: Copy) -> None:
    """Security 46: the pages and the commands are the one role, the tables belong to the other."""
    assert first.get("/healthz")[0] == 200

    roles = as_superuser(
        first.folder,
        "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = 'arizekeys' AND usename <> 'postgres'",
    )
    owner = as_superuser(first.folder, "SELECT tableowner FROM pg_tables WHERE tablename = 'accounts_auditevent'")

    assert roles == "[('arizekeys_app',)]\n"
    assert owner == "[('arizekeys',)]\n"
    assert output_of(first.folder, "shell", "-v0", "-c", WHO) == "arizekeys_app\n"
    said = output_of(first.folder, "check", "--tag", "database", "--deploy", "--database", "default")
    assert said == "System check identified no issues (0 silenced).\n"
    assert "unbroken" in output_of(first.folder, "verifyaudit")


def test_ctrl_c_ends_everything_and_the_next_run_changes_nothing(first: Copy) -> None:
    before = people(first.folder)

    first.press_ctrl_c()

    assert first.wait() == 0
    assert first.said.endswith("\nStopped.\n")
    assert "Traceback" not in first.said
    assert "Fatal" not in first.said
    require_nothing_left(first.folder)

    again = Copy(first.folder).wait_until_ready()
    assert "@example.com " not in again.said.replace("--user alice@example.com ", "")
    assert people(first.folder) == before

    again.process.terminate()
    assert again.wait() == 0
    require_nothing_left(first.folder)


def test_a_killed_database_ends_it_with_a_sentence_and_without_damage(first: Copy) -> None:
    first.end()
    copy = Copy(first.folder).wait_until_ready()
    before = people(first.folder)

    kill_database(first.folder)

    assert copy.wait() == 1
    assert copy.said.splitlines()[-1] == (
        "CommandError: the embedded PostgreSQL ended while arizekeys was serving, so it was stopped as well. Nothing "
        f"is lost: run the command again. The reason may be in {local.log_file(first.folder)}."
    )
    assert "Traceback" not in copy.said
    require_nothing_left(first.folder)
    assert people(first.folder) == before


def test_workers_and_database_follow_a_killed_parent(first: Copy) -> None:
    first.end()
    copy = Copy(first.folder).wait_until_ready()

    copy.process.kill()

    copy.wait()
    require_nothing_left(first.folder)


OLD_EVENTS = """
    INSERT INTO accounts_auditevent (account_id, at, tag, outcome, door, actor_label, target_type, target_label,
        operation_type, operation_name, operation_text, variables, details)
    SELECT 4711, now(), 'key:create', 'SUCCEEDED', 'rest', 'Bob', '', '', '', '', '', '{}', '{}'
    FROM generate_series(1, 3);
    DROP OWNED BY arizekeys_app;
    DROP ROLE arizekeys_app
"""


def test_a_data_folder_of_the_release_before_is_brought_up_to_date(tmp_path: Path) -> None:
    """It has one role, whose everything is, and events that are no chain yet."""
    folder = tmp_path / "data"
    output_of(folder, "migrate", "-v0", "accounts", "0002")
    as_superuser(folder, OLD_EVENTS)

    copy = Copy(folder).wait_until_ready()

    assert copy.get("/healthz")[0] == 200
    assert output_of(folder, "shell", "-v0", "-c", WHO) == "arizekeys_app\n"
    assert "account 4711, which is gone: 3 events, unbroken." in output_of(folder, "verifyaudit")
    copy.press_ctrl_c()
    copy.wait()
    require_nothing_left(folder)


def test_help_teaches() -> None:
    result = subprocess.run(command("quickstart", "--help"), cwd=ROOT, capture_output=True, text=True, check=True)

    for word in ("ARIZEKEYS_PORT", "ARIZEKEYS_DATA", "DATABASE_URL", "Ctrl-C"):
        assert word in result.stdout
