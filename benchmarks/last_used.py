"""What does counting the uses of keys cost? Asks the callable of `/verify` about keys it remembers, with and without.

    .venv/bin/python benchmarks/last_used.py

Both cases are the same door and the same keys, and take turns. In one of them nothing is counted; in the other every
use is. A thread writes what was counted, as in a worker but ten times as often. What is compared is the processor time
of the thread that answers: what else the machine does is not in it. A request costs a worker more than the callable:
what the server adds is measured in the same run, with a callable that does nothing. Of all that counting may cost 5 %.
"""

from __future__ import annotations

import stage

stage.set_up()

import http.client
import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import servers
from django.utils import timezone

from accounts.actors import Actor, Door
from accounts.models import Account, User
from accounts.tenancy import create_account
from apikeys import usage
from apikeys.epochs import Epochs
from apikeys.following import Follower
from apikeys.forward_auth import ForwardAuth
from apikeys.lifecycle import create_user_key
from apikeys.limits import Limiter
from apikeys.models import KeyUse
from apikeys.usage import Uses

KEYS = 50
CALLS = 500  # in each case and round, spread over the keys
ROUNDS = 600
FLUSH_SECONDS = 1.0
REQUESTS = 20_000
NOW = timezone.now()


class Uncounted(Uses):
    """Takes every use for nothing."""

    def note(self, key_id: int, who: Callable[[Any], tuple[str | None, str]], request: Any) -> None:
        """Do nothing."""


def keys() -> list[str]:
    """Return fresh keys, in an account of their own."""
    Account.objects.filter(name="last used").delete()
    User.objects.filter(email="last-used@example.com").delete()
    account, person = create_account(
        Actor.from_command(None),
        name="last used",
        admin_email="last-used@example.com",
        admin_name="Last Used",
        password=None,
        at=NOW,
    )
    actor = Actor(user=person, account=account, door=Door.COMMAND)
    return [create_user_key(actor, name=f"key {number}", at=NOW).plaintext for number in range(KEYS)]


def asking(door: ForwardAuth, environs: list[dict[str, Any]]) -> Callable[[], None]:
    """Return a call that asks about all keys in turn."""
    said: list[str] = []

    def start(status: str, headers: object) -> None:
        said.append(status)

    def ask() -> None:
        for _ in range(CALLS // KEYS):
            for environ in environs:
                door(environ, start)
        if set(said) != {"204 No Content"}:
            raise SystemExit("A key that should be let through was refused.")
        said.clear()

    return ask


def environ(key: str) -> dict[str, Any]:
    """Return what a server hands over of a request by a proxy."""
    return {
        "PATH_INFO": "/verify",
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "HTTP_AUTHORIZATION": f"Bearer {key}",
        "HTTP_USER_AGENT": "curl/8.5.0",
        "wsgi.input": io.BytesIO(),
        "wsgi.url_scheme": "http",
    }


def beside_the_callable() -> float:
    """Return how many seconds of processor time a request costs a worker whose callable does nothing."""
    granian = Path(sys.executable).with_name("granian")
    one = servers.Machine(workers=1)
    with servers.serving(
        "bare:nothing", one, dict(os.environ), folder=Path(__file__).parent, granian=granian
    ) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)

        def spent(requests: int) -> float:
            before = sum(sum(worker.cpu_times()[:2]) for worker in server.workers())
            for _ in range(requests):
                connection.request("GET", "/verify")
                connection.getresponse().read()
            return sum(sum(worker.cpu_times()[:2]) for worker in server.workers()) - before

        spent(REQUESTS // 20)
        return spent(REQUESTS) / REQUESTS


def main() -> None:
    """Measure, and fail when counting costs more than it may."""
    folder = Path(tempfile.mkdtemp())
    epochs, uses = Epochs(folder / "epochs"), Uses()
    follower = Follower(epochs)
    follower.start()
    while not epochs.holds(epochs.stamp(())):
        time.sleep(0.01)
    environs = [environ(key) for key in keys()]
    time.sleep(1)  # what was made has been heard of
    limiter = Limiter(folder / "limits")
    cases = {
        "not counted": asking(ForwardAuth(epochs, limiter, Uncounted()), environs),
        "counted": asking(ForwardAuth(epochs, limiter, uses), environs),
    }
    usage.FLUSH_SECONDS = FLUSH_SECONDS
    writing = threading.Thread(target=uses.flush_for_ever, daemon=True)
    writing.start()
    medians = stage.interleaved(cases, ROUNDS, clock=time.thread_time)
    uses.end()
    writing.join()
    follower.end()
    follower.join()
    stage.table({name: median / CALLS for name, median in medians.items()}, "not counted")
    counted, there = sum(KeyUse.objects.values_list("uses", flat=True)), ROUNDS * CALLS
    print(f"{counted} of {there} uses are in the table")
    if counted != there:
        raise SystemExit(1)
    counting = (medians["counted"] - medians["not counted"]) / CALLS
    request = beside_the_callable() + medians["not counted"] / CALLS
    print(f"counting costs {counting * 1e6:.2f} µs, a request without it {request * 1e6:.1f} µs")
    cost = counting / request
    print(f"that is {cost:.1%}, allowed 5 %")
    if cost >= 0.05:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
