"""Runs inside the client's own environment: one call per line of standard input, one result per line of output.

It knows nothing of the server's code. A line names an address, a key, a method such as ``api_keys.create`` and its
arguments; what cannot be said in JSON is written ``{"$class": name, "args": [...], "kwargs": {...}}``.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from typing import Any

# The client logs to standard output as it was when it was imported, so the answers' way out is put aside before that.
ANSWERS = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

from arize import ArizeClient  # type: ignore[import-not-found]  # noqa: E402 -- not in our environment; see above
from arize._generated import api_client as generated  # type: ignore[import-not-found]  # noqa: E402 -- as above
from arize.api_keys import types  # type: ignore[import-not-found]  # noqa: E402 -- as above


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
    made = getattr(types, name, None) or getattr(generated, name)
    return made(*build(value.get("args", [])), **build(value.get("kwargs", {})))


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


def answer(step: dict[str, Any]) -> dict[str, Any]:
    """Make one call with a client of its own and return its result, or its exception."""
    try:
        call = ArizeClient(api_key=step["key"], api_host=step["host"], api_scheme="http")
        for name in step["call"].split("."):
            call = getattr(call, name)
        value = call(**build(step["arguments"]))
        return {"result": None if value is None else value.to_dict()}
    except Exception as error:  # which one it is, is the question
        return told(error)


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        ANSWERS.write(json.dumps(answer(json.loads(line)), default=datetime.isoformat) + "\n")
        ANSWERS.flush()


if __name__ == "__main__":
    main()
