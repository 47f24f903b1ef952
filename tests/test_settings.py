"""The one settings file, read as a production and as a local installation would."""

from __future__ import annotations

import configparser
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql.base import DatabaseWrapper
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.views.debug import SafeExceptionReporterFilter

from arizekeys.env import EXAMPLE_SECRET
from arizekeys.middleware import RefusePlainHttp

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "deploy" / "arizekeys.env.example"

PRODUCTION = {
    "DATABASE_URL": "postgres://arizekeys:pass@db.example.com/arizekeys",
    "ARIZEKEYS_SECRET_KEY": "".join(chr(48 + i) for i in range(64)).replace(",", "-"),
    "ARIZEKEYS_KEY_PEPPERS": "1:" + "abcdefgh" * 5,
    "ARIZEKEYS_ALLOWED_HOSTS": "keys.example.com",
}


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """The environment of a production installation."""
    for name in [name for name in os.environ if name.startswith("ARIZEKEYS_")]:
        monkeypatch.delenv(name)
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ARIZEKEYS_DATA", str(tmp_path / "data"))
    return monkeypatch


def read() -> dict[str, Any]:
    """Read the settings file afresh, in the environment of the moment."""
    return runpy.run_path(str(ROOT / "arizekeys" / "settings.py"))


def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator does."""
    # What the browser tests set for their own process is not an operator's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("production")
def test_production_passes_every_deployment_check() -> None:
    """security.md 49."""
    result = manage("check", "--deploy", "--fail-level", "WARNING")

    assert result.returncode == 0, result.stderr
    assert read()["SILENCED_SYSTEM_CHECKS"] == ["guardian.W001"]


@pytest.mark.parametrize("name", [name for name in PRODUCTION if name != "DATABASE_URL"])
def test_production_lacking_a_variable_does_not_start(production: pytest.MonkeyPatch, name: str) -> None:
    production.delenv(name)

    with pytest.raises(ImproperlyConfigured, match=f"{name} is required"):
        read()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ARIZEKEYS_KEY_PEPPERS", "1:short"),
        ("ARIZEKEYS_KEY_PEPPERS", f"1:{EXAMPLE_SECRET}"),
        ("ARIZEKEYS_SECRET_KEY", EXAMPLE_SECRET),
        ("ARIZEKEYS_ALLOWED_HOSTS", "*"),
        ("ARIZEKEYS_TRUSTED_PROXIES", "some"),
        ("DATABASE_URL", "sqlite:///keys.db"),
        ("DATABASE_URL", "keys.db"),
    ],
)
def test_production_refuses_an_unsafe_value(production: pytest.MonkeyPatch, name: str, value: str) -> None:
    """security.md 6."""
    production.setenv(name, value)

    with pytest.raises(ImproperlyConfigured, match=name):
        read()


def test_a_refused_start_is_one_sentence(production: pytest.MonkeyPatch) -> None:
    production.setenv("ARIZEKEYS_KEY_PEPPERS", "1:too-short-to-protect")

    result = manage("check")

    assert result.returncode == 1
    assert result.stderr == ("arizekeys cannot start: ARIZEKEYS_KEY_PEPPERS: pepper 1 is shorter than 32 bytes.\n")


@pytest.mark.usefixtures("production")
def test_production_cookies_and_transport() -> None:
    """security.md 35 and 37."""
    found = read()

    for cookie in ("SESSION", "CSRF"):
        assert found[f"{cookie}_COOKIE_NAME"].startswith("__Host-")
        assert found[f"{cookie}_COOKIE_SECURE"] is True
        assert found[f"{cookie}_COOKIE_HTTPONLY"] is True
    assert (found["SESSION_COOKIE_SAMESITE"], found["CSRF_COOKIE_SAMESITE"]) == ("Lax", "Strict")
    assert found["SECURE_SSL_REDIRECT"] is True
    assert found["SECURE_HSTS_SECONDS"] >= 365 * 24 * 60 * 60
    assert found["SECURE_HSTS_INCLUDE_SUBDOMAINS"] is True


@pytest.mark.usefixtures("production")
def test_no_environment_turns_the_debug_mode_or_authentication_on_or_off(production: pytest.MonkeyPatch) -> None:
    """security.md 50: all these are constants, whatever is set or unset."""
    for name in ("DEBUG", "DJANGO_DEBUG", "ARIZEKEYS_DEBUG"):
        production.setenv(name, "1")
    found = read()

    assert found["DEBUG"] is False
    assert found["AUTHENTICATION_BACKENDS"] == settings.AUTHENTICATION_BACKENDS
    assert found["MIDDLEWARE"] == settings.MIDDLEWARE
    assert found["REST_FRAMEWORK"] == settings.REST_FRAMEWORK


def test_forwarded_protocol_is_believed_from_configured_proxies_only(production: pytest.MonkeyPatch) -> None:
    assert read()["SECURE_PROXY_SSL_HEADER"] is None

    production.setenv("ARIZEKEYS_TRUSTED_PROXIES", "1")

    assert read()["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


def test_of_several_databases_the_one_that_takes_writes_is_used(production: pytest.MonkeyPatch) -> None:
    assert read()["DATABASES"]["default"]["OPTIONS"]["target_session_attrs"] == "read-write"

    production.setenv("DATABASE_URL", "postgres://app@db1,db2/keys?port=5432,5433&connect_timeout=9&sslmode=require")
    found = read()["DATABASES"]["default"]
    parameters = DatabaseWrapper(found | {"TIME_ZONE": None}).get_connection_params()

    told = ("host", "port", "dbname", "user", "sslmode", "target_session_attrs", "connect_timeout", "tcp_user_timeout")
    assert [parameters[name] for name in told] == [
        *("db1,db2", "5432,5433", "keys", "app", "require", "read-write", 9, 5_000)
    ]


def test_mail_goes_out_only_where_a_server_is_named(production: pytest.MonkeyPatch) -> None:
    assert read()["EMAIL_BACKEND"].endswith("dummy.EmailBackend")

    production.setenv("ARIZEKEYS_EMAIL_HOST", "smtp.example.com")

    assert read()["EMAIL_USE_TLS"] is True


def test_local_secrets_are_made_once_and_readable_by_the_owner_only(
    production: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    production.delenv("DATABASE_URL")

    first, second = read(), read()

    assert first["SECRET_KEY"] == second["SECRET_KEY"]
    assert first["API_KEY_PEPPERS"] == second["API_KEY_PEPPERS"]
    assert len(first["API_KEY_PEPPERS"][1]) >= 32
    assert first["API_KEY_PEPPERS"][1] not in first["SECRET_KEY"].encode()
    for name in ("secret_key", "peppers"):
        assert (tmp_path / "data" / name).stat().st_mode & 0o777 == 0o600
    assert first["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]


def test_error_reports_leave_the_peppers_out() -> None:
    """security.md 43."""
    cleansed = SafeExceptionReporterFilter().get_safe_settings()

    assert cleansed["API_KEY_PEPPERS"] == SafeExceptionReporterFilter.cleansed_substitute


def test_every_handler_of_the_log_redacts_keys() -> None:
    """security.md 41."""
    logging: dict[str, Any] = settings.LOGGING

    assert all(handler["filters"] == ["redact_keys"] for handler in logging["handlers"].values())
    assert logging["root"]["handlers"] == ["console"]
    assert all(logger["handlers"] == [] for logger in logging["loggers"].values())


def test_pages_carry_a_strict_content_policy(client: Client) -> None:
    """security.md 34 and 35."""
    response = client.get("/healthz/there-is-no-such-page")

    policy = {part.split()[0]: part.split()[1:] for part in response["Content-Security-Policy"].split("; ")}
    for directive in ("default-src", "object-src", "base-uri", "frame-ancestors"):
        assert policy[directive] == ["'none'"]
    assert policy["form-action"] == policy["script-src"] == policy["style-src"] == ["'self'"]
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"


@pytest.mark.parametrize(
    ("path", "meta", "status"),
    [
        ("/v2/api-keys", {"REMOTE_ADDR": "192.0.2.7"}, 403),
        ("/graphql", {"REMOTE_ADDR": "192.0.2.7"}, 403),
        ("/v2/api-keys", {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}, 403),
        ("/v2/api-keys", {"REMOTE_ADDR": ""}, 403),
        ("/v2/api-keys", {"REMOTE_ADDR": "127.0.0.1"}, 200),
        ("/v2/api-keys", {"REMOTE_ADDR": "192.0.2.7", "wsgi.url_scheme": "https"}, 200),
        ("/v2extra", {"REMOTE_ADDR": "192.0.2.7"}, 200),
    ],
)
def test_api_over_plain_http_is_refused_without_redirect(path: str, meta: dict[str, Any], status: int) -> None:
    """security.md 29."""

    def application(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    response = RefusePlainHttp(application)(RequestFactory().get(path, **meta))

    assert response.status_code == status
    if status == 403:
        assert response["Content-Type"] == "application/problem+json"


def test_the_example_names_every_variable_and_starts_nothing(production: pytest.MonkeyPatch) -> None:
    """A copy of the example that somebody forgot to fill in is refused."""
    sources = [ROOT / "arizekeys" / "settings.py", *(ROOT / "arizekeys" / "management" / "commands").glob("*.py")]
    used = {name for path in sources for name in re.findall(r"ARIZEKEYS_[A-Z_]+|DATABASE_URL", path.read_text())}
    text = EXAMPLE.read_text()
    assert {name for name in used if not re.search(rf"^#?{name}(_FILE)?=", text, re.MULTILINE)} == set()

    for name, value in re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE):
        production.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match="example from the documentation"):
        read()


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").glob("*.service")), ids=lambda file: file.name)
def test_every_service_file_has_its_sections_and_starts_what_there_is(file: Path) -> None:
    """systemd skips what stands outside of a section, and says so only in its log."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read_string(file.read_text(encoding="utf-8"))

    assert {"Unit", "Service"} <= set(unit.sections()) <= {"Unit", "Service", "Install"}
    assert unit["Unit"]["Description"].startswith("arizekeys")
    started = unit["Service"]["ExecStart"]
    assert "manage.py" in started or "arizekeys.wsgi:application" in started
