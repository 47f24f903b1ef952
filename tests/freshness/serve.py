"""A host, for tests: granian with some workers on a folder and a port of its own, as ``wsgi`` has them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import django
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer as Server


def load() -> Callable[..., Any]:
    """Load the application in a worker, and let each answer say who gave it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "arizekeys.settings"
    from django.conf import settings

    given = json.loads(os.environ["FRESHNESS_HOST"])
    settings.DATABASES["default"] |= given["database"]
    settings.SHARED_FOLDER = Path(given["folder"])
    settings.VERIFY_GUESSES = 0
    settings.VERIFY_PATIENCE = 60  # as in tests/conftest.py
    django.setup()
    from apikeys import refusals, usage

    # Eight workers that tell of a thousand refused keys each are another test's business, and cost more than this one.
    refusals.FLUSH_SECONDS = 3600.0
    # What a relay holds up shall be an answer about a key, and not one to whoever writes uses down.
    usage.FLUSH_SECONDS = 3600.0
    from arizekeys.wsgi import application

    worker = ("X-Worker", str(os.getpid()))

    def telling(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        clock = ("X-Clock", str(time.time()))
        return application(environ, lambda status, headers: start_response(status, [*headers, worker, clock]))

    return telling


def main() -> None:
    """Serve until killed, or until whoever started us is gone."""
    given = json.loads(os.environ["FRESHNESS_HOST"])
    server = Server(
        "tests.freshness.serve:load",
        address="127.0.0.1",
        port=given["port"],
        interface=Interfaces.WSGI,
        workers=given["workers"],
        blocking_threads=1,
        respawn_failed_workers=True,
        websockets=False,
        log_level=LogLevels.error,
        log_access=False,
    )
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    server.serve(target_loader=load, wrap_loader=False)


def _watch(parent: int) -> None:
    pause = threading.Event()  # ``time.sleep`` fails under libfaketime
    while os.getppid() == parent:
        pause.wait(0.5)
    os.killpg(0, 9)


if __name__ == "__main__":
    main()
