"""What an application server loads: `granian --interface wsgi arizekeys.wsgi:application`.

The door that is asked on every request of others stands in front of Django, in the same process.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arizekeys.settings")

_django = get_wsgi_application()

from django.conf import settings  # noqa: E402 -- Django is set up by now

from apikeys import refusals  # noqa: E402 -- as above
from apikeys.epochs import Epochs  # noqa: E402 -- as above
from apikeys.following import Follower  # noqa: E402 -- as above
from apikeys.forward_auth import PATH, ForwardAuth  # noqa: E402 -- as above
from apikeys.limits import Limiter  # noqa: E402 -- as above
from apikeys.usage import Uses  # noqa: E402 -- as above


def _open() -> ForwardAuth:
    folder = settings.SHARED_FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    epochs, uses = Epochs(folder / "epochs"), Uses()
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

    atexit.register(leave)
    return ForwardAuth(epochs, Limiter(folder / "limits"), uses)


_verify = _open()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request: who asks about a key, at once; everybody else through Django."""
    if environ["PATH_INFO"] == PATH:
        return _verify(environ, start_response)
    return _django(environ, start_response)
