"""What is done once an answer is out, so that how long the answer takes tells nobody anything."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from django.core.signals import request_finished
from django.dispatch import receiver

logger = logging.getLogger("accounts.afterwards")

_pending = threading.local()


def afterwards(do: Callable[[], object]) -> None:
    """Do something when the request that this thread is answering has been answered."""
    waiting: list[Callable[[], object]] = _pending.__dict__.setdefault("waiting", [])
    waiting.append(do)


@receiver(request_finished)
def _do(**_: Any) -> None:
    for do in _pending.__dict__.pop("waiting", ()):
        try:
            do()
        except Exception:
            logger.exception("What was to be done after an answer failed.")
