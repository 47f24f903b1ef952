"""The one codec for ids on the wire: base64 of ``Type:number:suffix`` (contract rest-v2 §3.1)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from accounts.errors import Invalid

_SHAPE = re.compile(r"([A-Za-z]+):([1-9][0-9]{0,18}):([0-9A-Za-z]{4})")
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# Names that clients know, where they differ from ours.
_WIRE_NAMES = {"Organization": "AccountOrganization", "Project": "Model"}


def wire_name(type_name: str) -> str:
    """Return the type name that travels for one of our models."""
    return _WIRE_NAMES.get(type_name, type_name)


def encode_id(type_name: str, number: int) -> str:
    """Return the wire id of row ``number`` of model ``type_name``, for example ``("Space", 7)``.

    The payload is letters, digits and colons only, so the base64 never contains ``+`` or ``/``.
    """
    name = wire_name(type_name)
    return base64.b64encode(f"{name}:{number}:{_suffix(name, number)}".encode()).decode()


def decode_id(text: str, type_name: str, *, field: str = "id") -> int:
    """Return the row number in a wire id of the given model.

    Raises:
        Invalid: not an id, or the id of something else.
    """
    name = wire_name(type_name)
    try:
        payload = base64.b64decode(text.encode("ascii"), validate=True).decode("ascii")
    except (binascii.Error, UnicodeError):
        payload = ""
    match = _SHAPE.fullmatch(payload)
    if match is None or match[1] != name or match[3] != _suffix(name, int(match[2])):
        raise Invalid(f"This is not the ID of {_article(type_name)}.", field=field)
    number = int(match[2])
    if number > 2**63 - 1:
        raise Invalid(f"This is not the ID of {_article(type_name)}.", field=field)
    return number


def _suffix(name: str, number: int) -> str:
    # A check against typing errors and mixed-up installations of the codec; it protects nothing.
    value = int.from_bytes(hashlib.sha256(f"{name}:{number}".encode()).digest()[:8])
    letters = ""
    for _ in range(4):
        value, rest = divmod(value, 62)
        letters += _ALPHABET[rest]
    return letters


def _article(type_name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type_name).lower()
    return f"an {words}" if words[0] in "aeio" else f"a {words}"
