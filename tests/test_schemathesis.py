"""The REST API held to its own OpenAPI document (security 53).

From the document schemathesis makes requests, right ones and wrong ones, and sends them with the keys of an admin, a
member and a read-only member. No answer may be a 5xx, have a status that the document does not know, or break its
schema; what the schema forbids has to be refused, and what it allows only a rule may refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import schemathesis
from django.apps import apps
from django.core.management.color import no_style
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection, transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from pytest_django import Settings
from schemathesis.specs.openapi.checks import (
    ensure_resource_availability,
    negative_data_rejection,
    positive_data_acceptance,
    use_after_free,
)

from accounts.models import Project, Space
from accounts.paging import Page
from accounts.rest.shapes import described_id
from accounts.roles import RoleName
from accounts.wire import encode_id
from apikeys.authentication import FORM
from arizekeys.docs import openapi
from tests.cast import Cast, assemble
from tests.factories import ProjectFactory, bind, custom_role, later, service_key, user_key
from tests.matrix.belongings import furnish

if TYPE_CHECKING:
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIEnvironment

    from schemathesis.core.transport import Response
    from schemathesis.schemas import BaseSchema

Case = schemathesis.Case[Any]

pytestmark = pytest.mark.django_db

EXAMPLES = 15  # of each operation and key, beside those that the schemas ask for
SEQUENCES = 25
UNHURRIED = settings(
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # and not look for a smaller failure: what fails shall fail soon
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,  # on purpose: each request is undone, so all of them find the same world
        HealthCheck.filter_too_much,  # names of a few letters, out of all that Unicode has
        HealthCheck.too_slow,  # on a busy machine
    ],
)

# What a schema cannot say: which IDs there are. The first numbers are somebody's, see ``world``.
NUMBERS = st.integers(1, 8) | st.sampled_from([13, 10**9])
# When a key may end, mostly.
MOMENTS = st.sampled_from(["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2100-02-28T23:59:59+14:00"])
MOMENTS |= st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")


def _ids(kind: str) -> st.SearchStrategy[str]:
    return NUMBERS.map(lambda number: encode_id(kind, number))


def _cursor(number: int) -> str:
    return Page([Space(pk=number)], None).cursors[0]


for _kind in (
    "ApiKey",
    "Dataset",
    "DatasetVersion",
    "Experiment",
    "Organization",
    "Project",
    "Role",
    "RoleBinding",
    "Space",
    "User",
):
    schemathesis.openapi.format(described_id(_kind, "id")["format"], _ids(_kind))
schemathesis.openapi.format("resource-id", _ids("Space") | _ids("Project"))
schemathesis.openapi.format("cursor", st.just("") | NUMBERS.map(_cursor))
schemathesis.openapi.format("row-cursor", st.just("") | st.just("cm93OjE"))
schemathesis.openapi.format("span-cursor", st.just(""))
schemathesis.openapi.format("date-time", MOMENTS)

_django = get_wsgi_application()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer as on a server whose callers are on the same machine."""
    return _django({**environ, "REMOTE_ADDR": "127.0.0.1"}, start_response)


def _schema(*phases: str) -> BaseSchema:
    config = {
        "generation": {
            "max-examples": EXAMPLES,
            "deterministic": True,
            "database": "none",
            "with-security-parameters": False,  # the keys are ours; that there must be one is checked all the same
        },
        "checks": {
            # Rules know more than the schema: a role, a name that is taken, an end in the past.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "403", "404", "409", "422"]},
            # Whoever may not do it, or not there, is told so first.
            "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "404"]},
        },
        "phases": {"enabled": False} | {phase: {"enabled": True} for phase in phases},
        "analysis": {"constants": {"enabled": False}},  # no words out of the source code in place of IDs
        "output": {"sanitization": {"enabled": False}},  # the keys end with the test
    }
    schema = schemathesis.openapi.from_dict(openapi(), config=schemathesis.Config.from_dict(config))
    schema.app = application
    return schema


def _resolved(body: dict[str, Any]) -> list[Any]:
    """Return the schemas that a body names."""
    named = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(body))
    return [openapi()["components"]["schemas"][name] for name in named]


# Operations that take a thousand things at once: each corner of their schemas would be one list of a thousand and one
# for every property of its objects, made before the first test begins.
_LONG = [
    operation["operationId"]
    for methods in openapi()["paths"].values()
    for operation in methods.values()
    if '"maxItems": 1000' in json.dumps(_resolved(operation.get("requestBody", {})))
]
# Every corner of every schema once, with a key that may do everything; with the others, what lies behind the schemas.
THOROUGH = _schema("examples", "coverage", "fuzzing").exclude(operation_id=_LONG)
LONG = _schema("examples", "fuzzing").include(operation_id=_LONG)
BRIEF = _schema("examples", "fuzzing")
STATEFUL = _schema("stateful")


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """Keep the connection that the test's transaction is on; between requests Django would close it."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture(autouse=True)
def _wrong_keys_without_end(settings: Settings) -> None:
    """Limit no guesses: after each request schemathesis sends it again with a key that is none, and wants its 401."""
    settings.VERIFY_GUESSES = 0


@pytest.fixture(autouse=True)
def _tables_folder(tmp_path: Path, settings: Settings) -> None:
    settings.TABLES_FOLDER = tmp_path / "tables"


@pytest.fixture
def world(db: None) -> Cast:
    """Everybody in their places, under the first numbers: those in the examples, and in the IDs made up here."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), apps.get_models()):
            cursor.execute(statement)
    cast = assemble()
    custom_role(cast.account, "Exporter", "DATASET_READ")
    bind(cast.bob, cast.production, custom_role(cast.account, "Viewer", "SPACE_READ"))
    furnish(cast.actor(cast.alice), cast.production)
    restricted = Project.objects.get(pk=1)
    bind(cast.bob, restricted, RoleName.MEMBER)
    bind(cast.erin, ProjectFactory.create(space=cast.vision_lab), RoleName.READ_ONLY)
    user_key(cast.alice, cast.account, expires_at=later(days=1))
    for person in (cast.bob, cast.charlie):
        user_key(person, cast.account)
    service_key(cast.alice, cast.production, cast.vision_lab)
    service_key(cast.bob, cast.production, cast.staging)
    bind(cast.alice, restricted, RoleName.ADMIN)
    Project.objects.filter(pk=restricted.pk).update(restricted_at=later(days=-1))
    return cast


@pytest.fixture
def headers(world: Cast, request: pytest.FixtureRequest) -> dict[str, str]:
    """A key of the one who is named."""
    person = getattr(world, request.param)
    return {"Authorization": f"Bearer {user_key(person, world.account).plaintext}"}


@pytest.mark.parametrize("headers", ["alice"], indirect=True)
@THOROUGH.parametrize()
@UNHURRIED
def test_document_is_true_for_admins(case: Case, headers: dict[str, str]) -> None:
    with transaction.atomic():
        _check(case, case.call(headers=headers), headers)
        transaction.set_rollback(True)


@pytest.mark.parametrize("headers", ["alice"], indirect=True)
@LONG.parametrize()
@UNHURRIED
def test_document_is_true_for_admins_who_send_many_things(case: Case, headers: dict[str, str]) -> None:
    with transaction.atomic():
        _check(case, case.call(headers=headers), headers)
        transaction.set_rollback(True)


@pytest.mark.parametrize("headers", ["bob", "charlie"], indirect=True)
@BRIEF.parametrize()
@UNHURRIED
def test_document_is_true_for_members(case: Case, headers: dict[str, str]) -> None:
    with transaction.atomic():
        _check(case, case.call(headers=headers), headers)
        transaction.set_rollback(True)


@pytest.mark.parametrize("headers", ["alice", "bob"], indirect=True)
def test_document_is_true_of_what_comes_after_something_else(headers: dict[str, str]) -> None:
    """What was made is there, what was deleted is not, and IDs out of one answer lead on to the next."""
    numbers = _numbers()

    class Sequence(STATEFUL.as_state_machine()):  # type: ignore[misc]  # a class made while running
        def setup(self) -> None:
            self.passing_over: set[Any] = set()
            self.point = transaction.atomic()
            self.point.__enter__()
            _count_from(numbers)

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(self, response: Response, case: Case, **kwargs: Any) -> None:
            if response.status_code < 300:
                if case.method == "DELETE" or case.path == "/v2/resource-restrictions":
                    # Schemathesis knows of what is deleted by its own address. It does not know what goes with a scope
                    # or a person, or is restricted to others.
                    self.passing_over.add(ensure_resource_availability)
                if case.path == "/v2/datasets/{dataset_id}/examples" and case.method == "DELETE":
                    self.passing_over.add(use_after_free)  # of some, and it takes them for all of that address
            _check(case, response, headers, passing_over=self.passing_over, recorder=self.recorder)

        def teardown(self) -> None:
            transaction.set_rollback(True)
            self.point.__exit__(None, None, None)

    Sequence.run(settings=settings(UNHURRIED, max_examples=SEQUENCES, stateful_step_count=8))


def _numbers() -> list[Any]:
    """Return of each counter of the database its name, its number, and whether that is given already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(sequencename), COALESCE(last_value, start_value), last_value IS NOT NULL "
            "FROM pg_sequences WHERE schemaname = current_schema()"
        )
        return list(cursor.fetchall())


def _count_from(numbers: list[Any]) -> None:
    """Let the same requests make the same IDs once more: what is undone stays counted."""
    with connection.cursor() as cursor:
        cursor.executemany("SELECT setval(%s, %s, %s)", numbers)


def _check(
    case: Case, response: Response, headers: dict[str, str], *, passing_over: Iterable[Any] = (), **more: Any
) -> None:
    """Check an answer in every way that schemathesis knows, and that the database would commit what was done."""
    rules = [*passing_over, *_beyond_the_schema(response)]
    case.validate_response(
        response, headers=headers, transport_kwargs={"headers": headers}, excluded_checks=rules, **more
    )
    connection.check_constraints()


def _beyond_the_schema(response: Response) -> Iterator[Any]:
    """Yield the checks that a refusal must not be held to, since its reason is nothing that a schema can tell."""
    if not 400 <= response.status_code < 500:
        return
    problem = response.json()
    code = problem.get("error_code")
    if code == "incompatible":
        yield positive_data_acceptance  # each part of the request was right, and the whole was not
    if code == "idempotency_key_reused":
        yield negative_data_rejection  # whatever the body is: it is not the one that came with this key first
    if code == "not_found" and "errors" in problem:
        yield ensure_resource_availability  # it is something that the body names, and not what the address does


OPERATIONS = [
    pytest.param(place, method, operation, id=operation["operationId"])
    for place, methods in openapi()["paths"].items()
    for method, operation in methods.items()
    if operation["operationId"] != "resend_user_invitation"  # the examples speak of somebody who came in long ago
]


@pytest.mark.parametrize("headers", ["alice"], indirect=True)
@pytest.mark.parametrize(("place", "method", "operation"), OPERATIONS)
def test_examples_work_as_they_stand(
    client: Client, headers: dict[str, str], place: str, method: str, operation: dict[str, Any]
) -> None:
    named = {one["name"]: one for one in operation.get("parameters", [])}
    ids = {name: one["examples"]["AnID"]["value"] for name, one in named.items() if one["in"] == "path"}
    query = {
        name: one["schema"]["enum"][0] for name, one in named.items() if one["in"] == "query" and "required" in one
    }
    kind, content = next(iter(operation.get("requestBody", {}).get("content", {"application/json": {}}).items()))
    encode = urlencode if kind == FORM else json.dumps
    bodies = [encode(one["value"]) for one in content.get("examples", {}).values()]

    for body in bodies or [""]:
        response = client.generic(
            method.upper(),
            place.format(**ids),
            body,
            content_type=kind,
            headers=headers,
            query_params=query,
        )

        assert response.status_code < 300
        assert str(response.status_code) in operation["responses"]
