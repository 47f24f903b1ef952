"""Fixtures for every test, and the data folder they share, chosen before Django reads its settings."""

from __future__ import annotations

import fcntl
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import DjangoDbBlocker

    from tests.cast import Cast

ROOT = Path(__file__).resolve().parent.parent

os.environ["DJANGO_SETTINGS_MODULE"] = "arizekeys.settings"
# A database server of the tests' own, so that they never meet one that is being used. Workers inherit the choice.
if "DATABASE_URL" not in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["ARIZEKEYS_DATA"] = str(Path(os.environ.get("ARIZEKEYS_DATA", ROOT / ".arizekeys")) / "tests")


def pytest_configure() -> None:
    """Adjust the few settings that the test run itself needs, before Django is set up."""
    from django.conf import settings

    from apikeys import usage
    from arizekeys import local

    # Names of static files without their digests, since nothing has collected them.
    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    # Threads of a live server end with their request; a connection kept in one would block the database's removal.
    settings.DATABASES["default"]["CONN_MAX_AGE"] = 0
    if settings.LOCAL:
        # Tests make databases and empty them, which only their owner may. What the application's own role may do and
        # may not is tested by connecting as that role.
        settings.DATABASES["default"]["USER"] = local.OWNER
    # A database that is only busy, with tests beside it, is no silent one.
    settings.VERIFY_PATIENCE = 60
    # What the workers of a host share, the workers of pytest do not.
    settings.SHARED_FOLDER /= os.environ.get("PYTEST_XDIST_WORKER", "main")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Else whichever request comes ten seconds after the last one writes the uses of all, and has a query more.
    usage.FLUSH_SECONDS = 3_600.0
    # Hypothesis also tries what stands in the source of the modules that a worker has read so far. What a test tries
    # shall be the same whatever ran before it, or what fails in one run could not be found again in the next.
    pytest.MonkeyPatch().setattr(providers, "_get_local_constants", Constants)


def pytest_collection_finish() -> None:
    """Let what was collected be: looking through some thousand tests again and again would make single ones slow."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Start the embedded server, if one is used, without the care for disks that a throwaway database does not need."""
    from django.conf import settings

    from arizekeys import local

    if settings.LOCAL:
        local.attach(settings.DATA_FOLDER, durable=False)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let Django empty the audit log between tests that commit: it truncates, which the database refuses otherwise."""
    from django.db import connection

    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER accounts_auditevent_no_truncate")
    yield
    # Servers that tests killed, and threads that end with this process, may still be connected, and Django could not
    # take the database away.
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user"
        )


@pytest.fixture
def cast(db: None) -> Cast:
    """Alice, Bob, Charlie, Dana, Erin and Mallory, each in their place."""
    from tests.cast import assemble

    return assemble()


@pytest.fixture(scope="module")
def alone() -> Iterator[None]:
    """Run no two modules at once, of those that ask for it: each of their servers takes a core or more while it starts.

    Workers take tests as they come, wherever they belong.
    """
    from django.conf import settings

    settings.DATA_FOLDER.mkdir(parents=True, exist_ok=True)
    with (settings.DATA_FOLDER / "alone.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield
        fcntl.flock(turn, fcntl.LOCK_UN)


@pytest.fixture(autouse=True)
def _fresh_usage() -> None:
    """Let every test count uses, attempts and refusals anew, as if in a process and on a host of its own."""
    from accounts.audit import forget_refusals
    from apikeys.attempts import forget_attempts
    from apikeys.refusals import forget_refusals as forget_refused_keys
    from apikeys.usage import uses
    from apikeys.workflows.segments import forget_streams

    uses.forget()
    forget_streams()
    forget_attempts()
    forget_refusals()
    forget_refused_keys()
