"""Trying things out: what comes of it, what is different in the database afterwards, and what the audit log tells."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from axes.models import AccessAttempt
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model, Q

from accounts.models import (
    Account,
    AccountBinding,
    AuditEvent,
    Organization,
    OrganizationBinding,
    Project,
    ProjectBinding,
    Role,
    Space,
    SpaceBinding,
    User,
)
from apikeys.models import ApiKey, KeySecret
from apikeys.workflows.models import Dataset, DatasetVersion, Experiment, Prompt, PromptVersion, Segment, Table
from apikeys.workflows.segments import forget_streams
from tests.matrix.doors.ways import Of, Way
from tests.matrix.fates import Fate
from tests.matrix.scene import Scene

# For each model whose rows anybody could want to change, which of them are Acme AI's. Of people the caller too, since
# what is one's own is no account's, and operators.
_OURS: Mapping[type[Model], Of[Q]] = {
    Account: lambda scene: ~Q(pk=scene.home.pk) | Q(pk=scene.account.pk),
    User: lambda scene: (
        Q(pk__in=AccountBinding.objects.filter(content_object=scene.account).values("user"))
        | Q(pk=scene.me.pk)
        | Q(is_superuser=True)
    ),
    Organization: lambda scene: Q(account=scene.account),
    Space: lambda scene: Q(organization__account=scene.account),
    Project: lambda scene: Q(space__organization__account=scene.account),
    Table: lambda scene: Q(space__organization__account=scene.account),
    Dataset: lambda scene: Q(space__organization__account=scene.account),
    DatasetVersion: lambda scene: Q(dataset__space__organization__account=scene.account),
    Experiment: lambda scene: Q(space__organization__account=scene.account),
    Role: lambda scene: Q(account=scene.account) | Q(account=None),
    AccountBinding: lambda scene: Q(content_object=scene.account),
    OrganizationBinding: lambda scene: Q(content_object__account=scene.account),
    SpaceBinding: lambda scene: Q(content_object__organization__account=scene.account),
    ProjectBinding: lambda scene: Q(content_object__space__organization__account=scene.account),
    ApiKey: lambda scene: Q(account=scene.account),
    KeySecret: lambda scene: Q(key__account=scene.account),
    Segment: lambda scene: Q(project__space__organization__account=scene.account),
    Prompt: lambda scene: Q(space__organization__account=scene.account),
    PromptVersion: lambda scene: Q(prompt__space__organization__account=scene.account),
    AccessAttempt: lambda scene: Q(username=scene.bob.email),
}


@dataclass(frozen=True)
class Outcome:
    """What came of one try."""

    came: Fate | str
    changed: frozenset[str]  # models of which rows are others than before
    done: frozenset[tuple[str, str]]  # what was recorded as done, by tag and door
    files: int  # how many tables lie in the folder that did not before


@dataclass(frozen=True)
class Stage:
    """A scene, and how it was before anything was tried on it."""

    scene: Scene
    kept: bytes  # the scene, to be had anew for each try: verbs change the rows they are handed
    look: tuple[str, tuple[Any, ...]]
    before: Mapping[str, str]
    last: int
    files: frozenset[Path]

    @classmethod
    def of(cls, scene: Scene) -> Self:
        """Set a stage."""
        look = _look(scene)
        last = AuditEvent.objects.values_list("pk", flat=True).latest("pk")
        return cls(scene, pickle.dumps(scene), look, _state(look), last, _files())

    def attempt(self, way: Way) -> Outcome:
        """Ask in one way, and take back whatever that did."""
        with transaction.atomic():
            scene, before = pickle.loads(self.kept), self.before  # noqa: S301 -- our own, of a moment ago
            if way.prepared is not None:
                way.prepared(scene)
                before = _state(self.look)
            forget_streams()  # of what comes row by row the audit log tells once an hour
            came = _came(scene, way)
            after = _state(self.look)
            changed = frozenset(name for name in after if after[name] != before[name])
            files = _files() - self.files
            outcome = Outcome(came, changed, frozenset(self._done()), len(files))
            transaction.set_rollback(True)
        for path in files:
            path.unlink()
        return outcome

    def _done(self) -> list[tuple[str, str]]:
        """Return what was recorded as done since, but for what happened in another account to others."""
        home, account = self.scene.home, self.scene.account
        elsewhere = Q(account_id=home.pk) & ~Q(target_type="User", target_id=self.scene.me.pk)
        events = AuditEvent.objects.filter(pk__gt=self.last, outcome="SUCCEEDED")
        return list((events.exclude(elsewhere) if home != account else events).values_list("tag", "door"))


def _look(scene: Scene) -> tuple[str, tuple[Any, ...]]:
    """Return one query that tells, model by model, what all rows come to."""
    parts: list[str] = []
    parameters: list[Any] = []
    for model, ours in _OURS.items():
        rows, values = model._default_manager.filter(ours(scene)).order_by("pk").query.sql_with_params()
        parts.append(f"SELECT %s, md5(coalesce(string_agg(found::text, '|'), '')) FROM ({rows}) found")  # noqa: S608
        parameters += [model.__name__, *values]
    return " UNION ALL ".join(parts), tuple(parameters)


def _state(look: tuple[str, tuple[Any, ...]]) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(*look)
        return dict(cursor.fetchall())


def _files() -> frozenset[Path]:
    """Return the tables that lie in the folder, and what was not made a table."""
    return frozenset(path for path in settings.TABLES_FOLDER.rglob("*") if path.is_file())


def _came(scene: Scene, way: Way) -> Fate | str:
    try:
        with transaction.atomic():
            return way.ask(scene)
    except Exception as error:  # so that all that is wrong is told at once, and not the first only
        return f"it broke: {error!r}"
