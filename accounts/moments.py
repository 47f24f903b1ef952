"""Points in time as clients write them, read the same at every door."""

from __future__ import annotations

import re
from datetime import UTC, datetime

NO_MOMENT = "This must be a date and time such as 2027-01-31T12:00:00Z."
# RFC 3339, and what Python and the vendor's command line make of a datetime: no offset, or one without a colon.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?", re.ASCII)


def read_moment(value: object) -> datetime:
    """Return the moment in UTC; one without an offset is UTC (contract rest-v2 §4.1).

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):  # the 31st of February; the year 0 in UTC
            pass
    raise ValueError(NO_MOMENT)
