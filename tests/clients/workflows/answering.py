"""The frame of the programs: one step per line of standard input, one answer per line of output.

An answer tells what the step found out, or the exception in parts, and always everything that was logged meanwhile:
that is what a user sees.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

Facts = dict[str, Any]
Step = Callable[..., Facts]

# A step that takes longer hangs: the program ends, saying where, and whoever waits for the answer learns that.
PATIENCE = 120


@dataclass(frozen=True)
class Place:
    """Where the steps go, and with which key."""

    web: str  # http://127.0.0.1:8000
    host: str  # of the gRPC server
    port: int
    tls_port: int
    space: str
    key: str  # none where the client has to take everything from the environment
    at: int  # the second that the data's times are counted from
    certificate: str = ""  # of the one TLS port where everything is, as a file

    @property
    def grpc(self) -> str:
        """Where traces go."""
        return f"http://{self.host}:{self.port}"

    @property
    def web_host(self) -> str:
        """The web server's name."""
        return self.web.partition("://")[2].partition(":")[0]

    @property
    def web_port(self) -> int:
        """The web server's port."""
        return int(self.web.rpartition(":")[2])


def beside(call: Callable[[], Any]) -> Any:
    """Make a call in a thread of its own: there the SDK runs experiments without the seconds its event loop sleeps."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


class Differs(AssertionError):
    """What came back is not what was sent."""


class Steps(dict[str, Step]):
    """The steps of a program, by name."""

    def step(self, function: Step) -> Step:
        """Take a function in under its name."""
        self[function.__name__] = function
        return function


class _Overheard(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def answer(steps: Steps) -> None:
    """Answer until the input ends."""
    # Progress bars and logs go wherever the SDK likes, so the answers' way out is put aside first.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    overheard = _listen()
    for line in sys.stdin:
        asked = json.loads(line)
        overheard.lines.clear()
        _listen_anew()
        began = time.monotonic()
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        try:
            place = Place(**asked["place"])
            said: Facts = {"facts": steps[asked["step"]](place, **asked["arguments"])}
        except Exception as error:  # which one it is, is the question
            said = _told(error)
        faulthandler.cancel_dump_traceback_later()
        said |= {"logs": list(overheard.lines), "seconds": round(time.monotonic() - began, 3)}
        answers.write(json.dumps(said, default=str) + "\n")
        answers.flush()


def _listen() -> _Overheard:
    """Hear everything that is logged, also by loggers that keep it to themselves."""
    overheard = _Overheard()
    every = [logging.getLogger(name) for name in list(logging.Logger.manager.loggerDict)]
    for one in [logging.getLogger(), *(one for one in every if not one.propagate)]:
        one.addHandler(overheard)
    logging.getLogger("arize").setLevel(logging.INFO)
    return overheard


def _listen_anew() -> None:
    """Have exporters log again what they logged before: they leave out what repeats itself within seconds."""
    for name, one in list(logging.Logger.manager.loggerDict.items()):
        if name.startswith("opentelemetry.") and isinstance(one, logging.Logger):
            for filtering in one.filters:
                vars(filtering).pop("last_log", None)


def _told(error: BaseException) -> Facts:
    """Tell an exception and what it was caused by: classes, texts, and what an HTTP answer said."""
    chain = list(_chain(error))
    return {
        "error": [kind.__name__ for kind in type(error).__mro__],
        "causes": [[kind.__name__ for kind in type(one).__mro__] for one in chain[1:]],
        "text": "\n".join(str(one) for one in chain),
        "status": next((status for one in chain if (status := _status(one)) is not None), None),
        "trace": "".join(traceback.format_exception(error)),
    }


def _chain(error: BaseException | None) -> Any:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    for name in ("status", "status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int):
            return value
    return None
