"""Typed readers of the environment, so that a wrong or missing variable stops start-up and is named."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

# The pepper and the secret key shown in deploy/arizekeys.env.example: known to everybody, so never accepted.
EXAMPLE_SECRET = "example-only-replace-me-with-64-random-characters-of-your-own"  # noqa: S105 -- public on purpose

# HMAC-SHA-256 gains nothing from a key longer than its digest and loses strength with a shorter one.
MINIMUM_PEPPER_BYTES = 32

_YES = {"1", "true", "yes", "on"}
_NO = {"0", "false", "no", "off"}


def text(name: str, default: str | None = None) -> str:
    """Return a variable as it stands, without surrounding space.

    Raises: ImproperlyConfigured when it is unset or empty and there is no default.
    """
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise ImproperlyConfigured(f"the environment variable {name} is required and not set.")
    return default


def flag(name: str, default: bool) -> bool:
    """Return a variable as yes or no; anything but 1/true/yes/on and 0/false/no/off is refused."""
    value = text(name, "").lower()
    if not value:
        return default
    if value in _YES | _NO:
        return value in _YES
    raise ImproperlyConfigured(f"{name} must be one of true, false, yes, no, on, off, 1, 0, and is {value!r}.")


def number(name: str, default: int, *, minimum: int = 0, maximum: int | None = None) -> int:
    """Return a variable as a whole number within the given limits (both inclusive)."""
    value = text(name, str(default))
    try:
        found = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, and is {value!r}.") from None
    if found < minimum or (maximum is not None and found > maximum):
        limits = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ImproperlyConfigured(f"{name} must be {limits}, and is {found}.")
    return found


def items(name: str, default: list[str] | None = None) -> list[str]:
    """Return a comma-separated variable as a list, without empty items."""
    value = text(name, None if default is None else ",".join(default))
    return [item.strip() for item in value.split(",") if item.strip()]


def secret(name: str, default: str | None = None) -> str:
    """Return a secret from NAME, or from the file that NAME_FILE points at; never both.

    Error texts say which variable is wrong and never repeat its value.
    """
    path = text(f"{name}_FILE", "")
    if not path:
        return text(name, default)
    if os.environ.get(name, "").strip():
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set; keep one of them.")
    try:
        value = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ImproperlyConfigured(f"{name}_FILE points at {path}, which cannot be read: {reason}.") from None
    if not value:
        raise ImproperlyConfigured(f"{name}_FILE points at {path}, which is empty.")
    return value


def secret_key(name: str) -> str:
    """Return Django's signing key; too short a one and the one in the documentation are refused."""
    value = secret(name)
    if EXAMPLE_SECRET in value:
        raise ImproperlyConfigured(f"{name} is the example from the documentation; make one of your own.")
    if len(value) < 50 or len(set(value)) < 5:
        raise ImproperlyConfigured(f"{name} is too weak: 50 characters or more, chosen at random.")
    return value


def peppers(name: str) -> dict[int, bytes]:
    """Return the pepper ring from "1:secret,2:secret" pairs, oldest first; new keys use the last one.

    Raises: ImproperlyConfigured for a pair that is malformed, repeated, short, or the documentation's example.
    """
    return parse_peppers(secret(name), name)


def parse_peppers(value: str, name: str) -> dict[int, bytes]:
    """Parse a pepper ring as :func:`peppers` does; ``name`` is what error texts call its source."""
    ring: dict[int, bytes] = {}
    for pair in filter(None, (part.strip() for part in value.split(","))):
        number_text, separator, pepper = pair.partition(":")
        if not separator or not number_text.isdecimal() or not 1 <= int(number_text) <= 32767:
            raise ImproperlyConfigured(f'{name} must hold "number:secret" pairs such as "1:...", newest last.')
        pepper_id = int(number_text)
        if pepper_id in ring:
            raise ImproperlyConfigured(f"{name} holds number {pepper_id} twice.")
        if EXAMPLE_SECRET in pepper:
            raise ImproperlyConfigured(f"{name}: pepper {pepper_id} is the example from the documentation.")
        if len(pepper.encode()) < MINIMUM_PEPPER_BYTES:
            raise ImproperlyConfigured(f"{name}: pepper {pepper_id} is shorter than {MINIMUM_PEPPER_BYTES} bytes.")
        ring[pepper_id] = pepper.encode()
    if not ring:
        raise ImproperlyConfigured(f"{name} holds no pepper; API keys cannot be made or checked without one.")
    return ring
