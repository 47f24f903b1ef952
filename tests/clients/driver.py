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
RESOURCES = ("api_keys", "users", "organizations", "spaces", "roles", "role_bindings", "audit_logs")

Step = dict[str, Any]


def sdk() -> Callable[[Step], Any]:
    """Call methods of the vendor's SDK, with a client of its own for each call."""
    from arize import ArizeClient  # type: ignore[import-not-found]  # -- not in our environment

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
        client = ArizeClient(api_key=step["key"], api_host=step["host"], api_scheme="http")
        if step["call"] == "methods":
            return {f"{name}.{one}": taken for name in RESOURCES for one, taken in methods(getattr(client, name))}
        resource, method = step["call"].split(".")
        return getattr(getattr(client, resource), method)(**build(step["arguments"]))

    return call


def methods(of: object) -> Iterator[tuple[str, list[str]]]:
    """Tell an object's public methods, and what each takes."""
    for name, method in inspect.getmembers(of, callable):
        if not name.startswith("_"):
            yield name, list(inspect.signature(method).parameters)


CLIENTS = {"arize": sdk}


def plain(value: Any) -> Any:
    """Return what a call gave in lists and mappings."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    for name in ("to_dict", "model_dump"):  # of the generated models, and of those written by hand
        if hasattr(value, name):
            return getattr(value, name)()
    return value


def told(error: Exception) -> dict[str, Any]:
    """Return what a caller can learn from an exception."""
    data, headers = getattr(error, "data", None), getattr(error, "headers", None)
    return {
        "error": [kind.__name__ for kind in type(error).__mro__],
        "text": str(error),
        "status": getattr(error, "status", None),
        "problem": None if data is None else data.to_dict(),
        "body": getattr(error, "body", None),
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
        answers.write(json.dumps(answer, default=datetime.isoformat) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
