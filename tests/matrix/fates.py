"""What can come of an operation: the words in the cells of the table."""

from __future__ import annotations

from enum import StrEnum


class Fate(StrEnum):
    """What an operation comes to for a caller."""

    MADE = "made"
    ABOVE = "above one's own role"
    FORBIDDEN = "forbidden"
    ABSENT = "absent"
    AGAINST = "against a rule that binds everybody"
    ELSEWHERE = "made in their own account alone"
    UNAUTHORIZED = "unauthorized"
    # No cell says this. It is what doors for people make of a refusal that stands on the page they show.
    TOLD = "refused in words"
