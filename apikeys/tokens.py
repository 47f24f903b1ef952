"""Key text: mint, parse, digest, compare, redact. Bytes and text only, no database.

A key is ``ak-`` + 12 characters public id + 43 characters secret + 6 characters checksum, all base62 with nothing in
between, so that one double click selects it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass, field

from apikeys.errors import MalformedKey

PREFIX = "ak-"
PUBLIC_ID_LENGTH = 12
SECRET_LENGTH = 43  # 62**43 > 2**256
CHECKSUM_LENGTH = 6  # 62**6 > 2**32
KEY_LENGTH = len(PREFIX) + PUBLIC_ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHAPE = re.compile(r"ak-[0-9A-Za-z]{61}", re.ASCII)
# Ties a digest to this use and this format; another format gets another purpose.
_PURPOSE = b"arizekeys api key v1"


@dataclass(frozen=True)
class KeyText:
    """The parts of one key. ``public_id`` may be stored and logged, ``secret`` never."""

    public_id: str
    secret: str = field(repr=False)

    @property
    def plaintext(self) -> str:
        """The full key, as its owner pastes it."""
        body = PREFIX + self.public_id + self.secret
        return body + _checksum(body)


def mint() -> KeyText:
    """Return a new random key: 256 bits of secret from the operating system."""
    return KeyText(public_id=_random(PUBLIC_ID_LENGTH), secret=_random(SECRET_LENGTH))


def parse(presented: str) -> KeyText:
    """Take a presented key apart, checking everything that can be checked without a database.

    Raises:
        MalformedKey: wrong prefix, length, alphabet or checksum.
    """
    if len(presented) != KEY_LENGTH or _SHAPE.fullmatch(presented) is None:
        raise MalformedKey
    body, checksum = presented[:-CHECKSUM_LENGTH], presented[-CHECKSUM_LENGTH:]
    if not hmac.compare_digest(_checksum(body), checksum):
        raise MalformedKey
    cut = len(PREFIX) + PUBLIC_ID_LENGTH
    return KeyText(public_id=body[len(PREFIX) : cut], secret=body[cut:])


def digest(key: KeyText, pepper: bytes) -> bytes:
    """Return what is stored in place of a secret: HMAC-SHA-256, 32 bytes.

    The pepper is at least 32 bytes and lives neither in the database nor in ``SECRET_KEY``. Purpose and public id are
    inside the MAC, so a digest moved to another row opens nothing.
    """
    message = b"\x00".join((_PURPOSE, key.public_id.encode(), key.secret.encode()))
    return hmac.new(pepper, message, hashlib.sha256).digest()


def matches(key: KeyText, pepper: bytes, stored: bytes) -> bool:
    """Whether a presented key is the one behind a stored digest, in constant time."""
    return hmac.compare_digest(digest(key, pepper), stored)


def redacted(plaintext: str) -> str:
    """Return the form that lists show: first six characters, three dots, last three."""
    return f"{plaintext[:6]}...{plaintext[-3:]}"


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    value, letters = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        value, rest = divmod(value, 62)
        letters = _ALPHABET[rest] + letters
    return letters
