"""Lose an application host, then the database, under load: what is answered meanwhile, and is anything wrong or lost?

    .venv/bin/python benchmarks/failover.py [--help]

Two application hosts behind HAProxy on one PostgreSQL primary with a streaming replica that every commit waits for,
all on loopback addresses of this machine. Some ask all the time whether keys are good, others create, refresh and
revoke keys over REST and note every change that was acknowledged. First a host dies with all its workers, and comes
back. Then the link to the replica falls silent for a moment, the primary dies, and the replica is promoted.

Wrong is an accept of a secret whose end had been acknowledged before the question was sent, and a 401 for one whose
beginning had been acknowledged and whose end nobody had asked for by the time of the answer. Lost is a change that was
acknowledged and is not in the promoted database. Both have to be 0, and the chain of audit events whole, or the exit
code is 1. With --asynchronous the commits do not wait for the replica: then changes are lost, and this says so.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import random
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import NAME, Balancer, Host, Pair, wait_for

ASKERS = 3
WRITERS = 2
HOT = 40  # keys that are only asked about
SILENCE = 0.5  # seconds in which the replica hears nothing before the primary dies
TIMEOUT = 10.0  # seconds until a caller gives up
LIMIT = 240  # seconds until all of it is given up


@dataclass
class Secret:
    """What opens a key, and what was promised of it. Times are of this machine's one monotonic clock."""

    text: str
    key: str
    born: float
    doomed: float | None = None  # when its end was first asked for
    dead: float | None = None  # when its end was acknowledged


@dataclass(frozen=True)
class Promise:
    """A change that was acknowledged: what it made, what it ended."""

    made: Secret | None
    ended: Secret | None


class Book:
    """Everything the callers know together."""

    def __init__(self) -> None:
        self.phase = "quiet"
        self.tally: dict[str, Counter[str]] = {}
        self.alive: list[Secret] = []
        self.dead: list[Secret] = []
        self.promises: list[Promise] = []
        self.waits: dict[str, list[float]] = {}  # by phase, how long acknowledged changes took
        self.wrong: list[str] = []
        self.ended = threading.Event()
        self._lock = threading.Lock()

    def count(self, what: str, *, times: int = 1) -> None:
        """Count something in the present phase."""
        with self._lock:
            self.tally.setdefault(self.phase, Counter())[what] += times

    def promise(self, promise: Promise, waited: float) -> None:
        """Note what was acknowledged, and after how many seconds."""
        with self._lock:
            self.waits.setdefault(self.phase, []).append(waited)
            self.promises.append(promise)
            if promise.made:
                self.alive.append(promise.made)
            if promise.ended:
                self.dead.append(promise.ended)
        self.count("changed")

    def doom(self, secret: Secret) -> None:
        """Note that a secret's end is about to be asked for."""
        secret.doomed = secret.doomed or time.monotonic()
        with self._lock, contextlib.suppress(ValueError):
            self.alive.remove(secret)

    def judge(self, secret: Secret, status: int, asked: float, answered: float) -> None:
        """Count an answer about a secret, and see whether it may be."""
        if status == 204:
            self.count("accepted")
            if secret.dead is not None and secret.dead < asked:
                self._blame(f"accepted {asked - secret.dead:.3f} s after its end was acknowledged")
        elif status == 401:
            self.count("refused")
            if secret.doomed is None or secret.doomed > answered:
                self._blame(f"refused {asked - secret.born:.3f} s after its beginning was acknowledged")
        elif status in (0, 502, 503, 504):
            self.count("unavailable")
        else:
            self._blame(f"answered {status}")

    def blame(self, what: str) -> None:
        """Note what may not be."""
        self._blame(what)

    def _blame(self, what: str) -> None:
        with self._lock:
            self.wrong.append(f"{self.phase}: {what}")


class Caller:
    """One caller, with a connection to the balancer that is kept as long as it works."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer
        self._connection: http.client.HTTPConnection | None = None

    def __call__(self, method: str, path: str, key: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Return status and body, and status 0 where there was no answer."""
        headers = {"Host": NAME, "Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        if self._connection is None:
            address = self._balancer
            self._connection = http.client.HTTPConnection(address.address, address.port, timeout=TIMEOUT)
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            return 0, None
        return answer.status, json.loads(content) if content.startswith(b"{") else None


def ask(book: Book, call: Caller, secret: Secret) -> int:
    """Ask whether a secret opens anything, and judge the answer."""
    asked = time.monotonic()
    status, _ = call("GET", "/verify", secret.text)
    book.judge(secret, status, asked, time.monotonic())
    return status


def ask_for_ever(book: Book, balancer: Balancer, pause: float) -> None:
    """Ask about keys that are good and keys that are not: the body of a thread."""
    call = Caller(balancer)
    while not book.ended.wait(pause):
        among = book.dead if book.dead and random.random() < 0.25 else book.alive  # noqa: S311 -- a load, not a secret
        if not ask(book, call, random.choice(among)):  # noqa: S311 -- as above
            book.ended.wait(0.05)


class Writer:
    """Creates, refreshes and revokes keys of its own, and asks about what it ended right after the answer."""

    def __init__(self, book: Book, balancer: Balancer, key: str) -> None:
        self._book, self._key = book, key
        self._call, self._verify = Caller(balancer), Caller(balancer)
        self._mine: list[Secret] = []
        self._waited = 0.0

    def write_for_ever(self) -> None:
        """Write until told to end: the body of a thread."""
        while not self._book.ended.is_set():
            if len(self._mine) < 4:
                self._create()
                continue
            secret = self._mine.pop(0)
            for _ in range(4):  # so that every worker has it in mind
                ask(self._book, self._verify, secret)
            self._book.doom(secret)
            if random.random() < 0.5:  # noqa: S311 -- as above
                self._refresh(secret)
            else:
                self._revoke(secret)
            for _ in range(4 if secret.dead else 0):
                ask(self._book, self._verify, secret)

    def _create(self) -> None:
        status, body = self._change("POST", "/v2/api-keys", {"key_type": "USER", "name": "one of many"})
        if status == 201:
            self._made(body, ended=None)

    def _refresh(self, secret: Secret) -> None:
        # Without an answer nobody knows which secret it is now: the key is left alone.
        status, body = self._change("POST", f"/v2/api-keys/{secret.key}/refresh", {})
        if status == 200:
            secret.dead = time.monotonic()
            self._made(body, ended=secret)

    def _revoke(self, secret: Secret) -> None:
        # Asked for until it is acknowledged, as whoever means it does.
        while not self._book.ended.is_set():
            status, _ = self._change("PUT", f"/v2/api-keys/{secret.key}/revoke", None)
            if status == 204:
                secret.dead = time.monotonic()
                self._book.promise(Promise(made=None, ended=secret), self._waited)
                return

    def _made(self, body: Any, *, ended: Secret | None) -> None:
        made = Secret(body["key"], body["id"], time.monotonic())
        self._mine.append(made)
        self._book.promise(Promise(made, ended), self._waited)

    def _change(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        asked = time.monotonic()
        status, answer = self._call(method, path, self._key, body)
        self._waited = time.monotonic() - asked
        if status in (0, 502, 503, 504):
            self._book.count("in doubt")
            self._book.ended.wait(0.1)
        elif status >= 400:
            self._book.blame(f"{method} {path} was answered {status}: {answer}")
        return status, answer


# The stage


@dataclass
class Stage:
    """All that runs."""

    pair: Pair
    hosts: list[Host]
    balancer: Balancer


def build(folder: Path, options: argparse.Namespace, cleanup: contextlib.ExitStack) -> tuple[Stage, Book, list[str]]:
    """Start everything, and fill it; return it with the keys that the writers use."""
    say("The primary")
    pair = Pair(folder, durable=not options.quick)
    cleanup.callback(pair.kill)
    pair.start()
    book = Book()
    keys = fill(book)
    say("The replica")
    pair.replicate(synchronous=not options.asynchronous)
    say("Two application hosts, and HAProxy")
    hosts = [
        Host(folder / name, address, pair.environment, options.workers)
        for name, address in (("one", "127.0.0.2"), ("two", "127.0.0.3"))
    ]
    balancer = Balancer(folder, hosts)
    for part in (*hosts, balancer):
        cleanup.callback(part.kill)
        part.start()
    for part in (*hosts, balancer):
        wait_for("The start", part.is_well)
    return Stage(pair, hosts, balancer), book, keys


def fill(book: Book) -> list[str]:
    """Make, for each writer, an account with an admin's key; the first one's are asked about as well."""
    from django.db import connection  # -- only now does it know its settings
    from django.utils import timezone  # -- as above

    from accounts.actors import Actor  # -- as above
    from accounts.models import Account  # -- as above
    from accounts.tenancy import create_account  # -- as above
    from apikeys.lifecycle import create_user_key  # -- as above

    keys = []
    for number in range(WRITERS):
        account, admin = create_account(
            Actor.from_command(None),
            name=f"Account {number}",
            admin_email=f"admin{number}@example.com",
            admin_name="Ada Admin",
            password=secrets.token_urlsafe(),
            at=timezone.now(),
        )
        Account.objects.update(max_keys_per_hour=1_000_000, max_live_keys=1_000_000)
        account.refresh_from_db()
        actor = Actor.from_command(account, on_behalf_of=admin)
        for _ in range(1 + HOT // WRITERS):
            new = create_user_key(actor, name="asked about", at=timezone.now())
            book.alive.append(Secret(new.plaintext, new.key.wire_id, time.monotonic()))
        keys.append(book.alive.pop().text)
    connection.close()
    return keys


# The play


def play(stage: Stage, book: Book, seconds: float) -> None:
    """Let it all happen, and say so."""
    act(book, "quiet", seconds)
    stage.hosts[1].kill()
    act(book, "a host is dead", seconds)
    stage.hosts[1].start()
    book.phase = "it starts again"
    wait_for("Its return", stage.hosts[1].is_well)
    act(book, "it is back", seconds)
    # As a line that breaks: what the primary still says no longer reaches the replica.
    book.phase = "no replica"
    for (process,) in stage.pair.primary.execute("SELECT pid FROM pg_stat_replication"):
        os.kill(int(str(process)), signal.SIGSTOP)
    time.sleep(SILENCE)
    book.phase, died = "no database", time.monotonic()
    stage.pair.primary.kill()
    stage.pair.replica.promote()
    promoted = time.monotonic() - died
    act(book, "a new primary", seconds)
    print(f"{'':8}  promoted {promoted:.1f} s after the primary died")


def act(book: Book, name: str, seconds: float) -> None:
    """Go on to the next act; it lasts until something was acknowledged in it."""
    say(name.capitalize())
    book.phase = name
    before = len(book.promises)
    time.sleep(seconds)
    wait_for("A change", lambda: len(book.promises) > before)


# The judgement


def judge(stage: Stage, book: Book) -> tuple[int, int]:
    """Look at the promoted database, and ask about every secret once more; return how many changes it lacks, of all."""
    from django.core.management import call_command  # -- only now does it know its settings
    from django.utils import timezone  # -- as above

    from apikeys import tokens  # -- as above
    from apikeys.models import KeySecret  # -- as above

    stored = {one.public_id: one for one in KeySecret.objects.select_related("key")}

    def opens(secret: Secret) -> bool | None:
        found = stored.get(tokens.parse(secret.text).public_id)
        if found is None:
            return None
        return found.key.revoked_at is None and (found.ends_at is None or found.ends_at > timezone.now())

    lost = 0
    for promise in book.promises:
        # What was made may have been ended since: it has to be there.
        lost += promise.made is not None and opens(promise.made) is None
        lost += promise.ended is not None and opens(promise.ended) is not False
    for secret in book.alive:
        lost += opens(secret) is False
    call = Caller(stage.balancer)
    for secret in (*book.alive, *book.dead):
        ask(book, call, secret)
    call_command("verifyaudit", stdout=io.StringIO())
    return lost, len(book.promises)


def conclude(book: Book, lost: int, promised: int) -> int:
    """Print what happened, phase by phase; return the exit code."""
    columns = ("accepted", "refused", "unavailable", "changed", "in doubt")
    print(f"\n{'':<20}" + "".join(f"{column:>13}" for column in columns) + "  median, longest change")
    for phase, tally in book.tally.items():
        waits = book.waits.get(phase, [])
        took = f"{statistics.median(waits) * 1e3:10.0f} ms {max(waits) * 1e3:6.0f} ms" if waits else ""
        print(f"{phase:<20}" + "".join(f"{tally[column]:>13}" for column in columns) + took)
    total = sum(book.tally.values(), Counter())
    print(f"{'in all':<20}" + "".join(f"{total[column]:>13}" for column in columns))
    for what in book.wrong[:10]:
        print(f"WRONG  {what}")
    print(f"\nwrong {len(book.wrong)}, lost {lost} of {promised} acknowledged changes; the audit log is whole")
    return 1 if book.wrong or lost else 0


def say(what: str) -> None:
    """Say what happens now."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


@contextlib.contextmanager
def load(book: Book, balancer: Balancer, keys: list[str], pause: float) -> Iterator[None]:
    """Ask and write meanwhile."""
    bodies: list[Callable[[], object]] = [lambda: ask_for_ever(book, balancer, pause)] * ASKERS
    bodies += [Writer(book, balancer, key).write_for_ever for key in keys]
    threads = [threading.Thread(target=body, daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        book.ended.set()
    for thread in threads:
        thread.join(2 * TIMEOUT)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    told, _, more = str(__doc__).partition("\n\n")
    parser = argparse.ArgumentParser(
        description=told, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each act lasts at least; 5 by default")
    parser.add_argument("--workers", type=int, default=2, help="workers per host and door; 2 by default")
    parser.add_argument("--pause", type=float, default=0.0, help="of each asker between two questions; none by default")
    parser.add_argument("--asynchronous", action="store_true", help="commit without the replica, to see it fail")
    parser.add_argument("--quick", action="store_true", help="do not wait for this machine's own disk")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return parser.parse_args()


def main() -> int:
    """Build, play, judge, and take everything down again, whatever happens."""
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="failover-"))
    folder.chmod(0o711)  # root's database servers are another user's
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as cleanup:
        if options.keep:
            print(f"Logs: {folder}")
        else:
            cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        stage, book, keys = build(folder, options, cleanup)
        cleanup.callback(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the first thing done in the end
        with load(book, stage.balancer, keys, options.pause):
            play(stage, book, options.seconds)
        say("Looking at what is there")
        book.phase = "afterwards"
        lost, promised = judge(stage, book)
        return conclude(book, lost, promised)
    return 128 + signal.SIGINT


def _too_long(*_: object) -> None:
    raise TimeoutError(f"All of it took more than {LIMIT} s")


if __name__ == "__main__":
    sys.exit(main())
