"""What a refused user sees of each workflow (contract client-workflows §15), and that it stored nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.db.models import Model
from django.utils import timezone

from accounts.models import Project
from apikeys import tokens
from apikeys.lifecycle import revoke_key
from apikeys.models import ApiKey
from apikeys.workflows.models import (
    Dataset,
    DatasetVersion,
    Experiment,
    Prompt,
    PromptVersion,
    Segment,
    Table,
)
from tests.cast import Cast
from tests.clients.walking import Answer, Steps
from tests.factories import later, service_key, user_key

# Refused keys, and whether it is the key itself that is refused rather than what it would do.
REFUSED = {"unknown": True, "revoked": True, "expired": True, "that only reads": False, "of another space": False}
_STORED: tuple[type[Model], ...] = (
    Table,
    Dataset,
    DatasetVersion,
    Experiment,
    Segment,
    Prompt,
    PromptVersion,
    Project,
)


class Way(StrEnum):
    """How a user learns of a refusal."""

    ANSWERED = "the HTTP answer is returned as it is"
    RAISED = "AuthenticationError with the status"
    SWALLOWED = "nothing is returned, and the Flight error is logged"
    UNANSWERED = "RuntimeError that there was no response, and the Flight error is logged"
    FLIGHT = "the Flight error itself"
    WRAPPED = "RuntimeError caused by the Flight error"
    REST = "an exception for the status"
    LOGGED = "a line in the log"
    PROMPT = "an error of gql's transport"


@dataclass(frozen=True)
class Attempt:
    """A step of a workflow, and how it is seen that it was refused."""

    step: str
    way: Way
    arguments: dict[str, Any]
    reads: bool = False
    # What it asks first, where that is something it reads and is refused in another way.
    looks: Way | None = None
    # What the SDK stumbles over where the server answers a stranger that there is nothing.
    stumbles: str = ""


class Refusals:
    """All keys that may not, and what is stored."""

    def __init__(self, cast: Cast, folder: Path) -> None:
        self._cast, self._folder = cast, folder

    def key(self, kind: str) -> str:
        """Return a key of a kind that is refused."""
        cast, now = self._cast, timezone.now()
        if kind == "unknown":
            return tokens.mint().plaintext
        if kind == "that only reads":
            return user_key(cast.charlie, cast.account).plaintext
        if kind == "of another space":
            return service_key(cast.alice, cast.vision_lab).plaintext
        made = user_key(cast.bob, cast.account, name=kind, expires_at=later(days=1))
        if kind == "revoked":
            revoke_key(cast.actor(cast.bob), made.key, at=now)
        else:
            ApiKey.objects.filter(pk=made.key.pk).update(
                created_at=now - timedelta(days=2), expires_at=now - timedelta(days=1)
            )
        return made.plaintext

    def hold(self, steps: Steps, attempts: list[Attempt], kind: str) -> None:
        """Make every attempt with a refused key: each is seen as it should be, and nothing of it is left."""
        key = self.key(kind)
        refused = steps.with_key(key)
        before = self.stored()
        wrong: list[str] = []
        for attempt in attempts:
            answer = refused(attempt.step, **attempt.arguments)
            if kind == "that only reads" and attempt.reads:
                answer.ok()
            else:
                wrong += [f"{attempt.step} {attempt.arguments}: {one}" for one in _wrong(attempt, kind, answer)]
            if self.stored() != before:
                wrong.append(f"{attempt.step} {attempt.arguments}: something was stored")
                before = self.stored()
            if key in answer.everything:
                wrong.append(f"{attempt.step}: the key is repeated")
            if "Traceback" in answer.text or "apikeys/" in answer.everything:
                wrong.append(f"{attempt.step}: {answer.text}")
        assert not wrong, "\n".join(wrong)

    def stored(self) -> dict[str, Any]:
        """Return everything that workflows keep: rows as they are, and the names of files."""
        rows: dict[str, Any] = {of.__name__: list(of._default_manager.order_by("pk").values()) for of in _STORED}
        return rows | {"files": sorted(str(path) for path in self._folder.rglob("*") if path.is_file())}


def seen_by(answer: Answer, name: str) -> tuple[Any, ...]:
    """Return what somebody sees of an answer, but for the name that they asked for themselves."""
    return answer.error, answer.causes, answer.status, answer.text.replace(name, "…")


def _wrong(attempt: Attempt, kind: str, answer: Answer) -> list[str]:
    """Tell what of an answer is not as it should be."""
    bad_key = REFUSED[kind]
    way = attempt.looks if attempt.looks and kind != "that only reads" else attempt.way
    status = 401 if bad_key else 403
    error = "FlightUnauthenticatedError" if bad_key else "FlightUnauthorizedError"
    had: tuple[Any, Any]
    if way is Way.ANSWERED:
        had = status, (answer.facts or {}).get("status")
    elif way is Way.RAISED:
        had = ("AuthenticationError", status), (answer.kind, answer.status)
    elif way is Way.SWALLOWED:
        had = ({"answered": None}, True), (answer.facts, any(error in line for line in answer.logs))
    elif way is Way.UNANSWERED:
        had = ("RuntimeError", True), (answer.kind, any(error in line for line in answer.logs))
    elif way is Way.FLIGHT:
        had = error, answer.kind
    elif way is Way.WRAPPED:
        had = ("RuntimeError", True), (answer.kind, error in answer.caused_by)
    elif way is Way.REST:
        had = _rest(kind, answer)
    elif way is Way.LOGGED:
        had = _logged(attempt, bad_key, answer)
    elif kind == "of another space" and attempt.stumbles:
        had = attempt.stumbles, answer.kind
    else:
        had = "TransportServerError" if bad_key else "TransportQueryError", answer.kind
    expected, seen = had
    return [] if expected == seen else [f"expected {expected}, and saw {seen}: {answer.text[:300]} {answer.logs[-2:]}"]


def _rest(kind: str, answer: Answer) -> tuple[Any, Any]:
    if REFUSED[kind]:
        return ("UnauthorizedException", 401), (answer.kind, answer.status)
    # What one may not see does not exist; where something is made, the space itself may be named.
    allowed = {("ForbiddenException", 403)}
    if kind == "of another space":
        allowed |= {("NotFoundException", 404)}
    seen = (answer.kind, answer.status)
    return seen if seen in allowed else allowed, seen


def _logged(attempt: Attempt, bad_key: bool, answer: Answer) -> tuple[Any, Any]:
    if attempt.arguments.get("protocol") == "http":
        words = "401" if bad_key else "403"
    else:
        words = "UNAUTHENTICATED" if bad_key else "PERMISSION_DENIED"
    # Two spans, each sent by itself and once. Exporters may leave out a line like the one before.
    lines = [line for line in answer.logs if line.startswith(("ERROR", "WARNING"))]
    return (True, True, True), (answer.facts is not None, 1 <= len(lines) <= 2, all(words in line for line in lines))
