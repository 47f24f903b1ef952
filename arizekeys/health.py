"""Answers whether the product can serve, for load balancers and for scripts that wait for a start."""

from __future__ import annotations

import functools

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when the database answers and every migration is applied, and 503 with the reason otherwise."""
    try:
        applied = MigrationRecorder(connection).applied_migrations()
    except (DatabaseError, ImproperlyConfigured):
        return JsonResponse({"status": "unavailable", "reason": "the database does not answer"}, status=503)
    if not _newest_migrations() <= applied.keys():
        return JsonResponse({"status": "unavailable", "reason": "migrations are not applied"}, status=503)
    return JsonResponse({"status": "ok"})


@functools.cache
def _newest_migrations() -> frozenset[tuple[str, str]]:
    """Return the last migration of every app, read from the code once per process."""
    return frozenset(MigrationLoader(None).graph.leaf_nodes())
