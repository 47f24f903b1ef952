"""What a request may look like, where the doors' own tests do not say it already."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts.rest.endpoint import Endpoint
from accounts.rest.problems import Malformed
from accounts.rest.shapes import Many, Shape, Text, cleaned


class Question(Shape):
    """A question with one parameter that may be repeated, and one that may not."""

    word = Many(Text(max_length=5), max_length=3, required=False)
    once = Text(required=False)


def asked(address: str) -> dict[str, Any]:
    """Return what an endpoint makes of a query."""
    endpoint = Endpoint()
    endpoint.request = APIView().initialize_request(APIRequestFactory().get(address))
    return endpoint.query(Question)


@pytest.mark.parametrize(
    ("address", "words"),
    [("/?word=one", ["one"]), ("/?word=b&word=a&word=b", ["b", "a", "b"]), ("/?word=a,b", ["a,b"])],
)
def test_repeated_parameter_comes_as_a_list_in_its_order(address: str, words: list[str]) -> None:
    assert asked(address) == {"word": words}
    assert asked("/?once=x") == {"once": "x"}


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/?once=a&once=a", "once: Give this once."),
        ("/?other=a&other=b", "other: Give this once."),
        ("/?other=a", "other: There is no such property."),
        ("/?word=a&word=b&word=c&word=d", "word: This may be given at most 3 times."),
        ("/?word=a&word=longer", "word[1]: This may have at most 5 characters."),
        ("/?word=", "word[0]: This must not be empty."),
    ],
)
def test_what_is_repeated_too_often_or_wrongly_is_refused(address: str, said: str) -> None:
    with pytest.raises(Malformed) as refusal:
        asked(address)

    assert str(refusal.value) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [("one", "word: This must be a list."), ([], "word: This must not be empty."), ({}, "word: This must be a list.")],
)
def test_in_a_body_it_is_a_list(given: Any, said: str) -> None:
    assert cleaned(Question, {"word": ["one", "two"]}) == {"word": ["one", "two"]}
    with pytest.raises(Malformed) as refusal:
        cleaned(Question, {"word": given})

    assert str(refusal.value) == said
