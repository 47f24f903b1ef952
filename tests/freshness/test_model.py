"""The protocol in every state it can get into: with all its rules nothing is wrong, without any one of them it is."""

from __future__ import annotations

import pytest

from tests.freshness.model import RULES, Protocol, search

# How many incarnations of the follower and how many verbs it takes to see what a rule is for, where one of each is not
# enough.
TAKES = {"old name goes last": (2, 1), "new name": (2, 1), "barred is waited for": (1, 2)}


@pytest.mark.parametrize(("incarnations", "verbs", "states"), [(1, 1, 1_613), (2, 1, 27_745), (1, 2, 35_476)])
def test_with_every_rule_no_state_is_wrong(incarnations: int, verbs: int, states: int) -> None:
    trace = search(Protocol(), incarnations=incarnations, verbs=verbs)

    assert trace.steps is None, "\n".join(trace.steps or ())
    assert trace.states == states  # as docs/freshness.md says; another model looks at other states


@pytest.mark.parametrize("rule", RULES)
def test_without_any_one_rule_something_is_accepted(rule: str) -> None:
    incarnations, verbs = TAKES.get(rule, (1, 1))

    trace = search(Protocol(without=rule), incarnations=incarnations, verbs=verbs)

    assert trace.steps is not None
    print(f"Without “{rule}” ({RULES[rule]}):", *trace.steps, sep="\n  ")  # noqa: T201 -- shown with pytest -rP
