"""Dress values for people: relative times, initials, icons. Templates of both apps use it, hence the ground floor."""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

# Upper bound in seconds, seconds in one unit, the unit's word. The last line stands for everything longer.
_STEPS = (
    (60 * 60, 60, "minute"),
    (24 * 60 * 60, 60 * 60, "hour"),
    (45 * 24 * 60 * 60, 24 * 60 * 60, "day"),
    (365 * 24 * 60 * 60, 30 * 24 * 60 * 60, "month"),
    (float("inf"), 365 * 24 * 60 * 60, "year"),
)
_AVATAR_TONES = 6


def span(length: timedelta) -> str:
    """Say a length of time in its one fitting unit: "1 minute", "3 days"."""
    seconds = abs(length.total_seconds())
    unit, word = next((unit, word) for limit, unit, word in _STEPS if seconds < limit)
    count = max(1, round(seconds / unit))
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


@register.filter
def ago(moment: datetime) -> str:
    """Say a moment relative to now: "3 days ago", "in 2 hours", "just now"."""
    distance = moment - timezone.now()
    if abs(distance) < timedelta(seconds=45):
        return "just now" if distance <= timedelta() else "in a moment"
    return f"in {span(distance)}" if distance > timedelta() else f"{span(distance)} ago"


@register.filter
def initials(name: str) -> str:
    """Take the first letters of the first and last word, for an avatar."""
    words = [word for word in str(name).split("@")[0].replace(".", " ").split() if word[0].isalnum()]
    if not words:
        return "?"
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


@register.filter
def tone(name: str) -> int:
    """Choose one of the avatar colours, always the same for the same name."""
    return zlib.crc32(str(name).encode()) % _AVATAR_TONES + 1


@register.simple_tag
def icon(name: str) -> SafeString:
    """Draw one symbol of icons.svg beside a word; it is never the only name of a control."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("arizekeys/icons.svg"),
        name,
    )
