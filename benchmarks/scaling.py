"""What does one host carry, and what saturates first? Processor time per question, per miss, per change and per host.

    .venv/bin/python benchmarks/scaling.py [--seconds N]

The numbers behind docs/scaling.md. Most are processor time and not duration, which a busy machine leaves alone: a host
with so many cores carries so many times as much. On a primary with a replica that every commit waits for, both on disk.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import multiprocessing
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
from cluster import NAME, Balancer, Host, Pair, Server, wait_for

from arizekeys import local

HOSTS = (0, 1, 2, 4, 8, 16)
CHANGES = 40  # measured at once, per number of hosts
WRITERS = (1, 2, 4, 8)
USED = 10_000  # keys whose use is written at once
LIMIT = 600  # seconds until all of it is given up


def bare(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer 204 to everything: what the server itself costs."""
    start_response("204 No Content", [("X-Request-Id", "1")])
    return [b""]


def spent(processes: Iterable[psutil.Process]) -> float:
    """Return the processor time these processes have used, in seconds."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def of_server(server: Server) -> list[psutil.Process]:
    """Return the processes of a database server."""
    number = (server.folder / "cluster" / "postmaster.pid").read_text(encoding="utf-8").partition("\n")[0]
    parent = psutil.Process(int(number))
    return [parent, *parent.children(recursive=True)]


# One host


def questions(pair: Pair, folder: Path, seconds: float) -> None:
    """Print what a remembered answer, a miss and the bare server cost."""
    key = _key()
    host = Host(folder / "one", "127.0.0.2", pair.environment, 1)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(host.kill)
        host.start()
        wait_for("The start", host.is_well)
        port = free = host.ports["verify"]
        worker = _workers(host.address, port)
        misses, missed, database = _misses(pair, host.address, port, key, worker)
        rates, costs = [], []
        for _ in range(3):
            rate, cost = _wrk(f"http://{host.address}:{port}/verify", key, worker, seconds)
            rates.append(rate)
            costs.append(cost)
        balancer = Balancer(folder, [host, host])
        cleanup.callback(balancer.kill)
        balancer.start()
        wait_for("The balancer's start", balancer.is_well)
        url = f"http://{balancer.address}:{balancer.port}/verify"
        through_rate, through_cost = _wrk(url, key, balancer.processes, seconds)
        host.kill()
        bare_rate, bare_cost = _bare(free, key, seconds)
    rate, cost = statistics.median(rates), statistics.median(costs)
    rows = {
        "bare server": (bare_rate, bare_cost, ""),
        "remembered answer": (rate, cost, f"× {bare_cost / cost:.2f} of the bare one"),
        "the same by HAProxy": (through_rate, through_cost, "in HAProxy"),
        "miss": (misses, missed, f"and {database * 1e6:.0f} µs in PostgreSQL"),
    }
    print("with one worker:")
    for name, (many, each, more) in rows.items():
        print(f"{name:<20}  {many:9.0f} /s   {each * 1e6:7.1f} µs of processor each  {more}")


def _misses(pair: Pair, address: str, port: int, key: str, worker: list[psutil.Process]) -> tuple[float, float, float]:
    """Ask 151 questions about each of 20 keys, each for the first time."""
    from accounts.vocabulary import Permission  # -- app ready

    connection = http.client.HTTPConnection(address, port, timeout=10)
    headers = {"Host": NAME, "X-Forwarded-Proto": "https"}
    keys = [_key() for _ in range(20)]

    def ask(one: str, permission: str) -> None:
        connection.request("GET", f"/verify?permission={permission}", headers=headers | {"Authorization": one})
        connection.getresponse().read()

    ask(key, "SPACE_READ")
    servers = of_server(pair.primary)
    started, before, database = time.monotonic(), spent(worker), spent(servers)
    for one in keys:
        for permission in Permission:
            ask(one, permission.value)
    count = len(keys) * len(Permission)
    took = time.monotonic() - started
    return count / took, (spent(worker) - before) / count, (spent(servers) - database) / count


def _wrk(url: str, key: str, worker: list[psutil.Process], seconds: float) -> tuple[float, float]:
    before = spent(worker)
    said = subprocess.run(
        ["wrk", "-t1", "-c8", f"-d{seconds:g}s", "-H", f"Host: {NAME}", "-H", f"Authorization: {key}"]
        + ["-H", "X-Forwarded-Proto: https", url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    requests = re.search(r"(\d+) requests in", said)
    if requests is None or "Non-2xx" in said:
        raise RuntimeError(said)
    return int(requests[1]) / seconds, (spent(worker) - before) / int(requests[1])


def _bare(port: int, key: str, seconds: float) -> tuple[float, float]:
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.2", "--port", str(port)]
    command += ["--workers", "1", "--blocking-threads", "1", "--no-ws", "--log-level", "error", "scaling:bare"]
    process = subprocess.Popen(command, cwd=Path(__file__).parent, start_new_session=True)
    try:
        url = f"http://127.0.0.2:{port}/verify"
        wait_for("The bare server", lambda: _listens("127.0.0.2", port))
        worker = _workers("127.0.0.2", port)
        results = [_wrk(url, key, worker, seconds) for _ in range(3)]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return statistics.median(one for one, _ in results), statistics.median(one for _, one in results)


def _listens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection(address, port, timeout=5)) as one:
        one.request("GET", "/")
        return one.getresponse().status == 204
    return False


def _workers(address: str, port: int) -> list[psutil.Process]:
    """Return the processes that serve there."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if "granian" in command and address in command and str(port) in command and process.children():
                return process.children(recursive=True)
    raise RuntimeError("Nobody serves there.")


# Changes, and hosts that hear of them


def changes(pair: Pair, folder: Path) -> None:
    """Print what a change costs with so many hosts, and what the hosts cost when nothing changes."""
    print(
        f"\n{'hosts':>5}  {'one change':>12}  {'in PostgreSQL':>14}  {'here':>9}   PostgreSQL idle, per host and second"
    )
    for hosts in HOSTS:
        with _following(folder, hosts):
            idle, started = spent(of_server(pair.primary)), time.monotonic()
            time.sleep(4)
            idle = (spent(of_server(pair.primary)) - idle) / (time.monotonic() - started)
            durations, database, here = _change(pair)
        each = f"{idle / hosts * 1e3:8.2f} ms" if hosts else ""
        print(f"{hosts:>5}  {durations * 1e3:9.1f} ms  {database * 1e3:11.2f} ms  {here * 1e3:6.1f} ms   {each}")


def _change(pair: Pair) -> tuple[float, float, float]:
    from django.utils import timezone  # -- app ready

    from apikeys.lifecycle import create_user_key, revoke_key  # -- app ready

    actor = _actor()
    keys = [create_user_key(actor, name="to be revoked", at=timezone.now()).key for _ in range(CHANGES)]
    durations = []
    servers = of_server(pair.primary)
    database, here = spent(servers), time.process_time()
    for key in keys:
        started = time.monotonic()
        revoke_key(actor, key, at=timezone.now())
        durations.append(time.monotonic() - started)
    return (
        statistics.median(durations),
        (spent(servers) - database) / CHANGES,
        (time.process_time() - here) / CHANGES,
    )


@contextlib.contextmanager
def _following(folder: Path, hosts: int) -> Iterator[None]:
    """Have so many hosts follow, in a process of their own."""
    from django.db import connection  # -- app ready

    from apikeys.models import Verifier  # -- app ready

    Verifier.objects.all().delete()  # a host that was killed leaves its row
    connection.close()
    ended = multiprocessing.get_context("fork").Event()
    process = multiprocessing.get_context("fork").Process(target=_follow, args=(folder, hosts, ended), daemon=True)
    process.start()
    wait_for("The hosts' coming", lambda: Verifier.objects.count() == hosts)
    try:
        yield
    finally:
        ended.set()
        process.join(20)
        wait_for("The hosts' going", lambda: not Verifier.objects.exists())


def _follow(folder: Path, hosts: int, ended: Any) -> None:
    from apikeys.epochs import Epochs  # -- app ready
    from apikeys.following import Follower  # -- app ready

    followers = []
    for number in range(hosts):
        own = folder / f"follower-{number}"
        own.mkdir(exist_ok=True)
        followers.append(Follower(Epochs(own / "epochs")))
    for one in followers:
        one.start()
    ended.wait()
    for one in followers:
        one.end()
    for one in followers:
        one.join(5)


# Commits, and the uses of keys


def commits(pair: Pair, folder: Path, seconds: float) -> None:
    """Print how many transactions a second so many writers commit, with and without telling anybody."""
    pair.primary.execute("CREATE TABLE counted (id int PRIMARY KEY, many bigint NOT NULL)")
    pair.primary.execute("INSERT INTO counted SELECT one, 0 FROM generate_series(1, 64) one")
    scripts = {
        "an update": "UPDATE counted SET many = many + 1 WHERE id = 1 + :client_id;\n",
        "and a notification": "BEGIN;\nUPDATE counted SET many = many + 1 WHERE id = 1 + :client_id;\n"
        "SELECT pg_notify('somebody', 'x' || :client_id);\nCOMMIT;\n",
    }
    print("\ncommits a second by so many writers, each on the disk of both servers")
    print(f"{'':<20}" + "".join(f"{many:>8}" for many in WRITERS))
    for name, script in scripts.items():
        file = folder / "script.sql"
        file.write_text(script, encoding="utf-8")
        rates = [_pgbench(pair.primary, file, many, seconds) for many in WRITERS]
        print(f"{name:<20}" + "".join(f"{rate:>8.0f}" for rate in rates))


def _pgbench(server: Server, script: Path, writers: int, seconds: float) -> float:
    said = subprocess.run(
        [local._binaries() / "pgbench", "-n", "-f", script, "-c", str(writers), "-T", f"{seconds:.0f}"]
        + [server.superuser],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"tps = ([\d.]+)", said)
    if found is None:
        raise RuntimeError(said)
    return float(found[1])


def uses(pair: Pair) -> None:
    """Print what it costs to write that many keys were used."""
    from django.utils import timezone  # -- app ready

    from apikeys.models import ApiKey  # -- app ready
    from apikeys.usage import Uses  # -- app ready

    actor, at = _actor(), timezone.now()
    keys = ApiKey.objects.bulk_create(
        ApiKey(
            account=actor.account,
            kind="USER",
            name="used",
            owner=actor.user,
            created_by_name="",
            created_at=at,
            redacted_key="ak-abc...xyz",
        )
        for _ in range(USED)
    )
    costs = []
    for _ in range(4):
        counted = Uses()
        for key in keys:
            counted.note(key.pk, lambda _: ("192.0.2.7", "curl"), None)
        before, here = spent(of_server(pair.primary)), time.process_time()
        counted.flush()
        costs.append((spent(of_server(pair.primary)) - before, time.process_time() - here))
    database, here = (statistics.median(one) / USED for one in zip(*costs[1:], strict=True))
    print(f"\na key's use, written with others  {database * 1e6:.1f} µs in PostgreSQL, {here * 1e6:.1f} µs here")


def _actor() -> Any:
    from accounts.actors import Actor  # -- app ready
    from accounts.models import Account, User  # -- app ready

    return Actor.from_command(Account.objects.get(), on_behalf_of=User.objects.get(email="ada@example.com"))


def _key() -> str:
    from django.utils import timezone  # -- app ready

    from apikeys.lifecycle import create_user_key  # -- app ready

    return create_user_key(_actor(), name="asked about", at=timezone.now()).plaintext


def _fill() -> None:
    from django.utils import timezone  # -- app ready

    from accounts.actors import Actor  # -- app ready
    from accounts.models import Account  # -- app ready
    from accounts.tenancy import create_account  # -- app ready

    create_account(
        Actor.from_command(None),
        name="Acme",
        admin_email="ada@example.com",
        admin_name="Ada Admin",
        password=os.urandom(12).hex(),
        at=timezone.now(),
    )
    Account.objects.update(max_keys_per_hour=1_000_000, max_live_keys=1_000_000)


def main() -> None:
    """Measure all of it, and clean up."""
    told, _, more = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        description=told, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement under load; 3 by default")
    seconds = parser.parse_args().seconds
    if shutil.which("wrk") is None:
        raise SystemExit("This takes wrk (Debian: apt-get install wrk).")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(LIMIT)
    folder = Path(tempfile.mkdtemp(prefix="scaling-"))
    folder.chmod(0o711)  # root's database servers are another user's
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        pair = Pair(folder)
        cleanup.callback(pair.kill)
        pair.start()
        _fill()
        pair.replicate()
        questions(pair, folder, seconds)
        changes(pair, folder)
        commits(pair, folder, seconds)
        uses(pair)


if __name__ == "__main__":
    main()
