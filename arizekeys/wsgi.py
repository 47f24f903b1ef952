"""What an application server loads: `granian --interface wsgi --http 1 arizekeys.wsgi:application`.

The door that is asked on every request of others stands in front of Django, in the same process.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterable
from multiprocessing.util import Finalize
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arizekeys.settings")

_django = get_wsgi_application()

from django.conf import settings  # noqa: E402 -- Django is set up by now

from apikeys import attempts, refusals  # noqa: E402 -- as above
from apikeys.epochs import Epochs  # noqa: E402 -- as above
from apikeys.following import Follower  # noqa: E402 -- as above
from apikeys.forward_auth import PATH, ForwardAuth  # noqa: E402 -- as above
from apikeys.usage import uses  # noqa: E402 -- as above
from arizekeys.bodies import Whole  # noqa: E402 -- as above


def _open() -> ForwardAuth:
    folder = settings.SHARED_FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    epochs = Epochs(folder / "epochs")
    follower = Follower(epochs)
    follower.start()
    flushing = threading.Thread(target=uses.flush_for_ever, name="uses", daemon=True)
    flushing.start()
    ended = threading.Event()
    telling = threading.Thread(target=refusals.flush_for_ever, args=(ended,), name="refusals", daemon=True)
    telling.start()

    def leave() -> None:
        ended.set()
        for part in (follower, uses):
            part.end()
        for thread in (follower, flushing, telling):
            thread.join(timeout=2)

    # Not by atexit: a worker that was forked never gets there, and what it had counted would be lost.
    Finalize(None, leave, exitpriority=100)
    return ForwardAuth(epochs, attempts.limiter(), uses)


_verify = _open().__call__

# What was loaded stays: looking through it again and again is what would make one request in many thousands slow.
gc.collect()
gc.freeze()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request: who asks about a key, at once; everybody else through Django."""
    if environ["PATH_INFO"] == PATH:
        return _verify(environ, start_response)
    environ["wsgi.input"] = Whole(environ)
    return _django(environ, start_response)
