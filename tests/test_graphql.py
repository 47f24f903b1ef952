"""The door ``POST /graphql``: who gets in, what it reads, what it refuses, and how it says so."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import strawberry
from django.conf import settings
from django.db import OperationalError, connection
from django.test import Client
from graphql import build_client_schema, get_introspection_query
from pytest_django import Settings

from accounts.models import Account, AuditEvent, Space
from accounts.people import remove_person
from accounts.schema.relay import told
from accounts.wire import encode_id
from apikeys import tokens
from apikeys.lifecycle import NewKey
from apikeys.models import ApiKey
from arizekeys import schema as joined
from arizekeys.complexity import MAX_ALIASES, MAX_COST, MAX_DEPTH, MAX_FIELDS, MAX_ROOT_FIELDS, MAX_TOKENS
from tests.asking import GRAPHQL, Asker, asker
from tests.cast import Cast
from tests.factories import service_key, user_key
from tests.test_secrets import everything_stored

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.django_db

VIEWER = "{ viewer { user { name } } }"
CHALLENGE = 'Bearer realm="arizekeys"'


def _ask(headers: dict[str, str] | None = None, body: Any = None, **options: Any) -> Answer:
    body = {"query": VIEWER} if body is None else body
    options = {"content_type": "application/json", "headers": headers or {}} | options
    return Client(raise_request_exception=False).post(options.pop("path", GRAPHQL), body, **options)


def _errors(response: Answer, status: int) -> list[dict[str, Any]]:
    """Check that an answer refuses as GraphQL does, and return the errors."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    for error in body["errors"]:
        assert set(error) <= {"message", "extensions", "locations", "path"}
        assert {"code", "status"} <= set(error["extensions"])
    errors: list[dict[str, Any]] = body["errors"]
    return errors


def _unknown(response: Answer) -> str:
    """Check that an answer is REST's to whom nobody knows, and return the code."""
    assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    assert "errors" not in body  # with which gql would not raise what it raises for a 401
    return str(body["error_code"])


def _code(response: Answer, status: int) -> str:
    (error,) = _errors(response, status)
    return str(error["extensions"]["code"])


# Who gets in


@pytest.mark.parametrize(
    "header",
    [("x-api-key", "{}"), ("authorization", "{}"), ("authorization", "Bearer {}"), ("authorization", "bearer {}")],
)
def test_key_opens_in_either_header(cast: Cast, header: tuple[str, str]) -> None:
    key = user_key(cast.bob, cast.account).plaintext

    assert _ask({header[0]: header[1].format(key)}).json() == {"data": {"viewer": {"user": {"name": "Bob Baker"}}}}


def test_service_key_is_its_bot(cast: Cast) -> None:
    key = service_key(cast.alice, cast.production, name="nightly")

    data = Asker(key).data(
        "{ viewer { user { name email userType accountRole } spaces(first: 5) { edges { node { name } } } } }"
    )

    assert data["viewer"] == {
        "user": {"name": "nightly", "email": None, "userType": "bot", "accountRole": "member"},
        # Through the organization role, Read-Only, it gets into the other public space too.
        "spaces": {"edges": [{"node": {"name": "production"}}, {"node": {"name": "staging"}}]},
    }


def test_nobody_gets_in_without_a_key(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.alice)

    response = client.post(GRAPHQL, {"query": VIEWER}, content_type="application/json")

    assert _unknown(response) == "authentication_required"
    assert response["WWW-Authenticate"] == CHALLENGE


def test_bad_keys_get_one_answer(cast: Cast) -> None:  # security 9 and 23
    revoked, gone = user_key(cast.bob, cast.account), user_key(cast.charlie, cast.account)
    remove_person(cast.actor(cast.alice), user=cast.charlie, at=gone.key.created_at)
    bob = Asker(revoked)
    bob.data(f'mutation {{ revokeApiKey(input: {{apiKeyId: "{revoked.key.wire_id}"}}) {{ keyInfo {{ status }} }} }}')

    answers = [_ask({"x-api-key": key}) for key in (revoked.plaintext, gone.plaintext, tokens.mint().plaintext, "x")]

    assert {_unknown(answer) for answer in answers} == {"invalid_token"}
    assert {answer["WWW-Authenticate"] for answer in answers} == {f'{CHALLENGE}, error="invalid_token"'}
    assert len({answer.content for answer in answers}) == 1


def test_two_keys_are_none(cast: Cast) -> None:  # security 11
    key = user_key(cast.bob, cast.account).plaintext

    assert _code(_ask({"x-api-key": key, "authorization": key}), 400) == "invalid_request"


@pytest.mark.parametrize("where", ["query string", "path", "cookie"])
def test_key_in_the_wrong_place_is_refused_and_marked(cast: Cast, where: str) -> None:  # security 27
    new = user_key(cast.bob, cast.account)
    client = Client()
    if where == "cookie":
        client.cookies["key"] = new.plaintext
    path = {"query string": f"{GRAPHQL}?api_key={new.plaintext}", "path": f"/v2/{new.plaintext}"}.get(where, GRAPHQL)

    response = client.post(
        path, {"query": VIEWER}, content_type="application/json", headers={"x-api-key": new.plaintext}
    )

    assert response.status_code == 400
    assert new.plaintext not in response.content.decode()
    assert ApiKey.objects.get(pk=new.key.pk).exposed_at is not None


def test_developer_lock_closes_it_to_user_keys(cast: Cast) -> None:
    service, bobs = service_key(cast.alice, cast.production), user_key(cast.bob, cast.account)
    Account.objects.filter(pk=cast.account.pk).update(developer_access_locked=True)

    assert _code(_ask({"x-api-key": bobs.plaintext}), 403) == "developer_access_locked"
    assert _ask({"x-api-key": service.plaintext}).status_code == 200


def test_plain_http_is_refused(cast: Cast) -> None:  # security 29
    key = user_key(cast.bob, cast.account).plaintext

    response = _ask({"x-api-key": key}, REMOTE_ADDR="192.0.2.1")

    assert response.status_code == 403
    assert "HTTPS" in response.json()["detail"]


def test_failing_database_lets_nobody_in(cast: Cast) -> None:  # security 13
    key = user_key(cast.bob, cast.account).plaintext

    with connection.execute_wrapper(_fail):
        response = _ask({"x-api-key": key})

    assert _code(response, 503) == "unavailable"
    assert response["Retry-After"] == "1"


def test_database_that_fails_midway_is_no_200(cast: Cast) -> None:  # security 13
    key = user_key(cast.bob, cast.account).plaintext
    text = "{ viewer { user { name } spaces(first: 5) { edges { node { name } } } } }"

    def spaces_fail(execute: Any, sql: str, *rest: Any) -> Any:
        return _fail(execute, sql, *rest) if 'FROM "accounts_space"' in sql else execute(sql, *rest)

    with connection.execute_wrapper(spaces_fail):
        response = _ask({"x-api-key": key}, {"query": text})

    assert _code(response, 503) == "unavailable"
    assert "data" not in response.json()


def _fail(execute: Any, sql: str, *rest: Any) -> Any:
    raise OperationalError("server closed the connection unexpectedly")


# What it reads


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"])
def test_only_post_is_answered(cast: Cast, method: str) -> None:
    key = user_key(cast.bob, cast.account).plaintext

    response = Client().generic(method, f"{GRAPHQL}?query={{viewer{{user{{name}}}}}}", headers={"x-api-key": key})

    assert (response.status_code, response["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/graphql", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"],
)
def test_only_json_is_read(cast: Cast, kind: str) -> None:
    key = user_key(cast.bob, cast.account).plaintext

    response = _ask({"x-api-key": key}, b'{"query": "{ viewer { user { name } } }"}', content_type=kind)

    assert _code(response, 400) == "invalid"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b'"{ viewer { user { name } } }"',
        b'[{"query": "{ viewer { user { name } } }"}]',
        b'{"query": "{ viewer { user { name } } }", "query": "{ viewer { user { name } } }"}',
        b'{"query": NaN}',
        b'{"query": null}',
        b'{"query": 5}',
        b'{"query": ""}',
        b'{"query": " "}',
        b'{"query": ["{ viewer { user { name } } }"]}',
        b'{"query": "{ viewer { user { name } } }", "variables": []}',
        b'{"query": "{ viewer { user { name } } }", "variables": "{}"}',
        b'{"query": "{ viewer { user { name } } }", "operationName": 5}',
        b'{"variables": {}}',
        b'{"query": ' + b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_bodies_that_are_no_request_are_refused(cast: Cast, body: bytes) -> None:
    key = user_key(cast.bob, cast.account).plaintext

    assert _code(_ask({"x-api-key": key}, body), 400) == "invalid"


def test_bodies_are_bounded(cast: Cast, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    key = user_key(cast.bob, cast.account).plaintext

    assert (
        _code(_ask({"x-api-key": key}, {"query": VIEWER, "variables": {"x": "y" * 1_000}}), 413) == "content_too_large"
    )


def test_what_clients_send_along_does_not_matter(cast: Cast) -> None:
    """Variables that the operation does not declare, nulls, extensions, an Accept of their own."""
    key = user_key(cast.bob, cast.account).plaintext
    body = {
        "query": VIEWER,
        "variables": {"endCursor": None, "more": {"x": [1]}},
        "operationName": None,
        "extensions": {"persistedQuery": {"version": 1}},
    }

    for accept in ("*/*", "application/json", "application/graphql-response+json", "text/html", "text/event-stream"):
        response = _ask({"x-api-key": key, "accept": accept}, body)
        assert (response.status_code, response["Content-Type"]) == (200, "application/json")


def test_post_is_carried_out_each_time_it_is_sent(cast: Cast) -> None:
    """The REST API's Idempotency-Key stores answers, and answers of GraphQL may hold secrets."""
    key = user_key(cast.bob, cast.account).plaintext
    body = {"query": 'mutation { createUserApiKey(input: {name: "n"}) { apiKey } }'}

    answers = [_ask({"x-api-key": key, "idempotency-key": "once"}, body).json() for _ in range(2)]

    assert len({answer["data"]["createUserApiKey"]["apiKey"] for answer in answers}) == 2


def test_operation_is_chosen_by_name(cast: Cast) -> None:
    text = "query A { viewer { user { name } } } query B { account { name } }"
    key = user_key(cast.bob, cast.account).plaintext

    def ask(name: str | None) -> Answer:
        return _ask({"x-api-key": key}, {"query": text, "operationName": name})

    assert ask("B").json() == {"data": {"account": {"name": "Acme AI"}}}
    assert _code(ask("C"), 200) == "invalid"
    assert _code(ask(None), 200) == "invalid"


# How it refuses


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{ viewer { user { nmae } } }", "Cannot query field 'nmae' on type 'User'. Did you mean 'name'?"),
        ("{ viewer", "Syntax Error: Expected Name, found <EOF>."),
        ("{ viewer { user { name } } } ]", "Syntax Error: Unexpected ']'."),
        ('{ viewer "ak-secret" }', "Syntax Error: Expected Name, found String."),
        ("{ viewer { user } }", "Field 'user' of type 'User!' must have a selection of subfields."),
        ("subscription { viewer { user { name } } }", "There is nothing to subscribe to."),
        ("{ node { id } }", "Field 'node' argument 'id' of type 'ID!' is required"),
        ("type A { a: Int }", "The 'A' definition is not executable."),
        ('{ viewer { spaces(first: "swordfish") { edges { cursor } } } }', "This must be Int."),
        ("{ viewer { apiKeys(status: swordfish) { edges { cursor } } } }", "This must be ApiKeyStatus."),
        (
            'mutation { createUserApiKey(input: {name: "x", expiresAt: "swordfish"}) { apiKey } }',
            "This must be DateTime.",
        ),
        ('mutation { createUserApiKey(input: {nmae: "swordfish"}) { apiKey } }', "is not defined by type"),
        ('mutation { createUserApiKey(input: {name: "a\\u0000b"}) { apiKey } }', "Control characters are not allowed"),
    ],
)
def test_documents_that_cannot_be_carried_out_are_told_why(cast: Cast, text: str, said: str) -> None:
    response = asker(cast.bob).post(text)

    errors = _errors(response, 200)
    assert any(said in error["message"] for error in errors)
    assert errors[0]["extensions"] == {"code": "invalid", "status": 400}
    assert "data" not in response.json()
    assert b"swordfish" not in response.content
    assert b"ak-secret" not in response.content


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "The variable $input is required."),
        ({"input": None}, "$input: This must be CreateServiceApiKeyInput!."),
        ({"input": "swordfish"}, "$input: This must be CreateServiceApiKeyInput!."),
        ({"input": {"name": "n"}}, "$input: Field 'spaceId' of required type 'ID!' was not provided."),
        ({"input": {"name": 5, "spaceId": "x"}}, "$input.name: This must be String!."),
        ({"input": {"name": ["swordfish"], "spaceId": "x"}}, "$input.name: This must be String!."),
        (
            {"input": {"name": "n", "spaceId": "x", "spaceRole": "swordfish"}},
            "$input.spaceRole: This must be SpaceMemberRole.",
        ),
        (
            {"input": {"name": "n", "spaceId": "x", "expiresAt": "swordfish"}},
            "$input.expiresAt: This must be DateTime.",
        ),
        ({"input": {"name": "n", "spaceId": "x", "extra": "swordfish"}}, "$input: Field 'extra' is not defined"),
        ({"input": {"name": "a\x00b", "spaceId": "x"}}, "Control characters are not allowed in $input."),
        ({"input": {"name": "a\ud800b", "spaceId": "x"}}, "Control characters are not allowed in $input."),
    ],
)
def test_variables_that_do_not_fit_are_told_without_repeating_them(
    cast: Cast, variables: dict[str, Any], said: str
) -> None:
    text = "mutation($input: CreateServiceApiKeyInput!) { createServiceApiKey(input: $input) { apiKey } }"

    response = asker(cast.bob).post(text, **variables)

    (error,) = _errors(response, 200)
    assert error["message"].startswith(said)
    assert b"swordfish" not in response.content


def test_refusals_have_the_codes_of_rest(cast: Cast) -> None:
    text = "mutation($id: ID!) { createSpace(input: {accountOrganizationId: $id, name: %s}) { space { id } } }"
    bob, charlie = asker(cast.bob), asker(cast.charlie)
    fraud = bob.data("{ viewer { organizations { edges { node { id } } } } }")["viewer"]["organizations"]
    number = fraud["edges"][0]["node"]["id"]

    assert bob.answer(text % '"production"', id=number)["errors"] == [
        {
            "message": "“Fraud & Risk” already has a space “production”.",
            "locations": [{"line": 1, "column": 22}],
            "path": ["createSpace"],
            "extensions": {"code": "conflict", "status": 409},
        }
    ]
    assert bob.codes(text % '" "', id=number) == ["invalid"]
    assert charlie.codes(text % '"new"', id=number) == ["forbidden"]
    assert charlie.codes(text % '"new"', id="nonsense") == ["invalid"]


def test_rate_limits_say_so_in_the_words_clients_look_for(cast: Cast) -> None:
    alice = asker(cast.alice)
    Account.objects.filter(pk=cast.account.pk).update(max_keys_per_hour=1)

    (error,) = alice.answer('mutation { createUserApiKey(input: {name: "n"}) { apiKey } }')["errors"]

    assert error["extensions"]["reason"] == "TOO_MANY_REQUESTS"
    assert 1 <= error["extensions"]["retryAfter"] <= 60


def test_what_nobody_foresaw_is_in_the_log_and_not_in_the_answer(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bob = asker(cast.bob)
    bob.client.raise_request_exception = False

    def broken(space: Space) -> bool:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(Space, "is_private", property(broken, lambda space, value: None))

    response = bob.post("{ viewer { spaces(first: 5) { edges { node { name private } } } } }")

    errors = _errors(response, 200)
    assert {error["extensions"]["code"] for error in errors} == {"internal_error"}
    assert b"swordfish" not in response.content
    assert "swordfish" in caplog.text


def test_key_text_comes_back_in_no_error(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:  # security 24
    caplog.set_level(logging.DEBUG)
    bob = asker(cast.bob)
    key = bob.key.plaintext
    field = key.replace("-", "_")

    for text in (
        f'{{ node(id: "{key}") {{ id }} }}',
        f"{{ viewer {{ {field} }} }}",
        f'mutation {{ createUserApiKey(input: {{name: "{key}"}}) {{ apiKey }} }}',
        f'mutation {{ revokeApiKey(input: {{apiKeyId: "{key}"}}) {{ clientMutationId }} }}',
        f'"{key}" {{ viewer',
    ):
        response = bob.post(text)
        _errors(response, 200)
        assert key not in response.content.decode()
    assert key not in caplog.text


# What clients ask first


@pytest.mark.parametrize(
    "options", [{}, {"specified_by_url": True, "directive_is_repeatable": True, "input_value_deprecation": True}]
)
def test_introspection_is_answered(cast: Cast, options: dict[str, bool]) -> None:
    told_schema = asker(cast.bob).data(get_introspection_query(**options))

    assert build_client_schema(told_schema).get_type("CreateServiceApiKeyInput") is not None
    # What the graphql-core of gql 3 knows; any other word is a TypeError in the client (client-workflows §14).
    places = {place for directive in told_schema["__schema"]["directives"] for place in directive["locations"]}
    assert places <= {
        "FIELD",
        "FRAGMENT_SPREAD",
        "INLINE_FRAGMENT",
        "FIELD_DEFINITION",
        "ARGUMENT_DEFINITION",
        "INPUT_FIELD_DEFINITION",
        "INPUT_OBJECT",
        "ENUM_VALUE",
        "SCALAR",
    }


# Default deny


def test_every_field_that_leads_somewhere_says_who_may_use_it() -> None:  # security 20
    assert joined.undeclared(joined.SCHEMA) == []
    assert joined.SCHEMA.query_type is not None
    assert set(joined.SCHEMA.query_type.fields) == {"viewer", "account", "node"}


def test_field_without_a_rule_is_found() -> None:  # security 20
    @strawberry.type
    class Query:
        @told("Everything.")
        def everything(self) -> str:
            return "all of it"

        @told("Something.", access="Anybody.")
        def something(self) -> str:
            return "a little"

    built = strawberry.Schema(query=Query)._schema

    assert joined.undeclared(built) == ["Query.everything"]


# The audit trail


def test_audit_names_the_field_and_not_what_the_client_calls_it(cast: Cast) -> None:
    alice = asker(cast.alice)
    text = """
    mutation Harmless($first: CreateOrganizationMutationInput!) {
      one: createOrganization(input: $first) { clientMutationId }
      two: createUserApiKey(input: {name: "n\\u0061me"}) { apiKey }
    }"""

    alice.data(text, first={"name": "New", "description": "x"}, unused="y")

    events = list(AuditEvent.objects.filter(door="graphql").order_by("pk"))
    assert [(event.tag, event.operation_type, event.operation_name) for event in events] == [
        ("organization:create", "MUTATION", "createOrganization"),
        ("key:create", "MUTATION", "createUserApiKey"),
    ]
    assert 'name: "name"' in events[0].operation_text
    assert events[0].variables == {"first": {"name": "New", "description": "x"}}
    assert (events[0].key_id, events[0].actor_id) == (alice.key.key.pk, cast.alice.pk)


def test_audit_keeps_no_secret_and_no_megabytes(cast: Cast) -> None:
    alice = asker(cast.alice)
    key = alice.key.plaintext
    text = "mutation($i: CreateOrganizationMutationInput!) { createOrganization(input: $i) { clientMutationId } }"

    alice.data(text, i={"name": "A", "clientMutationId": key})
    alice.data(text, i={"name": "B", "clientMutationId": "x" * 100_000})
    hidden = key.replace("ak-", "\\u0061k-")
    alice.data(
        f'mutation {{ createOrganization(input: {{name: "C", clientMutationId: "{hidden}"}}) {{ clientMutationId }} }}'
    )

    events = list(AuditEvent.objects.filter(tag="organization:create").order_by("pk"))
    assert [event.variables for event in events] == [
        {"i": {"name": "A", "clientMutationId": "ak-[redacted]"}},
        {"left_out": "These were too long to keep."},
        {},
    ]
    assert "ak-[redacted]" in events[2].operation_text
    assert all(key[3:] not in event.operation_text for event in events)


def test_refusals_that_matter_are_recorded_with_their_operation(cast: Cast) -> None:
    charlie = asker(cast.charlie)

    charlie.answer('mutation { createOrganization(input: {name: "Mine"}) { clientMutationId } }')

    (event,) = AuditEvent.objects.filter(actor_id=cast.charlie.pk, outcome="REFUSED")
    assert (event.tag, event.operation_name, event.door) == ("organization:create", "createOrganization", "graphql")


def test_secrets_are_in_the_answer_and_nowhere_else(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    """Security 3 and 41, for what is made and used through this door."""
    caplog.set_level(logging.DEBUG)
    alice = asker(cast.alice)
    text = """mutation($space: ID!) { one: createUserApiKey(input: {name: "one"}) { apiKey }
      two: createServiceApiKey(input: {name: "two", spaceId: $space}) { apiKey } }"""

    made = alice.data(text, space=encode_id("Space", cast.production.pk))
    secrets = [one["apiKey"] for one in made.values()]
    refresh = "mutation($id: ID!) { refreshApiKey(input: {apiKeyId: $id}) { apiKey } }"
    again = alice.data(refresh, id=ApiKey.objects.get(name="two").wire_id)["refreshApiKey"]["apiKey"]
    secrets.append(again)
    assert Asker(NewKey(ApiKey.objects.get(name="two"), again)).post(VIEWER).status_code == 200

    stored, logged = everything_stored(), "\n".join(record.getMessage() for record in caplog.records)
    for secret in secrets:
        assert secret[15:58] not in stored
        assert secret[15:58] not in logged
    assert "createServiceApiKey" in stored  # the search does look where operations are


# README


def test_examples_in_readme_are_answered_and_limits_are_told(cast: Cast) -> None:
    section = (Path(settings.BASE_DIR) / "README.md").read_text(encoding="utf-8").partition("### Over GraphQL\n")[2]
    section = section.partition("\n### ")[0]
    bodies = re.findall(r"-d '(\{.*?\n\})'", section, re.DOTALL)
    key = user_key(cast.alice, cast.account).plaintext

    answers = [_ask({"x-api-key": key}, json.loads(body)).json() for body in bodies]

    assert len(answers) == 2
    assert all("errors" not in answer for answer in answers)
    limits = (MAX_COST, MAX_DEPTH, MAX_FIELDS, MAX_ALIASES, MAX_ROOT_FIELDS, MAX_TOKENS)
    assert re.findall(r"([\d,]+) (?:objects|levels|fields|aliases|tokens)", section) == [
        f"{limit:,}" for limit in limits
    ]
    assert joined.SCHEMA.mutation_type is not None
    assert set(re.findall(r"`(\w+)`", section.partition("Mutations:")[2].partition(".")[0])) == set(
        joined.SCHEMA.mutation_type.fields
    )
