from __future__ import annotations

import hashlib
import hmac
import re
import string

import pytest

from accounts.redaction import KEY_PATTERN
from apikeys import tokens
from apikeys.errors import MalformedKey, Reason

PEPPER = b"p" * 32
KNOWN = tokens.KeyText(public_id="0123456789AB", secret="s" * tokens.SECRET_LENGTH)


def test_minted_key_has_the_documented_shape() -> None:
    assert re.fullmatch(r"ak-[0-9A-Za-z]{61}", tokens.mint().plaintext)


def test_ten_thousand_keys_are_unique_and_carry_256_bits() -> None:  # security 1
    keys = [tokens.mint() for _ in range(10_000)]

    assert len({key.plaintext for key in keys}) == len({key.public_id for key in keys}) == 10_000
    assert 62**tokens.SECRET_LENGTH > 2**256
    assert {letter for key in keys for letter in key.secret} == set(string.digits + string.ascii_letters)
    assert not any("-" in key.secret for key in keys)


def test_parse_gives_back_what_was_minted() -> None:
    key = tokens.mint()

    assert tokens.parse(key.plaintext) == key


def test_known_answer_vectors() -> None:
    assert KNOWN.plaintext == "ak-0123456789AB" + "s" * 43 + "0wyqzh"
    message = b"arizekeys api key v1\x000123456789AB\x00" + b"s" * 43
    assert tokens.digest(KNOWN, PEPPER) == hmac.new(PEPPER, message, hashlib.sha256).digest()


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda key: "", id="empty"),
        pytest.param(lambda key: key[:-1], id="truncated"),
        pytest.param(lambda key: key + "0", id="extended"),
        pytest.param(lambda key: key.swapcase(), id="case changed"),
        pytest.param(lambda key: " " + key, id="padded before"),
        pytest.param(lambda key: key + "\n", id="padded behind"),
        pytest.param(lambda key: "ak-" + key, id="doubly prefixed"),
        pytest.param(lambda key: "ak-" + key[:-3], id="doubly prefixed at the right length"),
        pytest.param(lambda key: key.replace("ak-", "sk-"), id="other prefix"),
        pytest.param(lambda key: key[:20] + ("a" if key[20] != "a" else "b") + key[21:], id="one letter changed"),
        pytest.param(lambda key: key[:20] + "é" + key[21:], id="not ASCII"),
        pytest.param(lambda key: key[:20] + "٣" + key[21:], id="a digit of another script"),
        pytest.param(lambda key: key[:20] + "\x00" + key[21:], id="NUL inside"),
        pytest.param(lambda key: key[:-6] + "000000", id="checksum gone"),
    ],
)
def test_broken_key_is_refused(broken: object) -> None:  # security 10
    assert callable(broken)
    presented = broken(KNOWN.plaintext)

    with pytest.raises(MalformedKey) as refusal:
        tokens.parse(presented)

    assert refusal.value.reason is Reason.MALFORMED


def test_digest_depends_on_pepper_secret_and_public_id() -> None:  # security 4
    other_id = tokens.KeyText("BA9876543210", KNOWN.secret)
    other_secret = tokens.KeyText(KNOWN.public_id, "t" * tokens.SECRET_LENGTH)

    digests = {
        tokens.digest(KNOWN, PEPPER),
        tokens.digest(KNOWN, b"q" * 32),
        tokens.digest(other_id, PEPPER),
        tokens.digest(other_secret, PEPPER),
    }

    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {32}
    assert tokens.matches(KNOWN, PEPPER, tokens.digest(KNOWN, PEPPER))
    assert not tokens.matches(other_secret, PEPPER, tokens.digest(KNOWN, PEPPER))


def test_redacted_shows_six_and_three() -> None:
    assert tokens.redacted("ak-abcdefghijxyz") == "ak-abc...xyz"


def test_repr_shows_no_secret() -> None:  # security 42
    assert KNOWN.secret not in repr(KNOWN)


def test_redaction_knows_what_a_key_looks_like() -> None:
    assert KEY_PATTERN.fullmatch(tokens.mint().plaintext)
