"""Runs inside a client's own environment: one call per line of standard input, one result per line of output.

It knows nothing of the server's code. A line names an address, a key, a method such as ``api_keys.create`` and its
arguments; what cannot be said in JSON is written ``{"$class": name, "args": [...], "kwargs": {...}}``.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib import import_module
from typing import Any

# The SDK's parts that an administrator uses; what they take is defined beside them.
RESOURCES = (
    *("api_keys", "users", "organizations", "spaces", "roles", "role_bindings", "resource_restrictions", "audit_logs"),
)

Step = dict[str, Any]


def sdk() -> Callable[[Step], Any]:
    """Call methods of the vendor's SDK, with a client of its own for each call."""
    from arize import ArizeClient  # -- not in our environment

    places = [import_module(f"arize.{name}.types") for name in RESOURCES]
    places.append(import_module("arize._generated.api_client"))

    def build(value: Any) -> Any:
        """Return a value with the client's own classes in place of their descriptions."""
        if isinstance(value, list):
            return [build(item) for item in value]
        if not isinstance(value, dict):
            return value
        name = value.get("$class")
        if name is None:
            return {key: build(item) for key, item in value.items()}
        if name == "datetime":
            return datetime.fromisoformat(value["args"][0])
        made = next(getattr(place, name) for place in places if hasattr(place, name))
        return made(*build(value.get("args", [])), **build(value.get("kwargs", {})))

    def call(step: Step) -> Any:
        client = ArizeClient(
            api_key=step["key"], api_host=step["host"], api_scheme=step["scheme"], ssl_ca_cert=step["authorities"]
        )
        if step["call"] == "methods":
            return {f"{name}.{one}": taken for name in RESOURCES for one, taken in methods(getattr(client, name))}
        resource, method = step["call"].split(".")
        return getattr(getattr(client, resource), method)(**build(step["arguments"]))

    return call


def toolkit() -> Callable[[Step], Any]:
    """Call methods of a toolkit client, made for the first organization and space unless ``in_…`` names others."""
    from arize_toolkit import Client  # type: ignore[import-not-found]  # -- not in our environment

    def call(step: Step) -> Any:
        arguments = step["arguments"]
        if step["call"] == "methods":
            given = {"self", "arize_developer_key", "arize_app_url"}  # here, to every client
            return {name: [one for one in taken if one not in given] for name, taken in methods(Client)}
        told = {"arize_developer_key": step["key"], "arize_app_url": f"http://{step['host']}"}
        if step["call"].startswith("create_with_"):
            return shown(getattr(Client, step["call"])(**arguments, **told))
        place = {name: arguments.pop(f"in_{name}", None) for name in ("organization", "space")}
        client = Client(**place, **told)
        return shown(client) if step["call"] == "Client" else getattr(client, step["call"])(**arguments)

    def shown(client: Any) -> dict[str, Any]:
        return {name: getattr(client, name) for name in ("organization", "space", "org_id", "space_id", "space_url")}

    return call


def gql() -> Callable[[Step], Any]:
    """Read the schema, and carry out what fits it: gql looks at a document before it sends it."""
    from gql import Client  # type: ignore[import-not-found]  # -- not in our environment
    from gql import gql as parsed
    from gql.transport.requests import RequestsHTTPTransport  # type: ignore[import-not-found]  # -- as above
    from graphql import print_schema

    def call(step: Step) -> Any:
        arguments = step["arguments"]
        headers = {arguments.get("header", "x-api-key"): step["key"]}
        transport = RequestsHTTPTransport(url=f"http://{step['host']}/graphql", headers=headers)
        client = Client(transport=transport, fetch_schema_from_transport=True)
        if step["call"] == "schema":
            with client:
                return print_schema(client.schema)
        request, variables = parsed(arguments["document"]), arguments.get("variables")
        if not hasattr(request, "variable_values"):  # release 3
            return client.execute(request, variable_values=variables)
        request.variable_values = variables
        return client.execute(request)

    return call


def methods(of: object) -> Iterator[tuple[str, list[str]]]:
    """Tell an object's public methods, and what each takes."""
    for name, method in inspect.getmembers(of, callable):
        if not name.startswith("_"):
            yield name, list(inspect.signature(method).parameters)


CLIENTS = {"arize": sdk, "arize-toolkit": toolkit, "gql": gql}


def plain(value: Any) -> Any:
    """Return what a call gave in lists and mappings."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    for name in ("to_dict", "model_dump"):  # of the generated models, and of those written by hand
        if hasattr(value, name):
            return getattr(value, name)()
    return value


def said(value: Any) -> str:
    """Return what JSON has no word for as text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def told(error: Exception) -> dict[str, Any]:
    """Return what a caller can learn from an exception."""
    data: Any = getattr(error, "data", None)
    headers = getattr(error, "headers", None)
    return {
        "error": [kind.__name__ for kind in type(error).__mro__],
        "text": str(error),
        "status": getattr(error, "status", getattr(error, "code", None)),
        "problem": data.to_dict() if hasattr(data, "to_dict") else None,
        "body": getattr(error, "body", None),
        "errors": getattr(error, "errors", None),
        "headers": {} if headers is None else dict(headers.items()),
    }


def main() -> None:
    """Answer until the input ends."""
    # Clients log to standard output as it was when they were imported, so the answers' way out is put aside first.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    call = CLIENTS[sys.argv[1]]()
    for line in sys.stdin:
        try:
            answer = {"result": plain(call(json.loads(line)))}
        except Exception as error:  # which one it is, is the question
            answer = told(error)
        answers.write(json.dumps(answer, default=said) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
