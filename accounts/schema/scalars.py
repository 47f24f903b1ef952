"""Points in time as they travel: RFC 3339, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import strawberry
from graphql import GraphQLError

from accounts.moments import read_moment


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _read(value: object) -> datetime:
    try:
        return read_moment(value)
    except ValueError as error:
        raise GraphQLError(str(error)) from None


MOMENT = strawberry.scalar(
    name="DateTime",
    description="A point in time in RFC 3339. One without an offset is UTC.",
    serialize=_written,
    parse_value=_read,
)
