"""Services of others: the examples in docs/services.md as they stand there, and nobody let in out of ignorance."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from django.db import connection, connections
from django.test import Client
from django.urls import clear_url_caches, path
from django.utils import timezone
from pytest_django import Settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.audit import Tag
from accounts.models import Account, AuditEvent
from accounts.roles import RoleName
from accounts.vocabulary import Permission
from accounts.wire import encode_id
from apikeys.epochs import Epochs
from apikeys.forward_auth import ForwardAuth
from apikeys.guard import KeyAuthentication, KeyMay, require_key
from apikeys.lifecycle import NewKey, revoke_key
from apikeys.limits import Limiter
from apikeys.models import ApiKey, KeyUse
from apikeys.usage import Uses
from tests.cast import Cast, assemble
from tests.factories import service_key, user_key

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_page_has_the_examples_that_are_tried_here() -> None:
    assert [name in EXAMPLES[number] for number, name in enumerate(("def may(", "import *", "class Datasets"))] == [
        True
    ] * 3
    assert len(EXAMPLES) == 3
    assert len([line for line in EXAMPLES[0].splitlines() if line.strip()]) <= 15


# The HTTP question


class _Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def authority(transactional_db: None, tmp_path: Path, settings: Settings) -> Iterator[str]:
    """``/verify`` on a port of its own."""
    settings.VERIFY_GUESSES = 0
    epochs, limiter = Epochs(tmp_path / "epochs"), Limiter(tmp_path / "limits")
    door = ForwardAuth(epochs, limiter, Uses())

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        assert environ["PATH_INFO"] == "/verify"
        try:
            return door(environ, start_response)
        finally:
            connections.close_all()

    with make_server("127.0.0.1", 0, application, handler_class=_Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
    limiter.close()
    epochs.close()


def test_the_question_over_http(authority: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARIZEKEYS_URL", authority)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cast = assemble()
    new = service_key(cast.alice, cast.production, role=RoleName.READ_ONLY)
    example: dict[str, Any] = {}
    exec(EXAMPLES[0], example)  # noqa: S102 -- what our own page shows
    may, space = example["may"], encode_id("Space", cast.production.pk)

    assert may(new.plaintext, "DATASET_READ", space)
    assert not may(new.plaintext, "DATASET_CREATE", space)
    assert not may(new.plaintext, "DATASET_READ", encode_id("Space", cast.elsewhere.pk))
    assert not may("ak-nonsense", "DATASET_READ", space)
    assert not may("two\r\nlines", "DATASET_READ", space)
    revoke_key(cast.actor(cast.alice), ApiKey.objects.get(pk=new.key.pk), at=timezone.now())
    assert not may(new.plaintext, "DATASET_READ", space)
    example["AUTHORITY"] = "http://127.0.0.1:1"
    assert not may(new.plaintext, "DATASET_READ", space)


# The same database


@pytest.fixture
def service(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The service in the page, with the settings in the page and DRF as it comes."""
    (tmp_path / "datasets.py").write_text(EXAMPLES[2], encoding="utf-8")
    (tmp_path / "datasets_settings.py").write_text(EXAMPLES[1], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    own: dict[str, Any] = {}
    exec(EXAMPLES[1], own)  # noqa: S102 -- what our own page shows
    assert own["INSTALLED_APPS"] == settings.INSTALLED_APPS
    settings.ROOT_URLCONF, settings.REST_FRAMEWORK = own["ROOT_URLCONF"], own["REST_FRAMEWORK"]
    clear_url_caches()
    yield Client()
    sys.modules.pop("datasets", None)


def _bearer(new: NewKey) -> dict[str, str]:
    return {"authorization": f"Bearer {new.plaintext}"}


@pytest.mark.django_db
def test_a_plain_view(cast: Cast, service: Client) -> None:
    new = service_key(cast.alice, cast.production, role=RoleName.READ_ONLY)
    place = f"/spaces/{encode_id('Space', cast.production.pk)}/count"

    answer = service.get(place, headers=_bearer(new))

    assert answer.json() == {"datasets": 3, "role": "READ_ONLY"}
    assert KeyUse.objects.filter(key=new.key).exists()
    nobody, bad = service.get(place), service.get(place, headers={"authorization": "Bearer ak-nonsense"})
    assert (nobody.status_code, nobody["WWW-Authenticate"]) == (401, 'Bearer realm="arizekeys"')
    assert (bad.status_code, bad["WWW-Authenticate"]) == (401, 'Bearer realm="arizekeys", error="invalid_token"')
    stranger = service.get(place, headers=_bearer(service_key(cast.mallory, cast.elsewhere)))
    assert stranger.status_code == 403
    assert 'error="insufficient_scope", scope="DATASET_READ"' in stranger["WWW-Authenticate"]
    assert service.get("/spaces/nonsense/count", headers=_bearer(new)).status_code == 400
    assert service.get(f"{place}?key={new.plaintext}").status_code == 400
    assert ApiKey.objects.get(pk=new.key.pk).exposed_at is not None
    far = service.get(place, headers=_bearer(new), REMOTE_ADDR="192.0.2.1")
    assert (far.status_code, far.json()["error_code"]) == (403, "forbidden")


@pytest.mark.django_db
def test_a_view_of_drf(cast: Cast, service: Client) -> None:
    reader = service_key(cast.alice, cast.production, role=RoleName.READ_ONLY)
    place = f"/spaces/{encode_id('Space', cast.production.pk)}/datasets"

    assert service.get(place, headers=_bearer(reader)).json() == {"for": reader.key.owner.name}
    assert service.head(place, headers=_bearer(reader)).status_code == 200
    assert service.post(place, headers=_bearer(reader)).status_code == 403
    assert service.put(place, headers=_bearer(reader)).status_code == 405
    assert service.post(place, headers=_bearer(user_key(cast.bob, cast.account))).json() == {"made by": "Bob Baker"}
    assert service.get(place).status_code == 401
    for elsewhere in (encode_id("Space", cast.elsewhere.pk), "nonsense"):
        assert service.get(f"/spaces/{elsewhere}/datasets", headers=_bearer(reader)).status_code == 403


@pytest.mark.django_db
def test_a_dead_key_and_a_locked_one(cast: Cast, service: Client) -> None:
    dead, locked = service_key(cast.alice, cast.production), user_key(cast.bob, cast.account)
    revoke_key(cast.actor(cast.alice), dead.key, at=timezone.now())
    Account.objects.filter(pk=cast.account.pk).update(developer_access_locked=True)
    space = encode_id("Space", cast.production.pk)

    for place in (f"/spaces/{space}/count", f"/spaces/{space}/datasets"):
        refused = service.get(place, headers=_bearer(dead))
        assert (refused.status_code, refused["WWW-Authenticate"]) == (
            401,
            'Bearer realm="arizekeys", error="invalid_token"',
        )
        assert service.get(place, headers=_bearer(locked)).status_code == 403
    assert AuditEvent.objects.filter(tag=Tag.KEY_REFUSED, target_id=dead.key.pk).exists()


class Open(APIView):
    """A view whose author forgot to say what it takes."""

    authentication_classes = [KeyAuthentication]
    permission_classes = [KeyMay]

    def get(self, request: Request) -> Response:
        """Give everything away."""
        return Response({"everything": True})


class Account_(Open):
    """One that asks of the account."""

    key_may = {"GET": Permission.USER_DELETE}


@require_key()
def anybody(request: Any, caller: Any) -> Any:
    """Let in whoever has a key."""
    from django.http import HttpResponse  # -- slow import

    return HttpResponse(caller.kind)


urlpatterns = [path("open", Open.as_view()), path("account", Account_.as_view()), path("anybody", anybody)]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_closed_unless_declared_and_asked_of_the_account(cast: Cast, settings: Settings) -> None:
    settings.REST_FRAMEWORK = {}
    alice, bob = (_bearer(user_key(person, cast.account)) for person in (cast.alice, cast.bob))

    assert Client().get("/open", headers=alice).status_code == 403
    assert [Client().get("/account", headers=who).status_code for who in (alice, bob)] == [200, 403]
    assert Client().get("/anybody", headers=bob).content == b"USER"


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("place", ["/anybody", "/account"])
def test_nobody_gets_in_when_the_database_is_gone(
    place: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:  # security 13
    settings.REST_FRAMEWORK = {}
    cast = assemble()
    headers = _bearer(user_key(cast.alice, cast.account))
    connection.close()

    with monkeypatch.context() as away:
        away.setitem(connection.settings_dict, "NAME", "nowhere")
        refused = Client().get(place, headers=headers)

    assert (refused.status_code, Client().get(place, headers=headers).status_code) == (503, 200)
