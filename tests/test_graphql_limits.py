"""What GraphQL refuses because it asks for too much at once: cheaply, and before anything but the key is looked up."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from arizekeys.complexity import (
    MAX_ALIASES,
    MAX_COST,
    MAX_DEPTH,
    MAX_DIRECTIVES,
    MAX_FIELDS,
    MAX_ROOT_FIELDS,
    MAX_TEXT,
    MAX_TOKENS,
    MAX_VALUES,
)
from tests.asking import Asker, asker
from tests.cast import Cast

pytestmark = pytest.mark.django_db

VIEWER = "{ viewer { user { name } } }"
ASSIGN = (
    "mutation($input: AssignSpaceMembershipMutationInput!) "
    "{ assignSpaceMembership(input: $input) { clientMutationId } }"
)


def _user(inside: str) -> str:
    return f"{{ viewer {{ user {{ {inside} }} }} }}"


def _page(what: str, inside: str, first: int | str | None) -> str:
    length = "" if first is None else f"(first: {first})"
    return f"{what}{length} {{ edges {{ node {{ {inside} }} }} }}"


def _account(inside: str) -> str:
    return f"{{ account {{ {inside} }} }}"


def _many(inside: str, count: int) -> str:
    """Repeat something with a number in it."""
    return " ".join(inside.replace("#", str(number)) for number in range(count))


def _deep(inside: str) -> str:
    """Return a query with something on its fifteenth level."""
    below = _page("spaces", _page("spaceUsers", inside, 1), 1)
    return _account(_page("organizations", _page("spaces", f"organization {{ {below} }}", 1), 1))


def _chain(length: int) -> str:
    """Return fragments that each spread the next."""
    links = " ".join(f"fragment F{n} on User {{ ...F{n + 1} }}" for n in range(length))
    return f"{links} fragment F{length} on User {{ name }}"


def _doubling(length: int) -> str:
    """Return fragments that each spread the next one twice."""
    links = " ".join(f"fragment F{n} on User {{ ...F{n + 1} ... {{ ...F{n + 1} }} }}" for n in range(length))
    return f"{links} fragment F{length} on User {{ name }}"


TOO_COMPLEX = {
    "deep": _deep("user { name }"),
    "as deep as the parser goes": "{" + "viewer{user{" * 60 + "name" + "}}" * 60 + "}",
    "deep through fragments": _user("...F0") + _chain(150),
    "fragments that double": _user("...F0") + _doubling(30),
    "aliases": _user(_many("a#: name", MAX_ALIASES + 1)),
    "aliases in inline fragments": _user(_many("... on User { a#: name }", MAX_ALIASES + 1)),
    "aliases in a fragment spread again and again": "{ "
    + _many("a#: viewer { user { ...A } }", 8)
    + " } fragment A on User { "
    + _many("b#: name", 5)
    + " }",
    "fields at the top": "{ " + _many("a#: viewer { user { name } }", MAX_ROOT_FIELDS + 1) + " }",
    "the same field at the top": "{ " + "viewer { user { name } } " * (MAX_ROOT_FIELDS + 1) + " }",
    "mutations at the top": "mutation { "
    + _many('a#: createUserApiKey(input: {name: "n"}) { apiKey }', MAX_ROOT_FIELDS + 1)
    + " }",
    "mutations in fragments": "mutation { ...A } fragment A on Mutation { "
    + _many('a#: createUserApiKey(input: {name: "n"}) { apiKey }', MAX_ROOT_FIELDS + 1)
    + " }",
    "one field a thousand times": _user("name " * 1_000),
    "directives": _user("name " + "@skip(if: false) " * (MAX_DIRECTIVES + 1)),
    "directives nobody knows": _user("name " + "@a " * 900),
    "directives on the operation": "query " + "@a " * (MAX_DIRECTIVES + 1) + VIEWER,
    "tokens": _user("name " * MAX_TOKENS),
    "comments": VIEWER + "\n#x" * (MAX_TOKENS + 1),
    "characters": VIEWER + " #" + "x" * MAX_TEXT,
    "nested introspection": "{ __schema { types " + "{ ofType " * 25 + "{ name }" + " }" * 25 + " } }",
    "long pages of long pages": _account(_page("organizations", _page("spaces", "name", 100), 100)),
    "pages nobody gave a length": _account(_page("organizations", _page("spaces", "name", None), None)),
    "pages with null for a length": _account(_page("organizations", _page("spaces", "name", "null"), "null")),
    "pages of a length by default": "query($n: Int = 100) "
    + _account(_page("organizations", _page("spaces", "name", "$n"), "$n")),
    "pages of a length not given": "query($n: Int) "
    + _account(_page("organizations", _page("spaces", "name", "$n"), "$n")),
    "pages in fragments": "{ account { ...A } } fragment A on Account { "
    + _page("organizations", "...O", 50)
    + " } fragment O on AccountOrganization { "
    + _page("spaces", "name", 50)
    + " }",
    "pages behind an id": '{ node(id: "x") { ... on AccountOrganization { '
    + _page("spaces", _page("spaceUsers", "user { name }", 40), 40)
    + " } } }",
    "pages side by side": _account(_many("a#: " + _page("users", "role { name }", 100), 6)),
    "members of what was just assigned": "mutation { assignSpaceMembership(input: {spaceMemberships: []}) "
    "{ spaceMemberships { space { " + _page("spaceUsers", "user { name }", 50) + " } } } }",
}
NOT_VALID = {
    "deeper than the parser goes": "{a" * 900,
    "circular introspection": "{ __schema { types " + "{ fields { type " * 4 + "{ name }" + " } }" * 4 + " } }",
    "introspection in fragments": "{ __schema { types { ...T } } } fragment T on __Type { fields { type { fields "
    "{ type { fields { name } } } } } }",
    "fragment inside itself": _user("...A") + " fragment A on User { name ...A }",
    "fragments inside each other": _user("...A") + " fragment A on User { ...B } fragment B on User { ...A }",
    "fragments nobody uses": VIEWER + _many(" fragment F# on User { name }", 200),
    "operations of one name": "query Q " + VIEWER + (" query Q " + VIEWER) * 150,
    "variables nobody uses": "query(" + _many("$a#: Int", 400) + ") " + VIEWER,
    "one long name": "{ " + "x" * 40_000 + " }",
    "arguments nobody knows": '{ node(id: "x" ' + _many("a#: 1", 400) + ") { id } }",
    "a list within lists": "mutation { assignSpaceMembership(input: {spaceMemberships: "
    + "[" * 180
    + "]" * 180
    + "}) { clientMutationId } }",
    "a long list": "mutation { assignSpaceMembership(input: {spaceMemberships: ["
    + "{} " * 600
    + "]}) { clientMutationId } }",
}


# Of functions, and returns from them. The dearest of these refusals takes less than half.
MOST_CALLS = 1_000_000


@contextlib.contextmanager
def _counting_calls() -> Iterator[Counter[str]]:
    """Count what Python does, which no other work on the machine makes more or less."""
    counted: Counter[str] = Counter()

    def count(_frame: object, event: str, _argument: object) -> None:
        counted[event] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield counted
    finally:
        sys.setprofile(before)


def _refused(who: Asker, text: str, variables: dict[str, Any]) -> set[str]:
    """Ask, check that it was cheap, and return the codes of the refusal."""
    with CaptureQueriesContext(connection) as queries, _counting_calls() as calls:
        response = who.post(text, **variables)

    assert response.status_code == 200
    assert "data" not in response.json()
    assert len(queries) == 1  # the key's
    assert len(response.content) < 20_000
    assert calls.total() < MOST_CALLS
    return {error["extensions"]["code"] for error in response.json()["errors"]}


@pytest.fixture
def bob(cast: Cast) -> Asker:
    bob = asker(cast.bob)
    bob.data(VIEWER)  # "last used" is written now, and not again for a minute
    return bob


@pytest.mark.parametrize("attack", TOO_COMPLEX)
def test_what_asks_for_too_much_is_refused(bob: Asker, attack: str) -> None:
    assert _refused(bob, TOO_COMPLEX[attack], {}) == {"too_complex"}


@pytest.mark.parametrize("attack", NOT_VALID)
def test_what_is_not_valid_is_refused_as_cheaply(bob: Asker, attack: str) -> None:
    assert _refused(bob, NOT_VALID[attack], {}) == {"invalid"}


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"input": {"spaceMemberships": [{"userId": "x", "spaceId": "y", "role": "member"}] * 20_000}}, "too_complex"),
        ({"input": {"spaceMemberships": [{f"field{n}": n for n in range(50_000)}]}}, "too_complex"),
        ({"input": {"spaceMemberships": [{f"field{n}": n for n in range(1_000)}]}}, "invalid"),
        ({"input": {"spaceMemberships": [], "clientMutationId": "x" * 2_000_000}}, "invalid"),
        ({"input": json.loads("[" * 300 + "]" * 300)}, "invalid"),
        ({"input": {"spaceMemberships": json.loads("[" * 300 + "]" * 300)}}, "invalid"),
    ],
    ids=["long list", "very many fields", "many fields", "long text", "deep", "deep inside"],
)
def test_huge_variables_are_refused(bob: Asker, variables: dict[str, Any], code: str) -> None:
    if "clientMutationId" in variables["input"]:
        assert bob.codes(ASSIGN, **variables) == [code]  # fine in itself: the list is what is too short
    else:
        assert _refused(bob, ASSIGN, variables) == {code}


def test_variables_that_are_not_declared_are_not_even_counted(bob: Asker) -> None:
    unused = json.loads("[" * 300 + "]" * 300)

    assert bob.data(VIEWER, unused=unused, more=list(range(MAX_VALUES * 2))) == {
        "viewer": {"user": {"name": "Bob Baker"}}
    }


@pytest.mark.parametrize(
    "text",
    [
        _user(_many("a#: name", MAX_ALIASES)),
        _user("name " * (MAX_FIELDS - 2)),
        _user("name @skip(if: false) " * MAX_DIRECTIVES),
        "{ " + "viewer { user { name } } " * MAX_ROOT_FIELDS + " }",
        # 1 + 9 × (1 + 10 × (1 + 10)) = 1000
        _account(_page("organizations", _page("spaces", _page("spaceUsers", "role", 10), 10), 9)),
        _deep("role"),
    ],
    ids=["aliases", "fields", "directives", "fields at the top", "cost", "depth"],
)
def test_what_is_just_within_a_limit_is_answered(bob: Asker, text: str) -> None:
    assert "errors" not in bob.answer(text)


def test_limits_say_which_one_it_was(bob: Asker) -> None:
    long = _account(_page("organizations", _page("spaces", "name", 100), 10))

    assert [error["message"] for error in bob.answer(long)["errors"]] == [
        f"The answer could hold 1011 objects, and {MAX_COST} is the limit. Ask for shorter pages (`first`)."
    ]
    assert bob.answer(TOO_COMPLEX["deep"])["errors"][0]["message"] == (
        f"This operation has more than {MAX_DEPTH} nested levels. Split it."
    )


@pytest.mark.parametrize("first", [0, -1, 101, 2**31 - 1])
def test_pages_have_a_length(bob: Asker, first: int) -> None:
    (error,) = bob.answer("query($n: Int) { viewer { spaces(first: $n) { edges { cursor } } } }", n=first)["errors"]

    assert (error["message"], error["extensions"]["code"]) == ("A page has 1 to 100 entries.", "invalid")


@pytest.mark.parametrize("cursor", ["x", "YWZ0ZXI6eA", "é", "a" * 5000])
def test_foreign_cursors_are_refused(bob: Asker, cursor: str) -> None:
    for text in (
        "query($c: String) { viewer { spaces(first: 1, after: $c) { edges { cursor } } } }",
        "query($c: String) { viewer { organizations(first: 1) { edges { node { spaces(first: 1, after: $c) "
        "{ edges { cursor } } } } } } }",
    ):
        assert set(bob.codes(text, c=cursor)) == {"invalid"}
