"""What holds for every REST endpoint, found by walking the URLconf: access, refusals, and the shape of errors."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
from django.test import Client
from django.urls import path
from drf_spectacular.validation import validate_schema
from pytest_django import Settings
from rest_framework.request import Request
from rest_framework.response import Response

import accounts
import apikeys
from accounts.actors import Actor
from accounts.errors import DomainError, TooMany
from accounts.models import Space, SpaceBinding, User
from accounts.rest.endpoint import Endpoint
from accounts.rest.problems import BY_STATUS, KINDS
from accounts.wire import encode_id
from apikeys.authentication import FORM
from apikeys.lifecycle import NewKey
from apikeys.workflows import examples, runs
from arizekeys.docs import openapi
from tests.addresses import ADDRESSES, METHODS, NAMED, Address
from tests.cast import Cast
from tests.factories import ProjectFactory, custom_role, later, service_key, user_key
from tests.matrix.belongings import EXAMPLES, RUNS

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.django_db

LIST = "/v2/api-keys"
# For account admins alone. An event outlives what it speaks of, so the ids it is looked for by are not looked up.
AUDIT_LOGS = "/v2/audit-logs"
FIELDS = {"type", "title", "status", "detail", "instance", "error_code"}

CALLS = [pytest.param(one, method, id=f"{method} {one.route}") for one in NAMED for method in one.methods]


def _bearer(new: NewKey) -> dict[str, str]:
    return {"authorization": f"Bearer {new.plaintext}"}


def _call(client: Client, method: str, address: str, headers: dict[str, str], body: Any = None) -> Answer:
    content = b"" if body is None else json.dumps(body).encode()
    return client.generic(method, address, content, content_type="application/json", headers=headers)


def _problem(response: Answer, status: int) -> dict[str, Any]:
    """Check that an answer is a problem document in every respect, and return it."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    body: dict[str, Any] = response.json()
    assert set(body) - {"errors"} == FIELDS
    assert body["status"] == status
    assert body["title"] == BY_STATUS[status].title
    assert body["type"] == f"http://testserver/docs/errors#{BY_STATUS[status].slug}"
    return body


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address.route)
def test_every_method_declares_who_may_call_it(address: Address) -> None:
    """Security 20: an endpoint without a rule of access fails the build."""
    assert issubclass(address.view, Endpoint)
    assert {method for method, rule in address.view.access.items() if rule.strip()} == set(address.methods)


class Undeclared(Endpoint):
    """A view whose author forgot to say who may call it."""

    schema = None  # type: ignore[assignment]  # no business in the document

    def get(self, request: Request) -> Response:
        """Give everything away."""
        return Response({"everything": True})


class Broken(Endpoint):
    """A view that fails in a way nobody foresaw."""

    access = {"GET": "Any valid key."}
    schema = None  # type: ignore[assignment]  # no business in the document

    def get(self, request: Request) -> Response:
        """Fail, with a secret at hand."""
        raise RuntimeError("the password is swordfish")


class Busy(Endpoint):
    """A view that is asked too often."""

    access = {"GET": "Any valid key."}
    schema = None  # type: ignore[assignment]  # no business in the document

    def get(self, request: Request) -> Response:
        """Refuse for an hour."""
        raise TooMany("Too often.", retry_after=3600)


urlpatterns = [
    path("v2/undeclared", Undeclared.as_view()),
    path("v2/broken", Broken.as_view()),
    path("v2/busy", Busy.as_view()),
]


@pytest.mark.urls(__name__)
def test_view_without_a_rule_is_closed(cast: Cast, client: Client) -> None:  # security 20
    headers = _bearer(user_key(cast.alice, cast.account))

    _problem(client.get("/v2/undeclared", headers=headers), 403)


@pytest.mark.urls(__name__)
def test_unforeseen_error_is_a_problem_that_tells_nothing(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    headers = _bearer(user_key(cast.alice, cast.account))

    response = Client(raise_request_exception=False).get("/v2/broken", headers=headers)

    _problem(response, 500)
    assert b"swordfish" not in response.content
    assert "RuntimeError: the password is swordfish" in caplog.text


@pytest.mark.urls(__name__)
def test_unforeseen_error_reaches_whoever_listens(cast: Cast, client: Client) -> None:
    """Django's test client listens to the same signal as an error tracker does."""
    with pytest.raises(RuntimeError):
        client.get("/v2/broken", headers=_bearer(user_key(cast.alice, cast.account)))


@pytest.mark.urls(__name__)
def test_rate_limit_asks_for_a_short_wait(cast: Cast, client: Client) -> None:
    """Contract rest-v2 §4.5: clients sleep as long as they are told, three times over."""
    response = client.get("/v2/busy", headers=_bearer(user_key(cast.alice, cast.account)))

    _problem(response, 429)
    assert response["Retry-After"] == "60"


@pytest.mark.parametrize(("address", "method"), CALLS)
def test_nothing_without_a_key(client: Client, address: Address, method: str) -> None:  # security 23
    response = _call(client, method, address.at(dict.fromkeys(address.parameters, "x")), {})

    body = _problem(response, 401)
    assert response["WWW-Authenticate"] == 'Bearer realm="arizekeys"'
    assert body["error_code"] == "authentication_required"


@pytest.mark.parametrize(("address", "method"), CALLS)
def test_bad_key_is_told_so_everywhere(client: Client, address: Address, method: str) -> None:  # security 23
    place = address.at(dict.fromkeys(address.parameters, "x"))

    response = _call(client, method, place, {"authorization": "Bearer ak-nonsense"})

    body = _problem(response, 401)
    assert response["WWW-Authenticate"] == 'Bearer realm="arizekeys", error="invalid_token"'
    assert body["error_code"] == "invalid_token"


# What is the account's, and not one space's: every member of the account but Annotators may read it.
OF_THE_ACCOUNT = ("v2/users", "v2/roles")
# What a list cannot be asked for without.
NEEDED = {"v2/role-bindings": {"resource_type": "SPACE"}}


def _ids_of(new: NewKey, space: Space, user: User) -> dict[str, str]:
    """Return an id for every kind of parameter there is; a new kind fails here until it is given one."""
    account = space.organization.account
    operator = Actor.from_command(account)
    version = examples.create(operator, space, name="questions", examples=EXAMPLES, at=new.key.created_at)
    experiment = runs.create(operator, version.dataset, name="try", runs=RUNS, at=new.key.created_at)
    return {
        "role_id": encode_id("Role", custom_role(account, f"of {space}", "SPACE_READ").pk),
        "binding_id": encode_id("RoleBinding", SpaceBinding.objects.filter(content_object=space).latest("pk").pk),
        "resource_id": encode_id("Project", ProjectFactory.create(space=space, restricted_at=new.key.created_at).pk),
        "project_id": encode_id("Project", ProjectFactory.create(space=space).pk),
        "dataset_id": version.dataset.wire_id,
        "dataset_version_id": version.wire_id,
        "experiment_id": experiment.wire_id,
        "api_key_id": new.key.wire_id,
        "key_id": new.key.wire_id,
        "space_id": encode_id("Space", space.pk),
        "organization_id": encode_id("Organization", space.organization_id),
        "org_id": encode_id("Organization", space.organization_id),
        "user_id": encode_id("User", user.pk),
    }


@pytest.fixture(autouse=True)
def _tables_folder(tmp_path: Path, settings: Settings) -> None:
    settings.TABLES_FOLDER = tmp_path / "tables"


@pytest.fixture
def foreign(cast: Cast) -> dict[str, str]:
    """Ids of things in another account."""
    return _ids_of(service_key(cast.mallory, cast.elsewhere), cast.elsewhere, cast.mallory)


@pytest.fixture
def hidden(cast: Cast) -> dict[str, str]:
    """Ids of things in a private space of the same account."""
    return _ids_of(service_key(cast.erin, cast.vision_lab), cast.vision_lab, cast.erin)


@pytest.fixture
def own(cast: Cast) -> dict[str, str]:
    """Ids of things that Alice may do everything to."""
    return _ids_of(service_key(cast.alice, cast.production), cast.production, cast.charlie)


WITH_IDS = [one for one in CALLS if one.values[0].parameters]  # type: ignore[union-attr]  # the first value is an Address
FILTERS = [
    (place, parameter["name"])
    for place, methods in openapi()["paths"].items()
    for parameter in methods.get("get", {}).get("parameters", [])
    if parameter["in"] == "query" and parameter["name"].endswith("_id")
]


@pytest.mark.parametrize(("address", "method"), WITH_IDS)
def test_other_accounts_are_not_there(
    cast: Cast, client: Client, foreign: dict[str, str], address: Address, method: str
) -> None:
    """Security 19: for an admin of this account as for everybody."""
    headers = _bearer(user_key(cast.alice, cast.account))

    _problem(_call(client, method, address.at(foreign), headers, {}), 404)


@pytest.mark.parametrize(
    ("address", "method"),
    [one for one in WITH_IDS if not one.values[0].route.startswith(OF_THE_ACCOUNT)],  # type: ignore[union-attr]  # as above
)
def test_other_spaces_are_not_there(
    cast: Cast, client: Client, hidden: dict[str, str], address: Address, method: str
) -> None:
    """Security 19: a key scoped to one space, asking for another."""
    headers = _bearer(service_key(cast.bob, cast.production))

    _problem(_call(client, method, address.at(hidden), headers, {}), 404)


@pytest.mark.parametrize(("place", "name"), FILTERS)
def test_filters_do_not_reach_into_other_accounts(
    cast: Cast, client: Client, own: dict[str, str], foreign: dict[str, str], place: str, name: str
) -> None:
    """Security 19."""
    headers = _bearer(user_key(cast.alice, cast.account))

    response = client.get(place.format(**own), {**NEEDED.get(place[1:], {}), name: foreign[name]}, headers=headers)

    if place == AUDIT_LOGS:
        assert response.json() == {"logs": [], "pagination": {"has_more": False}}
    else:
        _problem(response, 404)


@pytest.mark.parametrize(("place", "name"), FILTERS)
def test_filters_do_not_reach_into_other_spaces(
    cast: Cast, client: Client, own: dict[str, str], hidden: dict[str, str], place: str, name: str
) -> None:
    """Security 19. Whose keys and events somebody may list is a rule about people, so that one is a 403."""
    headers = _bearer(service_key(cast.bob, cast.production))
    question = {**NEEDED.get(place[1:], {}), name: hidden[name]}

    response = client.get(place.format(**own), question, headers=headers)

    if place == "/v2/role-bindings":  # the person is known in the account, their roles there are not
        assert response.json()["role_bindings"] == []
    else:
        _problem(response, 403 if name == "user_id" or place == AUDIT_LOGS else 404)


LISTS = [one.route for one in NAMED if not one.parameters and "GET" in one.methods and f"/{one.route}" != AUDIT_LOGS]


@pytest.mark.parametrize("place", LISTS)
def test_lists_hold_nothing_of_other_spaces_and_accounts(
    cast: Cast, client: Client, foreign: dict[str, str], hidden: dict[str, str], place: str
) -> None:
    """Security 19."""
    headers = _bearer(service_key(cast.bob, cast.production))
    secret = hidden if not place.startswith(OF_THE_ACCOUNT) else {}

    text = client.get(f"/{place}", NEEDED.get(place), headers=headers).content.decode()

    assert '"has_more":false' in text
    assert not [one for one in (*foreign.values(), *secret.values()) if one in text]


@pytest.mark.parametrize(("address", "method"), WITH_IDS)
@pytest.mark.parametrize("text", ["x", "1", encode_id("Widget", 1), "U3BhY2U6MTp4", "%00", "a%2Bb", "%F0%9F%94%91"])
def test_malformed_ids_are_malformed_requests(
    cast: Cast, client: Client, address: Address, method: str, text: str
) -> None:
    headers = _bearer(user_key(cast.alice, cast.account))

    _problem(_call(client, method, address.at(dict.fromkeys(address.parameters, text)), headers, {}), 400)


@pytest.mark.parametrize("address", NAMED, ids=lambda address: address.route)
def test_other_methods_are_answered_with_those_there_are(cast: Cast, client: Client, address: Address) -> None:
    headers = _bearer(user_key(cast.alice, cast.account))
    place = address.at(dict.fromkeys(address.parameters, "x"))

    for method in {*METHODS, "BREW"} - {*address.methods, "HEAD"}:
        response = _call(client, method, place, headers)
        _problem(response, 405)
        assert {one.strip() for one in response["Allow"].split(",")} - {"HEAD"} == set(address.methods)


@pytest.mark.parametrize(
    "place",
    ["/v2", "/v2/", "/v2/nothing", "/v2/api-keys/", "/v2/spaces/", "/v2/api-keys/a/b", "/v2/%0A", "/v2/a%2Fb/c"],
)
def test_other_addresses_are_not_there(cast: Cast, client: Client, place: str) -> None:
    """Contract rest-v2 §4.5: no path ends in a slash, and none redirects."""
    headers = _bearer(user_key(cast.alice, cast.account))

    _problem(client.get(place, headers=headers), 404)
    _problem(client.get(place), 401)


@pytest.mark.parametrize(
    "accept", ["application/problem+json", "application/json", "text/html", "image/png", "*/*", "rubbish", ""]
)
def test_accept_decides_nothing(cast: Cast, client: Client, accept: str) -> None:
    """Contract rest-v2 §1.2: the SDK asks for problem documents alone where success has no body."""
    new = user_key(cast.bob, cast.account)
    headers = _bearer(new) | {"accept": accept}

    assert client.get(LIST, headers=headers)["Content-Type"] == "application/json"
    _problem(client.get("/v2/spaces/x", headers=headers), 400)
    assert client.put(f"{LIST}/{new.key.wire_id}/revoke", headers=headers).status_code == 204


@pytest.mark.parametrize("method", ["OPTIONS", "GET", "POST"])
def test_other_origins_get_nothing(cast: Cast, client: Client, method: str) -> None:  # security 31
    origin = {
        "origin": "https://elsewhere.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }

    for headers in (origin, origin | _bearer(user_key(cast.bob, cast.account))):
        response = _call(client, method, LIST, headers)

        assert not [name for name in response.headers if name.lower().startswith("access-control")]
        assert method != "OPTIONS" or response.status_code in (401, 405)


BODIES = [
    b"",
    b"{",
    b"[]",
    b'"x"',
    b"null",
    b"NaN",
    b'{"name": NaN}',
    b'{"name": Infinity}',
    b'{"key_type": "USER", "name": "n", "name": "m"}',
    b"\xff\xfe",
    b'\xef\xbb\xbf{"key_type": "USER", "name": "n"}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"name": ' + b"9" * 5_000 + b"}",
]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_bodies_that_are_no_object_are_refused(cast: Cast, client: Client, body: bytes) -> None:
    headers = _bearer(user_key(cast.bob, cast.account))

    _problem(client.generic("POST", LIST, body, content_type="application/json", headers=headers), 400)


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
def test_bodies_of_other_types_are_refused_in_words(cast: Cast, client: Client, kind: str) -> None:
    body = b'{"key_type": "USER", "name": "n"}'

    response = client.generic("POST", LIST, body, content_type=kind, headers=_bearer(user_key(cast.bob, cast.account)))

    assert "Content-Type: application/json" in _problem(response, 400)["detail"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON"])
def test_spellings_of_the_type_do_not_matter(cast: Cast, client: Client, kind: str) -> None:
    body = b'{"key_type": "USER", "name": "n"}'
    headers = _bearer(user_key(cast.bob, cast.account))

    assert client.generic("POST", LIST, body, content_type=kind, headers=headers).status_code == 201


def test_bodies_are_bounded(cast: Cast, client: Client, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    headers = _bearer(user_key(cast.bob, cast.account))

    body = _problem(_call(client, "POST", LIST, headers, {"name": "x" * 1_000}), 413)

    assert body["error_code"] == "content_too_large"


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_what_has_no_body_reads_none_however_large(cast: Cast, client: Client, settings: Settings, kind: str) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    headers = _bearer(user_key(cast.alice, cast.account)) | {"idempotency-key": "try-1"}
    key, bob = encode_id("ApiKey", user_key(cast.bob, cast.account).key.pk), encode_id("User", cast.bob.pk)
    organization = encode_id("Organization", cast.fraud.pk)

    for method, address, status in (
        ("PUT", f"{LIST}/{key}/revoke", 204),
        ("POST", f"/v2/users/{bob}/reset-password", 204),
        ("DELETE", f"/v2/organizations/{organization}", 204),
    ):
        answer = client.generic(method, address, b"x" * 1_001, content_type=kind, headers=headers)
        assert answer.status_code == status, (address, answer.content)


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_too_large_hides_no_bad_key(cast: Cast, client: Client, settings: Settings, kind: str) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    headers, more = _bearer(user_key(cast.alice, cast.account)), b"x" * 1_001

    for header, status in ((headers, 413), ({"authorization": "Bearer ak-none"}, 401)):
        assert client.generic("POST", LIST, more, content_type=kind, headers=header).status_code == status


def test_errors_point_at_what_is_wrong_without_repeating_it(cast: Cast, client: Client) -> None:  # security 24
    new = user_key(cast.bob, cast.account)
    body = {
        "key_type": "SERVICE",
        "name": "swordfish\x00",
        "description": ["swordfish"],
        "expires_at": "swordfish",
        new.plaintext: "swordfish",
        "a/b~c": "swordfish",
        "organizations": [{"org_id": "swordfish", "spaces": [{"space_id": 5, "role": {"type": "swordfish"}}]}],
    }

    response = _call(client, "POST", LIST, _bearer(new), body)

    answer = _problem(response, 400)
    assert b"swordfish" not in response.content
    assert new.plaintext.encode() not in response.content
    assert {fault["pointer"] for fault in answer["errors"]} == {
        "#/name",
        "#/description",
        "#/expires_at",
        "#/ak-[redacted]",
        "#/a~1b~0c",
        "#/organizations/0/org_id",
        "#/organizations/0/spaces/0/space_id",
        "#/organizations/0/spaces/0/role/type",
    }


def test_errors_of_queries_name_the_parameter(cast: Cast, client: Client) -> None:
    response = client.get(f"{LIST}?limit=0&spcae_id=x", headers=_bearer(user_key(cast.bob, cast.account)))

    assert _problem(response, 400)["errors"] == [
        {"parameter": "limit", "detail": "This must be at least 1."},
        {"parameter": "spcae_id", "detail": "There is no such property."},
    ]


def test_instance_is_an_address_that_gives_nothing_away(cast: Cast, client: Client) -> None:
    headers = _bearer(user_key(cast.bob, cast.account))

    assert _problem(client.get("/v2/ü x?limit=swordfish", headers=headers), 404)["instance"] == "/v2/%C3%BC%20x"


def test_many_faults_are_told_in_moderation(cast: Cast, client: Client) -> None:
    body = {"key_type": "USER", "name": "n"} | {f"unknown{number}": 1 for number in range(5_000)}

    response = _call(client, "POST", LIST, _bearer(user_key(cast.bob, cast.account)), body)

    assert len(_problem(response, 400)["errors"]) == 20
    assert len(response.content) < 5_000


def _kinds_of(error: type[DomainError]) -> Iterator[type[DomainError]]:
    for kind in error.__subclasses__():
        yield kind
        yield from _kinds_of(kind)


def test_every_code_is_explained() -> None:
    for package in (accounts, apikeys):  # an error is known once its module has been read
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    documented = {code for kind in KINDS for code, _ in kind.codes}

    assert {kind.code for kind in _kinds_of(DomainError)} - documented == set()


def test_page_about_errors_is_public_and_has_every_section(client: Client) -> None:  # security 24
    page = client.get("/docs/errors")

    assert page.status_code == 200
    for kind in KINDS:
        assert f'id="{kind.slug}"' in page.content.decode()


def test_document_is_for_those_who_are_known(cast: Cast, client: Client) -> None:  # security 54
    stranger = client.get("/openapi.json")
    with_key = client.get("/openapi.json", headers=_bearer(user_key(cast.bob, cast.account)))
    client.force_login(cast.alice)
    signed_in = client.get("/openapi.json")

    assert (stranger.status_code, with_key.status_code, signed_in.status_code) == (401, 200, 200)
    assert stranger["WWW-Authenticate"] == 'Bearer realm="arizekeys"'
    assert with_key.json() == signed_in.json()


def test_document_says_all_there_is() -> None:
    document = openapi()

    described = {(place, method.upper()) for place, methods in document["paths"].items() for method in methods}
    assert described == {(one.template, method) for one in NAMED for method in one.methods}
    assert document["openapi"] == "3.1.0"


OPERATIONS = [
    pytest.param(operation, id=operation["operationId"])
    for methods in openapi()["paths"].values()
    for operation in methods.values()
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_document_declares_security_and_refusals(operation: dict[str, Any]) -> None:  # security 53
    assert operation["security"] == [{"apiKey": []}]
    assert {"400", "401", "403", "429"} <= set(operation["responses"])
    assert "**Access.**" in operation["description"]
    for status, response in operation["responses"].items():
        if status >= "400":
            (kind,) = response["content"]
            assert kind == "application/problem+json"
            assert response["content"][kind]["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_document_is_what_openapi_says_one_is() -> None:
    validate_schema(openapi())  # type: ignore[no-untyped-call]  # of a library without types


def _contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what travels in an operation, by where: each has a schema."""
    if "requestBody" in operation:
        yield from operation["requestBody"]["content"].items()
    for response in operation["responses"].values():
        yield from response.get("content", {}).items()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_document_shows_an_example_of_whatever_travels(operation: dict[str, Any]) -> None:
    """And each is one: it fits the schema beside it."""
    for kind, content in _contents(operation):
        schema = {**content["schema"], "components": openapi()["components"]}
        shown = content["examples"].values()

        assert shown, kind
        for example in shown:
            jsonschema_rs.validate(schema, example["value"], validate_formats=True)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_document_explains_every_parameter_and_answer(operation: dict[str, Any]) -> None:
    explained = [*operation.get("parameters", []), *operation["responses"].values()]

    assert not [one for one in explained if not one["description"]]
    assert ("413" in operation["responses"]) == ("requestBody" in operation)
    assert operation["responses"]["401"]["headers"]["WWW-Authenticate"]["required"]
    assert operation["responses"]["429"]["headers"]["Retry-After"]["required"]


def test_document_explains_every_object_and_property() -> None:
    schemas = openapi()["components"]["schemas"]

    assert not [name for name, schema in schemas.items() if not schema.get("description")]
    assert not [
        f"{name}.{inner}"
        for name, schema in schemas.items()
        for inner, said in schema.get("properties", {}).items()
        if not said.get("description")
    ]


def test_document_explains_every_tag() -> None:
    document = openapi()

    used = {tag for methods in document["paths"].values() for one in methods.values() for tag in one["tags"]}
    assert {tag["name"] for tag in document["tags"] if tag["description"]} == used


def test_objects_that_are_sent_are_closed_in_the_document() -> None:
    schemas = openapi()["components"]["schemas"]
    sent = {name: schema for name, schema in schemas.items() if name.endswith("Request") and "properties" in schema}

    assert len(sent) > 10
    # OAuth's clients may send more than is asked for (RFC 6749 §3.2).
    assert [name for name, schema in sent.items() if schema.get("additionalProperties") is not False] == [
        "PresentedTokenRequest"
    ]


def test_document_has_the_scheme() -> None:  # security 53
    assert openapi()["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"


ODD: list[Any] = [None, True, 0, -1, 1.5, 10**30, "", "x", "\x00", "\ud800", "\u202e", "💣" * 2_000]
ODD += [[], [[]], [None], {}, {"type": 1}]
ODD_TEXTS = ["", "x", "0", "-1", "1e3", "٣", "\x00", "💣", "a" * 5_000, "null", encode_id("Space", 2**62)]
ODD_TEXTS += ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_odd_values_never_break_anything(
    cast: Cast, client: Client, own: dict[str, str], operation: dict[str, Any]
) -> None:
    """Security 53: every property and parameter of the document, given every odd value; a 5xx raises here."""
    new = user_key(cast.alice, cast.account, expires_at=later(days=1))
    ((place, method),) = [
        (place, method)
        for place, methods in openapi()["paths"].items()
        for method, one in methods.items()
        if one is operation
    ]
    address = re.sub(r"{(\w+)}", lambda found: {**own, "api_key_id": new.key.wire_id}[found[1]], place)
    names = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]

    for name in names:
        for value in ODD_TEXTS:
            assert client.get(address, {name: value}, headers=_bearer(new)).status_code < 500
    if "requestBody" in operation:
        for body in _bodies(operation):
            if FORM in operation["requestBody"]["content"]:
                sent = urlencode(body, errors="surrogatepass")
                response = client.generic(method.upper(), address, sent, content_type=FORM, headers=_bearer(new))
            else:
                response = _call(client, method.upper(), address, _bearer(new), body)
            assert response.status_code in (200, 201, 202, 400, 404, 409, 422)
            new = (
                NewKey(new.key, response.json()["key"])
                if operation["operationId"] == "refresh_api_key" and response.status_code == 200
                else new
            )


def _bodies(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Take each example of the operation, and put every odd value into each of its places in turn."""
    (content,) = operation["requestBody"]["content"].values()
    for example in content["examples"].values():
        whole = example["value"]
        if operation["operationId"].endswith("_api_key"):
            whole = whole | {"expires_at": "2030-01-31T12:00:00Z"}
        for place in _places(whole):
            for value in ODD:
                yield _with(whole, place, value)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in inside:
        yield from _places(inner, (*place, step))


def _with(whole: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    copy = dict(whole) if isinstance(whole, dict) else list(whole)
    copy[place[0]] = _with(copy[place[0]], place[1:], value)
    return copy
