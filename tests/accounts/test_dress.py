"""Relative times, initials and icons, as templates show them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.templatetags.dress import ago, icon, initials, tone


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(seconds=-20), "just now"),
        (timedelta(seconds=20), "in a moment"),
        (timedelta(seconds=-70), "1 minute ago"),
        (timedelta(minutes=-59), "59 minutes ago"),
        (timedelta(hours=2, minutes=1), "in 2 hours"),
        (timedelta(days=-1), "1 day ago"),
        (timedelta(days=30, minutes=1), "in 30 days"),
        (timedelta(days=-61), "2 months ago"),
        (timedelta(days=800), "in 2 years"),
    ],
)
def test_ago(distance: timedelta, words: str) -> None:
    assert ago(timezone.now() + distance) == words


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Alice Archer", "AA"), ("Bob", "B"), ("ada.lovelace@example.com", "AL"), ("", "?"), ("🔑 🔑", "?")],
)
def test_initials(name: str, letters: str) -> None:
    assert initials(name) == letters


def test_tone_is_always_the_same_for_a_name() -> None:
    assert tone("Alice") == tone("Alice")
    assert {tone(str(number)) for number in range(100)} == {1, 2, 3, 4, 5, 6}


def test_icons_escape_their_name() -> None:
    assert '"><script>' not in icon('"><script>')
