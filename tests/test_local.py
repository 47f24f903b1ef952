"""The embedded server and the data folder, also after everything that can go wrong with a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from arizekeys import local

# A process that uses the folder's server until its input ends.
USER = """
import sys
from pathlib import Path
from arizekeys import local
local.attach(Path(sys.argv[1]), durable=False)
print("attached", flush=True)
sys.stdin.read()
"""


class User:
    """Another process attached to the same server."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parent.parent,
        )

    def wait_until_attached(self) -> User:
        """Wait for its word."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "attached\n"
        return self

    def leave(self) -> None:
        """Let it end by itself."""
        self.process.communicate(timeout=60)

    def kill(self) -> None:
        """End it without a chance to clean up."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder whose name has to be quoted, and whose server is stopped in the end."""
    folder = tmp_path_factory.mktemp("data") / "it's a folder"
    yield folder
    User(folder).wait_until_attached().leave()
    assert not local.answers(folder)


def postmaster(folder: Path) -> int:
    """The process id that the server wrote down."""
    return int((folder / "postgres" / "postmaster.pid").read_text().split()[0])


def test_two_that_start_at_once_share_one_server_and_the_last_stops_it(folder: Path) -> None:
    one, other = User(folder), User(folder)
    one.wait_until_attached()
    other.wait_until_attached()

    one.leave()
    assert local.answers(folder)

    other.leave()
    assert not local.answers(folder)


def test_a_killed_user_does_not_count_and_the_next_one_takes_over(folder: Path) -> None:
    killed = User(folder).wait_until_attached()
    server = postmaster(folder)

    killed.kill()
    following = User(folder).wait_until_attached()

    assert postmaster(folder) == server
    following.leave()
    assert not local.answers(folder)


def test_a_killed_server_is_started_again(folder: Path) -> None:
    user = User(folder).wait_until_attached()
    psutil.Process(postmaster(folder)).kill()
    user.kill()

    again = User(folder).wait_until_attached()

    assert local.answers(folder)
    again.leave()


def test_a_pid_file_whose_number_is_somebody_elses_by_now_is_no_obstacle(folder: Path) -> None:
    User(folder).wait_until_attached().leave()
    pid_file = folder / "postgres" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{folder / 'postgres'}\n{int(time.time())}\n5432\n\n\n  1  1\nready\n")
    # PostgreSQL is its owner's, and ignores numbers of processes that belong to others.
    found = (folder / "postgres").stat()
    os.chown(pid_file, found.st_uid, found.st_gid)

    user = User(folder).wait_until_attached()

    assert postmaster(folder) != os.getpid()
    user.leave()


def test_the_server_listens_on_no_network_and_lets_nobody_else_in(folder: Path) -> None:
    user = User(folder).wait_until_attached()

    connections = psutil.Process(postmaster(folder)).net_connections("inet")

    assert connections == []
    assert (folder / "postgres").stat().st_mode & 0o077 == 0
    user.leave()


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25)

    place = local.socket_folder(folder)

    assert place.parent == Path("/tmp")  # noqa: S108 -- nothing is put there
    assert place == local.socket_folder(folder)
    assert place != local.socket_folder(tmp_path / ("long" * 24 + "lang"))


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(local.LocalError, match=r"the data folder .* cannot be used"):
        local.prepare(tmp_path / "file" / "data")


def test_an_emptied_secret_is_not_silently_replaced(tmp_path: Path) -> None:
    local.prepare(tmp_path)
    (tmp_path / "peppers").touch()

    with pytest.raises(local.LocalError, match="peppers is empty"):
        local.own_secret(tmp_path, "peppers")


def test_a_cluster_of_another_release_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data" / "postgres").mkdir(parents=True)
    (tmp_path / "data" / "postgres" / "PG_VERSION").write_text("16\n")

    result = subprocess.run(
        [sys.executable, "-c", USER, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parent.parent,
        check=False,
    )

    assert result.returncode == 1
    assert "was made by PostgreSQL 16 and this release brings 18" in result.stderr
